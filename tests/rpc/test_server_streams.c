/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/calls.h"

#include <string.h>

/*
 * Responses that stream, and answers that have no room: windows, the
 * connection's queue, turns, and what must never be refused. A test with _i
 * runs over Frames (0) and over own messages (1).
 */

#define KIB ((size_t)1024)

/* A handler that sends items for ever, and goes on when there is room. */
struct source {
  psock_call *call;
  uint32_t sent;
  uint32_t most;
  size_t item; /* bytes of data in each */
  bool ends;   /* after `most` items */
};

static struct source sources[8];
static uint8_t data[KIB * KIB];

static struct source *source_of(psock_call *call) {
  for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
    if (sources[i].call == call)
      return &sources[i];
  return NULL;
}

static void produce(struct calls *calls, struct source *source) {
  while (source->sent < source->most) {
    int error =
        calls_send_data(calls, source->call, source->sent, data, source->item);
    if (error == PSOCK_EFULL)
      return;
    DEMAND(error == 0, "a send says %d", error);
    source->sent++;
  }
  if (!source->ends)
    return;
  ck_assert_int_eq(psock_call_end(source->call, NULL), 0);
  source->call = NULL; /* What is there next is another call. */
}

static void on_room(struct calls *calls, psock_call *call) {
  produce(calls, source_of(call));
}

/* `number` is the source. */
static void stream(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  sources[number].call = call;
  calls_watch(calls, call);
  produce(calls, &sources[number]);
}

static void prepare(struct calls *calls, bool own) {
  calls_init(calls, own);
  calls->handle = stream;
  calls->on_room = on_room;
  memset(sources, 0, sizeof sources);
  sources[0].most = UINT32_MAX;
  sources[0].item = 100;
}

static size_t bytes_of(const struct calls_peer *peer, uint64_t id) {
  size_t bytes = 0;
  for (size_t i = 0; i < peer->count; i++)
    if (peer->got[i].id == id)
      bytes += peer->got[i].length;
  return bytes;
}

static size_t queued(const struct calls *calls) {
  struct psock_loop_stats stats = {.size = sizeof stats};
  psock_loop_get_stats(calls->loop, &stats);
  return stats.held;
}

START_TEST(the_window_is_kept) {
  struct calls calls;
  prepare(&calls, false);
  calls_open_silent(&calls);
  calls_hello(&calls.peer, 1000, 0);
  calls_start(&calls.peer, 1, calls_download(&calls), "", 0);
  calls_settle(&calls);
  size_t one = calls_last(&calls.peer, 1)->length;
  size_t bytes = bytes_of(&calls.peer, 1);
  ck_assert_uint_ge(bytes, 1000);
  ck_assert_uint_lt(bytes - one, 1000);
  ck_assert_uint_eq(calls.rooms, 0);
  /* What doesn't lift it above 0 is no room. */
  calls_window(&calls.peer, 1, bytes - 1000);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.rooms, 0);
  ck_assert_uint_eq(bytes_of(&calls.peer, 1), bytes);
  ck_assert_int_eq(calls_send(&calls, sources[0].call, "", 0), PSOCK_EFULL);
  calls_window(&calls.peer, 1, 1);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.rooms, 1);
  ck_assert_uint_eq(bytes_of(&calls.peer, 1), bytes + one);
  calls_fini(&calls);
}
END_TEST

START_TEST(a_large_item_is_sent_whole) {
  struct calls calls;
  prepare(&calls, false);
  sources[0].item = 5000;
  calls_open_silent(&calls);
  calls_hello(&calls.peer, 10, 0);
  calls_start(&calls.peer, 1, calls_download(&calls), "", 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls_count(&calls.peer, 1), 1);
  ck_assert_uint_eq(calls_last(&calls.peer, 1)->data_length, 5000);
  calls_window(&calls.peer, 1, 4000);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.rooms, 0);
  calls_fini(&calls);
}
END_TEST

START_TEST(the_default_window) {
  struct calls calls;
  prepare(&calls, false);
  calls_open(&calls);
  calls_start(&calls.peer, 1, calls_download(&calls), "", 0);
  calls_settle(&calls);
  size_t bytes = bytes_of(&calls.peer, 1);
  ck_assert_uint_ge(bytes, 256 * KIB);
  ck_assert_uint_lt(bytes, 257 * KIB);
  calls_fini(&calls);
}
END_TEST

