/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_TRANSPORT_SYSTEM_ERROR_H
#define PSOCK_TRANSPORT_SYSTEM_ERROR_H

/* The psock_error for an errno of a socket's; PSOCK_EIO for what has none. */
int psock_error_from_errno(int number);

#endif
