/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_BASE_HEAP_H
#define PSOCK_BASE_HEAP_H

#include <protosocket/allocator.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct psock_pool;

/*
 * The memory of one loop: its allocator, a count of the bytes that buffers and
 * arenas hold, and where threads wait until there are fewer. Counted, because a
 * sender or a kept message on another thread may outlive the loop.
 */
struct psock_heap {
  struct psock_allocator allocator;
  atomic_uint references;
  atomic_size_t held;
  atomic_size_t held_peak;
  size_t max_held;
  _Atomic(pthread_t) thread; /* the loop's */
  pthread_mutex_t waiting;   /* threads wait under it for something to go */
  pthread_cond_t gone;       /* something has gone: look again */
  struct psock_pool *pool;   /* of that thread's loop; NULL: it has gone */
};

/* NULL when memory is out. `allocator` NULL means malloc. */
struct psock_heap *psock_heap_new(const struct psock_allocator *allocator);

struct psock_heap *psock_heap_ref(struct psock_heap *heap);
void psock_heap_unref(struct psock_heap *heap);

/* Wakes everybody who waits. Any thread. */
void psock_heap_tell_waiting(struct psock_heap *heap);

/* Whether the caller is on the loop's thread. Any thread. */
static inline bool psock_heap_is_home(const struct psock_heap *heap) {
  return pthread_equal(pthread_self(),
      atomic_load_explicit(&heap->thread, memory_order_relaxed));
}

/* Whether so much is held that no more work should be begun. Any thread. */
static inline bool psock_heap_is_full(const struct psock_heap *heap) {
  return atomic_load_explicit(&heap->held, memory_order_relaxed) >
         heap->max_held;
}

/* Memory that is counted as held; freed with the same size. */
void *psock_heap_hold(struct psock_heap *heap, size_t size);

/* The same for what can be refused: NULL also when as much as allowed is
 * held. */
void *psock_heap_hold_more(struct psock_heap *heap, size_t size);
void psock_heap_release(struct psock_heap *heap, void *memory, size_t size);

/*
 * Makes room for at least `needed` elements of `size` bytes in `array`, which
 * has room for `*capacity` now. Returns where the elements are from now on, or
 * NULL when memory is out; then nothing has changed.
 */
void *psock_heap_grow(struct psock_heap *heap, void *array, size_t *capacity,
    size_t needed, size_t size);

#endif
