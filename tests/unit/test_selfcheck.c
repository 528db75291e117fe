/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/rig.h"

#include <stdlib.h>

/*
 * The guards of these tests fail when they should. Tests that do something
 * wrong are run first, as a suite of their own that says nothing; the real
 * tests look at how each of them came out.
 */

#define WRONGS 9

static bool failed[WRONGS];

static void leak(struct rig *rig) {
  ck_assert_ptr_nonnull(rig_clone(rig));
}

static void leak_a_block(struct rig *rig) {
  ck_assert_ptr_nonnull(
      rig->fault.allocator.alloc(rig->fault.allocator.data, 1));
}

/* As a library would that releases twice. */
static void release_twice(struct rig *rig) {
  struct psock_send_options options = {.size = sizeof options};
  struct rig_lent *lent = rig_lend(rig, 0, 100, 1);
  rig_release_with(&options, lent);
  options.release(options.release_data);
  options.release(options.release_data);
}

static void release_never(struct rig *rig) {
  rig_lend(rig, 0, 100, 1);
}

static void call_back_early(struct rig *rig) {
  rig->inside++;
  psock_connection_free(rig->near.connection);
  rig->inside--;
}

static void release_early(struct rig *rig) {
  struct psock_send_options options = {.size = sizeof options};
  rig_release_with(&options, rig_lend(rig, 0, 100, 1));
  rig->inside++;
  options.release(options.release_data);
  rig->inside--;
}

static void close_twice(struct rig *rig) {
  psock_connection *connection = rig->near.connection;
  rig->near.ops.closed(&rig->near, connection, 0);
  rig->near.connection = connection;
}

static void free_a_stray(struct rig *rig) {
  struct alloc_fault other;
  alloc_fault_init(&other);
  void *memory = other.allocator.alloc(other.allocator.data, 10);
  rig->fault.allocator.free(rig->fault.allocator.data, memory);
  other.allocator.free(other.allocator.data, memory);
}

static void do_nothing(struct rig *rig) {
  (void)rig;
}

static const struct {
  const char *name;
  void (*act)(struct rig *rig);
  bool is_wrong;
} wrongs[WRONGS] = {
    {"leak", leak, true},
    {"leak_a_block", leak_a_block, true},
    {"release_twice", release_twice, true},
    {"release_never", release_never, true},
    {"call_back_early", call_back_early, true},
    {"release_early", release_early, true},
    {"close_twice", close_twice, true},
    {"free_a_stray", free_a_stray, true},
    {"do_nothing", do_nothing, false},
};

START_TEST(wrong) {
  struct rig rig;
  rig_init(&rig);
  rig_open(&rig);
  wrongs[_i].act(&rig);
  rig_fini(&rig);
}
END_TEST

/* Runs the wrong ones; what they print or report is nobody's business. */
static void run_wrongs(void) {
  Suite *suite = suite_create("wrongs");
  TCase *tcase = rig_case(suite, "wrongs");
  tcase_add_loop_test(tcase, wrong, 0, WRONGS);
  SRunner *runner = srunner_create(suite);
  srunner_set_tap(runner, "/dev/null");
  srunner_run_all(runner, CK_SILENT);
  TestResult **results = srunner_results(runner);
  for (int i = 0; i < srunner_ntests_run(runner); i++)
    failed[i] = tr_rtype(results[i]) != CK_PASS;
  free(results);
  srunner_free(runner);
}

START_TEST(guards_see) {
  ck_assert_msg(failed[_i] == wrongs[_i].is_wrong, "%s: %s", wrongs[_i].name,
      failed[_i] ? "failed" : "was not seen");
}
END_TEST

/* The allocator fails where it should, and only there. */
START_TEST(allocations_fail_as_told) {
  struct alloc_fault fault;
  alloc_fault_init(&fault);
  for (size_t at = 2; at < 20; at++) {
    void *memory[20];
    alloc_fault_arm(&fault, at, _i != 0);
    for (size_t i = 0; i < 20; i++) {
      bool fails = _i ? i + 1 >= at : i + 1 == at;
      memory[i] = fault.allocator.alloc(fault.allocator.data, 10);
      ck_assert_int_eq(memory[i] == NULL, fails);
    }
    ck_assert_uint_eq(atomic_load(&fault.refused), _i ? 21 - at : 1);
    ck_assert_uint_eq(atomic_load(&fault.live), 20 - (_i ? 21 - at : 1));
    ck_assert_ptr_nonnull(alloc_fault_complaint(&fault));
    for (size_t i = 0; i < 20; i++)
      if (memory[i] != NULL)
        fault.allocator.free(fault.allocator.data, memory[i]);
    ck_assert_ptr_null(alloc_fault_complaint(&fault));
  }
}
END_TEST

/* A message that was changed on the way is seen. */
START_TEST(messages_are_read_closely) {
  char buffer[200];
  struct rig_got got;
  struct psock_text text = rig_message(buffer, 1, 2, sizeof buffer);
  ck_assert(rig_read(&text, &got));
  ck_assert_uint_eq(got.lane, 1);
  ck_assert_uint_eq(got.number, 2);
  for (size_t i = RIG_MESSAGE_MIN; i < sizeof buffer; i++) {
    buffer[i] ^= 1;
    ck_assert(!rig_read(&text, &got));
    buffer[i] ^= 1;
  }
  text.length = RIG_MESSAGE_MIN - 1;
  ck_assert(!rig_read(&text, &got));
}
END_TEST

int main(void) {
  run_wrongs();
  Suite *suite = suite_create("the guards");
  TCase *tcase = rig_case(suite, "guards");
  tcase_add_loop_test(tcase, guards_see, 0, WRONGS);
  tcase_add_loop_test(tcase, allocations_fail_as_told, 0, 2);
  tcase_add_test(tcase, messages_are_read_closely);
  return rig_main(suite);
}
