/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_CODEC_WIRE_H
#define PSOCK_CODEC_WIRE_H

#include <protosocket/generated.h>
#include <stdint.h>

/*
 * A step for decoders that are written by hand, beside those in
 * protosocket/generated.h.
 */

/* Passes over the value at `at`, behind `tag`, of a field that is not known.
 * Returns where it ends, or NULL when that is malformed; groups are. */
const uint8_t *psock_decode_skip(
    const uint8_t *at, const uint8_t *end, uint64_t tag);

#endif
