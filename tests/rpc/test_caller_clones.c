/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/callers.h"

#include "rpc/call.h"
#include <stdio.h>
#include <string.h>

/*
 * Clones, on the loop's own thread, so that everything happens in the same
 * order every time: how their starts and the loop meet, which connection they
 * use, and what outlives what. Threads are in test_caller_threads.c.
 */

static struct callers callers;
static struct trial trial;
static psock_caller *copy;
static const struct psock_method *const get = &trial__trial__get__method;
static const struct psock_method *const put = &trial__trial__put__method;
static const struct psock_method *const upload = &trial__trial__upload__method;

static void prepare(int own) {
  callers_init(&callers, own != 0);
  trial = (struct trial){.callers = NULL};
  copy = NULL;
  callers.connects = true;
}

static void add_clone(void) {
  ck_assert_int_eq(psock_caller_clone(callers.caller, &copy), 0);
}

static void open_with(int own) {
  prepare(own);
  callers_open(&callers);
  add_clone();
}

static void finish(void) {
  if (trial.call != NULL)
    callers_unref(&trial);
  callers_free_caller(&callers);
  psock_caller_free(copy);
  callers_fini(&callers);
}

static int try_start(struct trial *one, const struct psock_method *method,
    const char *text, const struct psock_call_options *options) {
  callers.inside++;
  int error = callers_start_on(copy, &callers, one, method, text, options);
  callers.inside--;
  callers.started += error == 0;
  return error;
}

static void start(struct trial *one, const struct psock_method *method) {
  const char *text =
      method->flags & PSOCK_METHOD_CLIENT_STREAMS ? NULL : "text";
  ck_assert_int_eq(try_start(one, method, text, NULL), 0);
  callers_settle(&callers);
  one->id = one->call->id;
}

static void answer(struct trial *one) {
  callers_reply(callers_end(&callers), one->call->id, "answer", 1);
  callers_settle(&callers);
  callers_check_ended(one, PSOCK_STATUS_OK);
}

/* A connection on which no call was answered has failed. */
static void be_of_use(void) {
  struct trial one = {.callers = NULL};
  callers_start(&callers, &one, callers_get(&callers), "of use");
  answer(&one);
  callers_unref(&one);
}

START_TEST(test_one_response) {
  open_with(_i);
  for (int i = 0; i < 10; i++) {
    trial = (struct trial){.callers = NULL};
    start(&trial, callers_get(&callers));
    ck_assert_str_eq(
        callers_last(callers_end(&callers), PSOCK_CODE_NORMAL)->text, "text");
    answer(&trial);
    callers_unref(&trial);
  }
  struct psock_caller_stats stats = callers_stats(&callers);
  ck_assert_uint_eq(stats.started, 10);
  ck_assert_uint_eq(stats.ended, 10);
  ck_assert_uint_eq(stats.in_flight, 0);
  ck_assert_uint_eq(stats.kept, 0);
  finish();
}
END_TEST

START_TEST(test_stream) {
  open_with(_i);
  struct psock_call_options options = {
      .size = sizeof options, .timeout = PSOCK_TIMEOUT_DEFAULT, .streams = _i};
  ck_assert_int_eq(
      try_start(&trial, callers_download(&callers), "text", &options), 0);
  callers_settle(&callers);
  trial.id = trial.call->id;
  for (uint32_t i = 0; i < 5; i++)
    callers_reply(callers_end(&callers), trial.id, "item", i);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.messages, 5);
  psock_call_cancel(trial.call);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_CANCELLED);
  ck_assert_uint_eq(callers_count(callers_end(&callers), PSOCK_CODE_CANCEL), 1);
  finish();
}
END_TEST

