/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/callers.h"

#include "rpc/caller_call.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * See callers.h.
 */

#define TURNS 100000

/* Whose psock_connect it is. */
static struct callers *connecting;

/* ---- What an end gets ---- */

static void note_metadata(
    char *to, size_t size, const struct psock_metadata *entries, size_t count) {
  size_t length = 0;
  for (size_t i = 0; i < count && length < size; i++)
    length += (size_t)snprintf(to + length, size - length, "%s=%.*s ",
        entries[i].key, (int)entries[i].length, (const char *)entries[i].value);
}

static void keep_got(struct callers_end *end, const struct callers_got *got) {
  if (end->count == end->capacity) {
    end->capacity = end->capacity == 0 ? 16 : end->capacity * 2;
    end->got = realloc(end->got, end->capacity * sizeof *end->got);
    ck_assert_ptr_nonnull(end->got);
  }
  end->got[end->count++] = *got;
}

static void note_message(struct callers_end *end, struct callers_got *got,
    const struct psock_rpc_frame *frame) {
  struct callers *callers = end->callers;
  const void *message;
  DEMAND(
      psock_face_decode(&callers->face, end->connection, frame,
          callers->own ? &trial__ask__type : &trial__text__type, &message) == 0,
      "a request can't be decoded");
  if (callers->own) {
    const Trial__Ask *ask = message;
    snprintf(got->text, sizeof got->text, "%s", ask->text);
    got->number = ask->count;
  } else {
    const Trial__Text *text = message;
    snprintf(got->text, sizeof got->text, "%s", text->text);
    got->number = text->number;
  }
}

static void on_message(
    void *state, psock_connection *connection, const void *message) {
  struct callers_end *end = state;
  struct callers *callers = end->callers;
  struct psock_rpc_frame room;
  const struct psock_rpc_frame *frame =
      psock_face_read(&callers->face, connection, message, &room);
  struct callers_got got = {
      .id = frame->id,
      .code = frame->code,
      .method = frame->method,
      .timeout_us = frame->timeout_us,
      .window = frame->window,
      .length = frame->length,
      .has_hello = frame->hello != NULL,
      .has_status = frame->status != NULL,
  };
  if (frame->hello != NULL)
    got.hello_window = frame->hello->stream_window;
  if (frame->code == PSOCK_CODE_NORMAL || frame->code == PSOCK_CODE_MESSAGE)
    note_message(end, &got, frame);
  note_metadata(got.metadata, sizeof got.metadata, frame->metadata,
      frame->metadata_count);
  if (!callers->forgetful)
    keep_got(end, &got);
  if (frame->code == PSOCK_CODE_PING)
    callers_code(end, 0, PSOCK_CODE_PONG);
  if (callers->on_got != NULL && frame->id != 0)
    callers->on_got(end, &got);
}

static void on_input_ended(void *state, psock_connection *connection) {
  struct callers_end *end = state;
  end->input_ended++;
  psock_connection_close(connection);
}

static void on_closed(void *state, psock_connection *connection, int reason) {
  struct callers_end *end = state;
  (void)connection;
  end->closed++;
  end->reason = reason;
  end->connection = NULL;
  end->sender = NULL;
}

static const struct psock_reactor_ops end_ops = {
    .size = sizeof end_ops,
    .message = on_message,
    .input_ended = on_input_ended,
    .closed = on_closed,
};

/* Makes an end of `far`, the peer of `near`. */
static int add_end(
    struct callers *callers, psock_transport *near, psock_transport *far) {
  struct psock_connection_options options = {
      .size = sizeof options,
      .inbound = callers->face.inbound,
      .outbound = callers->face.outbound,
      .max_queued = (size_t)64 << 20,
      .when_full = PSOCK_WHEN_FULL_READ,
  };
  DEMAND(callers->end_count < CALLERS_ENDS, "too many connections");
  struct callers_end *end = &callers->ends[callers->end_count];
  *end = (struct callers_end){.callers = callers, .memory = near};
  options.reactor = (psock_reactor){.ops = &end_ops, .state = end};
  int error =
      psock_connection_new(callers->loop, far, &options, &end->connection);
  if (error != 0)
    return error;
  callers->end_count++;
  end->sender = psock_connection_get_sender(end->connection);
  if (!callers->silent && !callers->own)
    callers_hello(end, callers->window, callers->max_frame);
  return 0;
}

