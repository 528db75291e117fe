/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_CODEC_BOUNDS_H
#define PSOCK_CODEC_BOUNDS_H

#include <protobuf-c/protobuf-c.h>
#include <protosocket/allocator.h>
#include <stddef.h>
#include <stdint.h>

/* What there is to know about a message type to check how deep the bytes of a
 * message are nested. Constant once made. */
struct psock_bounds;

/*
 * Makes the bounds of `descriptor` (borrowed until return), or sets
 * `ret_bounds` to NULL when no message of this type is nested deeper than
 * `max_depth`, the outermost counted, whatever its bytes. Returns 0 or
 * PSOCK_ENOMEM.
 */
int psock_bounds_new(const ProtobufCMessageDescriptor *descriptor,
    unsigned max_depth, const struct psock_allocator *allocator,
    struct psock_bounds **ret_bounds);

/* NULL is allowed. `allocator` as for psock_bounds_new. */
void psock_bounds_free(
    struct psock_bounds *bounds, const struct psock_allocator *allocator);

/*
 * Checks the bytes of a message. Returns 0, PSOCK_EDEPTH when there is a
 * message too deep in them, or PSOCK_EMALFORMED, which says that
 * protobuf_c_message_unpack would refuse them; 0 doesn't say that it won't.
 */
int psock_bounds_check(
    const struct psock_bounds *bounds, const uint8_t *bytes, size_t length);

#endif
