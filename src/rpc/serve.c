/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/server_call.h"

#include <protosocket/error.h>
#include <protosocket/generated.h>

/*
 * A start: what it takes for a handler to be called. First what is looked at
 * without a call: whether the method is known, and the limits; what doesn't
 * pass gets a cancel and costs nothing else. Then `authorize` and the
 * interceptors are asked, who see the call and its metadata, and only then is
 * the request decoded.
 */

/* Calls that have ended and are not settled, per connection; see
 * server_life.c. */
#define UNSETTLED_MOST 1024

static void refuse(struct psock_session *session, uint64_t id, uint32_t code,
    const char *text, bool not_begun) {
  struct psock_status status = psock_status_of(code, text);
  status.not_begun = not_begun;
  psock_server_call_refuse(session, id, &status,
      code == PSOCK_STATUS_RESOURCE_EXHAUSTED ? PSOCK_ENDED_BY_LIMIT
                                              : PSOCK_ENDED_BY_SERVER);
}

/* A start with an id that is in flight is an error of the caller's: one cancel
 * ends both. Returns whether this is one. */
static bool is_twice(struct psock_session *session, uint64_t id) {
  struct psock_table_entry *entry = psock_table_find(&session->calls, id);
  if (entry == NULL)
    return false;
  struct psock_server_call *call =
      PSOCK_CONTAINER(entry, struct psock_server_call, entry);
  struct psock_status status = psock_status_of(
      PSOCK_STATUS_CANCELLED, "the caller has used its id for another call");
  session->server->stats.ended++;
  session->server->stats.failed++;
  psock_server_call_stop(call, PSOCK_ENDED_BY_CALLER, &status, true);
  return true;
}

/* Why a call can't be begun for want of something, or NULL. */
static const char *limit_met(
    const struct psock_session *session, const struct psock_served *served) {
  unsigned most = session->server->options.max_calls;
  if (session->in_flight >= most || session->live >= most + UNSETTLED_MOST)
    return "too many calls on this connection";
  if (served->most != 0 && served->count >= served->most)
    return "too many calls of this method";
  if (psock_heap_is_full(session->server->heap))
    return "too much memory is in use";
  return NULL;
}

static inline bool needs_hello(const struct psock_served *served) {
  return (served->method->flags & PSOCK_METHOD_CLIENT_STREAMS) != 0;
}

/* Whether a call of `served`, which may be NULL, can certainly be begun. */
static inline bool is_plain_start(
    const struct psock_session *session, const struct psock_served *served) {
  const psock_server *server = session->server;
  return !session->draining && served != NULL && !needs_hello(served) &&
         served->most == 0 && session->live < server->options.max_calls &&
         !psock_heap_is_full(server->heap);
}

/* Refuses a start that can't be begun. Returns false for one that can. */
static bool refuse_start(struct psock_session *session,
    const struct psock_served *served, uint64_t id) {
  const char *why = NULL;
  if (psock_session_is_over(session))
    refuse(session, id, PSOCK_STATUS_UNAVAILABLE, "the server is shutting down",
        true);
  else if (served == NULL)
    refuse(session, id, PSOCK_STATUS_UNIMPLEMENTED, "no such method", false);
  else if (needs_hello(served) && !session->peer.hello_came)
    refuse(session, id, PSOCK_STATUS_UNIMPLEMENTED,
        "requests can't be streamed without a HELLO", false);
  else if ((why = limit_met(session, served)) != NULL)
    refuse(session, id, PSOCK_STATUS_RESOURCE_EXHAUSTED, why, true);
  else
    return false;
  return true;
}

/* Asks those who may refuse the call. Returns whether it goes on. */
static bool is_wanted(struct psock_server_call *call) {
  const psock_server *server = call->session->server;
  const struct psock_server_options *options = &server->options;
  struct psock_status status = psock_status_of(
      PSOCK_STATUS_PERMISSION_DENIED, "the caller may not call this method");
  int refused = 0;
  if (options->authorize != NULL)
    refused = options->authorize(
        options->authorize_data, &call->call, call->call.method, &status);
  if (refused && status.code == PSOCK_STATUS_OK)
    status.code = PSOCK_STATUS_PERMISSION_DENIED;
  if (refused == 0 && !call->state.over) {
    call->state.begun =
        (unsigned)psock_interceptors_begin(options->interceptors,
            options->interceptor_count, &call->call, &refused, &status);
    call->state.special |= call->state.begun > 0; /* its end is to be told */
  }
  if (refused && !call->state.over)
    psock_server_call_stop(call, PSOCK_ENDED_BY_SERVER, &status, false);
  return !psock_server_call_has_ended(call);
}

static void refuse_request(struct psock_server_call *call, int error) {
  psock_server_call_fail(call,
      error == PSOCK_ENOMEM ? PSOCK_STATUS_RESOURCE_EXHAUSTED
                            : PSOCK_STATUS_INVALID_ARGUMENT,
      psock_strerror(error));
}

