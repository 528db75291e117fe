/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/callers.h"

#include "rpc/caller_call.h"
#include "rpc/link.h"
#include <pthread.h>
#include <string.h>

/*
 * What seldom happens: options that are none, connections that close unseen,
 * threads that have no business here, ends inside ends, and requests that are
 * larger than what is left of a queue.
 */

static struct callers callers;
static struct trial trial;
static psock_caller *copy;
static const struct psock_method *const get = &trial__trial__get__method;
static const struct psock_method *const put = &trial__trial__put__method;
static const struct psock_method *const upload = &trial__trial__upload__method;

static void prepare(int own) {
  callers_init(&callers, own != 0);
  trial = (struct trial){.callers = NULL};
  copy = NULL;
  callers.connects = true;
}

static void open_with(int own) {
  prepare(own);
  callers_open(&callers);
}

static void finish(void) {
  if (trial.call != NULL)
    callers_unref(&trial);
  callers_free_caller(&callers);
  psock_caller_free(copy);
  callers_fini(&callers);
}

static struct psock_core *core_of(void) {
  return callers.caller->core;
}

/* ---- Options ---- */

static void no_size(struct psock_caller_options *options) {
  options->size = 0;
}

static void too_many(struct psock_caller_options *options) {
  options->max_calls = (1 << 20) + 1;
}

static void too_wide(struct psock_caller_options *options) {
  options->stream_window = ((size_t)1 << 62) + 1;
}

static void no_connection_size(struct psock_caller_options *options) {
  static const struct psock_connection_options connection = {.size = 0};
  options->connection = &connection;
}

static void no_limits_size(struct psock_caller_options *options) {
  static const struct psock_protobuf_options limits = {.size = 0};
  options->limits = &limits;
}

static void limits_too_large(struct psock_caller_options *options) {
  static const struct psock_protobuf_options limits = {
      .size = sizeof limits, .max_message = (size_t)2 << 30};
  options->limits = &limits;
}

static void not_own(struct psock_caller_options *options) {
  options->messages = &trial__trial__service;
}

static void not_own_either(struct psock_caller_options *options) {
  options->messages = &trial__other__service;
}

static void no_interceptors(struct psock_caller_options *options) {
  options->interceptor_count = 1;
}

static void no_interceptor_count(struct psock_caller_options *options) {
  static const struct psock_interceptor *const list[] = {NULL};
  options->interceptors = list;
}

static void interceptor_without_size(struct psock_caller_options *options) {
  static const struct psock_interceptor none = {.size = 0};
  static const struct psock_interceptor *const list[] = {&none};
  options->interceptors = list;
  options->interceptor_count = 1;
}

static void (*const invalid[])(struct psock_caller_options *options) = {no_size,
    too_many, too_wide, no_connection_size, no_limits_size, limits_too_large,
    not_own, not_own_either, no_interceptors, no_interceptor_count,
    interceptor_without_size};

START_TEST(test_invalid_options) {
  prepare(0);
  invalid[_i](&callers.options);
  ck_assert_int_eq(callers_try(&callers), PSOCK_EINVAL);
  callers.connects = false;
  ck_assert_int_eq(callers_try(&callers), PSOCK_EINVAL);
  ck_assert_ptr_null(callers.caller);
  ck_assert_int_eq(psock_caller_new(callers.loop, NULL, NULL, &callers.caller),
      PSOCK_EINVAL);
  callers_fini(&callers);
}
END_TEST

/* Of all options, those of an older caller of the function. */
START_TEST(test_old_options) {
  prepare(0);
  callers.options.size = offsetof(struct psock_caller_options, max_calls);
  callers.options.max_calls = 1;
  callers_open(&callers);
  ck_assert_uint_eq(core_of()->max_calls, 1024);
  ck_assert_uint_eq(core_of()->ping_after, 30 * SECOND);
  ck_assert_uint_eq(core_of()->timeout, 10 * SECOND);
  finish();
}
END_TEST

START_TEST(test_no_options) {
  prepare(0);
  struct psock_address address = {.length = 0};
  callers_open(&callers);
  psock_caller *other;
  ck_assert_int_eq(
      psock_caller_connect(callers.loop, &address, NULL, &other), 0);
  callers_settle(&callers);
  psock_caller_free(other);
  psock_caller_free(NULL);
  finish();
}
END_TEST

