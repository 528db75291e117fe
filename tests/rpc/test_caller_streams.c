/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/callers.h"

#include "rpc/peer.h"
#include <string.h>

/*
 * Streams of responses and of requests: windows in both directions, pausing,
 * what is kept meanwhile and how much of it, and servers that don't know of all
 * that.
 */

#define WINDOW ((size_t)1000)

static struct callers callers;
static struct trial trial;

static void prepare(int own) {
  callers_init(&callers, own != 0);
  trial = (struct trial){.callers = NULL};
  callers.options.stream_window = WINDOW;
}

static void open_with(int own) {
  prepare(own);
  callers_open(&callers);
}

static void finish(void) {
  if (trial.call != NULL)
    callers_unref(&trial);
  callers_fini(&callers);
}

static void start(const struct psock_method *method) {
  bool sends = (method->flags & PSOCK_METHOD_CLIENT_STREAMS) != 0;
  trial.number = method->number == 0;
  callers_start(&callers, &trial, method, sends ? NULL : "text");
}

static int send_text(const char *text) {
  const struct psock_method *method = psock_call_get_method(trial.call);
  callers.inside++;
  int error = psock_call_send(trial.call, callers_request(method, text));
  callers.inside--;
  return error;
}

static int end_requests(void) {
  callers.inside++;
  int error = psock_call_end(trial.call, NULL);
  callers.inside--;
  return error;
}

/* ---- Responses ---- */

/* Half of the window is granted again when that much was read. */
START_TEST(test_grants) {
  open_with(0);
  start(&trial__trial__download__method);
  struct callers_end *end = callers_end(&callers);
  ck_assert_uint_eq(callers_last(end, PSOCK_CODE_HELLO)->hello_window, WINDOW);
  uint64_t granted = 0;
  for (unsigned i = 1; i <= 100; i++) {
    callers_reply_data(end, trial.id, 100);
    callers_settle(&callers);
    ck_assert_uint_eq(trial.messages, i);
    if (callers_count(end, PSOCK_CODE_WINDOW) > 0) {
      granted += callers_last(end, PSOCK_CODE_WINDOW)->window;
      ck_assert_uint_ge(
          callers_last(end, PSOCK_CODE_WINDOW)->window, WINDOW / 2);
      ck_assert_uint_lt(callers_last(end, PSOCK_CODE_WINDOW)->window, WINDOW);
      end->count = 0;
    }
  }
  ck_assert_uint_ge(granted, 9500);
  ck_assert_uint_eq(trial.ended, 0);
  callers_code(end, trial.id, PSOCK_CODE_END);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  finish();
}
END_TEST

/* What is granted before it could leave is granted at once. */
START_TEST(test_merged_grants) {
  open_with(0);
  start(&trial__trial__download__method);
  struct callers_end *end = callers_end(&callers);
  for (int i = 0; i < 10; i++)
    callers_reply_data(end, trial.id, 600);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.messages, 10);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_WINDOW), 1);
  ck_assert_uint_ge(callers_last(end, PSOCK_CODE_WINDOW)->window, 6000);
  finish();
}
END_TEST

/* A message may be sent while the window is above 0, and no longer. */
START_TEST(test_overrun) {
  open_with(0);
  start(&trial__trial__download__method);
  struct callers_end *end = callers_end(&callers);
  psock_call_pause(trial.call);
  callers_reply_data(end, trial.id, 900);
  callers_reply_data(end, trial.id, 5000);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.ended, 0);
  callers_reply_data(end, trial.id, 0);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_INTERNAL);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_CANCEL), 1);
  ck_assert_uint_eq(callers_stats(&callers).kept, 0);
  finish();
}
END_TEST

/* Servers without HELLO, and own messages, have no windows. */
START_TEST(test_no_windows) {
  prepare(_i);
  callers.silent = true;
  callers_open(&callers);
  start(callers_download(&callers));
  struct callers_end *end = callers_end(&callers);
  for (int i = 0; i < 10; i++)
    callers_reply_data(end, trial.id, 1000);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.messages, 10);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_WINDOW), 0);
  finish();
}
END_TEST

