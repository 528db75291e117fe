/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/peer.h"

#include "connection/connection.h"
#include <protosocket/error.h>

/*
 * What both ends of a connection that carries calls do alike.
 *
 * What must not be refused is noted, and sent by psock_peer_flush: the
 * connection's own frames first, then those of calls, in the order in which
 * they were noted. The first one for which the queue has no room stops that; it
 * goes on when the sender is writable again. Noting also defers a task, so that
 * nobody has to remember to flush.
 *
 * One alarm serves everything that has a time: the deadlines of calls, the wait
 * for the peer's first frame, and pings. It is only ever moved forward when it
 * has come, so that a call that ends in time, as nearly all do, costs nothing.
 *
 * Whatever calls the other layers may end the connection, and with it this
 * struct; `gone` tells who is still on the stack.
 */

enum { DUE_HELLO = 1, DUE_PONG = 2, DUE_GOAWAY = 4, DUE_PING = 8 };

static const struct {
  unsigned due;
  uint32_t code;
} own_frames[] = {
    {DUE_HELLO, PSOCK_CODE_HELLO},
    {DUE_PONG, PSOCK_CODE_PONG},
    {DUE_PING, PSOCK_CODE_PING},
    {DUE_GOAWAY, PSOCK_CODE_GOAWAY},
};

/* Begins to look for the end of the connection. */
static bool *watch(struct psock_peer *peer, bool *gone) {
  bool *outer = peer->gone;
  *gone = false;
  peer->gone = gone;
  return outer;
}

/* Ends looking; returns whether the connection, and `peer`, are gone. */
static bool unwatch(struct psock_peer *peer, const bool *gone, bool *outer) {
  if (!*gone)
    peer->gone = outer;
  else if (outer != NULL)
    *outer = true;
  return *gone;
}

/* ---- What is noted ---- */

static void room(void *data) {
  struct psock_peer *peer = data;
  bool gone;
  bool *outer = watch(peer, &gone);
  psock_peer_flush(peer);
  if (!gone && peer->ops->writable != NULL)
    peer->ops->writable(peer);
  unwatch(peer, &gone, outer);
}

void psock_peer_await_room(struct psock_peer *peer, psock_sender *sender) {
  psock_sender_on_writable(sender, room, peer);
}

/* Sends a frame that must not be refused. Returns whether it is done with. */
static bool send_frame(struct psock_peer *peer, psock_sender *sender,
    const struct psock_rpc_frame *frame) {
  if (sender == NULL)
    sender = peer->sender;
  int error = psock_face_send(peer->options.face, sender, frame, NULL);
  if (error == PSOCK_EFULL) {
    psock_sender_on_writable(sender, room, peer);
    return false;
  }
  /* A peer that can't be told what it has to know is better without the
   * connection. */
  if (error < 0 && error != PSOCK_ECLOSED)
    psock_connection_close(peer->connection);
  return true;
}

static bool send_own(struct psock_peer *peer, uint32_t code) {
  struct psock_hello hello = {
      .version = 1,
      .stream_window = peer->options.stream_window,
      .max_frame_size = peer->options.face->max_message,
  };
  struct psock_rpc_frame frame = {
      .code = code,
      .hello = code == PSOCK_CODE_HELLO ? &hello : NULL,
  };
  return send_frame(peer, NULL, &frame);
}

static bool flush_own(struct psock_peer *peer) {
  for (size_t i = 0; i < sizeof own_frames / sizeof *own_frames; i++) {
    if ((peer->due & own_frames[i].due) == 0)
      continue;
    if (!send_own(peer, own_frames[i].code))
      return false;
    peer->due &= ~own_frames[i].due;
  }
  return true;
}

static bool send_window(
    struct psock_peer *peer, struct psock_control *control) {
  struct psock_rpc_frame frame = {
      .id = control->id,
      .code = PSOCK_CODE_WINDOW,
      .window = control->window,
  };
  if (control->window == 0)
    return true;
  if (!send_frame(peer, control->sender, &frame))
    return false;
  control->window = 0;
  return true;
}

static bool send_requests_ended(
    struct psock_peer *peer, struct psock_control *control) {
  struct psock_rpc_frame frame = {.id = control->id, .code = PSOCK_CODE_END};
  if (!control->requests_ended)
    return true;
  if (!send_frame(peer, control->sender, &frame))
    return false;
  control->requests_ended = false;
  return true;
}

static bool send_last(struct psock_peer *peer, struct psock_control *control) {
  struct psock_rpc_frame frame = {
      .id = control->id,
      .code = control->code,
      .status = control->status,
      .metadata = control->metadata,
      .metadata_count = control->metadata_count,
      .payload = control->payload,
      .payload_length = control->payload_length,
      .not_begun = control->not_begun,
  };
  struct psock_status bare;
  if (control->bare && control->status != NULL) {
    bare = psock_status_of(control->status->code, NULL);
    frame.status = &bare;
    frame.metadata_count = 0;
  }
  return send_frame(peer, control->sender, &frame);
}

