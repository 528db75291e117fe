/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/protobuf.h"

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

uint64_t psock_message_get_id(
    const struct psock_message_type *type, const void *message) {
  return psock_call_field_get(type->id, message);
}

void psock_message_set_id(
    const struct psock_message_type *type, void *message, uint64_t id) {
  psock_call_field_set(type->id, message, id);
}

uint64_t psock_message_get_code(
    const struct psock_message_type *type, const void *message) {
  return psock_call_field_get(type->code, message);
}

void psock_message_make(const struct psock_message_type *type, void *message,
    uint64_t id, uint32_t code) {
  memcpy(message, type->initial, type->descriptor->sizeof_message);
  psock_call_field_set(type->id, message, id);
  psock_call_field_set(type->code, message, code);
}
