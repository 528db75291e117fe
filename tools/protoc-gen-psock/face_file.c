/* SPDX-License-Identifier: BSD-2-Clause */
#include "face_parts.h"
#include "faces.h"
#include "names.h"

/*
 * The face of a file: foo__file, which has the schema itself, so that a program
 * can tell others what it speaks. The bytes are the FileDescriptorProto that
 * protoc gave, without the places and comments of the source; they are constant
 * data, and there is one copy. A file that does not want that has no face.
 */

/* Columns that a line of numbers may fill. */
#define COLUMNS 80

static void print_bytes(
    struct printer *printer, const uint8_t *bytes, size_t length) {
  static const char indent[] = "    ";
  size_t column = COLUMNS;
  for (size_t i = 0; i < length; i++) {
    size_t width = (bytes[i] >= 100 ? 3u : bytes[i] >= 10 ? 2u : 1u) + 1;
    if (column + 1 + width > COLUMNS) {
      print(printer, "%s%s%u,", i == 0 ? "" : "\n", indent, bytes[i]);
      column = sizeof indent - 1 + width;
    } else {
      print(printer, " %u,", bytes[i]);
      column += 1 + width;
    }
  }
  print(printer, "\n");
}

void face_includes(struct printer *printer, const struct file *file) {
  bool dispatches = false;
  for (size_t i = 0; i < file->message_count; i++)
    dispatches = dispatches || dispatch_choose(file->messages[i]) != NULL;
  if (dispatches)
    print(printer, "#include <protosocket/dispatch.h>\n");
  print(printer, "#include <protosocket/message.h>\n");
  if (file->service_count > 0)
    print(printer, "#include <protosocket/service.h>\n");
}

void face_file_header(struct printer *printer, const struct file *file) {
  if (!file->embed_descriptor)
    return;
  print_heading(printer, "The file");
  face_note(printer, text_format("%s as protoc has understood it: a "
                                 "google.protobuf.FileDescriptorProto.",
                         file->name));
  print_line(printer, "extern const struct psock_file %s__file%s;",
      file->c_lower, face_deprecated(file->deprecated));
}

void face_file_source(struct printer *printer, const struct file *file) {
  if (!file->embed_descriptor)
    return;
  face_gap(printer);
  print(printer, "static const uint8_t %s__file__bytes[] = {\n", file->c_lower);
  print_bytes(printer, file->descriptor, file->descriptor_length);
  print(printer, "};\n\n");
  face_line(printer,
      text_format("const struct psock_file %s__file = {", file->c_lower),
      text_format("sizeof(struct psock_file), %s, %s__file__bytes, "
                  "sizeof %s__file__bytes};",
          face_quote(file->name), file->c_lower, file->c_lower));
}
