/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_BASE_BUFFER_H
#define PSOCK_BASE_BUFFER_H

#include "base/block.h"
#include <protosocket/buffer.h>
#include <stdbool.h>
#include <sys/uio.h>

/* Bytes on their way out: a queue of filled blocks. */
struct psock_buffer {
  struct psock_pool *pool;
  struct psock_block *head;
  struct psock_block *tail;
  size_t length;   /* of all blocks together */
  bool any_thread; /* takes blocks that any thread may take */
  bool lending;    /* large appends are sent from where they are */
};

/* Bytes from which an append is not copied, if the sender lends. */
#define PSOCK_BUFFER_LEND_MIN ((size_t)16 << 10)

/* Where a buffer ended, to go back there. */
struct psock_buffer_mark {
  struct psock_block *tail;
  size_t tail_end;
  size_t length;
};

void psock_buffer_init(
    struct psock_buffer *buffer, struct psock_pool *pool, bool any_thread);

static inline struct psock_buffer_mark psock_buffer_mark(
    const struct psock_buffer *buffer) {
  return (struct psock_buffer_mark){
      .tail = buffer->tail,
      .tail_end = buffer->tail == NULL ? 0 : buffer->tail->end,
      .length = buffer->length,
  };
}

/* Takes back everything behind `mark`. Lent blocks are freed without calling
 * their release. */
void psock_buffer_rewind(
    struct psock_buffer *buffer, const struct psock_buffer_mark *mark);

/* The last lent block behind `mark`, or NULL. */
struct psock_block *psock_buffer_last_lent(
    const struct psock_buffer *buffer, const struct psock_buffer_mark *mark);

/*
 * Moves everything in `from` to the end of `buffer`. Small blocks are copied
 * together when `buffer` is not empty, so that a queue which the peer doesn't
 * take holds not much more memory than bytes. Loop's thread.
 */
void psock_buffer_move(struct psock_buffer *buffer, struct psock_buffer *from);

/* Describes the front of the buffer, at most `count` blocks and about `limit`
 * bytes; returns how many vectors were filled. */
int psock_buffer_vectors(const struct psock_buffer *buffer,
    struct iovec *vectors, int count, size_t limit);

/* Takes the first block out and gives it to the caller, or NULL. */
struct psock_block *psock_buffer_pop(struct psock_buffer *buffer);

/* Takes `length` bytes from the front; empty blocks return to the pool, lent
 * ones are released. Loop's thread. */
void psock_buffer_consume(struct psock_buffer *buffer, size_t length);

/* Takes everything. Loop's thread. */
void psock_buffer_clear(struct psock_buffer *buffer);

#endif
