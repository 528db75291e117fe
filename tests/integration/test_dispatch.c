/* SPDX-License-Identifier: BSD-2-Clause */
#include "echo.psock.h"
#include "lib/world.h"

#include <stdlib.h>
#include <string.h>

/*
 * A connection whose reactor was made of generated handlers: each message goes
 * to its handler, the other callbacks stay what they are, and a handler may do
 * what any callback may.
 */

static struct world world;
static psock_codec *codec;
static struct response__handlers handlers;
static unsigned echoes, items, rests;
/* What a handler does after it has counted. */
static void (*then)(struct side *side);

static void on_echo(void *state, psock_connection *connection,
    const Response *response, const EchoResponse *echo) {
  struct side *side = state;
  ck_assert_ptr_eq(connection, side->connection);
  ck_assert_ptr_eq(response->echo, echo);
  ck_assert_str_eq(echo->message, "text");
  echoes++;
  if (then != NULL)
    then(side);
}

static void on_stream(void *state, psock_connection *connection,
    const Response *response, const EchoStream *item) {
  (void)state;
  (void)connection;
  ck_assert_uint_eq(item->sequence, response->request_id);
  items++;
}

static void on_rest(
    void *state, psock_connection *connection, const Response *response) {
  (void)state;
  (void)connection;
  ck_assert_int_eq(response->kind_case, RESPONSE__KIND__NOT_SET);
  rests++;
}

static void begin(int medium) {
  echoes = items = rests = 0;
  then = NULL;
  ck_assert_int_eq(psock_protobuf_codec_new(&response__type, NULL, &codec), 0);
  world_init(&world, (enum medium)medium);
  handlers = (struct response__handlers){.size = sizeof handlers,
      .ops = &world.one.ops,
      .rest = on_rest,
      .on_echo = on_echo,
      .on_stream = on_stream};
  world.one.ops.message = NULL;
  world.one.options.inbound = codec;
  world.other.options.outbound = codec;
  world.one.options.reactor = response__reactor(&handlers, &world.one);
}

static void finish(void) {
  world_fini(&world);
  psock_protobuf_codec_free(codec);
}

static void send_echo(void) {
  static char text[] = "text";
  Response response;
  EchoResponse echo;
  response__init(&response);
  echo_response__init(&echo);
  echo.message = text;
  response.kind_case = RESPONSE__KIND_ECHO;
  response.echo = &echo;
  ck_assert_int_eq(psock_send(world.other.sender, &response), 0);
}

static void send_item(uint64_t number) {
  Response response;
  EchoStream item;
  response__init(&response);
  echo_stream__init(&item);
  item.sequence = response.request_id = number;
  response.kind_case = RESPONSE__KIND_STREAM;
  response.stream = &item;
  ck_assert_int_eq(psock_send(world.other.sender, &response), 0);
}

static void send_end(void) {
  Response response;
  response__make_end(&response, 1);
  ck_assert_int_eq(psock_send(world.other.sender, &response), 0);
}

START_TEST(each_to_its_handler) {
  begin(_i);
  world_pair(&world);
  for (unsigned i = 0; i < 10; i++) {
    send_echo();
    send_item(i);
    send_item(i + 1);
    send_end();
  }
  UNTIL(&world, rests == 10);
  ck_assert_uint_eq(echoes, 10);
  ck_assert_uint_eq(items, 20);
  ck_assert_uint_eq(side_stats(&world.one).messages_in, 40);
  ck_assert_uint_ge(world.one.count[BATCH_END], 1);
  finish();
}
END_TEST

static void never(
    void *state, psock_connection *connection, const void *message) {
  (void)state;
  (void)connection;
  (void)message;
  ck_abort_msg("`message` was called beside the handlers");
}

START_TEST(message_of_ops_is_not_called) {
  begin(_i);
  world.one.ops.message = never;
  world_pair(&world);
  send_echo();
  UNTIL(&world, echoes == 1);
  finish();
}
END_TEST

static void keep_going(struct side *side) {
  psock_hold *kept;
  ck_assert_int_eq(psock_connection_hold(side->connection, &kept), 0);
  psock_hold_release(kept);
  psock_connection_pause(side->connection);
  psock_connection_resume(side->connection);
}

static void close_it(struct side *side) {
  psock_connection_close(side->connection);
}

static void free_it(struct side *side) {
  psock_connection_free(side->connection);
}

