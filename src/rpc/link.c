/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/link.h"

#include "base/allocator.h"
#include "rpc/caller_call.h"
#include <protosocket/connect.h>
#include <protosocket/error.h>

/*
 * One connection and its calls. What comes is looked at by the peer, and then
 * goes to the call whose id it has, if that is open.
 *
 * A link ends in three steps: it is retired (no call starts on it), it is over
 * (its calls have been told), it is freed. Usually the connection's end causes
 * all three. A server that wants no more calls retires it: once every start
 * that was begun on a clone has been collected, GOAWAY is answered, behind the
 * last of them, and when no place is taken any more, the connection is closed.
 *
 * The struct lasts as long as the connection, as long as a place is taken
 * (which may be by a thread that is just finding out that the connection is
 * closed), and while it is on the stack.
 */

static struct psock_link *link_of(struct psock_peer *peer) {
  return PSOCK_CONTAINER(peer, struct psock_link, peer);
}

/* ---- Its memory ---- */

static void free_link(struct psock_link *link) {
  struct psock_core *core = link->core;
  psock_slots_fini(&link->slots);
  psock_free(&core->heap->allocator, link);
  psock_core_unref(core);
}

/* Around whatever calls back. */
static void enter(struct psock_link *link) {
  link->entered++;
}

static void leave(struct psock_link *link) {
  if (--link->entered > 0 || link->connection != NULL || link->released)
    return;
  struct psock_core *core = link->core;
  psock_core_lock(core);
  link->released = true;
  bool last = --link->uses == 0;
  psock_core_unlock(core);
  if (last)
    free_link(link);
}

int psock_link_enter(struct psock_link *link, struct psock_caller_call *call) {
  int error = psock_slots_take(&link->slots, call, &call->base.id);
  if (error != 0)
    return error;
  call->link = link;
  call->max_frame = link->max_frame;
  link->uses++;
  return 0;
}

void psock_link_leave(struct psock_caller_call *call) {
  struct psock_link *link = call->link;
  psock_slots_give(&link->slots, call->base.id);
  call->link = NULL;
  psock_core_leave_way(link->core, call->way);
  call->way = NULL;
  if (--link->uses == 0)
    free_link(link);
}

void psock_link_retire(struct psock_link *link) {
  link->retired = true;
  if (link->core->link == link)
    link->core->link = NULL;
}

int psock_link_add_root(struct psock_link *link) {
  psock_sender *root;
  int error = psock_sender_clone(psock_link_get_sender(link), &root);
  if (error != 0)
    return error;
  psock_core_lock(link->core);
  link->root = root;
  psock_core_unlock(link->core);
  return 0;
}

int psock_link_add_way(struct psock_link *link, struct psock_way **ret_way) {
  const struct psock_allocator *allocator = &link->core->heap->allocator;
  struct psock_way *way = psock_alloc(allocator, sizeof *way);
  if (way == NULL)
    return PSOCK_ENOMEM;
  *way = (struct psock_way){.link_number = link->number};
  atomic_init(&way->references, 1);
  int error = psock_sender_clone(link->root, &way->sender);
  if (error != 0) {
    psock_free(allocator, way);
    return error;
  }
  *ret_way = way;
  return 0;
}

/* ---- What is done to all of its calls ---- */

/* The call in place number `place`, if it is one that the loop may end. */
static struct psock_caller_call *call_at(
    struct psock_link *link, size_t place, bool *ret_end) {
  struct psock_caller_call *call = NULL;
  psock_core_lock(link->core);
  *ret_end = place >= link->slots.count;
  if (!*ret_end)
    call = link->slots.at[place].content;
  if (call != NULL &&
      (call->state == PSOCK_CALL_STARTING || call->state == PSOCK_CALL_ENDED))
    call = NULL;
  psock_core_unlock(link->core);
  return call;
}

/* Tells its calls that it has ended. A start of a clone that is on its way is
 * told by its record, or finds out by itself. */
static void lose_calls(struct psock_link *link, int reason) {
  bool end = false;
  for (size_t i = 0; !end; i++) {
    struct psock_caller_call *call = call_at(link, i, &end);
    if (call != NULL && call->state != PSOCK_CALL_QUEUED)
      psock_caller_call_lost(call, reason);
  }
}

/* The connection has ended. */
static void be_over(struct psock_link *link, int reason) {
  struct psock_core *core = link->core;
  link->over = true;
  link->bytes_out = link->connection->stats.bytes_out;
  psock_core_lock(core);
  psock_link_retire(link);
  psock_core_unlock(core);
  core->last_reason = reason;
  core->stray += link->peer.stray;
  core->pings += link->peer.pings;
  psock_peer_close(&link->peer);
  lose_calls(link, reason);
  psock_core_look(core);
}

