/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_CODEC_PROTOBUF_H
#define PSOCK_CODEC_PROTOBUF_H

#include "codec/frame.h"
#include <protosocket/generated.h>
#include <protosocket/protobuf.h>
#include <stdbool.h>
#include <string.h>

/*
 * What the codec of protobuf messages shares with codecs that have such
 * messages inside their own: the limits, a message without its frame in, and
 * tries in growing room out.
 */

struct psock_protobuf_limits {
  size_t max_message;
  unsigned max_depth;
  unsigned memory_factor;
  size_t memory_min;
  size_t memory_max;
};

/* Takes what `given`, which may be NULL, says, and the defaults for the rest.
 * Returns 0 or PSOCK_EINVAL. */
int psock_protobuf_limits_init(struct psock_protobuf_limits *limits,
    const struct psock_protobuf_options *given,
    const struct psock_allocator **ret_allocator);

/* How much memory a message of `length` bytes may take when it is decoded. */
static inline size_t psock_protobuf_memory_limit(
    const struct psock_protobuf_limits *limits, size_t length) {
  uint64_t limit = (uint64_t)length * limits->memory_factor;
  if (limit < limits->memory_min)
    limit = limits->memory_min;
  return limit > limits->memory_max ? limits->memory_max : (size_t)limit;
}

/* Whether it can be used; generated code has to be of the same version of the
 * schema as its descriptor. */
bool psock_protobuf_type_is_valid(const struct psock_message_type *type);

/*
 * Decodes the fields in the `length` bytes at `bytes`, which is not NULL, into
 * `arena`, which may give as much as the limits say from now on. `type` has to
 * be valid. Returns PSOCK_DECODE_MESSAGE with ret_decoded->message and
 * ret_decoded->detached; PSOCK_ENOTSUP when `type` has no generated decoder; or
 * PSOCK_EMALFORMED, PSOCK_EDEPTH, PSOCK_EMEMLIMIT, PSOCK_EUTF8 or PSOCK_ENOMEM.
 */
int psock_protobuf_decode(const struct psock_protobuf_limits *limits,
    const struct psock_message_type *type, const uint8_t *bytes, size_t length,
    psock_arena *arena, struct psock_decoded *ret_decoded);

/* Room in which a message is tried to be encoded first. */
#define PSOCK_PROTOBUF_SMALL_ROOM 512

/* What is added to the least that a try needs: steps ask for more room than
 * they use, and counts may take more at first. */
#define PSOCK_PROTOBUF_SLACK 256

/* One try of `fields`, which is an encoder, in `room` bytes, with
 * encoder->count_room set aside for the frame's count. Returns 0, PSOCK_ENOMEM,
 * PSOCK_ETOOBIG, or PSOCK_EAGAIN when that was too little; then encoder->needed
 * says what is needed at least.
 */
static inline int psock_protobuf_try(psock_encode_fn *fields,
    const void *message, size_t max_message, psock_buffer *out, size_t room,
    struct psock_encoder *encoder) {
  uint8_t *begin = psock_buffer_reserve(out, room);
  if (begin == NULL)
    return PSOCK_ENOMEM;
  size_t count_room = encoder->count_room;
  uint8_t *body = begin + count_room;
  encoder->begin = begin;
  encoder->limit = begin + room;
  uint8_t *end = fields(encoder, message, body);
  if (end == NULL)
    return PSOCK_EAGAIN;
  if ((size_t)(end - body) > max_message)
    return PSOCK_ETOOBIG;
  if (PSOCK_LIKELY(count_room == 1 && end - body < 0x80))
    *begin = (uint8_t)(end - body);
  else
    end = psock_encode_count(encoder, body, end, count_room);
  if (end == NULL)
    return PSOCK_EAGAIN;
  psock_buffer_commit(out, (size_t)(end - begin));
  return 0;
}

/* After a first try that was PSOCK_EAGAIN: tries in as much room as was
 * missing, and then in ever more. Returns 0, PSOCK_ENOMEM or PSOCK_ETOOBIG. */
int psock_protobuf_try_more(psock_encode_fn *fields, const void *message,
    size_t max_message, psock_buffer *out, struct psock_encoder *encoder);

/* A field of a call in `message`. */
static inline uint64_t psock_call_field_get(
    const struct psock_call_field *field, const void *message) {
  const char *member = (const char *)message + field->offset;
  uint32_t narrow;
  uint64_t wide;
  if (field->width == sizeof narrow) {
    memcpy(&narrow, member, sizeof narrow);
    return narrow;
  }
  memcpy(&wide, member, sizeof wide);
  return wide;
}

/* Sets a field of a call in `message`, and that it is there. Of one that is 32
 * bits wide, the low 32 bits of `value`. */
static inline void psock_call_field_set(
    const struct psock_call_field *field, void *message, uint64_t value) {
  static const protobuf_c_boolean has = 1;
  char *member = (char *)message + field->offset;
  uint32_t narrow = (uint32_t)value;
  if (field->width == sizeof narrow)
    memcpy(member, &narrow, sizeof narrow);
  else
    memcpy(member, &value, sizeof value);
  if (field->has_offset != 0)
    memcpy((char *)message + field->has_offset, &has, sizeof has);
}

#endif
