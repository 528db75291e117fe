/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_LIB_RELAY_H
#define TESTS_LIB_RELAY_H

#include "base/loop.h"
#include <protosocket/testing.h>
#include <protosocket/transport.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What lies between a caller and a server: two pairs of memory transports, and
 * between them a relay that takes whole frames off one and passes them on to
 * the other, with everything that a network and a peer may do to them. What it
 * does is drawn from a seed, so that a test always runs the same way.
 *
 *   relay_new(&relay, loop, &options);
 *   psock_caller_new(loop, relay_take(&relay, RELAY_CALLER), ...);
 *   psock_server_accept(server, relay_take(&relay, RELAY_SERVER));
 *   ... turns of the loop ...
 *   relay_free(&relay);
 *
 * Frames of one call, and those about the connection (id 0), keep their order;
 * frames of different calls need not. Nothing passes a HELLO or a GOAWAY. Where
 * a frame is doubled, the second one comes later than the first, and never
 * passes another frame of its call.
 */

enum relay_end { RELAY_CALLER, RELAY_SERVER };

/* A way is called by the end that it leads to. */
struct relay_frame {
  struct relay_frame *next;
  uint64_t id;
  uint32_t code;
  bool copy;     /* of one that has been passed on */
  size_t length; /* of the bytes, with their count */
  uint8_t bytes[];
};

struct relay_options {
  uint64_t seed;
  size_t capacity;  /* of each transport */
  size_t most_kept; /* bytes of frames; 0: 64 KiB */
  /* Of a thousand: turns in which a way rests; frames that let a later one of
   * another call go first; frames that come twice, if they may. */
  unsigned rests;
  unsigned reorders;
  unsigned doubles;
  /* A send takes at most so many bytes, mostly fewer; 0: all that fit. */
  size_t most_sent;
  /* Whether `frame`, which goes to `to`, may come twice. NULL: none may. */
  bool (*may_double)(
      void *data, enum relay_end to, const struct relay_frame *frame);
  /* Sees each frame when it is passed on. May be NULL. */
  void (*passed)(
      void *data, enum relay_end to, const struct relay_frame *frame);
  void *data;
};

struct relay_way {
  struct relay_frame *first;
  struct relay_frame **last;
  size_t kept; /* bytes of frames */
  uint8_t *in; /* read, but no whole frame yet */
  size_t in_length;
  size_t in_capacity;
  uint8_t *out; /* passed on, but not yet taken */
  size_t out_start;
  size_t out_length;
  size_t out_capacity;
  bool input_over;  /* nothing more is passed on than is here */
  bool sender_gone; /* it has ended: there is nothing to be read */
  bool over;        /* the receiver has been told the end, or has gone */
  bool held;
  bool full; /* the transport takes no more for now */
};

struct relay {
  struct relay_options options;
  psock_loop *loop;
  struct psock_task task;
  uint64_t state;
  psock_transport *outer[2]; /* until they are taken */
  psock_transport *inner[2]; /* the relay's; NULL: dropped */
  struct relay_way ways[2];  /* by where they lead to */
  /* What has been done. */
  uint64_t passed;
  uint64_t reordered;
  uint64_t doubled;
  uint64_t cut; /* frames that left in more than one piece */
};

/* Returns 0 or PSOCK_ENOMEM. */
int relay_new(
    struct relay *relay, psock_loop *loop, const struct relay_options *options);

/* The transport of one end; it belongs to the caller of this from now on. */
psock_transport *relay_take(struct relay *relay, enum relay_end end);

/* Nothing moves towards `to` while it is held. */
void relay_hold(struct relay *relay, enum relay_end to, bool held);

/* Ends the way towards `to` behind the last frame that has been passed on; what
 * is kept is lost. */
void relay_shut(struct relay *relay, enum relay_end to);

/* Drops both ends at once; what was passed on is sent before that, as far as
 * there is room. `torn`: and then a part of the next frame, if there is one. */
void relay_drop(struct relay *relay, bool torn);

/* From now on nothing is done to frames but passing them on. */
void relay_calm(struct relay *relay);

/* Whether both ends are dropped, or have ended. */
bool relay_is_over(const struct relay *relay);

/* Drops what is left, and frees everything. */
void relay_free(struct relay *relay);

#endif
