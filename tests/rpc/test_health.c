/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/alloc_fault.h"
#include "lib/guard.h"
#include "protosocket/health.psock.h"
#include <protosocket.h>
#include <protosocket/testing.h>
#include <string.h>

/*
 * The health service, asked with what the plugin has made of health.proto; so
 * the rows that the library has of it are those that others have too.
 */

#define MOST 32

typedef Protosocket__Rpc__HealthRequest Request;
typedef Protosocket__Rpc__HealthResponse Response;

static struct rig {
  struct alloc_fault fault;
  psock_loop *loop;
  psock_health *health;
  psock_server *server;
  psock_caller *caller;
  bool drained;
} rig;

/* What came of a call. */
struct asked {
  psock_call *call;
  unsigned count;
  int serving[MOST];
  unsigned ended;
  uint32_t code;
};

static void settle(void) {
  ck_assert_int_eq(psock_test_loop_settle(rig.loop, 1000), 1);
}

static psock_caller *connect_one(size_t stream_window) {
  psock_transport *one = NULL;
  psock_transport *other = NULL;
  psock_caller *caller = NULL;
  struct psock_caller_options options = {
      .size = sizeof options, .stream_window = stream_window};
  ck_assert_int_eq(psock_memory_pair(rig.loop, 4096, &one, &other), 0);
  ck_assert_int_eq(psock_server_accept(rig.server, one), 0);
  ck_assert_int_eq(psock_caller_new(rig.loop, other, &options, &caller), 0);
  settle();
  return caller;
}

static void setup(void) {
  rig = (struct rig){.drained = false};
  alloc_fault_init(&rig.fault);
  struct psock_loop_options options = {
      .size = sizeof options, .allocator = &rig.fault.allocator};
  ck_assert_int_eq(psock_test_loop_new(&options, &rig.loop), 0);
  ck_assert_int_eq(psock_health_new(rig.loop, &rig.health), 0);
  ck_assert_int_eq(psock_server_new(rig.loop, NULL, &rig.server), 0);
  ck_assert_int_eq(psock_health_add(rig.health, rig.server), 0);
  rig.caller = connect_one(0);
}

static void teardown(void) {
  alloc_fault_disarm(&rig.fault);
  psock_caller_free(rig.caller);
  psock_server_free(rig.server);
  psock_health_free(rig.health);
  psock_loop_free(rig.loop);
  const char *complaint = alloc_fault_complaint(&rig.fault);
  ck_assert_msg(complaint == NULL, "%s", complaint);
}

/* ---- Asking ---- */

static void on_message(void *data, psock_call *call, const Response *response) {
  struct asked *asked = data;
  (void)call;
  DEMAND(asked->count < MOST && asked->ended == 0, "too many answers");
  asked->serving[asked->count++] = (int)response->serving;
}

static void on_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  struct asked *asked = data;
  (void)call;
  asked->ended++;
  asked->code = status->code;
}

#define EVENTS                                                                 \
  { .size = sizeof(struct psock_call_events), .ended = on_ended }

static Request request_for(const char *service) {
  Request request;
  protosocket__rpc__health_request__init(&request);
  request.service = (char *)(uintptr_t)service;
  return request;
}

static void check(struct asked *asked, const char *service) {
  static const struct protosocket__rpc__health__check__events events = {
      EVENTS, on_message};
  Request request = request_for(service);
  *asked = (struct asked){.call = NULL};
  ck_assert_int_eq(protosocket__rpc__health__check__start(
                       rig.caller, &request, NULL, &events, asked, NULL),
      0);
  settle();
  ck_assert_uint_eq(asked->ended, 1);
}

static void watch_by(
    psock_caller *caller, struct asked *asked, const char *service) {
  static const struct protosocket__rpc__health__watch__events events = {
      EVENTS, on_message};
  Request request = request_for(service);
  *asked = (struct asked){.call = NULL};
  ck_assert_int_eq(protosocket__rpc__health__watch__start(
                       caller, &request, NULL, &events, asked, &asked->call),
      0);
  settle();
}

static void watch(struct asked *asked, const char *service) {
  watch_by(rig.caller, asked, service);
}

static void let_go(struct asked *asked) {
  psock_call_cancel(asked->call);
  psock_call_unref(asked->call);
  settle();
  ck_assert_uint_eq(asked->ended, 1);
}

static void set(const char *service, enum psock_serving serving) {
  ck_assert_int_eq(psock_health_set(rig.health, service, serving), 0);
  settle();
}

