/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec.psock.h"
#include "echo.psock.h"
#include "lib/plain_codec.h"
#include "rpc/frames.h"

/*
 * The codec of frames, held against what protobuf-c makes of the same schema:
 * the bytes that it packs, and the fields that it unpacks.
 */

static const uint64_t numbers[] = {0, 1, 127, 128, 16383, 16384, 1u << 21,
    1u << 28, UINT32_MAX, UINT64_C(1) << 35, UINT64_C(1) << 42,
    UINT64_C(1) << 49, UINT64_C(1) << 56, UINT64_C(1) << 63, UINT64_MAX};
#define NUMBERS (sizeof numbers / sizeof numbers[0])

START_TEST(each_field) {
  struct psock_rpc_frame frame = {0};
  assert_as_protobuf_c(&frame);
  for (size_t i = 0; i < NUMBERS; i++) {
    uint64_t value = numbers[i];
    assert_as_protobuf_c(&(struct psock_rpc_frame){.id = value});
    assert_as_protobuf_c(&(struct psock_rpc_frame){.code = (uint32_t)value});
    assert_as_protobuf_c(&(struct psock_rpc_frame){.method = (uint32_t)value});
    assert_as_protobuf_c(&(struct psock_rpc_frame){.timeout_us = value});
    assert_as_protobuf_c(&(struct psock_rpc_frame){.window = value});
    struct psock_status status = {
        .size = sizeof status, .code = (uint32_t)value};
    assert_as_protobuf_c(&(struct psock_rpc_frame){.status = &status});
    struct psock_hello hello = {.version = (uint32_t)value};
    assert_as_protobuf_c(&(struct psock_rpc_frame){.hello = &hello});
    hello = (struct psock_hello){.stream_window = value};
    assert_as_protobuf_c(&(struct psock_rpc_frame){.hello = &hello});
    hello = (struct psock_hello){.max_frame_size = value};
    assert_as_protobuf_c(&(struct psock_rpc_frame){.hello = &hello});
    hello = (struct psock_hello){.features = value};
    assert_as_protobuf_c(&(struct psock_rpc_frame){.hello = &hello});
  }
  assert_as_protobuf_c(&(struct psock_rpc_frame){.not_begun = true});
  assert_as_protobuf_c(&(struct psock_rpc_frame){.status = &full_status});
  assert_as_protobuf_c(&(struct psock_rpc_frame){.hello = &full_hello});
  for (size_t count = 0; count <= SOME; count++)
    assert_as_protobuf_c(&(struct psock_rpc_frame){
        .metadata = some_metadata, .metadata_count = count});
  frame = full_frame();
  assert_as_protobuf_c(&frame);
}
END_TEST

/* Any combination of fields. */
START_TEST(random_frames) {
  uint64_t random = 7;
  struct psock_rpc_frame full = full_frame();
  for (int i = 0; i < 3000; i++) {
    struct psock_rpc_frame frame = {0};
    uint64_t bits = next_random(&random);
    if (bits & 1)
      frame.id = numbers[random_below(&random, NUMBERS)];
    if (bits & 2)
      frame.code = (uint32_t)numbers[random_below(&random, NUMBERS)];
    if (bits & 4)
      frame.method = (uint32_t)next_random(&random);
    if (bits & 8)
      frame.timeout_us = numbers[random_below(&random, NUMBERS)];
    if (bits & 16)
      frame.window = next_random(&random);
    frame.not_begun = bits >> 5 & 1;
    if (bits & 64)
      frame.status = full.status;
    if (bits & 128)
      frame.hello = full.hello;
    frame.metadata = some_metadata;
    frame.metadata_count = bits & 256 ? random_below(&random, SOME + 1) : 0;
    if (bits & 512) {
      frame.payload = full.payload;
      frame.payload_length = random_below(&random, full.payload_length + 1);
    }
    assert_as_protobuf_c(&frame);
  }
}
END_TEST

