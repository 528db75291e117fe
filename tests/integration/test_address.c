/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/world.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * Where listeners can listen: unix sockets with a file and without, what
 * happens to that file, TCP over IPv4, IPv6 and both, and the options of TCP.
 */

static struct world world;
static char path[100];
static char at_path[PSOCK_ADDRESS_TEXT_SIZE];

static void begin(void) {
  world_init(&world, TCP);
  snprintf(path, sizeof path, "psock-test-%d.socket", (int)getpid());
  snprintf(at_path, sizeof at_path, "unix:%s", path);
  unlink(path);
}

static int listen_at(const char *text, psock_listener **ret_listener) {
  struct psock_address address;
  ck_assert_int_eq(psock_address_parse(text, &address), 0);
  return psock_listen(
      world.loop, &address, &world.listener_options, ret_listener);
}

static bool exists(void) {
  struct stat status;
  return lstat(path, &status) == 0;
}

/* Sends a message to whoever listens, and sees that it comes. */
static void visit(const struct psock_address *address) {
  world.one.count[MESSAGE] = 0;
  world.one.count[OPENED] = 0;
  world.one.count[CLOSED] = 0;
  side_init(&world.other, &world);
  side_connect(&world.other, address);
  ck_assert_int_eq(side_send(&world.other, 10), 0);
  UNTIL(
      &world, world.one.count[MESSAGE] == 1 && world.other.count[OPENED] == 1);
  psock_connection_close(world.other.connection);
  UNTIL(&world, world.one.count[CLOSED] && world.other.count[CLOSED]);
}

static void visit_listener(const psock_listener *listener) {
  struct psock_address address;
  psock_listener_get_address(listener, &address);
  visit(&address);
}

/* ---- unix ---- */

START_TEST(file_is_removed_by_free) {
  psock_listener *listener;
  begin();
  ck_assert_int_eq(listen_at(at_path, &listener), 0);
  ck_assert(exists());
  visit_listener(listener);
  psock_listener_free(listener);
  ck_assert(!exists());
  world_fini(&world);
}
END_TEST

START_TEST(file_is_removed_by_drain) {
  psock_listener *listener;
  begin();
  ck_assert_int_eq(listen_at(at_path, &listener), 0);
  ck_assert_int_eq(psock_listener_drain(listener, NULL, NULL), 0);
  ck_assert(!exists());
  world_fini(&world);
}
END_TEST

START_TEST(file_is_removed_with_the_loop) {
  psock_listener *listener;
  begin();
  ck_assert_int_eq(listen_at(at_path, &listener), 0);
  world_fini(&world);
  ck_assert(!exists());
}
END_TEST

static void leave_stale_file(void) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
  ck_assert_int_eq(listen(fd, 1), 0);
  close(fd);
  ck_assert(exists());
}

START_TEST(stale_file_is_replaced) {
  psock_listener *listener;
  begin();
  leave_stale_file();
  ck_assert_int_eq(listen_at(at_path, &listener), 0);
  visit_listener(listener);
  world_fini(&world);
  ck_assert(!exists());
}
END_TEST

START_TEST(live_file_is_not_replaced) {
  psock_listener *listener;
  psock_listener *second = NULL;
  begin();
  ck_assert_int_eq(listen_at(at_path, &listener), 0);
  ck_assert_int_eq(listen_at(at_path, &second), PSOCK_EADDRINUSE);
  ck_assert_ptr_null(second);
  ck_assert(exists());
  /* The question whether somebody listens there was a connection. */
  UNTIL(&world, world.one.count[CLOSED] == 1);
  visit_listener(listener);
  world_fini(&world);
}
END_TEST

START_TEST(other_files_are_left_alone) {
  psock_listener *listener = NULL;
  begin();
  int fd = open(path, O_CREAT | O_WRONLY, 0600);
  ck_assert_int_ge(fd, 0);
  close(fd);
  ck_assert_int_eq(listen_at(at_path, &listener), PSOCK_EADDRINUSE);
  ck_assert(exists());
  ck_assert_ptr_null(listener);
  unlink(path);
  ck_assert_int_eq(mkdir(path, 0700), 0);
  ck_assert_int_eq(listen_at(at_path, &listener), PSOCK_EADDRINUSE);
  ck_assert_int_eq(rmdir(path), 0);
  world_fini(&world);
}
END_TEST

/* A file that is another's by now is not removed. */
START_TEST(files_of_others_stay) {
  psock_listener *listener;
  begin();
  ck_assert_int_eq(listen_at(at_path, &listener), 0);
  unlink(path);
  leave_stale_file();
  psock_listener_free(listener);
  ck_assert(exists());
  unlink(path);
  world_fini(&world);
}
END_TEST

START_TEST(directory_that_is_not_there) {
  psock_listener *listener;
  begin();
  ck_assert_int_lt(listen_at("unix:no/such/directory/s", &listener), 0);
  world_fini(&world);
}
END_TEST

