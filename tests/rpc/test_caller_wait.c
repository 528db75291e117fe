/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/callers.h"

#include "rpc/call.h"
#include <string.h>

/*
 * Calls that are waited for on the loop's own thread: opening, receiving,
 * sending and running turn the loop, and are refused inside a callback.
 */

static struct callers callers;
static psock_call *call;
static const struct psock_method *const put = &trial__trial__put__method;
static const struct psock_method *const upload = &trial__trial__upload__method;
static const struct psock_method *const chat = &trial__trial__chat__method;

static void prepare(int own) {
  callers_init(&callers, own != 0);
  call = NULL;
}

static void finish(void) {
  psock_call_unref(call);
  callers_fini(&callers);
}

/* Answers each start with three items and an end. */
static void serve_items(
    struct callers_end *end, const struct callers_got *got) {
  if (got->code != PSOCK_CODE_NORMAL)
    return;
  for (uint32_t i = 0; i < 3; i++)
    callers_reply(end, got->id, got->text, i);
  callers_code(end, got->id, PSOCK_CODE_END);
}

static void serve_failure(
    struct callers_end *end, const struct callers_got *got) {
  if (got->code == PSOCK_CODE_NORMAL)
    callers_fail(
        end, got->id, callers.own ? NO_STATUS : PSOCK_STATUS_NOT_FOUND, false);
}

static int run(const void **ret_response) {
  const struct psock_method *method = callers_get(&callers);
  return psock_caller_run(callers.caller, method,
      callers_request(method, "text"), NULL, ret_response, &call);
}

static int open_stream(const struct psock_call_options *options) {
  const struct psock_method *method = callers_download(&callers);
  return psock_caller_open(
      callers.caller, method, callers_request(method, "text"), options, &call);
}

static const char *text_of(const void *message) {
  return callers.own ? ((const Trial__Answer *)message)->text
                     : ((const Trial__Text *)message)->text;
}

static uint32_t number_of(const void *message) {
  return callers.own ? ((const Trial__Answer *)message)->number
                     : ((const Trial__Text *)message)->number;
}

START_TEST(test_run) {
  const void *response = NULL;
  prepare(_i);
  callers.on_got = callers_echo;
  callers_open(&callers);
  for (int i = 0; i < 10; i++) {
    ck_assert_int_eq(run(&response), 0);
    ck_assert_str_eq(text_of(response), "text");
    ck_assert_uint_eq(psock_call_get_status(call)->code, 0);
    psock_call_unref(call);
  }
  call = NULL;
  ck_assert_uint_eq(callers_stats(&callers).ended, 10);
  ck_assert_uint_eq(callers_stats(&callers).kept, 0);
  finish();
}
END_TEST

START_TEST(test_run_fails) {
  const void *response = NULL;
  prepare(_i);
  callers.on_got = serve_failure;
  callers_open(&callers);
  ck_assert_int_eq(
      run(&response), _i ? PSOCK_STATUS_CANCELLED : PSOCK_STATUS_NOT_FOUND);
  ck_assert_ptr_null(response);
  ck_assert_str_eq(
      psock_call_get_status(call)->text, _i ? "" : "as the test wants");
  finish();
}
END_TEST

/* The test loop moves its clock to the next alarm. */
START_TEST(test_run_until_the_deadline) {
  const void *response = NULL;
  prepare(_i);
  callers_open(&callers);
  ck_assert_int_eq(run(&response), PSOCK_STATUS_DEADLINE_EXCEEDED);
  ck_assert_uint_eq(psock_call_get_age(call), 10 * SECOND);
  finish();
}
END_TEST

