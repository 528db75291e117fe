/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_CALLER_H
#define PROTOSOCKET_CALLER_H

#include <protosocket/address.h>
#include <protosocket/call.h>
#include <protosocket/connection.h>
#include <protosocket/export.h>
#include <protosocket/loop.h>
#include <protosocket/protobuf.h>
#include <protosocket/service.h>
#include <protosocket/transport.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What calls are made on: the client's side. A caller has one connection at a
 * time; psock_caller_connect makes another one when a call needs it and the
 * last has ended, psock_caller_new has only the one it was given.
 *
 * A caller belongs to its loop's thread, without a lock. Clones of it may be
 * used, cloned and freed on any thread, as clones of senders may.
 */

PSOCK_BEGIN_DECLS

/** Set `size` to sizeof; a field that is zero stands for its default. */
struct psock_caller_options {
  size_t size;
  /* The schema's own messages instead of services: foo__call__service, which
   * is generated. Default: services, over protosocket.rpc.Frame. */
  const struct psock_service *messages;
  /* For its connections, but for codecs and reactor, which are set here.
   * Borrowed until return (it is copied). Default: all defaults. */
  const struct psock_connection_options *connection;
  /* Limits on messages; borrowed until return. Default: all defaults. */
  const struct psock_protobuf_options *limits;
  /* Calls in flight. Default 1,024, at most 1,048,576. */
  unsigned max_calls;
  /* Bytes kept for calls: messages of streams that nobody has read, and
   * requests that may have to be sent again. Default 16 MiB. */
  size_t max_kept;
  /* Bytes that a server may send in a stream before they are read. Default
   * 256 KiB. */
  size_t stream_window;
  /* Nanoseconds that a call may take whose method and options say nothing and
   * whose responses don't stream; PSOCK_TIMEOUT_NONE. Default 10 s. */
  uint64_t timeout;
  /* Nanoseconds without a byte from the server after which it is pinged, and
   * after which, without an answer, the connection ends. PSOCK_TIMEOUT_NONE:
   * never. Defaults 30 s and 10 s. Only with a server that has said HELLO. */
  uint64_t ping_after;
  uint64_t ping_timeout;
  /* Around every call; the array is borrowed until return, what it points to
   * for as long as the caller and its clones last. */
  const struct psock_interceptor *const *interceptors;
  size_t interceptor_count;
};

/** How to call. The timeout has to be said: 0 is refused, so that a time that
 * has run out is not taken for "no limit". */
struct psock_call_options {
  size_t size; /* sizeof(struct psock_call_options) */
  /* In nanoseconds, PSOCK_TIMEOUT_DEFAULT or PSOCK_TIMEOUT_NONE. */
  uint64_t timeout;
  /* Copied. At most 64 entries and 8 KiB. */
  const struct psock_metadata *metadata;
  size_t metadata_count;
  /* Over a schema's own messages: 1 when the responses are a stream. */
  int streams;
};

/** Counters since the caller was made. */
struct psock_caller_stats {
  size_t size;        /* set by the caller of the function to sizeof */
  uint64_t in_flight; /* calls now */
  uint64_t started;   /* calls */
  uint64_t ended;     /* calls, well or not */
  uint64_t failed;    /* of these, with a status that is not OK */
  uint64_t refused;   /* starts that returned an error */
  uint64_t retried;   /* requests that were sent again */
  uint64_t kept;      /* bytes kept for calls now */
  uint64_t stray;     /* frames that belong to no call, and were ignored */
  uint64_t connected; /* connections that were opened */
  uint64_t pings;     /* that were sent */
};

/**
 * Makes a caller that connects to `address`, at once, and again when a call is
 * started and the connection has ended; after an attempt that has failed, not
 * before a random part of 50 ms has passed, a time that doubles with each
 * further failure, up to 30 s. `address` and `options` are borrowed until
 * return; `options` may be NULL. The caller lasts until psock_caller_free;
 * while it has a connection, ev_run does not return. Loop's thread. Returns 0,
 * PSOCK_EINVAL, PSOCK_ENOMEM, or what psock_connect returns.
 */
PSOCK_API PSOCK_NODISCARD int psock_caller_connect(psock_loop *loop,
    const struct psock_address *address,
    const struct psock_caller_options *options, psock_caller **ret_caller);

/**
 * Makes a caller over `transport`, which belongs to it on success. When its
 * connection has ended, calls end with UNAVAILABLE. Otherwise as
 * psock_caller_connect.
 */