/* ---- Payloads ---- */

/* A message, in every room: with strings, numbers and messages inside. */
START_TEST(payload_of_a_message) {
  static char text[40001];
  memset(text, 'x', sizeof text - 1);
  EchoRequest request;
  echo_request__init(&request);
  struct psock_rpc_frame frame = {
      .id = 1000,
      .method = 99,
      .type = &echo_request__type,
      .message = &request,
      .timeout_us = 5,
  };
  assert_as_protobuf_c(&frame);
  request.nanotime = UINT64_MAX;
  for (size_t length = 0; length < sizeof text;
       length += length < 700 || (length > 16200 && length < 16500) ? 1 : 97) {
    request.message = text + sizeof text - 1 - length;
    assert_as_protobuf_c(&frame);
    frame.status = frame.status == NULL ? &full_status : NULL;
  }
}
END_TEST

/* Many small parts, so that no try finds out what all of them take. */
START_TEST(payload_of_many_parts) {
  enum { COUNT = 20000 };
  static char *texts[COUNT];
  static uint32_t words[COUNT];
  for (size_t i = 0; i < COUNT; i++) {
    texts[i] = (char *)(uintptr_t) "part";
    words[i] = (uint32_t)(i * i);
  }
  Codec__Plain plain;
  codec__plain__init(&plain);
  Codec__Chain chain;
  codec__chain__init(&chain);
  Codec__Chain outer;
  codec__chain__init(&outer);
  plain.texts = texts;
  plain.numbers = words;
  chain.plain = &plain;
  outer.next = &chain;
  struct psock_rpc_frame frame = {
      .id = 1, .type = &codec__chain__type, .message = &outer};
  for (size_t count = 1; count < COUNT; count += 1 + count / 3) {
    plain.n_texts = count;
    plain.n_numbers = count / 2;
    assert_as_protobuf_c(&frame);
  }
}
END_TEST

/* The tries that failed leave nothing behind. */
START_TEST(tries_hold_no_memory) {
  enum { COUNT = 20000 };
  static char *texts[COUNT];
  for (size_t i = 0; i < COUNT; i++)
    texts[i] = (char *)(uintptr_t) "part";
  Codec__Plain plain;
  codec__plain__init(&plain);
  plain.texts = texts;
  plain.n_texts = COUNT;
  struct psock_rpc_frame frame = {
      .type = &codec__plain__type, .message = &plain};
  ck_assert_int_eq(codec->encode(codec, &frame, &memory.buffer), 0);
  ck_assert_uint_lt(atomic_load(&memory.heap->held), 3 * memory.buffer.length);
}
END_TEST

/* Bytes that were encoded before. */
START_TEST(payload_of_bytes) {
  struct bytes payload = bytes_new(100000);
  for (size_t i = 0; i < payload.length; i++)
    payload.at[i] = (uint8_t)i;
  struct psock_rpc_frame frame = {.id = 5, .payload = payload.at};
  for (size_t length = 0; length <= payload.length; length += 1 + length / 50) {
    frame.payload_length = length;
    frame.hello = frame.hello == NULL ? &full_hello : NULL;
    assert_as_protobuf_c(&frame);
  }
  free(payload.at);
}
END_TEST

/* With a release there is lending; a frame is copied all the same. */
START_TEST(payload_when_lending) {
  struct bytes payload = bytes_new(50000);
  memset(payload.at, 7, payload.length);
  struct psock_rpc_frame frame = {
      .id = 5, .payload = payload.at, .payload_length = payload.length};
  memory.buffer.lending = true;
  assert_as_protobuf_c(&frame);
  memory.buffer.lending = false;
  free(payload.at);
}
END_TEST

