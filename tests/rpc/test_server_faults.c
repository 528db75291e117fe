/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/calls.h"

#include <stdlib.h>
#include <string.h>

/*
 * A server's memory: every allocation fails once, or from some moment on, and
 * nothing worse comes of it than a call or a connection that ends; and the
 * usual way needs none at all.
 */

static psock_call *kept[64];
static unsigned kept_count;

static void handle(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  switch (number) {
  case 0: /* an answer, with metadata */
    if (psock_call_add_metadata(call, "key", "value", 5) == PSOCK_EINVAL)
      return;
    calls_reply(calls, call, text == NULL ? "" : text, 0);
    break;
  case 1: /* a failure, with a text that is copied */
    psock_call_fail(call, PSOCK_STATUS_ABORTED, "a text that is copied");
    break;
  case 2: /* later, with what it has asked for */
    if (psock_call_hold(call) != 0)
      return;
    kept[kept_count++] = psock_call_ref(call);
    break;
  case 3: /* on another thread, as far as the library knows */
    if (psock_call_share(call) != 0)
      return;
    calls_watch(calls, call);
    kept[kept_count++] = psock_call_ref(call);
    break;
  default: /* some items, and then no room */
    while (calls_send(calls, call, "item", 0) == 0)
      continue;
    calls_watch(calls, call);
    break;
  }
}

static void handle_stream(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  if (text != NULL) {
    handle(calls, call, text, number);
    return;
  }
  calls_watch(calls, call);
  psock_call_pause(call);
  kept[kept_count++] = psock_call_ref(call);
}

/* Whatever the peer may ask for; a part of it may not come to be. */
static void talk(struct calls *calls) {
  struct calls_peer *peer = &calls->peer;
  for (uint64_t id = 1; id <= 4; id++)
    calls_start(peer, id, calls_get(calls), "text", (uint32_t)id - 1);
  calls_start(peer, 5, calls_download(calls), "text", 4);
  if (!calls->own) {
    calls_start(peer, 6, &trial__trial__upload__method, "", 0);
    calls_start(peer, 7, &trial__trial__quick__method, "", 0);
    for (int i = 0; i < 3; i++)
      calls_request(peer, 6, "request");
  }
  for (uint64_t id = 100; id < 120; id++)
    calls_start(peer, id, calls_get(calls), "text", 2);
  calls_settle(calls);
}

static void finish(struct calls *calls) {
  for (unsigned i = 0; i < kept_count; i++) {
    psock_call_resume(kept[i]);
    if (i % 2 == 0)
      calls_reply(calls, kept[i], "late", 0);
    psock_call_unref(kept[i]);
  }
  calls_settle(calls);
  if (calls->peer.connection != NULL)
    psock_connection_close(calls->peer.connection);
  calls_settle(calls);
}

static int try(struct calls *calls) {
  int error = calls_try_server(calls);
  if (error == 0)
    error = calls_try_peer(calls, &calls->peer);
  if (error != 0)
    return error;
  calls_settle(calls);
  if (!calls->own)
    calls_hello(&calls->peer, 500, 0);
  calls_settle(calls);
  talk(calls);
  finish(calls);
  return 0;
}

/* One run with the allocation number `at` failing; returns whether so many were
 * needed. */
static bool run(bool own, size_t at, bool onwards) {
  struct calls calls;
  kept_count = 0;
  calls_init(&calls, own);
  calls.lenient = true;
  calls.connection.max_queued = 8192;
  calls.handle = handle_stream;
  alloc_fault_arm(&calls.fault, at, onwards);
  int error = try(&calls);
  bool met = atomic_load(&calls.fault.refused) > 0;
  DEMAND(error == 0 || error == PSOCK_ENOMEM, "it says %d", error);
  alloc_fault_disarm(&calls.fault);
  calls_fini(&calls);
  return met;
}

START_TEST(every_allocation_fails) {
  size_t at = 1;
  while (run(_i % 2 == 1, at, _i >= 2))
    at++;
  ck_assert_uint_gt(at, 20);
}
END_TEST

/* ---- The usual way ---- */

static void answer(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  if (psock_call_get_method(call) == &trial__trial__download__method) {
    for (uint32_t i = 0; i < number; i++)
      ck_assert_int_eq(calls_send(calls, call, text, i), 0);
    ck_assert_int_eq(psock_call_end(call, NULL), 0);
  } else {
    calls_reply(calls, call, text, number);
  }
}

