/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/alloc_fault.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * Every block has a header in front, so that a free can tell how large it was
 * and whose. The headers come from malloc, and a sanitizer watches them too.
 */
union header {
  struct {
    struct alloc_fault *owner;
    size_t size;
  } of;
  max_align_t alignment;
};

static bool is_refused(struct alloc_fault *fault) {
  size_t call = atomic_fetch_add(&fault->calls, 1) + 1;
  if (fault->fail_at == 0 || call < fault->fail_at)
    return false;
  return call == fault->fail_at || fault->onwards;
}

static void *fault_alloc(void *data, size_t size) {
  struct alloc_fault *fault = data;
  if (is_refused(fault)) {
    atomic_fetch_add(&fault->refused, 1);
    return NULL;
  }
  union header *header = malloc(sizeof *header + size);
  if (header == NULL)
    return NULL;
  header->of.owner = fault;
  header->of.size = size;
  atomic_fetch_add(&fault->live, 1);
  atomic_fetch_add(&fault->bytes, size);
  return header + 1;
}

static void fault_free(void *data, void *memory) {
  struct alloc_fault *fault = data;
  union header *header = (union header *)memory - 1;
  if (header->of.owner != fault) {
    atomic_fetch_add(&fault->strays, 1);
    return;
  }
  header->of.owner = NULL;
  atomic_fetch_sub(&fault->live, 1);
  atomic_fetch_sub(&fault->bytes, header->of.size);
  free(header);
}

void alloc_fault_init(struct alloc_fault *fault) {
  *fault = (struct alloc_fault){
      .allocator = {fault_alloc, fault_free, fault},
  };
}

void alloc_fault_arm(struct alloc_fault *fault, size_t at, bool onwards) {
  atomic_store(&fault->calls, 0);
  atomic_store(&fault->refused, 0);
  fault->fail_at = at;
  fault->onwards = onwards;
}

void alloc_fault_disarm(struct alloc_fault *fault) {
  fault->fail_at = 0;
}

const char *alloc_fault_complaint(struct alloc_fault *fault) {
  static char text[80];
  size_t live = atomic_load(&fault->live);
  size_t strays = atomic_load(&fault->strays);
  if (live == 0 && strays == 0)
    return NULL;
  snprintf(text, sizeof text, "%zu blocks are left, %zu frees are strays", live,
      strays);
  return text;
}