static void assert_check(const char *service, uint32_t code, int serving) {
  struct asked asked;
  check(&asked, service);
  ck_assert_uint_eq(asked.code, code);
  ck_assert_uint_eq(asked.count, code == 0);
  if (code == 0)
    ck_assert_int_eq(asked.serving[0], serving);
}

/* ---- Check ---- */

START_TEST(check_says_what_was_set) {
  assert_check("", PSOCK_STATUS_OK, PSOCK_SERVING);
  assert_check("a.B", PSOCK_STATUS_NOT_FOUND, 0);
  set("a.B", PSOCK_NOT_SERVING);
  assert_check("a.B", PSOCK_STATUS_OK, PSOCK_NOT_SERVING);
  set("a.B", PSOCK_SERVING);
  set("", PSOCK_NOT_SERVING);
  assert_check("a.B", PSOCK_STATUS_OK, PSOCK_SERVING);
  assert_check("", PSOCK_STATUS_OK, PSOCK_NOT_SERVING);
  assert_check("a", PSOCK_STATUS_NOT_FOUND, 0);
  assert_check("a.BC", PSOCK_STATUS_NOT_FOUND, 0);
  set("a.B", PSOCK_SERVING_UNKNOWN);
  assert_check("a.B", PSOCK_STATUS_OK, PSOCK_SERVING_UNKNOWN);
}
END_TEST

START_TEST(a_name_is_copied) {
  char name[] = "a.B";
  set(name, PSOCK_SERVING);
  memset(name, 'x', 3);
  assert_check("a.B", PSOCK_STATUS_OK, PSOCK_SERVING);
  assert_check("xxx", PSOCK_STATUS_NOT_FOUND, 0);
}
END_TEST

START_TEST(fields_that_are_not_known_are_passed_over) {
  static const struct protosocket__rpc__health__check__events events = {
      EVENTS, on_message};
  uint8_t bytes[] = {3, 'a', 'b', 'c'};
  ProtobufCMessageUnknownField fields[] = {
      {.tag = 2,
          .wire_type = PROTOBUF_C_WIRE_TYPE_VARINT,
          .len = 1,
          .data = bytes},
      {.tag = 3,
          .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
          .len = 4,
          .data = bytes},
      {.tag = 4,
          .wire_type = PROTOBUF_C_WIRE_TYPE_32BIT,
          .len = 4,
          .data = bytes},
  };
  Request request = request_for("a.B");
  struct asked asked = {.call = NULL};
  request.base.n_unknown_fields = 3;
  request.base.unknown_fields = fields;
  set("a.B", PSOCK_NOT_SERVING);
  ck_assert_int_eq(protosocket__rpc__health__check__start(
                       rig.caller, &request, NULL, &events, &asked, NULL),
      0);
  settle();
  ck_assert_uint_eq(asked.ended, 1);
  ck_assert_uint_eq(asked.code, PSOCK_STATUS_OK);
  ck_assert_int_eq(asked.serving[0], PSOCK_NOT_SERVING);
}
END_TEST

/* ---- Watch ---- */

START_TEST(a_watcher_is_told_at_once_and_then_each_change) {
  struct asked asked;
  watch(&asked, "");
  ck_assert_uint_eq(asked.count, 1);
  ck_assert_int_eq(asked.serving[0], PSOCK_SERVING);
  set("", PSOCK_SERVING);
  ck_assert_uint_eq(asked.count, 1);
  set("", PSOCK_NOT_SERVING);
  set("", PSOCK_SERVING);
  ck_assert_uint_eq(asked.count, 3);
  ck_assert_int_eq(asked.serving[1], PSOCK_NOT_SERVING);
  ck_assert_int_eq(asked.serving[2], PSOCK_SERVING);
  ck_assert_uint_eq(asked.ended, 0);
  let_go(&asked);
}
END_TEST

START_TEST(what_is_not_known_may_come_to_be_known) {
  struct asked asked;
  watch(&asked, "a.B");
  ck_assert_uint_eq(asked.count, 1);
  ck_assert_int_eq(asked.serving[0], PSOCK_SERVING_UNKNOWN);
  set("a.B", PSOCK_SERVING);
  ck_assert_uint_eq(asked.count, 2);
  ck_assert_int_eq(asked.serving[1], PSOCK_SERVING);
  let_go(&asked);
}
END_TEST

