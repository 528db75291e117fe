/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FUZZ_SURVEY_H
#define FUZZ_SURVEY_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What there is in the bytes of a message, found without the library. */
struct survey {
  unsigned depth;  /* of the deepest message, the outermost counted */
  bool bad_text;   /* a string that is to be checked is no UTF-8 */
  unsigned left;   /* how often the library leaves a field to protobuf-c */
  size_t memory;   /* what all values take that come, together */
  unsigned values; /* how many come */
};

/* Beyond this depth nothing is looked at. */
#define SURVEY_DEPTH_MAX 1200u

/* Looks at the bytes of a message, as far as they can be read. */
struct survey survey_message(const ProtobufCMessageDescriptor *type,
    const uint8_t *bytes, size_t length);

#endif
