/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/calls.h"

#include <stdio.h>
#include <string.h>

/*
 * Requests that stream: given at once or kept, in order, within the window, and
 * their end behind the last one. Only Frames can say them.
 */

#define UPLOAD (&trial__trial__upload__method)
#define CHAT (&trial__trial__chat__method)

static char joined[4096];

static void refer(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  (void)number;
  calls_watch(calls, call);
  calls->data = call;
}

static void join(
    struct calls *calls, psock_call *call, const Trial__Text *request) {
  (void)calls;
  (void)call;
  size_t length = strlen(joined);
  snprintf(joined + length, sizeof joined - length, "%s ", request->text);
}

static void prepare(struct calls *calls) {
  calls_init(calls, false);
  calls->handle = refer;
  calls->on_request = join;
  joined[0] = '\0';
}

static void answer(struct calls *calls, psock_call *call) {
  ck_assert_int_eq(calls_reply(calls, call, joined, 0), 0);
}

START_TEST(upload) {
  struct calls calls;
  prepare(&calls);
  calls.on_requests_ended = answer;
  calls_open(&calls);
  calls_start(&calls.peer, 1, UPLOAD, "", 0);
  calls_request(&calls.peer, 1, "a");
  calls_request(&calls.peer, 1, "b");
  calls_settle(&calls);
  ck_assert_uint_eq(calls.requests, 2);
  calls_request(&calls.peer, 1, "c");
  calls_code(&calls.peer, 1, PSOCK_CODE_END);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.requests_ended, 1);
  ck_assert_str_eq(calls_last(&calls.peer, 1)->text, "a b c ");
  ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_OK);
  calls_fini(&calls);
}
END_TEST

START_TEST(no_requests) {
  struct calls calls;
  prepare(&calls);
  calls.on_requests_ended = answer;
  calls_open(&calls);
  calls_start(&calls.peer, 1, UPLOAD, "", 0);
  calls_code(&calls.peer, 1, PSOCK_CODE_END);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.requests, 0);
  ck_assert_str_eq(calls_last(&calls.peer, 1)->text, "");
  calls_fini(&calls);
}
END_TEST

static void echo(
    struct calls *calls, psock_call *call, const Trial__Text *request) {
  ck_assert_int_eq(calls_send(calls, call, request->text, 0), 0);
}

static void end_well(struct calls *calls, psock_call *call) {
  (void)calls;
  ck_assert_int_eq(psock_call_end(call, NULL), 0);
}

START_TEST(chat) {
  struct calls calls;
  prepare(&calls);
  calls.on_request = echo;
  calls.on_requests_ended = end_well;
  calls_open(&calls);
  calls_start(&calls.peer, 1, CHAT, "", 0);
  for (int i = 0; i < 100; i++)
    calls_request(&calls.peer, 1, "line");
  calls_code(&calls.peer, 1, PSOCK_CODE_END);
  calls_settle(&calls);
  ck_assert_uint_eq(calls_count_code(&calls.peer, 1, PSOCK_CODE_NORMAL), 100);
  ck_assert_uint_eq(calls_last(&calls.peer, 1)->code, PSOCK_CODE_END);
  calls_fini(&calls);
}
END_TEST

/* Nothing but their end may come behind the last request. */
START_TEST(behind_the_last) {
  struct calls calls;
  prepare(&calls);
  calls_open(&calls);
  calls_start(&calls.peer, 1, UPLOAD, "", 0);
  calls_code(&calls.peer, 1, PSOCK_CODE_END);
  calls_code(&calls.peer, 1, PSOCK_CODE_END);
  calls_request(&calls.peer, 1, "late");
  calls_settle(&calls);
  ck_assert_uint_eq(calls.requests, 0);
  ck_assert_uint_eq(calls.requests_ended, 1);
  ck_assert_uint_eq(calls_stats(&calls).stray, 1);
  calls_fini(&calls);
}
END_TEST

static void refer_paused(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  refer(calls, call, text, number);
  psock_call_pause(call);
}

