/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/arena.h"

#include "base/allocator.h"
#include <stdint.h>

/*
 * A bump allocator over blocks of the loop's pool. It is rewound after each
 * message, so that the same few cache lines serve message after message; the
 * first block stays, the others go back to the pool. Messages that are kept
 * share a block with those that follow, so that each costs about its size; but
 * one that is not kept leaves nothing behind one that is, or who keeps a small
 * message could hold the memory of large ones.
 *
 * With a limit, the blocks that are fetched for a message never add up to more
 * than the limit: what is left over at the end of a block counts as used.
 */

/* The size class of the largest step. */
#define LAST_ORDER 8

/* Bytes that must be left for a further message. */
#define SHARE_ROOM ((size_t)2 << 10)

struct psock_arena *psock_arena_new(struct psock_pool *pool) {
  struct psock_heap *heap = pool->heap;
  struct psock_arena *arena = psock_alloc(&heap->allocator, sizeof *arena);
  if (arena == NULL)
    return NULL;
  *arena = (struct psock_arena){
      .heap = psock_heap_ref(heap),
      .pool = pool,
      .left = SIZE_MAX,
  };
  atomic_init(&arena->references, 1);
  return arena;
}

static void unlimit(struct psock_arena *arena) {
  arena->left = SIZE_MAX;
  arena->limited = false;
}

/* Forgets all that was allocated, but keeps one block. */
static void rewind_arena(struct psock_arena *arena) {
  struct psock_block *block = arena->blocks;
  while (block != NULL &&
         (block->next != NULL || block->order != PSOCK_ARENA_FIRST_ORDER)) {
    struct psock_block *next = block->next;
    psock_pool_put(arena->pool, block);
    block = next;
  }
  if (block != NULL)
    block->end = 0;
  arena->blocks = block;
}

/* Forgets the message that is in it now, behind one that is kept. */
static void trim_arena(struct psock_arena *arena) {
  while (arena->blocks != arena->begun) {
    struct psock_block *block = arena->blocks;
    arena->blocks = block->next;
    psock_pool_put(arena->pool, block);
  }
  if (arena->begun != NULL)
    arena->begun->end = arena->begun_end;
}

static void begin_message(struct psock_arena *arena) {
  arena->keeping = false;
  arena->begun = arena->blocks;
  arena->begun_end = arena->blocks == NULL ? 0 : arena->blocks->end;
}

static bool is_kept(const struct psock_arena *arena) {
  return atomic_load_explicit(&arena->references, memory_order_acquire) > 1;
}

/* Whether the messages that follow may share the arena with one that is kept:
 * as long as that is cheap for whoever keeps it. */
static bool is_shareable(const struct psock_arena *arena) {
  const struct psock_block *block = arena->blocks;
  return block == NULL ||
         (block->next == NULL && block->order == PSOCK_ARENA_FIRST_ORDER &&
             psock_block_room(block) >= SHARE_ROOM);
}

void psock_arena_renew(struct psock_arena **arena) {
  if (!is_kept(*arena)) {
    rewind_arena(*arena);
  } else if (!(*arena)->keeping) {
    trim_arena(*arena);
  } else if (!is_shareable(*arena)) {
    /* Without memory for another one, this one goes on. */
    struct psock_arena *next = psock_arena_new((*arena)->pool);
    if (next != NULL) {
      psock_arena_unref(*arena);
      *arena = next;
    }
  }
  unlimit(*arena);
  begin_message(*arena);
}

size_t psock_arena_used(const struct psock_arena *arena) {
  const struct psock_block *block = arena->blocks;
  size_t used = 0;
  for (; block != arena->begun; block = block->next)
    used += block->end;
  return used + (block == NULL ? 0 : block->end - arena->begun_end);
}

void psock_arena_ref(struct psock_arena *arena) {
  arena->keeping = true;
  atomic_fetch_add_explicit(&arena->references, 1, memory_order_relaxed);
}

void psock_arena_unref(struct psock_arena *arena) {
  if (atomic_fetch_sub_explicit(&arena->references, 1, memory_order_acq_rel) >
      1)
    return;
  for (struct psock_block *block = arena->blocks; block != NULL;) {
    struct psock_block *next = block->next;
    psock_block_unref(block);
    block = next;
  }
  struct psock_heap *heap = arena->heap;
  psock_free(&heap->allocator, arena);
  psock_heap_unref(heap);
}

/* A block for `length` bytes, and for some more that may follow, as far as the
 * limit allows. */
static struct psock_block *next_block(
    const struct psock_arena *arena, size_t length) {
  size_t wanted = psock_block_order_capacity(PSOCK_ARENA_FIRST_ORDER);
  if (arena->blocks != NULL)
    wanted = arena->blocks->capacity * 2;
  if (wanted > psock_block_order_capacity(LAST_ORDER))
    wanted = psock_block_order_capacity(LAST_ORDER);
  if (wanted < length)
    wanted = length;
  if (arena->left / 2 > wanted)
    return psock_pool_get(arena->pool, wanted);
  /* A block of the pool may be twice as large as what is asked for. */
  return psock_block_new(
      arena->heap, wanted < arena->left ? wanted : arena->left);
}

/* Takes up what the limit leaves; false when it leaves too little. */
static bool charge(struct psock_arena *arena, size_t length) {
  if (length <= arena->left) {
    arena->left -= length;
    return true;
  }
  arena->limited = true;
  return false;
}

static void *alloc_in_next(struct psock_arena *arena, size_t length) {
  size_t waste = arena->blocks == NULL ? 0 : psock_block_room(arena->blocks);
  if (!charge(arena, waste) || length > arena->left) {
    arena->limited = true;
    return NULL;
  }
  struct psock_block *block = next_block(arena, length);
  if (block == NULL)
    return NULL;
  block->next = arena->blocks;
  block->end = length;
  arena->blocks = block;
  arena->left -= length;
  return block->data;
}

void *psock_arena_alloc(psock_arena *arena, size_t length) {
  if (length > SIZE_MAX - PSOCK_ARENA_ALIGNMENT) {
    arena->limited = true;
    return NULL;
  }
  length = (length + PSOCK_ARENA_ALIGNMENT - 1) &
           ~(size_t)(PSOCK_ARENA_ALIGNMENT - 1);
  struct psock_block *block = arena->blocks;
  if (block == NULL || length > psock_block_room(block))
    return alloc_in_next(arena, length);
  if (!charge(arena, length))
    return NULL;
  void *memory = block->data + block->end;
  block->end += length;
  return memory;
}

void psock_arena_limit(psock_arena *arena, size_t length) {
  arena->left = length & ~(size_t)(PSOCK_ARENA_ALIGNMENT - 1);
}

int psock_arena_limited(const psock_arena *arena) {
  return arena->limited;
}
