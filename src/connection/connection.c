/* SPDX-License-Identifier: BSD-2-Clause */
#include "connection/connection.h"

#include "base/allocator.h"
#include "base/log.h"
#include "base/options.h"
#include <protosocket/dispatch.h>
#include <string.h>

/*
 * How a connection begins and ends. Whatever the user asks for is noted and
 * done at the end of the loop's turn, by `work`; so no callback runs inside the
 * function that caused it. The one exception is psock_connection_free, which
 * owes `closed` before it returns.
 *
 * Ending has three steps: the channel is closed and the sends that are in
 * progress are over; what was acknowledged is settled (records given, lent
 * memory released) and `closed` is called; and when no frame of this connection
 * is on the stack any more, its memory goes.
 */

#define DEFAULT_MAX_QUEUED ((size_t)8 << 20)
#define DEFAULT_BATCH_MESSAGES 1024u
#define DEFAULT_BATCH_BYTES ((size_t)1 << 20)
#define DEFAULT_TIMEOUT ((uint64_t)10 * 1000000000u)

static void release(psock_connection *connection) {
  psock_loop *loop = connection->loop;
  if (connection->in != NULL)
    psock_pool_put(&loop->pool, connection->in);
  psock_channel_unref(connection->channel);
  psock_alarms_unreserve(&loop->alarms);
  psock_free(&loop->heap->allocator, connection);
}

void psock_connection_enter(psock_connection *connection) {
  if (connection->entered == 0)
    connection->write_left = connection->batch_bytes;
  connection->entered++;
}

void psock_connection_leave(psock_connection *connection) {
  connection->entered--;
  if (connection->entered == 0 && connection->state == PSOCK_ENDED)
    release(connection);
}

static unsigned wanted_directions(const psock_connection *connection) {
  unsigned directions = connection->out.length > 0 ? PSOCK_WRITE : 0;
  if (!connection->transport_open)
    return PSOCK_READ | PSOCK_WRITE;
  if (connection->input_ended)
    return directions;
  if (connection->state == PSOCK_CLOSING ||
      psock_connection_may_give(connection))
    directions |= PSOCK_READ;
  return directions;
}

void psock_connection_watch(psock_connection *connection) {
  if (connection->state >= PSOCK_ENDING)
    return;
  unsigned directions = wanted_directions(connection);
  if (directions == connection->watched)
    return;
  psock_transport *transport = connection->transport;
  int error = transport->ops->watch(transport, directions);
  if (error == 0)
    connection->watched = directions;
  else
    psock_connection_fail(connection, error);
}

/* Lets go of all but the memory, and calls `closed`. */
static void tell_closed(psock_connection *connection) {
  psock_loop *loop = connection->loop;
  const struct psock_reactor_ops *ops = connection->reactor.ops;
  if (connection->closed_told)
    return;
  connection->closed_told = true;
  psock_channel_detach(connection->channel);
  psock_list_remove(&connection->owned.node);
  loop->connections--;
  loop->ops->keep(loop, false);
  loop->ended[-connection->reason]++;
  if (connection->reason != 0 && connection->reason != PSOCK_ECANCELED)
    psock_log(loop, PSOCK_LOG_INFO, "a connection has ended: %s",
        psock_strerror(connection->reason));
  if (connection->gone != NULL)
    connection->gone(connection->gone_data);
  if (ops->closed != NULL)
    ops->closed(connection->reactor.state, connection, connection->reason);
}

/* Settles what is owed, and then calls `closed`. A callback in here may free
 * the connection: then this is done from inside it, and finds nothing left to
 * do when it goes on. */
static void finish(psock_connection *connection) {
  connection->state = PSOCK_ENDED;
  psock_connection_collect(connection);
  psock_connection_give_records(connection);
  psock_buffer_clear(&connection->out);
  tell_closed(connection);
}

static void end(psock_connection *connection, int reason, bool wait) {
  if (connection->state >= PSOCK_ENDING)
    return;
  /* Codecs and transports may be the user's, and return what they like. */
  if (reason > 0 || reason < -PSOCK_ERROR_COUNT)
    reason = PSOCK_EIO;
  connection->state = PSOCK_ENDING;
  connection->reason = reason;
  psock_connection_enter(connection);
  psock_task_cancel(&connection->task);
  psock_loop_stop_alarm(connection->loop, &connection->alarm);
  connection->transport->ops->free(connection->transport);
  connection->transport = NULL;
  if (psock_channel_close(connection->channel, wait))
    finish(connection);
  psock_connection_leave(connection);
}

