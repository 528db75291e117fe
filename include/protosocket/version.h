/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_VERSION_H
#define PROTOSOCKET_VERSION_H

#include <protosocket/export.h>

PSOCK_BEGIN_DECLS

/* The version of these headers; a test holds it to configure.ac's. */
#define PSOCK_VERSION_MAJOR 0
#define PSOCK_VERSION_MINOR 1
#define PSOCK_VERSION_PATCH 0
#define PSOCK_VERSION "0.1.0"

/**
 * The version of the library that the program runs with, as "0.1.0"; compare
 * with PSOCK_VERSION, the one it was built with. Static storage. Any thread.
 */
PSOCK_API const char *psock_version(void);

PSOCK_END_DECLS

#endif
