/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/arena.h"
#include "lib/memory.h"
#include "lib/rig.h"

#include <stdlib.h>
#include <string.h>

/*
 * The arena: aligned memory that does not overlap, a limit that is never
 * passed, a rewind that forgets, and references that keep it.
 */

#define MOST 2000

START_TEST(memory_is_aligned_and_apart) {
  struct memory memory;
  static struct {
    unsigned char *at;
    size_t length;
  } given[MOST];
  uint64_t state = 1;
  memory_init(&memory, 0);
  struct psock_arena *arena = psock_arena_new(&memory.pool);
  for (int i = 0; i < MOST; i++) {
    size_t limit = i % 50 == 0 ? 100000 : 300;
    given[i].length = random_below(&state, limit);
    given[i].at = psock_arena_alloc(arena, given[i].length);
    ck_assert_ptr_nonnull(given[i].at);
    ck_assert_uint_eq((uintptr_t)given[i].at % _Alignof(max_align_t), 0);
    memset(given[i].at, i % 251, given[i].length);
  }
  for (int i = 0; i < MOST; i++)
    for (size_t k = 0; k < given[i].length; k++)
      if (given[i].at[k] != i % 251)
        ck_abort_msg("allocation %d was overwritten", i);
  psock_arena_unref(arena);
  memory_fini(&memory);
}
END_TEST

/* What is given for one message, and what is held for it, stays within. */
START_TEST(the_limit_is_never_passed) {
  struct memory memory;
  uint64_t state = (uint64_t)_i + 1;
  memory_init(&memory, (size_t)8 << 20);
  struct psock_arena *arena = psock_arena_new(&memory.pool);
  for (int round = 0; round < 300; round++) {
    size_t limit = random_below(&state, 400000);
    size_t used = 0;
    size_t before = memory_held(&memory);
    psock_arena_limit(arena, limit);
    while (!psock_arena_limited(arena)) {
      size_t length = random_below(&state, limit / 3 + 20);
      if (psock_arena_alloc(arena, length) == NULL)
        break;
      used += length;
      ck_assert_uint_le(used, limit);
    }
    ck_assert(psock_arena_limited(arena));
    /* The structs of the blocks come on top. */
    ck_assert_uint_le(memory_held(&memory), before + limit + 4096);
    psock_arena_next(&arena);
    ck_assert(!psock_arena_limited(arena));
  }
  psock_arena_unref(arena);
  memory_fini(&memory);
}
END_TEST

START_TEST(the_limit_is_exact_for_one) {
  struct memory memory;
  memory_init(&memory, 0);
  struct psock_arena *arena = psock_arena_new(&memory.pool);
  for (size_t limit = 16; limit < 200000; limit += 1600) {
    psock_arena_limit(arena, limit);
    ck_assert_ptr_null(psock_arena_alloc(arena, limit + 1));
    ck_assert(psock_arena_limited(arena));
    psock_arena_next(&arena);
    psock_arena_limit(arena, limit);
    ck_assert_ptr_nonnull(psock_arena_alloc(arena, limit));
    ck_assert_ptr_null(psock_arena_alloc(arena, 1));
    psock_arena_unref(arena);
    arena = psock_arena_new(&memory.pool);
  }
  psock_arena_unref(arena);
  memory_fini(&memory);
}
END_TEST

START_TEST(absurd_lengths_are_refused) {
  struct memory memory;
  memory_init(&memory, 0);
  struct psock_arena *arena = psock_arena_new(&memory.pool);
  for (size_t less = 0; less < 64; less++) {
    psock_arena_limit(arena, 1000);
    ck_assert_ptr_null(psock_arena_alloc(arena, SIZE_MAX - less));
    ck_assert(psock_arena_limited(arena));
    psock_arena_next(&arena);
  }
  psock_arena_unref(arena);
  memory_fini(&memory);
}
END_TEST

/* Out of memory is something else than out of bounds. */
START_TEST(no_memory_is_no_limit) {
  struct memory memory;
  memory_init(&memory, 0);
  alloc_fault_arm(&memory.fault, 1, true);
  ck_assert_ptr_null(psock_arena_new(&memory.pool));
  alloc_fault_disarm(&memory.fault);
  struct psock_arena *arena = psock_arena_new(&memory.pool);
  psock_arena_limit(arena, 1000000);
  alloc_fault_arm(&memory.fault, 1, true);
  ck_assert_ptr_null(psock_arena_alloc(arena, 100));
  ck_assert(!psock_arena_limited(arena));
  alloc_fault_disarm(&memory.fault);
  ck_assert_ptr_nonnull(psock_arena_alloc(arena, 100));
  psock_arena_unref(arena);
  memory_fini(&memory);
}
END_TEST

