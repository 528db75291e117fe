/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/options.h"
#include "connection/connection.h"
#include "transport/socket.h"
#include "transport/system_error.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <protosocket/connect.h>
#include <protosocket/error.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Connecting: a socket that connects on its own while the connection is
 * OPENING. What connect says at once is kept for the connection to end with,
 * so that whoever connects has one place to hear of a failure.
 */

static int new_socket(int family) {
  int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return psock_error_from_errno(errno == EAGAIN ? ENOMEM : errno);
  if (family != AF_UNIX) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  return fd;
}

/* Returns 0, PSOCK_EAGAIN while it is under way, or why it failed. */
static int begin_connect(int fd, const struct psock_address *address) {
  const struct sockaddr *name = (const struct sockaddr *)&address->storage;
  if (connect(fd, name, address->length) == 0)
    return 0;
  /* An interrupted connect goes on by itself. */
  if (errno == EINPROGRESS || errno == EINTR)
    return PSOCK_EAGAIN;
  /* A unix socket whose backlog is full gives no sign when it is not. */
  return errno == EAGAIN ? PSOCK_EREFUSED : psock_error_from_errno(errno);
}

int psock_connect(psock_loop *loop, const struct psock_address *address,
    const struct psock_connection_options *given,
    psock_connection **ret_connection) {
  if (!psock_connection_options_are_valid(given) ||
      !psock_reactor_is_valid(&given->reactor, given->inbound))
    return PSOCK_EINVAL;
  struct psock_connection_options options;
  psock_options_copy(&options, sizeof options, given, given->size);
  if (options.when_full == PSOCK_WHEN_FULL_DEFAULT)
    options.when_full = PSOCK_WHEN_FULL_READ;
  int fd = new_socket(address->storage.ss_family);
  if (fd < 0)
    return fd;
  psock_transport *transport;
  int error =
      psock_socket_new(loop, fd, begin_connect(fd, address), &transport);
  if (error != 0) {
    close(fd);
    return error;
  }
  error = psock_connection_new(loop, transport, &options, ret_connection);
  if (error != 0)
    transport->ops->free(transport);
  return error;
}
