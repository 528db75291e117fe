/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_EMIT_H
#define PLUGIN_EMIT_H

#include "model.h"
#include "print.h"

/* The whole NAME.psock.h and NAME.psock.c of `file`. */
void emit_header(struct printer *printer, const struct file *file);
void emit_source(struct printer *printer, const struct file *file);

/* The definition of foo__encode, and of foo__decode. */
void emit_encode(struct printer *printer, const struct message *message);
void emit_decode(struct printer *printer, const struct message *message);

/* The first line of both files. */
void emit_banner(struct printer *printer, const struct file *file);

/* A field's number and wire type, as a number in C: as it is encoded, and with
 * the wire type of a counted run of bytes. */
const char *emit_tag(const struct field *field);
const char *emit_counted_tag(const struct field *field);

/* How many bytes a tag takes. */
unsigned emit_tag_length(const struct field *field);

/* PROTOBUF_C_TYPE_INT32 and its like. */
const char *emit_type(const struct field *field);

/* The codec of a message field's type, from where it is used: foo__encode and
 * foo__decode in the file that has them, otherwise foo__type's. */
const char *emit_encoder(const struct field *field);
const char *emit_decoder(const struct field *field);

#endif