START_TEST(test_run_invalid) {
  const void *response = NULL;
  prepare(0);
  callers_open(&callers);
  struct psock_call_options options = {.size = sizeof options};
  const void *request = callers_request(put, "text");
  psock_caller *caller = callers.caller;
  ck_assert_int_eq(
      psock_caller_run(caller, put, request, &options, &response, &call),
      PSOCK_EINVAL);
  ck_assert_int_eq(
      psock_caller_run(caller, put, request, NULL, &response, NULL),
      PSOCK_EINVAL);
  ck_assert_int_eq(
      psock_caller_run(caller, upload, NULL, NULL, &response, &call),
      PSOCK_EINVAL);
  ck_assert_int_eq(psock_caller_run(caller, &trial__trial__download__method,
                       request, NULL, &response, &call),
      PSOCK_EINVAL);
  ck_assert_int_eq(
      psock_caller_open(caller, put, request, NULL, NULL), PSOCK_EINVAL);
  finish();
}
END_TEST

/* Nothing will ever happen: only this loop knows. */
START_TEST(test_nothing_happens) {
  const void *message;
  prepare(_i);
  callers.options.ping_after = PSOCK_TIMEOUT_NONE;
  callers_open(&callers);
  struct psock_call_options options = {
      .size = sizeof options, .timeout = PSOCK_TIMEOUT_NONE, .streams = _i};
  ck_assert_int_eq(open_stream(&options), 0);
  ck_assert_int_eq(psock_call_receive(call, &message), PSOCK_EAGAIN);
  finish();
}
END_TEST

START_TEST(test_receive) {
  const void *message = NULL;
  prepare(_i);
  callers.on_got = serve_items;
  callers_open(&callers);
  struct psock_call_options options = {
      .size = sizeof options, .timeout = PSOCK_TIMEOUT_DEFAULT, .streams = _i};
  ck_assert_int_eq(open_stream(&options), 0);
  for (uint32_t i = 0; i < 3; i++) {
    ck_assert_int_eq(psock_call_receive(call, &message), 1);
    ck_assert_str_eq(text_of(message), "text");
    ck_assert_uint_eq(number_of(message), i);
    ck_assert_uint_gt(callers_stats(&callers).kept, 0);
  }
  const void *last = message;
  ck_assert_int_eq(psock_call_receive(call, &message), 0);
  ck_assert_ptr_eq(message, last);
  ck_assert_int_eq(psock_call_receive(call, &message), 0);
  ck_assert_uint_eq(psock_call_get_status(call)->code, PSOCK_STATUS_OK);
  ck_assert_uint_eq(callers_stats(&callers).kept, 0);
  finish();
}
END_TEST

/* Nothing is read: dropping the reference drops what came, and cancels. */
START_TEST(test_left) {
  prepare(_i);
  callers_open(&callers);
  struct psock_call_options options = {
      .size = sizeof options, .timeout = PSOCK_TIMEOUT_DEFAULT, .streams = _i};
  ck_assert_int_eq(open_stream(&options), 0);
  callers_settle(&callers);
  struct callers_end *end = callers_end(&callers);
  callers_reply(end, call->id, "item", 1);
  callers_settle(&callers);
  psock_call_ref(call);
  psock_call_unref(call);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_CANCEL), 0);
  psock_call_unref(call);
  call = NULL;
  callers_settle(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_CANCEL), 1);
  ck_assert_uint_eq(callers_stats(&callers).kept, 0);
  ck_assert_uint_eq(callers_stats(&callers).in_flight, 0);
  finish();
}
END_TEST

/* One with events goes on without a reference. */
START_TEST(test_events_keep_the_call) {
  static struct trial trial;
  trial = (struct trial){.callers = NULL};
  prepare(_i);
  callers_open(&callers);
  callers_start(&callers, &trial, callers_get(&callers), "text");
  callers_unref(&trial);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.ended, 0);
  callers_reply(callers_end(&callers), trial.id, "answer", 1);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  finish();
}
END_TEST

