/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_CHANNEL_CHANNEL_H
#define PSOCK_CHANNEL_CHANNEL_H

#include "base/buffer.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/mail.h"
#include <protosocket/codec.h>
#include <protosocket/sender.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/*
 * The channel from many senders to one connection. channel.c is the receiving
 * end, on the loop's thread; sender.c is the sending end.
 */

/* One sender: what it has encoded and the connection has not collected. */
struct psock_sender {
  struct psock_channel *channel;
  struct psock_buffer bytes;
  struct psock_buffer records;  /* of struct psock_record */
  struct psock_block *released; /* blocks whose release is due */
  uint64_t messages;
  void (*writable)(void *data); /* the loop's thread only */
  void *writable_data;
  atomic_size_t refused; /* bytes that got PSOCK_EFULL and wait for room */
  bool local;            /* the connection's own: no lock, loop's thread */
};

/*
 * A sender that any thread may use. `sender` is guarded by `mutex`, which the
 * loop only ever tries to take. When it finds it taken, it leaves a note
 * (`missed`) and goes on; whoever gives the mutex back then lists the lane
 * once more.
 */
struct psock_lane {
  struct psock_sender sender; /* first */
  struct psock_mail mail;     /* in channel->filled while listed */
  struct psock_list node;     /* in channel->lanes */
  pthread_mutex_t mutex;
  atomic_bool listed;
  atomic_bool missed;
  atomic_bool known; /* was listed once: the loop may be looking at it */
  bool dropped;      /* the loop frees it */
  struct psock_lane *burial; /* the next one to be freed */
};

/* What a channel tells its connection, on the loop's thread. */
struct psock_channel_owner {
  /* The local sender has something, from having nothing. */
  void (*local_filled)(struct psock_channel_owner *owner);
  /* Lanes have something, or a lane that was missed can be had now. */
  void (*lanes_filled)(struct psock_channel_owner *owner);
};

struct psock_channel {
  struct psock_letter letter; /* to the loop; holds a reference */
  atomic_bool posted;         /* the letter is under way */
  atomic_uint references;     /* senders, the connection, the letter */
  struct psock_heap *heap;
  psock_loop *loop;
  const psock_codec *codec; /* one that encodes, or NULL */
  size_t capacity;
  atomic_size_t queued; /* bytes */
  bool cloned; /* somebody else than the loop's thread may send; set there,
                  before anybody else can have a clone */
  atomic_bool closed;
  atomic_bool refused; /* some sender wants to know when there is room */
  psock_mailbox filled;
  struct psock_channel_owner *owner; /* NULL: detached; loop's thread */
  bool settled; /* closed, and no send is in progress; loop's thread */
  struct psock_sender local;
  struct psock_block *released; /* collected, not yet called; loop's thread */
  pthread_mutex_t mutex;        /* over what follows */
  struct psock_list lanes;
  bool detached; /* the connection has gone: nothing is listed any more */
};

/* ---- the receiving end, on the loop's thread ---- */

/* Returns 0 or PSOCK_ENOMEM. */
int psock_channel_new(psock_loop *loop, const psock_codec *codec,
    size_t capacity, struct psock_channel_owner *owner,
    struct psock_channel **ret_channel);

/* Moves what the local sender has to the end of `bytes` and `records`; returns
 * how many messages that was. */
uint64_t psock_channel_collect_local(struct psock_channel *channel,
    struct psock_buffer *bytes, struct psock_buffer *records);

/* The same for the lanes that are filled. A lane that is in use right now is
 * left out, and reported by lanes_filled later. */
uint64_t psock_channel_collect_lanes(struct psock_channel *channel,
    struct psock_buffer *bytes, struct psock_buffer *records);

/* `length` collected bytes are queued no more. Senders that were refused are
 * told if there is room again; their callbacks may free the connection. */
void psock_channel_drained(struct psock_channel *channel, size_t length);

/*
 * From now on sends are refused. Returns whether no send is in progress any
 * more, so that what psock_channel_collect_lanes finds then is the last; if
 * not, lanes_filled is called when to try again. `wait` waits instead.
 */
bool psock_channel_close(struct psock_channel *channel, bool wait);

/* The connection goes; the channel must have been closed and collected. The
 * connection's reference stays. */
void psock_channel_detach(struct psock_channel *channel);

/* Bytes queued by all senders. Any thread. */
size_t psock_channel_queued(const struct psock_channel *channel);

/* ---- for both ends ---- */

/* Sets the bytes queued while nobody has cloned the sender: only the loop's
 * thread changes them then, and needs no atomic addition, which costs it as
 * much as a short message. */
static inline void psock_channel_set_queued(
    struct psock_channel *channel, size_t queued) {
  atomic_store_explicit(&channel->queued, queued, memory_order_relaxed);
}

/* Tells the loop that `lane` has something. */
void psock_channel_list(struct psock_channel *channel, struct psock_lane *lane);

void psock_channel_ref(struct psock_channel *channel);
void psock_channel_unref(struct psock_channel *channel);

/* Begins what every sender has. */
void psock_sender_init(
    struct psock_sender *sender, struct psock_channel *channel, bool local);

/* Frees a lane that is in no list. */
void psock_lane_free(struct psock_lane *lane);

/* Whether a sender that was refused `length` bytes is to be told that there is
 * room: at most half of the queue is taken, and they fit. */
static inline bool psock_channel_has_room(
    const struct psock_channel *channel, size_t length) {
  size_t queued = atomic_load(&channel->queued);
  return queued <= channel->capacity / 2 &&
         queued <= channel->capacity - length;
}

#endif
