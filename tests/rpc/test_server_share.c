/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/loop.h"
#include "lib/calls.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/*
 * Calls that other threads use: that what they send arrives in order, behind
 * what the loop's thread had sent; that of several who end a call one wins; and
 * that a call outlives whatever it belongs to. To be run with a thread
 * sanitizer, too. The loop is turned by the test's own thread.
 */

#define MOST 64

static uint8_t data[20000];

static struct {
  struct calls *calls;
  psock_call *call[MOST];
  int count;
  pthread_t thread[MOST];
  atomic_int ended; /* threads */
  void *(*run)(void *data);
  int results[MOST];
} shared;

static int start_threads(int from) {
  for (; from < shared.count; from++)
    ck_assert_int_eq(pthread_create(&shared.thread[from], NULL, shared.run,
                         &shared.call[from]),
        0);
  return from;
}

static void join_threads(void) {
  for (int i = 0; i < shared.count; i++)
    pthread_join(shared.thread[i], NULL);
}

static void share(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  (void)number;
  ck_assert_int_eq(psock_call_share(call), 0);
  ck_assert_int_eq(psock_call_share(call), 0);
  shared.call[shared.count++] = psock_call_ref(call);
  (void)calls;
}

static void share_watched(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  share(calls, call, text, number);
  calls_watch(calls, call);
}

static void prepare(struct calls *calls, bool own) {
  calls_init(calls, own);
  memset(&shared, 0, sizeof shared);
  shared.calls = calls;
  calls->handle = share_watched;
}

static void start_calls(struct calls *calls, int count) {
  for (int i = 1; i <= count; i++)
    calls_start(
        &calls->peer, (uint64_t)i, calls_download(calls), "", (uint32_t)i);
  calls_settle(calls);
  ck_assert_int_eq(shared.count, count);
}

/* Turns until all threads have come to their end. */
static void turn_until_ended(struct calls *calls) {
  while (atomic_load(&shared.ended) < shared.count) {
    psock_test_loop_turn(calls->loop);
    sched_yield();
  }
  join_threads();
  calls_settle(calls);
}

/* Not through the rig, whose counters are the test's own thread's. */
static int send_item(psock_call *call, uint32_t number, size_t length) {
  Trial__Text text;
  Trial__Answer answer;
  trial__text__init(&text);
  trial__answer__init(&answer);
  text.number = answer.number = number;
  text.data.data = answer.data.data = data;
  text.data.len = answer.data.len = length;
  return psock_call_send(
      call, shared.calls->own ? (const void *)&answer : (const void *)&text);
}

static int reply(psock_call *call, uint32_t number) {
  Trial__Text text;
  Trial__Answer answer;
  trial__text__init(&text);
  trial__answer__init(&answer);
  char words[] = "longer than the room that is left";
  text.text = answer.text = words;
  text.number = answer.number = number;
  return psock_call_reply(
      call, shared.calls->own ? (const void *)&answer : (const void *)&text);
}

#define ITEMS 500u

static void *stream(void *arg) {
  psock_call *call = *(psock_call **)arg;
  for (uint32_t i = 0; i < ITEMS;) {
    int error = send_item(call, i + 1, 10);
    if (error == PSOCK_EFULL)
      sched_yield();
    else if (error == 0)
      i++;
    else
      break;
  }
  psock_call_end(call, NULL);
  psock_call_unref(call);
  atomic_fetch_add(&shared.ended, 1);
  return NULL;
}

static void check_stream(const struct calls *calls, uint64_t id) {
  uint32_t next = 0;
  for (size_t i = 0; i < calls->peer.count; i++) {
    const struct calls_got *got = &calls->peer.got[i];
    if (got->id != id || got->code != PSOCK_CODE_NORMAL)
      continue;
    ck_assert_uint_eq(got->number, next);
    next++;
  }
  ck_assert_uint_eq(next, ITEMS + 1);
  ck_assert_uint_eq(calls_last(&calls->peer, id)->code, PSOCK_CODE_END);
}

/* The first item is sent by the handler, before the call is shared. */
static void send_and_share(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  ck_assert_int_eq(calls_send(calls, call, text, 0), 0);
  share_watched(calls, call, text, number);
  start_threads(shared.count - 1);
}

