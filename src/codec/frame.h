/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_CODEC_FRAME_H
#define PSOCK_CODEC_FRAME_H

#include <protosocket/codec.h>
#include <protosocket/error.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The frame of protosocket-wire(7): a varint byte count, and that many bytes.
 *
 * A count of one byte, which most are, is read on a path of its own. A count
 * that can't become a valid one is malformed at once, however little of it has
 * come, and one that is above the limit is too big before the first byte of
 * what it announces. Where it is only too early to tell, the caller learns how
 * many bytes to wait for, as soon as the count says so.
 */

/* The most bytes that a count takes. */
#define PSOCK_COUNT_MAX 10

/* The bytes of a frame that belong to its message. */
struct psock_frame {
  const uint8_t *body;
  size_t length;
};

/* Writes `count` at `at`, which has PSOCK_COUNT_MAX bytes, in its shortest
 * form. Returns how many bytes that took. */
static inline size_t psock_count_put(uint8_t *at, uint64_t count) {
  size_t length = 0;
  while (count >= 0x80) {
    at[length++] = (uint8_t)(count | 0x80);
    count >>= 7;
  }
  at[length++] = (uint8_t)count;
  return length;
}

/* Reads a count at the front of `length` bytes. Returns how many bytes it
 * took, 0 when it goes on behind them, or PSOCK_EMALFORMED. */
static inline int psock_count_get(
    const uint8_t *bytes, size_t length, uint64_t *ret_count) {
  uint64_t count = 0;
  for (int i = 0; i < PSOCK_COUNT_MAX && (size_t)i < length; i++) {
    uint8_t byte = bytes[i];
    /* The last byte has room for one bit of the 64, and none to go on. */
    if (i == PSOCK_COUNT_MAX - 1 && byte > 1)
      return PSOCK_EMALFORMED;
    count |= (uint64_t)(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      *ret_count = count;
      return i + 1;
    }
  }
  return 0;
}

/*
 * Reads the frame at the front of `length` bytes, at least 1. `max`, at most
 * SIZE_MAX / 2, limits its body. Returns PSOCK_DECODE_MESSAGE with `ret_frame`
 * and ret_decoded->consumed, PSOCK_DECODE_INCOMPLETE with ret_decoded->needed,
 * PSOCK_ETOOBIG or PSOCK_EMALFORMED.
 */
static inline int psock_frame_get(const uint8_t *bytes, size_t length,
    size_t max, struct psock_frame *ret_frame,
    struct psock_decoded *ret_decoded) {
  uint64_t count = bytes[0];
  int prefix = 1;
  if (count >= 0x80)
    prefix = psock_count_get(bytes, length, &count);
  if (prefix < 0)
    return prefix;
  if (prefix == 0) {
    ret_decoded->needed = 0;
    return PSOCK_DECODE_INCOMPLETE;
  }
  if (count > max)
    return PSOCK_ETOOBIG;
  size_t total = (size_t)prefix + (size_t)count;
  if (total > length) {
    ret_decoded->needed = total;
    return PSOCK_DECODE_INCOMPLETE;
  }
  ret_frame->body = bytes + prefix;
  ret_frame->length = (size_t)count;
  ret_decoded->consumed = total;
  return PSOCK_DECODE_MESSAGE;
}

#endif
