/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/guard.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * The guards catch what they are there for: each test runs a small suite with
 * a test in it that leaves something behind, and wants that test to fail.
 */

START_TEST(leaves_nothing) {
  guard_expect_log("nothing new", 1);
  guard_log(NULL, PSOCK_LOG_WARNING, "there is nothing new");
  guard_log(NULL, PSOCK_LOG_INFO, "this is only for the curious");
  void *memory = guard_memory.allocator.alloc(guard_memory.allocator.data, 1);
  guard_memory.allocator.free(guard_memory.allocator.data, memory);
}
END_TEST

START_TEST(leaves_a_descriptor) {
  ck_assert_int_ge(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
}
END_TEST

START_TEST(closes_one_too_many) {
  ck_assert_int_eq(fcntl(0, F_SETFD, FD_CLOEXEC), 0);
  ck_assert_int_eq(close(0), 0);
}
END_TEST

static void *forgotten;

START_TEST(leaves_memory) {
  forgotten = guard_memory.allocator.alloc(guard_memory.allocator.data, 1);
}
END_TEST

START_TEST(logs_a_line) {
  guard_log(NULL, PSOCK_LOG_WARNING, "something is wrong");
}
END_TEST

START_TEST(logs_a_line_too_few) {
  guard_expect_log("wrong", 2);
  guard_log(NULL, PSOCK_LOG_WARNING, "something is wrong");
}
END_TEST

START_TEST(logs_a_line_too_many) {
  guard_expect_log("wrong", 1);
  guard_log(NULL, PSOCK_LOG_WARNING, "something is wrong");
  guard_log(NULL, PSOCK_LOG_WARNING, "something else is wrong");
}
END_TEST

static const TTest **const inner[] = {&leaves_nothing, &leaves_a_descriptor,
    &closes_one_too_many, &leaves_memory, &logs_a_line, &logs_a_line_too_few,
    &logs_a_line_too_many};

#define INNER (int)(sizeof inner / sizeof inner[0])

START_TEST(guard_catches) {
  /* The inner suite's result is not one of ours to be counted. */
  unsetenv("CK_TAP_LOG_FILE_NAME");
  Suite *suite = suite_create("inner");
  tcase_add_test(guard_case(suite, "inner"), *inner[_i]);
  SRunner *runner = srunner_create(suite);
  srunner_set_fork_status(runner, CK_FORK);
  srunner_run_all(runner, CK_SILENT);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  ck_assert_int_eq(failed, _i == 0 ? 0 : 1);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("guards");
  TCase *tcase = guard_case(suite, "guards");
  tcase_add_loop_test(tcase, guard_catches, 0, INNER);
  return guard_main(suite);
}
