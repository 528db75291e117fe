/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "rpc/server_call.h"

#include <protosocket/error.h>

/*
 * What a caller streams. A request is decoded when it comes, and given at once
 * if somebody wants it; if not, because the call is paused, or nobody has asked
 * for it yet, it is held, and given by the session's task when that has
 * changed. How much can gather is up to the call's window, which the caller was
 * told in the HELLO; beyond that, up to what is kept for all calls of the
 * connection.
 *
 * What was read is granted anew, when half of the window has gathered, so that
 * there is one WINDOW for many requests.
 *
 * That the caller has sent its last one is told behind the last one, and not
 * while the call is paused.
 */

/* What a request counts when it is kept, beyond the bytes of its frame. */
#define REQUEST_COST 256

/* Requests given at once, before other calls have their turn. */
#define TURN 64

/* Whether there is somebody to be told of requests now. */
static bool is_read(const struct psock_server_call *call) {
  return call->call.events != NULL && !call->state.paused &&
         !call->state.over && !psock_server_call_has_ended(call);
}

/* `length` bytes have been read. */
static void grant(struct psock_server_call *call, size_t length) {
  struct psock_session *session = call->session;
  struct psock_requests *inbox = &call->inbox;
  inbox->consumed += length;
  if (call->state.over || inbox->over ||
      inbox->consumed < session->server->options.stream_window / 2)
    return;
  inbox->window += (int64_t)inbox->consumed;
  call->control.window += inbox->consumed;
  inbox->consumed = 0;
  call->control.sender = psock_server_call_sender(call);
  psock_peer_note(&session->peer, &call->control);
}

/* Calls the user, who may do anything; the caller of this has a reference.
 * Returns whether the call goes on. */
static bool give(struct psock_server_call *call, const void *message) {
  const struct psock_method *method = call->call.method;
  const struct psock_call_events *events = call->call.events;
  struct psock_serving_state serving =
      psock_serving_begin(call->call.loop, call->call.deadline);
  if (message != NULL && method->deliver_request != NULL)
    method->deliver_request(events, call->call.data, &call->call, message);
  else if (message == NULL && PSOCK_EVENT(events, requests_ended))
    events->requests_ended(call->call.data, &call->call);
  psock_serving_end(serving);
  return call->session != NULL && !call->state.over;
}

static void give_end(struct psock_server_call *call) {
  call->inbox.over_told = true;
  give(call, NULL);
}

/* Keeps a request, whose frame has `length` bytes. */
static void keep(
    struct psock_server_call *call, const void *message, size_t length) {
  struct psock_peer *peer = &call->session->peer;
  struct psock_requests *inbox = &call->inbox;
  size_t cost = psock_server_call_keeping_cost(call->session) + REQUEST_COST;
  struct psock_request *request = NULL;
  if (!psock_peer_keep(peer, cost)) {
    psock_server_call_fail(call, PSOCK_STATUS_RESOURCE_EXHAUSTED,
        "too many requests wait to be read");
    return;
  }
  request = psock_alloc(&call->heap->allocator, sizeof *request);
  if (request == NULL)
    goto err_after_keep;
  *request = (struct psock_request){
      .message = message, .length = length, .cost = cost};
  if (psock_connection_hold(peer->connection, &request->hold) != 0)
    goto err_after_alloc;
  if (inbox->first == NULL)
    inbox->first = request;
  else
    inbox->last->next = request;
  inbox->last = request;
  return;

err_after_alloc:
  psock_free(&call->heap->allocator, request);
err_after_keep:
  psock_peer_release(peer, cost);
  psock_server_call_fail(
      call, PSOCK_STATUS_RESOURCE_EXHAUSTED, psock_strerror(PSOCK_ENOMEM));
}

/* Frees a request that is in the inbox no more. */
static void free_request(
    struct psock_server_call *call, struct psock_request *request) {
  psock_hold_release(request->hold);
  psock_free(&call->heap->allocator, request);
}

/* Takes the first one out. */
static struct psock_request *take_first(struct psock_server_call *call) {
  struct psock_request *request = call->inbox.first;
  call->inbox.first = request->next;
  psock_peer_release(&call->session->peer, request->cost);
  return request;
}

static int decode(struct psock_server_call *call,
    const struct psock_rpc_frame *frame, const void **ret_message) {
  struct psock_session *session = call->session;
  int error = psock_face_decode(&session->server->face,
      session->peer.connection, frame, call->call.method->request, ret_message);
  if (error == PSOCK_ENOMEM)
    psock_server_call_fail(
        call, PSOCK_STATUS_RESOURCE_EXHAUSTED, psock_strerror(error));
  else if (error != 0)
    psock_server_call_fail(
        call, PSOCK_STATUS_INVALID_ARGUMENT, psock_strerror(error));
  return error;
}

void psock_requests_take(
    struct psock_server_call *call, const struct psock_rpc_frame *frame) {
  struct psock_requests *inbox = &call->inbox;
  const void *message = NULL;
  if ((call->call.method->flags & PSOCK_METHOD_CLIENT_STREAMS) == 0 ||
      inbox->over || psock_server_call_has_ended(call)) {
    call->session->peer.stray++;
    return;
  }
  if (inbox->window <= 0) {
    psock_server_call_fail(
        call, PSOCK_STATUS_INTERNAL, "more was sent than the window allows");
    return;
  }
  inbox->window -= (int64_t)frame->length;
  if (decode(call, frame, &message) != 0)
    return;
  if (inbox->first != NULL || !is_read(call)) {
    keep(call, message, frame->length);
    return;
  }
  psock_call_ref(&call->call);
  if (give(call, message))
    grant(call, frame->length);
  psock_call_unref(&call->call);
}

void psock_requests_end(struct psock_server_call *call) {
  struct psock_requests *inbox = &call->inbox;
  if ((call->call.method->flags & PSOCK_METHOD_CLIENT_STREAMS) == 0 ||
      inbox->over)
    return;
  inbox->over = true;
  if (inbox->first != NULL || !is_read(call))
    return;
  psock_call_ref(&call->call);
  give_end(call);
  psock_call_unref(&call->call);
}

/* Gives the requests that have gathered. Returns whether the call goes on. */
static bool give_requests(struct psock_server_call *call) {
  for (int i = 0; call->inbox.first != NULL && is_read(call); i++) {
    if (i == TURN) {
      psock_server_call_queue(call);
      return false;
    }
    struct psock_request *request = take_first(call);
    bool going = give(call, request->message);
    if (going)
      grant(call, request->length);
    free_request(call, request);
    if (!going)
      return false;
  }
  return call->inbox.first == NULL;
}

void psock_requests_give(struct psock_server_call *call) {
  const struct psock_call_events *events = call->call.events;
  bool going = true;
  psock_call_ref(&call->call);
  if (call->session->draining && !call->state.drain_told &&
      PSOCK_EVENT(events, drain) && !psock_server_call_has_ended(call)) {
    struct psock_serving_state serving =
        psock_serving_begin(call->call.loop, call->call.deadline);
    call->state.drain_told = true;
    events->drain(call->call.data, &call->call);
    psock_serving_end(serving);
    going = call->session != NULL && !call->state.over;
  }
  if (going && give_requests(call) && call->inbox.over &&
      !call->inbox.over_told && is_read(call))
    give_end(call);
  psock_call_unref(&call->call);
}

void psock_requests_drop(struct psock_server_call *call) {
  while (call->inbox.first != NULL)
    free_request(call, take_first(call));
}
