/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/session.h"

#include "base/allocator.h"
#include "codec/protobuf.h"
#include "rpc/server_call.h"

#include <protosocket/error.h>

/*
 * The reactor of a server's connection: takes what comes to the call that it is
 * for, gives room to those that want some, in turns, and sees when all is done.
 *
 * What is not done at once is done by the session's task, at the end of the
 * loop's turn: ends are told, requests given that were kept, and the connection
 * closed when nothing is left to wait for.
 *
 * A drain: a peer that has said HELLO is sent a GOAWAY, and may start calls
 * until it has answered with its own; any other peer may start none. Who has
 * said nothing yet is waited for, a moment, to know which of them it is. When
 * the calls that were begun have ended, the connection is closed. So it is when
 * the peer has ended its side.
 */

/* ---- A session's memory ---- */

struct psock_session *psock_session_new(psock_server *server) {
  struct psock_session *session =
      psock_alloc(&server->heap->allocator, sizeof *session);
  if (session == NULL)
    return NULL;
  *session = (struct psock_session){.server = server};
  psock_list_init(&session->node);
  psock_list_init(&session->settling);
  psock_list_init(&session->giving);
  psock_list_init(&session->wanting);
  psock_list_init(&session->refused);
  psock_table_init(&session->calls, server->loop);
  psock_server_enter(server);
  return session;
}

void psock_session_discard(struct psock_session *session) {
  psock_server *server = session->server;
  psock_free(&server->heap->allocator, session);
  psock_server_leave(server);
}

static void enter(struct psock_session *session) {
  session->entered++;
}

static void leave(struct psock_session *session) {
  session->entered--;
  if (session->entered == 0 && session->closed)
    psock_session_discard(session);
}

/* ---- Frames ---- */

static struct psock_server_call *find(
    struct psock_session *session, uint64_t id) {
  struct psock_table_entry *entry = psock_table_find(&session->calls, id);
  if (entry != NULL)
    return PSOCK_CONTAINER(entry, struct psock_server_call, entry);
  session->peer.stray++;
  return NULL;
}

static void cancelled(struct psock_server_call *call) {
  struct psock_status status =
      psock_status_of(PSOCK_STATUS_CANCELLED, "the caller has given it up");
  psock_server_call_stop(call, PSOCK_ENDED_BY_CALLER, &status, true);
}

static void window_came(struct psock_server_call *call, uint64_t length) {
  if (call->state.windowed)
    psock_server_call_credit(call, length);
}

static void take(
    struct psock_session *session, const struct psock_rpc_frame *frame) {
  if (frame->code == PSOCK_CODE_NORMAL) {
    psock_serve(session, frame);
    return;
  }
  struct psock_server_call *call = find(session, frame->id);
  if (call == NULL)
    return;
  if (frame->code == PSOCK_CODE_END)
    psock_requests_end(call);
  else if (frame->code == PSOCK_CODE_WINDOW)
    window_came(call, frame->window);
  else if (frame->code == PSOCK_CODE_MESSAGE)
    psock_requests_take(call, frame);
  else
    cancelled(call);
}

/* An own message as a frame: what psock_face_read makes, without making a new
 * one each time. */
static inline const struct psock_rpc_frame *read_own(
    psock_server *server, const void *message) {
  struct psock_rpc_frame *frame = &server->own_frame;
  uint64_t code = psock_call_field_get(server->face.in->code, message);
  frame->id = psock_call_field_get(server->face.in->id, message);
  frame->code = code > PSOCK_CODE_END ? PSOCK_CODE_CANCEL : (uint32_t)code;
  frame->message = message;
  return frame;
}

static void on_message(
    void *state, psock_connection *connection, const void *message) {
  (void)connection;
  struct psock_session *session = state;
  psock_server *server = session->server;
  enter(session);
  if (server->face.own != NULL)
    take(session, read_own(server, message));
  else if (psock_peer_take(&session->peer, message) == 0)
    take(session, message);
  leave(session);
}

static void on_batch_end(void *state, psock_connection *connection) {
  (void)connection;
  struct psock_session *session = state;
  session->now = 0;
  psock_peer_end_batch(&session->peer);
}

static void on_records(void *state, psock_connection *connection,
    const struct psock_record *records, size_t count) {
  (void)state;
  (void)connection;
  for (size_t i = 0; i < count; i++)
    psock_server_call_over(records[i].pointer);
}

/* ---- Room ---- */

static struct psock_server_call *next_wanting(struct psock_session *session) {
  struct psock_list *node = session->wanting.next;
  struct psock_server_call *call =
      PSOCK_CONTAINER(node, struct psock_server_call, turn);
  psock_list_remove(node);
  return call;
}

