/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_TYPES_H
#define PLUGIN_TYPES_H

#include "model.h"

enum wire_type {
  WIRE_VARINT = 0,
  WIRE_FIXED64 = 1,
  WIRE_COUNTED = 2,
  WIRE_FIXED32 = 5
};

/* What is known of a type that fields can have. */
struct field_type {
  const char *constant; /* protobuf-c's: PROTOBUF_C_TYPE_INT32 */
  int number;           /* in a descriptor */
  const char *noun;     /* for people: "an int32" */
  const char *c_type;   /* of one value; "": the schema says it */
  enum wire_type wire_type;
  const char *decode; /* the step that reads a value, after psock_decode_ */
  /* The most bytes that a value takes without its tag, where any varint takes
   * the room of the longest. 0: there is no limit, and nothing follows. */
  unsigned largest;
  const char *put;  /* the step that writes a value, after psock_put_ */
  const char *cast; /* for its argument */
};

const struct field_type *type_of(const struct field *field);

/* The type that has this number in a descriptor. Returns 0, or -1 if none has:
 * groups have no type here. */
int type_find(int number, ProtobufCType *ret_type);

/* What the type is called in C; "": the schema says it. */
const char *type_in_c(ProtobufCType type);

/* Whether many values can stand behind one tag. */
bool field_is_packable(const struct field *field);

/* Whether protoc-c makes a member has_x for the field. */
bool field_has_flag(const struct field *field);

#endif
