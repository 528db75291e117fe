/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/world.h"

#include <string.h>

/*
 * Who waits for whom: limits of the queue, producers that follow their peer,
 * pauses, the budget of a turn, and two sides that flood each other.
 */

static struct world world;

static void begin(int medium) {
  world_init(&world, (enum medium)medium);
}

static size_t thousand(unsigned n) {
  (void)n;
  return 1000;
}

/* ---- the queue's limit ---- */

static unsigned writable_calls;
static size_t queued_at_call;

static void on_writable(void *data) {
  struct side *side = data;
  writable_calls++;
  queued_at_call = psock_sender_get_queued(side->sender);
}

/* Sends until neither the queue nor the kernel takes any more. */
static void stuff(struct side *side, size_t length) {
  size_t limit = side->options.max_queued;
  for (int rounds = 0; rounds < 3; rounds++) {
    world_settle(&world);
    int error;
    while ((error = side_send(side, length)) == 0) {
      rounds = -1;
      DEMAND(psock_sender_get_queued(side->sender) <= limit, "too much");
    }
    ck_assert_int_eq(error, PSOCK_EFULL);
  }
}

START_TEST(queue_is_full) {
  begin(_i);
  world.one.options.max_queued = 100000;
  world.other.length_of = thousand;
  world_pair(&world);
  psock_connection_pause(world.other.connection);
  psock_sender_on_writable(world.one.sender, on_writable, &world.one);
  stuff(&world.one, 1000);
  ck_assert_uint_gt(psock_sender_get_queued(world.one.sender), 100000 - 1002);
  unsigned calls = writable_calls;
  psock_connection_resume(world.other.connection);
  UNTIL(&world, world.other.count[MESSAGE] == world.one.sent);
  ck_assert_uint_eq(writable_calls, calls + 1);
  ck_assert_uint_le(queued_at_call, 50000);
  ck_assert_uint_eq(psock_sender_get_queued(world.one.sender), 0);
  world_fini(&world);
}
END_TEST

/* What alone is more than the limit never has room. */
START_TEST(message_above_the_queues_limit) {
  begin(_i);
  world.one.options.max_queued = 1000;
  world_pair(&world);
  ck_assert_int_eq(side_send(&world.one, 1000), PSOCK_ETOOBIG);
  ck_assert_int_eq(side_send(&world.one, 900), 0);
  ck_assert_int_eq(side_send(&world.one, 900), PSOCK_EFULL);
  UNTIL(&world, world.other.count[MESSAGE] == 1);
  ck_assert_int_eq(side_send(&world.one, 900), 0);
  world_fini(&world);
}
END_TEST

/* Of several messages that are sent as one, none is sent when one can't be. */
START_TEST(many_are_all_or_none) {
  struct psock_text texts[3] = {
      message_of(0, 1000), message_of(1, 1000), message_of(2, 1000)};
  const void *messages[] = {&texts[0], &texts[1], &texts[2]};
  begin(_i);
  world.one.options.max_queued = 3500;
  world.other.length_of = thousand;
  world_pair(&world);
  ck_assert_int_eq(
      psock_send_many(world.one.sender, messages, 0, NULL), PSOCK_EINVAL);
  ck_assert_int_eq(psock_send_many(world.one.sender, messages, 3, NULL), 0);
  ck_assert_int_eq(
      psock_send_many(world.one.sender, messages, 3, NULL), PSOCK_EFULL);
  ck_assert_uint_eq(psock_sender_get_queued(world.one.sender), 3 * 1002);
  UNTIL(&world, world.other.count[MESSAGE] == 3);
  texts[1] = message_of(1, ((size_t)4 << 20) + 1);
  ck_assert_int_eq(
      psock_send_many(world.one.sender, messages, 3, NULL), PSOCK_ETOOBIG);
  ck_assert_uint_eq(psock_sender_get_queued(world.one.sender), 0);
  world_settle(&world);
  ck_assert_uint_eq(world.other.count[MESSAGE], 3);
  world_fini(&world);
}
END_TEST

/* ---- producers ---- */

#define ITEMS 300000u

static size_t item(unsigned n) {
  return 20 + n % 7;
}

static size_t most_queued;

static void produce(struct side *side, const void *argument) {
  (void)argument;
  size_t room = psock_connection_get_room(side->connection);
  while (side->sent < ITEMS && room > 0) {
    DEMAND(side_send(side, item(side->sent)) == 0, "no room after all");
    size_t left = psock_connection_get_room(side->connection);
    DEMAND(left < room, "the room doesn't shrink");
    room = left;
  }
  size_t queued = psock_sender_get_queued(side->sender);
  if (queued > most_queued)
    most_queued = queued;
  if (side->sent < ITEMS)
    psock_connection_want_room(side->connection);
}

/* Takes a few, then rests until a later turn. */
static void take_slowly(struct side *side, const void *argument) {
  (void)argument;
  if (side->count[MESSAGE] % 5000 != 0)
    return;
  psock_connection_pause(side->connection);
  psock_connection_resume(side->connection);
}

