/* SPDX-License-Identifier: BSD-2-Clause */
#include "echo.psock.h"
#include "lib/world.h"

#include <protosocket/protobuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Every row of data/wire-vectors.txt through a whole connection, cut into
 * reads in every way: n bytes at a time for every n, and two pieces at every
 * place. A row is "type | text format | hex" for a frame, then "hex | what it
 * is | what the receiver does" for a stream.
 */

#define LINE 2000
#define ROWS 100

struct row {
  char line[LINE];
  char *columns[3];
  bool frame;
  bool response;
  uint8_t bytes[LINE];
  size_t length;
  /* What has to happen, read from the last column of a stream. */
  unsigned messages;
  int reason;
};

static struct row rows[ROWS];
static int row_count;
static struct world world;

static void parse_hex(struct row *row, const char *hex) {
  unsigned byte;
  for (; *hex != '\0'; hex += 2) {
    while (*hex == ' ')
      hex++;
    if (*hex == '\0')
      break;
    if (sscanf(hex, "%2x", &byte) != 1)
      abort();
    row->bytes[row->length++] = (uint8_t)byte;
  }
}

/* What a connection does that gets this and then the end of the input. */
static void parse_result(struct row *row, const char *result) {
  if (strncmp(result, "malformed", 9) == 0)
    row->reason = PSOCK_EMALFORMED;
  else if (strncmp(result, "too big", 7) == 0)
    row->reason = PSOCK_ETOOBIG;
  else if (strncmp(result, "wait", 4) == 0)
    row->reason = PSOCK_ETRUNCATED;
  else if (strncmp(result, "an empty", 8) == 0 ||
           strncmp(result, "accepted", 8) == 0)
    row->messages = 1;
  else if (strncmp(result, "orderly", 7) != 0)
    abort();
}

static bool split(struct row *row) {
  char *at = row->line;
  at[strcspn(at, "\n")] = '\0';
  for (int i = 0; i < 3; i++) {
    if (at == NULL)
      return false;
    row->columns[i] = at + strspn(at, " ");
    at = strchr(at, '|');
    if (at != NULL)
      *at++ = '\0';
  }
  return at == NULL;
}

static void parse(struct row *row) {
  row->response = strncmp(row->columns[0], "Response", 8) == 0;
  row->frame = row->response || strncmp(row->columns[0], "Request", 7) == 0;
  parse_hex(row, row->columns[row->frame ? 2 : 0]);
  if (row->frame)
    row->messages = 1;
  else
    parse_result(row, row->columns[2]);
}

static void read_rows(void) {
  const char *source = getenv("srcdir");
  char path[LINE];
  snprintf(path, sizeof path, "%s/tests/data/wire-vectors.txt",
      source == NULL ? "." : source);
  FILE *file = fopen(path, "r");
  if (file == NULL) {
    perror(path);
    exit(EXIT_FAILURE);
  }
  while (row_count < ROWS && fgets(rows[row_count].line, LINE, file) != NULL)
    if (rows[row_count].line[0] != '#' && split(&rows[row_count]))
      parse(&rows[row_count++]);
  fclose(file);
}

static psock_codec *codec;
static const struct row *current;

/* A message that was decoded gives the frame's bytes when it is encoded. */
static void compare(struct side *side, const void *message) {
  const ProtobufCMessage *got = message;
  (void)side;
  if (!current->frame)
    return;
  uint8_t packed[LINE];
  size_t length = protobuf_c_message_pack(got, packed);
  ck_assert_uint_le(length, current->length);
  const uint8_t *body = current->bytes + current->length - length;
  ck_assert_mem_eq(packed, body, length);
}

static void check_merged(const void *message) {
  const Request *request = message;
  ck_assert_ptr_nonnull(request->body);
  ck_assert_str_eq(request->body->message, "a");
  ck_assert_uint_eq(request->body->nanotime, 5);
}

static void check_unknown(const void *message) {
  ck_assert_uint_eq(((const ProtobufCMessage *)message)->n_unknown_fields, 1);
}

static void look(struct side *side, const void *message) {
  compare(side, message);
  if (strstr(current->columns[2], "merged") != NULL)
    check_merged(message);
  if (strstr(current->columns[2], "unknown") != NULL)
    check_unknown(message);
}

