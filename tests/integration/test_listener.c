/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/interpose.h"
#include "lib/world.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Listeners: accepting through every failure, bounds that pause it, what the
 * user may do while a connection is introduced, and draining. What addresses
 * do is in test_address.c.
 */

#define CLIENTS 20
#define PAUSE ((uint64_t)100 * 1000000)

static struct world world;
static struct psock_reactor_ops ops;
static psock_connection *accepted[CLIENTS];
static int accepted_count;
static int closed_count;
static int drain_count;
static int drained_count;
static int clients[CLIENTS];
static int client_count;

static void on_closed(void *state, psock_connection *connection, int reason) {
  (void)reason;
  psock_connection **place = state;
  ck_assert_ptr_eq(*place, connection);
  *place = NULL;
  closed_count++;
}

static void on_drain(void *state, psock_connection *connection) {
  (void)state;
  drain_count++;
  psock_connection_close(connection);
}

static int accept_all(
    void *data, psock_connection *connection, psock_reactor *ret_reactor) {
  ck_assert_ptr_eq(data, &world);
  ck_assert_int_lt(accepted_count, CLIENTS);
  psock_connection **place = &accepted[accepted_count++];
  *place = connection;
  *ret_reactor = (psock_reactor){.ops = &ops, .state = place};
  return 0;
}

static void begin_counting(void) {
  ops = (struct psock_reactor_ops){
      .size = sizeof ops, .closed = on_closed, .drain = on_drain};
  world.listener_options.accepted = accept_all;
}

static void begin(int medium) {
  world_init(&world, (enum medium)medium);
  begin_counting();
}

static void dial(int count) {
  while (count-- > 0)
    clients[client_count++] = world_dial(&world);
}

static void hang_up(void) {
  while (client_count > 0)
    close(clients[--client_count]);
}

static void finish(void) {
  hang_up();
  world_fini(&world);
  for (int i = 0; i < accepted_count; i++)
    ck_assert_ptr_null(accepted[i]);
}

static struct psock_listener_stats stats(void) {
  struct psock_listener_stats given = {.size = sizeof given};
  psock_listener_get_stats(world.listener, &given);
  return given;
}

static const enum medium media[] = {UNIX_SOCKET, TCP};

/* ---- accepting ---- */

START_TEST(accepts_many) {
  begin((int)media[_i]);
  world_listen(&world);
  dial(CLIENTS);
  UNTIL(&world, stats().accepted == CLIENTS);
  ck_assert_uint_eq(stats().connections, CLIENTS);
  ck_assert_uint_eq(world_stats(&world).connections, CLIENTS);
  hang_up();
  UNTIL(&world, closed_count == CLIENTS);
  ck_assert_uint_eq(stats().connections, 0);
  ck_assert_uint_eq(stats().accepted, CLIENTS);
  ck_assert_uint_eq(stats().refused + stats().errors + stats().pauses, 0);
  finish();
}
END_TEST

START_TEST(bound_of_connections) {
  begin((int)media[_i]);
  world.listener_options.max_connections = 3;
  guard_expect_log("accepting pauses", 4);
  world_listen(&world);
  dial(6);
  UNTIL(&world, stats().accepted == 3 && stats().pauses == 1);
  world_settle(&world);
  ck_assert_int_eq(accepted_count, 3);
  for (int i = 0; i < 3; i++) {
    psock_connection_free(accepted[i]);
    UNTIL(&world, stats().accepted == (unsigned)i + 4);
    world_settle(&world);
    ck_assert_uint_eq(stats().connections, 3);
  }
  ck_assert_uint_eq(stats().pauses, 4);
  ck_assert_uint_eq(stats().errors + stats().refused, 0);
  finish();
}
END_TEST

