/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/heap.h"

#include "base/allocator.h"
#include <stdint.h>
#include <string.h>

/* What an array that grows begins with. */
#define FIRST_CAPACITY 8u

struct psock_heap *psock_heap_new(const struct psock_allocator *allocator) {
  if (allocator == NULL)
    allocator = &psock_default_allocator;
  struct psock_heap *heap = psock_alloc(allocator, sizeof *heap);
  if (heap == NULL)
    return NULL;
  heap->allocator = *allocator;
  atomic_init(&heap->references, 1);
  atomic_init(&heap->held, 0);
  atomic_init(&heap->held_peak, 0);
  atomic_init(&heap->thread, pthread_self());
  heap->max_held = SIZE_MAX;
  heap->pool = NULL;
  return heap;
}

struct psock_heap *psock_heap_ref(struct psock_heap *heap) {
  atomic_fetch_add_explicit(&heap->references, 1, memory_order_relaxed);
  return heap;
}

void psock_heap_unref(struct psock_heap *heap) {
  if (atomic_fetch_sub_explicit(&heap->references, 1, memory_order_acq_rel) > 1)
    return;
  struct psock_allocator allocator = heap->allocator;
  psock_free(&allocator, heap);
}

void *psock_heap_hold(struct psock_heap *heap, size_t size) {
  void *memory = psock_alloc(&heap->allocator, size);
  if (memory == NULL)
    return NULL;
  size_t held =
      atomic_fetch_add_explicit(&heap->held, size, memory_order_relaxed) + size;
  size_t peak = atomic_load_explicit(&heap->held_peak, memory_order_relaxed);
  while (held > peak &&
         !atomic_compare_exchange_weak_explicit(&heap->held_peak, &peak, held,
             memory_order_relaxed, memory_order_relaxed))
    continue;
  return memory;
}

void *psock_heap_hold_more(struct psock_heap *heap, size_t size) {
  return psock_heap_is_full(heap) ? NULL : psock_heap_hold(heap, size);
}

void psock_heap_release(struct psock_heap *heap, void *memory, size_t size) {
  psock_free(&heap->allocator, memory);
  atomic_fetch_sub_explicit(&heap->held, size, memory_order_relaxed);
}

void *psock_heap_grow(struct psock_heap *heap, void *array, size_t *capacity,
    size_t needed, size_t size) {
  if (needed <= *capacity)
    return array;
  size_t next = *capacity == 0 ? FIRST_CAPACITY : *capacity * 2;
  if (next < needed)
    next = needed;
  if (next > SIZE_MAX / size)
    return NULL;
  void *grown = psock_alloc(&heap->allocator, next * size);
  if (grown == NULL)
    return NULL;
  if (*capacity > 0)
    memcpy(grown, array, *capacity * size);
  psock_free(&heap->allocator, array);
  *capacity = next;
  return grown;
}
