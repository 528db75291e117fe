/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_LIB_ALLOC_FAULT_H
#define TESTS_LIB_ALLOC_FAULT_H

#include <protosocket/allocator.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * An allocator that fails on demand and knows what it has given out: exactly
 * the i-th allocation fails, or every one from the i-th on. Any thread may
 * allocate and free; the rest is for the test's own thread.
 */
struct alloc_fault {
  struct psock_allocator allocator;
  size_t fail_at; /* from 1; 0: none fails */
  bool onwards;
  atomic_size_t calls;   /* since it was armed */
  atomic_size_t refused; /* since it was armed */
  atomic_size_t live;    /* blocks */
  atomic_size_t bytes;   /* in those */
  atomic_size_t strays;  /* frees of what another allocator has given out */
};

void alloc_fault_init(struct alloc_fault *fault);

/* Counts from 1 again; call number `at` fails, or all from there on. */
void alloc_fault_arm(struct alloc_fault *fault, size_t at, bool onwards);

void alloc_fault_disarm(struct alloc_fault *fault);

/* What is wrong when nothing should be allocated any more, or NULL. */
const char *alloc_fault_complaint(struct alloc_fault *fault);

#endif