/* Decodes the request, if there is one now, and calls the handler. */
static inline void handle(struct psock_session *session,
    struct psock_server_call *call, const struct psock_rpc_frame *frame) {
  const struct psock_served *served = call->served;
  const struct psock_method *method = served->method;
  const struct psock_face *face = &session->server->face;
  const void *request = frame->message;
  int error = 0;
  if (session->server->asks && !is_wanted(call))
    return;
  if (face->own == NULL && !needs_hello(served))
    error = psock_face_decode(
        face, session->peer.connection, frame, method->request, &request);
  if (error != 0)
    refuse_request(call, error);
  else if (!method->serve(
               served->handlers, served->state, &call->call, request))
    psock_server_call_fail(
        call, PSOCK_STATUS_UNIMPLEMENTED, "the method has no handler");
}

/* When the call has to have ended, by what its caller and the server say. */
static inline uint64_t deadline_of(
    struct psock_session *session, const struct psock_rpc_frame *frame) {
  uint64_t timeout = session->server->options.timeout;
  if (frame->timeout_us != 0 && frame->timeout_us < timeout / 1000)
    timeout = frame->timeout_us * 1000;
  if (timeout == PSOCK_TIMEOUT_NONE)
    return PSOCK_NEVER;
  uint64_t now = psock_session_now(session);
  return timeout < PSOCK_NEVER - now ? now + timeout : PSOCK_NEVER;
}

/* What is sent in both directions, or one, as a stream. */
static void begin_streams(
    struct psock_session *session, struct psock_server_call *call) {
  if ((call->call.method->flags & PSOCK_METHOD_SERVER_STREAMS) != 0 &&
      session->peer.hello_came) {
    call->state.windowed = true;
    call->window = (int64_t)session->peer.peer_window;
  }
  if ((call->call.method->flags & PSOCK_METHOD_CLIENT_STREAMS) != 0) {
    psock_server_call_warm(call);
    call->inbox.window = (int64_t)session->server->options.stream_window;
  }
}

/* A call that has come with `frame`; the caller has a reference. NULL when
 * memory is out. */
static inline struct psock_server_call *begin(struct psock_session *session,
    struct psock_served *served, const struct psock_rpc_frame *frame) {
  struct psock_server_call *call = psock_server_call_take(session->server);
  if (call == NULL)
    return NULL;
  call->call.method = served->method;
  atomic_store_explicit(&call->call.references, 1, memory_order_relaxed);
  call->call.id = frame->id;
  call->call.began = psock_session_now(session);
  call->call.deadline = deadline_of(session, frame);
  call->call.metadata = frame->metadata;
  call->call.metadata_count = frame->metadata_count;
  call->session = session;
  call->served = served;
  if ((served->method->flags &
          (PSOCK_METHOD_SERVER_STREAMS | PSOCK_METHOD_CLIENT_STREAMS)) != 0)
    begin_streams(session, call);
  return call;
}

/* Whether nobody has anything to do with the call any more but who is served,
 * and that it has ended well is all there is to say. */
static inline bool is_plain(
    const psock_server *server, const struct psock_server_call *call) {
  return call->state.over && !call->state.special &&
         atomic_load_explicit(&call->call.references, memory_order_relaxed) ==
             1 &&
         server->spare_count < PSOCK_SPARE_MOST;
}

/* The handler has returned. What has ended is told so now, since no function of
 * a call's is on the stack. */
static inline void end(
    struct psock_session *session, struct psock_server_call *call) {
  psock_server *server = session->server;
  bool lost = session->serving != call;
  session->serving = NULL;
  if (PSOCK_LIKELY(!lost && is_plain(server, call))) {
    server->stats.ended++;
    psock_server_call_reset(call);
    psock_server_call_put(server, call);
    psock_session_check(session);
    return;
  }
  if (!lost)
    psock_server_call_go_on(session, call);
  psock_call_unref(&call->call);
  psock_session_settle(session);
}

void psock_serve(
    struct psock_session *session, const struct psock_rpc_frame *frame) {
  psock_server *server = session->server;
  struct psock_served *served = server->face.own != NULL
                                    ? server->own
                                    : psock_server_find(server, frame->method);
  server->stats.started++;
  if (session->calls.count > 0 && is_twice(session, frame->id))
    return;
  if (!PSOCK_LIKELY(is_plain_start(session, served)) &&
      refuse_start(session, served, frame->id))
    return;
  struct psock_server_call *call = begin(session, served, frame);
  if (call == NULL) {
    refuse(session, frame->id, PSOCK_STATUS_RESOURCE_EXHAUSTED,
        psock_strerror(PSOCK_ENOMEM), true);
    return;
  }
  struct psock_serving_state serving =
      psock_serving_begin(server->loop, call->call.deadline);
  session->serving = call;
  handle(session, call, frame);
  end(session, call);
  psock_serving_end(serving);
}
