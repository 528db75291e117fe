/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/rig.h"

#include "codec/frame.h"
#include <stdlib.h>

/*
 * What travels beside the bytes. A record is given exactly once, before the
 * bytes leave or when they never will. Lent memory is not copied from 16 KiB
 * on, and is released exactly once, on the loop's thread, when it is not needed
 * any more; never, when sending failed. A test's messages are released as often
 * as their `expected` says: rig_fini looks.
 */

#define LEND_MIN ((size_t)16 << 10)
#define COUNT_LENGTH 3

static psock_sender *choose(struct rig *rig, int clone) {
  return clone ? rig_clone(rig) : rig->near.sender;
}

/* Appends a text in three parts, as a message with three fields would be. */
static int encode_split(
    const psock_codec *codec, const void *message, psock_buffer *out) {
  const struct psock_text *text = message;
  (void)codec;
  uint8_t *room = psock_buffer_reserve(out, PSOCK_COUNT_MAX);
  if (room == NULL)
    return PSOCK_ENOMEM;
  psock_buffer_commit(out, psock_count_put(room, text->length));
  size_t third = text->length / 3;
  int error = psock_buffer_append(out, text->text, third);
  if (error == 0)
    error = psock_buffer_append(out, text->text + third, third);
  if (error == 0)
    error = psock_buffer_append(
        out, text->text + 2 * third, text->length - 2 * third);
  return error;
}

static const psock_codec split = {.size = sizeof split, .encode = encode_split};

static void watch(struct rig *rig, const struct rig_lent *lent) {
  rig->near.tap.watched = lent->text.text;
  rig->near.tap.watched_length = lent->text.length;
}

/* ---- what is copied ---- */

