/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/world.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * What an idle connection costs: a few thousand of them, after each has
 * carried messages in both directions, measured in bytes that malloc has given
 * out. The peers are bare descriptors, which cost no heap.
 */

#define MOST 5000
#define SPARE 100
#define LIMIT 1024

static struct ev_loop *ev;
static psock_loop *loop;
static struct psock_text_codec codec;
static int peers[MOST];
static unsigned messages;
static unsigned closed;

static void on_message(
    void *state, psock_connection *connection, const void *message) {
  (void)state;
  messages++;
  DEMAND(psock_send(psock_connection_get_sender(connection), message) == 0,
      "an echo was not taken");
}

static void on_closed(void *state, psock_connection *connection, int reason) {
  (void)state;
  (void)connection;
  DEMAND(reason == 0, "%s", psock_strerror(reason));
  closed++;
}

static const struct psock_reactor_ops ops = {
    .size = sizeof ops, .message = on_message, .closed = on_closed};

/* As many connections as there are descriptors for. */
static unsigned possible(void) {
  struct rlimit limit;
  ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
  ck_assert_uint_gt(limit.rlim_cur, MOST + 3 * SPARE);
  rlim_t count = limit.rlim_cur - MOST - 2 * SPARE;
  return count < MOST ? (unsigned)count : MOST;
}

static void make(unsigned index) {
  int fds[2];
  psock_connection *connection;
  struct psock_connection_options options = {
      .size = sizeof options,
      .inbound = &codec.codec,
      .outbound = &codec.codec,
      .reactor = {.ops = &ops},
  };
  DEMAND(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0, "no socketpair");
  DEMAND(psock_connection_adopt(loop, fds[0], &options, &connection) == 0,
      "no connection");
  /* libev's table goes up to the highest descriptor that it watches, so those
   * that only this test has are put behind the others. */
  peers[index] = fcntl(fds[1], F_DUPFD_CLOEXEC, MOST + SPARE);
  DEMAND(peers[index] > 0, "no descriptor");
  close(fds[1]);
}

static void turn_until(const unsigned *counter, unsigned wanted) {
  for (int turns = 0; *counter < wanted; turns++) {
    DEMAND(turns < 1000000, "%u of %u", *counter, wanted);
    ev_run(ev, EVRUN_NOWAIT);
  }
  ev_run(ev, EVRUN_NOWAIT);
}

/* A whole message, and then an unfinished one that is finished later, and a
 * large one, so that every kind of buffer has been in use. */
static void carry(unsigned count) {
  static char frame[20003] = {(char)0xa0, (char)0x9c, 1};
  for (unsigned i = 0; i < count; i++)
    DEMAND(write(peers[i], "\003abc\003a", 6) == 6, "not written");
  turn_until(&messages, count);
  for (unsigned i = 0; i < count; i++) {
    DEMAND(write(peers[i], "bc", 2) == 2, "not written");
    DEMAND(write(peers[i], frame, sizeof frame) == sizeof frame, "not written");
  }
  turn_until(&messages, 3 * count);
  for (unsigned i = 0; i < count; i++)
    while (recv(peers[i], frame, sizeof frame, MSG_DONTWAIT) > 0)
      continue;
}

START_TEST(an_idle_connection_is_cheap) {
  unsigned count = possible();
  psock_text_codec_init(&codec, 0);
  ev = ev_loop_new(EVFLAG_AUTO);
  /* Without a cache of blocks, which is the loop's and not the connections'. */
  struct psock_loop_options options = {
      .size = sizeof options, .max_cached = 1, .log = guard_log};
  ck_assert_int_eq(psock_loop_new(ev, &options, &loop), 0);
  ev_run(ev, EVRUN_NOWAIT);
  size_t before = mallinfo2().uordblks;
  for (unsigned i = 0; i < count; i++)
    make(i);
  carry(count);
  size_t used = mallinfo2().uordblks - before;
  printf("# heap for each of %u idle connections: %zu bytes\n", count,
      used / count);
  fflush(stdout);
  /* A sanitizer's malloc doesn't count. */
  ck_assert_uint_lt(used / count, LIMIT);
  for (unsigned i = 0; i < count; i++)
    close(peers[i]);
  turn_until(&closed, count);
  psock_loop_free(loop);
  ev_loop_destroy(ev);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("idle");
  TCase *tcase = guard_case(suite, "idle");
  tcase_add_test(tcase, an_idle_connection_is_cheap);
  return guard_main(suite);
}
