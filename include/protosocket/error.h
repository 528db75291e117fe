/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_ERROR_H
#define PROTOSOCKET_ERROR_H

#include <protosocket/export.h>

PSOCK_BEGIN_DECLS

/*
 * Every fallible function returns 0 (or a count) or one of these, all
 * negative. A number is never reused and never changes; new ones are added
 * at the end of the list.
 */
#define PSOCK_ERRORS(X)                                                        \
  X(ENOMEM, -1, "out of memory")                                               \
  X(EINVAL, -2, "invalid argument")                                            \
  X(EAGAIN, -3, "nothing can be moved now")                                    \
  X(EFULL, -4, "the queue is full")                                            \
  X(ECLOSED, -5, "the connection is closed")                                   \
  X(ETOOBIG, -6, "the message is larger than the limit")                       \
  X(EMALFORMED, -7, "the input is malformed")                                  \
  X(ETRUNCATED, -8, "the input ended inside a message")                        \
  X(EDEPTH, -9, "the message is nested deeper than the limit")                 \
  X(EMEMLIMIT, -10, "the decoded message would take more than the limit")      \
  X(ETIMEDOUT, -11, "the time allowed has passed")                             \
  X(ECANCELED, -12, "ended by its owner")                                      \
  X(ELOOPTHREAD, -13, "not allowed on the loop's own thread")                  \
  X(EREFUSED, -14, "connection refused")                                       \
  X(ERESET, -15, "connection reset by the peer")                               \
  X(EUNREACHABLE, -16, "the peer cannot be reached")                           \
  X(EADDRESS, -17, "the address is not understood")                            \
  X(EADDRINUSE, -18, "the address is in use")                                  \
  X(EACCESS, -19, "permission denied")                                         \
  X(ENOENT, -20, "no such file")                                               \
  X(ENFILE, -21, "out of file descriptors")                                    \
  X(ENOTSUP, -22, "not supported here")                                        \
  X(EIO, -23, "input/output error")                                            \
  X(EADDRNOTAVAIL, -24, "the address is not one of this machine\'s")           \
  X(EUTF8, -25, "a string is not valid UTF-8")

/** The errors by name: PSOCK_ENOMEM, PSOCK_EINVAL and so on. */
enum psock_error {
  PSOCK_OK = 0,
#define PSOCK_ERROR_MEMBER(name, number, text) PSOCK_##name = (number),
  PSOCK_ERRORS(PSOCK_ERROR_MEMBER)
#undef PSOCK_ERROR_MEMBER
};

/** How many errors there are, PSOCK_OK not counted; grows with the list. */
#define PSOCK_ERROR_COUNT 25

/**
 * One sentence, in English, for `error`; "success" for 0 and above, "unknown
 * error" for a number that is not in the list. Never NULL; static storage.
 * Any thread.
 */
PSOCK_API const char *psock_strerror(int error);

/**
 * The name of `error` as it stands in programs: "PSOCK_ENOMEM"; "PSOCK_OK" for
 * 0 and above, "unknown" for a number that is not in the list. Never NULL;
 * static storage. Any thread.
 */
PSOCK_API const char *psock_errname(int error);

PSOCK_END_DECLS

#endif
