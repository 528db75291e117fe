/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/calls.h"

#include <ev.h>
#include <string.h>

/*
 * Making a server, and what it answers, over Frames (0) and over own messages
 * (1), as long as everybody behaves.
 */

/* ---- What it serves ---- */

static const struct trial__trial__handlers trial_handlers = {
    .size = sizeof trial_handlers};
static const struct trial__other__handlers other_handlers = {
    .size = sizeof other_handlers};
static const struct trial__ask__call__handlers own_handlers = {
    .size = sizeof own_handlers};

static psock_server *new_server(struct calls *calls) {
  ck_assert_int_eq(
      psock_server_new(calls->loop, &calls->options, &calls->server), 0);
  return calls->server;
}

/* A service of methods like Get, but with these numbers. */
static int add_numbers(
    psock_server *server, uint32_t one, uint32_t other, const char *what) {
  static struct psock_method methods[2];
  static const struct psock_method *const list[] = {&methods[0], &methods[1]};
  struct psock_service service = {
      .size = sizeof service, .name = "S", .methods = list, .method_count = 2};
  methods[0] = methods[1] = trial__trial__get__method;
  methods[0].number = one;
  methods[1].number = other;
  if (strcmp(what, "serve") == 0)
    methods[1].serve = NULL;
  else if (strcmp(what, "size") == 0)
    methods[1].size = 8;
  else if (strcmp(what, "none") == 0)
    service.method_count = 0;
  return psock_server_add(server, &service, &trial_handlers, NULL);
}

START_TEST(services) {
  struct calls calls;
  calls_init(&calls, false);
  psock_server *server = new_server(&calls);
  size_t none = 0;
  ck_assert_int_eq(psock_server_add(server, &trial__trial__service, NULL, NULL),
      PSOCK_EINVAL);
  ck_assert_int_eq(
      psock_server_add(server, &trial__trial__service, &none, NULL),
      PSOCK_EINVAL);
  ck_assert_int_eq(
      psock_server_add(server, &trial__trial__service, &trial_handlers, NULL),
      0);
  ck_assert_int_eq(
      psock_server_add(server, &trial__trial__service, &trial_handlers, NULL),
      PSOCK_EINVAL);
  ck_assert_int_eq(
      psock_server_add(server, &trial__other__service, &other_handlers, NULL),
      0);
  ck_assert_int_eq(
      psock_server_add(server, &trial__ask__call__service, &own_handlers, NULL),
      PSOCK_EINVAL);
  ck_assert_int_eq(add_numbers(server, 1, 1, ""), PSOCK_EINVAL);
  ck_assert_int_eq(add_numbers(server, 1, 0, ""), PSOCK_EINVAL);
  ck_assert_int_eq(add_numbers(server, 1, 2, "serve"), PSOCK_EINVAL);
  ck_assert_int_eq(add_numbers(server, 1, 2, "size"), PSOCK_EINVAL);
  ck_assert_int_eq(add_numbers(server, 1, 2, "none"), PSOCK_EINVAL);
  ck_assert_int_eq(add_numbers(server, 1, 2, ""), 0);
  ck_assert_int_eq(add_numbers(server, 3, 2, ""), PSOCK_EINVAL);
  calls_fini(&calls);
}
END_TEST

START_TEST(own_messages_only) {
  struct calls calls;
  calls_init(&calls, true);
  psock_server *server = new_server(&calls);
  ck_assert_int_eq(
      psock_server_add(server, &trial__ask__call__service, &own_handlers, NULL),
      0);
  ck_assert_int_eq(
      psock_server_add(server, &trial__ask__call__service, &own_handlers, NULL),
      PSOCK_EINVAL);
  ck_assert_int_eq(
      psock_server_add(server, &trial__trial__service, &trial_handlers, NULL),
      PSOCK_EINVAL);
  ck_assert_int_eq(psock_server_limit(server, &trial__ask__call__method, 3), 0);
  ck_assert_int_eq(
      psock_server_limit(server, &trial__trial__get__method, 3), PSOCK_ENOENT);
  calls_fini(&calls);
}
END_TEST

START_TEST(nothing_is_added_later) {
  struct calls calls;
  calls_init(&calls, false);
  calls_open(&calls);
  ck_assert_int_eq(psock_server_add(calls.server, &trial__other__service,
                       &other_handlers, NULL),
      PSOCK_EINVAL);
  calls_fini(&calls);
}
END_TEST

