/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/callers.h"

#include <string.h>

/*
 * Calls with one response and with many, over Frames and over own messages, on
 * the first caller.
 */

static struct callers callers;
static struct trial trial;

static void open_with(int own) {
  callers_init(&callers, own != 0);
  trial = (struct trial){.callers = NULL};
  callers_open(&callers);
}

/* A stream over own messages is asked for by an option. */
static void start_stream(void) {
  trial.number = 1;
  callers_start(&callers, &trial, callers_download(&callers), "many");
}

static void finish(void) {
  callers_unref(&trial);
  callers_fini(&callers);
}

START_TEST(test_one_response) {
  open_with(_i);
  callers_start(&callers, &trial, callers_get(&callers), "hello");
  struct callers_end *end = callers_end(&callers);
  const struct callers_got *got = callers_last(end, PSOCK_CODE_NORMAL);
  ck_assert_uint_eq(got->id, trial.id);
  ck_assert_str_eq(got->text, "hello");
  ck_assert_uint_eq(got->method, callers_get(&callers)->number);
  ck_assert_uint_eq(got->timeout_us, _i ? 0 : 10000000);
  ck_assert_uint_eq(trial.ended, 0);
  ck_assert_ptr_null(psock_call_get_status(trial.call));
  callers_reply(end, trial.id, "world", 7);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  ck_assert_uint_eq(trial.messages, 1);
  ck_assert_str_eq(trial.text, "world");
  ck_assert_uint_eq(trial.number, 7);
  ck_assert_uint_eq(psock_call_get_status(trial.call)->code, 0);
  struct psock_caller_stats stats = callers_stats(&callers);
  ck_assert_uint_eq(stats.started, 1);
  ck_assert_uint_eq(stats.ended, 1);
  ck_assert_uint_eq(stats.failed, 0);
  ck_assert_uint_eq(stats.in_flight, 0);
  ck_assert_uint_eq(stats.connected, 1);
  ck_assert_uint_eq(stats.kept, 0);
  finish();
}
END_TEST

START_TEST(test_many_responses) {
  open_with(_i);
  start_stream();
  struct callers_end *end = callers_end(&callers);
  for (uint32_t i = 0; i < 5; i++)
    callers_reply(end, trial.id, "item", i);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.messages, 5);
  ck_assert_uint_eq(trial.number, 4);
  ck_assert_uint_eq(trial.ended, 0);
  callers_code(end, trial.id, PSOCK_CODE_END);
  callers_reply(end, trial.id, "too late", 6);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  ck_assert_uint_eq(trial.messages, 5);
  ck_assert_uint_eq(callers_stats(&callers).stray, 1);
  finish();
}
END_TEST

START_TEST(test_cancel_by_user) {
  open_with(_i);
  callers_start(&callers, &trial, callers_get(&callers), "hello");
  callers.inside++;
  psock_call_cancel(trial.call);
  psock_call_cancel(trial.call);
  callers.inside--;
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_CANCELLED);
  struct callers_end *end = callers_end(&callers);
  ck_assert_uint_eq(callers_count_of(end, trial.id, PSOCK_CODE_CANCEL), 1);
  /* What was under way is ignored, and counted. */
  callers_reply(end, trial.id, "too late", 1);
  callers_code(end, trial.id, PSOCK_CODE_CANCEL);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_stats(&callers).stray, 2);
  psock_call_cancel(trial.call);
  callers_settle(&callers);
  finish();
}
END_TEST

START_TEST(test_deadline) {
  open_with(_i);
  struct psock_call_options options = {
      .size = sizeof options, .timeout = 20 * MILLISECOND};
  ck_assert_int_eq(callers_try_start(&callers, &trial, callers_get(&callers),
                       "hello", &options),
      0);
  callers_settle(&callers);
  ck_assert_uint_eq(psock_call_get_time_left(trial.call), 20 * MILLISECOND);
  callers_pass(&callers, 20 * MILLISECOND - 1);
  ck_assert_uint_eq(trial.ended, 0);
  ck_assert_uint_eq(psock_call_get_age(trial.call), 20 * MILLISECOND - 1);
  callers_pass(&callers, 1);
  callers_check_ended(&trial, PSOCK_STATUS_DEADLINE_EXCEEDED);
  ck_assert_uint_eq(callers_count(callers_end(&callers), PSOCK_CODE_CANCEL), 1);
  finish();
}
END_TEST

START_TEST(test_connection_ends) {
  open_with(_i);
  callers_start(&callers, &trial, callers_get(&callers), "hello");
  psock_connection_free(callers_end(&callers)->connection);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
  ck_assert_int_eq(trial.not_begun, 0);
  struct trial later = {.callers = NULL};
  callers_start(&callers, &later, callers_get(&callers), "again");
  callers_check_ended(&later, PSOCK_STATUS_UNAVAILABLE);
  ck_assert_int_eq(later.not_begun, 1);
  callers_unref(&later);
  finish();
}
END_TEST

int main(void) {
  Suite *suite = suite_create("caller");
  TCase *tcase = guard_case(suite, "caller");
  tcase_add_loop_test(tcase, test_one_response, 0, 2);
  tcase_add_loop_test(tcase, test_many_responses, 0, 2);
  tcase_add_loop_test(tcase, test_cancel_by_user, 0, 2);
  tcase_add_loop_test(tcase, test_deadline, 0, 2);
  tcase_add_loop_test(tcase, test_connection_ends, 0, 2);
  return guard_main(suite);
}
