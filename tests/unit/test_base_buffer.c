/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/buffer.h"
#include "lib/memory.h"
#include "lib/rig.h"

#include <stdlib.h>
#include <string.h>

/*
 * The buffer: what is appended comes out in order, however it was reserved,
 * copied, lent, moved, taken back, or cut; against a model that is an array of
 * bytes. Lent memory is where it was, and released once.
 */

#define LEND_MIN PSOCK_BUFFER_LEND_MIN
#define MODEL_MAX ((size_t)4 << 20)

/* Bytes that differ from their neighbours, by place in the model. */
static uint8_t byte_at(size_t place) {
  return (uint8_t)(place * 31 + place / 251);
}

struct model {
  struct memory memory;
  struct psock_buffer buffer;
  uint8_t *source; /* byte_at, MODEL_MAX of them */
  size_t start;    /* source[start..end) is in the buffer */
  size_t end;
};

static void model_init(struct model *model, bool any_thread) {
  memory_init(&model->memory, (size_t)1 << 20);
  psock_buffer_init(&model->buffer, &model->memory.pool, any_thread);
  model->source = malloc(MODEL_MAX);
  ck_assert_ptr_nonnull(model->source);
  for (size_t i = 0; i < MODEL_MAX; i++)
    model->source[i] = byte_at(i);
  model->start = 0;
  model->end = 0;
}

static void model_fini(struct model *model) {
  psock_buffer_clear(&model->buffer);
  ck_assert_uint_eq(model->buffer.length, 0);
  ck_assert_ptr_null(model->buffer.head);
  free(model->source);
  memory_fini(&model->memory);
}

/* The buffer describes what it should. */
static void model_check(struct model *model) {
  static struct iovec vectors[4096];
  int count = psock_buffer_vectors(&model->buffer, vectors, 4096, SIZE_MAX);
  size_t at = model->start;
  for (int i = 0; i < count; i++) {
    ck_assert_uint_gt(vectors[i].iov_len, 0);
    ck_assert_uint_le(at + vectors[i].iov_len, model->end);
    ck_assert_mem_eq(
        vectors[i].iov_base, model->source + at, vectors[i].iov_len);
    at += vectors[i].iov_len;
  }
  ck_assert_uint_eq(at, model->end);
  ck_assert_uint_eq(model->buffer.length, model->end - model->start);
}

static void append(struct model *model, size_t length) {
  ck_assert_int_eq(
      psock_buffer_append(&model->buffer, model->source + model->end, length),
      0);
  model->end += length;
}

static void reserve(struct model *model, size_t length, size_t used) {
  uint8_t *room = psock_buffer_reserve(&model->buffer, length);
  ck_assert_ptr_nonnull(room);
  memset(room, 0xee, length);
  memcpy(room, model->source + model->end, used);
  psock_buffer_commit(&model->buffer, used);
  model->end += used;
}

static void append_and_take_back(struct model *model, uint64_t *state) {
  struct psock_buffer_mark mark = psock_buffer_mark(&model->buffer);
  size_t end = model->end;
  for (size_t i = random_below(state, 4); i > 0; i--)
    append(model, random_below(state, 40000));
  reserve(model, 100, 50);
  psock_buffer_rewind(&model->buffer, &mark);
  model->end = end;
}

static void consume(struct model *model, size_t length) {
  psock_buffer_consume(&model->buffer, length);
  model->start += length;
}

/* Through a second buffer, as what a sender has comes to the connection. */
static void move_in(struct model *model, uint64_t *state) {
  struct psock_buffer from;
  psock_buffer_init(&from, &model->memory.pool, random_below(state, 2) > 0);
  for (size_t i = random_below(state, 4); i > 0; i--) {
    size_t length = random_below(state, 20000);
    from.lending = random_below(state, 2) > 0;
    ck_assert_int_eq(
        psock_buffer_append(&from, model->source + model->end, length), 0);
    model->end += length;
  }
  psock_buffer_move(&model->buffer, &from);
  ck_assert_uint_eq(from.length, 0);
  ck_assert_ptr_null(from.head);
  ck_assert_ptr_null(from.tail);
}

START_TEST(behaves_as_an_array) {
  struct model model;
  uint64_t state = (uint64_t)_i + 1;
  model_init(&model, _i % 2);
  while (model.end < MODEL_MAX - 200000) {
    model.buffer.lending = random_below(&state, 2) > 0;
    switch (random_below(&state, 6)) {
    case 0:
      append(&model, random_below(&state, 40000));
      break;
    case 1:
      append(&model, random_below(&state, 100));
      break;
    case 2:
      reserve(&model, 1000, random_below(&state, 1001));
      break;
    case 3:
      append_and_take_back(&model, &state);
      break;
    case 4:
      move_in(&model, &state);
      break;
    default:
      consume(&model, random_below(&state, model.buffer.length + 1));
      break;
    }
    model_check(&model);
  }
  model_fini(&model);
}
END_TEST

