/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec.psock.h"
#include "codec_proto2.psock.h"
#include "lib/plain_codec.h"
#include "unit/test_codec.h"
#include <protosocket/generated.h>

/*
 * What generated code and the library have to agree upon, in every room and at
 * every length: an encoder never writes outside of its room, and says how much
 * it needs; a decoder never reads behind the bytes, and never takes more memory
 * than allowed. That both mean what protobuf-c means is for the differ to show
 * (tests/fuzz).
 */

static struct memory memory;
static psock_codec *codec;

static void setup(void) {
  memory_init(&memory);
  codec = NULL;
}

static void teardown(void) {
  psock_protobuf_codec_free(codec);
  memory_fini(&memory);
}

static void codec_for(const struct psock_message_type *type,
    struct psock_protobuf_options options) {
  psock_protobuf_codec_free(codec);
  options.size = sizeof options;
  ck_assert_int_eq(psock_protobuf_codec_new(type, &options, &codec), 0);
}

static struct bytes packed(const void *message) {
  struct bytes body = bytes_new(protobuf_c_message_get_packed_size(message));
  protobuf_c_message_pack(message, body.at);
  return body;
}

/* Encodes into memory of just `room` bytes. Returns whether that was enough. */
static bool encodes_in(const struct psock_message_type *type,
    const void *message, size_t room, struct bytes expected) {
  struct bytes bytes = bytes_new(room);
  struct psock_encoder encoder = {
      .begin = bytes.at, .limit = bytes.at + room, .count_room = 1};
  const uint8_t *end = type->encode(&encoder, message, bytes.at);
  if (end == NULL)
    /* A step asks for at most 64 bytes more than it uses. */
    REQUIRE(encoder.needed > room && encoder.needed <= expected.length + 64);
  else
    REQUIRE(bytes_equal(expected, bytes.at, (size_t)(end - bytes.at)));
  free(bytes.at);
  return end != NULL;
}

/* Any room will do that is 64 bytes too large, and none that is too small. */
static void assert_encodes(
    const struct psock_message_type *type, const void *message) {
  struct bytes expected = packed(message);
  for (size_t room = 0; room < expected.length; room++)
    REQUIRE(!encodes_in(type, message, room, expected));
  for (size_t more = 0; more < 80; more++) {
    bool done = encodes_in(type, message, expected.length + more, expected);
    REQUIRE(done || more < 64);
  }
  free(expected.at);
}

/* The last value of each length of varint, and the next one. */
START_TEST(numbers) {
  uint64_t word = ((uint64_t)1 << (7 * (_i / 2))) - (uint64_t)(_i % 2);
  Codec__Every every;
  codec__every__init(&every);
  every.a = (int32_t)word;
  every.b = (int64_t)word;
  every.c = (uint32_t)word;
  every.d = word;
  every.e = (int32_t)word;
  every.f = (int64_t)word;
  every.g = (uint32_t)word;
  every.h = word;
  every.i = (int32_t)word;
  every.j = (int64_t)word;
  every.k = (float)word;
  every.l = (double)word;
  every.m = word > 0;
  every.n = (Codec__Colour)(int32_t)word;
  int64_t q[] = {(int64_t)word, -(int64_t)(word / 2)};
  uint32_t t[] = {(uint32_t)word, 1};
  every.n_q = every.n_t = 2;
  every.q = q;
  every.t = t;
  assert_encodes(&codec__every__type, &every);
}
END_TEST

/* Texts whose own count, and that of the messages around them, changes its
 * length. */
START_TEST(counts) {
  static const size_t lengths[] = {0, 1, 116, 122, 124, 126, 127, 128, 16376,
      16379, 16383, 16384, 2097150, 2097151, 2097152};
  char *text = malloc(lengths[_i] + 1);
  ck_assert_ptr_nonnull(text);
  memset(text, 'x', lengths[_i]);
  text[lengths[_i]] = '\0';
  Codec__Plain plain;
  Codec__Every inner, outer;
  codec__plain__init(&plain);
  codec__every__init(&inner);
  codec__every__init(&outer);
  plain.text = text;
  inner.choice_case = CODEC__EVERY__CHOICE_Z;
  inner.z = &plain;
  outer.inner = &inner;
  codec_for(&codec__every__type, (struct psock_protobuf_options){0});
  ck_assert_int_eq(codec->encode(codec, &outer, &memory.buffer), 0);
  struct bytes expected = frame_of(packed(&outer));
  struct bytes sent = bytes_take(&memory.buffer);
  ck_assert(bytes_equal(expected, sent.at, sent.length));
  free(sent.at);
  free(expected.at);
  free(text);
}
END_TEST

