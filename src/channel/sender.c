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

void psock_lane_free(struct psock_lane *lane) {
  struct psock_channel *channel = lane->sender.channel;
  pthread_mutex_destroy(&lane->mutex);
  psock_heap_release(channel->heap, lane, sizeof *lane);
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

/* Adds `length` bytes to what is queued for the connection, or refuses. Nobody
 * ever sees more queued than there is: a sender that met that would wait for
 * room which no end of anything announces. */
static int charge(struct psock_channel *channel, size_t length) {
  if (length > channel->capacity)
    return PSOCK_ETOOBIG;
  size_t queued = atomic_load_explicit(&channel->queued, memory_order_relaxed);
  if (!channel->cloned) {
    if (queued > channel->capacity - length)
      return PSOCK_EFULL;
    psock_channel_set_queued(channel, queued + length);
    return 0;
  }
  do
    if (queued > channel->capacity - length)
      return PSOCK_EFULL;
  while (!atomic_compare_exchange_weak(
      &channel->queued, &queued, queued + length));
  return 0;
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
    /* Of no bytes: it only carries the release. */
    block = psock_block_lend(sender->channel->heap, NULL, 0);
    if (block == NULL)
      return PSOCK_ENOMEM;
    block->next = sender->released;
    sender->released = block;
  }
  block->release = options->release;
  block->release_data = options->release_data;
  return 0;
}

/* What goes along with the messages behind `bytes`. */
static int attach(struct psock_sender *sender,
    const struct psock_buffer_mark *bytes,
    const struct psock_send_options *options) {
  int error = 0;
  if (options->record != NULL)
    error = add_record(sender, options->record);
  if (error == 0 && options->release != NULL)
    error = add_release(sender, bytes, options);
  return error;
}

/* Everything about one send, all or nothing; `ret_length` is how many bytes it
 * takes, or would have taken. The caller has the sender for itself. */
static int enqueue(struct psock_sender *sender, const void *const *messages,
    size_t count, const struct psock_send_options *options,
    size_t *ret_length) {
  struct psock_buffer_mark bytes = psock_buffer_mark(&sender->bytes);
  struct psock_buffer_mark records = psock_buffer_mark(&sender->records);
  struct psock_block *released = sender->released;
  int error = encode_all(sender, messages, count, options->release != NULL);
  if (error == 0)
    error = attach(sender, &bytes, options);
  *ret_length = sender->bytes.length - bytes.length;
  if (error == 0)
    error = charge(sender->channel, *ret_length);
  if (error == 0) {
    sender->messages += count;
    return 0;
  }
  psock_buffer_rewind(&sender->bytes, &bytes);
  psock_buffer_rewind(&sender->records, &records);
  if (sender->released != released) {
    psock_block_unref(sender->released);
    sender->released = released;
  }
  return error;
}

static int send_local(struct psock_sender *sender, const void *const *messages,
    size_t count, const struct psock_send_options *options,
    size_t *ret_length) {
  struct psock_channel *channel = sender->channel;
  if (atomic_load_explicit(&channel->closed, memory_order_relaxed))
    return PSOCK_ECLOSED;
  bool was_empty = is_empty(sender);
  int error = enqueue(sender, messages, count, options, ret_length);
  if (error == 0 && was_empty)
    channel->owner->local_filled(channel->owner);
  return error;
}

/* Lists the lane from outside its mutex: the loop has to look at it. */
static void call_loop(struct psock_channel *channel, struct psock_lane *lane) {
  pthread_mutex_lock(&channel->mutex);
  if (!channel->detached)
    psock_channel_list(channel, lane);
  pthread_mutex_unlock(&channel->mutex);
}

static int send_lane(struct psock_lane *lane, const void *const *messages,
    size_t count, const struct psock_send_options *options,
    size_t *ret_length) {
  struct psock_sender *sender = &lane->sender;
  struct psock_channel *channel = sender->channel;
  if (atomic_load(&channel->closed))
    return PSOCK_ECLOSED;
  pthread_mutex_lock(&lane->mutex);
  int error = PSOCK_ECLOSED;
  if (!atomic_load(&channel->closed)) {
    bool was_empty = is_empty(sender);
    error = enqueue(sender, messages, count, options, ret_length);
    if (error == 0 && was_empty)
      psock_channel_list(channel, lane);
  }
  pthread_mutex_unlock(&lane->mutex);
  /* If the loop wanted the lane meanwhile, it can be had now. */
  if (atomic_load(&lane->missed) && atomic_exchange(&lane->missed, false))
    call_loop(channel, lane);
  return error;
}