START_TEST(a_watcher_is_told_of_its_service) {
  struct asked one;
  struct asked other;
  struct asked same;
  watch(&one, "a.A");
  watch(&other, "a.B");
  watch(&same, "a.A");
  set("a.A", PSOCK_SERVING);
  set("a.AA", PSOCK_SERVING);
  set("", PSOCK_NOT_SERVING);
  ck_assert_uint_eq(one.count, 2);
  ck_assert_uint_eq(same.count, 2);
  ck_assert_uint_eq(other.count, 1);
  let_go(&one);
  let_go(&other);
  let_go(&same);
}
END_TEST

START_TEST(a_slow_watcher_is_told_the_latest) {
  struct asked asked;
  psock_caller *slow = connect_one(1);
  watch_by(slow, &asked, "a.B");
  psock_call_pause(asked.call);
  for (int i = 0; i < 100; i++)
    set("a.B", i % 2 == 0 ? PSOCK_SERVING : PSOCK_NOT_SERVING);
  ck_assert_uint_eq(asked.count, 1);
  psock_call_resume(asked.call);
  settle();
  ck_assert_uint_ge(asked.count, 2);
  ck_assert_uint_le(asked.count, 4);
  ck_assert_int_eq(asked.serving[asked.count - 1], PSOCK_NOT_SERVING);
  /* And it goes on. */
  set("a.B", PSOCK_SERVING);
  ck_assert_int_eq(asked.serving[asked.count - 1], PSOCK_SERVING);
  let_go(&asked);
  psock_caller_free(slow);
}
END_TEST

/* Its caller cancels, or its connection ends. */
START_TEST(who_has_gone_is_told_no_more) {
  struct asked asked;
  struct asked other;
  psock_caller *second = connect_one(0);
  watch_by(second, &asked, "");
  watch(&other, "");
  if (_i == 0)
    psock_call_cancel(asked.call);
  else
    psock_caller_free(second);
  settle();
  ck_assert_uint_eq(asked.ended, 1);
  ck_assert_uint_eq(asked.code, PSOCK_STATUS_CANCELLED);
  set("", PSOCK_NOT_SERVING);
  ck_assert_uint_eq(asked.count, 1);
  ck_assert_uint_eq(other.count, 2);
  struct psock_server_stats stats = {.size = sizeof stats};
  psock_server_get_stats(rig.server, &stats);
  ck_assert_uint_eq(stats.in_flight, 1);
  let_go(&asked);
  let_go(&other);
  if (_i == 0)
    psock_caller_free(second);
}
END_TEST

static void on_drained(void *data) {
  (void)data;
  rig.drained = true;
}

START_TEST(a_drain_ends_watching) {
  struct asked asked;
  watch(&asked, "");
  ck_assert_int_eq(psock_server_drain(rig.server, on_drained, NULL), 0);
  settle();
  ck_assert_uint_eq(asked.ended, 1);
  ck_assert_uint_eq(asked.code, PSOCK_STATUS_UNAVAILABLE);
  ck_assert(rig.drained);
  let_go(&asked);
}
END_TEST

START_TEST(a_server_may_be_freed_with_watchers) {
  struct asked asked;
  watch(&asked, "");
  psock_server_free(rig.server);
  rig.server = NULL;
  set("", PSOCK_NOT_SERVING);
  ck_assert_uint_eq(asked.count, 1);
  ck_assert_uint_eq(asked.ended, 1);
  ck_assert_uint_eq(asked.code, PSOCK_STATUS_UNAVAILABLE);
  let_go(&asked);
}
END_TEST

START_TEST(two_servers_may_say_the_same) {
  struct asked asked;
  psock_server *first = rig.server;
  ck_assert_int_eq(psock_server_new(rig.loop, NULL, &rig.server), 0);
  ck_assert_int_eq(psock_health_add(rig.health, rig.server), 0);
  psock_caller *second = connect_one(0);
  watch_by(second, &asked, "");
  set("", PSOCK_NOT_SERVING);
  ck_assert_uint_eq(asked.count, 2);
  assert_check("", PSOCK_STATUS_OK, PSOCK_NOT_SERVING);
  psock_server_free(first);
  settle();
  set("", PSOCK_SERVING);
  ck_assert_uint_eq(asked.count, 3);
  let_go(&asked);
  psock_caller_free(second);
}
END_TEST

