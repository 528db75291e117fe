/* SPDX-License-Identifier: BSD-2-Clause */
#include "types.h"

/*
 * The types that fields can have, in one table: what each is called, what it is
 * in C and on the wire, and the steps of <protosocket/generated.h> that write
 * and read it. A type that a function of the library writes, because its values
 * can be of any length, has no step that writes.
 */

#define TYPE(type, ...) [type] = {#type, __VA_ARGS__}

static const struct field_type types[] = {
    TYPE(PROTOBUF_C_TYPE_INT32, 5, "an int32", "int32_t", WIRE_VARINT, "int32",
        10, "int32", ""),
    TYPE(PROTOBUF_C_TYPE_SINT32, 17, "a sint32", "int32_t", WIRE_VARINT,
        "sint32", 10, "sint32", ""),
    TYPE(PROTOBUF_C_TYPE_SFIXED32, 15, "an sfixed32", "int32_t", WIRE_FIXED32,
        "sfixed32", 4, "fixed32", "(uint32_t)"),
    TYPE(PROTOBUF_C_TYPE_INT64, 3, "an int64", "int64_t", WIRE_VARINT, "int64",
        10, "varint", "(uint64_t)"),
    TYPE(PROTOBUF_C_TYPE_SINT64, 18, "a sint64", "int64_t", WIRE_VARINT,
        "sint64", 10, "sint64", ""),
    TYPE(PROTOBUF_C_TYPE_SFIXED64, 16, "an sfixed64", "int64_t", WIRE_FIXED64,
        "sfixed64", 8, "fixed64", "(uint64_t)"),
    TYPE(PROTOBUF_C_TYPE_UINT32, 13, "a uint32", "uint32_t", WIRE_VARINT,
        "uint32", 10, "varint", ""),
    TYPE(PROTOBUF_C_TYPE_FIXED32, 7, "a fixed32", "uint32_t", WIRE_FIXED32,
        "fixed32", 4, "fixed32", ""),
    TYPE(PROTOBUF_C_TYPE_UINT64, 4, "a uint64", "uint64_t", WIRE_VARINT,
        "uint64", 10, "varint", ""),
    TYPE(PROTOBUF_C_TYPE_FIXED64, 6, "a fixed64", "uint64_t", WIRE_FIXED64,
        "fixed64", 8, "fixed64", ""),
    TYPE(PROTOBUF_C_TYPE_FLOAT, 2, "a float", "float", WIRE_FIXED32, "float", 4,
        "float", ""),
    TYPE(PROTOBUF_C_TYPE_DOUBLE, 1, "a double", "double", WIRE_FIXED64,
        "double", 8, "double", ""),
    TYPE(PROTOBUF_C_TYPE_BOOL, 8, "a bool", "protobuf_c_boolean", WIRE_VARINT,
        "bool", 1, "bool", ""),
    TYPE(PROTOBUF_C_TYPE_ENUM, 14, "an enum", "", WIRE_VARINT, "int32", 10,
        "int32", "(int32_t)"),
    TYPE(PROTOBUF_C_TYPE_STRING, 9, "a string", "char *", WIRE_COUNTED,
        "string", 0, NULL, NULL),
    TYPE(PROTOBUF_C_TYPE_BYTES, 12, "bytes", "ProtobufCBinaryData",
        WIRE_COUNTED, "bytes", 0, NULL, NULL),
    TYPE(PROTOBUF_C_TYPE_MESSAGE, 11, "a message", "", WIRE_COUNTED, "message",
        0, NULL, NULL),
};

const struct field_type *type_of(const struct field *field) {
  return &types[field->type];
}

int type_find(int number, ProtobufCType *ret_type) {
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
    if (types[i].number == number) {
      *ret_type = (ProtobufCType)i;
      return 0;
    }
  return -1;
}

const char *type_in_c(ProtobufCType type) {
  return types[type].c_type;
}

bool field_is_packable(const struct field *field) {
  return types[field->type].wire_type != WIRE_COUNTED;
}

bool field_has_flag(const struct field *field) {
  return field->kind == FIELD_OPTIONAL &&
         field->type != PROTOBUF_C_TYPE_STRING &&
         field->type != PROTOBUF_C_TYPE_MESSAGE;
}