START_TEST(streams) {
  struct calls calls;
  prepare(&calls, _i == 1);
  calls.handle = send_and_share;
  calls.capacity = 3000;
  shared.run = stream;
  calls_open(&calls);
  for (int i = 1; i <= 8; i++)
    calls_start(&calls.peer, (uint64_t)i, calls_download(&calls), "", 0);
  while (shared.count < 8)
    psock_test_loop_turn(calls.loop);
  turn_until_ended(&calls);
  for (uint64_t id = 1; id <= 8; id++)
    check_stream(&calls, id);
  ck_assert_uint_eq(calls.ended.count, 8);
  ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_OK);
  ck_assert_uint_eq(calls_stats(&calls).failed, 0);
  calls_fini(&calls);
}
END_TEST

/* Everybody ends the call: its thread, its caller, its deadline. */
static void *end_somehow(void *arg) {
  psock_call **place = arg;
  psock_call *call = *place;
  int which = (int)(place - shared.call);
  for (int i = 0; i < which % 7; i++)
    sched_yield();
  if (which % 4 == 0)
    shared.results[which] = psock_call_end(call, NULL);
  else if (which % 4 == 1)
    shared.results[which] = psock_call_fail(call, 77, "a text");
  else if (which % 4 == 2)
    psock_call_cancel(call);
  const struct psock_status *status = psock_call_get_status(call);
  if (which % 4 != 3)
    DEMAND(status != NULL, "it has not ended");
  /* Where nobody has a say, the last reference has. */
  psock_call_unref(call);
  atomic_fetch_add(&shared.ended, 1);
  return NULL;
}

START_TEST(the_first_wins) {
  struct calls calls;
  prepare(&calls, _i % 2 == 1);
  calls.options.timeout = _i >= 2 ? MILLISECOND : SECOND;
  calls.handle = share;
  shared.run = end_somehow;
  calls_open(&calls);
  start_calls(&calls, 40);
  start_threads(0);
  if (_i >= 2)
    psock_test_loop_advance(calls.loop, MILLISECOND);
  else
    for (uint64_t id = 1; id <= 40; id += 2)
      calls_cancel(&calls.peer, id);
  turn_until_ended(&calls);
  for (uint64_t id = 1; id <= 40; id++)
    ck_assert_uint_eq(calls_count(&calls.peer, id), 1);
  ck_assert_uint_eq(calls_stats(&calls).ended, 40);
  ck_assert_uint_eq(calls_stats(&calls).in_flight, 0);
  calls_fini(&calls);
}
END_TEST

/* The server goes while threads are at work, and then the loop. */
static atomic_int go_on;

static void *use_for_ever(void *arg) {
  psock_call *call = *(psock_call **)arg;
  uint32_t i = 0;
  while (psock_call_get_status(call) == NULL) {
    int error = send_item(call, i, i % 100);
    DEMAND(error == 0 || error == PSOCK_EFULL || error == PSOCK_ECANCELED,
        "it says %d", error);
    i += error == 0;
  }
  DEMAND(send_item(call, i, 1) == PSOCK_ECANCELED, "it has not ended");
  DEMAND(psock_call_end(call, NULL) == PSOCK_ECANCELED, "it has not ended");
  atomic_fetch_add(&shared.ended, 1);
  while (atomic_load(&go_on) == 0)
    sched_yield();
  psock_call_unref(call);
  return NULL;
}

/* 0: the server is freed; 1: the connection; 2: the peer goes; 3: the loop is
 * freed before the last reference. */
START_TEST(outlived) {
  struct calls calls;
  prepare(&calls, _i >= 4);
  int how = _i % 4;
  calls.handle = how == 3 ? share : share_watched;
  shared.run = use_for_ever;
  atomic_store(&go_on, 0);
  calls_open(&calls);
  calls.peer.forgetful = true;
  start_calls(&calls, 6);
  start_threads(0);
  for (int i = 0; i < 200; i++)
    psock_test_loop_turn(calls.loop);
  if (how == 1) {
    psock_connection_free(psock_call_get_connection(shared.call[0]));
  } else if (how == 2) {
    psock_memory_fail(calls.peer.memory, PSOCK_MEMORY_RECEIVE, 0, PSOCK_ERESET);
    psock_connection_free(calls.peer.connection);
  } else {
    psock_server_free(calls.server);
    calls.server = NULL;
  }
  while (atomic_load(&shared.ended) < shared.count)
    psock_test_loop_turn(calls.loop);
  if (how == 3) {
    psock_connection_free(calls.peer.connection);
    psock_loop_free(calls.loop);
    calls.loop = NULL;
    calls.peer.connection = NULL;
  }
  atomic_store(&go_on, 1);
  join_threads();
  if (how == 3) {
    psock_face_fini(&calls.face);
    free(calls.peer.got);
    ck_assert_ptr_null(alloc_fault_complaint(&calls.fault));
    return;
  }
  calls_settle(&calls);
  calls_fini(&calls);
}
END_TEST

