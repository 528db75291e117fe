/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_LIB_PLAIN_CODEC_H
#define TESTS_LIB_PLAIN_CODEC_H

#include <protosocket/protobuf.h>

/* A codec that protobuf-c does the work of: of a type without generated code,
 * or as if it were one. */
static inline int plain_codec_new(const ProtobufCMessageDescriptor *descriptor,
    const struct psock_protobuf_options *options, psock_codec **ret_codec) {
  struct psock_message_type type = psock_message_type_of(descriptor);
  return psock_protobuf_codec_new(&type, options, ret_codec);
}

#endif
