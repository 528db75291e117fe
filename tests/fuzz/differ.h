/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FUZZ_DIFFER_H
#define FUZZ_DIFFER_H

#include <protosocket/message.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes above this are not looked at: protobuf-c takes too long for them. */
#define DIFFER_LENGTH_MAX ((size_t)64 << 10)

/*
 * Decodes `bytes` with protobuf-c and with the library, and compares all that
 * can be seen of the two: verdicts, messages, the memory they take, and what
 * they are when they are encoded again, with differ_encode. What doesn't agree
 * is described on standard error, and the program aborts.
 *
 * The bits of `options` say with which limits the library decodes, whether by
 * generated code or not, and more; any value will do.
 */
void differ_decode(const struct psock_message_type *type, unsigned options,
    const uint8_t *bytes, size_t length);

/* Encodes `message` with protobuf-c and with the library, and compares. Nothing
 * in it may be what protobuf_c_message_pack cannot do. */
void differ_encode(const struct psock_message_type *type, unsigned options,
    const ProtobufCMessage *message);

#endif
