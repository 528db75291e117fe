/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_CONNECTION_H
#define PROTOSOCKET_CONNECTION_H

#include <protosocket/address.h>
#include <protosocket/codec.h>
#include <protosocket/export.h>
#include <protosocket/loop.h>
#include <protosocket/sender.h>
#include <protosocket/transport.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A connection: messages from its senders leave through the transport, what
 * arrives is decoded and given to its reactor. It lives from the function that
 * makes it until its reactor's `closed` has returned, which happens exactly
 * once; after that the pointer is dead. Senders may outlive it.
 */

PSOCK_BEGIN_DECLS

typedef struct psock_connection psock_connection;
/* Keeps a message that was lent. */
typedef struct psock_hold psock_hold;

/**
 * What a connection calls, all on the loop's thread, with no lock held, and
 * never from inside the function that made the connection. Each may send,
 * pause, close, or free the connection (and any other). Set `size` to sizeof;
 * a callback that is NULL is left out, with the effect that is said here.
 * `state` is the reactor's.
 */
struct psock_reactor_ops {
  size_t size;
  /** The transport is open. First of all, at most once. */
  void (*opened)(void *state, psock_connection *connection);
  /** `message` came; it is lent until this returns (psock_connection_hold). */
  void (*message)(
      void *state, psock_connection *connection, const void *message);
  /** The messages that came at once have been given; what was sent in return
   * leaves after this. */
  void (*batch_end)(void *state, psock_connection *connection);
  /** There is room to produce output: psock_connection_want_room was called
   * and psock_connection_get_room is above 0. */
  void (*room)(void *state, psock_connection *connection);
  /** The records of messages whose bytes leave next, or, when the connection
   * ends first, never will; `count` is 1 or more, the array is borrowed. */
  void (*records)(void *state, psock_connection *connection,
      const struct psock_record *records, size_t count);
  /** The peer has ended its side, in good order, and every message has been
   * given. Whoever owes no more answers closes. NULL: the connection is closed
   * in good order. */
  void (*input_ended)(void *state, psock_connection *connection);
  /** A drain was asked for: come to an end, then close, within drain_timeout.
   * NULL: the connection is closed in good order. */
  void (*drain)(void *state, psock_connection *connection);
  /** The connection has ended: 0 when both directions ended between messages
   * and everything was written, which does not say that the peer has handled
   * it; otherwise the psock_error that ended it. Last of all, exactly once,
   * also when `opened` never came. */
  void (*closed)(void *state, psock_connection *connection, int reason);
};

/* Gives each message to a typed handler: protosocket/dispatch.h. */
struct psock_dispatch_table;

/** What a connection calls, and what with. All is borrowed until `closed`. It
 * is part of other structs, so it never gets another member. */
typedef struct psock_reactor {
  const struct psock_reactor_ops *ops;
  void *state;
  /* When set, each message is given to one of `handlers`, and `message` of
   * `ops` is not called; then `ops` may be NULL. Both are what a generated
   * function, such as foo__reactor, has set. */
  const struct psock_dispatch_table *dispatch;
  const void *handlers;
} psock_reactor;

/** What happens to input while the output queue is more than half full. */
enum psock_when_full {
  PSOCK_WHEN_FULL_DEFAULT = 0, /* psock_connect: READ; otherwise PAUSE */
  PSOCK_WHEN_FULL_PAUSE = 1,   /* no message is given until there is room */
  PSOCK_WHEN_FULL_READ = 2     /* messages are given all the same */
};

/** Set `size` to sizeof; a field that is zero stands for its default. */
struct psock_connection_options {
  size_t size;
  /* Borrowed until `closed`. Without the first what arrives is an error,
   * without the second nothing can be sent. */
  const psock_codec *inbound;
  const psock_codec *outbound;
  psock_reactor reactor;
  /* Bytes queued for output, by all senders together. Default 8 MiB. */
  size_t max_queued;
  /* Messages given, and bytes moved in each direction, before the loop's
   * other connections have their turn. Defaults 1,024 and 1 MiB. */
  unsigned batch_messages;
  size_t batch_bytes;
  /* Nanoseconds until the transport has to be open (connected), and for
   * closing in good order. Defaults 10 s. */
  uint64_t open_timeout;
  uint64_t close_timeout;
  /* Both sides of a connection with PAUSE, both sending without being asked,
   * can wait for each other for ever; so one side reads. */
  enum psock_when_full when_full;
  /* Nanoseconds for the reactor to come to an end after `drain`; then the
   * connection ends with PSOCK_ETIMEDOUT. Default 10 s. */
  uint64_t drain_timeout;
};

/** Counters of one connection; bytes, messages, calls, times. */
struct psock_connection_stats {
  size_t size; /* set by the caller to sizeof */
  uint64_t bytes_in;
  uint64_t bytes_out;
  uint64_t messages_in;
  uint64_t messages_out; /* that have left their lane */
  uint64_t receives;     /* calls of the transport's receive */
  uint64_t sends;        /* calls of the transport's send */
  uint64_t stalls_in;    /* times that input paused: by psock_connection_pause,
                            or because the output queue was full */
  uint64_t stalls_out;   /* times that the transport did not take all */
};

