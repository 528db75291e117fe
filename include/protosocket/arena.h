/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_ARENA_H
#define PROTOSOCKET_ARENA_H

#include <protosocket/export.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where a message is decoded into: memory that is given back all at once.
 * Belongs to the library; a codec's decode is given one and allocates from it.
 */

PSOCK_BEGIN_DECLS

typedef struct psock_arena psock_arena;

/**
 * `length` bytes, aligned for any type and not initialised, that live as long
 * as the message; NULL when memory is out, or with the limit that
 * psock_arena_limit has set. There is no free. For use inside decode.
 */
PSOCK_API PSOCK_NODISCARD void *psock_arena_alloc(
    psock_arena *arena, size_t length);

/**
 * Limits what psock_arena_alloc gives for this message to `length` bytes from
 * here on, rounded down to a multiple of 16. For use inside decode.
 */
PSOCK_API void psock_arena_limit(psock_arena *arena, size_t length);

/**
 * Whether an allocation has failed because of psock_arena_limit, and not for
 * want of memory. For use inside decode.
 */
PSOCK_API int psock_arena_limited(const psock_arena *arena);

PSOCK_END_DECLS

#endif
