/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "base/io.h"
#include "base/loop.h"

#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/*
 * The loop seam on libev. A loop adds five watchers to the caller's ev_loop:
 * an eventfd that other threads write to, one timer for all alarms, a prepare
 * watcher for the end of the turn, a check watcher for the end of the sleep,
 * and an idle watcher, active while tasks are waiting, so that the loop
 * doesn't sleep then. None of them keeps ev_run from returning.
 *
 * libev aborts when its own memory or its own wake-up pipe fails. So the
 * wake-up is ours, the timer stays started for ever and is only moved, and the
 * arrays that grow with the number of descriptors are made to grow here, right
 * after the memory for that was seen to be there.
 */

/* Seconds; what the timer is set to when there is no alarm. */
#define FAR_AWAY 1e8

/* Bytes that libev takes for a descriptor in its arrays, rounded up. */
#define EV_BYTES_A_DESCRIPTOR 64u

/* Descriptors that are prepared for when the loop is made. */
#define FIRST_DESCRIPTORS 64

struct ev_backend {
  psock_loop loop; /* first */
  struct ev_loop *ev;
  ev_io wake;
  ev_timer timer;
  ev_prepare prepare;
  ev_check check;
  ev_idle idle;
  int prepared; /* descriptors below this need no memory of libev's */
  bool alarmed; /* the timer keeps ev_run from returning */
  bool waited;  /* for what this turn does, by psock_loop_run */
};

static struct ev_backend *backend_of(psock_loop *loop) {
  return (struct ev_backend *)loop;
}

static uint64_t clock_now(const psock_loop *loop) {
  (void)loop;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void keep(psock_loop *loop, bool on) {
  if (on)
    ev_ref(backend_of(loop)->ev);
  else
    ev_unref(backend_of(loop)->ev);
}

static void move_timer(psock_loop *loop, uint64_t at) {
  struct ev_backend *backend = backend_of(loop);
  bool alarmed = at != PSOCK_NEVER;
  backend->timer.repeat = FAR_AWAY;
  if (alarmed) {
    uint64_t now = clock_now(loop);
    backend->timer.repeat = at > now ? (double)(at - now) * 1e-9 : 1e-9;
  }
  ev_timer_again(backend->ev, &backend->timer);
  if (alarmed == backend->alarmed)
    return;
  backend->alarmed = alarmed;
  keep(loop, alarmed);
}

/* The kernel has randomness for every request of this size, but while the
 * machine is starting up; then a moment has to do. */
static uint64_t random_bits(psock_loop *loop) {
  uint64_t bits = 0;
  if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) != sizeof bits)
    bits = clock_now(loop) * UINT64_C(0x9e3779b97f4a7c15) + (uintptr_t)loop;
  return bits;
}

static bool is_inside(const psock_loop *loop) {
  return ev_depth(((const struct ev_backend *)loop)->ev) > 0;
}

static int run(psock_loop *loop) {
  struct ev_backend *backend = backend_of(loop);
  backend->waited = true;
  ev_run(backend->ev, EVRUN_ONCE);
  backend->waited = false;
  return 0;
}

static void wake(psock_loop *loop) {
  uint64_t one = 1;
  while (
      write(backend_of(loop)->wake.fd, &one, sizeof one) < 0 && errno == EINTR)
    continue;
}

static void on_nothing(struct ev_loop *ev, ev_watcher *watcher, int events) {
  (void)ev;
  (void)watcher;
  (void)events;
}

/* Makes libev's list of pending events as long as `count`. */
static int grow_pending(struct ev_backend *backend, int count) {
  const struct psock_allocator *allocator = &backend->loop.heap->allocator;
  /* Events that were cleared keep their places until the turn's end. */
  count -= (int)ev_pending_count(backend->ev);
  if (count <= 0)
    return 0;
  ev_watcher *watchers =
      psock_alloc(allocator, (size_t)count * sizeof *watchers);
  if (watchers == NULL)
    return PSOCK_ENOMEM;
  for (int i = 0; i < count; i++) {
    ev_init(&watchers[i], on_nothing);
    ev_feed_event(backend->ev, &watchers[i], 0);
  }
  for (int i = 0; i < count; i++)
    ev_clear_pending(backend->ev, &watchers[i]);
  psock_free(allocator, watchers);
  return 0;
}

