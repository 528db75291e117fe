/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/world.h"

#include <string.h>

/*
 * Every callback does what callbacks must be able to do: free the connection,
 * close it, free the other one, send, pause and ask for things. A conversation
 * that leads through all of the callbacks is run once for every pair of a
 * callback and an action, over every medium.
 */

static struct world world;

static void free_other(struct side *side, const void *argument) {
  (void)argument;
  struct side *other = side == &world.one ? &world.other : &world.one;
  psock_connection_free(other->connection);
}

static void free_both(struct side *side, const void *argument) {
  free_other(side, argument);
  free_side(side, argument);
}

static void close_and_free(struct side *side, const void *argument) {
  close_side(side, argument);
  free_side(side, argument);
}

static unsigned clone_sent;

/* Everything that leaves the connection alive. */
static void ask_for_all(struct side *side, const void *argument) {
  (void)argument;
  psock_connection_pause(side->connection);
  psock_connection_resume(side->connection);
  psock_connection_drain(side->connection);
  psock_connection_want_room(side->connection);
  (void)side_send(side, 10);
  psock_sender *clone;
  if (psock_sender_clone(side->sender, &clone) == 0) {
    struct psock_text text = message_of(0, 10);
    clone_sent += psock_send(clone, &text) == 0;
    psock_sender_drop(clone);
  }
  struct psock_address address;
  struct psock_credentials credentials;
  int peer = psock_connection_get_peer(side->connection, &address);
  int known = psock_connection_get_credentials(side->connection, &credentials);
  if (side->count[CLOSED] > 0) {
    ck_assert_int_eq(peer, PSOCK_ECLOSED);
    ck_assert_int_eq(known, PSOCK_ECLOSED);
    ck_assert_int_eq(side_send(side, 10), PSOCK_ECLOSED);
  }
  (void)side_stats(side);
}

static void pause_and_free(struct side *side, const void *argument) {
  ask_for_all(side, argument);
  psock_connection_pause(side->connection);
  psock_connection_free(side->connection);
}

static void (*const actions[])(struct side *, const void *) = {free_side,
    close_side, free_other, free_both, close_and_free, ask_for_all,
    pause_and_free};

#define ACTIONS (int)(sizeof actions / sizeof actions[0])

/* ---- callbacks of the reactor ---- */

static void send_record(struct side *side) {
  struct psock_text text = message_of(0, 10);
  const void *messages[] = {&text};
  struct psock_record record = {.word = 1};
  struct psock_send_options options = {
      .size = sizeof options, .record = &record};
  if (side->connection != NULL)
    ck_assert_int_le(psock_send_many(side->sender, messages, 1, &options), 0);
}

static bool over(const struct side *side) {
  return side->made && side->count[CLOSED] > 0;
}

/* Leads `one` through all callbacks, as far as it lives. */
static void converse(enum event wanted) {
  world_make_pair(&world);
  for (int i = 0; i < 5; i++)
    (void)side_send(&world.other, 10);
  UNTIL(&world, over(&world.one) || over(&world.other) ||
                    (world.one.count[OPENED] && world.one.count[MESSAGE] > 4));
  send_record(&world.one);
  if (world.one.connection != NULL)
    psock_connection_want_room(world.one.connection);
  UNTIL(&world, over(&world.one) || over(&world.other) ||
                    (world.one.count[RECORDS] > 0 && world.one.count[ROOM]));
  if (world.one.connection != NULL && wanted == DRAIN) {
    psock_connection_drain(world.one.connection);
    UNTIL(&world,
        over(&world.one) || over(&world.other) || world.one.count[DRAIN] > 0);
  }
  if (world.other.connection != NULL)
    psock_connection_close(world.other.connection);
}

START_TEST(actions_in_callbacks) {
  enum medium medium = (enum medium)(_i % MEDIA);
  enum event event = (enum event)(_i / MEDIA % EVENTS);
  int action = _i / MEDIA / EVENTS;
  world_init(&world, medium);
  side_wants_end(&world.one);
  world.one.on[INPUT_ENDED] = close_side;
  world.one.on[event] = actions[action];
  converse(event);
  world_settle(&world);
  world_fini(&world);
  ck_assert_uint_ge(world.one.count[event], 1);
}
END_TEST

