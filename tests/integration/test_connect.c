/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/interpose.h"
#include "lib/world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Connecting, and adopting what is connected: every way in which it fails, and
 * who owns the descriptor then.
 */

static struct world world;

static struct psock_address parse(const char *text) {
  struct psock_address address;
  ck_assert_int_eq(psock_address_parse(text, &address), 0);
  return address;
}

/* An attempt that ends with `reason`; nothing calls back inside the start. */
static void fails_with(const struct psock_address *address, int reason) {
  side_connect(&world.other, address);
  ck_assert_int_eq(side_send(&world.other, 10), 0);
  ck_assert_uint_eq(world.other.count[CLOSED], 0);
  UNTIL(&world, world.other.count[CLOSED] == 1);
  ck_assert_uint_eq(world.other.count[OPENED], 0);
  ck_assert_int_eq(world.other.reason, reason);
  ck_assert_uint_eq(psock_loop_get_ended(world.loop, reason), 1);
  ck_assert_uint_eq(world_stats(&world).connections, 0);
}

START_TEST(nobody_listens) {
  world_init(&world, (enum medium)_i);
  world_listen(&world);
  struct psock_address address = world_address(&world);
  psock_listener_free(world.listener);
  fails_with(&address, _i == TCP ? PSOCK_EREFUSED : PSOCK_ENOENT);
  world_fini(&world);
}
END_TEST

START_TEST(abstract_name_that_nobody_has) {
  world_init(&world, UNIX_SOCKET);
  struct psock_address address = parse("unix:@psock-test-nobody");
  fails_with(&address, PSOCK_EREFUSED);
  world_fini(&world);
}
END_TEST

static const struct {
  int number;
  int reason;
} failures[] = {{ECONNREFUSED, PSOCK_EREFUSED}, {ETIMEDOUT, PSOCK_ETIMEDOUT},
    {EHOSTUNREACH, PSOCK_EUNREACHABLE}, {ENETUNREACH, PSOCK_EUNREACHABLE},
    {EACCES, PSOCK_EACCESS}, {EADDRNOTAVAIL, PSOCK_EADDRNOTAVAIL},
    {ENOENT, PSOCK_ENOENT}, {ENOMEM, PSOCK_ENOMEM}, {ECONNRESET, PSOCK_ERESET},
    {EIO, PSOCK_EIO}};

START_TEST(connect_fails) {
  world_init(&world, TCP);
  world_listen(&world);
  struct psock_address address = world_address(&world);
  interpose_fail(CALL_CONNECT, 1, 1, failures[_i].number);
  fails_with(&address, failures[_i].reason);
  world_fini(&world);
}
END_TEST

#define CROWD 4

/* A listener whose backlog is full: who connects gets no answer. */
static int listen_crowded(const struct psock_address *address, int *crowd) {
  const struct sockaddr *name = (const struct sockaddr *)&address->storage;
  const int on = 1;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ck_assert_int_eq(bind(fd, name, address->length), 0);
  ck_assert_int_eq(listen(fd, 0), 0);
  for (int i = 0; i < CROWD; i++) {
    crowd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(connect(crowd[i], name, address->length), -1);
    ck_assert_int_eq(errno, EINPROGRESS);
  }
  return fd;
}

/* The default is ten seconds. */
START_TEST(open_timeout) {
  static const uint64_t timeouts[] = {0, 3000000000u};
  uint64_t timeout = _i == 0 ? 10000000000u : timeouts[_i];
  int crowd[CROWD];
  world_init(&world, TCP);
  world_listen(&world);
  struct psock_address address = world_address(&world);
  psock_listener_free(world.listener);
  int fd = listen_crowded(&address, crowd);
  world.other.options.open_timeout = timeouts[_i];
  side_connect(&world.other, &address);
  ck_assert_int_eq(side_send(&world.other, 10), 0);
  interpose_advance_clock(timeout - 1000000000u);
  world_settle(&world);
  ck_assert_uint_eq(world.other.count[OPENED] + world.other.count[CLOSED], 0);
  interpose_advance_clock(1000000000u);
  UNTIL(&world, world.other.count[CLOSED] == 1);
  ck_assert_int_eq(world.other.reason, PSOCK_ETIMEDOUT);
  world_fini(&world);
  for (int i = 0; i < CROWD; i++)
    close(crowd[i]);
  close(fd);
}
END_TEST

