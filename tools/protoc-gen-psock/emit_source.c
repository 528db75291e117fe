/* SPDX-License-Identifier: BSD-2-Clause */
#include "emit.h"
#include "faces.h"

/*
 * The frame of a generated source: for each message an initial value, an
 * encoder and a decoder, and the type that holds them together; and what the
 * faces define. All but the types and the tables is static. Encoders and
 * decoders call each other in any order, so they are all declared first.
 */

static bool has_float_default(const struct file *file) {
  size_t i, j;
  for (i = 0; i < file->message_count; i++)
    for (j = 0; j < file->messages[i]->field_count; j++) {
      const struct field *field = file->messages[i]->fields[j];
      if (field->type == PROTOBUF_C_TYPE_FLOAT && field->has_default)
        return true;
    }
  return false;
}

static void emit_pragmas(struct printer *printer, const struct file *file) {
  print(printer,
      "\n"
      "/* protoc-c's initialisers cast and leave out braces; and what is\n"
      " * deprecated is still encoded. */\n"
      "#if defined(__GNUC__)\n"
      "#pragma GCC diagnostic ignored \"-Wcast-qual\"\n"
      "#pragma GCC diagnostic ignored \"-Wmissing-braces\"\n"
      "#pragma GCC diagnostic ignored \"-Wdeprecated-declarations\"\n"
      "#endif\n");
  if (has_float_default(file))
    print(printer,
        "/* protoc-c writes the default of a float as a double. */\n"
        "#if defined(__clang__)\n"
        "#pragma clang diagnostic ignored \"-Wimplicit-float-conversion\"\n"
        "#elif defined(__GNUC__)\n"
        "#pragma GCC diagnostic ignored \"-Wfloat-conversion\"\n"
        "#endif\n");
}

static void emit_declarations(
    struct printer *printer, const struct file *file) {
  size_t i;
  for (i = 0; i < file->message_count; i++) {
    const struct message *message = file->messages[i];
    if (i == 0)
      print(printer, "\n");
    print_line(printer, "static const %s %s__initial = %s__INIT;",
        message->c_type, message->c_lower, message->c_upper);
  }
  for (i = 0; i < file->message_count; i++) {
    const char *name = file->messages[i]->c_lower;
    if (i == 0)
      print(printer, "\n");
    print_line(printer, "static psock_encode_fn %s__encode;", name);
    print_line(printer, "static psock_decode_fn %s__decode;", name);
  }
}

static void emit_type_definition(
    struct printer *printer, const struct message *message) {
  const char *name = message->c_lower;
  print_gap(printer);
  print_line(printer, "const struct psock_message_type %s__type = {", name);
  print_line(printer,
      "    sizeof(struct psock_message_type), &%s__descriptor, %s__encode, "
      "%s__decode, &%s__initial, %s%s%s, %s%s%s};",
      name, name, name, name, message->id != NULL ? "&" : "NULL",
      message->id != NULL ? name : "", message->id != NULL ? "__id" : "",
      message->code != NULL ? "&" : "NULL", message->code != NULL ? name : "",
      message->code != NULL ? "__code" : "");
}

void emit_source(struct printer *printer, const struct file *file) {
  size_t i;
  emit_banner(printer, file);
  print(printer,
      "#include \"%s.psock.h\"\n"
      "#include <protosocket/generated.h>\n",
      file->stem);
  emit_pragmas(printer, file);
  emit_declarations(printer, file);
  face_file_source(printer, file);
  for (i = 0; i < file->message_count; i++) {
    const struct message *message = file->messages[i];
    print_heading(printer, message->c_type);
    emit_encode(printer, message);
    emit_decode(printer, message);
    print_gap(printer);
    face_message_source(printer, message);
    emit_type_definition(printer, message);
  }
  for (i = 0; i < file->service_count; i++)
    face_service_source(printer, &file->services[i]);
}