/* Message after message in the same memory. */
START_TEST(rewind_uses_memory_again) {
  struct memory memory;
  memory_init(&memory, 0);
  struct psock_arena *arena = psock_arena_new(&memory.pool);
  void *first = psock_arena_alloc(arena, 100);
  psock_arena_next(&arena);
  size_t held = memory_held(&memory);
  for (int i = 0; i < 100; i++) {
    ck_assert_ptr_eq(psock_arena_alloc(arena, 100), first);
    for (int k = 0; k < 50; k++)
      ck_assert_ptr_nonnull(psock_arena_alloc(arena, 5000));
    psock_arena_next(&arena);
    ck_assert_uint_eq(memory_held(&memory), held);
  }
  psock_arena_unref(arena);
  memory_fini(&memory);
}
END_TEST

START_TEST(a_reference_keeps_it) {
  struct memory memory;
  memory_init(&memory, 0);
  struct psock_arena *arena = psock_arena_new(&memory.pool);
  char *text = psock_arena_alloc(arena, 6);
  memcpy(text, "still", 6);
  psock_arena_ref(arena);
  psock_arena_unref(arena);
  ck_assert_str_eq(text, "still");
  psock_arena_unref(arena);
  ck_assert_uint_eq(memory_held(&memory), 0);
  memory_fini(&memory);
}
END_TEST

/* Whoever keeps a small message must not hold the memory of the large ones that
 * come behind it. */
START_TEST(what_is_not_kept_goes) {
  struct memory memory;
  memory_init(&memory, 0);
  struct psock_arena *arena = psock_arena_new(&memory.pool);
  struct psock_arena *kept = arena;
  char *text = psock_arena_alloc(arena, 6);
  memcpy(text, "still", 6);
  ck_assert_uint_eq(psock_arena_used(arena), 16);
  psock_arena_ref(arena);
  psock_arena_next(&arena);
  ck_assert_ptr_eq(arena, kept);
  size_t held = memory_held(&memory);
  for (int i = 0; i < 100; i++) {
    ck_assert_uint_eq(psock_arena_used(arena), 0);
    void *first = psock_arena_alloc(arena, 100);
    ck_assert_ptr_eq(first, text + 16);
    ck_assert_uint_eq(psock_arena_used(arena), 112);
    memset(first, i, 100);
    for (int k = 0; k < 50; k++)
      ck_assert_ptr_nonnull(psock_arena_alloc(arena, 5000));
    ck_assert_uint_eq(psock_arena_used(arena), 112 + 50 * 5008);
    psock_arena_next(&arena);
    ck_assert_ptr_eq(arena, kept);
    ck_assert_uint_eq(memory_held(&memory), held);
  }
  ck_assert_str_eq(text, "still");
  psock_arena_unref(arena);
  psock_arena_unref(kept);
  ck_assert_uint_eq(memory_held(&memory), 0);
  memory_fini(&memory);
}
END_TEST

/* Also where the arena is only rewound, because one block was enough. */
START_TEST(limit_ends_with_the_message) {
  struct memory memory;
  memory_init(&memory, 0);
  struct psock_arena *arena = psock_arena_new(&memory.pool);
  for (int i = 0; i < 3; i++) {
    ck_assert_ptr_nonnull(psock_arena_alloc(arena, 1000));
    psock_arena_limit(arena, 64);
    ck_assert_ptr_nonnull(psock_arena_alloc(arena, 32));
    ck_assert_ptr_null(psock_arena_alloc(arena, 100));
    ck_assert_int_eq(psock_arena_limited(arena), 1);
    psock_arena_next(&arena);
    ck_assert_int_eq(psock_arena_limited(arena), 0);
  }
  psock_arena_unref(arena);
  memory_fini(&memory);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("arena");
  TCase *tcase = rig_case(suite, "arena");
  tcase_add_test(tcase, limit_ends_with_the_message);
  tcase_add_test(tcase, memory_is_aligned_and_apart);
  tcase_add_loop_test(tcase, the_limit_is_never_passed, 0, 5);
  tcase_add_test(tcase, the_limit_is_exact_for_one);
  tcase_add_test(tcase, absurd_lengths_are_refused);
  tcase_add_test(tcase, no_memory_is_no_limit);
  tcase_add_test(tcase, rewind_uses_memory_again);
  tcase_add_test(tcase, a_reference_keeps_it);
  tcase_add_test(tcase, what_is_not_kept_goes);
  return rig_main(suite);
}
