/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/callers.h"

#include "rpc/call.h"
#include <stdio.h>
#include <string.h>

/*
 * How calls start, and how they end: every answer there is, what comes beside
 * it, what a start refuses, and how long a call may take.
 */

static struct callers callers;
static struct trial trial;

static void open_with(int own) {
  callers_init(&callers, own != 0);
  trial = (struct trial){.callers = NULL};
  callers_open(&callers);
}

static void finish(void) {
  if (trial.call != NULL)
    callers_unref(&trial);
  callers_fini(&callers);
}

/* ---- Answers ---- */

static const struct {
  uint32_t code;
  uint32_t status; /* NO_STATUS: none */
  bool streams;
  bool own; /* own messages can say it, too */
  uint32_t ended;
} answers[] = {
    {PSOCK_CODE_CANCEL, NO_STATUS, false, true, PSOCK_STATUS_CANCELLED},
    {PSOCK_CODE_CANCEL, PSOCK_STATUS_OK, false, false, PSOCK_STATUS_UNKNOWN},
    {PSOCK_CODE_CANCEL, PSOCK_STATUS_NOT_FOUND, false, false,
        PSOCK_STATUS_NOT_FOUND},
    {PSOCK_CODE_CANCEL, 4711, false, false, 4711},
    {PSOCK_CODE_END, NO_STATUS, false, true, PSOCK_STATUS_INTERNAL},
    {PSOCK_CODE_END, PSOCK_STATUS_OK, false, false, PSOCK_STATUS_INTERNAL},
    {PSOCK_CODE_END, PSOCK_STATUS_ABORTED, false, false, PSOCK_STATUS_ABORTED},
    {PSOCK_CODE_END, NO_STATUS, true, true, PSOCK_STATUS_OK},
    {PSOCK_CODE_END, PSOCK_STATUS_OK, true, false, PSOCK_STATUS_OK},
    {PSOCK_CODE_END, PSOCK_STATUS_ABORTED, true, false, PSOCK_STATUS_ABORTED},
    {PSOCK_CODE_CANCEL, NO_STATUS, true, true, PSOCK_STATUS_CANCELLED},
    {PSOCK_CODE_MESSAGE, NO_STATUS, false, false, PSOCK_STATUS_CANCELLED},
    {PSOCK_CODE_HELLO, NO_STATUS, false, false, PSOCK_STATUS_CANCELLED},
    {3, PSOCK_STATUS_DATA_LOSS, false, false, PSOCK_STATUS_DATA_LOSS},
    {255, NO_STATUS, true, false, PSOCK_STATUS_CANCELLED},
};

static void answer(size_t i, int own) {
  if (own && !answers[i].own)
    return;
  open_with(own);
  bool streams = answers[i].streams;
  trial.number = streams;
  callers_start(&callers, &trial,
      streams ? callers_download(&callers) : callers_get(&callers), "text");
  struct psock_status status = psock_status_of(answers[i].status, "said so");
  status.details = (const uint8_t *)"more";
  status.details_length = 4;
  struct psock_rpc_frame frame = {.id = trial.id,
      .code = answers[i].code,
      .status = answers[i].status == NO_STATUS ? NULL : &status};
  callers_say(callers_end(&callers), &frame);
  callers_settle(&callers);
  callers_check_ended(&trial, answers[i].ended);
  /* It has ended at both ends: nothing is cancelled. */
  ck_assert_uint_eq(callers_count(callers_end(&callers), PSOCK_CODE_CANCEL), 0);
  const struct psock_status *kept = psock_call_get_status(trial.call);
  ck_assert_uint_eq(kept->code, answers[i].ended);
  if (answers[i].status == answers[i].ended && answers[i].ended != 0) {
    ck_assert_str_eq(kept->text, "said so");
    ck_assert_uint_eq(kept->details_length, 4);
    ck_assert_mem_eq(kept->details, "more", 4);
  }
  finish();
}

START_TEST(test_answer) {
  answer((size_t)_i, 0);
  answer((size_t)_i, 1);
}
END_TEST

