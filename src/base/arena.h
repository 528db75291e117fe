/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_BASE_ARENA_H
#define PSOCK_BASE_ARENA_H

#include "base/block.h"
#include <protosocket/arena.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Counted: whoever keeps a message keeps its arena. */
struct psock_arena {
  struct psock_heap *heap;
  struct psock_pool *pool;    /* the loop's thread only */
  struct psock_block *blocks; /* the one in use first, the kept one last */
  size_t left;                /* bytes that may still be given, or held */
  bool limited;               /* something was refused because of that */
  atomic_uint references;
};

/* NULL when memory is out. Loop's thread. */
struct psock_arena *psock_arena_new(struct psock_pool *pool);

/*
 * Makes `*arena` ready for the next message, without a limit: rewinds it or,
 * if somebody keeps a message in it, goes on behind that, or with a new one
 * when little room is left. Loop's thread.
 */
void psock_arena_next(struct psock_arena **arena);

void psock_arena_ref(struct psock_arena *arena);

/* Gives a reference back; the last one frees. Any thread. */
void psock_arena_unref(struct psock_arena *arena);

#endif
