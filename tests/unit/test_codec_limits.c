/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec.pb-c.h"
#include "codec_proto2.pb-c.h"
#include "lib/plain_codec.h"
#include "unit/test_codec.h"

/*
 * The limits of the protobuf codec, each by default and as set, at the last
 * value that passes and the first that doesn't; and frames that are made to
 * overturn the receiver.
 *
 * Where a default stands for a number, the test looks for messages on both
 * sides of that number with codecs that have it set, and sees that the default
 * takes the same side.
 */

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static struct memory memory;

static void setup(void) {
  memory_init(&memory);
}

static void teardown(void) {
  memory_fini(&memory);
}

static psock_codec *codec_new(const ProtobufCMessageDescriptor *descriptor,
    struct psock_protobuf_options options) {
  psock_codec *codec = NULL;
  options.size = sizeof options;
  ck_assert_int_eq(plain_codec_new(descriptor, &options, &codec), 0);
  return codec;
}

/* What a codec with these options makes of `frame`. */
static int verdict(const ProtobufCMessageDescriptor *descriptor,
    struct psock_protobuf_options options, struct bytes frame) {
  psock_codec *codec = codec_new(descriptor, options);
  int result = decode_all(codec, &memory, frame);
  psock_protobuf_codec_free(codec);
  return result;
}

/* A Tree of `size` bytes, nearly all payload; `size` above 5. */
static struct bytes tree_of_size(size_t size) {
  struct bytes payload = bytes_new(size - 2);
  memset(payload.at, 'x', payload.length);
  struct bytes tree = wrap(2, payload);
  while (tree.length > size) {
    free(tree.at);
    payload = bytes_new(payload.length - 1);
    memset(payload.at, 'x', payload.length);
    tree = wrap(2, payload);
  }
  ck_assert_uint_eq(tree.length, size);
  return frame_of(tree);
}

START_TEST(max_message_in) {
  size_t max = _i == 0 ? 4 * MIB : 1000;
  struct psock_protobuf_options options = {.max_message = _i == 0 ? 0 : max};
  struct bytes fits = tree_of_size(max);
  struct bytes exceeds = tree_of_size(max + 1);
  ck_assert_int_eq(
      verdict(&codec__tree__descriptor, options, fits), PSOCK_DECODE_MESSAGE);
  ck_assert_int_eq(
      verdict(&codec__tree__descriptor, options, exceeds), PSOCK_ETOOBIG);
  /* The count is enough to know. */
  fits.length = 4;
  exceeds.length = 4;
  ck_assert_int_eq(verdict(&codec__tree__descriptor, options, fits),
      PSOCK_DECODE_INCOMPLETE);
  faulty_set(&memory.faulty, 0, false);
  ck_assert_int_eq(
      verdict(&codec__tree__descriptor, options, exceeds), PSOCK_ETOOBIG);
  ck_assert_uint_eq(memory.faulty.calls, 0);
  free(fits.at);
  free(exceeds.at);
}
END_TEST

START_TEST(max_message_out) {
  static const size_t maxima[] = {4 * MIB, 100000, 100};
  size_t max = maxima[_i % 3];
  psock_codec *codec = codec_new(&codec__tree__descriptor,
      (struct psock_protobuf_options){.max_message = _i % 3 == 0 ? 0 : max});
  Codec__Tree tree = CODEC__TREE__INIT;
  struct bytes payload = bytes_new(max);
  memset(payload.at, 'x', payload.length);
  tree.payload.data = payload.at;
  tree.payload.len = max;
  memory.buffer.lending = _i >= 3;
  while (protobuf_c_message_get_packed_size(&tree.base) > max) {
    ck_assert_int_eq(
        codec->encode(codec, &tree, &memory.buffer), PSOCK_ETOOBIG);
    ck_assert_uint_eq(memory.buffer.length, 0);
    tree.payload.len--;
  }
  ck_assert_uint_eq(protobuf_c_message_get_packed_size(&tree.base), max);
  ck_assert_int_eq(codec->encode(codec, &tree, &memory.buffer), 0);
  psock_buffer_clear(&memory.buffer);
  psock_protobuf_codec_free(codec);
  free(payload.at);
}
END_TEST