static void watch(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  (void)number;
  calls_watch(calls, call);
  calls->data = call;
}

START_TEST(a_window_beyond_all) {
  struct calls calls;
  prepare(&calls, false);
  calls.handle = watch;
  calls_open_silent(&calls);
  calls_hello(&calls.peer, 1000, 0);
  calls_start(&calls.peer, 1, calls_download(&calls), "", 0);
  calls_window(&calls.peer, 1, (UINT64_C(1) << 62) - 1000);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.ended.count, 0);
  calls_window(&calls.peer, 1, _i == 0 ? 1 : UINT64_MAX);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.ended.count, 1);
  ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_INTERNAL);
  calls_check_failed(&calls.peer, 1, PSOCK_STATUS_INTERNAL);
  calls_fini(&calls);
}
END_TEST

/* A peer that reads nothing: a stream stops at what a producer should queue,
 * 256 KiB, not at all that the queue takes; and goes on when it is read. */
START_TEST(a_reader_that_rests) {
  struct calls calls;
  prepare(&calls, _i == 1);
  calls.capacity = 4 * KIB;
  calls_open_silent(&calls);
  psock_connection_pause(calls.peer.connection);
  calls_start(&calls.peer, 1, calls_download(&calls), "", 0);
  calls_settle(&calls);
  ck_assert_uint_ge(sources[0].sent * 100, 230 * KIB);
  ck_assert_uint_lt(sources[0].sent * 100, 256 * KIB);
  ck_assert_uint_lt(queued(&calls), 700 * KIB);
  unsigned rooms = calls.rooms;
  uint32_t before = sources[0].sent;
  sources[0].most = before + 2000;
  sources[0].ends = true;
  psock_connection_resume(calls.peer.connection);
  calls_settle(&calls);
  ck_assert_uint_gt(calls.rooms, rooms);
  ck_assert_uint_eq(
      calls_count_code(&calls.peer, 1, PSOCK_CODE_NORMAL), before + 2000);
  ck_assert_uint_eq(calls_last(&calls.peer, 1)->code, PSOCK_CODE_END);
  ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_OK);
  calls_fini(&calls);
}
END_TEST

/* Streams that want room take turns, whoever came first. */
START_TEST(turns) {
  struct calls calls;
  prepare(&calls, _i == 1);
  calls.capacity = 64 * KIB;
  for (int i = 0; i < 4; i++)
    sources[i] = (struct source){.most = UINT32_MAX, .item = 1000};
  calls_open_silent(&calls);
  for (uint32_t i = 0; i < 4; i++)
    calls_start(&calls.peer, i + 1, calls_download(&calls), "", i);
  calls.peer.forgetful = true;
  for (int i = 0; i < 20000 && calls.rooms < 4000; i++)
    psock_test_loop_turn(calls.loop);
  uint32_t least = UINT32_MAX;
  uint32_t most = 0;
  for (int i = 0; i < 4; i++) {
    least = sources[i].sent < least ? sources[i].sent : least;
    most = sources[i].sent > most ? sources[i].sent : most;
  }
  ck_assert_uint_gt(least, 1000);
  ck_assert_uint_lt(most, least + least / 4 + 600);
  calls_fini(&calls);
}
END_TEST

/* Items that are nearly as large as the queue: what is refused waits until it
 * has room, and does nothing meanwhile. */
START_TEST(items_as_large_as_the_queue) {
  struct calls calls;
  prepare(&calls, _i == 1);
  /* 3 of 7 KiB leave; the rest is less than half a queue, but two are more
   * than a whole one. */
  calls.capacity = 3 * KIB;
  calls.connection.max_queued = 10 * KIB;
  for (int i = 0; i < 3; i++)
    sources[i] = (struct source){.most = 20, .item = 7 * KIB, .ends = true};
  sources[1].item = 10;
  calls_open_silent(&calls);
  psock_connection_pause(calls.peer.connection);
  for (uint32_t i = 0; i < 3; i++)
    calls_start(&calls.peer, i + 1, calls_download(&calls), "", i);
  calls_settle(&calls);
  unsigned rooms = calls.rooms;
  for (int i = 0; i < 10; i++)
    calls_settle(&calls);
  ck_assert_uint_eq(calls.rooms, rooms);
  psock_connection_resume(calls.peer.connection);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.ended.count, 3);
  for (uint64_t id = 1; id <= 3; id++)
    ck_assert_uint_eq(calls_count(&calls.peer, id), 21);
  calls_fini(&calls);
}
END_TEST