/* In place of the library's. */
int psock_connect(psock_loop *loop, const struct psock_address *address,
    const struct psock_connection_options *options,
    psock_connection **ret_connection) {
  struct callers *callers = connecting;
  psock_transport *near;
  psock_transport *far;
  (void)address;
  callers->connects_seen++;
  if (callers->connect_error != 0)
    return callers->connect_error;
  int error = psock_memory_pair(loop, callers->capacity, &near, &far);
  if (error != 0)
    return error;
  error = psock_connection_new(loop, near, options, ret_connection);
  if (error != 0) {
    near->ops->free(near);
    far->ops->free(far);
    return error;
  }
  if (callers->open_error != 0)
    psock_memory_fail(near, PSOCK_MEMORY_OPEN, 0, callers->open_error);
  error = add_end(callers, near, far);
  if (error != 0)
    far->ops->free(far);
  /* Its connection is there, and will find the end of its peer. */
  return 0;
}

struct callers_end *callers_end(struct callers *callers) {
  DEMAND(callers->end_count > 0, "there is no connection");
  return &callers->ends[callers->end_count - 1];
}

/* ---- From beginning to end ---- */

static void init(struct callers *callers, bool own) {
  callers->connection.size = sizeof callers->connection;
  callers->limits.size = sizeof callers->limits;
  callers->options.size = sizeof callers->options;
  callers->options.connection = &callers->connection;
  callers->options.limits = &callers->limits;
  if (own)
    callers->options.messages = &trial__ask__call__service;
  struct psock_protobuf_options limits = {
      .size = sizeof limits, .max_message = (size_t)64 << 20};
  ck_assert_int_eq(psock_face_init(&callers->face, PSOCK_SERVER_END,
                       own ? &trial__ask__call__method : NULL, &limits),
      0);
}

void callers_init_ev(struct callers *callers, bool own, struct ev_loop *ev) {
  *callers = (struct callers){.own = own, .capacity = (size_t)1 << 20};
  alloc_fault_init(&callers->fault);
  struct psock_loop_options options = {
      .size = sizeof options, .allocator = &callers->fault.allocator};
  int error = ev == NULL ? psock_test_loop_new(&options, &callers->loop)
                         : psock_loop_new(ev, &options, &callers->loop);
  ck_assert_int_eq(error, 0);
  init(callers, own);
}

void callers_init(struct callers *callers, bool own) {
  callers_init_ev(callers, own, NULL);
}

int callers_try(struct callers *callers) {
  connecting = callers;
  if (callers->connects) {
    struct psock_address address = {.length = 0};
    return psock_caller_connect(
        callers->loop, &address, &callers->options, &callers->caller);
  }
  psock_transport *near;
  psock_transport *far;
  int error = psock_memory_pair(callers->loop, callers->capacity, &near, &far);
  if (error != 0)
    return error;
  error = psock_caller_new(
      callers->loop, near, &callers->options, &callers->caller);
  if (error != 0)
    near->ops->free(near);
  else
    error = add_end(callers, near, far);
  if (error != 0)
    far->ops->free(far);
  return error;
}

void callers_open(struct callers *callers) {
  ck_assert_int_eq(callers_try(callers), 0);
  callers_settle(callers);
}

void callers_free_caller(struct callers *callers) {
  psock_caller *caller = callers->caller;
  callers->caller = NULL;
  psock_caller_free(caller);
}

void callers_fini(struct callers *callers) {
  alloc_fault_disarm(&callers->fault);
  callers_free_caller(callers);
  for (unsigned i = 0; i < callers->end_count; i++)
    psock_connection_free(callers->ends[i].connection);
  ck_assert_uint_eq(callers->started, callers->ended);
  psock_loop_free(callers->loop);
  psock_face_fini(&callers->face);
  for (unsigned i = 0; i < callers->end_count; i++) {
    ck_assert_uint_eq(callers->ends[i].closed, 1);
    free(callers->ends[i].got);
  }
  const char *complaint = alloc_fault_complaint(&callers->fault);
  ck_assert_msg(complaint == NULL, "%s", complaint);
}

void callers_settle(struct callers *callers) {
  DEMAND(
      psock_test_loop_settle(callers->loop, TURNS), "the loop doesn't settle");
}

void callers_pass(struct callers *callers, uint64_t nanoseconds) {
  psock_test_loop_advance(callers->loop, nanoseconds);
  callers_settle(callers);
}

/* ---- Calls ---- */

const struct psock_method *callers_get(const struct callers *callers) {
  return callers->own ? &trial__ask__call__method : &trial__trial__get__method;
}

