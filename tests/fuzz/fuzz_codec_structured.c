/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz/differ.h"
#include "fuzz/structured.h"
#include "fuzz/target.h"
#include "fuzz/types.h"

/*
 * Messages that are made as the input says. Two bytes choose the type, two the
 * options, one whether the message is made as bytes, which are decoded, or as a
 * struct, which is encoded, and what that gives decoded; the rest makes it.
 */

#define HEAD 5

const char target_name[] = "codec_structured";

static void try_bytes(const struct psock_message_type *type, unsigned options,
    struct source *source) {
  struct text text = {NULL, 0, 0};
  structured_bytes(&text, source, type->descriptor);
  if (text.length <= DIFFER_LENGTH_MAX)
    differ_decode(type, options, text.at, text.length);
  free(text.at);
}

static void try_message(const struct psock_message_type *type, unsigned options,
    struct source *source) {
  struct pile pile = {NULL};
  const ProtobufCMessage *message =
      structured_message(&pile, source, type->descriptor, STRUCTURED_ANY);
  differ_encode(type, options, message);
  size_t length = protobuf_c_message_get_packed_size(message);
  uint8_t *bytes = malloc(length + 1);
  if (bytes == NULL)
    abort();
  protobuf_c_message_pack(message, bytes);
  if (length <= DIFFER_LENGTH_MAX)
    differ_decode(type, options, bytes, length);
  free(bytes);
  pile_free(&pile);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < HEAD)
    return -1;
  const struct psock_message_type *type =
      fuzz_type_of((uint16_t)(data[0] << 8 | data[1]));
  unsigned options = (unsigned)(data[2] << 8 | data[3]);
  struct source source = {data + HEAD, data + size};
  if (data[4] % 4 == 3)
    try_message(type, options, &source);
  else
    try_bytes(type, options, &source);
  return 0;
}
