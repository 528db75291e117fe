/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_BASE_LOG_H
#define PSOCK_BASE_LOG_H

#include <protosocket/loop.h>

/* Gives one line to the loop's log hook, if it has one. Loop's thread. */
__attribute__((format(printf, 3, 4))) void psock_log(const psock_loop *loop,
    enum psock_log_level level, const char *format, ...);

#endif