/* Makes libev's arrays large enough for `fd`, or fails where libev aborts. */
static int prepare_for(struct ev_backend *backend, int fd) {
  if (fd < backend->prepared)
    return 0;
  int count = backend->prepared * 2;
  if (count <= fd)
    count = fd + 1;
  void *probe = malloc((size_t)count * EV_BYTES_A_DESCRIPTOR);
  if (probe == NULL)
    return PSOCK_ENOMEM;
  free(probe);
  int error = grow_pending(backend, count);
  if (error != 0)
    return error;
  ev_io last;
  ev_init(&last, NULL);
  ev_io_set(&last, count - 1, EV_READ);
  ev_io_start(backend->ev, &last);
  ev_io_stop(backend->ev, &last);
  backend->prepared = count;
  return 0;
}

static void on_io(struct ev_loop *ev, ev_io *watcher, int events) {
  (void)ev;
  struct psock_io *io = PSOCK_CONTAINER(watcher, struct psock_io, watcher);
  unsigned directions = 0;
  if (events & EV_READ)
    directions |= PSOCK_READ;
  if (events & EV_WRITE)
    directions |= PSOCK_WRITE;
  io->ready(io, directions);
}

static int watch(psock_loop *loop, struct psock_io *io, unsigned directions) {
  struct ev_backend *backend = backend_of(loop);
  if (directions == io->directions)
    return 0;
  if (directions != 0) {
    int error = prepare_for(backend, io->fd);
    if (error != 0)
      return error;
  }
  if (io->directions != 0)
    ev_io_stop(backend->ev, &io->watcher);
  io->directions = directions;
  if (directions == 0)
    return 0;
  int events = 0;
  if (directions & PSOCK_READ)
    events |= EV_READ;
  if (directions & PSOCK_WRITE)
    events |= EV_WRITE;
  ev_io_init(&io->watcher, on_io, io->fd, events);
  ev_io_start(backend->ev, &io->watcher);
  return 0;
}

static void on_wake(struct ev_loop *ev, ev_io *watcher, int events) {
  (void)ev;
  (void)events;
  /* The letters are delivered at the end of the turn, as always. */
  uint64_t count;
  while (read(watcher->fd, &count, sizeof count) < 0 && errno == EINTR)
    continue;
}

static void on_timer(struct ev_loop *ev, ev_timer *timer, int events) {
  (void)ev;
  (void)events;
  psock_loop_expire(&PSOCK_CONTAINER(timer, struct ev_backend, timer)->loop);
}

static void on_prepare(struct ev_loop *ev, ev_prepare *prepare, int events) {
  (void)events;
  struct ev_backend *backend =
      PSOCK_CONTAINER(prepare, struct ev_backend, prepare);
  int done = psock_loop_finish_turn(&backend->loop);
  /* Whoever waits may have been waiting for what has just been done. */
  bool busy = psock_loop_busy(&backend->loop) ||
              !atomic_load(&backend->loop.sleeping) ||
              (backend->waited && done > 0);
  if (busy == (bool)ev_is_active(&backend->idle))
    return;
  if (busy)
    ev_idle_start(ev, &backend->idle);
  else
    ev_idle_stop(ev, &backend->idle);
}

static void on_check(struct ev_loop *ev, ev_check *check, int events) {
  (void)ev;
  (void)events;
  struct ev_backend *backend = PSOCK_CONTAINER(check, struct ev_backend, check);
  atomic_store(&backend->loop.sleeping, false);
}

static void on_idle(struct ev_loop *ev, ev_idle *idle, int events) {
  on_nothing(ev, (ev_watcher *)idle, events);
}

