/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "base/options.h"
#include "channel/channel.h"

#include <protosocket/error.h>
#include <string.h>
#include <time.h>

/*
 * The sending end of a channel. A message is encoded into the sender's own
 * buffer, then the bytes are charged to the connection's queue; if that would
 * be too much, the buffer goes back to where it was. So a send either has
 * happened, with its record and its release, or has left no trace.
 *
 * A clone does this under its lane's mutex, and lists the lane while it holds
 * it; the connection's own sender needs no mutex.
 */

void psock_sender_init(
    struct psock_sender *sender, struct psock_channel *channel, bool local) {
  *sender = (struct psock_sender){.channel = channel, .local = local};
  psock_buffer_init(&sender->bytes, &channel->loop->pool, !local);
  psock_buffer_init(&sender->records, &channel->loop->pool, !local);
  atomic_init(&sender->refused, 0);
}

void psock_sender_fini(struct psock_sender *sender) {
  sender->writable = NULL;
}

void psock_lane_free(struct psock_lane *lane) {
  struct psock_channel *channel = lane->sender.channel;
  pthread_mutex_destroy(&lane->mutex);
  psock_free(&channel->heap->allocator, lane);
  psock_channel_unref(channel);
}

static bool is_empty(const struct psock_sender *sender) {
  return sender->messages == 0;
}

static int encode_all(struct psock_sender *sender, const void *const *messages,
    size_t count, bool lending) {
  const psock_codec *codec = sender->channel->codec;
  int error = 0;
  sender->bytes.lending = lending;
  for (size_t i = 0; i < count && error == 0; i++)
    error = codec->encode(codec, messages[i], &sender->bytes);
  sender->bytes.lending = false;
  return error;
}

/* Remembers to tell the sender when `length` bytes have room. */
static int refuse(struct psock_sender *sender, size_t length) {
  atomic_store(&sender->refused, length);
  atomic_store(&sender->channel->refused, true);
  return PSOCK_EFULL;
}

static void uncharge(struct psock_sender *sender, size_t length) {
  if (!sender->local)
    atomic_fetch_sub(&sender->channel->queued, length);
}

/* Adds `length` bytes to what is queued for the connection, or refuses. A
 * local sender's bytes are added when they are collected. */
static int charge(struct psock_sender *sender, size_t length) {
  struct psock_channel *channel = sender->channel;
  if (length > channel->capacity)
    return PSOCK_ETOOBIG;
  if (sender->local) {
    size_t queued = psock_channel_queued(channel);
    return queued > channel->capacity ? refuse(sender, length) : 0;
  }
  size_t queued = atomic_fetch_add(&channel->queued, length);
  if (queued <= channel->capacity - length)
    return 0;
  uncharge(sender, length);
  return refuse(sender, length);
}

static int add_record(
    struct psock_sender *sender, const struct psock_record *record) {
  uint8_t *room = psock_buffer_reserve(&sender->records, sizeof *record);
  if (room == NULL)
    return PSOCK_ENOMEM;
  memcpy(room, record, sizeof *record);
  psock_buffer_commit(&sender->records, sizeof *record);
  return 0;
}

/* Makes the release part of what was encoded behind `mark`: it comes with the
 * last of the lent bytes or, if all were copied, as soon as the loop looks. */
static int add_release(struct psock_sender *sender,
    const struct psock_buffer_mark *mark,
    const struct psock_send_options *options) {
  struct psock_block *block = psock_buffer_last_lent(&sender->bytes, mark);
  if (block == NULL) {
    block = psock_block_lend(sender->channel->heap, options, 0);
    if (block == NULL)
      return PSOCK_ENOMEM;
    block->next = sender->released;
    sender->released = block;
  }
  block->release = options->release;
  block->release_data = options->release_data;
  return 0;
}