START_TEST(test_undecodable) {
  open_with(0);
  callers_start(&callers, &trial,
      _i ? &trial__trial__download__method : &trial__trial__put__method,
      "text");
  struct psock_rpc_frame frame = {
      .id = trial.id, .payload = (const uint8_t *)"\377", .payload_length = 1};
  callers_say(callers_end(&callers), &frame);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_INTERNAL);
  /* The single one has ended the call at the server. */
  ck_assert_uint_eq(
      callers_count(callers_end(&callers), PSOCK_CODE_CANCEL), (size_t)_i);
  finish();
}
END_TEST

/* Ids that were never given out, or whose calls have ended. */
START_TEST(test_stray) {
  open_with(_i);
  callers_start(&callers, &trial, callers_get(&callers), "text");
  struct callers_end *end = callers_end(&callers);
  callers_reply(end, trial.id + 1, "no call", 1);
  callers_reply(end, UINT64_MAX, "no call", 1);
  callers_code(end, trial.id + 1024, PSOCK_CODE_CANCEL);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_stats(&callers).stray, 3);
  ck_assert_uint_eq(trial.ended, 0);
  callers_reply(end, trial.id, "answer", 1);
  callers_reply(end, trial.id, "answer", 1);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  ck_assert_uint_eq(callers_stats(&callers).stray, 4);
  finish();
}
END_TEST

/* The place of a call that has ended is used again, its id never. */
START_TEST(test_ids) {
  open_with(_i);
  uint64_t last = 0;
  for (int i = 0; i < 100; i++) {
    trial = (struct trial){.callers = NULL};
    callers_start(&callers, &trial, callers_get(&callers), "text");
    ck_assert_uint_gt(trial.id, last);
    last = trial.id;
    callers_reply(callers_end(&callers), trial.id, "answer", 1);
    callers_settle(&callers);
    callers_check_ended(&trial, PSOCK_STATUS_OK);
    callers_unref(&trial);
  }
  finish();
}
END_TEST

/* ---- Metadata ---- */

static void say_with_metadata(uint32_t code, const char *key) {
  const struct psock_metadata entries[] = {
      {.key = key, .value = (const uint8_t *)"value", .length = 5},
      {.key = "both", .value = (const uint8_t *)key, .length = strlen(key)},
  };
  struct psock_rpc_frame frame = {
      .id = trial.id, .code = code, .metadata = entries, .metadata_count = 2};
  callers_say(callers_end(&callers), &frame);
  callers_settle(&callers);
}

START_TEST(test_metadata_of_responses) {
  open_with(0);
  callers_start(&callers, &trial, &trial__trial__download__method, "text");
  say_with_metadata(PSOCK_CODE_NORMAL, "first");
  ck_assert_str_eq(trial.metadata, "first=value both=first ");
  say_with_metadata(PSOCK_CODE_NORMAL, "ignored");
  ck_assert_str_eq(trial.metadata, "first=value both=first ");
  say_with_metadata(PSOCK_CODE_END, "last");
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  ck_assert_str_eq(
      trial.metadata, "first=value both=first last=value both=last ");
  struct psock_metadata entry;
  ck_assert_int_eq(psock_call_get_metadata(trial.call, "last", &entry), 0);
  ck_assert_int_eq(psock_call_get_metadata_at(trial.call, 3, &entry), 0);
  ck_assert_int_eq(
      psock_call_get_metadata_at(trial.call, 4, &entry), PSOCK_ENOENT);
  finish();
}
END_TEST

START_TEST(test_metadata_of_the_end) {
  open_with(0);
  callers_start(&callers, &trial, &trial__trial__download__method, "text");
  if (_i)
    callers_reply(callers_end(&callers), trial.id, "without", 1);
  say_with_metadata(PSOCK_CODE_CANCEL, "last");
  callers_check_ended(&trial, PSOCK_STATUS_CANCELLED);
  ck_assert_str_eq(trial.metadata, "last=value both=last ");
  finish();
}
END_TEST

START_TEST(test_metadata_of_a_unary) {
  open_with(0);
  callers_start(&callers, &trial, &trial__trial__put__method, "text");
  say_with_metadata(PSOCK_CODE_NORMAL, "first");
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  ck_assert_str_eq(trial.metadata, "first=value both=first ");
  finish();
}
END_TEST