/* What has been received is lent until the next one is asked for. */
START_TEST(test_windows_while_receiving) {
  const void *message;
  prepare(0);
  callers.options.stream_window = 1000;
  callers_open(&callers);
  ck_assert_int_eq(open_stream(NULL), 0);
  callers_settle(&callers);
  struct callers_end *end = callers_end(&callers);
  for (int i = 0; i < 20; i++) {
    callers_reply_data(end, call->id, 600);
    callers_settle(&callers);
    ck_assert_uint_eq(callers_count(end, PSOCK_CODE_WINDOW), (size_t)i);
    ck_assert_int_eq(psock_call_receive(call, &message), 1);
    ck_assert_uint_eq(((const Trial__Text *)message)->data.len, 600);
    callers_settle(&callers);
    ck_assert_uint_eq(callers_count(end, PSOCK_CODE_WINDOW), (size_t)i);
    /* A pause means nothing here. */
    psock_call_pause(call);
    psock_call_resume(call);
    /* The next one is asked for, and does not come: the deadline does. */
    callers_reply_data(end, call->id, 0);
    ck_assert_int_eq(psock_call_receive(call, &message), 1);
    callers_settle(&callers);
    ck_assert_uint_eq(callers_count(end, PSOCK_CODE_WINDOW), (size_t)i + 1);
  }
  finish();
}
END_TEST

/* A deadline drops what nobody has read. */
START_TEST(test_unread_at_the_deadline) {
  const void *message;
  prepare(_i);
  callers_open(&callers);
  struct psock_call_options options = {
      .size = sizeof options, .timeout = SECOND, .streams = _i};
  ck_assert_int_eq(open_stream(&options), 0);
  callers_settle(&callers);
  callers_reply(callers_end(&callers), call->id, "item", 1);
  callers_settle(&callers);
  callers_pass(&callers, SECOND);
  ck_assert_int_eq(psock_call_receive(call, &message), 0);
  ck_assert_uint_eq(
      psock_call_get_status(call)->code, PSOCK_STATUS_DEADLINE_EXCEEDED);
  finish();
}
END_TEST

/* The end of the connection does not. */
START_TEST(test_unread_at_the_end) {
  const void *message;
  prepare(_i);
  callers_open(&callers);
  struct psock_call_options options = {
      .size = sizeof options, .timeout = PSOCK_TIMEOUT_DEFAULT, .streams = _i};
  ck_assert_int_eq(open_stream(&options), 0);
  callers_settle(&callers);
  callers_reply(callers_end(&callers), call->id, "item", 1);
  callers_settle(&callers);
  psock_connection_free(callers_end(&callers)->connection);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_stats(&callers).in_flight, 0);
  ck_assert_int_eq(psock_call_receive(call, &message), 1);
  ck_assert_int_eq(psock_call_receive(call, &message), 0);
  ck_assert_uint_eq(
      psock_call_get_status(call)->code, PSOCK_STATUS_UNAVAILABLE);
  finish();
}
END_TEST

START_TEST(test_received_outlives_the_caller) {
  const void *message = NULL;
  prepare(_i);
  callers.on_got = serve_items;
  callers_open(&callers);
  struct psock_call_options options = {
      .size = sizeof options, .timeout = PSOCK_TIMEOUT_DEFAULT, .streams = _i};
  ck_assert_int_eq(open_stream(&options), 0);
  ck_assert_int_eq(psock_call_receive(call, &message), 1);
  callers_free_caller(&callers);
  ck_assert_str_eq(text_of(message), "text");
  ck_assert_int_eq(psock_call_receive(call, &message), 1);
  ck_assert_int_eq(psock_call_receive(call, &message), 1);
  ck_assert_str_eq(text_of(message), "text");
  ck_assert_int_eq(psock_call_receive(call, &message), 0);
  finish();
}
END_TEST

/* Sending waits for the first frame of the server, for its window, and for
 * room. */
static void serve_upload(
    struct callers_end *end, const struct callers_got *got) {
  if (got->code == PSOCK_CODE_MESSAGE)
    callers_window(end, got->id, got->length);
  if (got->code == PSOCK_CODE_END)
    callers_reply(end, got->id, "thanks", 1);
}