/* What goes along with the messages behind `bytes`; all or nothing. */
static int attach(struct psock_sender *sender,
    const struct psock_buffer_mark *bytes,
    const struct psock_send_options *options) {
  struct psock_buffer_mark records = psock_buffer_mark(&sender->records);
  int error = 0;
  if (options->record != NULL)
    error = add_record(sender, options->record);
  if (error == 0 && options->release != NULL)
    error = add_release(sender, bytes, options);
  if (error != 0)
    psock_buffer_rewind(&sender->records, &records);
  return error;
}

/* Everything about one send, all or nothing. The caller has the sender for
 * itself. */
static int enqueue(struct psock_sender *sender, const void *const *messages,
    size_t count, const struct psock_send_options *options) {
  struct psock_buffer_mark bytes = psock_buffer_mark(&sender->bytes);
  int error = encode_all(sender, messages, count, options->release != NULL);
  size_t length = sender->bytes.length - bytes.length;
  if (error == 0)
    error = charge(sender, length);
  if (error == 0 && (options->record != NULL || options->release != NULL)) {
    error = attach(sender, &bytes, options);
    if (error != 0)
      uncharge(sender, length);
  }
  if (error == 0)
    sender->messages += count;
  else
    psock_buffer_rewind(&sender->bytes, &bytes);
  return error;
}

static int send_local(struct psock_sender *sender, const void *const *messages,
    size_t count, const struct psock_send_options *options) {
  struct psock_channel *channel = sender->channel;
  if (atomic_load_explicit(&channel->closed, memory_order_relaxed))
    return PSOCK_ECLOSED;
  bool was_empty = is_empty(sender);
  int error = enqueue(sender, messages, count, options);
  if (error == 0 && was_empty)
    channel->owner->local_filled(channel->owner);
  return error;
}

/* Gives the lane back; if the loop wanted it meanwhile, tells the loop. */
static void lane_leave(struct psock_channel *channel, struct psock_lane *lane) {
  pthread_mutex_unlock(&lane->mutex);
  if (!atomic_load(&lane->missed) || !atomic_exchange(&lane->missed, false))
    return;
  pthread_mutex_lock(&channel->mutex);
  if (!channel->detached)
    psock_channel_list(channel, lane);
  pthread_mutex_unlock(&channel->mutex);
}

static int send_lane(struct psock_lane *lane, const void *const *messages,
    size_t count, const struct psock_send_options *options) {
  struct psock_sender *sender = &lane->sender;
  struct psock_channel *channel = sender->channel;
  if (atomic_load(&channel->closed))
    return PSOCK_ECLOSED;
  pthread_mutex_lock(&lane->mutex);
  int error = PSOCK_ECLOSED;
  if (!atomic_load(&channel->closed)) {
    bool was_empty = is_empty(sender);
    error = enqueue(sender, messages, count, options);
    /* Room that came between the refusal and the note of it is nobody's
     * business yet: have the loop look. */
    bool room = error == PSOCK_EFULL &&
                psock_channel_has_room(channel, atomic_load(&sender->refused));
    if ((error == 0 && was_empty) || room)
      psock_channel_list(channel, lane);
  }
  lane_leave(channel, lane);
  return error;
}

static int send_once(struct psock_sender *sender, const void *const *messages,
    size_t count, const struct psock_send_options *options) {
  if (sender->local)
    return send_local(sender, messages, count, options);
  return send_lane((struct psock_lane *)sender, messages, count, options);
}

static struct timespec deadline_after(uint64_t timeout) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  uint64_t nanoseconds = (uint64_t)now.tv_nsec + timeout % 1000000000u;
  now.tv_sec += (time_t)(timeout / 1000000000u + nanoseconds / 1000000000u);
  now.tv_nsec = (long)(nanoseconds % 1000000000u);
  return now;
}

/* Waits until `length` bytes may have room. Returns 0 or PSOCK_ETIMEDOUT. */
static int wait_for_room(struct psock_channel *channel, size_t length,
    const struct timespec *deadline) {
  int error = 0;
  pthread_mutex_lock(&channel->mutex);
  for (;;) {
    atomic_store(&channel->refused, true);
    if (error != 0 || atomic_load(&channel->closed) ||
        psock_channel_has_room(channel, length))
      break;
    error = pthread_cond_timedwait(&channel->room, &channel->mutex, deadline);
  }
  pthread_mutex_unlock(&channel->mutex);
  return error == 0 ? 0 : PSOCK_ETIMEDOUT;
}