/* Sends what is due of a call; of one that has ended, only the last frame is.
 * Returns whether there was room. */
static bool flush_control(
    struct psock_peer *peer, struct psock_control *control) {
  if (control->last)
    return send_last(peer, control);
  return send_window(peer, control) && send_requests_ended(peer, control);
}

/* `control` is done with. */
static void settle(struct psock_control *control) {
  bool last = control->last;
  control->last = false;
  psock_list_remove(&control->node);
  if (last && control->sent != NULL)
    control->sent(control);
}

void psock_peer_flush(struct psock_peer *peer) {
  bool gone;
  if (peer->connection == NULL || !flush_own(peer))
    return;
  bool *outer = watch(peer, &gone);
  while (!gone && !psock_list_empty(&peer->controls)) {
    struct psock_control *control =
        PSOCK_CONTAINER(peer->controls.next, struct psock_control, node);
    if (!flush_control(peer, control))
      break;
    settle(control);
  }
  unwatch(peer, &gone, outer);
}

static void flush_task(struct psock_task *task) {
  psock_peer_flush(PSOCK_CONTAINER(task, struct psock_peer, task));
}

void psock_peer_note(struct psock_peer *peer, struct psock_control *control) {
  if (peer->connection == NULL) {
    settle(control);
    return;
  }
  if (psock_list_empty(&control->node))
    psock_list_append(&peer->controls, &control->node);
  psock_loop_defer(peer->loop, &peer->task);
}

void psock_peer_forget(struct psock_peer *peer, struct psock_control *control) {
  (void)peer;
  control->last = false;
  psock_list_remove(&control->node);
}

static void note_own(struct psock_peer *peer, unsigned due) {
  peer->due |= due;
  psock_loop_defer(peer->loop, &peer->task);
}

void psock_peer_send_goaway(struct psock_peer *peer) {
  note_own(peer, DUE_GOAWAY);
}

/* ---- Times ---- */

static uint64_t least(uint64_t one, uint64_t other) {
  return one < other ? one : other;
}

static uint64_t after(uint64_t at, uint64_t time) {
  return time > PSOCK_NEVER - 1 - at ? PSOCK_NEVER : at + time;
}

/* When the peer has to be looked after, if it stays silent. */
static uint64_t next_ping(const struct psock_peer *peer) {
  if (!peer->hello_came || peer->options.ping_after == PSOCK_NEVER)
    return PSOCK_NEVER;
  if (peer->pinged_at != PSOCK_NEVER)
    return after(peer->pinged_at, peer->options.ping_timeout);
  return after(peer->heard_at, peer->options.ping_after);
}

static void set_alarm(struct psock_peer *peer) {
  uint64_t at = least(peer->deadline, next_ping(peer));
  if (!peer->known)
    at = least(at, peer->known_by);
  /* One that comes too early does no harm. */
  if (at >= peer->alarm_at)
    return;
  uint64_t now = psock_loop_now(peer->loop);
  peer->alarm_at = at;
  psock_loop_start_alarm(peer->loop, &peer->alarm, at > now ? at - now : 0);
}

void psock_peer_set_deadline(struct psock_peer *peer, uint64_t deadline) {
  if (deadline >= peer->deadline)
    return;
  peer->deadline = deadline;
  if (peer->connection != NULL)
    set_alarm(peer);
}

static void heard(struct psock_peer *peer, uint64_t now) {
  peer->heard_at = now;
  peer->heard_bytes = peer->connection->stats.bytes_in;
  peer->pinged_at = PSOCK_NEVER;
}

/* Whether bytes have come that were no whole frame yet. */
static bool has_been_heard(const struct psock_peer *peer) {
  return peer->connection->stats.bytes_in != peer->heard_bytes;
}

/* Looks after a silent peer; one that isn't read is not called silent. */
static void look_after(struct psock_peer *peer, uint64_t now) {
  if (next_ping(peer) > now)
    return;
  if (has_been_heard(peer) || !psock_connection_may_give(peer->connection)) {
    heard(peer, now);
  } else if (peer->pinged_at == PSOCK_NEVER) {
    peer->pinged_at = now;
    peer->pings++;
    note_own(peer, DUE_PING);
  } else {
    psock_connection_fail(peer->connection, PSOCK_ETIMEDOUT);
  }
}

static void become_known(struct psock_peer *peer) {
  if (peer->known)
    return;
  peer->known = true;
  if (peer->ops->known != NULL)
    peer->ops->known(peer);
}

static void expired(struct psock_alarm *alarm) {
  struct psock_peer *peer = PSOCK_CONTAINER(alarm, struct psock_peer, alarm);
  uint64_t now = psock_loop_now(peer->loop);
  bool gone;
  bool *outer = watch(peer, &gone);
  peer->alarm_at = PSOCK_NEVER;
  if (!peer->known && peer->known_by <= now)
    become_known(peer);
  if (!gone && peer->deadline <= now) {
    peer->deadline = PSOCK_NEVER;
    uint64_t next = peer->ops->expire(peer, now);
    if (!gone)
      peer->deadline = least(peer->deadline, next);
  }
  if (!gone)
    look_after(peer, now);
  if (!unwatch(peer, &gone, outer))
    set_alarm(peer);
}

