/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "base/io.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/options.h"
#include "connection/connection.h"
#include "server/unix_path.h"
#include "transport/socket.h"
#include "transport/system_error.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <protosocket/listener.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A listener: when its socket is ready it accepts a few connections, makes the
 * reactor of each, and keeps them in a list until they end. At a bound (the
 * number of connections, the loop's memory, the process's descriptors) it
 * pauses; an end of one of its connections, or a short time, makes it look
 * again. An error of accept concerns one connection that did not come to be,
 * and is counted.
 *
 * Freed inside one of its callbacks, it stays until that has returned.
 */

#define DEFAULT_MAX_CONNECTIONS 10000u
#define DEFAULT_BACKLOG 4096

/* Connections accepted before the loop's connections have their turn. */
#define ACCEPT_BATCH 64

/* Nanoseconds until a bound that no end of a connection lifts is tried anew. */
#define PAUSE ((uint64_t)100 * 1000000u)

struct psock_listener {
  psock_loop *loop;
  struct psock_io io; /* fd -1: it has stopped accepting */
  struct psock_address address;
  struct psock_unix_path path;
  struct psock_listener_options options;
  struct psock_connection_options connection;
  struct psock_list connections; /* of struct accepted */
  struct psock_alarm resume;
  struct psock_owned owned;  /* by the loop */
  struct psock_task drained; /* calls on_drained */
  void (*on_drained)(void *data);
  void *drained_data;
  bool draining;
  bool paused;
  bool freed;
  unsigned entered;
  struct psock_listener_stats stats;
};

/* A connection and its place in the listener's list. */
struct accepted {
  struct psock_list node;
  psock_listener *listener;
  psock_connection *connection;
};

static void listener_release(psock_listener *listener) {
  psock_alarms_unreserve(&listener->loop->alarms);
  psock_free(&listener->loop->heap->allocator, listener);
}

static void listener_enter(psock_listener *listener) {
  listener->entered++;
}

static void listener_leave(psock_listener *listener) {
  listener->entered--;
  if (listener->entered == 0 && listener->freed)
    listener_release(listener);
}

static void watch(psock_listener *listener, bool accepting) {
  psock_loop *loop = listener->loop;
  unsigned directions = accepting ? PSOCK_READ : 0;
  if (listener->io.fd < 0)
    return;
  /* Without memory for that it is tried again after the pause. */
  if (loop->ops->watch(loop, &listener->io, directions) != 0)
    psock_loop_start_alarm(loop, &listener->resume, PAUSE);
}

static bool is_crowded(const psock_listener *listener) {
  return listener->stats.connections >= listener->options.max_connections;
}

static void try_again_later(psock_listener *listener) {
  psock_loop_start_alarm(listener->loop, &listener->resume, PAUSE);
}

static void pause_accepting(psock_listener *listener, const char *why) {
  if (!listener->paused)
    psock_log(listener->loop, PSOCK_LOG_WARNING, "accepting pauses: %s", why);
  listener->stats.pauses += !listener->paused;
  listener->paused = true;
  watch(listener, false);
  /* The end of a connection is told; an end of other bounds is not. */
  if (!is_crowded(listener))
    try_again_later(listener);
}

/* The bound that keeps the listener from accepting, or NULL. */
static const char *bound_met(const psock_listener *listener) {
  if (is_crowded(listener))
    return "as many connections as allowed";
  if (psock_heap_is_full(listener->loop->heap))
    return "as much memory held as allowed";
  return NULL;
}

static void resume_accepting(psock_listener *listener) {
  if (!listener->paused || listener->io.fd < 0)
    return;
  if (is_crowded(listener))
    return;
  if (bound_met(listener) != NULL) {
    try_again_later(listener);
    return;
  }
  listener->paused = false;
  psock_loop_stop_alarm(listener->loop, &listener->resume);
  watch(listener, true);
}

static void resume_expired(struct psock_alarm *alarm) {
  psock_listener *listener = PSOCK_CONTAINER(alarm, psock_listener, resume);
  if (!listener->paused)
    watch(listener, true);
  resume_accepting(listener);
}

static void check_drained(psock_listener *listener) {
  if (listener->draining && psock_list_empty(&listener->connections) &&
      !listener->freed)
    psock_loop_defer(listener->loop, &listener->drained);
}

static void connection_gone(void *data) {
  struct accepted *accepted = data;
  psock_listener *listener = accepted->listener;
  psock_list_remove(&accepted->node);
  psock_free(&listener->loop->heap->allocator, accepted);
  listener->stats.connections--;
  if (listener->freed)
    return;
  resume_accepting(listener);
  check_drained(listener);
}

