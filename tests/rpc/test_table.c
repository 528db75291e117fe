/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/table.h"

#include "lib/alloc_fault.h"
#include "lib/guard.h"
#include "lib/memory.h"
#include <protosocket/testing.h>

/*
 * The table of calls by id: what is in it is found, what isn't is not, and ids
 * that somebody has chosen don't make it slow.
 */

#define MOST 4096

static struct table_rig {
  struct alloc_fault fault;
  psock_loop *loop;
  struct psock_table table;
  struct psock_table_entry entries[MOST];
  bool in[MOST];
} rig;

static void set_up(void) {
  alloc_fault_init(&rig.fault);
  struct psock_loop_options options = {
      .size = sizeof options, .allocator = &rig.fault.allocator};
  ck_assert_int_eq(psock_test_loop_new(&options, &rig.loop), 0);
  psock_table_init(&rig.table, rig.loop);
  for (int i = 0; i < MOST; i++)
    rig.in[i] = false;
}

static void tear_down(void) {
  psock_loop_free(rig.loop);
  ck_assert_ptr_null(alloc_fault_complaint(&rig.fault));
}

static void add(int i, uint64_t id) {
  rig.entries[i].id = id;
  rig.in[i] = true;
  psock_table_add(&rig.table, &rig.entries[i]);
}

static void take_out(int i) {
  rig.in[i] = false;
  psock_table_remove(&rig.table, &rig.entries[i]);
}

static void take_out_all(void) {
  struct psock_table_entry *entry;
  while ((entry = psock_table_next(&rig.table, NULL)) != NULL)
    take_out((int)(entry - rig.entries));
}

START_TEST(empty) {
  ck_assert_ptr_null(psock_table_find(&rig.table, 0));
  ck_assert_ptr_null(psock_table_next(&rig.table, NULL));
}
END_TEST

START_TEST(few) {
  size_t before = atomic_load(&rig.fault.calls);
  for (int i = 0; i < 8; i++)
    add(i, (uint64_t)i);
  for (int i = 0; i < 8; i++)
    ck_assert_ptr_eq(
        psock_table_find(&rig.table, (uint64_t)i), &rig.entries[i]);
  ck_assert_ptr_null(psock_table_find(&rig.table, 8));
  ck_assert_uint_eq(atomic_load(&rig.fault.calls), before);
  take_out_all();
}
END_TEST

/* Against an array, with and without memory. */
START_TEST(like_an_array) {
  uint64_t state = (uint64_t)_i;
  if (_i % 2 == 1)
    alloc_fault_arm(&rig.fault, 1, true);
  for (int step = 0; step < 50000; step++) {
    int i = (int)random_below(&state, MOST);
    uint64_t id = (uint64_t)i * 0x9e3779b97f4a7c15u;
    struct psock_table_entry *found = psock_table_find(&rig.table, id);
    DEMAND((found == &rig.entries[i]) == rig.in[i], "it isn't found");
    DEMAND(found == NULL || rig.in[i], "it is found");
    if (rig.in[i])
      take_out(i);
    else
      add(i, id);
  }
  size_t count = 0;
  for (struct psock_table_entry *entry = NULL;
       (entry = psock_table_next(&rig.table, entry)) != NULL; count++)
    DEMAND(rig.in[entry - rig.entries], "one that isn't in");
  ck_assert_uint_eq(count, rig.table.count);
  take_out_all();
  ck_assert_uint_eq(rig.table.count, 0);
  alloc_fault_disarm(&rig.fault);
}
END_TEST

static size_t longest_chain(void) {
  size_t longest = 0;
  for (size_t i = 0; i < (size_t)1 << rig.table.bits; i++) {
    size_t length = 0;
    for (struct psock_table_entry *entry = rig.table.buckets[i]; entry != NULL;
         entry = entry->next)
      length++;
    longest = length > longest ? length : longest;
  }
  return longest;
}

/* Ids in which only some bits differ, wherever these are. */
START_TEST(chosen_ids) {
  for (uint64_t i = 0; i < 1024; i++)
    add((int)i, i << _i | (_i == 0 ? 0 : i >> (64 - _i)));
  ck_assert_uint_ge(rig.table.bits, 9);
  ck_assert_uint_le(longest_chain(), 16);
  take_out_all();
}
END_TEST

/* When the last has gone, so has the memory. */
START_TEST(no_memory_at_rest) {
  size_t before = atomic_load(&rig.fault.live);
  for (int i = 0; i < MOST; i++)
    add(i, (uint64_t)i);
  ck_assert_uint_eq(atomic_load(&rig.fault.live), before + 1);
  take_out_all();
  ck_assert_uint_eq(atomic_load(&rig.fault.live), before);
}
END_TEST

static Suite *suite(void) {
  Suite *suite = suite_create("table");
  TCase *tcase = guard_case(suite, "table");
  tcase_add_checked_fixture(tcase, set_up, tear_down);
  tcase_add_test(tcase, empty);
  tcase_add_test(tcase, few);
  tcase_add_loop_test(tcase, like_an_array, 0, 4);
  tcase_add_loop_test(tcase, chosen_ids, 0, 64);
  tcase_add_test(tcase, no_memory_at_rest);
  return suite;
}

int main(void) {
  return guard_main(suite());
}
