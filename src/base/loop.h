/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_BASE_LOOP_H
#define PSOCK_BASE_LOOP_H

#include "base/alarm.h"
#include "base/arena.h"
#include "base/block.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/mail.h"

#include <protosocket/error.h>
#include <protosocket/loop.h>
#include <stdatomic.h>
#include <stdbool.h>

/*
 * The loop seam. What the library needs of an event loop is below: a clock,
 * one alarm, readiness of descriptors, being woken from another thread or kept
 * from ending, random numbers, and a single turn.
 * libev gives it in loop_ev.c; the loop that tests turn by hand, in
 * loop_test.c. Everything else about a loop is the same for both.
 */

struct psock_io;

struct psock_loop_ops {
  /* Nanoseconds that never go back. */
  uint64_t (*now)(const psock_loop *loop);
  /* Calls psock_loop_expire at `at`; PSOCK_NEVER: not at all. */
  void (*set_alarm)(psock_loop *loop, uint64_t at);
  /* Ends the sleep of the loop's thread. Any thread. */
  void (*wake)(psock_loop *loop);
  /* Watches io->fd in these directions (bits; 0: none) from now on, for as
   * long as it is ready. Returns 0, PSOCK_ENOMEM or PSOCK_ENOTSUP. */
  int (*watch)(psock_loop *loop, struct psock_io *io, unsigned directions);
  /* Keeps the loop from ending by itself, or no longer; calls are counted. */
  void (*keep)(psock_loop *loop, bool on);
  /* Anything: 64 bits that nobody outside can foresee; in tests, always the
   * same. */
  uint64_t (*random)(psock_loop *loop);
  /* Whether a callback of the loop is running. The loop's thread. */
  bool (*is_inside)(const psock_loop *loop);
  /* One turn; not inside a callback. Returns as psock_loop_run. */
  int (*run)(psock_loop *loop);
  /* Frees what the implementation has added, and the struct itself. */
  void (*free)(psock_loop *loop);
};

/* Something to be done once, at the end of the loop's turn. */
struct psock_task {
  struct psock_list node;
  void (*run)(struct psock_task *task);
};

/* Something that the loop ends when it is freed before it. */
struct psock_owned {
  struct psock_list node;
  void (*end)(struct psock_owned *owned);
};

/* Letters to the loop's thread. */
struct psock_letter {
  struct psock_mail mail; /* first */
  void (*deliver)(struct psock_letter *letter);
};

struct psock_loop {
  const struct psock_loop_ops *ops;
  struct psock_heap *heap;
  struct psock_pool pool;
  struct psock_arena *arena; /* for the message that is being decoded */
  struct psock_alarms alarms;
  uint64_t alarm_at; /* what set_alarm was last told */
  struct psock_list tasks;
  struct psock_list owned;
  psock_mailbox letters;
  atomic_bool sleeping; /* the next letter has to wake the loop */
  uint64_t connections;
  atomic_uint_fast64_t wakeups;
  uint64_t ended[PSOCK_ERROR_COUNT + 1];
  void (*log)(void *data, enum psock_log_level level, const char *text);
  void *log_data;
};

/* Begins a loop that an implementation has allocated with `heap`. Takes
 * `heap` in any case. Returns 0 or PSOCK_ENOMEM. */
int psock_loop_init(psock_loop *loop, const struct psock_loop_ops *ops,
    struct psock_heap *heap, const struct psock_loop_options *options);
void psock_loop_fini(psock_loop *loop);

/* For implementations: calls the alarms that are due; returns how many. */
int psock_loop_expire(psock_loop *loop);

/*
 * For implementations: the end of a turn. Does the tasks that have gathered
 * and delivers letters; returns how much that was. Afterwards, with
 * psock_loop_busy false, the loop may sleep.
 */
int psock_loop_finish_turn(psock_loop *loop);

/* Whether tasks are waiting for the next turn. */
static inline bool psock_loop_busy(const psock_loop *loop) {
  return !psock_list_empty(&loop->tasks);
}

/* Has `task` run at the end of this turn, or of the next when that has been
 * reached. Deferring twice is deferring once. */
void psock_loop_defer(psock_loop *loop, struct psock_task *task);

static inline void psock_task_init(
    struct psock_task *task, void (*run)(struct psock_task *task)) {
  psock_list_init(&task->node);
  task->run = run;
}

static inline void psock_task_cancel(struct psock_task *task) {
  psock_list_remove(&task->node);
}

/* Any thread. `letter` must not be posted again before it is delivered. */
void psock_loop_post(psock_loop *loop, struct psock_letter *letter);

/* 64 random bits: to seed a table, or spread attempts in time. */
static inline uint64_t psock_loop_random(psock_loop *loop) {
  return loop->ops->random(loop);
}

/*
 * One turn of a loop that nobody is running, for who waits on the loop's own
 * thread: sleeps until something happens. Returns 0, PSOCK_ELOOPTHREAD inside a
 * callback of the loop, or PSOCK_EAGAIN when nothing will ever happen, which
 * only a loop of psock_test_loop_new can tell; that moves its clock to the next
 * alarm instead of sleeping.
 */
static inline int psock_loop_run(psock_loop *loop) {
  return loop->ops->is_inside(loop) ? PSOCK_ELOOPTHREAD : loop->ops->run(loop);
}

/* Whether the loop's thread, which the caller is on, is in a callback. */
static inline bool psock_loop_is_inside(const psock_loop *loop) {
  return loop->ops->is_inside(loop);
}

/* Alarms; room must have been reserved (psock_alarms_reserve). */
void psock_loop_start_alarm(
    psock_loop *loop, struct psock_alarm *alarm, uint64_t after);
void psock_loop_stop_alarm(psock_loop *loop, struct psock_alarm *alarm);

#endif