START_TEST(no_descriptor) {
  psock_connection *connection = NULL;
  world_init(&world, TCP);
  world_listen(&world);
  struct psock_address address = world_address(&world);
  interpose_fail(CALL_SOCKET, 1, 1, EMFILE);
  ck_assert_int_eq(
      psock_connect(world.loop, &address, &world.other.options, &connection),
      PSOCK_ENFILE);
  interpose_fail(CALL_SOCKET, 1, 1, EAFNOSUPPORT);
  ck_assert_int_eq(
      psock_connect(world.loop, &address, &world.other.options, &connection),
      PSOCK_ENOTSUP);
  interpose_fail(CALL_SOCKET, 1, 1, ENOMEM);
  ck_assert_int_eq(
      psock_connect(world.loop, &address, &world.other.options, &connection),
      PSOCK_ENOMEM);
  ck_assert_ptr_null(connection);
  world_fini(&world);
}
END_TEST

START_TEST(options_are_looked_at) {
  psock_connection *connection = NULL;
  world_init(&world, TCP);
  struct psock_address address = parse("tcp:127.0.0.1:9");
  struct psock_connection_options options = world.other.options;
  ck_assert_int_eq(
      psock_connect(world.loop, &address, NULL, &connection), PSOCK_EINVAL);
  options.size = 0;
  ck_assert_int_eq(
      psock_connect(world.loop, &address, &options, &connection), PSOCK_EINVAL);
  options = world.other.options;
  options.reactor.ops = NULL;
  ck_assert_int_eq(
      psock_connect(world.loop, &address, &options, &connection), PSOCK_EINVAL);
  ck_assert_ptr_null(connection);
  world_fini(&world);
}
END_TEST

/* ---- adopting ---- */

static int adopt(int fd) {
  psock_connection *connection = NULL;
  int error =
      psock_connection_adopt(world.loop, fd, &world.other.options, &connection);
  ck_assert_int_eq(error == 0, connection != NULL);
  if (error == 0) {
    world.other.connection = connection;
    world.other.sender = psock_connection_get_sender(connection);
    world.other.made = true;
  }
  return error;
}

START_TEST(adopt_a_connected_socket) {
  world_init(&world, (enum medium)_i);
  world_listen(&world);
  int fd = world_dial(&world);
  ck_assert_int_eq(adopt(fd), 0);
  ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
  world.other.on[MESSAGE] = close_side;
  UNTIL(&world, world.one.count[OPENED] == 1);
  side_send_all(&world.one, 1, 10);
  UNTIL(&world, world.one.count[CLOSED] && world.other.count[CLOSED]);
  ck_assert_int_eq(world.one.reason, 0);
  ck_assert_int_eq(fcntl(fd, F_GETFL), -1);
  world_fini(&world);
}
END_TEST

static void refused(int fd, int error) {
  int flags = fcntl(fd, F_GETFL);
  ck_assert_int_eq(adopt(fd), error);
  ck_assert_int_eq(fcntl(fd, F_GETFL), flags);
  close(fd);
}

START_TEST(adopt_what_is_no_stream) {
  int fds[2];
  world_init(&world, SOCKETPAIR);
  ck_assert_int_eq(adopt(-1), PSOCK_EINVAL);
  refused(open("/dev/null", O_RDWR), PSOCK_EINVAL);
  refused(socket(AF_UNIX, SOCK_STREAM, 0), PSOCK_EINVAL);
  ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
  refused(fds[0], PSOCK_EINVAL);
  refused(fds[1], PSOCK_EINVAL);
  ck_assert_int_eq(pipe(fds), 0);
  refused(fds[0], PSOCK_EINVAL);
  refused(fds[1], PSOCK_EINVAL);
  world_fini(&world);
}
END_TEST

/* On failure the descriptor is the caller's, as it was. */
START_TEST(adopt_with_bad_options) {
  int fds[2];
  world_init(&world, SOCKETPAIR);
  ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  world.other.options.reactor.ops = NULL;
  refused(fds[0], PSOCK_EINVAL);
  refused(fds[1], PSOCK_EINVAL);
  world_fini(&world);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("connect");
  TCase *connect = guard_case(suite, "connect");
  tcase_add_loop_test(connect, nobody_listens, UNIX_SOCKET, MEDIA);
  tcase_add_test(connect, abstract_name_that_nobody_has);
  tcase_add_loop_test(
      connect, connect_fails, 0, (int)(sizeof failures / sizeof failures[0]));
  tcase_add_loop_test(connect, open_timeout, 0, 2);
  tcase_add_test(connect, no_descriptor);
  tcase_add_test(connect, options_are_looked_at);
  TCase *adopting = guard_case(suite, "adopt");
  tcase_add_loop_test(adopting, adopt_a_connected_socket, UNIX_SOCKET, MEDIA);
  tcase_add_test(adopting, adopt_what_is_no_stream);
  tcase_add_test(adopting, adopt_with_bad_options);
  return guard_main(suite);
}
