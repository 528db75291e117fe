/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/guard.h"
#include "messages.h"
#include <string.h>

/*
 * The schema as part of the program: a FileDescriptorProto that has all of the
 * file's parts, without the places and comments of the source.
 */

/* The headers can be asked whether they declare these: they must not. */
static const int generated_proto2__schema = 1;

START_TEST(nothing_is_made_unasked) {
  int made = generated_proto2__schema;
  ck_assert_int_eq(made, 1);
}
END_TEST

static uint64_t read_varint(const uint8_t **at, const uint8_t *end) {
  uint64_t value = 0;
  unsigned shift = 0;
  do {
    ck_assert(*at < end && shift < 64);
    value |= (uint64_t)(**at & 0x7f) << shift;
    shift += 7;
  } while ((*(*at)++ & 0x80) != 0);
  return value;
}

/* Of google.protobuf.FileDescriptorProto: all fields that these files have are
 * length-delimited. Field 9 would be the places and comments. */
START_TEST(schema_is_what_protoc_read) {
  const struct psock_schema *schema = &generated__schema;
  const uint8_t *at = schema->bytes;
  const uint8_t *end = at + schema->length;
  unsigned counts[16] = {0};
  ck_assert_uint_eq(schema->size, sizeof *schema);
  ck_assert_str_eq(schema->name, "generated.proto");
  while (at < end) {
    uint64_t tag = read_varint(&at, end);
    uint64_t length = read_varint(&at, end);
    ck_assert_uint_eq(tag & 7, 2);
    ck_assert_uint_lt(tag >> 3, COUNT(counts));
    ck_assert_uint_le(length, (uint64_t)(end - at));
    if (counts[tag >> 3]++ == 0 && tag >> 3 == 1)
      ck_assert(length == 15 && memcmp(at, "generated.proto", 15) == 0);
    at += length;
  }
  ck_assert_uint_eq(counts[1], 1);
  ck_assert_uint_eq(counts[2], 1);
  ck_assert_uint_eq(counts[3], 3);
  ck_assert_uint_eq(counts[4], 17);
  ck_assert_uint_eq(counts[5], 1);
  ck_assert_uint_eq(counts[6], 3);
  ck_assert_uint_eq(counts[9], 0);
  ck_assert_str_eq(generated_types__schema.name, "generated_types.proto");
}
END_TEST

int main(void) {
  Suite *suite = suite_create("generated schema");
  TCase *tcase = guard_case(suite, "generated schema");
  tcase_add_test(tcase, nothing_is_made_unasked);
  tcase_add_test(tcase, schema_is_what_protoc_read);
  return guard_main(suite);
}
