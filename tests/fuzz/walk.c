/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz/walk.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/*
 * Walks through messages by their descriptors. Each field is seen as a row of
 * values: of a repeated field all, of another one, and of a member of a oneof
 * one if it is the one that is set. Two messages are the same if the rows are,
 * and what says whether a field is there; a memory is right if it is for every
 * value.
 */

/* Where a difference is, from the outermost message inwards. */
static char where[512];

static const char *differ_at(const ProtobufCMessageDescriptor *type,
    const ProtobufCFieldDescriptor *field, const char *what) {
  snprintf(where, sizeof where, "%s, field %u: %s",
      type->name == NULL ? "a message" : type->name,
      field == NULL ? 0 : field->id, what);
  return where;
}

static const void *member_at(const ProtobufCMessage *message, size_t offset) {
  return (const char *)message + offset;
}

/* has_x, n_x or x_case: what it says. */
static uint64_t quantifier(
    const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field) {
  const void *member = member_at(message, field->quantifier_offset);
  if (field->quantifier_offset == 0)
    return 0;
  if (field->label == PROTOBUF_C_LABEL_REPEATED)
    return *(const size_t *)member;
  return *(const uint32_t *)member;
}

static bool is_oneof(const ProtobufCFieldDescriptor *field) {
  return (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

size_t walk_value_size(ProtobufCType type) {
  switch (type) {
  case PROTOBUF_C_TYPE_INT64:
  case PROTOBUF_C_TYPE_SINT64:
  case PROTOBUF_C_TYPE_SFIXED64:
  case PROTOBUF_C_TYPE_UINT64:
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_DOUBLE:
    return sizeof(uint64_t);
  case PROTOBUF_C_TYPE_BYTES:
    return sizeof(ProtobufCBinaryData);
  case PROTOBUF_C_TYPE_STRING:
  case PROTOBUF_C_TYPE_MESSAGE:
    return sizeof(void *);
  default:
    return sizeof(uint32_t);
  }
}

size_t walk_values(const ProtobufCMessage *message,
    const ProtobufCFieldDescriptor *field, const void **ret_values) {
  const void *member = member_at(message, field->offset);
  *ret_values = member;
  if (field->label == PROTOBUF_C_LABEL_REPEATED) {
    *ret_values = *(void *const *)member;
    return (size_t)quantifier(message, field);
  }
  return is_oneof(field) && quantifier(message, field) != field->id ? 0 : 1;
}

/* NULL: no difference. */
static const char *differ_in_string(
    const char *one, const char *other, const void *fallback) {
  if ((one == NULL) != (other == NULL))
    return "a string is there and is not";
  if ((one == fallback) != (other == fallback))
    return "a string is the default and is not";
  return one == NULL || strcmp(one, other) == 0 ? NULL : "strings";
}

/* The bytes that a field has by default. Of a string that is bytes in C, proto3
 * says that the default is the empty string, and a string is what that is. */
static const uint8_t *default_bytes(const ProtobufCFieldDescriptor *field) {
  const ProtobufCBinaryData *bytes = field->default_value;
  if (bytes == NULL || field->default_value == &protobuf_c_empty_string)
    return NULL;
  return bytes->data;
}

static const char *differ_in_bytes(const ProtobufCBinaryData *one,
    const ProtobufCBinaryData *other, const uint8_t *fallback) {
  if (one->len != other->len)
    return "lengths of bytes";
  if ((one->data == NULL) != (other->data == NULL))
    return "bytes are there and are not";
  if ((one->data == fallback) != (other->data == fallback))
    return "bytes are the default and are not";
  return one->len == 0 || memcmp(one->data, other->data, one->len) == 0
             ? NULL
             : "bytes";
}

static const char *differ_in_value(const ProtobufCMessageDescriptor *type,
    const ProtobufCFieldDescriptor *field, const void *one, const void *other) {
  const char *what = NULL;
  switch (field->type) {
  case PROTOBUF_C_TYPE_STRING:
    what = differ_in_string(*(const char *const *)one,
        *(const char *const *)other, field->default_value);
    break;
  case PROTOBUF_C_TYPE_BYTES:
    what = differ_in_bytes(one, other, default_bytes(field));
    break;
  case PROTOBUF_C_TYPE_MESSAGE: {
    const ProtobufCMessage *inner = *(ProtobufCMessage *const *)one;
    const ProtobufCMessage *other_inner = *(ProtobufCMessage *const *)other;
    if (inner != NULL && other_inner != NULL)
      return walk_difference(inner, other_inner);
    if (inner != other_inner)
      what = "a message is there and is not";
    break;
  }
  default:
    if (memcmp(one, other, walk_value_size(field->type)) != 0)
      what = "numbers";
  }
  return what == NULL ? NULL : differ_at(type, field, what);
}

static const char *differ_in_field(const ProtobufCFieldDescriptor *field,
    const ProtobufCMessage *one, const ProtobufCMessage *other) {
  const void *values;
  const void *other_values;
  if (quantifier(one, field) != quantifier(other, field))
    return differ_at(one->descriptor, field, "has, count or case");
  size_t count = walk_values(one, field, &values);
  walk_values(other, field, &other_values);
  if ((values == NULL) != (other_values == NULL))
    return differ_at(one->descriptor, field, "an array is there and is not");
  size_t size = walk_value_size(field->type);
  for (size_t i = 0; i < count; i++) {
    const char *difference = differ_in_value(one->descriptor, field,
        (const char *)values + i * size, (const char *)other_values + i * size);
    if (difference != NULL)
      return difference;
  }
  return NULL;
}

static bool unknown_is_same(const ProtobufCMessageUnknownField *one,
    const ProtobufCMessageUnknownField *other) {
  return one->tag == other->tag && one->wire_type == other->wire_type &&
         one->len == other->len &&
         memcmp(one->data, other->data, one->len) == 0;
}

const char *walk_difference(
    const ProtobufCMessage *one, const ProtobufCMessage *other) {
  const ProtobufCMessageDescriptor *type = one->descriptor;
  if (type != other->descriptor)
    return differ_at(type, NULL, "descriptors");
  for (unsigned i = 0; i < type->n_fields; i++) {
    const char *difference = differ_in_field(&type->fields[i], one, other);
    if (difference != NULL)
      return difference;
  }
  if (one->n_unknown_fields != other->n_unknown_fields)
    return differ_at(type, NULL, "number of unknown fields");
  for (unsigned i = 0; i < one->n_unknown_fields; i++)
    if (!unknown_is_same(&one->unknown_fields[i], &other->unknown_fields[i]))
      return differ_at(type, NULL, "unknown fields");
  return NULL;
}

static bool value_is_allowed(const ProtobufCFieldDescriptor *field,
    const void *value, walk_allows *allows, const void *data) {
  if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
    const ProtobufCMessage *inner = *(ProtobufCMessage *const *)value;
    return inner == NULL || walk_memory(inner, allows, data);
  }
  if (field->type == PROTOBUF_C_TYPE_STRING) {
    const char *string = *(const char *const *)value;
    return string == NULL || string == field->default_value ||
           allows(data, string, strlen(string) + 1, WALK_STRUCT);
  }
  if (field->type == PROTOBUF_C_TYPE_BYTES) {
    const ProtobufCBinaryData *bytes = value;
    return bytes->data == NULL || bytes->data == default_bytes(field) ||
           allows(data, bytes->data, bytes->len, WALK_BYTES);
  }
  return true;
}

static bool field_is_allowed(const ProtobufCMessage *message,
    const ProtobufCFieldDescriptor *field, walk_allows *allows,
    const void *data) {
  const void *values;
  size_t count = walk_values(message, field, &values);
  size_t size = walk_value_size(field->type);
  if (field->label == PROTOBUF_C_LABEL_REPEATED && values != NULL &&
      ((uintptr_t)values % (size < 8 ? size : 8) != 0 ||
          !allows(data, values, count * size, WALK_STRUCT)))
    return false;
  for (size_t i = 0; i < count; i++)
    if (!value_is_allowed(field, (const char *)values + i * size, allows, data))
      return false;
  return true;
}

bool walk_memory(
    const ProtobufCMessage *message, walk_allows *allows, const void *data) {
  const ProtobufCMessageDescriptor *type = message->descriptor;
  if ((uintptr_t)message % sizeof(uint64_t) != 0 ||
      !allows(data, message, type->sizeof_message, WALK_STRUCT))
    return false;
  for (unsigned i = 0; i < type->n_fields; i++)
    if (!field_is_allowed(message, &type->fields[i], allows, data))
      return false;
  if (message->n_unknown_fields > 0 &&
      !allows(data, message->unknown_fields,
          message->n_unknown_fields * sizeof *message->unknown_fields,
          WALK_STRUCT))
    return false;
  for (unsigned i = 0; i < message->n_unknown_fields; i++)
    if (!allows(data, message->unknown_fields[i].data,
            message->unknown_fields[i].len, WALK_BYTES))
      return false;
  return true;
}
