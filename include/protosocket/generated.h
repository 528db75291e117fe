/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_GENERATED_H
#define PROTOSOCKET_GENERATED_H

#include <protosocket/error.h>
#include <protosocket/message.h>
#include <string.h>

/*
 * For code that protoc-gen-psock has generated, and for nobody else: the steps
 * of an encoder and of a decoder. What most messages need is inline; what they
 * need rarely, or many times at once, is a function of the library.
 *
 * A `tag` is a field's number and wire type, as it is on the wire. An encoder's
 * step is given where to write and returns where it ended, NULL when there was
 * too little room; the caller then tries the whole message again with more. A
 * decoder's step is given what is left of the message, [at, end), and returns
 * where it ended, NULL when that is not a message or too much is asked for.
 *
 * This is the interface between a program's generated code and the library it
 * runs with, which may be newer. Its structs and functions are not changed;
 * what has to change gets a new name, and the generated code a new version.
 */

PSOCK_BEGIN_DECLS

#if defined(__GNUC__)
#define PSOCK_INLINE static inline __attribute__((always_inline))
#define PSOCK_LIKELY(x) (__builtin_expect(!!(x), 1) != 0)
#else
#define PSOCK_INLINE static inline
#define PSOCK_LIKELY(x) (x)
#endif

/* ---- Encoding ---- */

/* Where a message is encoded to, and what a try has learnt for the next. */
struct psock_encoder {
  uint8_t *begin;
  uint8_t *limit;
  size_t count_room; /* bytes that are set aside for the next count */
  size_t needed;     /* bytes that were missing, from `begin`; 0: none */
  const char *text;  /* the string that did not fit, and its length */
  size_t text_length;
};

typedef uint8_t *psock_encode_fn(
    struct psock_encoder *encoder, const void *message, uint8_t *at);

/* Notes that `length` bytes did not fit at `at`. Returns NULL. */
PSOCK_API uint8_t *psock_encode_no_room(
    struct psock_encoder *encoder, const uint8_t *at, size_t length);

/* Writes the count of the bytes from `body` to `end` in front of them, where
 * `room` bytes are set aside for it, and moves them if that was wrong. */
PSOCK_API uint8_t *psock_encode_count(
    struct psock_encoder *encoder, uint8_t *body, uint8_t *end, size_t room);

/* A varint that may be longer than a byte, in room for the longest. */
PSOCK_API uint8_t *psock_put_long_varint(uint8_t *at, uint64_t value);

/* A string of any length, which may be NULL if that is 0; bytes; or the
 * message's unknown fields. */
PSOCK_API uint8_t *psock_encode_long_string(struct psock_encoder *encoder,
    uint8_t *at, uint32_t tag, const char *text, size_t length);
PSOCK_API uint8_t *psock_encode_bytes(struct psock_encoder *encoder,
    uint8_t *at, uint32_t tag, const ProtobufCBinaryData *bytes);
PSOCK_API uint8_t *psock_encode_unknown(struct psock_encoder *encoder,
    uint8_t *at, const ProtobufCMessage *message);

/* The `count` values at `items`, of a repeated field: each with a tag, or all
 * behind one, of which there has to be at least one; or messages. */
PSOCK_API uint8_t *psock_encode_repeated(struct psock_encoder *encoder,
    uint8_t *at, uint32_t tag, ProtobufCType type, const void *items,
    size_t count);
PSOCK_API uint8_t *psock_encode_packed(struct psock_encoder *encoder,
    uint8_t *at, uint32_t tag, ProtobufCType type, const void *items,
    size_t count);
PSOCK_API uint8_t *psock_encode_messages(struct psock_encoder *encoder,
    uint8_t *at, uint32_t tag, psock_encode_fn *encode, const void *items,
    size_t count);

/* Whether `length` bytes fit at `at`. */
PSOCK_INLINE int psock_encode_has_room(
    const struct psock_encoder *encoder, const uint8_t *at, size_t length) {
  return PSOCK_LIKELY((size_t)(encoder->limit - at) >= length);
}

/* The steps from here on need no check: whoever calls them has made sure of
 * the room for as many of them as follow each other. */

/* Takes the room of the longest varint, however long this one is. */
PSOCK_INLINE uint8_t *psock_put_varint(uint8_t *at, uint64_t value) {
  if (PSOCK_LIKELY(value < 0x80)) {
    *at = (uint8_t)value;
    return at + 1;
  }
  return psock_put_long_varint(at, value);
}

