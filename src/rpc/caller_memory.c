/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/caller_call.h"

#include "base/allocator.h"
#include "connection/connection.h"
#include <protosocket/error.h>
#include <string.h>

/*
 * The memory of a caller's call: its struct, the request that is kept for
 * sending it later or again, the messages that nobody has read, and the
 * metadata that has come.
 *
 * Structs are recycled, with the memory that they have for a request or a few
 * messages, so that in the long run a start allocates nothing. They are put
 * aside under the lock; without clones there is none, and then a call that is
 * given back on another thread is freed.
 *
 * The loop, those who have references, and each errand own the call together;
 * a call with events has a reference of the loop's own besides, so that giving
 * back the user's does not cancel it. The usual case, a call to which nobody
 * but the loop has a reference when it ends, needs none of the counting.
 */

/* A recycled call keeps memory for requests of up to this size. */
#define KEPT_CAPACITY 4096u

/* What a message that is kept takes besides itself, at most. */
#define KEPT_COST ((size_t)256)

/* And an inbox of up to so many messages. */
#define KEPT_INBOX 16u

static void clear(struct psock_caller_call *call) {
  struct psock_core *core = call->core;
  memset(call, 0, offsetof(struct psock_caller_call, core));
  call->core = core;
  psock_list_init(&call->node);
  psock_list_init(&call->errand);
  psock_list_init(&call->control.node);
}

struct psock_caller_call *psock_caller_call_new(struct psock_core *core) {
  struct psock_caller_call *call = core->spare;
  if (call != NULL) {
    core->spare = call->next;
    core->spare_count--;
    return call;
  }
  call = psock_alloc(&core->heap->allocator, sizeof *call);
  if (call == NULL)
    return NULL;
  memset(call, 0, sizeof *call);
  call->core = core;
  clear(call);
  return call;
}

static void free_call(struct psock_caller_call *call) {
  struct psock_heap *heap = call->core->heap;
  if (call->payload != NULL)
    psock_heap_release(heap, call->payload, call->payload_capacity);
  if (call->has_changed)
    pthread_cond_destroy(&call->changed);
  psock_free(&heap->allocator, call->inbox.at);
  psock_free(&heap->allocator, call);
}

void psock_caller_call_free_spare(struct psock_core *core) {
  while (core->spare != NULL) {
    struct psock_caller_call *call = core->spare;
    core->spare = call->next;
    free_call(call);
  }
}

bool psock_inbox_take(
    struct psock_inbox *inbox, struct psock_received *ret_received) {
  if (inbox->count == 0)
    return false;
  *ret_received = inbox->at[inbox->first++];
  if (--inbox->count == 0)
    inbox->first = 0;
  return true;
}

void psock_received_release(
    struct psock_core *core, const struct psock_received *received) {
  psock_hold_release(received->hold);
  psock_core_release(core, received->cost);
}

/* Drops what nobody has read. */
void psock_caller_call_empty_inbox(struct psock_caller_call *call) {
  struct psock_core *core = call->core;
  struct psock_received received;
  for (;;) {
    psock_core_lock(core);
    bool taken = psock_inbox_take(&call->inbox, &received);
    psock_core_unlock(core);
    if (!taken)
      return;
    psock_received_release(core, &received);
  }
}

void psock_caller_call_drop_request(struct psock_caller_call *call) {
  if (call->payload_kept > 0)
    psock_core_release(call->core, call->payload_kept);
  call->keeps = false;
  call->payload_kept = 0;
  call->payload_length = 0;
  if (call->payload_capacity <= KEPT_CAPACITY)
    return;
  psock_heap_release(call->core->heap, call->payload, call->payload_capacity);
  call->payload = NULL;
  call->payload_capacity = 0;
}

void psock_caller_call_drop_metadata(struct psock_caller_call *call) {
  if (call->received.entries == NULL && call->trailing.entries == NULL)
    return;
  call->base.metadata = NULL;
  call->base.metadata_count = 0;
  psock_metadata_clear(&call->received);
  psock_metadata_clear(&call->trailing);
  psock_free(&call->core->heap->allocator, call->both);
  call->both = NULL;
}

/* Lets go of what was received and not given back. */
static void drop_received(struct psock_caller_call *call) {
  struct psock_core *core = call->core;
  if (call->lent.hold != NULL)
    psock_received_release(core, &call->lent);
  if (call->inbox.count > 0)
    psock_caller_call_empty_inbox(call);
  if (call->inbox.capacity <= KEPT_INBOX)
    return;
  psock_free(&core->heap->allocator, call->inbox.at);
  call->inbox.at = NULL;
  call->inbox.capacity = 0;
}

/* Puts the struct aside; false: there is no place for it. */
static bool put_aside(struct psock_caller_call *call) {
  struct psock_core *core = call->core;
  /* Without clones, only the loop's thread has the list. */
  if (!atomic_load_explicit(&core->cloned, memory_order_relaxed) &&
      !psock_core_is_home(core))
    return false;
  psock_core_lock(core);
  bool fits = core->spare_count < core->max_calls;
  if (fits) {
    call->next = core->spare;
    core->spare = call;
    core->spare_count++;
  }
  psock_core_unlock(core);
  return fits;
}