/* Output that a client doesn't read is memory that is held. */
START_TEST(bound_of_memory) {
  static char answer[2 << 20];
  struct psock_text text = message_of(0, sizeof answer);
  world_init_held(&world, media[_i], 1 << 20);
  begin_counting();
  guard_expect_log("accepting pauses", 1);
  world_listen(&world);
  dial(1);
  UNTIL(&world, accepted_count == 1);
  psock_sender *sender = psock_connection_get_sender(accepted[0]);
  ck_assert_int_eq(psock_send(sender, &text), 0);
  ck_assert_int_eq(psock_send(sender, &text), 0);
  dial(1);
  UNTIL(&world, stats().pauses == 1);
  ck_assert_int_eq(accepted_count, 1);
  psock_connection_free(accepted[0]);
  UNTIL(&world, accepted_count == 2);
  finish();
}
END_TEST

/* ---- failures ---- */

/* Concern one connection that did not come to be: accepting just goes on. */
static const int passing[] = {ECONNABORTED, EINTR, EPROTO, ENETDOWN, EPERM};

START_TEST(failures_that_pass) {
  begin((int)media[_i % 2]);
  int error = passing[_i / 2];
  world_listen(&world);
  interpose_fail(CALL_ACCEPT4, 1, 3, error);
  dial(2);
  UNTIL(&world, accepted_count == 2);
  ck_assert_uint_eq(stats().errors, error == EINTR ? 0 : 3);
  ck_assert_uint_eq(stats().pauses, 0);
  finish();
}
END_TEST

/* Make it pause, until a while later or until a connection has ended. */
static const int pausing[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS};

START_TEST(failures_that_pause) {
  begin((int)media[_i % 2]);
  guard_expect_log("accepting pauses", 2);
  world_listen(&world);
  dial(1);
  UNTIL(&world, accepted_count == 1);
  interpose_fail(CALL_ACCEPT4, 1, 1, pausing[_i / 2]);
  dial(1);
  UNTIL(&world, stats().pauses == 1);
  world_settle(&world);
  ck_assert_int_eq(accepted_count, 1);
  interpose_advance_clock(PAUSE);
  UNTIL(&world, accepted_count == 2);
  interpose_fail(CALL_ACCEPT4, 1, 1, pausing[_i / 2]);
  dial(1);
  UNTIL(&world, stats().pauses == 2);
  psock_connection_free(accepted[0]);
  UNTIL(&world, accepted_count == 3);
  ck_assert_uint_eq(stats().errors, 2);
  finish();
}
END_TEST

/* The kernel's own limit. */
START_TEST(out_of_descriptors) {
  struct rlimit limit;
  begin((int)media[_i]);
  guard_expect_log("accepting pauses", 1);
  world_listen(&world);
  dial(3);
  int next = dup(0);
  ck_assert_int_ge(next, 0);
  close(next);
  ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
  rlim_t before = limit.rlim_cur;
  limit.rlim_cur = (rlim_t)next + 1;
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
  UNTIL(&world, stats().pauses == 1);
  ck_assert_int_eq(accepted_count, 1);
  limit.rlim_cur = before;
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
  interpose_advance_clock(PAUSE);
  UNTIL(&world, accepted_count == 3);
  finish();
}
END_TEST

/* ---- what `accepted` does ---- */

enum choice {
  REFUSE,
  NO_REACTOR,
  FREE,
  FREE_AND_REFUSE,
  CLOSE,
  FREE_LISTENER,
  DRAIN_LISTENER,
  SEND,
  CHOICES
};

static enum choice choice;

static void on_drained(void *data) {
  ck_assert_ptr_eq(data, &world);
  drained_count++;
}

static void send_hello(psock_connection *connection) {
  struct psock_address peer;
  psock_sender *clone;
  struct psock_text text = {.text = "hello", .length = 5};
  ck_assert_int_eq(psock_connection_get_peer(connection, &peer), 0);
  ck_assert_int_eq(
      psock_sender_clone(psock_connection_get_sender(connection), &clone), 0);
  ck_assert_int_eq(psock_send(clone, &text), 0);
  psock_sender_drop(clone);
}