/* The same in every room, where a count may have to grow at its end. */
START_TEST(counts_in_every_room) {
  char text[200];
  Codec__Plain plain;
  Codec__Every inner, outer;
  codec__plain__init(&plain);
  codec__every__init(&inner);
  codec__every__init(&outer);
  for (size_t length = 110; length < 140; length++) {
    memset(text, 'x', length);
    text[length] = '\0';
    plain.text = text;
    inner.choice_case = CODEC__EVERY__CHOICE_Z;
    inner.z = &plain;
    outer.inner = &inner;
    assert_encodes(&codec__every__type, &outer);
  }
}
END_TEST

/* Many parts, so that the first two tries find too little room. */
START_TEST(many_parts) {
  enum { PARTS = 2000 };
  static char text[] = "abcdefgh";
  static Codec__Every parts[PARTS];
  Codec__Every *pointers[PARTS];
  Codec__Every every;
  codec__every__init(&every);
  for (int i = 0; i < PARTS; i++) {
    codec__every__init(&parts[i]);
    parts[i].d = (uint64_t)i << (i % 50);
    parts[i].choice_case = CODEC__EVERY__CHOICE_V;
    parts[i].v = text;
    pointers[i] = &parts[i];
  }
  every.n_more = PARTS;
  every.more = pointers;
  codec_for(&codec__every__type, (struct psock_protobuf_options){0});
  for (size_t count = 1; count <= PARTS; count += count / 3 + 1) {
    every.n_more = count;
    ck_assert_int_eq(codec->encode(codec, &every, &memory.buffer), 0);
    struct bytes expected = frame_of(packed(&every));
    struct bytes sent = bytes_take(&memory.buffer);
    ck_assert(bytes_equal(expected, sent.at, sent.length));
    free(sent.at);
    free(expected.at);
  }
}
END_TEST

/* The limit is exact, whichever try of the encoder meets it. */
START_TEST(sender_limit) {
  static const size_t limits[] = {1, 100, 127, 128, 500, 5000, 100000};
  size_t limit = limits[_i];
  Codec__Plain plain;
  codec__plain__init(&plain);
  uint8_t *data = calloc(1, limit);
  ck_assert_ptr_nonnull(data);
  codec_for(&codec__plain__type,
      (struct psock_protobuf_options){.max_message = limit});
  size_t encoded = 0;
  for (size_t length = limit < 8 ? 0 : limit - 8; length <= limit; length++) {
    plain.data.len = length;
    plain.data.data = data;
    size_t size = protobuf_c_message_get_packed_size(&plain.base);
    int error = codec->encode(codec, &plain, &memory.buffer);
    ck_assert_int_eq(error, size > limit ? PSOCK_ETOOBIG : 0);
    encoded += error == 0;
    psock_buffer_clear(&memory.buffer);
  }
  ck_assert_uint_gt(encoded, 0);
  free(data);
}
END_TEST

/* Every allocation of an encode fails once. */
START_TEST(encode_without_memory) {
  Codec__Plain plain;
  codec__plain__init(&plain);
  uint8_t data[9000] = {1};
  plain.data.len = sizeof data;
  plain.data.data = data;
  codec_for(&codec__plain__type, (struct psock_protobuf_options){0});
  int error = PSOCK_ENOMEM;
  for (size_t i = 1; error == PSOCK_ENOMEM; i++) {
    psock_buffer_clear(&memory.buffer);
    faulty_set(&memory.faulty, i, false);
    error = codec->encode(codec, &plain, &memory.buffer);
    ck_assert(error == PSOCK_ENOMEM || i > 1);
  }
  ck_assert_int_eq(error, 0);
}
END_TEST

/* Bytes of a Plain: texts, words and numbers in turns, so that arrays have to
 * grow, then `length` bytes of data. */
static struct bytes turns(size_t count, size_t length) {
  uint8_t *at = malloc(count * 32 + length + 16);
  REQUIRE(at != NULL);
  uint8_t *end = at;
  for (size_t i = 0; i < count; i++) {
    static const uint8_t turn[] = {0x1a, 3, 'a', 'b', 'c', 0x21, 1, 2, 3, 4, 5,
        6, 7, 8, 0x28, 7, 0x2a, 3, 1, 2, 3};
    memcpy(end, turn, sizeof turn);
    end += sizeof turn;
  }
  *end++ = 0x12;
  end += psock_count_put(end, length);
  memset(end, 'd', length);
  end += length;
  struct bytes body = bytes_copy(at, (size_t)(end - at));
  free(at);
  return frame_of(body);
}

/* Numbers one by one, so that their array grows where it lies, out of one
 * block and into others. */
