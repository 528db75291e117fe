/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/arena.h"
#include "base/buffer.h"
#include "base/heap.h"
#include "codec/frame.h"
#include "fuzz/structured.h"
#include "fuzz/types.h"
#include <protosocket/error.h>
#include <protosocket/protobuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Generated codecs for a program in another language; see test_second_opinion.
 *
 *   translate types             prints the types: name in C, name in the schema
 *   translate echo              decodes what comes, and encodes it again
 *   translate make TYPE N SEED  encodes N random messages of a type
 *
 * Types are numbers, as they are printed, from 0. Requests to `echo` are the
 * type and the length, of 4 bytes each, lowest first, and the bytes; answers
 * are 0 or an error, of 4 bytes, and the same without the type. `make` writes
 * such answers. What the system refuses ends the program.
 */

static struct {
  struct psock_heap *heap;
  struct psock_pool pool;
  struct psock_arena *arena;
  struct psock_buffer buffer;
  psock_codec **codecs; /* by type */
} bench;

_Noreturn static void fail(const char *what) {
  fprintf(stderr, "translate: %s\n", what);
  exit(1);
}

static void *require(void *memory) {
  if (memory == NULL)
    fail("no memory");
  return memory;
}

static void bench_init(void) {
  bench.heap = require(psock_heap_new(NULL));
  if (psock_pool_init(&bench.pool, bench.heap, 0) != 0)
    fail("no memory");
  bench.arena = require(psock_arena_new(&bench.pool));
  psock_buffer_init(&bench.buffer, &bench.pool, false);
  bench.codecs = require(calloc(fuzz_type_count, sizeof(psock_codec *)));
  for (size_t i = 0; i < fuzz_type_count; i++)
    if (psock_protobuf_codec_new(fuzz_types[i].type, NULL, &bench.codecs[i]) !=
        0)
      fail("no codec");
}

static void bench_fini(void) {
  for (size_t i = 0; i < fuzz_type_count; i++)
    psock_protobuf_codec_free(bench.codecs[i]);
  free(bench.codecs);
  psock_arena_unref(bench.arena);
  psock_pool_fini(&bench.pool);
  psock_heap_unref(bench.heap);
}

static void put_u32(uint32_t value) {
  for (int i = 0; i < 4; i++)
    putchar((int)(value >> 8 * i & 0xff));
}

/* False: there is nothing more. */
static bool get_u32(uint32_t *ret_value) {
  *ret_value = 0;
  for (int i = 0; i < 4; i++) {
    int byte = getchar();
    if (byte == EOF)
      return false;
    *ret_value |= (uint32_t)byte << 8 * i;
  }
  return true;
}

/* Writes `message` as an answer. */
static void put_message(size_t type, const void *message) {
  int error =
      bench.codecs[type]->encode(bench.codecs[type], message, &bench.buffer);
  if (error != 0)
    fail(psock_strerror(error));
  struct text text = {NULL, 0, 0};
  while (bench.buffer.length > 0) {
    struct iovec vector;
    psock_buffer_vectors(&bench.buffer, &vector, 1, SIZE_MAX);
    text_add(&text, vector.iov_base, vector.iov_len);
    psock_buffer_consume(&bench.buffer, vector.iov_len);
  }
  uint64_t length = 0;
  int prefix = psock_count_get(text.at, text.length, &length);
  if (prefix <= 0 || length != text.length - (size_t)prefix)
    fail("a frame with a wrong count");
  put_u32(0);
  put_u32((uint32_t)length);
  fwrite(text.at + prefix, 1, (size_t)length, stdout);
  free(text.at);
}

static void echo(size_t type, const uint8_t *bytes, size_t length) {
  struct psock_decoded decoded = {0};
  struct text frame = {NULL, 0, 0};
  text_add_varint(&frame, length, 1);
  text_add(&frame, bytes, length);
  psock_arena_next(&bench.arena);
  int result = bench.codecs[type]->decode(
      bench.codecs[type], frame.at, frame.length, bench.arena, &decoded);
  if (result == PSOCK_DECODE_MESSAGE) {
    put_message(type, decoded.message);
  } else {
    put_u32((uint32_t)result);
    put_u32(0);
  }
  free(frame.at);
}

static void echo_all(void) {
  uint32_t type;
  uint32_t length;
  while (get_u32(&type) && get_u32(&length)) {
    uint8_t *bytes = require(malloc(length == 0 ? 1 : length));
    if (type >= fuzz_type_count || fread(bytes, 1, length, stdin) != length)
      fail("this is no request");
    echo(type, bytes, length);
    free(bytes);
  }
}

static uint64_t next_random(uint64_t *state) {
  uint64_t value = *state += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

static void make(size_t type, size_t count, uint64_t seed) {
  uint8_t bytes[512];
  uint64_t state = seed;
  if (type >= fuzz_type_count)
    fail("there is no such type");
  for (; count > 0; count--) {
    size_t length = next_random(&state) % sizeof bytes;
    for (size_t i = 0; i < length; i++)
      bytes[i] = (uint8_t)next_random(&state);
    struct source source = {bytes, bytes + length};
    struct pile pile = {NULL};
    put_message(type, structured_message(&pile, &source,
                          fuzz_types[type].type->descriptor, STRUCTURED_TAME));
    pile_free(&pile);
  }
}

static void print_types(void) {
  for (size_t i = 0; i < fuzz_type_count; i++) {
    const char *name = fuzz_types[i].type->descriptor->name;
    printf("%s %s\n", fuzz_types[i].name, name == NULL ? "-" : name);
  }
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  bench_init();
  if (strcmp(what, "types") == 0 && argc == 2)
    print_types();
  else if (strcmp(what, "echo") == 0 && argc == 2)
    echo_all();
  else if (strcmp(what, "make") == 0 && argc == 5)
    make(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10),
        strtoull(argv[4], NULL, 10));
  else
    fail("usage: translate types | echo | make TYPE COUNT SEED");
  bench_fini();
  return fflush(stdout) == 0 ? 0 : 1;
}