static int choose(
    void *data, psock_connection *connection, psock_reactor *ret_reactor) {
  accept_all(data, connection, ret_reactor);
  psock_connection **place = &accepted[accepted_count - 1];
  switch (choice) {
  case NO_REACTOR:
    ret_reactor->ops = NULL;
    break;
  case FREE:
  case FREE_AND_REFUSE:
    psock_connection_free(connection);
    break;
  case CLOSE:
    psock_connection_close(connection);
    return 0;
  case FREE_LISTENER:
    psock_listener_free(world.listener);
    world.listener = NULL;
    break;
  case DRAIN_LISTENER:
    ck_assert_int_eq(
        psock_listener_drain(world.listener, on_drained, &world), 0);
    return 0;
  case SEND:
    send_hello(connection);
    return 0;
  default:
    break;
  }
  *place = NULL; /* Nothing calls back about this one. */
  return choice == REFUSE || choice == FREE_AND_REFUSE ? -1 : 0;
}

START_TEST(choices_in_accepted) {
  char text[6];
  begin((int)media[_i % 2]);
  choice = (enum choice)(_i / 2);
  guard_allow_log("accepted() gave no reactor");
  world.listener_options.accepted = choose;
  world_listen(&world);
  dial(1);
  UNTIL(&world, accepted_count == 1);
  bool turned_away = choice < CLOSE;
  if (choice == SEND) {
    world_settle(&world);
    ck_assert_int_eq(recv(clients[0], text, 6, MSG_WAITALL), 6);
  } else {
    hang_up();
    world_settle(&world);
  }
  ck_assert_int_eq(drained_count, choice == DRAIN_LISTENER);
  ck_assert_int_eq(closed_count, choice == CLOSE || choice == DRAIN_LISTENER);
  if (world.listener != NULL) {
    ck_assert_uint_eq(stats().refused, turned_away ? 1 : 0);
    ck_assert_uint_eq(stats().connections, choice == SEND ? 1 : 0);
  }
  finish();
}
END_TEST

/* ---- draining ---- */

START_TEST(drain_ends_connections) {
  begin((int)media[_i]);
  world_listen(&world);
  struct psock_address address = world_address(&world);
  dial(3);
  UNTIL(&world, accepted_count == 3);
  ck_assert_int_eq(psock_listener_drain(world.listener, on_drained, &world), 0);
  ck_assert_int_eq(
      psock_listener_drain(world.listener, on_drained, &world), PSOCK_EINVAL);
  ck_assert_int_eq(drain_count, 0);
  int late = socket(address.storage.ss_family, SOCK_STREAM, 0);
  ck_assert_int_eq(
      connect(late, (const struct sockaddr *)&address.storage, address.length),
      -1);
  close(late);
  world_settle(&world);
  ck_assert_int_eq(drain_count, 3);
  ck_assert_int_eq(drained_count, 0);
  hang_up();
  UNTIL(&world, closed_count == 3);
  world_settle(&world);
  ck_assert_int_eq(drained_count, 1);
  finish();
}
END_TEST

START_TEST(drain_without_connections) {
  begin((int)media[_i]);
  world_listen(&world);
  ck_assert_int_eq(psock_listener_drain(world.listener, on_drained, &world), 0);
  ck_assert_int_eq(drained_count, 0);
  world_settle(&world);
  ck_assert_int_eq(drained_count, 1);
  finish();
}
END_TEST

START_TEST(drain_without_a_callback) {
  begin((int)media[_i]);
  world_listen(&world);
  dial(1);
  UNTIL(&world, accepted_count == 1);
  ck_assert_int_eq(psock_listener_drain(world.listener, NULL, NULL), 0);
  hang_up();
  UNTIL(&world, closed_count == 1);
  finish();
}
END_TEST

static void free_when_drained(void *data) {
  on_drained(data);
  psock_listener_free(world.listener);
}

START_TEST(free_in_drained) {
  begin((int)media[_i]);
  world_listen(&world);
  dial(2);
  UNTIL(&world, accepted_count == 2);
  ck_assert_int_eq(
      psock_listener_drain(world.listener, free_when_drained, &world), 0);
  hang_up();
  UNTIL(&world, closed_count == 2);
  world_settle(&world);
  ck_assert_int_eq(drained_count, 1);
  finish();
}
END_TEST

START_TEST(free_while_draining) {
  begin((int)media[_i]);
  world_listen(&world);
  dial(2);
  UNTIL(&world, accepted_count == 2);
  ck_assert_int_eq(psock_listener_drain(world.listener, on_drained, &world), 0);
  psock_listener_free(world.listener);
  ck_assert_int_eq(closed_count, 2);
  ck_assert_int_eq(drained_count, 1);
  psock_listener_free(NULL);
  finish();
}
END_TEST

