/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/callers.h"

#include "rpc/call.h"
#include <string.h>

/*
 * How connections and callers end in good order, or not: servers that go away,
 * closing, freeing, what callbacks may do of it, and servers that are silent.
 */

static struct callers callers;
static struct trial trial;
static const struct psock_method *const get = &trial__trial__get__method;
static const struct psock_method *const put = &trial__trial__put__method;

static void prepare(int own) {
  callers_init(&callers, own != 0);
  trial = (struct trial){.callers = NULL};
  callers.connects = true;
}

static void open_with(int own) {
  prepare(own);
  callers_open(&callers);
}

static void finish(void) {
  if (trial.call != NULL)
    callers_unref(&trial);
  callers_fini(&callers);
}

static void lose(void) {
  psock_connection_free(callers_end(&callers)->connection);
  callers_settle(&callers);
}

/* Brings the caller to where the next attempt to connect has to wait. */
static void fail_once(void) {
  callers.open_error = PSOCK_EREFUSED;
  static struct trial first;
  first = (struct trial){.callers = NULL};
  lose();
  callers_start(
      &callers, &first, callers.own ? callers_get(&callers) : put, "text");
  callers_check_ended(&first, PSOCK_STATUS_UNAVAILABLE);
  callers_unref(&first);
}

static void answer(struct trial *one) {
  callers_reply(callers_end(&callers), one->call->id, "answer", 1);
  callers_settle(&callers);
  callers_check_ended(one, PSOCK_STATUS_OK);
}

/* ---- Going away ---- */

START_TEST(test_goaway) {
  static struct trial later;
  later = (struct trial){.callers = NULL};
  open_with(0);
  callers_start(&callers, &trial, put, "text");
  struct callers_end *end = callers_end(&callers);
  callers_code(end, 0, PSOCK_CODE_GOAWAY);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_GOAWAY), 1);
  ck_assert_uint_eq(end->got[end->count - 1].code, PSOCK_CODE_GOAWAY);
  ck_assert_uint_eq(end->input_ended, 0);
  /* A new one goes to a new connection. */
  callers_start(&callers, &later, put, "later");
  ck_assert_uint_eq(callers.connects_seen, 2);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_NORMAL), 1);
  answer(&later);
  callers_unref(&later);
  /* When the last has ended, the old one is closed. */
  ck_assert_uint_eq(end->input_ended, 0);
  callers_reply(end, trial.id, "answer", 1);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  ck_assert_uint_eq(end->closed, 1);
  ck_assert_int_eq(end->reason, 0);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_GOAWAY), 1);
  finish();
}
END_TEST

/* Without calls it is answered, and the connection closed, at once. */
START_TEST(test_goaway_idle) {
  open_with(0);
  struct callers_end *end = callers_end(&callers);
  callers_code(end, 0, PSOCK_CODE_GOAWAY);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_GOAWAY), 1);
  ck_assert_uint_eq(end->closed, 1);
  ck_assert_int_eq(end->reason, 0);
  finish();
}
END_TEST

/* The cancels of calls that have ended leave before it closes. */
START_TEST(test_goaway_and_cancel) {
  open_with(0);
  callers_start(&callers, &trial, put, "text");
  struct callers_end *end = callers_end(&callers);
  callers_code(end, 0, PSOCK_CODE_GOAWAY);
  psock_call_cancel(trial.call);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_CANCEL), 1);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_GOAWAY), 1);
  ck_assert_uint_eq(end->closed, 1);
  finish();
}
END_TEST

/* A caller with only this connection has none for new calls. */
START_TEST(test_goaway_of_the_only_one) {
  prepare(0);
  callers.connects = false;
  callers_open(&callers);
  callers_code(callers_end(&callers), 0, PSOCK_CODE_GOAWAY);
  callers_settle(&callers);
  callers_start(&callers, &trial, _i ? get : put, "text");
  callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
  ck_assert_int_eq(trial.not_begun, 1);
  finish();
}
END_TEST

#define MANY 128

