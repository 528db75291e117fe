/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_RPC_SERVER_CALL_H
#define PSOCK_RPC_SERVER_CALL_H

#include "rpc/session.h"
#include <pthread.h>
#include <string.h>

/*
 * A call as its server has it. server_call.c has its states; requests.c what a
 * caller streams.
 */

/* Who has ended a call. */
enum {
  PSOCK_ENDED_BY_SERVER = 0,
  PSOCK_ENDED_BY_LIMIT,
  PSOCK_ENDED_BY_CALLER,
  PSOCK_ENDED_BY_DEADLINE
};

/* A request of a stream that waits for who reads it. */
struct psock_request {
  struct psock_request *next;
  psock_hold *hold;
  const void *message;
  size_t length; /* of its frame */
  size_t cost;   /* as kept */
};

struct psock_requests {
  struct psock_request *first;
  struct psock_request *last;
  int64_t window;  /* bytes that the caller may still send */
  size_t consumed; /* bytes that were read, and not granted anew */
  bool over;       /* the caller has sent its last request */
  bool over_told;
};

/* What a call has beside when other threads use it. */
struct psock_shared {
  struct psock_letter letter; /* to the loop's thread */
  struct psock_server_call *call;
  pthread_mutex_t mutex;
  struct psock_outlet *outlet;
  bool posted; /* the letter is under way */
  bool let_go; /* the session has done with the call */
};

/* Where a call stands: all zero for a new one. */
struct psock_call_state {
  /* Guarded by the mutex when the call is shared. */
  bool claimed; /* somebody is ending it: `ended` of `call` is set soon */
  bool wants_room;
  bool refused; /* by the queue, although it has room for others */
  bool unsent;  /* the frame that ends it had no room: what follows */
  bool last_has_status;
  bool last_has_metadata;
  bool last_is_bare; /* its status has neither text nor details */
  bool unreferenced;
  bool windowed; /* `window` of the call counts */
  uint32_t last_code;

  /* Whoever may use the call, one at a time. */
  int failure;   /* of the last send */
  bool streamed; /* a response has been sent */

  /* The loop's thread. */
  bool special; /* it is more than a call that was answered well, at once */
  bool warm;    /* what comes last in the call is initialised */
  bool counted; /* in the session's `live` */
  bool open;    /* in the session's table */
  bool over;    /* it has ended, and was counted */
  bool settled; /* to all who wanted to know */
  bool pending; /* `control` has a last frame */
  bool paused;
  bool drain_told;
  uint8_t ender;  /* PSOCK_ENDED_BY_... */
  unsigned begun; /* interceptors */
};

/*
 * Structs are used again. One that is spare has nothing: no reference, no
 * events, no memory, and a state of zero; so a start has little to set. What
 * gives a call anything of that notes it as `special`; one that is not, and has
 * ended, has ended well.
 */
struct psock_server_call {
  psock_call call;               /* first */
  struct psock_session *session; /* NULL: it has let go; the loop's thread */
  struct psock_served *served;   /* NULL: a start that was refused */
  struct psock_shared *shared;   /* NULL: the loop's thread alone uses it */
  struct psock_call_state state;
  int64_t window; /* bytes that may be sent; guarded as the state is */
  struct psock_metadata_list metadata; /* for the next frame */
  uint8_t *payload;                    /* of a response that had no room */
  size_t payload_length;
  psock_hold *hold; /* of the request */
  size_t kept;      /* bytes counted for that */
  struct psock_heap *heap;
  struct psock_server_call *next_spare;

  /* Only initialised when `warm`. */
  struct psock_table_entry entry;
  struct psock_list queued; /* in the session's `giving` or `settling` */
  struct psock_list turn;   /* in the session's `wanting` or `refused` */
  struct psock_control control;
  struct psock_requests inbox;
};

static inline struct psock_server_call *psock_server_call_of(
    const psock_call *call) {
  return (struct psock_server_call *)(uintptr_t)call;
}

static inline bool psock_server_call_has_ended(
    const struct psock_server_call *call) {
  return atomic_load_explicit(&call->call.has_ended, memory_order_acquire);
}

/* Around what other threads of a shared call look at, too. */
static inline void psock_server_call_lock(struct psock_server_call *call) {
  if (call->shared != NULL)
    pthread_mutex_lock(&call->shared->mutex);
}

static inline void psock_server_call_unlock(struct psock_server_call *call) {
  if (call->shared != NULL)
    pthread_mutex_unlock(&call->shared->mutex);
}

/* The way out: any thread, for a call that is neither claimed nor let go, or by
 * who has the claim. */
static inline const struct psock_face *psock_server_call_face(
    const struct psock_server_call *call) {
  return call->shared == NULL ? &call->session->server->face
                              : &call->shared->outlet->face;
}

static inline psock_sender *psock_server_call_sender(
    const struct psock_server_call *call) {
  return call->shared == NULL ? call->session->peer.sender
                              : call->shared->outlet->sender;
}

static inline uint64_t psock_server_call_max_frame(
    const struct psock_server_call *call) {
  return call->shared == NULL ? call->session->peer.peer_max_frame
                              : call->shared->outlet->max_frame;
}

/* ---- server_call.c: how a call ends, and what its users do with it ---- */

extern const struct psock_call_ops psock_server_call_ops;

