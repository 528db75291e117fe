/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/slots.h"

#include <protosocket/error.h>

/*
 * Ids with a place in them. The place that was given back last is taken first,
 * because it is the one that the processor still has at hand; only when none is
 * free a new one is added, so the array is as long as the most there ever were
 * at once.
 */

void psock_slots_init(struct psock_slots *slots, struct psock_heap *heap,
    size_t most, unsigned width) {
  *slots = (struct psock_slots){
      .heap = heap,
      .most = most,
      .mask = width == 4 ? UINT32_MAX : UINT64_MAX,
  };
  while (((size_t)1 << slots->bits) < most)
    slots->bits++;
}

void psock_slots_fini(struct psock_slots *slots) {
  if (slots->at != NULL)
    slots->heap->allocator.free(slots->heap->allocator.data, slots->at);
  slots->at = NULL;
}

/* A place that was never taken: returns its number, from 1, or 0. */
static size_t add_place(struct psock_slots *slots) {
  struct psock_slot *at = psock_heap_grow(
      slots->heap, slots->at, &slots->capacity, slots->count + 1, sizeof *at);
  if (at == NULL)
    return 0;
  slots->at = at;
  at[slots->count] = (struct psock_slot){.id = slots->count};
  return ++slots->count;
}

int psock_slots_take(
    struct psock_slots *slots, void *content, uint64_t *ret_id) {
  uint64_t step = (uint64_t)1 << slots->bits;
  if (slots->taken == slots->most)
    return PSOCK_EFULL;
  size_t place = slots->free;
  if (place == 0)
    place = add_place(slots);
  if (place == 0)
    return PSOCK_ENOMEM;
  struct psock_slot *slot = &slots->at[place - 1];
  slots->free = slot->next;
  slots->taken++;
  slot->content = content;
  slot->id = (slot->id + step) & slots->mask;
  /* A count of 0 would make an id 0. */
  if (slot->id < step)
    slot->id += step;
  *ret_id = slot->id;
  return 0;
}

void psock_slots_give(struct psock_slots *slots, uint64_t id) {
  size_t place = (size_t)(id & (((uint64_t)1 << slots->bits) - 1));
  struct psock_slot *slot = &slots->at[place];
  slot->content = NULL;
  slot->next = slots->free;
  slots->free = place + 1;
  slots->taken--;
}