START_TEST(lends_only_large_and_only_if_told) {
  struct model model;
  model_init(&model, false);
  ck_assert(!psock_buffer_lends(&model.buffer, LEND_MIN));
  model.buffer.lending = true;
  ck_assert(!psock_buffer_lends(&model.buffer, LEND_MIN - 1));
  ck_assert(psock_buffer_lends(&model.buffer, LEND_MIN));
  struct psock_buffer_mark mark = psock_buffer_mark(&model.buffer);
  append(&model, LEND_MIN - 1);
  ck_assert_ptr_null(psock_buffer_last_lent(&model.buffer, &mark));
  append(&model, LEND_MIN);
  append(&model, 10);
  struct psock_block *lent = psock_buffer_last_lent(&model.buffer, &mark);
  ck_assert_ptr_nonnull(lent);
  ck_assert_ptr_eq(lent->data, model.source + LEND_MIN - 1);
  mark = psock_buffer_mark(&model.buffer);
  ck_assert_ptr_null(psock_buffer_last_lent(&model.buffer, &mark));
  model_check(&model);
  model_fini(&model);
}
END_TEST

static void count_release(void *data) {
  ++*(unsigned *)data;
}

START_TEST(released_when_consumed_never_when_taken_back) {
  struct model model;
  unsigned released = 0;
  model_init(&model, false);
  model.buffer.lending = true;
  append(&model, 5);
  struct psock_buffer_mark mark = psock_buffer_mark(&model.buffer);
  for (int round = 0; round < 2; round++) {
    append(&model, LEND_MIN);
    struct psock_block *lent = psock_buffer_last_lent(&model.buffer, &mark);
    lent->release = count_release;
    lent->release_data = &released;
    if (round == 0) {
      psock_buffer_rewind(&model.buffer, &mark);
      model.end -= LEND_MIN;
      ck_assert_uint_eq(released, 0);
    }
  }
  consume(&model, 5 + LEND_MIN - 1);
  ck_assert_uint_eq(released, 0);
  consume(&model, 1);
  ck_assert_uint_eq(released, 1);
  model_fini(&model);
  ck_assert_uint_eq(released, 1);
}
END_TEST

/* Many small ones that are moved make few blocks. */
START_TEST(small_ones_are_put_together) {
  struct model model;
  model_init(&model, false);
  for (int i = 0; i < 2000; i++) {
    struct psock_buffer from;
    psock_buffer_init(&from, &model.memory.pool, true);
    ck_assert_int_eq(
        psock_buffer_append(&from, model.source + model.end, 9), 0);
    model.end += 9;
    psock_buffer_move(&model.buffer, &from);
  }
  struct iovec vectors[16];
  ck_assert_int_lt(
      psock_buffer_vectors(&model.buffer, vectors, 16, SIZE_MAX), 10);
  model_check(&model);
  model_fini(&model);
}
END_TEST

START_TEST(vectors_keep_to_their_bounds) {
  struct model model;
  struct iovec vectors[8];
  model_init(&model, false);
  ck_assert_int_eq(psock_buffer_vectors(&model.buffer, vectors, 8, 1), 0);
  model.buffer.lending = true;
  for (int i = 0; i < 6; i++)
    append(&model, LEND_MIN);
  ck_assert_int_eq(
      psock_buffer_vectors(&model.buffer, vectors, 8, SIZE_MAX), 6);
  ck_assert_int_eq(
      psock_buffer_vectors(&model.buffer, vectors, 4, SIZE_MAX), 4);
  ck_assert_int_eq(psock_buffer_vectors(&model.buffer, vectors, 8, 1), 1);
  ck_assert_int_eq(
      psock_buffer_vectors(&model.buffer, vectors, 8, LEND_MIN + 1), 2);
  model_fini(&model);
}
END_TEST

START_TEST(popped_blocks_are_the_callers) {
  struct model model;
  model_init(&model, false);
  ck_assert_ptr_null(psock_buffer_pop(&model.buffer));
  append(&model, 3000);
  append(&model, 30000);
  while (model.buffer.length > 0) {
    struct psock_block *block = psock_buffer_pop(&model.buffer);
    model.start += psock_block_length(block);
    model_check(&model);
    psock_pool_put(&model.memory.pool, block);
  }
  append(&model, 10);
  model_check(&model);
  model_fini(&model);
}
END_TEST

/* A failure leaves the buffer as it was, after the mark has been used. */
START_TEST(no_memory_leaves_no_trace) {
  struct model model;
  model_init(&model, _i);
  append(&model, 100);
  for (int lending = 0; lending < 2; lending++) {
    struct psock_buffer_mark mark = psock_buffer_mark(&model.buffer);
    model.buffer.lending = lending > 0;
    alloc_fault_arm(&model.memory.fault, 1, true);
    ck_assert_int_eq(
        psock_buffer_append(&model.buffer, model.source + model.end, 100000),
        PSOCK_ENOMEM);
    ck_assert_ptr_null(psock_buffer_reserve(&model.buffer, 100000));
    psock_buffer_rewind(&model.buffer, &mark);
    alloc_fault_disarm(&model.memory.fault);
    model_check(&model);
    append(&model, 100000);
    model_check(&model);
  }
  model_fini(&model);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("buffer");
  TCase *tcase = rig_case(suite, "buffer");
  tcase_add_loop_test(tcase, behaves_as_an_array, 0, 6);
  tcase_add_test(tcase, lends_only_large_and_only_if_told);
  tcase_add_test(tcase, released_when_consumed_never_when_taken_back);
  tcase_add_test(tcase, small_ones_are_put_together);
  tcase_add_test(tcase, vectors_keep_to_their_bounds);
  tcase_add_test(tcase, popped_blocks_are_the_callers);
  tcase_add_loop_test(tcase, no_memory_leaves_no_trace, 0, 2);
  return rig_main(suite);
}
