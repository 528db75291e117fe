/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/calls.h"

#include "rpc/call.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What stands between a start and its handler: methods that are not there,
 * limits, who is asked, metadata, and time. A test with _i runs over Frames (0)
 * and over own messages (1).
 */

static psock_call *open_calls[8];
static int opened;

static void refer(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  (void)number;
  calls_watch(calls, call);
  open_calls[opened++ % 8] = call;
}

static void check_not_begun(const struct calls_peer *peer, uint64_t id) {
  calls_check_failed(peer, id, PSOCK_STATUS_RESOURCE_EXHAUSTED);
  ck_assert_int_eq(calls_last(peer, id)->not_begun, !peer->calls->own);
}

START_TEST(no_such_method) {
  struct calls calls;
  calls_init(&calls, false);
  calls_open(&calls);
  calls_start(&calls.peer, 1, &trial__other__get__method, "", 0);
  calls_start(&calls.peer, 2, &trial__trial__quick__method, "", 0);
  calls_settle(&calls);
  calls_check_failed(&calls.peer, 1, PSOCK_STATUS_UNIMPLEMENTED);
  calls_check_failed(&calls.peer, 2, PSOCK_STATUS_UNIMPLEMENTED);
  ck_assert(!calls_last(&calls.peer, 1)->not_begun);
  ck_assert_uint_eq(calls.served, 0);
  ck_assert_uint_eq(calls_stats(&calls).ended, 2);
  ck_assert_uint_eq(calls_stats(&calls).failed, 2);
  ck_assert_uint_eq(calls_stats(&calls).refused, 0);
  calls_fini(&calls);
}
END_TEST

START_TEST(an_id_of_zero) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls_open(&calls);
  calls_start(&calls.peer, 0, calls_get(&calls), "x", 0);
  calls_settle(&calls);
  /* Over own messages it is like any other. */
  ck_assert_uint_eq(calls.served, calls.own);
  ck_assert_uint_eq(calls_stats(&calls).stray, !calls.own);
  calls_fini(&calls);
}
END_TEST

START_TEST(calls_of_a_connection) {
  struct calls calls;
  struct calls_peer other;
  calls_init(&calls, _i == 1);
  calls.handle = refer;
  calls.options.max_calls = 2;
  calls_open(&calls);
  for (uint64_t id = 1; id <= 3; id++)
    calls_start(&calls.peer, id, calls_get(&calls), "", 0);
  calls_settle(&calls);
  check_not_begun(&calls.peer, 3);
  ck_assert_uint_eq(calls_stats(&calls).in_flight, 2);
  ck_assert_uint_eq(calls_stats(&calls).refused, 1);
  /* Another connection has its own. */
  ck_assert_int_eq(calls_try_peer(&calls, &other), 0);
  calls_start(&other, 3, calls_get(&calls), "", 0);
  /* As soon as one has ended, there is room, in the same batch too. */
  calls_cancel(&calls.peer, 1);
  calls_start(&calls.peer, 4, calls_get(&calls), "", 0);
  calls_start(&calls.peer, 5, calls_get(&calls), "", 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls_count(&calls.peer, 4), 0);
  check_not_begun(&calls.peer, 5);
  ck_assert_uint_eq(calls_stats(&calls).in_flight, 3);
  ck_assert_uint_eq(calls_stats(&calls).connections, 2);
  psock_connection_free(other.connection);
  free(other.got);
  calls_fini(&calls);
}
END_TEST