START_TEST(test_send_waits) {
  const void *message;
  prepare(0);
  callers.window = 10;
  callers.on_got = serve_upload;
  ck_assert_int_eq(callers_try(&callers), 0);
  ck_assert_int_eq(
      psock_caller_open(callers.caller, upload, NULL, NULL, &call), 0);
  for (int i = 0; i < 20; i++)
    ck_assert_int_eq(
        psock_call_send(call, callers_request(upload, "0123456789")), 0);
  ck_assert_int_eq(psock_call_end(call, NULL), 0);
  ck_assert_int_eq(psock_call_receive(call, &message), 1);
  ck_assert_str_eq(text_of(message), "thanks");
  ck_assert_int_eq(psock_call_receive(call, &message), 0);
  ck_assert_uint_eq(
      callers_count(callers_end(&callers), PSOCK_CODE_MESSAGE), 20);
  finish();
}
END_TEST

static char large[1000];

START_TEST(test_send_waits_for_room) {
  prepare(0);
  callers.capacity = 512;
  callers.connection.max_queued = 3000;
  memset(large, 'x', sizeof large - 1);
  callers_open(&callers);
  ck_assert_int_eq(
      psock_caller_open(callers.caller, chat, NULL, NULL, &call), 0);
  for (int i = 0; i < 20; i++)
    ck_assert_int_eq(psock_call_send(call, callers_request(chat, large)), 0);
  callers_settle(&callers);
  ck_assert_uint_eq(
      callers_count(callers_end(&callers), PSOCK_CODE_MESSAGE), 20);
  finish();
}
END_TEST

START_TEST(test_send_waits_in_vain) {
  const void *message;
  prepare(0);
  callers.silent = true;
  callers_open(&callers);
  ck_assert_int_eq(
      psock_caller_open(callers.caller, upload, NULL, NULL, &call), 0);
  ck_assert_int_eq(
      psock_call_send(call, callers_request(upload, "text")), PSOCK_ECANCELED);
  ck_assert_int_eq(psock_call_receive(call, &message), 0);
  ck_assert_uint_eq(
      psock_call_get_status(call)->code, PSOCK_STATUS_UNIMPLEMENTED);
  finish();
}
END_TEST

/* ---- Metadata ---- */

static void serve_metadata(
    struct callers_end *end, const struct callers_got *got) {
  struct psock_metadata entry = {
      .key = "first", .value = (const uint8_t *)"1", .length = 1};
  struct psock_rpc_frame frame = {
      .id = got->id, .metadata = &entry, .metadata_count = 1};
  if (got->code != PSOCK_CODE_NORMAL)
    return;
  callers_say(end, &frame);
  if (got->method != trial__trial__download__method.number)
    return;
  entry.key = "last";
  frame.code = PSOCK_CODE_END;
  callers_say(end, &frame);
}

START_TEST(test_metadata_while_receiving) {
  const void *message;
  struct psock_metadata entry;
  prepare(0);
  callers.on_got = serve_metadata;
  callers_open(&callers);
  ck_assert_int_eq(open_stream(NULL), 0);
  callers_settle(&callers);
  ck_assert_int_eq(
      psock_call_get_metadata(call, "first", &entry), PSOCK_ENOENT);
  ck_assert_int_eq(psock_call_receive(call, &message), 1);
  ck_assert_int_eq(psock_call_get_metadata(call, "first", &entry), 0);
  ck_assert_int_eq(psock_call_get_metadata(call, "last", &entry), PSOCK_ENOENT);
  ck_assert_int_eq(psock_call_receive(call, &message), 0);
  ck_assert_int_eq(psock_call_get_metadata(call, "first", &entry), 0);
  ck_assert_int_eq(psock_call_get_metadata(call, "last", &entry), 0);
  finish();
}
END_TEST

START_TEST(test_metadata_of_a_run) {
  const void *response;
  struct psock_metadata entry;
  prepare(0);
  callers.on_got = serve_metadata;
  callers_open(&callers);
  ck_assert_int_eq(run(&response), 0);
  ck_assert_int_eq(psock_call_get_metadata(call, "first", &entry), 0);
  finish();
}
END_TEST

/* ---- Inside callbacks ---- */