START_TEST(large_ones_are_not_copied) {
  static const struct {
    size_t length;
    bool lent;
  } rows[] = {
      {LEND_MIN, true},
      {LEND_MIN - 1, false},
      {500000, true},
      {RIG_MESSAGE_MIN, false},
  };
  struct rig rig;
  rig_init(&rig);
  rig_open(&rig);
  psock_sender *sender = choose(&rig, _i % 2);
  struct rig_lent *lent = rig_lend(&rig, 0, rows[_i / 2].length, 1);
  watch(&rig, lent);
  ck_assert_int_eq(rig_send_lent(sender, lent, NULL), 0);
  ck_assert_uint_eq(lent->released, 0);
  rig_settle(&rig);
  ck_assert_uint_eq(lent->released, 1);
  ck_assert_uint_eq(
      rig.near.tap.watched_sent, rows[_i / 2].lent ? rows[_i / 2].length : 0);
  ck_assert(rig_in_order(&rig, 0, 1));
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

START_TEST(without_a_release_all_is_copied) {
  struct rig rig;
  rig_init(&rig);
  rig_open(&rig);
  psock_sender *sender = choose(&rig, _i);
  struct rig_lent *mine = rig_lend(&rig, 0, 100000, 0);
  watch(&rig, mine);
  ck_assert_int_eq(psock_send(sender, &mine->text), 0);
  rig_settle(&rig);
  ck_assert_uint_eq(rig.near.tap.watched_sent, 0);
  ck_assert(rig_in_order(&rig, 0, 1));
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

/* Not before the last byte was taken. */
START_TEST(released_when_all_has_left) {
  struct rig rig;
  rig_init(&rig);
  if (_i >= 2)
    rig.near.options.outbound = &split;
  rig_open(&rig);
  psock_sender *sender = choose(&rig, _i % 2);
  struct rig_lent *lent = rig_lend(&rig, 0, 60000, 1);
  rig_block(&rig);
  ck_assert_int_eq(rig_send_lent(sender, lent, NULL), 0);
  rig_settle(&rig);
  for (size_t left = 60000 + COUNT_LENGTH; left > 0; left -= left / 2 + 1) {
    ck_assert_uint_eq(lent->released, 0);
    rig_let_leave(&rig, left / 2 + 1);
  }
  ck_assert_uint_eq(lent->released, 1);
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

START_TEST(many_fields_have_one_release) {
  struct rig rig;
  rig_init(&rig);
  rig.near.options.outbound = &split;
  rig_open(&rig);
  psock_sender *sender = choose(&rig, _i % 2);
  size_t length = _i >= 2 ? 3 * LEND_MIN : 3 * LEND_MIN - 1;
  struct rig_lent *lent = rig_lend(&rig, 0, length, 1);
  watch(&rig, lent);
  rig_block(&rig);
  ck_assert_int_eq(rig_send_lent(sender, lent, NULL), 0);
  rig_let_leave(&rig, length + COUNT_LENGTH - 1);
  ck_assert_uint_eq(lent->released, 0);
  rig_unblock(&rig);
  rig_settle(&rig);
  ck_assert_uint_eq(lent->released, 1);
  /* The last of three parts is large enough, the others only sometimes. */
  ck_assert_uint_eq(
      rig.near.tap.watched_sent, _i >= 2 ? length : length - 2 * (length / 3));
  ck_assert(rig_in_order(&rig, 0, 1));
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

/* All messages of one send have one release, after the last of them. */
START_TEST(a_group_has_one_release) {
  struct rig rig;
  rig_init(&rig);
  rig_open(&rig);
  psock_sender *sender = choose(&rig, _i);
  const void *all[4];
  for (uint32_t i = 0; i < 3; i++)
    all[i] = &rig_lend(&rig, i, i == 1 ? 100 : 20000, 0)->text;
  struct rig_lent *last = rig_lend(&rig, 3, 20000, 1);
  all[3] = &last->text;
  struct psock_send_options options = {.size = sizeof options};
  rig_release_with(&options, last);
  rig_block(&rig);
  ck_assert_int_eq(psock_send_many(sender, all, 4, &options), 0);
  rig_let_leave(&rig, 3 * 20003 + 101 - 1);
  ck_assert_uint_eq(last->released, 0);
  rig_let_leave(&rig, 1);
  ck_assert_uint_eq(last->released, 1);
  ck_assert(rig_in_order(&rig, 0, 4));
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

/* ---- how it ends ---- */

enum ending { SENT, CLOSE, FREE, FAIL, PEER_GONE, LOOP_FREE, TIMEOUT, ENDINGS };

static void end_it(struct rig *rig, enum ending ending) {
  switch (ending) {
  case SENT:
  case CLOSE:
    if (ending == CLOSE)
      psock_connection_close(rig->near.connection);
    rig_unblock(rig);
    break;
  case FREE:
    psock_connection_free(rig->near.connection);
    break;
  case FAIL:
    psock_memory_fail(rig->near.memory, PSOCK_MEMORY_SEND, 0, PSOCK_ERESET);
    rig_unblock(rig);
    break;
  case PEER_GONE:
    psock_connection_free(rig->far.connection);
    rig_unblock(rig);
    break;
  case TIMEOUT:
    psock_connection_close(rig->near.connection);
    psock_test_loop_advance(rig->loop, (uint64_t)11 * 1000000000u);
    break;
  case LOOP_FREE:
  default:
    psock_loop_free(rig->loop);
    rig->loop = NULL;
    return;
  }
  rig_settle(rig);
}

/* Some of it has left, some is collected, some is still with the sender. */
START_TEST(everything_ends_once) {
  enum ending ending = (enum ending)(_i / 2);
  struct rig rig;
  struct psock_record record = {&rig, 0};
  rig_init(&rig);
  rig_open(&rig);
  psock_sender *sender = choose(&rig, _i % 2);
  rig_block(&rig);
  for (uint32_t i = 0; i < 12; i++) {
    struct rig_lent *lent = rig_lend(&rig, i, i % 3 == 1 ? 100 : 20000, 1);
    record.word = i;
    ck_assert_int_eq(rig_send_lent(sender, lent, &record), 0);
    if (i == 3)
      rig_let_leave(&rig, 30000);
    if (i == 7)
      rig_settle(&rig);
  }
  end_it(&rig, ending);
  ck_assert_uint_eq(rig.near.closed, ending == SENT ? 0 : 1);
  ck_assert_uint_eq(rig.near.record_count, 12);
  for (size_t i = 0; i < 12; i++)
    ck_assert_uint_eq(rig.near.records[i].record.word, i);
  for (struct rig_lent *lent = rig.lent; lent != NULL; lent = lent->next)
    ck_assert_uint_eq(lent->released, 1);
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

/* When sending fails, the memory is still the caller's. */
START_TEST(no_release_after_a_failure) {
  struct rig rig;
  rig_init(&rig);
  rig.near.options.max_queued = 50000;
  rig_open(&rig);
  psock_sender *sender = choose(&rig, _i % 2);
  size_t length = _i < 2 ? 100 : 30000;
  rig_block(&rig);
  ck_assert_int_eq(rig_send(sender, 0, 0, 49950), 0);
  ck_assert_int_eq(
      rig_send_lent(sender, rig_lend(&rig, 1, length, 0), NULL), PSOCK_EFULL);
  ck_assert_int_eq(
      rig_send_lent(sender, rig_lend(&rig, 1, 60000, 0), NULL), PSOCK_ETOOBIG);
  psock_connection_close(rig.near.connection);
  ck_assert_int_eq(
      rig_send_lent(sender, rig_lend(&rig, 1, length, 0), NULL), PSOCK_ECLOSED);
  rig_unblock(&rig);
  rig_settle(&rig);
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

/* ---- what a release may do ---- */

static void release_frees(struct rig_lent *lent) {
  psock_connection_free(lent->rig->near.connection);
}

static void release_closes(struct rig_lent *lent) {
  if (lent->rig->near.connection != NULL)
    psock_connection_close(lent->rig->near.connection);
}

static void release_sends(struct rig_lent *lent) {
  if (lent->rig->near.connection != NULL)
    ck_assert_int_eq(rig_send(lent->rig->near.sender, 5, 0, 100), 0);
}

START_TEST(a_release_may_do_anything) {
  static void (*const acts[])(struct rig_lent * lent) = {
      release_frees, release_closes, release_sends};
  struct rig rig;
  rig_init(&rig);
  rig_open(&rig);
  psock_sender *sender = choose(&rig, _i % 2);
  for (uint32_t i = 0; i < 4; i++) {
    struct rig_lent *lent = rig_lend(&rig, i, _i % 4 < 2 ? 20000 : 100, 1);
    if (i == 1)
      lent->on_release = acts[_i / 4];
    ck_assert_int_eq(rig_send_lent(sender, lent, NULL), 0);
  }
  rig_settle(&rig);
  if (_i / 4 == 2) {
    ck_assert(rig_in_order(&rig, 5, 1));
    ck_assert(rig_in_order(&rig, 0, 4));
  } else {
    ck_assert_uint_eq(rig.near.closed, 1);
  }
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

/* ---- records ---- */

/* Of every third message, on three senders, through a narrow transport. */
START_TEST(records_come_before_bytes) {
  struct rig rig;
  psock_sender *senders[3];
  rig_init(&rig);
  rig.capacity = 1000;
  rig_open(&rig);
  psock_connection_pause(rig.far.connection);
  senders[0] = rig.near.sender;
  senders[1] = rig_clone(&rig);
  senders[2] = rig_clone(&rig);
  for (uint32_t i = 0; i < 300; i++) {
    struct psock_record record = {&rig, i};
    struct psock_send_options options = {
        .size = sizeof options, .record = &record};
    char buffer[99];
    struct psock_text text = rig_message(buffer, i % 3, i / 3, sizeof buffer);
    ck_assert_int_eq(rig_send_with(&rig, senders[i % 3], &text, &options), 0);
    if (i % 7 == 0)
      psock_test_loop_turn(rig.loop);
    if (i % 70 == 0)
      psock_connection_resume(rig.far.connection);
  }
  rig_settle(&rig);
  ck_assert_uint_eq(rig.near.record_count, 300);
  ck_assert_uint_eq(rig.far.got_count, 300);
  for (size_t i = 0; i < 300; i++) {
    const struct rig_got *got = &rig.far.got[i];
    uint64_t word = (uint64_t)got->number * 3 + got->lane;
    size_t k = 0;
    while (k < 300 && rig.near.records[k].record.word != word)
      k++;
    ck_assert_uint_lt(k, 300);
    ck_assert_ptr_eq(rig.near.records[k].record.pointer, &rig);
    /* Every message takes 100 bytes, so this one began there. */
    ck_assert_uint_le(rig.near.records[k].sent, i * 100);
  }
  psock_sender_drop(senders[1]);
  psock_sender_drop(senders[2]);
  rig_fini(&rig);
}
END_TEST

static void records_free(struct rig_end *end) {
  psock_connection_free(end->connection);
}

static void records_send(struct rig_end *end) {
  if (end->record_count < 20)
    ck_assert_int_eq(
        rig_send_lent(end->sender,
            rig_lend(end->rig, (uint32_t)end->record_count, 100, 1),
            &end->records[0].record),
        0);
}

START_TEST(records_may_do_anything) {
  struct rig rig;
  struct psock_record record = {&rig, 1};
  rig_init(&rig);
  rig.near.on_records = _i < 2 ? records_free : records_send;
  rig_open(&rig);
  psock_sender *sender = choose(&rig, _i % 2);
  psock_connection_want_room(rig.near.connection);
  ck_assert_int_eq(
      rig_send_lent(sender, rig_lend(&rig, 0, 100, 1), &record), 0);
  rig_settle(&rig);
  ck_assert_uint_eq(rig.near.closed, _i < 2);
  ck_assert_uint_eq(rig.near.record_count, _i < 2 ? 1 : 20);
  ck_assert_uint_eq(rig.near.tap.sent, _i < 2 ? 0 : 20 * 101);
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

/* Sent before the connection is open, which it never will be. */
START_TEST(what_was_sent_too_early_is_settled) {
  struct rig rig;
  struct psock_record record = {&rig, 1};
  rig_init(&rig);
  ck_assert_int_eq(rig_try_open(&rig), 0);
  psock_memory_fail(rig.near.memory, PSOCK_MEMORY_OPEN, 0,
      _i < 2 ? PSOCK_EAGAIN : PSOCK_EREFUSED);
  psock_sender *sender = choose(&rig, _i % 2);
  ck_assert_int_eq(
      rig_send_lent(sender, rig_lend(&rig, 0, 20000, 1), &record), 0);
  ck_assert_int_eq(
      rig_send_lent(sender, rig_lend(&rig, 1, 200, 1), &record), 0);
  for (int i = 0; i < 20; i++)
    psock_test_loop_turn(rig.loop);
  psock_test_loop_advance(rig.loop, (uint64_t)11 * 1000000000u);
  rig_settle(&rig);
  ck_assert_uint_eq(rig.near.opened, 0);
  ck_assert_uint_eq(rig.near.closed, 1);
  ck_assert_int_eq(rig.near.reason, _i < 2 ? PSOCK_ETIMEDOUT : PSOCK_EREFUSED);
  ck_assert_uint_eq(rig.near.record_count, 2);
  rig_drop(&rig, sender);
  rig_fini(&rig);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("records and releases");
  TCase *tcase = rig_case(suite, "lending");
  tcase_add_loop_test(tcase, large_ones_are_not_copied, 0, 8);
  tcase_add_loop_test(tcase, without_a_release_all_is_copied, 0, 2);
  tcase_add_loop_test(tcase, released_when_all_has_left, 0, 4);
  tcase_add_loop_test(tcase, many_fields_have_one_release, 0, 4);
  tcase_add_loop_test(tcase, a_group_has_one_release, 0, 2);
  tcase = rig_case(suite, "endings");
  tcase_add_loop_test(tcase, everything_ends_once, 0, 2 * ENDINGS);
  tcase_add_loop_test(tcase, no_release_after_a_failure, 0, 4);
  tcase_add_loop_test(tcase, a_release_may_do_anything, 0, 12);
  tcase = rig_case(suite, "records");
  tcase_add_test(tcase, records_come_before_bytes);
  tcase_add_loop_test(tcase, records_may_do_anything, 0, 4);
  tcase_add_loop_test(tcase, what_was_sent_too_early_is_settled, 0, 4);
  return rig_main(suite);
}