static void set_options(const psock_listener *listener, int fd) {
  const int on = 1;
  if (listener->address.storage.ss_family == AF_UNIX)
    return;
  if (!listener->options.delay)
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (listener->options.keepalive)
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

/* Makes a connection of `fd`, which it takes on success. */
static int make_connection(
    psock_listener *listener, int fd, psock_connection **ret_connection) {
  psock_loop *loop = listener->loop;
  struct accepted *accepted =
      psock_alloc(&loop->heap->allocator, sizeof *accepted);
  if (accepted == NULL)
    return PSOCK_ENOMEM;
  psock_transport *transport;
  int error = psock_socket_new(loop, fd, 0, &transport);
  if (error != 0)
    goto err_after_alloc;
  psock_connection *connection;
  error = psock_connection_make(
      loop, transport, &listener->connection, &connection);
  if (error != 0)
    goto err_after_transport;
  *accepted = (struct accepted){.listener = listener, .connection = connection};
  psock_list_append(&listener->connections, &accepted->node);
  connection->gone = connection_gone;
  connection->gone_data = accepted;
  *ret_connection = connection;
  return 0;

err_after_transport:
  psock_socket_forget(transport);
err_after_alloc:
  psock_free(&loop->heap->allocator, accepted);
  return error;
}

/* Asks the user for a reactor; the user may free what is asked about. */
static void introduce(psock_listener *listener, psock_connection *connection) {
  psock_reactor reactor = {.ops = NULL};
  psock_connection_enter(connection);
  int refused =
      listener->options.accepted(listener->options.data, connection, &reactor);
  if (connection->state == PSOCK_ENDED) {
    listener->stats.refused++;
  } else if (refused != 0 ||
             !psock_reactor_is_valid(&reactor, connection->inbound)) {
    if (refused == 0)
      psock_log(listener->loop, PSOCK_LOG_ERROR,
          "accepted() gave no reactor, or one that is not complete");
    listener->stats.refused++;
    psock_connection_free(connection);
  } else {
    psock_connection_set_reactor(connection, &reactor);
  }
  psock_connection_leave(connection);
}

static void take(psock_listener *listener, int fd) {
  psock_connection *connection;
  set_options(listener, fd);
  if (make_connection(listener, fd, &connection) != 0) {
    listener->stats.refused++;
    close(fd);
    return;
  }
  listener->stats.accepted++;
  listener->stats.connections++;
  introduce(listener, connection);
}

/* Whether an error of accept concerns only the one connection that did not
 * come to be: accept(2) says that Linux passes on what its network did. */
static bool is_passing(int number) {
  switch (number) {
  case EINTR:
  case ECONNABORTED:
  case ECONNRESET:
  case EPROTO:
  case EPERM:
  case ENOPROTOOPT:
  case EOPNOTSUPP:
  case ENETDOWN:
  case ENETUNREACH:
  case EHOSTDOWN:
  case EHOSTUNREACH:
  case ENONET:
  case ETIMEDOUT:
    return true;
  default:
    return false;
  }
}

/* Accepts one. Returns whether to go on. */
static bool accept_one(psock_listener *listener) {
  const char *bound = bound_met(listener);
  if (bound != NULL) {
    pause_accepting(listener, bound);
    return false;
  }
  int fd = accept4(listener->io.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) {
    take(listener, fd);
    return !listener->freed && listener->io.fd >= 0;
  }
  int number = errno;
  if (number == EAGAIN)
    return false;
  listener->stats.errors += number != EINTR;
  if (is_passing(number))
    return true;
  pause_accepting(listener, "accept fails, out of descriptors or memory");
  return false;
}

static void on_ready(struct psock_io *io, unsigned directions) {
  (void)directions;
  psock_listener *listener = PSOCK_CONTAINER(io, psock_listener, io);
  listener_enter(listener);
  for (int i = 0; i < ACCEPT_BATCH && accept_one(listener); i++)
    continue;
  listener_leave(listener);
}

static void stop_accepting(psock_listener *listener) {
  if (listener->io.fd < 0)
    return;
  watch(listener, false);
  psock_loop_stop_alarm(listener->loop, &listener->resume);
  psock_unix_path_remove(&listener->path, &listener->address);
  close(listener->io.fd);
  listener->io.fd = -1;
}

static void call_drained(struct psock_task *task) {
  psock_listener *listener = PSOCK_CONTAINER(task, psock_listener, drained);
  void (*drained)(void *) = listener->on_drained;
  listener->on_drained = NULL;
  listener_enter(listener);
  if (drained != NULL)
    drained(listener->drained_data);
  listener_leave(listener);
}

static void end_owned(struct psock_owned *owned) {
  psock_listener_free(PSOCK_CONTAINER(owned, psock_listener, owned));
}

static int set_listening_options(const psock_listener *listener, int fd) {
  int family = listener->address.storage.ss_family;
  const int on = 1;
  const int only = listener->options.ipv6_only != 0;
  if (family == AF_UNIX)
    return 0;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      (listener->options.reuse_port &&
          setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
      (family == AF_INET6 &&
          setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) != 0))
    return psock_error_from_errno(errno);
  return 0;
}