START_TEST(array_grows_in_place) {
  enum { COUNT = 200000 };
  codec_for(&codec__plain__type, (struct psock_protobuf_options){0});
  struct bytes body = bytes_new(2 * COUNT);
  for (size_t i = 0; i < COUNT; i++) {
    body.at[2 * i] = 0x28;
    body.at[2 * i + 1] = (uint8_t)(i % 100);
  }
  struct bytes frame = frame_of(body);
  struct psock_decoded decoded = {0};
  ck_assert_int_eq(
      codec->decode(codec, frame.at, frame.length, memory.arena, &decoded),
      PSOCK_DECODE_MESSAGE);
  const Codec__Plain *plain = decoded.message;
  ck_assert_uint_eq(plain->n_numbers, COUNT);
  for (size_t i = 0; i < COUNT; i++)
    REQUIRE(plain->numbers[i] == i % 100);
  for (const struct psock_block *block = memory.arena->blocks; block != NULL;
       block = block->next)
    REQUIRE(block->end <= block->capacity);
  free(frame.at);
}
END_TEST

START_TEST(arrays_grow) {
  codec_for(&codec__plain__type, (struct psock_protobuf_options){0});
  struct bytes frame = turns(1000, 10);
  struct psock_decoded decoded = {0};
  ck_assert_int_eq(
      codec->decode(codec, frame.at, frame.length, memory.arena, &decoded),
      PSOCK_DECODE_MESSAGE);
  const Codec__Plain *plain = decoded.message;
  ck_assert_uint_eq(plain->n_texts, 1000);
  ck_assert_uint_eq(plain->n_words, 1000);
  ck_assert_uint_eq(plain->n_numbers, 4000);
  for (size_t i = 0; i < 1000; i++) {
    REQUIRE(strcmp(plain->texts[i], "abc") == 0);
    REQUIRE(plain->words[i] == 0x0807060504030201);
    REQUIRE(plain->numbers[4 * i] == 7 && plain->numbers[4 * i + 3] == 3);
  }
  ck_assert_int_eq(decoded.detached, 1);
  free(frame.at);
}
END_TEST

/* Bytes stay where they are from 16 KiB on; then the message says so. */
START_TEST(long_bytes_stay) {
  codec_for(&codec__plain__type, (struct psock_protobuf_options){0});
  size_t length = (16u << 10) - (size_t)(_i == 0);
  struct bytes frame = turns(1, length);
  struct psock_decoded decoded = {0};
  ck_assert_int_eq(
      codec->decode(codec, frame.at, frame.length, memory.arena, &decoded),
      PSOCK_DECODE_MESSAGE);
  const Codec__Plain *plain = decoded.message;
  bool inside = plain->data.data >= frame.at &&
                plain->data.data < frame.at + frame.length;
  ck_assert_uint_eq(plain->data.len, length);
  ck_assert_int_eq(inside, _i == 1);
  ck_assert_int_eq(decoded.detached, _i == 0);
  free(frame.at);
}
END_TEST

/* With less and less memory: the limit is what says no, and nothing beyond it
 * is ever taken. */
START_TEST(memory_limits) {
  struct bytes frame = turns(500, 100);
  int result = PSOCK_DECODE_MESSAGE;
  size_t refused = 0;
  for (size_t limit = 128u << 10; limit >= 64; limit = limit * 7 / 8) {
    codec_for(&codec__plain__type,
        (struct psock_protobuf_options){
            .memory_factor = 1, .memory_min = limit, .memory_max = limit});
    result = decode_all(codec, &memory, frame);
    ck_assert(result == PSOCK_DECODE_MESSAGE || result == PSOCK_EMEMLIMIT);
    /* Once refused, always refused. */
    ck_assert(refused == 0 || result == PSOCK_EMEMLIMIT);
    refused += result == PSOCK_EMEMLIMIT;
    size_t taken = 0;
    for (const struct psock_block *block = memory.arena->blocks; block != NULL;
         block = block->next)
      taken += block->end;
    ck_assert_uint_le(taken, limit);
  }
  ck_assert_uint_gt(refused, 0);
  free(frame.at);
}
END_TEST

START_TEST(decode_without_memory) {
  codec_for(&codec__plain__type, (struct psock_protobuf_options){0});
  struct bytes frame = turns(3000, 100);
  int result = PSOCK_ENOMEM;
  size_t failures = 0;
  for (size_t i = 1; result == PSOCK_ENOMEM; i++) {
    psock_arena_next(&memory.arena);
    faulty_set(&memory.faulty, i, true);
    result = decode_all(codec, &memory, frame);
    failures += result == PSOCK_ENOMEM;
  }
  ck_assert_int_eq(result, PSOCK_DECODE_MESSAGE);
  ck_assert_uint_gt(failures, 1);
  free(frame.at);
}
END_TEST