/* ---- other callbacks ---- */

static struct side *called;
static int action_wanted;
static unsigned released;

static void on_release(void *data) {
  struct side *side = data;
  released++;
  if (side->connection != NULL)
    actions[action_wanted](side, NULL);
}

static void on_writable(void *data) {
  called = data;
  actions[action_wanted](data, NULL);
}

/* A codec that lends what it is given, so that there is something to be
 * released; psock_text_codec appends in the same way. */
static void send_lent(struct side *side, size_t length) {
  struct psock_text text = message_of(0, length);
  const void *messages[] = {&text};
  struct psock_send_options options = {
      .size = sizeof options, .release = on_release, .release_data = side};
  ck_assert_int_eq(psock_send_many(side->sender, messages, 1, &options), 0);
}

START_TEST(actions_in_release) {
  static const size_t lengths[] = {10, 20000, 900000};
  enum medium medium = (enum medium)(_i % MEDIA);
  size_t length = lengths[_i / MEDIA % 3];
  action_wanted = _i / MEDIA / 3;
  world_init(&world, medium);
  world_pair(&world);
  send_lent(&world.one, length);
  side_send_all(&world.one, 3, 1000);
  send_lent(&world.one, length);
  UNTIL(&world, released > 0);
  world_settle(&world);
  world_fini(&world);
  ck_assert_uint_eq(released, 2);
}
END_TEST

START_TEST(actions_in_writable) {
  enum medium medium = (enum medium)(_i % MEDIA);
  action_wanted = _i / MEDIA;
  world_init(&world, medium);
  world.one.options.max_queued = 10000;
  world_pair(&world);
  psock_connection_pause(world.other.connection);
  psock_sender_on_writable(world.one.sender, on_writable, &world.one);
  while (side_send(&world.one, 1000) == 0)
    continue;
  psock_connection_resume(world.other.connection);
  UNTIL(&world, called == &world.one);
  world_settle(&world);
  world_fini(&world);
}
END_TEST

/* ---- `closed` once for all ---- */

/* What frees a connection that owes records and releases gives them first. */
START_TEST(records_come_before_closed) {
  world_init(&world, (enum medium)_i);
  world_pair(&world);
  send_record(&world.one);
  send_lent(&world.one, 20000);
  psock_connection_free(world.one.connection);
  ck_assert_uint_eq(world.one.records, 1);
  ck_assert_uint_eq(released, 1);
  world_fini(&world);
}
END_TEST

static unsigned bytes_seen;

static void see_bytes(struct side *side, const void *argument) {
  const struct psock_record *record = argument;
  ck_assert_uint_eq(record->word, 1);
  bytes_seen += (unsigned)side_stats(side).bytes_out;
}

START_TEST(records_come_before_the_bytes) {
  world_init(&world, (enum medium)_i);
  world.one.on[RECORDS] = see_bytes;
  world_pair(&world);
  send_record(&world.one);
  UNTIL(&world, world.other.count[MESSAGE] == 1);
  ck_assert_uint_eq(world.one.records, 1);
  ck_assert_uint_eq(bytes_seen, 0);
  world_fini(&world);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("reentry");
  TCase *tcase = guard_case(suite, "reentry");
  tcase_add_loop_test(
      tcase, actions_in_callbacks, 0, (int)MEDIA * EVENTS * ACTIONS);
  tcase_add_loop_test(tcase, actions_in_release, 0, (int)MEDIA * 3 * ACTIONS);
  tcase_add_loop_test(tcase, actions_in_writable, 0, (int)MEDIA * ACTIONS);
  tcase_add_loop_test(tcase, records_come_before_closed, 0, MEDIA);
  tcase_add_loop_test(tcase, records_come_before_the_bytes, 0, MEDIA);
  return guard_main(suite);
}
