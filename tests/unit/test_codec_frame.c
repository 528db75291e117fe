/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/frame.h"
#include "unit/test_codec.h"

/*
 * Counts and frames: every length of a count, every cut of it, and the edges
 * of the limit.
 */

static const uint64_t counts[] = {0, 1, 127, 128, 300, 16383, 16384, 2097151,
    2097152, UINT32_MAX, (uint64_t)UINT32_MAX + 1, INT64_MAX,
    (uint64_t)INT64_MAX + 1, UINT64_MAX};

#define COUNTS (int)(sizeof counts / sizeof counts[0])

/* How many bytes the shortest form of `count` has. */
static size_t shortest(uint64_t count) {
  size_t length = 1;
  for (; count > 127; count /= 128)
    length++;
  return length;
}

START_TEST(count_is_read_as_written) {
  uint8_t bytes[PSOCK_COUNT_MAX];
  size_t length = psock_count_put(bytes, counts[_i]);
  ck_assert_uint_eq(length, shortest(counts[_i]));
  for (size_t cut = 0; cut <= length; cut++) {
    struct bytes copy = bytes_copy(bytes, cut);
    uint64_t count = 42;
    int taken = psock_count_get(copy.at, cut, &count);
    free(copy.at);
    ck_assert_int_eq(taken, cut == length ? (int)length : 0);
    ck_assert_uint_eq(count, cut == length ? counts[_i] : 42);
  }
}
END_TEST

START_TEST(count_may_be_padded) {
  uint8_t bytes[PSOCK_COUNT_MAX];
  size_t length = psock_count_put(bytes, counts[_i]);
  while (length < PSOCK_COUNT_MAX) {
    bytes[length - 1] |= 0x80;
    bytes[length++] = 0;
    uint64_t count = 42;
    ck_assert_int_eq(psock_count_get(bytes, length, &count), (int)length);
    ck_assert_uint_eq(count, counts[_i]);
  }
}
END_TEST

/* The tenth byte has one bit to give, and none to go on. */
START_TEST(count_ends_within_64_bits) {
  uint8_t bytes[] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0};
  uint64_t count = 42;
  for (int last = 2; last < 256; last++) {
    bytes[9] = (uint8_t)last;
    for (size_t cut = 0; cut <= sizeof bytes; cut++)
      ck_assert_int_eq(
          psock_count_get(bytes, cut, &count), cut < 10 ? 0 : PSOCK_EMALFORMED);
  }
  ck_assert_uint_eq(count, 42);
  bytes[9] = 1;
  ck_assert_int_eq(psock_count_get(bytes, 10, &count), 10);
  ck_assert_uint_eq(count, UINT64_MAX);
}
END_TEST

static int get(struct bytes bytes, size_t max, struct psock_frame *ret_frame,
    struct psock_decoded *ret_decoded) {
  return psock_frame_get(bytes.at, bytes.length, max, ret_frame, ret_decoded);
}

START_TEST(frame_at_every_cut) {
  static const size_t lengths[] = {0, 1, 127, 128, 300};
  size_t length = lengths[_i];
  uint8_t bytes[PSOCK_COUNT_MAX + 300 + 1] = {0};
  size_t prefix = psock_count_put(bytes, length);
  size_t total = prefix + length;
  for (size_t cut = 1; cut <= total + 1; cut++) {
    struct bytes copy = bytes_copy(bytes, cut);
    struct psock_frame frame;
    struct psock_decoded decoded = {.needed = 42, .consumed = 42};
    int result = get(copy, length, &frame, &decoded);
    free(copy.at);
    if (cut < total) {
      ck_assert_int_eq(result, PSOCK_DECODE_INCOMPLETE);
      ck_assert_uint_eq(decoded.needed, cut < prefix ? 0 : total);
      continue;
    }
    ck_assert_int_eq(result, PSOCK_DECODE_MESSAGE);
    ck_assert_uint_eq(decoded.consumed, total);
    ck_assert_ptr_eq(frame.body, copy.at + prefix);
    ck_assert_uint_eq(frame.length, length);
  }
}
END_TEST

/* As soon as the count is known. */
START_TEST(frame_above_the_limit) {
  uint8_t bytes[PSOCK_COUNT_MAX];
  struct psock_frame frame;
  struct psock_decoded decoded = {0};
  struct bytes count = {bytes, psock_count_put(bytes, counts[_i])};
  if (counts[_i] > 0)
    ck_assert_int_eq(
        get(count, counts[_i] > SIZE_MAX / 2 ? SIZE_MAX / 2 : counts[_i] - 1,
            &frame, &decoded),
        PSOCK_ETOOBIG);
  if (counts[_i] > 0 && counts[_i] <= SIZE_MAX / 2) {
    ck_assert_int_eq(
        get(count, counts[_i], &frame, &decoded), PSOCK_DECODE_INCOMPLETE);
    ck_assert_uint_eq(decoded.needed, count.length + counts[_i]);
  }
}
END_TEST

int main(void) {
  TCase *tcase = tcase_create("frame");
  tcase_add_loop_test(tcase, count_is_read_as_written, 0, COUNTS);
  tcase_add_loop_test(tcase, count_may_be_padded, 0, COUNTS);
  tcase_add_test(tcase, count_ends_within_64_bits);
  tcase_add_loop_test(tcase, frame_at_every_cut, 0, 5);
  tcase_add_loop_test(tcase, frame_above_the_limit, 0, COUNTS);
  return run_case(tcase, "codec frame");
}
