/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FUZZ_STRUCTURED_H
#define FUZZ_STRUCTURED_H

#include "fuzz/source.h"
#include <protobuf-c/protobuf-c.h>

/* Appends the bytes of a message of `type`, valid or nearly so, as the source
 * decides. */
void structured_bytes(struct text *text, struct source *source,
    const ProtobufCMessageDescriptor *type);

enum structured_kind {
  STRUCTURED_ANY, /* all that a program may hand over */
  STRUCTURED_TAME /* what every implementation takes to mean the same */
};

/* What a made message consists of; at first all zero. */
struct pile {
  struct piece *last;
};

/* Makes a message of `type`, as the source decides. It lives until the pile is
 * freed. */
ProtobufCMessage *structured_message(struct pile *pile, struct source *source,
    const ProtobufCMessageDescriptor *type, enum structured_kind kind);
void pile_free(struct pile *pile);

#endif