START_TEST(producer_follows_its_peer) {
  begin(_i);
  world.one.on[ROOM] = produce;
  world.other.on[MESSAGE] = take_slowly;
  world.other.length_of = item;
  world_pair(&world);
  ck_assert_uint_eq(psock_connection_get_room(world.one.connection), 256 << 10);
  psock_connection_want_room(world.one.connection);
  UNTIL(&world, world.other.count[MESSAGE] == ITEMS);
  ck_assert_uint_le(most_queued, (256 << 10) + 30);
  ck_assert_uint_lt(world_stats(&world).held_peak, 2 << 20);
  world_fini(&world);
}
END_TEST

START_TEST(room_is_half_of_a_small_queue) {
  begin(_i);
  world.one.options.max_queued = 10000;
  world_pair(&world);
  ck_assert_uint_eq(psock_connection_get_room(world.one.connection), 5000);
  ck_assert_int_eq(side_send(&world.one, 4000), 0);
  ck_assert_uint_eq(psock_connection_get_room(world.one.connection), 998);
  ck_assert_int_eq(side_send(&world.one, 4000), 0);
  ck_assert_uint_eq(psock_connection_get_room(world.one.connection), 0);
  psock_connection_want_room(world.one.connection);
  psock_connection_want_room(world.one.connection);
  UNTIL(&world, world.one.count[ROOM] == 1);
  world_settle(&world);
  ck_assert_uint_eq(world.one.count[ROOM], 1);
  world_fini(&world);
}
END_TEST

/* ---- a peer that never reads ---- */

START_TEST(peer_that_never_reads) {
  begin(_i);
  world.one.options.max_queued = 100000;
  world.one.on[MESSAGE] = echo;
  world_raw(&world);
  static char text[2000];
  uint64_t stalls;
  /* Requests are taken until the answers fill half of the queue. */
  for (;;) {
    uint8_t frame[2002] = {0xd0, 0x0f};
    struct iovec vector = {.iov_base = frame, .iov_len = sizeof frame};
    memcpy(frame + 2, text, sizeof text);
    ssize_t sent = world.raw->ops->send(world.raw, &vector, 1);
    world_settle(&world);
    stalls = side_stats(&world.one).stalls_in;
    if (sent != (ssize_t)sizeof frame)
      break;
  }
  ck_assert_uint_ge(stalls, 1);
  size_t queued = psock_sender_get_queued(world.one.sender);
  ck_assert_uint_gt(queued, 50000);
  ck_assert_uint_le(queued, 50000 + 2 * 2002);
  ck_assert_uint_lt(world_stats(&world).held_peak, 1 << 20);
  unsigned given = world.one.count[MESSAGE];
  world_settle(&world);
  /* TCP may take a little more after a while. */
  if (_i != TCP)
    ck_assert_uint_eq(world.one.count[MESSAGE], given);
  ck_assert_uint_gt(side_stats(&world.one).stalls_out, 0);
  /* When it reads after all, everything goes on. */
  static char answers[50000];
  given = world.one.count[MESSAGE];
  UNTIL(&world, raw_receive(&world, answers, sizeof answers) != 0 &&
                    world.one.count[MESSAGE] > given);
  world_fini(&world);
}
END_TEST

/* READ: messages are given although the output is full. */
START_TEST(when_full_read) {
  begin(_i);
  world.one.options.max_queued = 4 << 20;
  world.one.options.when_full = PSOCK_WHEN_FULL_READ;
  world_pair(&world);
  psock_connection_pause(world.other.connection);
  stuff(&world.one, 9000);
  side_send_all(&world.other, 50, 1000);
  UNTIL(&world, world.one.count[MESSAGE] == 50);
  ck_assert_uint_eq(side_stats(&world.one).stalls_in, 0);
  world_fini(&world);
}
END_TEST

/* PAUSE: none is. */
START_TEST(when_full_pause) {
  begin(_i);
  world.one.options.max_queued = 4 << 20;
  world.one.options.when_full = PSOCK_WHEN_FULL_PAUSE;
  world_pair(&world);
  psock_connection_pause(world.other.connection);
  stuff(&world.one, 9000);
  side_send_all(&world.other, 50, 1000);
  world_settle(&world);
  ck_assert_uint_eq(world.one.count[MESSAGE], 0);
  ck_assert_uint_eq(side_stats(&world.one).stalls_in, 1);
  psock_connection_resume(world.other.connection);
  UNTIL(&world, world.one.count[MESSAGE] == 50);
  world_fini(&world);
}
END_TEST

#define FLOOD 20000u

static void flood(struct side *side, const void *argument) {
  (void)argument;
  while (side->sent < FLOOD && side_send(side, 1000) == 0)
    continue;
  if (side->sent < FLOOD)
    psock_connection_want_room(side->connection);
}