/* With a constant tag, a few stores. */
PSOCK_INLINE uint8_t *psock_put_tag(uint8_t *at, uint32_t tag) {
  if (tag >= 1u << 7)
    *at++ = (uint8_t)(tag | 0x80);
  if (tag >= 1u << 14)
    *at++ = (uint8_t)(tag >> 7 | 0x80);
  if (tag >= 1u << 21)
    *at++ = (uint8_t)(tag >> 14 | 0x80);
  if (tag >= 1u << 28)
    *at++ = (uint8_t)(tag >> 21 | 0x80);
  *at++ = (uint8_t)(tag >= 1u << 28   ? tag >> 28
                    : tag >= 1u << 21 ? tag >> 21
                    : tag >= 1u << 14 ? tag >> 14
                    : tag >= 1u << 7  ? tag >> 7
                                      : tag);
  return at;
}

PSOCK_INLINE uint8_t *psock_put_int32(uint8_t *at, int32_t value) {
  return psock_put_varint(at, (uint64_t)(int64_t)value);
}

PSOCK_INLINE uint8_t *psock_put_sint32(uint8_t *at, int32_t value) {
  return psock_put_varint(
      at, (uint32_t)((uint32_t)value << 1 ^ (uint32_t)(value >> 31)));
}

PSOCK_INLINE uint8_t *psock_put_sint64(uint8_t *at, int64_t value) {
  return psock_put_varint(at, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}

PSOCK_INLINE uint8_t *psock_put_fixed32(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)value;
  at[1] = (uint8_t)(value >> 8);
  at[2] = (uint8_t)(value >> 16);
  at[3] = (uint8_t)(value >> 24);
  return at + 4;
}

PSOCK_INLINE uint8_t *psock_put_fixed64(uint8_t *at, uint64_t value) {
  psock_put_fixed32(at, (uint32_t)value);
  return psock_put_fixed32(at + 4, (uint32_t)(value >> 32));
}

PSOCK_INLINE uint8_t *psock_put_float(uint8_t *at, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return psock_put_fixed32(at, bits);
}

PSOCK_INLINE uint8_t *psock_put_double(uint8_t *at, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return psock_put_fixed64(at, bits);
}

PSOCK_INLINE uint8_t *psock_put_bool(uint8_t *at, int value) {
  *at = value != 0;
  return at + 1;
}

/* A string behind its tag and count; NULL is an empty one. */
PSOCK_INLINE uint8_t *psock_encode_string(struct psock_encoder *encoder,
    uint8_t *at, uint32_t tag, const char *text) {
  size_t length = 0;
  if (text == encoder->text)
    length = encoder->text_length;
  else if (text != NULL)
    length = strlen(text);
  if (PSOCK_LIKELY(tag < 0x80 && length < 0x80 && text != NULL &&
                   psock_encode_has_room(encoder, at, length + 2))) {
    at[0] = (uint8_t)tag;
    at[1] = (uint8_t)length;
    memcpy(at + 2, text, length);
    return at + 2 + length;
  }
  return psock_encode_long_string(encoder, at, tag, text, length);
}

/* A message behind its tag and count; NULL is an empty one. */
PSOCK_INLINE uint8_t *psock_encode_message(struct psock_encoder *encoder,
    uint8_t *at, uint32_t tag, psock_encode_fn *encode, const void *message) {
  size_t room = encoder->count_room;
  uint8_t *body, *end;
  if (!psock_encode_has_room(encoder, at, 5 + room))
    return psock_encode_no_room(encoder, at, 5 + room);
  body = psock_put_tag(at, tag) + room;
  end = message == NULL ? body : encode(encoder, message, body);
  if (end == NULL)
    return NULL;
  if (PSOCK_LIKELY(room == 1 && end - body < 0x80)) {
    body[-1] = (uint8_t)(end - body);
    return end;
  }
  return psock_encode_count(encoder, body, end, room);
}

/* ---- Decoding ---- */

/* What a message is decoded with. */
struct psock_decoder {
  uint8_t *free; /* memory that may be given out: [free, free_end) */
  uint8_t *free_end;
  unsigned levels;  /* how much deeper messages may be nested */
  unsigned recheck; /* not 0: protobuf-c has to say what this message means */
  unsigned aliased; /* not 0: the message points into the bytes */
  int error;        /* why decoding failed; 0: malformed */
  void *arena;      /* the library's */
};

typedef void *psock_decode_fn(
    struct psock_decoder *decoder, const uint8_t *at, const uint8_t *end);

/* The values of a repeated field, as far as they have come. */
struct psock_array {
  void *items;
  size_t count;
  size_t room; /* in items */
};

/* The rare forms of the inline functions below. */
PSOCK_API void *psock_decode_more(struct psock_decoder *decoder, size_t length);
PSOCK_API const uint8_t *psock_decode_long_tag(
    const uint8_t *at, const uint8_t *end, uint64_t *ret_tag);
PSOCK_API const uint8_t *psock_decode_long_varint(
    const uint8_t *at, const uint8_t *end, uint64_t *ret_value);
