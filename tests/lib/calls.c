/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * See calls.h.
 */

#define TURNS 200000

/* ---- What a peer gets ---- */

static bool ends(const struct calls_got *got) {
  return got->code == PSOCK_CODE_CANCEL || got->code == PSOCK_CODE_END;
}

static void note_message(struct calls_got *got, struct calls *calls,
    const struct psock_rpc_frame *frame, const void *message) {
  const char *text = NULL;
  if (calls->own) {
    const Trial__Answer *answer = message;
    text = answer->text;
    got->number = answer->number;
    got->data_length = answer->data.len;
  } else {
    const Trial__Text *answer = message;
    text = answer->text;
    got->number = answer->number;
    got->data_length = answer->data.len;
  }
  got->has_message = frame->code == PSOCK_CODE_NORMAL;
  snprintf(got->text, sizeof got->text, "%s", text);
}

static void note_metadata(
    struct calls_got *got, const struct psock_rpc_frame *frame) {
  size_t length = 0;
  for (size_t i = 0; i < frame->metadata_count; i++) {
    const struct psock_metadata *entry = &frame->metadata[i];
    int more = snprintf(got->metadata + length, sizeof got->metadata - length,
        "%s=%.*s ", entry->key, (int)entry->length, (const char *)entry->value);
    length += (size_t)more;
    if (length >= sizeof got->metadata)
      return;
  }
}

static void keep_got(struct calls_peer *peer, const struct calls_got *got) {
  if (!peer->forgetful) {
    if (peer->count == peer->capacity) {
      peer->capacity = peer->capacity == 0 ? 16 : peer->capacity * 2;
      peer->got = realloc(peer->got, peer->capacity * sizeof *peer->got);
      ck_assert_ptr_nonnull(peer->got);
    }
    peer->got[peer->count] = *got;
  }
  peer->count++;
  if (peer->on_got != NULL)
    peer->on_got(peer, got);
}

static void on_message(
    void *state, psock_connection *connection, const void *message) {
  struct calls_peer *peer = state;
  struct calls *calls = peer->calls;
  struct psock_rpc_frame room;
  const struct psock_rpc_frame *frame =
      psock_face_read(&calls->face, connection, message, &room);
  struct calls_got got = {
      .id = frame->id,
      .code = frame->code,
      .status = frame->status == NULL ? NO_STATUS : frame->status->code,
      .not_begun = frame->not_begun,
      .window = frame->window,
      .length = frame->length,
  };
  if (frame->status != NULL)
    snprintf(got.reason, sizeof got.reason, "%s", frame->status->text);
  note_metadata(&got, frame);
  const void *response = NULL;
  if (calls->own || frame->code == PSOCK_CODE_NORMAL) {
    int error = psock_face_decode(&calls->face, connection, frame,
        calls->own ? &trial__answer__type : &trial__text__type, &response);
    DEMAND(error == 0 || calls->lenient, "a response can't be decoded");
    if (error == 0)
      note_message(&got, calls, frame, response);
  }
  keep_got(peer, &got);
}

static void on_closed(void *state, psock_connection *connection, int reason) {
  (void)connection;
  struct calls_peer *peer = state;
  peer->closed++;
  peer->reason = reason;
  peer->connection = NULL;
  peer->sender = NULL;
}

static const struct psock_reactor_ops peer_ops = {
    .size = sizeof peer_ops,
    .message = on_message,
    .closed = on_closed,
};

/* ---- The handlers ---- */

static void handle(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  DEMAND(calls->inside == 0, "a handler is called from inside a function");
  calls->served++;
  calls->handle(calls, call, text, number);
}

static void on_request(
    void *state, psock_call *call, const Trial__Text *request) {
  handle(state, call, request->text, request->number);
}

static void on_stream(void *state, psock_call *call) {
  handle(state, call, NULL, 0);
}

static void on_ask(void *state, psock_call *call, const Trial__Ask *request) {
  handle(state, call, request->text, request->count);
}

