/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_TRANSPORT_SOCKET_H
#define PSOCK_TRANSPORT_SOCKET_H

#include <protosocket/transport.h>

/*
 * A transport of a non-blocking stream socket. `opening` is 0 when it is
 * connected, PSOCK_EAGAIN when it is on its way to be, and otherwise the error
 * that connect has given, for the connection to end with. Takes `fd` on
 * success. Returns 0 or PSOCK_ENOMEM.
 */
int psock_socket_new(
    psock_loop *loop, int fd, int opening, psock_transport **ret_transport);

/* Frees the transport, which nothing watches, and leaves its descriptor open.
 */
void psock_socket_forget(psock_transport *transport);

#endif