void psock_caller_call_recycle(struct psock_caller_call *call) {
  drop_received(call);
  if (call->keeps)
    psock_caller_call_drop_request(call);
  psock_caller_call_drop_metadata(call);
  if (call->metadata.entries != NULL)
    psock_metadata_clear(&call->metadata);
  if (call->base.ended.memory != NULL)
    psock_status_drop(&call->base.ended);
  clear(call);
  if (!put_aside(call))
    free_call(call);
}

void psock_caller_call_drop(struct psock_caller_call *call) {
  if (atomic_fetch_sub_explicit(&call->owners, 1, memory_order_acq_rel) > 1)
    return;
  struct psock_core *core = call->core;
  bool holds_core = call->holds_core;
  psock_caller_call_recycle(call);
  if (holds_core)
    psock_core_unref(core);
}

/* The loop has done with the call, once it has ended, everybody was told, and
 * nothing of it is on its way. */
void psock_caller_call_settle(struct psock_caller_call *call) {
  if (!call->told || call->link != NULL || call->settled)
    return;
  call->settled = true;
  if (!call->opens &&
      atomic_load_explicit(&call->base.references, memory_order_acquire) == 1 &&
      atomic_load_explicit(&call->owners, memory_order_acquire) == 2) {
    psock_caller_call_recycle(call);
    return;
  }
  call->holds_core = true;
  psock_core_ref(call->core);
  if (!call->opens)
    psock_call_unref(&call->base);
  psock_caller_call_drop(call);
}

/* ---- The request ---- */

int psock_caller_call_keep_request(
    struct psock_caller_call *call, const void *request) {
  struct psock_core *core = call->core;
  int error = psock_frame_encode_payload_again(core->face.max_message,
      core->heap, call->base.method->request, request, &call->payload,
      &call->payload_capacity, &call->payload_length);
  if (error != 0)
    return error;
  call->keeps = true;
  if (!psock_core_keep(core, call->payload_length)) {
    psock_caller_call_drop_request(call);
    return PSOCK_EFULL;
  }
  call->payload_kept = call->payload_length;
  return 0;
}

/* ---- What nobody has read ---- */

void psock_caller_call_wake(struct psock_caller_call *call) {
  if (call->has_changed)
    pthread_cond_broadcast(&call->changed);
}

static bool push(
    struct psock_caller_call *call, const struct psock_received *received) {
  struct psock_inbox *inbox = &call->inbox;
  if (inbox->first > 0 && inbox->first + inbox->count == inbox->capacity) {
    memmove(
        inbox->at, inbox->at + inbox->first, inbox->count * sizeof *inbox->at);
    inbox->first = 0;
  }
  struct psock_received *at = psock_heap_grow(call->core->heap, inbox->at,
      &inbox->capacity, inbox->first + inbox->count + 1, sizeof *at);
  if (at == NULL)
    return false;
  inbox->at = at;
  at[inbox->first + inbox->count++] = *received;
  psock_caller_call_wake(call);
  return true;
}

/* Keeps a message until it is read. Returns 0 or an error. */
/* What keeping the message that is being given takes: what was made of it, the
 * frame if that is pointed into, and what describes it. */
static size_t cost_of(const psock_connection *connection, size_t length) {
  size_t frame = connection->lent->detached ? 0 : length;
  return frame + psock_arena_used(connection->loop->arena) + KEPT_COST;
}

int psock_caller_call_keep(struct psock_caller_call *call,
    psock_connection *connection, const void *message, size_t length) {
  struct psock_core *core = call->core;
  struct psock_received received = {
      .message = message,
      .length = length,
      .cost = cost_of(connection, length),
  };
  if (!psock_core_keep(core, received.cost))
    return PSOCK_EFULL;
  int error = psock_connection_hold(connection, &received.hold);
  if (error != 0) {
    psock_core_release(core, received.cost);
    return error;
  }
  psock_core_lock(core);
  bool kept = push(call, &received);
  psock_core_unlock(core);
  if (kept)
    return 0;
  psock_received_release(core, &received);
  return PSOCK_ENOMEM;
}

/* ---- Metadata that has come ---- */

void psock_caller_call_show_metadata(
    struct psock_caller_call *call, bool ended) {
  const struct psock_metadata_list *list = &call->received;
  if (list->count == 0 && (!ended || call->trailing.count == 0))
    return;
  if (ended && list->count == 0)
    list = &call->trailing;
  call->base.metadata = list->entries;
  call->base.metadata_count = list->count;
  if (!ended || call->both == NULL)
    return;
  call->base.metadata = call->both;
  call->base.metadata_count = call->received.count + call->trailing.count;
}

/* Keeps what has come with the last frame. It is shown behind what came with
 * the first. When memory is out it is lost: a call must be able to end. */
void psock_caller_call_keep_trailing(
    struct psock_caller_call *call, const struct psock_rpc_frame *frame) {
  struct psock_heap *heap = call->core->heap;
  size_t count = call->received.count;
  if (frame->metadata_count == 0 ||
      psock_metadata_copy(
          &call->trailing, heap, frame->metadata, frame->metadata_count) != 0 ||
      count == 0)
    return;
  struct psock_metadata *both = psock_alloc(
      &heap->allocator, (count + call->trailing.count) * sizeof *both);
  if (both == NULL)
    return;
  memcpy(both, call->received.entries, count * sizeof *both);
  memcpy(both + count, call->trailing.entries,
      call->trailing.count * sizeof *both);
  call->both = both;
}
