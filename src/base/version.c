/* SPDX-License-Identifier: BSD-2-Clause */
#include <protosocket/version.h>

const char *psock_version(void) {
  return PSOCK_VERSION;
}
