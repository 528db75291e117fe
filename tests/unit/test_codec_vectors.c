/* SPDX-License-Identifier: BSD-2-Clause */
#include "echo.psock.h"
#include "unit/test_codec.h"
#include <protosocket/protobuf.h>
#include <stdio.h>

/*
 * Every row of data/wire-vectors.txt, at every way of cutting it short. A row
 * is "type | text format | hex" for a frame, then "hex | what it is | what the
 * receiver does" for any stream of bytes.
 */

#define LINE_MAX_LENGTH 2000
#define ROWS_MAX 100

struct row {
  char *columns[3];
  char line[LINE_MAX_LENGTH];
};

static struct row rows[ROWS_MAX];
static int row_count;
static int frame_count; /* those of the first kind, which come first */
static struct memory memory;

static void setup(void) {
  memory_init(&memory);
}

static void teardown(void) {
  memory_fini(&memory);
}

/* Cuts `text` at its bars. Returns how many columns there are. */
static int split(char *text, char *columns[3]) {
  int count = 0;
  while (text != NULL && count < 3) {
    columns[count++] = text;
    text = strchr(text, '|');
    if (text != NULL) {
      *text++ = '\0';
      text += *text == ' ';
    }
  }
  return text == NULL ? count : 0;
}

static bool is_frame_row(const struct row *row) {
  return strncmp(row->columns[0], "Request", 7) == 0 ||
         strncmp(row->columns[0], "Response", 8) == 0;
}

static void read_rows(void) {
  const char *source = getenv("srcdir");
  char path[LINE_MAX_LENGTH];
  snprintf(path, sizeof path, "%s/tests/data/wire-vectors.txt",
      source == NULL ? "." : source);
  FILE *file = fopen(path, "r");
  if (file == NULL) {
    perror(path);
    exit(EXIT_FAILURE);
  }
  while (row_count < ROWS_MAX &&
         fgets(rows[row_count].line, LINE_MAX_LENGTH, file) != NULL) {
    struct row *row = &rows[row_count];
    row->line[strcspn(row->line, "\n")] = '\0';
    if (row->line[0] == '#' || split(row->line, row->columns) != 3)
      continue;
    row_count++;
    frame_count += is_frame_row(row);
  }
  fclose(file);
}

static struct bytes from_hex(const char *hex) {
  struct bytes bytes = bytes_new(strlen(hex) / 2 + 1);
  bytes.length = 0;
  while (*hex != '\0') {
    unsigned byte;
    if (*hex == ' ') {
      hex++;
      continue;
    }
    ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
    bytes.at[bytes.length++] = (uint8_t)byte;
    hex += 2;
  }
  return bytes;
}

static psock_codec *codec_new(const struct psock_message_type *type) {
  psock_codec *codec = NULL;
  ck_assert_int_eq(psock_protobuf_codec_new(type, NULL, &codec), 0);
  return codec;
}

/* The number behind `name` in the text format, or 0. */
static uint64_t number_in(const char *text, const char *name) {
  const char *found = strstr(text, name);
  return found == NULL ? 0 : strtoull(found + strlen(name), NULL, 10);
}

/* Whether a decoded message says what the row's text does, as far as fields
 * with a name of their own go. */
static void assert_says(const struct row *row, const void *message) {
  const char *text = row->columns[1];
  uint64_t id;
  uint32_t code;
  uint64_t nanotime = 0;
  if (strncmp(row->columns[0], "Request", 7) == 0) {
    const Request *request = message;
    id = request->request_id;
    code = request->code;
    ck_assert_int_eq(request->body != NULL, strstr(text, "body") != NULL);
    if (request->body != NULL)
      nanotime = request->body->nanotime;
    ck_assert_int_eq(request->response_behavior == RESPONSE_BEHAVIOR__STREAM,
        strstr(text, "STREAM") != NULL);
  } else {
    const Response *response = message;
    id = response->request_id;
    code = response->code;
    if (response->kind_case == RESPONSE__KIND_ECHO)
      nanotime = response->echo->nanotime;
    if (response->kind_case == RESPONSE__KIND_STREAM)
      nanotime = response->stream->nanotime;
    ck_assert_int_eq(response->kind_case == RESPONSE__KIND_ECHO,
        strstr(text, "echo {") != NULL);
    ck_assert_int_eq(response->kind_case == RESPONSE__KIND_STREAM,
        strstr(text, "stream {") != NULL);
  }
  ck_assert_uint_eq(id, number_in(text, "request_id: "));
  ck_assert_uint_eq(code, number_in(text, "code: "));
  ck_assert_uint_eq(nanotime, number_in(text, "nanotime: "));
}

