/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_CONNECT_H
#define PROTOSOCKET_CONNECT_H

#include <protosocket/address.h>
#include <protosocket/connection.h>
#include <protosocket/export.h>
#include <protosocket/loop.h>

PSOCK_BEGIN_DECLS

/**
 * Begins to connect to `address` and returns at once. The connection can be
 * used right away: what is sent waits until it is open. The reactor's `opened`
 * says that it is; `closed` says why it isn't (PSOCK_EREFUSED, PSOCK_ENOENT,
 * PSOCK_ETIMEDOUT after open_timeout, ...). TCP_NODELAY is set. `address` and
 * `options` are borrowed until return, but for what the options say. Loop's
 * thread.
 *
 * Returns 0, PSOCK_EINVAL, PSOCK_ENOMEM, PSOCK_ENFILE, or PSOCK_ENOTSUP for a
 * family that this machine does not have.
 */
PSOCK_API PSOCK_NODISCARD int psock_connect(psock_loop *loop,
    const struct psock_address *address,
    const struct psock_connection_options *options,
    psock_connection **ret_connection);

PSOCK_END_DECLS

#endif