START_TEST(abstract_name) {
  psock_listener *listener;
  psock_listener *second;
  char name[PSOCK_ADDRESS_TEXT_SIZE];
  char text[PSOCK_ADDRESS_TEXT_SIZE];
  struct psock_address address;
  begin();
  snprintf(name, sizeof name, "unix:@psock-test-%d", (int)getpid());
  ck_assert_int_eq(listen_at(name, &listener), 0);
  psock_listener_get_address(listener, &address);
  psock_address_format(&address, text, sizeof text);
  ck_assert_str_eq(text, name);
  visit_listener(listener);
  ck_assert_int_eq(listen_at(name, &second), PSOCK_EADDRINUSE);
  psock_listener_free(listener);
  ck_assert_int_eq(listen_at(name, &listener), 0);
  world_fini(&world);
}
END_TEST

/* ---- TCP ---- */

static int port_of(const psock_listener *listener) {
  struct psock_address address;
  struct sockaddr_in in;
  psock_listener_get_address(listener, &address);
  /* The port has one place in the addresses of both families. */
  memcpy(&in, &address.storage, sizeof in);
  return ntohs(in.sin_port);
}

static struct psock_address address_of(const char *form, int port) {
  char text[PSOCK_ADDRESS_TEXT_SIZE];
  struct psock_address address;
  snprintf(text, sizeof text, form, port);
  ck_assert_int_eq(psock_address_parse(text, &address), 0);
  return address;
}

/* An attempt that has to fail. */
static void visit_in_vain(const struct psock_address *address) {
  side_init(&world.other, &world);
  side_connect(&world.other, address);
  UNTIL(&world, world.other.count[CLOSED] == 1);
  ck_assert_int_eq(world.other.reason, PSOCK_EREFUSED);
  ck_assert_uint_eq(world.other.count[OPENED], 0);
}

static bool has_ipv6(void) {
  struct sockaddr_in6 name = {
      .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  int fd = socket(AF_INET6, SOCK_STREAM, 0);
  bool has = fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof name) == 0;
  if (fd >= 0)
    close(fd);
  return has;
}

START_TEST(system_chooses_the_port) {
  psock_listener *listener;
  begin();
  ck_assert_int_eq(listen_at("tcp:127.0.0.1:0", &listener), 0);
  ck_assert_int_gt(port_of(listener), 0);
  visit_listener(listener);
  world_fini(&world);
}
END_TEST

START_TEST(one_ipv6_address) {
  psock_listener *listener;
  if (!has_ipv6())
    return;
  begin();
  ck_assert_int_eq(listen_at("tcp:[::1]:0", &listener), 0);
  visit_listener(listener);
  struct psock_address ipv4 = address_of("tcp:127.0.0.1:%d", port_of(listener));
  visit_in_vain(&ipv4);
  world_fini(&world);
}
END_TEST

START_TEST(both_families) {
  psock_listener *listener;
  if (!has_ipv6())
    return;
  begin();
  ck_assert_int_eq(listen_at("tcp:*:0", &listener), 0);
  struct psock_address ipv4 = address_of("tcp:127.0.0.1:%d", port_of(listener));
  struct psock_address ipv6 = address_of("tcp:[::1]:%d", port_of(listener));
  visit(&ipv4);
  visit(&ipv6);
  world_fini(&world);
}
END_TEST

START_TEST(ipv6_only) {
  psock_listener *listener;
  if (!has_ipv6())
    return;
  begin();
  world.listener_options.ipv6_only = 1;
  ck_assert_int_eq(listen_at("tcp:*:0", &listener), 0);
  struct psock_address ipv4 = address_of("tcp:127.0.0.1:%d", port_of(listener));
  struct psock_address ipv6 = address_of("tcp:[::1]:%d", port_of(listener));
  visit(&ipv6);
  visit_in_vain(&ipv4);
  world_fini(&world);
}
END_TEST

START_TEST(port_in_use) {
  psock_listener *listener;
  psock_listener *second = NULL;
  begin();
  world_listen(&world);
  listener = world.listener;
  struct psock_address address = world_address(&world);
  ck_assert_int_eq(
      psock_listen(world.loop, &address, &world.listener_options, &second),
      PSOCK_EADDRINUSE);
  ck_assert_ptr_null(second);
  visit_listener(listener);
  world_fini(&world);
}
END_TEST

/* A port can be listened at again at once, whatever connections there were. */
START_TEST(port_used_before) {
  begin();
  world_listen(&world);
  struct psock_address address = world_address(&world);
  side_connect(&world.other, &address);
  UNTIL(&world, world.one.count[OPENED] == 1);
  psock_connection_close(world.one.connection);
  UNTIL(&world, world.one.count[CLOSED] && world.other.count[CLOSED]);
  psock_listener_free(world.listener);
  ck_assert_int_eq(psock_listen(world.loop, &address, &world.listener_options,
                       &world.listener),
      0);
  visit(&address);
  world_fini(&world);
}
END_TEST