static void rest_and_go(struct calls_peer *peer, const struct calls_got *got) {
  (void)got;
  /* A reader that often does something else. */
  if (peer->count % 5000 == 0)
    psock_connection_pause(peer->connection);
}

START_TEST(a_million_items) {
  struct calls calls;
  prepare(&calls, _i == 1);
  sources[0] = (struct source){.most = 1000000, .item = 20, .ends = true};
  calls.capacity = 64 * KIB;
  calls_open_silent(&calls);
  calls.peer.forgetful = true;
  calls.peer.on_got = rest_and_go;
  calls_start(&calls.peer, 1, calls_download(&calls), "", 0);
  size_t most = 0;
  for (int i = 0; i < 1000000 && calls.ended.count == 0; i++) {
    psock_test_loop_turn(calls.loop);
    size_t now = atomic_load(&calls.fault.bytes);
    most = now > most ? now : most;
    if (i % 7 == 0)
      psock_connection_resume(calls.peer.connection);
  }
  ck_assert_uint_eq(calls.ended.count, 1);
  while (calls.peer.count < 1000001) {
    psock_connection_resume(calls.peer.connection);
    DEMAND(psock_test_loop_turn(calls.loop) > 0, "it rests too early");
  }
  ck_assert_uint_lt(most, 2 * KIB * KIB);
  calls_fini(&calls);
}
END_TEST

/* ---- What is never refused ---- */

/* Fills the queue, but for a few bytes. */
static void fill_queue(struct calls *calls) {
  psock_connection *connection = psock_call_get_connection(calls->data);
  psock_sender *sender = psock_connection_get_sender(connection);
  Trial__Text text;
  Trial__Answer answer;
  trial__text__init(&text);
  trial__answer__init(&answer);
  text.data.data = answer.data.data = data;
  for (size_t length = 1000; length > 0; length = length / 10) {
    int error = 0;
    text.data.len = answer.data.len = length;
    struct psock_rpc_frame frame = {
        .id = 999, .type = &trial__text__type, .message = &text};
    while (error == 0)
      error = psock_send(
          sender, calls->own ? (const void *)&answer : (const void *)&frame);
    ck_assert_int_eq(error, PSOCK_EFULL);
  }
}

/* The same with what lies behind it, so that nothing moves any more. */
static void fill(struct calls *calls) {
  fill_queue(calls);
  calls_settle(calls);
  fill_queue(calls);
}

static void refer(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  (void)number;
  calls_watch(calls, call);
  calls->data = call;
}

/* A call whose connection has no room for anything. */
static void prepare_full(struct calls *calls, bool own, size_t max_kept) {
  calls_init(calls, own);
  calls->handle = refer;
  calls->capacity = KIB;
  calls->connection.max_queued = 16 * KIB;
  calls->options.max_kept = max_kept;
  calls_open(calls);
  psock_connection_pause(calls->peer.connection);
  calls_start(&calls->peer, 1, calls_get(calls), "", 0);
  calls_settle(calls);
  fill(calls);
}

static void let_flow(struct calls *calls) {
  psock_connection_resume(calls->peer.connection);
  calls_settle(calls);
}

START_TEST(a_reply_is_kept) {
  struct calls calls;
  prepare_full(&calls, _i == 1, 0);
  ck_assert_int_eq(calls_reply(&calls, calls.data, "kept", 7), 0);
  ck_assert_ptr_nonnull(psock_call_get_status(calls.data));
  ck_assert_uint_gt(calls_stats(&calls).kept, 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.ended.count, 1);
  ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_OK);
  ck_assert_uint_eq(calls_count(&calls.peer, 1), 0);
  let_flow(&calls);
  ck_assert_uint_eq(calls_count(&calls.peer, 1), 1);
  ck_assert_str_eq(calls_last(&calls.peer, 1)->text, "kept");
  ck_assert_uint_eq(calls_last(&calls.peer, 1)->number, 7);
  ck_assert_uint_eq(calls_stats(&calls).kept, 0);
  calls_fini(&calls);
}
END_TEST

/* The struct of a call whose response was kept is used again, for one that has
 * nothing but a cancel to send. */
