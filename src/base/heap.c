/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/heap.h"

#include "base/allocator.h"
#include <protosocket/error.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/* What an array that grows begins with. */
#define FIRST_CAPACITY 8u

static int init_gone(pthread_cond_t *gone) {
  pthread_condattr_t attributes;
  if (pthread_condattr_init(&attributes) != 0)
    return PSOCK_ENOMEM;
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  int error = pthread_cond_init(gone, &attributes);
  pthread_condattr_destroy(&attributes);
  return error == 0 ? 0 : PSOCK_ENOMEM;
}

static int init_waiting(struct psock_heap *heap) {
  if (pthread_mutex_init(&heap->waiting, NULL) != 0)
    return PSOCK_ENOMEM;
  int error = init_gone(&heap->gone);
  if (error != 0)
    pthread_mutex_destroy(&heap->waiting);
  return error;
}

struct psock_heap *psock_heap_new(const struct psock_allocator *allocator) {
  if (allocator == NULL)
    allocator = &psock_default_allocator;
  struct psock_heap *heap = psock_alloc(allocator, sizeof *heap);
  if (heap == NULL)
    return NULL;
  if (init_waiting(heap) != 0) {
    psock_free(allocator, heap);
    return NULL;
  }
  heap->allocator = *allocator;
  atomic_init(&heap->references, 1);
  atomic_init(&heap->held, 0);
  atomic_init(&heap->held_peak, 0);
  atomic_init(&heap->thread, pthread_self());
  heap->max_held = SIZE_MAX;
  heap->pool = NULL;
  return heap;
}

void psock_heap_tell_waiting(struct psock_heap *heap) {
  pthread_mutex_lock(&heap->waiting);
  pthread_cond_broadcast(&heap->gone);
  pthread_mutex_unlock(&heap->waiting);
}

struct psock_heap *psock_heap_ref(struct psock_heap *heap) {
  atomic_fetch_add_explicit(&heap->references, 1, memory_order_relaxed);
  return heap;
}

void psock_heap_unref(struct psock_heap *heap) {
  if (atomic_fetch_sub_explicit(&heap->references, 1, memory_order_acq_rel) > 1)
    return;
  struct psock_allocator allocator = heap->allocator;
  pthread_cond_destroy(&heap->gone);
  pthread_mutex_destroy(&heap->waiting);
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
