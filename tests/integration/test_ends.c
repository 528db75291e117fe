/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/world.h"

#include <string.h>

/*
 * How a conversation ends: the peer's end between frames and inside one, a
 * half-close with answers owed, closing in good order with data on the way in
 * both directions, draining, and freeing everything under the connections.
 */

static struct world world;

static void begin(int medium, bool wants_end) {
  world_init(&world, (enum medium)medium);
  if (wants_end)
    side_wants_end(&world.one);
}

/* ---- the peer's end ---- */

START_TEST(end_between_frames) {
  begin(_i, false);
  world_raw(&world);
  raw_send_frame(&world, "abc", 3);
  raw_close(&world);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_uint_eq(world.one.count[MESSAGE], 1);
  ck_assert_int_eq(world.one.reason, 0);
  world_fini(&world);
}
END_TEST

START_TEST(end_without_a_byte) {
  begin(_i, true);
  world.one.on[INPUT_ENDED] = close_side;
  world_raw(&world);
  raw_shutdown(&world);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_uint_eq(world.one.count[INPUT_ENDED], 1);
  ck_assert_uint_eq(world.one.count[BATCH_END], 0);
  ck_assert_int_eq(world.one.reason, 0);
  world_fini(&world);
}
END_TEST

static void cut_at(int medium, const char *bytes, size_t length) {
  begin(medium, true);
  world_raw(&world);
  raw_send_frame(&world, "abc", 3);
  raw_send(&world, bytes, length);
  raw_shutdown(&world);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_uint_eq(world.one.count[MESSAGE], 1);
  ck_assert_uint_eq(world.one.count[INPUT_ENDED], 0);
  ck_assert_int_eq(world.one.reason, PSOCK_ETRUNCATED);
  ck_assert_uint_eq(psock_loop_get_ended(world.loop, PSOCK_ETRUNCATED), 1);
  world_fini(&world);
}

START_TEST(end_inside_a_frame) {
  cut_at(_i, "\005ab", 3);
}
END_TEST

START_TEST(end_inside_a_large_frame) {
  cut_at(_i, "\200\200\200\001ab", 6);
}
END_TEST

START_TEST(end_inside_a_count) {
  cut_at(_i, "\200", 1);
}
END_TEST

/* A cut frame ends the connection in good order as far as output goes: what
 * was acknowledged still leaves. */
START_TEST(end_inside_a_frame_gets_answers) {
  char answer[4];
  begin(_i, false);
  world.one.on[MESSAGE] = echo;
  world_raw(&world);
  raw_send(&world, "\003abc\003a", 6);
  raw_shutdown(&world);
  raw_receive_all(&world, answer, 4);
  ck_assert_mem_eq(answer, "\003abc", 4);
  ck_assert_uint_eq(raw_receive_end(&world), 0);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_int_eq(world.one.reason, PSOCK_ETRUNCATED);
  world_fini(&world);
}
END_TEST

/* ---- half-close ---- */

START_TEST(half_close_gets_answers) {
  char answer[4];
  begin(_i, false);
  world.one.on[MESSAGE] = echo;
  world_raw(&world);
  raw_send_frame(&world, "abc", 3);
  raw_shutdown(&world);
  raw_receive_all(&world, answer, 4);
  ck_assert_mem_eq(answer, "\003abc", 4);
  ck_assert_uint_eq(raw_receive_end(&world), 0);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_int_eq(world.one.reason, 0);
  world_fini(&world);
}
END_TEST

/* With input_ended the connection stays as long as answers are owed. */
START_TEST(half_close_with_answers_owed) {
  begin(_i, true);
  world_raw(&world);
  raw_send_frame(&world, "abc", 3);
  raw_shutdown(&world);
  UNTIL(&world, world.one.count[INPUT_ENDED] == 1);
  world_settle(&world);
  ck_assert_uint_eq(world.one.count[CLOSED], 0);
  side_send_all(&world.one, 3, 300000);
  psock_connection_close(world.one.connection);
  ck_assert_uint_eq(raw_receive_end(&world), 3 * 300003);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_uint_eq(world.one.count[INPUT_ENDED], 1);
  ck_assert_int_eq(world.one.reason, 0);
  world_fini(&world);
}
END_TEST

/* ---- closing in good order ---- */

static size_t fifty_thousand(unsigned n) {
  (void)n;
  return 50000;
}

START_TEST(close_sends_what_is_queued) {
  begin(_i, false);
  world.other.length_of = fifty_thousand;
  world_pair(&world);
  side_send_all(&world.one, 40, 50000);
  psock_connection_close(world.one.connection);
  psock_connection_close(world.one.connection);
  ck_assert_int_eq(side_send(&world.one, 1), PSOCK_ECLOSED);
  UNTIL(&world, world.one.count[CLOSED] == 1 && world.other.count[CLOSED] == 1);
  ck_assert_uint_eq(world.other.count[MESSAGE], 40);
  ck_assert_int_eq(world.one.reason, 0);
  ck_assert_int_eq(world.other.reason, 0);
  world_fini(&world);
}
END_TEST