START_TEST(test_metadata_of_requests) {
  char key[] = "key";
  char value[] = "value";
  const struct psock_metadata entries[] = {
      {.key = key, .value = (const uint8_t *)value, .length = 5}};
  struct psock_call_options options = {.size = sizeof options,
      .timeout = SECOND,
      .metadata = entries,
      .metadata_count = 1};
  open_with(_i);
  int error = callers_try_start(
      &callers, &trial, callers_get(&callers), "text", &options);
  ck_assert_int_eq(error, _i ? PSOCK_ENOTSUP : 0);
  value[0] = 'x';
  callers_settle(&callers);
  if (!_i)
    ck_assert_str_eq(
        callers_last(callers_end(&callers), PSOCK_CODE_NORMAL)->metadata,
        "key=value ");
  if (!_i)
    ck_assert_int_eq(
        psock_call_add_metadata(trial.call, "key", "", 0), PSOCK_ENOTSUP);
  finish();
}
END_TEST

START_TEST(test_metadata_refused) {
  static uint8_t bytes[PSOCK_METADATA_BYTES];
  struct psock_metadata entries[65];
  struct psock_call_options options = {.size = sizeof options,
      .timeout = SECOND,
      .metadata = entries,
      .metadata_count = 1};
  open_with(0);
  const struct psock_method *method = callers_get(&callers);
  entries[0] = (struct psock_metadata){
      .key = "key", .value = bytes, .length = sizeof bytes};
  ck_assert_int_eq(
      callers_try_start(&callers, &trial, method, "text", &options),
      PSOCK_ETOOBIG);
  for (int i = 0; i < 65; i++)
    entries[i] = (struct psock_metadata){.key = "key"};
  options.metadata_count = 65;
  ck_assert_int_eq(
      callers_try_start(&callers, &trial, method, "text", &options),
      PSOCK_ETOOBIG);
  options.metadata_count = 1;
  entries[0].key = "Key";
  ck_assert_int_eq(
      callers_try_start(&callers, &trial, method, "text", &options),
      PSOCK_EINVAL);
  options.metadata = NULL;
  ck_assert_int_eq(
      callers_try_start(&callers, &trial, method, "text", &options),
      PSOCK_EINVAL);
  ck_assert_uint_eq(callers_stats(&callers).refused, 4);
  ck_assert_uint_eq(callers_stats(&callers).started, 0);
  ck_assert_uint_eq(callers_stats(&callers).in_flight, 0);
  finish();
}
END_TEST

/* ---- What a start refuses ---- */

START_TEST(test_start_invalid) {
  open_with(_i);
  const struct psock_method *method = callers_get(&callers);
  struct psock_call_options options = {.size = 0, .timeout = SECOND};
  ck_assert_int_eq(
      callers_try_start(&callers, &trial, method, "text", &options),
      PSOCK_EINVAL);
  options = (struct psock_call_options){.size = sizeof options};
  ck_assert_int_eq(
      callers_try_start(&callers, &trial, method, "text", &options),
      PSOCK_EINVAL);
  options.timeout = SECOND;
  ck_assert_int_eq(callers_try_start(&callers, &trial, method, NULL, &options),
      PSOCK_EINVAL);
  options.streams = 1;
  if (!_i)
    ck_assert_int_eq(
        callers_try_start(&callers, &trial, method, "text", &options),
        PSOCK_EINVAL);
  struct psock_call_events events = {.size = 0};
  ck_assert_int_eq(
      psock_caller_start(callers.caller, method,
          callers_request(method, "text"), NULL, &events, NULL, NULL),
      PSOCK_EINVAL);
  const struct psock_method *upload = &trial__trial__upload__method;
  ck_assert_int_eq(psock_caller_start(callers.caller, upload,
                       callers_request(upload, "text"), NULL, NULL, NULL, NULL),
      PSOCK_EINVAL);
  finish();
}
END_TEST

START_TEST(test_start_of_another_face) {
  open_with(_i);
  const struct psock_method *method =
      _i ? &trial__trial__get__method : &trial__ask__call__method;
  ck_assert_int_eq(
      callers_try_start(&callers, &trial, method, "text", NULL), PSOCK_ENOTSUP);
  finish();
}
END_TEST

