/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_ALLOCATOR_H
#define PROTOSOCKET_ALLOCATOR_H

#include <protosocket/export.h>
#include <stddef.h>

PSOCK_BEGIN_DECLS

/**
 * Where memory comes from. `alloc` returns memory aligned for any type, or
 * NULL; `free` is never called with NULL. Both are called from the loop's
 * thread and from every thread that sends, so they must be thread-safe.
 */
struct psock_allocator {
  void *(*alloc)(void *data, size_t size);
  void (*free)(void *data, void *memory);
  void *data;
};

PSOCK_END_DECLS

#endif
