/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FUZZ_TYPES_H
#define FUZZ_TYPES_H

#include <protosocket/message.h>
#include <stddef.h>
#include <stdint.h>

/* Every type of tests/schemas; types.awk makes the table. */
struct fuzz_type {
  const char *name; /* in C, without __type */
  const struct psock_message_type *type;
};

extern const struct fuzz_type fuzz_types[];
extern const size_t fuzz_type_count;

/* The type that belongs to `key`. When another schema is added, all keys but
 * those that come to its types keep theirs, and so does the corpus. */
const struct psock_message_type *fuzz_type_of(uint16_t key);

/* The one with this descriptor. */
const struct psock_message_type *fuzz_type_by(
    const ProtobufCMessageDescriptor *descriptor);

#endif