/* Freed by one of its connections, in the last callback of that. */
static void free_listener_in_closed(
    void *state, psock_connection *connection, int reason) {
  on_closed(state, connection, reason);
  if (closed_count == 1)
    psock_listener_free(world.listener);
}

START_TEST(free_in_closed) {
  begin((int)media[_i]);
  ops.closed = free_listener_in_closed;
  world_listen(&world);
  dial(3);
  UNTIL(&world, accepted_count == 3);
  close(clients[--client_count]);
  UNTIL(&world, closed_count == 3);
  finish();
}
END_TEST

START_TEST(options_are_looked_at) {
  psock_listener *listener = NULL;
  struct psock_listener_options bad;
  begin((int)media[_i]);
  world_listen(&world);
  struct psock_address address = world_address(&world);
  ck_assert_int_eq(
      psock_listen(world.loop, &address, NULL, &listener), PSOCK_EINVAL);
  bad = world.listener_options;
  bad.size = 0;
  ck_assert_int_eq(
      psock_listen(world.loop, &address, &bad, &listener), PSOCK_EINVAL);
  bad = world.listener_options;
  bad.accepted = NULL;
  ck_assert_int_eq(
      psock_listen(world.loop, &address, &bad, &listener), PSOCK_EINVAL);
  bad = world.listener_options;
  bad.connection = NULL;
  ck_assert_int_eq(
      psock_listen(world.loop, &address, &bad, &listener), PSOCK_EINVAL);
  ck_assert_ptr_null(listener);
  finish();
}
END_TEST

/* Every system call that listening takes fails. */
START_TEST(calls_that_listening_takes) {
  static const enum call calls[] = {CALL_SOCKET, CALL_BIND, CALL_LISTEN};
  static const struct {
    int number;
    int error;
  } errors[] = {{EMFILE, PSOCK_ENFILE}, {ENOMEM, PSOCK_ENOMEM},
      {EACCES, PSOCK_EACCESS}, {EIO, PSOCK_EIO}};
  begin((int)media[_i]);
  world_listen(&world);
  struct psock_address address = world_address(&world);
  psock_listener_free(world.listener);
  for (int i = 0; i < 12; i++) {
    psock_listener *listener = NULL;
    interpose_fail(calls[i % 3], 1, 1, errors[i / 3].number);
    ck_assert_int_eq(
        psock_listen(world.loop, &address, &world.listener_options, &listener),
        errors[i / 3].error);
    ck_assert_ptr_null(listener);
  }
  finish();
}
END_TEST

int main(void) {
  Suite *suite = suite_create("listener");
  TCase *accept = guard_case(suite, "accept");
  tcase_add_loop_test(accept, accepts_many, 0, 2);
  tcase_add_loop_test(accept, bound_of_connections, 0, 2);
  tcase_add_loop_test(accept, bound_of_memory, 0, 2);
  tcase_add_loop_test(accept, failures_that_pass, 0, 2 * 5);
  tcase_add_loop_test(accept, failures_that_pause, 0, 2 * 4);
  tcase_add_loop_test(accept, out_of_descriptors, 0, 2);
  tcase_add_loop_test(accept, choices_in_accepted, 0, 2 * (int)CHOICES);
  TCase *drain = guard_case(suite, "drain");
  tcase_add_loop_test(drain, drain_ends_connections, 0, 2);
  tcase_add_loop_test(drain, drain_without_connections, 0, 2);
  tcase_add_loop_test(drain, drain_without_a_callback, 0, 2);
  tcase_add_loop_test(drain, free_in_drained, 0, 2);
  tcase_add_loop_test(drain, free_while_draining, 0, 2);
  tcase_add_loop_test(drain, free_in_closed, 0, 2);
  tcase_add_loop_test(drain, options_are_looked_at, 0, 2);
  tcase_add_loop_test(drain, calls_that_listening_takes, 0, 2);
  return guard_main(suite);
}