/* Cancelled before the loop has seen it: the cancel leaves behind the start. */
START_TEST(test_cancel_at_once) {
  open_with(_i);
  ck_assert_int_eq(try_start(&trial, callers_get(&callers), "text", NULL), 0);
  psock_call_cancel(trial.call);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_CANCELLED);
  struct callers_end *end = callers_end(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_NORMAL), 1);
  ck_assert_uint_eq(end->got[end->count - 1].code, PSOCK_CODE_CANCEL);
  ck_assert_uint_eq(end->got[end->count - 1].id, trial.call->id);
  finish();
}
END_TEST

/* The same before the connection is open. */
START_TEST(test_cancel_before_it_is_open) {
  prepare(_i);
  callers.open_error = PSOCK_EAGAIN;
  ck_assert_int_eq(callers_try(&callers), 0);
  add_clone();
  ck_assert_int_eq(try_start(&trial, callers_get(&callers), "text", NULL), 0);
  for (int i = 0; i < 10; i++)
    psock_test_loop_turn(callers.loop);
  psock_call_cancel(trial.call);
  for (int i = 0; i < 10; i++)
    psock_test_loop_turn(callers.loop);
  callers_check_ended(&trial, PSOCK_STATUS_CANCELLED);
  ck_assert_uint_eq(callers_stats(&callers).in_flight, 0);
  psock_memory_fail(callers_end(&callers)->memory, PSOCK_MEMORY_OPEN, 0, 0);
  callers_settle(&callers);
  struct callers_end *end = callers_end(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_NORMAL), 1);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_CANCEL), 1);
  finish();
}
END_TEST

/* Requests, in order, on the way of the call. */
START_TEST(test_requests) {
  char text[16];
  open_with(0);
  ck_assert_int_eq(try_start(&trial, upload, NULL, NULL), 0);
  ck_assert_int_eq(
      psock_call_send(trial.call, callers_request(upload, "early")),
      PSOCK_EFULL);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.rooms, 1);
  trial.id = trial.call->id;
  for (int i = 0; i < 10; i++) {
    snprintf(text, sizeof text, "%d", i);
    ck_assert_int_eq(
        psock_call_send(trial.call, callers_request(upload, text)), 0);
  }
  ck_assert_int_eq(psock_call_end(trial.call, NULL), 0);
  callers_settle(&callers);
  struct callers_end *end = callers_end(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_MESSAGE), 10);
  ck_assert_str_eq(callers_last(end, PSOCK_CODE_MESSAGE)->text, "9");
  ck_assert_uint_eq(end->got[end->count - 1].code, PSOCK_CODE_END);
  answer(&trial);
  finish();
}
END_TEST

/* ---- Links ---- */

/* Without a connection the request is kept, and the loop connects. */
START_TEST(test_connects) {
  open_with(_i);
  start(&trial, callers_get(&callers));
  answer(&trial);
  callers_unref(&trial);
  for (unsigned i = 2; i < 5; i++) {
    psock_connection_free(callers_end(&callers)->connection);
    callers_settle(&callers);
    trial = (struct trial){.callers = NULL};
    start(&trial, _i ? callers_get(&callers) : put);
    ck_assert_uint_eq(callers.connects_seen, i);
    ck_assert_str_eq(
        callers_last(callers_end(&callers), PSOCK_CODE_NORMAL)->text, "text");
    answer(&trial);
    callers_unref(&trial);
    /* Now there is one. */
    trial = (struct trial){.callers = NULL};
    start(&trial, _i ? callers_get(&callers) : put);
    ck_assert_uint_eq(callers.connects_seen, i);
    answer(&trial);
    callers_unref(&trial);
  }
  ck_assert_uint_eq(callers_stats(&callers).kept, 0);
  finish();
}
END_TEST

START_TEST(test_requests_without_a_link) {
  open_with(0);
  be_of_use();
  psock_connection_free(callers_end(&callers)->connection);
  callers_settle(&callers);
  start(&trial, upload);
  ck_assert_uint_eq(callers.connects_seen, 2);
  ck_assert_int_eq(
      psock_call_send(trial.call, callers_request(upload, "text")), 0);
  callers_settle(&callers);
  ck_assert_uint_eq(
      callers_count(callers_end(&callers), PSOCK_CODE_MESSAGE), 1);
  answer(&trial);
  finish();
}
END_TEST