/* Everybody who wants room now is asked once; who wants more is behind the
 * others. */
static void on_room(void *state, psock_connection *connection) {
  struct psock_session *session = state;
  struct psock_list last;
  enter(session);
  psock_list_init(&last);
  psock_list_append(&session->wanting, &last);
  while (!session->closed && session->wanting.next != &last &&
         psock_connection_get_room(connection) > 0)
    psock_server_call_give_room(next_wanting(session));
  psock_list_remove(&last);
  if (!session->closed && !psock_list_empty(&session->wanting))
    psock_connection_want_room(connection);
  leave(session);
}

/* What was refused although there was room for less has room now. */
static void on_writable(struct psock_peer *peer) {
  struct psock_session *session =
      PSOCK_CONTAINER(peer, struct psock_session, peer);
  while (!psock_list_empty(&session->refused)) {
    struct psock_list *node = session->refused.next;
    psock_list_remove(node);
    psock_list_append(&session->wanting, node);
  }
  if (!psock_list_empty(&session->wanting))
    psock_connection_want_room(peer->connection);
}

/* ---- What is done at the end of a turn ---- */

/* Those that come to it meanwhile have to wait for the next turn, unless there
 * will be none. */
void psock_session_settle(struct psock_session *session) {
  size_t count = 0;
  for (const struct psock_list *node = session->settling.next;
       node != &session->settling; node = node->next)
    count++;
  while (
      !psock_list_empty(&session->settling) && (count > 0 || session->closed)) {
    struct psock_list *node = session->settling.next;
    psock_list_remove(node);
    psock_server_call_settle(
        PSOCK_CONTAINER(node, struct psock_server_call, queued));
    count -= count > 0;
  }
}

/* Those that come to it meanwhile have to wait for the next turn. */
static void give_all(struct psock_session *session) {
  struct psock_list last;
  psock_list_init(&last);
  psock_list_append(&session->giving, &last);
  while (session->giving.next != &last) {
    struct psock_list *node = session->giving.next;
    psock_list_remove(node);
    psock_requests_give(
        PSOCK_CONTAINER(node, struct psock_server_call, queued));
  }
  psock_list_remove(&last);
}

bool psock_session_is_over(const struct psock_session *session) {
  const struct psock_peer *peer = &session->peer;
  return session->draining && peer->known &&
         (!peer->hello_came || session->goaway_came);
}

static void close_if_done(struct psock_session *session) {
  if (session->closed || session->live > 0 ||
      !(session->input_ended || psock_session_is_over(session)))
    return;
  psock_peer_flush(&session->peer);
  psock_connection_close(session->peer.connection);
}

static void work(struct psock_task *task) {
  struct psock_session *session =
      PSOCK_CONTAINER(task, struct psock_session, task);
  enter(session);
  psock_session_settle(session);
  give_all(session);
  psock_session_settle(session);
  close_if_done(session);
  leave(session);
}

void psock_session_defer(struct psock_session *session) {
  if (!session->closed)
    psock_loop_defer(session->peer.loop, &session->task);
}

/* ---- Coming to an end ---- */

/* What depends on whether the peer has said HELLO. */
static void begin_drain(struct psock_session *session) {
  if (!session->peer.known)
    psock_peer_await(&session->peer);
  else if (session->peer.hello_came)
    psock_peer_send_goaway(&session->peer);
  psock_session_check(session);
}

static void on_drain(void *state, psock_connection *connection) {
  (void)connection;
  struct psock_session *session = state;
  struct psock_table_entry *entry = NULL;
  session->draining = true;
  session->finishing = true;
  while ((entry = psock_table_next(&session->calls, entry)) != NULL)
    psock_server_call_queue(
        PSOCK_CONTAINER(entry, struct psock_server_call, entry));
  begin_drain(session);
}

/* No request comes any more: who has not had the last one will never. Nothing
 * calls back meanwhile. */
static void end_requests(struct psock_session *session) {
  struct psock_status status = psock_status_of(PSOCK_STATUS_CANCELLED,
      "the caller has closed its side in the middle of its requests");
  struct psock_table_entry *entry = psock_table_next(&session->calls, NULL);
  while (entry != NULL) {
    struct psock_server_call *call =
        PSOCK_CONTAINER(entry, struct psock_server_call, entry);
    entry = psock_table_next(&session->calls, entry);
    if ((call->call.method->flags & PSOCK_METHOD_CLIENT_STREAMS) != 0 &&
        !call->inbox.over)
      psock_server_call_stop(call, PSOCK_ENDED_BY_CALLER, &status, false);
  }
}

