/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/callers.h"

#include "rpc/call.h"
#include <string.h>

/*
 * Memory: what is done with calls when each single allocation fails, and that
 * in the long run none is made.
 */

static struct callers callers;
static const struct psock_method *const get = &trial__trial__get__method;
static const struct psock_method *const upload = &trial__trial__upload__method;

#define TRIALS 8
static struct trial trials[TRIALS];

static void note_closed(void *data) {
  struct callers *all = data;
  all->closed++;
}

/* Every end that it has says whatever belongs to what came. */
static void serve(struct callers_end *end, const struct callers_got *got) {
  const struct psock_metadata entry = {
      .key = "key", .value = (const uint8_t *)"value", .length = 5};
  struct psock_rpc_frame frame = {.id = got->id,
      .code = PSOCK_CODE_NORMAL,
      .metadata = callers.own ? NULL : &entry,
      .metadata_count = callers.own ? 0 : 1};
  if (callers.own || got->code != PSOCK_CODE_NORMAL)
    return;
  if (psock_face_send(&callers.face, end->sender, &frame, NULL) != 0)
    return;
  frame.code = PSOCK_CODE_END;
  if (got->method == trial__trial__download__method.number)
    (void)!psock_face_send(&callers.face, end->sender, &frame, NULL);
}

static void start(psock_caller *caller, struct trial *trial,
    const struct psock_method *method) {
  const struct psock_metadata entry = {
      .key = "key", .value = (const uint8_t *)"value", .length = 5};
  struct psock_call_options options = {.size = sizeof options,
      .timeout = SECOND,
      .metadata = callers.own ? NULL : &entry,
      .metadata_count = callers.own ? 0 : 1};
  bool sends = (method->flags & PSOCK_METHOD_CLIENT_STREAMS) != 0;
  if (caller == NULL)
    return;
  int error = callers_start_on(
      caller, &callers, trial, method, sends ? NULL : "text", &options);
  if (error == 0)
    callers.started++;
  else
    ck_assert_msg(error == PSOCK_ENOMEM || error == PSOCK_ECLOSED,
        "a start returns %s", psock_errname(error));
}

static void pause_it(struct trial *trial, psock_call *call) {
  (void)trial;
  psock_call_pause(call);
}

/* A bit of everything, of which anything may fail. */
static void live(bool own) {
  psock_caller *copy = NULL;
  psock_call *opened = NULL;
  const void *message;
  if (callers_try(&callers) != 0)
    return;
  callers_settle(&callers);
  start(callers.caller, &trials[0], callers_get(&callers));
  if (!own)
    start(callers.caller, &trials[1], upload);
  trials[2].on_message = pause_it;
  start(callers.caller, &trials[2], callers_download(&callers));
  callers_settle(&callers);
  if (trials[1].call != NULL)
    (void)!psock_call_send(trials[1].call, callers_request(upload, "text"));
  if (psock_caller_clone(callers.caller, &copy) != 0)
    copy = NULL;
  start(copy, &trials[3], callers_get(&callers));
  if (!own)
    start(copy, &trials[4], upload);
  callers_settle(&callers);
  if (psock_caller_open(callers.caller, callers_download(&callers),
          callers_request(callers_download(&callers), "text"), NULL,
          &opened) == 0) {
    for (int i = 0; i < 2 && psock_call_receive(opened, &message) > 0; i++)
      continue;
    psock_call_unref(opened);
  }
  for (int i = 0; i < TRIALS; i++)
    if (trials[i].call != NULL)
      psock_call_resume(trials[i].call);
  for (unsigned i = 0; i < callers.end_count; i++)
    psock_connection_free(callers.ends[i].connection);
  callers_settle(&callers);
  start(copy, &trials[5], own ? callers_get(&callers) : get);
  callers_settle(&callers);
  callers_pass(&callers, 500 * MILLISECOND);
  ck_assert_int_eq(
      psock_caller_close(callers.caller, note_closed, &callers), 0);
  callers_pass(&callers, SECOND);
  callers_pass(&callers, 10 * SECOND);
  psock_caller_free(copy);
}

