/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/encode.h"

#include <stdbool.h>
#include <string.h>

/*
 * A fast way for the messages that most calls are made of: without repeated
 * fields, and without unknown ones. protobuf-c goes through a message twice,
 * first for its size and that of each message in it; this goes through it once.
 * The room for a count is guessed (one byte for what is small, and as many as
 * the whole message's count takes for what is not), and what is behind is moved
 * when the guess was wrong.
 *
 * Whatever is not simple is left to protobuf-c. What is said of presence below
 * (what counts as absent in proto2, in proto3 and in a oneof) is what it does.
 */

/* Messages inside messages. */
#define MAX_DEPTH 16

/* A tag and the longest number behind it. */
#define FIELD_ROOM 16

enum wire_type { VARINT = 0, BITS_64 = 1, COUNTED = 2, BITS_32 = 5 };

/* Where bytes go; `at` NULL: it can't be done here. */
struct cursor {
  uint8_t *at;
  uint8_t *begin;
  uint8_t *limit;
  size_t count_room; /* the guess for each count */
  struct psock_encode_hint *hint;
};

static uint8_t *put_varint(uint8_t *at, uint64_t value) {
  while (value >= 0x80) {
    *at++ = (uint8_t)(value | 0x80);
    value >>= 7;
  }
  *at++ = (uint8_t)value;
  return at;
}

static uint8_t *put_fixed(uint8_t *at, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; i++)
    *at++ = (uint8_t)(value >> (8 * i));
  return at;
}

