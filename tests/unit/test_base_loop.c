/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/loop.h"

#include "lib/rig.h"

#include <ev.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/*
 * A loop: what it takes to make one and what it leaves behind, what keeps
 * ev_run from returning, tasks and letters, counters, and what psock_loop_free
 * ends. On libev and turned by hand.
 */

#define SECOND ((uint64_t)1000000000u)

struct job {
  struct psock_task task;
  struct psock_letter letter;
  psock_loop *loop;
  unsigned runs;
  bool again;
};

static void run_job(struct psock_task *task) {
  struct job *job = PSOCK_CONTAINER(task, struct job, task);
  job->runs++;
  if (job->again)
    psock_loop_defer(job->loop, task);
}

static void get_letter(struct psock_letter *letter) {
  PSOCK_CONTAINER(letter, struct job, letter)->runs++;
}

static void job_init(struct job *job, psock_loop *loop) {
  *job = (struct job){.loop = loop, .letter = {.deliver = get_letter}};
  psock_task_init(&job->task, run_job);
}

/* ---- making one ---- */

START_TEST(wrong_arguments) {
  psock_loop *loop = NULL;
  struct psock_loop_options options = {.size = 0};
  ck_assert_int_eq(psock_loop_new(NULL, NULL, &loop), PSOCK_EINVAL);
  ck_assert_int_eq(psock_loop_new(EV_DEFAULT, &options, &loop), PSOCK_EINVAL);
  ck_assert_ptr_null(loop);
  psock_loop_free(NULL);
}
END_TEST

START_TEST(no_descriptor_for_the_wakeup) {
  psock_loop *loop = NULL;
  struct ev_loop *ev = ev_loop_new(EVFLAG_AUTO);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  rlim_t before = limit.rlim_cur;
  limit.rlim_cur = 0;
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
  int error = psock_loop_new(ev, NULL, &loop);
  limit.rlim_cur = before;
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
  ck_assert_int_eq(error, PSOCK_ENFILE);
  ck_assert_ptr_null(loop);
  ck_assert_int_eq(psock_loop_new(ev, NULL, &loop), 0);
  psock_loop_free(loop);
  ev_loop_destroy(ev);
}
END_TEST

START_TEST(every_allocation_fails) {
  int spare = dup(1);
  close(spare);
  struct ev_loop *ev = _i ? ev_loop_new(EVFLAG_AUTO) : NULL;
  struct alloc_fault fault;
  alloc_fault_init(&fault);
  struct psock_loop_options options = {
      .size = sizeof options, .allocator = &fault.allocator};
  psock_loop *loop = NULL;
  int error = PSOCK_ENOMEM;
  for (size_t at = 1; error != 0; at++) {
    alloc_fault_arm(&fault, at, false);
    error = _i ? psock_loop_new(ev, &options, &loop)
               : psock_test_loop_new(&options, &loop);
    if (error == 0)
      break;
    ck_assert_int_eq(error, PSOCK_ENOMEM);
    ck_assert_ptr_null(loop);
    ck_assert_ptr_null(alloc_fault_complaint(&fault));
  }
  psock_loop_free(loop);
  ck_assert_ptr_null(alloc_fault_complaint(&fault));
  if (ev != NULL)
    ev_loop_destroy(ev);
  /* Nor was a descriptor left behind. */
  ck_assert_int_eq(dup(1), spare);
}
END_TEST

/* ---- on libev ---- */

static void count_up(void *data) {
  ++*(unsigned *)data;
}

/* Neither the loop nor a timer at rest keeps ev_run; a started one does. */
START_TEST(what_keeps_ev_run) {
  struct ev_loop *ev = _i ? EV_DEFAULT : ev_loop_new(EVFLAG_AUTO);
  psock_loop *loop;
  psock_timer *timer;
  unsigned expired = 0;
  ck_assert_int_eq(psock_loop_new(ev, NULL, &loop), 0);
  ck_assert_int_eq(ev_run(ev, 0), 0);
  ck_assert_int_eq(psock_timer_new(loop, count_up, &expired, &timer), 0);
  ck_assert_int_eq(ev_run(ev, 0), 0);
  uint64_t before = psock_loop_now(loop);
  psock_timer_start(timer, 3000000);
  ck_assert_int_eq(ev_run(ev, 0), 0);
  ck_assert_uint_eq(expired, 1);
  ck_assert_uint_ge(psock_loop_now(loop), before + 3000000);
  psock_timer_start(timer, 3600 * SECOND);
  psock_timer_stop(timer);
  ck_assert_int_eq(ev_run(ev, 0), 0);
  ck_assert_uint_eq(expired, 1);
  psock_timer_free(timer);
  psock_loop_free(loop);
  ck_assert_int_eq(ev_run(ev, 0), 0);
  if (!_i)
    ev_loop_destroy(ev);
}
END_TEST

