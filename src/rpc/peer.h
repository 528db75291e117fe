/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_RPC_PEER_H
#define PSOCK_RPC_PEER_H

#include "base/list.h"
#include "base/loop.h"
#include "rpc/call.h"
#include "rpc/face.h"
#include <stdbool.h>

/*
 * What both ends of a connection that carries calls do alike: say HELLO and
 * remember the peer's, answer pings and send some, see to it that what ends or
 * relieves something is never refused for want of room, count what is kept for
 * calls, and call the one alarm of the connection when a deadline is due.
 *
 * Frames that must not be refused are not sent at once, but noted: a bit for
 * the connection's own, an entry in `controls` for a call. psock_peer_flush
 * sends what is noted, as far as there is room, and goes on when there is. So
 * at most one of each is pending per call, and per connection.
 *
 * All is the loop's thread's.
 */

/* 2^62: no window ever passes it. */
#define PSOCK_WINDOW_MOST ((int64_t)1 << 62)
#define PSOCK_WINDOW_DEFAULT ((size_t)256 << 10)
#define PSOCK_MAX_FRAME_DEFAULT ((uint64_t)4 << 20)

/* How long the peer's first frame is waited for. */
#define PSOCK_KNOWN_AFTER ((uint64_t)1000000000u)

struct psock_peer;

/* What is due of a call. Part of the call. */
struct psock_control {
  struct psock_list node; /* in peer->controls, or alone */
  psock_sender *sender;   /* NULL: the connection's first */
  uint64_t id;
  uint64_t window;     /* bytes to be granted: a WINDOW; 0: none */
  bool requests_ended; /* a caller's end */
  bool last; /* the frame that ends the call for this end: `code`, `status`,
                `metadata`; nothing follows it */
  bool not_begun;
  uint32_t code;
  const struct psock_status *status; /* good until `sent`, or NULL */
  const struct psock_metadata *metadata;
  size_t metadata_count;
  bool bare; /* `status` is sent without text and details, and no metadata: they
                are more than the peer takes */
  const uint8_t *payload; /* a response that had no room; good until `sent` */
  size_t payload_length;
  /* `last` has been sent, or will never be: the connection has ended. May free
   * the call. NULL: nobody wants to know. */
  void (*sent)(struct psock_control *control);
};

/* What the end that this belongs to does. */
struct psock_peer_ops {
  /* The alarm that psock_peer_set_deadline was told of has come: ends what is
   * due, and returns the next moment, or PSOCK_NEVER. */
  uint64_t (*expire)(struct psock_peer *peer, uint64_t now);
  /* The peer's first frame has come, or is not waited for any longer (1 s);
   * peer->hello_came says whether it was a HELLO. Once, or, when the first
   * frame comes after that wait, twice. May be NULL. */
  void (*known)(struct psock_peer *peer);
  /* A GOAWAY has come. */
  void (*goaway)(struct psock_peer *peer);
  /* A sender is writable again, after psock_peer_await_room. May be NULL. */
  void (*writable)(struct psock_peer *peer);
};

struct psock_peer_options {
  const struct psock_face *face;
  size_t max_kept;
  size_t stream_window;
  uint64_t ping_after; /* PSOCK_NEVER: none */
  uint64_t ping_timeout;
};

struct psock_peer {
  const struct psock_peer_ops *ops;
  struct psock_peer_options options;
  psock_loop *loop;
  psock_connection *connection; /* NULL: has ended */
  psock_sender *sender;         /* its first */
  struct psock_list controls;
  struct psock_task task; /* flushes */
  unsigned due;           /* bits of the connection's own frames */
  bool first_came;        /* some frame */
  bool known;             /* ops->known has been called, or needn't be */
  bool hello_came;
  bool *gone; /* set when the connection ends; on the stack of who must know */
  uint64_t peer_window;    /* what its HELLO said: bytes per stream */
  uint64_t peer_max_frame; /* 0: not said */
  atomic_size_t *kept;     /* bytes: usually own_kept */
  atomic_size_t own_kept;
  struct psock_alarm alarm;
  uint64_t alarm_at; /* when it is set for; PSOCK_NEVER: it is not */
  uint64_t deadline; /* the earliest of the calls', or earlier */
  uint64_t known_by; /* when the peer's first frame is waited for no longer */
  uint64_t heard_at; /* when bytes from the peer were last seen to have come */
  uint64_t heard_bytes; /* that had come then */
  uint64_t pinged_at;   /* PSOCK_NEVER: no answer is due */
  uint64_t stray;
  uint64_t pings;
};

/*
 * Begins: notes the HELLO. `connection` may be sent on already, and its
 * callbacks have not begun. Returns 0 or PSOCK_ENOMEM.
 */
int psock_peer_init(struct psock_peer *peer, const struct psock_peer_ops *ops,
    const struct psock_peer_options *options, psock_connection *connection);

/* The connection has ended (`closed`): every control is `sent`. */
void psock_peer_close(struct psock_peer *peer);

/*
 * Looks at a frame that has come first of all. Returns 1 when it was about the
 * connection, or is ignored and was counted, and there is nothing left to do; 0
 * when it is about a call.
 */
int psock_peer_take(
    struct psock_peer *peer, const struct psock_rpc_frame *frame);

/* Waits, at most 1 s from now, for the peer's first frame (ops->known). */
void psock_peer_await(struct psock_peer *peer);

/* Has a GOAWAY sent, behind all that has been sent on the first sender. */
void psock_peer_send_goaway(struct psock_peer *peer);

/* Notes what was set in `control`, to be sent by the next psock_peer_flush. A
 * control that is noted already stays where it is. */
void psock_peer_note(struct psock_peer *peer, struct psock_control *control);

/* Takes back what was noted; `sent` is not called. */
void psock_peer_forget(struct psock_peer *peer, struct psock_control *control);

/* Sends what is noted. It is done at the end of the loop's turn in any case;
 * earlier, for who wants what is noted to leave with what was sent. */
void psock_peer_flush(struct psock_peer *peer);

/* `sender` has said PSOCK_EFULL: has ops->writable called, now or then, when
 * what it refused has room. */
void psock_peer_await_room(struct psock_peer *peer, psock_sender *sender);

/* For the reactor's `batch_end`: the peer has been heard; and the same. */
void psock_peer_end_batch(struct psock_peer *peer);

/* A call has this deadline: `expire` is called by then, or earlier. */
void psock_peer_set_deadline(struct psock_peer *peer, uint64_t deadline);

/* Counts `length` bytes as kept, of `most`; false when that is too much. Any
 * thread that may use the counter. */
bool psock_kept_add(atomic_size_t *kept, size_t most, size_t length);

/* The same for the peer's, on the loop's thread. */
bool psock_peer_keep(struct psock_peer *peer, size_t length);
void psock_peer_release(struct psock_peer *peer, size_t length);

#endif