/* Once it is answered, its request is not kept for sending it again. */
START_TEST(test_idempotent_stream) {
  static struct psock_method method;
  method = trial__trial__download__method;
  method.flags |= PSOCK_METHOD_IDEMPOTENT;
  open_with(0);
  start(&method);
  ck_assert_uint_gt(callers_stats(&callers).kept, 0);
  callers_reply(callers_end(&callers), trial.id, "item", 1);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_stats(&callers).kept, 0);
  callers_fail(
      callers_end(&callers), trial.id, PSOCK_STATUS_UNAVAILABLE, false);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
  finish();
}
END_TEST

/* A single response has none either. */
START_TEST(test_large_response) {
  open_with(0);
  start(&trial__trial__put__method);
  callers_reply_data(callers_end(&callers), trial.id, 10 * WINDOW);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  finish();
}
END_TEST

/* ---- Pausing ---- */

static void pause_in_message(struct trial *one, psock_call *call) {
  if (one->messages == 1)
    psock_call_pause(call);
}

START_TEST(test_pause) {
  open_with(_i);
  trial.on_message = pause_in_message;
  start(callers_download(&callers));
  struct callers_end *end = callers_end(&callers);
  for (uint32_t i = 1; i <= 3; i++)
    callers_reply(end, trial.id, "item", i);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.messages, 1);
  ck_assert_uint_gt(callers_stats(&callers).kept, 0);
  callers.inside++;
  psock_call_resume(trial.call);
  callers.inside--;
  /* What comes before it has resumed stays behind what was kept. */
  callers_reply(end, trial.id, "item", 4);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.messages, 4);
  ck_assert_uint_eq(trial.number, 4);
  ck_assert_uint_eq(callers_stats(&callers).kept, 0);
  psock_call_pause(trial.call);
  callers_reply(end, trial.id, "item", 5);
  callers_code(end, trial.id, PSOCK_CODE_END);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.ended, 0);
  ck_assert_uint_eq(callers_stats(&callers).in_flight, 1);
  psock_call_resume(trial.call);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.messages, 5);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  finish();
}
END_TEST

static void pause_always(struct trial *one, psock_call *call) {
  (void)one;
  psock_call_pause(call);
}

/* A pause acts before the next message, also while what was kept is given. */
START_TEST(test_pause_while_resuming) {
  open_with(_i);
  trial.on_message = pause_always;
  start(callers_download(&callers));
  struct callers_end *end = callers_end(&callers);
  for (uint32_t i = 1; i <= 4; i++)
    callers_reply(end, trial.id, "item", i);
  callers_code(end, trial.id, PSOCK_CODE_END);
  callers_settle(&callers);
  for (unsigned i = 1; i <= 4; i++) {
    ck_assert_uint_eq(trial.messages, i);
    ck_assert_uint_eq(trial.ended, i == 4 ? 1 : 0);
    if (i < 4)
      psock_call_resume(trial.call);
    callers_settle(&callers);
  }
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  finish();
}
END_TEST

/* Of a connection that ends, what has come is still given. */
START_TEST(test_pause_and_the_connection_ends) {
  open_with(_i);
  start(callers_download(&callers));
  psock_call_pause(trial.call);
  callers_reply(callers_end(&callers), trial.id, "item", 1);
  callers_settle(&callers);
  psock_connection_free(callers_end(&callers)->connection);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.ended, 0);
  psock_call_resume(trial.call);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.messages, 1);
  callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
  finish();
}
END_TEST

