/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport/socket.h"

#include "base/allocator.h"
#include "base/io.h"
#include "base/loop.h"
#include "transport/system_error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <protosocket/error.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Stream sockets: TCP, unix, and either end of a socketpair. Output goes by
 * send and sendmsg, because writev has no way to say that a closed peer is no
 * reason for SIGPIPE. A call that a signal interrupts is made again.
 */

struct socket_transport {
  psock_transport transport; /* first */
  psock_loop *loop;
  struct psock_io io;
  int opening; /* 0: connected; PSOCK_EAGAIN: not yet; or why it failed */
};

static struct socket_transport *socket_of(psock_transport *transport) {
  return (struct socket_transport *)transport;
}

static int socket_fd(const psock_transport *transport) {
  return ((const struct socket_transport *)transport)->io.fd;
}

/* Whether the connect has come to an end, and which. */
static int socket_open(psock_transport *transport) {
  struct socket_transport *socket = socket_of(transport);
  if (socket->opening != PSOCK_EAGAIN)
    return socket->opening;
  struct pollfd wanted = {.fd = socket->io.fd, .events = POLLOUT};
  if (poll(&wanted, 1, 0) <= 0)
    return PSOCK_EAGAIN;
  int number = 0;
  socklen_t size = sizeof number;
  if (getsockopt(socket->io.fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0)
    number = errno;
  if (number != 0)
    return psock_error_from_errno(number);
  socket->opening = 0;
  return 0;
}

static ssize_t socket_receive(
    psock_transport *transport, void *buffer, size_t length) {
  ssize_t received;
  do
    received = recv(socket_fd(transport), buffer, length, 0);
  while (received < 0 && errno == EINTR);
  return received < 0 ? psock_error_from_errno(errno) : received;
}

static ssize_t send_vectors(int fd, const struct iovec *vectors, int count) {
  /* The usual case is worth the system call that takes less time. */
  if (count == 1)
    return send(fd, vectors->iov_base, vectors->iov_len, MSG_NOSIGNAL);
  struct msghdr message = {
      .msg_iov = (struct iovec *)(uintptr_t)vectors,
      .msg_iovlen = (size_t)count,
  };
  return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static ssize_t socket_send(
    psock_transport *transport, const struct iovec *vectors, int count) {
  ssize_t sent;
  do
    sent = send_vectors(socket_fd(transport), vectors, count);
  while (sent < 0 && errno == EINTR);
  /* A full device queue is no reason to end: there will be room again. */
  if (sent < 0 && errno == ENOBUFS)
    return PSOCK_EAGAIN;
  return sent < 0 ? psock_error_from_errno(errno) : sent;
}

static int socket_shutdown(psock_transport *transport) {
  if (shutdown(socket_fd(transport), SHUT_WR) == 0)
    return 0;
  return psock_error_from_errno(errno);
}

static int socket_watch(psock_transport *transport, unsigned directions) {
  struct socket_transport *socket = socket_of(transport);
  /* Before it is connected, only the end of that is of interest. */
  if (socket->opening != 0)
    directions &= PSOCK_WRITE;
  return socket->loop->ops->watch(socket->loop, &socket->io, directions);
}

static int socket_peer(
    const psock_transport *transport, struct psock_address *ret_address) {
  struct psock_address address = {.length = sizeof address.storage};
  if (((const struct socket_transport *)transport)->opening != 0)
    return PSOCK_EAGAIN;
  if (getpeername(socket_fd(transport), (struct sockaddr *)&address.storage,
          &address.length) != 0)
    return psock_error_from_errno(errno);
  *ret_address = address;
  return 0;
}

static int socket_credentials(const psock_transport *transport,
    struct psock_credentials *ret_credentials) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  int family = 0;
  socklen_t family_size = sizeof family;
  int fd = socket_fd(transport);
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &family_size) != 0 ||
      family != AF_UNIX ||
      getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return PSOCK_ENOTSUP;
  *ret_credentials = (struct psock_credentials){
      .pid = peer.pid,
      .uid = peer.uid,
      .gid = peer.gid,
  };
  return 0;
}

void psock_socket_forget(psock_transport *transport) {
  struct socket_transport *socket = socket_of(transport);
  psock_free(&socket->loop->heap->allocator, socket);
}

static void socket_free(psock_transport *transport) {
  struct socket_transport *socket = socket_of(transport);
  /* Watching nothing needs no memory, so this cannot fail. */
  (void)socket->loop->ops->watch(socket->loop, &socket->io, 0);
  close(socket->io.fd);
  psock_socket_forget(transport);
}

static const struct psock_transport_ops socket_ops = {
    .size = sizeof socket_ops,
    .open = socket_open,
    .receive = socket_receive,
    .send = socket_send,
    .shutdown = socket_shutdown,
    .watch = socket_watch,
    .get_peer = socket_peer,
    .get_credentials = socket_credentials,
    .free = socket_free,
};

static void socket_ready(struct psock_io *io, unsigned directions) {
  struct socket_transport *socket =
      PSOCK_CONTAINER(io, struct socket_transport, io);
  socket->transport.ready(socket->transport.owner, directions);
}

int psock_socket_new(
    psock_loop *loop, int fd, int opening, psock_transport **ret_transport) {
  struct socket_transport *socket =
      psock_alloc(&loop->heap->allocator, sizeof *socket);
  if (socket == NULL)
    return PSOCK_ENOMEM;
  *socket = (struct socket_transport){
      .transport = {.ops = &socket_ops},
      .loop = loop,
      .io = {.fd = fd, .ready = socket_ready},
      .opening = opening,
  };
  *ret_transport = &socket->transport;
  return 0;
}

static bool is_connected_stream(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  struct sockaddr_storage peer;
  socklen_t peer_size = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
         type == SOCK_STREAM &&
         getpeername(fd, (struct sockaddr *)&peer, &peer_size) == 0;
}

int psock_transport_socket_new(
    psock_loop *loop, int fd, psock_transport **ret_transport) {
  int flags = fcntl(fd, F_GETFL);
  if (!is_connected_stream(fd) || flags < 0 ||
      fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
    return PSOCK_EINVAL;
  int error = psock_socket_new(loop, fd, 0, ret_transport);
  if (error != 0)
    fcntl(fd, F_SETFL, flags);
  return error;
}
