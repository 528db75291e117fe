/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport/system_error.h"

#include <errno.h>
#include <protosocket/error.h>

int psock_error_from_errno(int number) {
  switch (number) {
  case EAGAIN:
#if EWOULDBLOCK != EAGAIN
  case EWOULDBLOCK:
#endif
    return PSOCK_EAGAIN;
  case ENOBUFS:
  case ENOMEM:
    return PSOCK_ENOMEM;
  case EPIPE:
  case ECONNRESET:
  case ECONNABORTED:
  case ENOTCONN:
    return PSOCK_ERESET;
  case ECONNREFUSED:
    return PSOCK_EREFUSED;
  case ETIMEDOUT:
    return PSOCK_ETIMEDOUT;
  case EHOSTUNREACH:
  case ENETUNREACH:
  case EHOSTDOWN:
  case ENETDOWN:
    return PSOCK_EUNREACHABLE;
  case EADDRINUSE:
    return PSOCK_EADDRINUSE;
  case EADDRNOTAVAIL:
    return PSOCK_EADDRNOTAVAIL;
  case EACCES:
  case EPERM:
    return PSOCK_EACCESS;
  case ENOENT:
  case ENOTDIR:
    return PSOCK_ENOENT;
  case EMFILE:
  case ENFILE:
    return PSOCK_ENFILE;
  case EAFNOSUPPORT:
  case EPROTONOSUPPORT:
  case EOPNOTSUPP:
    return PSOCK_ENOTSUP;
  default:
    return PSOCK_EIO;
  }
}
