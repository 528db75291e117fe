/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_RPC_CALLER_CALL_H
#define PSOCK_RPC_CALLER_CALL_H

#include "rpc/call.h"
#include "rpc/caller.h"
#include "rpc/peer.h"

/* One call of a caller; caller_call.c draws its states. */

enum psock_caller_call_state {
  PSOCK_CALL_STARTING, /* the thread that starts it has it for itself */
  PSOCK_CALL_QUEUED,   /* sent by a clone; its record has not come */
  PSOCK_CALL_WAITING,  /* for a connection */
  PSOCK_CALL_PENDING,  /* for the server's first frame */
  PSOCK_CALL_OPEN,     /* sent */
  PSOCK_CALL_CLOSED,   /* has ended, but messages are still to be given */
  PSOCK_CALL_ENDED
};

/* Who ends a call. */
enum psock_ended_by {
  PSOCK_BY_SERVER,
  PSOCK_BY_CONNECTION, /* which has ended, or never was */
  PSOCK_BY_CALLER      /* its user, its deadline, or a limit */
};

/* A message that was kept. */
struct psock_received {
  const void *message;
  psock_hold *hold;
  size_t length; /* of its frame */
  size_t cost;   /* what is counted for keeping it */
};

/* Messages that nobody has read, under the lock. */
struct psock_inbox {
  struct psock_received *at;
  size_t capacity;
  size_t first;
  size_t count;
};

struct psock_caller_call {
  struct psock_call base; /* first */
  struct psock_control control;
  /* In core->waiting, link->pending, link->streams or core->closed_calls. */
  struct psock_list node;

  /* Constant after the start. */
  bool opens;     /* of psock_caller_open: no events, but an inbox */
  bool runs;      /* of psock_caller_run: nobody else has it yet */
  bool streams;   /* its responses are many */
  bool silent;    /* the start has failed, only interceptors know */
  bool of_clone;  /* was started on one */
  bool collects;  /* metadata, from interceptors; during the start */
  uint16_t begun; /* interceptors */

  /* Under the lock. */
  enum psock_caller_call_state state; /* written on the loop's thread */
  struct psock_link *link;            /* that it has a place in; NULL: none */
  struct psock_way *way; /* of a clone's call; NULL: the first sender */
  uint64_t max_frame;    /* what the server takes; 0: not said */
  bool told;             /* everybody but who waits knows that it has ended */
  bool requests_ended;   /* psock_call_end was called */
  bool wants_room;
  int64_t send_window; /* of a client stream */
  size_t read;         /* bytes that no WINDOW has granted again */

  /* The loop's thread. */
  int64_t receive_window;
  uint64_t sent_at;  /* bytes that have to leave before it has begun */
  uint64_t retry_at; /* WAITING */
  unsigned busy;     /* frames of it on the stack */
  unsigned attempts; /* how often it was sent */
  bool answered;     /* something has come */
  bool paused;
  bool cancel_due; /* when its record comes */
  bool end_noted;  /* of its requests */
  bool settled;    /* the loop has let go of it */

  /* The request, for sending it later or again. */
  bool keeps;
  size_t payload_length;
  size_t payload_kept;                 /* what is counted for it */
  struct psock_metadata_list metadata; /* sent with it */

  /* Who has it: the message that is lent, on the thread that reads. */
  struct psock_received lent;          /* or without a hold */
  struct psock_metadata_list received; /* with the first frame */
  struct psock_metadata_list trailing; /* with the last */
  struct psock_metadata *both;         /* NULL: one of them is empty */

  /* The loop, everybody with a reference together, and each errand. */
  atomic_uint owners;
  struct psock_list errand; /* in core->errands */
  unsigned errands;
  bool holds_core;
  struct psock_caller_call *next; /* in core->spare */

  /* What stays when the struct is recycled. */
  struct psock_core *core;
  struct psock_inbox inbox; /* under the lock; empty then */
  uint8_t *payload;
  size_t payload_capacity;
  pthread_cond_t changed; /* who waits for it waits here, under the lock */
  bool has_changed;
};

static inline struct psock_caller_call *psock_caller_call_of(psock_call *call) {
  return (struct psock_caller_call *)call;
}

static inline bool psock_caller_call_sends(
    const struct psock_caller_call *call) {
  return (call->base.method->flags & PSOCK_METHOD_CLIENT_STREAMS) != 0;
}

/* ---- caller_memory.c ---- */

/* A call with nothing set, or NULL. Under the lock. */
struct psock_caller_call *psock_caller_call_new(struct psock_core *core);

/* Gives back one that nobody has seen. Not under the lock. */
void psock_caller_call_recycle(struct psock_caller_call *call);

/* Frees what psock_caller_call_recycle has put aside. */
void psock_caller_call_free_spare(struct psock_core *core);

