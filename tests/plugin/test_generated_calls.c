/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/guard.h"
#include "messages.h"

/*
 * Fields of calls that a schema marks, the id and the control code: the
 * generated functions, and the library's for the same fields. Every width that
 * such a field can have is in generated.proto and generated_proto2.proto.
 */

/* The headers can be asked whether they declare these: they must not. */
static const int generated__only_id__get_code = 1;
static const int generated__only_id__make_end = 1;

START_TEST(nothing_is_made_unasked) {
  int made = generated__only_id__get_code + generated__only_id__make_end;
  ck_assert_int_eq(made, 2);
}
END_TEST

/* Sets and gets by the library's functions, which are given the type, and
 * returns the id and the code that it made. */
static void check_type(const struct psock_message_type *type, void *message,
    unsigned id_bits, unsigned code_bits) {
  uint64_t id = UINT64_C(0xfedcba9876543210);
  uint64_t low = UINT64_C(0x76543210);
  ck_assert_uint_eq(type->id->width, id_bits / 8);
  ck_assert_uint_eq(type->code->width, code_bits / 8);
  psock_message_make(type, message, 5, PSOCK_CODE_END);
  ck_assert(protobuf_c_message_check(message));
  ck_assert_uint_eq(psock_message_get_id(type, message), 5);
  ck_assert_uint_eq(psock_message_get_code(type, message), PSOCK_CODE_END);
  psock_message_set_id(type, message, id);
  ck_assert_uint_eq(
      psock_message_get_id(type, message), id_bits == 64 ? id : low);
  psock_message_make(type, message, 9, PSOCK_CODE_CANCEL);
  ck_assert_uint_eq(psock_message_get_code(type, message), PSOCK_CODE_CANCEL);
}

#define CHECK_TYPE(Type, lower, id_bits, code_bits)                            \
  do {                                                                         \
    Type message;                                                              \
    check_type(&lower##__type, &message, id_bits, code_bits);                  \
    ck_assert_uint_eq(lower##__get_id(&message), 9);                           \
    ck_assert_uint_eq(lower##__get_code(&message), PSOCK_CODE_CANCEL);         \
    lower##__make_end(&message, 10);                                           \
    ck_assert_uint_eq(lower##__get_code(&message), PSOCK_CODE_END);            \
    ck_assert_uint_eq(                                                         \
        sizeof(lower##__get_code(&message)), sizeof(uint##code_bits##_t));     \
    ck_assert_uint_eq(lower##__get_id(&message), 10);                          \
    lower##__make_cancel(&message, 11);                                        \
    ck_assert_uint_eq(                                                         \
        psock_message_get_code(&lower##__type, &message), PSOCK_CODE_CANCEL);  \
    lower##__set_id(&message, UINT64_C(0x187654321));                          \
    ck_assert_uint_eq(psock_message_get_id(&lower##__type, &message),          \
        id_bits == 64 ? UINT64_C(0x187654321) : UINT64_C(0x87654321));         \
  } while (0)

START_TEST(ids_and_codes_of_every_type) {
  CHECK_TYPE(Generated__Event, generated__event, 64, 32);
  CHECK_TYPE(Generated__Call32, generated__call32, 32, 32);
  CHECK_TYPE(Generated__CallFixed32, generated__call_fixed32, 32, 64);
  CHECK_TYPE(Generated__CallFixed64, generated__call_fixed64, 64, 64);
  CHECK_TYPE(Generated2__Optional, generated2__optional, 64, 32);
  CHECK_TYPE(Generated2__Required, generated2__required, 64, 64);
  CHECK_TYPE(Generated2__Narrow, generated2__narrow, 32, 32);
}
END_TEST

/* What is sent has its fields: in proto2, only present ones are encoded. */
START_TEST(optional_fields_are_marked) {
  Generated2__Optional message = GENERATED2__OPTIONAL__INIT;
  generated2__optional__set_id(&message, 0);
  ck_assert(message.has_id && !message.has_code);
  message.has_id = 0;
  psock_message_set_id(&generated2__optional__type, &message, 1);
  ck_assert(message.has_id && !message.has_code);
  /* The default of a field that is absent is its value. */
  ck_assert_uint_eq(generated2__optional__get_code(&message), 7);
  generated2__optional__make_cancel(&message, 3);
  ck_assert(message.has_id && message.has_code);
  ck_assert_str_eq(message.text, "text");
}
END_TEST

START_TEST(id_alone) {
  Generated__OnlyId message = GENERATED__ONLY_ID__INIT;
  generated__only_id__set_id(&message, UINT64_MAX);
  ck_assert_uint_eq(generated__only_id__get_id(&message), UINT64_MAX);
  ck_assert_ptr_nonnull(generated__only_id__type.id);
  ck_assert_ptr_null(generated__only_id__type.code);
  ck_assert_ptr_null(generated__item__type.id);
  ck_assert_ptr_null(generated__item__type.code);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("generated calls");
  TCase *tcase = guard_case(suite, "generated calls");
  tcase_add_test(tcase, nothing_is_made_unasked);
  tcase_add_test(tcase, ids_and_codes_of_every_type);
  tcase_add_test(tcase, optional_fields_are_marked);
  tcase_add_test(tcase, id_alone);
  return guard_main(suite);
}