/* Nothing is set aside for a message that can't be sent. */
START_TEST(too_much_is_not_copied) {
  psock_codec *codec =
      codec_new(&codec__plain__descriptor, (struct psock_protobuf_options){0});
  Codec__Plain plain;
  codec__plain__init(&plain);
  struct bytes much = bytes_new(64 * MIB);
  memset(much.at, 'x', much.length);
  if (_i == 0) {
    plain.data.data = much.at;
    plain.data.len = much.length;
  } else {
    plain.text = (char *)much.at;
    much.at[much.length - 1] = '\0';
  }
  ck_assert_int_eq(codec->encode(codec, &plain, &memory.buffer), PSOCK_ETOOBIG);
  ck_assert_uint_lt(atomic_load(&memory.heap->held_peak), 64 * KIB);
  psock_protobuf_codec_free(codec);
  free(much.at);
}
END_TEST

static struct bytes tree_of_depth(size_t depth) {
  static const uint32_t child[] = {1};
  return frame_of(nest(child, 1, depth - 1));
}

/* A google.protobuf.Struct, nested through its map. */
static struct bytes struct_of_depth(size_t depth) {
  static const uint32_t fields[] = {1, 2, 3};
  return frame_of(nest(fields, 3, depth - 1));
}

START_TEST(max_depth) {
  static const unsigned depths[] = {0, 1, 50, 1000};
  struct psock_protobuf_options options = {.max_depth = depths[_i]};
  size_t max = depths[_i] == 0 ? 100 : depths[_i];
  /* Memory must not be what stops it. */
  options.memory_min = MIB;
  for (size_t depth = max; depth <= max + 1; depth++) {
    int expected = depth <= max ? PSOCK_DECODE_MESSAGE : PSOCK_EDEPTH;
    struct bytes tree = tree_of_depth(depth);
    struct bytes map = struct_of_depth(depth);
    ck_assert_int_eq(
        verdict(&codec__tree__descriptor, options, tree), expected);
    ck_assert_int_eq(
        verdict(&codec__struct__descriptor, options, map), expected);
    free(tree.at);
    free(map.at);
  }
}
END_TEST

/* With the memory that small frames have by default. */
START_TEST(hundred_levels_fit_by_default) {
  struct psock_protobuf_options options = {0};
  struct bytes tree = tree_of_depth(100);
  struct bytes map = struct_of_depth(100);
  ck_assert_int_eq(
      verdict(&codec__tree__descriptor, options, tree), PSOCK_DECODE_MESSAGE);
  ck_assert_int_eq(
      verdict(&codec__struct__descriptor, options, map), PSOCK_DECODE_MESSAGE);
  free(tree.at);
  free(map.at);
}
END_TEST

/* 34 KB that would take some 10 MB of stack; nothing is allocated for them. */
START_TEST(ten_thousand_levels) {
  struct psock_protobuf_options options = {.max_depth = _i == 0 ? 0 : 1000};
  struct bytes tree = tree_of_depth(10000);
  struct bytes map = struct_of_depth(10000);
  ck_assert_uint_gt(tree.length, 30000);
  faulty_set(&memory.faulty, 0, false);
  ck_assert_int_eq(
      verdict(&codec__tree__descriptor, options, tree), PSOCK_EDEPTH);
  ck_assert_int_eq(
      verdict(&codec__struct__descriptor, options, map), PSOCK_EDEPTH);
  ck_assert_uint_eq(memory.faulty.calls, 0);
  free(tree.at);
  free(map.at);
}
END_TEST

/* An Every that holds `count` empty ones, each some 100 times as large as its
 * bytes, and a string of `padding`. */
