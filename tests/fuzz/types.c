/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz/types.h"

#include <stdlib.h>

/*
 * Which type an input is for. The input says it with a key of 16 bits: of all
 * types, the one wins whose name mixed with the key gives the highest number,
 * so that each wins as often, and a type that is added takes keys from all
 * others but moves none between them.
 */

static uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

static uint64_t name_hash(const char *name) {
  uint64_t hash = 0;
  for (; *name != '\0'; name++)
    hash = mix(hash + (unsigned char)*name);
  return hash;
}

/* Made once. */
static const uint64_t *name_hashes(void) {
  static uint64_t *hashes;
  if (hashes != NULL)
    return hashes;
  hashes = malloc(fuzz_type_count * sizeof *hashes);
  if (hashes == NULL)
    abort();
  for (size_t i = 0; i < fuzz_type_count; i++)
    hashes[i] = name_hash(fuzz_types[i].name);
  return hashes;
}

const struct psock_message_type *fuzz_type_of(uint16_t key) {
  const uint64_t *hashes = name_hashes();
  size_t winner = 0;
  uint64_t most = 0;
  for (size_t i = 0; i < fuzz_type_count; i++) {
    uint64_t number = mix(hashes[i] + key);
    if (number >= most) {
      winner = i;
      most = number;
    }
  }
  return fuzz_types[winner].type;
}

const struct psock_message_type *fuzz_type_by(
    const ProtobufCMessageDescriptor *descriptor) {
  for (size_t i = 0; i < fuzz_type_count; i++)
    if (fuzz_types[i].type->descriptor == descriptor)
      return fuzz_types[i].type;
  abort();
}
