/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/block.h"

#include "base/allocator.h"
#include <protosocket/error.h>

/*
 * Two sets of lists: one for the loop's thread without a lock, and one for
 * everybody else under a mutex. A block returns to the set it was taken from,
 * because those are the ones that will ask for it again.
 */

/* Size classes count the struct in, so that each is a power of two. */
static size_t order_size(int order) {
  return (size_t)PSOCK_BLOCK_SMALL << order;
}

size_t psock_block_order_capacity(int order) {
  return order_size(order) - sizeof(struct psock_block);
}

/* The order for `capacity` bytes, or -1 when no block is that large. */
static int order_for(size_t capacity) {
  for (int order = 0; order < PSOCK_BLOCK_ORDERS; order++)
    if (capacity <= psock_block_order_capacity(order))
      return order;
  return -1;
}

static void block_init(struct psock_block *block, struct psock_heap *heap,
    uint8_t *data, size_t capacity) {
  *block = (struct psock_block){
      .data = data,
      .capacity = capacity,
      .heap = psock_heap_ref(heap),
      .order = -1,
  };
  atomic_init(&block->references, 1);
}

struct psock_block *psock_block_new(struct psock_heap *heap, size_t capacity) {
  if (capacity > SIZE_MAX - sizeof(struct psock_block))
    return NULL;
  struct psock_block *block = psock_heap_hold(heap, sizeof *block + capacity);
  if (block == NULL)
    return NULL;
  block_init(block, heap, (uint8_t *)(block + 1), capacity);
  return block;
}

struct psock_block *psock_block_lend(
    struct psock_heap *heap, const void *data, size_t length) {
  struct psock_block *block = psock_heap_hold(heap, sizeof *block);
  if (block == NULL)
    return NULL;
  /* Lent bytes are only read, but data is writable for every other block. */
  block_init(block, heap, (uint8_t *)(uintptr_t)data, length);
  block->end = length;
  return block;
}

void psock_block_ref(struct psock_block *block) {
  atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
}

static void block_free(struct psock_block *block) {
  struct psock_heap *heap = block->heap;
  size_t size = sizeof *block;
  if (block->data == (uint8_t *)(block + 1))
    size += block->capacity;
  psock_heap_release(heap, block, size);
  psock_heap_unref(heap);
}

/* Whether this was the last reference. */
static bool block_drop(struct psock_block *block) {
  return atomic_fetch_sub_explicit(
             &block->references, 1, memory_order_acq_rel) == 1;
}

int psock_pool_init(
    struct psock_pool *pool, struct psock_heap *heap, size_t max_cached) {
  *pool = (struct psock_pool){.max_cached = max_cached};
  if (pthread_mutex_init(&pool->mutex, NULL) != 0)
    return PSOCK_ENOMEM;
  pool->heap = psock_heap_ref(heap);
  heap->pool = pool;
  return 0;
}

static void free_list(struct psock_block *block) {
  while (block != NULL) {
    struct psock_block *next = block->next;
    block_free(block);
    block = next;
  }
}

void psock_pool_fini(struct psock_pool *pool) {
  pool->heap->pool = NULL;
  for (int order = 0; order < PSOCK_BLOCK_ORDERS; order++) {
    free_list(pool->free[order]);
    free_list(pool->shared[order]);
  }
  pthread_mutex_destroy(&pool->mutex);
  psock_heap_unref(pool->heap);
}

static struct psock_block *list_pop(struct psock_block **list, size_t *cached) {
  struct psock_block *block = *list;
  if (block == NULL)
    return NULL;
  *list = block->next;
  *cached -= block->capacity;
  atomic_store_explicit(&block->references, 1, memory_order_relaxed);
  block->next = NULL;
  block->start = 0;
  block->end = 0;
  return block;
}

static void list_push(
    struct psock_block **list, size_t *cached, struct psock_block *block) {
  block->next = *list;
  *list = block;
  *cached += block->capacity;
}

static struct psock_block *block_of_order(struct psock_heap *heap, int order) {
  struct psock_block *block =
      psock_block_new(heap, psock_block_order_capacity(order));
  if (block != NULL)
    block->order = order;
  return block;
}

struct psock_block *psock_pool_get(struct psock_pool *pool, size_t capacity) {
  int order = order_for(capacity);
  if (order < 0)
    return psock_block_new(pool->heap, capacity);
  struct psock_block *block = list_pop(&pool->free[order], &pool->cached);
  return block != NULL ? block : block_of_order(pool->heap, order);
}

struct psock_block *psock_pool_get_cached(
    struct psock_pool *pool, size_t capacity) {
  int order = order_for(capacity);
  return order < 0 ? NULL : list_pop(&pool->free[order], &pool->cached);
}

struct psock_block *psock_pool_get_shared(
    struct psock_pool *pool, size_t capacity) {
  int order = order_for(capacity);
  if (order < 0)
    return psock_heap_is_full(pool->heap)
               ? NULL
               : psock_block_new(pool->heap, capacity);
  pthread_mutex_lock(&pool->mutex);
  struct psock_block *block =
      list_pop(&pool->shared[order], &pool->shared_cached);
  pthread_mutex_unlock(&pool->mutex);
  /* Senders can be refused; whoever receives can't. */
  if (block == NULL && !psock_heap_is_full(pool->heap))
    block = block_of_order(pool->heap, order);
  if (block != NULL)
    block->shared = true;
  return block;
}

/* Keeps `block`, whose last reference is gone, if the pool has room for it. */
static bool pool_keep(struct psock_pool *pool, struct psock_block *block) {
  if (block->order < 0)
    return false;
  if (!block->shared) {
    if (pool->cached + block->capacity > pool->max_cached)
      return false;
    list_push(&pool->free[block->order], &pool->cached, block);
    return true;
  }
  pthread_mutex_lock(&pool->mutex);
  bool kept = pool->shared_cached + block->capacity <= pool->max_cached;
  if (kept)
    list_push(&pool->shared[block->order], &pool->shared_cached, block);
  pthread_mutex_unlock(&pool->mutex);
  return kept;
}

void psock_pool_put(struct psock_pool *pool, struct psock_block *block) {
  if (block_drop(block) && !pool_keep(pool, block))
    block_free(block);
}

void psock_block_unref(struct psock_block *block) {
  struct psock_heap *heap = block->heap;
  if (psock_heap_is_home(heap) && heap->pool != NULL)
    psock_pool_put(heap->pool, block);
  else if (block_drop(block))
    block_free(block);
}
