/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "base/loop.h"

#include <protosocket/testing.h>
#include <stdint.h>
#include <string.h>

/*
 * Two transports that are each other's peer. Each has a ring of bytes that the
 * peer has sent and it has not received. Readiness is a task: once a turn each
 * end whose watched directions hold is told so, as a socket would be.
 *
 * An end that is freed leaves the bytes it has sent to its peer, which then
 * reads the end of the input; sending to it is a reset.
 */

#define CALLS (PSOCK_MEMORY_WATCH + 1)

struct fault {
  unsigned calls; /* that still succeed */
  int error;      /* 0: none is set */
};

struct memory_end {
  psock_transport transport; /* first */
  psock_loop *loop;
  struct memory_end *peer; /* NULL: it has been freed */
  struct psock_task task;
  uint8_t *ring; /* what the peer has sent */
  size_t capacity;
  size_t start;
  size_t length;
  size_t receive_limit;
  size_t send_limit;
  unsigned watched;
  bool input_over; /* the peer sends no more */
  struct fault faults[CALLS];
};

static struct memory_end *end_of(psock_transport *transport) {
  return (struct memory_end *)transport;
}

/* The error that this call is to fail with, or 0. */
static int fault_of(struct memory_end *end, enum psock_memory_call call) {
  struct fault *fault = &end->faults[call];
  if (fault->error == 0)
    return 0;
  if (fault->calls == 0)
    return fault->error;
  fault->calls--;
  return 0;
}

static unsigned ready_directions(const struct memory_end *end) {
  unsigned directions = 0;
  if (end->length > 0 || end->input_over)
    directions |= PSOCK_READ;
  if (end->peer == NULL || end->peer->length < end->peer->capacity)
    directions |= PSOCK_WRITE;
  return directions & end->watched;
}

static void tell_later(struct memory_end *end) {
  if (end != NULL && ready_directions(end) != 0)
    psock_loop_defer(end->loop, &end->task);
}

static void tell(struct psock_task *task) {
  struct memory_end *end = PSOCK_CONTAINER(task, struct memory_end, task);
  unsigned directions = ready_directions(end);
  if (directions == 0)
    return;
  /* Again in the next turn, if it still holds then; ready may free us. */
  psock_loop_defer(end->loop, &end->task);
  end->transport.ready(end->transport.owner, directions);
}

static int memory_open(psock_transport *transport) {
  return fault_of(end_of(transport), PSOCK_MEMORY_OPEN);
}

static size_t least(size_t one, size_t other) {
  return one < other ? one : other;
}

static ssize_t memory_receive(
    psock_transport *transport, void *buffer, size_t length) {
  struct memory_end *end = end_of(transport);
  int error = fault_of(end, PSOCK_MEMORY_RECEIVE);
  if (error != 0)
    return error;
  if (end->length == 0)
    return end->input_over ? 0 : PSOCK_EAGAIN;
  length = least(length, end->length);
  if (end->receive_limit > 0)
    length = least(length, end->receive_limit);
  size_t first = least(length, end->capacity - end->start);
  memcpy(buffer, end->ring + end->start, first);
  memcpy((uint8_t *)buffer + first, end->ring, length - first);
  end->start = (end->start + length) % end->capacity;
  end->length -= length;
  tell_later(end->peer);
  return (ssize_t)length;
}

/* Puts bytes at the end of the ring, as many as fit. */
static size_t ring_put(
    struct memory_end *end, const uint8_t *bytes, size_t length) {
  length = least(length, end->capacity - end->length);
  size_t at = (end->start + end->length) % end->capacity;
  size_t first = least(length, end->capacity - at);
  memcpy(end->ring + at, bytes, first);
  memcpy(end->ring, bytes + first, length - first);
  end->length += length;
  return length;
}

static ssize_t memory_send(
    psock_transport *transport, const struct iovec *vectors, int count) {
  struct memory_end *end = end_of(transport);
  int error = fault_of(end, PSOCK_MEMORY_SEND);
  if (error != 0)
    return error;
  if (end->peer == NULL)
    return PSOCK_ERESET;
  size_t limit = end->send_limit > 0 ? end->send_limit : SIZE_MAX;
  size_t sent = 0;
  for (int i = 0; i < count && sent < limit; i++) {
    size_t length = least(vectors[i].iov_len, limit - sent);
    size_t put = ring_put(end->peer, vectors[i].iov_base, length);
    sent += put;
    if (put < length)
      break;
  }
  if (sent == 0)
    return PSOCK_EAGAIN;
  tell_later(end->peer);
  return (ssize_t)sent;
}

static int memory_shutdown(psock_transport *transport) {
  struct memory_end *end = end_of(transport);
  int error = fault_of(end, PSOCK_MEMORY_SHUTDOWN);
  if (error != 0 || end->peer == NULL)
    return error;
  end->peer->input_over = true;
  tell_later(end->peer);
  return 0;
}

static int memory_watch(psock_transport *transport, unsigned directions) {
  struct memory_end *end = end_of(transport);
  int error = fault_of(end, PSOCK_MEMORY_WATCH);
  if (error != 0)
    return error;
  end->watched = directions;
  tell_later(end);
  return 0;
}

static void memory_free(psock_transport *transport) {
  struct memory_end *end = end_of(transport);
  if (end->peer != NULL) {
    end->peer->peer = NULL;
    end->peer->input_over = true;
    tell_later(end->peer);
  }
  psock_task_cancel(&end->task);
  psock_free(&end->loop->heap->allocator, end->ring);
  psock_free(&end->loop->heap->allocator, end);
}

static const struct psock_transport_ops memory_ops = {
    .size = sizeof memory_ops,
    .open = memory_open,
    .receive = memory_receive,
    .send = memory_send,
    .shutdown = memory_shutdown,
    .watch = memory_watch,
    .free = memory_free,
};

static struct memory_end *end_new(psock_loop *loop, size_t capacity) {
  const struct psock_allocator *allocator = &loop->heap->allocator;
  struct memory_end *end = psock_alloc(allocator, sizeof *end);
  if (end == NULL)
    return NULL;
  *end = (struct memory_end){
      .transport = {.ops = &memory_ops},
      .loop = loop,
      .ring = psock_alloc(allocator, capacity),
      .capacity = capacity,
  };
  psock_task_init(&end->task, tell);
  if (end->ring != NULL)
    return end;
  psock_free(allocator, end);
  return NULL;
}

int psock_memory_pair(psock_loop *loop, size_t capacity,
    psock_transport **ret_one, psock_transport **ret_other) {
  if (capacity == 0)
    return PSOCK_EINVAL;
  struct memory_end *one = end_new(loop, capacity);
  if (one == NULL)
    return PSOCK_ENOMEM;
  struct memory_end *other = end_new(loop, capacity);
  if (other == NULL) {
    memory_free(&one->transport);
    return PSOCK_ENOMEM;
  }
  one->peer = other;
  other->peer = one;
  *ret_one = &one->transport;
  *ret_other = &other->transport;
  return 0;
}

void psock_memory_limit_receive(psock_transport *transport, size_t length) {
  end_of(transport)->receive_limit = length;
}

void psock_memory_limit_send(psock_transport *transport, size_t length) {
  end_of(transport)->send_limit = length;
}

void psock_memory_fail(psock_transport *transport, enum psock_memory_call call,
    unsigned calls, int error) {
  if ((unsigned)call >= CALLS)
    return;
  end_of(transport)->faults[call] =
      (struct fault){.calls = calls, .error = error};
}