/* Quick has no handler. */
static const struct trial__trial__handlers handlers = {
    .size = sizeof handlers,
    .on_get = on_request,
    .on_put = on_request,
    .on_download = on_request,
    .on_upload = on_stream,
    .on_chat = on_stream,
};
static const struct trial__ask__call__handlers own_handlers = {
    .size = sizeof own_handlers, .on_call = on_ask};

static void answer(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  calls_reply(calls, call, text == NULL ? "" : text, number);
}

void calls_ignore(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)calls;
  (void)call;
  (void)text;
  (void)number;
}

int calls_reply(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  Trial__Text response;
  Trial__Answer own;
  trial__text__init(&response);
  trial__answer__init(&own);
  response.text = own.text = (char *)(uintptr_t)text;
  response.number = own.number = number;
  calls->inside++;
  int error = psock_call_reply(
      call, calls->own ? (const void *)&own : (const void *)&response);
  calls->inside--;
  return error;
}

static int send_any(struct calls *calls, psock_call *call, const char *text,
    uint32_t number, uint8_t *data, size_t length) {
  Trial__Text response;
  Trial__Answer own;
  trial__text__init(&response);
  trial__answer__init(&own);
  response.text = own.text = (char *)(uintptr_t)text;
  response.number = own.number = number;
  response.data.data = own.data.data = data;
  response.data.len = own.data.len = length;
  calls->inside++;
  int error = psock_call_send(
      call, calls->own ? (const void *)&own : (const void *)&response);
  calls->inside--;
  return error;
}

int calls_send(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  return send_any(calls, call, text, number, NULL, 0);
}

int calls_send_data(struct calls *calls, psock_call *call, uint32_t number,
    uint8_t *data, size_t length) {
  return send_any(calls, call, "", number, data, length);
}

/* ---- Events ---- */

static void saw_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  struct calls *calls = data;
  DEMAND(calls->inside == 0, "ended is called from inside a function");
  DEMAND(psock_call_get_status(call) == status, "another status");
  calls->ended.count++;
  calls->ended.code = status->code;
  snprintf(calls->ended.text, sizeof calls->ended.text, "%s", status->text);
  if (calls->on_ended != NULL)
    calls->on_ended(calls, call);
}

static void saw_room(void *data, psock_call *call) {
  struct calls *calls = data;
  DEMAND(calls->inside == 0, "room is called from inside a function");
  DEMAND(psock_call_get_status(call) == NULL, "room after the end");
  calls->rooms++;
  if (calls->on_room != NULL)
    calls->on_room(calls, call);
}

static void saw_request(
    void *data, psock_call *call, const Trial__Text *request) {
  struct calls *calls = data;
  DEMAND(calls->inside == 0, "message is called from inside a function");
  calls->requests++;
  snprintf(
      calls->last_request, sizeof calls->last_request, "%s", request->text);
  if (calls->on_request != NULL)
    calls->on_request(calls, call, request);
}

static void saw_requests_ended(void *data, psock_call *call) {
  struct calls *calls = data;
  DEMAND(calls->inside == 0, "requests_ended from inside a function");
  calls->requests_ended++;
  if (calls->on_requests_ended != NULL)
    calls->on_requests_ended(calls, call);
}

static void saw_drain(void *data, psock_call *call) {
  struct calls *calls = data;
  DEMAND(calls->inside == 0, "drain is called from inside a function");
  calls->drains++;
  if (calls->on_drain != NULL)
    calls->on_drain(calls, call);
}

#define EVENTS                                                                 \
  {                                                                            \
    .size = sizeof(struct psock_call_events), .ended = saw_ended,              \
    .room = saw_room, .requests_ended = saw_requests_ended, .drain = saw_drain \
  }

void calls_watch(struct calls *calls, psock_call *call) {
  static const struct psock_call_events plain = EVENTS;
  static const struct trial__trial__upload__request_events upload = {
      .events = EVENTS, .message = saw_request};
  static const struct trial__trial__chat__request_events chat = {
      .events = EVENTS, .message = saw_request};
  const struct psock_method *method = psock_call_get_method(call);
  calls->watched++;
  if (method == &trial__trial__upload__method)
    trial__trial__upload__set_events(call, &upload, calls);
  else if (method == &trial__trial__chat__method)
    trial__trial__chat__set_events(call, &chat, calls);
  else
    psock_call_set_events(call, &plain, calls);
}

