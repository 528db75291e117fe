/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/world.h"

#include <string.h>

/*
 * The loop that is turned by hand and the pair in memory: their own promises,
 * and what they make possible for connections: time that passes at once, reads
 * and writes of every length, and every call of a transport failing.
 */

static struct world world;

#define SECOND ((uint64_t)1000000000)

static void begin(void) {
  world_init(&world, MEMORY);
}

/* ---- time ---- */

START_TEST(clock_is_set_by_hand) {
  begin();
  ck_assert_uint_eq(psock_loop_now(world.loop), SECOND);
  psock_test_loop_advance(world.loop, 5);
  ck_assert_uint_eq(psock_loop_now(world.loop), SECOND + 5);
  ck_assert_int_eq(psock_test_loop_turn(world.loop), 0);
  ck_assert_int_eq(psock_test_loop_settle(world.loop, 1), 1);
  world_fini(&world);
}
END_TEST

START_TEST(open_timeout) {
  begin();
  world.one.options.open_timeout = 3 * SECOND;
  world_make_ends(&world);
  psock_memory_fail(world.one_end, PSOCK_MEMORY_OPEN, 0, PSOCK_EAGAIN);
  side_take(&world.one, world.one_end);
  side_take(&world.other, world.other_end);
  for (int i = 0; i < 10; i++)
    ck_assert_int_gt(psock_test_loop_turn(world.loop), 0);
  psock_test_loop_advance(world.loop, 3 * SECOND - 1);
  psock_test_loop_turn(world.loop);
  ck_assert_uint_eq(world.one.count[CLOSED], 0);
  psock_test_loop_advance(world.loop, 1);
  psock_test_loop_turn(world.loop);
  ck_assert_uint_eq(world.one.count[CLOSED], 1);
  ck_assert_uint_eq(world.one.count[OPENED], 0);
  ck_assert_int_eq(world.one.reason, PSOCK_ETIMEDOUT);
  world_fini(&world);
}
END_TEST

/* The default, and no timeout once it is open. */
START_TEST(open_timeout_is_ten_seconds) {
  begin();
  world_make_ends(&world);
  psock_memory_fail(world.one_end, PSOCK_MEMORY_OPEN, 0, PSOCK_EAGAIN);
  side_take(&world.one, world.one_end);
  side_take(&world.other, world.other_end);
  psock_test_loop_turn(world.loop);
  psock_test_loop_advance(world.loop, 10 * SECOND - 1);
  psock_test_loop_turn(world.loop);
  psock_memory_fail(world.one_end, PSOCK_MEMORY_OPEN, 0, 0);
  UNTIL(&world, world.one.count[OPENED] == 1);
  psock_test_loop_advance(world.loop, 1000 * SECOND);
  world_settle(&world);
  ck_assert_uint_eq(world.one.count[CLOSED], 0);
  world_fini(&world);
}
END_TEST

/* Something could not be written in time. */
START_TEST(close_timeout_with_output_left) {
  begin();
  world.capacity = 1000;
  world.one.options.close_timeout = 2 * SECOND;
  world_raw(&world);
  side_send_all(&world.one, 3, 1000);
  psock_connection_close(world.one.connection);
  world_settle(&world);
  psock_test_loop_advance(world.loop, 2 * SECOND - 1);
  world_settle(&world);
  ck_assert_uint_eq(world.one.count[CLOSED], 0);
  psock_test_loop_advance(world.loop, 1);
  world_settle(&world);
  ck_assert_uint_eq(world.one.count[CLOSED], 1);
  ck_assert_int_eq(world.one.reason, PSOCK_ETIMEDOUT);
  world_fini(&world);
}
END_TEST

/* Everything was written, but the peer does not end. */
START_TEST(close_timeout_with_all_written) {
  begin();
  world_raw(&world);
  side_send_all(&world.one, 3, 1000);
  psock_connection_close(world.one.connection);
  world_settle(&world);
  psock_test_loop_advance(world.loop, 10 * SECOND - 1);
  world_settle(&world);
  ck_assert_uint_eq(world.one.count[CLOSED], 0);
  psock_test_loop_advance(world.loop, 1);
  world_settle(&world);
  ck_assert_uint_eq(world.one.count[CLOSED], 1);
  ck_assert_int_eq(world.one.reason, 0);
  world_fini(&world);
}
END_TEST

/* A close before the connection is open counts its own time. */
START_TEST(close_timeout_while_opening) {
  begin();
  world.one.options.close_timeout = SECOND;
  world_make_ends(&world);
  psock_memory_fail(world.one_end, PSOCK_MEMORY_OPEN, 0, PSOCK_EAGAIN);
  side_take(&world.one, world.one_end);
  side_take(&world.other, world.other_end);
  side_send_all(&world.one, 1, 10);
  psock_test_loop_turn(world.loop);
  psock_connection_close(world.one.connection);
  psock_test_loop_turn(world.loop);
  psock_test_loop_advance(world.loop, SECOND);
  psock_test_loop_turn(world.loop);
  ck_assert_uint_eq(world.one.count[CLOSED], 1);
  ck_assert_int_eq(world.one.reason, PSOCK_ETIMEDOUT);
  world_fini(&world);
}
END_TEST

