/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_LOOP_H
#define PROTOSOCKET_LOOP_H

#include <protosocket/allocator.h>
#include <protosocket/export.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A psock_loop ties the library to one libev loop of the caller's: it owns
 * the timers, the wake-up and the memory that the connections on this loop
 * share. One psock_loop per ev_loop, one thread per loop.
 */

PSOCK_BEGIN_DECLS

struct ev_loop;

typedef struct psock_loop psock_loop;
typedef struct psock_timer psock_timer;

/** In what a transport can be ready, as bits. */
enum psock_direction { PSOCK_READ = 1, PSOCK_WRITE = 2 };

enum psock_log_level {
  PSOCK_LOG_ERROR = 0,
  PSOCK_LOG_WARNING = 1,
  PSOCK_LOG_INFO = 2,
  PSOCK_LOG_DEBUG = 3
};

/** Set `size` to sizeof; a field that is zero stands for its default. */
struct psock_loop_options {
  size_t size;
  /* Borrowed until psock_loop_new returns (it is copied). Default: malloc. */
  const struct psock_allocator *allocator;
  /* Called on the loop's thread with one line, without a line feed, that is
   * valid during the call. Default: nothing is logged. */
  void (*log)(void *data, enum psock_log_level level, const char *text);
  void *log_data;
  /* Bytes of buffers, arenas and senders held for all connections of the loop
   * above which listeners stop accepting, and clones of senders are refused
   * (PSOCK_ENOMEM) when they need more, until it falls again. Default
   * 512 MiB. */
  size_t max_held;
  /* Bytes of emptied buffers kept for the next use. Default 8 MiB. */
  size_t max_cached;
};

/** Counters since the loop was made; bytes and events. */
struct psock_loop_stats {
  size_t size;          /* set by the caller to sizeof */
  uint64_t held;        /* bytes of buffers and arenas held now */
  uint64_t held_peak;   /* the most there have been */
  uint64_t connections; /* connections on this loop now */
  uint64_t wakeups;     /* wake-ups by senders on other threads */
};

/**
 * Makes a psock_loop on `ev`, which is borrowed until psock_loop_free and
 * which the caller runs (ev_run). The loop's own watchers don't keep ev_run
 * from returning; listeners, connections and started timers do. `options` is
 * borrowed until return, and may be NULL. The calling thread counts as the
 * loop's until the loop runs. Loop's thread.
 *
 * Returns 0, PSOCK_EINVAL, PSOCK_ENOMEM, or PSOCK_ENFILE when there is no
 * descriptor left for the wake-up.
 */
PSOCK_API PSOCK_NODISCARD int psock_loop_new(struct ev_loop *ev,
    const struct psock_loop_options *options, psock_loop **ret_loop);

/**
 * Ends and frees every server, listener and connection of the loop (their
 * callbacks run, with PSOCK_ECANCELED), and then the loop; afterwards nothing
 * calls back. Timers and callers must have been freed, and references to calls
 * given back. Senders and clones of callers may outlive it; they say
 * PSOCK_ECLOSED. NULL is allowed. Loop's thread, and never from a callback of
 * this loop.
 */
PSOCK_API void psock_loop_free(psock_loop *loop);

/**
 * The loop's clock: nanoseconds since some fixed moment, never going back
 * (CLOCK_MONOTONIC; by hand in tests). Loop's thread.
 */
PSOCK_API uint64_t psock_loop_now(const psock_loop *loop);

/**
 * Fills `ret_stats`, whose `size` says how much of it the caller knows.
 * Loop's thread.
 */
PSOCK_API void psock_loop_get_stats(
    const psock_loop *loop, struct psock_loop_stats *ret_stats);

/**
 * How many connections of this loop have ended with `reason` (0: in good
 * order; otherwise a psock_error); 0 for a number that is no reason. Loop's
 * thread.
 */
PSOCK_API uint64_t psock_loop_get_ended(const psock_loop *loop, int reason);

/**
 * Makes a timer that is not started. What starting needs is set aside here,
 * so psock_timer_start cannot fail. `expired(data)` runs on the loop's thread
 * and may start, stop or free the timer. The caller frees it with
 * psock_timer_free, before the loop. Loop's thread.
 *
 * Returns 0 or PSOCK_ENOMEM.
 */
PSOCK_API PSOCK_NODISCARD int psock_timer_new(psock_loop *loop,
    void (*expired)(void *data), void *data, psock_timer **ret_timer);

/**
 * Makes the timer expire once, `after` nanoseconds from now and never inside
 * this call; a timer that was started already starts anew. Loop's thread.
 */
PSOCK_API void psock_timer_start(psock_timer *timer, uint64_t after);

/** Takes back a start; does nothing for a timer that is not started. Loop's
 * thread. */
PSOCK_API void psock_timer_stop(psock_timer *timer);

/** Stops and frees the timer. NULL is allowed. Loop's thread. */
PSOCK_API void psock_timer_free(psock_timer *timer);

PSOCK_END_DECLS

#endif
