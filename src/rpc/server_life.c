/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "rpc/server_call.h"

#include <protosocket/error.h>
#include <string.h>

/*
 * From a call's struct to its last moment: SERVED, OPEN, OVER, LET GO, as
 * server_call.c draws them. All is the loop's thread's, but for the last
 * reference, and what is freed then.
 *
 * Whoever makes an end of a call only has it settled later, by the session's
 * task: so nothing is told from inside a function of the call, and a handler
 * may do with its call what it likes. What is told may end the session and free
 * the server; the session is kept meanwhile (psock_session.entered), and a call
 * that is being told is in none of its lists.
 *
 * Structs of calls that are done with go to the server, which keeps some.
 */

/* Calls that have ended but wait for room for their last frame, per connection;
 * beyond that, starts are refused, and then the connection is closed. */
#define PENDING_MOST 1024

/* ---- The struct ---- */

struct psock_server_call *psock_server_call_alloc(psock_server *server) {
  struct psock_server_call *call =
      psock_alloc(&server->heap->allocator, sizeof *call);
  if (call == NULL)
    return NULL;
  memset(call, 0, sizeof *call);
  call->call.ops = &psock_server_call_ops;
  call->call.loop = server->loop;
  call->heap = psock_heap_ref(server->heap);
  return call;
}

static void free_struct(struct psock_server_call *call) {
  struct psock_heap *heap = call->heap;
  psock_free(&heap->allocator, call);
  psock_heap_unref(heap);
}

/* Frees what the call has, and makes it as a spare one is. */
static void clear(struct psock_server_call *call) {
  psock_hold_release(call->hold);
  psock_metadata_clear(&call->metadata);
  psock_status_drop(&call->call.ended);
  call->hold = NULL;
  call->kept = 0;
  psock_server_call_reset(call);
}

void psock_server_call_destroy(struct psock_server_call *call) {
  clear(call);
  if (call->shared != NULL)
    psock_shared_free(call->shared, call->heap);
  free_struct(call);
}

void psock_server_call_recycle(
    psock_server *server, struct psock_server_call *call) {
  clear(call);
  if (server->freed || server->spare_count >= PSOCK_SPARE_MOST)
    free_struct(call);
  else
    psock_server_call_put(server, call);
}

void psock_server_free_spare(psock_server *server) {
  while (server->spare != NULL) {
    struct psock_server_call *call = server->spare;
    server->spare = call->next_spare;
    free_struct(call);
  }
}

void psock_server_call_warm(struct psock_server_call *call) {
  if (call->state.warm)
    return;
  call->state.warm = true;
  call->state.special = true;
  psock_list_init(&call->queued);
  psock_list_init(&call->turn);
  call->control = (struct psock_control){.id = call->call.id};
  psock_list_init(&call->control.node);
  call->inbox = (struct psock_requests){.first = NULL};
}

/* ---- Settling ---- */

/* From now on the session does not end before the call is settled. */
static void count_live(
    struct psock_session *session, struct psock_server_call *call) {
  session->live += !call->state.counted;
  call->state.counted = true;
}

static void settle_later(
    struct psock_session *session, struct psock_server_call *call) {
  psock_server_call_warm(call);
  count_live(session, call);
  psock_list_append(&session->settling, &call->queued);
  psock_session_defer(session);
}

/* Tells the events that the call has ended, and gives back their reference. */
static void tell_events(struct psock_server_call *call) {
  const struct psock_call_events *events = call->call.events;
  struct psock_serving_state serving =
      psock_serving_begin(call->call.loop, call->call.deadline);
  if (PSOCK_EVENT(events, ended))
    events->ended(call->call.data, &call->call, &call->call.ended.status);
  psock_serving_end(serving);
  psock_call_unref(&call->call);
}

/* A reference for who tells interceptors, who may want one, too; from none, if
 * it is known that the last one is gone. Returns whether there is one. */
static bool ref_to_tell(struct psock_server_call *call) {
  atomic_uint *references = &call->call.references;
  psock_server_call_lock(call);
  unsigned count = atomic_load(references);
  if (call->state.unreferenced)
    atomic_store(references, count = 1);
  else
    while (count > 0 &&
           !atomic_compare_exchange_weak(references, &count, count + 1))
      continue;
  call->state.unreferenced = false;
  psock_server_call_unlock(call);
  return count > 0;
}

/* Returns whether that could be done now. */
static bool tell_interceptors(struct psock_server_call *call) {
  const struct psock_server *server = call->session->server;
  unsigned begun = call->state.begun;
  bool held = ref_to_tell(call);
  /* Who has just given back the last one, on another thread, is about to say
   * so. */
  if (!held && !call->session->closed)
    return false;
  call->state.begun = 0;
  psock_interceptors_end(server->options.interceptors, begun, &call->call,
      &call->call.ended.status);
  if (held)
    psock_call_unref(&call->call);
  return true;
}

/* Nothing is left to do; the call is whose references it has. */
static void let_go(struct psock_server_call *call) {
  struct psock_session *session = call->session;
  session->live -= call->state.counted;
  psock_peer_release(&session->peer, call->kept);
  call->session = NULL;
  if (call->shared != NULL)
    psock_shared_let_go(call);
  else if (call->state.unreferenced)
    psock_server_call_recycle(session->server, call);
  psock_session_check(session);
}

void psock_server_call_settle(struct psock_server_call *call) {
  if (call->state.begun > 0 && !tell_interceptors(call)) {
    settle_later(call->session, call);
    return;
  }
  if (call->call.events != NULL)
    tell_events(call);
  call->state.settled = true;
  if (!call->state.pending)
    let_go(call);
}