START_TEST(a_cancel_behind_a_kept_reply) {
  struct calls calls;
  prepare_full(&calls, _i == 1, 0);
  ck_assert_int_eq(calls_reply(&calls, calls.data, "kept", 7), 0);
  let_flow(&calls);
  calls_start(&calls.peer, 2, calls_get(&calls), "", 0);
  calls_settle(&calls);
  psock_connection_pause(calls.peer.connection);
  fill(&calls);
  psock_call_cancel(calls.data);
  let_flow(&calls);
  ck_assert_uint_eq(calls_last(&calls.peer, 1)->number, 7);
  ck_assert_uint_eq(calls_count(&calls.peer, 2), 1);
  calls_check_failed(&calls.peer, 2, NO_STATUS);
  calls_fini(&calls);
}
END_TEST

START_TEST(an_empty_reply_is_kept) {
  struct calls calls;
  prepare_full(&calls, _i == 1, 0);
  ck_assert_int_eq(calls_reply(&calls, calls.data, "", 0), 0);
  let_flow(&calls);
  ck_assert_uint_eq(calls_count(&calls.peer, 1), 1);
  ck_assert_uint_eq(calls_last(&calls.peer, 1)->code, PSOCK_CODE_NORMAL);
  calls_fini(&calls);
}
END_TEST

START_TEST(a_reply_too_many) {
  struct calls calls;
  prepare_full(&calls, _i == 1, 8);
  ck_assert_int_eq(calls_reply(&calls, calls.data, "not kept", 7), PSOCK_EFULL);
  ck_assert_uint_eq(calls_stats(&calls).kept, 0);
  let_flow(&calls);
  ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_RESOURCE_EXHAUSTED);
  calls_check_failed(&calls.peer, 1, PSOCK_STATUS_RESOURCE_EXHAUSTED);
  calls_fini(&calls);
}
END_TEST

START_TEST(a_kept_reply_is_lost_with_its_connection) {
  struct calls calls;
  prepare_full(&calls, _i == 1, 0);
  ck_assert_int_eq(calls_reply(&calls, calls.data, "kept", 7), 0);
  if (_i == 0)
    calls_settle(&calls);
  psock_connection_free(psock_call_get_connection(calls.data));
  ck_assert_uint_eq(calls.ended.count, 1);
  ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_OK);
  calls_fini(&calls);
}
END_TEST

/* 0: end, 1: fail, 2: cancel, 3: the caller's cancel, 4: the deadline; and 5
 * more over own messages. */
START_TEST(an_end_waits_for_room) {
  struct calls calls;
  bool own = _i >= 5;
  int how = _i % 5;
  calls_init(&calls, own);
  calls.handle = refer;
  calls.capacity = KIB;
  calls.connection.max_queued = 16 * KIB;
  calls.connection.when_full = PSOCK_WHEN_FULL_READ;
  calls.options.timeout = SECOND;
  calls_open(&calls);
  psock_connection_pause(calls.peer.connection);
  calls_start(&calls.peer, 1, calls_download(&calls), "", 0);
  calls_settle(&calls);
  fill(&calls);
  if (how == 0)
    ck_assert_int_eq(psock_call_end(calls.data, NULL), 0);
  else if (how == 1)
    ck_assert_int_eq(psock_call_fail(calls.data, 77, "why"), 0);
  else if (how == 2)
    psock_call_cancel(calls.data);
  else if (how == 3)
    calls_cancel(&calls.peer, 1);
  else
    psock_test_loop_advance(calls.loop, SECOND);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.ended.count, 1);
  ck_assert_uint_eq(calls_stats(&calls).in_flight, 0);
  ck_assert_uint_eq(calls_count(&calls.peer, 1), 0);
  /* Its struct is not used again before. */
  calls_start(&calls.peer, 2, calls_download(&calls), "", 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.served, 2);
  let_flow(&calls);
  ck_assert_uint_eq(calls_count(&calls.peer, 1), 1);
  const struct calls_got *last = calls_last(&calls.peer, 1);
  static const uint32_t statuses[] = {
      NO_STATUS, 77, NO_STATUS, NO_STATUS, PSOCK_STATUS_DEADLINE_EXCEEDED};
  ck_assert_uint_eq(last->code, how == 0 ? PSOCK_CODE_END : PSOCK_CODE_CANCEL);
  ck_assert_uint_eq(last->status, own ? NO_STATUS : statuses[how]);
  if (how == 1 && !own)
    ck_assert_str_eq(last->reason, "why");
  calls_fini(&calls);
}
END_TEST

