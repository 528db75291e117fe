/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/rig.h"

#include <ev.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * Every allocation fails, one by one, with a listener, a connect, and libev's
 * own loop. The client sends, gets everything back, and closes; whatever fails
 * on the way, the loop comes to its end. Only the library's allocations fail:
 * libev's are made sure of before it needs them.
 */

#define MESSAGES 10

/* Seconds after which a loop that does not end is a failure. */
#define LATE 20

#define SWEEP 10000

struct scene {
  struct alloc_fault fault;
  struct ev_loop *ev;
  psock_loop *loop;
  struct psock_text_codec codec;
  psock_listener *listener;
  psock_connection *client;
  unsigned sent; /* acknowledged */
  unsigned got;  /* by the server */
  unsigned back; /* to the client */
  unsigned client_closed;
  unsigned server_closed;
  unsigned server_made;
  int client_reason;
  int server_reason;
  bool late;
};

static bool is_excusable(int error) {
  return error == 0 || error == PSOCK_ENOMEM;
}

static size_t length_of(unsigned number) {
  return number % 3 == 2 ? 100000 : 100;
}

static void client_opened(void *state, psock_connection *connection) {
  struct scene *scene = state;
  psock_sender *sender = psock_connection_get_sender(connection);
  for (unsigned i = 0; i < MESSAGES; i++) {
    int error = rig_send(sender, 0, scene->sent, length_of(scene->sent));
    ck_assert(is_excusable(error));
    scene->sent += error == 0;
  }
  if (scene->sent == 0)
    psock_connection_close(connection);
}

static void client_message(
    void *state, psock_connection *connection, const void *message) {
  struct scene *scene = state;
  struct rig_got got;
  ck_assert(rig_read(message, &got));
  ck_assert_uint_eq(got.number, scene->back);
  scene->back++;
  if (scene->back == scene->sent)
    psock_connection_close(connection);
}

static void client_closed(
    void *state, psock_connection *connection, int reason) {
  struct scene *scene = state;
  (void)connection;
  scene->client_closed++;
  scene->client_reason = reason;
  psock_listener_free(scene->listener);
}

static void server_message(
    void *state, psock_connection *connection, const void *message) {
  struct scene *scene = state;
  scene->got++;
  int error = psock_send(psock_connection_get_sender(connection), message);
  ck_assert(is_excusable(error));
  if (error != 0)
    psock_connection_free(connection);
}

static void server_closed(
    void *state, psock_connection *connection, int reason) {
  struct scene *scene = state;
  (void)connection;
  scene->server_closed++;
  scene->server_reason = reason;
}

static const struct psock_reactor_ops client_ops = {
    .size = sizeof client_ops,
    .opened = client_opened,
    .message = client_message,
    .closed = client_closed,
};

static const struct psock_reactor_ops server_ops = {
    .size = sizeof server_ops,
    .message = server_message,
    .closed = server_closed,
};

static int accepted(
    void *data, psock_connection *connection, psock_reactor *ret_reactor) {
  struct scene *scene = data;
  (void)connection;
  scene->server_made++;
  *ret_reactor = (psock_reactor){.ops = &server_ops, .state = scene};
  return 0;
}

static void on_late(struct ev_loop *ev, ev_timer *timer, int events) {
  struct scene *scene = timer->data;
  (void)events;
  scene->late = true;
  ev_break(ev, EVBREAK_ALL);
}

/* Listens and connects; returns the first error. */
static int begin(struct scene *scene) {
  struct psock_loop_options loop_options = {
      .size = sizeof loop_options,
      .allocator = &scene->fault.allocator,
  };
  struct psock_connection_options options = {
      .size = sizeof options,
      .inbound = &scene->codec.codec,
      .outbound = &scene->codec.codec,
      .reactor = {.ops = &client_ops, .state = scene},
  };
  struct psock_listener_options listener_options = {
      .size = sizeof listener_options,
      .connection = &options,
      .accepted = accepted,
      .data = scene,
  };
  char text[PSOCK_ADDRESS_TEXT_SIZE];
  struct psock_address address;
  snprintf(text, sizeof text, "unix:@psock-test-faults-%ld", (long)getpid());
  ck_assert_int_eq(psock_address_parse(text, &address), 0);
  int error = psock_loop_new(scene->ev, &loop_options, &scene->loop);
  if (error != 0)
    return error;
  error =
      psock_listen(scene->loop, &address, &listener_options, &scene->listener);
  if (error != 0)
    return error;
  error = psock_connect(scene->loop, &address, &options, &scene->client);
  if (error != 0)
    psock_listener_free(scene->listener);
  return error;
}

static void run(struct scene *scene) {
  ev_timer late;
  ev_timer_init(&late, on_late, LATE, 0);
  late.data = scene;
  ev_timer_start(scene->ev, &late);
  ev_unref(scene->ev);
  ev_run(scene->ev, 0);
  ev_ref(scene->ev);
  ev_timer_stop(scene->ev, &late);
  ck_assert(!scene->late);
}

static void check_end(const struct scene *scene) {
  ck_assert_uint_eq(scene->client_closed, 1);
  ck_assert_uint_eq(scene->server_closed, scene->server_made);
  ck_assert_uint_le(scene->back, scene->got);
  ck_assert_uint_le(scene->got, scene->sent);
  ck_assert_msg(scene->back == scene->sent || scene->client_reason != 0 ||
                    scene->server_reason != 0,
      "%u of %u came back in good order", scene->back, scene->sent);
}

/* One run; returns whether an allocation was refused. */
static bool run_once(size_t at, bool onwards) {
  struct scene scene;
  memset(&scene, 0, sizeof scene);
  alloc_fault_init(&scene.fault);
  psock_text_codec_init(&scene.codec, 0);
  scene.ev = ev_loop_new(EVFLAG_AUTO);
  ck_assert_ptr_nonnull(scene.ev);
  alloc_fault_arm(&scene.fault, at, onwards);
  int error = begin(&scene);
  ck_assert(is_excusable(error));
  if (error == 0) {
    run(&scene);
    check_end(&scene);
  }
  if (at == 0)
    ck_assert_uint_eq(scene.back, MESSAGES);
  psock_loop_free(scene.loop);
  ev_loop_destroy(scene.ev);
  const char *complaint = alloc_fault_complaint(&scene.fault);
  ck_assert_msg(complaint == NULL, "%s", complaint);
  return atomic_load(&scene.fault.refused) > 0;
}

START_TEST(run_is_complete) {
  ck_assert(!run_once(0, false));
}
END_TEST

START_TEST(every_allocation_fails) {
  size_t at = 1;
  while (at < SWEEP && run_once(at, _i != 0))
    at++;
  ck_assert_uint_gt(at, 20);
  ck_assert_uint_lt(at, SWEEP);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("allocation faults over sockets");
  TCase *tcase = rig_case(suite, "sockets");
  tcase_add_test(tcase, run_is_complete);
  tcase_add_loop_test(tcase, every_allocation_fails, 0, 2);
  return rig_main(suite);
}
