/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/*
 * Making two ends over any medium, and waiting for what they do.
 *
 * A wait fails at once over memory when nothing can happen any more, and over
 * sockets when a few seconds have passed: no test waits for a fixed time. The
 * library's timeouts can't cause that, they are longer.
 */

/* Seconds that a wait may last, and turns that it may take. */
#define LATE 9.
#define MANY_TURNS 10000000u

/* Turns in which a kernel that has something to tell does so. */
#define SETTLE_TURNS 20

/* Ports below those that the system gives to whoever connects. */
#define FIRST_PORT 10000
#define PORTS 20000

#define MESSAGE_VARIANTS 251u
#define MESSAGE_MAX (((size_t)4 << 20) + 16)

static uint8_t pattern[MESSAGE_MAX + MESSAGE_VARIANTS];

struct psock_text message_of(unsigned n, size_t length) {
  if (pattern[1] == 0) {
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof pattern; i++) {
      state = state * 1664525u + 1013904223u;
      pattern[i] = (uint8_t)(state >> 24 | (i == 1));
    }
  }
  DEMAND(length <= MESSAGE_MAX, "no message is as long as %zu", length);
  return (struct psock_text){
      .text = (const char *)pattern + n % MESSAGE_VARIANTS, .length = length};
}

int side_send(struct side *side, size_t length) {
  struct psock_text text = message_of(side->sent, length);
  int error = psock_send(side->sender, &text);
  if (error == 0)
    side->sent++;
  return error;
}

void side_send_all(struct side *side, unsigned count, size_t length) {
  while (count-- > 0)
    DEMAND(side_send(side, length) == 0, "a message was not taken");
}

void free_side(struct side *side, const void *argument) {
  (void)argument;
  psock_connection_free(side->connection);
}

void close_side(struct side *side, const void *argument) {
  (void)argument;
  psock_connection_close(side->connection);
}

void echo(struct side *side, const void *argument) {
  DEMAND(psock_send(side->sender, argument) == 0, "an echo was not taken");
}

struct psock_connection_stats side_stats(const struct side *side) {
  struct psock_connection_stats stats = {.size = sizeof stats};
  psock_connection_get_stats(side->connection, &stats);
  return stats;
}

struct psock_loop_stats world_stats(const struct world *world) {
  struct psock_loop_stats stats = {.size = sizeof stats};
  psock_loop_get_stats(world->loop, &stats);
  return stats;
}

/* ---- turning ---- */

static void on_late(struct ev_loop *ev, ev_timer *timer, int events) {
  (void)ev;
  (void)events;
  *(bool *)timer->data = true;
}

static void on_noted(struct ev_loop *ev, ev_idle *idle, int events) {
  (void)ev;
  (void)idle;
  (void)events;
}

static bool late;

void world_begin_wait(struct world *world) {
  world->turns = 0;
  if (world->ev == NULL)
    return;
  late = false;
  ev_now_update(world->ev);
  ev_timer_init(&world->late, on_late, LATE, 0.);
  world->late.data = &late;
  ev_timer_start(world->ev, &world->late);
}

void world_end_wait(struct world *world) {
  if (world->ev != NULL)
    ev_timer_stop(world->ev, &world->late);
}

void world_turn(struct world *world, const char *what) {
  DEMAND(world->turns++ < MANY_TURNS, "for ever: %s", what);
  if (world->ev == NULL) {
    DEMAND(psock_test_loop_turn(world->loop) > 0, "never: %s", what);
    return;
  }
  /* Nobody but the test itself sees what comes to a raw end. */
  ev_run(world->ev, world->raw == NULL ? EVRUN_ONCE : EVRUN_NOWAIT);
  ev_idle_stop(world->ev, &world->noted);
  DEMAND(!late, "not in time: %s", what);
}

void world_settle(struct world *world) {
  if (world->ev == NULL)
    ck_assert_int_eq(psock_test_loop_settle(world->loop, 10000), 1);
  else
    for (int i = 0; i < SETTLE_TURNS; i++)
      ev_run(world->ev, EVRUN_NOWAIT);
}

/* ---- making both ends ---- */

static int accept_one(
    void *data, psock_connection *connection, psock_reactor *ret_reactor) {
  struct world *world = data;
  struct side *side = &world->one;
  side->connection = connection;
  side->sender = psock_connection_get_sender(connection);
  side->made = true;
  *ret_reactor = side->options.reactor;
  return 0;
}

static psock_loop *new_loop(struct world *world) {
  psock_loop *loop = NULL;
  if (world->medium == MEMORY) {
    ck_assert_int_eq(psock_test_loop_new(&world->loop_options, &loop), 0);
    return loop;
  }
  world->ev = ev_loop_new(EVFLAG_AUTO);
  ck_assert_ptr_nonnull(world->ev);
  ev_idle_init(&world->noted, on_noted);
  ck_assert_int_eq(psock_loop_new(world->ev, &world->loop_options, &loop), 0);
  return loop;
}

