/* SPDX-License-Identifier: BSD-2-Clause */
#include <protosocket/error.h>

#define COUNT_ONE(name, number, text) +1
_Static_assert(PSOCK_ERROR_COUNT == 0 PSOCK_ERRORS(COUNT_ONE),
    "PSOCK_ERROR_COUNT counts the list");
#undef COUNT_ONE

const char *psock_strerror(int error) {
  if (error >= 0)
    return "success";
  switch (error) {
#define TEXT(name, number, text)                                               \
  case number:                                                                 \
    return text;
    PSOCK_ERRORS(TEXT)
#undef TEXT
  default:
    return "unknown error";
  }
}

const char *psock_errname(int error) {
  if (error >= 0)
    return "PSOCK_OK";
  switch (error) {
#define NAME(name, number, text)                                               \
  case number:                                                                 \
    return "PSOCK_" #name;
    PSOCK_ERRORS(NAME)
#undef NAME
  default:
    return "unknown";
  }
}
