/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_RPC_SESSION_H
#define PSOCK_RPC_SESSION_H

#include "rpc/peer.h"
#include "rpc/server.h"
#include "rpc/table.h"

/*
 * One connection of a server: the state of its reactor, and the calls that came
 * on it. It lives from `accepted` until `closed`, and as long as one of its
 * frames is on the stack.
 */

struct psock_server_call;

/*
 * The way out for the calls of a session that other threads use: one clone of
 * the connection's sender. Counted, because a thread may be sending while the
 * session ends; so it has all that sending takes.
 */
struct psock_outlet {
  atomic_uint references;
  struct psock_heap *heap;
  psock_sender *sender;
  struct psock_face face;
  uint64_t max_frame; /* that the peer takes; 0: not said */
  size_t max_kept;
  atomic_size_t kept; /* bytes: the peer's counter, as long as there is one */
};

struct psock_session {
  struct psock_peer peer; /* with the connection and its sender */
  psock_server *server;
  struct psock_list node;            /* in server->sessions */
  struct psock_table calls;          /* that are in flight, but for `serving` */
  struct psock_server_call *serving; /* whose handler is running, or NULL */
  struct psock_list settling;        /* calls that have ended, to be told so */
  struct psock_list giving;          /* calls that something is kept for */
  struct psock_list wanting;         /* calls that want room, the next first */
  struct psock_list refused;         /* of these, who want more than there is */
  struct psock_task task;
  struct psock_outlet *outlet; /* NULL: no call was shared */
  uint64_t now;                /* when this batch began; 0: not asked yet */
  unsigned in_flight;
  unsigned live; /* calls that are in flight, or whose end is not settled */
  unsigned entered;
  bool
      finishing; /* a drain, or the end of the input: closes when all is done */
  bool draining;
  bool goaway_came;
  bool input_ended;
  bool closed;
};

/* A session of `server`, for a connection to come. NULL when memory is out. */
struct psock_session *psock_session_new(psock_server *server);

/* Begins on `connection`, whose reactor is psock_session_ops with this session,
 * or will be. Returns 0 or PSOCK_ENOMEM. */
int psock_session_begin(
    struct psock_session *session, psock_connection *connection);

/* Frees one that has not begun. */
void psock_session_discard(struct psock_session *session);

/* Ends the connection at once; the ends of all calls have been told then. */
void psock_session_end(struct psock_session *session);

extern const struct psock_reactor_ops psock_session_ops;

/* Has the task run: something waits to be told or given, or the session may
 * have come to its end. */
void psock_session_defer(struct psock_session *session);

/* Tells all ends that have not been told. */
void psock_session_settle(struct psock_session *session);

/* What a call's end may be the last thing for. */
static inline void psock_session_check(struct psock_session *session) {
  if (session->finishing && session->live == 0)
    psock_session_defer(session);
}

/* The loop's clock, read once for all that comes at once. */
static inline uint64_t psock_session_now(struct psock_session *session) {
  if (session->now == 0)
    session->now = psock_loop_now(session->peer.loop);
  return session->now;
}

/* Whether a start is not begun any more. */
bool psock_session_is_over(const struct psock_session *session);

/* The session's outlet, with a reference for the caller; made when it is first
 * asked for. Returns 0, PSOCK_ECLOSED or PSOCK_ENOMEM. */
int psock_session_get_outlet(
    struct psock_session *session, struct psock_outlet **ret_outlet);

/* ---- serve.c ---- */

/* A start: looks for the method, and serves the call or refuses it. */
void psock_serve(
    struct psock_session *session, const struct psock_rpc_frame *frame);

#endif