START_TEST(calls_of_a_method) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = refer;
  calls_open(&calls);
  const struct psock_method *get = calls_get(&calls);
  ck_assert_int_eq(
      psock_server_limit(calls.server, &trial__other__get__method, 1),
      PSOCK_ENOENT);
  ck_assert_int_eq(psock_server_limit(calls.server, get, 1), 0);
  calls_start(&calls.peer, 1, get, "", 0);
  calls_start(&calls.peer, 2, get, "", 0);
  if (!calls.own)
    calls_start(&calls.peer, 3, &trial__trial__put__method, "", 0);
  calls_settle(&calls);
  check_not_begun(&calls.peer, 2);
  ck_assert_uint_eq(calls_count(&calls.peer, 3), 0);
  calls_reply(&calls, open_calls[0], "", 0);
  calls_start(&calls.peer, 4, get, "", 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls_count(&calls.peer, 4), 0);
  ck_assert_int_eq(psock_server_limit(calls.server, get, 0), 0);
  calls_start(&calls.peer, 5, get, "", 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls_count(&calls.peer, 5), 0);
  opened = 0;
  calls_fini(&calls);
}
END_TEST

/* ---- Who is asked ---- */

static struct {
  int authorize; /* what it returns */
  uint32_t code; /* what it sets; 0: nothing */
  int begin[3];
  unsigned asked;
  char order[128];
  uint32_t ended[3];
} asked;

static int on_authorize(void *data, psock_call *call,
    const struct psock_method *method, struct psock_status *ret_status) {
  struct calls *calls = data;
  struct psock_metadata entry;
  ck_assert_ptr_eq(method, psock_call_get_method(call));
  ck_assert_ptr_nonnull(psock_call_get_connection(call));
  ck_assert_uint_eq(ret_status->code, PSOCK_STATUS_PERMISSION_DENIED);
  ck_assert_uint_eq(ret_status->size, sizeof *ret_status);
  if (!calls->own) {
    ck_assert_int_eq(psock_call_get_metadata(call, "token", &entry), 0);
    ck_assert_uint_eq(entry.length, 3);
  }
  asked.asked++;
  if (asked.code != 0) {
    ret_status->code = asked.code;
    ret_status->text = "because";
  }
  return asked.authorize;
}

static int on_begin(
    void *data, psock_call *call, struct psock_status *ret_status) {
  int which = *(const int *)data;
  size_t length = strlen(asked.order);
  ck_assert_uint_eq(ret_status->code, PSOCK_STATUS_OK);
  ck_assert_ptr_null(psock_call_get_status(call));
  snprintf(asked.order + length, sizeof asked.order - length, "b%d ", which);
  if (asked.begin[which]) {
    ret_status->code = PSOCK_STATUS_UNAUTHENTICATED;
    ret_status->text = "who are you?";
  }
  return asked.begin[which];
}

static void on_end(
    void *data, psock_call *call, const struct psock_status *status) {
  int which = *(const int *)data;
  size_t length = strlen(asked.order);
  ck_assert_ptr_eq(psock_call_get_status(call), status);
  snprintf(asked.order + length, sizeof asked.order - length, "e%d ", which);
  asked.ended[which] = status->code;
}

static int places[] = {0, 1, 2};
static const struct psock_interceptor interceptors[] = {
    {.size = sizeof(struct psock_interceptor),
        .begin = on_begin,
        .ended = on_end,
        .data = &places[0]},
    {.size = sizeof(struct psock_interceptor),
        .begin = on_begin,
        .ended = on_end,
        .data = &places[1]},
    {.size = sizeof(struct psock_interceptor),
        .begin = on_begin,
        .ended = on_end,
        .data = &places[2]},
};
static const struct psock_interceptor *const all[] = {
    &interceptors[0], &interceptors[1], &interceptors[2]};

static void start_with_token(struct calls *calls, uint64_t id) {
  Trial__Text request;
  Trial__Ask own;
  trial__text__init(&request);
  trial__ask__init(&own);
  struct psock_metadata token = {"token", (const uint8_t *)"abc", 3};
  calls_say(&calls->peer,
      &(struct psock_rpc_frame){.id = id,
          .method = calls_get(calls)->number,
          .type = &trial__text__type,
          .message = calls->own ? (const void *)&own : (const void *)&request,
          .metadata = &token,
          .metadata_count = 1});
}