const struct psock_method *callers_download(const struct callers *callers) {
  return callers->own ? &trial__ask__call__method
                      : &trial__trial__download__method;
}

const void *callers_request(
    const struct psock_method *method, const char *text) {
  static _Thread_local Trial__Ask ask;
  static _Thread_local Trial__Text request;
  if (text == NULL)
    return NULL;
  if (method->number == 0) {
    trial__ask__init(&ask);
    ask.text = (char *)(uintptr_t)text;
    return &ask;
  }
  trial__text__init(&request);
  request.text = (char *)(uintptr_t)text;
  return &request;
}

static void saw(struct trial *trial, psock_call *call, const char *what) {
  struct callers *callers = trial->callers;
  struct psock_metadata entries[8];
  size_t count = 0;
  DEMAND(callers->inside == 0, "%s is called from inside a function", what);
  DEMAND(trial->ended == 0, "%s after ended", what);
  while (count < 8 &&
         psock_call_get_metadata_at(call, count, &entries[count]) == 0)
    count++;
  trial->metadata[0] = '\0';
  note_metadata(trial->metadata, sizeof trial->metadata, entries, count);
}

static void saw_message(
    struct trial *trial, psock_call *call, const char *text, uint32_t number) {
  saw(trial, call, "message");
  trial->messages++;
  trial->number = number;
  snprintf(trial->text, sizeof trial->text, "%s", text);
  if (trial->on_message != NULL)
    trial->on_message(trial, call);
}

static void saw_text(
    void *data, psock_call *call, const Trial__Text *response) {
  saw_message(data, call, response->text, response->number);
}

static void saw_answer(
    void *data, psock_call *call, const Trial__Answer *response) {
  saw_message(data, call, response->text, response->number);
}

static void saw_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  struct trial *trial = data;
  saw(trial, call, "ended");
  DEMAND(psock_call_get_status(call) == status, "another status");
  trial->ended++;
  trial->callers->ended++;
  trial->code = status->code;
  trial->not_begun = status->not_begun;
  snprintf(trial->reason, sizeof trial->reason, "%s", status->text);
  if (trial->on_ended != NULL)
    trial->on_ended(trial, call);
}

static void saw_room(void *data, psock_call *call) {
  struct trial *trial = data;
  saw(trial, call, "room");
  trial->rooms++;
  if (trial->on_room != NULL)
    trial->on_room(trial, call);
}

#define EVENTS                                                                 \
  {                                                                            \
    .size = sizeof(struct psock_call_events), .ended = saw_ended,              \
    .room = saw_room                                                           \
  }

static const struct psock_call_events *events_of(
    const struct psock_method *method) {
  static const struct trial__ask__call__events ask = {EVENTS, saw_answer};
  static const struct trial__trial__get__events get = {EVENTS, saw_text};
  static const struct trial__trial__put__events put = {EVENTS, saw_text};
  static const struct trial__trial__quick__events quick = {EVENTS, saw_text};
  static const struct trial__trial__download__events download = {
      EVENTS, saw_text};
  static const struct trial__trial__upload__events upload = {EVENTS, saw_text};
  static const struct trial__trial__chat__events chat = {EVENTS, saw_text};
  if (method == &trial__ask__call__method)
    return &ask.events;
  if (method == &trial__trial__put__method)
    return &put.events;
  if (method == &trial__trial__quick__method)
    return &quick.events;
  if (method == &trial__trial__download__method)
    return &download.events;
  if (method == &trial__trial__upload__method)
    return &upload.events;
  if (method == &trial__trial__chat__method)
    return &chat.events;
  return &get.events;
}

int callers_start_on(psock_caller *caller, struct callers *callers,
    struct trial *trial, const struct psock_method *method, const char *text,
    const struct psock_call_options *options) {
  trial->callers = callers;
  int error = psock_caller_start(caller, method, callers_request(method, text),
      options, events_of(method), trial, &trial->call);
  if (error == 0)
    trial->id = trial->call->id;
  return error;
}

int callers_try_start(struct callers *callers, struct trial *trial,
    const struct psock_method *method, const char *text,
    const struct psock_call_options *options) {
  callers->inside++;
  int error =
      callers_start_on(callers->caller, callers, trial, method, text, options);
  callers->inside--;
  if (error == 0)
    callers->started++;
  return error;
}

void callers_start(struct callers *callers, struct trial *trial,
    const struct psock_method *method, const char *text) {
  struct psock_call_options options = {.size = sizeof options,
      .timeout = PSOCK_TIMEOUT_DEFAULT,
      .streams = method->number == 0 && trial->number != 0};
  trial->number = 0;
  ck_assert_int_eq(
      callers_try_start(callers, trial, method, text, &options), 0);
  callers_settle(callers);
  trial->id = trial->call->id;
}