/* ---- Connections that close unseen ---- */

/* As the library does itself when not even a cancel can be sent. */
static void close_link(void) {
  psock_connection_close(core_of()->link->connection);
}

START_TEST(test_start_on_a_closing_link) {
  open_with(_i);
  close_link();
  const struct psock_method *method = _i ? callers_get(&callers) : put;
  callers_start(&callers, &trial, method, "text");
  ck_assert_uint_eq(callers.connects_seen, 2);
  ck_assert_str_eq(
      callers_last(callers_end(&callers), PSOCK_CODE_NORMAL)->text, "text");
  callers_reply(callers_end(&callers), trial.id, "answer", 1);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  finish();
}
END_TEST

/* With a way (1), without one (0), and a stream of requests (2). */
START_TEST(test_clone_on_a_closing_link) {
  open_with(0);
  ck_assert_int_eq(psock_caller_clone(callers.caller, &copy), 0);
  struct trial first = {.callers = NULL};
  if (_i == 1) {
    callers.started++;
    ck_assert_int_eq(
        callers_start_on(copy, &callers, &first, put, "text", NULL), 0);
    callers_settle(&callers);
    psock_call_cancel(first.call);
    callers_settle(&callers);
    psock_call_unref(first.call);
  }
  close_link();
  callers.started++;
  ck_assert_int_eq(callers_start_on(copy, &callers, &trial,
                       _i == 2 ? upload : put, _i == 2 ? NULL : "text", NULL),
      0);
  callers_settle(&callers);
  ck_assert_uint_eq(callers.connects_seen, 2);
  callers_reply(callers_end(&callers), trial.call->id, "answer", 1);
  callers_settle(&callers);
  callers_check_ended(&trial, PSOCK_STATUS_OK);
  finish();
}
END_TEST

/* The request can't be kept for the next one. */
START_TEST(test_closing_link_and_nothing_kept) {
  static char text[1000];
  memset(text, 'x', sizeof text - 1);
  prepare(0);
  callers.options.max_kept = 500;
  callers_open(&callers);
  close_link();
  ck_assert_int_eq(
      callers_try_start(&callers, &trial, put, text, NULL), PSOCK_EFULL);
  ck_assert_uint_eq(callers_stats(&callers).in_flight, 0);
  finish();
}
END_TEST

/* A start that fails before the connection is open. */
START_TEST(test_early_failure) {
  static char text[1000];
  static struct trial fill[64];
  unsigned count = 0;
  memset(text, 'x', sizeof text - 1);
  memset(fill, 0, sizeof fill);
  prepare(_i);
  callers.connection.max_queued = 5000;
  ck_assert_int_eq(callers_try(&callers), 0);
  ck_assert_int_eq(psock_caller_clone(callers.caller, &copy), 0);
  const struct psock_method *method = _i ? callers_get(&callers) : put;
  while (
      callers_start_on(copy, &callers, &fill[count], method, text, NULL) == 0)
    count++;
  callers.started += count;
  ck_assert_uint_eq(count, 4);
  ck_assert_uint_eq(callers_stats(&callers).in_flight, count);
  callers_settle(&callers);
  callers_free_caller(&callers);
  for (unsigned i = 0; i < count; i++)
    callers_unref(&fill[i]);
  finish();
}
END_TEST

/* ---- Interceptors ---- */

static bool loses;

static int lose_connection(
    void *data, psock_call *call, struct psock_status *ret_status) {
  (void)data;
  (void)call;
  (void)ret_status;
  if (!loses)
    return 0;
  loses = false;
  callers.inside--;
  psock_connection_free(core_of()->link->connection);
  callers.inside++;
  return 0;
}

static unsigned told;
static char seen[64];

static void count_told(
    void *data, psock_call *call, const struct psock_status *status) {
  struct psock_metadata entry;
  (void)data;
  (void)status;
  told++;
  seen[0] = '\0';
  for (size_t i = 0; psock_call_get_metadata_at(call, i, &entry) == 0; i++)
    strcat(strcat(seen, entry.key), " ");
}

static void open_with_interceptor(void) {
  static const struct psock_interceptor interceptor = {
      .size = sizeof interceptor,
      .begin = lose_connection,
      .ended = count_told};
  const struct psock_interceptor *const list[] = {&interceptor};
  prepare(0);
  loses = false;
  callers.options.interceptors = list;
  callers.options.interceptor_count = 1;
  callers_open(&callers);
}

