/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "connection/connection.h"

/*
 * Keeping a message that was lent. Its memory is the loop's arena and, if it
 * points there, the block it was received in; both are counted, so that keeping
 * is holding a reference. What follows it does not overwrite it: the arena goes
 * on behind a message that is kept, and a block is not used again before its
 * last reference is gone.
 */
struct psock_hold {
  struct psock_heap *heap;
  struct psock_arena *arena;
  struct psock_block *block; /* or NULL */
};

int psock_connection_hold(psock_connection *connection, psock_hold **ret_hold) {
  struct psock_heap *heap = connection->loop->heap;
  if (connection->lent == NULL)
    return PSOCK_EINVAL;
  psock_hold *hold = psock_heap_hold_more(heap, sizeof *hold);
  if (hold == NULL)
    return PSOCK_ENOMEM;
  *hold = (psock_hold){
      .heap = psock_heap_ref(heap),
      .arena = connection->loop->arena,
      .block = connection->lent->detached ? NULL : connection->in,
  };
  psock_arena_ref(hold->arena);
  if (hold->block != NULL)
    psock_block_ref(hold->block);
  *ret_hold = hold;
  return 0;
}

void psock_hold_release(psock_hold *hold) {
  if (hold == NULL)
    return;
  struct psock_heap *heap = hold->heap;
  psock_arena_unref(hold->arena);
  if (hold->block != NULL)
    psock_block_unref(hold->block);
  psock_heap_release(heap, hold, sizeof *hold);
  psock_heap_unref(heap);
}