static void begin_row(const struct row *row, enum medium medium) {
  current = row;
  const struct psock_message_type *type =
      row->response ? &response__type : &request__type;
  ck_assert_int_eq(psock_protobuf_codec_new(type, NULL, &codec), 0);
  world_init(&world, medium);
  world.one.options.inbound = codec;
  world.one.on[MESSAGE] = look;
  world_raw(&world);
}

static void end_row(unsigned times) {
  raw_shutdown(&world);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  DEMAND(world.one.count[MESSAGE] == current->messages * times &&
             world.one.reason == current->reason,
      "row \"%s\": %u messages, %s", current->columns[1],
      world.one.count[MESSAGE], psock_strerror(world.one.reason));
  world_fini(&world);
  psock_protobuf_codec_free(codec);
}

/* Reads of 1, 2, 3, ... bytes; a frame twice, so that cuts move. */
START_TEST(reads_of_every_length) {
  const struct row *row = &rows[_i];
  unsigned times = row->messages > 0 ? 2 : 1;
  for (size_t step = 1; step <= row->length * times + 1; step++) {
    begin_row(row, MEMORY);
    psock_memory_limit_receive(world.one_end, step);
    for (unsigned i = 0; i < times; i++)
      raw_send(&world, row->bytes, row->length);
    end_row(times);
  }
}
END_TEST

/* Two pieces, the second one sent when the first has been looked at. */
START_TEST(cut_at_every_place) {
  const struct row *row = &rows[_i];
  for (size_t cut = 0; cut <= row->length; cut++) {
    begin_row(row, MEMORY);
    raw_send(&world, row->bytes, cut);
    world_settle(&world);
    if (world.one.count[CLOSED] == 0)
      raw_send(&world, row->bytes + cut, row->length - cut);
    end_row(1);
  }
}
END_TEST

START_TEST(rows_over_sockets) {
  const struct row *row = &rows[_i];
  for (enum medium medium = SOCKETPAIR; medium <= TCP; medium++) {
    begin_row(row, medium);
    raw_send(&world, row->bytes, row->length);
    end_row(1);
  }
}
END_TEST

/* "At once": without waiting for more, or for the end. */
START_TEST(refused_at_once) {
  const struct row *row = &rows[_i];
  if (row->reason != PSOCK_EMALFORMED && row->reason != PSOCK_ETOOBIG)
    return;
  begin_row(row, MEMORY);
  size_t length = row->length == 11 ? 10 : row->length;
  raw_send(&world, row->bytes, length);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_int_eq(world.one.reason, row->reason);
  ck_assert_uint_lt(world_stats(&world).held_peak, 512 << 10);
  world_fini(&world);
  psock_protobuf_codec_free(codec);
}
END_TEST

/* All frames of one type behind each other, in pieces of every length. */
START_TEST(all_frames_in_one_stream) {
  for (size_t step = 1; step < 300; step++) {
    unsigned count = 0;
    struct row *first = NULL;
    for (int i = 0; i < row_count; i++)
      if (rows[i].frame && rows[i].response == (_i == 1)) {
        if (first == NULL) {
          first = &rows[i];
          begin_row(first, MEMORY);
          world.one.on[MESSAGE] = NULL;
          psock_memory_limit_receive(world.one_end, step);
        }
        raw_send(&world, rows[i].bytes, rows[i].length);
        count++;
      }
    end_row(count);
  }
}
END_TEST

int main(void) {
  read_rows();
  if (row_count < 25)
    return EXIT_FAILURE;
  Suite *suite = suite_create("vectors");
  TCase *tcase = guard_case(suite, "vectors");
  tcase_add_loop_test(tcase, reads_of_every_length, 0, row_count);
  tcase_add_loop_test(tcase, cut_at_every_place, 0, row_count);
  tcase_add_loop_test(tcase, rows_over_sockets, 0, row_count);
  tcase_add_loop_test(tcase, refused_at_once, 0, row_count);
  tcase_add_loop_test(tcase, all_frames_in_one_stream, 0, 2);
  return guard_main(suite);
}
