/* SPDX-License-Identifier: BSD-2-Clause */
#include "connection/connection.h"
#include "transport/socket.h"

#include <fcntl.h>

int psock_connection_adopt(psock_loop *loop, int fd,
    const struct psock_connection_options *options,
    psock_connection **ret_connection) {
  psock_transport *transport;
  int flags = fcntl(fd, F_GETFL);
  int error = psock_transport_socket_new(loop, fd, &transport);
  if (error != 0)
    return error;
  error = psock_connection_new(loop, transport, options, ret_connection);
  if (error == 0)
    return 0;
  psock_socket_forget(transport);
  fcntl(fd, F_SETFL, flags);
  return error;
}
