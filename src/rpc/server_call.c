/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/server_call.h"

#include "channel/channel.h"
#include "connection/connection.h"
#include <protosocket/error.h>
#include <protosocket/generated.h>

/*
 * How a server's call ends, and what its users do with it until then.
 *
 *             start
 *               |
 *           +---v----+  returned, and somebody   +------+
 *           | SERVED |  has a reference          | OPEN |
 *           +---+----+-------------------------->+--+---+
 *               |                                   |
 *               |  reply, end, fail, cancel;        |
 *               |  cancel or a second start from    |
 *               |  the caller; deadline; connection |
 *               |  gone; last reference gone        |
 *               |                                   |
 *           +---v-----------------------------------v---+
 *           |                   OVER                    |
 *           +-----+-----------------------------+-------+
 *     returned,   |                             |  told to interceptors and
 *     nobody else |                             |  events; last frame sent
 *     has to know |                             |
 *             +---v---+   unreferenced      +---v----+
 *             | spare |<--------------------| LET GO |
 *             +-------+                     +--------+
 *
 *                 SERVED         OPEN            OVER        LET GO
 *   send          sends          sends           ECANCELED   ECANCELED
 *   reply         -> OVER        -> OVER         ECANCELED   ECANCELED
 *   end, fail     -> OVER        -> OVER         ECANCELED   ECANCELED
 *   cancel        -> OVER        -> OVER         nothing     nothing
 *   last unref    can't be       -> OVER         noted       -> spare
 *   request       can't be       given, kept     stray       stray
 *   requests end  can't be       told            stray       stray
 *   WINDOW        can't be       more room       stray       stray
 *   CANCEL        can't be       -> OVER         stray       stray
 *   start again   can't be       -> OVER, none   a new call  a new call
 *   deadline      looked at      -> OVER         nothing     nothing
 *                 when OPEN
 *   connection    -> OVER        -> OVER         told now    nothing
 *
 * SERVED is the time in which the handler is on the stack; such a call is in no
 * table, because no frame can come for it. Most calls go from there to OVER and
 * are spare again when the handler has returned: that way costs no memory, no
 * lookup and no timer. What goes on for longer is OPEN, in the session's table.
 * LET GO are calls that somebody has kept a reference to.
 *
 * Ending is claimed, then the last frame is sent, then the call has ended. Of
 * several who want to end a call, one gets the claim; that is how the first
 * wins. The last frame is never refused: if there is no room for it, it waits
 * as the peer's control. When a thread has ended a shared call, the loop comes
 * to know by the record of the last frame, or by a letter if that had no room,
 * and counts it as OVER then.
 */

/* What a request that is held counts, beyond its frame and its memory. */
#define HOLD_COST 1024

/* ---- Ending ---- */

static const struct psock_status well = {.size = sizeof well, .text = ""};

static void publish(struct psock_server_call *call) {
  atomic_store_explicit(&call->call.has_ended, true, memory_order_release);
}

static inline void keep_status(
    struct psock_server_call *call, const struct psock_status *status) {
  if (status == &well) {
    call->call.ended.status = well;
    return;
  }
  call->state.special = true;
  psock_status_keep(&call->call.ended, call->heap, status);
}

/* Takes the right to end the call, with `status`; only one ever gets it. */
static inline bool claim(
    struct psock_server_call *call, const struct psock_status *status) {
  psock_server_call_lock(call);
  bool mine = !call->state.claimed;
  call->state.claimed = true;
  if (mine)
    keep_status(call, status);
  psock_server_call_unlock(call);
  return mine;
}

/* The same for who is not the user: the call has ended at once, because a user
 * on another thread who is told so may ask for the status. */
static bool claim_and_end(
    struct psock_server_call *call, const struct psock_status *status) {
  psock_server_call_lock(call);
  bool mine = !call->state.claimed;
  call->state.claimed = true;
  if (mine) {
    keep_status(call, status);
    publish(call);
  }
  psock_server_call_unlock(call);
  return mine;
}

/* Who has the claim ends the call with another status, unless the end of the
 * connection has been quicker. */
static void change_status(
    struct psock_server_call *call, const struct psock_status *status) {
  psock_server_call_lock(call);
  if (!psock_server_call_has_ended(call)) {
    psock_status_drop(&call->call.ended);
    keep_status(call, status);
  }
  psock_server_call_unlock(call);
}

/* What goes along with a frame of a shared call that ends it: the loop comes to
 * know by it. */
struct note {
  struct psock_record record;
  struct psock_send_options options;
};

