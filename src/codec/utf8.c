/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/utf8.h"

#include <string.h>

/*
 * Most text is ASCII, so that is looked at eight bytes at a time. Of other
 * characters, the first byte says how many follow; which values the second may
 * have depends on the first, so that what is too long, a surrogate, or above
 * U+10FFFF is noticed there (RFC 3629, section 4). The further ones are all
 * alike.
 */

#define ASCII_MASK UINT64_C(0x8080808080808080)

static bool is_tail(uint8_t byte) {
  return (byte & 0xc0) == 0x80;
}

/* How many bytes the character at the front of `length` bytes takes; 0: it is
 * none. Its first byte is not ASCII. */
static size_t character_length(const uint8_t *at, size_t length) {
  uint8_t first = at[0];
  uint8_t low = 0x80;
  uint8_t high = 0xbf;
  size_t count = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (first < 0xc2 || first > 0xf4 || length < count)
    return 0;
  if (first == 0xe0)
    low = 0xa0;
  else if (first == 0xed)
    high = 0x9f;
  else if (first == 0xf0)
    low = 0x90;
  else if (first == 0xf4)
    high = 0x8f;
  if (at[1] < low || at[1] > high)
    return 0;
  for (size_t i = 2; i < count; i++)
    if (!is_tail(at[i]))
      return 0;
  return count;
}

bool psock_utf8_is_valid(const uint8_t *text, size_t length) {
  while (length > 0) {
    uint64_t word;
    size_t taken = 1;
    if (length >= sizeof word) {
      memcpy(&word, text, sizeof word);
      if ((word & ASCII_MASK) == 0)
        taken = sizeof word;
    }
    if (*text >= 0x80)
      taken = character_length(text, length);
    if (taken == 0)
      return false;
    text += taken;
    length -= taken;
  }
  return true;
}