static struct bytes swollen(size_t count, size_t padding) {
  struct bytes string = bytes_new(padding);
  memset(string.at, 'x', padding);
  string = wrap(15, string);
  struct bytes empty = wrap(1000, bytes_new(0));
  struct bytes all = bytes_new(count * empty.length + string.length);
  for (size_t i = 0; i < count; i++)
    memcpy(all.at + i * empty.length, empty.at, empty.length);
  memcpy(all.at + count * empty.length, string.at, string.length);
  free(empty.at);
  free(string.at);
  return frame_of(all);
}

/* How the default and three set values judge one frame. */
struct comparison {
  int below_differs;
  int above_differs;
};

/* `same` must judge as `fallback` does; `below` and `above`, which are next to
 * it, not always. Takes `frame`. */
static void compare(struct comparison *comparison,
    const ProtobufCMessageDescriptor *type,
    const struct psock_protobuf_options options[4], struct bytes frame) {
  int fallback = verdict(type, options[0], frame);
  ck_assert(fallback == PSOCK_EMEMLIMIT || fallback == PSOCK_DECODE_MESSAGE);
  ck_assert_int_eq(fallback, verdict(type, options[2], frame));
  comparison->below_differs += fallback != verdict(type, options[1], frame);
  comparison->above_differs += fallback != verdict(type, options[3], frame);
  free(frame.at);
}

/* Each byte of padding adds 64 bytes to what is allowed. */
START_TEST(memory_factor) {
  const struct psock_protobuf_options options[] = {
      {.memory_min = 1},
      {.memory_min = 1, .memory_factor = 63},
      {.memory_min = 1, .memory_factor = 64},
      {.memory_min = 1, .memory_factor = 65},
  };
  struct comparison comparison = {0};
  for (size_t padding = 2000; padding < 6000; padding += 5)
    compare(&comparison, &codec__every__descriptor, options,
        swollen(1000, padding));
  ck_assert_int_gt(comparison.below_differs, 0);
  ck_assert_int_gt(comparison.above_differs, 0);
}
END_TEST

START_TEST(memory_min) {
  const struct psock_protobuf_options options[] = {
      {.memory_factor = 1},
      {.memory_factor = 1, .memory_min = 62 * KIB},
      {.memory_factor = 1, .memory_min = 64 * KIB},
      {.memory_factor = 1, .memory_min = 66 * KIB},
  };
  struct comparison comparison = {0};
  for (size_t count = 50; count < 300; count++)
    compare(&comparison, &codec__every__descriptor, options, swollen(count, 0));
  ck_assert_int_gt(comparison.below_differs, 0);
  ck_assert_int_gt(comparison.above_differs, 0);
}
END_TEST

/* A Plain with so many zero bytes of data. */
static struct bytes data_of(size_t length) {
  struct bytes data = bytes_new(length);
  memset(data.at, 0, length);
  return frame_of(wrap(2, data));
}

/* Data takes no more than its length, and the message a block with it. */
START_TEST(memory_max) {
  const struct psock_protobuf_options options[] = {
      {.max_message = 128 * MIB},
      {.max_message = 128 * MIB, .memory_max = 64 * MIB - 8 * KIB},
      {.max_message = 128 * MIB, .memory_max = 64 * MIB},
      {.max_message = 128 * MIB, .memory_max = 64 * MIB + 8 * KIB},
  };
  struct comparison comparison = {0};
  for (size_t less = 0; less < 32 * KIB; less += 8 * KIB)
    compare(&comparison, &codec__plain__descriptor, options,
        data_of(64 * MIB - less));
  ck_assert_int_gt(comparison.below_differs, 0);
  ck_assert_int_gt(comparison.above_differs, 0);
}
END_TEST

/* The largest limit that the least can't pass. */
START_TEST(memory_max_below_default_min) {
  struct psock_protobuf_options options = {.memory_max = 8 * KIB};
  struct bytes fits = swollen(5, 0);
  struct bytes exceeds = swollen(50, 0);
  ck_assert_int_eq(
      verdict(&codec__every__descriptor, options, fits), PSOCK_DECODE_MESSAGE);
  ck_assert_int_eq(
      verdict(&codec__every__descriptor, options, exceeds), PSOCK_EMEMLIMIT);
  free(fits.at);
  free(exceeds.at);
}
END_TEST