START_TEST(paused) {
  struct calls calls;
  prepare(&calls);
  calls.handle = refer_paused;
  calls_open(&calls);
  calls_start(&calls.peer, 1, UPLOAD, "", 0);
  calls_request(&calls.peer, 1, "a");
  calls_request(&calls.peer, 1, "b");
  calls_settle(&calls);
  calls_request(&calls.peer, 1, "c");
  calls_code(&calls.peer, 1, PSOCK_CODE_END);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.requests, 0);
  ck_assert_uint_eq(calls.requests_ended, 0);
  ck_assert_uint_gt(calls_stats(&calls).kept, 3);
  calls.inside++;
  psock_call_resume(calls.data);
  psock_call_resume(calls.data);
  calls.inside--;
  calls_settle(&calls);
  ck_assert_str_eq(joined, "a b c ");
  ck_assert_uint_eq(calls.requests_ended, 1);
  ck_assert_uint_eq(calls_stats(&calls).kept, 0);
  calls_fini(&calls);
}
END_TEST

static void join_and_pause(
    struct calls *calls, psock_call *call, const Trial__Text *request) {
  join(calls, call, request);
  psock_call_pause(call);
}

/* One at a time, and their end is not told while it is paused. */
START_TEST(paused_by_each) {
  struct calls calls;
  prepare(&calls);
  calls.on_request = join_and_pause;
  calls_open(&calls);
  calls_start(&calls.peer, 1, UPLOAD, "", 0);
  calls_request(&calls.peer, 1, "a");
  calls_request(&calls.peer, 1, "b");
  calls_code(&calls.peer, 1, PSOCK_CODE_END);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.requests, 1);
  psock_call_resume(calls.data);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.requests, 2);
  ck_assert_uint_eq(calls.requests_ended, 0);
  psock_call_resume(calls.data);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.requests_ended, 1);
  calls_fini(&calls);
}
END_TEST

static void refer_only(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  (void)number;
  calls->data = psock_call_ref(call);
}

/* Requests for which nobody has asked yet are kept. */
START_TEST(events_come_later) {
  struct calls calls;
  prepare(&calls);
  calls.handle = refer_only;
  calls_open(&calls);
  calls_start(&calls.peer, 1, UPLOAD, "", 0);
  calls_request(&calls.peer, 1, "a");
  calls_code(&calls.peer, 1, PSOCK_CODE_END);
  calls_settle(&calls);
  calls.inside++;
  calls_watch(&calls, calls.data);
  calls.inside--;
  calls_settle(&calls);
  ck_assert_str_eq(joined, "a ");
  ck_assert_uint_eq(calls.requests_ended, 1);
  psock_call_unref(calls.data);
  calls_fini(&calls);
}
END_TEST

static uint64_t granted(const struct calls_peer *peer, uint64_t id) {
  uint64_t length = 0;
  for (size_t i = 0; i < peer->count; i++)
    if (peer->got[i].id == id && peer->got[i].code == PSOCK_CODE_WINDOW)
      length += peer->got[i].window;
  return length;
}

/* The window is granted anew when half of it has been read: exactly as much as
 * has come, in whole frames. A request of 24 bytes of text is a frame of 31. */
START_TEST(windows) {
  struct calls calls;
  prepare(&calls);
  calls.options.stream_window = 310;
  calls_open(&calls);
  calls_start(&calls.peer, 1, UPLOAD, "", 0);
  for (int i = 0; i < 4; i++)
    calls_request(&calls.peer, 1, "abcdefghijklmnopqrstuvwx");
  calls_settle(&calls);
  ck_assert_uint_eq(granted(&calls.peer, 1), 0);
  calls_request(&calls.peer, 1, "abcdefghijklmnopqrstuvwx");
  calls_settle(&calls);
  ck_assert_uint_eq(granted(&calls.peer, 1), 5 * 33);
  ck_assert_uint_eq(calls_count_code(&calls.peer, 1, PSOCK_CODE_WINDOW), 1);
  for (int i = 0; i < 10; i++)
    calls_request(&calls.peer, 1, "abcdefghijklmnopqrstuvwx");
  calls_settle(&calls);
  ck_assert_uint_eq(granted(&calls.peer, 1), 15 * 33);
  ck_assert_uint_eq(calls.ended.count, 0);
  calls_fini(&calls);
}
END_TEST

