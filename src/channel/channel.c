/* SPDX-License-Identifier: BSD-2-Clause */
#include "channel/channel.h"

#include "base/allocator.h"

/*
 * The receiving end of a channel. A lane that goes from empty to filled puts
 * itself into channel->filled, and the channel's letter into the loop's
 * mailbox; the loop then swaps what the lane has for nothing, whole blocks at a
 * time, however many messages they hold.
 *
 * The loop never waits for a lane. If a lane's mutex is taken, a send is in
 * progress: the loop notes that it missed the lane, and the sender lists it
 * again after giving back the mutex. That late listing is the only one outside
 * the lane's mutex, so it is done under the channel's, and not when the
 * connection has detached.
 *
 * Closing sets `closed`, which a send looks at under its lane's mutex. Once the
 * loop has had every mutex after that, no send can succeed any more.
 *
 * Lock order: the channel's mutex, then a lane's. The loop holds neither while
 * it calls back.
 */

static void deliver(struct psock_letter *letter) {
  struct psock_channel *channel =
      PSOCK_CONTAINER(letter, struct psock_channel, letter);
  atomic_store(&channel->posted, false);
  if (channel->owner != NULL)
    channel->owner->lanes_filled(channel->owner);
  psock_channel_unref(channel);
}

int psock_channel_new(psock_loop *loop, const psock_codec *codec,
    size_t capacity, struct psock_channel_owner *owner,
    struct psock_channel **ret_channel) {
  struct psock_channel *channel =
      psock_alloc(&loop->heap->allocator, sizeof *channel);
  if (channel == NULL)
    return PSOCK_ENOMEM;
  *channel = (struct psock_channel){
      .letter = {.deliver = deliver},
      .heap = loop->heap,
      .loop = loop,
      .codec = codec == NULL || codec->encode == NULL ? NULL : codec,
      .capacity = capacity,
      .owner = owner,
  };
  if (pthread_mutex_init(&channel->mutex, NULL) != 0) {
    psock_free(&loop->heap->allocator, channel);
    return PSOCK_ENOMEM;
  }
  psock_heap_ref(channel->heap);
  atomic_init(&channel->references, 1);
  psock_list_init(&channel->lanes);
  psock_sender_init(&channel->local, channel, true);
  *ret_channel = channel;
  return 0;
}

void psock_channel_ref(struct psock_channel *channel) {
  atomic_fetch_add_explicit(&channel->references, 1, memory_order_relaxed);
}

void psock_channel_unref(struct psock_channel *channel) {
  if (atomic_fetch_sub_explicit(&channel->references, 1, memory_order_acq_rel) >
      1)
    return;
  struct psock_heap *heap = channel->heap;
  pthread_mutex_destroy(&channel->mutex);
  psock_free(&heap->allocator, channel);
  psock_heap_unref(heap);
}

void psock_channel_list(
    struct psock_channel *channel, struct psock_lane *lane) {
  atomic_store_explicit(&lane->known, true, memory_order_relaxed);
  if (atomic_exchange(&lane->listed, true))
    return;
  psock_mail_post(&channel->filled, &lane->mail);
  if (atomic_exchange(&channel->posted, true))
    return;
  psock_channel_ref(channel);
  psock_loop_post(channel->loop, &channel->letter);
}

/* Takes the lane's mutex, unless a send is in progress: then the lane will be
 * listed when that is over. Once no send can succeed any more, whoever has the
 * mutex is about to find that out and gives it back at once. */
static bool lane_try(struct psock_channel *channel, struct psock_lane *lane) {
  if (channel->settled)
    return pthread_mutex_lock(&lane->mutex) == 0;
  if (pthread_mutex_trylock(&lane->mutex) == 0)
    return true;
  atomic_store(&lane->missed, true);
  return pthread_mutex_trylock(&lane->mutex) == 0;
}

/* Calls what is due. One of them may end the connection, which then calls the
 * rest, so the list is asked anew each time. */
static void run_released(struct psock_channel *channel) {
  while (channel->released != NULL) {
    struct psock_block *block = channel->released;
    void (*release)(void *) = block->release;
    void *release_data = block->release_data;
    channel->released = block->next;
    psock_block_unref(block);
    release(release_data);
  }
}

/* Takes everything out of `sender`, which the caller has for itself. */
static uint64_t take(struct psock_sender *sender, struct psock_buffer *bytes,
    struct psock_buffer *records) {
  struct psock_channel *channel = sender->channel;
  psock_buffer_move(bytes, &sender->bytes);
  psock_buffer_move(records, &sender->records);
  while (sender->released != NULL) {
    struct psock_block *block = sender->released;
    sender->released = block->next;
    block->next = channel->released;
    channel->released = block;
  }
  uint64_t messages = sender->messages;
  sender->messages = 0;
  return messages;
}

uint64_t psock_channel_collect_local(struct psock_channel *channel,
    struct psock_buffer *bytes, struct psock_buffer *records) {
  uint64_t messages = take(&channel->local, bytes, records);
  run_released(channel);
  return messages;
}

/* Frees lanes that were dropped, but for those that have been listed again
 * since. */