/* The connection ends between the start's place and its sending. */
START_TEST(test_lost_by_an_interceptor) {
  const struct psock_method *const methods[] = {put, get, upload};
  const struct psock_method *method = methods[_i % 3];
  struct trial first = {.callers = NULL};
  open_with_interceptor();
  psock_caller *caller = callers.caller;
  if (_i / 3) {
    ck_assert_int_eq(psock_caller_clone(callers.caller, &copy), 0);
    caller = copy;
  }
  callers_start(&callers, &first, put, "of use");
  callers_reply(callers_end(&callers), first.id, "answer", 1);
  callers_settle(&callers);
  callers_unref(&first);
  loses = true;
  told = 0;
  callers.inside++;
  ck_assert_int_eq(callers_start_on(caller, &callers, &trial, method,
                       method == upload ? NULL : "text", NULL),
      0);
  callers.inside--;
  callers.started++;
  callers_settle(&callers);
  ck_assert_uint_eq(callers.connects_seen, 2);
  ck_assert_uint_eq(trial.ended, 0);
  finish();
  ck_assert_uint_eq(told, 1);
}
END_TEST

static void answer_with_metadata(
    struct callers_end *end, const struct callers_got *got) {
  const struct psock_metadata entry = {.key = "Key"};
  struct psock_rpc_frame frame = {
      .id = got->id, .metadata = &entry, .metadata_count = 1};
  if (got->code == PSOCK_CODE_NORMAL)
    callers_say(end, &frame);
}

/* What has come is shown to them, whoever waits, or is told. The keys are those
 * that the server likes. */
START_TEST(test_interceptor_sees_metadata) {
  const void *response;
  psock_call *call = NULL;
  open_with_interceptor();
  callers.on_got = answer_with_metadata;
  if (_i == 0) {
    callers_start(&callers, &trial, put, "text");
    callers_check_ended(&trial, PSOCK_STATUS_OK);
  } else if (_i == 1) {
    ck_assert_int_eq(psock_caller_run(callers.caller, put,
                         callers_request(put, "text"), NULL, &response, &call),
        0);
  } else {
    ck_assert_int_eq(psock_caller_open(callers.caller, put,
                         callers_request(put, "text"), NULL, &call),
        0);
    callers_settle(&callers);
  }
  ck_assert_str_eq(seen, "Key ");
  psock_call_unref(call);
  finish();
}
END_TEST

/* ---- Other threads ---- */

static void *try_on_a_thread(void *data) {
  psock_call *call = data;
  psock_call *none;
  const void *message;
  ck_assert_int_eq(psock_caller_start(callers.caller, put,
                       callers_request(put, "text"), NULL, NULL, NULL, NULL),
      PSOCK_ELOOPTHREAD);
  ck_assert_int_eq(psock_caller_open(callers.caller, put,
                       callers_request(put, "text"), NULL, &none),
      PSOCK_ELOOPTHREAD);
  ck_assert_int_eq(psock_call_receive(call, &message), PSOCK_ELOOPTHREAD);
  psock_call_ref(call);
  psock_call_cancel(call);
  psock_call_unref(call);
  return NULL;
}

static void *unref_on_a_thread(void *data) {
  psock_call_unref(data);
  return NULL;
}

static void run_thread(void *(*function)(void *data), void *data) {
  pthread_t thread;
  ck_assert_int_eq(pthread_create(&thread, NULL, function, data), 0);
  pthread_join(thread, NULL);
}

/* Calls of the first caller may be cancelled and given back anywhere. */
START_TEST(test_another_thread) {
  psock_call *call;
  open_with(0);
  ck_assert_int_eq(psock_caller_open(callers.caller, get,
                       callers_request(get, "text"), NULL, &call),
      0);
  callers_settle(&callers);
  run_thread(try_on_a_thread, call);
  callers_settle(&callers);
  ck_assert_uint_eq(psock_call_get_status(call)->code, PSOCK_STATUS_CANCELLED);
  run_thread(unref_on_a_thread, call);
  ck_assert_int_eq(psock_caller_open(callers.caller, get,
                       callers_request(get, "text"), NULL, &call),
      0);
  run_thread(unref_on_a_thread, call);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_stats(&callers).in_flight, 0);
  ck_assert_uint_eq(callers_count(callers_end(&callers), PSOCK_CODE_CANCEL), 2);
  finish();
}
END_TEST

