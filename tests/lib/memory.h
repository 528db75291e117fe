/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_LIB_MEMORY_H
#define TESTS_LIB_MEMORY_H

#include "base/block.h"
#include "base/heap.h"
#include "lib/alloc_fault.h"
#include <check.h>
#include <stdint.h>

/*
 * A loop's memory without a loop, for tests of the base layer: a heap that
 * fails on demand, and a pool in it.
 */
struct memory {
  struct alloc_fault fault;
  struct psock_heap *heap;
  struct psock_pool pool;
};

static inline void memory_init(struct memory *memory, size_t max_cached) {
  alloc_fault_init(&memory->fault);
  memory->heap = psock_heap_new(&memory->fault.allocator);
  ck_assert_ptr_nonnull(memory->heap);
  ck_assert_int_eq(psock_pool_init(&memory->pool, memory->heap, max_cached), 0);
}

static inline void memory_fini(struct memory *memory) {
  alloc_fault_disarm(&memory->fault);
  psock_pool_fini(&memory->pool);
  ck_assert_uint_eq(atomic_load(&memory->heap->held), 0);
  psock_heap_unref(memory->heap);
  const char *complaint = alloc_fault_complaint(&memory->fault);
  ck_assert_msg(complaint == NULL, "%s", complaint);
}

static inline size_t memory_live(struct memory *memory) {
  return atomic_load(&memory->fault.live);
}

static inline size_t memory_held(struct memory *memory) {
  return atomic_load(&memory->heap->held);
}

/* Numbers that look random and are the same every time. */
static inline uint64_t next_random(uint64_t *state) {
  uint64_t value = *state += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

static inline size_t random_below(uint64_t *state, size_t limit) {
  return (size_t)(next_random(state) % limit);
}

#endif