START_TEST(messages_that_are_none) {
  EchoRequest request;
  echo_request__init(&request);
  EchoResponse response;
  echo_response__init(&response);
  struct psock_message_type plain =
      psock_message_type_of(&echo_request__descriptor);
  size_t length = 77;
  struct psock_rpc_frame frame = {
      .type = &plain, .message = &request, .ret_length = &length};
  ck_assert_int_eq(codec->encode(codec, &frame, &memory.buffer), PSOCK_ENOTSUP);
  frame.type = &echo_request__type;
  frame.message = &response;
  ck_assert_int_eq(codec->encode(codec, &frame, &memory.buffer), PSOCK_EINVAL);
  ck_assert_uint_eq(length, 77);
  ck_assert_uint_eq(memory.buffer.length, 0);
}
END_TEST

/* A type of the library's own has no descriptor, and its message no base. */
static uint8_t *encode_word(
    struct psock_encoder *encoder, const void *message, uint8_t *at) {
  if (!psock_encode_has_room(encoder, at, 11))
    return psock_encode_no_room(encoder, at, 11);
  return psock_put_varint(psock_put_tag(at, 16), *(const uint32_t *)message);
}

START_TEST(a_type_without_descriptor) {
  static const uint8_t expected[] = {6, 8, 1, 34, 2, 16, 5};
  const struct psock_message_type type = {
      .size = sizeof type, .encode = encode_word};
  uint32_t word = 5;
  uint8_t *payload = NULL;
  size_t length = 0;
  struct psock_rpc_frame frame = {.id = 1, .type = &type, .message = &word};
  struct bytes bytes = encoded(&frame);
  ck_assert(bytes_equal(bytes, expected, sizeof expected));
  free(bytes.at);
  ck_assert_int_eq(psock_frame_encode_payload(
                       100, memory.heap, &type, &word, &payload, &length),
      0);
  ck_assert_uint_eq(length, 2);
  ck_assert_mem_eq(payload, expected + 5, 2);
  psock_heap_release(memory.heap, payload, length);
}
END_TEST

/* ---- What may come ---- */

#define TAKE(ret_frame, ...)                                                   \
  take(bytes_copy((const uint8_t[]){__VA_ARGS__},                              \
           sizeof((const uint8_t[]){__VA_ARGS__})),                            \
      ret_frame)

/* In any order; the last one wins, and status and hello are merged. */
START_TEST(fields_that_come_again) {
  const struct psock_rpc_frame *frame;
  ck_assert_int_eq(TAKE(&frame, 0x50, 1, 0x40, 9, 0x28, 7, 0x22, 1, 'a', 0x1d,
                       1, 0, 0, 0, 0x10, 2, 0x08, 3,        /* ids fall */
                       0x32, 4, 0x08, 5, 0x12, 0,           /* status */
                       0x22, 2, 'b', 'c',                   /* payload */
                       0x32, 5, 0x12, 1, 'x', 0x08, 6,      /* status */
                       0x4a, 2, 0x08, 1, 0x4a, 2, 0x10, 5,  /* hello */
                       0x3a, 3, 0x0a, 1, 'k',               /* metadata */
                       0x3a, 6, 0x0a, 1, 'j', 0x0a, 1, 'l', /* key twice */
                       0x32, 0, 0x08, 4, 0x10, 0, 0x50, 0),
      0);
  ck_assert_uint_eq(frame->id, 4);
  ck_assert_uint_eq(frame->code, 0);
  ck_assert_uint_eq(frame->method, 1);
  ck_assert_uint_eq(frame->timeout_us, 7);
  ck_assert_uint_eq(frame->window, 9);
  ck_assert(!frame->not_begun);
  ck_assert_uint_eq(frame->payload_length, 2);
  ck_assert_mem_eq(frame->payload, "bc", 2);
  ck_assert_uint_eq(frame->status->code, 6);
  ck_assert_str_eq(frame->status->text, "x");
  ck_assert_uint_eq(frame->hello->version, 1);
  ck_assert_uint_eq(frame->hello->stream_window, 5);
  ck_assert_uint_eq(frame->metadata_count, 2);
  ck_assert_str_eq(frame->metadata[0].key, "k");
  ck_assert_str_eq(frame->metadata[1].key, "l");
}
END_TEST

