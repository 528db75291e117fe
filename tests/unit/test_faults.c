/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/rig.h"

#include <string.h>

/*
 * Every allocation of a connection's life fails, one by one: exactly the i-th,
 * and all from the i-th on. What is asked for then either works or says so;
 * nothing is left behind, and what was acknowledged arrives, unless one of the
 * ends is told an error when it closes.
 */

#define CLONES 2
#define HOLDS 16

/* More than the story allocates. */
#define SWEEP 10000

struct story {
  struct rig rig;
  psock_sender *senders[1 + CLONES]; /* the first is the connection's */
  unsigned sent[1 + CLONES];         /* acknowledged */
  unsigned records;
  psock_hold *holds[HOLDS];
  unsigned held;
  unsigned echoed;
};

/* Whether `error` is one that a lack of memory may bring. */
static bool is_excusable(int error) {
  return error == 0 || error == PSOCK_ENOMEM || error == PSOCK_ECLOSED;
}

static void note(
    struct story *story, unsigned lane, unsigned count, int error) {
  ck_assert_msg(is_excusable(error), "a send said %s", psock_errname(error));
  if (error == 0)
    story->sent[lane] += count;
}

static bool has_sender(const struct story *story, unsigned lane) {
  if (lane == 0)
    return story->rig.near.connection != NULL;
  return story->senders[lane] != NULL;
}

static psock_sender *sender_of(const struct story *story, unsigned lane) {
  return lane == 0 ? story->rig.near.sender : story->senders[lane];
}

static void send_one(struct story *story, unsigned lane, size_t length) {
  if (!has_sender(story, lane))
    return;
  psock_sender *sender = sender_of(story, lane);
  note(story, lane, 1, rig_send(sender, lane, story->sent[lane], length));
}

/* Three at once, with a record. */
static void send_three(struct story *story, unsigned lane) {
  char buffers[3][100];
  struct psock_text texts[3];
  const void *messages[3];
  struct psock_record record = {story, lane};
  struct psock_send_options options = {
      .size = sizeof options,
      .record = &record,
  };
  if (!has_sender(story, lane))
    return;
  for (unsigned i = 0; i < 3; i++) {
    texts[i] = rig_message(buffers[i], lane, story->sent[lane] + i, 100);
    messages[i] = &texts[i];
  }
  int error = psock_send_many(sender_of(story, lane), messages, 3, &options);
  note(story, lane, 3, error);
  story->records += error == 0;
}

/* One that is large enough to be sent from where it is, or isn't. */
static void send_lent(struct story *story, unsigned lane, size_t length) {
  struct psock_record record = {story, lane};
  if (!has_sender(story, lane))
    return;
  struct rig_lent *lent = rig_lend(&story->rig, story->sent[lane], length, 0);
  uint32_t number = lane;
  memcpy((char *)(uintptr_t)lent->text.text, &number, sizeof number);
  int error = rig_send_lent(sender_of(story, lane), lent, &record);
  note(story, lane, 1, error);
  story->records += error == 0;
  lent->expected = error == 0;
}

/* Keeps some messages, answers some, and pauses once. */
static void on_message(struct rig_end *end) {
  struct story *story = (struct story *)end->rig;
  if (end->got_count % 3 == 0 && story->held < HOLDS) {
    int error =
        psock_connection_hold(end->connection, &story->holds[story->held]);
    ck_assert(error == 0 || error == PSOCK_ENOMEM);
    story->held += error == 0;
  }
  if (end->got_count % 4 == 0) {
    int error = rig_send(end->sender, 0, story->echoed, 50);
    ck_assert(is_excusable(error));
    story->echoed += error == 0;
  }
  if (end->got_count == 5)
    psock_connection_pause(end->connection);
}

static void release_holds(struct story *story) {
  while (story->held > 0)
    psock_hold_release(story->holds[--story->held]);
}

static void send_all(struct story *story) {
  for (unsigned lane = 0; lane <= CLONES; lane++) {
    send_one(story, lane, 20);
    send_three(story, lane);
    send_lent(story, lane, 40000);
    send_one(story, lane, 70000);
    send_lent(story, lane, 1000);
  }
}

static void clone_all(struct story *story) {
  for (unsigned lane = 1; lane <= CLONES; lane++) {
    if (story->rig.near.connection == NULL)
      return;
    int error =
        psock_sender_clone(story->rig.near.sender, &story->senders[lane]);
    ck_assert(is_excusable(error));
  }
}