/* Refusals of a peer that reads nothing, where input isn't paused. */
START_TEST(refusals_wait_for_room) {
  struct calls calls;
  bool own = _i == 1;
  calls_init(&calls, own);
  calls.handle = refer;
  calls.capacity = 64 * KIB;
  calls.connection.max_queued = 16 * KIB;
  calls.connection.when_full = PSOCK_WHEN_FULL_READ;
  calls.options.max_calls = 1;
  calls_open(&calls);
  psock_connection_pause(calls.peer.connection);
  calls_start(&calls.peer, 1, calls_get(&calls), "", 0);
  calls_settle(&calls);
  fill(&calls);
  for (uint64_t id = 2; id < 502; id++)
    calls_start(&calls.peer, id, calls_get(&calls), "", 0);
  calls_settle(&calls);
  ck_assert_uint_eq(calls.served, 1);
  let_flow(&calls);
  for (uint64_t id = 2; id < 502; id++) {
    ck_assert_uint_eq(calls_count(&calls.peer, id), 1);
    calls_check_failed(&calls.peer, id, PSOCK_STATUS_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(calls_last(&calls.peer, id)->not_begun, !own);
  }
  ck_assert_uint_eq(calls_stats(&calls).refused, 500);
  calls_fini(&calls);
}
END_TEST

/* Whoever goes on all the same is cut. */
START_TEST(refusals_are_bounded) {
  struct calls calls;
  calls_init(&calls, _i == 1);
  calls.handle = refer;
  calls.capacity = KIB * KIB;
  calls.connection.max_queued = 16 * KIB;
  calls.connection.when_full = PSOCK_WHEN_FULL_READ;
  calls.options.max_calls = 1;
  calls.connection.close_timeout = SECOND;
  calls_open(&calls);
  psock_connection_pause(calls.peer.connection);
  calls_start(&calls.peer, 1, calls_get(&calls), "", 0);
  calls_settle(&calls);
  fill(&calls);
  psock_memory_limit_send(calls.peer.memory, 1);
  size_t before = atomic_load(&calls.fault.bytes);
  for (uint64_t id = 2; id < 10002; id++)
    calls_start(&calls.peer, id, calls_get(&calls), "", 0);
  calls_settle(&calls);
  ck_assert_uint_lt(atomic_load(&calls.fault.bytes), before + 4 * KIB * KIB);
  calls_pass(&calls, SECOND);
  ck_assert_uint_eq(calls_stats(&calls).connections, 0);
  ck_assert_uint_eq(calls.ended.count, 1);
  calls_fini(&calls);
}
END_TEST

/* ---- What is too large ---- */

static void reply_large(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  Trial__Text response;
  trial__text__init(&response);
  response.data.data = data;
  response.data.len = number;
  calls->inside++;
  int error = psock_call_reply(call, &response);
  calls->inside--;
  ck_assert_int_eq(error, number > 1000 ? PSOCK_ETOOBIG : 0);
}

START_TEST(a_reply_too_large) {
  struct calls calls;
  calls_init(&calls, false);
  calls.handle = reply_large;
  calls_open_silent(&calls);
  calls_hello(&calls.peer, 0, 1200);
  calls_start(&calls.peer, 1, calls_get(&calls), "", 1000);
  calls_start(&calls.peer, 2, calls_get(&calls), "", 1300);
  calls_settle(&calls);
  ck_assert_uint_eq(calls_last(&calls.peer, 1)->data_length, 1000);
  calls_check_failed(&calls.peer, 2, PSOCK_STATUS_RESOURCE_EXHAUSTED);
  calls_fini(&calls);
}
END_TEST

static void send_large(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  ck_assert_int_eq(calls_send_data(calls, call, 0, data, 10), 0);
  ck_assert_int_eq(calls_send_data(calls, call, 0, data, number),
      number > 1000 ? PSOCK_ETOOBIG : 0);
}

START_TEST(an_item_too_large) {
  struct calls calls;
  calls_init(&calls, false);
  calls.handle = send_large;
  calls_open_silent(&calls);
  calls_hello(&calls.peer, 0, 1200);
  calls_start(&calls.peer, 1, calls_download(&calls), "", 1300);
  calls_start(&calls.peer, 2, calls_download(&calls), "", 1000);
  calls_settle(&calls);
  calls_check_failed(&calls.peer, 1, PSOCK_STATUS_RESOURCE_EXHAUSTED);
  calls_check_failed(&calls.peer, 2, PSOCK_STATUS_INTERNAL);
  calls_fini(&calls);
}
END_TEST

static void fail_at_length(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)calls;
  (void)text;
  (void)number;
  static char long_text[3000];
  memset(long_text, 'x', sizeof long_text - 1);
  ck_assert_int_eq(psock_call_fail(call, PSOCK_STATUS_DATA_LOSS, long_text), 0);
}