START_TEST(several_at_one_port) {
  psock_listener *second;
  begin();
  world.listener_options.reuse_port = 1;
  world_listen(&world);
  struct psock_address address = world_address(&world);
  ck_assert_int_eq(
      psock_listen(world.loop, &address, &world.listener_options, &second), 0);
  visit(&address);
  world_fini(&world);
}
END_TEST

/* The end of a connection that was accepted: it has the listener's port, and
 * unlike the listener a peer. */
static int accepted_fd(void) {
  struct psock_address wanted = world_address(&world);
  struct psock_address name;
  for (int fd = 0; fd < 1024; fd++) {
    name = (struct psock_address){.length = sizeof name.storage};
    if (getsockname(fd, (struct sockaddr *)&name.storage, &name.length) != 0 ||
        name.length != wanted.length ||
        memcmp(&name.storage, &wanted.storage, name.length) != 0)
      continue;
    if (getpeername(fd, (struct sockaddr *)&name.storage, &name.length) == 0)
      return fd;
  }
  ck_abort_msg("nothing was accepted");
  return -1;
}

static int option_of(int fd, int level, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  ck_assert_int_eq(getsockopt(fd, level, option, &value, &size), 0);
  return value;
}

START_TEST(options_of_tcp) {
  begin();
  world.listener_options.delay = _i & 1;
  world.listener_options.keepalive = _i >> 1;
  world_listen(&world);
  int client = world_dial(&world);
  UNTIL(&world, world.one.count[OPENED] == 1);
  int fd = accepted_fd();
  ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_NODELAY) != 0, (_i & 1) == 0);
  ck_assert_int_eq(option_of(fd, SOL_SOCKET, SO_KEEPALIVE) != 0, _i >> 1);
  close(client);
  world_fini(&world);
}
END_TEST

/* ---- who the peer is ---- */

START_TEST(peers) {
  struct psock_address peer;
  struct psock_credentials credentials = {.pid = 0};
  char text[PSOCK_ADDRESS_TEXT_SIZE];
  char wanted[PSOCK_ADDRESS_TEXT_SIZE];
  world_init(&world, (enum medium)_i);
  world_pair(&world);
  psock_connection *one = world.one.connection;
  psock_connection *other = world.other.connection;
  int known = psock_connection_get_credentials(one, &credentials);
  ck_assert_int_eq(known, _i == TCP ? PSOCK_ENOTSUP : 0);
  if (known == 0) {
    ck_assert_int_eq(credentials.pid, getpid());
    ck_assert_uint_eq(credentials.uid, getuid());
    ck_assert_uint_eq(credentials.gid, getgid());
  }
  ck_assert_int_eq(psock_connection_get_peer(one, &peer), 0);
  psock_address_format(&peer, text, sizeof text);
  if (_i == TCP)
    ck_assert_int_eq(strncmp(text, "tcp:127.0.0.1:", 14), 0);
  else
    ck_assert_str_eq(text, "unix:");
  if (_i != SOCKETPAIR) {
    struct psock_address address = world_address(&world);
    ck_assert_int_eq(psock_connection_get_peer(other, &peer), 0);
    psock_address_format(&peer, text, sizeof text);
    psock_address_format(&address, wanted, sizeof wanted);
    ck_assert_str_eq(text, wanted);
  }
  world_fini(&world);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("address");
  TCase *local = guard_case(suite, "unix");
  tcase_add_test(local, file_is_removed_by_free);
  tcase_add_test(local, file_is_removed_by_drain);
  tcase_add_test(local, file_is_removed_with_the_loop);
  tcase_add_test(local, stale_file_is_replaced);
  tcase_add_test(local, live_file_is_not_replaced);
  tcase_add_test(local, other_files_are_left_alone);
  tcase_add_test(local, files_of_others_stay);
  tcase_add_test(local, directory_that_is_not_there);
  tcase_add_test(local, abstract_name);
  TCase *tcp = guard_case(suite, "tcp");
  tcase_add_test(tcp, system_chooses_the_port);
  tcase_add_test(tcp, one_ipv6_address);
  tcase_add_test(tcp, both_families);
  tcase_add_test(tcp, ipv6_only);
  tcase_add_test(tcp, port_in_use);
  tcase_add_test(tcp, port_used_before);
  tcase_add_test(tcp, several_at_one_port);
  tcase_add_loop_test(tcp, options_of_tcp, 0, 4);
  TCase *peer = guard_case(suite, "peer");
  tcase_add_loop_test(peer, peers, SOCKETPAIR, MEDIA);
  return guard_main(suite);
}