static void start_many(
    struct calls *calls, const struct psock_method *method, uint64_t *id) {
  for (int i = 0; i < 300; i++)
    calls_start(&calls->peer, (*id)++, method, "text", 1);
  calls_settle(calls);
}

static int begin(
    void *data, psock_call *call, struct psock_status *ret_status) {
  (void)data;
  (void)call;
  (void)ret_status;
  return 0;
}

static int allow(void *data, psock_call *call,
    const struct psock_method *method, struct psock_status *ret_status) {
  (void)data;
  (void)call;
  (void)method;
  (void)ret_status;
  return 0;
}

/* 0, 1: unary; 2: a stream that is over at once; 3: with an interceptor, and
 * somebody who is asked. More calls come at once than there are spare structs
 * for. */
START_TEST(no_allocation) {
  static const struct psock_interceptor interceptor = {
      .size = sizeof interceptor, .begin = begin};
  static const struct psock_interceptor *const list[] = {&interceptor};
  struct calls calls;
  uint64_t id = 1;
  calls_init(&calls, _i == 1);
  calls.handle = answer;
  if (_i == 3) {
    calls.options.authorize = allow;
    calls.options.interceptors = list;
    calls.options.interceptor_count = 1;
  }
  calls_open(&calls);
  calls.peer.forgetful = true;
  const struct psock_method *method =
      _i == 2 ? calls_download(&calls) : calls_get(&calls);
  start_many(&calls, method, &id);
  start_many(&calls, method, &id);
  alloc_fault_arm(&calls.fault, 0, false);
  for (int round = 0; round < 20; round++)
    start_many(&calls, method, &id);
  ck_assert_uint_eq(atomic_load(&calls.fault.calls), 0);
  calls_fini(&calls);
}
END_TEST

static psock_call *later;

static void refer(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)calls;
  (void)text;
  (void)number;
  later = psock_call_ref(call);
}

/* A call that is answered later needs none either, once there was one. */
START_TEST(no_allocation_for_later) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = refer;
  calls_open(&calls);
  calls.peer.forgetful = true;
  for (uint64_t id = 1; id <= 100; id++) {
    calls_start(&calls.peer, id, calls_get(&calls), "text", 0);
    calls_settle(&calls);
    calls_reply(&calls, later, "", 0);
    psock_call_unref(later);
    calls_settle(&calls);
    if (id == 10)
      alloc_fault_arm(&calls.fault, 0, false);
  }
  ck_assert_uint_eq(atomic_load(&calls.fault.calls), 0);
  calls_fini(&calls);
}
END_TEST

/* What many calls at once have needed is given back, but for some structs. */
START_TEST(memory_comes_back) {
  struct calls calls;
  static psock_call *all[1000];
  calls_init(&calls, _i == 1);
  calls.handle = refer;
  calls_open(&calls);
  calls.peer.forgetful = true;
  size_t before = 0;
  for (int round = 0; round < 3; round++) {
    for (uint64_t i = 0; i < 1000; i++) {
      calls_start(
          &calls.peer, (i + 1) * 0x100000001, calls_get(&calls), "text", 0);
      calls_settle(&calls);
      all[i] = later;
    }
    for (int i = 0; i < 1000; i++) {
      calls_reply(&calls, all[i], "", 0);
      psock_call_unref(all[i]);
    }
    calls_settle(&calls);
    if (round == 0)
      before = atomic_load(&calls.fault.live);
  }
  ck_assert_uint_le(atomic_load(&calls.fault.live), before + 10);
  ck_assert_uint_le(before, 200);
  calls_fini(&calls);
}
END_TEST

static Suite *suite(void) {
  Suite *suite = suite_create("server_faults");
  TCase *tcase = guard_case(suite, "memory");
  tcase_add_loop_test(tcase, every_allocation_fails, 0, 4);
  tcase_add_loop_test(tcase, no_allocation, 0, 4);
  tcase_add_loop_test(tcase, no_allocation_for_later, 0, 2);
  tcase_add_loop_test(tcase, memory_comes_back, 0, 2);
  return suite;
}

int main(void) {
  return guard_main(suite());
}
