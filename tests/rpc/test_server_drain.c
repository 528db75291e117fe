/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/calls.h"

#include <stdlib.h>
#include <string.h>

/*
 * How a server comes to an end: by a drain, with peers that know GOAWAY and
 * with those that don't, and by being freed, from wherever.
 */

static void refer(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  (void)number;
  calls_watch(calls, call);
  calls->data = call;
}

static void on_drained(void *data) {
  struct calls *calls = data;
  DEMAND(calls->inside == 0, "drained is called from inside a function");
  calls->drained++;
}

static void on_drained_free(void *data) {
  struct calls *calls = data;
  calls->drained++;
  psock_server_free(calls->server);
  calls->server = NULL;
}

static void drain(struct calls *calls) {
  calls->inside++;
  ck_assert_int_eq(psock_server_drain(calls->server, on_drained, calls), 0);
  ck_assert_int_eq(
      psock_server_drain(calls->server, on_drained, calls), PSOCK_EINVAL);
  calls->inside--;
}

static void check_not_begun(const struct calls_peer *peer, uint64_t id) {
  calls_check_failed(peer, id, PSOCK_STATUS_UNAVAILABLE);
  ck_assert_int_eq(calls_last(peer, id)->not_begun, !peer->calls->own);
}

START_TEST(nobody_there) {
  struct calls calls;
  struct calls_peer peer;
  calls_init(&calls, _i == 1);
  ck_assert_int_eq(calls_try_server(&calls), 0);
  drain(&calls);
  ck_assert_uint_eq(calls.drained, 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.drained, 1);
  ck_assert_int_eq(calls_try_peer(&calls, &peer), PSOCK_ECLOSED);
  calls_fini(&calls);
}
END_TEST

START_TEST(freed_by_drained) {
  struct calls calls;
  calls_init(&calls, false);
  ck_assert_int_eq(calls_try_server(&calls), 0);
  ck_assert_int_eq(
      psock_server_drain(calls.server, on_drained_free, &calls), 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.drained, 1);
  ck_assert_ptr_null(calls.server);
  calls_fini(&calls);
}
END_TEST

/* A peer that has said HELLO: GOAWAY, and starts until it has answered. */
START_TEST(with_a_hello) {
  struct calls calls;
  calls_init(&calls, false);
  calls.handle = refer;
  calls_open(&calls);
  calls_start(&calls.peer, 1, calls_get(&calls), "", 0);
  calls_settle(&calls);
  psock_call *first = calls.data;
  drain(&calls);
  calls_settle(&calls);
  ck_assert_uint_eq(calls_count_code(&calls.peer, 0, PSOCK_CODE_GOAWAY), 1);
  ck_assert_uint_eq(calls.drains, 1);
  calls_start(&calls.peer, 2, calls_get(&calls), "", 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.served, 2);
  /* Its events were set while draining: it is told so at once. */
  ck_assert_uint_eq(calls.drains, 2);
  calls_code(&calls.peer, 0, PSOCK_CODE_GOAWAY);
  calls_start(&calls.peer, 3, calls_get(&calls), "", 0);
  calls_settle(&calls);
  check_not_begun(&calls.peer, 3);
  ck_assert_uint_eq(calls_count(&calls.peer, 1), 0);
  calls_reply(&calls, first, "", 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.drained, 0);
  ck_assert_uint_eq(calls.peer.closed, 0);
  calls_reply(&calls, calls.data, "", 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.drained, 1);
  ck_assert_uint_eq(calls.peer.closed, 1);
  ck_assert_int_eq(calls.peer.reason, 0);
  ck_assert_uint_eq(calls_count(&calls.peer, 2), 1);
  ck_assert_uint_eq(calls_stats(&calls).connections, 0);
  calls_fini(&calls);
}
END_TEST

/* A peer that knows nothing of that: what it starts now is not begun. */
START_TEST(without_a_hello) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = refer;
  calls_open_silent(&calls);
  calls_start(&calls.peer, 1, calls_get(&calls), "", 0);
  calls_settle(&calls);
  drain(&calls);
  calls_settle(&calls);
  calls_start(&calls.peer, 2, calls_get(&calls), "", 0);
  calls_settle(&calls);
  check_not_begun(&calls.peer, 2);
  ck_assert_uint_eq(calls_count_code(&calls.peer, 0, PSOCK_CODE_GOAWAY), 0);
  ck_assert_uint_eq(calls.drained, 0);
  calls_reply(&calls, calls.data, "", 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.drained, 1);
  ck_assert_uint_eq(calls.peer.closed, 1);
  calls_fini(&calls);
}
END_TEST

