/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_LIB_RIG_H
#define TESTS_LIB_RIG_H

#include "lib/alloc_fault.h"
#include <check.h>
#include <protosocket.h>
#include <protosocket/testing.h>
#include <stdbool.h>

/*
 * For tests of senders: two connections over a pair in memory, on a loop that
 * is turned by hand, with an allocator that fails on demand. `near` sends and
 * `far` receives. What `near` gives to its transport is seen on the way.
 *
 *   struct rig rig;
 *   rig_init(&rig);
 *   (change rig.near.options, rig.near.on_closed, rig.capacity, ...)
 *   rig_open(&rig);
 *   ...
 *   rig_fini(&rig);
 *
 * A message has a lane and a number in front, by which the order is checked,
 * and bytes that follow from these. rig_fini checks what holds for all tests:
 * `closed` once for every connection, no callback from inside a send, every
 * release exactly once, and no memory left.
 */

/* The shortest message. */
#define RIG_MESSAGE_MIN ((size_t)8)

/* What a frame of a message with less than 128 bytes takes. */
#define RIG_FRAME(length) ((length) + 1)

struct rig;

struct rig_got {
  uint32_t lane;
  uint32_t number;
  size_t length;
};

struct rig_record {
  struct psock_record record;
  size_t sent; /* bytes that had left before it was given */
};

/* A transport in front of another one, that looks at what is sent. */
struct rig_tap {
  psock_transport transport; /* first */
  psock_transport *inner;
  struct rig_end *end;
  size_t sent;         /* bytes */
  size_t room;         /* bytes that it still takes */
  unsigned directions; /* watched */
  const char *watched; /* bytes that are to be seen leaving from here */
  size_t watched_length;
  size_t watched_sent;
  size_t vectors_most; /* in one send */
};

struct rig_end {
  struct rig *rig;
  psock_connection *connection; /* NULL once closed */
  psock_sender *sender;         /* NULL once closed */
  psock_sender *first;          /* the same, which may have gone */
  psock_transport *memory;      /* for limits and faults, until closed */
  struct rig_tap tap;
  struct psock_connection_options options;
  struct psock_reactor_ops ops;
  unsigned opened;
  unsigned closed;
  int reason;
  struct rig_got *got;
  size_t got_count;
  struct rig_record *records;
  size_t record_count;
  unsigned rooms;
  /* Called after the event was noted. */
  void (*on_message)(struct rig_end *end);
  void (*on_records)(struct rig_end *end);
  void (*on_closed)(struct rig_end *end);
  void (*on_room)(struct rig_end *end);
};

/* Memory that is sent from where it is, and how often it was released. */
struct rig_lent {
  struct rig *rig;
  struct psock_text text;
  unsigned released;
  unsigned expected; /* releases, at the end of the test */
  struct rig_lent *next;
  void (*on_release)(struct rig_lent *lent);
};

struct rig {
  struct alloc_fault fault;
  psock_loop *loop;
  size_t capacity; /* of the pair */
  struct psock_text_codec codec;
  struct rig_end near;
  struct rig_end far;
  struct rig_lent *lent;
  int inside;     /* a send of the test's own thread is on the stack */
  unsigned early; /* callbacks that came then */
};

/* Makes the loop; then everything may be set otherwise. */
void rig_init(struct rig *rig);

/* Makes the connections, and turns until both are open. Ends the test if that
 * doesn't work. */
void rig_open(struct rig *rig);

/* The same, with an error where there is one; rig_fini is due in any case. */
int rig_try_open(struct rig *rig);

/* Turns until nothing happens any more. */
void rig_settle(struct rig *rig);

/* Ends everything; what is wrong, or NULL. */
const char *rig_end(struct rig *rig);

/* The same; what is wrong fails the test. */
void rig_fini(struct rig *rig);

/* Fills `buffer` with the message of `lane` that has this number. */
struct psock_text rig_message(
    char *buffer, uint32_t lane, uint32_t number, size_t length);

/* Sends one; any thread. Returns as psock_send. */
int rig_send(
    psock_sender *sender, uint32_t lane, uint32_t number, size_t length);

/* The same with options. On the thread of `rig`, which may be NULL, it is seen
 * when something calls back meanwhile. */
int rig_send_with(struct rig *rig, psock_sender *sender,
    const struct psock_text *text, const struct psock_send_options *options);

/* A message of its own memory that is released `expected` times by the end. */
struct rig_lent *rig_lend(
    struct rig *rig, uint32_t number, size_t length, unsigned expected);

/* Has it released by what is sent with `options`. */
void rig_release_with(
    struct psock_send_options *options, struct rig_lent *lent);

/* Sends it with its release, and with `record` if there is one. */
int rig_send_lent(psock_sender *sender, struct rig_lent *lent,
    const struct psock_record *record);

/* A clone of the first sender of `near`. */
psock_sender *rig_clone(struct rig *rig);

/* From now on the transport of `near` takes nothing; or `length` bytes more,
 * after which it has settled; or whatever comes. */
void rig_block(struct rig *rig);
void rig_let_leave(struct rig *rig, size_t length);
void rig_unblock(struct rig *rig);

/* Drops a clone; leaves alone the first sender, which may have gone. */
void rig_drop(struct rig *rig, psock_sender *sender);

/* Whether the messages that `far` got on `lane` are number 0, 1, 2, ... and
 * `count` of them. */
bool rig_in_order(const struct rig *rig, uint32_t lane, size_t count);

/* Sends messages until there is no room; returns how many had. */
unsigned rig_fill(psock_sender *sender, uint32_t lane, size_t length);

uint64_t rig_wakeups(const struct rig *rig);

/* Reads a message's head; whether it consists of what it should. Any thread. */
bool rig_read(const struct psock_text *text, struct rig_got *ret_got);

/* A case with a timeout, added to `suite`. */
TCase *rig_case(Suite *suite, const char *name);

/* Runs `suite` as a program does; returns its exit status. */
int rig_main(Suite *suite);

#endif
