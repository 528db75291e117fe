/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/server.h"

#include "base/allocator.h"
#include "base/options.h"
#include "codec/protobuf.h"
#include "connection/connection.h"
#include "rpc/server_call.h"

#include <protosocket/error.h>
#include <string.h>

/*
 * A server: the methods that it serves, its listeners, and its sessions. What
 * comes on a connection is the sessions' (session.c), what becomes of a call is
 * in serve.c and server_call.c.
 *
 * Methods are found by number, in a table with open addressing. The numbers are
 * hashes of names in schemas, and nobody's who could choose them to meet. A
 * service over a schema's own messages has one method, with the number 0, and
 * then there is no other; the server is for Frames until such a one is added.
 *
 * The struct is kept while sessions or its own callbacks are on the stack, so
 * that all of these may free the server.
 */

#define DEFAULT_MAX_CALLS 1024u
#define DEFAULT_MAX_KEPT ((size_t)16 << 20)
#define SECOND ((uint64_t)1000000000u)
#define MOST_CALLS (1u << 20)

/* A listener of the server's. */
struct listening {
  struct psock_list node;
  psock_server *server;
  psock_listener *listener;
  bool drained;
};

/* ---- The registry ---- */

static struct psock_served *row_of(
    const psock_server *server, uint32_t number) {
  size_t place = number & (server->row_count - 1);
  while (server->rows[place].method != NULL &&
         server->rows[place].method->number != number)
    place = (place + 1) & (server->row_count - 1);
  return &server->rows[place];
}

struct psock_served *psock_server_find(
    const psock_server *server, uint32_t number) {
  if (server->row_count == 0)
    return NULL;
  struct psock_served *row = row_of(server, number);
  return row->method == NULL ? NULL : row;
}

/* Makes room for `count` more methods. */
static int reserve(psock_server *server, size_t count) {
  size_t needed = (server->method_count + count) * 2;
  size_t row_count = 16;
  while (row_count < needed)
    row_count *= 2;
  if (row_count <= server->row_count)
    return 0;
  struct psock_served *rows =
      psock_alloc(&server->heap->allocator, row_count * sizeof *rows);
  if (rows == NULL)
    return PSOCK_ENOMEM;
  memset(rows, 0, row_count * sizeof *rows);
  struct psock_served *old = server->rows;
  size_t old_count = server->row_count;
  server->rows = rows;
  server->row_count = row_count;
  for (size_t i = 0; i < old_count; i++)
    if (old[i].method != NULL)
      *row_of(server, old[i].method->number) = old[i];
  psock_free(&server->heap->allocator, old);
  return 0;
}

static bool is_complete(const struct psock_method *method) {
  return method->size >=
             PSOCK_SIZE_THROUGH(struct psock_method, deliver_request) &&
         method->serve != NULL && method->request != NULL &&
         method->response != NULL;
}

/* Whether `service` goes with what the server has. */
static bool goes_with(
    const psock_server *server, const struct psock_service *service) {
  bool own = service->method_count == 1 && service->methods[0]->number == 0;
  if (server->face.own != NULL || (own && server->method_count > 0))
    return false;
  for (size_t i = 0; i < service->method_count; i++) {
    const struct psock_method *method = service->methods[i];
    if (!is_complete(method) || (method->number == 0 && !own) ||
        psock_server_find(server, method->number) != NULL)
      return false;
    for (size_t j = 0; j < i; j++)
      if (service->methods[j]->number == method->number)
        return false;
  }
  return service->method_count > 0;
}

/* Has the server speak messages of its own. */
static int use_own(psock_server *server, const struct psock_method *own) {
  struct psock_face face;
  int error = psock_face_init(&face, PSOCK_SERVER_END, own, &server->limits);
  if (error != 0)
    return error;
  psock_face_fini(&server->face);
  server->face = face;
  server->connection.inbound = face.inbound;
  server->connection.outbound = face.outbound;
  return 0;
}

