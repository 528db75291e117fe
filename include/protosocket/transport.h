/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_TRANSPORT_H
#define PROTOSOCKET_TRANSPORT_H

#include <protosocket/address.h>
#include <protosocket/export.h>
#include <protosocket/loop.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/*
 * What carries the bytes. The library has stream sockets and, for tests, a
 * pair in memory (<protosocket/testing.h>); anything else that moves bytes in
 * both directions, in order and without loss, can be one: begin your own type
 * with a struct psock_transport.
 *
 * A transport tells that it is ready by calling transport->ready, on the
 * loop's thread, and never from inside one of its own functions.
 */

PSOCK_BEGIN_DECLS

typedef struct psock_transport psock_transport;

/** Who the peer is on a unix socket, as the kernel says. */
struct psock_credentials {
  pid_t pid;
  uid_t uid;
  gid_t gid;
};

/** All on the loop's thread; results are counts, 0, or a psock_error. */
struct psock_transport_ops {
  size_t size; /* sizeof(struct psock_transport_ops) */
  /**
   * Goes on with connecting, or whatever comes before the first byte. Returns
   * 0 when done, PSOCK_EAGAIN when to be called again once `ready`. NULL:
   * there is nothing to do.
   */
  int (*open)(psock_transport *transport);
  /**
   * Moves at most `length` bytes into `buffer`. Returns how many, 0 at the end
   * of the input, PSOCK_EAGAIN when there are none now, PSOCK_ERESET, ...
   */
  ssize_t (*receive)(psock_transport *transport, void *buffer, size_t length);
  /**
   * Takes bytes from the front of `count` vectors (1 to 1024). Returns how
   * many bytes, PSOCK_EAGAIN when it can take none now, PSOCK_ERESET, ...
   */
  ssize_t (*send)(
      psock_transport *transport, const struct iovec *vectors, int count);
  /** Ends the output, behind what was taken; the peer reads its end. */
  int (*shutdown)(psock_transport *transport);
  /**
   * Says in which `directions` (bits; 0: none) `ready` is wanted from now on,
   * for as long as it holds, not only when it changes. Returns 0 or
   * PSOCK_ENOMEM.
   */
  int (*watch)(psock_transport *transport, unsigned directions);
  /** The peer's address. NULL or PSOCK_ENOTSUP: it has none. */
  int (*get_peer)(
      const psock_transport *transport, struct psock_address *ret_address);
  /** The peer's credentials. NULL or PSOCK_ENOTSUP: they aren't known. */
  int (*get_credentials)(const psock_transport *transport,
      struct psock_credentials *ret_credentials);
  /** Closes and frees the transport; `ready` is not called any more. */
  void (*free)(psock_transport *transport);
};

struct psock_transport {
  const struct psock_transport_ops *ops;
  /* Set by the connection that takes the transport. */
  void (*ready)(void *owner, unsigned directions);
  void *owner;
};

/**
 * Makes a transport of a connected stream socket of any family (TCP, unix,
 * one end of a socketpair). On success `fd` belongs to the transport, which
 * makes it non-blocking and closes it; on failure it stays the caller's, as it
 * was. The caller owns the transport until a connection takes it. Loop's
 * thread. Returns 0, PSOCK_EINVAL when `fd` is no connected stream socket (one
 * that its peer has reset is not), or PSOCK_ENOMEM.
 */
PSOCK_API PSOCK_NODISCARD int psock_transport_socket_new(
    psock_loop *loop, int fd, psock_transport **ret_transport);

PSOCK_END_DECLS

#endif
