/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/world.h"

#include <pthread.h>
#include <string.h>

/*
 * Connections that share a loop: the busy don't starve the others, one that is
 * stuck holds nobody up, and a loop that sleeps wakes for a sender on another
 * thread.
 */

static struct world world;

/* A second conversation on the loop of the first, in memory. */
static struct {
  struct side one;
  struct side other;
} second;

static void second_begin(void) {
  psock_transport *one;
  psock_transport *other;
  side_init(&second.one, &world);
  side_init(&second.other, &world);
  second.other.options.when_full = PSOCK_WHEN_FULL_READ;
  ck_assert_int_eq(psock_memory_pair(world.loop, 1 << 20, &one, &other), 0);
  side_take(&second.one, one);
  side_take(&second.other, other);
}

static unsigned most_ahead;

/* How many messages one connection is given while the other waits. */
static void compare(struct side *side, const void *message) {
  (void)message;
  unsigned mine = side->count[MESSAGE];
  struct side *peer = side == &world.one ? &second.one : &world.one;
  if (mine > peer->count[MESSAGE] && peer->count[MESSAGE] < 5000 &&
      mine - peer->count[MESSAGE] > most_ahead)
    most_ahead = mine - peer->count[MESSAGE];
}

START_TEST(turns_are_taken) {
  world_init(&world, MEMORY);
  world.capacity = 1 << 20;
  world.one.options.batch_messages = 100;
  world.one.on[MESSAGE] = compare;
  world_pair(&world);
  second_begin();
  second.one.on[MESSAGE] = compare;
  UNTIL(&world, second.one.count[OPENED] && second.other.count[OPENED]);
  psock_connection_pause(world.one.connection);
  psock_connection_pause(second.one.connection);
  side_send_all(&world.other, 5000, 10);
  side_send_all(&second.other, 5000, 10);
  world_settle(&world);
  psock_connection_resume(world.one.connection);
  psock_connection_resume(second.one.connection);
  UNTIL(&world,
      world.one.count[MESSAGE] == 5000 && second.one.count[MESSAGE] == 5000);
  /* The other one's default is 1,024; nobody gets much more than a turn. */
  ck_assert_uint_ge(most_ahead, 100);
  ck_assert_uint_le(world.one.count[BATCH_END], 5000 / 100 + 2);
  ck_assert_uint_ge(world.one.count[BATCH_END], 5000 / 100);
  ck_assert_uint_ge(second.one.count[BATCH_END], 5000 / 1024);
  world_fini(&world);
  ck_assert_uint_eq(second.one.count[CLOSED] + second.other.count[CLOSED], 2);
}
END_TEST

/* A peer that never reads stops its own connection and nobody else's. */
START_TEST(stuck_one_holds_nobody_up) {
  world_init(&world, (enum medium)_i);
  world.one.on[MESSAGE] = echo;
  world.one.options.max_queued = 100000;
  world_pair(&world);
  second_begin();
  psock_connection_pause(world.other.connection);
  for (int i = 0; i < 100; i++) {
    while (side_send(&world.other, 5000) == 0)
      continue;
    world_settle(&world);
  }
  second.one.on[MESSAGE] = echo;
  side_send_all(&second.other, 1000, 100);
  UNTIL(&world, second.other.count[MESSAGE] == 1000);
  ck_assert_uint_eq(world.other.count[MESSAGE], 0);
  ck_assert_uint_le(psock_sender_get_queued(world.one.sender), 100000);
  world_fini(&world);
}
END_TEST

/* ---- other threads ---- */

static psock_sender *lane;
static struct psock_text texts[1000];

static void *send_on_a_thread(void *data) {
  struct psock_send_options options = {
      .size = sizeof options, .timeout = (uint64_t)8000000000};
  (void)data;
  for (unsigned n = 0; n < 1000; n++) {
    const void *messages[] = {&texts[n]};
    if (psock_send_many(lane, messages, 1, &options) != 0)
      return &texts[n];
  }
  psock_sender_drop(lane);
  return NULL;
}

static size_t hundred(unsigned n) {
  (void)n;
  return 100;
}

/* The queue is shorter than what is sent, so the thread waits for room, and
 * the loop for the thread. */
START_TEST(sleeping_loop_is_woken) {
  pthread_t thread;
  void *failed;
  world_init(&world, (enum medium)_i);
  world.one.options.max_queued = 5000;
  world.other.length_of = hundred;
  world_pair(&world);
  for (unsigned n = 0; n < 1000; n++)
    texts[n] = message_of(n, 100);
  ck_assert_int_eq(psock_sender_clone(world.one.sender, &lane), 0);
  ck_assert_int_eq(pthread_create(&thread, NULL, send_on_a_thread, NULL), 0);
  UNTIL(&world, world.other.count[MESSAGE] == 1000);
  ck_assert_int_eq(pthread_join(thread, &failed), 0);
  ck_assert_ptr_null(failed);
  world_settle(&world);
  world_fini(&world);
}
END_TEST

START_TEST(waiting_on_the_loops_thread) {
  struct psock_send_options options = {.size = sizeof options, .timeout = 1};
  world_init(&world, (enum medium)_i);
  world_pair(&world);
  struct psock_text text = message_of(0, 10);
  const void *messages[] = {&text};
  ck_assert_int_eq(psock_sender_clone(world.one.sender, &lane), 0);
  ck_assert_int_eq(
      psock_send_many(lane, messages, 1, &options), PSOCK_ELOOPTHREAD);
  ck_assert_int_eq(psock_send_many(world.one.sender, messages, 1, &options),
      PSOCK_ELOOPTHREAD);
  psock_sender_drop(lane);
  world_settle(&world);
  ck_assert_uint_eq(world.other.count[MESSAGE], 0);
  world_fini(&world);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("neighbours");
  TCase *tcase = guard_case(suite, "neighbours");
  tcase_add_test(tcase, turns_are_taken);
  tcase_add_loop_test(tcase, stuck_one_holds_nobody_up, 0, MEDIA);
  tcase_add_loop_test(tcase, sleeping_loop_is_woken, SOCKETPAIR, MEDIA);
  tcase_add_loop_test(tcase, waiting_on_the_loops_thread, 0, MEDIA);
  return guard_main(suite);
}
