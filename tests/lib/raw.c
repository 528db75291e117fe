/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/world.h"

#include <string.h>

/*
 * The peer's end as bytes: its transport is used without a connection, so that
 * a test can send what no connection would, and read what comes.
 */

void raw_send(struct world *world, const void *bytes, size_t length) {
  psock_transport *raw = world->raw;
  struct iovec vector = {.iov_base = (void *)(uintptr_t)bytes};
  size_t done = 0;
  world_begin_wait(world);
  while (done < length) {
    vector.iov_base = (void *)((uintptr_t)bytes + done);
    vector.iov_len = length - done;
    ssize_t sent = raw->ops->send(raw, &vector, 1);
    if (sent > 0)
      done += (size_t)sent;
    else if (sent == PSOCK_EAGAIN)
      world_turn(world, "the peer takes what is sent");
    else
      ck_abort_msg("sending: %s", psock_strerror((int)sent));
  }
  world_end_wait(world);
}

void raw_send_frame(struct world *world, const void *bytes, size_t length) {
  uint8_t count[10];
  size_t prefix = 0;
  for (size_t rest = length;; rest >>= 7) {
    count[prefix++] = (uint8_t)((rest & 127) | (rest > 127 ? 128 : 0));
    if (rest <= 127)
      break;
  }
  raw_send(world, count, prefix);
  raw_send(world, bytes, length);
}

void raw_shutdown(struct world *world) {
  ck_assert_int_eq(world->raw->ops->shutdown(world->raw), 0);
}

void raw_close(struct world *world) {
  world->raw->ops->free(world->raw);
  world->raw = NULL;
}

ssize_t raw_receive(struct world *world, void *buffer, size_t length) {
  return world->raw->ops->receive(world->raw, buffer, length);
}

/* Receives, and turns the loop while nothing has come. */
static ssize_t receive_some(struct world *world, void *buffer, size_t length) {
  ssize_t received = raw_receive(world, buffer, length);
  if (received == PSOCK_EAGAIN)
    world_turn(world, "the peer sends");
  return received;
}

void raw_receive_all(struct world *world, void *buffer, size_t length) {
  size_t done = 0;
  world_begin_wait(world);
  while (done < length) {
    ssize_t received =
        receive_some(world, (uint8_t *)buffer + done, length - done);
    if (received > 0)
      done += (size_t)received;
    else if (received != PSOCK_EAGAIN)
      ck_abort_msg("receiving: %s", psock_strerror((int)received));
  }
  world_end_wait(world);
}

size_t raw_receive_end(struct world *world) {
  uint8_t buffer[4096];
  size_t done = 0;
  ssize_t received;
  world_begin_wait(world);
  while ((received = receive_some(world, buffer, sizeof buffer)) != 0)
    if (received > 0)
      done += (size_t)received;
    else if (received != PSOCK_EAGAIN)
      ck_abort_msg("receiving: %s", psock_strerror((int)received));
  world_end_wait(world);
  return done;
}
