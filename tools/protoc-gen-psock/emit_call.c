/* SPDX-License-Identifier: BSD-2-Clause */
#include "emit.h"
#include "emit_parts.h"
#include "memory.h"
#include "types.h"

/*
 * What calls need of a message whose schema marks the id and the control code:
 * in the header, typed inline functions for programs that know the message; in
 * the source, the constants foo__id and foo__code, which say the same to the
 * library. A message with an id alone has only what an id suffices for. A field
 * of 32 bits takes the low 32 bits of an id; an optional one of proto2 is
 * marked as present.
 *
 * A deprecated field makes its functions deprecated, so that whoever calls them
 * is warned, and whoever only includes the header is not.
 */

static bool is_wide(const struct field *field) {
  return field->type == PROTOBUF_C_TYPE_UINT64 ||
         field->type == PROTOBUF_C_TYPE_FIXED64;
}

static const char *inline_of(
    const struct message *message, const struct field *field) {
  return emit_inline(message->deprecated || field->deprecated);
}

static void print_id(struct printer *printer, const struct message *message) {
  const struct field *id = message->id;
  const char *lower = message->c_lower;
  const char *qualifiers = inline_of(message, id);
  print_gap(printer);
  print_note(printer, "The id of `message`.");
  print_bracket(printer,
      text_format("%s uint64_t %s__get_id(", qualifiers, lower),
      text_format("const %s *message) {", message->c_type));
  print_open(printer);
  print_line(printer, "return message->%s;", id->c_name);
  print_close(printer, "}\n");
  print_gap(printer);
  print_note(printer, is_wide(id)
                          ? "Sets the id of `message`."
                          : "Sets the id of `message`, to the low 32 bits.");
  print_bracket(printer, text_format("%s void %s__set_id(", qualifiers, lower),
      text_format("%s *message, uint64_t id) {", message->c_type));
  print_open(printer);
  if (field_has_flag(id))
    print_line(printer, "message->%s = 1;", id->c_count);
  print_line(printer, "message->%s = %sid;", id->c_name,
      is_wide(id) ? "" : "(uint32_t)");
  print_close(printer, "}\n");
}

static void print_code(struct printer *printer, const struct message *message) {
  const struct field *code = message->code;
  print_gap(printer);
  print_note(printer, "The control code of `message`.");
  print_bracket(printer,
      text_format("%s %s %s__get_code(", inline_of(message, code),
          is_wide(code) ? "uint64_t" : "uint32_t", message->c_lower),
      text_format("const %s *message) {", message->c_type));
  print_open(printer);
  print_line(printer, "return message->%s;", code->c_name);
  print_close(printer, "}\n");
}

static void print_make(struct printer *printer, const struct message *message,
    const char *name, const char *note, const char *code) {
  print_gap(printer);
  print_note(printer, note);
  print_bracket(printer,
      text_format("%s void %s__make_%s(", inline_of(message, message->code),
          message->c_lower, name),
      text_format("%s *message, uint64_t id) {", message->c_type));
  print_open(printer);
  print_bracket(printer, "psock_message_make(",
      text_format("&%s__type, message, id, %s);", message->c_lower, code));
  print_close(printer, "}\n");
}

void emit_call_header(struct printer *printer, const struct message *message) {
  if (message->id != NULL)
    print_id(printer, message);
  if (message->code != NULL)
    print_code(printer, message);
  if (message->id == NULL || message->code == NULL)
    return;
  print_make(printer, message, "cancel",
      "Makes `message` a cancel of the call `id`, and nothing else.",
      "PSOCK_CODE_CANCEL");
  print_make(printer, message, "end",
      "Makes `message` the end of the call `id`, and nothing else.",
      "PSOCK_CODE_END");
}

static void print_place(
    struct printer *printer, const struct field *field, const char *name) {
  const char *type = field->message->c_type;
  const char *has = field_has_flag(field)
                        ? text_format("offsetof(%s, %s)", type, field->c_count)
                        : "0";
  print_bracket(printer,
      text_format("static const struct psock_call_field %s__%s = {",
          field->message->c_lower, name),
      text_format("offsetof(%s, %s), %s, sizeof(((%s *)0)->%s)};", type,
          field->c_name, has, type, field->c_name));
}

void emit_call_source(struct printer *printer, const struct message *message) {
  if (message->id != NULL)
    print_place(printer, message->id, "id");
  if (message->code != NULL)
    print_place(printer, message->code, "code");
}
