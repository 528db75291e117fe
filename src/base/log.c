/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/log.h"

#include "base/loop.h"
#include <stdarg.h>
#include <stdio.h>

#define LINE_SIZE 256

void psock_log(const psock_loop *loop, enum psock_log_level level,
    const char *format, ...) {
  if (loop->log == NULL)
    return;
  char line[LINE_SIZE];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  loop->log(loop->log_data, level, line);
}