/* A call that has ended grants nothing any more. */
START_TEST(no_window_behind_the_end) {
  struct calls calls;
  prepare(&calls);
  calls.options.stream_window = 300;
  calls.on_requests_ended = answer;
  calls_open(&calls);
  for (uint64_t id = 1; id <= 3; id++) {
    calls_start(&calls.peer, id, UPLOAD, "", 0);
    for (int i = 0; i < 6; i++)
      calls_request(&calls.peer, id, "abcdefghijklmnopqrstuvwx");
    calls_code(&calls.peer, id, PSOCK_CODE_END);
  }
  calls_settle(&calls);
  for (uint64_t id = 1; id <= 3; id++)
    ck_assert_uint_eq(calls_count(&calls.peer, id), 1);
  calls_fini(&calls);
}
END_TEST

/* What is kept is not granted; a caller that goes on is at fault. */
START_TEST(beyond_the_window) {
  struct calls calls;
  prepare(&calls);
  calls.handle = refer_paused;
  calls.options.stream_window = 100;
  calls_open(&calls);
  calls_start(&calls.peer, 1, UPLOAD, "", 0);
  /* The fourth goes below 0, which is allowed. */
  for (int i = 0; i < 4; i++)
    calls_request(&calls.peer, 1, "abcdefghijklmnopqrstuvwx");
  calls_settle(&calls);
  ck_assert_uint_eq(calls.ended.count, 0);
  ck_assert_uint_eq(granted(&calls.peer, 1), 0);
  calls_request(&calls.peer, 1, "x");
  calls_settle(&calls);
  ck_assert_uint_eq(calls.ended.count, 1);
  ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_INTERNAL);
  calls_check_failed(&calls.peer, 1, PSOCK_STATUS_INTERNAL);
  ck_assert_uint_eq(calls_stats(&calls).kept, 0);
  calls_fini(&calls);
}
END_TEST

START_TEST(too_much_is_kept) {
  struct calls calls;
  prepare(&calls);
  calls.handle = refer_paused;
  calls.options.max_kept = 4000;
  calls_open(&calls);
  calls_start(&calls.peer, 1, UPLOAD, "", 0);
  for (int i = 0; i < 6; i++)
    calls_request(&calls.peer, 1, "abcdefghijklmnopqrstuvwx");
  calls_settle(&calls);
  ck_assert_uint_eq(calls.ended.count, 0);
  for (int i = 0; i < 20; i++)
    calls_request(&calls.peer, 1, "abcdefghijklmnopqrstuvwx");
  calls_settle(&calls);
  ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_RESOURCE_EXHAUSTED);
  calls_check_failed(&calls.peer, 1, PSOCK_STATUS_RESOURCE_EXHAUSTED);
  ck_assert_uint_eq(calls_stats(&calls).kept, 0);
  ck_assert_uint_eq(calls_stats(&calls).refused, 1);
  ck_assert_uint_gt(calls_stats(&calls).stray, 0);
  calls_fini(&calls);
}
END_TEST

START_TEST(without_a_hello) {
  struct calls calls;
  prepare(&calls);
  calls_open_silent(&calls);
  calls_start(&calls.peer, 1, UPLOAD, "", 0);
  calls_request(&calls.peer, 1, "a");
  calls_settle(&calls);
  ck_assert_uint_eq(calls.served, 0);
  calls_check_failed(&calls.peer, 1, PSOCK_STATUS_UNIMPLEMENTED);
  ck_assert_uint_eq(calls_stats(&calls).stray, 1);
  calls_fini(&calls);
}
END_TEST

static void say_garbage(struct calls_peer *peer, uint64_t id, uint32_t code) {
  static const uint8_t garbage[] = {0xff, 0xff};
  calls_say(peer, &(struct psock_rpc_frame){.id = id,
                      .code = code,
                      .method = trial__trial__get__method.number,
                      .payload = garbage,
                      .payload_length = sizeof garbage});
}

