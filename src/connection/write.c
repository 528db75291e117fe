/* SPDX-License-Identifier: BSD-2-Clause */
#include "connection/connection.h"

/*
 * The way out: what the senders have encoded is collected, whole blocks at a
 * time, behind what the transport did not take before; the records go to the
 * reactor; then one send takes as many blocks as it can describe. What is left
 * waits until the transport is ready again.
 */

#define MAX_VECTORS 64

void psock_connection_give_records(psock_connection *connection) {
  const struct psock_reactor_ops *ops = connection->reactor.ops;
  struct psock_pool *pool = connection->records.pool;
  struct psock_block *block;
  while ((block = psock_buffer_pop(&connection->records)) != NULL) {
    size_t count = psock_block_length(block) / sizeof(struct psock_record);
    if (ops->records != NULL && count > 0)
      ops->records(connection->reactor.state, connection,
          (const struct psock_record *)(void *)(block->data + block->start),
          count);
    psock_pool_put(pool, block);
  }
}

/* One send. Returns false when the transport takes no more for now. */
static bool write_some(psock_connection *connection) {
  struct iovec vectors[MAX_VECTORS];
  psock_transport *transport = connection->transport;
  int count = psock_buffer_vectors(
      &connection->out, vectors, MAX_VECTORS, connection->write_left);
  size_t offered = 0;
  for (int i = 0; i < count; i++)
    offered += vectors[i].iov_len;
  ssize_t sent = transport->ops->send(transport, vectors, count);
  connection->stats.sends++;
  if (sent == PSOCK_EAGAIN)
    sent = 0;
  /* The transport may be the user's. */
  if (sent > 0 && (size_t)sent > offered)
    sent = PSOCK_EIO;
  if (sent < 0) {
    psock_connection_fail(connection, (int)sent);
    return false;
  }
  size_t length = (size_t)sent;
  connection->stats.bytes_out += length;
  connection->write_left -=
      length < connection->write_left ? length : connection->write_left;
  psock_buffer_consume(&connection->out, length);
  psock_channel_drained(connection->channel, length);
  if (length == offered)
    return true;
  connection->stats.stalls_out++;
  return false;
}

static bool may_write(const psock_connection *connection) {
  return connection->transport_open && connection->state < PSOCK_ENDING;
}

static void collect_local(psock_connection *connection) {
  if (connection->channel->local.messages == 0)
    return;
  connection->stats.messages_out += psock_channel_collect_local(
      connection->channel, &connection->out, &connection->records);
}

void psock_connection_collect(psock_connection *connection) {
  collect_local(connection);
  connection->stats.messages_out += psock_channel_collect_lanes(
      connection->channel, &connection->out, &connection->records);
}

void psock_connection_flush(psock_connection *connection) {
  if (!may_write(connection))
    return;
  collect_local(connection);
  psock_connection_give_records(connection);
  while (may_write(connection) && connection->out.length > 0 &&
         connection->write_left > 0)
    if (!write_some(connection))
      break;
  psock_channel_drained(connection->channel, 0);
  psock_connection_check_full(connection);
  if (connection->state == PSOCK_OPEN && connection->wants_room &&
      psock_connection_get_room(connection) > 0)
    psock_connection_defer(connection);
  psock_connection_watch(connection);
}