/* One that has said nothing at all is waited for, to know which it is. */
START_TEST(unknown) {
  struct calls calls;
  calls_init(&calls, false);
  calls_open_silent(&calls);
  drain(&calls);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.peer.closed, 0);
  if (_i == 0) {
    calls_hello(&calls.peer, 0, 0);
    calls_settle(&calls);
    ck_assert_uint_eq(calls_count_code(&calls.peer, 0, PSOCK_CODE_GOAWAY), 1);
    ck_assert_uint_eq(calls.peer.closed, 0);
    calls_start(&calls.peer, 1, calls_get(&calls), "", 0);
    calls_code(&calls.peer, 0, PSOCK_CODE_GOAWAY);
    calls_settle(&calls);
    ck_assert_uint_eq(calls.served, 1);
  } else if (_i == 1) {
    calls_start(&calls.peer, 1, calls_get(&calls), "", 0);
    calls_settle(&calls);
    check_not_begun(&calls.peer, 1);
  } else {
    calls_pass(&calls, SECOND - 1);
    ck_assert_uint_eq(calls.peer.closed, 0);
    calls_pass(&calls, 1);
  }
  ck_assert_uint_eq(calls.peer.closed, 1);
  ck_assert_uint_eq(calls.drained, 1);
  calls_fini(&calls);
}
END_TEST

/* What has not come to an end in time is cut. */
START_TEST(out_of_time) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = refer;
  calls.connection.drain_timeout = 3 * SECOND;
  calls_open(&calls);
  calls_start(&calls.peer, 1, calls_get(&calls), "", 0);
  calls_settle(&calls);
  drain(&calls);
  calls_settle(&calls);
  calls_pass(&calls, 3 * SECOND - 1);
  ck_assert_uint_eq(calls.drained, 0);
  calls_pass(&calls, 1);
  ck_assert_uint_eq(calls.drained, 1);
  ck_assert_uint_eq(calls.ended.count, 1);
  ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_UNAVAILABLE);
  calls_fini(&calls);
}
END_TEST

static void end_at_drain(struct calls *calls, psock_call *call) {
  (void)calls;
  psock_call_fail(call, PSOCK_STATUS_UNAVAILABLE, "going");
}

START_TEST(ended_by_drain) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = refer;
  calls.on_drain = end_at_drain;
  calls_open(&calls);
  for (uint64_t id = 1; id <= 20; id++)
    calls_start(&calls.peer, id, calls_download(&calls), "", 0);
  calls_settle(&calls);
  drain(&calls);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.drains, 20);
  ck_assert_uint_eq(calls.ended.count, 20);
  if (!calls.own)
    calls_code(&calls.peer, 0, PSOCK_CODE_GOAWAY);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.drained, 1);
  calls_fini(&calls);
}
END_TEST

START_TEST(several_connections) {
  struct calls calls;
  struct calls_peer peers[3];
  calls_init(&calls, true);
  calls_open(&calls);
  for (int i = 0; i < 3; i++)
    ck_assert_int_eq(calls_try_peer(&calls, &peers[i]), 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls_stats(&calls).connections, 4);
  drain(&calls);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.drained, 1);
  for (int i = 0; i < 3; i++)
    ck_assert_uint_eq(peers[i].closed, 1);
  calls_fini(&calls);
}
END_TEST

/* The caller's GOAWAY that nobody has asked for changes nothing. */
START_TEST(goaway_unasked) {
  struct calls calls;
  calls_init(&calls, false);
  calls_open(&calls);
  calls_code(&calls.peer, 0, PSOCK_CODE_GOAWAY);
  calls_start(&calls.peer, 1, calls_get(&calls), "", 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.served, 1);
  ck_assert_uint_eq(calls.peer.closed, 0);
  drain(&calls);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.drained, 1);
  calls_fini(&calls);
}
END_TEST

