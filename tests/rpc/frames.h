/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_RPC_FRAMES_H
#define TESTS_RPC_FRAMES_H

#include "codec/protobuf.h"
#include "protosocket/rpc.pb-c.h"
#include "rpc/frame.h"
#include "unit/test_codec.h"

/*
 * What the tests of the codec of frames share: frames as protobuf-c has them,
 * to compare with, and some to try.
 */

typedef Protosocket__Rpc__Frame Reference;
typedef Protosocket__Rpc__Metadata ReferenceEntry;

static struct memory memory;
static psock_codec *codec;

/* Bytes are tried that are anything: where status or hello comes twice,
 * protobuf-c forgets the numbers of the first one. */
static bool anything;

static inline void setup(void) {
  anything = false;
  memory_init(&memory);
  ck_assert_int_eq(psock_frame_codec_new(NULL, &codec), 0);
}

static inline void teardown(void) {
  psock_frame_codec_free(codec);
  memory_fini(&memory);
}

static inline void codec_with(struct psock_protobuf_options options) {
  psock_frame_codec_free(codec);
  options.size = sizeof options;
  ck_assert_int_eq(psock_frame_codec_new(&options, &codec), 0);
}

/* ---- Frames as protobuf-c has them ---- */

static inline struct bytes packed(const void *message) {
  struct bytes body = bytes_new(protobuf_c_message_get_packed_size(message));
  protobuf_c_message_pack(message, body.at);
  return body;
}

/* Owns what the reference points to. */
struct reference {
  Reference frame;
  Protosocket__Rpc__Status status;
  Protosocket__Rpc__Hello hello;
  ReferenceEntry entries[PSOCK_METADATA_ENTRIES + 1];
  ReferenceEntry *list[PSOCK_METADATA_ENTRIES + 1];
  struct bytes payload;
};

static inline ProtobufCBinaryData data_of(const uint8_t *at, size_t length) {
  return (ProtobufCBinaryData){length, (uint8_t *)(uintptr_t)at};
}

static inline void refer_to_parts(
    struct reference *reference, const struct psock_rpc_frame *frame) {
  Reference *out = &reference->frame;
  if (frame->status != NULL) {
    protosocket__rpc__status__init(&reference->status);
    reference->status.code = frame->status->code;
    if (frame->status->text != NULL)
      reference->status.message = (char *)(uintptr_t)frame->status->text;
    reference->status.details =
        data_of(frame->status->details, frame->status->details_length);
    out->status = &reference->status;
  }
  if (frame->hello != NULL) {
    protosocket__rpc__hello__init(&reference->hello);
    reference->hello.version = frame->hello->version;
    reference->hello.stream_window = frame->hello->stream_window;
    reference->hello.max_frame_size = frame->hello->max_frame_size;
    reference->hello.features = frame->hello->features;
    out->hello = &reference->hello;
  }
  for (size_t i = 0; i < frame->metadata_count; i++) {
    ReferenceEntry *entry = &reference->entries[i];
    protosocket__rpc__metadata__init(entry);
    entry->key = (char *)(uintptr_t)frame->metadata[i].key;
    entry->value = data_of(frame->metadata[i].value, frame->metadata[i].length);
    reference->list[i] = entry;
  }
  out->n_metadata = frame->metadata_count;
  out->metadata = reference->list;
}

/* The bytes of `frame`, with their count. */
static inline struct bytes reference_bytes(
    const struct psock_rpc_frame *frame) {
  static struct reference reference;
  Reference *out = &reference.frame;
  protosocket__rpc__frame__init(out);
  out->id = frame->id;
  out->code = frame->code;
  out->method = frame->method;
  out->timeout_us = frame->timeout_us;
  out->window = frame->window;
  out->not_begun = frame->not_begun;
  refer_to_parts(&reference, frame);
  reference.payload = frame->message != NULL
                          ? packed(frame->message)
                          : bytes_copy(frame->payload, frame->payload_length);
  out->payload = data_of(reference.payload.at, reference.payload.length);
  struct bytes bytes = frame_of(packed(out));
  free(reference.payload.at);
  return bytes;
}

static inline bool same(
    const void *one, size_t one_length, const ProtobufCBinaryData *other) {
  return one_length == other->len &&
         (one_length == 0 || memcmp(one, other->data, one_length) == 0);
}

static inline bool same_number(uint64_t one, uint64_t other) {
  return one == other || (anything && other == 0);
}

static inline void assert_same_status(const struct psock_status *status,
    const Protosocket__Rpc__Status *reference) {
  REQUIRE((status == NULL) == (reference == NULL));
  if (status == NULL)
    return;
  REQUIRE(status->size == sizeof *status);
  REQUIRE(same_number(status->code, reference->code));
  REQUIRE(strcmp(status->text, reference->message) == 0);
  REQUIRE(same(status->details, status->details_length, &reference->details));
  REQUIRE(!status->not_begun);
}

static inline void assert_same_hello(
    const struct psock_hello *hello, const Protosocket__Rpc__Hello *reference) {
  REQUIRE((hello == NULL) == (reference == NULL));
  if (hello == NULL)
    return;
  REQUIRE(same_number(hello->version, reference->version));
  REQUIRE(same_number(hello->stream_window, reference->stream_window));
  REQUIRE(same_number(hello->max_frame_size, reference->max_frame_size));
  REQUIRE(same_number(hello->features, reference->features));
}