/* ---- the pair itself ---- */

START_TEST(pair_needs_a_capacity) {
  psock_transport *one = NULL;
  psock_transport *other = NULL;
  begin();
  ck_assert_int_eq(
      psock_memory_pair(world.loop, 0, &one, &other), PSOCK_EINVAL);
  ck_assert_ptr_null(one);
  ck_assert_int_eq(psock_memory_pair(world.loop, 1, &one, &other), 0);
  one->ops->free(one);
  other->ops->free(other);
  world_fini(&world);
}
END_TEST

START_TEST(pair_moves_bytes) {
  psock_transport *one;
  psock_transport *other;
  char text[10] = "";
  struct iovec vectors[] = {
      {(void *)(uintptr_t) "abc", 3}, {(void *)(uintptr_t) "defg", 4}};
  begin();
  ck_assert_int_eq(psock_memory_pair(world.loop, 5, &one, &other), 0);
  ck_assert_int_eq(one->ops->send(one, vectors, 2), 5);
  ck_assert_int_eq(one->ops->send(one, vectors, 2), PSOCK_EAGAIN);
  psock_memory_limit_receive(other, 2);
  ck_assert_int_eq(other->ops->receive(other, text, 10), 2);
  psock_memory_limit_receive(other, 0);
  ck_assert_int_eq(other->ops->receive(other, text + 2, 8), 3);
  ck_assert_str_eq(text, "abcde");
  ck_assert_int_eq(other->ops->receive(other, text, 10), PSOCK_EAGAIN);
  psock_memory_limit_send(one, 4);
  ck_assert_int_eq(one->ops->send(one, vectors, 2), 4);
  ck_assert_int_eq(one->ops->shutdown(one), 0);
  ck_assert_int_eq(other->ops->receive(other, text, 10), 4);
  ck_assert_int_eq(other->ops->receive(other, text, 10), 0);
  psock_memory_limit_send(one, 0);
  other->ops->free(other);
  ck_assert_int_eq(one->ops->send(one, vectors, 2), PSOCK_ERESET);
  ck_assert_int_eq(one->ops->receive(one, text, 10), 0);
  one->ops->free(one);
  world_fini(&world);
}
END_TEST

START_TEST(faults_come_after_so_many_calls) {
  psock_transport *one;
  psock_transport *other;
  char byte;
  begin();
  ck_assert_int_eq(psock_memory_pair(world.loop, 5, &one, &other), 0);
  psock_memory_fail(one, PSOCK_MEMORY_RECEIVE, 2, PSOCK_EIO);
  ck_assert_int_eq(one->ops->receive(one, &byte, 1), PSOCK_EAGAIN);
  ck_assert_int_eq(one->ops->receive(one, &byte, 1), PSOCK_EAGAIN);
  ck_assert_int_eq(one->ops->receive(one, &byte, 1), PSOCK_EIO);
  ck_assert_int_eq(one->ops->receive(one, &byte, 1), PSOCK_EIO);
  psock_memory_fail(one, PSOCK_MEMORY_RECEIVE, 0, 0);
  ck_assert_int_eq(one->ops->receive(one, &byte, 1), PSOCK_EAGAIN);
  one->ops->free(one);
  other->ops->free(other);
  world_fini(&world);
}
END_TEST

/* It has neither an address nor credentials. */
START_TEST(pair_has_no_peer) {
  struct psock_address address;
  struct psock_credentials credentials;
  begin();
  world_pair(&world);
  ck_assert_int_eq(
      psock_connection_get_peer(world.one.connection, &address), PSOCK_ENOTSUP);
  ck_assert_int_eq(
      psock_connection_get_credentials(world.one.connection, &credentials),
      PSOCK_ENOTSUP);
  world_fini(&world);
}
END_TEST

/* ---- reads and writes of every length ---- */

static size_t few(unsigned n) {
  static const size_t lengths[] = {0, 1, 5, 127, 128, 200, 3};
  return lengths[n % 7];
}

START_TEST(moves_of_every_length) {
  for (size_t sent = 1; sent < 80; sent += 1 + sent / 8)
    for (size_t received = 1; received < 80; received += 1 + received / 8) {
      begin();
      world.capacity = 1 + (sent * 7 + received) % 90;
      world.one.length_of = world.other.length_of = few;
      world.one.on[MESSAGE] = echo;
      world_pair(&world);
      psock_memory_limit_send(world.one_end, sent);
      psock_memory_limit_receive(world.one_end, received);
      psock_memory_limit_send(world.other_end, received);
      psock_memory_limit_receive(world.other_end, sent);
      for (unsigned n = 0; n < 14; n++)
        side_send_all(&world.other, 1, few(n));
      psock_connection_close(world.other.connection);
      UNTIL(&world, world.one.count[CLOSED] && world.other.count[CLOSED]);
      ck_assert_uint_eq(world.one.count[MESSAGE], 14);
      ck_assert_int_eq(world.one.reason, 0);
      ck_assert_int_eq(world.other.reason, 0);
      world_fini(&world);
    }
}
END_TEST

