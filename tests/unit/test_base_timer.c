/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/alarm.h"

#include "lib/memory.h"
#include "lib/rig.h"

/*
 * Alarms against a model that looks through all of them, and the timers of a
 * loop: once, in order, never inside a start, from their own callbacks too.
 */

#define ALARMS 200
#define SECOND ((uint64_t)1000000000u)

static uint64_t earliest(const struct psock_alarm *alarms) {
  uint64_t at = PSOCK_NEVER;
  for (int i = 0; i < ALARMS; i++)
    if (alarms[i].place != 0 && alarms[i].at < at)
      at = alarms[i].at;
  return at;
}

static void pop_all(
    struct psock_alarms *heap, struct psock_alarm *alarms, uint64_t now) {
  struct psock_alarm *alarm;
  uint64_t last = 0;
  while (earliest(alarms) <= now) {
    uint64_t at = earliest(alarms);
    alarm = psock_alarms_pop(heap, now);
    ck_assert_ptr_nonnull(alarm);
    ck_assert_uint_eq(alarm->at, at);
    ck_assert_uint_ge(alarm->at, last);
    ck_assert_uint_eq(alarm->place, 0);
    last = alarm->at;
  }
  ck_assert_ptr_null(psock_alarms_pop(heap, now));
}

START_TEST(alarms_behave_as_a_list) {
  struct memory memory;
  static struct psock_alarm alarms[ALARMS];
  uint64_t state = (uint64_t)_i + 1;
  uint64_t now = 0;
  memory_init(&memory, 0);
  struct psock_alarms heap = {.heap = memory.heap};
  for (int i = 0; i < ALARMS; i++)
    ck_assert_int_eq(psock_alarms_reserve(&heap), 0);
  for (int i = 0; i < 20000; i++) {
    struct psock_alarm *alarm = &alarms[random_below(&state, ALARMS)];
    if (random_below(&state, 3) > 0)
      psock_alarms_start(&heap, alarm, now + random_below(&state, 1000));
    else
      psock_alarms_stop(&heap, alarm);
    ck_assert_uint_eq(psock_alarms_next(&heap), earliest(alarms));
    if (i % 100 == 0)
      pop_all(&heap, alarms, now += random_below(&state, 900));
  }
  pop_all(&heap, alarms, PSOCK_NEVER - 1);
  ck_assert_uint_eq(psock_alarms_next(&heap), PSOCK_NEVER);
  psock_alarms_fini(&heap);
  memory_fini(&memory);
}
END_TEST

START_TEST(only_reserving_needs_memory) {
  struct memory memory;
  static struct psock_alarm alarms[ALARMS];
  memory_init(&memory, 0);
  struct psock_alarms heap = {.heap = memory.heap};
  alloc_fault_arm(&memory.fault, 1, true);
  ck_assert_int_eq(psock_alarms_reserve(&heap), PSOCK_ENOMEM);
  alloc_fault_disarm(&memory.fault);
  for (int i = 0; i < ALARMS; i++)
    ck_assert_int_eq(psock_alarms_reserve(&heap), 0);
  alloc_fault_arm(&memory.fault, 1, true);
  for (uint64_t i = 0; i < ALARMS; i++)
    psock_alarms_start(&heap, &alarms[i], ALARMS - i);
  ck_assert_uint_eq(psock_alarms_next(&heap), 1);
  psock_alarms_fini(&heap);
  memory_fini(&memory);
}
END_TEST

/* ---- timers ---- */

struct clock {
  struct alloc_fault fault;
  psock_loop *loop;
  psock_timer *timer;
  unsigned expired;
  int inside;
  void (*act)(struct clock *clock);
};

static void on_expired(void *data) {
  struct clock *clock = data;
  ck_assert_int_eq(clock->inside, 0);
  clock->expired++;
  if (clock->act != NULL)
    clock->act(clock);
}

static void start(struct clock *clock, uint64_t after) {
  clock->inside++;
  psock_timer_start(clock->timer, after);
  clock->inside--;
}

static void clock_init(struct clock *clock) {
  *clock = (struct clock){.expired = 0};
  alloc_fault_init(&clock->fault);
  struct psock_loop_options options = {
      .size = sizeof options, .allocator = &clock->fault.allocator};
  ck_assert_int_eq(psock_test_loop_new(&options, &clock->loop), 0);
  ck_assert_int_eq(
      psock_timer_new(clock->loop, on_expired, clock, &clock->timer), 0);
}

