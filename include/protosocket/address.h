/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_ADDRESS_H
#define PROTOSOCKET_ADDRESS_H

#include <protosocket/export.h>
#include <stddef.h>
#include <sys/socket.h>

PSOCK_BEGIN_DECLS

/** Where to listen, whereto to connect, or who the peer is. */
struct psock_address {
  socklen_t length;
  struct sockaddr_storage storage;
};

/** Room for every formatted address, with its NUL. */
#define PSOCK_ADDRESS_TEXT_SIZE 128

/**
 * Reads an address: tcp:HOST:PORT (HOST numeric, IPv6 in brackets, or * for
 * every address of this machine, IPv4 and IPv6), unix:PATH, or unix:@NAME for
 * Linux's abstract names. PORT is 0 to 65535; 0 lets the system choose. `text`
 * is borrowed until return. Any thread. Returns 0 or PSOCK_EADDRESS.
 */
PSOCK_API PSOCK_NODISCARD int psock_address_parse(
    const char *text, struct psock_address *ret_address);

/**
 * Writes `address` into `ret_text` (`size` bytes, PSOCK_ADDRESS_TEXT_SIZE is
 * enough) in the form that psock_address_parse reads, cut if need be and
 * always ended with NUL. A unix socket without a name is "unix:". Any thread.
 */
PSOCK_API void psock_address_format(
    const struct psock_address *address, char *ret_text, size_t size);

PSOCK_END_DECLS

#endif
