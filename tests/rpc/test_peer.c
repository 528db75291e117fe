/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/peer_rig.h"

/*
 * The connection's own part of what both ends of calls do alike: hello, pings,
 * deadlines, and the end. What is due of calls is in test_peer_controls.c.
 */

/* ---- Hello ---- */

START_TEST(hello_is_the_first_frame) {
  begin(4096);
  struct psock_rpc_frame frame = {.id = 1, .code = PSOCK_CODE_NORMAL};
  ck_assert_int_eq(
      psock_face_send(&rig.near_face, rig.peer->sender, &frame, NULL), 0);
  settle();
  ck_assert_uint_eq(rig.got_count, 2);
  ck_assert_uint_eq(rig.got[0].id, 0);
  ck_assert_uint_eq(rig.got[0].code, PSOCK_CODE_HELLO);
  ck_assert(rig.got[0].has_hello);
  ck_assert_uint_eq(rig.got[0].hello.version, 1);
  ck_assert_uint_eq(rig.got[0].hello.stream_window, 4711);
  ck_assert_uint_eq(rig.got[0].hello.max_frame_size, 12345);
  ck_assert_uint_eq(rig.got[0].hello.features, 0);
  ck_assert_uint_eq(rig.got[1].id, 1);
  pass(100 * SECOND);
  ck_assert_uint_eq(rig.got_count, 2);
}
END_TEST

START_TEST(the_peers_hello_is_remembered) {
  static const struct {
    uint64_t said;
    uint64_t holds;
  } windows[] = {
      {0, 256 << 10}, {1, 1}, {70000, 70000}, {UINT64_MAX, (uint64_t)1 << 62}};
  begin(4096);
  far_hello(windows[_i].said, _i == 0 ? 0 : 333);
  settle();
  ck_assert_uint_eq(rig.known, 1);
  ck_assert(rig.known_hello);
  ck_assert_uint_eq(rig.peer->peer_window, windows[_i].holds);
  ck_assert_uint_eq(rig.peer->peer_max_frame, _i == 0 ? 4 << 20 : 333);
  ck_assert_uint_eq(rig.taken, 1);
  ck_assert_uint_eq(rig.passed, 0);
  ck_assert_uint_eq(rig.peer->stray, 0);
  /* One that comes later changes nothing. */
  far_hello(5, 5);
  settle();
  ck_assert_uint_eq(rig.known, 1);
  ck_assert_uint_eq(rig.peer->peer_window, windows[_i].holds);
  ck_assert_uint_eq(rig.peer->stray, 1);
  ck_assert_uint_eq(rig.taken, 2);
}
END_TEST

START_TEST(a_hello_that_says_nothing_is_one) {
  begin(4096);
  far_send(0, PSOCK_CODE_HELLO);
  settle();
  ck_assert_uint_eq(rig.known, 1);
  ck_assert(rig.known_hello);
  ck_assert_uint_eq(rig.peer->peer_window, 256 << 10);
  ck_assert_uint_eq(rig.peer->peer_max_frame, 4 << 20);
}
END_TEST

START_TEST(only_the_first_frame_can_be_hello) {
  begin(4096);
  far_send(7, PSOCK_CODE_NORMAL);
  far_hello(5, 5);
  settle();
  ck_assert_uint_eq(rig.known, 1);
  ck_assert(!rig.known_hello);
  ck_assert(!rig.peer->hello_came);
  ck_assert_uint_eq(rig.passed, 1);
  ck_assert_uint_eq(rig.taken, 1);
  ck_assert_uint_eq(rig.peer->stray, 1);
}
END_TEST

START_TEST(a_hello_with_an_id_is_none) {
  begin(4096);
  far_send(7, PSOCK_CODE_HELLO);
  settle();
  ck_assert_uint_eq(rig.known, 1);
  ck_assert(!rig.known_hello);
  ck_assert_uint_eq(rig.passed, 1);
}
END_TEST

START_TEST(the_first_frame_is_waited_for_one_second) {
  begin(4096);
  settle();
  pass(5 * SECOND);
  ck_assert_uint_eq(rig.known, 0);
  psock_peer_await(rig.peer);
  pass(SECOND / 2);
  /* Asking again does not prolong it. */
  psock_peer_await(rig.peer);
  pass(SECOND / 2 - 1);
  ck_assert_uint_eq(rig.known, 0);
  pass(1);
  ck_assert_uint_eq(rig.known, 1);
  ck_assert(!rig.known_hello);
  psock_peer_await(rig.peer);
  pass(2 * SECOND);
  ck_assert_uint_eq(rig.known, 1);
  /* Late, but it came first. */
  far_hello(5, 5);
  settle();
  ck_assert_uint_eq(rig.known, 2);
  ck_assert(rig.peer->hello_came);
  ck_assert_uint_eq(rig.peer->stray, 0);
}
END_TEST