/* Two that flood each other come to an end, because one of them reads. */
START_TEST(two_that_flood) {
  begin(_i);
  world.one.length_of = world.other.length_of = thousand;
  world.one.options.max_queued = 1 << 20;
  world.other.options.max_queued = 1 << 20;
  world.one.on[ROOM] = world.other.on[ROOM] = flood;
  world_pair(&world);
  psock_connection_want_room(world.one.connection);
  psock_connection_want_room(world.other.connection);
  UNTIL(&world,
      world.one.count[MESSAGE] == FLOOD && world.other.count[MESSAGE] == FLOOD);
  world_fini(&world);
}
END_TEST

/* ---- pause and resume ---- */

static void pause_after_two(struct side *side, const void *argument) {
  (void)argument;
  if (side->count[MESSAGE] == 2)
    psock_connection_pause(side->connection);
}

START_TEST(pause_acts_before_the_next_message) {
  begin(_i);
  world.one.on[MESSAGE] = pause_after_two;
  world_raw(&world);
  raw_send(&world, "\001a\001b\001c\001d", 8);
  UNTIL(&world, world.one.count[MESSAGE] == 2);
  world_settle(&world);
  ck_assert_uint_eq(world.one.count[MESSAGE], 2);
  psock_connection_resume(world.one.connection);
  ck_assert_uint_eq(world.one.count[MESSAGE], 2);
  UNTIL(&world, world.one.count[MESSAGE] == 4);
  ck_assert_uint_eq(side_stats(&world.one).stalls_in, 1);
  world_fini(&world);
}
END_TEST

START_TEST(pause_then_end_then_resume) {
  begin(_i);
  side_wants_end(&world.one);
  world.one.on[MESSAGE] = pause_after_two;
  world.one.on[INPUT_ENDED] = close_side;
  world_raw(&world);
  raw_send(&world, "\001a\001b\001c\001d", 8);
  raw_shutdown(&world);
  UNTIL(&world, world.one.count[MESSAGE] == 2);
  world_settle(&world);
  ck_assert_uint_eq(world.one.count[INPUT_ENDED], 0);
  psock_connection_resume(world.one.connection);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_uint_eq(world.one.count[MESSAGE], 4);
  ck_assert_uint_eq(world.one.count[INPUT_ENDED], 1);
  ck_assert_int_eq(world.one.reason, 0);
  world_fini(&world);
}
END_TEST

/* What stays unread slows the peer down. */
START_TEST(pause_slows_the_peer) {
  begin(_i);
  world.other.options.max_queued = 1 << 20;
  world.one.length_of = thousand;
  world_pair(&world);
  psock_connection_pause(world.one.connection);
  stuff(&world.other, 1000);
  ck_assert_uint_eq(world.one.count[MESSAGE], 0);
  ck_assert_uint_eq(side_stats(&world.one).bytes_in, 0);
  psock_connection_resume(world.one.connection);
  UNTIL(&world, world.one.count[MESSAGE] == world.other.sent);
  world_fini(&world);
}
END_TEST

/* ---- the budget ---- */

START_TEST(budget_of_messages) {
  begin(_i);
  world.one.options.batch_messages = 3;
  world_raw(&world);
  raw_send(&world, "\001a\001b\001c\001d\001e\001f\001g\001h", 16);
  UNTIL(&world, world.one.count[MESSAGE] == 8);
  UNTIL(&world, world.one.count[BATCH_END] == 3);
  world_fini(&world);
}
END_TEST

#define BATCH_BYTES 300000u

static unsigned batch_start;

static void measure_batch(struct side *side, const void *argument) {
  (void)argument;
  unsigned length = side->count[MESSAGE] - batch_start;
  batch_start = side->count[MESSAGE];
  /* A receive is looked at when it is done, so one more may come. */
  DEMAND(length <= (BATCH_BYTES + (256 << 10)) / 1002, "a batch of %u messages",
      length);
}

START_TEST(budget_of_bytes) {
  begin(_i);
  world.one.options.batch_bytes = BATCH_BYTES;
  world.one.on[BATCH_END] = measure_batch;
  world.one.length_of = thousand;
  world_pair(&world);
  side_send_all(&world.other, 5000, 1000);
  UNTIL(&world, world.one.count[MESSAGE] == 5000);
  world_fini(&world);
}
END_TEST

static void add(TCase *tcase, const TTest *test) {
  tcase_add_loop_test(tcase, test, 0, MEDIA);
}

int main(void) {
  Suite *suite = suite_create("flow");
  TCase *queue = guard_case(suite, "queue");
  add(queue, queue_is_full);
  add(queue, message_above_the_queues_limit);
  add(queue, many_are_all_or_none);
  add(queue, producer_follows_its_peer);
  add(queue, room_is_half_of_a_small_queue);
  TCase *full = guard_case(suite, "full");
  add(full, peer_that_never_reads);
  add(full, when_full_read);
  add(full, when_full_pause);
  add(full, two_that_flood);
  TCase *pause = guard_case(suite, "pause");
  add(pause, pause_acts_before_the_next_message);
  add(pause, pause_then_end_then_resume);
  add(pause, pause_slows_the_peer);
  TCase *budget = guard_case(suite, "budget");
  add(budget, budget_of_messages);
  add(budget, budget_of_bytes);
  return guard_main(suite);
}