/* Returns NULL for a call that is the loop's thread's alone. */
static const struct psock_send_options *note_of(
    struct psock_server_call *call, struct note *note) {
  if (call->shared == NULL)
    return NULL;
  note->record = (struct psock_record){.pointer = call};
  note->options = (struct psock_send_options){
      .size = sizeof note->options, .record = &note->record};
  return &note->options;
}

/* The last frame waits until there is room. */
static void leave_unsent(struct psock_server_call *call, uint32_t code,
    bool with_status, bool with_metadata) {
  psock_server_call_lock(call);
  call->state.unsent = true;
  call->state.special = true;
  call->state.last_code = code;
  call->state.last_has_status = with_status;
  call->state.last_has_metadata = with_metadata;
  psock_server_call_unlock(call);
}

void psock_server_call_fail(
    struct psock_server_call *call, uint32_t code, const char *text) {
  struct psock_status status = psock_status_of(code, text);
  psock_server_call_stop(call,
      code == PSOCK_STATUS_RESOURCE_EXHAUSTED ? PSOCK_ENDED_BY_LIMIT
                                              : PSOCK_ENDED_BY_SERVER,
      &status, false);
}

/* Sends the cancel or end with which the call ends. Metadata is its user's to
 * look at. */
static int send_last(struct psock_server_call *call, uint32_t code,
    const struct psock_status *status, bool with_metadata,
    const struct psock_send_options *options) {
  struct psock_rpc_frame frame = {
      .id = call->call.id,
      .code = code,
      .status = status,
      .metadata = with_metadata ? call->metadata.entries : NULL,
      .metadata_count = with_metadata ? call->metadata.count : 0,
      .max_length = psock_server_call_max_frame(call),
  };
  int error = psock_face_send(psock_server_call_face(call),
      psock_server_call_sender(call), &frame, options);
  if (error != PSOCK_ETOOBIG)
    return error;
  /* Better without its text than not at all. */
  call->state.last_is_bare = true;
  struct psock_status bare =
      psock_status_of(status == NULL ? PSOCK_STATUS_OK : status->code, NULL);
  frame.status = status == NULL ? NULL : &bare;
  frame.metadata_count = 0;
  frame.max_length = 0;
  return psock_face_send(psock_server_call_face(call),
      psock_server_call_sender(call), &frame, options);
}

/* The connection takes no more: whatever the call was to end with, nobody hears
 * of it. */
static void set_unreachable(struct psock_server_call *call) {
  struct psock_status status = psock_status_of_end(PSOCK_ECLOSED);
  change_status(call, &status);
}

/* Ends a claimed call with an end or a cancel. By its user, or, on the loop's
 * thread, by somebody else. Returns 0 or PSOCK_ECANCELED. */
static int conclude(struct psock_server_call *call, uint32_t code,
    const struct psock_status *status, bool by_user) {
  struct note note;
  const struct psock_send_options *options =
      by_user ? note_of(call, &note) : NULL;
  int error = send_last(call, code, status, by_user, options);
  if (error == PSOCK_ECLOSED)
    set_unreachable(call);
  else if (error != 0)
    leave_unsent(call, code, status != NULL, by_user);
  publish(call);
  if (!by_user)
    psock_server_call_over(call);
  else if (error != 0 || options == NULL)
    psock_server_call_tell_loop(call);
  return error == PSOCK_ECLOSED ? PSOCK_ECANCELED : 0;
}

bool psock_server_call_stop(struct psock_server_call *call, uint8_t ender,
    const struct psock_status *status, bool plain) {
  if (!claim_and_end(call, status))
    return false;
  call->state.ender = ender;
  conclude(call, PSOCK_CODE_CANCEL, plain ? NULL : status, false);
  return true;
}

void psock_server_call_lose(
    struct psock_server_call *call, const struct psock_status *status) {
  psock_server_call_lock(call);
  if (!psock_server_call_has_ended(call)) {
    /* Who has claimed it on another thread finds the connection closed. */
    if (call->state.claimed)
      psock_status_drop(&call->call.ended);
    call->state.claimed = true;
    keep_status(call, status);
    publish(call);
  }
  psock_server_call_unlock(call);
  psock_server_call_over(call);
}

void psock_server_call_abandon(struct psock_server_call *call) {
  struct psock_status status =
      call->state.failure == 0
          ? psock_status_of(PSOCK_STATUS_INTERNAL, "the handler did not answer")
          : psock_status_of(PSOCK_STATUS_RESOURCE_EXHAUSTED,
                psock_strerror(call->state.failure));
  if (claim(call, &status))
    conclude(call, PSOCK_CODE_CANCEL, &status, true);
}

