/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_TESTING_H
#define PROTOSOCKET_TESTING_H

#include <protosocket/export.h>
#include <protosocket/loop.h>
#include <protosocket/transport.h>
#include <stddef.h>
#include <stdint.h>

/*
 * For tests of programs that use the library: a loop that is turned by hand,
 * with a clock that is set by hand, and a connection in memory with faults on
 * demand. No descriptor, no thread and no waiting is involved, so a test
 * always runs the same way.
 */

PSOCK_BEGIN_DECLS

/**
 * Makes a loop without libev. The clock starts at one second. `options` as for
 * psock_loop_new. Freed with psock_loop_free. Returns 0, PSOCK_EINVAL for a
 * size of 0, or PSOCK_ENOMEM.
 */
PSOCK_API PSOCK_NODISCARD int psock_test_loop_new(
    const struct psock_loop_options *options, psock_loop **ret_loop);

/**
 * One turn: what is due at the clock's time and what is ready is called once.
 * Returns how much that was; 0: nothing will happen before time passes or
 * something is sent. The calling thread counts as the loop's. Never from a
 * callback of this loop.
 */
PSOCK_API int psock_test_loop_turn(psock_loop *loop);

/** Turns until nothing happens any more; at most `limit` times, so that a test
 * ends. Returns 1 when it has become quiet, 0 at the limit. */
PSOCK_API int psock_test_loop_settle(psock_loop *loop, int limit);

/** Moves the clock `by` nanoseconds on. What is then due is called by the next
 * turn. */
PSOCK_API void psock_test_loop_advance(psock_loop *loop, uint64_t by);

/**
 * Makes two transports, each other's peer, on one loop of psock_test_loop_new
 * or psock_loop_new. Each holds at most `capacity` bytes that its peer has not
 * received. The caller owns both until connections take them, and frees one
 * that is taken by none with transport->ops->free, before the loop is freed.
 * Loop's thread. Returns 0, PSOCK_EINVAL for a capacity of 0, or PSOCK_ENOMEM.
 */
PSOCK_API PSOCK_NODISCARD int psock_memory_pair(psock_loop *loop,
    size_t capacity, psock_transport **ret_one, psock_transport **ret_other);

/** At most `length` bytes are moved by each receive of `transport`, which is
 * one of psock_memory_pair; 0: as many as there are. Loop's thread. */
PSOCK_API void psock_memory_limit_receive(
    psock_transport *transport, size_t length);

/** At most `length` bytes are taken by each send; 0: as many as fit. Loop's
 * thread. */
PSOCK_API void psock_memory_limit_send(
    psock_transport *transport, size_t length);

/** The functions of a memory transport that can be made to fail. */
enum psock_memory_call {
  PSOCK_MEMORY_OPEN,
  PSOCK_MEMORY_RECEIVE,
  PSOCK_MEMORY_SEND,
  PSOCK_MEMORY_SHUTDOWN,
  PSOCK_MEMORY_WATCH
};

/**
 * After `calls` further calls of the function `call`, those that follow fail
 * with `error` (a psock_error); `error` 0 takes that back. Loop's thread.
 */
PSOCK_API void psock_memory_fail(psock_transport *transport,
    enum psock_memory_call call, unsigned calls, int error);

PSOCK_END_DECLS

#endif