static void bury(struct psock_channel *channel, struct psock_lane *dropped) {
  struct psock_lane *buried = NULL;
  if (dropped == NULL)
    return;
  pthread_mutex_lock(&channel->mutex);
  while (dropped != NULL) {
    struct psock_lane *lane = dropped;
    dropped = lane->burial;
    if (atomic_load(&lane->listed))
      continue;
    psock_list_remove(&lane->node);
    lane->burial = buried;
    buried = lane;
  }
  pthread_mutex_unlock(&channel->mutex);
  while (buried != NULL) {
    struct psock_lane *lane = buried;
    buried = lane->burial;
    psock_lane_free(lane);
  }
}

uint64_t psock_channel_collect_lanes(struct psock_channel *channel,
    struct psock_buffer *bytes, struct psock_buffer *records) {
  uint64_t messages = 0;
  struct psock_lane *dropped = NULL;
  struct psock_mail *mail = psock_mail_take(&channel->filled);
  while (mail != NULL) {
    struct psock_lane *lane = PSOCK_CONTAINER(mail, struct psock_lane, mail);
    mail = mail->next;
    atomic_store(&lane->listed, false);
    if (!lane_try(channel, lane))
      continue;
    messages += take(&lane->sender, bytes, records);
    if (lane->dropped) {
      lane->burial = dropped;
      dropped = lane;
    }
    pthread_mutex_unlock(&lane->mutex);
  }
  bury(channel, dropped);
  run_released(channel);
  return messages;
}

/* Whether `sender` waits for room, and there is enough by now. If not enough,
 * the channel has to look again later. */
static bool wants_call(struct psock_sender *sender) {
  struct psock_channel *channel = sender->channel;
  size_t length = atomic_load(&sender->refused);
  if (length == 0 || sender->writable == NULL)
    return false;
  if (!psock_channel_has_room(channel, length)) {
    atomic_store(&channel->refused, true);
    return false;
  }
  return atomic_exchange(&sender->refused, 0) != 0;
}

/* The next sender to be told that there is room, or NULL. */
static struct psock_sender *next_refused(struct psock_channel *channel) {
  if (wants_call(&channel->local))
    return &channel->local;
  struct psock_sender *found = NULL;
  pthread_mutex_lock(&channel->mutex);
  for (struct psock_list *node = channel->lanes.next;
       node != &channel->lanes && found == NULL; node = node->next) {
    struct psock_lane *lane = PSOCK_CONTAINER(node, struct psock_lane, node);
    if (wants_call(&lane->sender))
      found = &lane->sender;
  }
  pthread_mutex_unlock(&channel->mutex);
  return found;
}

/* Tells everybody who waits for room. */
static void announce_room(struct psock_channel *channel) {
  psock_heap_tell_waiting(channel->heap);
  psock_channel_ref(channel);
  struct psock_sender *sender;
  while (channel->owner != NULL && (sender = next_refused(channel)) != NULL)
    sender->writable(sender->writable_data);
  psock_channel_unref(channel);
}

void psock_channel_drained(struct psock_channel *channel, size_t length) {
  /* What was released may have ended the connection. */
  if (channel->owner == NULL)
    return;
  if (!channel->cloned)
    psock_channel_set_queued(channel, psock_channel_queued(channel) - length);
  else if (length > 0)
    atomic_fetch_sub(&channel->queued, length);
  if (!atomic_load(&channel->refused) || !psock_channel_has_room(channel, 0))
    return;
  if (atomic_exchange(&channel->refused, false))
    announce_room(channel);
}

/* Whether no send on `lane` is in progress, now that the channel is closed.
 * Whoever has just left it may not have listed it yet. */
static bool lane_is_quiet(
    struct psock_channel *channel, struct psock_lane *lane, bool wait) {
  if (wait)
    pthread_mutex_lock(&lane->mutex);
  else if (!lane_try(channel, lane))
    return false;
  if (lane->sender.messages > 0)
    psock_channel_list(channel, lane);
  pthread_mutex_unlock(&lane->mutex);
  return true;
}

bool psock_channel_close(struct psock_channel *channel, bool wait) {
  bool quiet = true;
  atomic_store(&channel->closed, true);
  psock_heap_tell_waiting(channel->heap);
  pthread_mutex_lock(&channel->mutex);
  for (struct psock_list *node = channel->lanes.next; node != &channel->lanes;
       node = node->next) {
    struct psock_lane *lane = PSOCK_CONTAINER(node, struct psock_lane, node);
    quiet = lane_is_quiet(channel, lane, wait) && quiet;
  }
  pthread_mutex_unlock(&channel->mutex);
  channel->settled = quiet;
  return quiet;
}

/* Frees the lanes whose senders have been dropped. */
static void free_dropped(struct psock_channel *channel) {
  struct psock_list *node = channel->lanes.next;
  while (node != &channel->lanes) {
    struct psock_lane *lane = PSOCK_CONTAINER(node, struct psock_lane, node);
    node = node->next;
    if (!lane->dropped)
      continue;
    psock_list_remove(&lane->node);
    psock_lane_free(lane);
  }
}

void psock_channel_detach(struct psock_channel *channel) {
  channel->owner = NULL;
  atomic_store(&channel->queued, 0);
  channel->local.writable = NULL;
  pthread_mutex_lock(&channel->mutex);
  channel->detached = true;
  /* Lanes that are listed still hold nothing: they were collected. */
  psock_mail_take(&channel->filled);
  free_dropped(channel);
  pthread_mutex_unlock(&channel->mutex);
}

size_t psock_channel_queued(const struct psock_channel *channel) {
  return atomic_load(&channel->queued);
}