int psock_server_add(psock_server *server, const struct psock_service *service,
    const void *handlers, void *state) {
  size_t size = 0;
  if (handlers != NULL)
    memcpy(&size, handlers, sizeof size);
  if (server->sealed || size == 0 || !goes_with(server, service))
    return PSOCK_EINVAL;
  int error = reserve(server, service->method_count);
  if (error == 0 && service->methods[0]->number == 0)
    error = use_own(server, service->methods[0]);
  if (error != 0)
    return error;
  for (size_t i = 0; i < service->method_count; i++)
    *row_of(server, service->methods[i]->number) = (struct psock_served){
        .method = service->methods[i], .handlers = handlers, .state = state};
  server->method_count += service->method_count;
  if (server->face.own != NULL)
    server->own = row_of(server, 0);
  return 0;
}

int psock_server_limit(psock_server *server, const struct psock_method *method,
    unsigned max_calls) {
  struct psock_served *served = psock_server_find(server, method->number);
  if (served == NULL)
    return PSOCK_ENOENT;
  served->most = max_calls;
  return 0;
}

/* ---- The server's memory ---- */

static void release(psock_server *server) {
  struct psock_heap *heap = server->heap;
  psock_server_free_spare(server);
  psock_face_fini(&server->face);
  psock_free(&heap->allocator, (void *)(uintptr_t)server->options.interceptors);
  psock_free(&heap->allocator, server->rows);
  psock_free(&heap->allocator, server);
  psock_heap_unref(heap);
}

void psock_server_enter(psock_server *server) {
  server->holders++;
}

void psock_server_leave(psock_server *server) {
  server->holders--;
  if (server->holders == 0 && server->freed)
    release(server);
}

static void end_owned(struct psock_owned *owned) {
  psock_server_free(PSOCK_CONTAINER(owned, psock_server, owned));
}

static void call_drained(struct psock_task *task) {
  psock_server *server = PSOCK_CONTAINER(task, psock_server, drained);
  void (*drained)(void *) = server->on_drained;
  server->on_drained = NULL;
  psock_server_enter(server);
  if (drained != NULL)
    drained(server->drained_data);
  psock_server_leave(server);
}

static bool interceptors_are_valid(const struct psock_server_options *options) {
  const struct psock_interceptor *const *list = options->interceptors;
  if ((list == NULL) != (options->interceptor_count == 0))
    return false;
  for (size_t i = 0; i < options->interceptor_count; i++)
    if (list[i]->size < PSOCK_SIZE_THROUGH(struct psock_interceptor, data))
      return false;
  return true;
}

static bool options_are_valid(const struct psock_server_options *options) {
  return options->size >= PSOCK_SIZE_THROUGH(
                              struct psock_server_options, interceptor_count) &&
         (options->connection == NULL || options->connection->size > 0) &&
         (options->limits == NULL || options->limits->size > 0) &&
         options->max_calls <= MOST_CALLS &&
         options->stream_window <= (uint64_t)PSOCK_WINDOW_MOST &&
         interceptors_are_valid(options);
}

static void take_options(
    psock_server *server, const struct psock_server_options *given) {
  struct psock_server_options *options = &server->options;
  psock_options_copy(
      options, sizeof *options, given, given == NULL ? 0 : given->size);
  if (options->connection != NULL)
    psock_options_copy(&server->connection, sizeof server->connection,
        options->connection, options->connection->size);
  if (options->limits != NULL)
    psock_options_copy(&server->limits, sizeof server->limits, options->limits,
        options->limits->size);
  server->connection.size = sizeof server->connection;
  server->connection.reactor = (psock_reactor){.ops = NULL};
  server->limits.size = sizeof server->limits;
  if (server->limits.allocator == NULL)
    server->limits.allocator = &server->heap->allocator;
  options->connection = NULL;
  options->limits = NULL;
  if (options->max_calls == 0)
    options->max_calls = DEFAULT_MAX_CALLS;
  if (options->max_kept == 0)
    options->max_kept = DEFAULT_MAX_KEPT;
  if (options->stream_window == 0)
    options->stream_window = PSOCK_WINDOW_DEFAULT;
  if (options->timeout == 0)
    options->timeout = PSOCK_TIMEOUT_NONE;
  if (options->ping_after == 0)
    options->ping_after = 30 * SECOND;
  if (options->ping_timeout == 0)
    options->ping_timeout = 10 * SECOND;
}