/* Numbers that are longer than they have to be, or wider than their field. */
START_TEST(numbers_of_any_length) {
  const struct psock_rpc_frame *frame;
  ck_assert_int_eq(TAKE(&frame, 0x88, 0x80, 0x00, 0x85, 0x00, /* id 5 */
                       0x10, 0x81, 0x80, 0x80, 0x80, 0x10, /* code 2^32 + 1 */
                       0xa2, 0x00, 0x81, 0x80, 0x00, 'p',  /* a long count */
                       0x50, 0x80, 0x02),                  /* a long bool */
      0);
  ck_assert_uint_eq(frame->id, 5);
  ck_assert_uint_eq(frame->code, 1);
  ck_assert_uint_eq(frame->payload_length, 1);
  ck_assert(frame->not_begun);
}
END_TEST

/* A text or a key ends at a zero. */
START_TEST(zeros_inside) {
  const struct psock_rpc_frame *frame;
  ck_assert_int_eq(TAKE(&frame, 0x32, 5, 0x12, 3, 'a', 0, 'b', /* status */
                       0x3a, 10, 0x0a, 3, 'k', 0, 'l', 0x12, 3, 1, 0, 2),
      0);
  ck_assert_str_eq(frame->status->text, "a");
  ck_assert_str_eq(frame->metadata[0].key, "k");
  ck_assert_uint_eq(frame->metadata[0].length, 3);
  ck_assert_mem_eq(frame->metadata[0].value, ((uint8_t[]){1, 0, 2}), 3);
}
END_TEST

/* Absent parts are empty, not NULL. */
START_TEST(absent_parts) {
  const struct psock_rpc_frame *frame;
  ck_assert_int_eq(TAKE(&frame, 0x32, 0, 0x3a, 0), 0);
  ck_assert_str_eq(frame->status->text, "");
  ck_assert_uint_eq(frame->status->details_length, 0);
  ck_assert_str_eq(frame->metadata[0].key, "");
  ck_assert_uint_eq(frame->metadata[0].length, 0);
  ck_assert_ptr_nonnull(frame->metadata[0].value);
}
END_TEST

/* Unknown fields of every wire type, and known ones with a wrong one, between
 * others. */
START_TEST(unknown_fields) {
  static const uint8_t unknown[] = {0x58, 0x85, 1, /* 11: a varint */
      0x59, 1, 2, 3, 4, 5, 6, 7, 8, 0x5a, 2, 'a', 'b', 0x5d, 1, 2, 3, 4, 0xf8,
      0xff, 0xff, 0xff, 0x0f, 1, /* the largest number */
      0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x12, 1, 0, 0x18, 7, 0x25, 1, 2, 3, 4, 0x2a,
      0, 0x30, 1, 0x38, 1, 0x42, 0, 0x48, 1, 0x52, 1, 1};
  const struct psock_rpc_frame *frame;
  struct bytes inner = bytes_copy(unknown, sizeof unknown);
  struct bytes body = bytes_new(5 * sizeof unknown);
  size_t length = 0;
  body.at[length++] = 0x08;
  body.at[length++] = 3;
  memcpy(body.at + length, unknown, sizeof unknown);
  length += sizeof unknown;
  /* From field 11 on they are unknown in status, metadata and hello, too. */
  inner.length = 27;
  for (uint32_t field = 6; field <= 9; field += field == 7 ? 2 : 1) {
    struct bytes part = wrap(field, bytes_copy(inner.at, inner.length));
    memcpy(body.at + length, part.at, part.length);
    length += part.length;
    free(part.at);
  }
  body.at[length++] = 0x10;
  body.at[length++] = 2;
  body.length = length;
  free(inner.at);
  ck_assert_int_eq(take(body, &frame), 0);
  ck_assert_uint_eq(frame->id, 3);
  ck_assert_uint_eq(frame->code, 2);
  ck_assert_uint_eq(frame->method, 0);
  ck_assert_uint_eq(frame->payload_length, 0);
  ck_assert_uint_eq(frame->metadata_count, 1);
  ck_assert_uint_eq(frame->status->code, 0);
  ck_assert_uint_eq(frame->hello->version, 0);
  ck_assert(!frame->not_begun);
}
END_TEST

