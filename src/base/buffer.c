/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/buffer.h"

#include "base/allocator.h"
#include <protosocket/error.h>
#include <string.h>

/*
 * A buffer is filled at its end by a codec and emptied at its front by the
 * connection. Its first block is small, because most batches are; the next
 * ones are larger, because a batch that needs them is large. Bytes that were
 * lent are blocks of their own, which point to where the sender has them.
 */

#define NEXT_BLOCK ((size_t)60 << 10)

void psock_buffer_init(
    struct psock_buffer *buffer, struct psock_pool *pool, bool any_thread) {
  *buffer = (struct psock_buffer){.pool = pool, .any_thread = any_thread};
}

/* The first block behind `mark`. */
static struct psock_block *after_mark(
    const struct psock_buffer *buffer, const struct psock_buffer_mark *mark) {
  return mark->tail == NULL ? buffer->head : mark->tail->next;
}

void psock_buffer_rewind(
    struct psock_buffer *buffer, const struct psock_buffer_mark *mark) {
  for (struct psock_block *block = after_mark(buffer, mark); block != NULL;) {
    struct psock_block *next = block->next;
    psock_block_unref(block);
    block = next;
  }
  buffer->tail = mark->tail;
  buffer->length = mark->length;
  if (mark->tail == NULL) {
    buffer->head = NULL;
    return;
  }
  mark->tail->next = NULL;
  mark->tail->end = mark->tail_end;
}

static bool is_lent(const struct psock_block *block) {
  return block->data != (const uint8_t *)(block + 1);
}

struct psock_block *psock_buffer_last_lent(
    const struct psock_buffer *buffer, const struct psock_buffer_mark *mark) {
  struct psock_block *last = NULL;
  for (struct psock_block *block = after_mark(buffer, mark); block != NULL;
       block = block->next)
    if (is_lent(block))
      last = block;
  return last;
}

static void append_block(
    struct psock_buffer *buffer, struct psock_block *block) {
  block->next = NULL;
  if (buffer->tail == NULL)
    buffer->head = block;
  else
    buffer->tail->next = block;
  buffer->tail = block;
}

/* Adds an empty block for at least `length` bytes. */
static struct psock_block *add_block(
    struct psock_buffer *buffer, size_t length) {
  /* Between lent bytes there is little. */
  if (buffer->tail != NULL && !is_lent(buffer->tail) && length < NEXT_BLOCK)
    length = NEXT_BLOCK;
  struct psock_block *block = buffer->any_thread
                                  ? psock_pool_get_shared(buffer->pool, length)
                                  : psock_pool_get(buffer->pool, length);
  if (block != NULL)
    append_block(buffer, block);
  return block;
}

/* How much may be appended to the block without moving it; lent bytes are
 * nobody's to append to. */
static size_t tail_room(const struct psock_buffer *buffer) {
  return buffer->tail == NULL ? 0 : psock_block_room(buffer->tail);
}

uint8_t *psock_buffer_reserve(psock_buffer *buffer, size_t length) {
  struct psock_block *block = buffer->tail;
  if (tail_room(buffer) < length || block == NULL)
    block = add_block(buffer, length);
  return block == NULL ? NULL : block->data + block->end;
}

void psock_buffer_commit(psock_buffer *buffer, size_t length) {
  buffer->tail->end += length;
  buffer->length += length;
}

int psock_buffer_lends(const psock_buffer *buffer, size_t length) {
  return buffer->lending && length >= PSOCK_BUFFER_LEND_MIN;
}

int psock_buffer_append(
    psock_buffer *buffer, const void *bytes, size_t length) {
  if (psock_buffer_lends(buffer, length)) {
    struct psock_block *block =
        psock_block_lend(buffer->pool->heap, bytes, length);
    if (block == NULL)
      return PSOCK_ENOMEM;
    append_block(buffer, block);
    buffer->length += length;
    return 0;
  }
  if (length == 0)
    return 0;
  uint8_t *room = psock_buffer_reserve(buffer, length);
  if (room == NULL)
    return PSOCK_ENOMEM;
  memcpy(room, bytes, length);
  psock_buffer_commit(buffer, length);
  return 0;
}

/* Gives a block that was emptied back to where it came from. */
static void retire(struct psock_pool *pool, struct psock_block *block) {
  void (*release)(void *) = block->release;
  void *release_data = block->release_data;
  psock_pool_put(pool, block);
  if (release != NULL)
    release(release_data);
}

static void append_bytes(
    struct psock_block *block, const uint8_t *bytes, size_t length) {
  memcpy(block->data + block->end, bytes, length);
  block->end += length;
}

void psock_buffer_move(struct psock_buffer *buffer, struct psock_buffer *from) {
  struct psock_block *block = from->head;
  buffer->length += from->length;
  from->head = NULL;
  from->tail = NULL;
  from->length = 0;
  while (block != NULL) {
    struct psock_block *next = block->next;
    size_t length = psock_block_length(block);
    if (!is_lent(block) && length <= tail_room(buffer)) {
      if (length > 0)
        append_bytes(buffer->tail, block->data + block->start, length);
      psock_pool_put(buffer->pool, block);
    } else {
      append_block(buffer, block);
    }
    block = next;
  }
}

int psock_buffer_vectors(const struct psock_buffer *buffer,
    struct iovec *vectors, int count, size_t limit) {
  int filled = 0;
  size_t length = 0;
  for (struct psock_block *block = buffer->head;
       block != NULL && filled < count && length < limit; block = block->next) {
    if (psock_block_length(block) == 0)
      continue;
    vectors[filled].iov_base = block->data + block->start;
    vectors[filled].iov_len = psock_block_length(block);
    length += vectors[filled].iov_len;
    filled++;
  }
  return filled;
}

struct psock_block *psock_buffer_pop(struct psock_buffer *buffer) {
  struct psock_block *block = buffer->head;
  if (block == NULL)
    return NULL;
  buffer->length -= psock_block_length(block);
  buffer->head = block->next;
  if (buffer->head == NULL)
    buffer->tail = NULL;
  return block;
}

void psock_buffer_consume(struct psock_buffer *buffer, size_t length) {
  /* A release may clear the buffer, so nothing is remembered across it. */
  while (buffer->head != NULL) {
    size_t filled = psock_block_length(buffer->head);
    if (length < filled) {
      buffer->head->start += length;
      buffer->length -= length;
      return;
    }
    length -= filled;
    retire(buffer->pool, psock_buffer_pop(buffer));
  }
}

void psock_buffer_clear(struct psock_buffer *buffer) {
  psock_buffer_consume(buffer, buffer->length);
}