/* Giving up what has failed already drops what was kept, and no more. */
START_TEST(test_pause_and_give_up) {
  open_with(_i % 2);
  start(callers_download(&callers));
  psock_call_pause(trial.call);
  callers_reply(callers_end(&callers), trial.id, "item", 1);
  callers_settle(&callers);
  psock_connection_free(callers_end(&callers)->connection);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.ended, 0);
  if (_i < 2) {
    psock_call_cancel(trial.call);
    callers_settle(&callers);
  } else {
    callers_free_caller(&callers);
  }
  ck_assert_uint_eq(trial.messages, 0);
  callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
  finish();
}
END_TEST

/* With nothing kept, the end is told during the pause. */
START_TEST(test_pause_and_nothing_comes) {
  open_with(_i);
  start(callers_download(&callers));
  psock_call_pause(trial.call);
  callers_code(callers_end(&callers), trial.id, PSOCK_CODE_END);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  psock_call_resume(trial.call);
  callers_settle(&callers);
  finish();
}
END_TEST

/* A deadline ends a paused call at once, and drops what was kept. */
START_TEST(test_pause_and_a_deadline) {
  open_with(_i);
  struct psock_call_options options = {
      .size = sizeof options, .timeout = SECOND, .streams = _i};
  ck_assert_int_eq(callers_try_start(&callers, &trial,
                       callers_download(&callers), "text", &options),
      0);
  callers_settle(&callers);
  psock_call_pause(trial.call);
  callers_reply(callers_end(&callers), trial.id, "item", 1);
  callers_settle(&callers);
  callers_pass(&callers, SECOND);
  callers_check_ended(&trial, PSOCK_STATUS_DEADLINE_EXCEEDED);
  ck_assert_uint_eq(trial.messages, 0);
  ck_assert_uint_eq(callers_stats(&callers).kept, 0);
  finish();
}
END_TEST

/* More than may be kept ends the call that has it, and nobody else. */
START_TEST(test_too_much_kept) {
  static struct trial other;
  other = (struct trial){.callers = NULL};
  prepare(_i);
  callers.options.max_kept = 2000;
  callers.options.stream_window = (size_t)1 << 20;
  callers_open(&callers);
  start(callers_download(&callers));
  other.number = _i != 0;
  callers_start(&callers, &other, callers_download(&callers), "text");
  struct callers_end *end = callers_end(&callers);
  psock_call_pause(trial.call);
  for (int i = 0; i < 3; i++) {
    callers_reply_data(end, trial.id, 900);
    callers_reply(end, other.id, "item", 1);
  }
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_RESOURCE_EXHAUSTED);
  ck_assert_uint_eq(callers_count_of(end, trial.id, PSOCK_CODE_CANCEL), 1);
  ck_assert_uint_eq(other.messages, 3);
  ck_assert_uint_eq(callers_stats(&callers).kept, 0);
  callers_code(end, other.id, PSOCK_CODE_END);
  callers_settle(&callers);
  callers_check_ended(&other, PSOCK_STATUS_OK);
  callers_unref(&other);
  finish();
}
END_TEST

/* A message that was kept is whole, whatever came after it. */
START_TEST(test_kept_messages) {
  prepare(_i);
  callers.options.stream_window = (size_t)1 << 20;
  callers_open(&callers);
  start(callers_download(&callers));
  struct callers_end *end = callers_end(&callers);
  psock_call_pause(trial.call);
  trial.on_message = pause_always;
  static char text[40];
  for (uint32_t i = 0; i < 200; i++) {
    memset(text, 'a' + (int)(i % 26), sizeof text - 1);
    callers_reply(end, trial.id, text, i);
  }
  callers_settle(&callers);
  for (uint32_t i = 0; i < 200; i++) {
    psock_call_resume(trial.call);
    callers_settle(&callers);
    memset(text, 'a' + (int)(i % 26), sizeof text - 1);
    ck_assert_str_eq(trial.text, text);
    ck_assert_uint_eq(trial.number, i);
  }
  finish();
}
END_TEST

/* ---- Requests ---- */