static bool streams(const struct psock_server_call *call) {
  return (call->call.method->flags &
             (PSOCK_METHOD_SERVER_STREAMS | PSOCK_METHOD_MAY_STREAM)) != 0;
}

static int end(psock_call *base, const struct psock_status *given) {
  struct psock_server_call *call = psock_server_call_of(base);
  struct psock_status status;
  if (given == NULL || given->code == PSOCK_STATUS_OK) {
    if (!streams(call))
      return PSOCK_EINVAL;
    if (!claim(call, &well))
      return PSOCK_ECANCELED;
    return conclude(call, PSOCK_CODE_END, NULL, true);
  }
  psock_options_copy(&status, sizeof status, given, given->size);
  if (!claim(call, &status))
    return PSOCK_ECANCELED;
  return conclude(call, PSOCK_CODE_CANCEL, &status, true);
}

static void cancel(psock_call *base) {
  struct psock_server_call *call = psock_server_call_of(base);
  struct psock_status status =
      psock_status_of(PSOCK_STATUS_CANCELLED, "the server has given it up");
  if (claim(call, &status))
    conclude(call, PSOCK_CODE_CANCEL, NULL, true);
}

/* ---- The one response ---- */

/* Where bytes are counted that are kept for the calls of the connection. */
static atomic_size_t *kept_of(
    const struct psock_server_call *call, size_t *ret_most) {
  if (call->shared != NULL) {
    *ret_most = call->shared->outlet->max_kept;
    return &call->shared->outlet->kept;
  }
  *ret_most = call->session->peer.options.max_kept;
  return call->session->peer.kept;
}

/* Keeps a response until there is room for it. */
static int keep_response(struct psock_server_call *call, const void *message) {
  uint8_t *payload;
  size_t length;
  size_t most;
  atomic_size_t *kept = kept_of(call, &most);
  int error =
      psock_frame_encode_payload(psock_server_call_face(call)->max_message,
          call->heap, call->call.method->response, message, &payload, &length);
  if (error != 0)
    return error;
  if (!psock_kept_add(kept, most, length)) {
    error = PSOCK_EFULL;
    goto err_after_encode;
  }
  psock_server_call_lock(call);
  bool lost = psock_server_call_has_ended(call);
  call->payload = lost ? NULL : payload;
  call->payload_length = lost ? 0 : length;
  psock_server_call_unlock(call);
  if (lost) {
    /* The connection has ended meanwhile. */
    error = PSOCK_ECLOSED;
    goto err_after_keep;
  }
  leave_unsent(call, PSOCK_CODE_NORMAL, false, true);
  return 0;

err_after_keep:
  atomic_fetch_sub(kept, length);
err_after_encode:
  if (payload != NULL)
    psock_heap_release(call->heap, payload, length);
  return error;
}

/* Ends a claimed call whose response can't be sent. */
static int fail_reply(struct psock_server_call *call, int error) {
  struct psock_status status =
      psock_status_of(error == PSOCK_EINVAL ? PSOCK_STATUS_INTERNAL
                                            : PSOCK_STATUS_RESOURCE_EXHAUSTED,
          psock_strerror(error));
  change_status(call, &status);
  int concluded = conclude(call, PSOCK_CODE_CANCEL, &status, true);
  return concluded == 0 ? error : concluded;
}

/* Ends a claimed call whose response has met with `error`. */
static int reply_otherwise(
    struct psock_server_call *call, const void *message, int error) {
  if (error == PSOCK_EFULL)
    error = keep_response(call, message);
  if (error == PSOCK_ECLOSED)
    set_unreachable(call);
  else if (error != 0)
    return fail_reply(call, error);
  publish(call);
  psock_server_call_tell_loop(call);
  return error == PSOCK_ECLOSED ? PSOCK_ECANCELED : 0;
}

/* A claimed call has ended with its response. */
static inline int replied(struct psock_server_call *call) {
  publish(call);
  /* As psock_server_call_over, but without a call of a function. */
  if (PSOCK_LIKELY(call->session->serving == call))
    call->state.over = true;
  else
    psock_server_call_over(call);
  return 0;
}

static inline int reply_framed(
    struct psock_server_call *call, const void *message) {
  struct note note;
  struct psock_rpc_frame frame = {
      .id = call->call.id,
      .type = call->call.method->response,
      .message = message,
      .metadata = call->metadata.entries,
      .metadata_count = call->metadata.count,
      .max_length = psock_server_call_max_frame(call),
  };
  const struct psock_send_options *options = note_of(call, &note);
  int error = psock_face_send(psock_server_call_face(call),
      psock_server_call_sender(call), &frame, options);
  if (error != 0)
    return reply_otherwise(call, message, error);
  if (options == NULL)
    return replied(call);
  publish(call);
  return 0;
}