/* Starts calls until not even a short one has room; returns how many. */
static unsigned fill_queue(struct trial *trials) {
  static char text[1000];
  unsigned count = 0;
  memset(trials, 0, MANY * sizeof *trials);
  memset(text, 'x', sizeof text - 1);
  psock_connection_pause(callers_end(&callers)->connection);
  callers_settle(&callers);
  for (int large = 1; large >= 0; large--) {
    text[0] = large ? 'x' : '\0';
    while (callers_try_start(&callers, &trials[count], put, text, NULL) == 0) {
      callers_settle(&callers);
      ck_assert_uint_lt(++count, MANY);
    }
  }
  return count;
}

static void open_small(bool connects) {
  prepare(0);
  callers.silent = true;
  callers.capacity = 1024;
  callers.connection.max_queued = 5000;
  callers.connects = connects;
  callers_open(&callers);
}

/* A stream of requests that found no room to start goes to the next connection,
 * if there is one. */
START_TEST(test_goaway_while_pending) {
  static struct trial fill[MANY];
  open_small(_i == 0);
  struct callers_end *end = callers_end(&callers);
  unsigned count = fill_queue(fill);
  callers_start(&callers, &trial, &trial__trial__upload__method, NULL);
  callers_hello(end, 0, 0);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.ended, 0);
  callers.silent = false;
  callers_code(end, 0, PSOCK_CODE_GOAWAY);
  callers_settle(&callers);
  if (_i == 0) {
    ck_assert_uint_eq(trial.ended, 0);
    ck_assert_uint_eq(callers.connects_seen, 2);
    answer(&trial);
  } else {
    callers_check_ended(&trial, PSOCK_STATUS_UNAVAILABLE);
    ck_assert_int_eq(trial.not_begun, 1);
  }
  for (unsigned i = 0; i < count; i++) {
    ck_assert_uint_eq(fill[i].ended, 0);
    callers_unref(&fill[i]);
  }
  finish();
}
END_TEST

/* It starts when there is room. */
START_TEST(test_pending_for_room) {
  static struct trial fill[MANY];
  open_small(true);
  struct callers_end *end = callers_end(&callers);
  unsigned count = fill_queue(fill);
  callers_start(&callers, &trial, &trial__trial__upload__method, NULL);
  callers_hello(end, 0, 0);
  callers_settle(&callers);
  ck_assert_int_eq(
      psock_call_send(trial.call, callers_request(put, "text")), PSOCK_EFULL);
  ck_assert_uint_eq(trial.rooms, 0);
  psock_connection_resume(end->connection);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.rooms, 1);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_NORMAL), count + 1);
  for (unsigned i = 0; i < count; i++)
    callers_unref(&fill[i]);
  finish();
}
END_TEST

/* So does what is to be sent again. */
START_TEST(test_again_for_room) {
  static struct trial fill[MANY];
  open_small(true);
  struct callers_end *end = callers_end(&callers);
  callers_hello(end, 0, 0);
  callers_start(&callers, &trial, get, "text");
  unsigned count = fill_queue(fill);
  callers_fail(end, trial.id, PSOCK_STATUS_UNAVAILABLE, false);
  callers_settle(&callers);
  callers_pass(&callers, 50 * MILLISECOND);
  ck_assert_uint_eq(callers_stats(&callers).retried, 0);
  ck_assert_uint_eq(trial.ended, 0);
  psock_connection_resume(end->connection);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_stats(&callers).retried, 1);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_NORMAL), count + 2);
  answer(&trial);
  for (unsigned i = 0; i < count; i++)
    callers_unref(&fill[i]);
  finish();
}
END_TEST

/* Or for a place: of two, one has a call whose cancel has not left yet, and the
 * other one that was started when that call ended. */
static struct trial another;

static void start_another(struct trial *one, psock_call *call) {
  (void)one;
  (void)call;
  ck_assert_int_eq(
      callers_try_start(&callers, &another, put, "another", NULL), 0);
  /* It would be sent again now. */
  psock_test_loop_advance(callers.loop, 50 * MILLISECOND);
}