/* A thread that meets PSOCK_EFULL is waited for by `room`, on the loop. */
static atomic_int rooms;

static void count_room(struct calls *calls, psock_call *call) {
  (void)calls;
  (void)call;
  atomic_fetch_add(&rooms, 1);
}

static void *fill_and_wait(void *arg) {
  psock_call *call = *(psock_call **)arg;
  for (int round = 0; round < 5; round++) {
    int seen = atomic_load(&rooms);
    int error;
    while ((error = send_item(call, 0, 1000)) == 0)
      continue;
    DEMAND(error == PSOCK_EFULL, "it says %d", error);
    while (atomic_load(&rooms) == seen)
      sched_yield();
  }
  psock_call_end(call, NULL);
  psock_call_unref(call);
  atomic_fetch_add(&shared.ended, 1);
  return NULL;
}

START_TEST(room) {
  struct calls calls;
  prepare(&calls, _i == 1);
  atomic_store(&rooms, 0);
  calls.on_room = count_room;
  shared.run = fill_and_wait;
  calls_open_silent(&calls);
  if (!calls.own)
    calls_hello(&calls.peer, 5000, 0);
  calls.peer.forgetful = true;
  start_calls(&calls, 1);
  start_threads(0);
  while (atomic_load(&shared.ended) == 0) {
    psock_test_loop_turn(calls.loop);
    if (!calls.own)
      calls_window(&calls.peer, 1, 3000);
    calls_settle(&calls);
  }
  join_threads();
  calls_settle(&calls);
  ck_assert_uint_eq(calls.ended.count, 1);
  calls_fini(&calls);
}
END_TEST

/* Room that comes when the call has ended, but the loop doesn't know yet, is
 * nobody's. The window of call 1 opens while that of call 2 is closed. */
static void end_at_room(struct calls *calls, psock_call *call) {
  psock_call *other = call == shared.call[0] ? shared.call[1] : shared.call[0];
  calls->inside++;
  psock_call_end(other, NULL);
  calls->inside--;
}

START_TEST(room_after_the_end) {
  struct calls calls;
  prepare(&calls, _i == 1);
  calls.on_room = end_at_room;
  calls.capacity = 100;
  calls_open_silent(&calls);
  if (!calls.own)
    calls_hello(&calls.peer, 100, 0);
  calls.peer.forgetful = true;
  psock_connection_pause(calls.peer.connection);
  start_calls(&calls, 2);
  for (int i = 0; i < 2; i++)
    while (send_item(shared.call[i], 0, 10) == 0)
      continue;
  calls_settle(&calls);
  if (!calls.own)
    for (uint64_t id = 1; id <= 2; id++)
      calls_window(&calls.peer, id, 1000);
  psock_connection_resume(calls.peer.connection);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.rooms, 1);
  ck_assert_uint_eq(calls.ended.count, 1);
  for (int i = 0; i < 2; i++)
    psock_call_unref(shared.call[i]);
  calls_fini(&calls);
}
END_TEST

/* What has no room is kept, and sent by the loop. 0: a reply, 1: an end, 2: a
 * failure with a text; 3: a reply that is too much. */
static int how;

static void *end_without_room(void *arg) {
  psock_call *call = *(psock_call **)arg;
  if (how == 0)
    DEMAND(reply(call, 9) == 0, "it fails");
  else if (how == 1)
    DEMAND(psock_call_end(call, NULL) == 0, "it fails");
  else if (how == 2)
    DEMAND(psock_call_fail(call, 77, "why") == 0, "it fails");
  else
    DEMAND(reply(call, 9) == PSOCK_EFULL, "it doesn't fail");
  DEMAND(psock_call_get_status(call) != NULL, "it has not ended");
  psock_call_unref(call);
  atomic_fetch_add(&shared.ended, 1);
  return NULL;
}

