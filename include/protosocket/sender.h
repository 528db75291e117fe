/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_SENDER_H
#define PROTOSOCKET_SENDER_H

#include <protosocket/codec.h>
#include <protosocket/export.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The way out of a connection. A sender is a lane of its own: what is sent on
 * it arrives in the order it was sent; between lanes there is no order. Every
 * connection has one sender from the start, for its loop's thread, without a
 * lock; clones of it may be used, cloned and dropped on any thread. Several
 * threads may share one clone, but each does better with its own.
 *
 * A message is encoded before the function returns: the caller keeps it.
 */

PSOCK_BEGIN_DECLS

typedef struct psock_sender psock_sender;

/** Something that the reactor is given before the bytes of a message leave. */
struct psock_record {
  void *pointer;
  uint64_t word;
};

/** How to send; set `size` to sizeof, the rest to zero or as needed. */
struct psock_send_options {
  size_t size;
  /* Copied. Given to the reactor's `records`, exactly once, before any byte of
   * these messages leaves, or before `closed` when none will. */
  const struct psock_record *record;
  /* When set, bytes and strings of 16 KiB and more (and whatever else of that
   * size a codec appends: with protobuf, packed arrays of fixed-size numbers
   * and unknown fields) are sent from where the message has them, and must stay
   * there until release(release_data) is called: once, on the loop's thread,
   * when they are not needed any more. When sending fails, it is not
   * called. */
  void (*release)(void *release_data);
  void *release_data;
  /* How long to wait, in nanoseconds, while the queue is full. Default: not at
   * all. Never on the loop's thread. */
  uint64_t timeout;
};

/**
 * Encodes `message` (borrowed until return) and queues it. It is on its way
 * when the function returns 0, unless the connection ends first.
 *
 * A connection's first sender: loop's thread. A clone: any thread.
 * Returns 0, PSOCK_EFULL when the bytes queued for the connection would exceed
 * its limit (nothing was sent; try again when there is room), PSOCK_ECLOSED,
 * PSOCK_ETOOBIG, PSOCK_ENOMEM, PSOCK_ENOTSUP for a connection without an
 * outbound codec, or what the codec's encode returned.
 */
PSOCK_API PSOCK_NODISCARD int psock_send(
    psock_sender *sender, const void *message);

/**
 * Sends `count` messages, all or none, with no other message of this sender
 * between them. The array and the messages are borrowed until return.
 * `options` is borrowed until return, and may be NULL. Threads and results as
 * for psock_send, and PSOCK_EINVAL when `count` is 0, PSOCK_ETIMEDOUT when
 * `timeout` has passed, PSOCK_ELOOPTHREAD for a timeout on the loop's thread.
 */
PSOCK_API PSOCK_NODISCARD int psock_send_many(psock_sender *sender,
    const void *const *messages, size_t count,
    const struct psock_send_options *options);

/**
 * Makes another sender for the same connection. The caller gives it back with
 * psock_sender_drop. Works on any thread, for a connection's first sender on
 * its loop's thread. Returns 0, PSOCK_ECLOSED or PSOCK_ENOMEM.
 */
PSOCK_API PSOCK_NODISCARD int psock_sender_clone(
    psock_sender *sender, psock_sender **ret_sender);

/**
 * Gives back a clone; what was sent on it is still on its way. NULL is
 * allowed. The first sender is the connection's and isn't dropped. Any thread;
 * a sender with a writable callback, on the loop's thread.
 */
PSOCK_API void psock_sender_drop(psock_sender *sender);

/**
 * Sets what is called on the loop's thread when, after a PSOCK_EFULL on this
 * sender, no more than half of the queue's limit is taken; once for each such
 * change, never inside a send. `writable` NULL takes it back. `data` has to
 * last until then, or until the sender is dropped or the connection has
 * closed. Loop's thread.
 */
PSOCK_API void psock_sender_on_writable(
    psock_sender *sender, void (*writable)(void *data), void *data);

/**
 * Bytes that are queued for the connection by all its senders, including what
 * the transport has not taken yet. Another thread's answer may be out of date
 * when it arrives. Threads as for psock_send.
 */
PSOCK_API size_t psock_sender_get_queued(const psock_sender *sender);

PSOCK_END_DECLS

#endif
