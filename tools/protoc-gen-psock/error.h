/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_ERROR_H
#define PLUGIN_ERROR_H

#include "model.h"

/* Notes what is wrong with the schema at `at`: one sentence without a full
 * stop. The file of `at` may be NULL. */
void error_at(struct location at, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

size_t error_count(void);

/* All that was noted, a line each, by file and line, under a line that says how
 * many there are. The last line has no end: protoc adds one. */
char *error_text(void);

#endif