/* Many methods, so that the table has to grow. */
START_TEST(many_methods) {
  struct calls calls;
  static struct psock_method methods[200];
  static const struct psock_method *list[200];
  struct psock_service service = {
      .size = sizeof service, .name = "S", .methods = list};
  calls_init(&calls, false);
  psock_server *server = new_server(&calls);
  for (size_t i = 0; i < 200; i++) {
    methods[i] = trial__trial__get__method;
    methods[i].number = (uint32_t)(i + 1) * 64;
    list[i] = &methods[i];
  }
  for (service.method_count = 1; service.methods < list + 190;
       service.methods += service.method_count++)
    ck_assert_int_eq(
        psock_server_add(server, &service, &trial_handlers, NULL), 0);
  for (const struct psock_method *const *at = list; at < service.methods; at++)
    ck_assert_int_eq(psock_server_limit(server, *at, 1), 0);
  calls_fini(&calls);
}
END_TEST

START_TEST(bad_options) {
  struct calls calls;
  psock_server *server;
  struct psock_server_options none = {.size = 0};
  struct psock_server_options short_ones = {.size = sizeof(size_t)};
  calls_init(&calls, false);
  ck_assert_int_eq(psock_server_new(calls.loop, &none, &server), PSOCK_EINVAL);
  ck_assert_int_eq(
      psock_server_new(calls.loop, &short_ones, &server), PSOCK_EINVAL);
  calls.connection.size = 0;
  ck_assert_int_eq(
      psock_server_new(calls.loop, &calls.options, &server), PSOCK_EINVAL);
  calls.connection.size = sizeof calls.connection;
  calls.connection.when_full = (enum psock_when_full)7;
  ck_assert_int_eq(
      psock_server_new(calls.loop, &calls.options, &server), PSOCK_EINVAL);
  calls.connection.when_full = PSOCK_WHEN_FULL_DEFAULT;
  calls.limits.max_message = (size_t)2 << 30;
  ck_assert_int_eq(
      psock_server_new(calls.loop, &calls.options, &server), PSOCK_EINVAL);
  calls.limits.max_message = 0;
  calls.options.stream_window = ((size_t)1 << 62) + 1;
  ck_assert_int_eq(
      psock_server_new(calls.loop, &calls.options, &server), PSOCK_EINVAL);
  calls.options.stream_window = 0;
  calls.options.max_calls = (1u << 20) + 1;
  ck_assert_int_eq(
      psock_server_new(calls.loop, &calls.options, &server), PSOCK_EINVAL);
  calls.options.max_calls = 0;
  struct psock_interceptor interceptor = {.size = 0};
  const struct psock_interceptor *list[] = {&interceptor};
  calls.options.interceptor_count = 1;
  ck_assert_int_eq(
      psock_server_new(calls.loop, &calls.options, &server), PSOCK_EINVAL);
  calls.options.interceptors = list;
  ck_assert_int_eq(
      psock_server_new(calls.loop, &calls.options, &server), PSOCK_EINVAL);
  interceptor.size = sizeof interceptor;
  calls.options.interceptor_count = 0;
  ck_assert_int_eq(
      psock_server_new(calls.loop, &calls.options, &server), PSOCK_EINVAL);
  calls.options.interceptor_count = 1;
  ck_assert_int_eq(psock_server_new(calls.loop, &calls.options, &server), 0);
  psock_server_free(server);
  ck_assert_int_eq(psock_server_new(calls.loop, NULL, &server), 0);
  psock_server_free(server);
  psock_server_free(NULL);
  calls_fini(&calls);
}
END_TEST

/* ---- Over a socket ---- */

struct socket_rig {
  struct calls calls; /* first */
  struct ev_loop *ev;
  psock_connection *connection;
  unsigned got;
};

static void got_message(
    void *state, psock_connection *connection, const void *message) {
  struct socket_rig *rig = state;
  struct psock_rpc_frame room;
  const struct psock_rpc_frame *frame =
      psock_face_read(&rig->calls.face, connection, message, &room);
  rig->got += frame->id == 1 && frame->code == PSOCK_CODE_NORMAL;
}

static void got_closed(void *state, psock_connection *connection, int reason) {
  (void)connection;
  (void)reason;
  ((struct socket_rig *)state)->connection = NULL;
}

static void drained(void *data) {
  ((struct calls *)data)->drained++;
}

