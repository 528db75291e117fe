/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_BASE_OPTIONS_H
#define PSOCK_BASE_OPTIONS_H

#include <stddef.h>
#include <string.h>

/*
 * Structs that the caller fills begin with their size, because the caller may
 * have been compiled with an older or a newer header. What one side does not
 * know is zero for the other: the default.
 */

/* The size of the first version of a struct, which ended with `last`: what is
 * shorter has never been valid. */
#define PSOCK_SIZE_THROUGH(type, last)                                         \
  (offsetof(type, last) + sizeof(((const type *)0)->last))

/* Copies the options that both sides know; `given` may be NULL. A size of 0,
 * which is a forgotten one, is left to the caller to refuse. */
static inline void psock_options_copy(
    void *known, size_t known_size, const void *given, size_t given_size) {
  memset(known, 0, known_size);
  if (given == NULL)
    return;
  memcpy(known, given, given_size < known_size ? given_size : known_size);
}

/* The other direction: fills a caller's struct, and leaves its size. */
static inline void psock_options_fill(
    void *given, size_t given_size, const void *known, size_t known_size) {
  size_t size = given_size < known_size ? given_size : known_size;
  if (size > sizeof(size_t))
    memcpy((char *)given + sizeof(size_t), (const char *)known + sizeof(size_t),
        size - sizeof(size_t));
}

#endif