static void fill(psock_connection *connection, bool own) {
  psock_sender *sender = psock_connection_get_sender(connection);
  Trial__Text text;
  Trial__Answer answer;
  trial__text__init(&text);
  trial__answer__init(&answer);
  text.data.data = answer.data.data = data;
  for (size_t length = 1000; length > 0; length /= 10) {
    text.data.len = answer.data.len = length;
    struct psock_rpc_frame frame = {
        .id = 999, .type = &trial__text__type, .message = &text};
    while (psock_send(
               sender, own ? (const void *)&answer : (const void *)&frame) == 0)
      continue;
  }
}

START_TEST(no_room) {
  struct calls calls;
  bool own = _i >= 4;
  how = _i % 4;
  prepare(&calls, own);
  calls.capacity = 1000;
  calls.connection.max_queued = 16000;
  calls.options.max_kept = how == 3 ? 1 : 0;
  shared.run = end_without_room;
  calls_open(&calls);
  psock_connection_pause(calls.peer.connection);
  calls_start(&calls.peer, 1,
      how % 3 == 0 ? calls_get(&calls) : calls_download(&calls), "", 1);
  calls_settle(&calls);
  fill(psock_call_get_connection(shared.call[0]), own);
  calls_settle(&calls);
  fill(psock_call_get_connection(shared.call[0]), own);
  start_threads(0);
  while (atomic_load(&shared.ended) == 0)
    sched_yield();
  join_threads();
  ck_assert_int_eq(calls_stats(&calls).kept > 0, how == 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.ended.count, 1);
  ck_assert_uint_eq(calls_count(&calls.peer, 1), 0);
  psock_connection_resume(calls.peer.connection);
  calls_settle(&calls);
  ck_assert_uint_eq(calls_stats(&calls).kept, 0);
  ck_assert_uint_eq(calls_count(&calls.peer, 1), 1);
  const struct calls_got *last = calls_last(&calls.peer, 1);
  static const uint32_t codes[] = {
      PSOCK_CODE_NORMAL, PSOCK_CODE_END, PSOCK_CODE_CANCEL, PSOCK_CODE_CANCEL};
  ck_assert_uint_eq(last->code, codes[how]);
  if (how == 0)
    ck_assert_uint_eq(last->number, 9);
  if (how == 2 && !own)
    ck_assert_str_eq(last->reason, "why");
  calls_fini(&calls);
}
END_TEST

/* The connection ends between the moment in which a response had no room and
 * the one in which it is left to the loop: here, where memory is asked for. */
static void *(*usual_alloc)(void *data, size_t size);

static void *alloc_and_end(void *alloc_data, size_t size) {
  psock_call *call = shared.call[0];
  psock_connection *connection =
      call == NULL ? NULL : psock_call_get_connection(call);
  /* The response is that long, and nothing else is. */
  if (connection != NULL && shared.results[0] == 1 && size == 37) {
    shared.results[0] = 2;
    psock_connection_free(connection);
  }
  return usual_alloc(alloc_data, size);
}

START_TEST(no_room_and_no_connection) {
  struct calls calls;
  prepare(&calls, _i == 1);
  calls.capacity = 1000;
  calls.connection.max_queued = 16000;
  calls_open(&calls);
  psock_connection_pause(calls.peer.connection);
  calls_start(&calls.peer, 1, calls_get(&calls), "", 1);
  calls_settle(&calls);
  fill(psock_call_get_connection(shared.call[0]), calls.own);
  usual_alloc = calls.loop->heap->allocator.alloc;
  calls.loop->heap->allocator.alloc = alloc_and_end;
  shared.results[0] = 1;
  ck_assert_int_eq(reply(shared.call[0], 9), PSOCK_ECANCELED);
  ck_assert_int_eq(shared.results[0], 2);
  calls.loop->heap->allocator.alloc = usual_alloc;
  ck_assert_uint_eq(calls.ended.count, 1);
  ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_UNAVAILABLE);
  psock_call_unref(shared.call[0]);
  calls_fini(&calls);
}
END_TEST

/* What is kept for the calls of a connection has one bound, whoever uses them.
 */
static void share_odd(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  if (number % 2 == 1) {
    share(calls, call, text, number);
    return;
  }
  shared.call[shared.count++] = psock_call_ref(call);
}

