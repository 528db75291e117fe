/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TEST_CODEC_H
#define TEST_CODEC_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/heap.h"
#include "codec/frame.h"
#include <check.h>
#include <protobuf-c/protobuf-c.h>
#include <protosocket/codec.h>
#include <protosocket/error.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * What the tests of the codecs share: memory that fails on demand, an arena
 * and a buffer in it, and bytes that end where their memory ends, so that a
 * read behind them is seen by a sanitizer.
 */

/* check writes down each assertion that holds, too, which takes longer than
 * most of what is asserted in these loops; this one says nothing then. */
#define REQUIRE(condition)                                                     \
  do {                                                                         \
    if (!(condition))                                                          \
      ck_abort_msg("'%s' does not hold", #condition);                          \
  } while (0)

/* An allocator that counts, and fails at one call, or from it on. */
struct faulty {
  struct psock_allocator allocator;
  size_t calls;
  size_t fail_at; /* the call that fails, from 1; 0: none */
  bool sticky;    /* and every one after it */
  size_t live;
};

static inline void *faulty_alloc(void *data, size_t size) {
  struct faulty *faulty = data;
  faulty->calls++;
  if (faulty->fail_at != 0 &&
      (faulty->calls == faulty->fail_at ||
          (faulty->sticky && faulty->calls > faulty->fail_at)))
    return NULL;
  faulty->live++;
  return malloc(size);
}

static inline void faulty_free(void *data, void *memory) {
  struct faulty *faulty = data;
  faulty->live--;
  free(memory);
}

static inline void faulty_init(struct faulty *faulty) {
  *faulty = (struct faulty){
      .allocator = {.alloc = faulty_alloc, .free = faulty_free, .data = faulty},
  };
}

/* Begins to count anew. */
static inline void faulty_set(
    struct faulty *faulty, size_t fail_at, bool sticky) {
  faulty->calls = 0;
  faulty->fail_at = fail_at;
  faulty->sticky = sticky;
}

/* Where a codec decodes to and encodes to. */
struct memory {
  struct faulty faulty;
  struct psock_heap *heap;
  struct psock_pool pool;
  struct psock_arena *arena;
  struct psock_buffer buffer;
};

static inline void memory_init(struct memory *memory) {
  faulty_init(&memory->faulty);
  memory->heap = psock_heap_new(&memory->faulty.allocator);
  ck_assert_ptr_nonnull(memory->heap);
  /* Nothing is cached, so that every block is an allocation. */
  ck_assert_int_eq(psock_pool_init(&memory->pool, memory->heap, 0), 0);
  memory->arena = psock_arena_new(&memory->pool);
  ck_assert_ptr_nonnull(memory->arena);
  psock_buffer_init(&memory->buffer, &memory->pool, false);
}

static inline void memory_fini(struct memory *memory) {
  psock_buffer_clear(&memory->buffer);
  psock_arena_unref(memory->arena);
  psock_pool_fini(&memory->pool);
  psock_heap_unref(memory->heap);
  ck_assert_uint_eq(memory->faulty.live, 0);
}

/* Bytes with nothing behind them. */
struct bytes {
  uint8_t *at;
  size_t length;
};

static inline struct bytes bytes_new(size_t length) {
  struct bytes bytes = {
      .at = malloc(length == 0 ? 1 : length), .length = length};
  REQUIRE(bytes.at != NULL);
  return bytes;
}

static inline struct bytes bytes_copy(const void *at, size_t length) {
  struct bytes bytes = bytes_new(length);
  if (length > 0)
    memcpy(bytes.at, at, length);
  return bytes;
}

/* What the buffer holds, all in one; the buffer is emptied. */
static inline struct bytes bytes_take(struct psock_buffer *buffer) {
  struct bytes bytes = bytes_new(buffer->length);
  size_t done = 0;
  while (buffer->length > 0) {
    struct iovec vector;
    REQUIRE(psock_buffer_vectors(buffer, &vector, 1, SIZE_MAX) == 1);
    memcpy(bytes.at + done, vector.iov_base, vector.iov_len);
    done += vector.iov_len;
    psock_buffer_consume(buffer, vector.iov_len);
  }
  REQUIRE(done == bytes.length);
  return bytes;
}

static inline bool bytes_equal(
    struct bytes one, const void *at, size_t length) {
  return one.length == length &&
         (length == 0 || memcmp(one.at, at, length) == 0);
}

/* Decodes the first `length` of `bytes`, from memory that ends there and is
 * gone when this returns, in a rewound arena. */
static inline int decode_cut(const psock_codec *codec, struct memory *memory,
    const uint8_t *bytes, size_t length, struct psock_decoded *ret_decoded) {
  struct bytes cut = bytes_copy(bytes, length);
  psock_arena_next(&memory->arena);
  int result = codec->decode(codec, cut.at, length, memory->arena, ret_decoded);
  free(cut.at);
  return result;
}

/* The same for all of `bytes` and no more than the result. */
static inline int decode_all(
    const psock_codec *codec, struct memory *memory, struct bytes bytes) {
  struct psock_decoded decoded = {0};
  return decode_cut(codec, memory, bytes.at, bytes.length, &decoded);
}

/* Puts a tag of `field` and the length in front of `inner`, which is freed. */
static inline struct bytes wrap(uint32_t field, struct bytes inner) {
  struct bytes outer = bytes_new(inner.length + (size_t)2 * PSOCK_COUNT_MAX);
  uint64_t tag = (uint64_t)field << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
  size_t head = psock_count_put(outer.at, tag);
  head += psock_count_put(outer.at + head, inner.length);
  if (inner.length > 0)
    memcpy(outer.at + head, inner.at, inner.length);
  outer.length = head + inner.length;
  free(inner.at);
  return outer;
}

/* An empty message inside `levels` others, which takes turns with `fields`. */
static inline struct bytes nest(
    const uint32_t *fields, size_t count, size_t levels) {
  struct bytes bytes = bytes_new(0);
  while (levels-- > 0)
    bytes = wrap(fields[levels % count], bytes);
  return bytes;
}

/* Puts the count in front of `body`, which is freed. */
static inline struct bytes frame_of(struct bytes body) {
  uint8_t count[PSOCK_COUNT_MAX];
  size_t prefix = psock_count_put(count, body.length);
  struct bytes frame = bytes_new(prefix + body.length);
  memcpy(frame.at, count, prefix);
  if (body.length > 0)
    memcpy(frame.at + prefix, body.at, body.length);
  free(body.at);
  return frame;
}

/* Numbers that look random and are the same every time. */
static inline uint64_t next_random(uint64_t *state) {
  uint64_t value = *state += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

/* Below `limit`. */
static inline size_t random_below(uint64_t *state, size_t limit) {
  return (size_t)(next_random(state) % limit);
}

/* Runs a suite of one case as a program. */
static inline int run_case(TCase *tcase, const char *name) {
  Suite *suite = suite_create(name);
  suite_add_tcase(suite, tcase);
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