void psock_connection_fail(psock_connection *connection, int reason) {
  end(connection, reason, false);
}

void psock_connection_begin_close(psock_connection *connection, int reason) {
  if (connection->state >= PSOCK_CLOSING)
    return;
  connection->state = PSOCK_CLOSING;
  connection->reason = reason;
  connection->quiet = psock_channel_close(connection->channel, false);
  psock_loop_start_alarm(
      connection->loop, &connection->alarm, connection->close_timeout);
  psock_connection_defer(connection);
}

void psock_connection_advance_close(psock_connection *connection) {
  if (connection->state != PSOCK_CLOSING)
    return;
  if (!connection->quiet)
    connection->quiet = psock_channel_close(connection->channel, false);
  psock_connection_collect(connection);
  psock_connection_flush(connection);
  if (connection->state != PSOCK_CLOSING || !connection->quiet ||
      connection->out.length > 0)
    return;
  int error = 0;
  if (connection->transport_open && !connection->shut)
    error = connection->transport->ops->shutdown(connection->transport);
  connection->shut = true;
  if (error != 0)
    psock_connection_fail(connection, error);
  else if (connection->input_ended || !connection->transport_open)
    psock_connection_fail(connection, connection->reason);
  else
    psock_connection_watch(connection);
}

static void expired(struct psock_alarm *alarm) {
  psock_connection *connection =
      PSOCK_CONTAINER(alarm, psock_connection, alarm);
  psock_connection_enter(connection);
  psock_connection_fail(
      connection, connection->shut ? connection->reason : PSOCK_ETIMEDOUT);
  psock_connection_leave(connection);
}

static void try_open(psock_connection *connection) {
  psock_transport *transport = connection->transport;
  int error =
      transport->ops->open == NULL ? 0 : transport->ops->open(transport);
  if (error == PSOCK_EAGAIN) {
    psock_connection_watch(connection);
    return;
  }
  if (error != 0) {
    psock_connection_fail(connection, error);
    return;
  }
  connection->transport_open = true;
  if (connection->state != PSOCK_OPENING)
    return;
  connection->state = PSOCK_OPEN;
  psock_loop_stop_alarm(connection->loop, &connection->alarm);
  if (connection->reactor.ops->opened != NULL)
    connection->reactor.ops->opened(connection->reactor.state, connection);
}

/* The transport is ready. */
static void ready(void *owner, unsigned directions) {
  psock_connection *connection = owner;
  psock_connection_enter(connection);
  if (!connection->transport_open) {
    try_open(connection);
    psock_connection_defer(connection);
  } else {
    if (directions & PSOCK_WRITE)
      psock_connection_flush(connection);
    if (directions & PSOCK_READ)
      psock_connection_read(connection);
    psock_connection_advance_close(connection);
  }
  psock_connection_leave(connection);
}

static void do_drain(psock_connection *connection) {
  const struct psock_reactor_ops *ops = connection->reactor.ops;
  connection->wants_drain = false;
  if (ops->drain == NULL) {
    psock_connection_begin_close(connection, 0);
    return;
  }
  psock_loop_start_alarm(
      connection->loop, &connection->alarm, connection->drain_timeout);
  ops->drain(connection->reactor.state, connection);
}

static void do_room(psock_connection *connection) {
  const struct psock_reactor_ops *ops = connection->reactor.ops;
  connection->wants_room = false;
  if (ops->room != NULL)
    ops->room(connection->reactor.state, connection);
}

/* What was deferred to the end of the turn. */
static void work(struct psock_task *task) {
  psock_connection *connection = PSOCK_CONTAINER(task, psock_connection, task);
  psock_connection_enter(connection);
  if (!connection->transport_open && connection->watched == 0)
    try_open(connection);
  if (connection->state == PSOCK_OPEN && connection->wants_drain)
    do_drain(connection);
  if (connection->state == PSOCK_OPEN && connection->more)
    psock_connection_read(connection);
  if (connection->state == PSOCK_OPEN && connection->wants_room &&
      psock_connection_get_room(connection) > 0)
    do_room(connection);
  psock_connection_flush(connection);
  psock_connection_advance_close(connection);
  psock_connection_leave(connection);
}

static void local_filled(struct psock_channel_owner *owner) {
  psock_connection *connection =
      PSOCK_CONTAINER(owner, psock_connection, owner);
  if (!connection->reading)
    psock_connection_defer(connection);
}

