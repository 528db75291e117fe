/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/relay.h"

#include "codec/frame.h"
#include "lib/guard.h"
#include "lib/memory.h"
#include <stdlib.h>
#include <string.h>

/*
 * The relay is driven by the loop: its ends in memory tell it that they are
 * ready, which defers one task, and that moves what it can in both ways. A way
 * that rests, or has something left, has the task deferred again; one that is
 * held, or waits for room, is silent, so that a loop can come to rest.
 *
 * Of a frame it looks at no more than the id and the code, which are the fields
 * 1 and 2 wherever calls are carried. Its own memory is malloc's, so that
 * failing allocations of the loop's are none of its concern.
 */

#define MOST_KEPT ((size_t)64 << 10)
#define READ_SIZE ((size_t)16 << 10)

/* Codes about the connection that nothing passes. */
enum { HELLO = 16, GOAWAY = 19 };

static bool chance(struct relay *relay, unsigned of_thousand) {
  return of_thousand > 0 && random_below(&relay->state, 1000) < of_thousand;
}

static enum relay_end other(enum relay_end end) {
  return end == RELAY_CALLER ? RELAY_SERVER : RELAY_CALLER;
}

static void wake(struct relay *relay) {
  psock_loop_defer(relay->loop, &relay->task);
}

static void inner_ready(void *owner, unsigned directions) {
  (void)directions;
  wake(owner);
}

/* Makes room for `more` bytes behind `length`. */
static uint8_t *grow(
    uint8_t *bytes, size_t *capacity, size_t length, size_t more) {
  if (length + more <= *capacity)
    return bytes;
  *capacity = 2 * (length + more);
  bytes = realloc(bytes, *capacity);
  DEMAND(bytes != NULL, "no memory for the relay");
  return bytes;
}

/* ---- Frames ---- */

/* Reads a varint, which is whole. */
static uint64_t varint(const uint8_t **at, const uint8_t *end) {
  uint64_t value = 0;
  int length = psock_count_get(*at, (size_t)(end - *at), &value);
  DEMAND(length > 0, "a malformed varint was sent");
  *at += length;
  return value;
}

/* The id and the code, which stand in front of everything else that matters. */
static void look(
    struct relay_frame *frame, const uint8_t *at, const uint8_t *end) {
  while (at < end) {
    uint64_t tag = varint(&at, end);
    uint64_t value = 0;
    switch (tag & 7) {
    case 0:
      value = varint(&at, end);
      break;
    case 1:
      at += 8;
      break;
    case 2:
      value = varint(&at, end);
      at += value;
      break;
    default:
      at += 4;
      break;
    }
    if (tag == 8)
      frame->id = value;
    else if (tag == 16)
      frame->code = (uint32_t)value;
  }
}

static void append(struct relay_way *way, struct relay_frame *frame) {
  frame->next = NULL;
  *way->last = frame;
  way->last = &frame->next;
  way->kept += frame->length;
}

/* Takes `*at` out of the way's list. */
static struct relay_frame *unlink_frame(
    struct relay_way *way, struct relay_frame **at) {
  struct relay_frame *frame = *at;
  *at = frame->next;
  if (frame->next == NULL)
    way->last = at;
  way->kept -= frame->length;
  return frame;
}

static struct relay_frame *frame_new(const uint8_t *bytes, size_t length) {
  struct relay_frame *frame = calloc(1, sizeof *frame + length);
  DEMAND(frame != NULL, "no memory for the relay");
  frame->length = length;
  memcpy(frame->bytes, bytes, length);
  return frame;
}

/* Takes the whole frames off what has been read. */
static void split(struct relay *relay, enum relay_end to) {
  struct relay_way *way = &relay->ways[to];
  size_t done = 0;
  while (done < way->in_length) {
    struct psock_frame body;
    struct psock_decoded decoded = {0};
    int result = psock_frame_get(
        way->in + done, way->in_length - done, SIZE_MAX / 2, &body, &decoded);
    DEMAND(result >= 0, "what was sent is no frame");
    if (result != PSOCK_DECODE_MESSAGE)
      break;
    struct relay_frame *frame = frame_new(way->in + done, decoded.consumed);
    look(frame, body.body, body.body + body.length);
    append(way, frame);
    done += decoded.consumed;
  }
  way->in_length -= done;
  if (done > 0)
    memmove(way->in, way->in + done, way->in_length);
}

static bool is_barrier(const struct relay_frame *frame) {
  return frame->id == 0 && (frame->code == HELLO || frame->code == GOAWAY);
}

static bool has_earlier(
    const struct relay_way *way, const struct relay_frame *frame) {
  for (const struct relay_frame *at = way->first; at != frame; at = at->next)
    if (at->id == frame->id || is_barrier(at))
      return true;
  return false;
}

/* Where the frame stands that goes next: the first, or one that may pass all
 * before it. */