static int copy_interceptors(psock_server *server) {
  size_t length =
      server->options.interceptor_count * sizeof *server->options.interceptors;
  const struct psock_interceptor **copy = NULL;
  if (length > 0) {
    copy = psock_alloc(&server->heap->allocator, length);
    if (copy == NULL)
      return PSOCK_ENOMEM;
    memcpy(copy, server->options.interceptors, length);
  }
  server->options.interceptors = copy;
  server->asks = length > 0 || server->options.authorize != NULL;
  return 0;
}

static void init(psock_server *server, psock_loop *loop,
    const struct psock_server_options *options) {
  *server = (psock_server){.loop = loop, .heap = loop->heap};
  take_options(server, options);
  psock_list_init(&server->listeners);
  psock_list_init(&server->sessions);
  psock_task_init(&server->drained, call_drained);
  server->owned.end = end_owned;
}

int psock_server_new(psock_loop *loop,
    const struct psock_server_options *options, psock_server **ret_server) {
  if (options != NULL && !options_are_valid(options))
    return PSOCK_EINVAL;
  psock_server *server = psock_alloc(&loop->heap->allocator, sizeof *server);
  if (server == NULL)
    return PSOCK_ENOMEM;
  init(server, loop, options);
  int error =
      psock_face_init(&server->face, PSOCK_SERVER_END, NULL, &server->limits);
  if (error != 0)
    goto err_after_alloc;
  server->connection.inbound = server->face.inbound;
  server->connection.outbound = server->face.outbound;
  if (!psock_connection_options_are_valid(&server->connection)) {
    error = PSOCK_EINVAL;
    goto err_after_face;
  }
  error = copy_interceptors(server);
  if (error != 0)
    goto err_after_face;
  psock_heap_ref(server->heap);
  psock_list_append(&loop->owned, &server->owned.node);
  *ret_server = server;
  return 0;

err_after_face:
  psock_face_fini(&server->face);
err_after_alloc:
  psock_free(&loop->heap->allocator, server);
  return error;
}

/* ---- Connections ---- */

static int on_accepted(
    void *data, psock_connection *connection, psock_reactor *ret_reactor) {
  struct psock_session *session = psock_session_new(data);
  if (session == NULL)
    return PSOCK_ENOMEM;
  int error = psock_session_begin(session, connection);
  if (error != 0) {
    psock_session_discard(session);
    return error;
  }
  *ret_reactor = (psock_reactor){.ops = &psock_session_ops, .state = session};
  return 0;
}

static void on_listener_drained(void *data) {
  struct listening *listening = data;
  listening->drained = true;
  psock_server_check_drained(listening->server);
}

int psock_server_listen(psock_server *server,
    const struct psock_address *address,
    const struct psock_listener_options *given, psock_listener **ret_listener) {
  struct psock_listener_options options;
  psock_options_copy(
      &options, sizeof options, given, given == NULL ? 0 : given->size);
  if (given != NULL && given->size == 0)
    return PSOCK_EINVAL;
  if (server->draining)
    return PSOCK_ECLOSED;
  options.size = sizeof options;
  options.connection = &server->connection;
  options.accepted = on_accepted;
  options.data = server;
  struct listening *listening =
      psock_alloc(&server->heap->allocator, sizeof *listening);
  if (listening == NULL)
    return PSOCK_ENOMEM;
  *listening = (struct listening){.server = server};
  int error =
      psock_listen(server->loop, address, &options, &listening->listener);
  if (error != 0) {
    psock_free(&server->heap->allocator, listening);
    return error;
  }
  psock_list_append(&server->listeners, &listening->node);
  server->sealed = true;
  if (ret_listener != NULL)
    *ret_listener = listening->listener;
  return 0;
}

static void leave_alone(psock_transport *transport) {
  (void)transport;
}

/* Frees a connection that nothing has come of, but not its transport, which
 * stays its caller's. */
