/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/memory.h"

#include "rpc/slots.h"
#include <check.h>
#include <protosocket/error.h>

/*
 * Ids that lead to a place: none is 0, none is taken twice at the same time,
 * and one that has been given back leads nowhere.
 */

static struct memory memory;
static struct psock_slots slots;

static void begin(size_t most, unsigned width) {
  memory_init(&memory, 0);
  psock_slots_init(&slots, memory.heap, most, width);
}

static void finish(void) {
  psock_slots_fini(&slots);
  memory_fini(&memory);
}

START_TEST(test_one_place) {
  int content = 0;
  uint64_t id = 0;
  begin(1, 8);
  for (uint64_t i = 1; i <= 1000; i++) {
    ck_assert_int_eq(psock_slots_take(&slots, &content, &id), 0);
    ck_assert_uint_eq(id, i);
    ck_assert_int_eq(psock_slots_take(&slots, &content, &id), PSOCK_EFULL);
    ck_assert_ptr_eq(psock_slots_find(&slots, i), &content);
    ck_assert_ptr_null(psock_slots_find(&slots, i + 1));
    psock_slots_give(&slots, id);
    ck_assert_ptr_null(psock_slots_find(&slots, id));
  }
  finish();
}
END_TEST

/* At random, against a list of what is taken. */
START_TEST(test_random) {
  static int contents[1000];
  static uint64_t ids[1000];
  static uint64_t old[1000];
  size_t most = 1 + (size_t)_i * 37;
  size_t count = 0;
  uint64_t state = 7;
  begin(most, _i % 2 ? 4 : 8);
  for (int step = 0; step < 20000; step++) {
    if (next_random(&state) % 2) {
      uint64_t id = 0;
      int error = psock_slots_take(&slots, &contents[count % 1000], &id);
      ck_assert_int_eq(error, count == most ? PSOCK_EFULL : 0);
      if (error != 0)
        continue;
      ck_assert_uint_ne(id, 0);
      if (_i % 2)
        ck_assert_uint_le(id, UINT32_MAX);
      ids[count++] = id;
    } else if (count > 0) {
      size_t i = random_below(&state, count);
      psock_slots_give(&slots, ids[i]);
      old[i] = ids[i];
      ids[i] = ids[--count];
      ck_assert_ptr_null(psock_slots_find(&slots, old[i]));
    }
    ck_assert_uint_eq(slots.taken, count);
    if (count > 0) {
      size_t i = random_below(&state, count);
      ck_assert_ptr_nonnull(psock_slots_find(&slots, ids[i]));
    }
  }
  ck_assert_ptr_null(psock_slots_find(&slots, 0));
  ck_assert_ptr_null(psock_slots_find(&slots, UINT64_MAX));
  finish();
}
END_TEST

/* 32 bits begin anew, and leave out 0. */
START_TEST(test_wrap) {
  int content = 0;
  uint64_t id = 0;
  size_t most = (size_t)1 << _i;
  begin(most, 4);
  ck_assert_int_eq(psock_slots_take(&slots, &content, &id), 0);
  uint64_t first = id;
  ck_assert_uint_eq(first, most);
  psock_slots_give(&slots, id);
  uint64_t turns = ((uint64_t)1 << (32 - _i)) - 1;
  slots.at[0].id += (turns - 2) << _i;
  ck_assert_int_eq(psock_slots_take(&slots, &content, &id), 0);
  ck_assert_uint_eq(id, turns << _i);
  ck_assert_ptr_eq(psock_slots_find(&slots, id), &content);
  psock_slots_give(&slots, id);
  ck_assert_int_eq(psock_slots_take(&slots, &content, &id), 0);
  ck_assert_uint_eq(id, first);
  psock_slots_give(&slots, id);
  finish();
}
END_TEST

START_TEST(test_no_memory) {
  static int contents[9];
  uint64_t ids[9];
  begin(100, 8);
  for (int i = 0; i < 8; i++)
    ck_assert_int_eq(psock_slots_take(&slots, &contents[i], &ids[i]), 0);
  alloc_fault_arm(&memory.fault, 1, true);
  ck_assert_int_eq(
      psock_slots_take(&slots, &contents[8], &ids[8]), PSOCK_ENOMEM);
  alloc_fault_disarm(&memory.fault);
  ck_assert_int_eq(psock_slots_take(&slots, &contents[8], &ids[8]), 0);
  for (int i = 0; i < 9; i++)
    ck_assert_ptr_eq(psock_slots_find(&slots, ids[i]), &contents[i]);
  finish();
}
END_TEST

int main(void) {
  Suite *suite = suite_create("slots");
  TCase *tcase = tcase_create("slots");
  suite_add_tcase(suite, tcase);
  tcase_add_test(tcase, test_one_place);
  tcase_add_loop_test(tcase, test_random, 0, 12);
  tcase_add_loop_test(tcase, test_wrap, 1, 21);
  tcase_add_test(tcase, test_no_memory);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? 0 : 1;
}