static struct relay_frame **choose(struct relay *relay, struct relay_way *way) {
  struct relay_frame **chosen = &way->first;
  if (!chance(relay, relay->options.reorders))
    return chosen;
  size_t budget = 1 + random_below(&relay->state, 16);
  for (struct relay_frame **at = &way->first; *at != NULL && budget > 0;
       at = &(*at)->next, budget--)
    if (!is_barrier(*at) && !has_earlier(way, *at))
      chosen = at;
  if (*chosen != way->first)
    relay->reordered++;
  return chosen;
}

/* ---- Moving ---- */

static bool wants_input(const struct relay *relay, enum relay_end to) {
  const struct relay_way *way = &relay->ways[to];
  size_t most = relay->options.most_kept;
  return !way->held && !way->over && !way->input_over &&
         way->kept + way->out_length < (most == 0 ? MOST_KEPT : most);
}

static void take_in(struct relay *relay, enum relay_end to) {
  struct relay_way *way = &relay->ways[to];
  psock_transport *from = relay->inner[other(to)];
  while (wants_input(relay, to)) {
    way->in = grow(way->in, &way->in_capacity, way->in_length, READ_SIZE);
    ssize_t length =
        from->ops->receive(from, way->in + way->in_length, READ_SIZE);
    if (length == PSOCK_EAGAIN)
      return;
    if (length <= 0) {
      way->input_over = true;
      way->sender_gone = true;
      return;
    }
    way->in_length += (size_t)length;
    split(relay, to);
  }
}

static void put_out(
    struct relay_way *way, const uint8_t *bytes, size_t length) {
  if (way->out_start > 0)
    memmove(way->out, way->out + way->out_start, way->out_length);
  way->out_start = 0;
  way->out = grow(way->out, &way->out_capacity, way->out_length, length);
  memcpy(way->out + way->out_length, bytes, length);
  way->out_length += length;
}

/* A second one of what has just gone, if it may be. */
static void maybe_double(
    struct relay *relay, enum relay_end to, struct relay_frame *frame) {
  const struct relay_options *options = &relay->options;
  if (!frame->copy && options->may_double != NULL &&
      chance(relay, options->doubles) &&
      options->may_double(options->data, to, frame)) {
    frame->copy = true;
    append(&relay->ways[to], frame);
    relay->doubled++;
  } else {
    free(frame);
  }
}

static void pass_some(struct relay *relay, enum relay_end to) {
  struct relay_way *way = &relay->ways[to];
  size_t count = 1 + random_below(&relay->state, 8);
  while (count-- > 0 && way->first != NULL) {
    struct relay_frame *frame = unlink_frame(way, choose(relay, way));
    put_out(way, frame->bytes, frame->length);
    relay->passed++;
    if (relay->options.passed != NULL)
      relay->options.passed(relay->options.data, to, frame);
    maybe_double(relay, to, frame);
  }
}

/* Whoever doesn't read any longer is sent nothing any more. */
static void give_up(struct relay_way *way) {
  way->over = true;
  way->out_length = 0;
  while (way->first != NULL)
    free(unlink_frame(way, &way->first));
}

static void send_out(struct relay *relay, enum relay_end to) {
  struct relay_way *way = &relay->ways[to];
  psock_transport *transport = relay->inner[to];
  way->full = false;
  while (way->out_length > 0) {
    size_t length = way->out_length;
    if (relay->options.most_sent > 0)
      length = 1 + random_below(&relay->state, relay->options.most_sent);
    if (length > way->out_length)
      length = way->out_length;
    struct iovec vector = {way->out + way->out_start, length};
    ssize_t sent = transport->ops->send(transport, &vector, 1);
    if (sent == PSOCK_EAGAIN) {
      way->full = true;
      return;
    }
    if (sent < 0) {
      give_up(way);
      return;
    }
    way->out_start += (size_t)sent;
    way->out_length -= (size_t)sent;
    if (relay->options.most_sent > 0 && way->out_length > 0) {
      relay->cut++;
      return;
    }
  }
}

/* The end of the input is passed on behind everything else. */
static void pass_end(struct relay *relay, enum relay_end to) {
  struct relay_way *way = &relay->ways[to];
  if (!way->input_over || way->over || way->first != NULL ||
      way->out_length > 0)
    return;
  /* Half a frame remains half a frame. */
  if (way->in_length > 0) {
    put_out(way, way->in, way->in_length);
    way->in_length = 0;
    send_out(relay, to);
    if (way->out_length > 0)
      return;
  }
  way->over = true;
  int error = relay->inner[to]->ops->shutdown(relay->inner[to]);
  (void)error;
}

/* What nobody is given any more is read all the same, so that whoever sends it
 * isn't held up. */
static void discard(struct relay *relay, enum relay_end to) {
  psock_transport *from = relay->inner[other(to)];
  uint8_t bytes[1024];
  ssize_t length = 1;
  while (length > 0)
    length = from->ops->receive(from, bytes, sizeof bytes);
  relay->ways[to].sender_gone = length != PSOCK_EAGAIN;
}

