/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_CODEC_UTF8_H
#define PSOCK_CODEC_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the bytes are UTF-8 as RFC 3629 has it: characters up to U+10FFFF in
 * their shortest form, and no surrogates. NUL is a character like others. */
bool psock_utf8_is_valid(const uint8_t *text, size_t length);

#endif
