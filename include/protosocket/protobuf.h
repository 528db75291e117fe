/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_PROTOBUF_H
#define PROTOSOCKET_PROTOBUF_H

#include <protosocket/allocator.h>
#include <protosocket/codec.h>
#include <protosocket/message.h>

PSOCK_BEGIN_DECLS

/** Set `size` to sizeof; a field that is zero stands for its default. */
struct psock_protobuf_options {
  size_t size;
  /* The longest message, in encoded bytes, in and out. Default 4 MiB, at most
   * 1 GiB. */
  size_t max_message;
  /* How deep messages may be nested, the outermost counted. Default 100, at
   * most 1,000: protobuf-c takes about 1 KiB of stack for each. */
  unsigned max_depth;
  /* A decoded message may take `memory_factor` times its encoded bytes, but
   * never less than `memory_min` and never more than `memory_max`. Defaults
   * 64, 64 KiB, 64 MiB. */
  unsigned memory_factor;
  size_t memory_min;
  size_t memory_max;
  /* For the codec object itself. Borrowed until psock_protobuf_codec_new
   * returns (it is copied). Default: malloc. */
  const struct psock_allocator *allocator;
};

/**
 * Makes a codec of length-delimited protobuf messages (protosocket-wire(7)) of
 * one type: foo__type, which protoc-gen-psock has generated, or, more slowly,
 * what psock_message_type_of gives. `type` is copied, the descriptors that it
 * points to are borrowed until the codec is freed. encode takes the struct that
 * protoc-c has generated, decode gives one. It decodes what
 * protobuf_c_message_unpack does, and refuses what exceeds the options
 * (PSOCK_ETOOBIG, PSOCK_EDEPTH, PSOCK_EMEMLIMIT), is no protobuf
 * (PSOCK_EMALFORMED) or, where the schema asks for that, no UTF-8
 * (PSOCK_EUTF8). `options` may be NULL. Any thread.
 *
 * Returns 0, PSOCK_EINVAL, also for generated code of another version of the
 * schema than its descriptor is of, or PSOCK_ENOMEM.
 */
PSOCK_API PSOCK_NODISCARD int psock_protobuf_codec_new(
    const struct psock_message_type *type,
    const struct psock_protobuf_options *options, psock_codec **ret_codec);

/**
 * Frees a codec that psock_protobuf_codec_new has made, once no connection
 * uses it any more. NULL is allowed. Any thread.
 */
PSOCK_API void psock_protobuf_codec_free(psock_codec *codec);

PSOCK_END_DECLS

#endif
