/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/rig.h"

#include <stdlib.h>
#include <string.h>

/*
 * What a reader of the code found before a test did: a long line must not be
 * received byte by byte; output has its budget over a whole turn; pausing never
 * calls back; what is freed from its last callbacks has been told closed when
 * that returns; a drain ends; a transport of the user's may say anything.
 *
 * One connection over memory, whose peer is the bare transport.
 */

struct edge {
  psock_loop *loop;
  psock_transport *transport; /* the connection's */
  psock_transport *peer;
  psock_connection *connection;
  struct psock_text_codec codec;
  struct psock_reactor_ops ops;
  struct psock_connection_options options;
  unsigned messages;
  unsigned closed;
  int reason;
  struct psock_connection_stats last;
};

static void count_message(
    void *state, psock_connection *connection, const void *message) {
  (void)connection;
  (void)message;
  ((struct edge *)state)->messages++;
}

static void note_closed(void *state, psock_connection *connection, int reason) {
  struct edge *edge = state;
  edge->last.size = sizeof edge->last;
  psock_connection_get_stats(connection, &edge->last);
  edge->connection = NULL;
  edge->reason = reason;
  edge->closed++;
}

static void edge_init(struct edge *edge, size_t capacity) {
  *edge = (struct edge){.messages = 0};
  ck_assert_int_eq(psock_test_loop_new(NULL, &edge->loop), 0);
  ck_assert_int_eq(
      psock_memory_pair(edge->loop, capacity, &edge->transport, &edge->peer),
      0);
  psock_text_codec_init(&edge->codec, 0);
  edge->ops = (struct psock_reactor_ops){.size = sizeof edge->ops,
      .message = count_message,
      .closed = note_closed};
  edge->options = (struct psock_connection_options){
      .size = sizeof edge->options,
      .inbound = &edge->codec.codec,
      .outbound = &edge->codec.codec,
      .reactor = {.ops = &edge->ops, .state = edge},
  };
}

static void edge_open(struct edge *edge) {
  ck_assert_int_eq(psock_connection_new(edge->loop, edge->transport,
                       &edge->options, &edge->connection),
      0);
  ck_assert_int_eq(psock_test_loop_settle(edge->loop, 100), 1);
}

static void edge_fini(struct edge *edge) {
  psock_connection_free(edge->connection);
  ck_assert_uint_eq(edge->closed, 1);
  edge->peer->ops->free(edge->peer);
  psock_loop_free(edge->loop);
}

static void peer_sends(struct edge *edge, const char *bytes, size_t length) {
  struct iovec vector = {(void *)(uintptr_t)bytes, length};
  ck_assert_int_eq(
      edge->peer->ops->send(edge->peer, &vector, 1), (ssize_t)length);
}

START_TEST(a_long_line_takes_few_receives) {
  static const size_t lengths[] = {300000, 4 << 20, 12 << 20};
  size_t length = lengths[_i];
  struct edge edge;
  edge_init(&edge, length + 2);
  psock_line_codec_init(&edge.codec, 16 << 20);
  edge_open(&edge);
  char *line = malloc(length + 1);
  memset(line, 'x', length);
  line[length] = '\n';
  peer_sends(&edge, line, length + 1);
  free(line);
  ck_assert_int_eq(psock_test_loop_settle(edge.loop, 1000), 1);
  ck_assert_uint_eq(edge.messages, 1);
  psock_connection_free(edge.connection);
  ck_assert_uint_lt(edge.last.receives, length / (32 << 10) + 32);
  edge_fini(&edge);
}
END_TEST

static void answer_much(
    void *state, psock_connection *connection, const void *message) {
  static char much[100000];
  struct psock_text text = {.text = much, .length = sizeof much};
  count_message(state, connection, message);
  (void)!psock_send(psock_connection_get_sender(connection), &text);
}

