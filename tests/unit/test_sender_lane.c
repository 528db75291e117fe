/* SPDX-License-Identifier: BSD-2-Clause */
#include "channel/channel.h"
#include "lib/rig.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

/*
 * The loop never waits for a lane. A codec stops inside encode, on another
 * thread, for as long as the test likes; meanwhile the loop turns, other
 * senders send, and the connection closes or fails. What the send then says is
 * kept, and `closed` comes after it. Only psock_connection_free waits.
 */

/* Messages of this lane stop, if they are to be stopped. */
#define STOPPED 77

struct stopping_codec {
  struct psock_text_codec text; /* first */
  atomic_bool stops;
  sem_t *entered;
  sem_t *go_on;
};

struct scene {
  struct rig rig;
  struct stopping_codec codec;
  sem_t entered;
  sem_t go_on;
  psock_sender *sender;
  pthread_t thread;
  int error; /* of the last send */
  unsigned sent;
};

static int encode_stopping(
    const psock_codec *codec, const void *message, psock_buffer *out) {
  const struct stopping_codec *stopping = (const struct stopping_codec *)codec;
  struct psock_text_codec text;
  struct rig_got got = {.lane = 0};
  psock_text_codec_init(&text, 0);
  if (rig_read(message, &got) && got.lane == STOPPED &&
      atomic_load(&stopping->stops)) {
    sem_post(stopping->entered);
    while (sem_wait(stopping->go_on) != 0)
      continue;
  }
  return text.codec.encode(codec, message, out);
}

static void scene_init(struct scene *scene) {
  struct stopping_codec *codec = &scene->codec;
  rig_init(&scene->rig);
  ck_assert_int_eq(sem_init(&scene->entered, 0, 0), 0);
  ck_assert_int_eq(sem_init(&scene->go_on, 0, 0), 0);
  psock_text_codec_init(&codec->text, 0);
  codec->text.codec.encode = encode_stopping;
  codec->entered = &scene->entered;
  codec->go_on = &scene->go_on;
  atomic_init(&codec->stops, false);
  scene->sent = 0;
  scene->rig.near.options.outbound = &codec->text.codec;
  rig_open(&scene->rig);
  scene->sender = rig_clone(&scene->rig);
}

static int send_next(struct scene *scene) {
  char buffer[100];
  struct psock_text text =
      rig_message(buffer, STOPPED, scene->sent, sizeof buffer);
  struct psock_record record = {scene, scene->sent};
  struct psock_send_options options = {
      .size = sizeof options, .record = &record};
  int error = rig_send_with(NULL, scene->sender, &text, &options);
  scene->sent += error == 0;
  return error;
}

static void *send_stopped(void *data) {
  struct scene *scene = data;
  scene->error = send_next(scene);
  return NULL;
}

/* A send is on another thread, in encode, from here on. */
static void stop_a_send(struct scene *scene) {
  atomic_store(&scene->codec.stops, true);
  ck_assert_int_eq(
      pthread_create(&scene->thread, NULL, send_stopped, scene), 0);
  while (sem_wait(&scene->entered) != 0)
    continue;
}

static void let_it_go_on(struct scene *scene) {
  sem_post(&scene->go_on);
  pthread_join(scene->thread, NULL);
}

static void scene_fini(struct scene *scene) {
  ck_assert_uint_eq(scene->rig.near.record_count, scene->sent);
  psock_sender_drop(scene->sender);
  rig_fini(&scene->rig);
  sem_destroy(&scene->entered);
  sem_destroy(&scene->go_on);
}

START_TEST(the_loop_goes_on) {
  struct scene scene;
  struct rig *rig = &scene.rig;
  scene_init(&scene);
  if (_i)
    ck_assert_int_eq(send_next(&scene), 0);
  stop_a_send(&scene);
  psock_sender *other = rig_clone(rig);
  for (uint32_t i = 0; i < 100; i++) {
    ck_assert_int_eq(rig_send(rig->near.sender, 0, i, 20), 0);
    ck_assert_int_eq(rig_send(other, 1, i, 20), 0);
    rig_settle(rig);
  }
  ck_assert(rig_in_order(rig, 0, 100));
  ck_assert(rig_in_order(rig, 1, 100));
  let_it_go_on(&scene);
  ck_assert_int_eq(scene.error, 0);
  rig_settle(rig);
  ck_assert(rig_in_order(rig, STOPPED, scene.sent));
  psock_sender_drop(other);
  scene_fini(&scene);
}
END_TEST