/* While the next attempt waits, what is not idempotent ends. */
START_TEST(test_backs_off) {
  open_with(0);
  callers.open_error = PSOCK_EREFUSED;
  psock_connection_free(callers_end(&callers)->connection);
  callers_settle(&callers);
  start(&trial, put);
  callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
  ck_assert_int_eq(trial.not_begun, 1);
  callers_unref(&trial);
  callers.open_error = 0;
  trial = (struct trial){.callers = NULL};
  start(&trial, put);
  callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
  callers_unref(&trial);
  trial = (struct trial){.callers = NULL};
  start(&trial, get);
  ck_assert_uint_eq(trial.ended, 0);
  callers_pass(&callers, 50 * MILLISECOND);
  answer(&trial);
  finish();
}
END_TEST

/* A start whose connection ends before the loop has seen it. */
START_TEST(test_link_ends_at_once) {
  open_with(_i);
  ck_assert_int_eq(
      try_start(&trial, _i ? callers_get(&callers) : put, "text", NULL), 0);
  psock_connection_free(callers_end(&callers)->connection);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
  ck_assert_int_eq(trial.not_begun, 1);
  finish();
}
END_TEST

/* Or has begun to close, unseen by the clone. */
static void close_link(struct trial *one, psock_call *call) {
  static struct trial later;
  (void)one;
  (void)call;
  later = (struct trial){.callers = NULL};
  callers.started++;
  ck_assert_int_eq(callers_start_on(copy, &callers, &later,
                       callers.own ? callers_get(&callers) : put, "text", NULL),
      0);
  psock_call_unref(later.call);
}

START_TEST(test_start_while_the_link_ends) {
  open_with(_i);
  be_of_use();
  trial.on_ended = close_link;
  start(&trial, _i ? callers_get(&callers) : put);
  psock_connection_close(callers_end(&callers)->connection);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
  ck_assert_uint_eq(callers.connects_seen, 2);
  ck_assert_uint_eq(callers_count(callers_end(&callers), PSOCK_CODE_NORMAL), 1);
  finish();
}
END_TEST

/* The limit holds for what waits to be connected, too. */
START_TEST(test_kept_without_a_link) {
  static char text[1000];
  memset(text, 'x', sizeof text - 1);
  prepare(_i);
  callers.options.max_kept = 1500;
  callers_open(&callers);
  add_clone();
  be_of_use();
  psock_connection_free(callers_end(&callers)->connection);
  callers_settle(&callers);
  const struct psock_method *method = _i ? callers_get(&callers) : put;
  ck_assert_int_eq(try_start(&trial, method, text, NULL), 0);
  struct trial later = {.callers = NULL};
  ck_assert_int_eq(try_start(&later, method, text, NULL), PSOCK_EFULL);
  ck_assert_uint_eq(callers_stats(&callers).in_flight, 1);
  callers_settle(&callers);
  ck_assert_str_ne(
      callers_last(callers_end(&callers), PSOCK_CODE_NORMAL)->text, "");
  callers_reply(callers_end(&callers), trial.call->id, "answer", 1);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  finish();
}
END_TEST

/* ---- Going away ---- */

/* GOAWAY is answered behind starts that are on their way. */
START_TEST(test_goaway) {
  open_with(0);
  struct callers_end *end = callers_end(&callers);
  callers_code(end, 0, PSOCK_CODE_GOAWAY);
  ck_assert_int_eq(try_start(&trial, put, "text", NULL), 0);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_NORMAL), 1);
  ck_assert_uint_eq(end->got[end->count - 1].code, PSOCK_CODE_GOAWAY);
  callers_reply(end, trial.call->id, "answer", 1);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  ck_assert_uint_eq(end->closed, 1);
  finish();
}
END_TEST