/* What comes while closing is ignored, and doesn't cost the peer its answers
 * (over TCP, closing with unread input would). */
START_TEST(close_ignores_what_comes) {
  static char much[100000];
  begin(_i, false);
  world_raw(&world);
  raw_send_frame(&world, "abc", 3);
  UNTIL(&world, world.one.count[MESSAGE] == 1);
  side_send_all(&world.one, 3, 100000);
  psock_connection_close(world.one.connection);
  for (int i = 0; i < 5; i++)
    raw_send_frame(&world, much, sizeof much);
  /* Not even well formed. */
  raw_send(&world, "\377\377\377\377\377\377\377\377\377\377\377", 11);
  ck_assert_uint_eq(raw_receive_end(&world), 3 * 100003);
  ck_assert_uint_eq(world.one.count[CLOSED], 0);
  raw_send_frame(&world, much, sizeof much);
  raw_close(&world);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_uint_eq(world.one.count[MESSAGE], 1);
  ck_assert_int_eq(world.one.reason, 0);
  world_fini(&world);
}
END_TEST

/* No message is given any more, not even one that has come already. */
START_TEST(close_inside_a_batch) {
  begin(_i, false);
  world.one.on[MESSAGE] = close_side;
  world_raw(&world);
  raw_send(&world, "\001a\001b\001c", 6);
  raw_close(&world);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_uint_eq(world.one.count[MESSAGE], 1);
  ck_assert_int_eq(world.one.reason, 0);
  world_fini(&world);
}
END_TEST

START_TEST(close_while_paused) {
  begin(_i, false);
  world_raw(&world);
  psock_connection_pause(world.one.connection);
  raw_send(&world, "\001a\001b\001c", 6);
  world_settle(&world);
  psock_connection_close(world.one.connection);
  ck_assert_uint_eq(raw_receive_end(&world), 0);
  raw_close(&world);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_uint_eq(world.one.count[MESSAGE], 0);
  ck_assert_int_eq(world.one.reason, 0);
  world_fini(&world);
}
END_TEST

/* Both at the same time, with everything in flight. */
START_TEST(close_from_both_sides) {
  begin(_i, false);
  world_pair(&world);
  side_send_all(&world.one, 10, 50000);
  side_send_all(&world.other, 10, 50000);
  psock_connection_close(world.one.connection);
  psock_connection_close(world.other.connection);
  UNTIL(&world, world.one.count[CLOSED] == 1 && world.other.count[CLOSED] == 1);
  ck_assert_int_eq(world.one.reason, 0);
  ck_assert_int_eq(world.other.reason, 0);
  world_fini(&world);
}
END_TEST

/* ---- before it is open ---- */

START_TEST(close_before_opened) {
  begin(_i, false);
  world_make_pair(&world);
  psock_connection_close(world.other.connection);
  ck_assert_uint_eq(world.other.count[CLOSED], 0);
  UNTIL(&world, world.other.count[CLOSED] == 1);
  ck_assert_uint_eq(world.other.count[OPENED], 0);
  ck_assert_int_eq(world.other.reason, 0);
  world_fini(&world);
}
END_TEST

START_TEST(close_before_opened_with_something_to_send) {
  begin(_i, false);
  world.one.length_of = fifty_thousand;
  world_make_pair(&world);
  side_send_all(&world.other, 10, 50000);
  psock_connection_close(world.other.connection);
  UNTIL(&world, world.one.count[CLOSED] == 1 && world.other.count[CLOSED] == 1);
  ck_assert_uint_eq(world.other.count[OPENED], 0);
  ck_assert_uint_eq(world.one.count[MESSAGE], 10);
  ck_assert_int_eq(world.other.reason, 0);
  ck_assert_int_eq(world.one.reason, 0);
  world_fini(&world);
}
END_TEST

START_TEST(free_before_opened) {
  begin(_i, false);
  world_make_pair(&world);
  side_send_all(&world.other, 10, 50000);
  psock_connection_free(world.other.connection);
  ck_assert_uint_eq(world.other.count[CLOSED], 1);
  ck_assert_uint_eq(world.other.count[OPENED], 0);
  ck_assert_int_eq(world.other.reason, PSOCK_ECANCELED);
  world_settle(&world);
  world_fini(&world);
}
END_TEST

/* ---- at once ---- */

START_TEST(free_calls_closed_before_it_returns) {
  begin(_i, false);
  world_pair(&world);
  side_send_all(&world.one, 10, 50000);
  psock_connection_free(world.one.connection);
  ck_assert_uint_eq(world.one.count[CLOSED], 1);
  ck_assert_int_eq(world.one.reason, PSOCK_ECANCELED);
  ck_assert_uint_eq(psock_loop_get_ended(world.loop, PSOCK_ECANCELED), 1);
  ck_assert_uint_eq(world_stats(&world).connections, 1);
  psock_connection_free(NULL);
  UNTIL(&world, world.other.count[CLOSED] == 1);
  world_fini(&world);
}
END_TEST