START_TEST(a_name_has_at_most_255_bytes) {
  char name[257];
  struct asked asked;
  memset(name, 'a', sizeof name);
  name[256] = '\0';
  watch(&asked, name);
  ck_assert_uint_eq(asked.ended, 1);
  ck_assert_uint_eq(asked.code, PSOCK_STATUS_INVALID_ARGUMENT);
  ck_assert_uint_eq(asked.count, 0);
  let_go(&asked);
  assert_check(name, PSOCK_STATUS_NOT_FOUND, 0);
  name[255] = '\0';
  watch(&asked, name);
  ck_assert_uint_eq(asked.ended, 0);
  ck_assert_uint_eq(asked.count, 1);
  set(name, PSOCK_SERVING);
  ck_assert_uint_eq(asked.count, 2);
  let_go(&asked);
}
END_TEST

/* ---- Memory ---- */

START_TEST(without_memory_there_is_no_health) {
  psock_health *health = NULL;
  int error = PSOCK_ENOMEM;
  for (size_t i = 1; error != 0; i++) {
    alloc_fault_arm(&rig.fault, i, true);
    error = psock_health_new(rig.loop, &health);
    alloc_fault_disarm(&rig.fault);
    ck_assert(error == 0 || error == PSOCK_ENOMEM);
    ck_assert(i < 10 && (i > 2 || error != 0));
  }
  psock_health_free(health);
  psock_health_free(NULL);
}
END_TEST

START_TEST(without_memory_nothing_new_is_known) {
  alloc_fault_arm(&rig.fault, 1, true);
  ck_assert_int_eq(
      psock_health_set(rig.health, "a.B", PSOCK_SERVING), PSOCK_ENOMEM);
  /* What is known already needs none. */
  ck_assert_int_eq(psock_health_set(rig.health, "", PSOCK_NOT_SERVING), 0);
  alloc_fault_disarm(&rig.fault);
  assert_check("a.B", PSOCK_STATUS_NOT_FOUND, 0);
  assert_check("", PSOCK_STATUS_OK, PSOCK_NOT_SERVING);
}
END_TEST

/* One allocation after the other fails, from the start of a Watch on: it ends,
 * or is told everything. */
START_TEST(without_memory_a_watch_ends) {
  static const struct protosocket__rpc__health__watch__events events = {
      EVENTS, on_message};
  bool complete = false;
  for (size_t i = 1; !complete; i++) {
    struct asked asked = {.call = NULL};
    Request request = request_for("");
    psock_caller *caller = connect_one(0);
    alloc_fault_arm(&rig.fault, i, false);
    int error = protosocket__rpc__health__watch__start(
        caller, &request, NULL, &events, &asked, NULL);
    settle();
    bool refused = atomic_load(&rig.fault.refused) > 0;
    alloc_fault_disarm(&rig.fault);
    settle();
    complete = !refused;
    /* One that was not begun is made again. */
    psock_test_loop_advance(rig.loop, 1000000000u);
    settle();
    ck_assert(error == 0 || error == PSOCK_ENOMEM);
    ck_assert_msg((asked.ended + asked.count > 0) == (error == 0),
        "allocation %zu: started %d, %u answers, %u ends", i, error,
        asked.count, asked.ended);
    ck_assert(i < 50);
    psock_caller_free(caller);
    settle();
  }
}
END_TEST

/* ---- The suite ---- */

static TCase *rig_case(Suite *suite, const char *name) {
  TCase *tcase = guard_case(suite, name);
  tcase_add_checked_fixture(tcase, setup, teardown);
  return tcase;
}

int main(void) {
  Suite *suite = suite_create("health");
  TCase *tcase = rig_case(suite, "check");
  tcase_add_test(tcase, check_says_what_was_set);
  tcase_add_test(tcase, a_name_is_copied);
  tcase_add_test(tcase, fields_that_are_not_known_are_passed_over);
  tcase = rig_case(suite, "watch");
  tcase_add_test(tcase, a_watcher_is_told_at_once_and_then_each_change);
  tcase_add_test(tcase, what_is_not_known_may_come_to_be_known);
  tcase_add_test(tcase, a_watcher_is_told_of_its_service);
  tcase_add_test(tcase, a_slow_watcher_is_told_the_latest);
  tcase_add_loop_test(tcase, who_has_gone_is_told_no_more, 0, 2);
  tcase_add_test(tcase, a_drain_ends_watching);
  tcase_add_test(tcase, a_server_may_be_freed_with_watchers);
  tcase_add_test(tcase, two_servers_may_say_the_same);
  tcase_add_test(tcase, a_name_has_at_most_255_bytes);
  tcase = rig_case(suite, "memory");
  tcase_add_test(tcase, without_memory_there_is_no_health);
  tcase_add_test(tcase, without_memory_nothing_new_is_known);
  tcase_add_test(tcase, without_memory_a_watch_ends);
  return guard_main(suite);
}
