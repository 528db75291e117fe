/* SPDX-License-Identifier: BSD-2-Clause */
#include "connection/connection.h"

#include <protosocket/dispatch.h>
#include <string.h>

/*
 * The way in: bytes are received into a block of the loop's pool, decoded where
 * they are, and the messages given to the reactor one by one. A batch is what
 * one readiness of the transport brings, within the budget; at its end the
 * reactor is told, and what it has sent leaves.
 *
 * What is left is mostly nothing, and the block goes back to the pool. An
 * unfinished frame is copied to a block of its own size; one that is larger
 * than a receive gets a block that grows with what has come, never with what
 * was announced, unless the pool has one lying idle. Frames that may not be
 * given now (paused, output full, budget used up) stay where they are.
 */

/* What one receive is offered. */
#define RECEIVE_SIZE ((size_t)128 << 10)

/* The capacity of the block for that, in the pool's terms. */
static size_t receive_capacity(void) {
  return RECEIVE_SIZE - sizeof(struct psock_block);
}

bool psock_connection_may_give(const psock_connection *connection) {
  return connection->state == PSOCK_OPEN && !connection->paused &&
         !connection->full;
}

static bool output_is_long(const psock_connection *connection) {
  return psock_channel_queued(connection->channel) >
         connection->channel->capacity / 2;
}

void psock_connection_check_full(psock_connection *connection) {
  if (!connection->full || output_is_long(connection))
    return;
  connection->full = false;
  connection->more = true;
  psock_connection_defer(connection);
}

/* Before a message: writes what has gathered, and rests if the peer doesn't
 * take it. Returns whether a message may be given. */
static bool output_allows(psock_connection *connection) {
  if (connection->channel->local.bytes.length > PSOCK_ROOM_MARK)
    psock_connection_flush(connection);
  if (connection->pauses_when_full && output_is_long(connection)) {
    psock_connection_flush(connection);
    if (psock_connection_may_give(connection) && output_is_long(connection)) {
      connection->full = true;
      connection->stats.stalls_in++;
    }
  }
  return psock_connection_may_give(connection);
}

static void give(psock_connection *connection, struct psock_decoded *decoded) {
  const psock_reactor *reactor = &connection->reactor;
  connection->stats.messages_in++;
  connection->lent = decoded;
  if (reactor->dispatch != NULL)
    psock_dispatch(reactor->dispatch, reactor->handlers, reactor->state,
        connection, decoded->message);
  else if (reactor->ops->message != NULL)
    reactor->ops->message(reactor->state, connection, decoded->message);
  connection->lent = NULL;
}

/* Ignores bytes that the codec has no use for. */
static void skip_some(psock_connection *connection) {
  struct psock_block *in = connection->in;
  size_t length = psock_block_length(in);
  if (length > connection->skip)
    length = connection->skip;
  in->start += length;
  connection->skip -= length;
}

/* Ends the connection over its input. What was answered to earlier messages
 * leaves, if the transport takes it at once. */
static bool refuse(psock_connection *connection, int reason) {
  psock_connection_flush(connection);
  psock_connection_fail(connection, reason);
  return false;
}

/* Takes what decode said; a codec that takes no byte of a message would never
 * come to an end. Returns whether to go on. */
static bool take_decoded(
    psock_connection *connection, int result, struct psock_decoded *decoded) {
  struct psock_block *in = connection->in;
  size_t length = psock_block_length(in);
  connection->needed = 0;
  connection->scanned = 0;
  switch (result) {
  case PSOCK_DECODE_INCOMPLETE:
    connection->scanned = decoded->scanned;
    connection->needed = decoded->needed;
    return false;
  case PSOCK_DECODE_SKIP:
    if (decoded->consumed == 0)
      return refuse(connection, PSOCK_EINVAL);
    connection->skip = decoded->consumed;
    skip_some(connection);
    return true;
  case PSOCK_DECODE_MESSAGE:
    if (decoded->consumed == 0 || decoded->consumed > length)
      return refuse(connection, PSOCK_EINVAL);
    in->start += decoded->consumed;
    give(connection, decoded);
    return true;
  default:
    return refuse(connection, result);
  }
}

