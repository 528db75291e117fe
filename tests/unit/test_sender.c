/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/rig.h"

#include <stdlib.h>
#include <string.h>

/*
 * What a sender promises: messages arrive, in the order of their sender, those
 * of one send_many together; what was refused has left no trace; clones come,
 * go, and outlive what they were made for; the loop is woken once.
 */

/* A codec that does not encode messages with this number; it finds out late. */
struct picky_codec {
  struct psock_text_codec text; /* first */
  uint32_t bad;
};

static int encode_picky(
    const psock_codec *codec, const void *message, psock_buffer *out) {
  const struct picky_codec *picky = (const struct picky_codec *)codec;
  struct psock_text_codec text;
  struct rig_got got = {.number = 0};
  psock_text_codec_init(&text, 0);
  int error = text.codec.encode(codec, message, out);
  if (error != 0)
    return error;
  return rig_read(message, &got) && got.number == picky->bad ? PSOCK_EDEPTH : 0;
}

static void picky_init(struct picky_codec *picky, uint32_t bad) {
  psock_text_codec_init(&picky->text, 0);
  picky->text.codec.encode = encode_picky;
  picky->bad = bad;
}

/* The connection's own sender, or a clone. */
static psock_sender *choose(struct rig *rig, int clone) {
  return clone ? rig_clone(rig) : rig->near.sender;
}

static int send_group(psock_sender *sender, uint32_t lane, uint32_t first,
    size_t count, const struct psock_send_options *options) {
  char buffers[16][16];
  struct psock_text texts[16];
  const void *messages[16];
  for (uint32_t i = 0; i < count; i++) {
    texts[i] = rig_message(buffers[i], lane, first + i, sizeof buffers[i]);
    messages[i] = &texts[i];
  }
  return psock_send_many(sender, messages, count, options);
}