/* Returns whether some allocation has failed. */
static bool fail_at(size_t at, bool own, bool onwards) {
  callers_init(&callers, own);
  memset(trials, 0, sizeof trials);
  callers.connects = true;
  callers.on_got = serve;
  alloc_fault_arm(&callers.fault, at, onwards);
  live(own);
  bool failed = atomic_load(&callers.fault.refused) > 0;
  alloc_fault_disarm(&callers.fault);
  callers_free_caller(&callers);
  for (int i = 0; i < TRIALS; i++)
    if (trials[i].call != NULL)
      callers_unref(&trials[i]);
  callers_fini(&callers);
  return failed;
}

START_TEST(test_each_allocation_fails) {
  size_t at = 1;
  while (fail_at(at, _i % 2, _i / 2))
    at++;
  ck_assert_uint_gt(at, 30);
}
END_TEST

/* ---- In the long run ---- */

static psock_caller *user;
static unsigned to_go;

static void again(struct trial *trial, psock_call *call) {
  (void)call;
  if (to_go == 0)
    return;
  to_go--;
  trial->ended = 0;
  const struct psock_method *method = callers_get(&callers);
  ck_assert_int_eq(callers_start_on(user, &callers, trial, method,
                       "a text of which there is more than nothing", NULL),
      0);
  psock_call_unref(trial->call);
  callers.started++;
}

static void run_some(unsigned count) {
  to_go = count;
  for (int i = 0; i < TRIALS; i++)
    again(&trials[i], NULL);
  callers_settle(&callers);
  ck_assert_uint_eq(to_go, 0);
}

/* 0, 1: the first caller, over Frames and own messages; 2, 3: a clone. */
START_TEST(test_steady) {
  psock_caller *copy = NULL;
  callers_init(&callers, _i % 2);
  memset(trials, 0, sizeof trials);
  for (int i = 0; i < TRIALS; i++)
    trials[i].on_ended = again;
  callers.forgetful = true;
  callers.on_got = callers_echo;
  callers_open(&callers);
  user = callers.caller;
  if (_i / 2) {
    ck_assert_int_eq(psock_caller_clone(callers.caller, &copy), 0);
    user = copy;
  }
  run_some(2000);
  alloc_fault_arm(&callers.fault, 0, false);
  run_some(5000);
  ck_assert_uint_eq(atomic_load(&callers.fault.calls), 0);
  alloc_fault_disarm(&callers.fault);
  psock_caller_free(copy);
  callers_fini(&callers);
}
END_TEST

/* Running calls needs what keeps the response, and gives it back. */
START_TEST(test_steady_run) {
  callers_init(&callers, _i);
  callers.forgetful = true;
  callers.on_got = callers_echo;
  callers_open(&callers);
  const struct psock_method *method = callers_get(&callers);
  size_t live_bytes = 0;
  for (int i = 0; i < 2000; i++) {
    const void *response;
    psock_call *call;
    ck_assert_int_eq(
        psock_caller_run(callers.caller, method,
            callers_request(method, "text"), NULL, &response, &call),
        0);
    psock_call_unref(call);
    if (i == 1000)
      live_bytes = atomic_load(&callers.fault.bytes);
  }
  ck_assert_uint_le(atomic_load(&callers.fault.bytes), live_bytes + 65536);
  callers_fini(&callers);
}
END_TEST

/* Structs that are kept for the next calls are no more than there may be
 * calls. */
START_TEST(test_spare) {
  static struct trial many[64];
  memset(many, 0, sizeof many);
  callers_init(&callers, false);
  callers.options.max_calls = 4;
  callers.on_got = callers_echo;
  callers_open(&callers);
  for (int i = 0; i < 64; i++)
    callers_start(&callers, &many[i], get, "text");
  size_t before = atomic_load(&callers.fault.live);
  for (int i = 0; i < 64; i++)
    callers_unref(&many[i]);
  ck_assert_uint_lt(atomic_load(&callers.fault.live), before - 50);
  callers_fini(&callers);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("caller_memory");
  TCase *tcase = guard_case(suite, "faults");
  tcase_set_timeout(tcase, 120);
  tcase_add_loop_test(tcase, test_each_allocation_fails, 0, 4);
  tcase = guard_case(suite, "steady");
  tcase_add_loop_test(tcase, test_steady, 0, 4);
  tcase_add_loop_test(tcase, test_steady_run, 0, 2);
  tcase_add_test(tcase, test_spare);
  return guard_main(suite);
}
