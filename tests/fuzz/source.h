/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FUZZ_SOURCE_H
#define FUZZ_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * Bytes that decide, for what makes messages of them: each decision takes one
 * or a few. Behind the last there are only zeros, and zero always is the choice
 * that ends something, so that every input leads to an end.
 */
struct source {
  const uint8_t *at;
  const uint8_t *end;
};

static inline uint8_t source_byte(struct source *source) {
  return source->at < source->end ? *source->at++ : 0;
}

/* Below `limit`, which is above 0. */
static inline size_t source_below(struct source *source, size_t limit) {
  size_t value = source_byte(source);
  if (limit > 256)
    value = value << 8 | source_byte(source);
  return value % limit;
}

/* Whether one case in `odds` has come; the case is never zero. */
static inline bool source_one_in(struct source *source, size_t odds) {
  return source_below(source, odds) == odds - 1;
}

/* Any number, but rather one at the edge of something. */
static inline uint64_t source_number(struct source *source) {
  static const uint64_t edges[] = {0, 1, 127, 128, 16383, 16384, 2097151,
      2097152, 268435455, 268435456, INT32_MAX, (uint64_t)INT32_MAX + 1,
      UINT32_MAX, (uint64_t)UINT32_MAX + 1, INT64_MAX, (uint64_t)INT64_MAX + 1,
      UINT64_MAX, UINT64_MAX - 1, UINT64_C(0xffffffff80000000),
      UINT64_C(0x3ff0000000000000), UINT64_C(0x7ff8000000000001), 0x3f800000,
      0x7fc00001, 0x80000000};
  uint8_t choice = source_byte(source);
  if (choice < 128)
    return choice;
  if (choice < 192)
    return edges[choice % (sizeof edges / sizeof edges[0])];
  uint64_t value = 0;
  for (int i = 0; i <= choice % 8; i++)
    value = value << 8 | source_byte(source);
  return value;
}

/* Bytes that are written one after the other. */
struct text {
  uint8_t *at;
  size_t length;
  size_t room;
};

static inline void text_add(
    struct text *text, const void *bytes, size_t length) {
  if (length > text->room - text->length) {
    text->room = (text->length + length) * 2;
    text->at = realloc(text->at, text->room);
    if (text->at == NULL)
      abort();
  }
  if (length > 0)
    memcpy(text->at + text->length, bytes, length);
  text->length += length;
}

static inline void text_add_byte(struct text *text, uint8_t byte) {
  text_add(text, &byte, 1);
}

/* Of at least `least` bytes, the last ones empty if need be. */
static inline void text_add_varint(
    struct text *text, uint64_t value, size_t least) {
  size_t length = 1;
  for (; value >= 0x80 || length < least; length++, value >>= 7)
    text_add_byte(text, (uint8_t)(value | 0x80));
  text_add_byte(text, (uint8_t)value);
}

/* What may stand in a string: characters of one to four bytes, without a zero.
 * Unless `tame`, now and then what is nearly one, or any byte. */
static inline void text_add_string(
    struct text *text, struct source *source, bool tame) {
  static const char *const characters[] = {"", "a", " ", "\xc3\xa4",
      "\xe2\x98\x83", "\xf0\x9f\x98\x80", "\x7f", "\xef\xbf\xbf"};
  static const char *const wrong[] = {"\xc1\xbf", "\xe0\x9f\xbf",
      "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\x80",
      "\xe2\x98", "\xf5\x80\x80\x80"};
  uint8_t choice = source_byte(source);
  for (unsigned i = choice % 8; i > 0; i--) {
    uint8_t byte = source_byte(source);
    const char *const *from = choice < 232 || tame ? characters : wrong;
    if (choice < 240 || tame)
      text_add(text, from[byte % 8], strlen(from[byte % 8]));
    else
      text_add_byte(text, byte);
  }
  /* Long enough that a count takes two bytes, or that bytes are not copied. */
  size_t more = choice == 200 ? 130 : choice == 201 ? 17000 : 0;
  while (more-- > 0)
    text_add_byte(text, 'x');
}

#endif