/* Decodes and gives one message. Returns whether to go on. */
static bool step(psock_connection *connection) {
  struct psock_block *in = connection->in;
  if (connection->skip > 0)
    skip_some(connection);
  size_t length = psock_block_length(in);
  if (length == 0 || length < connection->needed || !output_allows(connection))
    return false;
  psock_loop *loop = connection->loop;
  const psock_codec *codec = connection->inbound;
  struct psock_decoded decoded = {.scanned = connection->scanned};
  int result = PSOCK_ENOTSUP;
  if (codec != NULL && codec->decode != NULL)
    result = codec->decode(
        codec, in->data + in->start, length, loop->arena, &decoded);
  bool going = take_decoded(connection, result, &decoded);
  psock_arena_next(&loop->arena);
  return going;
}

/* Gives messages while there are any and the budget lasts. */
static void give_messages(psock_connection *connection, unsigned *budget) {
  connection->more = false;
  while (psock_connection_may_give(connection) && connection->in != NULL) {
    if (*budget == 0) {
      connection->more = true;
      psock_connection_defer(connection);
      return;
    }
    uint64_t before = connection->stats.messages_in;
    if (!step(connection))
      return;
    *budget -= connection->stats.messages_in > before;
  }
}

/* Replaces the input block by `block`, which gets what is left. */
static void replace_input(
    psock_connection *connection, struct psock_block *block) {
  struct psock_block *in = connection->in;
  size_t length = psock_block_length(in);
  memcpy(block->data, in->data + in->start, length);
  block->end = length;
  psock_pool_put(&connection->loop->pool, in);
  connection->in = block;
}

/* After a batch: gives the block back, or makes it no larger than what it
 * holds calls for. Keeps it when memory for that is out. */
static void trim_input(psock_connection *connection) {
  struct psock_block *in = connection->in;
  if (in == NULL)
    return;
  size_t length = psock_block_length(in);
  if (length == 0) {
    psock_pool_put(&connection->loop->pool, in);
    connection->in = NULL;
    return;
  }
  /* The block of a large frame has at most twice what has come, or lay idle:
   * to copy it for each byte that drips in would cost more. */
  if (length > in->capacity / 4 || in->capacity > receive_capacity())
    return;
  struct psock_block *block = psock_block_new(connection->loop->heap, length);
  if (block != NULL)
    replace_input(connection, block);
}

/* A block for a frame of `needed` bytes, `length` of which have come. A peer
 * that sends little gets a usual block, which is trimmed after the batch. */
static struct psock_block *frame_block(
    psock_connection *connection, size_t length, size_t needed) {
  struct psock_pool *pool = &connection->loop->pool;
  size_t usual = receive_capacity();
  if (needed <= usual || length < usual / 2)
    return psock_pool_get(pool, usual);
  struct psock_block *block = psock_pool_get_cached(pool, needed);
  if (block != NULL)
    return block;
  return psock_pool_get(pool, length < needed / 2 ? length * 2 : needed);
}

/* Makes room to receive into. Returns how much, 0 when memory is out. */
static size_t make_room(psock_connection *connection) {
  struct psock_block *in = connection->in;
  if (in == NULL) {
    in = psock_pool_get(&connection->loop->pool, receive_capacity());
    connection->in = in;
    return in == NULL ? 0 : psock_block_room(in);
  }
  size_t length = psock_block_length(in);
  bool known = connection->needed > length;
  size_t missing = known ? connection->needed - length : 1;
  bool large = known && connection->needed > receive_capacity();
  size_t room = psock_block_room(in);
  if (room == 0 || (!large && room < missing)) {
    in = frame_block(
        connection, length, known ? connection->needed : length * 2);
    if (in == NULL)
      return 0;
    replace_input(connection, in);
    room = psock_block_room(in);
  }
  /* What is behind a large frame would have to be moved out of its block. */
  return large && room > missing ? missing : room;
}