/* Holding, pausing and resuming stop nothing; closing and freeing do. */
START_TEST(handlers_do_what_callbacks_may) {
  static void (*const deeds[])(struct side * side) = {
      keep_going, close_it, free_it};
  begin(_i % MEDIA);
  then = deeds[_i / MEDIA];
  world_pair(&world);
  for (unsigned i = 0; i < 5; i++)
    send_echo();
  if (then == keep_going) {
    UNTIL(&world, echoes == 5);
  } else {
    UNTIL(&world, world.one.count[CLOSED] == 1);
    ck_assert_uint_eq(echoes, 1);
  }
  finish();
}
END_TEST

/* Without ops: messages are given, and the end is nobody's business. */
START_TEST(handlers_alone) {
  psock_loop *loop;
  psock_transport *near, *far;
  psock_connection *to, *from;
  ck_assert_int_eq(psock_protobuf_codec_new(&response__type, NULL, &codec), 0);
  ck_assert_int_eq(psock_test_loop_new(NULL, &loop), 0);
  ck_assert_int_eq(psock_memory_pair(loop, 4096, &near, &far), 0);
  rests = 0;
  static const struct response__handlers alone = {
      .size = sizeof alone, .rest = on_rest};
  static const struct psock_reactor_ops silent = {.size = sizeof silent};
  struct psock_connection_options options = {.size = sizeof options,
      .inbound = codec,
      .reactor = response__reactor(&alone, NULL)};
  ck_assert_int_eq(psock_connection_new(loop, near, &options, &to), 0);
  options.outbound = codec;
  options.reactor = (psock_reactor){.ops = &silent};
  ck_assert_int_eq(psock_connection_new(loop, far, &options, &from), 0);
  Response end;
  response__make_end(&end, 1);
  ck_assert_int_eq(psock_send(psock_connection_get_sender(from), &end), 0);
  ck_assert_int_eq(psock_test_loop_settle(loop, 100), 1);
  ck_assert_uint_eq(rests, 1);
  psock_loop_free(loop);
  psock_protobuf_codec_free(codec);
}
END_TEST

/* What is not complete is refused where it is given, or turns a peer away. */
START_TEST(incomplete_reactors) {
  psock_loop *loop;
  psock_transport *near, *far;
  psock_connection *connection = NULL;
  ck_assert_int_eq(psock_test_loop_new(NULL, &loop), 0);
  ck_assert_int_eq(psock_memory_pair(loop, 4096, &near, &far), 0);
  struct response__handlers sizeless = {.rest = on_rest};
  struct psock_dispatch_table short_table = response__dispatch;
  short_table.size = offsetof(struct psock_dispatch_table, rest);
  struct response__handlers good = {.size = sizeof good};
  struct psock_connection_options options = {.size = sizeof options};
  const psock_reactor reactors[] = {
      {.dispatch = &response__dispatch},
      {.dispatch = &response__dispatch, .handlers = &sizeless},
      {.dispatch = &short_table, .handlers = &good},
      {.ops = NULL},
  };
  for (size_t i = 0; i < sizeof reactors / sizeof reactors[0]; i++) {
    options.reactor = reactors[i];
    ck_assert_int_eq(
        psock_connection_new(loop, near, &options, &connection), PSOCK_EINVAL);
  }
  /* Handlers of another type than the codec's. */
  psock_codec *other;
  ck_assert_int_eq(psock_protobuf_codec_new(&request__type, NULL, &other), 0);
  options.inbound = other;
  options.reactor = response__reactor(&good, NULL);
  ck_assert_int_eq(
      psock_connection_new(loop, near, &options, &connection), PSOCK_EINVAL);
  psock_protobuf_codec_free(other);
  ck_assert_ptr_null(connection);
  near->ops->free(near);
  far->ops->free(far);
  psock_loop_free(loop);
}
END_TEST

START_TEST(accepted_gives_an_incomplete_one) {
  begin(_i);
  handlers.size = 0;
  guard_expect_log("gave no reactor", 1);
  world_make_pair(&world);
  UNTIL(&world, world.other.count[CLOSED] == 1);
  ck_assert_uint_eq(world.one.count[OPENED], 0);
  /* Its reactor was not taken, so it is told nothing. */
  world.one.made = false;
  world.one.connection = NULL;
  finish();
}
END_TEST

int main(void) {
  Suite *suite = suite_create("dispatch");
  TCase *tcase = guard_case(suite, "dispatch");
  tcase_add_loop_test(tcase, each_to_its_handler, 0, MEDIA);
  tcase_add_loop_test(tcase, message_of_ops_is_not_called, 0, MEDIA);
  tcase_add_loop_test(tcase, handlers_do_what_callbacks_may, 0, 3 * MEDIA);
  tcase_add_test(tcase, handlers_alone);
  tcase_add_test(tcase, incomplete_reactors);
  tcase_add_loop_test(
      tcase, accepted_gives_an_incomplete_one, UNIX_SOCKET, MEDIA);
  return guard_main(suite);
}
