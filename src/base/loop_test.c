/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "base/loop.h"

#include <protosocket/testing.h>

/*
 * The loop seam turned by hand: time passes when the test says so, and there
 * are no descriptors. Transports in memory need only tasks, which every loop
 * has.
 */

#define FIRST_MOMENT 1000000000u

struct test_backend {
  psock_loop loop; /* first */
  uint64_t now;
  uint64_t drawn; /* random numbers, so far */
  int depth;      /* turns on the stack */
};

static struct test_backend *backend_of(psock_loop *loop) {
  return (struct test_backend *)loop;
}

static uint64_t hand_now(const psock_loop *loop) {
  return ((const struct test_backend *)loop)->now;
}

static void no_alarm(psock_loop *loop, uint64_t at) {
  (void)loop;
  (void)at;
}

static void no_keep(psock_loop *loop, bool on) {
  (void)loop;
  (void)on;
}

static void no_wake(psock_loop *loop) {
  (void)loop;
}

static int no_watch(
    psock_loop *loop, struct psock_io *io, unsigned directions) {
  (void)loop;
  (void)io;
  (void)directions;
  return PSOCK_ENOTSUP;
}

/* The same for every run of a test: a counter, mixed (the finalizer of
 * splitmix64, by S. Vigna). */
static uint64_t no_random(psock_loop *loop) {
  uint64_t bits = ++backend_of(loop)->drawn * UINT64_C(0x9e3779b97f4a7c15);
  bits = (bits ^ bits >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  bits = (bits ^ bits >> 27) * UINT64_C(0x94d049bb133111eb);
  return bits ^ bits >> 31;
}

static bool is_inside(const psock_loop *loop) {
  return ((const struct test_backend *)loop)->depth > 0;
}

static int run(psock_loop *loop) {
  struct test_backend *backend = backend_of(loop);
  if (psock_test_loop_turn(loop) > 0)
    return 0;
  uint64_t next = psock_alarms_next(&loop->alarms);
  if (next == PSOCK_NEVER)
    return PSOCK_EAGAIN;
  if (next > backend->now)
    backend->now = next;
  return 0;
}

static void free_backend(psock_loop *loop) {
  struct psock_heap *heap = psock_heap_ref(loop->heap);
  psock_loop_fini(loop);
  psock_free(&heap->allocator, backend_of(loop));
  psock_heap_unref(heap);
}

static const struct psock_loop_ops test_ops = {
    .now = hand_now,
    .set_alarm = no_alarm,
    .wake = no_wake,
    .keep = no_keep,
    .watch = no_watch,
    .random = no_random,
    .is_inside = is_inside,
    .run = run,
    .free = free_backend,
};

int psock_test_loop_new(
    const struct psock_loop_options *options, psock_loop **ret_loop) {
  if (options != NULL && options->size == 0)
    return PSOCK_EINVAL;
  struct psock_heap *heap =
      psock_heap_new(options == NULL ? NULL : options->allocator);
  if (heap == NULL)
    return PSOCK_ENOMEM;
  struct test_backend *backend = psock_alloc(&heap->allocator, sizeof *backend);
  if (backend == NULL) {
    psock_heap_unref(heap);
    return PSOCK_ENOMEM;
  }
  psock_heap_ref(heap);
  int error = psock_loop_init(&backend->loop, &test_ops, heap, options);
  if (error != 0) {
    psock_free(&heap->allocator, backend);
  } else {
    backend->now = FIRST_MOMENT;
    backend->drawn = 0;
    backend->depth = 0;
    *ret_loop = &backend->loop;
  }
  psock_heap_unref(heap);
  return error;
}

int psock_test_loop_turn(psock_loop *loop) {
  struct test_backend *backend = backend_of(loop);
  backend->depth++;
  int count = psock_loop_expire(loop);
  count += psock_loop_finish_turn(loop);
  backend->depth--;
  return count;
}

int psock_test_loop_settle(psock_loop *loop, int limit) {
  while (limit-- > 0)
    if (psock_test_loop_turn(loop) == 0)
      return 1;
  return 0;
}

void psock_test_loop_advance(psock_loop *loop, uint64_t by) {
  backend_of(loop)->now += by;
}