static void prepare_asked(struct calls *calls, bool own) {
  memset(&asked, 0, sizeof asked);
  calls_init(calls, own);
  calls->options.authorize = on_authorize;
  calls->options.authorize_data = calls;
  calls->options.interceptors = all;
  calls->options.interceptor_count = 3;
}

START_TEST(allowed) {
  struct calls calls;
  prepare_asked(&calls, _i == 1);
  calls_open(&calls);
  start_with_token(&calls, 1);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.served, 1);
  ck_assert_uint_eq(asked.asked, 1);
  ck_assert_str_eq(asked.order, "b0 b1 b2 e2 e1 e0 ");
  ck_assert_uint_eq(asked.ended[0], PSOCK_STATUS_OK);
  ck_assert_uint_eq(calls_last(&calls.peer, 1)->code, PSOCK_CODE_NORMAL);
  calls_fini(&calls);
}
END_TEST

START_TEST(allowed_for_longer) {
  struct calls calls;
  prepare_asked(&calls, _i == 1);
  calls.handle = refer;
  opened = 0;
  calls_open(&calls);
  start_with_token(&calls, 1);
  calls_settle(&calls);
  ck_assert_str_eq(asked.order, "b0 b1 b2 ");
  calls_cancel(&calls.peer, 1);
  calls_settle(&calls);
  ck_assert_str_eq(asked.order, "b0 b1 b2 e2 e1 e0 ");
  ck_assert_uint_eq(asked.ended[1], PSOCK_STATUS_CANCELLED);
  calls_fini(&calls);
}
END_TEST

/* 0: with the status that it finds, 1: with OK, 2: with one of its own. */
START_TEST(not_authorized) {
  struct calls calls;
  int how = _i / 2;
  prepare_asked(&calls, _i % 2 == 1);
  asked.authorize = 1;
  asked.code = how == 2 ? PSOCK_STATUS_UNAUTHENTICATED : 0;
  calls_open(&calls);
  start_with_token(&calls, 1);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.served, 0);
  ck_assert_str_eq(asked.order, "");
  calls_check_failed(&calls.peer, 1,
      how == 2 ? PSOCK_STATUS_UNAUTHENTICATED : PSOCK_STATUS_PERMISSION_DENIED);
  if (how == 2 && !calls.own)
    ck_assert_str_eq(calls_last(&calls.peer, 1)->reason, "because");
  calls_fini(&calls);
}
END_TEST

START_TEST(intercepted) {
  struct calls calls;
  prepare_asked(&calls, _i == 1);
  asked.begin[1] = 1;
  calls_open(&calls);
  start_with_token(&calls, 1);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.served, 0);
  ck_assert_str_eq(asked.order, "b0 b1 e0 ");
  ck_assert_uint_eq(asked.ended[0], PSOCK_STATUS_UNAUTHENTICATED);
  calls_check_failed(&calls.peer, 1, PSOCK_STATUS_UNAUTHENTICATED);
  calls_fini(&calls);
}
END_TEST

static psock_call *taken;

static void take_reference(
    void *data, psock_call *call, const struct psock_status *status) {
  (void)data;
  (void)status;
  taken = psock_call_ref(call);
}

static void reply_and_share(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  ck_assert_int_eq(psock_call_share(call), 0);
  calls_reply(calls, call, text, number);
}

/* An interceptor may keep the call beyond its end, whoever else has done with
 * it. */