/* ---- From beginning to end ---- */

void calls_init(struct calls *calls, bool own) {
  *calls =
      (struct calls){.own = own, .capacity = (size_t)1 << 20, .handle = answer};
  alloc_fault_init(&calls->fault);
  struct psock_loop_options options = {
      .size = sizeof options, .allocator = &calls->fault.allocator};
  ck_assert_int_eq(psock_test_loop_new(&options, &calls->loop), 0);
  calls->connection.size = sizeof calls->connection;
  calls->peer_connection.size = sizeof calls->peer_connection;
  calls->peer_connection.when_full = PSOCK_WHEN_FULL_READ;
  calls->limits.size = sizeof calls->limits;
  calls->options.size = sizeof calls->options;
  calls->options.connection = &calls->connection;
  calls->options.limits = &calls->limits;
  struct psock_protobuf_options limits = {
      .size = sizeof limits, .max_message = (size_t)64 << 20};
  ck_assert_int_eq(psock_face_init(&calls->face, PSOCK_CALLER_END,
                       own ? &trial__ask__call__method : NULL, &limits),
      0);
}

int calls_try_server(struct calls *calls) {
  int error = psock_server_new(calls->loop, &calls->options, &calls->server);
  if (error != 0)
    return error;
  if (calls->own)
    return psock_server_add(
        calls->server, &trial__ask__call__service, &own_handlers, calls);
  return psock_server_add(
      calls->server, &trial__trial__service, &handlers, calls);
}

int calls_try_peer(struct calls *calls, struct calls_peer *peer) {
  psock_transport *far;
  struct psock_connection_options options = calls->peer_connection;
  *peer = (struct calls_peer){.calls = calls};
  int error =
      psock_memory_pair(calls->loop, calls->capacity, &peer->memory, &far);
  if (error != 0)
    return error;
  error = psock_server_accept(calls->server, peer->memory);
  if (error != 0) {
    peer->memory->ops->free(peer->memory);
    far->ops->free(far);
    return error;
  }
  options.inbound = calls->face.inbound;
  options.outbound = calls->face.outbound;
  options.reactor = (psock_reactor){.ops = &peer_ops, .state = peer};
  error = psock_connection_new(calls->loop, far, &options, &peer->connection);
  if (error != 0)
    far->ops->free(far);
  else
    peer->sender = psock_connection_get_sender(peer->connection);
  return error;
}

void calls_open_silent(struct calls *calls) {
  ck_assert_int_eq(calls_try_server(calls), 0);
  ck_assert_int_eq(calls_try_peer(calls, &calls->peer), 0);
  calls_settle(calls);
}

void calls_open(struct calls *calls) {
  calls_open_silent(calls);
  if (!calls->own)
    calls_hello(&calls->peer, 0, 0);
  calls_settle(calls);
}

void calls_settle(struct calls *calls) {
  DEMAND(psock_test_loop_settle(calls->loop, TURNS) == 1, "it never settles");
}

void calls_pass(struct calls *calls, uint64_t nanoseconds) {
  psock_test_loop_advance(calls->loop, nanoseconds);
  calls_settle(calls);
}

/* Nothing follows the frame that ends a call, unless its id came back. */
static void check_got(const struct calls_peer *peer) {
  if (peer->forgetful)
    return;
  for (size_t i = 0; i < peer->count; i++)
    for (size_t j = i + 1; j < peer->count; j++)
      DEMAND(!ends(&peer->got[i]) || peer->got[i].id == 0 ||
                 peer->got[j].id != peer->got[i].id,
          "a frame of call %lu follows its end",
          (unsigned long)peer->got[i].id);
}

void calls_fini(struct calls *calls) {
  psock_server_free(calls->server);
  psock_connection_free(calls->peer.connection);
  psock_loop_free(calls->loop);
  ck_assert_uint_eq(calls->ended.count, calls->watched);
  psock_face_fini(&calls->face);
  check_got(&calls->peer);
  free(calls->peer.got);
  const char *complaint = alloc_fault_complaint(&calls->fault);
  ck_assert_msg(complaint == NULL, "%s", complaint);
}