START_TEST(listens) {
  static const struct psock_reactor_ops ops = {
      .size = sizeof ops, .message = got_message, .closed = got_closed};
  struct socket_rig rig = {.ev = ev_loop_new(0)};
  struct calls *calls = &rig.calls;
  psock_listener *listener;
  struct psock_address address;
  struct psock_listener_options forgotten = {.size = 0};
  calls_init(calls, _i == 1);
  psock_loop_free(calls->loop);
  struct psock_loop_options options = {
      .size = sizeof options, .allocator = &calls->fault.allocator};
  ck_assert_int_eq(psock_loop_new(rig.ev, &options, &calls->loop), 0);
  ck_assert_int_eq(calls_try_server(calls), 0);
  ck_assert_int_eq(psock_address_parse("tcp:127.0.0.1:0", &address), 0);
  ck_assert_int_eq(
      psock_server_listen(calls->server, &address, &forgotten, NULL),
      PSOCK_EINVAL);
  ck_assert_int_eq(
      psock_server_listen(calls->server, &address, NULL, &listener), 0);
  ck_assert_int_eq(psock_server_listen(calls->server, &address, NULL, NULL), 0);
  psock_listener_get_address(listener, &address);
  ck_assert_int_eq(psock_server_listen(calls->server, &address, NULL, NULL),
      PSOCK_EADDRINUSE);
  struct psock_connection_options connecting = {.size = sizeof connecting,
      .inbound = calls->face.inbound,
      .outbound = calls->face.outbound,
      .reactor = {.ops = &ops, .state = &rig}};
  ck_assert_int_eq(
      psock_connect(calls->loop, &address, &connecting, &rig.connection), 0);
  calls->peer.calls = calls;
  calls->peer.sender = psock_connection_get_sender(rig.connection);
  calls_start(&calls->peer, 1, calls_get(calls), "x", 0);
  while (rig.got == 0)
    ev_run(rig.ev, EVRUN_ONCE);
  ck_assert_uint_eq(calls_stats(calls).connections, 1);
  ck_assert_int_eq(psock_server_drain(calls->server, drained, calls), 0);
  ck_assert_int_eq(
      psock_server_listen(calls->server, &address, NULL, NULL), PSOCK_ECLOSED);
  while (calls->drained == 0)
    ev_run(rig.ev, EVRUN_ONCE);
  ck_assert_uint_eq(calls_stats(calls).connections, 0);
  psock_connection_free(rig.connection);
  calls_fini(calls);
  ev_loop_destroy(rig.ev);
}
END_TEST

/* ---- Answers ---- */

START_TEST(unary) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls_open(&calls);
  for (uint32_t i = 1; i <= 5; i++)
    calls_start(&calls.peer, i, calls_get(&calls), "hallo", i * 7);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.served, 5);
  for (uint32_t i = 1; i <= 5; i++) {
    const struct calls_got *got = calls_last(&calls.peer, i);
    ck_assert_uint_eq(calls_count(&calls.peer, i), 1);
    ck_assert_uint_eq(got->code, PSOCK_CODE_NORMAL);
    ck_assert_str_eq(got->text, "hallo");
    ck_assert_uint_eq(got->number, i * 7);
  }
  struct psock_server_stats stats = calls_stats(&calls);
  ck_assert_uint_eq(stats.connections, 1);
  ck_assert_uint_eq(stats.started, 5);
  ck_assert_uint_eq(stats.ended, 5);
  ck_assert_uint_eq(stats.failed, 0);
  ck_assert_uint_eq(stats.in_flight, 0);
  ck_assert_uint_eq(stats.stray, 0);
  calls_fini(&calls);
}
END_TEST

static void stream_some(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  for (uint32_t i = 0; i < number; i++)
    ck_assert_int_eq(calls_send(calls, call, text, i), 0);
  ck_assert_int_eq(psock_call_end(call, NULL), 0);
}

START_TEST(stream) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = stream_some;
  calls_open(&calls);
  calls_start(&calls.peer, 4, calls_download(&calls), "item", 3);
  calls_start(&calls.peer, 5, calls_download(&calls), "item", 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls_count(&calls.peer, 4), 4);
  ck_assert_uint_eq(calls_count_code(&calls.peer, 4, PSOCK_CODE_NORMAL), 3);
  ck_assert_uint_eq(calls_last(&calls.peer, 4)->code, PSOCK_CODE_END);
  ck_assert_uint_eq(calls_count(&calls.peer, 5), 1);
  calls_fini(&calls);
}
END_TEST

static void answer_later(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  (void)number;
  calls->data = psock_call_ref(call);
}

START_TEST(later) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = answer_later;
  calls_open(&calls);
  calls_start(&calls.peer, 9, calls_get(&calls), "x", 1);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.peer.count, calls.own ? 0 : 1);
  ck_assert_uint_eq(calls_stats(&calls).in_flight, 1);
  ck_assert_int_eq(calls_reply(&calls, calls.data, "now", 2), 0);
  ck_assert_int_eq(calls_reply(&calls, calls.data, "now", 2), PSOCK_ECANCELED);
  psock_call_unref(calls.data);
  calls_settle(&calls);
  ck_assert_str_eq(calls_last(&calls.peer, 9)->text, "now");
  ck_assert_uint_eq(calls_stats(&calls).in_flight, 0);
  calls_fini(&calls);
}
END_TEST