START_TEST(taken_by_an_interceptor) {
  struct calls calls;
  struct psock_interceptor interceptor = {
      .size = sizeof interceptor, .ended = take_reference};
  const struct psock_interceptor *list[] = {&interceptor};
  calls_init(&calls, _i % 2 == 1);
  calls.options.interceptors = list;
  calls.options.interceptor_count = 1;
  if (_i >= 2)
    calls.handle = reply_and_share;
  calls_open(&calls);
  for (uint64_t id = 1; id <= 3; id++) {
    calls_start(&calls.peer, id, calls_get(&calls), "", 0);
    calls_settle(&calls);
    ck_assert_uint_eq(psock_call_get_status(taken)->code, PSOCK_STATUS_OK);
    ck_assert_int_eq(calls_reply(&calls, taken, "", 0), PSOCK_ECANCELED);
    psock_call_unref(taken);
    calls_settle(&calls);
    ck_assert_uint_eq(calls_count(&calls.peer, id), 1);
  }
  calls_fini(&calls);
}
END_TEST

/* ---- Metadata ---- */

static void answer_with_metadata(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  struct psock_metadata entry;
  uint8_t large[8192] = {0};
  ck_assert_int_eq(psock_call_get_metadata(call, "token", &entry), 0);
  ck_assert_int_eq(memcmp(entry.value, "abc", 3), 0);
  ck_assert_int_eq(
      psock_call_get_metadata(call, "other", &entry), PSOCK_ENOENT);
  ck_assert_int_eq(psock_call_get_metadata_at(call, 1, &entry), PSOCK_ENOENT);
  ck_assert_int_eq(psock_call_add_metadata(call, "Bad", "", 0), PSOCK_EINVAL);
  ck_assert_int_eq(psock_call_add_metadata(call, "large", large, sizeof large),
      PSOCK_ETOOBIG);
  ck_assert_int_eq(psock_call_add_metadata(call, "a", "1", 1), 0);
  ck_assert_int_eq(psock_call_add_metadata(call, "b", "22", 2), 0);
  calls_reply(calls, call, text, number);
  ck_assert_int_eq(psock_call_add_metadata(call, "c", "3", 1), PSOCK_ENOTSUP);
}

START_TEST(metadata) {
  struct calls calls;
  calls_init(&calls, false);
  calls.handle = answer_with_metadata;
  calls_open(&calls);
  start_with_token(&calls, 1);
  calls_settle(&calls);
  ck_assert_str_eq(calls_last(&calls.peer, 1)->metadata, "a=1 b=22 ");
  calls_fini(&calls);
}
END_TEST

static void stream_with_metadata(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  ck_assert_int_eq(psock_call_add_metadata(call, "first", "1", 1), 0);
  ck_assert_int_eq(calls_send(calls, call, text, 0), 0);
  ck_assert_int_eq(psock_call_add_metadata(call, "last", "2", 1), 0);
  ck_assert_int_eq(calls_send(calls, call, text, 1), 0);
  if (number == 0)
    ck_assert_int_eq(psock_call_end(call, NULL), 0);
  else
    ck_assert_int_eq(psock_call_fail(call, number, "failed"), 0);
}

START_TEST(metadata_of_a_stream) {
  struct calls calls;
  calls_init(&calls, false);
  calls.handle = stream_with_metadata;
  calls_open(&calls);
  calls_start(&calls.peer, 1, calls_download(&calls), "", (uint32_t)_i);
  calls_settle(&calls);
  const struct calls_got *got = NULL;
  unsigned seen = 0;
  for (size_t i = 0; i < calls.peer.count; i++) {
    if (calls.peer.got[i].id != 1)
      continue;
    got = &calls.peer.got[i];
    static const char *const wanted[] = {"first=1 ", "", "last=2 "};
    ck_assert_str_eq(got->metadata, wanted[seen]);
    seen++;
  }
  ck_assert_uint_eq(seen, 3);
  ck_assert_uint_eq(got->code, _i == 0 ? PSOCK_CODE_END : PSOCK_CODE_CANCEL);
  calls_fini(&calls);
}
END_TEST

static const char *held_text;
static psock_call *held_calls[2];

