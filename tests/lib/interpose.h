/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_LIB_INTERPOSE_H
#define TESTS_LIB_INTERPOSE_H

#include <stddef.h>
#include <stdint.h>

/*
 * System calls that fail when a test wants them to. The functions of the C
 * library that the library calls are defined anew in the test program; they
 * count, and then fail or go on to the real ones.
 */

enum call {
  CALL_RECV,
  CALL_SEND, /* send, sendmsg */
  CALL_ACCEPT4,
  CALL_CONNECT,
  CALL_SHUTDOWN,
  CALL_SOCKET,
  CALL_BIND,
  CALL_LISTEN,
  CALL_EVENTFD,
  CALLS
};

/* Instead of an errno, for recv: the end of the input. */
#define INTERPOSE_END (-1)

/* Calls number `from` (the next one is 1) to `from + count - 1` of `call` fail
 * with the errno `error`. */
void interpose_fail(enum call call, unsigned from, unsigned count, int error);

/* The same with all calls counted together. */
void interpose_fail_any(unsigned from, unsigned count, int error);

/* Every call fails with EINTR first, and is then let through. */
void interpose_interrupt_all(void);

/* Receiving and sending move at most `length` bytes; 0: as many as they like.
 */
void interpose_limit(enum call call, size_t length);

/* How many calls there have been since the last interpose_fail of `call`, or,
 * for CALLS, of any since interpose_fail_any. */
unsigned interpose_count(enum call call);

/* Moves CLOCK_MONOTONIC on, for libev and the library alike. */
void interpose_advance_clock(uint64_t nanoseconds);

#endif