static void undo(psock_connection *connection) {
  static const struct psock_transport_ops ops = {
      .size = sizeof ops, .free = leave_alone};
  static psock_transport none = {.ops = &ops};
  psock_reactor silent = {.ops = NULL};
  connection->transport = &none;
  psock_connection_set_reactor(connection, &silent);
  psock_connection_free(connection);
}

int psock_server_accept(psock_server *server, psock_transport *transport) {
  struct psock_connection_options options = server->connection;
  if (server->draining)
    return PSOCK_ECLOSED;
  struct psock_session *session = psock_session_new(server);
  if (session == NULL)
    return PSOCK_ENOMEM;
  options.reactor =
      (psock_reactor){.ops = &psock_session_ops, .state = session};
  psock_connection *connection;
  int error =
      psock_connection_new(server->loop, transport, &options, &connection);
  if (error != 0)
    goto err_after_session;
  error = psock_session_begin(session, connection);
  if (error != 0)
    goto err_after_connection;
  server->sealed = true;
  return 0;

err_after_connection:
  undo(connection);
err_after_session:
  psock_session_discard(session);
  return error;
}

/* ---- Coming to an end ---- */

static bool is_drained(const psock_server *server) {
  if (!server->draining || !psock_list_empty(&server->sessions))
    return false;
  for (struct psock_list *node = server->listeners.next;
       node != &server->listeners; node = node->next)
    if (!PSOCK_CONTAINER(node, struct listening, node)->drained)
      return false;
  return true;
}

void psock_server_check_drained(psock_server *server) {
  if (!server->freed && is_drained(server))
    psock_loop_defer(server->loop, &server->drained);
}

int psock_server_drain(
    psock_server *server, void (*drained)(void *data), void *data) {
  if (server->draining)
    return PSOCK_EINVAL;
  server->draining = true;
  server->on_drained = drained;
  server->drained_data = data;
  for (struct psock_list *node = server->listeners.next;
       node != &server->listeners; node = node->next) {
    struct listening *listening = PSOCK_CONTAINER(node, struct listening, node);
    /* It can't be draining: it is only drained from here. */
    if (psock_listener_drain(
            listening->listener, on_listener_drained, listening) != 0)
      listening->drained = true;
  }
  for (struct psock_list *node = server->sessions.next;
       node != &server->sessions; node = node->next) {
    const struct psock_session *session =
        PSOCK_CONTAINER(node, struct psock_session, node);
    if (!session->closed)
      psock_connection_drain(session->peer.connection);
  }
  psock_server_check_drained(server);
  return 0;
}

static void free_listeners(psock_server *server) {
  while (!psock_list_empty(&server->listeners)) {
    struct listening *listening =
        PSOCK_CONTAINER(server->listeners.next, struct listening, node);
    psock_list_remove(&listening->node);
    psock_listener_free(listening->listener);
    psock_free(&server->heap->allocator, listening);
  }
}

void psock_server_free(psock_server *server) {
  if (server == NULL || server->freed)
    return;
  server->freed = true;
  psock_server_enter(server);
  while (!psock_list_empty(&server->sessions))
    psock_session_end(
        PSOCK_CONTAINER(server->sessions.next, struct psock_session, node));
  free_listeners(server);
  psock_task_cancel(&server->drained);
  psock_list_remove(&server->owned.node);
  call_drained(&server->drained);
  psock_server_leave(server);
}

void psock_server_get_stats(
    const psock_server *server, struct psock_server_stats *ret_stats) {
  struct psock_server_stats stats = server->stats;
  stats.in_flight = stats.started - stats.ended;
  for (struct psock_list *node = server->sessions.next;
       node != &server->sessions; node = node->next) {
    const struct psock_session *session =
        PSOCK_CONTAINER(node, struct psock_session, node);
    stats.stray += session->peer.stray;
    stats.pings += session->peer.pings;
    stats.kept += atomic_load(session->peer.kept);
  }
  psock_options_fill(ret_stats, ret_stats->size, &stats, sizeof stats);
}