/* As many as fit take no memory. */
START_TEST(unknown_fields_take_no_memory) {
  const struct psock_rpc_frame *frame;
  codec_with((struct psock_protobuf_options){
      .memory_factor = 1, .memory_min = 512, .memory_max = 512});
  struct bytes body = bytes_new(100000);
  for (size_t i = 0; i < body.length; i += 2) {
    body.at[i] = 0x58;
    body.at[i + 1] = 1;
  }
  ck_assert_int_eq(take(body, &frame), 0);
}
END_TEST

START_TEST(malformed) {
  const struct psock_rpc_frame *frame = NULL;
  static const struct {
    uint8_t length;
    uint8_t bytes[16];
  } bad[] = {
      {1, {0x08}},       /* no value */
      {1, {0x88}},       /* no end of the tag */
      {2, {0x08, 0x80}}, /* nor of the number */
      {12, {0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}},
      {2, {0x00, 1}},               /* field 0 */
      {2, {0x07, 1}},               /* also field 0 */
      {4, {0x1d, 1, 2, 3}},         /* a short fixed32 */
      {3, {0x22, 2, 1}},            /* a short payload */
      {1, {0x22}},                  /* without a count */
      {2, {0x32, 1}},               /* a short status */
      {3, {0x32, 1, 0x08}},         /* without a code */
      {5, {0x32, 3, 0x12, 2, 'a'}}, /* a short text */
      {5, {0x32, 3, 0x1a, 2, 'a'}}, /* short details */
      {3, {0x32, 1, 0x88}},         /* half a tag */
      {4, {0x3a, 2, 0x0a, 1}},      /* a short key */
      {4, {0x3a, 2, 0x12, 1}},      /* a short value */
      {3, {0x4a, 1, 0x08}},         /* no version */
      {4, {0x4a, 2, 0x20, 0x80}},   /* features without end */
      {2, {0x50, 0x80}},            /* a bool without end */
      {4, {0x5b, 0x08, 1, 0x5c}},   /* a group */
      {1, {0x5c}},                  /* its end */
      {2, {0x5e, 1}},               /* wire types 6 and 7 */
      {2, {0x5f, 1}},
      {9, {0x59, 1, 2, 3, 4, 5, 6, 7}}, /* a short fixed64 */
      {3, {0x5d, 1, 2}},
      {3, {0x5a, 2, 1}},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    size_t length = bad[i].length;
    if (bad[i].bytes[0] == 0x59)
      length--; /* seven of eight */
    ck_assert_int_eq(
        take(bytes_copy(bad[i].bytes, length), &frame), PSOCK_EMALFORMED);
  }
}
END_TEST

/* The stream cut, and the body of a frame cut: as protobuf-c sees it. */
START_TEST(cut_at_every_byte) {
  struct psock_rpc_frame full = full_frame();
  struct bytes bytes = encoded(&full);
  size_t prefix = prefix_of(bytes);
  for (size_t length = 1; length < bytes.length; length++) {
    struct psock_decoded decoded = {0};
    REQUIRE(decode_cut(codec, &memory, bytes.at, length, &decoded) ==
            PSOCK_DECODE_INCOMPLETE);
    REQUIRE(decoded.needed == (length < prefix ? 0 : bytes.length));
  }
  for (size_t length = 0; length < bytes.length - prefix; length++) {
    const struct psock_rpc_frame *frame;
    int error = take(bytes_copy(bytes.at + prefix, length), &frame);
    Reference *reference =
        protosocket__rpc__frame__unpack(NULL, length, bytes.at + prefix);
    REQUIRE((reference == NULL) == (error == PSOCK_EMALFORMED));
    REQUIRE((reference != NULL) == (error == PSOCK_DECODE_MESSAGE));
    if (reference != NULL)
      assert_same(frame, reference);
    protosocket__rpc__frame__free_unpacked(reference, NULL);
  }
  free(bytes.at);
}
END_TEST

