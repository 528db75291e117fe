/* SPDX-License-Identifier: BSD-2-Clause */
#include "unit/test_codec.h"
#include <protosocket/text.h>

/*
 * Texts as lines and with a count in front: at every cut, at the edges of the
 * limit, and with memory that fails.
 */

#define DEFAULT_MAX ((size_t)4 << 20)

static struct memory memory;

static void setup(void) {
  memory_init(&memory);
}

static void teardown(void) {
  memory_fini(&memory);
}

static int encode(
    const struct psock_text_codec *codec, const char *text, size_t length) {
  struct psock_text message = {.text = text, .length = length};
  return codec->codec.encode(&codec->codec, &message, &memory.buffer);
}

static int decode(const struct psock_text_codec *codec, struct bytes bytes,
    struct psock_decoded *ret_decoded) {
  psock_arena_next(&memory.arena);
  return codec->codec.decode(
      &codec->codec, bytes.at, bytes.length, memory.arena, ret_decoded);
}

static void assert_text(const struct psock_decoded *decoded, size_t consumed,
    const uint8_t *at, size_t length) {
  const struct psock_text *text = decoded->message;
  ck_assert_uint_eq(decoded->consumed, consumed);
  ck_assert_ptr_eq(text->text, (const char *)at);
  ck_assert_uint_eq(text->length, length);
}

/* A line, how it comes, and how much of that is text. */
static const struct {
  const char *bytes;
  size_t length;
  size_t text;
} lines[] = {
    {"\n", 1, 0},
    {"\r\n", 2, 0},
    {"\r\r\n", 3, 1},
    {"a\n", 2, 1},
    {"a\r\n", 3, 1},
    {"a\rb\n", 4, 3},
    {"hello, world\n", 13, 12},
    {"nul\0in it\r\n", 11, 9},
    {"\xff\xfe\n", 3, 2},
};

#define LINES (int)(sizeof lines / sizeof lines[0])

START_TEST(line_at_every_cut) {
  struct psock_text_codec codec;
  psock_line_codec_init(&codec, 0);
  for (size_t cut = 1; cut <= lines[_i].length; cut++) {
    struct bytes copy = bytes_copy(lines[_i].bytes, cut);
    struct psock_decoded decoded = {.needed = 42};
    int result = decode(&codec, copy, &decoded);
    if (cut < lines[_i].length) {
      ck_assert_int_eq(result, PSOCK_DECODE_INCOMPLETE);
      ck_assert_uint_eq(decoded.needed, 0);
    } else {
      ck_assert_int_eq(result, PSOCK_DECODE_MESSAGE);
      assert_text(&decoded, cut, copy.at, lines[_i].text);
    }
    free(copy.at);
  }
}
END_TEST

/* What has been scanned isn't scanned again. */
START_TEST(line_byte_by_byte) {
  struct psock_text_codec codec;
  psock_line_codec_init(&codec, 0);
  struct bytes line = bytes_copy("a\nbc\r\n", 6);
  struct psock_decoded decoded = {0};
  /* The first line feed is passed over, so that it shows. */
  decoded.scanned = 2;
  for (size_t cut = 3; cut < line.length; cut++) {
    struct bytes bytes = {line.at, cut};
    ck_assert_int_eq(decode(&codec, bytes, &decoded), PSOCK_DECODE_INCOMPLETE);
    ck_assert_uint_eq(decoded.scanned, cut);
  }
  ck_assert_int_eq(decode(&codec, line, &decoded), PSOCK_DECODE_MESSAGE);
  assert_text(&decoded, 6, line.at, 4);
  free(line.at);
}
END_TEST

/* Up to the longest line and a byte beyond, with one byte more each time. */
START_TEST(line_grows_to_the_limit) {
  static const char *const ends[] = {"\n", "\r\n", "x", "\rx"};
  struct psock_text_codec codec;
  psock_line_codec_init(&codec, 5);
  struct bytes line = bytes_new(5 + strlen(ends[_i]));
  memset(line.at, 'x', 5);
  memcpy(line.at + 5, ends[_i], strlen(ends[_i]));
  struct psock_decoded decoded = {0};
  for (size_t cut = 1; cut < line.length; cut++) {
    struct bytes bytes = {line.at, cut};
    ck_assert_int_eq(decode(&codec, bytes, &decoded), PSOCK_DECODE_INCOMPLETE);
  }
  ck_assert_int_eq(decode(&codec, line, &decoded),
      _i < 2 ? PSOCK_DECODE_MESSAGE : PSOCK_ETOOBIG);
  free(line.at);
}
END_TEST

