/* SPDX-License-Identifier: BSD-2-Clause */
#include "emit_parts.h"
#include "memory.h"
#include "types.h"

/*
 * Pieces of generated code that several of the files emit_*.c need: tags, other
 * messages' codecs, attributes. All are texts that live until the program
 * exits.
 */

/* From 2^31 on, a number that has to be unsigned says so. */
static const char *tag(const struct field *field, enum wire_type wire_type) {
  uint32_t number = field->number << 3 | (uint32_t)wire_type;
  return text_format(
      "%lu%s", (unsigned long)number, number > INT32_MAX ? "u" : "");
}

const char *emit_tag(const struct field *field) {
  return tag(field, type_of(field)->wire_type);
}

const char *emit_counted_tag(const struct field *field) {
  return tag(field, WIRE_COUNTED);
}

unsigned emit_tag_length(const struct field *field) {
  unsigned length = 1;
  for (uint32_t rest = field->number >> 4; rest > 0; rest >>= 7)
    length++;
  return length;
}

static const char *codec(const struct field *field, const char *name) {
  return text_format("%s__%s%s", field->value->c_lower,
      field->value->file == field->message->file ? "" : "type.", name);
}

const char *emit_encoder(const struct field *field) {
  return codec(field, "encode");
}

const char *emit_decoder(const struct field *field) {
  return codec(field, "decode");
}

const char *emit_deprecated(bool deprecated) {
  return deprecated ? " PSOCK_DEPRECATED" : "";
}

const char *emit_inline(bool deprecated) {
  return deprecated ? "PSOCK_DEPRECATED static inline" : "static inline";
}