START_TEST(the_clock_is_monotonic) {
  struct ev_loop *ev = ev_loop_new(EVFLAG_AUTO);
  psock_loop *loop;
  struct timespec time;
  ck_assert_int_eq(psock_loop_new(ev, NULL, &loop), 0);
  clock_gettime(CLOCK_MONOTONIC, &time);
  uint64_t now = (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
  for (int i = 0; i < 1000; i++) {
    ck_assert_uint_ge(psock_loop_now(loop), now);
    now = psock_loop_now(loop);
  }
  psock_loop_free(loop);
  ev_loop_destroy(ev);
}
END_TEST

/* ---- tasks and letters ---- */

START_TEST(a_task_runs_once_and_not_at_once) {
  psock_loop *loop;
  struct job job;
  ck_assert_int_eq(psock_test_loop_new(NULL, &loop), 0);
  job_init(&job, loop);
  psock_loop_defer(loop, &job.task);
  psock_loop_defer(loop, &job.task);
  ck_assert_uint_eq(job.runs, 0);
  ck_assert_int_eq(psock_test_loop_turn(loop), 1);
  ck_assert_int_eq(psock_test_loop_turn(loop), 0);
  ck_assert_uint_eq(job.runs, 1);
  psock_loop_defer(loop, &job.task);
  psock_task_cancel(&job.task);
  ck_assert_int_eq(psock_test_loop_turn(loop), 0);
  psock_loop_free(loop);
}
END_TEST

/* One that never rests has one run in a turn, and the limit ends that. */
START_TEST(a_task_that_repeats_has_its_turn) {
  psock_loop *loop;
  struct job job;
  ck_assert_int_eq(psock_test_loop_new(NULL, &loop), 0);
  job_init(&job, loop);
  job.again = true;
  psock_loop_defer(loop, &job.task);
  ck_assert_int_eq(psock_test_loop_turn(loop), 1);
  ck_assert_uint_eq(job.runs, 1);
  ck_assert_int_eq(psock_test_loop_settle(loop, 10), 0);
  ck_assert_uint_eq(job.runs, 11);
  job.again = false;
  ck_assert_int_eq(psock_test_loop_settle(loop, 10), 1);
  ck_assert_uint_eq(job.runs, 12);
  psock_loop_free(loop);
}
END_TEST

struct poster {
  struct job job;
  struct ev_loop *ev;
  pthread_t thread;
};

static void *post(void *data) {
  struct poster *poster = data;
  psock_loop_post(poster->job.loop, &poster->job.letter);
  return NULL;
}

static void get_and_break(struct psock_letter *letter) {
  struct job *job = PSOCK_CONTAINER(letter, struct job, letter);
  struct poster *poster = PSOCK_CONTAINER(job, struct poster, job);
  job->runs++;
  ev_break(poster->ev, EVBREAK_ALL);
}

/* A letter ends the sleep of a loop that has nothing else to wait for. */
/* Who waits may have waited for what the task did; and nothing else happens. */
START_TEST(a_single_turn_ends_with_a_task) {
  struct ev_loop *ev = ev_loop_new(EVFLAG_AUTO);
  psock_loop *loop;
  struct job job;
  ck_assert_int_eq(psock_loop_new(ev, NULL, &loop), 0);
  job_init(&job, loop);
  loop->ops->keep(loop, true);
  for (unsigned i = 1; i <= 3; i++) {
    psock_loop_defer(loop, &job.task);
    ck_assert_int_eq(psock_loop_run(loop), 0);
    ck_assert_uint_eq(job.runs, i);
  }
  loop->ops->keep(loop, false);
  psock_loop_free(loop);
  ev_loop_destroy(ev);
}
END_TEST

START_TEST(a_letter_wakes_the_loop) {
  struct poster poster;
  psock_loop *loop;
  psock_timer *timer;
  unsigned expired = 0;
  struct psock_loop_stats stats = {.size = sizeof stats};
  poster.ev = ev_loop_new(EVFLAG_AUTO);
  ck_assert_int_eq(psock_loop_new(poster.ev, NULL, &loop), 0);
  ck_assert_int_eq(psock_timer_new(loop, count_up, &expired, &timer), 0);
  psock_timer_start(timer, 3600 * SECOND);
  job_init(&poster.job, loop);
  poster.job.letter.deliver = get_and_break;
  for (unsigned i = 1; i <= 100; i++) {
    ck_assert_int_eq(pthread_create(&poster.thread, NULL, post, &poster), 0);
    ev_run(poster.ev, 0);
    pthread_join(poster.thread, NULL);
    ck_assert_uint_eq(poster.job.runs, i);
  }
  psock_loop_get_stats(loop, &stats);
  ck_assert_uint_le(stats.wakeups, 100);
  psock_timer_free(timer);
  psock_loop_free(loop);
  ev_loop_destroy(poster.ev);
}
END_TEST

/* ---- counters, and the end ---- */

START_TEST(counters_count) {
  struct rig rig;
  struct psock_loop_stats stats = {.size = sizeof stats};
  struct psock_loop_stats less = {
      .size = offsetof(struct psock_loop_stats, connections),
      .connections = 77,
  };
  rig_init(&rig);
  rig_open(&rig);
  rig_block(&rig);
  ck_assert_int_eq(rig_send(rig.near.sender, 0, 0, 100000), 0);
  rig_settle(&rig);
  psock_loop_get_stats(rig.loop, &stats);
  psock_loop_get_stats(rig.loop, &less);
  ck_assert_uint_eq(stats.connections, 2);
  ck_assert_uint_ge(stats.held, 100000);
  ck_assert_uint_ge(stats.held_peak, stats.held);
  ck_assert_uint_eq(stats.size, sizeof stats);
  ck_assert_uint_eq(less.held, stats.held);
  ck_assert_uint_eq(less.connections, 77);
  psock_connection_free(rig.near.connection);
  rig_settle(&rig);
  psock_loop_get_stats(rig.loop, &stats);
  ck_assert_uint_eq(stats.connections, 0);
  ck_assert_uint_eq(psock_loop_get_ended(rig.loop, PSOCK_ECANCELED), 1);
  ck_assert_uint_eq(psock_loop_get_ended(rig.loop, 0), 1);
  ck_assert_uint_eq(psock_loop_get_ended(rig.loop, PSOCK_ERESET), 0);
  ck_assert_uint_eq(psock_loop_get_ended(rig.loop, 1), 0);
  ck_assert_uint_eq(psock_loop_get_ended(rig.loop, -PSOCK_ERROR_COUNT - 1), 0);
  rig_fini(&rig);
}
END_TEST

static void free_the_other(struct rig_end *end) {
  psock_connection_free(end->rig->far.connection);
}

/* Also when one of them ends another one. */
START_TEST(freeing_ends_what_is_left) {
  struct rig rig;
  rig_init(&rig);
  if (_i)
    rig.near.on_closed = free_the_other;
  rig_open(&rig);
  ck_assert_int_eq(rig_send(rig.near.sender, 0, 0, 100), 0);
  psock_loop_free(rig.loop);
  rig.loop = NULL;
  ck_assert_uint_eq(rig.near.closed, 1);
  ck_assert_uint_eq(rig.far.closed, 1);
  ck_assert_int_eq(rig.near.reason, PSOCK_ECANCELED);
  ck_assert_int_eq(rig.far.reason, PSOCK_ECANCELED);
  rig_fini(&rig);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("loop");
  TCase *tcase = rig_case(suite, "making");
  tcase_add_test(tcase, wrong_arguments);
  tcase_add_test(tcase, no_descriptor_for_the_wakeup);
  tcase_add_loop_test(tcase, every_allocation_fails, 0, 2);
  tcase = rig_case(suite, "libev");
  tcase_add_loop_test(tcase, what_keeps_ev_run, 0, 2);
  tcase_add_test(tcase, the_clock_is_monotonic);
  tcase = rig_case(suite, "turns");
  tcase_add_test(tcase, a_task_runs_once_and_not_at_once);
  tcase_add_test(tcase, a_task_that_repeats_has_its_turn);
  tcase_add_test(tcase, a_single_turn_ends_with_a_task);
  tcase_add_test(tcase, a_letter_wakes_the_loop);
  tcase = rig_case(suite, "counters and end");
  tcase_add_test(tcase, counters_count);
  tcase_add_loop_test(tcase, freeing_ends_what_is_left, 0, 2);
  return rig_main(suite);
}
