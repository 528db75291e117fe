/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec.pb-c.h"
#include "codec_proto2.pb-c.h"
#include "lib/plain_codec.h"
#include "unit/test_codec.h"

/*
 * The protobuf codec: what it refuses to be made with, encoding with and
 * without lending, and memory that fails. Its limits are in
 * test_codec_limits.c, what it accepts in test_codec_vectors.c and
 * test_codec_random.c.
 */

static struct memory memory;
static psock_codec *codec;

static void setup(void) {
  memory_init(&memory);
  ck_assert_int_eq(plain_codec_new(&codec__plain__descriptor, NULL, &codec), 0);
}

static void teardown(void) {
  psock_protobuf_codec_free(codec);
  memory_fini(&memory);
}

/* What comes of a codec with these options. */
static int make(const ProtobufCMessageDescriptor *descriptor,
    const struct psock_protobuf_options *options) {
  psock_codec *made = NULL;
  int error = plain_codec_new(descriptor, options, &made);
  ck_assert_int_eq(made == NULL, error != 0);
  psock_protobuf_codec_free(made);
  return error;
}

#define OPTIONS(...)                                                           \
  &(struct psock_protobuf_options) {                                           \
    .size = sizeof(struct psock_protobuf_options), __VA_ARGS__                 \
  }

START_TEST(options_out_of_range) {
  const ProtobufCMessageDescriptor *type = &codec__tree__descriptor;
  size_t gib = (size_t)1 << 30;
  ck_assert_int_eq(make(type, OPTIONS(.max_message = gib)), 0);
  ck_assert_int_eq(make(type, OPTIONS(.max_message = gib + 1)), PSOCK_EINVAL);
  ck_assert_int_eq(make(type, OPTIONS(.max_depth = 1000)), 0);
  ck_assert_int_eq(make(type, OPTIONS(.max_depth = 1001)), PSOCK_EINVAL);
  ck_assert_int_eq(make(type, OPTIONS(.memory_factor = UINT32_MAX)), 0);
  ck_assert_int_eq(make(type, OPTIONS(.memory_min = 8, .memory_max = 8)), 0);
  ck_assert_int_eq(
      make(type, OPTIONS(.memory_min = 9, .memory_max = 8)), PSOCK_EINVAL);
  ck_assert_int_eq(make(type, OPTIONS(.memory_min = gib)), PSOCK_EINVAL);
  ck_assert_int_eq(make(type, OPTIONS(.memory_max = 8)), 0);
  ck_assert_int_eq(make(type, OPTIONS(.memory_max = SIZE_MAX)), 0);
}
END_TEST

START_TEST(descriptor_is_none) {
  ProtobufCMessageDescriptor other = codec__tree__descriptor;
  other.magic++;
  ck_assert_int_eq(make(NULL, NULL), PSOCK_EINVAL);
  ck_assert_int_eq(make(&other, NULL), PSOCK_EINVAL);
}
END_TEST

/* What a caller with an older or a newer header does not mean. */
START_TEST(options_of_another_size) {
  struct {
    struct psock_protobuf_options known;
    size_t later;
  } newer = {.known = {.size = sizeof newer}, .later = 1};
  ck_assert_int_eq(make(&codec__tree__descriptor, &newer.known), 0);
  struct psock_protobuf_options older = {
      .size = offsetof(struct psock_protobuf_options, max_depth),
      .max_depth = 1001,
      .memory_min = SIZE_MAX,
  };
  ck_assert_int_eq(make(&codec__tree__descriptor, &older), 0);
  older.max_message = SIZE_MAX;
  ck_assert_int_eq(make(&codec__tree__descriptor, &older), PSOCK_EINVAL);
  struct psock_protobuf_options forgotten = {.max_depth = 5};
  ck_assert_int_eq(make(&codec__tree__descriptor, &forgotten), PSOCK_EINVAL);
}
END_TEST

