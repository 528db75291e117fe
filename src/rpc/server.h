/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_RPC_SERVER_H
#define PSOCK_RPC_SERVER_H

#include "base/list.h"
#include "base/loop.h"
#include "rpc/call.h"
#include "rpc/face.h"
#include <protosocket/server.h>

/*
 * A server, as its sessions and calls see it: what is served, with which
 * limits, and the structs of calls that wait for their next use.
 */

/* A method that is served: a row of the registry. */
struct psock_served {
  const struct psock_method *method; /* NULL: the row is free */
  const void *handlers;
  void *state;
  unsigned most; /* calls in flight; 0: no limit */
  unsigned count;
};

struct psock_server_call;

struct psock_server {
  psock_loop *loop;
  struct psock_heap *heap;
  struct psock_server_options options; /* with the defaults filled in */
  struct psock_connection_options connection;
  struct psock_protobuf_options limits;
  struct psock_face face;
  struct psock_served *rows; /* open addressing, at most half of them taken */
  size_t row_count;          /* a power of two, or 0 */
  size_t method_count;
  struct psock_served *own; /* the one row of a server over own messages */
  struct psock_rpc_frame own_frame; /* the one that is being taken */
  bool asks; /* `authorize`, or interceptors, before a handler is called */
  struct psock_list listeners;
  struct psock_list sessions;
  struct psock_server_call *spare; /* structs of calls, for the next ones */
  unsigned spare_count;
  struct psock_owned owned;  /* by the loop */
  struct psock_task drained; /* calls on_drained */
  void (*on_drained)(void *data);
  void *drained_data;
  bool sealed; /* it has listened, or accepted: nothing is added any more */
  bool draining;
  bool freed;
  unsigned holders; /* sessions, and frames on the stack */
  struct psock_server_stats stats;
};

/* The row of the method with this number, or NULL. */
struct psock_served *psock_server_find(
    const psock_server *server, uint32_t number);

/* Keeps the struct while it is freed meanwhile. */
void psock_server_enter(psock_server *server);
void psock_server_leave(psock_server *server);

/* A session, or a listener, has come to its end. */
void psock_server_check_drained(psock_server *server);

#endif
