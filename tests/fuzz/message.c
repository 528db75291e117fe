/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz/structured.h"
#include "fuzz/types.h"
#include "fuzz/walk.h"

#include <stddef.h>

/*
 * Messages as a program makes them, member by member, with all that is allowed
 * and that a decoder would never make: strings and messages that are NULL,
 * bytes that are empty but are somewhere, a oneof that says something is set
 * which isn't there, defaults that are set, numbers for a bool.
 *
 * Tame ones have only what another implementation of protobuf has, too: no
 * unknown fields, enums with the values they have, strings that are text.
 */

#define LEVELS_MAX 6
#define VALUES_MAX 2000

struct piece {
  struct piece *next;
  max_align_t memory[];
};

struct maker {
  struct pile *pile;
  struct source *source;
  enum structured_kind kind;
  unsigned levels;
  unsigned values; /* how many more there may be */
};

static void *pile_add(struct pile *pile, size_t length) {
  struct piece *piece = calloc(1, sizeof *piece + length);
  if (piece == NULL)
    abort();
  piece->next = pile->last;
  pile->last = piece;
  return piece->memory;
}

void pile_free(struct pile *pile) {
  while (pile->last != NULL) {
    struct piece *piece = pile->last;
    pile->last = piece->next;
    free(piece);
  }
}

/* Some text, and a zero behind it. */
static char *make_string(struct maker *maker, size_t *ret_length) {
  struct text text = {NULL, 0, 0};
  text_add_string(&text, maker->source, maker->kind == STRUCTURED_TAME);
  char *string = pile_add(maker->pile, text.length + 1);
  if (text.length > 0)
    memcpy(string, text.at, text.length);
  *ret_length = text.length;
  free(text.at);
  return string;
}

static void set_string(
    struct maker *maker, const ProtobufCFieldDescriptor *field, void *value) {
  size_t length;
  uint8_t choice = source_byte(maker->source) % 16;
  bool may_be_null = field->label != PROTOBUF_C_LABEL_REPEATED &&
                     maker->kind != STRUCTURED_TAME;
  char *string = NULL;
  if (choice == 14 && may_be_null)
    return; /* as it is in the beginning */
  if (choice != 15 || !may_be_null)
    string = make_string(maker, &length);
  memcpy(value, &string, sizeof string);
}

/* Empty ones that are somewhere are encoded even in proto3; nobody else has
 * such a thing. */
static void set_bytes(struct maker *maker, void *value) {
  ProtobufCBinaryData bytes = {0, NULL};
  uint8_t choice = source_byte(maker->source) % 16;
  if (choice != 15)
    bytes.data = (uint8_t *)make_string(maker, &bytes.len);
  if (choice == 14)
    bytes.len = 0;
  if (bytes.len == 0 && maker->kind == STRUCTURED_TAME)
    bytes.data = NULL;
  memcpy(value, &bytes, sizeof bytes);
}

static void set_number(
    struct maker *maker, const ProtobufCFieldDescriptor *field, void *value) {
  uint64_t number = source_number(maker->source);
  uint32_t half = (uint32_t)number;
  if (field->type == PROTOBUF_C_TYPE_ENUM && maker->kind == STRUCTURED_TAME) {
    const ProtobufCEnumDescriptor *type = field->descriptor;
    half = (uint32_t)type->values[number % type->n_values].value;
  }
  if (walk_value_size(field->type) == sizeof half)
    memcpy(value, &half, sizeof half);
  else
    memcpy(value, &number, sizeof number);
}

static ProtobufCMessage *make_message(
    struct maker *maker, const ProtobufCMessageDescriptor *type);

static void set_message(
    struct maker *maker, const ProtobufCFieldDescriptor *field, void *value) {
  ProtobufCMessage *inner = NULL;
  uint8_t choice = source_byte(maker->source) % 16;
  if (choice != 15 || field->label == PROTOBUF_C_LABEL_REPEATED ||
      maker->kind == STRUCTURED_TAME)
    inner = make_message(maker, field->descriptor);
  memcpy(value, &inner, sizeof inner);
}

static void set_value(
    struct maker *maker, const ProtobufCFieldDescriptor *field, void *value) {
  if (field->type == PROTOBUF_C_TYPE_STRING)
    set_string(maker, field, value);
  else if (field->type == PROTOBUF_C_TYPE_BYTES)
    set_bytes(maker, value);
  else if (field->type == PROTOBUF_C_TYPE_MESSAGE)
    set_message(maker, field, value);
  else
    set_number(maker, field, value);
}