static void start_watchers(struct ev_backend *backend, int wake_fd) {
  struct ev_loop *ev = backend->ev;
  ev_io_init(&backend->wake, on_wake, wake_fd, EV_READ);
  ev_io_start(ev, &backend->wake);
  ev_init(&backend->timer, on_timer);
  backend->timer.repeat = FAR_AWAY;
  ev_timer_again(ev, &backend->timer);
  /* The last before the sleep, and the first after it. */
  ev_prepare_init(&backend->prepare, on_prepare);
  ev_set_priority(&backend->prepare, EV_MINPRI);
  ev_prepare_start(ev, &backend->prepare);
  ev_check_init(&backend->check, on_check);
  ev_set_priority(&backend->check, EV_MAXPRI);
  ev_check_start(ev, &backend->check);
  for (int i = 0; i < 4; i++)
    ev_unref(ev);
  /* Idle is started now and then; the first time makes room. */
  ev_idle_init(&backend->idle, on_idle);
  ev_idle_start(ev, &backend->idle);
  ev_idle_stop(ev, &backend->idle);
}

static void free_backend(psock_loop *loop) {
  struct ev_backend *backend = backend_of(loop);
  struct ev_loop *ev = backend->ev;
  move_timer(loop, PSOCK_NEVER);
  for (int i = 0; i < 4; i++)
    ev_ref(ev);
  ev_idle_stop(ev, &backend->idle);
  ev_check_stop(ev, &backend->check);
  ev_prepare_stop(ev, &backend->prepare);
  ev_timer_stop(ev, &backend->timer);
  ev_io_stop(ev, &backend->wake);
  close(backend->wake.fd);
  struct psock_heap *heap = psock_heap_ref(loop->heap);
  psock_loop_fini(loop);
  psock_free(&heap->allocator, backend);
  psock_heap_unref(heap);
}

static const struct psock_loop_ops ev_ops = {
    .now = clock_now,
    .set_alarm = move_timer,
    .wake = wake,
    .keep = keep,
    .watch = watch,
    .random = random_bits,
    .is_inside = is_inside,
    .run = run,
    .free = free_backend,
};

/* Everything that may fail, before libev sees any of it. */
static int make_backend(struct ev_loop *ev,
    const struct psock_loop_options *options, struct ev_backend **ret_backend) {
  struct psock_heap *heap =
      psock_heap_new(options == NULL ? NULL : options->allocator);
  if (heap == NULL)
    return PSOCK_ENOMEM;
  struct ev_backend *backend = psock_alloc(&heap->allocator, sizeof *backend);
  if (backend == NULL) {
    psock_heap_unref(heap);
    return PSOCK_ENOMEM;
  }
  memset(backend, 0, sizeof *backend);
  backend->ev = ev;
  backend->prepared = FIRST_DESCRIPTORS / 2;
  psock_heap_ref(heap);
  int error = psock_loop_init(&backend->loop, &ev_ops, heap, options);
  if (error != 0)
    psock_free(&heap->allocator, backend);
  else
    *ret_backend = backend;
  psock_heap_unref(heap);
  return error;
}

static int loop_error(int error_number) {
  return error_number == ENOMEM ? PSOCK_ENOMEM : PSOCK_ENFILE;
}

int psock_loop_new(struct ev_loop *ev, const struct psock_loop_options *options,
    psock_loop **ret_loop) {
  if (ev == NULL || (options != NULL && options->size == 0))
    return PSOCK_EINVAL;
  int wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_fd < 0)
    return loop_error(errno);
  struct ev_backend *backend;
  int error = make_backend(ev, options, &backend);
  if (error != 0) {
    close(wake_fd);
    return error;
  }
  error = prepare_for(
      backend, wake_fd < FIRST_DESCRIPTORS ? FIRST_DESCRIPTORS - 1 : wake_fd);
  if (error != 0) {
    struct psock_heap *heap = psock_heap_ref(backend->loop.heap);
    psock_loop_fini(&backend->loop);
    psock_free(&heap->allocator, backend);
    psock_heap_unref(heap);
    close(wake_fd);
    return error;
  }
  start_watchers(backend, wake_fd);
  *ret_loop = &backend->loop;
  return 0;
}