START_TEST(a_frame_in_time_ends_the_wait) {
  begin(4096);
  psock_peer_await(rig.peer);
  pass(SECOND - 1);
  far_hello(0, 0);
  settle();
  ck_assert_uint_eq(rig.known, 1);
  ck_assert(rig.known_hello);
  pass(10 * SECOND);
  ck_assert_uint_eq(rig.known, 1);
}
END_TEST

/* Over own messages there is nothing about the connection, and no waiting. */
START_TEST(own_messages_have_none_of_it) {
  psock_face_fini(&rig.near_face);
  ck_assert_int_eq(psock_face_init(&rig.near_face, PSOCK_SERVER_END,
                       &trial__ask__call__method, NULL),
      0);
  rig.options.ping_after = SECOND;
  begin(4096);
  psock_peer_await(rig.peer);
  psock_peer_send_goaway(rig.peer);
  /* Ask and Frame have their ids and codes in the same fields. */
  far_hello(0, 0);
  far_send(0, PSOCK_CODE_PING);
  far_send(0, PSOCK_CODE_GOAWAY);
  far_send(1, PSOCK_CODE_NORMAL);
  settle();
  pass(60 * SECOND);
  ck_assert_uint_eq(rig.passed, 4);
  ck_assert_uint_eq(rig.got_count, 0);
  ck_assert_uint_eq(rig.known, 0);
  ck_assert_uint_eq(rig.goaways, 0);
  ck_assert_ptr_nonnull(rig.near);
}
END_TEST

/* ---- Pings ---- */

START_TEST(pings_that_come_at_once_get_one_pong) {
  begin_known(4096);
  for (int i = 0; i < 3; i++)
    far_send(0, PSOCK_CODE_PING);
  settle();
  ck_assert_uint_eq(count_of(0, PSOCK_CODE_PONG), 1);
  far_send(0, PSOCK_CODE_PING);
  settle();
  ck_assert_uint_eq(count_of(0, PSOCK_CODE_PONG), 2);
  ck_assert_uint_eq(rig.got_count, 2);
  ck_assert_uint_eq(rig.peer->stray, 0);
}
END_TEST

/* Without a HELLO too: who asks, knows what it is. */
START_TEST(a_ping_is_answered_in_any_case) {
  begin(4096);
  far_send(0, PSOCK_CODE_PING);
  settle();
  ck_assert_uint_eq(count_of(0, PSOCK_CODE_PONG), 1);
  ck_assert(!rig.peer->hello_came);
}
END_TEST

START_TEST(a_silent_peer_is_pinged_and_then_given_up) {
  rig.options.ping_after = 30 * SECOND;
  begin_known(4096);
  pass(30 * SECOND - 1);
  ck_assert_uint_eq(rig.got_count, 0);
  pass(1);
  ck_assert_uint_eq(count_of(0, PSOCK_CODE_PING), 1);
  ck_assert_uint_eq(rig.peer->pings, 1);
  pass(10 * SECOND - 1);
  ck_assert_uint_eq(rig.got_count, 1);
  ck_assert_ptr_nonnull(rig.near);
  pass(1);
  ck_assert_ptr_null(rig.near);
  ck_assert_int_eq(rig.reason, PSOCK_ETIMEDOUT);
}
END_TEST

START_TEST(any_frame_answers_a_ping) {
  static const uint32_t codes[] = {PSOCK_CODE_PONG, PSOCK_CODE_NORMAL};
  rig.options.ping_after = 30 * SECOND;
  begin_known(4096);
  for (unsigned i = 1; i <= 4; i++) {
    pass(30 * SECOND);
    ck_assert_uint_eq(count_of(0, PSOCK_CODE_PING), i);
    pass(9 * SECOND);
    far_send((uint64_t)_i, codes[_i]);
    settle();
    pass(29 * SECOND);
    ck_assert_uint_eq(count_of(0, PSOCK_CODE_PING), i);
    far_send((uint64_t)_i, codes[_i]);
    settle();
  }
  ck_assert_ptr_nonnull(rig.near);
  ck_assert_uint_eq(rig.peer->pings, 4);
}
END_TEST