START_TEST(test_again_for_a_place) {
  static struct trial other;
  other = another = (struct trial){.callers = NULL};
  prepare(0);
  callers.options.max_calls = 2;
  callers_open(&callers);
  struct callers_end *end = callers_end(&callers);
  callers_start(&callers, &trial, get, "text");
  callers_start(&callers, &other, put, "text");
  callers_fail(end, trial.id, PSOCK_STATUS_UNAVAILABLE, false);
  callers_settle(&callers);
  other.on_ended = start_another;
  psock_call_cancel(other.call);
  callers_settle(&callers);
  callers_check_ended(&other, PSOCK_STATUS_CANCELLED);
  ck_assert_uint_eq(callers_stats(&callers).retried, 1);
  answer(&trial);
  answer(&another);
  callers_unref(&other);
  callers_unref(&another);
  finish();
}
END_TEST

/* ---- Closing ---- */

static void closed(void *data) {
  ck_assert_ptr_eq(data, &callers);
  ck_assert_int_eq(callers.inside, 0);
  callers.closed++;
}

static void closed_frees(void *data) {
  closed(data);
  callers_free_caller(&callers);
}

static int close_caller(void (*function)(void *data)) {
  callers.inside++;
  int error = psock_caller_close(callers.caller, function, &callers);
  callers.inside--;
  return error;
}

START_TEST(test_close) {
  open_with(_i);
  callers_start(&callers, &trial, _i ? callers_get(&callers) : put, "text");
  struct callers_end *end = callers_end(&callers);
  ck_assert_int_eq(close_caller(closed_frees), 0);
  ck_assert_int_eq(close_caller(closed_frees), PSOCK_EINVAL);
  callers_settle(&callers);
  ck_assert_uint_eq(callers.closed, 0);
  struct trial later = {.callers = NULL};
  ck_assert_int_eq(
      callers_try_start(&callers, &later, callers_get(&callers), "text", NULL),
      PSOCK_ECLOSED);
  ck_assert_uint_eq(end->input_ended, 0);
  callers_reply(end, trial.id, "answer", 1);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  ck_assert_uint_eq(callers.closed, 1);
  ck_assert_uint_eq(end->closed, 1);
  ck_assert_int_eq(end->reason, 0);
  ck_assert_ptr_null(callers.caller);
  finish();
}
END_TEST

/* Not before the next turn, even if there is nothing to do. */
START_TEST(test_close_idle) {
  open_with(_i);
  lose();
  ck_assert_int_eq(close_caller(closed), 0);
  psock_test_loop_turn(callers.loop);
  ck_assert_uint_eq(callers.closed, 0);
  callers_settle(&callers);
  ck_assert_uint_eq(callers.closed, 1);
  finish();
}
END_TEST

/* Freeing the caller tells what closing owes. */
START_TEST(test_close_and_free) {
  open_with(_i);
  callers_start(&callers, &trial, callers_get(&callers), "text");
  ck_assert_int_eq(close_caller(closed), 0);
  callers_free_caller(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_CANCELLED);
  ck_assert_uint_eq(callers.closed, 1);
  finish();
}
END_TEST

/* Calls that wait are still sent, before it closes. */
START_TEST(test_close_while_waiting) {
  open_with(0);
  fail_once();
  callers.open_error = 0;
  callers_start(&callers, &trial, get, "text");
  ck_assert_int_eq(close_caller(closed), 0);
  callers_settle(&callers);
  ck_assert_uint_eq(callers.closed, 0);
  callers_pass(&callers, 50 * MILLISECOND);
  answer(&trial);
  callers_settle(&callers);
  ck_assert_uint_eq(callers.closed, 1);
  finish();
}
END_TEST

/* ---- Freeing ---- */

START_TEST(test_free_with_calls) {
  static struct trial trials[3];
  memset(trials, 0, sizeof trials);
  open_with(_i);
  for (int i = 0; i < 3; i++)
    callers_start(&callers, &trials[i], callers_get(&callers), "text");
  callers_free_caller(&callers);
  /* References outlive the caller, and the loop. */
  for (int i = 0; i < 3; i++) {
    callers_check_ended(&trials[i], PSOCK_STATUS_CANCELLED);
    psock_call_cancel(trials[i].call);
    ck_assert_uint_eq(
        psock_call_get_status(trials[i].call)->code, PSOCK_STATUS_CANCELLED);
  }
  psock_call_unref(trials[0].call);
  callers_settle(&callers);
  psock_call_unref(trials[1].call);
  psock_call_unref(trials[2].call);
  finish();
}
END_TEST

