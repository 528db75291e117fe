/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec.psock.h"
#include "codec_proto2.psock.h"
#include "unit/test_codec.h"
#include <protosocket/protobuf.h>

/*
 * Random messages, whole and damaged: the codec has to say what
 * protobuf_c_message_unpack says, apart from what is nested too deep, and what
 * it decodes has to be the same message.
 */

#define MESSAGES 500
#define SEEDS 8

static const struct psock_message_type *const types[] = {
    &codec__tree__type,
    &codec__struct__type,
    &codec__value__type,
    &codec__chain__type,
    &codec__outer__type,
    &codec__plain__type,
    &codec__every__type,
    &codec__strict__type,
};

#define TYPES (int)(sizeof types / sizeof types[0])

static const unsigned depths[] = {1, 2, 3, 4, 6, 10, 1000};

#define DEPTHS (sizeof depths / sizeof depths[0])

static struct memory memory;

static void setup(void) {
  memory_init(&memory);
}

static void teardown(void) {
  memory_fini(&memory);
}

/* The memory of bytes that grow. */
static size_t capacity_of(size_t length) {
  size_t capacity = 64;
  while (capacity < length)
    capacity *= 2;
  return capacity;
}

static struct bytes growing_new(void) {
  struct bytes bytes = bytes_new(capacity_of(0));
  bytes.length = 0;
  return bytes;
}

static void append(struct bytes *to, const void *at, size_t length) {
  size_t capacity = capacity_of(to->length + length);
  if (capacity > capacity_of(to->length))
    to->at = realloc(to->at, capacity);
  REQUIRE(to->at != NULL);
  if (length > 0)
    memcpy(to->at + to->length, at, length);
  to->length += length;
}

/* Now and then longer than it has to be, where that is allowed. */
static void append_varint(
    struct bytes *to, uint64_t value, size_t max_length, uint64_t *state) {
  uint8_t bytes[PSOCK_COUNT_MAX + 1];
  size_t length = psock_count_put(bytes, value);
  while (length < max_length && random_below(state, 16) == 0) {
    bytes[length - 1] |= 0x80;
    bytes[length++] = 0;
  }
  append(to, bytes, length);
}

static void append_random(struct bytes *to, size_t length, uint64_t *state) {
  for (size_t i = 0; i < length; i++) {
    uint8_t byte = (uint8_t)next_random(state);
    append(to, &byte, 1);
  }
}

/* The wire type that protobuf-c expects of a value. */
static unsigned wire_type_of(ProtobufCType type) {
  switch (type) {
  case PROTOBUF_C_TYPE_SFIXED32:
  case PROTOBUF_C_TYPE_FIXED32:
  case PROTOBUF_C_TYPE_FLOAT:
    return PROTOBUF_C_WIRE_TYPE_32BIT;
  case PROTOBUF_C_TYPE_SFIXED64:
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_DOUBLE:
    return PROTOBUF_C_WIRE_TYPE_64BIT;
  case PROTOBUF_C_TYPE_STRING:
  case PROTOBUF_C_TYPE_BYTES:
  case PROTOBUF_C_TYPE_MESSAGE:
    return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
  default:
    return PROTOBUF_C_WIRE_TYPE_VARINT;
  }
}

static void append_message(struct bytes *to,
    const ProtobufCMessageDescriptor *type, unsigned levels, uint64_t *state);

/* `field` NULL: one that the type doesn't have. */
static void append_field(struct bytes *to,
    const ProtobufCFieldDescriptor *field, unsigned levels, uint64_t *state) {
  static const unsigned wire_types[] = {0, 1, 2, 5};
  unsigned wire_type = field == NULL || random_below(state, 64) == 0
                           ? wire_types[random_below(state, 4)]
                           : wire_type_of(field->type);
  uint64_t number = field == NULL ? 1 + random_below(state, 600) : field->id;
  append_varint(to, number << 3 | wire_type, 5, state);
  if (wire_type == PROTOBUF_C_WIRE_TYPE_VARINT) {
    append_varint(to, next_random(state) >> random_below(state, 64),
        PSOCK_COUNT_MAX, state);
    return;
  }
  if (wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) {
    append_random(to, wire_type == PROTOBUF_C_WIRE_TYPE_32BIT ? 4 : 8, state);
    return;
  }
  struct bytes inner = growing_new();
  if (field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE)
    append_message(&inner, field->descriptor, levels - 1, state);
  else
    append_random(&inner, random_below(state, 9) * 8 / 3, state);
  append_varint(to, inner.length, 5, state);
  append(to, inner.at, inner.length);
  free(inner.at);
}

static void append_message(struct bytes *to,
    const ProtobufCMessageDescriptor *type, unsigned levels, uint64_t *state) {
  for (unsigned i = 0; i < type->n_fields; i++)
    if (type->fields[i].label == PROTOBUF_C_LABEL_REQUIRED)
      append_field(to, &type->fields[i], levels, state);
  for (size_t fields = random_below(state, 5); fields > 0; fields--) {
    const ProtobufCFieldDescriptor *field = NULL;
    if (random_below(state, 16) != 0)
      field = &type->fields[random_below(state, type->n_fields)];
    if (levels == 0 && field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE)
      continue;
    append_field(to, field, levels, state);
  }
}