PSOCK_API PSOCK_NODISCARD int psock_caller_new(psock_loop *loop,
    psock_transport *transport, const struct psock_caller_options *options,
    psock_caller **ret_caller);

/**
 * Makes another caller for the same connections. The first one, which is the
 * loop's thread's, is cloned on that thread, a clone on any. Given back with
 * psock_caller_free, also when the first one is gone: calls then fail with
 * PSOCK_ECLOSED. Returns 0, PSOCK_ECLOSED or PSOCK_ENOMEM.
 */
PSOCK_API PSOCK_NODISCARD int psock_caller_clone(
    psock_caller *caller, psock_caller **ret_caller);

/**
 * A clone: gives it back; its calls go on. Any thread. The first one: ends its
 * connections at once, every call ends with CANCELLED, their `ended`, and the
 * `closed` of psock_caller_close if that is owed, are called before this
 * returns, and afterwards nothing calls back. Loop's thread, from
 * callbacks too. NULL is allowed.
 */
PSOCK_API void psock_caller_free(psock_caller *caller);

/**
 * Refuses further starts (PSOCK_ECLOSED), closes the connection in good order
 * when the last call has ended, and then calls `closed(data)`, once, and not
 * before the loop's next turn; it may free the caller. The first one's; loop's
 * thread. Returns 0, or PSOCK_EINVAL when it was called before.
 */
PSOCK_API PSOCK_NODISCARD int psock_caller_close(
    psock_caller *caller, void (*closed)(void *data), void *data);

/** Fills `ret_stats`, whose `size` says how much of it is known. The first
 * one's; loop's thread. */
PSOCK_API void psock_caller_get_stats(
    const psock_caller *caller, struct psock_caller_stats *ret_stats);

/* The generated functions are typed ones over these four. Thread: the caller's.
 * Each returns 0 when the call has been started, and else never calls back:
 *   PSOCK_EINVAL     a size or a timeout of 0, a method of another kind
 *   PSOCK_EFULL      max_calls are in flight, the queue is full, or the request
 *                    would have to be kept and max_kept does not allow it
 *   PSOCK_ECLOSED    after psock_caller_close, or the first one is gone
 *   PSOCK_ELOOPTHREAD  the first one is used on another thread
 *   PSOCK_ENOTSUP    a service's method over a schema's own messages, or the
 *                    reverse
 *   PSOCK_ETOOBIG    the request, or its metadata
 *   PSOCK_ENOMEM
 * That the peer can't be reached is no error of the start, but the call's
 * status: UNAVAILABLE. `request` is borrowed until return, and NULL where
 * requests stream; `options` may be NULL. */

/**
 * Starts a call whose messages and end are told to `events`, after this has
 * returned, on the loop's thread; `events` is borrowed until its `ended` has
 * returned, and may be NULL: then nobody is told. `ret_call`, unless it is
 * NULL, gets a reference to be given back.
 */
PSOCK_API PSOCK_NODISCARD int psock_caller_start(psock_caller *caller,
    const struct psock_method *method, const void *request,
    const struct psock_call_options *options,
    const struct psock_call_events *events, void *data, psock_call **ret_call);

/**
 * Starts a call whose messages are asked for with psock_call_receive. Its
 * reference is given back with psock_call_unref, which cancels it if it has not
 * ended. On the loop's own thread inside a callback: PSOCK_ELOOPTHREAD.
 */
PSOCK_API PSOCK_NODISCARD int psock_caller_open(psock_caller *caller,
    const struct psock_method *method, const void *request,
    const struct psock_call_options *options, psock_call **ret_call);

/**
 * Calls, and waits for the one response. Returns 0 with `ret_response`, or,
 * positive, the code of the status that the call has ended with, or, negative,
 * why it was not started; with 0 and above `ret_call` is a reference to be
 * given back, which the response and psock_call_get_status's answer live as
 * long as. The first caller, while no callback is running, runs the loop
 * itself; a clone waits for whoever runs it. Inside a callback:
 * PSOCK_ELOOPTHREAD.
 */
PSOCK_API PSOCK_NODISCARD int psock_caller_run(psock_caller *caller,
    const struct psock_method *method, const void *request,
    const struct psock_call_options *options, const void **ret_response,
    psock_call **ret_call);

PSOCK_END_DECLS

#endif