/* One of `owners` lets go. Any thread. */
void psock_caller_call_drop(struct psock_caller_call *call);

/* The loop lets go, if the call has ended, everybody was told, and nothing of
 * it is on its way. */
void psock_caller_call_settle(struct psock_caller_call *call);

/* Around whatever may end the call, on the loop's thread: so long it lasts. */
static inline void psock_caller_call_enter(struct psock_caller_call *call) {
  call->busy++;
}

static inline void psock_caller_call_leave(struct psock_caller_call *call) {
  if (--call->busy == 0)
    psock_caller_call_settle(call);
}

/* Keeps `request`, to be sent later or again. Returns 0, PSOCK_EFULL when too
 * much is kept, or what encoding it returns. The thread that starts it. */
int psock_caller_call_keep_request(
    struct psock_caller_call *call, const void *request);
void psock_caller_call_drop_request(struct psock_caller_call *call);

/* Keeps the message that is being given, for who reads it later. Returns 0,
 * PSOCK_EFULL when too much is kept, or PSOCK_ENOMEM. */
int psock_caller_call_keep(struct psock_caller_call *call,
    psock_connection *connection, const void *message, size_t length);

/* The next unread message, for who has the lock; false: there is none. */
bool psock_inbox_take(
    struct psock_inbox *inbox, struct psock_received *ret_received);

/* Lets go of one. Any thread. */
void psock_received_release(
    struct psock_core *core, const struct psock_received *received);

/* Drops what nobody has read. */
void psock_caller_call_empty_inbox(struct psock_caller_call *call);

/* Wakes who waits for the call. Under the lock. */
void psock_caller_call_wake(struct psock_caller_call *call);

/* Keeps what has come with the last frame; it is shown behind what came with
 * the first. When memory is out it is lost: a call must be able to end. */
void psock_caller_call_keep_trailing(
    struct psock_caller_call *call, const struct psock_rpc_frame *frame);
void psock_caller_call_drop_metadata(struct psock_caller_call *call);

/* Shows what has come to who asks for it. The thread that reads. */
void psock_caller_call_show_metadata(
    struct psock_caller_call *call, bool ended);

/* ---- caller_call.c: events, on the loop's thread unless said otherwise ----
 */

/* Sends the start on `sender`, with `left` nanoseconds; `request` may be NULL,
 * then what was kept is sent. The thread that starts it. */
int psock_caller_call_send_start(struct psock_caller_call *call,
    psock_sender *sender, const void *request, uint64_t left,
    const struct psock_record *record);

/* It was sent on its link's first sender. */
void psock_caller_call_sent(struct psock_caller_call *call);

/* Sends what was kept on `link`, or has it wait for the first frame. Returns 0,
 * also when it has ended, or PSOCK_EFULL or PSOCK_ECLOSED when it still
 * waits. */
int psock_caller_call_go(
    struct psock_caller_call *call, struct psock_link *link);

/* The record of a start that was sent on a clone's way. */
void psock_caller_call_arrived(struct psock_caller_call *call);

/* A frame has come. */
void psock_caller_call_take(struct psock_caller_call *call,
    psock_connection *connection, const struct psock_rpc_frame *frame);

/* It is PENDING, and the link takes no more calls. */
void psock_caller_call_put_off(struct psock_caller_call *call);

/* Its link has ended for `reason`. */
void psock_caller_call_lost(struct psock_caller_call *call, int reason);

/* The deadline has passed. */
void psock_caller_call_expire(struct psock_caller_call *call);

/* What other threads have asked for. */
void psock_caller_call_do_errands(
    struct psock_caller_call *call, unsigned errands);

/* Ends it; sends it again instead, if that is allowed. */
void psock_caller_call_end(struct psock_caller_call *call,
    const struct psock_status *status, enum psock_ended_by by);

/* Has it end with `status` in a turn to come. The thread that starts it.
 * Returns false when the loop will do nothing any more. */
bool psock_caller_call_end_later(
    struct psock_caller_call *call, const struct psock_status *status);

/* There may be room for another request: tells who has asked for that. */
void psock_caller_call_tell_room(struct psock_caller_call *call);

/* `length` bytes were read. The thread that reads. */
void psock_caller_call_note_read(struct psock_caller_call *call, size_t length);

/* ---- caller_user.c ---- */

extern const struct psock_call_ops psock_caller_call_ops;

/* ---- blocking.c ---- */

int psock_caller_call_receive(psock_call *call, const void **ret_message);

/* Waits until `ready` holds, under the lock, or the call was told its end.
 * Returns 0, or why it can't wait. */
int psock_caller_call_wait(struct psock_caller_call *call,
    bool (*ready)(const struct psock_caller_call *call));

/* Gives back the message that is lent. */
void psock_caller_call_give_back(struct psock_caller_call *call);

#endif
