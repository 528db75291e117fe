/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_SERVER_H
#define PROTOSOCKET_SERVER_H

#include <protosocket/address.h>
#include <protosocket/call.h>
#include <protosocket/connection.h>
#include <protosocket/export.h>
#include <protosocket/listener.h>
#include <protosocket/loop.h>
#include <protosocket/protobuf.h>
#include <protosocket/service.h>
#include <protosocket/transport.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What answers calls: services with their handlers, at as many addresses as
 * needed, on one loop. A handler is called with a call and, unless requests
 * stream, the request, which is lent until it returns. It answers right away
 * with what is generated for its method, or takes a reference (psock_call_ref)
 * and answers later. All that is here is for the loop's thread.
 */

PSOCK_BEGIN_DECLS

typedef struct psock_server psock_server;

/** Set `size` to sizeof; a field that is zero stands for its default. */
struct psock_server_options {
  size_t size;
  /* For its connections, but for codecs and reactor, which are set here.
   * Borrowed until return (it is copied). Default: all defaults. */
  const struct psock_connection_options *connection;
  /* Limits on messages; borrowed until return. Default: all defaults. */
  const struct psock_protobuf_options *limits;
  /* Calls in flight on one connection; further ones end with
   * RESOURCE_EXHAUSTED, not begun. Default 1,024. */
  unsigned max_calls;
  /* Bytes kept for the calls of one connection: requests of streams that
   * nobody has read. Default 16 MiB. */
  size_t max_kept;
  /* Bytes that a caller may send in a stream before they are read. Default
   * 256 KiB. */
  size_t stream_window;
  /* Nanoseconds that a call may take at most, whatever its caller says.
   * Default: no such limit. */
  uint64_t timeout;
  /* As a caller's: nanoseconds, PSOCK_TIMEOUT_NONE; defaults 30 s and 10 s. */
  uint64_t ping_after;
  uint64_t ping_timeout;
  /**
   * Decides whether the peer (psock_call_get_connection, and then
   * psock_connection_get_peer or _get_credentials) may call this method, before
   * its request is decoded (over a schema's own messages: before its handler is
   * called). Returns 0, or 1 to refuse with `ret_status`, which is
   * PERMISSION_DENIED when this is called. Default: everybody may.
   */
  int (*authorize)(void *data, psock_call *call,
      const struct psock_method *method, struct psock_status *ret_status);
  void *authorize_data;
  /* Around every call, behind `authorize`; the array is borrowed until return,
   * what it points to for as long as the server lasts. */
  const struct psock_interceptor *const *interceptors;
  size_t interceptor_count;
};

/** Counters since the server was made. */
struct psock_server_stats {
  size_t size;          /* set by the caller of the function to sizeof */
  uint64_t connections; /* now */
  uint64_t in_flight;   /* calls now */
  uint64_t started;     /* calls that have come */
  uint64_t ended;       /* calls, well or not */
  uint64_t failed;      /* of these, with a status that is not OK */
  uint64_t refused;     /* of these, for want of room, or by a limit */
  uint64_t cancelled;   /* of these, by their callers */
  uint64_t expired;     /* of these, by their deadlines */
  uint64_t kept;        /* bytes kept for calls now */
  uint64_t stray;       /* frames that belong to no call, and were ignored */
  uint64_t pings;       /* that were sent */
};

/** Makes a server without services. `options` is borrowed until return, and
 * may be NULL. Returns 0, PSOCK_EINVAL or PSOCK_ENOMEM. */
PSOCK_API PSOCK_NODISCARD int psock_server_new(psock_loop *loop,
    const struct psock_server_options *options, psock_server **ret_server);

/**
 * Serves `service` with `handlers`, the generated struct for it, whose handlers
 * are called with `state`; methods whose handler is NULL end with
 * UNIMPLEMENTED. All are borrowed for as long as the server lasts. A server has
 * services, or one foo__call__service, for connections over a schema's own
 * messages. Before the first psock_server_listen or _accept. Returns 0;
 * PSOCK_EINVAL for a method whose number is taken or 0, handlers without a
 * size, or a service that doesn't go with the others; PSOCK_ENOMEM.
 */
PSOCK_API PSOCK_NODISCARD int psock_server_add(psock_server *server,
    const struct psock_service *service, const void *handlers, void *state);

/** Has at most `max_calls` calls of `method` in flight, on all connections
 * together; further ones end with RESOURCE_EXHAUSTED, not begun. 0 takes the
 * limit back. Returns 0, or PSOCK_ENOENT when it doesn't serve the method. */
PSOCK_API PSOCK_NODISCARD int psock_server_limit(psock_server *server,
    const struct psock_method *method, unsigned max_calls);

/**
 * Listens at `address`. `options` is borrowed until return, and may be NULL;
 * its `connection`, `accepted` and `data` are not looked at. The listener is
 * the server's; `ret_listener`, unless it is NULL, is for asking it for its
 * address and counters. Returns as psock_listen, or PSOCK_ECLOSED after
 * psock_server_drain.
 */
PSOCK_API PSOCK_NODISCARD int psock_server_listen(psock_server *server,
    const struct psock_address *address,
    const struct psock_listener_options *options,
    psock_listener **ret_listener);

/** Serves the peer at the other end of `transport`, which belongs to the server
 * on success. Returns 0, PSOCK_EINVAL, PSOCK_ENOMEM, or PSOCK_ECLOSED after
 * psock_server_drain. */
PSOCK_API PSOCK_NODISCARD int psock_server_accept(
    psock_server *server, psock_transport *transport);

/**
 * Stops listening, tells every caller to start no more, serves the calls that
 * were begun, closes the connections on which none is left, and then calls
 * `drained(data)`, once, and not before the loop's next turn; it may free the
 * server. What is not done within the connection's drain_timeout (10 s) is cut.
 * Returns 0, or PSOCK_EINVAL when it was called before.
 */
PSOCK_API PSOCK_NODISCARD int psock_server_drain(
    psock_server *server, void (*drained)(void *data), void *data);

/**
 * Ends all connections and calls (their `ended` are called, with CANCELLED, and
 * `drained`, if that is owed), and frees the server; afterwards nothing calls
 * back. From handlers too. References to calls may outlive it; all that is done
 * with these says PSOCK_ECANCELED. NULL is allowed.
 */
PSOCK_API void psock_server_free(psock_server *server);

/** Fills `ret_stats`, whose `size` says how much of it is known. */
PSOCK_API void psock_server_get_stats(
    const psock_server *server, struct psock_server_stats *ret_stats);

PSOCK_END_DECLS

#endif