static void hold(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)number;
  int error = psock_call_hold(call);
  calls->requests += error == 0;
  if (error != 0) {
    ck_assert_int_eq(error, PSOCK_EFULL);
    psock_call_fail(call, PSOCK_STATUS_RESOURCE_EXHAUSTED, "too much");
    return;
  }
  ck_assert_int_eq(psock_call_hold(call), 0);
  held_text = text;
  held_calls[calls->requests - 1] = psock_call_ref(call);
}

START_TEST(held) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = hold;
  calls.options.max_kept = 3000;
  calls_open(&calls);
  start_with_token(&calls, 1);
  calls_start(&calls.peer, 2, calls_get(&calls), "the second", 0);
  calls_settle(&calls);
  psock_call *second = held_calls[1];
  ck_assert_str_eq(held_text, "the second");
  const char *text = held_text;
  ck_assert_uint_gt(calls_stats(&calls).kept, 2000);
  calls_start(&calls.peer, 3, calls_get(&calls), "the third", 0);
  calls_settle(&calls);
  calls_check_failed(&calls.peer, 3, PSOCK_STATUS_RESOURCE_EXHAUSTED);
  ck_assert_uint_eq(calls.requests, 2);
  ck_assert_str_eq(text, "the second");
  ck_assert_int_eq(psock_call_hold(second), 0);
  calls_reply(&calls, second, "", 0);
  ck_assert_str_eq(text, "the second");
  calls_settle(&calls);
  ck_assert_uint_lt(calls_stats(&calls).kept, 2000);
  ck_assert_str_eq(text, "the second");
  psock_call_unref(second);
  calls_settle(&calls);
  ck_assert_uint_eq(calls_stats(&calls).in_flight, 1);
  psock_call_unref(held_calls[0]);
  calls_fini(&calls);
}
END_TEST

static psock_call *first_call;

static void hold_first(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)calls;
  (void)text;
  (void)number;
  ck_assert_int_eq(psock_call_hold(call), 0);
  first_call = psock_call_ref(call);
}

START_TEST(held_metadata) {
  struct calls calls;
  struct psock_metadata entry;
  calls_init(&calls, false);
  calls.handle = hold_first;
  calls_open(&calls);
  start_with_token(&calls, 1);
  calls_settle(&calls);
  ck_assert_int_eq(psock_call_get_metadata(first_call, "token", &entry), 0);
  ck_assert_int_eq(memcmp(entry.value, "abc", 3), 0);
  /* It may outlive everything but the loop. */
  psock_server_free(calls.server);
  calls.server = NULL;
  ck_assert_int_eq(memcmp(entry.value, "abc", 3), 0);
  ck_assert_ptr_null(psock_call_get_connection(first_call));
  psock_call_unref(first_call);
  calls_fini(&calls);
}
END_TEST

/* ---- Time ---- */

static uint64_t left;

static void look_at_time(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  (void)number;
  left = psock_call_get_time_left(call);
  ck_assert_uint_eq(psock_serving_get_time_left(), left);
  ck_assert_uint_eq(psock_call_get_age(call), 0);
  calls_watch(calls, call);
  calls->data = call;
}

static void start_within(
    struct calls *calls, uint64_t id, uint64_t microseconds) {
  Trial__Text request;
  Trial__Ask own;
  trial__text__init(&request);
  trial__ask__init(&own);
  calls_say(&calls->peer,
      &(struct psock_rpc_frame){.id = id,
          .method = calls_get(calls)->number,
          .type = &trial__text__type,
          .message = calls->own ? (const void *)&own : (const void *)&request,
          .timeout_us = microseconds});
}

/* What the caller says, what the server says, and what holds. */
static const struct {
  uint64_t callers; /* microseconds */
  uint64_t servers;
  uint64_t holds;
} times[] = {
    {0, 0, PSOCK_TIMEOUT_NONE},
    {1000, 0, MILLISECOND},
    {1000, 2 * MILLISECOND, MILLISECOND},
    {3000, 2 * MILLISECOND, 2 * MILLISECOND},
    {0, 2 * MILLISECOND, 2 * MILLISECOND},
    {UINT64_MAX, 2 * MILLISECOND, 2 * MILLISECOND},
    {UINT64_MAX, 0, PSOCK_TIMEOUT_NONE},
    {UINT64_MAX / 1000, 0, PSOCK_TIMEOUT_NONE},
    {1, 0, 1000},
};

