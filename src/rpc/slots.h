/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_RPC_SLOTS_H
#define PSOCK_RPC_SLOTS_H

#include "base/heap.h"
#include <stddef.h>
#include <stdint.h>

/*
 * What is in flight on a connection, by ids that this end has chosen: the low
 * bits of an id are the place in an array, those above count how often the
 * place was taken. So an answer finds its call without a search, and one that
 * comes too late finds another id in its place.
 *
 * Of an id field of 32 bits the count begins anew now and then; ids that are
 * taken at the same time still differ, because their places do.
 */

struct psock_slot {
  void *content; /* NULL: free */
  uint64_t id;   /* of the content, or of the one before */
  size_t next;   /* the next free place, from 1; 0: there is none */
};

struct psock_slots {
  struct psock_heap *heap;
  struct psock_slot *at;
  size_t capacity; /* of the array */
  size_t count;    /* places that were ever taken */
  size_t taken;
  size_t most;
  size_t free; /* the first free one of them, from 1; 0: there is none */
  unsigned bits;
  uint64_t mask; /* of an id */
};

/* The most that can be asked for. */
#define PSOCK_SLOTS_MOST ((size_t)1 << 20)

/* Begins an empty array for at most `most` (1 to PSOCK_SLOTS_MOST) at once;
 * ids are `width` bytes wide: 4 or 8. */
void psock_slots_init(struct psock_slots *slots, struct psock_heap *heap,
    size_t most, unsigned width);
void psock_slots_fini(struct psock_slots *slots);

/* Takes a place for `content`. Returns 0 with its id, which is never 0,
 * PSOCK_EFULL or PSOCK_ENOMEM. */
int psock_slots_take(
    struct psock_slots *slots, void *content, uint64_t *ret_id);

/* Gives the place of `id`, which is taken, back. */
void psock_slots_give(struct psock_slots *slots, uint64_t id);

/* What has this id, or NULL. */
static inline void *psock_slots_find(
    const struct psock_slots *slots, uint64_t id) {
  size_t place = (size_t)(id & (((uint64_t)1 << slots->bits) - 1));
  if (place >= slots->count || slots->at[place].id != id)
    return NULL;
  return slots->at[place].content;
}

#endif