/* Binds and listens, and learns the address from the system. */
static int open_socket(psock_listener *listener) {
  int fd = listener->io.fd;
  int error = set_listening_options(listener, fd);
  if (error == 0)
    error = psock_unix_path_bind(fd, &listener->address, &listener->path);
  if (error != 0)
    return error;
  struct psock_address name = {.length = sizeof name.storage};
  if (listen(fd, listener->options.backlog) == 0 &&
      getsockname(fd, (struct sockaddr *)&name.storage, &name.length) == 0) {
    listener->address = name;
    return listener->loop->ops->watch(
        listener->loop, &listener->io, PSOCK_READ);
  }
  return psock_error_from_errno(errno);
}

static void init(psock_listener *listener, psock_loop *loop,
    const struct psock_address *address,
    const struct psock_listener_options *options) {
  *listener = (psock_listener){.loop = loop, .address = *address};
  psock_options_copy(
      &listener->options, sizeof listener->options, options, options->size);
  psock_options_copy(&listener->connection, sizeof listener->connection,
      options->connection, options->connection->size);
  listener->connection.reactor = (psock_reactor){.ops = NULL};
  if (listener->options.max_connections == 0)
    listener->options.max_connections = DEFAULT_MAX_CONNECTIONS;
  if (listener->options.backlog == 0)
    listener->options.backlog = DEFAULT_BACKLOG;
  listener->io.ready = on_ready;
  listener->resume.expired = resume_expired;
  listener->owned.end = end_owned;
  psock_list_init(&listener->owned.node);
  psock_list_init(&listener->connections);
  psock_task_init(&listener->drained, call_drained);
}

int psock_listen(psock_loop *loop, const struct psock_address *address,
    const struct psock_listener_options *options,
    psock_listener **ret_listener) {
  if (options == NULL ||
      options->size <
          PSOCK_SIZE_THROUGH(struct psock_listener_options, keepalive) ||
      options->accepted == NULL ||
      !psock_connection_options_are_valid(options->connection))
    return PSOCK_EINVAL;
  psock_listener *listener =
      psock_alloc(&loop->heap->allocator, sizeof *listener);
  if (listener == NULL)
    return PSOCK_ENOMEM;
  int error = psock_alarms_reserve(&loop->alarms);
  if (error != 0)
    goto err_after_alloc;
  init(listener, loop, address, options);
  listener->io.fd = socket(address->storage.ss_family,
      SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener->io.fd < 0) {
    error = psock_error_from_errno(errno);
    goto err_after_alarm;
  }
  error = open_socket(listener);
  if (error != 0)
    goto err_after_socket;
  psock_list_append(&loop->owned, &listener->owned.node);
  *ret_listener = listener;
  return 0;

err_after_socket:
  stop_accepting(listener);
err_after_alarm:
  psock_alarms_unreserve(&loop->alarms);
err_after_alloc:
  psock_free(&loop->heap->allocator, listener);
  return error;
}

void psock_listener_get_address(
    const psock_listener *listener, struct psock_address *ret_address) {
  *ret_address = listener->address;
}

void psock_listener_get_stats(
    const psock_listener *listener, struct psock_listener_stats *ret_stats) {
  psock_options_fill(
      ret_stats, ret_stats->size, &listener->stats, sizeof listener->stats);
}

int psock_listener_drain(
    psock_listener *listener, void (*drained)(void *data), void *data) {
  if (listener->draining)
    return PSOCK_EINVAL;
  listener->draining = true;
  listener->on_drained = drained;
  listener->drained_data = data;
  stop_accepting(listener);
  for (struct psock_list *node = listener->connections.next;
       node != &listener->connections; node = node->next)
    psock_connection_drain(
        PSOCK_CONTAINER(node, struct accepted, node)->connection);
  check_drained(listener);
  return 0;
}

void psock_listener_free(psock_listener *listener) {
  if (listener == NULL || listener->freed)
    return;
  listener->freed = true;
  listener_enter(listener);
  stop_accepting(listener);
  while (!psock_list_empty(&listener->connections))
    psock_connection_free(
        PSOCK_CONTAINER(listener->connections.next, struct accepted, node)
            ->connection);
  psock_task_cancel(&listener->drained);
  psock_list_remove(&listener->owned.node);
  call_drained(&listener->drained);
  listener_leave(listener);
}
