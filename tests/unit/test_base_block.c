/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/memory.h"
#include "lib/rig.h"

/*
 * Blocks and their pool: sizes, what is kept for the next use and how much of
 * that, references, and the heap's account of what is held.
 */

START_TEST(sizes_are_powers_of_two) {
  for (int order = 0; order < PSOCK_BLOCK_ORDERS; order++)
    ck_assert_uint_eq(
        psock_block_order_capacity(order) + sizeof(struct psock_block),
        (size_t)PSOCK_BLOCK_SMALL << order);
}
END_TEST

static struct psock_block *get(
    struct memory *memory, size_t capacity, bool shared) {
  return shared ? psock_pool_get_shared(&memory->pool, capacity)
                : psock_pool_get(&memory->pool, capacity);
}

START_TEST(a_block_is_large_enough_and_empty) {
  struct memory memory;
  uint64_t state = 1;
  memory_init(&memory, (size_t)1 << 20);
  for (int i = 0; i < 500; i++) {
    size_t capacity = random_below(&state, (size_t)1 << (i % 25));
    struct psock_block *block = get(&memory, capacity, i % 2);
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_ge(block->capacity, capacity);
    ck_assert_uint_eq(psock_block_length(block), 0);
    ck_assert_uint_eq(psock_block_room(block), block->capacity);
    ck_assert_ptr_null(block->next);
    ck_assert_uint_eq((uintptr_t)block->data % _Alignof(max_align_t), 0);
    block->end = block->capacity;
    block->start = block->end / 2;
    psock_pool_put(&memory.pool, block);
  }
  memory_fini(&memory);
}
END_TEST

START_TEST(a_block_comes_back) {
  struct memory memory;
  memory_init(&memory, 100000);
  struct psock_block *block = get(&memory, 5000, _i);
  psock_pool_put(&memory.pool, block);
  size_t calls = atomic_load(&memory.fault.calls);
  ck_assert_ptr_eq(get(&memory, 8000, _i), block);
  ck_assert_uint_eq(atomic_load(&memory.fault.calls), calls);
  /* The other set does not know it. */
  psock_pool_put(&memory.pool, block);
  struct psock_block *other = get(&memory, 5000, !_i);
  ck_assert_ptr_ne(other, block);
  psock_pool_put(&memory.pool, other);
  memory_fini(&memory);
}
END_TEST

START_TEST(only_so_much_is_kept) {
  struct memory memory;
  struct psock_block *blocks[50];
  memory_init(&memory, 50000);
  for (int i = 0; i < 50; i++)
    blocks[i] = get(&memory, 4000, _i);
  for (int i = 0; i < 50; i++)
    psock_pool_put(&memory.pool, blocks[i]);
  ck_assert_uint_le(memory_held(&memory), 50000 + 20 * sizeof *blocks[0]);
  ck_assert_uint_ge(memory_held(&memory), 40000);
  memory_fini(&memory);
}
END_TEST

START_TEST(cached_gives_only_what_is_there) {
  struct memory memory;
  memory_init(&memory, (size_t)1 << 20);
  ck_assert_ptr_null(psock_pool_get_cached(&memory.pool, 100000));
  struct psock_block *block = psock_pool_get(&memory.pool, 100000);
  ck_assert_ptr_null(psock_pool_get_cached(&memory.pool, 100000));
  psock_pool_put(&memory.pool, block);
  ck_assert_ptr_eq(psock_pool_get_cached(&memory.pool, 100000), block);
  psock_pool_put(&memory.pool, block);
  ck_assert_ptr_null(psock_pool_get_cached(&memory.pool, SIZE_MAX));
  memory_fini(&memory);
}
END_TEST

START_TEST(references_count) {
  struct memory memory;
  memory_init(&memory, 0);
  struct psock_block *block = psock_pool_get(&memory.pool, 10);
  size_t held = memory_held(&memory);
  psock_block_ref(block);
  psock_block_ref(block);
  psock_block_unref(block);
  psock_pool_put(&memory.pool, block);
  ck_assert_uint_eq(memory_held(&memory), held);
  psock_block_unref(block);
  ck_assert_uint_eq(memory_held(&memory), 0);
  memory_fini(&memory);
}
END_TEST

/* A block that is kept on may outlive the pool. */
START_TEST(a_block_outlives_its_pool) {
  struct memory memory;
  memory_init(&memory, 100000);
  struct psock_heap *heap = psock_heap_ref(memory.heap);
  struct psock_block *block = psock_pool_get(&memory.pool, 10);
  psock_pool_fini(&memory.pool);
  psock_heap_unref(heap);
  psock_heap_unref(heap);
  block->data[0] = 1;
  psock_block_unref(block);
  ck_assert_ptr_null(alloc_fault_complaint(&memory.fault));
}
END_TEST