static void clock_fini(struct clock *clock) {
  psock_timer_free(clock->timer);
  psock_loop_free(clock->loop);
  ck_assert_ptr_null(alloc_fault_complaint(&clock->fault));
}

static void pass(struct clock *clock, uint64_t by) {
  psock_test_loop_advance(clock->loop, by);
  psock_test_loop_settle(clock->loop, 100);
}

START_TEST(a_timer_expires_once) {
  struct clock clock;
  clock_init(&clock);
  ck_assert_uint_eq(psock_loop_now(clock.loop), SECOND);
  pass(&clock, SECOND);
  ck_assert_uint_eq(psock_loop_now(clock.loop), 2 * SECOND);
  ck_assert_uint_eq(clock.expired, 0);
  start(&clock, 100);
  pass(&clock, 99);
  ck_assert_uint_eq(clock.expired, 0);
  pass(&clock, 1);
  ck_assert_uint_eq(clock.expired, 1);
  pass(&clock, SECOND);
  ck_assert_uint_eq(clock.expired, 1);
  start(&clock, 0);
  ck_assert_uint_eq(clock.expired, 1);
  pass(&clock, 0);
  ck_assert_uint_eq(clock.expired, 2);
  clock_fini(&clock);
}
END_TEST

START_TEST(a_timer_starts_anew_and_stops) {
  struct clock clock;
  clock_init(&clock);
  psock_timer_stop(clock.timer);
  start(&clock, 100);
  pass(&clock, 60);
  start(&clock, 100);
  pass(&clock, 60);
  ck_assert_uint_eq(clock.expired, 0);
  pass(&clock, 40);
  ck_assert_uint_eq(clock.expired, 1);
  start(&clock, 100);
  psock_timer_stop(clock.timer);
  start(&clock, UINT64_MAX);
  pass(&clock, (uint64_t)1 << 62);
  ck_assert_uint_eq(clock.expired, 1);
  clock_fini(&clock);
}
END_TEST

static void start_again(struct clock *clock) {
  start(clock, 0);
}

static void free_it(struct clock *clock) {
  psock_timer_free(clock->timer);
  clock->timer = NULL;
}

static void stop_it(struct clock *clock) {
  psock_timer_stop(clock->timer);
}

/* One that starts itself for now has its turn in the next one. */
START_TEST(expired_may_do_anything) {
  static void (*const acts[])(struct clock * clock) = {
      start_again, free_it, stop_it};
  struct clock clock;
  clock_init(&clock);
  clock.act = acts[_i];
  start(&clock, 5);
  psock_test_loop_advance(clock.loop, 5);
  for (unsigned turn = 1; turn < 5; turn++) {
    psock_test_loop_turn(clock.loop);
    ck_assert_uint_eq(clock.expired, _i == 0 ? turn : 1);
  }
  clock_fini(&clock);
}
END_TEST

START_TEST(a_timer_needs_memory_only_when_made) {
  struct clock clock;
  psock_timer *timers[50];
  clock_init(&clock);
  alloc_fault_arm(&clock.fault, 1, true);
  psock_timer *none = NULL;
  ck_assert_int_eq(
      psock_timer_new(clock.loop, on_expired, &clock, &none), PSOCK_ENOMEM);
  ck_assert_ptr_null(none);
  alloc_fault_disarm(&clock.fault);
  for (int i = 0; i < 50; i++)
    ck_assert_int_eq(
        psock_timer_new(clock.loop, on_expired, &clock, &timers[i]), 0);
  alloc_fault_arm(&clock.fault, 1, true);
  for (uint64_t i = 0; i < 50; i++)
    psock_timer_start(timers[i], 50 - i);
  pass(&clock, 50);
  ck_assert_uint_eq(clock.expired, 50);
  for (int i = 0; i < 50; i++)
    psock_timer_free(timers[i]);
  psock_timer_free(NULL);
  clock_fini(&clock);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("timers");
  TCase *tcase = rig_case(suite, "alarms");
  tcase_add_loop_test(tcase, alarms_behave_as_a_list, 0, 5);
  tcase_add_test(tcase, only_reserving_needs_memory);
  tcase = rig_case(suite, "timers");
  tcase_add_test(tcase, a_timer_expires_once);
  tcase_add_test(tcase, a_timer_starts_anew_and_stops);
  tcase_add_loop_test(tcase, expired_may_do_anything, 0, 3);
  tcase_add_test(tcase, a_timer_needs_memory_only_when_made);
  return rig_main(suite);
}
