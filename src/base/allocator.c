/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"

#include <stdlib.h>

static void *default_alloc(void *data, size_t size) {
  (void)data;
  return malloc(size);
}

static void default_free(void *data, void *memory) {
  (void)data;
  free(memory);
}

const struct psock_allocator psock_default_allocator = {
    .alloc = default_alloc,
    .free = default_free,
};
