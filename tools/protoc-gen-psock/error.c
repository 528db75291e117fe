/* SPDX-License-Identifier: BSD-2-Clause */
#include "error.h"
#include "memory.h"
#include "print.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/*
 * What is wrong with the schemas. All of it is collected, so that one run shows
 * everything, and given to protoc in one text, by file and line. protoc prints
 * the text, exits with 1, and writes no file of ours.
 *
 * Only files that are to be generated are complained of. What is wrong with an
 * imported one comes up when it is generated itself.
 */

struct error {
  struct location at;
  const char *text;
  size_t order;
};

static struct error *errors;
static size_t count;

static const char *file_name(const struct error *error) {
  return error->at.file != NULL ? error->at.file->name : "";
}

static int compare(const void *a, const void *b) {
  const struct error *x = a;
  const struct error *y = b;
  int by_name = strcmp(file_name(x), file_name(y));
  if (by_name != 0)
    return by_name;
  if (x->at.line != y->at.line)
    return x->at.line < y->at.line ? -1 : 1;
  return x->order < y->order ? -1 : x->order > y->order;
}

void error_at(struct location at, const char *format, ...) {
  if (at.file != NULL && !at.file->generate)
    return;
  va_list arguments;
  va_start(arguments, format);
  const char *text = text_vformat(format, arguments);
  va_end(arguments);
  errors = memory_resize(errors, count + 1, sizeof *errors);
  errors[count] = (struct error){.at = at, .text = text, .order = count};
  count++;
}

size_t error_count(void) {
  return count;
}

char *error_text(void) {
  struct printer printer = {0};
  qsort(errors, count, sizeof *errors, compare);
  print(&printer, "%zu %s", count, count == 1 ? "error" : "errors");
  for (size_t i = 0; i < count; i++) {
    const struct error *error = &errors[i];
    if (error->at.file == NULL)
      print(&printer, "\n%s", error->text);
    else
      print(&printer, "\n%s:%u: %s", error->at.file->name, error->at.line,
          error->text);
  }
  return printer.text;
}