static uint64_t expire(struct psock_peer *peer, uint64_t now) {
  struct psock_link *link = link_of(peer);
  uint64_t next = PSOCK_NEVER;
  bool end = false;
  enter(link);
  for (size_t i = 0; !end && !link->over; i++) {
    struct psock_caller_call *call = call_at(link, i, &end);
    if (call == NULL)
      continue;
    if (call->base.deadline <= now)
      psock_caller_call_expire(call);
    else if (call->base.deadline < next)
      next = call->base.deadline;
  }
  leave(link);
  return next;
}

/* Goes on with the starts that wait for the first frame. */
static void begin_pending(struct psock_link *link) {
  struct psock_list pending;
  psock_list_take(&pending, &link->pending);
  while (!psock_list_empty(&pending)) {
    struct psock_caller_call *call =
        PSOCK_CONTAINER(pending.next, struct psock_caller_call, node);
    psock_list_remove(&call->node);
    psock_list_append(&link->pending, &call->node);
    psock_caller_call_go(call, link);
  }
}

static void known(struct psock_peer *peer) {
  struct psock_link *link = link_of(peer);
  psock_core_lock(link->core);
  link->known = true;
  link->has_hello = peer->hello_came;
  link->max_frame = peer->peer_max_frame;
  psock_core_unlock(link->core);
  enter(link);
  begin_pending(link);
  leave(link);
}

static void goaway(struct psock_peer *peer) {
  struct psock_link *link = link_of(peer);
  link->goaway_came = true;
  psock_core_lock(link->core);
  psock_link_retire(link);
  psock_core_unlock(link->core);
  enter(link);
  while (!psock_list_empty(&link->pending))
    psock_caller_call_put_off(
        PSOCK_CONTAINER(link->pending.next, struct psock_caller_call, node));
  psock_link_look(link);
  leave(link);
}

/* In turns: who is told first goes to the end. */
static void tell_streams(struct psock_link *link) {
  struct psock_list streams;
  psock_list_take(&streams, &link->streams);
  while (!psock_list_empty(&streams)) {
    struct psock_caller_call *call =
        PSOCK_CONTAINER(streams.next, struct psock_caller_call, node);
    psock_list_remove(&call->node);
    psock_list_append(&link->streams, &call->node);
    psock_caller_call_tell_room(call);
  }
}

static void writable(struct psock_peer *peer) {
  struct psock_link *link = link_of(peer);
  enter(link);
  link->full = false;
  if (link->known)
    begin_pending(link);
  tell_streams(link);
  psock_core_look(link->core);
  leave(link);
}

static const struct psock_peer_ops peer_ops = {
    .expire = expire,
    .known = known,
    .goaway = goaway,
    .writable = writable,
};

void psock_link_look(struct psock_link *link) {
  struct psock_peer *peer = &link->peer;
  psock_core_lock(link->core);
  bool retired = link->retired;
  bool begun = link->begun > 0;
  bool taken = link->slots.taken > 0;
  psock_core_unlock(link->core);
  if (!retired || link->over || begun)
    return;
  if (link->goaway_came && !link->goaway_answered) {
    link->goaway_answered = true;
    psock_peer_send_goaway(peer);
  }
  if (taken)
    return;
  psock_peer_flush(peer);
  /* What had no room goes on, and asks to look again, when there is some. */
  if (peer->due == 0)
    psock_connection_close(link->connection);
}

void psock_link_await_room(struct psock_link *link, psock_sender *sender) {
  if (link->connection != NULL)
    psock_peer_await_room(&link->peer, sender);
}

uint64_t psock_link_get_position(const struct psock_link *link) {
  const psock_connection *connection = link->connection;
  return connection->stats.bytes_out + connection->out.length +
         connection->channel->local.bytes.length;
}

/* ---- The reactor ---- */

static void on_opened(void *state, psock_connection *connection) {
  struct psock_link *link = state;
  (void)connection;
  psock_core_lock(link->core);
  link->opened = true;
  psock_core_unlock(link->core);
  link->core->connected++;
  if (!psock_list_empty(&link->pending))
    psock_peer_await(&link->peer);
}

static void route(struct psock_link *link, psock_connection *connection,
    const struct psock_rpc_frame *frame) {
  struct psock_core *core = link->core;
  psock_core_lock(core);
  struct psock_caller_call *call = psock_slots_find(&link->slots, frame->id);
  if (call != NULL && call->state != PSOCK_CALL_OPEN)
    call = NULL;
  psock_core_unlock(core);
  if (call == NULL) {
    core->stray++;
    return;
  }
  link->was_of_use = true;
  core->failures = 0;
  psock_caller_call_take(call, connection, frame);
}