/* Decoded at every cut, and encoded to the same bytes. */
START_TEST(frame_row) {
  const struct row *row = &rows[_i];
  psock_codec *codec =
      codec_new(strncmp(row->columns[0], "Request", 7) == 0 ? &request__type
                                                            : &response__type);
  struct bytes frame = from_hex(row->columns[2]);
  size_t prefix = frame.at[0] < 0x80 ? 1 : 2;
  struct psock_decoded decoded = {0};
  for (size_t cut = 1; cut < frame.length; cut++) {
    ck_assert_int_eq(decode_cut(codec, &memory, frame.at, cut, &decoded),
        PSOCK_DECODE_INCOMPLETE);
    ck_assert_uint_eq(decoded.needed, cut < prefix ? 0 : frame.length);
  }
  ck_assert_int_eq(decode_cut(codec, &memory, frame.at, frame.length, &decoded),
      PSOCK_DECODE_MESSAGE);
  ck_assert_uint_eq(decoded.consumed, frame.length);
  assert_says(row, decoded.message);
  ck_assert_int_eq(codec->encode(codec, decoded.message, &memory.buffer), 0);
  struct bytes sent = bytes_take(&memory.buffer);
  ck_assert(bytes_equal(frame, sent.at, sent.length));
  free(sent.at);
  free(frame.at);
  psock_protobuf_codec_free(codec);
}
END_TEST

/* All frames of one type in one stream. */
START_TEST(frames_one_after_another) {
  const char *type = _i == 0 ? "Request" : "Response";
  psock_codec *codec = codec_new(_i == 0 ? &request__type : &response__type);
  struct bytes stream = bytes_new((size_t)row_count * LINE_MAX_LENGTH);
  int expected = 0;
  stream.length = 0;
  for (int i = 0; i < frame_count; i++) {
    if (strncmp(rows[i].columns[0], type, strlen(type)) != 0)
      continue;
    struct bytes frame = from_hex(rows[i].columns[2]);
    memcpy(stream.at + stream.length, frame.at, frame.length);
    stream.length += frame.length;
    free(frame.at);
    expected++;
  }
  struct psock_decoded decoded = {0};
  for (size_t at = 0; at < stream.length; at += decoded.consumed) {
    ck_assert_int_eq(decode_cut(codec, &memory, stream.at + at,
                         stream.length - at, &decoded),
        PSOCK_DECODE_MESSAGE);
    expected--;
  }
  ck_assert_int_eq(expected, 0);
  free(stream.at);
  psock_protobuf_codec_free(codec);
}
END_TEST

static bool begins(const char *text, const char *with) {
  return strncmp(text, with, strlen(with)) == 0;
}

/* What the row says of all its bytes, and from how many of them that holds. */
static int expected_of(const struct row *row, size_t length, size_t *ret_from) {
  const char *says = row->columns[2];
  *ret_from = length;
  if (begins(says, "malformed at once")) {
    *ret_from = PSOCK_COUNT_MAX;
    return PSOCK_EMALFORMED;
  }
  if (begins(says, "malformed"))
    return PSOCK_EMALFORMED;
  if (begins(says, "too big at once"))
    return PSOCK_ETOOBIG;
  if (begins(says, "waits"))
    return PSOCK_DECODE_INCOMPLETE;
  ck_assert_msg(begins(says, "accepted") || begins(says, "an empty message"),
      "the row '%s' says what this test doesn't know", says);
  return PSOCK_DECODE_MESSAGE;
}

/* What rows say of the message that is accepted. */
static void assert_accepted(const struct row *row, const Request *request) {
  if (strstr(row->columns[2], "an empty message") != NULL)
    ck_assert_uint_eq(protobuf_c_message_get_packed_size(&request->base), 0);
  if (strstr(row->columns[2], "kept as unknown") != NULL)
    ck_assert_uint_eq(request->base.n_unknown_fields, 1);
  if (strstr(row->columns[2], "merged") != NULL) {
    ck_assert_str_eq(request->body->message, "a");
    ck_assert_uint_eq(request->body->nanotime, 5);
  }
}

START_TEST(stream_row) {
  const struct row *row = &rows[_i];
  psock_codec *codec = codec_new(&request__type);
  struct bytes bytes = from_hex(row->columns[0]);
  size_t from = 0;
  /* An empty stream never reaches a codec. */
  int expected = bytes.length == 0 ? PSOCK_DECODE_INCOMPLETE
                                   : expected_of(row, bytes.length, &from);
  size_t calls = memory.faulty.calls;
  for (size_t cut = 1; cut <= bytes.length; cut++) {
    struct psock_decoded decoded = {0};
    int result = decode_cut(codec, &memory, bytes.at, cut, &decoded);
    ck_assert_int_eq(result, cut < from ? PSOCK_DECODE_INCOMPLETE : expected);
    if (result == PSOCK_DECODE_MESSAGE) {
      ck_assert_uint_eq(decoded.consumed, bytes.length);
      assert_accepted(row, decoded.message);
    }
  }
  if (expected == PSOCK_ETOOBIG)
    ck_assert_uint_eq(memory.faulty.calls, calls);
  free(bytes.at);
  psock_protobuf_codec_free(codec);
}
END_TEST

/* That the file was read as it is meant: as many rows of each kind. */
START_TEST(rows_are_all_there) {
  ck_assert_int_eq(frame_count, 15);
  ck_assert_int_eq(row_count - frame_count, 14);
}
END_TEST

int main(void) {
  read_rows();
  TCase *tcase = tcase_create("vectors");
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, rows_are_all_there);
  tcase_add_loop_test(tcase, frame_row, 0, frame_count);
  tcase_add_loop_test(tcase, frames_one_after_another, 0, 2);
  tcase_add_loop_test(tcase, stream_row, frame_count, row_count);
  return run_case(tcase, "codec vectors");
}