/* An interceptor that takes its time while the server goes away. */
static int turn_meanwhile(
    void *data, psock_call *call, struct psock_status *ret_status) {
  (void)data;
  (void)call;
  (void)ret_status;
  if (callers.closed == 0)
    return 0;
  callers.inside--;
  callers_settle(&callers);
  callers.inside++;
  ck_assert_uint_eq(callers_count(&callers.ends[0], PSOCK_CODE_GOAWAY), 0);
  return 0;
}

static void open_with_interceptor(void) {
  static const struct psock_interceptor interceptor = {
      .size = sizeof interceptor, .begin = turn_meanwhile};
  const struct psock_interceptor *const list[] = {&interceptor};
  prepare(0);
  callers.options.interceptors = list;
  callers.options.interceptor_count = 1;
  callers.limits.max_message = 200;
  callers_open(&callers);
  add_clone();
}

START_TEST(test_goaway_during_a_start) {
  static char text[300];
  memset(text, 'x', sizeof text - 1);
  open_with_interceptor();
  struct callers_end *end = callers_end(&callers);
  callers_code(end, 0, PSOCK_CODE_GOAWAY);
  callers.closed = 1;
  int error = try_start(&trial, put, _i ? text : "text", NULL);
  ck_assert_int_eq(error, _i ? PSOCK_ETOOBIG : 0);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_NORMAL), !_i);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_GOAWAY), 1);
  ck_assert_uint_eq(end->got[end->count - 1].code, PSOCK_CODE_GOAWAY);
  if (_i)
    ck_assert_uint_eq(end->closed, 1);
  finish();
}
END_TEST

/* ---- What outlives what ---- */

START_TEST(test_clone_of_a_clone) {
  psock_caller *first_copy;
  open_with(_i);
  first_copy = copy;
  ck_assert_int_eq(psock_caller_clone(first_copy, &copy), 0);
  psock_caller_free(first_copy);
  start(&trial, callers_get(&callers));
  answer(&trial);
  finish();
}
END_TEST

START_TEST(test_freed_clone) {
  open_with(_i);
  start(&trial, callers_get(&callers));
  psock_caller_free(copy);
  copy = NULL;
  callers_settle(&callers);
  answer(&trial);
  finish();
}
END_TEST

START_TEST(test_freed_first) {
  psock_caller *more;
  open_with(_i);
  start(&trial, callers_get(&callers));
  callers_free_caller(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_CANCELLED);
  struct trial later = {.callers = NULL};
  ck_assert_int_eq(
      try_start(&later, callers_get(&callers), "text", NULL), PSOCK_ECLOSED);
  ck_assert_int_eq(psock_caller_clone(copy, &more), PSOCK_ECLOSED);
  finish();
}
END_TEST

static void count_closed(void *data) {
  struct callers *all = data;
  all->closed++;
}

START_TEST(test_closed_first) {
  psock_caller *more;
  open_with(_i);
  ck_assert_int_eq(
      psock_caller_close(callers.caller, count_closed, &callers), 0);
  ck_assert_int_eq(
      try_start(&trial, callers_get(&callers), "text", NULL), PSOCK_ECLOSED);
  ck_assert_int_eq(psock_caller_clone(copy, &more), PSOCK_ECLOSED);
  ck_assert_int_eq(psock_caller_clone(callers.caller, &more), PSOCK_ECLOSED);
  ck_assert_int_eq(psock_caller_close(copy, NULL, NULL), PSOCK_EINVAL);
  callers_settle(&callers);
  ck_assert_uint_eq(callers.closed, 1);
  ck_assert_uint_eq(callers_stats(&callers).refused, 1);
  finish();
}
END_TEST

