/* SPDX-License-Identifier: BSD-2-Clause */
#include "emit.h"
#include "emit_parts.h"
#include "memory.h"

/*
 * The schema itself, foo__schema, so that a program can tell others what it
 * speaks. The bytes are the FileDescriptorProto that protoc gave, without the
 * places and comments of the source; they are constant data, and there is one
 * copy. A file whose option embed_descriptor says so has none.
 */

static void print_bytes(
    struct printer *printer, const uint8_t *bytes, size_t length) {
  static const char indent[] = "    ";
  size_t column = PRINT_WIDTH;
  for (size_t i = 0; i < length; i++) {
    size_t width = (bytes[i] >= 100 ? 3u : bytes[i] >= 10 ? 2u : 1u) + 1;
    if (column + 1 + width > PRINT_WIDTH) {
      print(printer, "%s%s%u,", i == 0 ? "" : "\n", indent, bytes[i]);
      column = sizeof indent - 1 + width;
    } else {
      print(printer, " %u,", bytes[i]);
      column += 1 + width;
    }
  }
  print(printer, "\n");
}

void emit_schema_header(struct printer *printer, const struct file *file) {
  if (!file->embed_descriptor)
    return;
  print_heading(printer, "The schema");
  print_note(printer, text_format("%s as protoc has understood it: a "
                                  "google.protobuf.FileDescriptorProto.",
                          file->name));
  print_line(printer, "extern const struct psock_schema %s__schema%s;",
      file->c_lower, emit_deprecated(file->deprecated));
}

void emit_schema_source(struct printer *printer, const struct file *file) {
  if (!file->embed_descriptor)
    return;
  print_gap(printer);
  print(
      printer, "static const uint8_t %s__schema__bytes[] = {\n", file->c_lower);
  print_bytes(printer, file->descriptor, file->descriptor_length);
  print(printer, "};\n\n");
  print_bracket(printer,
      text_format("const struct psock_schema %s__schema = {", file->c_lower),
      text_format("sizeof(struct psock_schema), %s, %s__schema__bytes, "
                  "sizeof %s__schema__bytes};",
          text_quote(file->name), file->c_lower, file->c_lower));
}