static int send_once(struct psock_sender *sender, const void *const *messages,
    size_t count, const struct psock_send_options *options,
    size_t *ret_length) {
  if (sender->local)
    return send_local(sender, messages, count, options, ret_length);
  return send_lane(
      (struct psock_lane *)sender, messages, count, options, ret_length);
}

/* Remembers to tell the sender when `length` bytes have room. */
static void note_refused(struct psock_sender *sender, size_t length) {
  struct psock_channel *channel = sender->channel;
  atomic_store(&sender->refused, length);
  atomic_store(&channel->refused, true);
  /* Room that came before this note was announced without it. */
  if (!sender->local && psock_channel_has_room(channel, length))
    call_loop(channel, (struct psock_lane *)sender);
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
  struct psock_heap *heap = channel->heap;
  int error = 0;
  pthread_mutex_lock(&heap->waiting);
  for (;;) {
    atomic_store(&channel->refused, true);
    if (error != 0 || atomic_load(&channel->closed) ||
        psock_channel_has_room(channel, length))
      break;
    error = pthread_cond_timedwait(&heap->gone, &heap->waiting, deadline);
  }
  pthread_mutex_unlock(&heap->waiting);
  return error == 0 ? 0 : PSOCK_ETIMEDOUT;
}

static int send_waiting(struct psock_sender *sender,
    const void *const *messages, size_t count,
    const struct psock_send_options *options) {
  if (sender->local || psock_heap_is_home(sender->channel->heap))
    return PSOCK_ELOOPTHREAD;
  struct timespec deadline = deadline_after(options->timeout);
  size_t length = 0;
  int error;
  while ((error = send_once(sender, messages, count, options, &length)) ==
         PSOCK_EFULL)
    if (wait_for_room(sender->channel, length, &deadline) != 0)
      return PSOCK_ETIMEDOUT;
  return error;
}

static int send_now(struct psock_sender *sender, const void *const *messages,
    size_t count, const struct psock_send_options *options) {
  size_t length = 0;
  int error = send_once(sender, messages, count, options, &length);
  if (error == PSOCK_EFULL)
    note_refused(sender, length);
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
  return send_now(sender, messages, count, &options);
}

int psock_send(psock_sender *sender, const void *message) {
  static const struct psock_send_options plain;
  if (sender->channel->codec == NULL)
    return PSOCK_ENOTSUP;
  return send_now(sender, &message, 1, &plain);
}

int psock_sender_clone(psock_sender *sender, psock_sender **ret_sender) {
  struct psock_channel *channel = sender->channel;
  struct psock_lane *lane = psock_heap_hold_more(channel->heap, sizeof *lane);
  if (lane == NULL)
    return PSOCK_ENOMEM;
  *lane = (struct psock_lane){.dropped = false};
  if (pthread_mutex_init(&lane->mutex, NULL) != 0) {
    psock_heap_release(channel->heap, lane, sizeof *lane);
    return PSOCK_ENOMEM;
  }
  psock_channel_ref(channel);
  pthread_mutex_lock(&channel->mutex);
  bool closed = atomic_load(&channel->closed);
  if (sender->local)
    channel->cloned = true;
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
  sender->writable = NULL;
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
  struct psock_channel *channel = sender->channel;
  sender->writable = writable;
  sender->writable_data = data;
  if (writable == NULL || atomic_load(&sender->refused) == 0 ||
      atomic_load(&channel->closed))
    return;
  /* It was refused before there was anybody to tell. */
  atomic_store(&channel->refused, true);
  if (sender->local)
    channel->owner->local_filled(channel->owner);
  else
    call_loop(channel, (struct psock_lane *)sender);
}

size_t psock_sender_get_queued(const psock_sender *sender) {
  return psock_channel_queued(sender->channel);
}