void psock_peer_await(struct psock_peer *peer) {
  if (peer->known || peer->known_by != PSOCK_NEVER)
    return;
  peer->known_by = after(psock_loop_now(peer->loop), PSOCK_KNOWN_AFTER);
  set_alarm(peer);
}

void psock_peer_end_batch(struct psock_peer *peer) {
  if (peer->hello_came && peer->options.ping_after != PSOCK_NEVER)
    heard(peer, psock_loop_now(peer->loop));
  if (peer->due != 0 || !psock_list_empty(&peer->controls))
    psock_peer_flush(peer);
}

/* ---- What comes ---- */

static void take_hello(
    struct psock_peer *peer, const struct psock_hello *hello) {
  static const struct psock_hello silent = {.version = 1};
  if (hello == NULL)
    hello = &silent;
  peer->hello_came = true;
  peer->peer_window = hello->stream_window == 0
                          ? PSOCK_WINDOW_DEFAULT
                          : least(hello->stream_window, PSOCK_WINDOW_MOST);
  peer->peer_max_frame = hello->max_frame_size == 0 ? PSOCK_MAX_FRAME_DEFAULT
                                                    : hello->max_frame_size;
  heard(peer, psock_loop_now(peer->loop));
  set_alarm(peer);
}

/* Returns whether there is nothing left to do. */
static bool take_first(
    struct psock_peer *peer, const struct psock_rpc_frame *frame) {
  bool hello = frame->id == 0 && frame->code == PSOCK_CODE_HELLO;
  bool gone;
  bool *outer = watch(peer, &gone);
  peer->first_came = true;
  if (hello)
    take_hello(peer, frame->hello);
  peer->known = false; /* even if it wasn't waited for any longer */
  become_known(peer);
  return unwatch(peer, &gone, outer) || hello;
}

static void take_own(
    struct psock_peer *peer, const struct psock_rpc_frame *frame) {
  switch (frame->code) {
  case PSOCK_CODE_PING:
    note_own(peer, DUE_PONG);
    break;
  case PSOCK_CODE_PONG:
    break;
  case PSOCK_CODE_GOAWAY:
    peer->ops->goaway(peer);
    break;
  default: /* a second HELLO too */
    peer->stray++;
    break;
  }
}

int psock_peer_take(
    struct psock_peer *peer, const struct psock_rpc_frame *frame) {
  if (peer->options.face->own != NULL)
    return 0;
  if (!peer->first_came && take_first(peer, frame))
    return 1;
  if (frame->id != 0)
    return 0;
  take_own(peer, frame);
  return 1;
}

/* ---- From beginning to end ---- */

int psock_peer_init(struct psock_peer *peer, const struct psock_peer_ops *ops,
    const struct psock_peer_options *options, psock_connection *connection) {
  psock_loop *loop = psock_connection_get_loop(connection);
  int error = psock_alarms_reserve(&loop->alarms);
  if (error != 0)
    return error;
  bool own = options->face->own != NULL;
  *peer = (struct psock_peer){
      .ops = ops,
      .options = *options,
      .loop = loop,
      .connection = connection,
      .sender = psock_connection_get_sender(connection),
      .due = own ? 0 : DUE_HELLO,
      .known = own,
      .alarm = {.expired = expired},
      .alarm_at = PSOCK_NEVER,
      .deadline = PSOCK_NEVER,
      .known_by = PSOCK_NEVER,
      .pinged_at = PSOCK_NEVER,
  };
  peer->kept = &peer->own_kept;
  psock_list_init(&peer->controls);
  psock_task_init(&peer->task, flush_task);
  /* It has to be the first frame, so it can't wait for the task. */
  if (!flush_own(peer))
    note_own(peer, 0);
  return 0;
}

void psock_peer_close(struct psock_peer *peer) {
  if (peer->connection == NULL)
    return;
  peer->connection = NULL;
  if (peer->gone != NULL)
    *peer->gone = true;
  psock_task_cancel(&peer->task);
  psock_loop_stop_alarm(peer->loop, &peer->alarm);
  psock_alarms_unreserve(&peer->loop->alarms);
  while (!psock_list_empty(&peer->controls))
    settle(PSOCK_CONTAINER(peer->controls.next, struct psock_control, node));
}

bool psock_kept_add(atomic_size_t *kept, size_t most, size_t length) {
  size_t before = atomic_fetch_add_explicit(kept, length, memory_order_relaxed);
  if (before <= most && length <= most - before)
    return true;
  atomic_fetch_sub_explicit(kept, length, memory_order_relaxed);
  return false;
}

bool psock_peer_keep(struct psock_peer *peer, size_t length) {
  return psock_kept_add(peer->kept, peer->options.max_kept, length);
}

void psock_peer_release(struct psock_peer *peer, size_t length) {
  atomic_fetch_sub_explicit(peer->kept, length, memory_order_relaxed);
}
