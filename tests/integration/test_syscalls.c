/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/interpose.h"
#include "lib/world.h"

#include <errno.h>
#include <sys/socket.h>

/*
 * The kernel's bad days: signals that interrupt every call, reads and writes
 * of every length, resets and closed pipes at every step, and a short
 * conversation in which the i-th system call fails, for every i.
 */

static struct world world;

static const enum medium media[] = {SOCKETPAIR, UNIX_SOCKET, TCP};

static size_t length_of(unsigned n) {
  static const size_t lengths[] = {3, 0, 200, 1, 128, 20, 127};
  return lengths[n % 7];
}

#define COUNT 14u

/* A conversation: requests, their echoes, a half-close and an orderly end, or
 * as much of that as comes to be. */
static void converse(void) {
  world.one.on[MESSAGE] = echo;
  world_make_pair(&world);
  for (unsigned n = 0; n < COUNT; n++)
    side_send_all(&world.other, 1, length_of(n));
  UNTIL(&world, world.other.count[MESSAGE] == COUNT ||
                    world.other.count[CLOSED] == 1 ||
                    world.one.count[CLOSED] == 1);
  if (world.other.connection != NULL)
    psock_connection_close(world.other.connection);
  UNTIL(&world, world.other.count[CLOSED] == 1 &&
                    world.one.count[CLOSED] == (world.one.made ? 1u : 0u));
}

static void all_is_well(void) {
  ck_assert_uint_eq(world.one.count[MESSAGE], COUNT);
  ck_assert_uint_eq(world.other.count[MESSAGE], COUNT);
  ck_assert_int_eq(world.one.reason, 0);
  ck_assert_int_eq(world.other.reason, 0);
}

static void begin(int medium) {
  world_init(&world, media[medium]);
}

static void check_lengths(void) {
  world.one.length_of = world.other.length_of = length_of;
}

START_TEST(every_call_is_interrupted) {
  begin(_i);
  check_lengths();
  interpose_interrupt_all();
  converse();
  all_is_well();
  world_fini(&world);
}
END_TEST

START_TEST(moves_of_every_length) {
  for (size_t sent = 1; sent <= 40; sent++) {
    begin(_i);
    check_lengths();
    interpose_limit(CALL_SEND, sent);
    interpose_limit(CALL_RECV, 41 - sent);
    converse();
    all_is_well();
    world_fini(&world);
  }
}
END_TEST

/* A queue that is never empty, written one byte at a time. */
START_TEST(one_byte_at_a_time) {
  begin(_i);
  world_pair(&world);
  interpose_limit(CALL_SEND, 1);
  interpose_limit(CALL_RECV, 1);
  side_send_all(&world.one, 2, 10000);
  psock_connection_close(world.one.connection);
  UNTIL(&world, world.other.count[CLOSED] == 1 && world.one.count[CLOSED] == 1);
  ck_assert_uint_eq(world.other.count[MESSAGE], 2);
  world_fini(&world);
}
END_TEST

static const int errors[] = {ECONNRESET, EPIPE, ETIMEDOUT, ENOMEM, EIO};

#define ERRORS (int)(sizeof errors / sizeof errors[0])

static void step_fails(int medium, enum call call, unsigned step, int error) {
  begin(medium);
  interpose_fail(call, step, 1, error);
  converse();
  world_fini(&world);
}

START_TEST(receive_fails_at_every_step) {
  for (unsigned step = 1; step < 12; step++)
    step_fails(_i / ERRORS, CALL_RECV, step, errors[_i % ERRORS]);
}
END_TEST

START_TEST(send_fails_at_every_step) {
  for (unsigned step = 1; step < 5; step++)
    step_fails(_i / ERRORS, CALL_SEND, step, errors[_i % ERRORS]);
}
END_TEST

START_TEST(shutdown_fails_at_every_step) {
  for (unsigned step = 1; step < 4; step++)
    step_fails(_i / ERRORS, CALL_SHUTDOWN, step, errors[_i % ERRORS]);
}
END_TEST

/* The same with small moves, so that there are many steps inside frames. */
START_TEST(fails_inside_frames) {
  static const enum call calls[] = {CALL_RECV, CALL_SEND};
  interpose_limit(CALL_RECV, 60);
  interpose_limit(CALL_SEND, 60);
  for (unsigned step = 1; step < 60; step++)
    for (int i = 0; i < 2; i++)
      step_fails(_i, calls[i], step, step % 2 == 0 ? ECONNRESET : EPIPE);
}
END_TEST