static int reply(psock_call *base, const void *message) {
  struct psock_server_call *call = psock_server_call_of(base);
  if ((base->method->flags & PSOCK_METHOD_SERVER_STREAMS) != 0 ||
      call->state.streamed)
    return PSOCK_EINVAL;
  if (!claim(call, &well))
    return PSOCK_ECANCELED;
  const struct psock_face *face = psock_server_call_face(call);
  if (face->own == NULL || call->shared != NULL)
    return reply_framed(call, message);
  int error =
      psock_face_send_own(face, call->session->peer.sender, base->id, message);
  return PSOCK_LIKELY(error == 0) ? replied(call)
                                  : reply_otherwise(call, message, error);
}

/* ---- One of many ---- */

/* Whether the connection's queue is as full as producers should fill it. Any
 * thread. */
static bool is_crowded(const psock_sender *sender) {
  size_t mark = sender->channel->capacity / 2;
  if (mark > PSOCK_ROOM_MARK)
    mark = PSOCK_ROOM_MARK;
  return psock_channel_queued(sender->channel) >= mark;
}

/* Notes that the user waits for room, under the lock. */
static int refuse(struct psock_server_call *call) {
  call->state.wants_room = true;
  return PSOCK_EFULL;
}

static int may_send(struct psock_server_call *call) {
  int error = 0;
  psock_server_call_lock(call);
  if (call->state.claimed)
    error = PSOCK_ECANCELED;
  else if ((call->state.windowed && call->window <= 0) ||
           is_crowded(psock_server_call_sender(call)))
    error = refuse(call);
  psock_server_call_unlock(call);
  return error;
}

static int send_framed(struct psock_server_call *call, const void *message) {
  size_t length = 0;
  struct psock_rpc_frame frame = {
      .id = call->call.id,
      .type = call->call.method->response,
      .message = message,
      .ret_length = &length,
      .max_length = psock_server_call_max_frame(call),
  };
  if (!call->state.streamed) {
    frame.metadata = call->metadata.entries;
    frame.metadata_count = call->metadata.count;
  }
  int error = psock_face_send(psock_server_call_face(call),
      psock_server_call_sender(call), &frame, NULL);
  if (error != 0)
    return error;
  psock_server_call_lock(call);
  call->window -= (int64_t)length;
  psock_server_call_unlock(call);
  if (!call->state.streamed)
    psock_metadata_clear(&call->metadata);
  return 0;
}

static inline int send_response(
    struct psock_server_call *call, const void *message) {
  const struct psock_face *face = psock_server_call_face(call);
  int error = face->own != NULL && call->shared == NULL
                  ? psock_face_send_own(face, call->session->peer.sender,
                        call->call.id, message)
                  : send_framed(call, message);
  if (PSOCK_LIKELY(error == 0)) {
    call->state.streamed = true;
  } else if (error == PSOCK_EFULL) {
    psock_server_call_lock(call);
    call->state.refused = refuse(call) == PSOCK_EFULL;
    psock_server_call_unlock(call);
  }
  return error;
}

/* Whether a send has failed for want of something. */
static bool is_exhausted(int error) {
  return error == PSOCK_EFULL || error == PSOCK_ETOOBIG ||
         error == PSOCK_ENOMEM;
}

static int send_message(psock_call *base, const void *message) {
  struct psock_server_call *call = psock_server_call_of(base);
  if (!streams(call))
    return PSOCK_EINVAL;
  int error = may_send(call);
  if (error == 0)
    error = send_response(call, message);
  if (PSOCK_LIKELY(error == 0)) {
    call->state.failure = 0;
    return 0;
  }
  if (error == PSOCK_EFULL)
    psock_server_call_tell_loop(call);
  if (error == PSOCK_ECLOSED)
    error = PSOCK_ECANCELED;
  call->state.failure = is_exhausted(error) ? error : 0;
  return error;
}

void psock_server_call_credit(struct psock_server_call *call, uint64_t length) {
  bool too_much = false;
  psock_server_call_lock(call);
  if (length > (uint64_t)(PSOCK_WINDOW_MOST - call->window))
    too_much = true;
  else
    call->window += (int64_t)length;
  bool wanted = call->state.wants_room;
  psock_server_call_unlock(call);
  if (too_much) {
    struct psock_status status = psock_status_of(
        PSOCK_STATUS_INTERNAL, "the caller's window is larger than any");
    psock_server_call_stop(call, PSOCK_ENDED_BY_SERVER, &status, false);
  } else if (wanted) {
    psock_server_call_want_room(call);
  }
}