START_TEST(messages_arrive_in_order) {
  struct rig rig;
  rig_init(&rig);
  rig_open(&rig);
  psock_sender *sender = choose(&rig, _i);
  for (uint32_t i = 0; i < 300; i++) {
    ck_assert_int_eq(rig_send(sender, 7, i, 8 + i * i), 0);
    if (i % 20 == 0)
      rig_settle(&rig);
  }
  rig_settle(&rig);
  ck_assert(rig_in_order(&rig, 7, 300));
  ck_assert_uint_eq(psock_sender_get_queued(sender), 0);
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

START_TEST(every_sender_keeps_its_order) {
  struct rig rig;
  psock_sender *senders[5];
  rig_init(&rig);
  rig_open(&rig);
  senders[0] = rig.near.sender;
  for (int i = 1; i < 5; i++)
    ck_assert_int_eq(psock_sender_clone(senders[i - 1], &senders[i]), 0);
  for (uint32_t i = 0; i < 500; i++) {
    ck_assert_int_eq(rig_send(senders[i * 7 % 5], i * 7 % 5, i / 5, 20), 0);
    if (i % 50 == 0)
      psock_test_loop_turn(rig.loop);
  }
  rig_settle(&rig);
  for (uint32_t i = 0; i < 5; i++)
    ck_assert(rig_in_order(&rig, i, 100));
  for (int i = 1; i < 5; i++)
    psock_sender_drop(senders[i]);
  rig_fini(&rig);
}
END_TEST

START_TEST(dropped_with_messages_queued) {
  struct rig rig;
  rig_init(&rig);
  rig_open(&rig);
  for (uint32_t lane = 0; lane < 3; lane++) {
    psock_sender *clone = rig_clone(&rig);
    for (uint32_t i = 0; i < 5; i++)
      ck_assert_int_eq(rig_send(clone, lane, i, i == 3 ? 100000 : 10), 0);
    psock_sender_drop(clone);
  }
  psock_sender_drop(NULL);
  rig_settle(&rig);
  for (uint32_t lane = 0; lane < 3; lane++)
    ck_assert(rig_in_order(&rig, lane, 5));
  rig_fini(&rig);
}
END_TEST

/* A clone that was never used, or was used long ago, costs nothing. */
START_TEST(dropped_clones_are_freed) {
  struct rig rig;
  rig_init(&rig);
  rig_open(&rig);
  size_t live = atomic_load(&rig.fault.live);
  for (int i = 0; i < 10; i++)
    psock_sender_drop(rig_clone(&rig));
  ck_assert_uint_eq(atomic_load(&rig.fault.live), live);
  psock_sender *used = rig_clone(&rig);
  ck_assert_int_eq(rig_send(used, 0, 0, 10), 0);
  rig_settle(&rig);
  size_t with_used = atomic_load(&rig.fault.live);
  psock_sender_drop(used);
  rig_settle(&rig);
  ck_assert_uint_eq(atomic_load(&rig.fault.live), with_used - 1);
  rig_fini(&rig);
}
END_TEST

START_TEST(groups_stay_together) {
  struct rig rig;
  psock_sender *senders[3];
  rig_init(&rig);
  rig_open(&rig);
  senders[0] = rig.near.sender;
  senders[1] = rig_clone(&rig);
  senders[2] = rig_clone(&rig);
  for (uint32_t i = 0; i < 200; i++)
    for (uint32_t lane = 0; lane < 3; lane++)
      ck_assert_int_eq(send_group(senders[lane], lane, i * 10, 10, NULL), 0);
  rig_settle(&rig);
  for (size_t i = 0; i < rig.far.got_count; i++) {
    const struct rig_got *got = &rig.far.got[i];
    ck_assert(got->number % 10 == 0 ||
              (got[-1].lane == got->lane && got[-1].number + 1 == got->number));
  }
  for (uint32_t lane = 0; lane < 3; lane++)
    ck_assert(rig_in_order(&rig, lane, 2000));
  psock_sender_drop(senders[1]);
  psock_sender_drop(senders[2]);
  rig_fini(&rig);
}
END_TEST

START_TEST(an_encode_error_leaves_no_trace) {
  struct rig rig;
  struct picky_codec picky;
  rig_init(&rig);
  picky_init(&picky, 1000);
  rig.near.options.outbound = &picky.text.codec;
  rig_open(&rig);
  psock_sender *sender = choose(&rig, _i);
  struct psock_record record = {&rig, 42};
  for (uint32_t i = 0; i < 10; i++) {
    size_t queued = psock_sender_get_queued(sender);
    struct psock_send_options options = {
        .size = sizeof options, .record = &record};
    ck_assert_int_eq(rig_send(sender, 0, 1000, 300), PSOCK_EDEPTH);
    ck_assert_int_eq(send_group(sender, 0, 998, 5, &options), PSOCK_EDEPTH);
    ck_assert_int_eq(
        rig_send_lent(sender, rig_lend(&rig, 1000, 40000, 0), &record),
        PSOCK_EDEPTH);
    ck_assert_uint_eq(psock_sender_get_queued(sender), queued);
    if (i % 3 != 0)
      rig_settle(&rig);
    ck_assert_int_eq(rig_send(sender, 0, i, 3000), 0);
  }
  rig_settle(&rig);
  ck_assert(rig_in_order(&rig, 0, 10));
  ck_assert_uint_eq(rig.near.record_count, 0);
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

START_TEST(wrong_arguments) {
  struct rig rig;
  const void *none = NULL;
  rig_init(&rig);
  rig_open(&rig);
  psock_sender *sender = choose(&rig, _i);
  struct psock_send_options options = {.size = 0};
  ck_assert_int_eq(psock_send_many(sender, &none, 0, NULL), PSOCK_EINVAL);
  ck_assert_int_eq(send_group(sender, 0, 0, 1, &options), PSOCK_EINVAL);
  options.size = sizeof options;
  options.timeout = 1;
  ck_assert_int_eq(send_group(sender, 0, 0, 1, &options), PSOCK_ELOOPTHREAD);
  rig_settle(&rig);
  ck_assert_uint_eq(rig.far.got_count, 0);
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

/* As a program sends that was built when there was less to say, or more. */
START_TEST(options_of_other_sizes) {
  struct rig rig;
  struct {
    struct psock_send_options known;
    size_t more;
  } longer = {.known = {.size = sizeof longer}, .more = 1};
  struct psock_record record = {&rig, 42};
  rig_init(&rig);
  rig_open(&rig);
  struct psock_send_options shorter = {
      .size = offsetof(struct psock_send_options, release),
      .record = &record,
      .timeout = 1,
  };
  ck_assert_int_eq(send_group(rig.near.sender, 0, 0, 1, &shorter), 0);
  longer.known.record = &record;
  ck_assert_int_eq(send_group(rig.near.sender, 0, 1, 1, &longer.known), 0);
  rig_settle(&rig);
  ck_assert(rig_in_order(&rig, 0, 2));
  ck_assert_uint_eq(rig.near.record_count, 2);
  rig_fini(&rig);
}
END_TEST

START_TEST(nothing_can_be_sent_without_a_codec) {
  struct rig rig;
  psock_codec deaf = {.size = sizeof deaf};
  rig_init(&rig);
  rig.near.options.outbound = _i < 2 ? NULL : &deaf;
  rig_open(&rig);
  psock_sender *sender = choose(&rig, _i % 2);
  ck_assert_int_eq(rig_send(sender, 0, 0, 10), PSOCK_ENOTSUP);
  ck_assert_int_eq(send_group(sender, 0, 0, 2, NULL), PSOCK_ENOTSUP);
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

/* ---- the end ---- */

static void check_closed(psock_sender *sender) {
  psock_sender *clone = NULL;
  ck_assert_int_eq(rig_send(sender, 0, 0, 10), PSOCK_ECLOSED);
  ck_assert_int_eq(send_group(sender, 0, 0, 2, NULL), PSOCK_ECLOSED);
  ck_assert_int_eq(psock_sender_clone(sender, &clone), PSOCK_ECLOSED);
  ck_assert_ptr_null(clone);
}

static void check_closed_in_closed(struct rig_end *end) {
  check_closed(end->sender);
}

START_TEST(a_closing_connection_refuses) {
  struct rig rig;
  rig_init(&rig);
  rig.near.on_closed = check_closed_in_closed;
  rig_open(&rig);
  psock_sender *clone = rig_clone(&rig);
  ck_assert_int_eq(rig_send(clone, 0, 0, 10), 0);
  psock_connection_close(rig.near.connection);
  check_closed(rig.near.sender);
  check_closed(clone);
  rig_settle(&rig);
  ck_assert(rig_in_order(&rig, 0, 1));
  ck_assert_uint_eq(rig.near.closed, 1);
  ck_assert_int_eq(rig.near.reason, 0);
  check_closed(clone);
  psock_sender_drop(clone);
  rig_fini(&rig);
}
END_TEST

START_TEST(a_clone_outlives_connection_and_loop) {
  struct rig rig;
  rig_init(&rig);
  rig_open(&rig);
  psock_sender *clone = rig_clone(&rig);
  psock_sender *other = rig_clone(&rig);
  ck_assert_int_eq(rig_send(other, 0, 0, 10), 0);
  psock_connection_free(rig.near.connection);
  check_closed(clone);
  psock_sender_drop(other);
  psock_connection_free(rig.far.connection);
  psock_loop_free(rig.loop);
  rig.loop = NULL;
  check_closed(clone);
  (void)psock_sender_get_queued(clone);
  psock_sender_drop(clone);
  rig_fini(&rig);
}
END_TEST

/* ---- the loop ---- */

START_TEST(one_wakeup_for_each_change_from_empty) {
  struct rig rig;
  psock_sender *senders[4];
  rig_init(&rig);
  rig_open(&rig);
  for (int i = 0; i < 4; i++)
    senders[i] = rig_clone(&rig);
  uint64_t before = rig_wakeups(&rig);
  for (uint32_t round = 1; round <= 5; round++) {
    for (uint32_t i = 0; i < 100; i++)
      ck_assert_int_eq(rig_send(senders[i % 4], i % 4, i / 4, 10), 0);
    ck_assert_uint_eq(rig_wakeups(&rig), before + round);
    rig_settle(&rig);
  }
  ck_assert_uint_eq(rig.far.got_count, 500);
  ck_assert_uint_eq(rig_wakeups(&rig), before + 5);
  for (int i = 0; i < 100; i++)
    ck_assert_int_eq(rig_send(rig.near.sender, 9, (uint32_t)i, 10), 0);
  rig_settle(&rig);
  ck_assert_uint_eq(rig_wakeups(&rig), before + 5);
  for (int i = 0; i < 4; i++)
    psock_sender_drop(senders[i]);
  rig_fini(&rig);
}
END_TEST

static uint64_t sends_of(const struct rig_end *end) {
  struct psock_connection_stats stats = {.size = sizeof stats};
  psock_connection_get_stats(end->connection, &stats);
  return stats.sends;
}

/* What is sent outside of callbacks leaves in this turn, all at once. */
START_TEST(one_turn_and_one_send) {
  struct rig rig;
  rig_init(&rig);
  rig_open(&rig);
  psock_sender *sender = choose(&rig, _i);
  for (uint32_t i = 0; i < 100; i++)
    ck_assert_int_eq(rig_send(sender, 0, i, 20), 0);
  psock_test_loop_turn(rig.loop);
  ck_assert_uint_eq(rig.near.tap.sent, 100 * RIG_FRAME(20));
  ck_assert_uint_eq(sends_of(&rig.near), 1);
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

static void answer(struct rig_end *end) {
  ck_assert_int_eq(
      rig_send(end->sender, 0, (uint32_t)end->got_count - 1, 20), 0);
  ck_assert_uint_eq(end->tap.sent, 0);
}

START_TEST(answers_leave_when_the_batch_ends) {
  struct rig rig;
  rig_init(&rig);
  rig.far.on_message = answer;
  rig_open(&rig);
  for (uint32_t i = 0; i < 100; i++)
    ck_assert_int_eq(rig_send(rig.near.sender, 0, i, 20), 0);
  rig_settle(&rig);
  ck_assert_uint_eq(rig.near.got_count, 100);
  ck_assert_uint_eq(sends_of(&rig.far), 1);
  rig_fini(&rig);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("sender");
  TCase *tcase = rig_case(suite, "messages");
  tcase_add_loop_test(tcase, messages_arrive_in_order, 0, 2);
  tcase_add_test(tcase, every_sender_keeps_its_order);
  tcase_add_test(tcase, dropped_with_messages_queued);
  tcase_add_test(tcase, dropped_clones_are_freed);
  tcase_add_test(tcase, groups_stay_together);
  tcase_add_loop_test(tcase, an_encode_error_leaves_no_trace, 0, 2);
  tcase_add_loop_test(tcase, wrong_arguments, 0, 2);
  tcase_add_test(tcase, options_of_other_sizes);
  tcase_add_loop_test(tcase, nothing_can_be_sent_without_a_codec, 0, 4);
  tcase = rig_case(suite, "end");
  tcase_add_test(tcase, a_closing_connection_refuses);
  tcase_add_test(tcase, a_clone_outlives_connection_and_loop);
  tcase = rig_case(suite, "loop");
  tcase_add_test(tcase, one_wakeup_for_each_change_from_empty);
  tcase_add_loop_test(tcase, one_turn_and_one_send, 0, 2);
  tcase_add_test(tcase, answers_leave_when_the_batch_ends);
  return rig_main(suite);
}
