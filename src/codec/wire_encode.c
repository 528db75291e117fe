/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/frame.h"
#include <protosocket/generated.h>

/*
 * The steps of generated encoders that are not inline: what is long, what
 * repeats, and what is rare. A message is written in one pass, front to back.
 * How long a message inside it is, is known only behind it; so room for its
 * count is set aside by a guess, first one byte, then as many as the last count
 * took, and the message is moved when the guess was wrong.
 *
 * A step that finds too little room says how much it would have needed, and the
 * whole message is tried again; see protobuf.c. The bytes are those of
 * protobuf_c_message_pack.
 */

/* The most bytes that a tag, a varint and a count take. */
#define TAG_MAX 5
#define VARINT_MAX 10
#define COUNT_MAX 5

uint8_t *psock_encode_no_room(
    struct psock_encoder *encoder, const uint8_t *at, size_t length) {
  encoder->needed = (size_t)(at - encoder->begin) + length;
  return NULL;
}

/* How many bytes `value` takes as a varint: one for every 7 bits. To multiply
 * by 9 / 64 is as good as to divide by 7, for as few bits. */
static size_t varint_length(uint64_t value) {
  return ((size_t)(63 - __builtin_clzll(value | 1)) * 9 + 73) / 64;
}

/* Spreads 56 bits, in groups of 7, over 8 bytes. */
static uint64_t spread(uint64_t value) {
  value = (value & 0x0fffffff) | (value & 0xfffffff0000000) << 4;
  value = (value & 0x3fff00003fff) | (value & 0xfffc0000fffc000) << 2;
  return (value & 0x7f007f007f007f) | (value & 0x3f803f803f803f80) << 1;
}

/* Two bytes, which most ids and lengths take; or all bytes at once, and how
 * many of them count. */
uint8_t *psock_put_long_varint(uint8_t *at, uint64_t value) {
  static const uint64_t goes_on = UINT64_C(0x8080808080808080);
  if (value < 1u << 14) {
    at[0] = (uint8_t)(value | 0x80);
    at[1] = (uint8_t)(value >> 7);
    return at + 2;
  }
  size_t length = varint_length(value);
  uint64_t bytes = spread(value & 0xffffffffffffff);
  if (length <= 8) {
    psock_put_fixed64(at, bytes | goes_on >> 8 >> (8 * (8 - length)));
    return at + length;
  }
  psock_put_fixed64(at, bytes | goes_on);
  at[8] = (uint8_t)(value >> 56 | (length > 9 ? 0x80 : 0));
  at[9] = (uint8_t)(value >> 63);
  return at + length;
}

/* In just as many bytes as it takes. */
static uint8_t *put_short(uint8_t *at, uint64_t value) {
  return at + psock_count_put(at, value);
}

uint8_t *psock_encode_count(
    struct psock_encoder *encoder, uint8_t *body, uint8_t *end, size_t room) {
  size_t length = (size_t)(end - body);
  size_t taken = varint_length(length);
  uint8_t *count = body - room;
  if (taken > room && !psock_encode_has_room(encoder, end, taken - room))
    return psock_encode_no_room(encoder, end, taken - room);
  if (taken != room)
    memmove(count + taken, body, length);
  put_short(count, length);
  encoder->count_room = taken;
  return count + taken + length;
}

/* `length` bytes behind a tag and their count. */
static uint8_t *put_counted(struct psock_encoder *encoder, uint8_t *at,
    uint32_t tag, const void *bytes, size_t length) {
  size_t room = (size_t)(encoder->limit - at);
  if (room < TAG_MAX + VARINT_MAX || length > room - TAG_MAX - VARINT_MAX)
    return psock_encode_no_room(encoder, at, TAG_MAX + VARINT_MAX + length);
  at = put_short(at, tag);
  at = psock_put_varint(at, length);
  if (length > 0)
    memcpy(at, bytes, length);
  return at + length;
}

/* The length of a string that does not fit is known to the next try. */
uint8_t *psock_encode_long_string(struct psock_encoder *encoder, uint8_t *at,
    uint32_t tag, const char *text, size_t length) {
  uint8_t *end = put_counted(encoder, at, tag, text, length);
  if (end == NULL) {
    encoder->text = text;
    encoder->text_length = length;
  }
  return end;
}

uint8_t *psock_encode_bytes(struct psock_encoder *encoder, uint8_t *at,
    uint32_t tag, const ProtobufCBinaryData *bytes) {
  return put_counted(encoder, at, tag, bytes->data, bytes->len);
}