static void lanes_filled(struct psock_channel_owner *owner) {
  psock_connection *connection =
      PSOCK_CONTAINER(owner, psock_connection, owner);
  psock_connection_enter(connection);
  if (connection->state == PSOCK_ENDING) {
    /* A lane has to be taken off the list to be able to report again. */
    psock_connection_collect(connection);
    if (connection->state == PSOCK_ENDING &&
        psock_channel_close(connection->channel, false))
      finish(connection);
  } else {
    psock_connection_collect(connection);
    psock_connection_flush(connection);
    psock_connection_advance_close(connection);
  }
  psock_connection_leave(connection);
}

static void end_owned(struct psock_owned *owned) {
  psock_connection_free(PSOCK_CONTAINER(owned, psock_connection, owned));
}

/* Of a connection that nobody has claimed yet, or that only dispatches. */
static const struct psock_reactor_ops silent = {.size = sizeof silent};

/* Generated handlers begin with their size; a forgotten one would leave every
 * message without a handler, and without a word. And they can only be given
 * messages of their type. */
static bool handlers_are_valid(
    const psock_reactor *reactor, const psock_codec *inbound) {
  const struct psock_dispatch_table *dispatch = reactor->dispatch;
  const void *type = NULL;
  size_t size = 0;
  if (reactor->handlers != NULL)
    memcpy(&size, reactor->handlers, sizeof size);
  if (inbound != NULL &&
      inbound->size >= PSOCK_SIZE_THROUGH(struct psock_codec, type))
    type = inbound->type;
  return size > 0 &&
         dispatch->size >=
             PSOCK_SIZE_THROUGH(struct psock_dispatch_table, rest) &&
         (type == NULL || type == dispatch->type);
}

bool psock_reactor_is_valid(
    const psock_reactor *reactor, const psock_codec *inbound) {
  if (reactor->dispatch != NULL && !handlers_are_valid(reactor, inbound))
    return false;
  if (reactor->ops == NULL)
    return reactor->dispatch != NULL;
  return reactor->ops->size >=
         PSOCK_SIZE_THROUGH(struct psock_reactor_ops, closed);
}

void psock_connection_set_reactor(
    psock_connection *connection, const psock_reactor *reactor) {
  connection->reactor = *reactor;
  if (reactor->ops == NULL)
    connection->reactor.ops = &silent;
}

static bool transport_is_valid(const psock_transport *transport) {
  return transport != NULL &&
         transport->ops->size >=
             PSOCK_SIZE_THROUGH(struct psock_transport_ops, free);
}

static bool codec_is_valid(const psock_codec *codec) {
  return codec == NULL ||
         codec->size >= PSOCK_SIZE_THROUGH(struct psock_codec, decode);
}

bool psock_connection_options_are_valid(
    const struct psock_connection_options *options) {
  return options != NULL &&
         options->size >= PSOCK_SIZE_THROUGH(
                              struct psock_connection_options, drain_timeout) &&
         codec_is_valid(options->inbound) &&
         codec_is_valid(options->outbound) &&
         (unsigned)options->when_full <= PSOCK_WHEN_FULL_READ;
}

static void take_options(psock_connection *connection,
    const struct psock_connection_options *options) {
  connection->inbound = options->inbound;
  psock_connection_set_reactor(connection, &options->reactor);
  connection->batch_messages = options->batch_messages == 0
                                   ? DEFAULT_BATCH_MESSAGES
                                   : options->batch_messages;
  connection->batch_bytes =
      options->batch_bytes == 0 ? DEFAULT_BATCH_BYTES : options->batch_bytes;
  connection->close_timeout =
      options->close_timeout == 0 ? DEFAULT_TIMEOUT : options->close_timeout;
  connection->drain_timeout =
      options->drain_timeout == 0 ? DEFAULT_TIMEOUT : options->drain_timeout;
  connection->pauses_when_full = options->when_full != PSOCK_WHEN_FULL_READ;
}

static void begin(psock_connection *connection, uint64_t open_timeout) {
  psock_loop *loop = connection->loop;
  connection->owner.local_filled = local_filled;
  connection->owner.lanes_filled = lanes_filled;
  connection->transport->owner = connection;
  connection->transport->ready = ready;
  psock_buffer_init(&connection->out, &loop->pool, false);
  psock_buffer_init(&connection->records, &loop->pool, false);
  psock_task_init(&connection->task, work);
  connection->owned.end = end_owned;
  psock_list_append(&loop->owned, &connection->owned.node);
  connection->alarm.expired = expired;
  psock_loop_start_alarm(loop, &connection->alarm,
      open_timeout == 0 ? DEFAULT_TIMEOUT : open_timeout);
  loop->connections++;
  loop->ops->keep(loop, true);
  psock_connection_defer(connection);
}