START_TEST(free_while_closing) {
  begin(_i, false);
  world_pair(&world);
  psock_connection_pause(world.other.connection);
  side_send_all(&world.one, 100, 50000);
  psock_connection_close(world.one.connection);
  world_settle(&world);
  ck_assert_uint_eq(world.one.count[CLOSED], 0);
  psock_connection_free(world.one.connection);
  ck_assert_uint_eq(world.one.count[CLOSED], 1);
  ck_assert_int_eq(world.one.reason, PSOCK_ECANCELED);
  world_fini(&world);
}
END_TEST

/* psock_loop_free ends connections and listeners; senders live on. */
START_TEST(loop_ends_everything) {
  psock_sender *clone;
  psock_sender *second;
  begin(_i, false);
  world_pair(&world);
  side_send_all(&world.one, 100, 50000);
  ck_assert_int_eq(psock_sender_clone(world.one.sender, &clone), 0);
  struct psock_text text = message_of(0, 10);
  ck_assert_int_eq(psock_send(clone, &text), 0);
  world_fini(&world);
  ck_assert_int_eq(world.one.reason, PSOCK_ECANCELED);
  ck_assert_int_eq(psock_send(clone, &text), PSOCK_ECLOSED);
  ck_assert_int_eq(psock_sender_clone(clone, &second), PSOCK_ECLOSED);
  psock_sender_drop(clone);
  psock_sender_drop(NULL);
}
END_TEST

/* ---- drain ---- */

START_TEST(drain_is_asked_for_once) {
  begin(_i, false);
  world.one.on[DRAIN] = close_side;
  world_pair(&world);
  psock_connection_drain(world.one.connection);
  psock_connection_drain(world.one.connection);
  ck_assert_uint_eq(world.one.count[DRAIN], 0);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_uint_eq(world.one.count[DRAIN], 1);
  ck_assert_int_eq(world.one.reason, 0);
  world_fini(&world);
}
END_TEST

START_TEST(drain_closes_where_it_is_left_out) {
  begin(_i, false);
  world.one.ops.drain = NULL;
  world.other.length_of = fifty_thousand;
  world_pair(&world);
  side_send_all(&world.one, 20, 50000);
  psock_connection_drain(world.one.connection);
  UNTIL(&world, world.one.count[CLOSED] == 1 && world.other.count[CLOSED] == 1);
  ck_assert_uint_eq(world.other.count[MESSAGE], 20);
  ck_assert_int_eq(world.one.reason, 0);
  world_fini(&world);
}
END_TEST

START_TEST(drain_before_opened) {
  begin(_i, false);
  world.other.on[DRAIN] = close_side;
  world_make_pair(&world);
  psock_connection_drain(world.other.connection);
  UNTIL(&world, world.other.count[CLOSED] == 1);
  ck_assert_uint_eq(world.other.count[OPENED], 1);
  ck_assert_uint_eq(world.other.count[DRAIN], 1);
  world_fini(&world);
}
END_TEST

/* A reactor may leave out everything. */
START_TEST(nothing_is_called_back) {
  static const struct psock_reactor_ops silent = {.size = sizeof silent};
  begin(_i, false);
  world_make_pair(&world);
  UNTIL(&world, world.other.count[OPENED] == 1);
  world_fini(&world);

  begin(_i, false);
  world.other.options.reactor.ops = &silent;
  world_make_pair(&world);
  psock_connection_want_room(world.other.connection);
  side_send_all(&world.other, 3, 10);
  UNTIL(&world, world.one.count[MESSAGE] == 3);
  side_send_all(&world.one, 3, 10);
  psock_connection_drain(world.other.connection);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  world.other.connection = NULL;
  world.other.made = false;
  ck_assert_int_eq(world.one.reason, 0);
  world_fini(&world);
}
END_TEST

static void add(TCase *tcase, const TTest *test) {
  tcase_add_loop_test(tcase, test, 0, MEDIA);
}

int main(void) {
  Suite *suite = suite_create("ends");
  TCase *peer = guard_case(suite, "the peer's end");
  add(peer, end_between_frames);
  add(peer, end_without_a_byte);
  add(peer, end_inside_a_frame);
  add(peer, end_inside_a_large_frame);
  add(peer, end_inside_a_count);
  add(peer, end_inside_a_frame_gets_answers);
  add(peer, half_close_gets_answers);
  add(peer, half_close_with_answers_owed);
  TCase *close = guard_case(suite, "close");
  add(close, close_sends_what_is_queued);
  add(close, close_ignores_what_comes);
  add(close, close_inside_a_batch);
  add(close, close_while_paused);
  add(close, close_from_both_sides);
  add(close, close_before_opened);
  add(close, close_before_opened_with_something_to_send);
  TCase *once = guard_case(suite, "free");
  add(once, free_before_opened);
  add(once, free_calls_closed_before_it_returns);
  add(once, free_while_closing);
  add(once, loop_ends_everything);
  TCase *drain = guard_case(suite, "drain");
  add(drain, drain_is_asked_for_once);
  add(drain, drain_closes_where_it_is_left_out);
  add(drain, drain_before_opened);
  add(drain, nothing_is_called_back);
  return guard_main(suite);
}