START_TEST(malformed) {
  struct calls calls;
  prepare(&calls);
  calls_open(&calls);
  calls_start(&calls.peer, 1, UPLOAD, "", 0);
  say_garbage(&calls.peer, 1, PSOCK_CODE_MESSAGE);
  say_garbage(&calls.peer, 2, PSOCK_CODE_NORMAL);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.served, 1);
  ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_INVALID_ARGUMENT);
  calls_check_failed(&calls.peer, 1, PSOCK_STATUS_INVALID_ARGUMENT);
  calls_check_failed(&calls.peer, 2, PSOCK_STATUS_INVALID_ARGUMENT);
  calls_fini(&calls);
}
END_TEST

/* What a handler may do inside `message`; _i is what. */
static int act;

static void act_inside(
    struct calls *calls, psock_call *call, const Trial__Text *request) {
  psock_connection *connection = psock_call_get_connection(call);
  if (act == 0)
    calls_reply(calls, call, "early", 0);
  else if (act == 1)
    psock_call_fail(call, PSOCK_STATUS_ABORTED, "no");
  else if (act == 2)
    psock_call_cancel(call);
  else if (act == 3)
    psock_connection_close(connection);
  else if (act == 4)
    psock_connection_free(connection);
  if (act == 5) {
    psock_server_free(calls->server);
    calls->server = NULL;
  }
  /* It is lent until this returns, whatever has happened. */
  ck_assert_uint_eq(strlen(request->text), 1);
}

static void check_acted(struct calls *calls, bool kept) {
  static const uint32_t ends[] = {PSOCK_STATUS_OK, PSOCK_STATUS_ABORTED,
      PSOCK_STATUS_CANCELLED, PSOCK_STATUS_UNAVAILABLE,
      PSOCK_STATUS_UNAVAILABLE, PSOCK_STATUS_CANCELLED};
  /* What was kept has come before the connection was closed. */
  ck_assert_uint_eq(calls->requests, act == 3 && kept ? 2 : 1);
  if (act == 3 && calls->peer.connection != NULL) {
    psock_connection_close(calls->peer.connection);
    calls_settle(calls);
  }
  ck_assert_uint_eq(calls->ended.count, 1);
  ck_assert_uint_eq(calls->ended.code, ends[act]);
  if (act < 3)
    ck_assert_uint_eq(calls_stats(calls).stray, kept ? 0 : 2);
}

START_TEST(inside_message) {
  struct calls calls;
  prepare(&calls);
  act = _i;
  calls.on_request = act_inside;
  calls_open(&calls);
  calls_start(&calls.peer, 1, UPLOAD, "", 0);
  calls_request(&calls.peer, 1, "a");
  calls_request(&calls.peer, 1, "b");
  calls_code(&calls.peer, 1, PSOCK_CODE_END);
  calls_settle(&calls);
  check_acted(&calls, false);
  calls_fini(&calls);
}
END_TEST

START_TEST(inside_kept_message) {
  struct calls calls;
  prepare(&calls);
  act = _i;
  calls.handle = refer_paused;
  calls.on_request = act_inside;
  calls_open(&calls);
  calls_start(&calls.peer, 1, UPLOAD, "", 0);
  calls_request(&calls.peer, 1, "a");
  calls_request(&calls.peer, 1, "b");
  calls_code(&calls.peer, 1, PSOCK_CODE_END);
  calls_settle(&calls);
  psock_call_resume(calls.data);
  calls_settle(&calls);
  check_acted(&calls, true);
  calls_fini(&calls);
}
END_TEST

/* Many that were kept are given in turns, of several calls. */
START_TEST(kept_in_turns) {
  struct calls calls;
  psock_call *held[2];
  prepare(&calls);
  calls.handle = refer_paused;
  calls.on_request = NULL;
  calls_open(&calls);
  for (uint64_t id = 1; id <= 2; id++) {
    calls_start(&calls.peer, id, UPLOAD, "", 0);
    for (int i = 0; i < 300; i++)
      calls_request(&calls.peer, id, "x");
    calls_code(&calls.peer, id, PSOCK_CODE_END);
    calls_settle(&calls);
    held[id - 1] = calls.data;
  }
  psock_call_resume(held[0]);
  psock_call_resume(held[1]);
  psock_test_loop_turn(calls.loop);
  ck_assert_uint_ge(calls.requests, 64);
  ck_assert_uint_le(calls.requests, 128);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.requests, 600);
  ck_assert_uint_eq(calls.requests_ended, 2);
  calls_fini(&calls);
}
END_TEST