/* ---- Ends inside ends ---- */

static void free_in_ended(struct trial *one, psock_call *call) {
  struct psock_caller_stats stats = callers_stats(one->callers);
  ck_assert_uint_eq(stats.stray, 1);
  (void)call;
  callers_free_caller(&callers);
  ck_assert_uint_eq(callers.ended, callers.started);
}

/* In so many ways a connection ends. */
enum way_to_end { RESET, TRUNCATED, TOO_BIG, MALFORMED, SILENT, CLOSED, WAYS };

static void end_link(enum way_to_end way) {
  static uint8_t value[300];
  struct psock_metadata entries[65];
  struct psock_rpc_frame frame = {.id = 4711, .code = PSOCK_CODE_CANCEL};
  struct callers_end *end = callers_end(&callers);
  if (way == RESET) {
    psock_memory_fail(end->memory, PSOCK_MEMORY_RECEIVE, 0, PSOCK_ERESET);
    callers_code(end, 4711, PSOCK_CODE_CANCEL);
  } else if (way == TOO_BIG) {
    callers_reply_data(end, 4711, 2000);
  } else if (way == MALFORMED) {
    for (int i = 0; i < 65; i++)
      entries[i] = (struct psock_metadata){.key = "k", .value = value};
    frame.metadata = entries;
    frame.metadata_count = 65;
    callers_say(end, &frame);
  } else if (way == SILENT) {
    psock_connection_pause(end->connection);
    for (int i = 0; i < 10; i++)
      callers_pass(&callers, SECOND);
  } else if (way == CLOSED) {
    psock_connection_close(end->connection);
  } else {
    psock_connection_free(end->connection);
  }
  callers_settle(&callers);
}

/* The other calls of a connection that has ended are told before freeing the
 * caller inside one of the ends returns. */
START_TEST(test_freed_while_the_link_ends) {
  static struct trial trials[4];
  enum way_to_end way = (enum way_to_end)(_i / 2);
  int own = _i % 2;
  struct psock_call_options options = {
      .size = sizeof options, .timeout = PSOCK_TIMEOUT_NONE};
  if (own && (way == MALFORMED || way == SILENT))
    return;
  memset(trials, 0, sizeof trials);
  prepare(own);
  callers.limits.max_message = 1000;
  callers.options.ping_after = SECOND;
  callers.options.ping_timeout = SECOND;
  callers_open(&callers);
  for (int i = 0; i < 4; i++)
    ck_assert_int_eq(callers_try_start(&callers, &trials[i],
                         own ? callers_get(&callers) : put, "text", &options),
        0);
  callers_settle(&callers);
  callers_reply(callers_end(&callers), 4711, "no call", 1);
  callers_settle(&callers);
  trials[1].on_ended = free_in_ended;
  end_link(way);
  for (int i = 0; i < 4; i++) {
    callers_check_ended(
        &trials[i], i < 2 ? PSOCK_STATUS_UNAVAILABLE : PSOCK_STATUS_CANCELLED);
    psock_call_unref(trials[i].call);
  }
  ck_assert_ptr_null(callers.caller);
  finish();
}
END_TEST

/* The same when the loop goes first. */
static void free_while_the_loop_ends(struct trial *one, psock_call *call) {
  psock_caller *caller = one->callers->caller;
  (void)call;
  one->callers->caller = NULL;
  psock_caller_free(caller);
  ck_assert_uint_eq(one->callers->ended, one->callers->started);
}

START_TEST(test_freed_while_the_loop_ends) {
  static struct trial trials[6];
  memset(trials, 0, sizeof trials);
  open_with(0);
  for (int i = 0; i < 3; i++)
    callers_start(&callers, &trials[i], put, "text");
  /* One that has ended, but has messages, and one that waits. */
  psock_call_pause(trials[2].call);
  callers_reply(callers_end(&callers), trials[2].id, "answer", 1);
  callers_settle(&callers);
  callers_start(&callers, &trials[3], get, "text");
  callers_fail(
      callers_end(&callers), trials[3].id, PSOCK_STATUS_UNAVAILABLE, false);
  callers_settle(&callers);
  trials[0].on_ended = free_while_the_loop_ends;
  psock_loop_free(callers.loop);
  ck_assert_ptr_null(callers.caller);
  for (int i = 0; i < 4; i++) {
    callers_check_ended(&trials[i], PSOCK_STATUS_CANCELLED);
    psock_call_unref(trials[i].call);
  }
  struct psock_loop_options options = {
      .size = sizeof options, .allocator = &callers.fault.allocator};
  ck_assert_int_eq(psock_test_loop_new(&options, &callers.loop), 0);
  finish();
}
END_TEST