START_TEST(test_start_too_big) {
  static char text[300];
  callers_init(&callers, _i != 0);
  trial = (struct trial){.callers = NULL};
  callers.limits.max_message = 200;
  callers_open(&callers);
  memset(text, 'x', sizeof text - 1);
  ck_assert_int_eq(
      callers_try_start(&callers, &trial, callers_get(&callers), text, NULL),
      PSOCK_ETOOBIG);
  ck_assert_uint_eq(callers_stats(&callers).in_flight, 0);
  finish();
}
END_TEST

START_TEST(test_start_too_big_for_the_peer) {
  static char text[300];
  callers_init(&callers, false);
  trial = (struct trial){.callers = NULL};
  callers.max_frame = 200;
  callers_open(&callers);
  memset(text, 'x', sizeof text - 1);
  const struct psock_method *method =
      _i ? &trial__trial__get__method : &trial__trial__put__method;
  ck_assert_int_eq(
      callers_try_start(&callers, &trial, method, text, NULL), PSOCK_ETOOBIG);
  text[100] = '\0';
  ck_assert_int_eq(callers_try_start(&callers, &trial, method, text, NULL), 0);
  finish();
}
END_TEST

START_TEST(test_start_full) {
  static struct trial trials[3];
  callers_init(&callers, _i != 0);
  trial = (struct trial){.callers = NULL};
  callers.options.max_calls = 2;
  callers_open(&callers);
  memset(trials, 0, sizeof trials);
  callers_start(&callers, &trials[0], callers_get(&callers), "text");
  callers_start(&callers, &trials[1], callers_get(&callers), "text");
  ck_assert_int_eq(callers_try_start(&callers, &trials[2],
                       callers_get(&callers), "text", NULL),
      PSOCK_EFULL);
  ck_assert_uint_eq(callers_stats(&callers).refused, 1);
  callers_reply(callers_end(&callers), trials[0].id, "answer", 1);
  callers_settle(&callers);
  callers_start(&callers, &trials[2], callers_get(&callers), "text");
  for (int i = 0; i < 3; i++)
    callers_unref(&trials[i]);
  finish();
}
END_TEST

/* The connection takes no more. */
START_TEST(test_start_queue_full) {
  static char text[1000];
  static struct trial trials[64];
  unsigned count = 0;
  int error = 0;
  memset(text, 'x', sizeof text - 1);
  memset(trials, 0, sizeof trials);
  callers_init(&callers, _i != 0);
  trial = (struct trial){.callers = NULL};
  callers.capacity = 1024;
  callers.connection.max_queued = 10000;
  callers_open(&callers);
  psock_connection_pause(callers_end(&callers)->connection);
  while (error == 0) {
    error = callers_try_start(
        &callers, &trials[count], callers_get(&callers), text, NULL);
    count += error == 0;
    callers_settle(&callers);
  }
  ck_assert_int_eq(error, PSOCK_EFULL);
  ck_assert_uint_ge(count, 9);
  ck_assert_uint_eq(callers_stats(&callers).in_flight, count);
  /* A cancel is never refused; it leaves when there is room. */
  for (unsigned i = 0; i < count; i++)
    psock_call_cancel(trials[i].call);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_stats(&callers).in_flight, 0);
  for (unsigned i = 0; i < count; i++) {
    callers_check_ended(&trials[i], PSOCK_STATUS_CANCELLED);
    callers_unref(&trials[i]);
  }
  ck_assert_uint_eq(callers_count(callers_end(&callers), PSOCK_CODE_CANCEL), 0);
  psock_connection_resume(callers_end(&callers)->connection);
  callers_settle(&callers);
  ck_assert_uint_eq(
      callers_count(callers_end(&callers), PSOCK_CODE_CANCEL), count);
  finish();
}
END_TEST

