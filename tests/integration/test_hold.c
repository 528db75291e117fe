/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec.psock.h"
#include "echo.psock.h"
#include "lib/world.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/*
 * Messages that are kept: past their callback, past the connection and the
 * loop, by several holders, and given back on another thread.
 */

#define KEPT 64

static struct world world;
static psock_codec *codec;
static psock_hold *holds[KEPT];
static const Request *kept[KEPT];
static int kept_count;

static void hold(struct side *side, const void *message) {
  if (kept_count == KEPT)
    return;
  ck_assert_int_eq(
      psock_connection_hold(side->connection, &holds[kept_count]), 0);
  kept[kept_count++] = message;
}

static void begin(int medium) {
  ck_assert_int_eq(psock_protobuf_codec_new(&request__type, NULL, &codec), 0);
  world_init(&world, (enum medium)medium);
  world.one.options.inbound = codec;
  world.other.options.outbound = codec;
  world.one.on[MESSAGE] = hold;
}

static void send_request(unsigned n, size_t length) {
  static char text[100001];
  Request request;
  EchoRequest body;
  request__init(&request);
  echo_request__init(&body);
  memset(text, 'a' + (int)(n % 26), length);
  text[length] = '\0';
  body.message = text;
  body.nanotime = n;
  request.request_id = n;
  request.body = &body;
  ck_assert_int_eq(psock_send(world.other.sender, &request), 0);
}

static size_t length_of(unsigned n) {
  return n % 7 == 6 ? 100000 : n * 13 % 300;
}

static void check_kept(void) {
  for (int i = 0; i < kept_count; i++) {
    const Request *request = kept[i];
    size_t length = length_of((unsigned)i);
    ck_assert_uint_eq(request->request_id, (unsigned)i);
    ck_assert_uint_eq(request->body->nanotime, (unsigned)i);
    ck_assert_uint_eq(strlen(request->body->message), length);
    for (size_t at = 0; at < length; at++)
      DEMAND(request->body->message[at] == 'a' + i % 26, "kept message %d", i);
  }
}

static void release_all(void) {
  for (int i = 0; i < kept_count; i++)
    psock_hold_release(holds[i]);
  psock_hold_release(NULL);
}

static void send_and_keep(void) {
  for (unsigned n = 0; n < 3 * KEPT; n++)
    send_request(n, length_of(n));
  UNTIL(&world, world.one.count[MESSAGE] == 3 * KEPT);
  ck_assert_int_eq(kept_count, KEPT);
  check_kept();
}

START_TEST(kept_past_the_callback) {
  begin(_i);
  world_pair(&world);
  send_and_keep();
  release_all();
  world_fini(&world);
  psock_protobuf_codec_free(codec);
}
END_TEST

START_TEST(kept_past_the_connection) {
  begin(_i);
  world_pair(&world);
  send_and_keep();
  psock_connection_free(world.one.connection);
  check_kept();
  release_all();
  world_fini(&world);
  psock_protobuf_codec_free(codec);
}
END_TEST

START_TEST(kept_past_the_loop) {
  begin(_i);
  world_pair(&world);
  send_and_keep();
  world_fini(&world);
  psock_protobuf_codec_free(codec);
  check_kept();
  release_all();
}
END_TEST

static void *release_on_a_thread(void *data) {
  (void)data;
  check_kept();
  release_all();
  return NULL;
}

/* The loop goes on meanwhile, with the same blocks. */
START_TEST(released_on_another_thread) {
  pthread_t thread;
  begin(_i);
  world_pair(&world);
  send_and_keep();
  ck_assert_int_eq(pthread_create(&thread, NULL, release_on_a_thread, NULL), 0);
  for (unsigned n = 0; n < 200; n++)
    send_request(n, 2000);
  UNTIL(&world, world.one.count[MESSAGE] == 3 * KEPT + 200);
  ck_assert_int_eq(pthread_join(thread, NULL), 0);
  world_fini(&world);
  psock_protobuf_codec_free(codec);
}
END_TEST

/* Held several times, released in between, and still lent. */
static void hold_many_times(struct side *side, const void *message) {
  psock_hold *first;
  psock_hold *second;
  ck_assert_int_eq(psock_connection_hold(side->connection, &first), 0);
  ck_assert_int_eq(psock_connection_hold(side->connection, &second), 0);
  psock_hold_release(first);
  psock_hold_release(second);
  ck_assert_str_eq(((const Request *)message)->body->message, "aaaaa");
  hold(side, message);
  hold(side, message);
}

