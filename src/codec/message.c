/* SPDX-License-Identifier: BSD-2-Clause */
#include <protosocket/message.h>
#include <string.h>

/*
 * Types of messages, and the two fields that calls need of one, read and
 * written by where the type says they are. The compiler of the generated rows
 * has computed the offsets; here only their widths make a difference.
 */

struct psock_message_type psock_message_type_of(
    const ProtobufCMessageDescriptor *descriptor) {
  struct psock_message_type type = {
      .size = sizeof type,
      .descriptor = descriptor,
  };
  return type;
}

static uint64_t get(const struct psock_call_field *field, const void *message) {
  const char *member = (const char *)message + field->offset;
  if (field->width == sizeof(uint32_t)) {
    uint32_t value;
    memcpy(&value, member, sizeof value);
    return value;
  }
  uint64_t value;
  memcpy(&value, member, sizeof value);
  return value;
}

static void set(
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

uint64_t psock_message_get_id(
    const struct psock_message_type *type, const void *message) {
  return get(type->id, message);
}

void psock_message_set_id(
    const struct psock_message_type *type, void *message, uint64_t id) {
  set(type->id, message, id);
}

uint64_t psock_message_get_code(
    const struct psock_message_type *type, const void *message) {
  return get(type->code, message);
}

void psock_message_make(const struct psock_message_type *type, void *message,
    uint64_t id, uint32_t code) {
  memcpy(message, type->initial, type->descriptor->sizeof_message);
  set(type->id, message, id);
  set(type->code, message, code);
}
