/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/guard.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * check runs every test in a process of its own, so these globals belong to
 * one test. The setup runs before the test and the teardown after it, in the
 * same process; a test that fails skips the rest, and fails for its own reason.
 */

/* Seconds; far above what any test takes, also with a sanitizer. */
#define TIMEOUT 60

static int fds_before;
static const char *allowed_text;
static const char *expected_text;
static int expected_count;
static int expected_seen;
static int unexpected;
static char first_unexpected[200];

static void *counted_alloc(void *data, size_t size) {
  struct guard_memory *memory = data;
  void *made = malloc(size);
  if (made != NULL)
    atomic_fetch_add(&memory->live, 1);
  return made;
}

static void counted_free(void *data, void *freed) {
  struct guard_memory *memory = data;
  atomic_fetch_sub(&memory->live, 1);
  free(freed);
}

struct guard_memory guard_memory = {
    .allocator = {counted_alloc, counted_free, &guard_memory},
};

int guard_count_fds(void) {
  DIR *directory = opendir("/proc/self/fd");
  ck_assert_ptr_nonnull(directory);
  int count = 0;
  while (readdir(directory) != NULL)
    count++;
  closedir(directory);
  return count;
}

void guard_log(void *data, enum psock_log_level level, const char *text) {
  (void)data;
  if (level > PSOCK_LOG_WARNING)
    return;
  if (allowed_text != NULL && strstr(text, allowed_text) != NULL)
    return;
  if (expected_text != NULL && strstr(text, expected_text) != NULL &&
      expected_seen < expected_count) {
    expected_seen++;
    return;
  }
  if (unexpected++ == 0)
    snprintf(first_unexpected, sizeof first_unexpected, "%s", text);
}

void guard_expect_log(const char *text, int count) {
  expected_text = text;
  expected_count = count;
  expected_seen = 0;
}

void guard_allow_log(const char *text) {
  allowed_text = text;
}

int guard_expected_logs(void) {
  return expected_seen;
}

static void setup(void) {
  fds_before = guard_count_fds();
}

static void teardown(void) {
  ck_assert_msg(unexpected == 0, "%d unexpected lines were logged, first: %s",
      unexpected, first_unexpected);
  ck_assert_msg(expected_seen == expected_count,
      "%d of %d lines were logged with: %s", expected_seen, expected_count,
      expected_text);
  long live = atomic_load(&guard_memory.live);
  ck_assert_msg(live == 0, "%ld allocations are left", live);
  int fds = guard_count_fds();
  ck_assert_msg(
      fds == fds_before, "%d descriptors before, %d after", fds_before, fds);
}

TCase *guard_case(Suite *suite, const char *name) {
  TCase *tcase = tcase_create(name);
  tcase_set_timeout(tcase, TIMEOUT);
  tcase_add_checked_fixture(tcase, setup, teardown);
  suite_add_tcase(suite, tcase);
  return tcase;
}

int guard_main(Suite *suite) {
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
