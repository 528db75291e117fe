/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_RPC_FRAME_H
#define PSOCK_RPC_FRAME_H

#include <protosocket/call.h>
#include <protosocket/codec.h>
#include <protosocket/message.h>
#include <protosocket/protobuf.h>
#include <protosocket/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * protosocket.rpc.Frame (proto/protosocket/rpc.proto) as the engine sees it,
 * and the codec for it: one pass in each direction, with the request or
 * response inside encoded in place, and left where it was received until its
 * type is known.
 *
 * The engine speaks of calls over a schema's own messages with the same struct;
 * see face.h.
 */

/* The codes beyond enum psock_code, which are extensions. */
enum psock_frame_code {
  PSOCK_CODE_HELLO = 16,
  PSOCK_CODE_PING = 17,
  PSOCK_CODE_PONG = 18,
  PSOCK_CODE_GOAWAY = 19,
  PSOCK_CODE_WINDOW = 20,
  PSOCK_CODE_MESSAGE = 21
};

struct psock_hello {
  uint32_t version;
  uint64_t stream_window;  /* 0: the default */
  uint64_t max_frame_size; /* 0: the default */
  uint64_t features;
};

struct psock_rpc_frame {
  uint64_t id;
  uint32_t code;
  uint32_t method;
  uint64_t timeout_us; /* 0: none given */
  uint64_t window;
  bool not_begun;
  const struct psock_status *status; /* NULL: none. Its not_begun is not used */
  const struct psock_metadata *metadata;
  size_t metadata_count;
  const struct psock_hello *hello; /* NULL: none */

  /* In: the payload, where it was received: good only inside `message` of the
   * reactor. Out: a payload that is encoded already, if `message` is NULL. */
  const uint8_t *payload;
  size_t payload_length;
  /* Out: what the payload is made of. In, over own messages: the message. */
  const struct psock_message_type *type;
  const void *message;
  /* In: bytes of the whole frame, its count included. */
  size_t length;
  /* Out: where that is put, once it was encoded, even if there is then no room
   * for it; NULL: nowhere. */
  size_t *ret_length;
  /* Out: the most that the peer takes, its count not included; 0: no limit
   * but the codec's. */
  uint64_t max_length;
};

/* Limits of the metadata of a frame: entries, and bytes as psock_metadata_cost
 * has them. A frame beyond them is malformed. */
#define PSOCK_METADATA_ENTRIES 64
#define PSOCK_METADATA_BYTES 8192
#define PSOCK_METADATA_ENTRY_COST 32

/*
 * Makes a codec whose encode takes a struct psock_rpc_frame, and whose decode
 * gives one. Unknown fields are skipped. Metadata, status and hello are in the
 * arena, so that what was decoded is detached but for the payload. `limits` may
 * be NULL; its depth is that of payloads. Returns 0, PSOCK_EINVAL or
 * PSOCK_ENOMEM.
 *
 * encode returns PSOCK_ENOTSUP for a type without generated code, and
 * PSOCK_EINVAL for a message that is not of its type.
 */
int psock_frame_codec_new(
    const struct psock_protobuf_options *limits, psock_codec **ret_codec);
void psock_frame_codec_free(psock_codec *codec);

/* The limits that the codec has made of its options. */
struct psock_protobuf_limits;
const struct psock_protobuf_limits *psock_frame_codec_limits(
    const psock_codec *codec);

/*
 * Encodes `message` alone, as the payload of a frame, into memory that is
 * counted as held (psock_heap_hold_more) and freed with psock_heap_release and
 * the same size. For requests that may have to be sent again, of services and
 * over own messages. An empty message is NULL, and 0 bytes. Any thread.
 * Returns 0, PSOCK_ETOOBIG for more than `max_message` bytes, PSOCK_ENOTSUP for
 * a type without generated code, PSOCK_EINVAL for a message that is not of
 * `type`, or PSOCK_ENOMEM.
 */
struct psock_heap;
int psock_frame_encode_payload(size_t max_message, struct psock_heap *heap,
    const struct psock_message_type *type, const void *message,
    uint8_t **ret_payload, size_t *ret_length);

/* The same into the `*capacity` bytes at `*payload`, if they are enough; else
 * these are released, and replaced by as many as are needed. Begins with 0
 * bytes and NULL. On failure nothing has changed. */
int psock_frame_encode_payload_again(size_t max_message,
    struct psock_heap *heap, const struct psock_message_type *type,
    const void *message, uint8_t **payload, size_t *capacity,
    size_t *ret_length);

#endif