/* A part of a large frame is a sign of life as well. */
START_TEST(bytes_without_a_frame_answer_too) {
  static uint8_t payload[4000];
  rig.options.ping_after = 30 * SECOND;
  begin_known(4096);
  psock_memory_limit_receive(rig.near_end, 1);
  struct psock_rpc_frame frame = {
      .id = 1, .payload = payload, .payload_length = sizeof payload};
  far_send_frame(&frame);
  for (unsigned i = 0; i < 20; i++) {
    for (int turn = 0; turn < 5; turn++)
      psock_test_loop_turn(rig.loop);
    psock_test_loop_advance(rig.loop, 8 * SECOND);
  }
  ck_assert_uint_eq(rig.passed, 0);
  ck_assert_ptr_nonnull(rig.near);
  ck_assert_uint_eq(rig.peer->pings, 0);
}
END_TEST

START_TEST(what_comes_often_is_not_pinged) {
  rig.options.ping_after = 30 * SECOND;
  begin_known(4096);
  for (unsigned i = 0; i < 20; i++) {
    pass(29 * SECOND);
    far_send(1, PSOCK_CODE_NORMAL);
    settle();
  }
  ck_assert_uint_eq(rig.got_count, 0);
}
END_TEST

START_TEST(without_hello_nobody_is_pinged) {
  rig.options.ping_after = SECOND;
  begin(4096);
  far_send(1, PSOCK_CODE_NORMAL);
  settle();
  pass(100 * SECOND);
  ck_assert_uint_eq(count_of(0, PSOCK_CODE_PING), 0);
  ck_assert_ptr_nonnull(rig.near);
}
END_TEST

START_TEST(who_is_not_read_is_not_called_silent) {
  rig.options.ping_after = 30 * SECOND;
  begin_known(4096);
  psock_connection_pause(rig.near);
  for (int i = 0; i < 10; i++)
    pass(30 * SECOND);
  ck_assert_uint_eq(rig.got_count, 0);
  psock_connection_resume(rig.near);
  pass(30 * SECOND);
  ck_assert_uint_eq(count_of(0, PSOCK_CODE_PING), 1);
  /* Nor while an answer is due. */
  psock_connection_pause(rig.near);
  for (int i = 0; i < 10; i++)
    pass(30 * SECOND);
  ck_assert_ptr_nonnull(rig.near);
}
END_TEST

START_TEST(times_may_be_endless) {
  rig.options.ping_after = PSOCK_NEVER - 2;
  rig.options.ping_timeout = PSOCK_NEVER;
  begin_known(4096);
  pass(1000 * SECOND);
  ck_assert_uint_eq(rig.got_count, 0);
  ck_assert_ptr_nonnull(rig.near);
}
END_TEST

/* ---- Deadlines ---- */

START_TEST(a_deadline_expires_once) {
  begin_known(4096);
  uint64_t now = psock_loop_now(rig.loop);
  psock_peer_set_deadline(rig.peer, now + 100);
  psock_peer_set_deadline(rig.peer, now + 200);
  pass(99);
  ck_assert_uint_eq(rig.expired, 0);
  pass(1);
  ck_assert_uint_eq(rig.expired, 1);
  pass(SECOND);
  ck_assert_uint_eq(rig.expired, 1);
}
END_TEST

START_TEST(the_earliest_deadline_counts) {
  begin_known(4096);
  uint64_t now = psock_loop_now(rig.loop);
  psock_peer_set_deadline(rig.peer, now + 200);
  psock_peer_set_deadline(rig.peer, now + 100);
  rig.next = now + 200;
  pass(100);
  ck_assert_uint_eq(rig.expired, 1);
  rig.next = PSOCK_NEVER;
  pass(99);
  ck_assert_uint_eq(rig.expired, 1);
  pass(1);
  ck_assert_uint_eq(rig.expired, 2);
  pass(SECOND);
  ck_assert_uint_eq(rig.expired, 2);
}
END_TEST

START_TEST(a_deadline_that_has_passed_expires_in_the_next_turn) {
  begin_known(4096);
  psock_peer_set_deadline(rig.peer, 1);
  ck_assert_uint_eq(rig.expired, 0);
  settle();
  ck_assert_uint_eq(rig.expired, 1);
}
END_TEST

START_TEST(deadlines_and_pings_share_the_alarm) {
  rig.options.ping_after = 30 * SECOND;
  begin_known(4096);
  uint64_t now = psock_loop_now(rig.loop);
  psock_peer_set_deadline(rig.peer, now + 40 * SECOND);
  pass(30 * SECOND);
  ck_assert_uint_eq(count_of(0, PSOCK_CODE_PING), 1);
  ck_assert_uint_eq(rig.expired, 0);
  far_send(0, PSOCK_CODE_PONG);
  settle();
  pass(10 * SECOND);
  ck_assert_uint_eq(rig.expired, 1);
  pass(20 * SECOND);
  ck_assert_uint_eq(count_of(0, PSOCK_CODE_PING), 2);
}
END_TEST