/**
 * Makes a connection over `transport`, which belongs to it on success and
 * stays the caller's on failure. `options` is borrowed until return. The
 * connection is the library's: it ends by itself, by psock_connection_close or
 * by psock_connection_free. Loop's thread. Returns 0, PSOCK_EINVAL or
 * PSOCK_ENOMEM.
 */
PSOCK_API PSOCK_NODISCARD int psock_connection_new(psock_loop *loop,
    psock_transport *transport, const struct psock_connection_options *options,
    psock_connection **ret_connection);

/**
 * Makes a connection over a connected stream socket (psock_connection_new over
 * psock_transport_socket_new). On success `fd` belongs to the connection, on
 * failure it stays the caller's. Loop's thread. Returns as those two.
 */
PSOCK_API PSOCK_NODISCARD int psock_connection_adopt(psock_loop *loop, int fd,
    const struct psock_connection_options *options,
    psock_connection **ret_connection);

/**
 * The sender of the loop's thread: no lock; what is sent from a callback of
 * this connection leaves when the batch ends, otherwise in this turn of the
 * loop. Borrowed: valid until `closed` has returned. Loop's thread.
 */
PSOCK_API psock_sender *psock_connection_get_sender(
    psock_connection *connection);

/**
 * Closes in good order: sends from now on say PSOCK_ECLOSED, no message is
 * given any more, what is queued is written, the output is shut down, and what
 * still comes is ignored until the peer ends too or close_timeout passes. Then
 * `closed` is called: with 0, with PSOCK_ETIMEDOUT when not everything could be
 * written in time, or with the error that the transport had until then. Does
 * nothing on a connection that is closing. Loop's thread.
 */
PSOCK_API void psock_connection_close(psock_connection *connection);

/**
 * Ends the connection at once; what is queued is lost. `closed` is called,
 * with PSOCK_ECANCELED, before this returns, unless it has been called; then
 * nothing calls back. From inside one of its callbacks too. NULL is allowed.
 * Loop's thread.
 */
PSOCK_API void psock_connection_free(psock_connection *connection);

/** Asks the reactor for a drain, at the end of this turn of the loop or in the
 * next; asking again, at any time, does nothing. Loop's thread. */
PSOCK_API void psock_connection_drain(psock_connection *connection);

/**
 * Gives no further message, beginning with the next one, and stops reading.
 * What stays unread slows the peer down. Loop's thread.
 */
PSOCK_API void psock_connection_pause(psock_connection *connection);

/** Takes back a pause; messages are given again in the loop's next turn, not
 * in this call. Loop's thread. */
PSOCK_API void psock_connection_resume(psock_connection *connection);

/**
 * Asks for one `room`, as soon as psock_connection_get_room is above 0, and
 * not before the loop's next turn. Loop's thread.
 */
PSOCK_API void psock_connection_want_room(psock_connection *connection);

/**
 * How many bytes a producer may queue now so that the peer stays busy and
 * memory small: what is missing to 256 KiB (or half of max_queued, if that is
 * less), 0 when there is that much. Advice, unlike PSOCK_EFULL. Loop's thread.
 */
PSOCK_API size_t psock_connection_get_room(const psock_connection *connection);

/**
 * Keeps the message that is being given, and everything it points to, until
 * psock_hold_release. Nothing is copied. A message that its codec has detached
 * (protobuf's are, but for those with bytes of 16 KiB and more) keeps about its
 * own size, but together with up to 16 KiB of its neighbours; one that lies
 * where it was received keeps that buffer, 128 KiB or as large as its frame.
 * Only inside `message`. Loop's thread. Returns 0, PSOCK_EINVAL when no message
 * is being given, or PSOCK_ENOMEM, also when the loop holds as much as allowed.
 */
PSOCK_API PSOCK_NODISCARD int psock_connection_hold(
    psock_connection *connection, psock_hold **ret_hold);

/** Gives the memory of a kept message back. NULL is allowed. Any thread. */
PSOCK_API void psock_hold_release(psock_hold *hold);

/** The loop that the connection was made on. Loop's thread. */
PSOCK_API psock_loop *psock_connection_get_loop(
    const psock_connection *connection);

/**
 * Fills `ret_stats`, whose `size` says how much of it the caller knows.
 * Loop's thread.
 */
PSOCK_API void psock_connection_get_stats(const psock_connection *connection,
    struct psock_connection_stats *ret_stats);

/** The peer's address. Loop's thread. Returns 0, PSOCK_ENOTSUP when the
 * transport has none, PSOCK_EAGAIN while it is connecting, PSOCK_ERESET when
 * the peer has gone, or PSOCK_ECLOSED in `closed`. */
PSOCK_API PSOCK_NODISCARD int psock_connection_get_peer(
    const psock_connection *connection, struct psock_address *ret_address);

/** Who the peer was when it connected, for unix sockets. Loop's thread.
 * Returns 0, PSOCK_ENOTSUP elsewhere, or PSOCK_ECLOSED in `closed`. */
PSOCK_API PSOCK_NODISCARD int psock_connection_get_credentials(
    const psock_connection *connection,
    struct psock_credentials *ret_credentials);

PSOCK_END_DECLS

#endif