int psock_connection_make(psock_loop *loop, psock_transport *transport,
    const struct psock_connection_options *given,
    psock_connection **ret_connection) {
  struct psock_connection_options options;
  psock_options_copy(&options, sizeof options, given, given->size);
  size_t max_queued =
      options.max_queued == 0 ? DEFAULT_MAX_QUEUED : options.max_queued;
  int error = psock_alarms_reserve(&loop->alarms);
  if (error != 0)
    return error;
  psock_connection *connection =
      psock_alloc(&loop->heap->allocator, sizeof *connection);
  if (connection == NULL) {
    error = PSOCK_ENOMEM;
    goto err_after_alarm;
  }
  *connection = (psock_connection){.loop = loop, .transport = transport};
  error = psock_channel_new(loop, options.outbound, max_queued,
      &connection->owner, &connection->channel);
  if (error != 0)
    goto err_after_alloc;
  take_options(connection, &options);
  begin(connection, options.open_timeout);
  *ret_connection = connection;
  return 0;

err_after_alloc:
  psock_free(&loop->heap->allocator, connection);
err_after_alarm:
  psock_alarms_unreserve(&loop->alarms);
  return error;
}

int psock_connection_new(psock_loop *loop, psock_transport *transport,
    const struct psock_connection_options *options,
    psock_connection **ret_connection) {
  if (!psock_connection_options_are_valid(options) ||
      !transport_is_valid(transport) ||
      !psock_reactor_is_valid(&options->reactor, options->inbound))
    return PSOCK_EINVAL;
  return psock_connection_make(loop, transport, options, ret_connection);
}

psock_sender *psock_connection_get_sender(psock_connection *connection) {
  return &connection->channel->local;
}

void psock_connection_close(psock_connection *connection) {
  psock_connection_begin_close(connection, 0);
}

void psock_connection_free(psock_connection *connection) {
  if (connection == NULL || connection->closed_told)
    return;
  if (connection->state < PSOCK_ENDING) {
    end(connection, PSOCK_ECANCELED, true);
    return;
  }
  psock_connection_enter(connection);
  psock_channel_close(connection->channel, true);
  finish(connection);
  psock_connection_leave(connection);
}

void psock_connection_drain(psock_connection *connection) {
  if (connection->drain_told)
    return;
  connection->drain_told = true;
  connection->wants_drain = true;
  psock_connection_defer(connection);
}

void psock_connection_pause(psock_connection *connection) {
  if (connection->paused)
    return;
  connection->paused = true;
  connection->stats.stalls_in++;
  psock_connection_defer(connection);
}

void psock_connection_resume(psock_connection *connection) {
  if (!connection->paused)
    return;
  connection->paused = false;
  connection->more = true;
  psock_connection_defer(connection);
}

void psock_connection_want_room(psock_connection *connection) {
  connection->wants_room = true;
  if (psock_connection_get_room(connection) > 0)
    psock_connection_defer(connection);
}

size_t psock_connection_get_room(const psock_connection *connection) {
  const struct psock_channel *channel = connection->channel;
  size_t mark = channel->capacity / 2;
  if (mark > PSOCK_ROOM_MARK)
    mark = PSOCK_ROOM_MARK;
  size_t queued = psock_channel_queued(channel);
  return queued < mark ? mark - queued : 0;
}

psock_loop *psock_connection_get_loop(const psock_connection *connection) {
  return connection->loop;
}

void psock_connection_get_stats(const psock_connection *connection,
    struct psock_connection_stats *ret_stats) {
  psock_options_fill(
      ret_stats, ret_stats->size, &connection->stats, sizeof connection->stats);
}

int psock_connection_get_peer(
    const psock_connection *connection, struct psock_address *ret_address) {
  const psock_transport *transport = connection->transport;
  if (transport == NULL)
    return PSOCK_ECLOSED;
  if (transport->ops->get_peer == NULL)
    return PSOCK_ENOTSUP;
  return transport->ops->get_peer(transport, ret_address);
}

int psock_connection_get_credentials(const psock_connection *connection,
    struct psock_credentials *ret_credentials) {
  const psock_transport *transport = connection->transport;
  if (transport == NULL)
    return PSOCK_ECLOSED;
  if (transport->ops->get_credentials == NULL)
    return PSOCK_ENOTSUP;
  return transport->ops->get_credentials(transport, ret_credentials);
}
