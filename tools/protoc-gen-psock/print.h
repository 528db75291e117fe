/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_PRINT_H
#define PLUGIN_PRINT_H

#include "model.h"

/* Columns that a generated line may fill. */
#define PRINT_WIDTH 80

/* A text that grows. Start with one that is all zero. */
struct printer {
  char *text; /* ends with a 0 that is not counted */
  size_t length;
  size_t room;
  unsigned indent; /* columns in front of each line that begins */
};

/* Appends text, with the indentation in front of each line in it that is not
 * empty. */
void print(struct printer *printer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends one line, and the line's end: broken at spaces where it is longer
 * than PRINT_WIDTH, the rest of it indented by four more. Spaces in string
 * literals are left alone. */
void print_line(struct printer *printer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends a comment: what stands in the schema, or `otherwise` if nothing
 * does and that is not NULL. */
void print_comments(struct printer *printer, const struct comments *comments,
    const char *otherwise);

/* Appends an empty line, unless there is one already. */
void print_gap(struct printer *printer);

/* Appends a heading for a part of a file: a comment on a line of its own, with
 * empty lines around it. */
void print_heading(struct printer *printer, const char *title);

/* Appends a comment of the plugin's own. */
void print_note(struct printer *printer, const char *text);

/* Appends a line that opens a bracket at the end of `head`, and what follows
 * there, broken as clang-format does where it is too wide. */
void print_bracket(struct printer *printer, const char *head, const char *rest);

/* Lines that follow are indented, as the body of what has just been opened;
 * and the end of such a body, with the text that closes it, if any. */
void print_open(struct printer *printer);
void print_close(struct printer *printer, const char *end);

#endif
