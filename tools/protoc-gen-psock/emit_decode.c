/* SPDX-License-Identifier: BSD-2-Clause */
#include "emit.h"
#include "emit_parts.h"
#include "memory.h"
#include "types.h"

/*
 * Decoders: a function for each message that reads fields until its bytes end.
 * A switch over the tag, that is number and wire type together, leads to a case
 * for each field; what has none is unknown, or has a wire type that the field
 * should not have, and one function of the library judges both.
 *
 * The decoder accepts what protobuf_c_message_unpack accepts. Where that does
 * something rare (a message that comes twice is merged), the decoder sets
 * `recheck`, and the library lets protobuf-c do it all. Values of repeated
 * fields are collected in arrays, and put into the message at the end. Required
 * fields are counted in bits.
 */

enum { BITS = 32 };

static bool is_required(const struct field *field) {
  return field->kind == FIELD_REQUIRED && !field->has_default;
}

/* How many repeated fields collect their values on the stack; more do it in
 * the message's memory, or a schema could make a decoder's frame so large that
 * a message within the limit of depth overflows the stack. */
enum { STACK_ARRAYS = 8 };

static unsigned count_repeated(const struct message *message) {
  unsigned count = 0;
  for (size_t i = 0; i < message->field_count; i++)
    count += message->by_number[i]->kind == FIELD_REPEATED;
  return count;
}

/* What collects the values of a repeated field. */
static const char *array_of(const struct field *field) {
  const struct message *message = field->message;
  unsigned index = 0;
  if (count_repeated(message) <= STACK_ARRAYS)
    return text_format("%s_array", field->c_name);
  for (size_t i = 0; message->by_number[i] != field; i++)
    index += message->by_number[i]->kind == FIELD_REPEATED;
  return text_format("arrays[%u]", index);
}

static unsigned count_required(const struct message *message) {
  unsigned count = 0;
  for (size_t i = 0; i < message->field_count; i++)
    count += is_required(message->by_number[i]);
  return count;
}

/* The step that reads one value, after psock_decode_. */
static const char *step(const struct field *field) {
  return field->check_utf8 ? "utf8" : type_of(field)->decode;
}

/* Marks what says that a field is there, if anything does: its bit if it is
 * required, its flag, its oneof's case. */
static void emit_presence(
    struct printer *printer, const struct field *field, unsigned bit) {
  if (is_required(field) && count_required(field->message) <= BITS)
    print(printer, "have |= 0x%xu;\n", 1u << bit);
  else if (is_required(field))
    print(printer, "have[%u] |= 0x%xu;\n", bit / BITS, 1u << bit % BITS);
  else if (field->kind == FIELD_OPTIONAL && field->c_count != NULL)
    print(printer, "m->%s = 1;\n", field->c_count);
  else if (field->kind == FIELD_ONEOF)
    print_line(printer, "m->%s = %s;", field->oneof->c_case, field->c_case);
}

/* A value that goes into the message at once. */
static void emit_direct(
    struct printer *printer, const struct field *field, unsigned bit) {
  print(printer, "case %s:\n", emit_tag(field));
  print_open(printer);
  print_line(printer, "at = psock_decode_%s(%sat, end, &m->%s);", step(field),
      field->type == PROTOBUF_C_TYPE_BYTES ? "decoder, " : "", field->c_name);
  emit_presence(printer, field, bit);
  print(printer, "break;\n");
  print_close(printer, "");
}

/* A value that is read into a variable first. */
static void emit_indirect(
    struct printer *printer, const struct field *field, unsigned bit) {
  bool is_enum = field->type == PROTOBUF_C_TYPE_ENUM;
  bool is_message = field->value != NULL;
  print(printer, "case %s: {\n", emit_tag(field));
  print_open(printer);
  print(printer, "%svalue%s;\n",
      is_enum      ? "int32_t "
      : is_message ? "void *"
                   : "char *",
      is_enum ? " = 0" : " = NULL");
  if (is_message && field->kind != FIELD_ONEOF) {
    print_line(printer, "if (m->%s != NULL)", field->c_name);
    print(printer, "  decoder->recheck = 1; /* comes twice: to be merged */\n");
  }
  if (is_enum)
    print(printer, "at = psock_decode_int32(at, end, &value);\n");
  else if (is_message)
    print_line(printer,
        "at = psock_decode_message(decoder, at, end, %s, &value);",
        emit_decoder(field));
  else
    print(printer, "at = psock_decode_%s(decoder, at, end, &value);\n",
        step(field));
  print_line(printer, "m->%s = %s%s%svalue;", field->c_name, is_enum ? "(" : "",
      is_enum ? field->c_type : "", is_enum ? ")" : "");
  emit_presence(printer, field, bit);
  print(printer, "break;\n");
  print_close(printer, "}\n");
}