static void move(struct relay *relay, enum relay_end to) {
  struct relay_way *way = &relay->ways[to];
  if (way->over)
    discard(relay, to);
  if (way->held || way->over)
    return;
  take_in(relay, to);
  if (!chance(relay, relay->options.rests)) {
    if (way->out_length < MOST_KEPT)
      pass_some(relay, to);
    send_out(relay, to);
    if (!way->over)
      pass_end(relay, to);
  }
  if (!way->over && !way->full &&
      (way->first != NULL || way->out_length > 0 || way->input_over))
    wake(relay);
}

static void free_inner(struct relay *relay) {
  for (int end = 0; end < 2; end++) {
    psock_transport *inner = relay->inner[end];
    relay->inner[end] = NULL;
    if (inner != NULL)
      inner->ops->free(inner);
  }
  psock_task_cancel(&relay->task);
}

static void watch(struct relay *relay) {
  for (int end = 0; end < 2; end++) {
    enum relay_end away = other((enum relay_end)end);
    const struct relay_way *from = &relay->ways[away];
    const struct relay_way *to = &relay->ways[end];
    unsigned directions = 0;
    if (wants_input(relay, away) || (from->over && !from->sender_gone))
      directions |= PSOCK_READ;
    if (to->full && !to->held && !to->over)
      directions |= PSOCK_WRITE;
    int error = relay->inner[end]->ops->watch(relay->inner[end], directions);
    (void)error;
  }
}

static void work(struct psock_task *task) {
  struct relay *relay = PSOCK_CONTAINER(task, struct relay, task);
  move(relay, RELAY_SERVER);
  move(relay, RELAY_CALLER);
  if (relay_is_over(relay))
    free_inner(relay);
  else
    watch(relay);
}

/* ---- For tests ---- */

int relay_new(struct relay *relay, psock_loop *loop,
    const struct relay_options *options) {
  *relay = (struct relay){
      .options = *options,
      .loop = loop,
      .state = options->seed,
  };
  psock_task_init(&relay->task, work);
  for (int end = 0; end < 2; end++) {
    struct relay_way *way = &relay->ways[end];
    way->last = &way->first;
    int error = psock_memory_pair(
        loop, options->capacity, &relay->outer[end], &relay->inner[end]);
    if (error != 0) {
      relay_free(relay);
      return error;
    }
    relay->inner[end]->ready = inner_ready;
    relay->inner[end]->owner = relay;
  }
  wake(relay);
  return 0;
}

psock_transport *relay_take(struct relay *relay, enum relay_end end) {
  psock_transport *transport = relay->outer[end];
  relay->outer[end] = NULL;
  return transport;
}

void relay_hold(struct relay *relay, enum relay_end to, bool held) {
  relay->ways[to].held = held;
  if (relay->inner[to] != NULL)
    wake(relay);
}

void relay_shut(struct relay *relay, enum relay_end to) {
  struct relay_way *way = &relay->ways[to];
  if (relay->inner[to] == NULL || way->over)
    return;
  while (way->first != NULL)
    free(unlink_frame(way, &way->first));
  way->in_length = 0;
  way->input_over = true;
  way->held = false;
  wake(relay);
}

/* Sends what is on its way, and, when `torn`, a part of the next frame. */
static void send_last(struct relay *relay, enum relay_end to, bool torn) {
  struct relay_way *way = &relay->ways[to];
  if (way->over)
    return;
  relay->options.most_sent = 0;
  if (torn && way->first != NULL && way->first->length > 1)
    put_out(way, way->first->bytes,
        1 + random_below(&relay->state, way->first->length - 1));
  send_out(relay, to);
}

void relay_drop(struct relay *relay, bool torn) {
  if (relay->inner[0] == NULL)
    return;
  send_last(relay, RELAY_SERVER, torn);
  send_last(relay, RELAY_CALLER, torn);
  give_up(&relay->ways[RELAY_SERVER]);
  give_up(&relay->ways[RELAY_CALLER]);
  free_inner(relay);
}

void relay_calm(struct relay *relay) {
  relay->options.rests = 0;
  relay->options.reorders = 0;
  relay->options.doubles = 0;
  relay->options.most_sent = 0;
  for (int end = 0; end < 2; end++)
    relay_hold(relay, (enum relay_end)end, false);
}

bool relay_is_over(const struct relay *relay) {
  return relay->inner[0] == NULL ||
         (relay->ways[0].over && relay->ways[1].over);
}

void relay_free(struct relay *relay) {
  for (int end = 0; end < 2; end++) {
    psock_transport *outer = relay_take(relay, (enum relay_end)end);
    if (outer != NULL)
      outer->ops->free(outer);
    give_up(&relay->ways[end]);
  }
  free_inner(relay);
  for (int end = 0; end < 2; end++) {
    free(relay->ways[end].in);
    free(relay->ways[end].out);
  }
}