START_TEST(output_has_its_budget_over_a_turn) {
  struct edge edge;
  edge_init(&edge, 64 << 20);
  edge.ops.message = answer_much;
  edge.options.batch_bytes = 200000;
  edge_open(&edge);
  for (int i = 0; i < 200; i++)
    peer_sends(&edge, "\001x", 2);
  struct psock_connection_stats stats = {.size = sizeof stats};
  uint64_t before = 0;
  while (psock_test_loop_turn(edge.loop) > 0) {
    psock_connection_get_stats(edge.connection, &stats);
    /* The memory pair makes two entries of a turn: readiness, and the task. */
    ck_assert_uint_le(stats.bytes_out - before, 2 * 300010);
    before = stats.bytes_out;
  }
  ck_assert_uint_eq(edge.messages, 200);
  ck_assert_uint_eq(stats.messages_out, 200);
  edge_fini(&edge);
}
END_TEST

START_TEST(pause_never_calls_back) {
  struct edge edge;
  edge_init(&edge, 100);
  edge_open(&edge);
  psock_memory_fail(edge.transport, PSOCK_MEMORY_WATCH, 0, PSOCK_ENOMEM);
  psock_connection_pause(edge.connection);
  ck_assert_uint_eq(edge.closed, 0);
  psock_test_loop_settle(edge.loop, 100);
  ck_assert_uint_eq(edge.closed, 1);
  ck_assert_int_eq(edge.reason, PSOCK_ENOMEM);
  edge_fini(&edge);
}
END_TEST

START_TEST(pause_before_it_is_open) {
  struct edge edge;
  edge_init(&edge, 100);
  ck_assert_int_eq(psock_connection_new(edge.loop, edge.transport,
                       &edge.options, &edge.connection),
      0);
  psock_connection_pause(edge.connection);
  peer_sends(&edge, "\001x", 2);
  ck_assert_int_eq(psock_test_loop_settle(edge.loop, 100), 1);
  ck_assert_uint_eq(edge.messages, 0);
  psock_connection_resume(edge.connection);
  ck_assert_int_eq(psock_test_loop_settle(edge.loop, 100), 1);
  ck_assert_uint_eq(edge.messages, 1);
  edge_fini(&edge);
}
END_TEST

static void free_in_records(void *state, psock_connection *connection,
    const struct psock_record *records, size_t count) {
  struct edge *edge = state;
  (void)records;
  (void)count;
  ck_assert_uint_eq(edge->closed, 0);
  psock_connection_free(connection);
  ck_assert_uint_eq(edge->closed, 1);
}

static struct edge *released_edge;

static void free_in_release(void *data) {
  psock_connection *connection = released_edge->connection;
  (void)data;
  psock_connection_free(connection);
  ck_assert_uint_eq(released_edge->closed, 1);
}

/* The connection is freed while it settles its end. */
START_TEST(free_while_it_ends) {
  static char large[20000];
  struct psock_text text = {.text = large, .length = sizeof large};
  const void *message = &text;
  struct psock_record record = {.word = 1};
  struct psock_send_options send = {.size = sizeof send};
  struct edge edge;
  edge_init(&edge, 100);
  released_edge = &edge;
  if (_i == 0) {
    edge.ops.records = free_in_records;
    send.record = &record;
  } else {
    send.release = free_in_release;
  }
  /* Not yet open, so that everything is still queued when it ends. */
  ck_assert_int_eq(psock_connection_new(edge.loop, edge.transport,
                       &edge.options, &edge.connection),
      0);
  ck_assert_int_eq(psock_send_many(psock_connection_get_sender(edge.connection),
                       &message, 1, &send),
      0);
  psock_connection_free(edge.connection);
  edge_fini(&edge);
}
END_TEST

static void count_writable(void *data) {
  ++*(unsigned *)data;
}

/* Whoever asks to be told only after the refusal is told all the same. */
START_TEST(writable_set_after_the_refusal) {
  char bytes[90];
  struct psock_text text = {.text = bytes, .length = sizeof bytes};
  unsigned told = 0;
  struct edge edge;
  edge_init(&edge, 1000);
  memset(bytes, 'x', sizeof bytes);
  edge.options.max_queued = 100;
  edge_open(&edge);
  psock_sender *sender = psock_connection_get_sender(edge.connection);
  psock_sender *clone = NULL;
  if (_i == 1) {
    ck_assert_int_eq(psock_sender_clone(sender, &clone), 0);
    sender = clone;
  }
  ck_assert_int_eq(psock_send(sender, &text), 0);
  ck_assert_int_eq(psock_send(sender, &text), PSOCK_EFULL);
  psock_test_loop_settle(edge.loop, 100);
  ck_assert_uint_eq(told, 0);
  psock_sender_on_writable(sender, count_writable, &told);
  ck_assert_uint_eq(told, 0);
  psock_test_loop_settle(edge.loop, 100);
  ck_assert_uint_eq(told, 1);
  psock_sender_drop(clone);
  edge_fini(&edge);
}
END_TEST