/* The peer has ended its side: what runs is finished. */
START_TEST(half_closed) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = refer;
  calls_open(&calls);
  calls_start(&calls.peer, 1, calls_get(&calls), "", 0);
  calls_settle(&calls);
  psock_connection_close(calls.peer.connection);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.ended.count, 0);
  ck_assert_uint_eq(calls_stats(&calls).connections, 1);
  ck_assert_int_eq(calls_reply(&calls, calls.data, "", 0), 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls_stats(&calls).connections, 0);
  ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_OK);
  ck_assert_int_eq(calls.peer.reason, 0);
  calls_fini(&calls);
}
END_TEST

START_TEST(half_closed_at_rest) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls_open(&calls);
  calls_start(&calls.peer, 1, calls_get(&calls), "", 0);
  psock_connection_close(calls.peer.connection);
  calls_settle(&calls);
  ck_assert_uint_eq(calls_stats(&calls).connections, 0);
  ck_assert_int_eq(calls.peer.reason, 0);
  calls_fini(&calls);
}
END_TEST

/* ---- Freed from inside ---- */

enum place {
  HANDLER,
  HANDLER_REFERRED,
  ENDED,
  ROOM,
  REQUEST,
  REQUESTS_ENDED,
  DRAIN,
  AUTHORIZE,
  BEGIN,
  INTERCEPTOR_ENDED,
  PLACES
};

enum what {
  FREE_SERVER,
  FREE_CONNECTION,
  CLOSE_CONNECTION,
  FREE_OTHERS,
  DRAIN_SERVER,
  WHATS
};

static enum place place;
static enum what what;
static psock_call *others[4];
static int other_count;
static int done;

static void act(struct calls *calls, psock_call *call, enum place here) {
  if (here != place || done++ > 0)
    return;
  psock_connection *connection = psock_call_get_connection(call);
  if (what == FREE_SERVER) {
    psock_server *server = calls->server;
    calls->server = NULL;
    psock_server_free(server);
    ck_assert_uint_eq(calls->ended.count, calls->watched);
  } else if (what == FREE_CONNECTION) {
    psock_connection_free(connection);
  } else if (what == CLOSE_CONNECTION) {
    if (connection != NULL)
      psock_connection_close(connection);
  } else if (what == DRAIN_SERVER) {
    int error = psock_server_drain(calls->server, on_drained, calls);
    ck_assert(error == 0 || place == DRAIN);
  } else {
    for (int i = 0; i < other_count; i++)
      if (psock_call_get_status(others[i]) == NULL)
        psock_call_cancel(others[i]);
  }
}

static int authorize(void *data, psock_call *call,
    const struct psock_method *method, struct psock_status *ret_status) {
  (void)method;
  (void)ret_status;
  act(data, call, AUTHORIZE);
  return 0;
}

static int on_begin(
    void *data, psock_call *call, struct psock_status *ret_status) {
  (void)ret_status;
  act(data, call, BEGIN);
  return 0;
}

static void on_end(
    void *data, psock_call *call, const struct psock_status *status) {
  /* Of a call with events, whose `ended` is still to come. */
  if (status->code == PSOCK_STATUS_ABORTED)
    act(data, call, INTERCEPTOR_ENDED);
}

static uint8_t item[1000];

static void handle_and_act(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  if (number == 1) {
    act(calls, call, HANDLER);
    calls_reply(calls, call, "", 0);
    return;
  }
  if (number == 2)
    psock_call_fail(call, PSOCK_STATUS_ABORTED, NULL);
  if (text != NULL && number == 3)
    while (calls_send_data(calls, call, 0, item, sizeof item) == 0)
      continue;
  others[other_count++] = psock_call_ref(call);
  calls_watch(calls, call);
  act(calls, call, HANDLER_REFERRED);
}

static void act_ended(struct calls *calls, psock_call *call) {
  act(calls, call, ENDED);
}
static void act_room(struct calls *calls, psock_call *call) {
  act(calls, call, ROOM);
}
static void act_request(
    struct calls *calls, psock_call *call, const Trial__Text *request) {
  (void)request;
  act(calls, call, REQUEST);
}
static void act_requests_ended(struct calls *calls, psock_call *call) {
  act(calls, call, REQUESTS_ENDED);
}
static void act_drain(struct calls *calls, psock_call *call) {
  act(calls, call, DRAIN);
}

