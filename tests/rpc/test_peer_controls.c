/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/peer_rig.h"

/* What is due of calls: merged, in order, and never refused. */

/* ---- Controls ---- */

START_TEST(controls_are_merged_and_go_in_order) {
  struct control one;
  struct control other;
  begin_known(4096);
  control_init(&one, 1);
  control_init(&other, 2);
  note_window(&one, 10);
  note_window(&other, 5);
  note_window(&one, 20);
  one.control.requests_ended = true;
  psock_peer_note(rig.peer, &one.control);
  ck_assert_uint_eq(rig.got_count, 0);
  settle();
  ck_assert_uint_eq(rig.got_count, 3);
  ck_assert_uint_eq(rig.got[0].id, 1);
  ck_assert_uint_eq(rig.got[0].code, PSOCK_CODE_WINDOW);
  ck_assert_uint_eq(rig.got[0].window, 30);
  ck_assert_uint_eq(rig.got[1].id, 1);
  ck_assert_uint_eq(rig.got[1].code, PSOCK_CODE_END);
  ck_assert_uint_eq(rig.got[2].id, 2);
  ck_assert_uint_eq(rig.got[2].window, 5);
  ck_assert_uint_eq(one.control.window, 0);
  ck_assert(!one.control.requests_ended);
  ck_assert_uint_eq(one.sent + other.sent, 0);
  /* And again, after that. */
  note_window(&one, 1);
  settle();
  ck_assert_uint_eq(rig.got_count, 4);
  ck_assert_uint_eq(rig.got[3].window, 1);
}
END_TEST

START_TEST(the_last_frame_of_a_call_goes_alone_and_whole) {
  struct psock_status status = psock_status_of(PSOCK_STATUS_ABORTED, "why");
  struct control one;
  begin_known(4096);
  control_init(&one, 3);
  note_window(&one, 10);
  one.control.requests_ended = true;
  one.control.status = &status;
  one.control.not_begun = true;
  note_last(&one, PSOCK_CODE_CANCEL);
  settle();
  ck_assert_uint_eq(one.sent, 1);
  ck_assert_uint_eq(rig.got_count, 1);
  ck_assert_uint_eq(rig.got[0].id, 3);
  ck_assert_uint_eq(rig.got[0].code, PSOCK_CODE_CANCEL);
  ck_assert_uint_eq(rig.got[0].status, PSOCK_STATUS_ABORTED);
  ck_assert(rig.got[0].not_begun);
  /* A response that had to wait. */
  struct control other;
  control_init(&other, 4);
  other.control.payload = (const uint8_t *)"abc";
  other.control.payload_length = 3;
  note_last(&other, PSOCK_CODE_NORMAL);
  settle();
  ck_assert_uint_eq(other.sent, 1);
  ck_assert_uint_eq(rig.got[1].code, PSOCK_CODE_NORMAL);
  ck_assert_uint_eq(rig.got[1].payload_length, 3);
  ck_assert_uint_eq(rig.got[1].status, UINT32_MAX);
}
END_TEST

START_TEST(what_is_flushed_leaves_with_what_was_sent) {
  struct control one;
  struct psock_rpc_frame frame = {.id = 8, .code = PSOCK_CODE_NORMAL};
  begin_known(4096);
  control_init(&one, 3);
  note_last(&one, PSOCK_CODE_END);
  psock_peer_flush(rig.peer);
  ck_assert_uint_eq(one.sent, 1);
  ck_assert_int_eq(
      psock_face_send(&rig.near_face, rig.peer->sender, &frame, NULL), 0);
  settle();
  ck_assert_uint_eq(rig.got_count, 2);
  ck_assert_uint_eq(rig.got[0].id, 3);
  ck_assert_uint_eq(rig.got[1].id, 8);
}
END_TEST

START_TEST(what_is_forgotten_is_not_sent) {
  struct control one;
  struct control other;
  begin_known(4096);
  control_init(&one, 3);
  control_init(&other, 4);
  note_last(&one, PSOCK_CODE_END);
  note_last(&other, PSOCK_CODE_END);
  psock_peer_forget(rig.peer, &one.control);
  settle();
  ck_assert_uint_eq(one.sent, 0);
  ck_assert_uint_eq(other.sent, 1);
  ck_assert_uint_eq(rig.got_count, 1);
  ck_assert_uint_eq(rig.got[0].id, 4);
  /* One that was never noted, too. */
  control_init(&one, 5);
  psock_peer_forget(rig.peer, &one.control);
}
END_TEST

START_TEST(a_control_may_be_noted_while_one_is_sent) {
  struct control one;
  struct control other;
  begin_known(4096);
  control_init(&one, 3);
  control_init(&other, 4);
  other.control.code = PSOCK_CODE_END;
  rig.in_sent = &other;
  note_last(&one, PSOCK_CODE_END);
  settle();
  ck_assert_uint_eq(one.sent, 1);
  ck_assert_uint_eq(other.sent, 1);
  ck_assert_uint_eq(rig.got_count, 2);
}
END_TEST

START_TEST(a_control_uses_the_sender_of_its_call) {
  struct control one;
  psock_sender *clone = NULL;
  begin_known(4096);
  ck_assert_int_eq(psock_sender_clone(rig.peer->sender, &clone), 0);
  control_init(&one, 3);
  one.control.sender = clone;
  note_window(&one, 4);
  one.control.requests_ended = true;
  psock_peer_flush(rig.peer);
  psock_sender_drop(clone);
  settle();
  ck_assert_uint_eq(rig.got_count, 2);
  ck_assert_uint_eq(rig.got[0].window, 4);
  ck_assert_uint_eq(rig.got[1].code, PSOCK_CODE_END);
}
END_TEST