START_TEST(lines_one_after_another) {
  static const char input[] = "one\ntwo\r\n\nrest";
  static const size_t texts[] = {3, 3, 0};
  struct psock_text_codec codec;
  psock_line_codec_init(&codec, 0);
  struct bytes left = {.at = (uint8_t *)(uintptr_t)input, sizeof input - 1};
  struct psock_decoded decoded = {0};
  for (int i = 0; i < 3; i++) {
    ck_assert_int_eq(decode(&codec, left, &decoded), PSOCK_DECODE_MESSAGE);
    assert_text(&decoded, decoded.consumed, left.at, texts[i]);
    left.at += decoded.consumed;
    left.length -= decoded.consumed;
  }
  ck_assert_int_eq(decode(&codec, left, &decoded), PSOCK_DECODE_INCOMPLETE);
  ck_assert_uint_eq(left.length, 4);
}
END_TEST

/* `length` bytes of x, then `end`; with a codec for at most `max`. */
static int decode_line_of(size_t max, size_t length, const char *end) {
  struct psock_text_codec codec;
  psock_line_codec_init(&codec, max);
  struct bytes bytes = bytes_new(length + strlen(end));
  memset(bytes.at, 'x', length);
  memcpy(bytes.at + length, end, strlen(end));
  int result = decode_all(&codec.codec, &memory, bytes);
  free(bytes.at);
  return result;
}

/* Whether it is the default or given, whether the end has come or not. */
START_TEST(line_length_limit) {
  size_t given = _i == 0 ? 0 : (size_t)_i;
  size_t max = _i == 0 ? DEFAULT_MAX : (size_t)_i;
  ck_assert_int_eq(decode_line_of(given, max, "\n"), PSOCK_DECODE_MESSAGE);
  ck_assert_int_eq(decode_line_of(given, max, "\r\n"), PSOCK_DECODE_MESSAGE);
  ck_assert_int_eq(decode_line_of(given, max, ""), PSOCK_DECODE_INCOMPLETE);
  ck_assert_int_eq(decode_line_of(given, max, "\r"), PSOCK_DECODE_INCOMPLETE);
  ck_assert_int_eq(decode_line_of(given, max + 1, "\n"), PSOCK_ETOOBIG);
  ck_assert_int_eq(decode_line_of(given, max + 1, "\r\n"), PSOCK_ETOOBIG);
  ck_assert_int_eq(decode_line_of(given, max + 1, ""), PSOCK_ETOOBIG);
  ck_assert_int_eq(decode_line_of(given, max + 1, "\r"), PSOCK_ETOOBIG);
  ck_assert_int_eq(decode_line_of(given, max, "\rx"), PSOCK_ETOOBIG);
  ck_assert_int_eq(decode_line_of(given, max + 100, "\n"), PSOCK_ETOOBIG);
}
END_TEST

START_TEST(line_is_sent_with_its_feed) {
  struct psock_text_codec codec;
  psock_line_codec_init(&codec, 5);
  ck_assert_int_eq(encode(&codec, "hello", 5), 0);
  ck_assert_int_eq(encode(&codec, NULL, 0), 0);
  ck_assert_int_eq(encode(&codec, "a\0b", 3), 0);
  struct bytes sent = bytes_take(&memory.buffer);
  ck_assert(bytes_equal(sent, "hello\n\na\0b\n", 11));
  free(sent.at);
  ck_assert_int_eq(encode(&codec, "hello!", 6), PSOCK_ETOOBIG);
  ck_assert_int_eq(encode(&codec, "\n", 1), PSOCK_EINVAL);
  ck_assert_int_eq(encode(&codec, "a\nb", 3), PSOCK_EINVAL);
  ck_assert_int_eq(encode(&codec, "ab\n", 3), PSOCK_EINVAL);
}
END_TEST

START_TEST(text_at_every_cut) {
  static const size_t lengths[] = {0, 1, 127, 128, 1000};
  size_t length = lengths[_i];
  char text[1000];
  memset(text, '\n', sizeof text);
  struct psock_text_codec codec;
  psock_text_codec_init(&codec, 0);
  ck_assert_int_eq(encode(&codec, length == 0 ? NULL : text, length), 0);
  struct bytes sent = bytes_take(&memory.buffer);
  size_t prefix = length < 128 ? 1 : 2;
  ck_assert_uint_eq(sent.length, prefix + length);
  for (size_t cut = 1; cut <= sent.length; cut++) {
    struct bytes copy = bytes_copy(sent.at, cut);
    struct psock_decoded decoded = {.needed = 42};
    int result = decode(&codec, copy, &decoded);
    if (cut < sent.length) {
      ck_assert_int_eq(result, PSOCK_DECODE_INCOMPLETE);
      ck_assert_uint_eq(decoded.needed, cut < prefix ? 0 : sent.length);
    } else {
      ck_assert_int_eq(result, PSOCK_DECODE_MESSAGE);
      assert_text(&decoded, cut, copy.at + prefix, length);
      ck_assert_int_eq(memcmp(copy.at + prefix, text, length), 0);
    }
    free(copy.at);
  }
  free(sent.at);
}
END_TEST