/* But for `not_begun`; see corrupted_at_every_byte. */
static inline void assert_same(
    const struct psock_rpc_frame *frame, const Reference *reference) {
  REQUIRE(frame->id == reference->id);
  REQUIRE(frame->code == reference->code);
  REQUIRE(frame->method == reference->method);
  REQUIRE(frame->timeout_us == reference->timeout_us);
  REQUIRE(frame->window == reference->window);
  REQUIRE(same(frame->payload, frame->payload_length, &reference->payload));
  assert_same_status(frame->status, reference->status);
  assert_same_hello(frame->hello, reference->hello);
  REQUIRE(frame->metadata_count == reference->n_metadata);
  for (size_t i = 0; i < frame->metadata_count; i++) {
    REQUIRE(strcmp(frame->metadata[i].key, reference->metadata[i]->key) == 0);
    REQUIRE(same(frame->metadata[i].value, frame->metadata[i].length,
        &reference->metadata[i]->value));
  }
}

static inline size_t prefix_of(struct bytes bytes) {
  uint64_t count;
  int prefix = psock_count_get(bytes.at, bytes.length, &count);
  REQUIRE(prefix > 0 && (size_t)prefix + count == bytes.length);
  return (size_t)prefix;
}

static inline Reference *unpacked(struct bytes bytes) {
  size_t prefix = prefix_of(bytes);
  return protosocket__rpc__frame__unpack(
      NULL, bytes.length - prefix, bytes.at + prefix);
}

/* ---- Here and back ---- */

/* Decodes `bytes`, which stay where they are; NULL: `*ret_error` says why. */
static inline const struct psock_rpc_frame *decode_where_it_is(
    struct bytes bytes, int *ret_error) {
  struct psock_decoded decoded = {0};
  psock_arena_next(&memory.arena);
  *ret_error =
      codec->decode(codec, bytes.at, bytes.length, memory.arena, &decoded);
  if (*ret_error != PSOCK_DECODE_MESSAGE)
    return NULL;
  const struct psock_rpc_frame *frame = decoded.message;
  REQUIRE(decoded.consumed == bytes.length);
  REQUIRE(decoded.detached);
  REQUIRE(frame->length == bytes.length);
  REQUIRE(frame->type == NULL && frame->message == NULL);
  REQUIRE(frame->ret_length == NULL && frame->max_length == 0);
  if (frame->payload_length > 0)
    REQUIRE(frame->payload > bytes.at &&
            frame->payload_length <=
                (size_t)(bytes.at + bytes.length - frame->payload));
  return frame;
}

static inline struct bytes encoded(const struct psock_rpc_frame *frame) {
  size_t length = 0;
  struct psock_rpc_frame copy = *frame;
  copy.ret_length = &length;
  ck_assert_int_eq(codec->encode(codec, &copy, &memory.buffer), 0);
  struct bytes bytes = bytes_take(&memory.buffer);
  REQUIRE(length == bytes.length);
  return bytes;
}

/* What is encoded is what protobuf-c packs, and what is decoded what it
 * unpacks. */
static inline void assert_as_protobuf_c(const struct psock_rpc_frame *frame) {
  int error;
  struct bytes expected = reference_bytes(frame);
  struct bytes bytes = encoded(frame);
  REQUIRE(bytes_equal(expected, bytes.at, bytes.length));
  Reference *reference = unpacked(bytes);
  REQUIRE(reference != NULL);
  const struct psock_rpc_frame *got = decode_where_it_is(bytes, &error);
  REQUIRE(got != NULL);
  assert_same(got, reference);
  REQUIRE(got->not_begun == (reference->not_begun != 0));
  protosocket__rpc__frame__free_unpacked(reference, NULL);
  free(bytes.at);
  free(expected.at);
}

/* ---- Frames to try ---- */

static const uint8_t some_bytes[] = {0, 1, 2, 253, 254, 255};

static const struct psock_status full_status = {
    .size = sizeof full_status,
    .code = 5,
    .text = "not there",
    .details = some_bytes,
    .details_length = sizeof some_bytes,
};

static const struct psock_hello full_hello = {
    .version = 1,
    .stream_window = 262144,
    .max_frame_size = 4194304,
    .features = UINT64_MAX,
};

static const struct psock_metadata some_metadata[] = {
    {"trace", some_bytes, sizeof some_bytes},
    {"empty", NULL, 0},
    {"", some_bytes, 1},
    {"", NULL, 0},
    {"a.b-c_d", some_bytes, 2},
    {"trace", some_bytes + 3, 3},
};
#define SOME (sizeof some_metadata / sizeof some_metadata[0])

/* With everything in it. */
static inline struct psock_rpc_frame full_frame(void) {
  return (struct psock_rpc_frame){
      .id = 300,
      .code = 1,
      .method = 0x12345678,
      .timeout_us = 10000000,
      .window = 65536,
      .not_begun = true,
      .status = &full_status,
      .metadata = some_metadata,
      .metadata_count = SOME,
      .hello = &full_hello,
      .payload = some_bytes,
      .payload_length = sizeof some_bytes,
  };
}

/* Frames of `body`, which is freed. Returns as decode does. */
static inline int take(
    struct bytes body, const struct psock_rpc_frame **ret_frame) {
  static struct bytes bytes;
  int error;
  free(bytes.at); /* of the last time: the payload was there */
  bytes = frame_of(body);
  *ret_frame = decode_where_it_is(bytes, &error);
  return error;
}

#endif