struct psock_server_stats calls_stats(const struct calls *calls) {
  struct psock_server_stats stats = {.size = sizeof stats};
  psock_server_get_stats(calls->server, &stats);
  return stats;
}

/* ---- What a peer says ---- */

void calls_say(struct calls_peer *peer, const struct psock_rpc_frame *frame) {
  if (peer->sender == NULL && peer->calls->lenient)
    return;
  int error = psock_face_send(&peer->calls->face, peer->sender, frame, NULL);
  DEMAND(error == 0 || peer->calls->lenient, "the peer can't send");
}

void calls_hello(struct calls_peer *peer, uint64_t window, uint64_t max_frame) {
  struct psock_hello hello = {
      .version = 1, .stream_window = window, .max_frame_size = max_frame};
  calls_say(peer,
      &(struct psock_rpc_frame){.code = PSOCK_CODE_HELLO, .hello = &hello});
}

void calls_start(struct calls_peer *peer, uint64_t id,
    const struct psock_method *method, const char *text, uint32_t number) {
  Trial__Text request;
  Trial__Ask own;
  trial__text__init(&request);
  trial__ask__init(&own);
  bool streams = (method->flags & PSOCK_METHOD_CLIENT_STREAMS) != 0;
  request.text = own.text = (char *)(uintptr_t)text;
  request.number = own.count = number;
  struct psock_rpc_frame frame = {
      .id = id, .method = method->number, .type = &trial__text__type};
  if (peer->calls->own)
    frame.message = &own;
  else if (!streams)
    frame.message = &request;
  calls_say(peer, &frame);
}

void calls_request(struct calls_peer *peer, uint64_t id, const char *text) {
  Trial__Text request;
  trial__text__init(&request);
  request.text = (char *)(uintptr_t)text;
  calls_say(peer, &(struct psock_rpc_frame){.id = id,
                      .code = PSOCK_CODE_MESSAGE,
                      .type = &trial__text__type,
                      .message = &request});
}

void calls_code(struct calls_peer *peer, uint64_t id, uint32_t code) {
  calls_say(peer, &(struct psock_rpc_frame){.id = id, .code = code});
}

void calls_cancel(struct calls_peer *peer, uint64_t id) {
  calls_code(peer, id, PSOCK_CODE_CANCEL);
}

void calls_window(struct calls_peer *peer, uint64_t id, uint64_t length) {
  calls_say(peer, &(struct psock_rpc_frame){
                      .id = id, .code = PSOCK_CODE_WINDOW, .window = length});
}

const struct psock_method *calls_download(const struct calls *calls) {
  return calls->own ? &trial__ask__call__method
                    : &trial__trial__download__method;
}

const struct psock_method *calls_get(const struct calls *calls) {
  return calls->own ? &trial__ask__call__method : &trial__trial__get__method;
}

/* ---- What a peer got ---- */

size_t calls_count(const struct calls_peer *peer, uint64_t id) {
  size_t count = 0;
  for (size_t i = 0; i < peer->count; i++)
    count += peer->got[i].id == id;
  return count;
}

size_t calls_count_code(
    const struct calls_peer *peer, uint64_t id, uint32_t code) {
  size_t count = 0;
  for (size_t i = 0; i < peer->count; i++)
    count += peer->got[i].id == id && peer->got[i].code == code;
  return count;
}

const struct calls_got *calls_last(const struct calls_peer *peer, uint64_t id) {
  for (size_t i = peer->count; i > 0; i--)
    if (peer->got[i - 1].id == id)
      return &peer->got[i - 1];
  return NULL;
}

void calls_check_failed(
    const struct calls_peer *peer, uint64_t id, uint32_t status) {
  const struct calls_got *last = calls_last(peer, id);
  ck_assert_ptr_nonnull(last);
  ck_assert_uint_eq(last->code, PSOCK_CODE_CANCEL);
  ck_assert_uint_eq(last->status, peer->calls->own ? NO_STATUS : status);
}