START_TEST(one_bound) {
  struct calls calls;
  prepare(&calls, _i == 1);
  calls.handle = share_odd;
  calls.capacity = 1000;
  calls.connection.max_queued = 16000;
  calls.options.max_kept = 200;
  calls_open(&calls);
  psock_connection_pause(calls.peer.connection);
  for (uint32_t i = 1; i <= 10; i++)
    calls_start(&calls.peer, i, calls_get(&calls), "", i);
  calls_settle(&calls);
  for (int i = 0; i < 2; i++) {
    fill(psock_call_get_connection(shared.call[0]), calls.own);
    calls_settle(&calls);
  }
  int kept = 0;
  for (int i = 0; i < 10; i++)
    kept += reply(shared.call[i], 9) == 0;
  /* A response has 37 bytes, of an own message some more. */
  ck_assert_int_eq(kept, 5);
  psock_connection_resume(calls.peer.connection);
  calls_settle(&calls);
  ck_assert_uint_eq(calls_stats(&calls).kept, 0);
  for (int i = 0; i < 10; i++) {
    ck_assert_uint_eq(calls_count(&calls.peer, (uint64_t)i + 1), 1);
    psock_call_unref(shared.call[i]);
  }
  calls_fini(&calls);
}
END_TEST

/* Requests come on the loop's thread while another one sends. */
static atomic_int requests;

static void note_request(
    struct calls *calls, psock_call *call, const Trial__Text *request) {
  (void)calls;
  (void)call;
  (void)request;
  atomic_fetch_add(&requests, 1);
}

static void *answer_all(void *arg) {
  psock_call *call = *(psock_call **)arg;
  for (int sent = 0; sent < 1000;) {
    if (sent < atomic_load(&requests) && send_item(call, 0, 5) == 0)
      sent++;
    else
      sched_yield();
  }
  psock_call_end(call, NULL);
  psock_call_unref(call);
  atomic_fetch_add(&shared.ended, 1);
  return NULL;
}

START_TEST(both_directions) {
  struct calls calls;
  prepare(&calls, false);
  atomic_store(&requests, 0);
  calls.on_request = note_request;
  shared.run = answer_all;
  calls_open(&calls);
  calls_start(&calls.peer, 1, &trial__trial__chat__method, "", 0);
  calls_settle(&calls);
  start_threads(0);
  for (int i = 0; i < 1000; i++) {
    calls_request(&calls.peer, 1, "x");
    psock_test_loop_turn(calls.loop);
  }
  turn_until_ended(&calls);
  ck_assert_uint_eq(calls_count_code(&calls.peer, 1, PSOCK_CODE_NORMAL), 1000);
  ck_assert_uint_eq(calls_last(&calls.peer, 1)->code, PSOCK_CODE_END);
  calls_fini(&calls);
}
END_TEST

/* After its end, nothing is shared; and a call that a handler has ended is
 * shared no more. */
static void end_and_share(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  calls_reply(calls, call, text, number);
  ck_assert_int_eq(psock_call_share(call), PSOCK_ECANCELED);
}

START_TEST(too_late) {
  struct calls calls;
  prepare(&calls, _i == 1);
  calls.handle = end_and_share;
  calls_open(&calls);
  calls_start(&calls.peer, 1, calls_get(&calls), "", 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls_count(&calls.peer, 1), 1);
  calls_fini(&calls);
}
END_TEST

static Suite *suite(void) {
  Suite *suite = suite_create("server_share");
  TCase *tcase = guard_case(suite, "share");
  tcase_add_loop_test(tcase, streams, 0, 2);
  tcase_add_loop_test(tcase, the_first_wins, 0, 4);
  tcase_add_loop_test(tcase, outlived, 0, 8);
  tcase_add_loop_test(tcase, room, 0, 2);
  tcase_add_loop_test(tcase, room_after_the_end, 0, 2);
  tcase_add_loop_test(tcase, no_room, 0, 8);
  tcase_add_loop_test(tcase, no_room_and_no_connection, 0, 2);
  tcase_add_loop_test(tcase, one_bound, 0, 2);
  tcase_add_test(tcase, both_directions);
  tcase_add_loop_test(tcase, too_late, 0, 2);
  return suite;
}

int main(void) {
  return guard_main(suite());
}