/* `count` empty children: two bytes each, and some 100 when decoded. */
static struct bytes empty_children(size_t count) {
  struct bytes bytes = bytes_new(2 * count);
  for (size_t i = 0; i < count; i++)
    memcpy(bytes.at + 2 * i, "\x0a\x00", 2);
  return frame_of(bytes);
}

START_TEST(frame_of_empty_children) {
  struct bytes frame = empty_children(2 * MIB);
  struct psock_protobuf_options options = {0};
  psock_arena_next(&memory.arena);
  size_t before = atomic_load(&memory.heap->held);
  ck_assert_int_eq(
      verdict(&codec__tree__descriptor, options, frame), PSOCK_EMEMLIMIT);
  size_t peak = atomic_load(&memory.heap->held_peak) - before;
  /* The blocks themselves, but not their heads, are within the limit. */
  ck_assert_uint_gt(peak, 32 * MIB);
  ck_assert_uint_lt(peak, 64 * MIB + 64 * KIB);
  free(frame.at);
}
END_TEST

/* Each time the same field comes, protobuf-c copies what it has so far; the
 * limit holds the square of that down, too. */
START_TEST(frame_of_merges) {
  /* An id, and an inner message that has an id and 16 numbers. */
  static const uint8_t inner[] = {
      0x32, 20, 8, 1, 0x2a, 16, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8};
  size_t count = 4 * MIB / sizeof inner - 1;
  struct bytes all = bytes_new(2 + count * sizeof inner);
  memcpy(all.at, "\x08\x01", 2);
  for (size_t i = 0; i < count; i++)
    memcpy(all.at + 2 + i * sizeof inner, inner, sizeof inner);
  all = frame_of(all);
  struct psock_protobuf_options options = {0};
  ck_assert_int_eq(
      verdict(&codec__strict__descriptor, options, all), PSOCK_EMEMLIMIT);
  ck_assert_uint_lt(atomic_load(&memory.heap->held_peak), 64 * MIB + 64 * KIB);
  free(all.at);
}
END_TEST

/* After a refusal, the next message has its own limit. */
START_TEST(refusal_leaves_nothing) {
  psock_codec *codec =
      codec_new(&codec__every__descriptor, (struct psock_protobuf_options){0});
  struct bytes large = swollen(1000, 0);
  struct bytes small = swollen(10, 0);
  for (int i = 0; i < 3; i++) {
    ck_assert_int_eq(decode_all(codec, &memory, large), PSOCK_EMEMLIMIT);
    ck_assert_int_eq(decode_all(codec, &memory, small), PSOCK_DECODE_MESSAGE);
  }
  free(large.at);
  free(small.at);
  psock_protobuf_codec_free(codec);
}
END_TEST

int main(void) {
  TCase *tcase = tcase_create("limits");
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_set_timeout(tcase, 60);
  tcase_add_loop_test(tcase, max_message_in, 0, 2);
  tcase_add_loop_test(tcase, max_message_out, 0, 6);
  tcase_add_loop_test(tcase, too_much_is_not_copied, 0, 2);
  tcase_add_loop_test(tcase, max_depth, 0, 4);
  tcase_add_test(tcase, hundred_levels_fit_by_default);
  tcase_add_loop_test(tcase, ten_thousand_levels, 0, 2);
  tcase_add_test(tcase, memory_factor);
  tcase_add_test(tcase, memory_min);
  tcase_add_test(tcase, memory_max);
  tcase_add_test(tcase, memory_max_below_default_min);
  tcase_add_test(tcase, frame_of_empty_children);
  tcase_add_test(tcase, frame_of_merges);
  tcase_add_test(tcase, refusal_leaves_nothing);
  return run_case(tcase, "codec limits");
}