/* Changes, drops or doubles something. */
static void damage(struct bytes *bytes, uint64_t *state) {
  if (bytes->length == 0)
    return;
  size_t at = random_below(state, bytes->length);
  size_t rest = bytes->length - at;
  switch (random_below(state, 5)) {
  case 0:
    bytes->at[at] = (uint8_t)next_random(state);
    break;
  case 1:
    bytes->at[at] ^= (uint8_t)(1 << random_below(state, 8));
    break;
  case 2:
    bytes->length = at;
    break;
  case 3:
    memmove(bytes->at + at, bytes->at + at + 1, rest - 1);
    bytes->length--;
    break;
  default: {
    struct bytes tail = bytes_copy(bytes->at + at, rest);
    append(bytes, tail.at, tail.length);
    free(tail.at);
  }
  }
}

static size_t varint_at(const uint8_t **at) {
  uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    uint8_t byte = *(*at)++;
    if (shift < 64)
      value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80)
      return (size_t)value;
  }
}

/* How deep a message is nested that protobuf-c has accepted. */
static unsigned depth_of(const ProtobufCMessageDescriptor *type,
    const uint8_t *at, const uint8_t *end) {
  unsigned deepest = 0;
  while (at < end) {
    size_t tag = varint_at(&at);
    size_t length = 0;
    if ((tag & 7) == PROTOBUF_C_WIRE_TYPE_VARINT)
      varint_at(&at);
    else if ((tag & 7) == PROTOBUF_C_WIRE_TYPE_32BIT)
      length = 4;
    else if ((tag & 7) == PROTOBUF_C_WIRE_TYPE_64BIT)
      length = 8;
    else
      length = varint_at(&at);
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
    if (field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE) {
      unsigned depth = depth_of(field->descriptor, at, at + length);
      deepest = depth > deepest ? depth : deepest;
    }
    at += length;
  }
  return deepest + 1;
}

static psock_codec *codec_new(
    const struct psock_message_type *type, unsigned max_depth) {
  psock_codec *codec = NULL;
  struct psock_protobuf_options options = {
      .size = sizeof options,
      .max_depth = max_depth,
      .memory_min = (size_t)64 << 20,
  };
  ck_assert_int_eq(psock_protobuf_codec_new(type, &options, &codec), 0);
  return codec;
}

/* What the codec has decoded, against what protobuf-c has. */
static void assert_same(const psock_codec *codec, const void *message,
    const ProtobufCMessage *reference) {
  struct bytes body = bytes_new(protobuf_c_message_get_packed_size(reference));
  protobuf_c_message_pack(reference, body.at);
  struct bytes expected = frame_of(body);
  REQUIRE(codec->encode(codec, message, &memory.buffer) == 0);
  struct bytes sent = bytes_take(&memory.buffer);
  REQUIRE(bytes_equal(expected, sent.at, sent.length));
  free(sent.at);
  free(expected.at);
}

static void compare(const psock_codec *codec,
    const ProtobufCMessageDescriptor *type, unsigned max_depth,
    struct bytes body) {
  struct psock_decoded decoded = {0};
  struct bytes frame = frame_of(bytes_copy(body.at, body.length));
  int result = decode_cut(codec, &memory, frame.at, frame.length, &decoded);
  ProtobufCMessage *reference =
      protobuf_c_message_unpack(type, NULL, body.length, body.at);
  if (reference == NULL) {
    REQUIRE(result == PSOCK_EMALFORMED ||
            (max_depth < 1000 && result == PSOCK_EDEPTH));
  } else if (depth_of(type, body.at, body.at + body.length) > max_depth) {
    REQUIRE(result == PSOCK_EDEPTH);
  } else {
    REQUIRE(result == PSOCK_DECODE_MESSAGE);
    assert_same(codec, decoded.message, reference);
  }
  protobuf_c_message_free_unpacked(reference, NULL);
  free(frame.at);
}

/* With generated code, and as if there were none. */
START_TEST(random_messages) {
  const struct psock_message_type *type = types[_i % TYPES];
  const ProtobufCMessageDescriptor *descriptor = type->descriptor;
  struct psock_message_type plain = psock_message_type_of(descriptor);
  uint64_t state = (uint64_t)_i;
  psock_codec *codecs[DEPTHS][2];
  for (size_t i = 0; i < DEPTHS; i++) {
    codecs[i][0] = codec_new(type, depths[i]);
    codecs[i][1] = codec_new(&plain, depths[i]);
  }
  for (int i = 0; i < MESSAGES; i++) {
    struct bytes body = growing_new();
    append_message(&body, descriptor, 12, &state);
    for (size_t times = random_below(&state, 4); times > 0; times--)
      damage(&body, &state);
    for (size_t depth = 0; depth < DEPTHS; depth++) {
      compare(codecs[depth][0], descriptor, depths[depth], body);
      compare(codecs[depth][1], descriptor, depths[depth], body);
    }
    free(body.at);
  }
  for (size_t i = 0; i < DEPTHS; i++) {
    psock_protobuf_codec_free(codecs[i][0]);
    psock_protobuf_codec_free(codecs[i][1]);
  }
}
END_TEST

int main(void) {
  TCase *tcase = tcase_create("random");
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_set_timeout(tcase, 60);
  tcase_add_loop_test(tcase, random_messages, 0, TYPES * SEEDS);
  return run_case(tcase, "codec random");
}
