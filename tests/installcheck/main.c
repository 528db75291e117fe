/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two connections, one at each end of a socketpair: the first sends a
 * greeting, the second reads it, and both close in good order.
 */
#include "greeting.psock.h"

#include <ev.h>
#include <protosocket.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct reader {
  int greeted;
  int closed;
};

static void read_greeting(void *state, psock_connection *connection,
    const Greeting *message, const char *text) {
  struct reader *reader = state;

  (void)message;
  reader->greeted = strcmp(text, "hello") == 0;
  psock_connection_close(connection);
}

static void count_closed(
    void *state, psock_connection *connection, int reason) {
  struct reader *reader = state;

  (void)connection;
  if (reason == 0)
    reader->closed++;
  else
    fprintf(stderr, "closed: %s\n", psock_strerror(reason));
}

static int greet(psock_loop *loop, const psock_codec *codec,
    const struct greeting__handlers *handlers, struct reader *reader) {
  struct psock_connection_options options = {.size = sizeof options,
      .inbound = codec,
      .outbound = codec,
      .reactor = greeting__reactor(handlers, reader)};
  Greeting greeting = GREETING__INIT;
  psock_connection *one;
  psock_connection *other;
  int fds[2];

  greeting.kind_case = GREETING__KIND_TEXT;
  greeting.text = (char[]){"hello"};
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
    return PSOCK_EIO;
  if (psock_connection_adopt(loop, fds[0], &options, &one) != 0 ||
      psock_connection_adopt(loop, fds[1], &options, &other) != 0)
    return PSOCK_ENOMEM;
  return psock_send(psock_connection_get_sender(one), &greeting);
}

int main(void) {
  const struct psock_reactor_ops ops = {
      .size = sizeof ops, .closed = count_closed};
  const struct greeting__handlers handlers = {
      .size = sizeof handlers, .ops = &ops, .on_text = read_greeting};
  struct reader reader = {0};
  struct ev_loop *ev = ev_default_loop(0);
  psock_loop *loop;
  psock_codec *codec;

  printf("built with %s, runs with %s\n", PSOCK_VERSION, psock_version());
  if (psock_loop_new(ev, NULL, &loop) != 0 ||
      psock_protobuf_codec_new(&greeting__type, NULL, &codec) != 0 ||
      greet(loop, codec, &handlers, &reader) != 0)
    return 1;
  ev_run(ev, 0);
  psock_loop_free(loop);
  psock_protobuf_codec_free(codec);
  ev_loop_destroy(ev);
  return reader.greeted && reader.closed == 2 ? 0 : 1;
}