START_TEST(held_several_times) {
  begin(_i);
  world.one.on[MESSAGE] = hold_many_times;
  world_pair(&world);
  send_request(0, 5);
  UNTIL(&world, world.one.count[MESSAGE] == 1);
  psock_hold_release(holds[0]);
  ck_assert_str_eq(kept[1]->body->message, "aaaaa");
  psock_hold_release(holds[1]);
  world_fini(&world);
  psock_protobuf_codec_free(codec);
}
END_TEST

static void hold_outside(struct side *side, const void *argument) {
  psock_hold *none = NULL;
  (void)argument;
  ck_assert_int_eq(
      psock_connection_hold(side->connection, &none), PSOCK_EINVAL);
  ck_assert_ptr_null(none);
}

START_TEST(only_inside_message) {
  begin(_i);
  for (enum event event = OPENED; event < EVENTS; event++)
    if (event != MESSAGE)
      world.one.on[event] = hold_outside;
  world_pair(&world);
  hold_outside(&world.one, NULL);
  send_request(0, 5);
  psock_connection_want_room(world.one.connection);
  UNTIL(&world, world.one.count[BATCH_END] && world.one.count[ROOM]);
  release_all();
  world_fini(&world);
  psock_protobuf_codec_free(codec);
}
END_TEST

/* Held, and the connection freed in the same callback. */
static void hold_and_free(struct side *side, const void *message) {
  hold(side, message);
  psock_connection_free(side->connection);
  ck_assert_str_eq(((const Request *)message)->body->message, "aaaaa");
}

START_TEST(held_and_freed) {
  begin(_i);
  world.one.on[MESSAGE] = hold_and_free;
  world_pair(&world);
  send_request(0, 5);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_str_eq(kept[0]->body->message, "aaaaa");
  world_fini(&world);
  release_all();
  psock_protobuf_codec_free(codec);
}
END_TEST

static const Codec__Plain *long_kept;

static void hold_bytes(struct side *side, const void *message) {
  if (long_kept != NULL)
    return;
  long_kept = message;
  ck_assert_int_eq(psock_connection_hold(side->connection, &holds[0]), 0);
}

/* Bytes of 16 KiB and more stay where they were received, in a block of the
 * usual size or in a larger one; whoever keeps the message keeps that, while
 * others are received. */
START_TEST(long_bytes_are_kept_where_they_came) {
  static const size_t lengths[] = {16 << 10, 100000, 300000};
  size_t length = lengths[_i / MEDIA];
  long_kept = NULL;
  ck_assert_int_eq(
      psock_protobuf_codec_new(&codec__plain__type, NULL, &codec), 0);
  world_init(&world, (enum medium)(_i % MEDIA));
  world.one.options.inbound = codec;
  world.other.options.outbound = codec;
  world.one.on[MESSAGE] = hold_bytes;
  world_pair(&world);
  uint8_t *data = malloc(length);
  ck_assert_ptr_nonnull(data);
  Codec__Plain plain;
  codec__plain__init(&plain);
  plain.data.data = data;
  plain.data.len = length;
  for (int i = 0; i < 20; i++) {
    memset(data, 'a' + i, length);
    ck_assert_int_eq(psock_send(world.other.sender, &plain), 0);
    UNTIL(&world, world.one.count[MESSAGE] == (unsigned)i + 1);
  }
  ck_assert_uint_eq(long_kept->data.len, length);
  for (size_t i = 0; i < length; i++)
    DEMAND(long_kept->data.data[i] == 'a', "byte %zu", i);
  free(data);
  world_fini(&world);
  psock_hold_release(holds[0]);
  psock_protobuf_codec_free(codec);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("hold");
  TCase *tcase = guard_case(suite, "hold");
  tcase_add_loop_test(tcase, kept_past_the_callback, 0, MEDIA);
  tcase_add_loop_test(tcase, kept_past_the_connection, 0, MEDIA);
  tcase_add_loop_test(tcase, kept_past_the_loop, 0, MEDIA);
  tcase_add_loop_test(tcase, released_on_another_thread, 0, MEDIA);
  tcase_add_loop_test(tcase, held_several_times, 0, MEDIA);
  tcase_add_loop_test(tcase, only_inside_message, 0, MEDIA);
  tcase_add_loop_test(tcase, held_and_freed, 0, MEDIA);
  tcase_add_loop_test(tcase, long_bytes_are_kept_where_they_came, 0, 3 * MEDIA);
  return guard_main(suite);
}
