/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/frame.h"
#include <protosocket/error.h>
#include <protosocket/text.h>
#include <string.h>

/*
 * Texts, as lines or with a byte count in front. A text that came lies in the
 * receive buffer, so that only the struct that points to it is made.
 *
 * A line has no count, so nobody knows how many bytes to wait for; but no
 * more of them are searched, or waited for, than the longest line may have
 * with its carriage return and line feed. How far the search has come is kept
 * from try to try, so that a line that comes byte by byte is searched once.
 */

#define DEFAULT_MAX_LENGTH ((size_t)4 << 20)

/* Keeps sums of lengths from running over. */
#define MOST_MAX_LENGTH (SIZE_MAX / 2)

static size_t limit(const psock_codec *codec) {
  return ((const struct psock_text_codec *)codec)->max_length;
}

/* Makes the message that is lent. */
static int give_text(const uint8_t *bytes, size_t length, psock_arena *arena,
    struct psock_decoded *ret_decoded) {
  struct psock_text *text = psock_arena_alloc(arena, sizeof *text);
  if (text == NULL)
    return PSOCK_ENOMEM;
  text->text = (const char *)bytes;
  text->length = length;
  ret_decoded->message = text;
  return PSOCK_DECODE_MESSAGE;
}

static int encode_line(
    const psock_codec *codec, const void *message, psock_buffer *out) {
  const struct psock_text *text = message;
  if (text->length > limit(codec))
    return PSOCK_ETOOBIG;
  if (text->length > 0 && memchr(text->text, '\n', text->length) != NULL)
    return PSOCK_EINVAL;
  int error = psock_buffer_append(out, text->text, text->length);
  return error != 0 ? error : psock_buffer_append(out, "\n", 1);
}

static int decode_line(const psock_codec *codec, const uint8_t *bytes,
    size_t length, psock_arena *arena, struct psock_decoded *ret_decoded) {
  size_t max = limit(codec);
  size_t most = length < max + 2 ? length : max + 2;
  size_t scanned = ret_decoded->scanned;
  const uint8_t *end = memchr(bytes + scanned, '\n', most - scanned);
  size_t line = end == NULL ? length : (size_t)(end - bytes);
  size_t text = line > 0 && bytes[line - 1] == '\r' ? line - 1 : line;
  if (text > max)
    return PSOCK_ETOOBIG;
  if (end == NULL) {
    ret_decoded->needed = 0;
    ret_decoded->scanned = length;
    return PSOCK_DECODE_INCOMPLETE;
  }
  ret_decoded->consumed = line + 1;
  return give_text(bytes, text, arena, ret_decoded);
}

static int encode_text(
    const psock_codec *codec, const void *message, psock_buffer *out) {
  const struct psock_text *text = message;
  if (text->length > limit(codec))
    return PSOCK_ETOOBIG;
  uint8_t *room = psock_buffer_reserve(out, PSOCK_COUNT_MAX);
  if (room == NULL)
    return PSOCK_ENOMEM;
  psock_buffer_commit(out, psock_count_put(room, text->length));
  return psock_buffer_append(out, text->text, text->length);
}

static int decode_text(const psock_codec *codec, const uint8_t *bytes,
    size_t length, psock_arena *arena, struct psock_decoded *ret_decoded) {
  struct psock_frame frame;
  int result =
      psock_frame_get(bytes, length, limit(codec), &frame, ret_decoded);
  if (result != PSOCK_DECODE_MESSAGE)
    return result;
  return give_text(frame.body, frame.length, arena, ret_decoded);
}

static void init(struct psock_text_codec *codec, const psock_codec *base,
    size_t max_length) {
  if (max_length == 0)
    max_length = DEFAULT_MAX_LENGTH;
  if (max_length > MOST_MAX_LENGTH)
    max_length = MOST_MAX_LENGTH;
  *codec = (struct psock_text_codec){.codec = *base, .max_length = max_length};
}

void psock_line_codec_init(struct psock_text_codec *codec, size_t max_length) {
  static const psock_codec line = {
      .size = sizeof line, .encode = encode_line, .decode = decode_line};
  init(codec, &line, max_length);
}

void psock_text_codec_init(struct psock_text_codec *codec, size_t max_length) {
  static const psock_codec text = {
      .size = sizeof text, .encode = encode_text, .decode = decode_text};
  init(codec, &text, max_length);
}