static int send_waiting(struct psock_sender *sender,
    const void *const *messages, size_t count,
    const struct psock_send_options *options) {
  if (sender->local || psock_heap_is_home(sender->channel->heap))
    return PSOCK_ELOOPTHREAD;
  struct timespec deadline = deadline_after(options->timeout);
  int error;
  while ((error = send_once(sender, messages, count, options)) == PSOCK_EFULL)
    if (wait_for_room(
            sender->channel, atomic_load(&sender->refused), &deadline) != 0)
      return PSOCK_ETIMEDOUT;
  return error;
}

int psock_send_many(psock_sender *sender, const void *const *messages,
    size_t count, const struct psock_send_options *given) {
  struct psock_send_options options;
  psock_options_copy(
      &options, sizeof options, given, given == NULL ? 0 : given->size);
  if (count == 0 || (given != NULL && given->size == 0))
    return PSOCK_EINVAL;
  if (sender->channel->codec == NULL)
    return PSOCK_ENOTSUP;
  if (options.timeout != 0)
    return send_waiting(sender, messages, count, &options);
  return send_once(sender, messages, count, &options);
}

int psock_send(psock_sender *sender, const void *message) {
  static const struct psock_send_options plain;
  if (sender->channel->codec == NULL)
    return PSOCK_ENOTSUP;
  return send_once(sender, &message, 1, &plain);
}

int psock_sender_clone(psock_sender *sender, psock_sender **ret_sender) {
  struct psock_channel *channel = sender->channel;
  struct psock_lane *lane =
      psock_alloc(&channel->heap->allocator, sizeof *lane);
  if (lane == NULL)
    return PSOCK_ENOMEM;
  *lane = (struct psock_lane){.dropped = false};
  if (pthread_mutex_init(&lane->mutex, NULL) != 0) {
    psock_free(&channel->heap->allocator, lane);
    return PSOCK_ENOMEM;
  }
  psock_channel_ref(channel);
  pthread_mutex_lock(&channel->mutex);
  bool closed = atomic_load(&channel->closed);
  if (!closed) {
    psock_sender_init(&lane->sender, channel, false);
    psock_list_append(&channel->lanes, &lane->node);
  }
  pthread_mutex_unlock(&channel->mutex);
  if (closed) {
    lane->sender.channel = channel;
    psock_lane_free(lane);
    return PSOCK_ECLOSED;
  }
  *ret_sender = &lane->sender;
  return 0;
}

void psock_sender_drop(psock_sender *sender) {
  if (sender == NULL || sender->local)
    return;
  struct psock_lane *lane = (struct psock_lane *)sender;
  struct psock_channel *channel = sender->channel;
  psock_channel_ref(channel);
  pthread_mutex_lock(&channel->mutex);
  bool mine = channel->detached || !atomic_load(&lane->known);
  pthread_mutex_lock(&lane->mutex);
  lane->dropped = true;
  psock_sender_fini(sender);
  pthread_mutex_unlock(&lane->mutex);
  if (mine)
    psock_list_remove(&lane->node);
  else
    psock_channel_list(channel, lane); /* The loop frees it. */
  pthread_mutex_unlock(&channel->mutex);
  if (mine)
    psock_lane_free(lane);
  psock_channel_unref(channel);
}

void psock_sender_on_writable(
    psock_sender *sender, void (*writable)(void *data), void *data) {
  sender->writable = writable;
  sender->writable_data = data;
}

size_t psock_sender_get_queued(const psock_sender *sender) {
  const struct psock_channel *channel = sender->channel;
  if (sender->local)
    return psock_channel_queued(channel);
  return atomic_load(&channel->queued);
}
