/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_BASE_ALLOCATOR_H
#define PSOCK_BASE_ALLOCATOR_H

#include <protosocket/allocator.h>

/* malloc and free. */
extern const struct psock_allocator psock_default_allocator;

static inline void *psock_alloc(
    const struct psock_allocator *allocator, size_t size) {
  return allocator->alloc(allocator->data, size);
}

/* NULL is allowed. */
static inline void psock_free(
    const struct psock_allocator *allocator, void *memory) {
  if (memory != NULL)
    allocator->free(allocator->data, memory);
}

#endif