START_TEST(a_text_too_large) {
  struct calls calls;
  calls_init(&calls, false);
  calls.handle = fail_at_length;
  calls_open_silent(&calls);
  calls_hello(&calls.peer, 0, _i == 0 ? 1200 : 1);
  calls_start(&calls.peer, 1, calls_get(&calls), "", 0);
  calls_settle(&calls);
  calls_check_failed(&calls.peer, 1, PSOCK_STATUS_DATA_LOSS);
  ck_assert_str_eq(calls_last(&calls.peer, 1)->reason, "");
  calls_fini(&calls);
}
END_TEST

/* The same when there is no room for it either. */
START_TEST(a_text_too_large_waits) {
  struct calls calls;
  calls_init(&calls, false);
  calls.handle = refer;
  calls.capacity = KIB;
  calls.connection.max_queued = 16 * KIB;
  calls_open_silent(&calls);
  calls_hello(&calls.peer, 0, 1200);
  psock_connection_pause(calls.peer.connection);
  calls_start(&calls.peer, 1, calls_get(&calls), "", 0);
  calls_settle(&calls);
  fill(&calls);
  ck_assert_int_eq(psock_call_add_metadata(calls.data, "key", "value", 5), 0);
  fail_at_length(&calls, calls.data, NULL, 0);
  let_flow(&calls);
  calls_check_failed(&calls.peer, 1, PSOCK_STATUS_DATA_LOSS);
  ck_assert_str_eq(calls_last(&calls.peer, 1)->reason, "");
  ck_assert_uint_eq(calls.ended.code, PSOCK_STATUS_DATA_LOSS);
  ck_assert_uint_gt(strlen(calls.ended.text), 50);
  calls_fini(&calls);
}
END_TEST

static Suite *suite(void) {
  Suite *suite = suite_create("server_streams");
  TCase *tcase = guard_case(suite, "windows");
  tcase_add_test(tcase, the_window_is_kept);
  tcase_add_test(tcase, a_large_item_is_sent_whole);
  tcase_add_test(tcase, the_default_window);
  tcase_add_loop_test(tcase, a_window_beyond_all, 0, 2);
  tcase = guard_case(suite, "room");
  tcase_add_loop_test(tcase, a_reader_that_rests, 0, 2);
  tcase_add_loop_test(tcase, turns, 0, 2);
  tcase_add_loop_test(tcase, items_as_large_as_the_queue, 0, 2);
  tcase_add_loop_test(tcase, a_million_items, 0, 2);
  tcase = guard_case(suite, "never_refused");
  tcase_add_loop_test(tcase, a_reply_is_kept, 0, 2);
  tcase_add_loop_test(tcase, a_cancel_behind_a_kept_reply, 0, 2);
  tcase_add_loop_test(tcase, an_empty_reply_is_kept, 0, 2);
  tcase_add_loop_test(tcase, a_reply_too_many, 0, 2);
  tcase_add_loop_test(tcase, a_kept_reply_is_lost_with_its_connection, 0, 2);
  tcase_add_loop_test(tcase, an_end_waits_for_room, 0, 10);
  tcase_add_loop_test(tcase, refusals_wait_for_room, 0, 2);
  tcase_add_loop_test(tcase, refusals_are_bounded, 0, 2);
  tcase = guard_case(suite, "too_large");
  tcase_add_test(tcase, a_reply_too_large);
  tcase_add_test(tcase, an_item_too_large);
  tcase_add_loop_test(tcase, a_text_too_large, 0, 2);
  tcase_add_test(tcase, a_text_too_large_waits);
  return suite;
}

int main(void) {
  return guard_main(suite());
}
