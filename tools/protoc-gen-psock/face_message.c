/* SPDX-License-Identifier: BSD-2-Clause */
#include "face_parts.h"
#include "faces.h"
#include "names.h"

#include <string.h>

/*
 * The face of a message: the operations that calls need, and handlers for a
 * oneof. Either may be missing. Beside that, what all faces print with.
 *
 * Nothing fails here: check_file has refused what could, and a file with an
 * error is not printed. What is returned lives until the program exits.
 */

#define COLUMNS 80
#define INDENT 4 /* of what continues a line */

void face_message_header(
    struct printer *printer, const struct message *message) {
  call_header(printer, message);
  dispatch_header(printer, message);
}

void face_message_source(
    struct printer *printer, const struct message *message) {
  call_source(printer, message);
  dispatch_source(printer, message);
}

const char *face_quote(const char *text) {
  struct printer quoted = {0};
  print(&quoted, "\"");
  for (const char *at = text; *at != '\0'; at++) {
    unsigned char c = (unsigned char)*at;
    if (c == '"' || c == '\\' || c == '?') /* ? begins a trigraph */
      print(&quoted, "\\%c", c);
    else if (c < ' ' || c >= 0x7f)
      print(&quoted, "\\%03o", c);
    else
      print(&quoted, "%c", c);
  }
  print(&quoted, "\"");
  return quoted.text;
}

const char *face_deprecated(bool deprecated) {
  return deprecated ? " PSOCK_DEPRECATED" : "";
}

void face_gap(struct printer *printer) {
  size_t length = printer->length;
  if (length < 2 || memcmp(printer->text + length - 2, "\n\n", 2) != 0)
    print(printer, "\n");
}

void face_note(struct printer *printer, const char *text) {
  static const struct comments none;
  print_comments(printer, &none, text);
}

/* In this order: all on one line; all behind the bracket on the next; from the
 * first line on, if there is room for a first part; from the next line on. */
void face_line(struct printer *printer, const char *head, const char *rest) {
  size_t begun = printer->indent + strlen(head);
  size_t next = printer->indent + INDENT + strlen(rest);
  bool fits = begun + strlen(rest) <= COLUMNS;
  if (fits || (next > COLUMNS && begun + strcspn(rest, ",") < COLUMNS)) {
    print_line(printer, "%s%s", head, rest);
  } else {
    print_line(printer, "%s", head);
    print_line(printer, "%*s%s", INDENT, "", rest);
  }
}

void face_open(struct printer *printer) {
  printer->indent += 2;
}

void face_close(struct printer *printer, const char *end) {
  printer->indent -= 2;
  print(printer, "%s\n", end);
}
