/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec.psock.h"
#include "echo.psock.h"
#include "lib/plain_codec.h"
#include "rpc/frames.h"

/*
 * What protobuf-c knows nothing of: how long frames may be, and are; bounds of
 * metadata and memory; memory that is out; and payloads that are encoded alone.
 */

/* ---- Lengths ---- */

/* Behind others, each has its own. */
START_TEST(length_of_each) {
  struct psock_rpc_frame frame = full_frame();
  size_t length = 0;
  frame.ret_length = &length;
  for (size_t i = 1; i < 50; i++) {
    size_t before = memory.buffer.length;
    frame.payload_length = i % sizeof some_bytes;
    ck_assert_int_eq(codec->encode(codec, &frame, &memory.buffer), 0);
    ck_assert_uint_eq(length, memory.buffer.length - before);
  }
}
END_TEST

START_TEST(longest_frame) {
  static const uint8_t payload[300];
  codec_with((struct psock_protobuf_options){.max_message = 200});
  struct psock_rpc_frame frame = {.id = 1, .payload = payload};
  for (size_t length = 100; length <= 300; length++) {
    size_t body = length + (length < 128 ? 4 : 5);
    int expected = body > 200 ? PSOCK_ETOOBIG : 0;
    size_t whole = 0;
    frame.ret_length = &whole;
    frame.payload_length = length;
    frame.max_length = 0;
    ck_assert_int_eq(codec->encode(codec, &frame, &memory.buffer), expected);
    ck_assert_uint_eq(whole, expected != 0 ? 0 : body + (body < 128 ? 1u : 2u));
    /* The peer's limit, around this length; ours still holds. */
    for (size_t most = body - 1; most <= body + 1; most++) {
      frame.max_length = most;
      ck_assert_int_eq(codec->encode(codec, &frame, &memory.buffer),
          most < body ? PSOCK_ETOOBIG : expected);
    }
    psock_buffer_clear(&memory.buffer);
  }
}
END_TEST

/* Above what is tried first, and far above it. */
START_TEST(longest_long_frame) {
  EchoRequest request;
  echo_request__init(&request);
  static char text[70000];
  memset(text, 'x', sizeof text - 1);
  request.message = text;
  struct psock_rpc_frame frame = {
      .type = &echo_request__type, .message = &request};
  static const size_t limits[] = {1, 511, 512, 4096, 50000, 69000, 70006};
  struct bytes bytes = encoded(&frame);
  size_t body = bytes.length - prefix_of(bytes);
  free(bytes.at);
  ck_assert_uint_eq(body, 70007);
  for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
    frame.max_length = limits[i];
    ck_assert_int_eq(
        codec->encode(codec, &frame, &memory.buffer), PSOCK_ETOOBIG);
    ck_assert_uint_eq(memory.buffer.length, 0);
  }
  frame.max_length = body;
  ck_assert_int_eq(codec->encode(codec, &frame, &memory.buffer), 0);
  frame.max_length = UINT64_MAX;
  ck_assert_int_eq(codec->encode(codec, &frame, &memory.buffer), 0);
}
END_TEST

/* The same with parts of which none is too long by itself. */
START_TEST(longest_frame_of_many_parts) {
  enum { COUNT = 5000 };
  static char *texts[COUNT];
  for (size_t i = 0; i < COUNT; i++)
    texts[i] = (char *)(uintptr_t) "part";
  Codec__Plain plain;
  codec__plain__init(&plain);
  plain.texts = texts;
  plain.n_texts = COUNT;
  struct psock_rpc_frame frame = {
      .type = &codec__plain__type, .message = &plain};
  struct bytes bytes = encoded(&frame);
  size_t body = bytes.length - prefix_of(bytes);
  free(bytes.at);
  for (size_t less = 0; less < body; less += 1 + less) {
    frame.max_length = body - less;
    ck_assert_int_eq(codec->encode(codec, &frame, &memory.buffer),
        less == 0 ? 0 : PSOCK_ETOOBIG);
  }
}
END_TEST

