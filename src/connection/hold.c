/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "connection/connection.h"

/*
 * Keeping a message that was lent. Its memory is the loop's arena and the block
 * it was received in; both are counted. The loop goes on with a new arena, and
 * the connection keeps the old one until the callback has returned, because
 * the message stays lent for that long even if the hold is released at once.
 */
struct psock_hold {
  struct psock_heap *heap;
  struct psock_arena *arena;
  struct psock_block *block;
};

/* Sets the arena of the message that is being given aside. */
static int keep_arena(psock_connection *connection) {
  psock_loop *loop = connection->loop;
  if (connection->kept != NULL)
    return 0;
  struct psock_arena *arena = psock_arena_new(&loop->pool);
  if (arena == NULL)
    return PSOCK_ENOMEM;
  connection->kept = loop->arena;
  loop->arena = arena;
  return 0;
}

int psock_connection_hold(psock_connection *connection, psock_hold **ret_hold) {
  struct psock_heap *heap = connection->loop->heap;
  if (connection->lent == NULL)
    return PSOCK_EINVAL;
  psock_hold *hold = psock_alloc(&heap->allocator, sizeof *hold);
  if (hold == NULL)
    return PSOCK_ENOMEM;
  int error = keep_arena(connection);
  if (error != 0) {
    psock_free(&heap->allocator, hold);
    return error;
  }
  *hold = (psock_hold){
      .heap = psock_heap_ref(heap),
      .arena = connection->kept,
      .block = connection->in,
  };
  psock_arena_ref(hold->arena);
  psock_block_ref(hold->block);
  *ret_hold = hold;
  return 0;
}

void psock_hold_release(psock_hold *hold) {
  if (hold == NULL)
    return;
  struct psock_heap *heap = hold->heap;
  psock_arena_unref(hold->arena);
  psock_block_unref(hold->block);
  psock_free(&heap->allocator, hold);
  psock_heap_unref(heap);
}
