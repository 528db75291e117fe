/* SPDX-License-Identifier: BSD-2-Clause */
#include "memory.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Memory. The plugin reads one request, answers it and exits, so nothing is
 * ever freed: the system does that. What it needs is a small multiple of the
 * request. When there is no more, it says so and exits with 1, which protoc
 * reports; nothing has been written then. All of it hangs in one list, so that
 * a tool that looks for leaks finds none.
 */

struct block {
  struct block *next;
  struct block **link; /* that points here */
  max_align_t memory[];
};

static struct block *blocks;

static void *take(struct block *block, struct block *next) {
  if (block == NULL) {
    fputs("protoc-gen-psock: out of memory\n", stderr);
    exit(1);
  }
  block->next = next;
  if (next != NULL)
    next->link = &block->next;
  *block->link = block;
  return block->memory;
}

/* Of a block with so much memory; more than there can be if that overflows. */
static size_t block_size(size_t count, size_t size) {
  if (count > (SIZE_MAX - sizeof(struct block)) / size)
    return SIZE_MAX;
  return sizeof(struct block) + count * size;
}

void *memory_new(size_t count, size_t size) {
  struct block *block = calloc(1, block_size(count, size));
  if (block != NULL)
    block->link = &blocks;
  return take(block, blocks);
}

void *memory_resize(void *memory, size_t count, size_t size) {
  if (memory == NULL)
    return memory_new(count, size);
  struct block *block =
      (struct block *)((char *)memory - offsetof(struct block, memory));
  struct block *next = block->next;
  return take(realloc(block, block_size(count, size)), next);
}

static void *allocate(void *data, size_t size) {
  (void)data;
  return memory_new(size, 1);
}

static void keep(void *data, void *memory) {
  (void)data;
  (void)memory;
}

ProtobufCAllocator memory_allocator = {.alloc = allocate, .free = keep};

char *text_vformat(const char *format, va_list arguments) {
  va_list again;
  va_copy(again, arguments);
  int length = vsnprintf(NULL, 0, format, again);
  va_end(again);
  size_t room = length < 0 ? 1 : (size_t)length + 1;
  char *text = memory_new(room, 1);
  if (length > 0)
    vsnprintf(text, room, format, arguments);
  return text;
}

char *text_format(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  char *text = text_vformat(format, arguments);
  va_end(arguments);
  return text;
}

const char *text_quote(const char *text) {
  size_t room = 4 * strlen(text) + sizeof "\"\"";
  char *quoted = memory_new(room, 1);
  char *at = quoted;
  *at++ = '"';
  for (; *text != '\0'; text++) {
    unsigned char c = (unsigned char)*text;
    if (c == '"' || c == '\\' || c == '?') /* ? begins a trigraph */
      *at++ = '\\';
    if (c >= ' ' && c < 0x7f)
      *at++ = *text;
    else
      at += snprintf(at, room - (size_t)(at - quoted), "\\%03o", c);
  }
  *at = '"';
  return quoted;
}