/* What the send acknowledges is part of the good order. */
START_TEST(close_comes_after_the_send) {
  struct scene scene;
  struct rig *rig = &scene.rig;
  scene_init(&scene);
  if (_i)
    ck_assert_int_eq(send_next(&scene), 0);
  stop_a_send(&scene);
  ck_assert_int_eq(rig_send(rig->near.sender, 0, 0, 20), 0);
  psock_connection_close(rig->near.connection);
  rig_settle(rig);
  ck_assert(rig_in_order(rig, 0, 1));
  ck_assert_uint_eq(rig->near.closed, 0);
  let_it_go_on(&scene);
  ck_assert_int_eq(scene.error, 0);
  rig_settle(rig);
  ck_assert_uint_eq(rig->near.closed, 1);
  ck_assert_int_eq(rig->near.reason, 0);
  ck_assert(rig_in_order(rig, STOPPED, scene.sent));
  scene_fini(&scene);
}
END_TEST

/* A close that takes too long, with a send that takes longer. */
START_TEST(closed_waits_for_the_send_alone) {
  struct scene scene;
  struct rig *rig = &scene.rig;
  scene_init(&scene);
  stop_a_send(&scene);
  psock_connection_close(rig->near.connection);
  psock_test_loop_advance(rig->loop, (uint64_t)11 * 1000000000u);
  rig_settle(rig);
  ck_assert_uint_eq(rig->near.closed, 0);
  let_it_go_on(&scene);
  rig_settle(rig);
  ck_assert_uint_eq(rig->near.closed, 1);
  ck_assert_int_eq(rig->near.reason, PSOCK_ETIMEDOUT);
  scene_fini(&scene);
}
END_TEST

/* The connection fails while the lane has something already, and again when
 * the loop has looked at it in vain. */
START_TEST(failure_comes_after_the_send) {
  struct scene scene;
  struct rig *rig = &scene.rig;
  scene_init(&scene);
  if (_i >= 2)
    psock_connection_pause(rig->near.connection);
  psock_memory_fail(rig->near.memory, PSOCK_MEMORY_SEND, 0, PSOCK_ERESET);
  ck_assert_int_eq(rig_send(rig->near.sender, 0, 0, 20), 0);
  if (_i % 2)
    ck_assert_int_eq(send_next(&scene), 0);
  stop_a_send(&scene);
  rig_settle(rig);
  ck_assert_uint_eq(rig->near.closed, 0);
  let_it_go_on(&scene);
  rig_settle(rig);
  ck_assert_uint_eq(rig->near.closed, 1);
  ck_assert_int_eq(rig->near.reason, PSOCK_ERESET);
  scene_fini(&scene);
}
END_TEST

/* Free has closed the channel when it begins to wait. */
static void *go_on_when_closed(void *data) {
  struct scene *scene = data;
  while (!atomic_load(&scene->sender->channel->closed))
    sched_yield();
  sem_post(&scene->go_on);
  return NULL;
}

START_TEST(free_waits_for_the_send) {
  struct scene scene;
  struct rig *rig = &scene.rig;
  pthread_t helper;
  scene_init(&scene);
  if (_i % 2)
    ck_assert_int_eq(send_next(&scene), 0);
  stop_a_send(&scene);
  if (_i >= 2) {
    psock_memory_fail(rig->near.memory, PSOCK_MEMORY_SEND, 0, PSOCK_ERESET);
    ck_assert_int_eq(rig_send(rig->near.sender, 0, 0, 20), 0);
    rig_settle(rig);
  }
  ck_assert_int_eq(pthread_create(&helper, NULL, go_on_when_closed, &scene), 0);
  psock_connection_free(rig->near.connection);
  ck_assert_uint_eq(rig->near.closed, 1);
  ck_assert_int_eq(rig->near.reason, _i >= 2 ? PSOCK_ERESET : PSOCK_ECANCELED);
  pthread_join(helper, NULL);
  pthread_join(scene.thread, NULL);
  ck_assert_int_eq(scene.error, 0);
  scene_fini(&scene);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("lanes");
  TCase *tcase = rig_case(suite, "stopped in encode");
  tcase_add_loop_test(tcase, the_loop_goes_on, 0, 2);
  tcase_add_loop_test(tcase, close_comes_after_the_send, 0, 2);
  tcase_add_test(tcase, closed_waits_for_the_send_alone);
  tcase_add_loop_test(tcase, failure_comes_after_the_send, 0, 4);
  tcase_add_loop_test(tcase, free_waits_for_the_send, 0, 4);
  return rig_main(suite);
}
