/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec.pb-c.h"
#include "codec/encode.h"
#include "codec_proto2.pb-c.h"
#include "unit/test_codec.h"
#include <math.h>

/*
 * The fast way of encoding: the bytes of protobuf_c_message_pack, or none, in
 * any room, and never a byte outside of it.
 */

/* What is enough for every message that is expected to take one try. */
#define ROOM 512

/* Tries to encode into memory of `room` bytes; the result has length 0 when it
 * can't be done. */
static struct bytes encode(const ProtobufCMessage *message, size_t room,
    struct psock_encode_hint *hint) {
  struct bytes bytes = bytes_new(room);
  bytes.length = psock_encode_simple(message, bytes.at, room, hint);
  REQUIRE(bytes.length <= room);
  return bytes;
}

static struct bytes packed(const ProtobufCMessage *message) {
  struct bytes body = bytes_new(protobuf_c_message_get_packed_size(message));
  protobuf_c_message_pack(message, body.at);
  return frame_of(body);
}

/* Tries with `room` bytes, and once more with as much as it is then said to
 * need. Returns whether one of them succeeded, after a look at the bytes. */
static bool encodes(
    const ProtobufCMessage *message, size_t room, struct bytes expected) {
  struct psock_encode_hint hint = {0};
  struct bytes sent = encode(message, room, &hint);
  if (sent.length == 0 && hint.needed > 0) {
    /* No more than what it really takes, but for what a field may take. */
    REQUIRE(hint.needed <= expected.length + 16);
    free(sent.at);
    sent = encode(message, hint.needed + ROOM, &hint);
  }
  bool done = sent.length > 0;
  if (done)
    REQUIRE(bytes_equal(expected, sent.at, sent.length));
  free(sent.at);
  return done;
}

/* A message that fits into ROOM is encoded there, or in two tries from any
 * room that is enough to begin in. */
static void assert_simple(const ProtobufCMessage *message) {
  struct bytes expected = packed(message);
  for (size_t room = 0; room <= ROOM; room++)
    REQUIRE(encodes(message, room, expected) || room < 16);
  free(expected.at);
}

static void assert_not_simple(const ProtobufCMessage *message) {
  struct psock_encode_hint hint = {0};
  struct bytes sent = encode(message, ROOM, &hint);
  ck_assert_uint_eq(sent.length, 0);
  ck_assert_uint_eq(hint.needed, 0);
  free(sent.at);
}

static const uint64_t words[] = {0, 1, 127, 128, 300, INT32_MAX,
    (uint64_t)INT32_MAX + 1, UINT32_MAX, (uint64_t)UINT32_MAX + 1, INT64_MAX,
    (uint64_t)INT64_MAX + 1, UINT64_MAX - 1, UINT64_MAX};

#define WORDS (int)(sizeof words / sizeof words[0])

START_TEST(numbers) {
  uint64_t word = words[_i];
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
  every.m = (protobuf_c_boolean)word;
  every.n = (Codec__Colour)(int32_t)word;
  every.choice_case = CODEC__EVERY__CHOICE_Y;
  every.y = word;
  assert_simple(&every.base);
}
END_TEST

START_TEST(fractions) {
  static const double values[] = {0, -0.0, 1.5, -1.5, INFINITY, NAN};
  Codec__Every every;
  codec__every__init(&every);
  every.k = (float)values[_i];
  every.l = values[_i];
  assert_simple(&every.base);
}
END_TEST

/* What is there and what isn't, in each way there is to say so. */
START_TEST(nothing) {
  Codec__Every every;
  codec__every__init(&every);
  assert_simple(&every.base);
  every.o = NULL;
  assert_simple(&every.base);
  every.p.data = (uint8_t *)&every;
  assert_simple(&every.base);
}
END_TEST

START_TEST(oneof_arms) {
  char text[] = "text";
  char none[] = "";
  Codec__Every every;
  Codec__Every inner;
  codec__every__init(&every);
  codec__every__init(&inner);
  every.choice_case = CODEC__EVERY__CHOICE_V;
  for (int i = 0; i < 3; i++) {
    every.v = i == 0 ? NULL : i == 1 ? none : text;
    assert_simple(&every.base);
  }
  every.choice_case = CODEC__EVERY__CHOICE_W;
  every.w = (ProtobufCBinaryData){0};
  assert_simple(&every.base);
  every.w = (ProtobufCBinaryData){.len = 4, .data = (uint8_t *)text};
  assert_simple(&every.base);
  every.choice_case = CODEC__EVERY__CHOICE_X;
  every.x = NULL;
  assert_simple(&every.base);
  every.x = &inner;
  assert_simple(&every.base);
  every.choice_case = (Codec__Every__ChoiceCase)1;
  assert_simple(&every.base);
}
END_TEST

START_TEST(optional_fields) {
  char text[] = "text";
  char none[] = "";
  Codec__Strict strict;
  Codec__Strict inner;
  codec__strict__init(&strict);
  codec__strict__init(&inner);
  assert_simple(&strict.base);
  strict.name = none;
  strict.has_flag = 1;
  strict.flag = 0;
  assert_simple(&strict.base);
  strict.name = text;
  strict.has_data = 1;
  strict.inner = &inner;
  assert_simple(&strict.base);
  strict.name = NULL;
  strict.data = (ProtobufCBinaryData){0};
  assert_simple(&strict.base);
}
END_TEST

START_TEST(required_fields) {
  char text[] = "text";
  Codec__Needy needy;
  Codec__Strict inner;
  codec__needy__init(&needy);
  codec__strict__init(&inner);
  needy.text = NULL;
  assert_simple(&needy.base);
  needy.text = text;
  needy.data = (ProtobufCBinaryData){.len = 4, .data = (uint8_t *)text};
  needy.inner = &inner;
  needy.number = -5;
  needy.flag = 1;
  assert_simple(&needy.base);
}
END_TEST

