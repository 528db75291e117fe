/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FUZZ_WALK_H
#define FUZZ_WALK_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

/* Where two messages differ, for people; NULL: nowhere. Everything counts: what
 * is there and what is not, which strings are a default, unknown fields. The
 * text is good until the next call. */
const char *walk_difference(
    const ProtobufCMessage *one, const ProtobufCMessage *other);

/* What a message points to. */
enum walk_kind {
  WALK_STRUCT, /* a message, an array, or a string */
  WALK_BYTES   /* the bytes of a field, known or unknown */
};

typedef bool walk_allows(
    const void *data, const void *memory, size_t length, enum walk_kind kind);

/* Whether `allows` says so of all that `message` consists of, defaults apart:
 * they are the descriptor's. */
bool walk_memory(
    const ProtobufCMessage *message, walk_allows *allows, const void *data);

/* The values of a field in a message, one after the other; 0 if it is not
 * set, or is another member of its oneof. */
size_t walk_values(const ProtobufCMessage *message,
    const ProtobufCFieldDescriptor *field, const void **ret_values);

/* The size of one value. */
size_t walk_value_size(ProtobufCType type);

#endif