static void just_free(struct trial *one, psock_call *call) {
  (void)one;
  (void)call;
  callers_free_caller(&callers);
}

/* A call that waits for a connection ends, and frees the caller. */
START_TEST(test_freed_while_waiting) {
  static struct trial trials[3];
  memset(trials, 0, sizeof trials);
  open_with(0);
  callers.open_error = PSOCK_EREFUSED;
  psock_connection_free(callers_end(&callers)->connection);
  callers_settle(&callers);
  struct psock_call_options options = {
      .size = sizeof options, .timeout = MILLISECOND};
  callers.connect_error = PSOCK_ENFILE;
  for (int i = 0; i < 3; i++) {
    ck_assert_int_eq(
        callers_try_start(&callers, &trials[i], get, "text", &options), 0);
    callers_settle(&callers);
  }
  trials[0].on_ended = just_free;
  callers_pass(&callers, MILLISECOND);
  for (int i = 0; i < 3; i++) {
    ck_assert_uint_eq(trials[i].ended, 1);
    psock_call_unref(trials[i].call);
  }
  finish();
}
END_TEST

static void closed_and_freed(void *data) {
  struct callers *all = data;
  psock_caller *caller = all->caller;
  all->closed++;
  all->caller = NULL;
  psock_caller_free(caller);
}

/* `closed` frees the caller that is just being freed. */
START_TEST(test_freed_twice) {
  open_with(_i);
  ck_assert_int_eq(
      psock_caller_close(callers.caller, closed_and_freed, &callers), 0);
  psock_caller *caller = callers.caller;
  psock_caller_free(caller);
  ck_assert_uint_eq(callers.closed, 1);
  ck_assert_ptr_null(callers.caller);
  finish();
}
END_TEST

START_TEST(test_close_without_telling) {
  open_with(_i);
  ck_assert_int_eq(psock_caller_close(callers.caller, NULL, NULL), 0);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_end(&callers)->closed, 1);
  finish();
}
END_TEST

/* ---- Room, at last ---- */

#define MANY 128

static struct trial fill[MANY];

/* A connection that takes `length` bytes of requests more, and no more than
 * that is read. */
static void open_narrow(size_t max_queued) {
  prepare(0);
  callers.capacity = 256;
  callers.connection.max_queued = max_queued;
  callers_open(&callers);
  psock_connection_pause(callers_end(&callers)->connection);
  callers_settle(&callers);
}

static const char *text_of(size_t length) {
  static char text[10000];
  memset(text, 'x', length);
  text[length] = '\0';
  return text;
}

/* Starts calls until not even a short one has room; returns how many. */
static unsigned fill_queue(void) {
  unsigned count = 0;
  memset(fill, 0, sizeof fill);
  for (size_t length = 1000; length <= 1000; length -= 1000)
    while (callers_try_start(
               &callers, &fill[count], put, text_of(length), NULL) == 0) {
      callers_settle(&callers);
      ck_assert_uint_lt(++count, MANY);
    }
  return count;
}

/* A request that is larger than what is left, though less than half is taken:
 * nobody is told of room before it fits. */
START_TEST(test_request_without_room) {
  open_narrow(5000);
  struct callers_end *end = callers_end(&callers);
  callers_start(&callers, &trial, upload, NULL);
  callers_settle(&callers);
  for (int i = 0; i < 2; i++)
    ck_assert_int_eq(
        psock_call_send(trial.call, callers_request(upload, text_of(1000))), 0);
  callers_settle(&callers);
  ck_assert_int_eq(
      psock_call_send(trial.call, callers_request(upload, text_of(4000))),
      PSOCK_EFULL);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.rooms, 0);
  psock_connection_resume(end->connection);
  callers_settle(&callers);
  ck_assert_uint_eq(trial.rooms, 1);
  ck_assert_int_eq(
      psock_call_send(trial.call, callers_request(upload, text_of(4000))), 0);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_MESSAGE), 3);
  finish();
}
END_TEST