/* A place is not used again before its cancel has left. */
START_TEST(test_places_of_cancelled_calls) {
  static char text[1000];
  static struct trial trials[4];
  memset(text, 'x', sizeof text - 1);
  memset(trials, 0, sizeof trials);
  callers_init(&callers, _i != 0);
  trial = (struct trial){.callers = NULL};
  callers.capacity = 100;
  callers.options.max_calls = 2;
  /* Room for one start, and not for its cancel. */
  callers.connection.max_queued = 1100;
  callers_open(&callers);
  psock_connection_pause(callers_end(&callers)->connection);
  const struct psock_method *method =
      _i ? callers_get(&callers) : &trial__trial__put__method;
  callers_start(&callers, &trials[0], method, text);
  text[10] = '\0';
  while (callers_try_start(&callers, &trials[1], method, text, NULL) == 0) {
    psock_call_cancel(trials[1].call);
    callers_settle(&callers);
    callers_unref(&trials[1]);
    trials[1] = (struct trial){.callers = NULL};
  }
  ck_assert_uint_eq(callers_stats(&callers).in_flight, 1);
  psock_connection_resume(callers_end(&callers)->connection);
  callers_settle(&callers);
  trials[1] = (struct trial){.callers = NULL};
  callers_start(&callers, &trials[1], method, text);
  callers_unref(&trials[0]);
  callers_unref(&trials[1]);
  finish();
}
END_TEST

/* ---- Time ---- */

static uint64_t time_of(const struct psock_method *method, uint64_t timeout) {
  struct psock_call_options options = {
      .size = sizeof options, .timeout = timeout};
  struct trial one = {.callers = NULL};
  ck_assert_int_eq(
      callers_try_start(&callers, &one, method, "text", &options), 0);
  callers_settle(&callers);
  uint64_t time =
      callers_last(callers_end(&callers), PSOCK_CODE_NORMAL)->timeout_us;
  uint64_t left = psock_call_get_time_left(one.call);
  ck_assert_uint_eq(
      time, left == PSOCK_TIMEOUT_NONE ? 0 : left / 1000 + (left % 1000 > 0));
  psock_call_unref(one.call);
  callers_reply(callers_end(&callers), one.id, "answer", 1);
  callers_code(callers_end(&callers), one.id, PSOCK_CODE_END);
  callers_settle(&callers);
  return time;
}

START_TEST(test_timeouts) {
  const struct psock_method *put = &trial__trial__put__method;
  const struct psock_method *quick = &trial__trial__quick__method;
  const struct psock_method *download = &trial__trial__download__method;
  callers_init(&callers, false);
  trial = (struct trial){.callers = NULL};
  callers.options.timeout = 7 * SECOND;
  callers_open(&callers);
  ck_assert_uint_eq(time_of(put, PSOCK_TIMEOUT_DEFAULT), 7000000);
  ck_assert_uint_eq(time_of(put, PSOCK_TIMEOUT_NONE), 0);
  ck_assert_uint_eq(time_of(put, 1), 1);
  ck_assert_uint_eq(time_of(put, 1000), 1);
  ck_assert_uint_eq(time_of(put, 1001), 2);
  ck_assert_uint_eq(time_of(put, UINT64_MAX - 2), 0);
  ck_assert_uint_eq(time_of(quick, PSOCK_TIMEOUT_DEFAULT), 100000);
  ck_assert_uint_eq(time_of(quick, SECOND), 1000000);
  ck_assert_uint_eq(time_of(download, PSOCK_TIMEOUT_DEFAULT), 0);
  ck_assert_uint_eq(time_of(download, SECOND), 1000000);
  finish();
}
END_TEST

START_TEST(test_timeout_inside_a_handler) {
  const struct psock_method *put = &trial__trial__put__method;
  const struct psock_method *quick = &trial__trial__quick__method;
  const struct psock_method *download = &trial__trial__download__method;
  open_with(0);
  uint64_t now = psock_loop_now(callers.loop);
  struct psock_serving_state before =
      psock_serving_begin(callers.loop, now + 50 * MILLISECOND);
  ck_assert_uint_eq(time_of(put, PSOCK_TIMEOUT_DEFAULT), 50000);
  ck_assert_uint_eq(time_of(quick, PSOCK_TIMEOUT_DEFAULT), 50000);
  ck_assert_uint_eq(time_of(download, PSOCK_TIMEOUT_DEFAULT), 50000);
  ck_assert_uint_eq(time_of(put, SECOND), 1000000);
  psock_serving_end(before);
  before = psock_serving_begin(callers.loop, now + SECOND);
  ck_assert_uint_eq(time_of(quick, PSOCK_TIMEOUT_DEFAULT), 100000);
  psock_serving_end(before);
  before = psock_serving_begin(callers.loop, PSOCK_NEVER);
  ck_assert_uint_eq(time_of(quick, PSOCK_TIMEOUT_DEFAULT), 100000);
  psock_serving_end(before);
  /* With none left, it is not even sent. */
  size_t sent = callers_count(callers_end(&callers), PSOCK_CODE_NORMAL);
  before = psock_serving_begin(callers.loop, now);
  callers_start(&callers, &trial, put, "text");
  psock_serving_end(before);
  callers_check_ended(&trial, PSOCK_STATUS_DEADLINE_EXCEEDED);
  ck_assert_uint_eq(
      callers_count(callers_end(&callers), PSOCK_CODE_NORMAL), sent);
  finish();
}
END_TEST