/* Starts that have not even been looked at by the loop. */
START_TEST(test_free_at_once) {
  static struct trial trials[3];
  memset(trials, 0, sizeof trials);
  open_with(0);
  fail_once();
  callers_try_start(&callers, &trials[0], get, "text", NULL);
  callers_try_start(&callers, &trials[1], put, "text", NULL);
  callers_try_start(
      &callers, &trials[2], &trial__trial__upload__method, NULL, NULL);
  callers_free_caller(&callers);
  for (int i = 0; i < 3; i++) {
    ck_assert_uint_eq(trials[i].ended, 1);
    psock_call_unref(trials[i].call);
  }
  finish();
}
END_TEST

/* The loop ends what is left on it. */
START_TEST(test_loop_goes_first) {
  callers_init(&callers, _i != 0);
  trial = (struct trial){.callers = NULL};
  callers.connects = true;
  callers_open(&callers);
  callers_start(&callers, &trial, callers_get(&callers), "text");
  psock_loop *loop = callers.loop;
  psock_loop_free(loop);
  callers_check_ended(&trial, PSOCK_STATUS_CANCELLED);
  struct trial later = {.callers = NULL};
  ck_assert_int_eq(callers_start_on(callers.caller, &callers, &later,
                       callers_get(&callers), "text", NULL),
      PSOCK_ECLOSED);
  psock_caller_free(callers.caller);
  callers.caller = NULL;
  psock_call_unref(trial.call);
  trial.call = NULL;
  struct psock_loop_options options = {
      .size = sizeof options, .allocator = &callers.fault.allocator};
  ck_assert_int_eq(psock_test_loop_new(&options, &callers.loop), 0);
  finish();
}
END_TEST

/* ---- What callbacks do ---- */

static void free_in_callback(struct trial *one, psock_call *call) {
  (void)one;
  (void)call;
  callers_free_caller(&callers);
}

static void lose_in_callback(struct trial *one, psock_call *call) {
  (void)one;
  (void)call;
  psock_connection_free(callers_end(&callers)->connection);
}

static void cancel_in_callback(struct trial *one, psock_call *call) {
  (void)one;
  psock_call_cancel(call);
}

static void close_in_callback(struct trial *one, psock_call *call) {
  (void)one;
  (void)call;
  ck_assert_int_eq(close_caller(closed), 0);
}

static void start_in_callback(struct trial *one, psock_call *call) {
  static struct trial later;
  (void)one;
  (void)call;
  later = (struct trial){.callers = NULL};
  int error = callers_try_start(&callers, &later,
      callers.own ? callers_get(&callers) : put, "text", NULL);
  if (error == 0)
    callers_unref(&later);
  else
    ck_assert_int_eq(error, PSOCK_ECLOSED);
}

static void (*const in_callback[])(struct trial *one, psock_call *call) = {
    free_in_callback,
    lose_in_callback,
    cancel_in_callback,
    close_in_callback,
    start_in_callback,
};

static void check_callbacks(int own,
    void (*message)(struct trial *one, psock_call *call),
    void (*ended)(struct trial *one, psock_call *call), int how) {
  static struct trial trials[4];
  memset(trials, 0, sizeof trials);
  open_with(own);
  for (int i = 0; i < 4; i++) {
    trials[i].number = own != 0;
    callers_start(&callers, &trials[i], callers_download(&callers), "text");
  }
  trials[1].on_message = message;
  trials[1].on_ended = ended;
  struct callers_end *end = callers_end(&callers);
  for (int i = 0; i < 4; i++)
    callers_reply(end, trials[i].id, "item", 1);
  if (how == 1)
    callers_code(end, trials[1].id, PSOCK_CODE_END);
  if (how == 2)
    psock_call_cancel(trials[1].call);
  callers_settle(&callers);
  if (how == 3)
    psock_connection_free(callers_end(&callers)->connection);
  callers_settle(&callers);
  for (int i = 0; i < 4; i++)
    psock_call_unref(trials[i].call);
  finish();
}

START_TEST(test_in_message) {
  check_callbacks(0, in_callback[_i], NULL, 0);
  check_callbacks(1, in_callback[_i], NULL, 0);
}
END_TEST