START_TEST(unanswered) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = calls_ignore;
  calls_open(&calls);
  calls_start(&calls.peer, 9, calls_get(&calls), "x", 1);
  calls_settle(&calls);
  calls_check_failed(&calls.peer, 9, PSOCK_STATUS_INTERNAL);
  ck_assert_uint_eq(calls_stats(&calls).failed, 1);
  calls_fini(&calls);
}
END_TEST

static void watch(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  (void)number;
  calls_watch(calls, call);
}

START_TEST(cancelled) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = watch;
  calls_open(&calls);
  calls_start(&calls.peer, 9, calls_get(&calls), "x", 1);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.ended.count, 0);
  calls_cancel(&calls.peer, 9);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.ended.count, 1);
  ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_CANCELLED);
  calls_check_failed(&calls.peer, 9, NO_STATUS);
  calls_fini(&calls);
}
END_TEST

/* ---- What a handler may get wrong ---- */

static void send_nothing(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  (void)number;
  Trial__Ask other;
  trial__ask__init(&other);
  bool own = calls->own;
  ck_assert_int_eq(psock_call_reply(call, NULL), PSOCK_EINVAL);
  ck_assert_int_eq(psock_call_send(call, NULL), PSOCK_EINVAL);
  ck_assert_int_eq(psock_call_end(call, NULL), own ? 0 : PSOCK_EINVAL);
  ck_assert_int_eq(psock_call_fail(call, 0, NULL), PSOCK_EINVAL);
  /* One that is no Text. */
  ck_assert_int_eq(
      psock_call_reply(call, &other), own ? PSOCK_ECANCELED : PSOCK_EINVAL);
}

START_TEST(nothing_to_send) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = send_nothing;
  calls_open(&calls);
  calls_start(&calls.peer, 1, calls_get(&calls), "", 0);
  calls_settle(&calls);
  if (calls.own)
    ck_assert_uint_eq(calls_last(&calls.peer, 1)->code, PSOCK_CODE_END);
  else
    calls_check_failed(&calls.peer, 1, PSOCK_STATUS_INTERNAL);
  calls_fini(&calls);
}
END_TEST

static void never(
    void *data, psock_call *call, const struct psock_status *status) {
  (void)data;
  (void)call;
  (void)status;
  ck_abort_msg("these are nobody's events");
}

/* 0: events without a size; 1: set twice; 2: set behind the end. */
static int how;

static void set_events(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  static const struct psock_call_events none = {.ended = never};
  static const struct psock_call_events other = {
      .size = sizeof other, .ended = never};
  if (how == 0) {
    psock_call_set_events(call, &none, calls);
    return;
  }
  if (how == 2)
    calls_reply(calls, call, text, number);
  calls_watch(calls, call);
  psock_call_set_events(call, &other, calls);
  psock_call_set_events(call, NULL, calls);
}

START_TEST(events) {
  struct calls calls;
  calls_init(&calls, _i % 2 == 1);
  how = _i / 2;
  calls.handle = set_events;
  calls_open(&calls);
  calls_start(&calls.peer, 1, calls_get(&calls), "", 0);
  calls_settle(&calls);
  if (how == 0)
    calls_check_failed(&calls.peer, 1, PSOCK_STATUS_INTERNAL);
  ck_assert_uint_eq(calls.ended.count, how == 2);
  calls_fini(&calls);
}
END_TEST

static Suite *suite(void) {
  Suite *suite = suite_create("server");
  TCase *tcase = guard_case(suite, "made");
  tcase_add_test(tcase, services);
  tcase_add_test(tcase, own_messages_only);
  tcase_add_test(tcase, nothing_is_added_later);
  tcase_add_test(tcase, many_methods);
  tcase_add_test(tcase, bad_options);
  tcase_add_loop_test(tcase, listens, 0, 2);
  tcase = guard_case(suite, "behaved");
  tcase_add_loop_test(tcase, unary, 0, 2);
  tcase_add_loop_test(tcase, stream, 0, 2);
  tcase_add_loop_test(tcase, later, 0, 2);
  tcase_add_loop_test(tcase, unanswered, 0, 2);
  tcase_add_loop_test(tcase, cancelled, 0, 2);
  tcase = guard_case(suite, "wrong");
  tcase_add_loop_test(tcase, nothing_to_send, 0, 2);
  tcase_add_loop_test(tcase, events, 0, 6);
  return suite;
}

int main(void) {
  return guard_main(suite());
}