/* ---- every call failing ---- */

static const int errors[] = {PSOCK_ERESET, PSOCK_EIO, PSOCK_ENOMEM};

/* One short conversation whose call number `calls` fails at one end. Returns
 * whether it did. */
static bool converse(enum psock_memory_call call, unsigned calls, int error) {
  begin();
  world.capacity = 300;
  world.one.on[MESSAGE] = echo;
  side_wants_end(&world.one);
  world.one.on[INPUT_ENDED] = close_side;
  world_make_ends(&world);
  psock_memory_limit_send(world.one_end, 100);
  psock_memory_limit_receive(world.one_end, 70);
  psock_memory_fail(world.one_end, call, calls, error);
  side_take(&world.one, world.one_end);
  side_take(&world.other, world.other_end);
  for (unsigned n = 0; n < 7; n++)
    side_send_all(&world.other, 1, few(n));
  world_settle(&world);
  if (world.one.connection != NULL)
    psock_connection_pause(world.one.connection);
  world_settle(&world);
  if (world.one.connection != NULL)
    psock_connection_resume(world.one.connection);
  if (world.other.connection != NULL)
    psock_connection_close(world.other.connection);
  world_settle(&world);
  ck_assert_uint_eq(world.one.count[CLOSED], 1);
  ck_assert_uint_eq(world.other.count[CLOSED], 1);
  bool failed = world.one.reason != 0;
  if (failed)
    ck_assert_int_eq(world.one.reason, error);
  world_fini(&world);
  return failed;
}

START_TEST(every_call_fails) {
  enum psock_memory_call call = (enum psock_memory_call)(_i % 5);
  int error = errors[_i / 5];
  unsigned failures = 0;
  for (unsigned calls = 0; calls < 40; calls++)
    failures += converse(call, calls, error);
  /* A reset when the output has been shut down changes nothing any more. */
  if (call != PSOCK_MEMORY_SHUTDOWN || error != PSOCK_ERESET)
    ck_assert_uint_ge(failures, 1);
}
END_TEST

/* What was queued is settled when a write fails: records and releases. */
static unsigned released;

static void on_release(void *data) {
  (void)data;
  released++;
}

START_TEST(failing_send_settles_what_is_owed) {
  struct psock_text text = message_of(0, 20000);
  const void *messages[] = {&text};
  struct psock_record record = {.word = 7};
  struct psock_send_options options = {
      .size = sizeof options, .record = &record, .release = on_release};
  begin();
  world_pair(&world);
  psock_memory_fail(world.one_end, PSOCK_MEMORY_SEND, 0, PSOCK_ERESET);
  for (int i = 0; i < 3; i++)
    ck_assert_int_eq(
        psock_send_many(world.one.sender, messages, 1, &options), 0);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_int_eq(world.one.reason, PSOCK_ERESET);
  ck_assert_uint_eq(world.one.records, 3);
  ck_assert_uint_eq(released, 3);
  world_fini(&world);
}
END_TEST

/* ---- options ---- */

START_TEST(options_are_looked_at) {
  psock_connection *connection = NULL;
  struct psock_connection_options options;
  begin();
  world_make_ends(&world);
  options = world.one.options;
  options.size = 0;
  ck_assert_int_eq(
      psock_connection_new(world.loop, world.one_end, &options, &connection),
      PSOCK_EINVAL);
  options = world.one.options;
  options.reactor.ops = NULL;
  ck_assert_int_eq(
      psock_connection_new(world.loop, world.one_end, &options, &connection),
      PSOCK_EINVAL);
  ck_assert_int_eq(
      psock_connection_new(world.loop, NULL, &world.one.options, &connection),
      PSOCK_EINVAL);
  ck_assert_int_eq(
      psock_connection_new(world.loop, world.one_end, NULL, &connection),
      PSOCK_EINVAL);
  ck_assert_ptr_null(connection);
  side_take(&world.one, world.one_end);
  side_take(&world.other, world.other_end);
  world_fini(&world);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("memory");
  TCase *time = guard_case(suite, "time");
  tcase_add_test(time, clock_is_set_by_hand);
  tcase_add_test(time, open_timeout);
  tcase_add_test(time, open_timeout_is_ten_seconds);
  tcase_add_test(time, close_timeout_with_output_left);
  tcase_add_test(time, close_timeout_with_all_written);
  tcase_add_test(time, close_timeout_while_opening);
  TCase *pair = guard_case(suite, "pair");
  tcase_add_test(pair, pair_needs_a_capacity);
  tcase_add_test(pair, pair_moves_bytes);
  tcase_add_test(pair, faults_come_after_so_many_calls);
  tcase_add_test(pair, pair_has_no_peer);
  tcase_add_test(pair, moves_of_every_length);
  tcase_add_test(pair, options_are_looked_at);
  TCase *faults = guard_case(suite, "faults");
  tcase_add_loop_test(faults, every_call_fails, 0, 15);
  tcase_add_test(faults, failing_send_settles_what_is_owed);
  return guard_main(suite);
}