START_TEST(too_long_a_count) {
  static const uint8_t bytes[] = {0xc9, 0x01};
  struct psock_decoded decoded = {0};
  codec_with((struct psock_protobuf_options){.max_message = 200});
  ck_assert_int_eq(
      decode_cut(codec, &memory, bytes, 2, &decoded), PSOCK_ETOOBIG);
  static const uint8_t endless[] = {
      255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
  ck_assert_int_eq(
      decode_cut(codec, &memory, endless, sizeof endless, &decoded),
      PSOCK_EMALFORMED);
}
END_TEST

/* Entries with keys of `key_length` bytes. */
static int take_metadata(size_t count, size_t key_length, size_t extra) {
  static char key[PSOCK_METADATA_BYTES + 1];
  static const uint8_t value[PSOCK_METADATA_BYTES];
  struct psock_metadata entries[PSOCK_METADATA_ENTRIES + 1];
  const struct psock_rpc_frame *got;
  memset(key, 'k', sizeof key - 1);
  for (size_t i = 0; i < count; i++)
    entries[i] = (struct psock_metadata){
        .key = key + sizeof key - 1 - key_length, .value = value};
  entries[0].length = extra;
  struct psock_rpc_frame frame = {.metadata = entries, .metadata_count = count};
  struct bytes bytes = encoded(&frame);
  size_t prefix = prefix_of(bytes);
  int error = take(bytes_copy(bytes.at + prefix, bytes.length - prefix), &got);
  if (error == 0)
    ck_assert_uint_eq(got->metadata_count, count);
  free(bytes.at);
  return error;
}

START_TEST(most_metadata) {
  ck_assert_int_eq(take_metadata(64, 3, 0), 0);
  ck_assert_int_eq(take_metadata(65, 3, 0), PSOCK_EMALFORMED);
  ck_assert_int_eq(take_metadata(64, 96, 0), 0); /* 64 * (96 + 32) = 8192 */
  ck_assert_int_eq(take_metadata(64, 96, 1), PSOCK_EMALFORMED);
  ck_assert_int_eq(take_metadata(1, 8160, 0), 0);
  ck_assert_int_eq(take_metadata(1, 8161, 0), PSOCK_EMALFORMED);
  ck_assert_int_eq(take_metadata(1, 5, 8155), 0);
  ck_assert_int_eq(take_metadata(1, 5, 8156), PSOCK_EMALFORMED);
}
END_TEST

/* Details are copied, however long they are, and count as memory. */
START_TEST(long_details) {
  struct bytes details = bytes_new(100000);
  memset(details.at, 3, details.length);
  struct psock_status status = {.size = sizeof status,
      .details = details.at,
      .details_length = details.length};
  struct psock_rpc_frame frame = {.status = &status};
  assert_as_protobuf_c(&frame);
  struct bytes bytes = encoded(&frame);
  int error;
  const struct psock_rpc_frame *got = decode_where_it_is(bytes, &error);
  ck_assert_ptr_nonnull(got);
  ck_assert(got->status->details < bytes.at ||
            got->status->details >= bytes.at + bytes.length);
  codec_with((struct psock_protobuf_options){
      .memory_factor = 1, .memory_min = 1024, .memory_max = 99999});
  ck_assert_ptr_null(decode_where_it_is(bytes, &error));
  ck_assert_int_eq(error, PSOCK_EMEMLIMIT);
  free(bytes.at);
  free(details.at);
}
END_TEST

START_TEST(options) {
  psock_codec *none = NULL;
  struct psock_protobuf_options given = {.size = 0};
  ck_assert_int_eq(psock_frame_codec_new(&given, &none), PSOCK_EINVAL);
  given = (struct psock_protobuf_options){
      .size = sizeof given, .max_message = ((size_t)1 << 30) + 1};
  ck_assert_int_eq(psock_frame_codec_new(&given, &none), PSOCK_EINVAL);
  given =
      (struct psock_protobuf_options){.size = sizeof given, .max_depth = 1001};
  ck_assert_int_eq(psock_frame_codec_new(&given, &none), PSOCK_EINVAL);
  given = (struct psock_protobuf_options){
      .size = sizeof given, .memory_min = 2, .memory_max = 1};
  ck_assert_int_eq(psock_frame_codec_new(&given, &none), PSOCK_EINVAL);
  ck_assert_ptr_null(none);
  psock_frame_codec_free(NULL);

  const struct psock_protobuf_limits *limits = psock_frame_codec_limits(codec);
  ck_assert_uint_eq(limits->max_message, 4u << 20);
  ck_assert_uint_eq(limits->max_depth, 100);
  ck_assert_uint_eq(limits->memory_factor, 64);
  ck_assert_uint_eq(limits->memory_min, 64u << 10);
  ck_assert_uint_eq(limits->memory_max, 64u << 20);
  codec_with((struct psock_protobuf_options){.max_message = 5,
      .max_depth = 6,
      .memory_factor = 7,
      .memory_min = 8,
      .memory_max = 9});
  limits = psock_frame_codec_limits(codec);
  ck_assert_uint_eq(limits->max_message, 5);
  ck_assert_uint_eq(limits->max_depth, 6);
  ck_assert_uint_eq(limits->memory_factor, 7);
  ck_assert_uint_eq(limits->memory_min, 8);
  ck_assert_uint_eq(limits->memory_max, 9);
}
END_TEST

/* The frames of all these codecs are of one type, which is no message's. */
START_TEST(what_frames_are) {
  psock_codec *other;
  ck_assert_int_eq(psock_frame_codec_new(NULL, &other), 0);
  ck_assert_ptr_nonnull(codec->type);
  ck_assert_ptr_eq(codec->type, other->type);
  psock_frame_codec_free(other);
}
END_TEST

/* ---- Memory that is out ---- */

START_TEST(no_memory_for_the_codec) {
  psock_codec *none = NULL;
  struct psock_protobuf_options given = {
      .size = sizeof given, .allocator = &memory.faulty.allocator};
  faulty_set(&memory.faulty, 1, false);
  ck_assert_int_eq(psock_frame_codec_new(&given, &none), PSOCK_ENOMEM);
  ck_assert_ptr_null(none);
  faulty_set(&memory.faulty, 0, false);
  ck_assert_int_eq(psock_frame_codec_new(&given, &none), 0);
  psock_frame_codec_free(none);
}
END_TEST

/* With everything, and long enough for several blocks. */
static struct psock_rpc_frame large_frame(struct psock_status *status) {
  static const uint8_t details[60000];
  struct psock_rpc_frame frame = full_frame();
  *status = full_status;
  status->details = details;
  status->details_length = sizeof details;
  frame.status = status;
  frame.payload = details;
  frame.payload_length = sizeof details;
  return frame;
}

START_TEST(no_memory_to_decode) {
  struct psock_status status;
  struct psock_rpc_frame frame = large_frame(&status);
  struct bytes bytes = encoded(&frame);
  int error = PSOCK_ENOMEM;
  size_t at = 0;
  while (error == PSOCK_ENOMEM) {
    /* Nothing is kept of the last try. */
    psock_arena_unref(memory.arena);
    memory.arena = psock_arena_new(&memory.pool);
    faulty_set(&memory.faulty, ++at, _i == 1);
    decode_where_it_is(bytes, &error);
    faulty_set(&memory.faulty, 0, false);
  }
  ck_assert_int_eq(error, 0);
  ck_assert_uint_gt(at, 2);
  free(bytes.at);
}
END_TEST

START_TEST(no_memory_to_encode) {
  struct psock_status status;
  struct psock_rpc_frame frame = large_frame(&status);
  size_t length = 1;
  int error = PSOCK_ENOMEM;
  size_t at = 0;
  frame.ret_length = &length;
  while (error == PSOCK_ENOMEM) {
    struct psock_buffer_mark mark = psock_buffer_mark(&memory.buffer);
    faulty_set(&memory.faulty, ++at, _i == 1);
    error = codec->encode(codec, &frame, &memory.buffer);
    faulty_set(&memory.faulty, 0, false);
    ck_assert((length == 1) == (error != 0));
    psock_buffer_rewind(&memory.buffer, &mark);
  }
  ck_assert_int_eq(error, 0);
  ck_assert_uint_gt(at, 2);
}
END_TEST

/* ---- A payload alone ---- */

START_TEST(encoded_alone) {
  static char text[20001];
  memset(text, 'x', sizeof text - 1);
  EchoRequest request;
  echo_request__init(&request);
  request.nanotime = 5;
  for (size_t length = 0; length < sizeof text; length += 1 + length / 20) {
    uint8_t *payload = NULL;
    size_t got = 0;
    request.message = text + sizeof text - 1 - length;
    struct bytes expected = packed(&request);
    size_t held = atomic_load(&memory.heap->held);
    ck_assert_int_eq(psock_frame_encode_payload(expected.length, memory.heap,
                         &echo_request__type, &request, &payload, &got),
        0);
    ck_assert(bytes_equal(expected, payload, got));
    ck_assert_uint_eq(atomic_load(&memory.heap->held), held + got);
    psock_heap_release(memory.heap, payload, got);
    payload = NULL;
    got = 7;
    ck_assert_int_eq(
        psock_frame_encode_payload(expected.length - 1, memory.heap,
            &echo_request__type, &request, &payload, &got),
        PSOCK_ETOOBIG);
    ck_assert_ptr_null(payload);
    ck_assert_uint_eq(got, 7);
    ck_assert_uint_eq(atomic_load(&memory.heap->held), held);
    free(expected.at);
  }
}
END_TEST

/* Of many parts, for which several tries are needed. */
START_TEST(parts_encoded_alone) {
  enum { COUNT = 3000 };
  static char *texts[COUNT];
  for (size_t i = 0; i < COUNT; i++)
    texts[i] = (char *)(uintptr_t) "part";
  Codec__Plain plain;
  codec__plain__init(&plain);
  plain.texts = texts;
  plain.n_texts = COUNT;
  uint8_t *payload;
  size_t length;
  struct bytes expected = packed(&plain);
  ck_assert_int_eq(psock_frame_encode_payload(expected.length, memory.heap,
                       &codec__plain__type, &plain, &payload, &length),
      0);
  ck_assert(bytes_equal(expected, payload, length));
  ck_assert_uint_eq(atomic_load(&memory.heap->held), length);
  psock_heap_release(memory.heap, payload, length);
  ck_assert_int_eq(psock_frame_encode_payload(expected.length / 2, memory.heap,
                       &codec__plain__type, &plain, &payload, &length),
      PSOCK_ETOOBIG);
  ck_assert_uint_eq(atomic_load(&memory.heap->held), 0);
  free(expected.at);
}
END_TEST

START_TEST(nothing_encoded_alone) {
  EchoRequest request;
  echo_request__init(&request);
  EchoResponse response;
  echo_response__init(&response);
  struct psock_message_type plain =
      psock_message_type_of(&echo_request__descriptor);
  uint8_t *payload = NULL;
  size_t length = 7;
  ck_assert_int_eq(psock_frame_encode_payload(
                       9, memory.heap, &plain, &request, &payload, &length),
      PSOCK_ENOTSUP);
  ck_assert_int_eq(psock_frame_encode_payload(9, memory.heap,
                       &echo_request__type, &response, &payload, &length),
      PSOCK_EINVAL);
  ck_assert_uint_eq(length, 7);
  ck_assert_int_eq(psock_frame_encode_payload(9, memory.heap,
                       &echo_request__type, &request, &payload, &length),
      0);
  ck_assert_ptr_null(payload);
  ck_assert_uint_eq(length, 0);
}
END_TEST

/* Memory is used again as long as it is enough. */
START_TEST(encoded_again) {
  static char text[3001];
  EchoRequest request;
  echo_request__init(&request);
  uint8_t *payload = NULL;
  size_t capacity = 0;
  size_t most = 0;
  static const size_t lengths[] = {0, 10, 5, 10, 0, 11, 3000, 20, 2999, 600};
  memset(text, 'x', sizeof text - 1);
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    size_t length = 0;
    request.message = text + sizeof text - 1 - lengths[i];
    struct bytes expected = packed(&request);
    ck_assert_int_eq(
        psock_frame_encode_payload_again(4000, memory.heap, &echo_request__type,
            &request, &payload, &capacity, &length),
        0);
    ck_assert(bytes_equal(expected, payload, length));
    most = length > most ? length : most;
    ck_assert_uint_eq(capacity, most);
    ck_assert_uint_eq(atomic_load(&memory.heap->held), capacity);
    free(expected.at);
  }
  faulty_set(&memory.faulty, 1, true);
  size_t length = 0;
  request.message = text + sizeof text - 1 - 400;
  ck_assert_int_eq(
      psock_frame_encode_payload_again(4000, memory.heap, &echo_request__type,
          &request, &payload, &capacity, &length),
      0);
  faulty_set(&memory.faulty, 0, false);
  psock_heap_release(memory.heap, payload, capacity);
}
END_TEST

