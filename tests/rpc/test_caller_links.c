/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/callers.h"

#include "rpc/call.h"
#include <string.h>

/*
 * Callers that connect: when they do, what waits for it, and what is sent
 * again.
 */

static struct callers callers;
static struct trial trial;
static const struct psock_method *const get = &trial__trial__get__method;
static const struct psock_method *const put = &trial__trial__put__method;

static void prepare(int own) {
  callers_init(&callers, own != 0);
  trial = (struct trial){.callers = NULL};
  callers.connects = true;
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

static void lose(void) {
  psock_connection_free(callers_end(&callers)->connection);
  callers_settle(&callers);
}

/* Brings the caller to where the next attempt to connect has to wait. */
static void fail_once(void) {
  callers.open_error = PSOCK_EREFUSED;
  static struct trial first;
  first = (struct trial){.callers = NULL};
  lose();
  callers_start(
      &callers, &first, callers.own ? callers_get(&callers) : put, "text");
  callers_check_ended(&first, PSOCK_STATUS_UNAVAILABLE);
  callers_unref(&first);
}

static void answer(struct trial *one) {
  callers_reply(callers_end(&callers), one->call->id, "answer", 1);
  callers_settle(&callers);
  callers_check_ended(one, PSOCK_STATUS_OK);
}

/* ---- Connecting ---- */

START_TEST(test_connects_at_once) {
  prepare(_i);
  ck_assert_int_eq(callers_try(&callers), 0);
  ck_assert_uint_eq(callers.connects_seen, 1);
  callers_start(&callers, &trial, callers_get(&callers), "text");
  ck_assert_uint_eq(callers.connects_seen, 1);
  ck_assert_uint_eq(callers_stats(&callers).connected, 1);
  answer(&trial);
  finish();
}
END_TEST

START_TEST(test_connect_fails) {
  prepare(_i);
  callers.connect_error = PSOCK_ENFILE;
  ck_assert_int_eq(callers_try(&callers), PSOCK_ENFILE);
  ck_assert_ptr_null(callers.caller);
  callers_fini(&callers);
}
END_TEST

/* Not before it is needed. */
START_TEST(test_connects_again) {
  open_with(_i);
  lose();
  callers_pass(&callers, SECOND);
  ck_assert_uint_eq(callers.connects_seen, 1);
  callers_start(&callers, &trial, _i ? callers_get(&callers) : put, "text");
  ck_assert_uint_eq(callers.connects_seen, 2);
  ck_assert_uint_eq(callers_stats(&callers).connected, 2);
  ck_assert_uint_eq(
      callers_count(callers_end(&callers), PSOCK_CODE_HELLO), _i ? 0 : 1);
  answer(&trial);
  finish();
}
END_TEST

/* What was sent to a connection that never opened was not begun. */
START_TEST(test_refused) {
  prepare(_i);
  callers.open_error = PSOCK_EREFUSED;
  ck_assert_int_eq(callers_try(&callers), 0);
  callers_start(&callers, &trial, _i ? callers_get(&callers) : put, "text");
  callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
  ck_assert_int_eq(trial.not_begun, 1);
  ck_assert_str_eq(trial.reason, psock_strerror(PSOCK_EREFUSED));
  ck_assert_uint_eq(callers_stats(&callers).connected, 0);
  finish();
}
END_TEST

/* While the next attempt has to wait, what may be sent again waits with it. */
START_TEST(test_waits) {
  open_with(0);
  fail_once();
  unsigned seen = callers.connects_seen;
  callers.open_error = 0;
  callers_start(&callers, &trial, put, "text");
  callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
  ck_assert_int_eq(trial.not_begun, 1);
  callers_unref(&trial);
  trial = (struct trial){.callers = NULL};
  callers_start(&callers, &trial, get, "text");
  ck_assert_uint_eq(trial.ended, 0);
  ck_assert_uint_eq(callers.connects_seen, seen);
  ck_assert_uint_gt(callers_stats(&callers).kept, 0);
  callers_pass(&callers, 50 * MILLISECOND);
  ck_assert_uint_eq(callers.connects_seen, seen + 1);
  ck_assert_str_eq(
      callers_last(callers_end(&callers), PSOCK_CODE_NORMAL)->text, "text");
  answer(&trial);
  ck_assert_uint_eq(callers_stats(&callers).retried, 0);
  ck_assert_uint_eq(callers_stats(&callers).kept, 0);
  finish();
}
END_TEST

/* Over own messages nothing is said to be idempotent. */
START_TEST(test_own_does_not_wait) {
  open_with(1);
  fail_once();
  callers_start(&callers, &trial, callers_get(&callers), "text");
  callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
  ck_assert_int_eq(trial.not_begun, 1);
  finish();
}
END_TEST

START_TEST(test_deadline_while_waiting) {
  open_with(0);
  fail_once();
  callers.connect_error = PSOCK_ENFILE;
  struct psock_call_options options = {
      .size = sizeof options, .timeout = 10 * SECOND};
  ck_assert_int_eq(
      callers_try_start(&callers, &trial, get, "text", &options), 0);
  for (int i = 0; i < 9999; i++) {
    ck_assert_uint_eq(trial.ended, 0);
    callers_pass(&callers, MILLISECOND);
  }
  ck_assert_uint_eq(trial.ended, 0);
  callers_pass(&callers, MILLISECOND);
  callers_check_ended(&trial, PSOCK_STATUS_DEADLINE_EXCEEDED);
  /* 50 ms, doubled each time, of which a random part is taken: in 10 s at least
   * 8 attempts. */
  ck_assert_uint_ge(callers.connects_seen, 8);
  ck_assert_uint_le(callers.connects_seen, 40);
  finish();
}
END_TEST

/* The time between attempts grows, but not beyond 30 s. */
START_TEST(test_backoff) {
  uint64_t last = 0;
  uint64_t most = 0;
  unsigned seen = 0;
  open_with(0);
  fail_once();
  callers.connect_error = PSOCK_ENFILE;
  struct psock_call_options options = {
      .size = sizeof options, .timeout = 2000 * SECOND};
  ck_assert_int_eq(
      callers_try_start(&callers, &trial, get, "text", &options), 0);
  callers_settle(&callers);
  seen = callers.connects_seen;
  last = psock_loop_now(callers.loop);
  for (int i = 0; i < 100000 && trial.ended == 0; i++) {
    callers_pass(&callers, 20 * MILLISECOND);
    uint64_t now = psock_loop_now(callers.loop);
    if (callers.connects_seen == seen)
      continue;
    ck_assert_uint_eq(callers.connects_seen, seen + 1);
    seen++;
    if (now - last > most)
      most = now - last;
    ck_assert_uint_le(now - last, 30 * SECOND + 40 * MILLISECOND);
    last = now;
  }
  callers_check_ended(&trial, PSOCK_STATUS_DEADLINE_EXCEEDED);
  ck_assert_uint_gt(most, 20 * SECOND);
  finish();
}
END_TEST

/* A connection that opens takes all failures back. */
START_TEST(test_backoff_ends) {
  open_with(0);
  fail_once();
  callers.open_error = 0;
  callers_start(&callers, &trial, get, "text");
  callers_pass(&callers, 50 * MILLISECOND);
  answer(&trial);
  callers_unref(&trial);
  trial = (struct trial){.callers = NULL};
  lose();
  callers_start(&callers, &trial, put, "text");
  answer(&trial);
  finish();
}
END_TEST

/* Connections that open, but on which nothing is answered, are failures: a
 * server that closes them at once is not called on without end. */
START_TEST(test_of_no_use) {
  unsigned most = 0;
  unsigned seen = 0;
  open_with(_i);
  for (int i = 0; i < 10000; i++) {
    trial = (struct trial){.callers = NULL};
    callers_start(&callers, &trial, _i ? callers_get(&callers) : put, "text");
    if (callers_end(&callers)->connection != NULL)
      lose();
    callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
    callers_unref(&trial);
    if (callers.connects_seen > seen)
      seen = callers.connects_seen;
    else
      most++;
    callers_pass(&callers, MILLISECOND);
  }
  ck_assert_uint_gt(most, 9900);
  ck_assert_uint_ge(seen, 8);
  ck_assert_uint_le(seen, 40);
  finish();
}
END_TEST

/* A connection that takes three seconds to open; the wait for the server's
 * first frame begins then. */
START_TEST(test_slow_to_open) {
  prepare(0);
  callers.silent = true;
  callers.open_error = PSOCK_EAGAIN;
  ck_assert_int_eq(callers_try(&callers), 0);
  ck_assert_int_eq(callers_try_start(&callers, &trial,
                       &trial__trial__upload__method, NULL, NULL),
      0);
  for (int i = 0; i < 30; i++) {
    psock_test_loop_advance(callers.loop, 100 * MILLISECOND);
    for (int j = 0; j < 3; j++)
      psock_test_loop_turn(callers.loop);
  }
  ck_assert_uint_eq(trial.ended, 0);
  struct callers_end *end = callers_end(&callers);
  psock_memory_fail(end->memory, PSOCK_MEMORY_OPEN, 0, 0);
  callers_settle(&callers);
  callers_pass(&callers, 999 * MILLISECOND);
  ck_assert_uint_eq(trial.ended, 0);
  if (_i == 0) {
    callers_pass(&callers, MILLISECOND);
    callers_check_ended(&trial, PSOCK_STATUS_UNIMPLEMENTED);
  } else {
    callers_hello(end, 0, 0);
    callers_settle(&callers);
    answer(&trial);
  }
  finish();
}
END_TEST

/* ---- Sending again ---- */

/* What ends the call: 0 the connection, 1 UNAVAILABLE, 2 not begun. */
static void break_call(int how, struct trial *one) {
  struct callers_end *end = callers_end(&callers);
  if (how == 0)
    psock_connection_free(end->connection);
  else if (how == 1)
    callers_fail(end, one->call->id, PSOCK_STATUS_UNAVAILABLE, false);
  else
    callers_fail(end, one->call->id, PSOCK_STATUS_RESOURCE_EXHAUSTED, true);
  callers_settle(&callers);
}

START_TEST(test_sent_again) {
  open_with(0);
  const struct psock_metadata entry = {
      .key = "key", .value = (const uint8_t *)"value", .length = 5};
  struct psock_call_options options = {.size = sizeof options,
      .timeout = SECOND,
      .metadata = &entry,
      .metadata_count = 1};
  ck_assert_int_eq(
      callers_try_start(&callers, &trial, get, "text", &options), 0);
  callers_settle(&callers);
  uint64_t id = trial.call->id;
  break_call(_i, &trial);
  ck_assert_uint_eq(trial.ended, 0);
  callers_pass(&callers, 50 * MILLISECOND);
  ck_assert_uint_eq(callers_stats(&callers).retried, 1);
  ck_assert_uint_eq(callers.connects_seen, _i == 0 ? 2 : 1);
  if (_i != 0)
    ck_assert_uint_ne(trial.call->id, id);
  const struct callers_got *got =
      callers_last(callers_end(&callers), PSOCK_CODE_NORMAL);
  ck_assert_uint_eq(got->id, trial.call->id);
  ck_assert_str_eq(got->text, "text");
  ck_assert_str_eq(got->metadata, "key=value ");
  ck_assert_uint_lt(got->timeout_us, 1000000);
  ck_assert_uint_ge(got->timeout_us, 950000);
  ck_assert_uint_eq(callers_count(callers_end(&callers), PSOCK_CODE_CANCEL), 0);
  answer(&trial);
  ck_assert_uint_eq(callers_stats(&callers).kept, 0);
  ck_assert_uint_eq(callers_stats(&callers).started, 1);
  ck_assert_uint_eq(callers_stats(&callers).ended, 1);
  finish();
}
END_TEST

/* At most five times in all. */
START_TEST(test_sent_again_too_often) {
  open_with(0);
  callers_start(&callers, &trial, get, "text");
  for (int i = 0; i < 5; i++) {
    ck_assert_uint_eq(trial.ended, 0);
    break_call(_i, &trial);
    callers_pass(&callers, SECOND);
  }
  callers_check_ended(&trial,
      _i == 2 ? PSOCK_STATUS_RESOURCE_EXHAUSTED : PSOCK_STATUS_UNAVAILABLE);
  ck_assert_int_eq(trial.not_begun, _i == 2);
  ck_assert_uint_eq(callers_stats(&callers).retried, 4);
  finish();
}
END_TEST

/* Not one that isn't idempotent, or has been answered, or has no time left, or
 * has failed otherwise. */
START_TEST(test_not_sent_again) {
  struct psock_call_options options = {
      .size = sizeof options, .timeout = 10 * SECOND};
  open_with(0);
  const struct psock_method *method = _i == 0 ? put : get;
  if (_i == 2)
    options.timeout = 1;
  ck_assert_int_eq(
      callers_try_start(&callers, &trial, method, "text", &options), 0);
  callers_settle(&callers);
  trial.id = trial.call->id;
  if (_i == 1)
    callers_fail(callers_end(&callers), trial.id, PSOCK_STATUS_INTERNAL, false);
  else
    callers_fail(
        callers_end(&callers), trial.id, PSOCK_STATUS_UNAVAILABLE, _i == 0);
  callers_settle(&callers);
  callers_check_ended(
      &trial, _i == 1 ? PSOCK_STATUS_INTERNAL : PSOCK_STATUS_UNAVAILABLE);
  ck_assert_int_eq(trial.not_begun, _i == 0);
  ck_assert_uint_eq(callers_stats(&callers).retried, 0);
  finish();
}
END_TEST

/* A request that can't be kept is sent, but only once. */
START_TEST(test_not_kept) {
  static char text[1000];
  memset(text, 'x', sizeof text - 1);
  prepare(0);
  callers.options.max_kept = 500;
  callers_open(&callers);
  callers_start(&callers, &trial, get, text);
  ck_assert_uint_eq(callers_count(callers_end(&callers), PSOCK_CODE_NORMAL), 1);
  break_call(1, &trial);
  callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
  finish();
}
END_TEST

/* Cancelling, and the deadline, end it while it waits for its time. */
START_TEST(test_ends_between_attempts) {
  struct psock_call_options options = {
      .size = sizeof options, .timeout = 100 * MILLISECOND};
  open_with(0);
  ck_assert_int_eq(
      callers_try_start(&callers, &trial, get, "text", &options), 0);
  callers_settle(&callers);
  callers.connect_error = PSOCK_ENFILE;
  break_call(0, &trial);
  ck_assert_uint_eq(trial.ended, 0);
  if (_i == 0)
    psock_call_cancel(trial.call);
  else
    psock_test_loop_advance(callers.loop, 100 * MILLISECOND);
  callers_settle(&callers);
  callers_check_ended(&trial,
      _i == 0 ? PSOCK_STATUS_CANCELLED : PSOCK_STATUS_DEADLINE_EXCEEDED);
  finish();
}
END_TEST

/* A caller that was given its transport has no other one. */
START_TEST(test_only_one_connection) {
  prepare(0);
  callers.connects = false;
  callers_open(&callers);
  callers_start(&callers, &trial, get, "text");
  break_call(1, &trial);
  ck_assert_uint_eq(trial.ended, 0);
  callers_pass(&callers, 50 * MILLISECOND);
  ck_assert_uint_eq(callers_count(callers_end(&callers), PSOCK_CODE_NORMAL), 2);
  break_call(0, &trial);
  callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
  ck_assert_int_eq(trial.not_begun, 0);
  callers_unref(&trial);
  trial = (struct trial){.callers = NULL};
  callers_start(&callers, &trial, get, "text");
  callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
  ck_assert_int_eq(trial.not_begun, 1);
  finish();
}
END_TEST

/* What was never handed to the transport in whole was not begun. */
START_TEST(test_not_begun) {
  static char text[500];
  static struct trial trials[4];
  memset(text, 'x', sizeof text - 1);
  memset(trials, 0, sizeof trials);
  prepare(_i);
  callers.connects = false;
  callers.capacity = 1200;
  callers_open(&callers);
  psock_connection_pause(callers_end(&callers)->connection);
  callers_settle(&callers);
  for (int i = 0; i < 4; i++)
    callers_start(&callers, &trials[i], _i ? callers_get(&callers) : put, text);
  lose();
  for (int i = 0; i < 4; i++) {
    callers_check_ended(&trials[i], PSOCK_STATUS_UNAVAILABLE);
    ck_assert_int_eq(trials[i].not_begun, i >= 2);
    callers_unref(&trials[i]);
  }
  finish();
}
END_TEST

/* A server that ends its side answers nothing more. */
START_TEST(test_input_ends) {
  open_with(_i);
  callers_start(&callers, &trial, _i ? callers_get(&callers) : put, "text");
  psock_connection_close(callers_end(&callers)->connection);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
  ck_assert_str_eq(trial.reason, "the connection has ended");
  ck_assert_int_eq(callers.ends[0].reason, 0);
  callers_unref(&trial);
  callers_pass(&callers, 50 * MILLISECOND);
  trial = (struct trial){.callers = NULL};
  callers_start(&callers, &trial, callers_get(&callers), "text");
  answer(&trial);
  finish();
}
END_TEST

int main(void) {
  Suite *suite = suite_create("caller_links");
  TCase *tcase = guard_case(suite, "connecting");
  tcase_add_loop_test(tcase, test_connects_at_once, 0, 2);
  tcase_add_loop_test(tcase, test_connect_fails, 0, 2);
  tcase_add_loop_test(tcase, test_connects_again, 0, 2);
  tcase_add_loop_test(tcase, test_refused, 0, 2);
  tcase_add_test(tcase, test_waits);
  tcase_add_test(tcase, test_own_does_not_wait);
  tcase_add_test(tcase, test_deadline_while_waiting);
  tcase_add_test(tcase, test_backoff);
  tcase_add_test(tcase, test_backoff_ends);
  tcase_add_loop_test(tcase, test_of_no_use, 0, 2);
  tcase_add_loop_test(tcase, test_slow_to_open, 0, 2);
  tcase = guard_case(suite, "again");
  tcase_add_loop_test(tcase, test_sent_again, 0, 3);
  tcase_add_loop_test(tcase, test_sent_again_too_often, 0, 3);
  tcase_add_loop_test(tcase, test_not_sent_again, 0, 3);
  tcase_add_test(tcase, test_not_kept);
  tcase_add_loop_test(tcase, test_ends_between_attempts, 0, 2);
  tcase_add_test(tcase, test_only_one_connection);
  tcase_add_loop_test(tcase, test_not_begun, 0, 2);
  tcase_add_loop_test(tcase, test_input_ends, 0, 2);
  return guard_main(suite);
}