START_TEST(freed_inside) {
  struct calls calls;
  place = (enum place)(_i % PLACES);
  what = (enum what)(_i / PLACES % WHATS);
  other_count = done = 0;
  /* Interceptors must not end what they are called by. */
  if ((place == BEGIN || place == INTERCEPTOR_ENDED) &&
      (what == FREE_SERVER || what == FREE_CONNECTION))
    return;
  calls_init(&calls, false);
  struct psock_interceptor interceptor = {.size = sizeof interceptor,
      .begin = on_begin,
      .ended = on_end,
      .data = &calls};
  const struct psock_interceptor *list[] = {&interceptor};
  calls.options.authorize = authorize;
  calls.options.authorize_data = &calls;
  calls.options.interceptors = list;
  calls.options.interceptor_count = 1;
  calls.handle = handle_and_act;
  calls.on_ended = act_ended;
  calls.on_room = act_room;
  calls.on_request = act_request;
  calls.on_requests_ended = act_requests_ended;
  calls.on_drain = act_drain;
  calls_open_silent(&calls);
  calls_hello(&calls.peer, 3000, 0);
  calls_start(&calls.peer, 1, &trial__trial__upload__method, "", 0);
  calls_start(&calls.peer, 2, calls_download(&calls), "", 3);
  calls_start(&calls.peer, 3, calls_get(&calls), "", 1);
  calls_start(&calls.peer, 4, calls_get(&calls), "", 2);
  calls_start(&calls.peer, 5, calls_get(&calls), "", 0);
  calls_request(&calls.peer, 1, "a");
  calls_window(&calls.peer, 2, 100000);
  calls_code(&calls.peer, 1, PSOCK_CODE_END);
  calls_settle(&calls);
  if (calls.server != NULL && what != DRAIN_SERVER)
    drain(&calls);
  else if (calls.server != NULL && place == DRAIN)
    drain(&calls);
  calls_settle(&calls);
  if (calls.peer.connection != NULL && calls.server != NULL)
    calls_cancel(&calls.peer, 5);
  calls_settle(&calls);
  ck_assert_int_ge(done, 1);
  if (calls.server == NULL)
    ck_assert_uint_eq(calls.ended.count, calls.watched);
  psock_server_free(calls.server);
  calls.server = NULL;
  for (int i = 0; i < other_count; i++)
    psock_call_unref(others[i]);
  calls_fini(&calls);
}
END_TEST

START_TEST(freed_with_its_loop) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = refer;
  calls_open(&calls);
  calls_start(&calls.peer, 1, calls_get(&calls), "", 0);
  calls_settle(&calls);
  drain(&calls);
  calls.server = NULL; /* The loop frees it. */
  calls_fini(&calls);
  ck_assert_uint_eq(calls.drained, 1);
}
END_TEST

static Suite *suite(void) {
  Suite *suite = suite_create("server_drain");
  TCase *tcase = guard_case(suite, "drain");
  tcase_add_loop_test(tcase, nobody_there, 0, 2);
  tcase_add_test(tcase, freed_by_drained);
  tcase_add_test(tcase, with_a_hello);
  tcase_add_loop_test(tcase, without_a_hello, 0, 2);
  tcase_add_loop_test(tcase, unknown, 0, 3);
  tcase_add_loop_test(tcase, out_of_time, 0, 2);
  tcase_add_loop_test(tcase, ended_by_drain, 0, 2);
  tcase_add_test(tcase, several_connections);
  tcase_add_test(tcase, goaway_unasked);
  tcase = guard_case(suite, "half_closed");
  tcase_add_loop_test(tcase, half_closed, 0, 2);
  tcase_add_loop_test(tcase, half_closed_at_rest, 0, 2);
  tcase = guard_case(suite, "freed");
  tcase_add_loop_test(tcase, freed_inside, 0, PLACES * WHATS);
  tcase_add_loop_test(tcase, freed_with_its_loop, 0, 2);
  return suite;
}

int main(void) {
  return guard_main(suite());
}