/* Each at its own time, whatever the order. */
START_TEST(test_many_deadlines) {
  static struct trial trials[100];
  open_with(_i);
  memset(trials, 0, sizeof trials);
  for (unsigned i = 0; i < 100; i++) {
    struct psock_call_options options = {
        .size = sizeof options, .timeout = (1 + (i * 37) % 100) * MILLISECOND};
    ck_assert_int_eq(callers_try_start(&callers, &trials[i],
                         callers_get(&callers), "text", &options),
        0);
    callers_unref(&trials[i]);
  }
  callers_settle(&callers);
  for (unsigned i = 1; i <= 100; i++) {
    callers_pass(&callers, MILLISECOND);
    ck_assert_uint_eq(callers.ended, i);
  }
  ck_assert_uint_eq(
      callers_count(callers_end(&callers), PSOCK_CODE_CANCEL), 100);
  finish();
}
END_TEST

/* ---- Interceptors ---- */

static char noted[256];

static int begin(
    void *data, psock_call *call, struct psock_status *ret_status) {
  const char *name = data;
  strcat(noted, name);
  ck_assert_uint_eq(ret_status->code, PSOCK_STATUS_OK);
  if (!callers.own)
    ck_assert_int_eq(psock_call_add_metadata(call, name, "1", 1), 0);
  else
    ck_assert_int_eq(
        psock_call_add_metadata(call, name, "1", 1), PSOCK_ENOTSUP);
  ck_assert_ptr_eq(psock_call_get_method(call), callers_get(&callers));
  if (strcmp(name, "refuses") != 0)
    return 0;
  ret_status->code = PSOCK_STATUS_UNAUTHENTICATED;
  ret_status->text = "no";
  return 1;
}

static void ended(
    void *data, psock_call *call, const struct psock_status *status) {
  strcat(noted, "/");
  strcat(noted, data);
  ck_assert_ptr_eq(psock_call_get_status(call), status);
  ck_assert_uint_eq(trial.ended, 0);
  snprintf(trial.reason, sizeof trial.reason, "%u", status->code);
}

static char name_one[] = "one";
static char name_two[] = "two";
static char name_refuses[] = "refuses";
static const struct psock_interceptor one = {
    .size = sizeof one, .begin = begin, .ended = ended, .data = name_one};
static const struct psock_interceptor two = {
    .size = sizeof two, .begin = begin, .ended = ended, .data = name_two};
static const struct psock_interceptor refuses = {.size = sizeof refuses,
    .begin = begin,
    .ended = ended,
    .data = name_refuses};

static void open_with_interceptors(
    int own, const struct psock_interceptor *last) {
  const struct psock_interceptor *list[] = {&one, &two, last};
  callers_init(&callers, own != 0);
  trial = (struct trial){.callers = NULL};
  noted[0] = '\0';
  callers.options.interceptors = list;
  callers.options.interceptor_count = last == NULL ? 2 : 3;
  ck_assert_int_eq(callers_try(&callers), 0);
  memset(list, 0, sizeof list);
  callers_settle(&callers);
}

