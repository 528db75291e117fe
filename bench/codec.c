/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/arena.h"
#include "base/buffer.h"
#include "echo.psock.h"
#include <protosocket/generated.h>
#include <protosocket/protobuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * codec WHAT COUNT: does one thing COUNT times, and prints how many nanoseconds
 * each took. What is compared are the functions that were generated for
 * echo.proto with those of protobuf-c, and a whole codec with and without them:
 *
 *   request-encode   a Request into memory that is large enough
 *   request-decode   one out of 26 bytes, into memory that is used again
 *   response-...     the same with a Response
 *   codec-...        a Request through psock_codec, with its count
 *
 * each with -generated or -protobuf-c behind it. protobuf-c encodes in two
 * steps, because the count in front has to be known: get_packed_size, pack. It
 * decodes with an allocator that only moves a pointer, and frees nothing.
 */

#define ROOM 4096
/* Messages that the codec encodes before its buffer is emptied. */
#define BATCH 64

struct bench {
  uint8_t bytes[ROOM]; /* a message, encoded */
  size_t length;
  uint8_t out[ROOM];
  _Alignas(16) uint8_t memory[ROOM];
  struct psock_heap *heap;
  struct psock_pool pool;
  struct psock_arena *arena;
  struct psock_buffer buffer;
  psock_codec *codec;
};

static void fail(const char *text) {
  fprintf(stderr, "codec: %s\n", text);
  exit(1);
}

static void *bump(void *data, size_t size) {
  uint8_t **free = data;
  void *memory = *free;
  *free += (size + 15) & ~(size_t)15;
  return memory;
}

static void keep(void *data, void *memory) {
  (void)data;
  (void)memory;
}

static size_t generated_encode(struct bench *bench,
    const struct psock_message_type *type, const void *message) {
  struct psock_encoder encoder = {
      .begin = bench->out, .limit = bench->out + ROOM, .count_room = 1};
  uint8_t *end = type->encode(&encoder, message, bench->out + 1);
  bench->out[0] = (uint8_t)(end - bench->out - 1);
  return (size_t)(end - bench->out);
}

static size_t protobuf_c_encode(struct bench *bench,
    const struct psock_message_type *type, const void *message) {
  (void)type;
  size_t length = protobuf_c_message_get_packed_size(message);
  bench->out[0] = (uint8_t)length;
  return protobuf_c_message_pack(message, bench->out + 1) + 1;
}

static size_t codec_encode(struct bench *bench,
    const struct psock_message_type *type, const void *message) {
  (void)type;
  if (bench->codec->encode(bench->codec, message, &bench->buffer) != 0)
    fail("not encoded");
  size_t length = bench->buffer.length;
  if (length > (size_t)BATCH * 28)
    psock_buffer_clear(&bench->buffer);
  return length;
}

static const void *generated_decode(
    struct bench *bench, const struct psock_message_type *type) {
  struct psock_decoder decoder = {
      .free = bench->memory, .free_end = bench->memory + ROOM, .levels = 99};
  return type->decode(&decoder, bench->bytes + 1, bench->bytes + bench->length);
}

static const void *protobuf_c_decode(
    struct bench *bench, const struct psock_message_type *type) {
  uint8_t *free = bench->memory;
  ProtobufCAllocator allocator = {bump, keep, &free};
  return protobuf_c_message_unpack(
      type->descriptor, &allocator, bench->length - 1, bench->bytes + 1);
}

static const void *codec_decode(
    struct bench *bench, const struct psock_message_type *type) {
  struct psock_decoded decoded = {0};
  (void)type;
  psock_arena_next(&bench->arena);
  if (bench->codec->decode(bench->codec, bench->bytes, bench->length,
          bench->arena, &decoded) != PSOCK_DECODE_MESSAGE)
    fail("not decoded");
  return decoded.message;
}

static const struct subject {
  const char *name;
  int is_response;
  int is_plain; /* the codec knows of no generated code */
  size_t (*encode)(struct bench *bench, const struct psock_message_type *type,
      const void *message);
  const void *(*decode)(
      struct bench *bench, const struct psock_message_type *type);
} subjects[] = {
    {"request-encode-generated", 0, 0, generated_encode, NULL},
    {"request-encode-protobuf-c", 0, 0, protobuf_c_encode, NULL},
    {"request-decode-generated", 0, 0, NULL, generated_decode},
    {"request-decode-protobuf-c", 0, 0, NULL, protobuf_c_decode},
    {"response-encode-generated", 1, 0, generated_encode, NULL},
    {"response-encode-protobuf-c", 1, 0, protobuf_c_encode, NULL},
    {"response-decode-generated", 1, 0, NULL, generated_decode},
    {"response-decode-protobuf-c", 1, 0, NULL, protobuf_c_decode},
    {"codec-encode-generated", 0, 0, codec_encode, NULL},
    {"codec-encode-protobuf-c", 0, 1, codec_encode, NULL},
    {"codec-decode-generated", 0, 0, NULL, codec_decode},
    {"codec-decode-protobuf-c", 0, 1, NULL, codec_decode},
};

static const struct subject *find(const char *name) {
  for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++)
    if (strcmp(subjects[i].name, name) == 0)
      return &subjects[i];
  return NULL;
}

static void prepare(struct bench *bench, const struct subject *subject,
    const struct psock_message_type *type) {
  struct psock_message_type plain = psock_message_type_of(type->descriptor);
  bench->heap = psock_heap_new(NULL);
  if (bench->heap == NULL ||
      psock_pool_init(&bench->pool, bench->heap, SIZE_MAX / 2) != 0 ||
      psock_protobuf_codec_new(
          subject->is_plain ? &plain : type, NULL, &bench->codec) != 0)
    fail("out of memory");
  bench->arena = psock_arena_new(&bench->pool);
  psock_buffer_init(&bench->buffer, &bench->pool, false);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* The messages that the reference load generator and its servers exchange. */
static void run(const struct subject *subject, uint64_t count) {
  static struct bench bench;
  static char text[] = "abcdefgh";
  EchoRequest request_body;
  EchoResponse response_body;
  Request request;
  Response response;
  echo_request__init(&request_body);
  echo_response__init(&response_body);
  request__init(&request);
  response__init(&response);
  request_body.message = response_body.message = text;
  request_body.nanotime = response_body.nanotime = 1234567890123456;
  request.body = &request_body;
  response.kind_case = RESPONSE__KIND_ECHO;
  response.echo = &response_body;
  request.request_id = response.request_id = 1000;
  const struct psock_message_type *type =
      subject->is_response ? &response__type : &request__type;
  const void *message =
      subject->is_response ? (const void *)&response : &request;
  prepare(&bench, subject, type);
  bench.length = protobuf_c_encode(&bench, type, message);
  memcpy(bench.bytes, bench.out, bench.length);
  uint64_t began = now();
  for (uint64_t i = 0; i < count; i++)
    if (subject->encode != NULL)
      subject->encode(&bench, type, message);
    else if (subject->decode(&bench, type) == NULL)
      fail("not decoded");
  printf("%.2f\n", (double)(now() - began) / (double)count);
}

int main(int argc, char **argv) {
  const struct subject *subject = argc == 3 ? find(argv[1]) : NULL;
  uint64_t count = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
  if (subject == NULL || count == 0) {
    fputs("usage: codec WHAT COUNT, with WHAT one of\n", stderr);
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++)
      fprintf(stderr, "  %s\n", subjects[i].name);
    return 1;
  }
  run(subject, count);
  return 0;
}