/* The same for a start that waits: of a clone's stream (0), or of a call that
 * is sent again (1). */
START_TEST(test_start_without_room) {
  open_narrow(5000);
  struct callers_end *end = callers_end(&callers);
  if (_i) {
    callers_start(&callers, &trial, get, text_of(3500));
    psock_connection_resume(end->connection);
    callers_settle(&callers);
    psock_connection_pause(end->connection);
    callers_settle(&callers);
  } else {
    ck_assert_int_eq(psock_caller_clone(callers.caller, &copy), 0);
  }
  unsigned count = 0;
  memset(fill, 0, sizeof fill);
  if (_i)
    for (; count < 2; count++)
      callers_start(&callers, &fill[count], put, text_of(1000));
  else
    count = fill_queue();
  if (_i) {
    callers_fail(end, trial.id, PSOCK_STATUS_UNAVAILABLE, false);
    callers_settle(&callers);
    callers_pass(&callers, 50 * MILLISECOND);
  } else {
    callers.started++;
    ck_assert_int_eq(
        callers_start_on(copy, &callers, &trial, upload, NULL, NULL), 0);
    callers_settle(&callers);
  }
  ck_assert_int_eq(
      (int)psock_caller_call_of(trial.call)->state, (int)PSOCK_CALL_WAITING);
  psock_connection_resume(end->connection);
  callers_settle(&callers);
  ck_assert_int_eq(
      (int)psock_caller_call_of(trial.call)->state, (int)PSOCK_CALL_OPEN);
  for (unsigned i = 0; i < count; i++)
    callers_unref(&fill[i]);
  finish();
}
END_TEST

/* Room does not stand in for the server's first frame. */
START_TEST(test_room_before_hello) {
  prepare(0);
  callers.capacity = 256;
  callers.connection.max_queued = 5000;
  callers.silent = true;
  callers_open(&callers);
  struct callers_end *end = callers_end(&callers);
  psock_connection_pause(end->connection);
  callers_settle(&callers);
  unsigned count = fill_queue();
  callers_start(&callers, &trial, upload, NULL);
  /* Something waits for room. */
  for (unsigned i = 0; i < count; i++)
    psock_call_cancel(fill[i].call);
  callers_settle(&callers);
  psock_connection_resume(end->connection);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_CANCEL), count);
  ck_assert_uint_eq(trial.ended, 0);
  callers_hello(end, 0, 0);
  callers_settle(&callers);
  ck_assert_int_eq(
      (int)psock_caller_call_of(trial.call)->state, (int)PSOCK_CALL_OPEN);
  for (unsigned i = 0; i < count; i++)
    callers_unref(&fill[i]);
  finish();
}
END_TEST

/* What is kept is counted with what keeping it takes. */
START_TEST(test_small_kept_messages) {
  prepare(_i);
  callers.options.max_kept = 100000;
  callers_open(&callers);
  trial.number = _i != 0;
  callers_start(&callers, &trial, callers_download(&callers), "text");
  psock_call_pause(trial.call);
  size_t before = atomic_load(&callers.fault.bytes);
  unsigned sent = 0;
  while (trial.ended == 0) {
    callers_reply(callers_end(&callers), trial.id, "", sent);
    callers_settle(&callers);
    if (trial.ended == 0) {
      uint64_t kept = callers_stats(&callers).kept;
      ck_assert_uint_ge(
          kept + 65536, atomic_load(&callers.fault.bytes) - before);
    }
    ck_assert_uint_lt(++sent, 1000);
  }
  callers_check_ended(&trial, PSOCK_STATUS_RESOURCE_EXHAUSTED);
  finish();
}
END_TEST