void world_init_held(struct world *world, enum medium medium, size_t max_held) {
  *world = (struct world){.medium = medium, .capacity = 64 << 10};
  world->loop_options = (struct psock_loop_options){
      .size = sizeof world->loop_options,
      .allocator = &guard_memory.allocator,
      .log = guard_log,
      .max_held = max_held,
      .max_cached = max_held == 0 ? 0 : 1,
  };
  world->loop = new_loop(world);
  psock_text_codec_init(&world->codec, 0);
  side_init(&world->one, world);
  side_init(&world->other, world);
  /* As with psock_connect: one of the two has to read. */
  world->other.options.when_full = PSOCK_WHEN_FULL_READ;
  world->listener_options = (struct psock_listener_options){
      .size = sizeof world->listener_options,
      .connection = &world->one.options,
      .accepted = accept_one,
      .data = world,
  };
}

void world_init(struct world *world, enum medium medium) {
  world_init_held(world, medium, 0);
}

static int listen_at(struct world *world, const char *text) {
  struct psock_address address;
  ck_assert_int_eq(psock_address_parse(text, &address), 0);
  return psock_listen(
      world->loop, &address, &world->listener_options, &world->listener);
}

void world_listen(struct world *world) {
  char text[PSOCK_ADDRESS_TEXT_SIZE];
  int error;
  if (world->medium == UNIX_SOCKET) {
    snprintf(text, sizeof text, "unix:psock-test-%d.sock", (int)getpid());
    error = listen_at(world, text);
  } else {
    int port = (int)getpid() % PORTS;
    do {
      snprintf(text, sizeof text, "tcp:127.0.0.1:%d", FIRST_PORT + port);
      error = listen_at(world, text);
      port = (port + 1) % PORTS;
    } while (error == PSOCK_EADDRINUSE);
  }
  ck_assert_int_eq(error, 0);
}

struct psock_address world_address(const struct world *world) {
  struct psock_address address;
  psock_listener_get_address(world->listener, &address);
  return address;
}

int world_dial(const struct world *world) {
  struct psock_address address = world_address(world);
  int fd = socket(address.storage.ss_family, SOCK_STREAM, 0);
  ck_assert_int_ge(fd, 0);
  int result = connect(fd, (struct sockaddr *)&address.storage, address.length);
  ck_assert_int_eq(result, 0);
  return fd;
}

static psock_transport *transport_of(struct world *world, int fd) {
  psock_transport *transport = NULL;
  ck_assert_int_eq(psock_transport_socket_new(world->loop, fd, &transport), 0);
  return transport;
}

/* The two ends of a medium without a listener. */
void world_make_ends(struct world *world) {
  int fds[2];
  if (world->medium == MEMORY) {
    ck_assert_int_eq(psock_memory_pair(world->loop, world->capacity,
                         &world->one_end, &world->other_end),
        0);
    return;
  }
  ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  world->one_end = transport_of(world, fds[0]);
  world->other_end = transport_of(world, fds[1]);
}

static bool has_listener(const struct world *world) {
  return world->medium == UNIX_SOCKET || world->medium == TCP;
}

void world_make_pair(struct world *world) {
  if (has_listener(world)) {
    world_listen(world);
    struct psock_address address = world_address(world);
    side_connect(&world->other, &address);
    return;
  }
  world_make_ends(world);
  side_take(&world->one, world->one_end);
  side_take(&world->other, world->other_end);
}

void world_pair(struct world *world) {
  world_make_pair(world);
  UNTIL(world, world->one.count[OPENED] > 0 && world->other.count[OPENED] > 0);
}

void world_raw(struct world *world) {
  if (has_listener(world)) {
    world_listen(world);
    world->raw = transport_of(world, world_dial(world));
  } else {
    world_make_ends(world);
    world->raw = world->other_end;
    side_take(&world->one, world->one_end);
  }
  UNTIL(world, world->one.count[OPENED] > 0);
}

static void check_ended(const struct side *side) {
  ck_assert_uint_eq(side->count[CLOSED], side->made ? 1 : 0);
  ck_assert_uint_le(side->count[OPENED], 1);
}

void world_fini(struct world *world) {
  if (world->raw != NULL)
    world->raw->ops->free(world->raw);
  psock_connection_free(world->other.connection);
  psock_loop_free(world->loop);
  check_ended(&world->one);
  check_ended(&world->other);
  if (world->ev != NULL)
    ev_loop_destroy(world->ev);
}
