/* SPDX-License-Identifier: BSD-2-Clause */
#include "emit.h"
#include "emit_parts.h"
#include "memory.h"
#include "types.h"

/*
 * Encoders: a function for each message that appends its fields, by rising
 * number, exactly as protobuf_c_message_pack does. Whether a field is there at
 * all is what a condition in front of it says; see condition().
 *
 * Numbers and the like are written without looking for room each time: for as
 * many of them as follow each other, one check makes sure of the most that they
 * can need, as long as that is not above ROOM_AT_ONCE. (A larger check would
 * refuse buffers that are large enough too often.) What has no largest size is
 * a function of the library, which checks for itself, and after it the next
 * check is due.
 */

#define ROOM_AT_ONCE 64

/* The most bytes that writing a field takes without its tag; 0: there is no
 * such limit. */
static unsigned largest(const struct field *field) {
  return field->kind == FIELD_REPEATED ? 0 : type_of(field)->largest;
}

static bool is_pointer(const struct field *field) {
  return field->type == PROTOBUF_C_TYPE_STRING ||
         field->type == PROTOBUF_C_TYPE_MESSAGE;
}

/* That the field's pointer is set, and to something else than its default. */
static const char *pointer_condition(const struct field *field) {
  const char *absent = field->c_default;
  if (absent == NULL && field->type == PROTOBUF_C_TYPE_STRING &&
      field->kind == FIELD_ONEOF && field->message->file->syntax == 3)
    absent = "protobuf_c_empty_string";
  if (absent == NULL)
    return text_format("m->%s != NULL", field->c_name);
  return text_format(
      "m->%s != NULL && m->%s != %s", field->c_name, field->c_name, absent);
}

static const char *plain_condition(const struct field *field) {
  const char *name = field->c_name;
  switch (field->type) {
  case PROTOBUF_C_TYPE_STRING:
    return text_format("m->%s != NULL && m->%s[0] != '\\0'", name, name);
  case PROTOBUF_C_TYPE_BYTES:
    return text_format("m->%s.len != 0", name);
  case PROTOBUF_C_TYPE_MESSAGE:
    return text_format("m->%s != NULL", name);
  default:
    return text_format("m->%s != 0", name);
  }
}

/* When the field is encoded; NULL: always. */
static const char *condition(const struct field *field) {
  switch (field->kind) {
  case FIELD_REQUIRED:
    return NULL;
  case FIELD_OPTIONAL:
    return is_pointer(field) ? pointer_condition(field)
                             : text_format("m->%s", field->c_count);
  case FIELD_PLAIN:
    return plain_condition(field);
  case FIELD_ONEOF:
    return text_format("m->%s == %s%s%s", field->oneof->c_case, field->c_case,
        is_pointer(field) ? " && " : "",
        is_pointer(field) ? pointer_condition(field) : "");
  case FIELD_REPEATED:
    return text_format("m->%s > 0", field->c_count);
  }
  return NULL;
}

/* A call that encodes a value without a largest size. */
static const char *call(const struct field *field) {
  const char *name = field->c_name;
  if (field->kind == FIELD_REPEATED && field->value != NULL)
    return text_format("psock_encode_messages(encoder, at, %s, %s, m->%s, "
                       "m->%s)",
        emit_tag(field), emit_encoder(field), name, field->c_count);
  if (field->kind == FIELD_REPEATED)
    return text_format("psock_encode_%s(encoder, at, %s, %s, m->%s, m->%s)",
        field->packed ? "packed" : "repeated",
        field->packed ? emit_counted_tag(field) : emit_tag(field),
        type_of(field)->constant, name, field->c_count);
  if (field->value != NULL)
    return text_format("psock_encode_message(encoder, at, %s, %s, m->%s)",
        emit_tag(field), emit_encoder(field), name);
  if (field->type == PROTOBUF_C_TYPE_BYTES)
    return text_format(
        "psock_encode_bytes(encoder, at, %s, &m->%s)", emit_tag(field), name);
  return text_format(
      "psock_encode_string(encoder, at, %s, m->%s)", emit_tag(field), name);
}

static void emit_call(struct printer *printer, const struct field *field) {
  const char *when = condition(field);
  if (when != NULL) {
    print_line(printer, "if (%s) {", when);
    print_open(printer);
  }
  print_line(printer, "at = %s;", call(field));
  print(printer, "if (at == NULL)\n  return NULL;\n");
  if (when != NULL) {
    print_close(printer, "}\n");
  }
}

static void emit_put(struct printer *printer, const struct field *field) {
  const char *when = condition(field);
  const struct field_type *type = type_of(field);
  if (when != NULL) {
    print_line(printer, "if (%s)", when);
    print_open(printer);
  }
  print_line(printer, "at = psock_put_%s(psock_put_tag(at, %s), %sm->%s);",
      type->put, emit_tag(field), type->cast, field->c_name);
  if (when != NULL)
    print_close(printer, "");
}

/* A check for the fields from `first` on, as many as go into one. Returns the
 * first that does not. */
static size_t emit_check(
    struct printer *printer, const struct message *message, size_t first) {
  size_t end = first;
  unsigned room = 0;
  for (; end < message->field_count; end++) {
    const struct field *field = message->by_number[end];
    unsigned length = largest(field);
    if (length == 0 || room + length + emit_tag_length(field) > ROOM_AT_ONCE)
      break;
    room += length + emit_tag_length(field);
  }
  print(printer,
      "if (!psock_encode_has_room(encoder, at, %u))\n"
      "  return psock_encode_no_room(encoder, at, %u);\n",
      room, room);
  return end;
}

void emit_encode(struct printer *printer, const struct message *message) {
  size_t checked = 0;
  print_gap(printer);
  print_line(printer, "static uint8_t *%s__encode(", message->c_lower);
  print(printer,
      "    struct psock_encoder *encoder, const void *message, uint8_t *at) {"
      "\n");
  print_open(printer);
  print_line(printer, "const %s *m = message;", message->c_type);
  for (size_t i = 0; i < message->field_count; i++) {
    const struct field *field = message->by_number[i];
    if (largest(field) == 0) {
      emit_call(printer, field);
      continue;
    }
    if (i >= checked)
      checked = emit_check(printer, message, i);
    emit_put(printer, field);
  }
  print_line(printer, "if (m->%s.n_unknown_fields > 0)", message->c_base);
  print_line(printer, "  return psock_encode_unknown(encoder, at, &m->%s);",
      message->c_base);
  print(printer, "return at;\n");
  print_close(printer, "}\n");
}
