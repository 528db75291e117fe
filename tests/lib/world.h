/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_LIB_WORLD_H
#define TESTS_LIB_WORLD_H

#include "lib/guard.h"
#include <check.h>
#include <ev.h>
#include <protosocket.h>
#include <protosocket/testing.h>
#include <stdbool.h>

/*
 * Two ends of a conversation on one loop, over any of four media. Each end is
 * a connection whose reactor notes what it is called with; instead of the
 * second one a test may have the bare transport, to send what it likes.
 *
 *   struct world world;
 *   world_init(&world, medium);
 *   (change world.one.options, world.one.on, ...)
 *   world_pair(&world);  or  world_raw(&world);
 *   UNTIL(&world, world.one.count[MESSAGE] == 3);
 *   world_fini(&world);
 *
 * Over memory the loop is turned by hand; otherwise it is libev's, which waits
 * for the next event, but never for long.
 */

enum medium { MEMORY, SOCKETPAIR, UNIX_SOCKET, TCP, MEDIA };

/* The callbacks of a reactor. */
enum event {
  OPENED,
  MESSAGE,
  BATCH_END,
  ROOM,
  RECORDS,
  INPUT_ENDED,
  DRAIN,
  CLOSED,
  EVENTS
};

extern const char *const event_names[EVENTS];

/* A connection and what its reactor has seen. */
struct side {
  struct world *world;
  psock_connection *connection; /* NULL once closed */
  psock_sender *sender;
  bool made; /* there has been a connection */
  struct psock_connection_options options;
  struct psock_reactor_ops ops; /* a test may take callbacks out */
  unsigned count[EVENTS];       /* calls */
  unsigned records;
  uint64_t bytes; /* of messages */
  int reason;     /* of `closed` */
  /* Called for the event, after it was counted. */
  void (*on[EVENTS])(struct side *side, const void *argument);
  /* The length that the n-th message has; NULL: not looked at. */
  size_t (*length_of)(unsigned n);
  unsigned sent; /* by side_send */
  void *data;
};

struct world {
  enum medium medium;
  psock_loop *loop;
  struct ev_loop *ev; /* NULL over memory */
  ev_timer late;
  /* Active after a callback: keeps the loop from waiting for the next event,
   * because it may be this one that the test waits for. */
  ev_idle noted;
  unsigned turns; /* of one UNTIL */
  struct psock_loop_options loop_options;
  psock_listener *listener;
  struct psock_listener_options listener_options;
  struct side one;      /* accepted, where there is a listener */
  struct side other;    /* connected */
  psock_transport *raw; /* in place of `other` */
  /* The ends in memory, for faults and limits; good while the connections
   * last. */
  psock_transport *one_end;
  psock_transport *other_end;
  size_t capacity; /* of the pair in memory */
  struct psock_text_codec codec;
};

void world_init(struct world *world, enum medium medium);

/* The same on a loop that holds at most `max_held` bytes, and caches none. */
void world_init_held(struct world *world, enum medium medium, size_t max_held);

/* Connects two connections, and turns until both are open. */
void world_pair(struct world *world);

/* Makes `one` a connection, and `raw` the transport of its peer. */
void world_raw(struct world *world);

/* As world_pair, without waiting until they are open. */
void world_make_pair(struct world *world);

/* Makes one_end and other_end, where there is no listener, for a test to take
 * with side_take. */
void world_make_ends(struct world *world);

/* Ends everything; `closed` must have come once for every connection. */
void world_fini(struct world *world);

/* Listens with `accepted` that makes world->one of the next connection. */
void world_listen(struct world *world);

/* The address that the listener of this world listens at. */
struct psock_address world_address(const struct world *world);

/* A blocking descriptor that is connected to the listener. */
int world_dial(const struct world *world);

/* Begins a side of `world`, without input_ended; world_init does it. */
void side_init(struct side *side, struct world *world);

/* Gives its reactor input_ended, to be made before the connection. */
void side_wants_end(struct side *side);

/* Makes a connection of `side` over `transport`, or connects it to the
 * listener. */
void side_take(struct side *side, psock_transport *transport);
void side_connect(struct side *side, const struct psock_address *address);

/* One turn of the loop; over memory it returns how much happened. Real loops
 * wait for the next event; late ones fail the test. */
void world_begin_wait(struct world *world);
void world_turn(struct world *world, const char *what);
void world_end_wait(struct world *world);

#define UNTIL(world, condition)                                                \
  do {                                                                         \
    world_begin_wait(world);                                                   \
    while (!(condition))                                                       \
      world_turn(world, #condition);                                           \
    world_end_wait(world);                                                     \
  } while (0)

/* Turns until nothing more happens, as far as that can be said of a kernel. */
void world_settle(struct world *world);

/* Message n, where it is `length` bytes long: borrowed, never changes. */
struct psock_text message_of(unsigned n, size_t length);

/* Sends the next message, of `length` bytes; returns what psock_send does. */
int side_send(struct side *side, size_t length);

/* The same `count` times; nothing may fail. */
void side_send_all(struct side *side, unsigned count, size_t length);

/* What to do in a callback. */
void free_side(struct side *side, const void *argument);
void close_side(struct side *side, const void *argument);
void echo(struct side *side, const void *argument);

struct psock_connection_stats side_stats(const struct side *side);
struct psock_loop_stats world_stats(const struct world *world);

/* ---- the raw peer ---- */

/* Sends all of it, turning the loop where the other end is full. */
void raw_send(struct world *world, const void *bytes, size_t length);
/* The same as a frame. */
void raw_send_frame(struct world *world, const void *bytes, size_t length);
void raw_shutdown(struct world *world);
void raw_close(struct world *world);
/* What has come, at most `length` bytes; returns as transports do. */
ssize_t raw_receive(struct world *world, void *buffer, size_t length);
/* Turns until `length` bytes have come. */
void raw_receive_all(struct world *world, void *buffer, size_t length);
/* Turns until the end comes; returns how many bytes were before it. */
size_t raw_receive_end(struct world *world);

#endif
