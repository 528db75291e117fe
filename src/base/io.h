/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_BASE_IO_H
#define PSOCK_BASE_IO_H

#include <ev.h>

/*
 * A descriptor that the loop watches; lies inside what it belongs to. `ready`
 * is called on the loop's thread with the directions (bits) in which something
 * can be done. Never free the struct while it watches anything.
 */
struct psock_io {
  int fd;
  unsigned directions; /* watched now */
  void (*ready)(struct psock_io *io, unsigned directions);
  ev_io watcher;
};

#endif
