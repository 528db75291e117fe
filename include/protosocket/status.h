/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_STATUS_H
#define PROTOSOCKET_STATUS_H

#include <protosocket/export.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How a call ended. The numbers and names are those of google.rpc.Code, so that
 * they mean the same here as elsewhere; what the library itself uses each for
 * is in protosocket-rpc(7).
 */

PSOCK_BEGIN_DECLS

#define PSOCK_STATUSES(X)                                                      \
  X(OK, 0)                                                                     \
  X(CANCELLED, 1)                                                              \
  X(UNKNOWN, 2)                                                                \
  X(INVALID_ARGUMENT, 3)                                                       \
  X(DEADLINE_EXCEEDED, 4)                                                      \
  X(NOT_FOUND, 5)                                                              \
  X(ALREADY_EXISTS, 6)                                                         \
  X(PERMISSION_DENIED, 7)                                                      \
  X(RESOURCE_EXHAUSTED, 8)                                                     \
  X(FAILED_PRECONDITION, 9)                                                    \
  X(ABORTED, 10)                                                               \
  X(OUT_OF_RANGE, 11)                                                          \
  X(UNIMPLEMENTED, 12)                                                         \
  X(INTERNAL, 13)                                                              \
  X(UNAVAILABLE, 14)                                                           \
  X(DATA_LOSS, 15)                                                             \
  X(UNAUTHENTICATED, 16)

/** The codes by name: PSOCK_STATUS_OK, PSOCK_STATUS_CANCELLED and so on. */
enum psock_status_code {
#define PSOCK_STATUS_MEMBER(name, number) PSOCK_STATUS_##name = (number),
  PSOCK_STATUSES(PSOCK_STATUS_MEMBER)
#undef PSOCK_STATUS_MEMBER
};

/** `size` is set by who fills it to sizeof. What it points to is borrowed for
 * as long as the function that is given it, or lent by who gives it. */
struct psock_status {
  size_t size;
  uint32_t code;    /* PSOCK_STATUS_OK: well; a peer may have others */
  const char *text; /* for people, UTF-8; given: never NULL; taken: may be */
  const uint8_t *details; /* whatever both sides have agreed on */
  size_t details_length;  /* bytes */
  int not_begun; /* given to callers: 1 when the peer has done nothing for the
                    call, so that making it again is safe */
};

/**
 * The name of `code`: "NOT_FOUND"; "unknown code" for a number that is not in
 * the list. Never NULL; static storage. Any thread.
 */
PSOCK_API const char *psock_status_name(uint32_t code);

PSOCK_END_DECLS

#endif