void psock_server_call_want_room(struct psock_server_call *call) {
  struct psock_session *session = call->session;
  psock_server_call_lock(call);
  bool waits_for_window = call->state.windowed && call->window <= 0;
  bool refused = call->state.refused;
  psock_server_call_unlock(call);
  if (call->state.over || waits_for_window || session->closed)
    return;
  psock_server_call_warm(call);
  if (refused) {
    psock_list_remove(&call->turn);
    psock_list_append(&session->refused, &call->turn);
    psock_peer_await_room(&session->peer, psock_server_call_sender(call));
    return;
  }
  if (psock_list_empty(&call->turn))
    psock_list_append(&session->wanting, &call->turn);
  psock_connection_want_room(session->peer.connection);
}

void psock_server_call_give_room(struct psock_server_call *call) {
  const struct psock_call_events *events = call->call.events;
  psock_server_call_lock(call);
  call->state.wants_room = false;
  call->state.refused = false;
  psock_server_call_unlock(call);
  if (!PSOCK_EVENT(events, room) || psock_server_call_has_ended(call))
    return;
  psock_call_ref(&call->call);
  struct psock_serving_state serving =
      psock_serving_begin(call->call.loop, call->call.deadline);
  events->room(call->call.data, &call->call);
  psock_serving_end(serving);
  psock_call_unref(&call->call);
}

/* ---- What else a user does ---- */

size_t psock_server_call_keeping_cost(const struct psock_session *session) {
  const psock_connection *connection = session->peer.connection;
  size_t frame = connection->lent->detached
                     ? 0
                     : psock_connection_given_length(connection);
  return frame + psock_arena_used(session->peer.loop->arena);
}

static void set_events(
    psock_call *base, const struct psock_call_events *events, void *data) {
  struct psock_server_call *call = psock_server_call_of(base);
  if (base->events != NULL || events == NULL || call->session == NULL ||
      call->state.settled)
    return;
  if (events->size == 0) {
    psock_server_call_fail(
        call, PSOCK_STATUS_INTERNAL, "the events have no size");
    return;
  }
  psock_call_ref(base);
  call->state.special = true;
  base->events = events;
  base->data = data;
  psock_server_call_queue(call);
}

static void set_paused(psock_call *base) {
  psock_server_call_of(base)->state.paused = true;
}

static void resume(psock_call *base) {
  struct psock_server_call *call = psock_server_call_of(base);
  if (!call->state.paused)
    return;
  call->state.paused = false;
  psock_server_call_queue(call);
}

static int hold(psock_call *base) {
  struct psock_server_call *call = psock_server_call_of(base);
  struct psock_session *session = call->session;
  if (call->hold != NULL)
    return 0;
  if (session == NULL || session->serving != call || session->closed)
    return PSOCK_EINVAL;
  size_t cost = psock_server_call_keeping_cost(session) + HOLD_COST;
  if (!psock_peer_keep(&session->peer, cost))
    return PSOCK_EFULL;
  call->state.special = true;
  int error = psock_connection_hold(session->peer.connection, &call->hold);
  if (error != 0)
    psock_peer_release(&session->peer, cost);
  else
    call->kept = cost;
  return error;
}

static psock_connection *get_connection(const psock_call *base) {
  const struct psock_session *session = psock_server_call_of(base)->session;
  return session == NULL ? NULL : session->peer.connection;
}

static int add_metadata(
    psock_call *base, const char *key, const void *value, size_t length) {
  struct psock_server_call *call = psock_server_call_of(base);
  struct psock_metadata entry = {key, value, length};
  psock_server_call_lock(call);
  bool ending = call->state.claimed;
  psock_server_call_unlock(call);
  if (ending || psock_server_call_face(call)->own != NULL)
    return PSOCK_ENOTSUP;
  call->state.special = true;
  return psock_metadata_append(&call->metadata, call->heap, &entry, 1);
}

const struct psock_call_ops psock_server_call_ops = {
    .send = send_message,
    .reply = reply,
    .end = end,
    .cancel = cancel,
    .set_events = set_events,
    .pause = set_paused,
    .resume = resume,
    .share = psock_server_call_share,
    .hold = hold,
    .get_connection = get_connection,
    .add_metadata = add_metadata,
    .free = psock_server_call_free,
};