static void wait_in_callback(struct trial *trial, psock_call *other) {
  const void *message;
  psock_call *none;
  (void)trial;
  ck_assert_int_eq(psock_call_receive(other, &message), PSOCK_EINVAL);
  ck_assert_int_eq(psock_call_receive(call, &message), PSOCK_ELOOPTHREAD);
  ck_assert_int_eq(run(&message), PSOCK_ELOOPTHREAD);
  const struct psock_method *method = callers_get(&callers);
  ck_assert_int_eq(psock_caller_open(callers.caller, method,
                       callers_request(method, "text"), NULL, &none),
      PSOCK_ELOOPTHREAD);
}

START_TEST(test_inside_a_callback) {
  static struct trial trial;
  trial = (struct trial){
      .on_message = wait_in_callback, .on_ended = wait_in_callback};
  prepare(_i);
  callers_open(&callers);
  struct psock_call_options options = {
      .size = sizeof options, .timeout = PSOCK_TIMEOUT_DEFAULT, .streams = _i};
  ck_assert_int_eq(open_stream(&options), 0);
  callers_start(&callers, &trial, callers_get(&callers), "text");
  callers_reply(callers_end(&callers), trial.id, "answer", 1);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  callers_unref(&trial);
  ck_assert_uint_eq(callers_stats(&callers).started, 2);
  finish();
}
END_TEST

/* What has come already may be received there. */
static void receive_in_callback(struct trial *trial, psock_call *other) {
  const void *message;
  (void)trial;
  (void)other;
  ck_assert_int_eq(psock_call_receive(call, &message), 1);
  ck_assert_str_eq(text_of(message), "item");
}

START_TEST(test_received_inside_a_callback) {
  static struct trial trial;
  trial = (struct trial){.on_ended = receive_in_callback};
  prepare(_i);
  callers_open(&callers);
  struct psock_call_options options = {
      .size = sizeof options, .timeout = PSOCK_TIMEOUT_DEFAULT, .streams = _i};
  ck_assert_int_eq(open_stream(&options), 0);
  callers_start(&callers, &trial, callers_get(&callers), "text");
  callers_reply(callers_end(&callers), call->id, "item", 1);
  callers_reply(callers_end(&callers), trial.id, "answer", 1);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  callers_unref(&trial);
  finish();
}
END_TEST

int main(void) {
  Suite *suite = suite_create("caller_wait");
  TCase *tcase = guard_case(suite, "run");
  tcase_add_loop_test(tcase, test_run, 0, 2);
  tcase_add_loop_test(tcase, test_run_fails, 0, 2);
  tcase_add_loop_test(tcase, test_run_until_the_deadline, 0, 2);
  tcase_add_test(tcase, test_run_invalid);
  tcase_add_loop_test(tcase, test_nothing_happens, 0, 2);
  tcase = guard_case(suite, "receive");
  tcase_add_loop_test(tcase, test_receive, 0, 2);
  tcase_add_loop_test(tcase, test_left, 0, 2);
  tcase_add_loop_test(tcase, test_events_keep_the_call, 0, 2);
  tcase_add_test(tcase, test_windows_while_receiving);
  tcase_add_loop_test(tcase, test_unread_at_the_deadline, 0, 2);
  tcase_add_loop_test(tcase, test_unread_at_the_end, 0, 2);
  tcase_add_loop_test(tcase, test_received_outlives_the_caller, 0, 2);
  tcase_add_test(tcase, test_metadata_while_receiving);
  tcase_add_test(tcase, test_metadata_of_a_run);
  tcase = guard_case(suite, "send");
  tcase_add_test(tcase, test_send_waits);
  tcase_add_test(tcase, test_send_waits_for_room);
  tcase_add_test(tcase, test_send_waits_in_vain);
  tcase = guard_case(suite, "inside");
  tcase_add_loop_test(tcase, test_inside_a_callback, 0, 2);
  tcase_add_loop_test(tcase, test_received_inside_a_callback, 0, 2);
  return guard_main(suite);
}
