/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_BASE_BLOCK_H
#define PSOCK_BASE_BLOCK_H

#include "base/heap.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Blocks are the pieces that buffers and arenas are made of. Those of the
 * usual sizes come from a pool that belongs to a loop, and go back there when
 * they are empty, so that memory stays warm and an idle connection holds none.
 *
 * A block is counted: a message that is kept keeps the blocks it lies in. What
 * lies behind the struct is aligned for any type.
 */
struct psock_block {
  /* In a buffer, an arena, or the pool. */
  _Alignas(max_align_t) struct psock_block *next;
  uint8_t *data;   /* behind this struct, or memory that was lent */
  size_t capacity; /* bytes at data */
  size_t start;    /* data[start..end) are filled */
  size_t end;
  struct psock_heap *heap;
  atomic_uint references;
  int order;                           /* of the pool; -1: none */
  bool shared;                         /* goes back to where any thread takes */
  void (*release)(void *release_data); /* of memory that was lent */
  void *release_data;
};

/* Total sizes: 4 KiB for order 0, doubling up to 8 MiB. */
#define PSOCK_BLOCK_ORDERS 12
#define PSOCK_BLOCK_SMALL 4096u

struct psock_pool {
  struct psock_heap *heap;
  struct psock_block *free[PSOCK_BLOCK_ORDERS]; /* the loop's thread only */
  size_t cached;
  size_t max_cached;
  pthread_mutex_t mutex; /* over what follows */
  struct psock_block *shared[PSOCK_BLOCK_ORDERS];
  size_t shared_cached;
};

/* Returns 0 or PSOCK_ENOMEM. The pool takes a reference to `heap`. */
int psock_pool_init(
    struct psock_pool *pool, struct psock_heap *heap, size_t max_cached);
void psock_pool_fini(struct psock_pool *pool);

/* The capacity of a block of `order`. */
size_t psock_block_order_capacity(int order);

/* An empty block for at least `capacity` bytes, or NULL. Loop's thread. */
struct psock_block *psock_pool_get(struct psock_pool *pool, size_t capacity);

/* The same, only if a block that large lies in the pool already. */
struct psock_block *psock_pool_get_cached(
    struct psock_pool *pool, size_t capacity);

/* The same as psock_pool_get, from any thread; NULL also when the loop holds as
 * much as allowed. */
struct psock_block *psock_pool_get_shared(
    struct psock_pool *pool, size_t capacity);

/* Gives a reference back, to the pool if it was the last. Loop's thread. */
void psock_pool_put(struct psock_pool *pool, struct psock_block *block);

/* The same from any thread; elsewhere than at home it frees. */
void psock_block_unref(struct psock_block *block);

/* A block of exactly `capacity` bytes, that no pool keeps. Any thread. */
struct psock_block *psock_block_new(struct psock_heap *heap, size_t capacity);

/* A filled block for `length` bytes of somebody else's at `data`; whoever frees
 * it has to call its `release`, if that is set. Any thread. */
struct psock_block *psock_block_lend(
    struct psock_heap *heap, const void *data, size_t length);

void psock_block_ref(struct psock_block *block);

static inline size_t psock_block_length(const struct psock_block *block) {
  return block->end - block->start;
}

static inline size_t psock_block_room(const struct psock_block *block) {
  return block->capacity - block->end;
}

#endif
