/* SPDX-License-Identifier: BSD-2-Clause */
#include "print.h"
#include "memory.h"
#include <stdarg.h>
#include <string.h>

/*
 * Generated text. A printer is a buffer that grows; what is printed into it is
 * indented line by line, and print_line() breaks lines that are too wide. The
 * text depends on nothing but what is printed.
 *
 * Comments come from the schema, so they may hold anything. Each becomes a
 * comment that a C compiler reads as one: neither end nor beginning of a
 * comment is left in it.
 */

/* Columns that what continues a line is indented by. */
#define CONTINUATION 4

static void append(struct printer *printer, const char *text, size_t length) {
  if (printer->room - printer->length <= length) {
    printer->room = (printer->length + length + 1) * 2;
    printer->text = memory_resize(printer->text, printer->room, 1);
  }
  memcpy(printer->text + printer->length, text, length);
  printer->length += length;
  printer->text[printer->length] = '\0';
}

static void append_spaces(struct printer *printer, size_t count) {
  while (count-- > 0)
    append(printer, " ", 1);
}

void print(struct printer *printer, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const char *text = text_vformat(format, arguments);
  va_end(arguments);
  while (*text != '\0') {
    size_t length = strcspn(text, "\n");
    bool begins =
        printer->length == 0 || printer->text[printer->length - 1] == '\n';
    if (begins && length > 0)
      append_spaces(printer, printer->indent);
    if (text[length] == '\n')
      length++;
    append(printer, text, length);
    text += length;
  }
}

static bool is_good_break(const char *text, size_t i) {
  return i > 1 && (text[i - 1] == ',' || text[i - 1] == ';' ||
                      strncmp(text + i - 2, "&&", 2) == 0 ||
                      strncmp(text + i - 2, "||", 2) == 0);
}

/* Where to break `text`, of which `room` columns fit: the length of the first
 * part, in front of a space, by preference behind a comma or an operator; all
 * of it if it fits or cannot be broken. */
static size_t break_at(const char *text, size_t room) {
  size_t last = 0, good = 0;
  bool quoted = false;
  if (strlen(text) <= room)
    return strlen(text);
  for (size_t i = 0; text[i] != '\0' && (i <= room || last == 0); i++) {
    if (text[i] == '\\' && text[i + 1] != '\0')
      i++;
    else if (text[i] == '"')
      quoted = !quoted;
    else if (text[i] == ' ' && !quoted && i > 0) {
      last = i;
      if (is_good_break(text, i))
        good = i;
    }
  }
  if (good > room / 3)
    return good;
  return last > 0 ? last : strlen(text);
}

void print_line(struct printer *printer, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const char *text = text_vformat(format, arguments);
  va_end(arguments);
  size_t indent = printer->indent;
  for (;;) {
    size_t length =
        break_at(text, indent < PRINT_WIDTH ? PRINT_WIDTH - indent : 1);
    append_spaces(printer, indent);
    append(printer, text, length);
    append(printer, "\n", 1);
    text += length;
    if (*text == '\0')
      return;
    text += strspn(text, " ");
    indent = printer->indent + CONTINUATION;
  }
}

/* A copy of a line of a comment, such that it can stand in one of C. */
static char *harmless(const char *text, size_t length) {
  char *copy = memory_new(length * 2 + 1, 1);
  size_t end = 0;
  for (size_t i = 0; i < length; i++) {
    char byte = text[i];
    char before = end > 0 ? copy[end - 1] : ' ';
    if ((before == '*' && byte == '/') || (before == '/' && byte == '*'))
      copy[end++] = ' ';
    copy[end++] = (unsigned char)byte < ' ' || byte == 0x7f ? ' ' : byte;
  }
  while (end > 0 && (copy[end - 1] == ' ' || copy[end - 1] == '\\'))
    end--;
  copy[end] = '\0';
  return copy;
}

/* A line, broken where it is too wide. */
static void append_broken(struct printer *printer, const char *line) {
  size_t room = PRINT_WIDTH - strlen(" * ");
  room = printer->indent < room / 2 ? room - printer->indent : room / 2;
  while (*line != '\0') {
    size_t length = strlen(line);
    if (length > room) {
      length = room;
      while (length > 0 && line[length] != ' ')
        length--;
      if (length == 0)
        length = strcspn(line + 1, " ") + 1;
    }
    print(printer, " * %.*s\n", (int)length, line);
    line += length;
    line += strspn(line, " ");
  }
}

/* Several lines; empty ones only between others, and never two. */
static void append_block(struct printer *printer, const char *text) {
  bool is_gap = false, any = false;
  while (*text != '\0') {
    size_t length = strcspn(text, "\n");
    const char *line = harmless(text, length);
    text += length + (text[length] == '\n');
    if (*line == ' ')
      line++;
    if (*line == '\0') {
      is_gap = any;
      continue;
    }
    if (is_gap)
      print(printer, " *\n");
    is_gap = false;
    any = true;
    append_broken(printer, line);
  }
}

static const char *text_or_empty(const char *text) {
  return text != NULL ? text : "";
}

static bool is_one_line(const char *text) {
  text += strcspn(text, "\n");
  return text[strspn(text, " \t\r\n")] == '\0';
}

void print_comments(struct printer *printer, const struct comments *comments,
    const char *otherwise) {
  const char *text = text_format("%s\n\n%s", text_or_empty(comments->leading),
      text_or_empty(comments->trailing));
  text += strspn(text, " \t\r\n");
  if (*text == '\0')
    text = text_or_empty(otherwise);
  if (*text == '\0')
    return;
  const char *line = harmless(text, strlen(text));
  if (is_one_line(text) &&
      printer->indent + strlen("/**  */") + strlen(line) <= PRINT_WIDTH) {
    print(printer, "/** %s */\n", line);
    return;
  }
  print(printer, "/**\n");
  append_block(printer, text);
  print(printer, " */\n");
}

void print_gap(struct printer *printer) {
  size_t length = printer->length;
  if (length < 2 || memcmp(printer->text + length - 2, "\n\n", 2) != 0)
    append(printer, "\n", 1);
}

void print_heading(struct printer *printer, const char *title) {
  print_gap(printer);
  print(printer, "/* ---- %s ---- */\n\n", title);
}

void print_note(struct printer *printer, const char *text) {
  const struct comments none = {NULL, NULL};
  print_comments(printer, &none, text);
}

/* In this order: all on one line; all behind the bracket on the next; from the
 * first line on, if there is room for a first part; from the next line on. */
void print_bracket(
    struct printer *printer, const char *head, const char *rest) {
  size_t begun = printer->indent + strlen(head);
  size_t next = printer->indent + CONTINUATION + strlen(rest);
  bool fits = begun + strlen(rest) <= PRINT_WIDTH;
  if (fits ||
      (next > PRINT_WIDTH && begun + strcspn(rest, ",") < PRINT_WIDTH)) {
    print_line(printer, "%s%s", head, rest);
  } else {
    print_line(printer, "%s", head);
    print_line(printer, "%*s%s", CONTINUATION, "", rest);
  }
}

void print_open(struct printer *printer) {
  printer->indent += 2;
}

void print_close(struct printer *printer, const char *end) {
  printer->indent -= 2;
  print(printer, "%s", end);
}