/* The whole of it; with a loop and connections, if there was memory for
 * them. */
static void tell(struct story *story) {
  struct rig *rig = &story->rig;
  rig_settle(rig);
  clone_all(story);
  send_all(story);
  rig_settle(rig);
  release_holds(story);
  if (rig->far.connection != NULL)
    psock_connection_resume(rig->far.connection);
  send_all(story);
  rig_settle(rig);
  psock_sender_drop(story->senders[1]);
  story->senders[1] = NULL;
  send_all(story);
  if (rig->near.connection != NULL)
    psock_connection_drain(rig->near.connection);
  rig_settle(rig);
  release_holds(story);
  psock_sender_drop(story->senders[2]);
  psock_test_loop_advance(rig->loop, (uint64_t)60 * 1000000000u);
  rig_settle(rig);
}

static void check_arrival(const struct story *story) {
  const struct rig *rig = &story->rig;
  bool excused = rig->near.reason != 0 || rig->far.reason != 0;
  for (unsigned lane = 0; lane <= CLONES; lane++)
    ck_assert_msg(excused || rig_in_order(rig, lane, story->sent[lane]),
        "lane %u lost something in good order", lane);
  ck_assert_msg(rig->near.record_count == story->records,
      "%zu records came of %u", rig->near.record_count, story->records);
}

/* One telling; returns whether an allocation was refused. */
static bool tell_once(size_t at, bool onwards) {
  struct story story = {.held = 0};
  struct rig *rig = &story.rig;
  rig_init(rig);
  rig->capacity = 8192;
  rig->near.options.max_queued = (size_t)2 << 20;
  rig->far.on_message = on_message;
  alloc_fault_arm(&rig->fault, at, onwards);
  int error = rig_try_open(rig);
  ck_assert(error == 0 || error == PSOCK_ENOMEM);
  if (error == 0) {
    tell(&story);
    ck_assert_uint_eq(rig->near.closed, 1);
    ck_assert_uint_eq(rig->far.closed, 1);
    check_arrival(&story);
  }
  bool refused = atomic_load(&rig->fault.refused) > 0;
  if (at == 0)
    ck_assert(rig->near.reason == 0 && story.records == 24);
  rig_fini(rig);
  return refused;
}

START_TEST(story_is_complete) {
  ck_assert(!tell_once(0, false));
}
END_TEST

START_TEST(every_allocation_fails) {
  size_t at = 1;
  while (at < SWEEP && tell_once(at, _i != 0))
    at++;
  ck_assert_uint_gt(at, 50);
  ck_assert_uint_lt(at, SWEEP);
}
END_TEST

/* A send that had no memory is as if it had not been: the next one works. */
START_TEST(a_send_without_memory_leaves_no_trace) {
  struct story story = {.held = 0};
  struct rig *rig = &story.rig;
  rig_init(rig);
  rig_open(rig);
  clone_all(&story);
  unsigned lane = _i > 0;
  for (unsigned round = 1; round < 30; round++) {
    size_t queued = psock_sender_get_queued(sender_of(&story, lane));
    unsigned sent = story.sent[lane];
    alloc_fault_arm(&rig->fault, 1, true);
    if (round % 2 == 0)
      send_lent(&story, lane, 20000);
    else
      send_one(&story, lane, 300000);
    alloc_fault_disarm(&rig->fault);
    if (story.sent[lane] == sent)
      ck_assert_uint_eq(
          psock_sender_get_queued(sender_of(&story, lane)), queued);
    send_lent(&story, lane, 20000);
    send_one(&story, lane, 20);
    rig_settle(rig);
  }
  ck_assert(rig_in_order(rig, lane, story.sent[lane]));
  ck_assert_uint_ge(story.sent[lane], 58);
  psock_sender_drop(story.senders[1]);
  psock_sender_drop(story.senders[2]);
  rig_fini(rig);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("allocation faults");
  TCase *tcase = rig_case(suite, "memory");
  tcase_add_test(tcase, story_is_complete);
  tcase_add_loop_test(tcase, every_allocation_fails, 0, 2);
  tcase_add_loop_test(tcase, a_send_without_memory_leaves_no_trace, 0, 2);
  return rig_main(suite);
}