/* The end of the input comes where nobody expects it. */
START_TEST(input_ends_at_every_step) {
  interpose_limit(CALL_RECV, 7);
  for (unsigned step = 1; step < 120; step++) {
    begin(_i);
    side_wants_end(&world.one);
    world.one.on[INPUT_ENDED] = close_side;
    interpose_fail(CALL_RECV, step, 1000000, INTERPOSE_END);
    converse();
    int reason = world.one.made ? world.one.reason : 0;
    ck_assert(
        reason == 0 || reason == PSOCK_ETRUNCATED || reason == PSOCK_ERESET);
    world_fini(&world);
  }
}
END_TEST

/* EAGAIN without a reason is put up with: the kernel will say when. */
START_TEST(spurious_readiness) {
  static const enum call calls[] = {CALL_RECV, CALL_SEND, CALL_ACCEPT4};
  for (int i = 0; i < 3; i++)
    for (unsigned step = 1; step < 6; step++) {
      begin(_i);
      check_lengths();
      interpose_fail(calls[i], step, 1, EAGAIN);
      converse();
      all_is_well();
      world_fini(&world);
    }
}
END_TEST

/* Call number i of all, for every i until none is left. Listening and
 * connecting have to have begun; what fails there, test_listener.c and
 * test_connect.c show. */
START_TEST(any_call_fails) {
  static const int any[] = {ECONNRESET, EPIPE, ETIMEDOUT, EIO};
  int error = any[_i / 3];
  guard_allow_log("accepting pauses");
  for (unsigned step = 1; step < 400; step++) {
    begin(_i % 3);
    world.one.on[MESSAGE] = echo;
    world_make_pair(&world);
    interpose_fail_any(step, 1, error);
    for (unsigned n = 0; n < COUNT; n++)
      side_send_all(&world.other, 1, length_of(n));
    UNTIL(&world, world.other.count[MESSAGE] == COUNT ||
                      world.other.count[CLOSED] == 1 ||
                      world.one.count[CLOSED] == 1);
    if (world.other.connection != NULL)
      psock_connection_close(world.other.connection);
    UNTIL(&world, world.other.count[CLOSED] == 1 &&
                      world.one.count[CLOSED] == (world.one.made ? 1u : 0u));
    bool reached = interpose_count(CALLS) >= step;
    interpose_fail_any(0, 0, 0);
    world_fini(&world);
    if (!reached)
      return;
  }
  ck_abort_msg("a short conversation takes hundreds of calls");
}
END_TEST

/* No SIGPIPE: the peer goes while output is queued. */
START_TEST(peer_goes_while_output_is_queued) {
  begin(_i);
  world_raw(&world);
  for (int i = 0; i < 20; i++)
    side_send_all(&world.one, 1, 300000);
  world_settle(&world);
  raw_close(&world);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert(world.one.reason == PSOCK_ERESET || world.one.reason == 0 ||
            world.one.reason == PSOCK_ETIMEDOUT);
  world_fini(&world);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("syscalls");
  TCase *tcase = guard_case(suite, "syscalls");
  tcase_add_loop_test(tcase, every_call_is_interrupted, 0, 3);
  tcase_add_loop_test(tcase, moves_of_every_length, 0, 3);
  tcase_add_loop_test(tcase, one_byte_at_a_time, 0, 3);
  tcase_add_loop_test(tcase, receive_fails_at_every_step, 0, 3 * ERRORS);
  tcase_add_loop_test(tcase, send_fails_at_every_step, 0, 3 * ERRORS);
  tcase_add_loop_test(tcase, shutdown_fails_at_every_step, 0, 3 * ERRORS);
  tcase_add_loop_test(tcase, fails_inside_frames, 0, 3);
  tcase_add_loop_test(tcase, input_ends_at_every_step, 0, 3);
  tcase_add_loop_test(tcase, spurious_readiness, 0, 3);
  tcase_add_loop_test(tcase, any_call_fails, 0, 3 * 4);
  tcase_add_loop_test(tcase, peer_goes_while_output_is_queued, 0, 3);
  return guard_main(suite);
}