static void set_repeated(struct maker *maker,
    const ProtobufCFieldDescriptor *field, void *member, void *count_member) {
  uint8_t choice = source_byte(maker->source);
  size_t count = choice >= 250 ? (choice - 249u) * 40 : choice % 8;
  size_t size = walk_value_size(field->type);
  if (field->type == PROTOBUF_C_TYPE_MESSAGE && count > 8)
    count = 8;
  char *items = pile_add(maker->pile, count * size);
  for (size_t i = 0; i < count; i++)
    set_value(maker, field, items + i * size);
  memcpy(member, &items, sizeof items);
  memcpy(count_member, &count, sizeof count);
}

static void set_field(struct maker *maker, ProtobufCMessage *message,
    const ProtobufCFieldDescriptor *field) {
  char *member = (char *)message + field->offset;
  char *quantifier = (char *)message + field->quantifier_offset;
  if (maker->values == 0)
    return;
  maker->values--;
  if (field->label == PROTOBUF_C_LABEL_REPEATED) {
    set_repeated(maker, field, member, quantifier);
    return;
  }
  if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
    memset(member, 0, walk_value_size(field->type));
    memcpy(quantifier, &field->id, sizeof field->id);
  } else if (field->quantifier_offset != 0) {
    protobuf_c_boolean has = 1 + source_byte(maker->source) % 3;
    memcpy(quantifier, &has, sizeof has);
  }
  set_value(maker, field, member);
}

static void set_unknown(struct maker *maker, ProtobufCMessage *message) {
  static const unsigned wire_types[] = {0, 1, 2, 5};
  unsigned count = 1 + source_byte(maker->source) % 4;
  message->n_unknown_fields = count;
  message->unknown_fields =
      pile_add(maker->pile, count * sizeof *message->unknown_fields);
  for (unsigned i = 0; i < count; i++) {
    ProtobufCMessageUnknownField *field = &message->unknown_fields[i];
    field->tag = (uint32_t)source_number(maker->source);
    field->wire_type =
        (ProtobufCWireType)wire_types[source_byte(maker->source) % 4];
    field->data = (uint8_t *)make_string(maker, &field->len);
  }
}

/* Of a map, an entry; descriptors only tell by the names of the fields. */
static bool is_entry(const ProtobufCMessageDescriptor *type) {
  return type->n_fields == 2 && type->fields[0].name != NULL &&
         strcmp(type->fields[0].name, "key") == 0 &&
         strcmp(type->fields[1].name, "value") == 0;
}

/* Whether the field is set in every message. */
static bool is_needed(const struct maker *maker,
    const ProtobufCMessageDescriptor *type,
    const ProtobufCFieldDescriptor *field) {
  if (maker->kind == STRUCTURED_TAME)
    return field->label == PROTOBUF_C_LABEL_REQUIRED || is_entry(type);
  return field->label == PROTOBUF_C_LABEL_REQUIRED &&
         field->type == PROTOBUF_C_TYPE_MESSAGE;
}

static ProtobufCMessage *make_message(
    struct maker *maker, const ProtobufCMessageDescriptor *type) {
  ProtobufCMessage *message = pile_add(maker->pile, type->sizeof_message);
  if (type->message_init != NULL)
    type->message_init(message);
  else
    memcpy(message, fuzz_type_by(type)->initial, type->sizeof_message);
  for (unsigned i = 0; i < type->n_fields; i++)
    if (is_needed(maker, type, &type->fields[i]))
      set_field(maker, message, &type->fields[i]);
  maker->levels++;
  for (;;) {
    uint8_t choice = source_byte(maker->source);
    if (choice < 16 || maker->levels > LEVELS_MAX)
      break;
    if (choice >= 250 && maker->kind != STRUCTURED_TAME)
      set_unknown(maker, message);
    else if (type->n_fields > 0)
      set_field(maker, message, &type->fields[choice % type->n_fields]);
  }
  maker->levels--;
  return message;
}

ProtobufCMessage *structured_message(struct pile *pile, struct source *source,
    const ProtobufCMessageDescriptor *type, enum structured_kind kind) {
  struct maker maker = {
      .pile = pile,
      .source = source,
      .kind = kind,
      .values = VALUES_MAX,
  };
  return make_message(&maker, type);
}
