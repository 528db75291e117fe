/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_MEMORY_H
#define PLUGIN_MEMORY_H

#include <protobuf-c/protobuf-c.h>
#include <stdarg.h>
#include <stddef.h>

/* Memory that is never freed, all zero. Ends the program if there is none. */
void *memory_new(size_t count, size_t size);

/* As realloc(3), but ends the program if there is none. */
void *memory_resize(void *memory, size_t count, size_t size);

/* For protobuf-c: memory that is never freed. */
extern ProtobufCAllocator memory_allocator;

/* Text in memory that is never freed. */
char *text_format(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
char *text_vformat(const char *format, va_list arguments)
    __attribute__((format(printf, 1, 0)));

/* `text` as a string literal of C. */
const char *text_quote(const char *text);

#endif