/* What protobuf-c still takes is taken, and means the same. It also takes a
 * bool of another wire type than it should have, which here is unknown. */
START_TEST(corrupted_at_every_byte) {
  struct psock_rpc_frame full = full_frame();
  struct bytes bytes = encoded(&full);
  size_t prefix = prefix_of(bytes);
  size_t length = bytes.length - prefix;
  unsigned taken = 0;
  anything = true;
  for (size_t at = 0; at < length; at++)
    for (unsigned value = 0; value < 256; value++) {
      const struct psock_rpc_frame *frame;
      struct bytes body = bytes_copy(bytes.at + prefix, length);
      body.at[at] = (uint8_t)value;
      Reference *reference =
          protosocket__rpc__frame__unpack(NULL, body.length, body.at);
      int error = take(body, &frame);
      REQUIRE(error == PSOCK_DECODE_MESSAGE || error == PSOCK_EMALFORMED);
      REQUIRE(reference == NULL || error == PSOCK_DECODE_MESSAGE);
      if (reference != NULL)
        assert_same(frame, reference);
      taken += reference != NULL;
      protosocket__rpc__frame__free_unpacked(reference, NULL);
    }
  ck_assert_uint_gt(taken, 1000);
  free(bytes.at);
}
END_TEST

START_TEST(random_bytes) {
  uint64_t random = 99;
  anything = true;
  for (int i = 0; i < 20000; i++) {
    const struct psock_rpc_frame *frame;
    struct bytes body = bytes_new(random_below(&random, 60));
    for (size_t at = 0; at < body.length; at++)
      body.at[at] =
          (uint8_t)(random_below(&random, 3) == 0
                        ? next_random(&random)
                        : random_below(&random, 12) << 3 | (at % 2 ? 2 : 0));
    Reference *reference =
        protosocket__rpc__frame__unpack(NULL, body.length, body.at);
    int error = take(body, &frame);
    REQUIRE(reference == NULL || error == PSOCK_DECODE_MESSAGE);
    if (reference != NULL)
      assert_same(frame, reference);
    protosocket__rpc__frame__free_unpacked(reference, NULL);
  }
}
END_TEST

static void add_both_ways(TCase *tcase) {
  tcase_add_test(tcase, each_field);
  tcase_add_test(tcase, random_frames);
  tcase_add_test(tcase, payload_of_a_message);
  tcase_add_test(tcase, payload_of_many_parts);
  tcase_add_test(tcase, tries_hold_no_memory);
  tcase_add_test(tcase, payload_of_bytes);
  tcase_add_test(tcase, payload_when_lending);
  tcase_add_test(tcase, messages_that_are_none);
  tcase_add_test(tcase, a_type_without_descriptor);
}

static void add_inbound(TCase *tcase) {
  tcase_add_test(tcase, fields_that_come_again);
  tcase_add_test(tcase, numbers_of_any_length);
  tcase_add_test(tcase, zeros_inside);
  tcase_add_test(tcase, absent_parts);
  tcase_add_test(tcase, unknown_fields);
  tcase_add_test(tcase, unknown_fields_take_no_memory);
  tcase_add_test(tcase, malformed);
  tcase_add_test(tcase, cut_at_every_byte);
  tcase_add_test(tcase, corrupted_at_every_byte);
  tcase_add_test(tcase, random_bytes);
}

int main(void) {
  TCase *tcase = tcase_create("frame");
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_set_timeout(tcase, 60);
  add_both_ways(tcase);
  add_inbound(tcase);
  return run_case(tcase, "frame");
}