static uint64_t zigzag(int64_t value) {
  return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static size_t room(const struct cursor *cursor) {
  return (size_t)(cursor->limit - cursor->at);
}

/* Gives up for want of room for `length` more bytes. */
static void out_of_room(struct cursor *cursor, size_t length) {
  cursor->hint->needed = (size_t)(cursor->at - cursor->begin) + length;
  cursor->at = NULL;
}

static void put_counted(
    struct cursor *cursor, const void *bytes, size_t length) {
  /* The tag took its part of FIELD_ROOM; the count has the rest. */
  cursor->at = put_varint(cursor->at, length);
  if (length > room(cursor)) {
    out_of_room(cursor, length);
    return;
  }
  if (length > 0)
    memcpy(cursor->at, bytes, length);
  cursor->at += length;
}

static void put_fields(
    struct cursor *cursor, const ProtobufCMessage *message, int depth);

/* A message behind its count. There is room for the count. */
static void put_message(
    struct cursor *cursor, const ProtobufCMessage *message, int depth) {
  uint8_t *count = cursor->at;
  size_t guess = cursor->count_room;
  cursor->at += guess;
  if (message != NULL)
    put_fields(cursor, message, depth);
  if (cursor->at == NULL)
    return;
  size_t length = (size_t)(cursor->at - count) - guess;
  if (length < 0x80 && guess == 1) {
    *count = (uint8_t)length;
    return;
  }
  uint8_t bytes[FIELD_ROOM];
  size_t taken = (size_t)(put_varint(bytes, length) - bytes);
  if (taken > guess && room(cursor) < taken - guess) {
    out_of_room(cursor, taken);
    return;
  }
  if (taken != guess)
    memmove(count + taken, count + guess, length);
  memcpy(count, bytes, taken);
  cursor->at = count + taken + length;
}

static enum wire_type wire_type_of(ProtobufCType type) {
  switch (type) {
  case PROTOBUF_C_TYPE_FIXED32:
  case PROTOBUF_C_TYPE_SFIXED32:
  case PROTOBUF_C_TYPE_FLOAT:
    return BITS_32;
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_SFIXED64:
  case PROTOBUF_C_TYPE_DOUBLE:
    return BITS_64;
  case PROTOBUF_C_TYPE_STRING:
  case PROTOBUF_C_TYPE_BYTES:
  case PROTOBUF_C_TYPE_MESSAGE:
    return COUNTED;
  default:
    return VARINT;
  }
}

static uint32_t load_32(const void *member) {
  uint32_t value;
  memcpy(&value, member, sizeof value);
  return value;
}

static uint64_t load_64(const void *member) {
  uint64_t value;
  memcpy(&value, member, sizeof value);
  return value;
}

static const void *load_pointer(const void *member) {
  return *(const void *const *)member;
}

/* The length of the string that did not fit is known from that try. */
static void put_string(struct cursor *cursor, const char *text) {
  struct psock_encode_hint *hint = cursor->hint;
  if (text == NULL || text == hint->text) {
    put_counted(cursor, text, text == NULL ? 0 : hint->length);
    return;
  }
  size_t length = strlen(text);
  put_counted(cursor, text, length);
  if (cursor->at == NULL) {
    hint->text = text;
    hint->length = length;
  }
}

/* The value of a field that is present, behind its tag. */
static void put_value(struct cursor *cursor,
    const ProtobufCFieldDescriptor *field, const void *member, int depth) {
  uint8_t *at = cursor->at;
  switch (field->type) {
  case PROTOBUF_C_TYPE_INT32:
  case PROTOBUF_C_TYPE_ENUM:
    cursor->at = put_varint(at, (uint64_t)(int64_t)(int32_t)load_32(member));
    break;
  case PROTOBUF_C_TYPE_UINT32:
    cursor->at = put_varint(at, load_32(member));
    break;
  case PROTOBUF_C_TYPE_SINT32:
    cursor->at = put_varint(at, (uint32_t)zigzag((int32_t)load_32(member)));
    break;
  case PROTOBUF_C_TYPE_INT64:
  case PROTOBUF_C_TYPE_UINT64:
    cursor->at = put_varint(at, load_64(member));
    break;
  case PROTOBUF_C_TYPE_SINT64:
    cursor->at = put_varint(at, zigzag((int64_t)load_64(member)));
    break;
  case PROTOBUF_C_TYPE_FIXED32:
  case PROTOBUF_C_TYPE_SFIXED32:
  case PROTOBUF_C_TYPE_FLOAT:
    cursor->at = put_fixed(at, load_32(member), 4);
    break;
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_SFIXED64:
  case PROTOBUF_C_TYPE_DOUBLE:
    cursor->at = put_fixed(at, load_64(member), 8);
    break;
  case PROTOBUF_C_TYPE_BOOL:
    cursor->at = put_varint(at, load_32(member) != 0);
    break;
  case PROTOBUF_C_TYPE_STRING:
    put_string(cursor, load_pointer(member));
    break;
  case PROTOBUF_C_TYPE_BYTES: {
    const ProtobufCBinaryData *bytes = member;
    put_counted(cursor, bytes->data, bytes->len);
    break;
  }
  case PROTOBUF_C_TYPE_MESSAGE:
    put_message(cursor, load_pointer(member), depth + 1);
    break;
  default:
    cursor->at = NULL;
    break;
  }
}

/* Without presence of its own (proto3): whether it has its type's zero. */
static bool is_zero(const ProtobufCFieldDescriptor *field, const void *member) {
  switch (field->type) {
  case PROTOBUF_C_TYPE_FLOAT:
    return *(const float *)member == 0;
  case PROTOBUF_C_TYPE_DOUBLE:
    return *(const double *)member == 0;
  case PROTOBUF_C_TYPE_STRING: {
    const char *text = load_pointer(member);
    return text == NULL || *text == '\0';
  }
  case PROTOBUF_C_TYPE_BYTES:
    return ((const ProtobufCBinaryData *)member)->len == 0;
  case PROTOBUF_C_TYPE_MESSAGE:
    return load_pointer(member) == NULL;
  case PROTOBUF_C_TYPE_INT64:
  case PROTOBUF_C_TYPE_UINT64:
  case PROTOBUF_C_TYPE_SINT64:
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_SFIXED64:
    return load_64(member) == 0;
  default:
    return load_32(member) == 0;
  }
}

/* A pointer that stands for absence: none, or the field's default. */
static bool is_absent(
    const ProtobufCFieldDescriptor *field, const void *member) {
  const void *pointer = load_pointer(member);
  return pointer == NULL || pointer == field->default_value;
}

static bool is_pointer(const ProtobufCFieldDescriptor *field) {
  return field->type == PROTOBUF_C_TYPE_STRING ||
         field->type == PROTOBUF_C_TYPE_MESSAGE;
}

/* Whether the field goes out at all; repeated ones are counted. */
static bool is_present(const ProtobufCFieldDescriptor *field,
    const ProtobufCMessage *message, const void *member) {
  const void *quantifier = (const char *)message + field->quantifier_offset;
  switch (field->label) {
  case PROTOBUF_C_LABEL_REQUIRED:
    return true;
  case PROTOBUF_C_LABEL_REPEATED:
    return *(const size_t *)quantifier > 0;
  default:
    break;
  }
  if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
    return load_32(quantifier) == field->id &&
           !(is_pointer(field) && is_absent(field, member));
  if (field->label == PROTOBUF_C_LABEL_NONE)
    return !is_zero(field, member);
  return is_pointer(field) ? !is_absent(field, member)
                           : load_32(quantifier) != 0;
}

static void put_fields(
    struct cursor *cursor, const ProtobufCMessage *message, int depth) {
  const ProtobufCMessageDescriptor *descriptor = message->descriptor;
  const ProtobufCFieldDescriptor *field = descriptor->fields;
  const ProtobufCFieldDescriptor *end = field + descriptor->n_fields;
  bool simple = message->n_unknown_fields == 0 && depth < MAX_DEPTH;
  for (; simple && field < end; field++) {
    const void *member = (const char *)message + field->offset;
    if (!is_present(field, message, member))
      continue;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
      simple = false;
      break;
    }
    if (room(cursor) < FIELD_ROOM) {
      out_of_room(cursor, FIELD_ROOM);
      return;
    }
    cursor->at = put_varint(
        cursor->at, (uint64_t)field->id << 3 | wire_type_of(field->type));
    put_value(cursor, field, member, depth);
    if (cursor->at == NULL)
      return;
  }
  if (!simple)
    cursor->at = NULL;
}

static size_t varint_length(size_t value) {
  uint8_t bytes[FIELD_ROOM];
  return (size_t)(put_varint(bytes, value) - bytes);
}

size_t psock_encode_simple(const ProtobufCMessage *message, uint8_t *at,
    size_t length, struct psock_encode_hint *hint) {
  struct cursor cursor = {
      .at = at,
      .begin = at,
      .limit = at + length,
      .count_room = varint_length(hint->needed),
      .hint = hint,
  };
  hint->needed = 0;
  if (length < FIELD_ROOM)
    return 0;
  put_message(&cursor, message, 0);
  return cursor.at == NULL ? 0 : (size_t)(cursor.at - at);
}