/* Ends a call for who is not its user, with `status`, of which its caller is
 * told unless `plain`. Returns false when it was ending already. */
bool psock_server_call_stop(struct psock_server_call *call, uint8_t ender,
    const struct psock_status *status, bool plain);

/* The same, and why; RESOURCE_EXHAUSTED counts as refused. */
void psock_server_call_fail(
    struct psock_server_call *call, uint32_t code, const char *text);

/* The connection has ended, and with it, if it hasn't before, the call. */
void psock_server_call_lose(
    struct psock_server_call *call, const struct psock_status *status);

/* The last reference of a call that hasn't ended is gone. */
void psock_server_call_abandon(struct psock_server_call *call);

/* The caller may be sent `length` bytes more. */
void psock_server_call_credit(struct psock_server_call *call, uint64_t length);

/* The user waits for room: `room` is called when there is. */
void psock_server_call_want_room(struct psock_server_call *call);

/* What keeping the message that is being given counts, in bytes. */
size_t psock_server_call_keeping_cost(const struct psock_session *session);

/* Calls `room`. */
void psock_server_call_give_room(struct psock_server_call *call);

/* ---- server_share.c: calls that other threads use ---- */

int psock_server_call_share(psock_call *call);

/* Has the loop look at the call: it has ended, or wants room. On the loop's
 * thread for a call that is not shared. */
void psock_server_call_tell_loop(struct psock_server_call *call);

/* The session has done with a shared call, or the last reference of one is
 * gone: whichever is second frees it. */
void psock_shared_let_go(struct psock_server_call *call);
void psock_shared_unreferenced(struct psock_server_call *call);

/* Frees what a shared call has beside. */
void psock_shared_free(struct psock_shared *shared, struct psock_heap *heap);

void psock_outlet_unref(struct psock_outlet *outlet);

/* ---- server_life.c: from a call's struct to its last moment, on the loop's
 * thread ---- */

/* How many structs wait for their next use. */
#define PSOCK_SPARE_MOST 128

/* A struct from the heap. NULL when memory is out. */
struct psock_server_call *psock_server_call_alloc(psock_server *server);

static inline struct psock_server_call *psock_server_call_take(
    psock_server *server) {
  struct psock_server_call *call = server->spare;
  if (call == NULL)
    return psock_server_call_alloc(server);
  server->spare = call->next_spare;
  server->spare_count--;
  return call;
}

static inline void psock_server_call_put(
    psock_server *server, struct psock_server_call *call) {
  call->next_spare = server->spare;
  server->spare = call;
  server->spare_count++;
}

/* Makes a call that has no memory as a spare one is. */
static inline void psock_server_call_reset(struct psock_server_call *call) {
  atomic_store_explicit(&call->call.has_ended, false, memory_order_relaxed);
  call->call.events = NULL;
  memset(&call->state, 0, sizeof call->state);
}

/* Frees what the call has, and has its struct used again. It isn't shared. */
void psock_server_call_recycle(
    psock_server *server, struct psock_server_call *call);

/* Counts a call that has ended. */
static inline void psock_server_count_end(
    psock_server *server, uint32_t code, uint8_t ender) {
  server->stats.ended++;
  server->stats.failed += code != PSOCK_STATUS_OK;
  server->stats.refused += ender == PSOCK_ENDED_BY_LIMIT;
  server->stats.cancelled += ender == PSOCK_ENDED_BY_CALLER;
  server->stats.expired += ender == PSOCK_ENDED_BY_DEADLINE;
}

/* What becomes of a call whose handler has returned, unless nobody has anything
 * to do with it any more. */
void psock_server_call_go_on(
    struct psock_session *session, struct psock_server_call *call);

/* The call has ended: has it finished, now or when its handler returns. */
void psock_server_call_over(struct psock_server_call *call);

/* Counts the end of a call, and has it settled. Once. */
void psock_server_call_finish(
    struct psock_session *session, struct psock_server_call *call);

/* Tells the end to who wants to know, and lets go of the call if it can. */
void psock_server_call_settle(struct psock_server_call *call);

/* The last reference is gone. */
void psock_server_call_free(psock_call *call);

/* Frees the struct and all that it has. Any thread. */
void psock_server_call_destroy(struct psock_server_call *call);

/* Frees the response that had no room. */
void psock_server_call_drop_payload(struct psock_server_call *call);

/* Answers a start with a cancel, without a call. `status` may be NULL. */
void psock_server_call_refuse(struct psock_session *session, uint64_t id,
    const struct psock_status *status, uint8_t ender);

/* Frees the structs that wait for their next use. */
void psock_server_free_spare(psock_server *server);

/* Makes the rest of the struct usable. */
void psock_server_call_warm(struct psock_server_call *call);

/* Has psock_requests_give called, if there is something to give. */
void psock_server_call_queue(struct psock_server_call *call);

/* ---- requests.c: what a caller streams ---- */

/* A request has come. */
void psock_requests_take(
    struct psock_server_call *call, const struct psock_rpc_frame *frame);

/* The caller has sent its last one. */
void psock_requests_end(struct psock_server_call *call);

/* Gives what is kept, as far as it is wanted now: from the session's task. */
void psock_requests_give(struct psock_server_call *call);

/* Frees what is kept. */
void psock_requests_drop(struct psock_server_call *call);

#endif