/* ---- Others ---- */

START_TEST(a_goaway_is_told_and_sent) {
  struct psock_rpc_frame frame = {.id = 8, .code = PSOCK_CODE_NORMAL};
  begin_known(4096);
  far_send(0, PSOCK_CODE_GOAWAY);
  settle();
  ck_assert_uint_eq(rig.goaways, 1);
  psock_peer_send_goaway(rig.peer);
  ck_assert_int_eq(
      psock_face_send(&rig.near_face, rig.peer->sender, &frame, NULL), 0);
  settle();
  ck_assert_uint_eq(rig.got_count, 2);
  ck_assert_uint_eq(rig.got[0].id, 8);
  ck_assert_uint_eq(rig.got[1].code, PSOCK_CODE_GOAWAY);
}
END_TEST

START_TEST(what_is_about_nothing_is_ignored_and_counted) {
  static const uint32_t codes[] = {PSOCK_CODE_NORMAL, PSOCK_CODE_CANCEL,
      PSOCK_CODE_END, PSOCK_CODE_WINDOW, PSOCK_CODE_MESSAGE, 22, 255};
  begin_known(4096);
  for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
    far_send(0, codes[i]);
    settle();
    ck_assert_uint_eq(rig.peer->stray, i + 1);
  }
  ck_assert_uint_eq(rig.passed, 0);
  far_send(1, PSOCK_CODE_PING);
  far_send(1, 22);
  settle();
  ck_assert_uint_eq(rig.passed, 2);
  ck_assert_uint_eq(rig.got_count, 0);
}
END_TEST

START_TEST(what_is_kept_is_bounded) {
  begin_known(4096);
  ck_assert(psock_peer_keep(rig.peer, 600));
  ck_assert(!psock_peer_keep(rig.peer, 401));
  ck_assert(!psock_peer_keep(rig.peer, SIZE_MAX));
  ck_assert(psock_peer_keep(rig.peer, 400));
  ck_assert(!psock_peer_keep(rig.peer, 1));
  ck_assert(psock_peer_keep(rig.peer, 0));
  psock_peer_release(rig.peer, 1000);
  ck_assert_uint_eq(atomic_load(rig.peer->kept), 0);
  ck_assert(psock_peer_keep(rig.peer, 1000));
}
END_TEST

START_TEST(without_memory_for_the_alarm_there_is_no_peer) {
  begin(4096);
  struct psock_peer peer;
  int result = 0;
  size_t made = 0;
  /* Reserves until the heap of alarms has to grow. */
  alloc_fault_arm(&rig.fault, 1, true);
  while (result == 0 && made < 1000) {
    result = psock_alarms_reserve(&rig.loop->alarms);
    made += result == 0;
  }
  ck_assert_int_eq(result, PSOCK_ENOMEM);
  ck_assert_int_eq(
      psock_peer_init(&peer, &peer_ops, &rig.options, rig.near), PSOCK_ENOMEM);
  alloc_fault_disarm(&rig.fault);
  while (made-- > 0)
    psock_alarms_unreserve(&rig.loop->alarms);
}
END_TEST

/* ---- The end of the connection inside callbacks ---- */

START_TEST(known_may_end_the_connection) {
  rig.ends_in = KNOWN;
  begin(4096);
  if (_i == 0)
    far_hello(0, 0);
  else if (_i == 1)
    far_send(1, PSOCK_CODE_NORMAL);
  else
    psock_peer_await(rig.peer);
  settle();
  pass(2 * SECOND);
  ck_assert_uint_eq(rig.known, 1);
  ck_assert_ptr_null(rig.near);
  ck_assert_uint_eq(rig.passed, 0);
}
END_TEST

START_TEST(goaway_may_end_the_connection) {
  rig.ends_in = GOAWAY;
  begin_known(4096);
  far_send(0, PSOCK_CODE_PING);
  far_send(0, PSOCK_CODE_GOAWAY);
  far_send(0, PSOCK_CODE_GOAWAY);
  settle();
  ck_assert_uint_eq(rig.goaways, 1);
  ck_assert_ptr_null(rig.near);
}
END_TEST

START_TEST(expire_may_end_the_connection) {
  rig.ends_in = EXPIRE;
  rig.next = 17;
  begin_known(4096);
  psock_peer_set_deadline(rig.peer, 1);
  settle();
  ck_assert_uint_eq(rig.expired, 1);
  ck_assert_ptr_null(rig.near);
}
END_TEST

