/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_SERVER_UNIX_PATH_H
#define PSOCK_SERVER_UNIX_PATH_H

#include <protosocket/address.h>
#include <stdbool.h>
#include <sys/types.h>

/* The file that a listening unix socket has made. */
struct psock_unix_path {
  bool made;
  dev_t device;
  ino_t inode;
};

/* Binds `fd` to `address`. A unix socket's file that nobody listens at any
 * more is replaced. Returns 0 or a psock_error. */
int psock_unix_path_bind(int fd, const struct psock_address *address,
    struct psock_unix_path *ret_path);

/* Removes the file, if it is still the one that was made. */
void psock_unix_path_remove(
    const struct psock_unix_path *path, const struct psock_address *address);

#endif