START_TEST(text_length_limit) {
  size_t max = _i == 0 ? DEFAULT_MAX : (size_t)_i;
  struct psock_text_codec codec;
  struct psock_text_codec wider;
  psock_text_codec_init(&codec, _i == 0 ? 0 : max);
  psock_text_codec_init(&wider, max + 1);
  struct bytes text = bytes_new(max + 1);
  memset(text.at, 'x', text.length);
  ck_assert_int_eq(encode(&codec, (char *)text.at, max), 0);
  struct bytes sent = bytes_take(&memory.buffer);
  ck_assert_int_eq(
      decode_all(&codec.codec, &memory, sent), PSOCK_DECODE_MESSAGE);
  free(sent.at);
  ck_assert_int_eq(encode(&codec, (char *)text.at, max + 1), PSOCK_ETOOBIG);
  ck_assert_int_eq(encode(&wider, (char *)text.at, max + 1), 0);
  sent = bytes_take(&memory.buffer);
  ck_assert_int_eq(decode_all(&codec.codec, &memory, sent), PSOCK_ETOOBIG);
  free(sent.at);
  free(text.at);
}
END_TEST

/* The sums of lengths don't run over, whatever the limit. */
START_TEST(largest_limit) {
  struct psock_text_codec codec;
  psock_line_codec_init(&codec, SIZE_MAX);
  struct bytes line = bytes_copy("abc\n", 4);
  ck_assert_int_eq(
      decode_all(&codec.codec, &memory, line), PSOCK_DECODE_MESSAGE);
  free(line.at);
  psock_text_codec_init(&codec, SIZE_MAX);
  struct bytes count =
      bytes_copy("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
  ck_assert_int_eq(decode_all(&codec.codec, &memory, count), PSOCK_ETOOBIG);
  free(count.at);
}
END_TEST

START_TEST(malformed_count) {
  struct psock_text_codec codec;
  psock_text_codec_init(&codec, 0);
  struct bytes count =
      bytes_copy("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", 10);
  ck_assert_int_eq(decode_all(&codec.codec, &memory, count), PSOCK_EMALFORMED);
  free(count.at);
}
END_TEST

/* A large text that is lent is sent from where it is. */
START_TEST(text_is_lent) {
  struct psock_text_codec codec;
  if (_i == 0)
    psock_line_codec_init(&codec, 0);
  else
    psock_text_codec_init(&codec, 0);
  struct bytes text = bytes_new(PSOCK_BUFFER_LEND_MIN);
  memset(text.at, 'x', text.length);
  memory.buffer.lending = true;
  ck_assert_int_eq(encode(&codec, (char *)text.at, text.length), 0);
  struct iovec vectors[3];
  ck_assert_int_eq(
      psock_buffer_vectors(&memory.buffer, vectors, 3, SIZE_MAX), 2);
  ck_assert_ptr_eq(vectors[_i].iov_base, text.at);
  ck_assert_uint_eq(vectors[_i].iov_len, text.length);
  psock_buffer_clear(&memory.buffer);
  free(text.at);
}
END_TEST

START_TEST(memory_is_out) {
  struct psock_text_codec codec;
  if (_i == 0)
    psock_line_codec_init(&codec, 0);
  else
    psock_text_codec_init(&codec, 0);
  struct bytes text = bytes_new(PSOCK_BUFFER_LEND_MIN);
  memset(text.at, 'x', text.length);
  memory.buffer.lending = true;
  int result;
  for (size_t i = 1;; i++) {
    faulty_set(&memory.faulty, i, false);
    result = encode(&codec, (char *)text.at, text.length);
    faulty_set(&memory.faulty, 0, false);
    if (result == 0)
      break;
    ck_assert_int_eq(result, PSOCK_ENOMEM);
    psock_buffer_clear(&memory.buffer);
    ck_assert_uint_lt(i, 3);
  }
  struct bytes sent = bytes_take(&memory.buffer);
  ck_assert_uint_gt(sent.length, text.length);
  faulty_set(&memory.faulty, 1, true);
  ck_assert_int_eq(decode_all(&codec.codec, &memory, sent), PSOCK_ENOMEM);
  faulty_set(&memory.faulty, 0, false);
  free(sent.at);
  free(text.at);
}
END_TEST

int main(void) {
  TCase *tcase = tcase_create("text");
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, line_at_every_cut, 0, LINES);
  tcase_add_test(tcase, line_byte_by_byte);
  tcase_add_loop_test(tcase, line_grows_to_the_limit, 0, 4);
  tcase_add_test(tcase, lines_one_after_another);
  tcase_add_loop_test(tcase, line_length_limit, 0, 4);
  tcase_add_test(tcase, line_is_sent_with_its_feed);
  tcase_add_loop_test(tcase, text_at_every_cut, 0, 5);
  tcase_add_loop_test(tcase, text_length_limit, 0, 4);
  tcase_add_test(tcase, largest_limit);
  tcase_add_test(tcase, malformed_count);
  tcase_add_loop_test(tcase, text_is_lent, 0, 2);
  tcase_add_loop_test(tcase, memory_is_out, 0, 2);
  return run_case(tcase, "codec text");
}