static void on_input_ended(void *state, psock_connection *connection) {
  (void)connection;
  struct psock_session *session = state;
  session->input_ended = true;
  session->finishing = true;
  end_requests(session);
  psock_session_check(session);
}

static void on_known(struct psock_peer *peer) {
  struct psock_session *session =
      PSOCK_CONTAINER(peer, struct psock_session, peer);
  if (session->draining)
    begin_drain(session);
}

static void on_goaway(struct psock_peer *peer) {
  struct psock_session *session =
      PSOCK_CONTAINER(peer, struct psock_session, peer);
  session->goaway_came = true;
  psock_session_check(session);
}

/* Ends the calls whose time has passed; nothing calls back meanwhile. */
static uint64_t expire(struct psock_peer *peer, uint64_t now) {
  static const char text[] = "the deadline has passed";
  struct psock_session *session =
      PSOCK_CONTAINER(peer, struct psock_session, peer);
  struct psock_status status =
      psock_status_of(PSOCK_STATUS_DEADLINE_EXCEEDED, text);
  uint64_t next = PSOCK_NEVER;
  struct psock_table_entry *entry = psock_table_next(&session->calls, NULL);
  while (entry != NULL) {
    struct psock_server_call *call =
        PSOCK_CONTAINER(entry, struct psock_server_call, entry);
    entry = psock_table_next(&session->calls, entry);
    if (call->call.deadline <= now)
      psock_server_call_stop(call, PSOCK_ENDED_BY_DEADLINE, &status, false);
    else if (call->call.deadline < next)
      next = call->call.deadline;
  }
  return next;
}

/* ---- The end ---- */

static void lose_all(struct psock_session *session, int reason) {
  struct psock_status status = psock_status_of_end(reason);
  struct psock_table_entry *entry;
  if (session->server->freed)
    status = psock_status_of(PSOCK_STATUS_CANCELLED, "the server has ended");
  struct psock_server_call *serving = session->serving;
  if (serving != NULL) {
    psock_server_call_lose(serving, &status);
    session->serving = NULL;
    psock_server_call_finish(session, serving);
  }
  while ((entry = psock_table_next(&session->calls, NULL)) != NULL)
    psock_server_call_lose(
        PSOCK_CONTAINER(entry, struct psock_server_call, entry), &status);
}

static void drop_outlet(struct psock_session *session) {
  if (session->outlet == NULL)
    return;
  session->peer.kept = &session->peer.own_kept;
  /* Whoever gives it back last may be on another thread. */
  psock_sender_on_writable(session->outlet->sender, NULL, NULL);
  psock_outlet_unref(session->outlet);
  session->outlet = NULL;
}

static void add_counters(struct psock_session *session) {
  struct psock_server_stats *stats = &session->server->stats;
  stats->connections--;
  stats->stray += session->peer.stray;
  stats->pings += session->peer.pings;
}

static void on_closed(void *state, psock_connection *connection, int reason) {
  (void)connection;
  struct psock_session *session = state;
  enter(session);
  session->closed = true;
  psock_task_cancel(&session->task);
  psock_peer_close(&session->peer);
  lose_all(session, reason);
  psock_session_settle(session);
  drop_outlet(session);
  psock_list_remove(&session->node);
  add_counters(session);
  psock_server_check_drained(session->server);
  leave(session);
}

void psock_session_end(struct psock_session *session) {
  enter(session);
  psock_list_remove(&session->node);
  /* If it has closed, one of the ends is being told that are owed then. */
  if (session->closed)
    psock_session_settle(session);
  else
    psock_connection_free(session->peer.connection);
  leave(session);
}

const struct psock_reactor_ops psock_session_ops = {
    .size = sizeof psock_session_ops,
    .message = on_message,
    .batch_end = on_batch_end,
    .room = on_room,
    .records = on_records,
    .input_ended = on_input_ended,
    .drain = on_drain,
    .closed = on_closed,
};

int psock_session_begin(
    struct psock_session *session, psock_connection *connection) {
  static const struct psock_peer_ops peer_ops = {.expire = expire,
      .known = on_known,
      .goaway = on_goaway,
      .writable = on_writable};
  psock_server *server = session->server;
  struct psock_peer_options options = {
      .face = &server->face,
      .max_kept = server->options.max_kept,
      .stream_window = server->options.stream_window,
      .ping_after = server->options.ping_after,
      .ping_timeout = server->options.ping_timeout,
  };
  int error = psock_peer_init(&session->peer, &peer_ops, &options, connection);
  if (error != 0)
    return error;
  psock_task_init(&session->task, work);
  psock_list_append(&server->sessions, &session->node);
  server->stats.connections++;
  return 0;
}