PSOCK_API const uint8_t *psock_decode_long_count(
    const uint8_t *at, const uint8_t *end, size_t *ret_count);
PSOCK_API const uint8_t *psock_decode_long_bool(
    const uint8_t *at, const uint8_t *end, int *ret_value);

/* A string that has to be UTF-8. */
PSOCK_API const uint8_t *psock_decode_utf8(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, char **ret_text);

/* Bytes; long ones stay where they are. */
PSOCK_API const uint8_t *psock_decode_bytes(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, ProtobufCBinaryData *ret_bytes);

/* The value of a repeated field, behind its tag, and those with the same tag
 * that follow it at once: each with a tag; all behind one; strings that have to
 * be UTF-8; or messages. */
PSOCK_API const uint8_t *psock_decode_repeated(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, uint32_t tag, ProtobufCType type,
    struct psock_array *array);
PSOCK_API const uint8_t *psock_decode_packed(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, ProtobufCType type,
    struct psock_array *array);
PSOCK_API const uint8_t *psock_decode_utf8s(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, uint32_t tag,
    struct psock_array *array);
PSOCK_API const uint8_t *psock_decode_messages(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, uint32_t tag,
    psock_decode_fn *decode, struct psock_array *array);

/* A field that the message does not have, which is kept, or one with a wire
 * type that it should not have. `unknown` collects the unknown fields. */
PSOCK_API const uint8_t *psock_decode_other(struct psock_decoder *decoder,
    const ProtobufCMessageDescriptor *descriptor, const uint8_t *at,
    const uint8_t *end, uint64_t tag, struct psock_array *unknown);

/* Memory, aligned for any field; NULL when there is no more to be had. */
PSOCK_INLINE void *psock_decode_alloc(
    struct psock_decoder *decoder, size_t length) {
  size_t gap = -(uintptr_t)decoder->free & (sizeof(uint64_t) - 1);
  size_t room = (size_t)(decoder->free_end - decoder->free);
  if (PSOCK_LIKELY(gap <= room && length <= room - gap)) {
    uint8_t *memory = decoder->free + gap;
    decoder->free = memory + length;
    return memory;
  }
  return psock_decode_more(decoder, length);
}

/* The arrays of a message with many repeated fields; empty. */
PSOCK_INLINE struct psock_array *psock_decode_arrays(
    struct psock_decoder *decoder, size_t count) {
  struct psock_array *arrays =
      (struct psock_array *)psock_decode_alloc(decoder, count * sizeof *arrays);
  if (arrays != NULL)
    memset(arrays, 0, count * sizeof *arrays);
  return arrays;
}

/* Reads a tag; there is at least one byte. */
PSOCK_INLINE const uint8_t *psock_decode_tag(
    const uint8_t *at, const uint8_t *end, uint64_t *ret_tag) {
  if (PSOCK_LIKELY(*at < 0x80)) {
    *ret_tag = *at;
    return at + 1;
  }
  if (end - at > 1 && at[1] < 0x80 && at[1] > 0) {
    *ret_tag = (*at & 0x7fu) | (uint64_t)at[1] << 7;
    return at + 2;
  }
  return psock_decode_long_tag(at, end, ret_tag);
}

PSOCK_INLINE const uint8_t *psock_decode_uint64(
    const uint8_t *at, const uint8_t *end, uint64_t *ret_value) {
  if (PSOCK_LIKELY(at < end && *at < 0x80)) {
    *ret_value = *at;
    return at + 1;
  }
  return psock_decode_long_varint(at, end, ret_value);
}

PSOCK_INLINE const uint8_t *psock_decode_uint32(
    const uint8_t *at, const uint8_t *end, uint32_t *ret_value) {
  uint64_t value = 0;
  at = psock_decode_uint64(at, end, &value);
  *ret_value = (uint32_t)value;
  return at;
}

PSOCK_INLINE const uint8_t *psock_decode_int64(
    const uint8_t *at, const uint8_t *end, int64_t *ret_value) {
  uint64_t value = 0;
  at = psock_decode_uint64(at, end, &value);
  *ret_value = (int64_t)value;
  return at;
}

PSOCK_INLINE const uint8_t *psock_decode_int32(
    const uint8_t *at, const uint8_t *end, int32_t *ret_value) {
  uint64_t value = 0;
  at = psock_decode_uint64(at, end, &value);
  *ret_value = (int32_t)(uint32_t)value;
  return at;
}

PSOCK_INLINE const uint8_t *psock_decode_sint32(
    const uint8_t *at, const uint8_t *end, int32_t *ret_value) {
  uint32_t value = 0;
  at = psock_decode_uint32(at, end, &value);
  *ret_value = (int32_t)(value >> 1 ^ (0u - (value & 1)));
  return at;
}