static void on_message(
    void *state, psock_connection *connection, const void *message) {
  struct psock_link *link = state;
  struct psock_rpc_frame room;
  const struct psock_rpc_frame *frame =
      psock_face_read(&link->core->face, connection, message, &room);
  enter(link);
  if (psock_peer_take(&link->peer, frame) == 0)
    route(link, connection, frame);
  leave(link);
}

static void on_batch_end(void *state, psock_connection *connection) {
  struct psock_link *link = state;
  (void)connection;
  psock_peer_end_batch(&link->peer);
}

static void on_records(void *state, psock_connection *connection,
    const struct psock_record *records, size_t count) {
  struct psock_link *link = state;
  (void)connection;
  enter(link);
  psock_core_lock(link->core);
  link->begun -= (unsigned)count;
  bool look = link->retired && link->begun == 0;
  psock_core_unlock(link->core);
  for (size_t i = 0; i < count; i++)
    psock_caller_call_arrived(records[i].pointer);
  if (look)
    psock_core_look(link->core);
  leave(link);
}

/* Nothing can be answered any more: what is queued is better not begun. */
static void on_input_ended(void *state, psock_connection *connection) {
  struct psock_link *link = state;
  link->input_ended = true;
  psock_connection_free(connection);
}

static void on_closed(void *state, psock_connection *connection, int reason) {
  struct psock_link *link = state;
  (void)connection;
  if (!link->made)
    return;
  enter(link);
  if (!link->was_of_use)
    psock_retry_note_failure(link->core);
  be_over(link, link->input_ended ? 0 : reason);
  psock_list_remove(&link->node);
  psock_core_lock(link->core);
  psock_sender *root = link->root;
  link->root = NULL;
  psock_core_unlock(link->core);
  psock_sender_drop(root);
  link->connection = NULL;
  leave(link);
}

static const struct psock_reactor_ops reactor_ops = {
    .size = sizeof reactor_ops,
    .opened = on_opened,
    .message = on_message,
    .batch_end = on_batch_end,
    .records = on_records,
    .input_ended = on_input_ended,
    .closed = on_closed,
};

/* ---- From beginning to end ---- */

static int open_connection(
    struct psock_link *link, psock_transport *transport) {
  struct psock_core *core = link->core;
  struct psock_connection_options options = core->connection;
  options.reactor = (psock_reactor){.ops = &reactor_ops, .state = link};
  if (transport == NULL)
    return psock_connect(
        core->loop, &core->address, &options, &link->connection);
  return psock_connection_new(
      core->loop, transport, &options, &link->connection);
}

/* Makes the peer. What it needs is set aside before there is a connection,
 * which could not be undone without its transport. */
static int begin(struct psock_link *link, psock_transport *transport) {
  struct psock_core *core = link->core;
  const struct psock_peer_options options = {
      .face = &core->face,
      .max_kept = core->max_kept,
      .stream_window = core->stream_window,
      .ping_after = core->ping_after,
      .ping_timeout = core->ping_timeout,
  };
  int error = psock_alarms_reserve(&core->loop->alarms);
  if (error != 0)
    return error;
  error = open_connection(link, transport);
  psock_alarms_unreserve(&core->loop->alarms);
  if (error != 0)
    return error;
  error = psock_peer_init(&link->peer, &peer_ops, &options, link->connection);
  if (error == 0 && atomic_load(&core->cloned)) {
    error = psock_link_add_root(link);
    if (error != 0)
      psock_peer_close(&link->peer);
  }
  if (error != 0)
    psock_connection_free(link->connection);
  return error;
}

int psock_link_new(struct psock_core *core, psock_transport *transport,
    struct psock_link **ret_link) {
  struct psock_link *link = psock_alloc(&core->heap->allocator, sizeof *link);
  if (link == NULL)
    return PSOCK_ENOMEM;
  *link = (struct psock_link){
      .core = core, .number = ++core->link_number, .uses = 1};
  psock_slots_init(&link->slots, core->heap, core->max_calls, core->id_width);
  psock_list_init(&link->pending);
  psock_list_init(&link->streams);
  int error = begin(link, transport);
  if (error != 0) {
    psock_free(&core->heap->allocator, link);
    return error;
  }
  link->made = true;
  link->known = link->peer.known;
  psock_core_ref(core);
  psock_list_append(&core->links, &link->node);
  *ret_link = link;
  return 0;
}

void psock_link_free(struct psock_link *link) {
  if (!link->over) {
    psock_connection_free(link->connection);
    return;
  }
  /* It is just telling its calls that it has ended. */
  psock_list_remove(&link->node);
  lose_calls(link, PSOCK_ECANCELED);
}