/* What clones have begun when the caller is freed ends in it. */
START_TEST(test_free_at_once) {
  static struct trial trials[4];
  memset(trials, 0, sizeof trials);
  open_with(0);
  ck_assert_int_eq(try_start(&trials[0], put, "text", NULL), 0);
  ck_assert_int_eq(try_start(&trials[1], upload, NULL, NULL), 0);
  ck_assert_int_eq(try_start(&trials[2], get, "text", NULL), 0);
  psock_call_cancel(trials[2].call);
  psock_connection_free(callers_end(&callers)->connection);
  ck_assert_int_eq(try_start(&trials[3], put, "text", NULL), 0);
  callers_free_caller(&callers);
  for (int i = 0; i < 4; i++) {
    callers_check_ended(&trials[i], PSOCK_STATUS_CANCELLED);
    psock_call_unref(trials[i].call);
  }
  finish();
}
END_TEST

/* A clone never runs the loop; inside a callback it can't wait either, but it
 * can take what is there. */
static void wait_in_callback(struct trial *one, psock_call *call) {
  const struct psock_method *method = callers_get(&callers);
  const void *message;
  psock_call *none;
  (void)one;
  (void)call;
  ck_assert_int_eq(psock_caller_run(copy, method,
                       callers_request(method, "text"), NULL, &message, &none),
      PSOCK_ELOOPTHREAD);
  ck_assert_int_eq(psock_caller_open(copy, method,
                       callers_request(method, "text"), NULL, &none),
      PSOCK_ELOOPTHREAD);
}

static psock_call *opened;

static void receive_in_callback(struct trial *one, psock_call *call) {
  const void *message;
  (void)one;
  (void)call;
  ck_assert_int_eq(psock_call_receive(opened, &message), 1);
  ck_assert_int_eq(psock_call_receive(opened, &message), PSOCK_ELOOPTHREAD);
}

START_TEST(test_inside_a_callback) {
  open_with(_i);
  const struct psock_method *method = callers_download(&callers);
  struct psock_call_options options = {
      .size = sizeof options, .timeout = PSOCK_TIMEOUT_DEFAULT, .streams = _i};
  ck_assert_int_eq(psock_caller_open(copy, method,
                       callers_request(method, "text"), &options, &opened),
      0);
  trial.on_message = wait_in_callback;
  trial.on_ended = receive_in_callback;
  start(&trial, callers_get(&callers));
  callers_reply(callers_end(&callers), opened->id, "item", 1);
  answer(&trial);
  psock_call_unref(opened);
  finish();
}
END_TEST

int main(void) {
  Suite *suite = suite_create("caller_clones");
  TCase *tcase = guard_case(suite, "calls");
  tcase_add_loop_test(tcase, test_one_response, 0, 2);
  tcase_add_loop_test(tcase, test_stream, 0, 2);
  tcase_add_loop_test(tcase, test_cancel_at_once, 0, 2);
  tcase_add_loop_test(tcase, test_cancel_before_it_is_open, 0, 2);
  tcase_add_test(tcase, test_requests);
  tcase_add_loop_test(tcase, test_inside_a_callback, 0, 2);
  tcase = guard_case(suite, "links");
  tcase_add_loop_test(tcase, test_connects, 0, 2);
  tcase_add_test(tcase, test_requests_without_a_link);
  tcase_add_test(tcase, test_backs_off);
  tcase_add_loop_test(tcase, test_link_ends_at_once, 0, 2);
  tcase_add_loop_test(tcase, test_start_while_the_link_ends, 0, 2);
  tcase_add_loop_test(tcase, test_kept_without_a_link, 0, 2);
  tcase = guard_case(suite, "goaway");
  tcase_add_test(tcase, test_goaway);
  tcase_add_loop_test(tcase, test_goaway_during_a_start, 0, 2);
  tcase = guard_case(suite, "ends");
  tcase_add_loop_test(tcase, test_clone_of_a_clone, 0, 2);
  tcase_add_loop_test(tcase, test_freed_clone, 0, 2);
  tcase_add_loop_test(tcase, test_freed_first, 0, 2);
  tcase_add_loop_test(tcase, test_closed_first, 0, 2);
  tcase_add_test(tcase, test_free_at_once);
  return guard_main(suite);
}