/* Every cut of a message is refused, and read no further than it goes. */
START_TEST(cuts) {
  codec_for(&codec__plain__type, (struct psock_protobuf_options){0});
  struct bytes whole = turns(2, 10);
  size_t accepted = 0;
  for (size_t length = 0; length < whole.length; length++) {
    struct bytes frame = frame_of(bytes_copy(whole.at + 1, length));
    int result = decode_all(codec, &memory, frame);
    ck_assert(result == PSOCK_DECODE_MESSAGE || result == PSOCK_EMALFORMED);
    accepted += result == PSOCK_DECODE_MESSAGE;
    free(frame.at);
  }
  /* Between fields: after none, and after each of the nine. */
  ck_assert_uint_eq(accepted, 10);
  free(whole.at);
}
END_TEST

/* Depth is counted, the outermost message too, also where protobuf-c has the
 * last word because a part comes twice. */
START_TEST(depth) {
  static const uint32_t child[] = {1};
  static const uint32_t inner[] = {536870911};
  const struct psock_message_type *type =
      _i == 0 ? &codec__tree__type : &codec__every__type;
  for (unsigned levels = 1; levels < 12; levels++)
    for (unsigned max = 1; max < 12; max++) {
      codec_for(type, (struct psock_protobuf_options){.max_depth = max});
      struct bytes frame =
          frame_of(nest(_i == 0 ? child : inner, 1, levels - 1));
      ck_assert_int_eq(decode_all(codec, &memory, frame),
          levels > max ? PSOCK_EDEPTH : PSOCK_DECODE_MESSAGE);
      free(frame.at);
    }
}
END_TEST

/* A message field that comes twice is merged, as protobuf-c does it, and the
 * depth of either part counts. */
START_TEST(merged) {
  static const uint8_t twice[] = {
      0x0a, 4, 0x0a, 2, 8, 1, 0x0a, 4, 0x0a, 2, 8, 2, 0x12, 2, 8, 3};
  codec_for(&codec__outer__type, (struct psock_protobuf_options){0});
  struct bytes frame = frame_of(bytes_copy(twice, sizeof twice));
  struct psock_decoded decoded = {0};
  ck_assert_int_eq(decode_cut(codec, &memory, frame.at, frame.length, &decoded),
      PSOCK_DECODE_MESSAGE);
  const Codec__Outer *outer = decoded.message;
  ck_assert_uint_eq(outer->middle->inner->number, 2);
  ck_assert_uint_eq(outer->inner->number, 3);
  ck_assert_int_eq(decoded.detached, 1);
  codec_for(
      &codec__outer__type, (struct psock_protobuf_options){.max_depth = 2});
  ck_assert_int_eq(decode_all(codec, &memory, frame), PSOCK_EDEPTH);
  free(frame.at);
}
END_TEST

/* A type that is shorter than the first version, or has no descriptor. */
START_TEST(bad_types) {
  struct psock_message_type type = codec__plain__type;
  ck_assert_int_eq(psock_protobuf_codec_new(NULL, NULL, &codec), PSOCK_EINVAL);
  type.size = offsetof(struct psock_message_type, code);
  ck_assert_int_eq(psock_protobuf_codec_new(&type, NULL, &codec), PSOCK_EINVAL);
  /* Code for another version of the schema. */
  type = codec__plain__type;
  type.field_count--;
  ck_assert_int_eq(psock_protobuf_codec_new(&type, NULL, &codec), PSOCK_EINVAL);
  type = psock_message_type_of(NULL);
  ck_assert_int_eq(psock_protobuf_codec_new(&type, NULL, &codec), PSOCK_EINVAL);
  ck_assert_ptr_null(codec);
}
END_TEST

int main(void) {
  TCase *tcase = tcase_create("generated");
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_set_timeout(tcase, 60);
  tcase_add_loop_test(tcase, numbers, 0, 20);
  tcase_add_loop_test(tcase, counts, 0, 15);
  tcase_add_test(tcase, many_parts);
  tcase_add_loop_test(tcase, sender_limit, 0, 7);
  tcase_add_test(tcase, encode_without_memory);
  tcase_add_test(tcase, array_grows_in_place);
  tcase_add_test(tcase, arrays_grow);
  tcase_add_test(tcase, counts_in_every_room);
  tcase_add_loop_test(tcase, long_bytes_stay, 0, 2);
  tcase_add_test(tcase, memory_limits);
  tcase_add_test(tcase, decode_without_memory);
  tcase_add_test(tcase, cuts);
  tcase_add_loop_test(tcase, depth, 0, 2);
  tcase_add_test(tcase, merged);
  tcase_add_test(tcase, bad_types);
  return run_case(tcase, "generated");
}