static void ignore_drain(void *state, psock_connection *connection) {
  (void)state;
  (void)connection;
}

START_TEST(a_drain_has_an_end) {
  const uint64_t limit = 3000000000u;
  struct edge edge;
  edge_init(&edge, 100);
  edge.ops.drain = ignore_drain;
  edge.options.drain_timeout = limit;
  edge_open(&edge);
  psock_connection_drain(edge.connection);
  psock_test_loop_settle(edge.loop, 100);
  psock_test_loop_advance(edge.loop, limit - 1);
  psock_test_loop_settle(edge.loop, 100);
  ck_assert_uint_eq(edge.closed, 0);
  psock_test_loop_advance(edge.loop, 1);
  psock_test_loop_settle(edge.loop, 100);
  ck_assert_uint_eq(edge.closed, 1);
  ck_assert_int_eq(edge.reason, PSOCK_ETIMEDOUT);
  edge_fini(&edge);
}
END_TEST

static ssize_t receive_too_much(
    psock_transport *transport, void *buffer, size_t length) {
  (void)transport;
  (void)buffer;
  return (ssize_t)length + 1;
}

static ssize_t send_too_much(
    psock_transport *transport, const struct iovec *vectors, int count) {
  (void)transport;
  (void)count;
  return (ssize_t)vectors->iov_len + 1;
}

START_TEST(a_transport_that_does_more_than_asked) {
  struct psock_text text = {.text = "x", .length = 1};
  struct edge edge;
  edge_init(&edge, 100);
  struct psock_transport_ops ops = *edge.transport->ops;
  if (_i == 0)
    ops.receive = receive_too_much;
  else
    ops.send = send_too_much;
  edge.transport->ops = &ops;
  edge_open(&edge);
  peer_sends(&edge, "\001x", 2);
  (void)!psock_send(psock_connection_get_sender(edge.connection), &text);
  psock_test_loop_settle(edge.loop, 100);
  ck_assert_uint_eq(edge.closed, 1);
  ck_assert_int_eq(edge.reason, PSOCK_EIO);
  edge_fini(&edge);
}
END_TEST

START_TEST(options_that_cannot_be) {
  struct edge edge;
  psock_connection *connection;
  edge_init(&edge, 100);
  edge.options.when_full = (enum psock_when_full)3;
  ck_assert_int_eq(psock_connection_new(
                       edge.loop, edge.transport, &edge.options, &connection),
      PSOCK_EINVAL);
  edge.options.when_full = PSOCK_WHEN_FULL_READ;
  psock_codec unsized = edge.codec.codec;
  unsized.size = 0;
  edge.options.inbound = &unsized;
  ck_assert_int_eq(psock_connection_new(
                       edge.loop, edge.transport, &edge.options, &connection),
      PSOCK_EINVAL);
  edge.options.inbound = &edge.codec.codec;
  /* A program that was built with a newer header knows more. */
  edge.options.size += 8;
  edge.ops.size += 8;
  edge_open(&edge);
  edge_fini(&edge);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("edges");
  TCase *tcase = rig_case(suite, "edges");
  tcase_add_loop_test(tcase, a_long_line_takes_few_receives, 0, 3);
  tcase_add_test(tcase, output_has_its_budget_over_a_turn);
  tcase_add_test(tcase, pause_never_calls_back);
  tcase_add_test(tcase, pause_before_it_is_open);
  tcase_add_loop_test(tcase, free_while_it_ends, 0, 2);
  tcase_add_loop_test(tcase, writable_set_after_the_refusal, 0, 2);
  tcase_add_test(tcase, a_drain_has_an_end);
  tcase_add_loop_test(tcase, a_transport_that_does_more_than_asked, 0, 2);
  tcase_add_test(tcase, options_that_cannot_be);
  return rig_main(suite);
}
