/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_BASE_ARENA_H
#define PSOCK_BASE_ARENA_H

#include "base/block.h"
#include <protosocket/arena.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Of what an arena gives, in bytes. */
#define PSOCK_ARENA_ALIGNMENT 16u

/* The size class of an arena's first block, which it keeps; see block.h. */
#define PSOCK_ARENA_FIRST_ORDER 2

/* Counted: whoever keeps a message keeps its arena. */
struct psock_arena {
  struct psock_heap *heap;
  struct psock_pool *pool;    /* the loop's thread only */
  struct psock_block *blocks; /* the one in use first, the kept one last */
  size_t left;  /* bytes that may still be given, or held; as aligned */
  bool limited; /* something was refused because of that */
  bool keeping; /* somebody keeps the message that is in it now */
  struct psock_block *begun; /* where that message begins: the block, */
  size_t begun_end;          /* and how much of it was in use */
  atomic_uint references;
};

/* NULL when memory is out. Loop's thread. */
struct psock_arena *psock_arena_new(struct psock_pool *pool);

/*
 * Makes `*arena` ready for the next message, without a limit: rewinds it or,
 * if somebody keeps a message in it, goes on behind that, or with a new one
 * when little room is left. What nobody keeps goes, wherever it is. Loop's
 * thread.
 */
void psock_arena_renew(struct psock_arena **arena);

/* The same; for an arena that nobody keeps, and of which one usual block was
 * enough, here. */
static inline void psock_arena_next(struct psock_arena **arena) {
  struct psock_block *block = (*arena)->blocks;
  if (block == NULL || block->next != NULL ||
      block->order != PSOCK_ARENA_FIRST_ORDER ||
      atomic_load_explicit(&(*arena)->references, memory_order_acquire) > 1) {
    psock_arena_renew(arena);
    return;
  }
  block->end = 0;
  (*arena)->left = SIZE_MAX;
  (*arena)->limited = false;
  (*arena)->keeping = false;
  (*arena)->begun = block;
  (*arena)->begun_end = 0;
}

/*
 * Gives a decoder what is left of the block in use, as far as the limit allows:
 * [*ret_free, *ret_end), which may be nothing. Until psock_arena_close, which
 * is told how far it was used, nothing else may be allocated.
 */
static inline void psock_arena_open(
    struct psock_arena *arena, uint8_t **ret_free, uint8_t **ret_end) {
  const struct psock_block *block = arena->blocks;
  if (block == NULL) {
    *ret_free = *ret_end = (uint8_t *)arena; /* no bytes, but not NULL */
    return;
  }
  size_t room = psock_block_room(block);
  *ret_free = block->data + block->end;
  *ret_end = *ret_free + (room < arena->left ? room : arena->left);
}

/* What comes next in the block has to be aligned again; `left` is a multiple of
 * that, so it is enough for what the decoder was given. */
static inline void psock_arena_close(
    struct psock_arena *arena, const uint8_t *free) {
  struct psock_block *block = arena->blocks;
  if (block == NULL)
    return;
  size_t used = (size_t)(free - block->data) - block->end;
  size_t length =
      (used + PSOCK_ARENA_ALIGNMENT - 1) & ~(size_t)(PSOCK_ARENA_ALIGNMENT - 1);
  if (length > psock_block_room(block))
    length = psock_block_room(block);
  block->end += length;
  arena->left -= length;
}

/* Bytes that the message that is in the arena now has taken. Loop's thread. */
size_t psock_arena_used(const struct psock_arena *arena);

/* Keeps the message that is in the arena now. Loop's thread. */
void psock_arena_ref(struct psock_arena *arena);

/* Gives a reference back; the last one frees. Any thread. */
void psock_arena_unref(struct psock_arena *arena);

#endif