START_TEST(codec_is_made_of_its_allocator) {
  struct faulty faulty;
  faulty_init(&faulty);
  /* The options and the allocator in them are borrowed. */
  struct psock_allocator allocator = faulty.allocator;
  psock_codec *made = NULL;
  int error = PSOCK_ENOMEM;
  for (size_t i = 1; error != 0; i++) {
    faulty_set(&faulty, i, _i == 1);
    error = plain_codec_new(
        &codec__tree__descriptor, OPTIONS(.allocator = &allocator), &made);
    if (error != 0) {
      ck_assert_int_eq(error, PSOCK_ENOMEM);
      ck_assert_uint_eq(faulty.live, 0);
      ck_assert_ptr_null(made);
    }
    ck_assert_uint_lt(i, 10);
  }
  memset(&allocator, 0, sizeof allocator);
  ck_assert_uint_gt(faulty.live, 0);
  psock_protobuf_codec_free(made);
  ck_assert_uint_eq(faulty.live, 0);
}
END_TEST

START_TEST(codec_free_takes_null) {
  psock_protobuf_codec_free(NULL);
  ck_assert_uint_eq(codec->size, sizeof *codec);
}
END_TEST

START_TEST(other_message_is_refused) {
  Codec__Inner inner = CODEC__INNER__INIT;
  ck_assert_int_eq(codec->encode(codec, &inner, &memory.buffer), PSOCK_EINVAL);
  ck_assert_uint_eq(memory.buffer.length, 0);
}
END_TEST

/* Made of a message whose strings and arrays are of any size. */
static struct bytes packed(const ProtobufCMessage *message) {
  struct bytes body = bytes_new(protobuf_c_message_get_packed_size(message));
  protobuf_c_message_pack(message, body.at);
  return frame_of(body);
}

static char *string_of(size_t length) {
  char *string = malloc(length + 1);
  ck_assert_ptr_nonnull(string);
  memset(string, 's', length);
  string[length] = '\0';
  return string;
}

static const size_t sizes[] = {0, 1, 100, 127, 128, 16383, 16384, 70000};

#define SIZES (int)(sizeof sizes / sizeof sizes[0])

START_TEST(encode_packs) {
  Codec__Plain plain;
  codec__plain__init(&plain);
  plain.text = string_of(sizes[_i]);
  struct bytes expected = packed(&plain.base);
  for (int repeats = 1; repeats < 4; repeats++) {
    for (int i = 0; i < repeats; i++)
      ck_assert_int_eq(codec->encode(codec, &plain, &memory.buffer), 0);
    ck_assert_uint_eq(memory.buffer.length, (size_t)repeats * expected.length);
    struct bytes sent = bytes_take(&memory.buffer);
    for (int i = 0; i < repeats; i++)
      ck_assert(bytes_equal(
          expected, sent.at + (size_t)i * expected.length, expected.length));
    free(sent.at);
  }
  free(expected.at);
  free(plain.text);
}
END_TEST

/* Where blocks end, with a message that has to be packed by protobuf-c. */
START_TEST(encode_stays_in_its_block) {
  Codec__Plain plain;
  codec__plain__init(&plain);
  char text[5000];
  char *texts[] = {text};
  plain.n_texts = 1;
  plain.texts = texts;
  memset(text, 't', sizeof text);
  for (size_t length = 3500; length < sizeof text; length++) {
    text[length] = '\0';
    struct bytes expected = packed(&plain.base);
    ck_assert_int_eq(codec->encode(codec, &plain, &memory.buffer), 0);
    const struct psock_block *block = memory.buffer.tail;
    ck_assert_uint_le(block->end, block->capacity);
    struct bytes sent = bytes_take(&memory.buffer);
    ck_assert(bytes_equal(expected, sent.at, sent.length));
    free(sent.at);
    free(expected.at);
    text[length] = 't';
  }
}
END_TEST

/* A message with everything that is lent, and much that isn't. */
struct loan {
  Codec__Plain plain;
  char *texts[3];
  uint64_t words[5000];
  uint32_t numbers[40000];
  uint8_t unknown[20000];
  ProtobufCMessageUnknownField field;
};