START_TEST(test_in_ended) {
  for (int how = 1; how <= 3; how++) {
    /* It has been lost already. */
    if (how == 3 && in_callback[_i] == lose_in_callback)
      continue;
    check_callbacks(0, NULL, in_callback[_i], how);
    check_callbacks(1, NULL, in_callback[_i], how);
  }
}
END_TEST

/* With as many calls as there may be, the next one starts when one ends. */
static unsigned chained;

static void start_next(struct trial *one, psock_call *call) {
  (void)call;
  if (++chained == 10)
    return;
  struct trial *next = one + 1;
  ck_assert_int_eq(
      callers_try_start(&callers, next, callers_get(&callers), "text", NULL),
      0);
  next->on_ended = start_next;
}

START_TEST(test_one_after_the_other) {
  static struct trial trials[16];
  memset(trials, 0, sizeof trials);
  chained = 0;
  prepare(_i);
  callers.options.max_calls = 1;
  callers.on_got = callers_echo;
  callers_open(&callers);
  trials[0].on_ended = start_next;
  callers_start(&callers, &trials[0], callers_get(&callers), "text");
  callers_settle(&callers);
  ck_assert_uint_eq(chained, 10);
  for (int i = 0; i < 10; i++) {
    callers_check_ended(&trials[i], PSOCK_STATUS_OK);
    callers_unref(&trials[i]);
  }
  finish();
}
END_TEST

/* ---- Pings ---- */

START_TEST(test_pings) {
  prepare(0);
  callers.options.ping_after = _i ? PSOCK_TIMEOUT_NONE : 5 * SECOND;
  callers_open(&callers);
  callers_pass(&callers, 5 * SECOND);
  ck_assert_uint_eq(callers_stats(&callers).pings, _i ? 0 : 1);
  callers_pass(&callers, 5 * SECOND);
  callers_pass(&callers, 5 * SECOND);
  ck_assert_uint_eq(callers_stats(&callers).pings,
      callers_count(callers_end(&callers), PSOCK_CODE_PING));
  ck_assert_uint_eq(callers_end(&callers)->closed, 0);
  if (_i == 0) {
    psock_connection_pause(callers_end(&callers)->connection);
    for (int i = 0; i < 6; i++)
      callers_pass(&callers, 5 * SECOND);
    callers_start(&callers, &trial, put, "text");
    ck_assert_uint_eq(callers.connects_seen, 2);
    ck_assert_uint_ge(callers_stats(&callers).pings, 3);
  }
  finish();
}
END_TEST

int main(void) {
  Suite *suite = suite_create("caller_ends");
  TCase *tcase = guard_case(suite, "goaway");
  tcase_add_test(tcase, test_goaway);
  tcase_add_test(tcase, test_goaway_idle);
  tcase_add_test(tcase, test_goaway_and_cancel);
  tcase_add_loop_test(tcase, test_goaway_of_the_only_one, 0, 2);
  tcase_add_loop_test(tcase, test_goaway_while_pending, 0, 2);
  tcase_add_test(tcase, test_pending_for_room);
  tcase_add_test(tcase, test_again_for_room);
  tcase_add_test(tcase, test_again_for_a_place);
  tcase = guard_case(suite, "closing");
  tcase_add_loop_test(tcase, test_close, 0, 2);
  tcase_add_loop_test(tcase, test_close_idle, 0, 2);
  tcase_add_loop_test(tcase, test_close_and_free, 0, 2);
  tcase_add_test(tcase, test_close_while_waiting);
  tcase_add_loop_test(tcase, test_free_with_calls, 0, 2);
  tcase_add_test(tcase, test_free_at_once);
  tcase_add_loop_test(tcase, test_loop_goes_first, 0, 2);
  tcase = guard_case(suite, "callbacks");
  size_t count = sizeof in_callback / sizeof *in_callback;
  tcase_add_loop_test(tcase, test_in_message, 0, (int)count);
  tcase_add_loop_test(tcase, test_in_ended, 0, (int)count);
  tcase_add_loop_test(tcase, test_one_after_the_other, 0, 2);
  tcase_add_loop_test(tcase, test_pings, 0, 2);
  return guard_main(suite);
}
