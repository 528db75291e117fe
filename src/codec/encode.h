/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_CODEC_ENCODE_H
#define PSOCK_CODEC_ENCODE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a try that found too little room has learnt, for the next one; at first
 * all zero.
 */
struct psock_encode_hint {
  size_t needed;    /* bytes it takes at least; 0: not known */
  const char *text; /* the string that did not fit, and its length */
  size_t length;
};

/*
 * Encodes `message`, with its count in front, into the `room` bytes at `at`.
 * Returns how many bytes that took, or 0; then what
 * lies at `at` is worthless. With hint->needed set, another try with
 * somewhat more room than that is worthwhile; otherwise the message is not a
 * simple one, and protobuf-c has to do it. The bytes are those of
 * protobuf_c_message_pack.
 */
size_t psock_encode_simple(const ProtobufCMessage *message, uint8_t *at,
    size_t room, struct psock_encode_hint *hint);

#endif
