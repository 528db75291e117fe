/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz/structured.h"

/*
 * Encodings that are made field by field of a descriptor, so that most of them
 * get past the first tag. Now and then something is wrong or odd on purpose:
 * see the list of oddities. Required fields come first, unless the source says
 * otherwise, so that it takes few bytes of it to make a valid message.
 */

#define LEVELS_MAX 12
#define LENGTH_MAX ((size_t)48 << 10)

/* What may be odd about a field; the ones that are not named are not. */
enum oddity {
  WRONG_WIRE_TYPE = 1,
  ANY_WIRE_TYPE,
  LONG_TAG,
  TOO_LONG_TAG,
  LONG_VALUE,
  TOO_LONG_VALUE,
  LONG_COUNT,
  TOO_LONG_COUNT,
  COUNT_TOO_HIGH,
  COUNT_TOO_LOW,
  FIELD_ZERO,
  FIELD_TOO_HIGH,
  OTHER_PACKING,
  TWICE,
  CUT,
  DEEP,
  MUCH,
  ODDITIES
};

static unsigned wire_type_of(ProtobufCType type) {
  switch (type) {
  case PROTOBUF_C_TYPE_SFIXED32:
  case PROTOBUF_C_TYPE_FIXED32:
  case PROTOBUF_C_TYPE_FLOAT:
    return PROTOBUF_C_WIRE_TYPE_32BIT;
  case PROTOBUF_C_TYPE_SFIXED64:
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_DOUBLE:
    return PROTOBUF_C_WIRE_TYPE_64BIT;
  case PROTOBUF_C_TYPE_STRING:
  case PROTOBUF_C_TYPE_BYTES:
  case PROTOBUF_C_TYPE_MESSAGE:
    return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
  default:
    return PROTOBUF_C_WIRE_TYPE_VARINT;
  }
}

static void add_message(struct text *text, struct source *source,
    const ProtobufCMessageDescriptor *type, unsigned levels);

/* Bytes with their count in front. */
static void add_counted(
    struct text *text, const struct text *inner, enum oddity oddity) {
  uint64_t count = inner->length;
  if (oddity == COUNT_TOO_HIGH)
    count++;
  else if (oddity == COUNT_TOO_LOW && count > 0)
    count--;
  text_add_varint(text, count,
      oddity == LONG_COUNT       ? 5
      : oddity == TOO_LONG_COUNT ? 6
                                 : 1);
  text_add(text, inner->at, inner->length);
}

static void add_number(struct text *text, struct source *source,
    unsigned wire_type, enum oddity oddity) {
  uint64_t number = source_number(source);
  if (wire_type == PROTOBUF_C_WIRE_TYPE_32BIT)
    text_add(text, &number, 4);
  else if (wire_type == PROTOBUF_C_WIRE_TYPE_64BIT)
    text_add(text, &number, 8);
  else
    text_add_varint(text, number,
        oddity == LONG_VALUE       ? 10
        : oddity == TOO_LONG_VALUE ? 11
                                   : 1);
}

/* What stands behind the count of a field. */
static void add_inner(struct text *text, struct source *source,
    const ProtobufCFieldDescriptor *field, enum oddity oddity,
    unsigned levels) {
  if (field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE) {
    add_message(text, source, field->descriptor, levels + 1);
  } else if (field == NULL || field->type == PROTOBUF_C_TYPE_STRING ||
             field->type == PROTOBUF_C_TYPE_BYTES) {
    text_add_string(text, source, false);
  } else {
    unsigned wire_type = wire_type_of(field->type);
    for (size_t i = source_below(source, 12); i > 0; i--)
      add_number(text, source, wire_type,
          source_one_in(source, 16) ? LONG_VALUE : oddity);
  }
  for (int i = 0; oddity == MUCH && i < 16400; i++)
    text_add_byte(text, 'm');
}

