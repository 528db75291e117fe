/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/calls.h"

#include <string.h>

/*
 * What a server answers, over Frames (0) and over own messages (1), as long as
 * everybody behaves.
 */

START_TEST(unary) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls_open(&calls);
  for (uint32_t i = 1; i <= 5; i++)
    calls_start(&calls.peer, i, calls_get(&calls), "hallo", i * 7);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.served, 5);
  for (uint32_t i = 1; i <= 5; i++) {
    const struct calls_got *got = calls_last(&calls.peer, i);
    ck_assert_uint_eq(calls_count(&calls.peer, i), 1);
    ck_assert_uint_eq(got->code, PSOCK_CODE_NORMAL);
    ck_assert_str_eq(got->text, "hallo");
    ck_assert_uint_eq(got->number, i * 7);
  }
  struct psock_server_stats stats = calls_stats(&calls);
  ck_assert_uint_eq(stats.connections, 1);
  ck_assert_uint_eq(stats.started, 5);
  ck_assert_uint_eq(stats.ended, 5);
  ck_assert_uint_eq(stats.failed, 0);
  ck_assert_uint_eq(stats.in_flight, 0);
  ck_assert_uint_eq(stats.stray, 0);
  calls_fini(&calls);
}
END_TEST

static void stream_some(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  for (uint32_t i = 0; i < number; i++)
    ck_assert_int_eq(calls_send(calls, call, text, i), 0);
  ck_assert_int_eq(psock_call_end(call, NULL), 0);
}

START_TEST(stream) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = stream_some;
  calls_open(&calls);
  calls_start(&calls.peer, 4, calls_download(&calls), "item", 3);
  calls_start(&calls.peer, 5, calls_download(&calls), "item", 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls_count(&calls.peer, 4), 4);
  ck_assert_uint_eq(calls_count_code(&calls.peer, 4, PSOCK_CODE_NORMAL), 3);
  ck_assert_uint_eq(calls_last(&calls.peer, 4)->code, PSOCK_CODE_END);
  ck_assert_uint_eq(calls_count(&calls.peer, 5), 1);
  calls_fini(&calls);
}
END_TEST

static void answer_later(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  (void)number;
  calls->data = psock_call_ref(call);
}

START_TEST(later) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = answer_later;
  calls_open(&calls);
  calls_start(&calls.peer, 9, calls_get(&calls), "x", 1);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.peer.count, calls.own ? 0 : 1);
  ck_assert_uint_eq(calls_stats(&calls).in_flight, 1);
  ck_assert_int_eq(calls_reply(&calls, calls.data, "now", 2), 0);
  ck_assert_int_eq(calls_reply(&calls, calls.data, "now", 2), PSOCK_ECANCELED);
  psock_call_unref(calls.data);
  calls_settle(&calls);
  ck_assert_str_eq(calls_last(&calls.peer, 9)->text, "now");
  ck_assert_uint_eq(calls_stats(&calls).in_flight, 0);
  calls_fini(&calls);
}
END_TEST

START_TEST(unanswered) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = calls_ignore;
  calls_open(&calls);
  calls_start(&calls.peer, 9, calls_get(&calls), "x", 1);
  calls_settle(&calls);
  calls_check_failed(&calls.peer, 9, PSOCK_STATUS_INTERNAL);
  ck_assert_uint_eq(calls_stats(&calls).failed, 1);
  calls_fini(&calls);
}
END_TEST

static void watch(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  (void)number;
  calls_watch(calls, call);
}

START_TEST(cancelled) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = watch;
  calls_open(&calls);
  calls_start(&calls.peer, 9, calls_get(&calls), "x", 1);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.ended.count, 0);
  calls_cancel(&calls.peer, 9);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.ended.count, 1);
  ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_CANCELLED);
  calls_check_failed(&calls.peer, 9, NO_STATUS);
  calls_fini(&calls);
}
END_TEST

static Suite *suite(void) {
  Suite *suite = suite_create("server");
  TCase *tcase = guard_case(suite, "behaved");
  tcase_add_loop_test(tcase, unary, 0, 2);
  tcase_add_loop_test(tcase, stream, 0, 2);
  tcase_add_loop_test(tcase, later, 0, 2);
  tcase_add_loop_test(tcase, unanswered, 0, 2);
  tcase_add_loop_test(tcase, cancelled, 0, 2);
  return suite;
}

int main(void) {
  return guard_main(suite());
}