START_TEST(deadlines) {
  struct calls calls;
  calls_init(&calls, false);
  calls.handle = look_at_time;
  calls.options.timeout = times[_i].servers;
  calls_open(&calls);
  start_within(&calls, 1, times[_i].callers);
  calls_settle(&calls);
  ck_assert_uint_eq(left, times[_i].holds);
  ck_assert_uint_eq(psock_serving_get_time_left(), PSOCK_TIMEOUT_NONE);
  if (left == PSOCK_TIMEOUT_NONE) {
    calls_pass(&calls, 3600 * SECOND);
    ck_assert_uint_eq(calls.ended.count, 0);
  } else {
    calls_pass(&calls, left - 1);
    ck_assert_uint_eq(calls.ended.count, 0);
    ck_assert_uint_eq(psock_call_get_time_left(calls.data), 1);
    calls_pass(&calls, 1);
    ck_assert_uint_eq(calls.ended.count, 1);
    ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_DEADLINE_EXCEEDED);
    calls_check_failed(&calls.peer, 1, PSOCK_STATUS_DEADLINE_EXCEEDED);
    ck_assert_uint_eq(calls_stats(&calls).expired, 1);
  }
  calls_fini(&calls);
}
END_TEST

/* Each at its time, whatever came in between. */
START_TEST(many_deadlines) {
  struct calls calls;
  calls_init(&calls, false);
  calls.handle = look_at_time;
  calls_open(&calls);
  for (uint64_t i = 100; i > 0; i--)
    start_within(&calls, i, i * 1000);
  calls_settle(&calls);
  for (unsigned i = 1; i <= 100; i++) {
    if (i % 3 == 0)
      calls_cancel(&calls.peer, i);
    calls_settle(&calls);
    calls_pass(&calls, MILLISECOND);
    ck_assert_uint_eq(calls.ended.count, i);
  }
  ck_assert_uint_eq(calls_stats(&calls).expired, 67);
  ck_assert_uint_eq(calls_stats(&calls).cancelled, 33);
  calls_fini(&calls);
}
END_TEST

static Suite *suite(void) {
  Suite *suite = suite_create("server_limits");
  TCase *tcase = guard_case(suite, "limits");
  tcase_add_test(tcase, no_such_method);
  tcase_add_loop_test(tcase, an_id_of_zero, 0, 2);
  tcase_add_loop_test(tcase, calls_of_a_connection, 0, 2);
  tcase_add_loop_test(tcase, calls_of_a_method, 0, 2);
  tcase = guard_case(suite, "asked");
  tcase_add_loop_test(tcase, allowed, 0, 2);
  tcase_add_loop_test(tcase, allowed_for_longer, 0, 2);
  tcase_add_loop_test(tcase, not_authorized, 0, 6);
  tcase_add_loop_test(tcase, intercepted, 0, 2);
  tcase_add_loop_test(tcase, taken_by_an_interceptor, 0, 4);
  tcase = guard_case(suite, "metadata");
  tcase_add_test(tcase, metadata);
  tcase_add_loop_test(tcase, metadata_of_a_stream, 0, 2);
  tcase_add_loop_test(tcase, held, 0, 2);
  tcase_add_test(tcase, held_metadata);
  tcase = guard_case(suite, "time");
  tcase_add_loop_test(tcase, deadlines, 0, (int)(sizeof times / sizeof *times));
  tcase_add_test(tcase, many_deadlines);
  return suite;
}

int main(void) {
  return guard_main(suite());
}
