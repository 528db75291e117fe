/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_LISTENER_H
#define PROTOSOCKET_LISTENER_H

#include <protosocket/address.h>
#include <protosocket/connection.h>
#include <protosocket/export.h>
#include <protosocket/loop.h>
#include <stdint.h>

/*
 * A listener accepts connections at one address, and owns them. No failure of
 * accept ends it: out of descriptors or memory it pauses and goes on later.
 */

PSOCK_BEGIN_DECLS

typedef struct psock_listener psock_listener;

/** Set `size` to sizeof; a field that is zero stands for its default. */
struct psock_listener_options {
  size_t size;
  /* For every accepted connection, but for the reactor, which `accepted`
   * gives. Borrowed until psock_listen returns (it is copied). Required. */
  const struct psock_connection_options *connection;
  /**
   * Makes the reactor of a connection that has come, into `ret_reactor`. The
   * connection may be asked for its peer and its sender be cloned; its first
   * callback comes after this has returned, in the loop's next turn. Whatever
   * is not 0 turns the peer away: the connection is closed, and nothing calls
   * back. Loop's thread. Required.
   */
  int (*accepted)(
      void *data, psock_connection *connection, psock_reactor *ret_reactor);
  void *data;
  /* Connections at once; while there are that many, further ones wait in the
   * backlog. Default 10,000. */
  unsigned max_connections;
  /* Connections that the kernel keeps waiting. Default 4,096; the kernel's
   * net.core.somaxconn may be lower. */
  int backlog;
  /* TCP: SO_REUSEPORT, several listeners at one address. */
  int reuse_port;
  /* TCP on an IPv6 address: 1 takes IPv6 only. Default: IPv4 too, where the
   * address is that of every interface. */
  int ipv6_only;
  /* TCP: 1 leaves Nagle's algorithm on. Default: TCP_NODELAY. */
  int delay;
  /* TCP: 1 probes silent peers (SO_KEEPALIVE) with the kernel's times. */
  int keepalive;
};

/** Counters since the listener was made. */
struct psock_listener_stats {
  size_t size;          /* set by the caller to sizeof */
  uint64_t accepted;    /* connections that were made */
  uint64_t refused;     /* turned away by `accepted`, or for want of memory */
  uint64_t errors;      /* failures of accept */
  uint64_t pauses;      /* times that accepting paused at a bound */
  uint64_t connections; /* connections now */
};

/**
 * Listens at `address`. A unix socket's file that no process listens at any
 * more is replaced, one that is in use is not. `address` and `options` are
 * borrowed until return, but for the codecs and the reactors. The caller
 * owns the listener, and ends it with psock_listener_free. Loop's thread.
 *
 * Returns 0, PSOCK_EINVAL, PSOCK_ENOMEM, PSOCK_EADDRINUSE, PSOCK_EACCESS,
 * PSOCK_ENOENT for a path without its directory, PSOCK_ENFILE,
 * PSOCK_EADDRNOTAVAIL, PSOCK_ENOTSUP for a family that this machine does not
 * have, or PSOCK_EIO.
 */
PSOCK_API PSOCK_NODISCARD int psock_listen(psock_loop *loop,
    const struct psock_address *address,
    const struct psock_listener_options *options,
    psock_listener **ret_listener);

/** The address that it listens at, with the port that the system has chosen.
 * Loop's thread. */
PSOCK_API void psock_listener_get_address(
    const psock_listener *listener, struct psock_address *ret_address);

/**
 * Fills `ret_stats`, whose `size` says how much of it the caller knows.
 * Loop's thread.
 */
PSOCK_API void psock_listener_get_stats(
    const psock_listener *listener, struct psock_listener_stats *ret_stats);

/**
 * Stops accepting, removes the unix socket's file, and asks every connection
 * for a drain. When none is left, `drained(data)` is called, once, and not
 * before the loop's next turn; it may free the listener. A drain that has
 * begun is not begun again: the call is refused. Loop's thread. Returns 0 or
 * PSOCK_EINVAL.
 */
PSOCK_API PSOCK_NODISCARD int psock_listener_drain(
    psock_listener *listener, void (*drained)(void *data), void *data);

/**
 * Stops accepting and frees every connection (psock_connection_free), then the
 * listener. `drained` is called first where a drain had begun. From callbacks
 * too. NULL is allowed. Loop's thread.
 */
PSOCK_API void psock_listener_free(psock_listener *listener);

PSOCK_END_DECLS

#endif