START_TEST(lent_bytes_stay_where_they_are) {
  static const char bytes[] = "lent";
  struct memory memory;
  memory_init(&memory, 100000);
  struct psock_block *block = psock_block_lend(memory.heap, bytes, 4);
  ck_assert_ptr_eq((const char *)block->data, bytes);
  ck_assert_uint_eq(psock_block_length(block), 4);
  ck_assert_uint_eq(psock_block_room(block), 0);
  ck_assert_uint_eq(memory_held(&memory), sizeof *block);
  psock_pool_put(&memory.pool, block);
  ck_assert_uint_eq(memory_held(&memory), 0);
  memory_fini(&memory);
}
END_TEST

START_TEST(no_memory_no_block) {
  struct memory memory;
  memory_init(&memory, 0);
  ck_assert_ptr_null(psock_block_new(memory.heap, SIZE_MAX));
  ck_assert_ptr_null(
      psock_block_new(memory.heap, SIZE_MAX - sizeof(struct psock_block) + 1));
  alloc_fault_arm(&memory.fault, 1, true);
  ck_assert_ptr_null(get(&memory, 100, _i));
  ck_assert_ptr_null(get(&memory, (size_t)100 << 20, _i));
  ck_assert_ptr_null(psock_block_lend(memory.heap, "", 1));
  memory_fini(&memory);
}
END_TEST

/* ---- the heap ---- */

START_TEST(held_bytes_are_counted) {
  struct memory memory;
  memory_init(&memory, 0);
  void *one = psock_heap_hold(memory.heap, 1000);
  void *other = psock_heap_hold(memory.heap, 500);
  ck_assert_uint_eq(memory_held(&memory), 1500);
  psock_heap_release(memory.heap, one, 1000);
  ck_assert_uint_eq(memory_held(&memory), 500);
  one = psock_heap_hold(memory.heap, 700);
  ck_assert_uint_eq(atomic_load(&memory.heap->held_peak), 1500);
  psock_heap_release(memory.heap, one, 700);
  psock_heap_release(memory.heap, other, 500);
  alloc_fault_arm(&memory.fault, 1, true);
  ck_assert_ptr_null(psock_heap_hold(memory.heap, 5000));
  ck_assert_uint_eq(atomic_load(&memory.heap->held_peak), 1500);
  memory_fini(&memory);
}
END_TEST

START_TEST(an_array_grows_or_stays) {
  struct memory memory;
  size_t capacity = 0;
  unsigned *array = NULL;
  memory_init(&memory, 0);
  for (unsigned i = 0; i < 1000; i++) {
    array =
        psock_heap_grow(memory.heap, array, &capacity, i + 1, sizeof *array);
    ck_assert_ptr_nonnull(array);
    ck_assert_uint_gt(capacity, i);
    array[i] = i;
  }
  size_t before = capacity;
  alloc_fault_arm(&memory.fault, 1, true);
  ck_assert_ptr_null(psock_heap_grow(
      memory.heap, array, &capacity, capacity + 1, sizeof *array));
  alloc_fault_disarm(&memory.fault);
  ck_assert_ptr_null(psock_heap_grow(
      memory.heap, array, &capacity, SIZE_MAX / 2, sizeof *array));
  ck_assert_uint_eq(capacity, before);
  for (unsigned i = 0; i < 1000; i++)
    ck_assert_uint_eq(array[i], i);
  memory.fault.allocator.free(&memory.fault, array);
  memory_fini(&memory);
}
END_TEST

START_TEST(the_default_is_malloc) {
  struct psock_heap *heap = psock_heap_new(NULL);
  ck_assert_ptr_nonnull(heap);
  void *memory = psock_heap_hold(heap, 100);
  ck_assert_ptr_nonnull(memory);
  psock_heap_release(heap, memory, 100);
  psock_heap_unref(heap);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("blocks");
  TCase *tcase = rig_case(suite, "pool");
  tcase_add_test(tcase, sizes_are_powers_of_two);
  tcase_add_test(tcase, a_block_is_large_enough_and_empty);
  tcase_add_loop_test(tcase, a_block_comes_back, 0, 2);
  tcase_add_loop_test(tcase, only_so_much_is_kept, 0, 2);
  tcase_add_test(tcase, cached_gives_only_what_is_there);
  tcase_add_test(tcase, references_count);
  tcase_add_test(tcase, a_block_outlives_its_pool);
  tcase_add_test(tcase, lent_bytes_stay_where_they_are);
  tcase_add_loop_test(tcase, no_memory_no_block, 0, 2);
  tcase = rig_case(suite, "heap");
  tcase_add_test(tcase, held_bytes_are_counted);
  tcase_add_test(tcase, an_array_grows_or_stays);
  tcase_add_test(tcase, the_default_is_malloc);
  return rig_main(suite);
}