void psock_server_call_drop_payload(struct psock_server_call *call) {
  size_t length = call->payload_length;
  if (call->payload == NULL)
    return;
  psock_peer_release(&call->session->peer, length);
  psock_heap_release(call->heap, call->payload, length);
  call->payload = NULL;
  call->payload_length = 0;
}

/* The last frame has left, or will never. */
static void last_sent(struct psock_control *control) {
  struct psock_server_call *call =
      PSOCK_CONTAINER(control, struct psock_server_call, control);
  call->state.pending = false;
  psock_server_call_drop_payload(call);
  if (call->state.settled)
    let_go(call);
}

/* Has the last frame sent when there is room. */
static void note_last(struct psock_server_call *call, bool not_begun) {
  struct psock_control *control = &call->control;
  psock_server_call_warm(call);
  *control = (struct psock_control){
      .sender = psock_server_call_sender(call),
      .id = call->call.id,
      .last = true,
      .not_begun = not_begun,
      .code = call->state.last_code,
      .status = call->state.last_has_status ? &call->call.ended.status : NULL,
      .bare = call->state.last_is_bare,
      .metadata = call->state.last_has_metadata ? call->metadata.entries : NULL,
      .metadata_count =
          call->state.last_has_metadata ? call->metadata.count : 0,
      .payload = call->payload,
      .payload_length = call->payload_length,
      .sent = last_sent,
  };
  psock_list_init(&control->node);
  call->state.pending = true;
  psock_peer_note(&call->session->peer, control);
}

/* Takes the call out of wherever it waits for something. */
static void leave(
    struct psock_session *session, struct psock_server_call *call) {
  if (call->state.open) {
    call->state.open = false;
    psock_table_remove(&session->calls, &call->entry);
    session->in_flight--;
    call->served->count--;
  }
  psock_list_remove(&call->queued);
  psock_list_remove(&call->turn);
  psock_peer_forget(&session->peer, &call->control);
  psock_requests_drop(call);
}

void psock_server_call_finish(
    struct psock_session *session, struct psock_server_call *call) {
  psock_server_call_lock(call);
  bool unsent = call->state.unsent;
  psock_server_call_unlock(call);
  psock_server_count_end(
      session->server, call->call.ended.status.code, call->state.ender);
  if (call->state.warm)
    leave(session, call);
  if (unsent && !session->closed)
    note_last(call, false);
  else if (unsent)
    psock_server_call_drop_payload(call);
  settle_later(session, call);
}

void psock_server_call_over(struct psock_server_call *call) {
  if (call->state.over)
    return;
  /* Whoever has ended it on another thread may not have come to say so. */
  atomic_store_explicit(&call->call.has_ended, true, memory_order_release);
  call->state.over = true;
  if (call->session->serving != call)
    psock_server_call_finish(call->session, call);
}

void psock_server_call_go_on(
    struct psock_session *session, struct psock_server_call *call) {
  if (call->hold == NULL)
    call->call.metadata_count = 0;
  if (call->state.over) {
    psock_server_call_finish(session, call);
    return;
  }
  psock_server_call_warm(call);
  call->entry.id = call->call.id;
  psock_table_add(&session->calls, &call->entry);
  call->state.open = true;
  count_live(session, call);
  session->in_flight++;
  call->served->count++;
  psock_peer_set_deadline(&session->peer, call->call.deadline);
}

void psock_server_call_free(psock_call *base) {
  struct psock_server_call *call = psock_server_call_of(base);
  if (!psock_server_call_has_ended(call))
    psock_server_call_abandon(call);
  if (call->shared != NULL) {
    psock_shared_unreferenced(call);
    return;
  }
  call->state.unreferenced = true;
  if (call->session == NULL)
    psock_server_call_destroy(call);
}

void psock_server_call_queue(struct psock_server_call *call) {
  struct psock_session *session = call->session;
  bool drain = session != NULL && session->draining &&
               !call->state.drain_told && PSOCK_EVENT(call->call.events, drain);
  bool requests =
      call->state.warm && (call->inbox.first != NULL || call->inbox.over);
  if (session == NULL || call->state.over || !(drain || requests))
    return;
  psock_server_call_warm(call);
  if (psock_list_empty(&call->queued))
    psock_list_append(&session->giving, &call->queued);
  psock_session_defer(session);
}

/* ---- Refusing ---- */

/* A call that never was, for a cancel that has to wait for room. */
static struct psock_server_call *new_refusal(struct psock_session *session) {
  if (session->live >= session->server->options.max_calls + 2 * PENDING_MOST)
    return NULL;
  struct psock_server_call *call = psock_server_call_take(session->server);
  if (call == NULL)
    return NULL;
  call->session = session;
  call->state.over = true;
  call->state.settled = true;
  call->state.unreferenced = true;
  count_live(session, call);
  return call;
}

void psock_server_call_refuse(struct psock_session *session, uint64_t id,
    const struct psock_status *status, uint8_t ender) {
  struct psock_rpc_frame frame = {
      .id = id,
      .code = PSOCK_CODE_CANCEL,
      .status = status,
      .not_begun = status != NULL && status->not_begun,
  };
  psock_server_count_end(session->server, PSOCK_STATUS_UNKNOWN, ender);
  int error = psock_face_send(
      &session->server->face, session->peer.sender, &frame, NULL);
  if (error == 0 || error == PSOCK_ECLOSED)
    return;
  struct psock_server_call *call = new_refusal(session);
  if (call == NULL) {
    /* Its caller would wait for ever. */
    psock_connection_close(session->peer.connection);
    return;
  }
  call->call.id = id;
  call->state.last_code = PSOCK_CODE_CANCEL;
  call->state.last_has_status = status != NULL;
  if (status != NULL)
    psock_status_keep(&call->call.ended, call->heap, status);
  note_last(call, frame.not_begun);
}