START_TEST(test_requests) {
  open_with(0);
  start(&trial__trial__upload__method);
  struct callers_end *end = callers_end(&callers);
  const struct callers_got *got = callers_last(end, PSOCK_CODE_NORMAL);
  ck_assert_uint_eq(got->id, trial.id);
  ck_assert_uint_eq(got->method, trial__trial__upload__method.number);
  ck_assert_str_eq(got->text, "");
  ck_assert_int_eq(psock_call_send(trial.call, NULL), PSOCK_EINVAL);
  ck_assert_int_eq(send_text("one"), 0);
  ck_assert_int_eq(send_text("two"), 0);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_MESSAGE), 2);
  ck_assert_str_eq(callers_last(end, PSOCK_CODE_MESSAGE)->text, "two");
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_END), 0);
  struct psock_status status = {.size = sizeof status};
  ck_assert_int_eq(psock_call_end(trial.call, &status), PSOCK_EINVAL);
  ck_assert_int_eq(end_requests(), 0);
  ck_assert_int_eq(end_requests(), PSOCK_EINVAL);
  ck_assert_int_eq(send_text("three"), PSOCK_EINVAL);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_MESSAGE), 2);
  ck_assert_uint_eq(callers_count_of(end, trial.id, PSOCK_CODE_END), 1);
  callers_reply(end, trial.id, "thanks", 3);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  ck_assert_int_eq(send_text("late"), PSOCK_ECANCELED);
  ck_assert_int_eq(end_requests(), PSOCK_ECANCELED);
  finish();
}
END_TEST

START_TEST(test_both_stream) {
  open_with(0);
  start(&trial__trial__chat__method);
  struct callers_end *end = callers_end(&callers);
  for (unsigned i = 1; i <= 5; i++) {
    ck_assert_int_eq(send_text("hello"), 0);
    callers_reply(end, trial.id, "hello", i);
    callers_settle(&callers);
    ck_assert_uint_eq(trial.messages, i);
    ck_assert_uint_eq(callers_count(end, PSOCK_CODE_MESSAGE), i);
  }
  callers_code(end, trial.id, PSOCK_CODE_END);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_CANCEL), 0);
  finish();
}
END_TEST

/* Only one request is asked for, or none at all. */
START_TEST(test_no_requests) {
  open_with(_i);
  start(callers_download(&callers));
  ck_assert_int_eq(send_text("text"), PSOCK_EINVAL);
  ck_assert_int_eq(end_requests(), PSOCK_EINVAL);
  ck_assert_int_eq(psock_call_reply(trial.call, NULL), PSOCK_EINVAL);
  ck_assert_int_eq(psock_call_hold(trial.call), PSOCK_EINVAL);
  ck_assert_int_eq(psock_call_share(trial.call), PSOCK_EINVAL);
  ck_assert_ptr_null(psock_call_get_connection(trial.call));
  const void *message;
  ck_assert_int_eq(psock_call_receive(trial.call, &message), PSOCK_EINVAL);
  finish();
}
END_TEST

/* The server's window, and `room` when there is some again. */
START_TEST(test_send_window) {
  prepare(0);
  callers.window = 100;
  callers_open(&callers);
  start(&trial__trial__upload__method);
  struct callers_end *end = callers_end(&callers);
  unsigned sent = 0;
  size_t length = 0;
  while (send_text("0123456789") == 0) {
    callers_settle(&callers);
    length += callers_last(end, PSOCK_CODE_MESSAGE)->length;
    ck_assert_uint_lt(length, 150);
    sent++;
  }
  ck_assert_uint_ge(length, 100);
  ck_assert_int_eq(send_text("text"), PSOCK_EFULL);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_MESSAGE), sent);
  ck_assert_uint_eq(trial.rooms, 0);
  /* It is below 0, or at it. */
  if (length > 100) {
    callers_window(end, trial.id, length - 100);
    callers_settle(&callers);
    ck_assert_uint_eq(trial.rooms, 0);
  }
  callers_window(end, trial.id, 1);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.rooms, 1);
  ck_assert_int_eq(send_text("0123456789"), 0);
  ck_assert_int_eq(send_text("0123456789"), PSOCK_EFULL);
  /* The end is never refused. */
  ck_assert_int_eq(end_requests(), 0);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_END), 1);
  finish();
}
END_TEST

