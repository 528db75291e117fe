/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/unix_path.h"

#include "transport/system_error.h"

#include <errno.h>
#include <protosocket/error.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * A unix socket leaves its file behind when its process dies. Whether somebody
 * still listens there is asked by connecting: only a refusal means that nobody
 * does. Two processes that find the same stale file in the same instant may
 * both replace it; the later one wins, and the other doesn't remove its file.
 */

static const char *path_of(const struct psock_address *address) {
  const struct sockaddr_un *un =
      (const struct sockaddr_un *)(const void *)&address->storage;
  if (address->storage.ss_family != AF_UNIX || un->sun_path[0] == '\0')
    return NULL;
  return un->sun_path;
}

static int try_bind(int fd, const struct psock_address *address) {
  return bind(fd, (const struct sockaddr *)&address->storage, address->length);
}

/* Whether the file is a socket that refuses connections. */
static bool is_stale(const struct psock_address *address) {
  struct stat status;
  if (lstat(path_of(address), &status) != 0 || !S_ISSOCK(status.st_mode))
    return false;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return false;
  int result =
      connect(fd, (const struct sockaddr *)&address->storage, address->length);
  bool stale = result != 0 && errno == ECONNREFUSED;
  close(fd);
  return stale;
}

static void note_file(const char *path, struct psock_unix_path *made) {
  struct stat status;
  if (lstat(path, &status) != 0)
    return;
  *made = (struct psock_unix_path){
      .made = true,
      .device = status.st_dev,
      .inode = status.st_ino,
  };
}

int psock_unix_path_bind(int fd, const struct psock_address *address,
    struct psock_unix_path *ret_path) {
  const char *path = path_of(address);
  int result = try_bind(fd, address);
  if (result != 0 && errno == EADDRINUSE && path != NULL) {
    if (!is_stale(address))
      return PSOCK_EADDRINUSE;
    unlink(path);
    result = try_bind(fd, address);
  }
  if (result != 0)
    return psock_error_from_errno(errno);
  if (path != NULL)
    note_file(path, ret_path);
  return 0;
}

void psock_unix_path_remove(
    const struct psock_unix_path *made, const struct psock_address *address) {
  struct stat status;
  const char *path = path_of(address);
  if (made->made && lstat(path, &status) == 0 &&
      status.st_dev == made->device && status.st_ino == made->inode)
    unlink(path);
}