PSOCK_INLINE const uint8_t *psock_decode_sint64(
    const uint8_t *at, const uint8_t *end, int64_t *ret_value) {
  uint64_t value = 0;
  at = psock_decode_uint64(at, end, &value);
  *ret_value = (int64_t)(value >> 1 ^ (0u - (value & 1)));
  return at;
}

PSOCK_INLINE const uint8_t *psock_decode_bool(
    const uint8_t *at, const uint8_t *end, int *ret_value) {
  if (PSOCK_LIKELY(at < end && *at < 0x80)) {
    *ret_value = *at != 0;
    return at + 1;
  }
  return psock_decode_long_bool(at, end, ret_value);
}

PSOCK_INLINE uint32_t psock_get_fixed32(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
         (uint32_t)at[3] << 24;
}

PSOCK_INLINE const uint8_t *psock_decode_fixed32(
    const uint8_t *at, const uint8_t *end, uint32_t *ret_value) {
  if (end - at < 4)
    return NULL;
  *ret_value = psock_get_fixed32(at);
  return at + 4;
}

PSOCK_INLINE const uint8_t *psock_decode_fixed64(
    const uint8_t *at, const uint8_t *end, uint64_t *ret_value) {
  if (end - at < 8)
    return NULL;
  *ret_value = psock_get_fixed32(at) | (uint64_t)psock_get_fixed32(at + 4)
                                           << 32;
  return at + 8;
}

PSOCK_INLINE const uint8_t *psock_decode_sfixed32(
    const uint8_t *at, const uint8_t *end, int32_t *ret_value) {
  uint32_t value = 0;
  at = psock_decode_fixed32(at, end, &value);
  *ret_value = (int32_t)value;
  return at;
}

PSOCK_INLINE const uint8_t *psock_decode_sfixed64(
    const uint8_t *at, const uint8_t *end, int64_t *ret_value) {
  uint64_t value = 0;
  at = psock_decode_fixed64(at, end, &value);
  *ret_value = (int64_t)value;
  return at;
}

PSOCK_INLINE const uint8_t *psock_decode_float(
    const uint8_t *at, const uint8_t *end, float *ret_value) {
  uint32_t bits = 0;
  at = psock_decode_fixed32(at, end, &bits);
  memcpy(ret_value, &bits, sizeof bits);
  return at;
}

PSOCK_INLINE const uint8_t *psock_decode_double(
    const uint8_t *at, const uint8_t *end, double *ret_value) {
  uint64_t bits = 0;
  at = psock_decode_fixed64(at, end, &bits);
  memcpy(ret_value, &bits, sizeof bits);
  return at;
}

/* Reads a count that has as many bytes behind it. */
PSOCK_INLINE const uint8_t *psock_decode_count(
    const uint8_t *at, const uint8_t *end, size_t *ret_count) {
  if (PSOCK_LIKELY(at < end && *at < 0x80)) {
    *ret_count = *at++;
    return PSOCK_LIKELY(*ret_count <= (size_t)(end - at)) ? at : NULL;
  }
  return psock_decode_long_count(at, end, ret_count);
}

PSOCK_INLINE const uint8_t *psock_decode_string(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, char **ret_text) {
  size_t length = 0;
  uint8_t *memory = decoder->free;
  at = psock_decode_count(at, end, &length);
  if (at == NULL)
    return NULL;
  if (PSOCK_LIKELY(length < (size_t)(decoder->free_end - memory)))
    decoder->free = memory + length + 1;
  else
    memory = (uint8_t *)psock_decode_more(decoder, length + 1);
  if (memory == NULL)
    return NULL;
  memcpy(memory, at, length);
  memory[length] = '\0';
  *ret_text = (char *)memory;
  return at + length;
}

/* A message behind its tag. Sets `ret_message` on success. */
PSOCK_INLINE const uint8_t *psock_decode_message(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, psock_decode_fn *decode,
    void **ret_message) {
  size_t length = 0;
  void *message;
  at = psock_decode_count(at, end, &length);
  if (at == NULL)
    return NULL;
  if (decoder->levels == 0) {
    decoder->error = PSOCK_EDEPTH;
    return NULL;
  }
  decoder->levels--;
  message = decode(decoder, at, at + length);
  decoder->levels++;
  if (message == NULL)
    return NULL;
  *ret_message = message;
  return at + length;
}

/* ---- Handlers ---- */

/* Whether `handlers`, which may have been compiled with an older or a newer
 * header, has `member` and it is set. */
#define PSOCK_HANDLER_IS_SET(handlers, member)                                 \
  ((handlers)->size >= (size_t)((const char *)(&(handlers)->member + 1) -      \
                                (const char *)(handlers)) &&                   \
      (handlers)->member != NULL)

PSOCK_END_DECLS

#endif
