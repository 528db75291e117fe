/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/rig.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

/*
 * The bound of a connection's queue: exactly so many bytes; full, too big and
 * closed told apart; being told that there is room, by callback or by waiting;
 * and that a full queue holds not much more memory than bytes.
 */

#define LIMIT ((size_t)1000)

/* Ten of these fill the queue. */
#define TENTH (LIMIT / 10 - 1)

static psock_sender *choose(struct rig *rig, int clone) {
  return clone ? rig_clone(rig) : rig->near.sender;
}

/* A rig whose queue is short and whose transport takes nothing for now. */
static void open_stuck(struct rig *rig) {
  rig_init(rig);
  rig->near.options.max_queued = LIMIT;
  rig_open(rig);
  rig_block(rig);
}

/* ---- the border ---- */

START_TEST(the_limit_is_exact) {
  struct rig rig;
  open_stuck(&rig);
  psock_sender *sender = choose(&rig, _i % 2);
  for (int round = 0; round < 2; round++) {
    ck_assert_uint_eq(rig_fill(sender, 0, TENTH), 10);
    ck_assert_uint_eq(psock_sender_get_queued(sender), LIMIT);
    ck_assert_int_eq(rig_send(sender, 1, 0, RIG_MESSAGE_MIN), PSOCK_EFULL);
    /* Collected or not, it makes no difference. */
    if (_i >= 2)
      rig_settle(&rig);
    ck_assert_int_eq(rig_send(sender, 1, 0, RIG_MESSAGE_MIN), PSOCK_EFULL);
    ck_assert_uint_eq(psock_sender_get_queued(sender), LIMIT);
    rig_unblock(&rig);
    rig_settle(&rig);
    ck_assert_uint_eq(psock_sender_get_queued(sender), 0);
    ck_assert(rig_in_order(&rig, 0, 10));
    rig.far.got_count = 0;
    rig_block(&rig);
  }
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

START_TEST(the_limit_is_for_all_together) {
  struct rig rig;
  psock_sender *senders[3];
  open_stuck(&rig);
  senders[0] = rig.near.sender;
  senders[1] = rig_clone(&rig);
  senders[2] = rig_clone(&rig);
  for (uint32_t i = 0; i < 10; i++)
    ck_assert_int_eq(rig_send(senders[i % 3], i % 3, i / 3, TENTH), 0);
  for (int i = 0; i < 3; i++) {
    ck_assert_uint_eq(psock_sender_get_queued(senders[i]), LIMIT);
    ck_assert_int_eq(rig_send(senders[i], 9, 0, RIG_MESSAGE_MIN), PSOCK_EFULL);
  }
  rig_unblock(&rig);
  rig_settle(&rig);
  ck_assert_uint_eq(rig.far.got_count, 10);
  psock_sender_drop(senders[1]);
  psock_sender_drop(senders[2]);
  rig_fini(&rig);
}
END_TEST

START_TEST(too_big_is_not_full) {
  struct rig rig;
  open_stuck(&rig);
  psock_sender *sender = choose(&rig, _i);
  /* Two bytes of count. */
  ck_assert_int_eq(rig_send(sender, 0, 0, LIMIT - 1), PSOCK_ETOOBIG);
  ck_assert_int_eq(rig_send(sender, 0, 0, LIMIT - 2), 0);
  ck_assert_int_eq(rig_send(sender, 0, 1, LIMIT - 1), PSOCK_ETOOBIG);
  ck_assert_int_eq(rig_send(sender, 0, 1, LIMIT - 2), PSOCK_EFULL);
  rig_unblock(&rig);
  rig_settle(&rig);
  ck_assert(rig_in_order(&rig, 0, 1));
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

/* All of them count at once. */
START_TEST(a_group_is_too_big_together) {
  struct rig rig;
  char buffer[TENTH];
  const void *messages[11];
  open_stuck(&rig);
  psock_sender *sender = choose(&rig, _i);
  struct psock_text text = rig_message(buffer, 0, 0, TENTH);
  for (int i = 0; i < 11; i++)
    messages[i] = &text;
  ck_assert_int_eq(psock_send_many(sender, messages, 11, NULL), PSOCK_ETOOBIG);
  ck_assert_uint_eq(psock_sender_get_queued(sender), 0);
  ck_assert_int_eq(rig_send(sender, 0, 0, RIG_MESSAGE_MIN), 0);
  ck_assert_int_eq(psock_send_many(sender, messages, 10, NULL), PSOCK_EFULL);
  ck_assert_int_eq(psock_send_many(sender, messages, 9, NULL), 0);
  rig_unblock(&rig);
  rig_settle(&rig);
  ck_assert_uint_eq(rig.far.got_count, 10);
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

START_TEST(the_codecs_limit_is_too_big) {
  struct rig rig;
  rig_init(&rig);
  psock_text_codec_init(&rig.codec, 50);
  rig_open(&rig);
  psock_sender *sender = choose(&rig, _i);
  ck_assert_int_eq(rig_send(sender, 0, 0, 51), PSOCK_ETOOBIG);
  ck_assert_int_eq(rig_send(sender, 0, 0, 50), 0);
  rig_settle(&rig);
  ck_assert(rig_in_order(&rig, 0, 1));
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

START_TEST(a_refusal_leaves_no_trace) {
  struct rig rig;
  struct psock_record record = {&rig, 1};
  rig_init(&rig);
  rig.near.options.max_queued = 50000;
  rig_open(&rig);
  rig_block(&rig);
  psock_sender *sender = choose(&rig, _i);
  ck_assert_int_eq(rig_send(sender, 0, 0, 20000), 0);
  for (int i = 0; i < 3; i++) {
    ck_assert_int_eq(
        rig_send_lent(sender, rig_lend(&rig, 1, 40000, 0), &record),
        PSOCK_EFULL);
    ck_assert_int_eq(
        rig_send_lent(sender, rig_lend(&rig, 1, 60000, 0), &record),
        PSOCK_ETOOBIG);
    ck_assert_int_eq(rig_send(sender, 0, 1, 40000), PSOCK_EFULL);
    ck_assert_uint_eq(psock_sender_get_queued(sender), 20003);
  }
  ck_assert_int_eq(rig_send(sender, 0, 1, 100), 0);
  rig_unblock(&rig);
  rig_settle(&rig);
  ck_assert(rig_in_order(&rig, 0, 2));
  ck_assert_uint_eq(rig.near.record_count, 0);
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

START_TEST(closed_is_not_full) {
  struct rig rig;
  open_stuck(&rig);
  psock_sender *sender = choose(&rig, _i);
  rig_fill(sender, 0, TENTH);
  psock_connection_close(rig.near.connection);
  ck_assert_int_eq(rig_send(sender, 0, 0, TENTH), PSOCK_ECLOSED);
  rig_unblock(&rig);
  rig_settle(&rig);
  ck_assert(rig_in_order(&rig, 0, 10));
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

START_TEST(queued_counts_what_the_transport_has_not) {
  struct rig rig;
  open_stuck(&rig);
  psock_sender *sender = choose(&rig, _i);
  rig_fill(sender, 0, TENTH);
  rig_settle(&rig);
  ck_assert_uint_eq(psock_sender_get_queued(sender), LIMIT);
  rig_let_leave(&rig, 123);
  ck_assert_uint_eq(psock_sender_get_queued(sender), LIMIT - 123);
  ck_assert_int_eq(rig_send(sender, 1, 0, 122), 0);
  ck_assert_int_eq(rig_send(sender, 1, 1, RIG_MESSAGE_MIN), PSOCK_EFULL);
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

/* ---- the writable callback ---- */

struct waiter {
  struct rig *rig;
  psock_sender *sender;
  unsigned calls;
  size_t queued; /* at the last call */
  void (*act)(struct waiter *waiter);
};

static void on_writable(void *data) {
  struct waiter *waiter = data;
  waiter->calls++;
  waiter->rig->early += waiter->rig->inside > 0;
  waiter->queued = psock_sender_get_queued(waiter->sender);
  if (waiter->act != NULL)
    waiter->act(waiter);
}

static struct waiter wait_on(struct rig *rig, psock_sender *sender) {
  return (struct waiter){.rig = rig, .sender = sender};
}

static void be_refused(struct waiter *waiter, size_t length) {
  waiter->rig->inside++;
  ck_assert_int_eq(rig_send(waiter->sender, 9, 0, length), PSOCK_EFULL);
  waiter->rig->inside--;
}

START_TEST(writable_once_for_each_change) {
  struct rig rig;
  open_stuck(&rig);
  struct waiter waiter = wait_on(&rig, choose(&rig, _i));
  psock_sender_on_writable(waiter.sender, on_writable, &waiter);
  for (unsigned round = 0; round < 3; round++) {
    rig_fill(waiter.sender, 0, TENTH);
    be_refused(&waiter, TENTH);
    be_refused(&waiter, TENTH);
    rig_settle(&rig);
    rig_let_leave(&rig, 499);
    ck_assert_uint_eq(waiter.calls, round);
    rig_let_leave(&rig, 1);
    ck_assert_uint_eq(waiter.calls, round + 1);
    ck_assert_uint_eq(waiter.queued, LIMIT / 2);
    rig_let_leave(&rig, 500);
    ck_assert_uint_eq(waiter.calls, round + 1);
  }
  /* Without a refusal, never. */
  for (uint32_t i = 0; i < 10; i++)
    ck_assert_int_eq(rig_send(waiter.sender, 0, i, TENTH), 0);
  rig_let_leave(&rig, LIMIT);
  ck_assert_uint_eq(waiter.calls, 3);
  rig_drop(&rig, waiter.sender);
  rig_fini(&rig);
}
END_TEST

/* A message that is larger than half needs more than half. */
START_TEST(writable_when_a_large_one_fits) {
  struct rig rig;
  open_stuck(&rig);
  struct waiter waiter = wait_on(&rig, choose(&rig, _i));
  psock_sender_on_writable(waiter.sender, on_writable, &waiter);
  rig_fill(waiter.sender, 0, TENTH);
  be_refused(&waiter, 798);
  rig_let_leave(&rig, 799);
  ck_assert_uint_eq(waiter.calls, 0);
  rig_let_leave(&rig, 1);
  ck_assert_uint_eq(waiter.calls, 1);
  ck_assert_uint_eq(waiter.queued, 200);
  ck_assert_int_eq(rig_send(waiter.sender, 1, 0, 798), 0);
  rig_let_leave(&rig, LIMIT);
  ck_assert_uint_eq(waiter.calls, 1);
  rig_drop(&rig, waiter.sender);
  rig_fini(&rig);
}
END_TEST

START_TEST(all_who_were_refused_are_told) {
  struct rig rig;
  struct waiter waiters[4];
  open_stuck(&rig);
  for (int i = 0; i < 4; i++) {
    waiters[i] = wait_on(&rig, choose(&rig, i));
    psock_sender_on_writable(waiters[i].sender, on_writable, &waiters[i]);
  }
  rig_fill(rig.near.sender, 0, TENTH);
  for (int i = 1; i < 3; i++)
    be_refused(&waiters[i], 100);
  rig_let_leave(&rig, LIMIT);
  ck_assert_uint_eq(waiters[0].calls, 1);
  ck_assert_uint_eq(waiters[1].calls, 1);
  ck_assert_uint_eq(waiters[2].calls, 1);
  ck_assert_uint_eq(waiters[3].calls, 0);
  for (int i = 1; i < 4; i++)
    psock_sender_drop(waiters[i].sender);
  rig_fini(&rig);
}
END_TEST

START_TEST(writable_set_late_and_taken_back) {
  struct rig rig;
  open_stuck(&rig);
  struct waiter waiter = wait_on(&rig, choose(&rig, _i));
  rig_fill(waiter.sender, 0, TENTH);
  psock_sender_on_writable(waiter.sender, on_writable, &waiter);
  rig_let_leave(&rig, LIMIT);
  ck_assert_uint_eq(waiter.calls, 1);
  rig_fill(waiter.sender, 0, TENTH);
  psock_sender_on_writable(waiter.sender, NULL, NULL);
  rig_let_leave(&rig, LIMIT);
  ck_assert_uint_eq(waiter.calls, 1);
  rig_drop(&rig, waiter.sender);
  rig_fini(&rig);
}
END_TEST

static void fill_again(struct waiter *waiter) {
  ck_assert_uint_le(waiter->queued, LIMIT / 2);
  rig_fill(waiter->sender, waiter->calls, TENTH);
}

/* One change is one call, however soon it is full again. */
START_TEST(writable_that_fills_again) {
  struct rig rig;
  open_stuck(&rig);
  struct waiter waiter = wait_on(&rig, choose(&rig, _i));
  waiter.act = fill_again;
  psock_sender_on_writable(waiter.sender, on_writable, &waiter);
  rig_fill(waiter.sender, 0, TENTH);
  for (unsigned round = 1; round < 20; round++) {
    rig_let_leave(&rig, LIMIT / 2);
    ck_assert_uint_eq(waiter.calls, round);
  }
  rig_drop(&rig, waiter.sender);
  rig_fini(&rig);
}
END_TEST

static void free_near(struct waiter *waiter) {
  psock_connection_free(waiter->rig->near.connection);
}

static void close_near(struct waiter *waiter) {
  psock_connection_close(waiter->rig->near.connection);
}

static void drop_sender(struct waiter *waiter) {
  if (waiter->sender != waiter->rig->near.sender)
    psock_sender_drop(waiter->sender);
  waiter->sender = waiter->rig->near.sender;
}

START_TEST(writable_that_ends_something) {
  static void (*const acts[])(struct waiter * waiter) = {
      free_near, close_near, drop_sender};
  struct rig rig;
  open_stuck(&rig);
  psock_connection_want_room(rig.near.connection);
  struct waiter waiter = wait_on(&rig, choose(&rig, _i % 2));
  psock_sender *clone = waiter.sender;
  waiter.act = acts[_i / 2];
  psock_sender_on_writable(waiter.sender, on_writable, &waiter);
  rig_fill(waiter.sender, 0, TENTH);
  psock_connection_want_room(rig.near.connection);
  rig_let_leave(&rig, 600);
  ck_assert_uint_eq(waiter.calls, 1);
  if (_i / 2 == 2)
    rig_let_leave(&rig, 600);
  else if (clone != rig.near.sender && _i % 2 == 1)
    psock_sender_drop(clone);
  ck_assert_uint_eq(waiter.calls, 1);
  rig_fini(&rig);
}
END_TEST

static void fill_from_records(struct rig_end *end) {
  rig_fill(end->sender, 5, TENTH);
}

/* Room counts what the connection's own sender has just been given. */
START_TEST(writable_knows_all_that_is_queued) {
  struct rig rig;
  struct psock_record record = {&rig, 1};
  open_stuck(&rig);
  struct waiter waiter = wait_on(&rig, rig.near.sender);
  psock_sender_on_writable(waiter.sender, on_writable, &waiter);
  rig.near.on_records = fill_from_records;
  ck_assert_int_eq(
      rig_send_lent(waiter.sender, rig_lend(&rig, 0, 400, 1), &record), 0);
  rig_let_leave(&rig, 300);
  ck_assert_uint_eq(waiter.calls, 0);
  rig_let_leave(&rig, 300);
  ck_assert_uint_eq(waiter.calls, 1);
  ck_assert_uint_le(waiter.queued, LIMIT / 2);
  rig_fini(&rig);
}
END_TEST

/* ---- waiting ---- */

struct sleeper {
  psock_sender *sender;
  uint64_t timeout;
  uint64_t waited;
  int error;
  atomic_bool done;
};

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void *send_waiting(void *data) {
  struct sleeper *sleeper = data;
  char buffer[TENTH];
  struct psock_text text = rig_message(buffer, 3, 0, TENTH);
  struct psock_send_options options = {
      .size = sizeof options,
      .timeout = sleeper->timeout,
  };
  uint64_t before = now();
  sleeper->error = rig_send_with(NULL, sleeper->sender, &text, &options);
  sleeper->waited = now() - before;
  atomic_store(&sleeper->done, true);
  return NULL;
}

static void go_on(struct rig *rig) {
  rig_unblock(rig);
}

static void close_it(struct rig *rig) {
  psock_connection_close(rig->near.connection);
}

static void free_it(struct rig *rig) {
  psock_connection_free(rig->near.connection);
}

static void leave_it(struct rig *rig) {
  (void)rig;
}

/* A wait ends with room, with the connection, or with the time. */
START_TEST(waits_end) {
  static const struct {
    void (*act)(struct rig *rig);
    uint64_t timeout;
    int error;
  } rows[] = {
      {go_on, (uint64_t)30 * 1000000000u, 0},
      {close_it, (uint64_t)30 * 1000000000u, PSOCK_ECLOSED},
      {free_it, UINT64_MAX, PSOCK_ECLOSED},
      {leave_it, 20000000, PSOCK_ETIMEDOUT},
      {leave_it, 1, PSOCK_ETIMEDOUT},
  };
  struct rig rig;
  pthread_t thread;
  open_stuck(&rig);
  struct sleeper sleeper = {
      .sender = rig_clone(&rig), .timeout = rows[_i].timeout};
  rig_fill(rig.near.sender, 0, TENTH);
  rig_settle(&rig);
  ck_assert_int_eq(pthread_create(&thread, NULL, send_waiting, &sleeper), 0);
  /* The act may come before the wait or in it; both have to do. */
  if (_i % 2 == 0)
    sched_yield();
  rows[_i].act(&rig);
  while (!atomic_load(&sleeper.done))
    psock_test_loop_turn(rig.loop);
  pthread_join(thread, NULL);
  rig_settle(&rig);
  ck_assert_int_eq(sleeper.error, rows[_i].error);
  if (rows[_i].error == PSOCK_ETIMEDOUT)
    ck_assert_uint_ge(sleeper.waited, rows[_i].timeout);
  ck_assert(rig_in_order(&rig, 3, sleeper.error == 0 ? 1 : 0));
  psock_sender_drop(sleeper.sender);
  rig_fini(&rig);
}
END_TEST

/* Where there is room, nobody waits. */
START_TEST(no_wait_with_room) {
  struct rig rig;
  pthread_t thread;
  open_stuck(&rig);
  struct sleeper sleeper = {.sender = rig_clone(&rig), .timeout = UINT64_MAX};
  ck_assert_int_eq(pthread_create(&thread, NULL, send_waiting, &sleeper), 0);
  pthread_join(thread, NULL);
  ck_assert_int_eq(sleeper.error, 0);
  psock_sender_drop(sleeper.sender);
  rig_fini(&rig);
}
END_TEST

/* ---- memory ---- */

/* Turn by turn, to a peer that doesn't read. */
START_TEST(a_slow_queue_is_compact) {
  struct rig rig;
  rig_init(&rig);
  rig.capacity = 64;
  rig_open(&rig);
  psock_connection_pause(rig.far.connection);
  psock_sender *sender = choose(&rig, _i);
  size_t before = atomic_load(&rig.fault.bytes);
  for (uint32_t i = 0; i < 100000; i++) {
    ck_assert_int_eq(rig_send(sender, 0, i, RIG_MESSAGE_MIN), 0);
    psock_test_loop_turn(rig.loop);
  }
  size_t queued = psock_sender_get_queued(sender);
  ck_assert_uint_ge(queued, 100000 * RIG_FRAME(RIG_MESSAGE_MIN) - 64);
  ck_assert_uint_le(atomic_load(&rig.fault.bytes) - before,
      queued + queued / 8 + (128 << 10));
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

/* What is lent costs little more than its description. */
START_TEST(lent_memory_costs_little) {
  struct rig rig;
  rig_init(&rig);
  rig_open(&rig);
  rig_block(&rig);
  psock_sender *sender = choose(&rig, _i % 2);
  size_t before = atomic_load(&rig.fault.bytes);
  for (uint32_t i = 0; i < 100; i++) {
    struct rig_lent *lent = rig_lend(&rig, i, 16 << 10, 1);
    ck_assert_int_eq(rig_send_lent(sender, lent, NULL), 0);
    if (_i >= 2)
      psock_test_loop_turn(rig.loop);
  }
  ck_assert_uint_le(
      atomic_load(&rig.fault.bytes) - before, psock_sender_get_queued(sender));
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("sender capacity");
  TCase *tcase = rig_case(suite, "border");
  tcase_add_loop_test(tcase, the_limit_is_exact, 0, 4);
  tcase_add_test(tcase, the_limit_is_for_all_together);
  tcase_add_loop_test(tcase, too_big_is_not_full, 0, 2);
  tcase_add_loop_test(tcase, a_group_is_too_big_together, 0, 2);
  tcase_add_loop_test(tcase, the_codecs_limit_is_too_big, 0, 2);
  tcase_add_loop_test(tcase, a_refusal_leaves_no_trace, 0, 2);
  tcase_add_loop_test(tcase, closed_is_not_full, 0, 2);
  tcase_add_loop_test(tcase, queued_counts_what_the_transport_has_not, 0, 2);
  tcase = rig_case(suite, "writable");
  tcase_add_loop_test(tcase, writable_once_for_each_change, 0, 2);
  tcase_add_loop_test(tcase, writable_when_a_large_one_fits, 0, 2);
  tcase_add_test(tcase, all_who_were_refused_are_told);
  tcase_add_loop_test(tcase, writable_set_late_and_taken_back, 0, 2);
  tcase_add_loop_test(tcase, writable_that_fills_again, 0, 2);
  tcase_add_loop_test(tcase, writable_that_ends_something, 0, 6);
  tcase_add_test(tcase, writable_knows_all_that_is_queued);
  tcase = rig_case(suite, "waiting");
  tcase_add_loop_test(tcase, waits_end, 0, 5);
  tcase_add_test(tcase, no_wait_with_room);
  tcase = rig_case(suite, "memory");
  tcase_add_loop_test(tcase, a_slow_queue_is_compact, 0, 2);
  tcase_add_loop_test(tcase, lent_memory_costs_little, 0, 4);
  return rig_main(suite);
}