/* Where counts become longer, on two levels, and where the room ends; small
 * messages before and behind, whose counts don't. */
static void assert_length(size_t length) {
  struct bytes text = bytes_new(length + 1);
  memset(text.at, 't', length);
  text.at[length] = '\0';
  Codec__Every outer;
  Codec__Every inner;
  Codec__Plain small;
  codec__every__init(&outer);
  codec__every__init(&inner);
  codec__plain__init(&small);
  outer.d = 300;
  outer.choice_case = CODEC__EVERY__CHOICE_Z;
  outer.z = &small;
  outer.inner = &inner;
  inner.o = (char *)text.at;
  inner.choice_case = CODEC__EVERY__CHOICE_Z;
  inner.z = &small;
  struct bytes expected = packed(&outer.base);
  ck_assert(encodes(&outer.base, ROOM, expected));
  free(expected.at);
  inner.o = (char *)(uintptr_t) "";
  inner.p = (ProtobufCBinaryData){.len = length, .data = text.at};
  expected = packed(&outer.base);
  ck_assert(encodes(&outer.base, ROOM, expected));
  free(expected.at);
  free(text.at);
}

START_TEST(lengths) {
  for (size_t length = 0; length < 700; length++)
    assert_length(length);
  for (size_t length = 16384 - 40; length < 16384 + 40; length++)
    assert_length(length);
  for (size_t length = 2097152 - 30; length < 2097152 + 2; length++)
    assert_length(length);
}
END_TEST

/* More than one part that doesn't fit: rightly, or not at all. */
START_TEST(many_long_parts) {
  char text[2000];
  memset(text, 't', sizeof text);
  text[sizeof text - 1] = '\0';
  Codec__Every outer;
  Codec__Every inner;
  codec__every__init(&outer);
  codec__every__init(&inner);
  outer.o = text;
  outer.inner = &inner;
  for (size_t length = 0; length < sizeof text; length++) {
    /* The same string again, and another. */
    inner.o = _i == 0 ? text : text + sizeof text - 1 - length;
    inner.p = (ProtobufCBinaryData){.len = length, .data = (uint8_t *)text};
    struct bytes expected = packed(&outer.base);
    (void)encodes(&outer.base, ROOM, expected);
    free(expected.at);
  }
}
END_TEST

/* With any room, for a message whose counts all have two bytes. */
START_TEST(rooms) {
  char text[181];
  memset(text, 't', sizeof text);
  text[_i] = '\0';
  Codec__Every levels[4];
  for (int i = 0; i < 4; i++) {
    codec__every__init(&levels[i]);
    levels[i].a = i;
    if (i > 0)
      levels[i - 1].inner = &levels[i];
  }
  levels[3].o = text;
  assert_simple(&levels[0].base);
}
END_TEST

START_TEST(levels) {
  Codec__Every chain[40];
  for (int i = 0; i < 40; i++) {
    codec__every__init(&chain[i]);
    if (i > 0)
      chain[i].inner = &chain[i - 1];
    struct bytes expected = packed(&chain[i].base);
    bool done = encodes(&chain[i].base, ROOM, expected);
    ck_assert(i < 8 ? done : i < 39 || !done);
    free(expected.at);
  }
}
END_TEST

/* Too little room first, and then something that isn't simple. */
START_TEST(not_simple_at_second_try) {
  char text[600];
  memset(text, 't', sizeof text);
  text[sizeof text - 1] = '\0';
  float number = 1;
  Codec__Every every;
  codec__every__init(&every);
  every.o = text;
  every.n_r = 1;
  every.r = &number;
  struct psock_encode_hint hint = {0};
  struct bytes sent = encode(&every.base, ROOM, &hint);
  ck_assert_uint_gt(hint.needed, ROOM);
  free(sent.at);
  sent = encode(&every.base, hint.needed + ROOM, &hint);
  ck_assert_uint_eq(sent.length, 0);
  ck_assert_uint_eq(hint.needed, 0);
  free(sent.at);
}
END_TEST

START_TEST(left_to_protobuf_c) {
  float number = 1;
  uint8_t byte = 1;
  ProtobufCMessageUnknownField unknown = {.tag = 3, .len = 1, .data = &byte};
  Codec__Every every;
  Codec__Every inner;
  codec__every__init(&every);
  codec__every__init(&inner);
  every.inner = &inner;
  inner.n_r = 1;
  inner.r = &number;
  assert_not_simple(&every.base);
  inner.n_r = 0;
  assert_simple(&every.base);
  inner.base.n_unknown_fields = 1;
  inner.base.unknown_fields = &unknown;
  assert_not_simple(&every.base);
}
END_TEST

int main(void) {
  TCase *tcase = tcase_create("encode");
  tcase_add_loop_test(tcase, numbers, 0, WORDS);
  tcase_add_loop_test(tcase, fractions, 0, 6);
  tcase_add_test(tcase, nothing);
  tcase_add_test(tcase, oneof_arms);
  tcase_add_test(tcase, optional_fields);
  tcase_add_test(tcase, required_fields);
  tcase_add_test(tcase, lengths);
  tcase_add_loop_test(tcase, many_long_parts, 0, 2);
  tcase_set_timeout(tcase, 60);
  tcase_add_loop_test(tcase, rooms, 90, 181);
  tcase_add_test(tcase, levels);
  tcase_add_test(tcase, not_simple_at_second_try);
  tcase_add_test(tcase, left_to_protobuf_c);
  return run_case(tcase, "codec encode");
}
