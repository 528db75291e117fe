/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz/differ.h"
#include "fuzz/target.h"
#include "fuzz/types.h"

/*
 * Any bytes as a message: two bytes say of which type, two with which options,
 * the rest is decoded.
 */

#define HEAD 4

const char target_name[] = "codec_bytes";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < HEAD || size - HEAD > DIFFER_LENGTH_MAX)
    return -1;
  differ_decode(fuzz_type_of((uint16_t)(data[0] << 8 | data[1])),
      (unsigned)(data[2] << 8 | data[3]), data + HEAD, size - HEAD);
  return 0;
}