static void emit_repeated(struct printer *printer, const struct field *field) {
  const char *array = array_of(field);
  const char *constant = type_of(field)->constant;
  print(printer, "case %s:\n", emit_tag(field));
  print_open(printer);
  if (field->value != NULL)
    print_line(printer,
        "at = psock_decode_messages(decoder, at, end, %s, %s, &%s);",
        emit_tag(field), emit_decoder(field), array);
  else if (field->check_utf8)
    print_line(printer, "at = psock_decode_utf8s(decoder, at, end, %s, &%s);",
        emit_tag(field), array);
  else
    print_line(printer,
        "at = psock_decode_repeated(decoder, at, end, %s, %s, &%s);",
        emit_tag(field), constant, array);
  print(printer, "break;\n");
  print_close(printer, "");
  if (!field_is_packable(field))
    return;
  print(printer, "case %s:\n", emit_counted_tag(field));
  print_open(printer);
  print_line(printer, "at = psock_decode_packed(decoder, at, end, %s, &%s);",
      constant, array);
  print(printer, "break;\n");
  print_close(printer, "");
}

static void emit_other(struct printer *printer, const struct message *message) {
  print_line(printer,
      "at = psock_decode_other(decoder, &%s__descriptor, at, end, tag, "
      "&unknown);",
      message->c_lower);
}

static void emit_switch(
    struct printer *printer, const struct message *message) {
  unsigned bit = 0;
  print(printer, "switch (tag) {\n");
  for (size_t i = 0; i < message->field_count; i++) {
    const struct field *field = message->by_number[i];
    if (field->kind == FIELD_REPEATED)
      emit_repeated(printer, field);
    else if (field->type == PROTOBUF_C_TYPE_ENUM || field->value != NULL ||
             field->type == PROTOBUF_C_TYPE_STRING)
      emit_indirect(printer, field, bit);
    else
      emit_direct(printer, field, bit);
    bit += is_required(field);
  }
  print(printer, "default:\n");
  print_open(printer);
  emit_other(printer, message);
  print(printer, "break;\n");
  print_close(printer, "}\n");
}

static void emit_variables(
    struct printer *printer, const struct message *message) {
  unsigned required = count_required(message);
  unsigned repeated = count_repeated(message);
  print(printer, "struct psock_array unknown = {0};\n");
  for (size_t i = 0; repeated <= STACK_ARRAYS && i < message->field_count; i++)
    if (message->by_number[i]->kind == FIELD_REPEATED)
      print_line(printer, "struct psock_array %s = {0};",
          array_of(message->by_number[i]));
  if (repeated > STACK_ARRAYS)
    print(printer,
        "struct psock_array *arrays = psock_decode_arrays(decoder, %u);\n",
        repeated);
  if (required > BITS)
    print(printer, "uint32_t have[%u] = {0};\n", (required + BITS - 1) / BITS);
  else if (required > 0)
    print(printer, "uint32_t have = 0;\n");
  print_line(printer, "%s *m = psock_decode_alloc(decoder, sizeof *m);",
      message->c_type);
  print(printer, "if (%sm == NULL)\n  return NULL;\n",
      repeated > STACK_ARRAYS ? "arrays == NULL || " : "");
  print_line(printer, "*m = %s__initial;", message->c_lower);
}

/* That a required field is missing. */
static const char *missing(unsigned required) {
  const char *text = "";
  if (required <= BITS)
    return text_format("have != 0x%xu", UINT32_MAX >> (BITS - required));
  for (unsigned i = 0; i * BITS < required; i++) {
    unsigned rest = required - i * BITS;
    text = text_format("%s%shave[%u] != 0x%xu", text, i > 0 ? " || " : "(", i,
        rest >= BITS ? UINT32_MAX : UINT32_MAX >> (BITS - rest));
  }
  return text_format("%s)", text);
}

static void emit_end(struct printer *printer, const struct message *message) {
  unsigned required = count_required(message);
  if (required > 0) {
    print_line(printer, "if (%s && !decoder->recheck)", missing(required));
    print(printer, "  return NULL;\n");
  }
  for (size_t i = 0; i < message->field_count; i++) {
    const struct field *field = message->by_number[i];
    if (field->kind != FIELD_REPEATED)
      continue;
    print_line(printer, "m->%s = %s.count;", field->c_count, array_of(field));
    print_line(printer, "m->%s = %s.items;", field->c_name, array_of(field));
  }
  print_line(printer, "m->%s.n_unknown_fields = (unsigned)unknown.count;",
      message->c_base);
  print_line(printer, "m->%s.unknown_fields = unknown.items;", message->c_base);
  print(printer, "return m;\n");
}

void emit_decode(struct printer *printer, const struct message *message) {
  print_gap(printer);
  print_line(printer, "static void *%s__decode(", message->c_lower);
  print(printer, "    struct psock_decoder *decoder, const uint8_t *at, "
                 "const uint8_t *end) {\n");
  print_open(printer);
  emit_variables(printer, message);
  print(printer, "while (at < end) {\n");
  print_open(printer);
  print(printer, "uint64_t tag = 0;\n"
                 "at = psock_decode_tag(at, end, &tag);\n"
                 "if (at == NULL)\n"
                 "  return NULL;\n");
  if (message->field_count > 0)
    emit_switch(printer, message);
  else
    emit_other(printer, message);
  print(printer, "if (at == NULL)\n  return NULL;\n");
  print_close(printer, "}\n");
  emit_end(printer, message);
  print_close(printer, "}\n");
}
