/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_MESSAGE_H
#define PROTOSOCKET_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <protosocket/export.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A type of protobuf messages, as the library is told of it: the descriptor,
 * which protoc-c generates, and what protoc-gen-psock generates besides, which
 * is an encoder, a decoder, and where the fields are that calls need.
 *
 * For a message Foo in a schema that went through protoc-gen-psock, that is
 * the constant foo__type. For one that only went through protoc-c it is what
 * psock_message_type_of(&foo__descriptor) returns; protobuf-c then encodes and
 * decodes it, more slowly.
 */

PSOCK_BEGIN_DECLS

/* The version of the generated code that these headers are for, and the oldest
 * that they still serve. */
#define PSOCK_GENERATED_VERSION 1
#define PSOCK_GENERATED_OLDEST 1

struct psock_encoder;
struct psock_decoder;

/** The numbers of the control codes that have a meaning for every call. */
enum psock_code {
  PSOCK_CODE_NORMAL = 0, /* starts a call, or answers it */
  PSOCK_CODE_CANCEL = 1, /* ends a call without an answer */
  PSOCK_CODE_END = 2     /* ends the answers of a call */
};

/** Generated: where a message has its id or its control code, an unsigned
 * integer. Never gets another member. */
struct psock_call_field {
  uint32_t offset;     /* of the field, in bytes, in the struct of protoc-c */
  uint32_t has_offset; /* of its has_ member; 0: it has none */
  uint32_t width;      /* of the field, in bytes: 4 or 8 */
};

/** Generated; constant. `size` is sizeof(struct psock_message_type). */
struct psock_message_type {
  size_t size;
  const ProtobufCMessageDescriptor *descriptor;
  /* Appends the message's fields at `at`, as far as the encoder has room.
   * Returns where they end, or NULL. NULL: protobuf-c encodes. */
  uint8_t *(*encode)(
      struct psock_encoder *encoder, const void *message, uint8_t *at);
  /* Makes a message of the fields in [at, end), in the decoder's memory; NULL
   * when that fails. NULL: protobuf-c decodes. */
  void *(*decode)(
      struct psock_decoder *decoder, const uint8_t *at, const uint8_t *end);
  /* A message in which nothing is set, as FOO__INIT has it. */
  const void *initial;
  /* How many fields `encode` and `decode` know; the descriptor has as many, or
   * was made of another version of the schema. */
  size_t field_count;
  /* The fields that are marked as id and as control code. NULL: none is; only
   * one with an id can have a code. */
  const struct psock_call_field *id;
  const struct psock_call_field *code;
};

/**
 * The type of a message that has no code but protoc-c's. `descriptor` is
 * borrowed for as long as the result is used. Any thread.
 */
PSOCK_API struct psock_message_type psock_message_type_of(
    const ProtobufCMessageDescriptor *descriptor);

/* What follows is for code that carries calls over messages whose type it does
 * not know; the generated header has a typed function for each. `type` has to
 * have an id and, for the last two, a code, and `message` has to be of that
 * type. Any thread. */

/** The id of `message`. */
PSOCK_API uint64_t psock_message_get_id(
    const struct psock_message_type *type, const void *message);

/** Sets the id. Of a field that is 32 bits wide, the low 32 bits of `id`. */
PSOCK_API void psock_message_set_id(
    const struct psock_message_type *type, void *message, uint64_t id);

/** The control code of `message`; a psock_code, or another number. */
PSOCK_API uint64_t psock_message_get_code(
    const struct psock_message_type *type, const void *message);

/**
 * Makes of the memory at `message` (type->descriptor->sizeof_message bytes,
 * aligned as malloc does) a message with this id and control code, and nothing
 * else: for PSOCK_CODE_CANCEL a cancel, for PSOCK_CODE_END an end.
 */
PSOCK_API void psock_message_make(const struct psock_message_type *type,
    void *message, uint64_t id, uint32_t code);

PSOCK_END_DECLS

#endif