static struct loan *loan_new(void) {
  struct loan *loan = calloc(1, sizeof *loan);
  ck_assert_ptr_nonnull(loan);
  codec__plain__init(&loan->plain);
  loan->plain.text = string_of(PSOCK_BUFFER_LEND_MIN);
  loan->plain.data.data = (uint8_t *)string_of(100000);
  loan->plain.data.len = 100000;
  loan->texts[0] = string_of(PSOCK_BUFFER_LEND_MIN - 1);
  loan->texts[1] = string_of(PSOCK_BUFFER_LEND_MIN);
  loan->texts[2] = string_of(0);
  loan->plain.n_texts = 3;
  loan->plain.texts = loan->texts;
  loan->plain.n_words = 5000;
  loan->plain.words = loan->words;
  loan->plain.n_numbers = 40000;
  loan->plain.numbers = loan->numbers;
  loan->field = (ProtobufCMessageUnknownField){
      .tag = 1000,
      .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
      .len = sizeof loan->unknown,
      .data = loan->unknown,
  };
  psock_count_put(loan->unknown, sizeof loan->unknown - 3);
  loan->plain.base.n_unknown_fields = 1;
  loan->plain.base.unknown_fields = &loan->field;
  return loan;
}

static void loan_free(struct loan *loan) {
  free(loan->plain.text);
  free(loan->plain.data.data);
  for (int i = 0; i < 3; i++)
    free(loan->texts[i]);
  free(loan);
}

/* Whether the buffer has `length` bytes that lie at `at`. */
static bool is_lent(const void *at, size_t length) {
  struct iovec vectors[64];
  int count = psock_buffer_vectors(&memory.buffer, vectors, 64, SIZE_MAX);
  for (int i = 0; i < count; i++)
    if (vectors[i].iov_base == at && vectors[i].iov_len == length)
      return true;
  return false;
}

START_TEST(large_parts_are_lent) {
  struct loan *loan = loan_new();
  struct bytes expected = packed(&loan->plain.base);
  memory.buffer.lending = true;
  ck_assert_int_eq(codec->encode(codec, &loan->plain, &memory.buffer), 0);
  ck_assert(is_lent(loan->plain.text, PSOCK_BUFFER_LEND_MIN));
  ck_assert(is_lent(loan->plain.data.data, 100000));
  ck_assert(is_lent(loan->texts[1], PSOCK_BUFFER_LEND_MIN));
  ck_assert(is_lent(loan->words, sizeof loan->words));
  ck_assert(is_lent(loan->unknown, sizeof loan->unknown));
  ck_assert(!is_lent(loan->texts[0], PSOCK_BUFFER_LEND_MIN - 1));
  struct bytes sent = bytes_take(&memory.buffer);
  ck_assert(bytes_equal(expected, sent.at, sent.length));
  free(sent.at);
  free(expected.at);
  loan_free(loan);
}
END_TEST

/* Also in a message that is otherwise encoded on the fast way, from the size at
 * which lending begins. */
START_TEST(only_part_is_lent) {
  size_t length = PSOCK_BUFFER_LEND_MIN - 1 + (size_t)_i;
  struct bytes data = bytes_new(length);
  memset(data.at, 'x', length);
  Codec__Plain plain;
  codec__plain__init(&plain);
  plain.data = (ProtobufCBinaryData){.len = length, .data = data.at};
  struct bytes expected = packed(&plain.base);
  memory.buffer.lending = true;
  ck_assert_int_eq(codec->encode(codec, &plain, &memory.buffer), 0);
  ck_assert_int_eq(is_lent(data.at, length), _i > 0);
  struct bytes sent = bytes_take(&memory.buffer);
  ck_assert(bytes_equal(expected, sent.at, sent.length));
  free(sent.at);
  free(expected.at);
  free(data.at);
}
END_TEST

/* Small messages take the other way although the sender lends. */
START_TEST(small_message_is_not_lent) {
  Codec__Plain plain;
  codec__plain__init(&plain);
  plain.text = string_of(1000);
  struct bytes expected = packed(&plain.base);
  memory.buffer.lending = true;
  ck_assert_int_eq(codec->encode(codec, &plain, &memory.buffer), 0);
  free(plain.text);
  struct bytes sent = bytes_take(&memory.buffer);
  ck_assert(bytes_equal(expected, sent.at, sent.length));
  free(sent.at);
  free(expected.at);
}
END_TEST