/* Receives once. Returns how many bytes came, 0 when there is nothing more to
 * be had now, and sets `ret_filled` when there may be. */
static size_t receive(psock_connection *connection, bool *ret_filled) {
  psock_transport *transport = connection->transport;
  size_t room = make_room(connection);
  *ret_filled = false;
  if (room == 0) {
    psock_connection_fail(connection, PSOCK_ENOMEM);
    return 0;
  }
  struct psock_block *in = connection->in;
  ssize_t received =
      transport->ops->receive(transport, in->data + in->end, room);
  connection->stats.receives++;
  /* The transport may be the user's. */
  if (received > 0 && (size_t)received > room)
    received = PSOCK_EIO;
  if (received == 0)
    connection->input_ended = true;
  else if (received < 0 && received != PSOCK_EAGAIN)
    psock_connection_fail(connection, (int)received);
  if (received <= 0)
    return 0;
  size_t length = (size_t)received;
  in->end += length;
  connection->stats.bytes_in += length;
  *ret_filled = length == room;
  return length;
}

/* The peer has ended its side, and everything in front of that was given. */
static void tell_end(psock_connection *connection) {
  const struct psock_reactor_ops *ops = connection->reactor.ops;
  connection->end_told = true;
  if (connection->in != NULL || connection->skip > 0)
    psock_connection_begin_close(connection, PSOCK_ETRUNCATED);
  else if (ops->input_ended != NULL)
    ops->input_ended(connection->reactor.state, connection);
  else
    psock_connection_begin_close(connection, 0);
}

static void drop_input(psock_connection *connection) {
  connection->needed = 0;
  connection->scanned = 0;
  if (connection->in == NULL)
    return;
  psock_pool_put(&connection->loop->pool, connection->in);
  connection->in = NULL;
}

/* CLOSING: what still comes is ignored. */
static void discard(psock_connection *connection) {
  size_t budget = connection->batch_bytes;
  bool filled = true;
  while (connection->state == PSOCK_CLOSING && filled && budget > 0) {
    drop_input(connection);
    size_t length = receive(connection, &filled);
    budget -= length < budget ? length : budget;
  }
  drop_input(connection);
  psock_connection_advance_close(connection);
}

static void end_batch(psock_connection *connection, uint64_t messages_before) {
  const struct psock_reactor_ops *ops = connection->reactor.ops;
  bool gave = connection->stats.messages_in > messages_before;
  if (gave && ops->batch_end != NULL && connection->state == PSOCK_OPEN)
    ops->batch_end(connection->reactor.state, connection);
  connection->reading = false;
  if (connection->state == PSOCK_ENDED)
    return;
  trim_input(connection);
  if (connection->input_ended && !connection->end_told && !connection->more &&
      psock_connection_may_give(connection))
    tell_end(connection);
  psock_connection_flush(connection);
}

void psock_connection_read(psock_connection *connection) {
  if (connection->state == PSOCK_CLOSING) {
    discard(connection);
    return;
  }
  if (!psock_connection_may_give(connection))
    return;
  uint64_t before = connection->stats.messages_in;
  unsigned messages = connection->batch_messages;
  size_t bytes = connection->batch_bytes;
  bool filled = true;
  connection->reading = true;
  give_messages(connection, &messages);
  while (psock_connection_may_give(connection) && !connection->more && filled &&
         bytes > 0 && !connection->input_ended) {
    size_t length = receive(connection, &filled);
    bytes -= length < bytes ? length : bytes;
    if (length > 0)
      give_messages(connection, &messages);
  }
  end_batch(connection, before);
}
