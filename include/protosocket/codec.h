/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_CODEC_H
#define PROTOSOCKET_CODEC_H

#include <protosocket/arena.h>
#include <protosocket/buffer.h>
#include <protosocket/export.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A codec turns messages of one type into frames and frames into messages.
 * A connection has two: one for what comes in, one for what goes out.
 *
 * A codec is constant: encode and decode are called for many connections and
 * from many threads at once, and keep nothing between two messages. It has to
 * outlive every connection that uses it. Begin your own type with a struct
 * psock_codec, and fill in what you support; see psock_codec(3).
 */

PSOCK_BEGIN_DECLS

typedef struct psock_codec psock_codec;

/** What decode found at the front of its bytes. */
enum psock_decode_result {
  PSOCK_DECODE_MESSAGE = 0,    /* a message: `message`, `consumed` are set */
  PSOCK_DECODE_INCOMPLETE = 1, /* not yet: `needed` is set */
  PSOCK_DECODE_SKIP = 2        /* no message: `consumed` bytes to be ignored */
};

struct psock_decoded {
  const void *message; /* in the arena, or among the bytes, or both */
  size_t consumed;     /* bytes that are done with; for SKIP more than there
                          are is allowed: the rest is ignored as it comes */
  size_t needed;       /* bytes, from the first, without which another try
                          is useless; 0: not known, any more will do */
  size_t scanned;      /* kept for the codec from one INCOMPLETE to the next
                          try at the same bytes, at first 0: how many of them
                          need not be looked at again */
  int detached;        /* 1: the message does not point into the bytes, so
                          that keeping it keeps no receive buffer */
};

struct psock_codec {
  size_t size; /* sizeof(struct psock_codec) */
  /**
   * Appends the frame of `message` (borrowed until return) to `out`. On
   * failure what was appended is taken back by the caller. Any thread.
   * Returns 0, PSOCK_ENOMEM, PSOCK_ETOOBIG or another psock_error, which the
   * sender's caller is given. NULL: nothing can be sent with this codec.
   */
  int (*encode)(
      const psock_codec *codec, const void *message, psock_buffer *out);
  /**
   * Looks at the front of `bytes` (`length` of them, at least 1) and fills
   * `ret_decoded`. What it makes goes into `arena`, and may point into
   * `bytes`: both live as long as the message is lent or held. Returns a
   * psock_decode_result, or a psock_error, which ends the connection.
   * Loop's thread. NULL: with this codec nothing can be received.
   */
  int (*decode)(const psock_codec *codec, const uint8_t *bytes, size_t length,
      psock_arena *arena, struct psock_decoded *ret_decoded);
  /**
   * What the messages are, so that handlers for others are refused: messages
   * of one type have the same pointer, for protobuf that of their descriptor.
   * NULL: it is not said.
   */
  const void *type;
};

PSOCK_END_DECLS

#endif
