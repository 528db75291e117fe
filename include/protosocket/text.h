/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_TEXT_H
#define PROTOSOCKET_TEXT_H

#include <protosocket/codec.h>
#include <stddef.h>

PSOCK_BEGIN_DECLS

/**
 * The message of the text codecs: `length` bytes, which may hold any value; a
 * received one has no NUL behind it, and lies in the receive buffer.
 */
struct psock_text {
  const char *text;
  size_t length;
};

/** A text codec, in memory of the caller's; made by one of the functions below.
 */
struct psock_text_codec {
  psock_codec codec;
  size_t max_length; /* bytes, in and out; 0: 4 MiB */
};

/**
 * Makes `codec`, in the caller's memory, one for lines: a message is the bytes
 * before a line feed, without a carriage return right in front of it. Sending
 * a text that holds a line feed gives PSOCK_EINVAL. An unfinished line at the
 * end of the input counts as truncated. `max_length` 0 means 4 MiB. Nothing
 * needs to be freed. Any thread.
 */
PSOCK_API void psock_line_codec_init(
    struct psock_text_codec *codec, size_t max_length);

/**
 * Makes `codec`, in the caller's memory, one for texts with a varint byte
 * count in front, framed as protobuf messages are. `max_length` 0 means
 * 4 MiB. Nothing needs to be freed. Any thread.
 */
PSOCK_API void psock_text_codec_init(
    struct psock_text_codec *codec, size_t max_length);

PSOCK_END_DECLS

#endif
