/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_CONNECTION_CONNECTION_H
#define PSOCK_CONNECTION_CONNECTION_H

#include "base/buffer.h"
#include "base/loop.h"
#include "channel/channel.h"
#include <protosocket/connection.h>

/*
 * A connection's life: OPENING until the transport is open; OPEN while
 * messages are given; CLOSING from psock_connection_close, or the end of the
 * input, until everything is written and the peer has ended; ENDING while a
 * sender that is just being used keeps the last step back; ENDED while
 * what is owed is settled and `closed` is called, and until the last frame of
 * this connection has left the stack.
 *
 * connection.c has these steps, read.c the way in, write.c the way out.
 */
enum psock_connection_state {
  PSOCK_OPENING,
  PSOCK_OPEN,
  PSOCK_CLOSING,
  PSOCK_ENDING,
  PSOCK_ENDED
};

/* Bytes of output at which producers pause, and at which replies are written
 * before the batch has ended. */
#define PSOCK_ROOM_MARK ((size_t)256 << 10)

struct psock_connection {
  psock_loop *loop;
  psock_transport *transport;
  const psock_codec *inbound;
  psock_reactor reactor;
  struct psock_channel *channel;
  struct psock_channel_owner owner;
  struct psock_buffer out;     /* collected, not yet taken by the transport */
  struct psock_buffer records; /* collected, not yet given */
  struct psock_block *in;      /* bytes that were received, not yet given */
  struct psock_decoded *lent;  /* the message that is being given */
  size_t needed;               /* bytes in `in` before another decode; 0: any */
  size_t scanned;              /* what decode noted of that many */
  size_t skip;                 /* bytes to be ignored */
  struct psock_task task;      /* what is to be done at the turn's end */
  struct psock_alarm alarm;    /* the end of OPENING, or of CLOSING */
  struct psock_owned owned;    /* by the loop */
  void (*gone)(void *data);    /* the listener's: before `closed` */
  void *gone_data;
  uint64_t close_timeout;
  uint64_t drain_timeout;
  size_t batch_bytes;
  size_t write_left; /* of batch_bytes, in this turn */
  unsigned batch_messages;
  unsigned watched; /* directions */
  int reason;       /* of CLOSING and ENDING */
  unsigned entered; /* frames of this connection on the stack */
  enum psock_connection_state state;
  bool pauses_when_full;
  bool paused;      /* by psock_connection_pause */
  bool full;        /* input rests: the output queue is too long */
  bool more;        /* undispatched input, out of budget */
  bool input_ended; /* the transport has said so */
  bool end_told;    /* the reactor knows */
  bool wants_room;
  bool wants_drain;
  bool closed_told; /* `closed` has been called, or is being called */
  bool drain_told;  /* a drain was asked for, now or earlier */
  bool reading;     /* a batch is on the stack: it flushes at its end */
  bool transport_open;
  bool quiet; /* CLOSING: no send is in progress any more */
  bool shut;  /* CLOSING: the output is shut down */
  struct psock_connection_stats stats;
};

/* ---- connection.c ---- */

/* Every entry from the loop goes through these two: what the callbacks in
 * between free is kept until the last of them has returned. */
void psock_connection_enter(psock_connection *connection);
void psock_connection_leave(psock_connection *connection);

/* Closes in good order, with `reason` for `closed`. */
void psock_connection_begin_close(psock_connection *connection, int reason);

/* Ends at once; `closed` comes later only if a send is in progress. */
void psock_connection_fail(psock_connection *connection, int reason);

/* Goes on with CLOSING as far as it can. */
void psock_connection_advance_close(psock_connection *connection);

/* Tells the transport in which directions something is wanted. */
void psock_connection_watch(psock_connection *connection);

/* Has the work that was noted done at the end of the turn. */
static inline void psock_connection_defer(psock_connection *connection) {
  if (connection->state < PSOCK_ENDING)
    psock_loop_defer(connection->loop, &connection->task);
}

/* What psock_connection_new does, without looking at `options`. One without a
 * reactor is for the listener, which sets it before anything calls back. */
int psock_connection_make(psock_loop *loop, psock_transport *transport,
    const struct psock_connection_options *options,
    psock_connection **ret_connection);

/* Whether they can be used; for options, but for the reactor. */
bool psock_connection_options_are_valid(
    const struct psock_connection_options *options);
bool psock_reactor_is_valid(
    const psock_reactor *reactor, const psock_codec *inbound);
/* Takes a valid one, or none. */
void psock_connection_set_reactor(
    psock_connection *connection, const psock_reactor *reactor);

/* ---- read.c ---- */

/* Receives, gives messages, and writes what they were answered with. */
void psock_connection_read(psock_connection *connection);

/* Whether messages may be given now. */
bool psock_connection_may_give(const psock_connection *connection);

/* Lets input flow again if only the full output queue held it back. */
void psock_connection_check_full(psock_connection *connection);

/* ---- nested.c ---- */

struct psock_message_type;
struct psock_protobuf_limits;

/*
 * Decodes the `length` bytes at `bytes`, which is not NULL and lies in the
 * message that is being given: a message of `type`, which is valid, inside that
 * one. It lives as long as the other; who wants to hold both, decodes first.
 * Loop's thread. Returns 0, PSOCK_EINVAL when no message is being given, or
 * what psock_protobuf_decode does.
 */
int psock_connection_decode(psock_connection *connection,
    const struct psock_protobuf_limits *limits,
    const struct psock_message_type *type, const uint8_t *bytes, size_t length,
    const void **ret_message);

/* Bytes of the frame of the message that is being given, with its count; 0 when
 * none is. */
size_t psock_connection_given_length(const psock_connection *connection);

/* ---- write.c ---- */

/* Collects what the connection's own sender has, gives the records, and writes
 * as much as the transport takes. Does nothing before the transport is open. */
void psock_connection_flush(psock_connection *connection);

/* Collects what all senders have, for a flush to give and write. */
void psock_connection_collect(psock_connection *connection);

/* Gives all records that were collected. */
void psock_connection_give_records(psock_connection *connection);

#endif