START_TEST(test_interceptors) {
  open_with_interceptors(_i, NULL);
  callers_start(&callers, &trial, callers_get(&callers), "text");
  ck_assert_str_eq(noted, "onetwo");
  if (!_i)
    ck_assert_str_eq(
        callers_last(callers_end(&callers), PSOCK_CODE_NORMAL)->metadata,
        "one=1 two=1 ");
  callers_reply(callers_end(&callers), trial.id, "answer", 1);
  callers_settle(&callers);
  ck_assert_str_eq(noted, "onetwo/two/one");
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  finish();
}
END_TEST

START_TEST(test_interceptor_refuses) {
  open_with_interceptors(_i, &refuses);
  callers_start(&callers, &trial, callers_get(&callers), "text");
  callers_check_ended(&trial, PSOCK_STATUS_UNAUTHENTICATED);
  ck_assert_str_eq(trial.reason, "no");
  ck_assert_str_eq(noted, "onetworefuses/two/one");
  ck_assert_uint_eq(callers_count(callers_end(&callers), PSOCK_CODE_NORMAL), 0);
  ck_assert_uint_eq(callers_stats(&callers).failed, 1);
  finish();
}
END_TEST

/* The start fails behind them: they are told, nobody else is. */
START_TEST(test_interceptors_of_a_failed_start) {
  static char text[300];
  open_with_interceptors(_i, NULL);
  callers_fini(&callers);
  const struct psock_interceptor *list[] = {&one};
  callers_init(&callers, _i != 0);
  noted[0] = '\0';
  callers.options.interceptors = list;
  callers.options.interceptor_count = 1;
  callers.limits.max_message = 200;
  callers_open(&callers);
  memset(text, 'x', sizeof text - 1);
  ck_assert_int_eq(
      callers_try_start(&callers, &trial, callers_get(&callers), text, NULL),
      PSOCK_ETOOBIG);
  ck_assert_str_eq(noted, "one");
  callers_settle(&callers);
  ck_assert_str_eq(noted, "one/one");
  ck_assert_str_eq(trial.reason, "8");
  ck_assert_uint_eq(callers_stats(&callers).in_flight, 0);
  ck_assert_uint_eq(callers_stats(&callers).started, 0);
  ck_assert_uint_eq(callers_stats(&callers).ended, 0);
  ck_assert_uint_eq(callers_stats(&callers).refused, 1);
  finish();
}
END_TEST

int main(void) {
  Suite *suite = suite_create("caller_answers");
  TCase *tcase = guard_case(suite, "answers");
  tcase_add_loop_test(tcase, test_answer, 0, sizeof answers / sizeof *answers);
  tcase_add_loop_test(tcase, test_undecodable, 0, 2);
  tcase_add_loop_test(tcase, test_stray, 0, 2);
  tcase_add_loop_test(tcase, test_ids, 0, 2);
  tcase = guard_case(suite, "metadata");
  tcase_add_test(tcase, test_metadata_of_responses);
  tcase_add_loop_test(tcase, test_metadata_of_the_end, 0, 2);
  tcase_add_test(tcase, test_metadata_of_a_unary);
  tcase_add_loop_test(tcase, test_metadata_of_requests, 0, 2);
  tcase_add_test(tcase, test_metadata_refused);
  tcase = guard_case(suite, "start");
  tcase_add_loop_test(tcase, test_start_invalid, 0, 2);
  tcase_add_loop_test(tcase, test_start_of_another_face, 0, 2);
  tcase_add_loop_test(tcase, test_start_too_big, 0, 2);
  tcase_add_loop_test(tcase, test_start_too_big_for_the_peer, 0, 2);
  tcase_add_loop_test(tcase, test_start_full, 0, 2);
  tcase_add_loop_test(tcase, test_start_queue_full, 0, 2);
  tcase_add_loop_test(tcase, test_places_of_cancelled_calls, 0, 2);
  tcase = guard_case(suite, "time");
  tcase_add_test(tcase, test_timeouts);
  tcase_add_test(tcase, test_timeout_inside_a_handler);
  tcase_add_loop_test(tcase, test_many_deadlines, 0, 2);
  tcase = guard_case(suite, "interceptors");
  tcase_add_loop_test(tcase, test_interceptors, 0, 2);
  tcase_add_loop_test(tcase, test_interceptor_refuses, 0, 2);
  tcase_add_loop_test(tcase, test_interceptors_of_a_failed_start, 0, 2);
  return guard_main(suite);
}
