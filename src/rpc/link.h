/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_RPC_LINK_H
#define PSOCK_RPC_LINK_H

#include "connection/connection.h"
#include "rpc/caller.h"
#include "rpc/peer.h"
#include "rpc/slots.h"

/*
 * One connection of a caller, and the calls that are in flight on it. It is the
 * caller's for calls that start until it ends, closes, or is told to start no
 * more; then it lives on until its last call has ended.
 */
struct psock_link {
  struct psock_list node; /* in core->links */
  struct psock_core *core;
  uint64_t number;

  /* The loop's thread. */
  psock_connection *connection; /* NULL: has ended */
  struct psock_peer peer;
  struct psock_list pending; /* calls that wait for the first frame */
  struct psock_list streams; /* calls whose requests stream */
  unsigned entered;          /* frames of it on the stack */
  bool made;                 /* psock_link_new has succeeded */
  bool goaway_came;          /* the server wants no more calls */
  bool goaway_answered;
  bool input_ended;
  bool was_of_use; /* a call has been answered on it */
  bool full;       /* no start that has waited is sent before there is room */
  bool over;       /* its calls are told that it has ended */
  bool released;   /* its own use */
  uint64_t bytes_out; /* when it ended */

  /* Under the lock. */
  struct psock_slots slots;
  psock_sender *root; /* for ways; NULL: nobody has cloned the caller */
  unsigned begun;     /* starts of clones whose records have not come */
  unsigned uses;      /* places that are taken, and the connection */
  bool retired;       /* no call starts on it any more */
  bool opened;
  bool known; /* the first frame has come, or is not waited for any longer */
  bool has_hello;
  uint64_t max_frame; /* what the server takes; 0: not said */
};

/* Makes one over `transport`, which it takes on success, or connects, if that
 * is NULL. Loop's thread. Returns 0 or an error. */
int psock_link_new(struct psock_core *core, psock_transport *transport,
    struct psock_link **ret_link);

/* The first sender. */
static inline psock_sender *psock_link_get_sender(
    const struct psock_link *link) {
  return link->peer.sender;
}

/* How many bytes will have been handed to the transport when all that was sent
 * on the first sender has left. */
uint64_t psock_link_get_position(const struct psock_link *link);

/* Takes a place for `call`, whose id it sets. Under the lock. Returns 0,
 * PSOCK_EFULL or PSOCK_ENOMEM. */
int psock_link_enter(struct psock_link *link, struct psock_caller_call *call);

/* Gives it back, with the way that the call has. Under the lock; the link may
 * be gone then. */
void psock_link_leave(struct psock_caller_call *call);

/* Makes a way to it; it has a root. Under the lock, or on the loop's thread.
 * Returns 0,
 * PSOCK_ECLOSED or PSOCK_ENOMEM. */
int psock_link_add_way(struct psock_link *link, struct psock_way **ret_way);

/* No call starts on it any more. Under the lock. */
void psock_link_retire(struct psock_link *link);

/* Answers a GOAWAY when every start is on its way, and closes when there is
 * nothing left to do. Loop's thread. */
void psock_link_look(struct psock_link *link);

/* Ends it at once: its calls end with CANCELLED if the core is shut. Loop's
 * thread. */
void psock_link_free(struct psock_link *link);

/* Makes `root`, for clones. Loop's thread. Returns 0 or an error. */
int psock_link_add_root(struct psock_link *link);

/* Has everything that waits for room go on when there is some for what `sender`
 * was refused last. Loop's thread. */
void psock_link_await_room(struct psock_link *link, psock_sender *sender);

#endif