START_TEST(test_send_window_too_large) {
  prepare(0);
  callers.window = 100;
  callers_open(&callers);
  start(&trial__trial__upload__method);
  struct callers_end *end = callers_end(&callers);
  callers_window(end, trial.id, (uint64_t)PSOCK_WINDOW_MOST - 100);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.ended, 0);
  callers_window(end, trial.id, _i ? UINT64_MAX : 1);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_INTERNAL);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_CANCEL), 1);
  finish();
}
END_TEST

/* A WINDOW for what sends nothing is nobody's. */
START_TEST(test_stray_window) {
  open_with(0);
  start(&trial__trial__put__method);
  struct callers_end *end = callers_end(&callers);
  callers_window(end, trial.id, 1);
  callers_window(end, trial.id + 1, 1);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.ended, 0);
  ck_assert_uint_eq(callers_stats(&callers).stray, 2);
  finish();
}
END_TEST

/* The connection has no room, though the window has. The end of the requests is
 * never refused, and comes behind the last of them. */
START_TEST(test_no_room) {
  static char text[1000];
  memset(text, 'x', sizeof text - 1);
  prepare(0);
  callers.capacity = 1024;
  callers.connection.max_queued = 5000;
  callers_open(&callers);
  start(&trial__trial__upload__method);
  struct callers_end *end = callers_end(&callers);
  psock_connection_pause(end->connection);
  unsigned sent = 0;
  while (send_text(text) == 0) {
    callers_settle(&callers);
    sent++;
  }
  ck_assert_uint_ge(sent, 4);
  if (_i)
    ck_assert_int_eq(end_requests(), 0);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.rooms, 0);
  psock_connection_resume(end->connection);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.rooms, !_i);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_MESSAGE), sent);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_END), (size_t)_i);
  ck_assert_uint_eq(
      end->got[end->count - 1].code, _i ? PSOCK_CODE_END : PSOCK_CODE_MESSAGE);
  finish();
}
END_TEST

static void send_when_room(struct trial *one, psock_call *call) {
  (void)one;
  ck_assert_int_eq(psock_call_send(call,
                       callers_request(&trial__trial__upload__method, "first")),
      0);
}

/* The server's first frame is waited for. */
START_TEST(test_await_hello) {
  prepare(0);
  callers.silent = true;
  callers_open(&callers);
  trial.on_room = send_when_room;
  start(&trial__trial__upload__method);
  struct callers_end *end = callers_end(&callers);
  ck_assert_int_eq(send_text("early"), PSOCK_EFULL);
  ck_assert_int_eq(end_requests(), 0);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_NORMAL), 0);
  ck_assert_int_eq(end_requests(), PSOCK_EINVAL);
  trial.on_room = NULL;
  callers_pass(&callers, 999 * MILLISECOND);
  ck_assert_uint_eq(trial.ended, 0);
  callers_hello(end, 0, 0);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.rooms, 0);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_NORMAL), 1);
  ck_assert_uint_eq(callers_last(end, PSOCK_CODE_NORMAL)->timeout_us, 9001000);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_END), 1);
  finish();
}
END_TEST

START_TEST(test_room_after_hello) {
  prepare(0);
  callers.silent = true;
  callers_open(&callers);
  trial.on_room = send_when_room;
  start(&trial__trial__upload__method);
  struct callers_end *end = callers_end(&callers);
  ck_assert_int_eq(send_text("early"), PSOCK_EFULL);
  callers_hello(end, 0, 0);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.rooms, 1);
  ck_assert_str_eq(callers_last(end, PSOCK_CODE_MESSAGE)->text, "first");
  finish();
}
END_TEST

