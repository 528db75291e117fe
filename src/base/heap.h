/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_BASE_HEAP_H
#define PSOCK_BASE_HEAP_H

#include <protosocket/allocator.h>
#include <stdatomic.h>
#include <stddef.h>

/*
 * The memory of one loop: its allocator, and a count of the bytes that buffers
 * and arenas hold. Counted, because a sender or a kept message on another
 * thread may outlive the loop.
 */
struct psock_heap {
  struct psock_allocator allocator;
  atomic_uint references;
  atomic_size_t held;
  atomic_size_t held_peak;
};

/* NULL when memory is out. `allocator` NULL means malloc. */
struct psock_heap *psock_heap_new(const struct psock_allocator *allocator);

struct psock_heap *psock_heap_ref(struct psock_heap *heap);
void psock_heap_unref(struct psock_heap *heap);

/* Memory that is counted as held; freed with the same size. */
void *psock_heap_hold(struct psock_heap *heap, size_t size);
void psock_heap_release(struct psock_heap *heap, void *memory, size_t size);

/*
 * Makes room for at least `needed` elements of `size` bytes in `array`, which
 * has room for `*capacity` now. Returns where the elements are from now on, or
 * NULL when memory is out; then nothing has changed.
 */
void *psock_heap_grow(struct psock_heap *heap, void *array, size_t *capacity,
    size_t needed, size_t size);

#endif
