/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_BUFFER_H
#define PROTOSOCKET_BUFFER_H

#include <protosocket/export.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where a message is encoded to: bytes on their way out. Belongs to the
 * library; a codec's encode is given one and appends to it.
 */

PSOCK_BEGIN_DECLS

typedef struct psock_buffer psock_buffer;

/**
 * `length` writable bytes at the end of the buffer, or NULL when memory is
 * out. They count only after psock_buffer_commit, and the pointer is good
 * until the next call on the buffer. For use inside encode.
 */
PSOCK_API PSOCK_NODISCARD uint8_t *psock_buffer_reserve(
    psock_buffer *buffer, size_t length);

/**
 * Makes the first `length` bytes of the last reservation part of the buffer.
 * For use inside encode.
 */
PSOCK_API void psock_buffer_commit(psock_buffer *buffer, size_t length);

/**
 * Appends `length` bytes at `bytes`. They are copied, unless the message is
 * sent with a release callback and there are 16 KiB or more of them: then they
 * are sent from where they are. Returns 0 or PSOCK_ENOMEM. For use inside
 * encode.
 */
PSOCK_API PSOCK_NODISCARD int psock_buffer_append(
    psock_buffer *buffer, const void *bytes, size_t length);

/**
 * Whether psock_buffer_append would send `length` bytes from where they are.
 * For use inside encode.
 */
PSOCK_API int psock_buffer_lends(const psock_buffer *buffer, size_t length);

PSOCK_END_DECLS

#endif