/* GOAWAY finds no room, though no call is left. */
START_TEST(test_goaway_without_room) {
  open_narrow(5000);
  struct callers_end *end = callers_end(&callers);
  unsigned count = fill_queue();
  for (unsigned i = 0; i < count; i++) {
    callers_reply(end, fill[i].call->id, "at once", 1);
    callers_unref(&fill[i]);
  }
  callers_code(end, 0, PSOCK_CODE_GOAWAY);
  callers_settle(&callers);
  ck_assert_uint_eq(callers.ended, count);
  ck_assert_uint_eq(end->input_ended, 0);
  psock_connection_resume(end->connection);
  callers_settle(&callers);
  ck_assert_uint_eq(callers_count(end, PSOCK_CODE_NORMAL), count);
  ck_assert_uint_eq(end->got[end->count - 1].code, PSOCK_CODE_GOAWAY);
  ck_assert_uint_eq(end->closed, 1);
  finish();
}
END_TEST

/* A request that is too large to be kept in a struct for the next call. */
START_TEST(test_large_kept_request) {
  static char text[100000];
  memset(text, 'x', sizeof text - 1);
  open_with(0);
  for (int i = 0; i < 3; i++) {
    trial = (struct trial){.callers = NULL};
    callers_start(&callers, &trial, get, text);
    ck_assert_uint_ge(callers_stats(&callers).kept, sizeof text);
    callers_fail(
        callers_end(&callers), trial.id, PSOCK_STATUS_UNAVAILABLE, false);
    callers_settle(&callers);
    callers_pass(&callers, 50 * MILLISECOND);
    callers_reply(callers_end(&callers), trial.call->id, "answer", 1);
    callers_settle(&callers);
    callers_check_ended(&trial, PSOCK_STATUS_OK);
    callers_unref(&trial);
  }
  finish();
}
END_TEST

/* More come while some are read. */
START_TEST(test_inbox) {
  psock_call *call;
  const void *message;
  uint32_t sent = 0;
  open_with(0);
  const struct psock_method *method = callers_download(&callers);
  ck_assert_int_eq(psock_caller_open(callers.caller, method,
                       callers_request(method, "text"), NULL, &call),
      0);
  callers_settle(&callers);
  struct callers_end *end = callers_end(&callers);
  for (uint32_t i = 0; i < 200; i++) {
    while (sent < i + 1 + i % 23)
      callers_reply(end, call->id, "item", sent++);
    callers_settle(&callers);
    ck_assert_int_eq(psock_call_receive(call, &message), 1);
    ck_assert_uint_eq(((const Trial__Text *)message)->number, i);
  }
  psock_call_unref(call);
  finish();
}
END_TEST

int main(void) {
  Suite *suite = suite_create("caller_edges");
  TCase *tcase = guard_case(suite, "options");
  tcase_add_loop_test(
      tcase, test_invalid_options, 0, sizeof invalid / sizeof *invalid);
  tcase_add_test(tcase, test_old_options);
  tcase_add_test(tcase, test_no_options);
  tcase = guard_case(suite, "closing");
  tcase_add_loop_test(tcase, test_start_on_a_closing_link, 0, 2);
  tcase_add_loop_test(tcase, test_clone_on_a_closing_link, 0, 3);
  tcase_add_test(tcase, test_closing_link_and_nothing_kept);
  tcase_add_loop_test(tcase, test_early_failure, 0, 2);
  tcase = guard_case(suite, "interceptors");
  tcase_add_loop_test(tcase, test_lost_by_an_interceptor, 0, 6);
  tcase_add_loop_test(tcase, test_interceptor_sees_metadata, 0, 3);
  tcase = guard_case(suite, "threads");
  tcase_add_test(tcase, test_another_thread);
  tcase = guard_case(suite, "ends");
  tcase_add_loop_test(tcase, test_freed_while_the_link_ends, 0, 2 * WAYS);
  tcase_add_test(tcase, test_freed_while_the_loop_ends);
  tcase_add_test(tcase, test_freed_while_waiting);
  tcase_add_loop_test(tcase, test_freed_twice, 0, 2);
  tcase_add_loop_test(tcase, test_close_without_telling, 0, 2);
  tcase = guard_case(suite, "room");
  tcase_add_test(tcase, test_request_without_room);
  tcase_add_loop_test(tcase, test_start_without_room, 0, 2);
  tcase_add_test(tcase, test_room_before_hello);
  tcase_add_loop_test(tcase, test_small_kept_messages, 0, 2);
  tcase_add_test(tcase, test_goaway_without_room);
  tcase_add_test(tcase, test_large_kept_request);
  tcase_add_test(tcase, test_inbox);
  return guard_main(suite);
}