START_TEST(the_input_ends_in_the_middle) {
  struct calls calls;
  prepare(&calls);
  calls_open(&calls);
  calls_start(&calls.peer, 1, UPLOAD, "", 0);
  calls_request(&calls.peer, 1, "a");
  if (_i == 1)
    calls_code(&calls.peer, 1, PSOCK_CODE_END);
  calls_settle(&calls);
  psock_connection_close(calls.peer.connection);
  calls_settle(&calls);
  if (_i == 0) {
    ck_assert_uint_eq(calls.ended.count, 1);
    ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_CANCELLED);
  } else {
    ck_assert_uint_eq(calls.ended.count, 0);
    ck_assert_int_eq(calls_reply(&calls, calls.data, "yes", 0), 0);
    calls_settle(&calls);
    ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_OK);
  }
  ck_assert_uint_eq(calls_stats(&calls).connections, 0);
  calls_fini(&calls);
}
END_TEST

/* A million requests, of which the reader pauses now and then. */
static void pause_often(
    struct calls *calls, psock_call *call, const Trial__Text *request) {
  (void)request;
  if (calls->requests % 1000 == 0)
    psock_call_pause(call);
}

START_TEST(many_requests) {
  struct calls calls;
  prepare(&calls);
  calls.on_request = pause_often;
  calls.on_requests_ended = answer;
  calls_open(&calls);
  calls_start(&calls.peer, 1, UPLOAD, "", 0);
  calls_settle(&calls);
  int64_t window = 256 << 10;
  uint64_t seen = 0;
  size_t most = 0;
  for (int i = 0; i < 200000;) {
    uint64_t now = granted(&calls.peer, 1);
    window += (int64_t)(now - seen);
    seen = now;
    for (; window > 0 && i < 200000; i++) {
      calls_request(&calls.peer, 1, "abcdefghijklmnopqrstuvwx");
      window -= 33;
    }
    psock_call_resume(calls.data);
    psock_test_loop_turn(calls.loop);
    size_t bytes = atomic_load(&calls.fault.bytes);
    most = bytes > most ? bytes : most;
  }
  calls_code(&calls.peer, 1, PSOCK_CODE_END);
  while (calls.requests_ended == 0) {
    psock_call_resume(calls.data);
    DEMAND(psock_test_loop_turn(calls.loop) > 0, "it rests too early");
  }
  calls_settle(&calls);
  ck_assert_uint_eq(calls.requests, 200000);
  ck_assert_uint_lt(most, (size_t)12 << 20);
  calls_fini(&calls);
}
END_TEST

static Suite *suite(void) {
  Suite *suite = suite_create("server_requests");
  TCase *tcase = guard_case(suite, "requests");
  tcase_add_test(tcase, upload);
  tcase_add_test(tcase, no_requests);
  tcase_add_test(tcase, chat);
  tcase_add_test(tcase, behind_the_last);
  tcase_add_test(tcase, paused);
  tcase_add_test(tcase, paused_by_each);
  tcase_add_test(tcase, events_come_later);
  tcase_add_test(tcase, kept_in_turns);
  tcase_add_test(tcase, many_requests);
  tcase_add_loop_test(tcase, the_input_ends_in_the_middle, 0, 2);
  tcase = guard_case(suite, "bounds");
  tcase_add_test(tcase, windows);
  tcase_add_test(tcase, no_window_behind_the_end);
  tcase_add_test(tcase, beyond_the_window);
  tcase_add_test(tcase, too_much_is_kept);
  tcase_add_test(tcase, without_a_hello);
  tcase_add_test(tcase, malformed);
  tcase = guard_case(suite, "inside");
  tcase_add_loop_test(tcase, inside_message, 0, 6);
  tcase_add_loop_test(tcase, inside_kept_message, 0, 6);
  return suite;
}

int main(void) {
  return guard_main(suite());
}