void callers_unref(struct trial *trial) {
  trial->callers->inside++;
  psock_call_unref(trial->call);
  trial->callers->inside--;
  trial->call = NULL;
}

void callers_check_ended(const struct trial *trial, uint32_t code) {
  ck_assert_uint_eq(trial->ended, 1);
  ck_assert_msg(trial->code == code, "ended with %s (%s), not %s",
      psock_status_name(trial->code), trial->reason, psock_status_name(code));
}

/* ---- What an end says ---- */

void callers_say(struct callers_end *end, const struct psock_rpc_frame *frame) {
  struct callers *callers = end->callers;
  int error = psock_face_send(&callers->face, end->sender, frame, NULL);
  /* Memory may fail here, too. */
  DEMAND(error == 0 || callers->fault.fail_at > 0, "the end can't send");
}

void callers_hello(struct callers_end *end, uint64_t window, uint64_t max) {
  struct psock_hello hello = {
      .version = 1, .stream_window = window, .max_frame_size = max};
  struct psock_rpc_frame frame = {.code = PSOCK_CODE_HELLO, .hello = &hello};
  callers_say(end, &frame);
}

void callers_code(struct callers_end *end, uint64_t id, uint32_t code) {
  struct psock_rpc_frame frame = {.id = id, .code = code};
  callers_say(end, &frame);
}

static void reply(struct callers_end *end, uint64_t id, const char *text,
    uint32_t number, size_t length) {
  Trial__Text response;
  Trial__Answer answer;
  uint8_t *data = calloc(1, length + 1);
  ck_assert_ptr_nonnull(data);
  trial__text__init(&response);
  trial__answer__init(&answer);
  response.text = answer.text = (char *)(uintptr_t)text;
  response.number = answer.number = number;
  response.data.data = answer.data.data = data;
  response.data.len = answer.data.len = length;
  struct psock_rpc_frame frame = {.id = id, .code = PSOCK_CODE_NORMAL};
  bool own = end->callers->own;
  frame.type = own ? &trial__answer__type : &trial__text__type;
  frame.message = own ? (const void *)&answer : (const void *)&response;
  callers_say(end, &frame);
  free(data);
}

void callers_reply(
    struct callers_end *end, uint64_t id, const char *text, uint32_t number) {
  reply(end, id, text, number, 0);
}

void callers_reply_data(struct callers_end *end, uint64_t id, size_t length) {
  reply(end, id, "data", (uint32_t)length, length);
}

void callers_fail(
    struct callers_end *end, uint64_t id, uint32_t status, bool not_begun) {
  struct psock_status kept = psock_status_of(status, "as the test wants");
  struct psock_rpc_frame frame = {.id = id,
      .code = PSOCK_CODE_CANCEL,
      .status = status == NO_STATUS ? NULL : &kept,
      .not_begun = not_begun};
  callers_say(end, &frame);
}

void callers_window(struct callers_end *end, uint64_t id, uint64_t length) {
  struct psock_rpc_frame frame = {
      .id = id, .code = PSOCK_CODE_WINDOW, .window = length};
  callers_say(end, &frame);
}

void callers_echo(struct callers_end *end, const struct callers_got *got) {
  if (got->code == PSOCK_CODE_NORMAL)
    callers_reply(end, got->id, got->text, got->number);
}

/* ---- What an end got ---- */

size_t callers_count(const struct callers_end *end, uint32_t code) {
  size_t count = 0;
  for (size_t i = 0; i < end->count; i++)
    count += end->got[i].code == code;
  return count;
}

size_t callers_count_of(
    const struct callers_end *end, uint64_t id, uint32_t code) {
  size_t count = 0;
  for (size_t i = 0; i < end->count; i++)
    count += end->got[i].code == code && end->got[i].id == id;
  return count;
}

const struct callers_got *callers_last(
    const struct callers_end *end, uint32_t code) {
  for (size_t i = end->count; i > 0; i--)
    if (end->got[i - 1].code == code)
      return &end->got[i - 1];
  ck_abort_msg("no frame with the code %u has come", code);
}

struct psock_caller_stats callers_stats(const struct callers *callers) {
  struct psock_caller_stats stats = {.size = sizeof stats};
  psock_caller_get_stats(callers->caller, &stats);
  return stats;
}