/* From the task, from a batch's end, from room that there is again, from the
 * end of the connection itself. */
START_TEST(sent_may_end_the_connection) {
  struct control controls[2];
  rig.ends_in = SENT;
  rig.max_queued = 100;
  begin_known(_i == 2 ? 16 : 4096);
  if (_i == 2)
    fill();
  for (unsigned i = 0; i < 2; i++) {
    control_init(&controls[i], i + 1);
    note_last(&controls[i], PSOCK_CODE_CANCEL);
  }
  if (_i == 1)
    psock_peer_end_batch(rig.peer);
  else if (_i == 2)
    psock_connection_resume(rig.far);
  else if (_i == 3)
    psock_connection_free(rig.near);
  settle();
  ck_assert_ptr_null(rig.near);
  ck_assert_uint_eq(controls[0].sent, 1);
  ck_assert_uint_eq(controls[1].sent, 1);
}
END_TEST

START_TEST(a_ping_that_is_not_answered_ends_it_amid_the_alarm) {
  struct control one;
  rig.options.ping_after = SECOND;
  rig.max_queued = 100;
  begin_known(16);
  fill();
  control_init(&one, 1);
  note_last(&one, PSOCK_CODE_CANCEL);
  psock_peer_set_deadline(rig.peer, psock_loop_now(rig.loop) + 11 * SECOND);
  pass(SECOND);
  pass(10 * SECOND);
  ck_assert_ptr_null(rig.near);
  ck_assert_uint_eq(rig.expired, 1);
  ck_assert_uint_eq(one.sent, 1);
}
END_TEST

/* ---- The suite ---- */

static void add_hello(Suite *suite) {
  TCase *tcase = rig_case(suite, "hello");
  tcase_add_test(tcase, hello_is_the_first_frame);
  tcase_add_loop_test(tcase, the_peers_hello_is_remembered, 0, 4);
  tcase_add_test(tcase, a_hello_that_says_nothing_is_one);
  tcase_add_test(tcase, only_the_first_frame_can_be_hello);
  tcase_add_test(tcase, a_hello_with_an_id_is_none);
  tcase_add_test(tcase, the_first_frame_is_waited_for_one_second);
  tcase_add_test(tcase, a_frame_in_time_ends_the_wait);
  tcase_add_test(tcase, own_messages_have_none_of_it);
}

static void add_times(Suite *suite) {
  TCase *tcase = rig_case(suite, "pings");
  tcase_add_test(tcase, pings_that_come_at_once_get_one_pong);
  tcase_add_test(tcase, a_ping_is_answered_in_any_case);
  tcase_add_test(tcase, a_silent_peer_is_pinged_and_then_given_up);
  tcase_add_loop_test(tcase, any_frame_answers_a_ping, 0, 2);
  tcase_add_test(tcase, bytes_without_a_frame_answer_too);
  tcase_add_test(tcase, what_comes_often_is_not_pinged);
  tcase_add_test(tcase, without_hello_nobody_is_pinged);
  tcase_add_test(tcase, who_is_not_read_is_not_called_silent);
  tcase_add_test(tcase, times_may_be_endless);
  tcase = rig_case(suite, "deadlines");
  tcase_add_test(tcase, a_deadline_expires_once);
  tcase_add_test(tcase, the_earliest_deadline_counts);
  tcase_add_test(tcase, a_deadline_that_has_passed_expires_in_the_next_turn);
  tcase_add_test(tcase, deadlines_and_pings_share_the_alarm);
}

static void add_others(Suite *suite) {
  TCase *tcase = rig_case(suite, "others");
  tcase_add_test(tcase, a_goaway_is_told_and_sent);
  tcase_add_test(tcase, what_is_about_nothing_is_ignored_and_counted);
  tcase_add_test(tcase, what_is_kept_is_bounded);
  tcase_add_test(tcase, without_memory_for_the_alarm_there_is_no_peer);
  tcase = rig_case(suite, "ends");
  tcase_add_loop_test(tcase, known_may_end_the_connection, 0, 3);
  tcase_add_test(tcase, goaway_may_end_the_connection);
  tcase_add_test(tcase, expire_may_end_the_connection);
  tcase_add_loop_test(tcase, sent_may_end_the_connection, 0, 4);
  tcase_add_test(tcase, a_ping_that_is_not_answered_ends_it_amid_the_alarm);
}

int main(void) {
  Suite *suite = suite_create("peer");
  add_hello(suite);
  add_times(suite);
  add_others(suite);
  return guard_main(suite);
}