/* No HELLO within a second, or another first frame. */
START_TEST(test_no_hello) {
  prepare(0);
  callers.silent = true;
  callers_open(&callers);
  start(&trial__trial__upload__method);
  struct callers_end *end = callers_end(&callers);
  if (_i == 0)
    callers_pass(&callers, SECOND);
  else
    callers_code(end, 0, PSOCK_CODE_PING);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_UNIMPLEMENTED);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_NORMAL), 0);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_CANCEL), 0);
  /* From now on at once; what doesn't stream requests goes on. */
  static struct trial later;
  later = (struct trial){.callers = NULL};
  callers_start(&callers, &later, &trial__trial__chat__method, NULL);
  callers_check_ended(&later, PSOCK_STATUS_UNIMPLEMENTED);
  callers_unref(&later);
  later = (struct trial){.callers = NULL};
  callers_start(&callers, &later, &trial__trial__put__method, "text");
  callers_reply(end, later.id, "answer", 1);
  callers_settle(&callers);
  callers_check_ended(&later, PSOCK_STATUS_OK);
  callers_unref(&later);
  finish();
}
END_TEST

/* A stream that nobody reads doesn't delay its neighbours. */
START_TEST(test_neighbours) {
  static struct trial other;
  prepare(0);
  callers.options.stream_window = 4000;
  callers_open(&callers);
  start(&trial__trial__download__method);
  psock_call_pause(trial.call);
  struct callers_end *end = callers_end(&callers);
  callers_reply_data(end, trial.id, 5000);
  for (int i = 0; i < 100; i++) {
    other = (struct trial){.callers = NULL};
    callers_start(&callers, &other, &trial__trial__put__method, "text");
    callers_reply(end, other.id, "answer", 1);
    callers_settle(&callers);
    callers_check_ended(&other, PSOCK_STATUS_OK);
    callers_unref(&other);
  }
  finish();
}
END_TEST

int main(void) {
  Suite *suite = suite_create("caller_streams");
  TCase *tcase = guard_case(suite, "responses");
  tcase_add_test(tcase, test_grants);
  tcase_add_test(tcase, test_merged_grants);
  tcase_add_test(tcase, test_overrun);
  tcase_add_loop_test(tcase, test_no_windows, 0, 2);
  tcase_add_test(tcase, test_idempotent_stream);
  tcase_add_test(tcase, test_large_response);
  tcase_add_test(tcase, test_neighbours);
  tcase = guard_case(suite, "pausing");
  tcase_add_loop_test(tcase, test_pause, 0, 2);
  tcase_add_loop_test(tcase, test_pause_while_resuming, 0, 2);
  tcase_add_loop_test(tcase, test_pause_and_the_connection_ends, 0, 2);
  tcase_add_loop_test(tcase, test_pause_and_give_up, 0, 4);
  tcase_add_loop_test(tcase, test_pause_and_nothing_comes, 0, 2);
  tcase_add_loop_test(tcase, test_pause_and_a_deadline, 0, 2);
  tcase_add_loop_test(tcase, test_too_much_kept, 0, 2);
  tcase_add_loop_test(tcase, test_kept_messages, 0, 2);
  tcase = guard_case(suite, "requests");
  tcase_add_test(tcase, test_requests);
  tcase_add_test(tcase, test_both_stream);
  tcase_add_loop_test(tcase, test_no_requests, 0, 2);
  tcase_add_test(tcase, test_send_window);
  tcase_add_loop_test(tcase, test_send_window_too_large, 0, 2);
  tcase_add_test(tcase, test_stray_window);
  tcase_add_loop_test(tcase, test_no_room, 0, 2);
  tcase_add_test(tcase, test_await_hello);
  tcase_add_test(tcase, test_room_after_hello);
  tcase_add_loop_test(tcase, test_no_hello, 0, 2);
  return guard_main(suite);
}
