/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_PRINT_H
#define PLUGIN_PRINT_H

#include "model.h"

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
 * than 80 columns, the rest of it indented by four more. Spaces in string
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

#endif