uint8_t *psock_encode_unknown(struct psock_encoder *encoder, uint8_t *at,
    const ProtobufCMessage *message) {
  for (unsigned i = 0; i < message->n_unknown_fields; i++) {
    const ProtobufCMessageUnknownField *field = &message->unknown_fields[i];
    if (!psock_encode_has_room(encoder, at, TAG_MAX + field->len))
      return psock_encode_no_room(encoder, at, TAG_MAX + field->len);
    at = put_short(at, (uint64_t)field->tag << 3 | (uint64_t)field->wire_type);
    if (field->len > 0)
      memcpy(at, field->data, field->len);
    at += field->len;
  }
  return at;
}

/* One number of a repeated field. */
static uint8_t *put_number(
    uint8_t *at, ProtobufCType type, const void *items, size_t i) {
  switch (type) {
  case PROTOBUF_C_TYPE_INT32:
  case PROTOBUF_C_TYPE_ENUM:
    return psock_put_int32(at, ((const int32_t *)items)[i]);
  case PROTOBUF_C_TYPE_UINT32:
    return psock_put_varint(at, ((const uint32_t *)items)[i]);
  case PROTOBUF_C_TYPE_SINT32:
    return psock_put_sint32(at, ((const int32_t *)items)[i]);
  case PROTOBUF_C_TYPE_INT64:
  case PROTOBUF_C_TYPE_UINT64:
    return psock_put_varint(at, ((const uint64_t *)items)[i]);
  case PROTOBUF_C_TYPE_SINT64:
    return psock_put_sint64(at, ((const int64_t *)items)[i]);
  case PROTOBUF_C_TYPE_FLOAT:
    return psock_put_float(at, ((const float *)items)[i]);
  case PROTOBUF_C_TYPE_FIXED32:
  case PROTOBUF_C_TYPE_SFIXED32:
    return psock_put_fixed32(at, ((const uint32_t *)items)[i]);
  case PROTOBUF_C_TYPE_DOUBLE:
    return psock_put_double(at, ((const double *)items)[i]);
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_SFIXED64:
    return psock_put_fixed64(at, ((const uint64_t *)items)[i]);
  default: /* PROTOBUF_C_TYPE_BOOL */
    return psock_put_bool(at, ((const protobuf_c_boolean *)items)[i]);
  }
}

uint8_t *psock_encode_repeated(struct psock_encoder *encoder, uint8_t *at,
    uint32_t tag, ProtobufCType type, const void *items, size_t count) {
  for (size_t i = 0; i < count && at != NULL; i++) {
    if (type == PROTOBUF_C_TYPE_STRING) {
      at = psock_encode_string(
          encoder, at, tag, ((const char *const *)items)[i]);
    } else if (type == PROTOBUF_C_TYPE_BYTES) {
      at = psock_encode_bytes(
          encoder, at, tag, &((const ProtobufCBinaryData *)items)[i]);
    } else {
      if (!psock_encode_has_room(encoder, at, TAG_MAX + VARINT_MAX))
        return psock_encode_no_room(encoder, at, TAG_MAX + VARINT_MAX);
      at = put_number(psock_put_tag(at, tag), type, items, i);
    }
  }
  return at;
}

uint8_t *psock_encode_packed(struct psock_encoder *encoder, uint8_t *at,
    uint32_t tag, ProtobufCType type, const void *items, size_t count) {
  size_t room = encoder->count_room;
  if (!psock_encode_has_room(encoder, at, TAG_MAX + COUNT_MAX))
    return psock_encode_no_room(encoder, at, TAG_MAX + COUNT_MAX);
  uint8_t *body = psock_put_tag(at, tag) + room;
  at = body;
  for (size_t i = 0; i < count; i++) {
    if (!psock_encode_has_room(encoder, at, VARINT_MAX))
      return psock_encode_no_room(encoder, at, count - i + VARINT_MAX);
    at = put_number(at, type, items, i);
  }
  return psock_encode_count(encoder, body, at, room);
}

uint8_t *psock_encode_messages(struct psock_encoder *encoder, uint8_t *at,
    uint32_t tag, psock_encode_fn *encode, const void *items, size_t count) {
  for (size_t i = 0; i < count && at != NULL; i++)
    at = psock_encode_message(
        encoder, at, tag, encode, ((const void *const *)items)[i]);
  return at;
}