START_TEST(encode_without_memory) {
  struct loan *loan = loan_new();
  struct bytes expected = packed(&loan->plain.base);
  memory.buffer.lending = _i >= 2;
  int error = PSOCK_ENOMEM;
  for (size_t i = 1; error != 0; i++) {
    faulty_set(&memory.faulty, i, _i % 2 == 1);
    error = codec->encode(codec, &loan->plain, &memory.buffer);
    faulty_set(&memory.faulty, 0, false);
    if (error != 0) {
      ck_assert_int_eq(error, PSOCK_ENOMEM);
      struct psock_buffer_mark start = {.tail = NULL};
      psock_buffer_rewind(&memory.buffer, &start);
    }
  }
  struct bytes sent = bytes_take(&memory.buffer);
  ck_assert(bytes_equal(expected, sent.at, sent.length));
  free(sent.at);
  free(expected.at);
  loan_free(loan);
}
END_TEST

START_TEST(decode_without_memory) {
  struct loan *loan = loan_new();
  struct bytes frame = packed(&loan->plain.base);
  int result = PSOCK_ENOMEM;
  size_t failed = 0;
  for (; result < 0; failed++) {
    faulty_set(&memory.faulty, failed + 1, _i == 1);
    result = decode_all(codec, &memory, frame);
    faulty_set(&memory.faulty, 0, false);
    ck_assert(result == PSOCK_ENOMEM || result == PSOCK_DECODE_MESSAGE);
  }
  ck_assert_uint_gt(failed, 3);
  free(frame.at);
  loan_free(loan);
}
END_TEST

/* What was decoded stays as it is while the bytes it came from are gone, and is
 * encoded to the same bytes. */
START_TEST(decoded_message_is_in_the_arena) {
  struct loan *loan = loan_new();
  struct bytes frame = packed(&loan->plain.base);
  struct psock_decoded decoded = {0};
  ck_assert_int_eq(decode_cut(codec, &memory, frame.at, frame.length, &decoded),
      PSOCK_DECODE_MESSAGE);
  ck_assert_uint_eq(decoded.consumed, frame.length);
  const Codec__Plain *plain = decoded.message;
  ck_assert_ptr_eq(plain->base.descriptor, &codec__plain__descriptor);
  ck_assert_uint_eq(plain->n_words, 5000);
  ck_assert_int_eq(codec->encode(codec, plain, &memory.buffer), 0);
  struct bytes sent = bytes_take(&memory.buffer);
  ck_assert(bytes_equal(frame, sent.at, sent.length));
  free(sent.at);
  free(frame.at);
  loan_free(loan);
}
END_TEST

/* Required fields and defaults are protobuf-c's business, and stay so. */
START_TEST(older_syntax) {
  psock_codec *strict;
  ck_assert_int_eq(
      plain_codec_new(&codec__strict__descriptor, NULL, &strict), 0);
  struct bytes none = bytes_copy("\x00", 1);
  struct bytes one = bytes_copy("\x02\x08\x05", 3);
  struct psock_decoded decoded = {0};
  ck_assert_int_eq(decode_all(strict, &memory, none), PSOCK_EMALFORMED);
  ck_assert_int_eq(decode_cut(strict, &memory, one.at, one.length, &decoded),
      PSOCK_DECODE_MESSAGE);
  const Codec__Strict *message = decoded.message;
  ck_assert_uint_eq(message->id, 5);
  ck_assert_str_eq(message->name, "nobody");
  ck_assert_int_eq(message->flag, 1);
  free(none.at);
  free(one.at);
  psock_protobuf_codec_free(strict);
}
END_TEST

int main(void) {
  TCase *tcase = tcase_create("protobuf");
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, options_out_of_range);
  tcase_add_test(tcase, descriptor_is_none);
  tcase_add_test(tcase, options_of_another_size);
  tcase_add_loop_test(tcase, codec_is_made_of_its_allocator, 0, 2);
  tcase_add_test(tcase, codec_free_takes_null);
  tcase_add_test(tcase, other_message_is_refused);
  tcase_add_loop_test(tcase, encode_packs, 0, SIZES);
  tcase_add_test(tcase, encode_stays_in_its_block);
  tcase_add_test(tcase, large_parts_are_lent);
  tcase_add_loop_test(tcase, only_part_is_lent, 0, 3);
  tcase_add_test(tcase, small_message_is_not_lent);
  tcase_add_loop_test(tcase, encode_without_memory, 0, 4);
  tcase_add_loop_test(tcase, decode_without_memory, 0, 2);
  tcase_add_test(tcase, decoded_message_is_in_the_arena);
  tcase_add_test(tcase, older_syntax);
  return run_case(tcase, "codec protobuf");
}
