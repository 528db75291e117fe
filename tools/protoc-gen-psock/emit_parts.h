/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_EMIT_PARTS_H
#define PLUGIN_EMIT_PARTS_H

#include "model.h"

/* A field's number and wire type, as a number in C: as it is encoded, and with
 * the wire type of a counted run of bytes. */
const char *emit_tag(const struct field *field);
const char *emit_counted_tag(const struct field *field);

/* How many bytes a tag takes. */
unsigned emit_tag_length(const struct field *field);

/* The codec of a message field's type, from where it is used: foo__encode and
 * foo__decode in the file that has them, otherwise foo__type's. */
const char *emit_encoder(const struct field *field);
const char *emit_decoder(const struct field *field);

/* What stands behind a declaration of something deprecated, "
 * PSOCK_DEPRECATED", or nothing; and in front of a function in a header. */
const char *emit_deprecated(bool deprecated);
const char *emit_inline(bool deprecated);

#endif
