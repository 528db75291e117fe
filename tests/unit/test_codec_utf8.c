/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/utf8.h"
#include "unit/test_codec.h"

/*
 * UTF-8, against the definition: a text is valid if it is made of the shortest
 * encodings of the characters that there are.
 */

/* The shortest encoding of `character`; its length. */
static size_t put(uint8_t *at, uint32_t character) {
  if (character < 0x80) {
    at[0] = (uint8_t)character;
    return 1;
  }
  size_t length = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
  for (size_t i = length - 1; i > 0; i--) {
    at[i] = (uint8_t)(0x80 | (character & 0x3f));
    character >>= 6;
  }
  at[0] = (uint8_t)(0xf00 >> length | character);
  return length;
}

static bool is_valid(const uint8_t *at, size_t length) {
  struct bytes bytes = bytes_copy(at, length);
  bool valid = psock_utf8_is_valid(bytes.at, length);
  free(bytes.at);
  return valid;
}

/* Every sequence of up to three bytes, and every one of four that begins as
 * one does: valid exactly when it is the encoding of something. */
START_TEST(every_character) {
  size_t valid = 0;
  for (uint32_t c = 0; c < 0x200000; c++) {
    uint8_t bytes[4];
    size_t length = put(bytes, c);
    bool expected = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
    REQUIRE(psock_utf8_is_valid(bytes, length) == expected);
    valid += expected;
  }
  ck_assert_uint_eq(valid, 0x110000 - 0x800);
}
END_TEST

START_TEST(every_short_sequence) {
  size_t valid = 0;
  for (uint32_t i = 0; i < 0x1000000; i++) {
    uint8_t bytes[3] = {(uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
    valid += psock_utf8_is_valid(bytes, sizeof bytes);
  }
  /* Three of one byte; one of one and one of two, in either order; one of
   * three, without the surrogates. */
  size_t one = 0x80, two = 0x800 - 0x80, three = 0x10000 - 0x800 - 0x800;
  ck_assert_uint_eq(valid, one * one * one + 2 * one * two + three);
}
END_TEST

/* What is wrong is found wherever it stands, and nothing behind is read. */
START_TEST(every_place) {
  static const char *const bad[] = {"\x80", "\xc0\x80", "\xc1\xbf",
      "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
      "\xf5\x80\x80\x80", "\xff", "\xc3", "\xe2\x82", "\xf0\x9f\x98",
      "\xe2\x28\xa1", "\xf0\x9f\x28\x80"};
  static const char *const good[] = {"\x7f", "\xc2\x80", "\xdf\xbf",
      "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80",
      "\xf4\x8f\xbf\xbf"};
  uint8_t text[40];
  for (size_t at = 0; at < 32; at++) {
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
      memset(text, 'a', sizeof text);
      memcpy(text + at, bad[i], strlen(bad[i]));
      REQUIRE(!is_valid(text, sizeof text));
      REQUIRE(!is_valid(text, at + strlen(bad[i])));
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
      memset(text, 'a', sizeof text);
      memcpy(text + at, good[i], strlen(good[i]));
      REQUIRE(is_valid(text, sizeof text));
      REQUIRE(is_valid(text, at + strlen(good[i])));
      for (size_t cut = 1; cut < strlen(good[i]); cut++)
        REQUIRE(!is_valid(text, at + cut));
    }
  }
  ck_assert(is_valid(text, 0));
  memset(text, '\0', sizeof text);
  ck_assert(is_valid(text, sizeof text));
}
END_TEST

int main(void) {
  TCase *tcase = tcase_create("utf8");
  tcase_add_test(tcase, every_character);
  tcase_add_test(tcase, every_short_sequence);
  tcase_add_test(tcase, every_place);
  tcase_set_timeout(tcase, 60);
  return run_case(tcase, "utf8");
}