/* Puts what is there already into messages of its own kind, again and again. */
static void add_deep(struct text *inner, struct source *source,
    const ProtobufCFieldDescriptor *field) {
  const ProtobufCMessageDescriptor *type = field->descriptor;
  const ProtobufCFieldDescriptor *way = NULL;
  for (unsigned i = 0; i < type->n_fields && way == NULL; i++)
    if (type->fields[i].descriptor == type &&
        type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
      way = &type->fields[i];
  size_t levels = source_below(source, 2048);
  while (way != NULL && levels-- > 0 && inner->length < LENGTH_MAX / 4) {
    struct text outer = {NULL, 0, 0};
    text_add_varint(&outer,
        (uint64_t)way->id << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, 1);
    add_counted(&outer, inner, 0);
    free(inner->at);
    *inner = outer;
  }
}

static void add_value(struct text *text, struct source *source,
    const ProtobufCFieldDescriptor *field, unsigned wire_type,
    enum oddity oddity, unsigned levels) {
  if (wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) {
    add_number(text, source, wire_type, oddity);
    return;
  }
  struct text inner = {NULL, 0, 0};
  add_inner(&inner, source, field, oddity, levels);
  if (oddity == DEEP && field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE)
    add_deep(&inner, source, field);
  add_counted(text, &inner, oddity);
  free(inner.at);
}

/* The wire type that the field has here. */
static unsigned choose_wire_type(struct source *source,
    const ProtobufCFieldDescriptor *field, enum oddity oddity) {
  static const unsigned known[] = {0, 1, 2, 5};
  unsigned usual = field == NULL ? known[source_byte(source) % 4]
                                 : wire_type_of(field->type);
  if (oddity == WRONG_WIRE_TYPE)
    return known[source_byte(source) % 4];
  if (oddity == ANY_WIRE_TYPE)
    return source_byte(source) % 8;
  if (field == NULL || field->label != PROTOBUF_C_LABEL_REPEATED)
    return usual;
  bool packed = (field->flags & PROTOBUF_C_FIELD_FLAG_PACKED) != 0;
  return packed != (oddity == OTHER_PACKING)
             ? PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED
             : usual;
}

static uint64_t choose_number(struct source *source,
    const ProtobufCFieldDescriptor *field, enum oddity oddity) {
  if (oddity == FIELD_ZERO)
    return 0;
  if (oddity == FIELD_TOO_HIGH)
    return ((uint64_t)1 << 29) + source_number(source) % ((uint64_t)7 << 29);
  if (field != NULL)
    return field->id;
  return 1 + source_number(source) % (((uint64_t)1 << 29) - 1);
}

/* `field` NULL: one that the type doesn't have, unless by accident. */
static void add_field(struct text *text, struct source *source,
    const ProtobufCFieldDescriptor *field, enum oddity oddity,
    unsigned levels) {
  size_t start = text->length;
  unsigned wire_type = choose_wire_type(source, field, oddity);
  uint64_t number = choose_number(source, field, oddity);
  size_t least = oddity == LONG_TAG || oddity == FIELD_ZERO ? 2 : 1;
  if (oddity == LONG_TAG)
    least += source_below(source, 4);
  text_add_varint(
      text, number << 3 | wire_type, oddity == TOO_LONG_TAG ? 6 : least);
  add_value(text, source, field, wire_type, oddity, levels);
  size_t length = text->length - start;
  if (oddity == CUT && length > 0)
    text->length -= source_below(source, length);
  if (oddity != TWICE)
    return;
  struct text copy = {NULL, 0, 0};
  text_add(&copy, text->at + start, length);
  text_add(text, copy.at, length);
  free(copy.at);
}

/* One byte in eight asks for something odd. */
static enum oddity choose_oddity(struct source *source) {
  uint8_t choice = source_byte(source);
  return choice % 8 == 7 ? (enum oddity)(choice / 8 % ODDITIES) : 0;
}

static void add_message(struct text *text, struct source *source,
    const ProtobufCMessageDescriptor *type, unsigned levels) {
  bool incomplete = source_one_in(source, 32);
  for (unsigned i = 0; i < type->n_fields && !incomplete; i++)
    if (type->fields[i].label == PROTOBUF_C_LABEL_REQUIRED &&
        (type->fields[i].default_value == NULL || source_one_in(source, 4)))
      add_field(text, source, &type->fields[i], 0, levels);
  for (;;) {
    uint8_t choice = source_byte(source);
    if (choice < 16 || levels > LEVELS_MAX || text->length > LENGTH_MAX)
      return;
    const ProtobufCFieldDescriptor *field = NULL;
    if (choice < 240 && type->n_fields > 0)
      field = &type->fields[choice % type->n_fields];
    add_field(text, source, field, choose_oddity(source), levels);
  }
}

void structured_bytes(struct text *text, struct source *source,
    const ProtobufCMessageDescriptor *type) {
  add_message(text, source, type, 1);
}
