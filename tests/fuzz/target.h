/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef FUZZ_TARGET_H
#define FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

/* What a fuzz target consists of. libFuzzer calls it; so does replay.c. */

/* Its corpus is in tests/fuzz/corpus/NAME. */
extern const char target_name[];

/* Returns 0, or -1: not worth keeping. Aborts when it finds something. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