/* Far reads again, and has got everything once. */
static void assert_resent(
    struct control *controls, unsigned count, unsigned filled) {
  for (unsigned i = 0; i < count; i++)
    ck_assert_uint_eq(controls[i].sent, 0);
  psock_connection_resume(rig.far);
  settle();
  for (unsigned i = 0; i < count; i++) {
    ck_assert_uint_eq(controls[i].sent, 1);
    ck_assert_uint_eq(count_of(i + 1, PSOCK_CODE_CANCEL), 1);
  }
  ck_assert_uint_eq(count_of(999, PSOCK_CODE_NORMAL), filled);
  ck_assert_uint_eq(rig.got_count, filled + count);
}

START_TEST(a_full_queue_only_delays_controls) {
  struct control controls[40];
  rig.max_queued = 100;
  begin_known(16);
  unsigned filled = fill();
  for (unsigned i = 0; i < 40; i++) {
    control_init(&controls[i], i + 1);
    note_last(&controls[i], PSOCK_CODE_CANCEL);
  }
  settle();
  psock_peer_flush(rig.peer);
  settle();
  assert_resent(controls, 40, filled);
}
END_TEST

START_TEST(a_full_queue_merges_what_gathers) {
  struct control one;
  rig.max_queued = 100;
  begin_known(16);
  unsigned filled = fill();
  control_init(&one, 1);
  for (unsigned i = 1; i <= 5; i++) {
    note_window(&one, 10);
    far_send(0, PSOCK_CODE_PING);
    settle();
  }
  psock_peer_send_goaway(rig.peer);
  psock_peer_send_goaway(rig.peer);
  settle();
  psock_connection_resume(rig.far);
  settle();
  ck_assert_uint_eq(count_of(0, PSOCK_CODE_PONG), 1);
  ck_assert_uint_eq(count_of(0, PSOCK_CODE_GOAWAY), 1);
  ck_assert_uint_eq(rig.got_count, filled + 3);
  ck_assert_uint_eq(rig.got[rig.got_count - 1].window, 50);
}
END_TEST

START_TEST(a_connection_that_ends_settles_what_waits) {
  struct control controls[3];
  struct control window;
  rig.max_queued = 100;
  begin_known(16);
  fill();
  for (unsigned i = 0; i < 3; i++) {
    control_init(&controls[i], i + 1);
    note_last(&controls[i], PSOCK_CODE_CANCEL);
  }
  control_init(&window, 9);
  note_window(&window, 9);
  rig.in_sent = NULL;
  psock_connection_free(rig.near);
  for (unsigned i = 0; i < 3; i++)
    ck_assert_uint_eq(controls[i].sent, 1);
  ck_assert_uint_eq(window.sent, 0);
  ck_assert(psock_list_empty(&window.control.node));
}
END_TEST

START_TEST(what_is_noted_after_the_end_is_settled_at_once) {
  struct control one;
  begin_known(4096);
  struct psock_peer *peer = rig.peer;
  psock_peer_close(peer);
  psock_peer_close(peer);
  control_init(&one, 1);
  one.control.last = true;
  psock_peer_note(peer, &one.control);
  ck_assert_uint_eq(one.sent, 1);
  psock_peer_flush(peer);
  psock_peer_set_deadline(peer, 5);
  settle();
  ck_assert_uint_eq(rig.got_count, 0);
}
END_TEST

START_TEST(who_cannot_be_told_loses_the_connection) {
  struct control one;
  begin_known(4096);
  control_init(&one, 1);
  note_last(&one, PSOCK_CODE_CANCEL);
  struct psock_metadata entry = {"k", (const uint8_t *)"v", 1};
  /* More than the codec takes. */
  static uint8_t payload[20000];
  one.control.payload = payload;
  one.control.payload_length = sizeof payload;
  one.control.metadata = &entry;
  one.control.metadata_count = 1;
  settle();
  ck_assert_uint_eq(one.sent, 1);
  ck_assert_ptr_null(rig.far);
  pass(20 * SECOND);
  ck_assert_ptr_null(rig.near);
}
END_TEST

/* ---- The suite ---- */

static void add_controls(Suite *suite) {
  TCase *tcase = rig_case(suite, "controls");
  tcase_add_test(tcase, controls_are_merged_and_go_in_order);
  tcase_add_test(tcase, the_last_frame_of_a_call_goes_alone_and_whole);
  tcase_add_test(tcase, what_is_flushed_leaves_with_what_was_sent);
  tcase_add_test(tcase, what_is_forgotten_is_not_sent);
  tcase_add_test(tcase, a_control_may_be_noted_while_one_is_sent);
  tcase_add_test(tcase, a_control_uses_the_sender_of_its_call);
  tcase_add_test(tcase, a_full_queue_only_delays_controls);
  tcase_add_test(tcase, a_full_queue_merges_what_gathers);
  tcase_add_test(tcase, a_connection_that_ends_settles_what_waits);
  tcase_add_test(tcase, what_is_noted_after_the_end_is_settled_at_once);
  tcase_add_test(tcase, who_cannot_be_told_loses_the_connection);
}

int main(void) {
  Suite *suite = suite_create("peer");
  add_controls(suite);
  return guard_main(suite);
}