START_TEST(no_memory_to_encode_alone) {
  static char text[70001];
  memset(text, 'x', sizeof text - 1);
  EchoRequest request;
  echo_request__init(&request);
  request.message = text;
  uint8_t *payload = psock_heap_hold(memory.heap, 3);
  uint8_t *before = payload;
  size_t capacity = 3;
  size_t length = 7;
  int error = PSOCK_ENOMEM;
  size_t at = 0;
  while (error == PSOCK_ENOMEM) {
    faulty_set(&memory.faulty, ++at, false);
    error = psock_frame_encode_payload_again(1u << 20, memory.heap,
        &echo_request__type, &request, &payload, &capacity, &length);
    faulty_set(&memory.faulty, 0, false);
    if (error == 0)
      break;
    ck_assert_ptr_eq(payload, before);
    ck_assert_uint_eq(capacity, 3);
    ck_assert_uint_eq(length, 7);
    ck_assert_uint_eq(atomic_load(&memory.heap->held), 3);
  }
  ck_assert_int_eq(error, 0);
  ck_assert_uint_eq(at, 3);
  ck_assert_uint_eq(length, capacity);
  psock_heap_release(memory.heap, payload, capacity);
}
END_TEST

int main(void) {
  TCase *tcase = tcase_create("frame limits");
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_set_timeout(tcase, 60);
  tcase_add_test(tcase, length_of_each);
  tcase_add_test(tcase, longest_frame);
  tcase_add_test(tcase, longest_long_frame);
  tcase_add_test(tcase, longest_frame_of_many_parts);
  tcase_add_test(tcase, too_long_a_count);
  tcase_add_test(tcase, most_metadata);
  tcase_add_test(tcase, long_details);
  tcase_add_test(tcase, options);
  tcase_add_test(tcase, what_frames_are);
  tcase_add_test(tcase, no_memory_for_the_codec);
  tcase_add_loop_test(tcase, no_memory_to_decode, 0, 2);
  tcase_add_loop_test(tcase, no_memory_to_encode, 0, 2);
  tcase_add_test(tcase, encoded_alone);
  tcase_add_test(tcase, parts_encoded_alone);
  tcase_add_test(tcase, nothing_encoded_alone);
  tcase_add_test(tcase, encoded_again);
  tcase_add_test(tcase, no_memory_to_encode_alone);
  return run_case(tcase, "frame limits");
}
