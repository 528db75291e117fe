/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"
#include "echo.psock.h"
#include "echo_service.psock.h"
#include <ev.h>
#include <stdlib.h>

/*
 * echo-server: answers a unary call with its message, and a streaming call with
 * an item for each byte of its message (up to the first NUL, where strings of
 * protobuf-c end).
 *
 * It does so with two faces. Usually its connections carry the messages of
 * echo.proto, which have an id and a code themselves; that is what servers in
 * other languages speak. With --frame they carry echo_service.proto's service.
 * The handlers differ in their messages only.
 *
 * A unary call is answered inside its handler. So is a stream, for as long as
 * there is room. What is left of it then waits, with its request held, and goes
 * on in `room`: a stream is only ever produced as fast as its reader takes it,
 * and costs no more memory for being long.
 *
 * Answers are built on the stack: they have been encoded when the function that
 * sends them returns. Nothing is done about one that fails: a call that nobody
 * has a reference to any more is ended by the library.
 */

struct stream {
  psock_call *call;
  const char *text; /* the request's */
  uint64_t nanotime;
  size_t sequence; /* of the next item */
  int (*send)(const struct stream *stream, char *character);
};

static int send_own(const struct stream *stream, char *character) {
  EchoStream item;
  Response response;
  echo_stream__init(&item);
  response__init(&response);
  item.message = character;
  item.nanotime = stream->nanotime;
  item.sequence = stream->sequence;
  response.kind_case = RESPONSE__KIND_STREAM;
  response.stream = &item;
  return request__call__send_response(stream->call, &response);
}

static int send_framed(const struct stream *stream, char *character) {
  Echo__EchoStream item;
  echo__echo_stream__init(&item);
  item.message = character;
  item.nanotime = stream->nanotime;
  item.sequence = stream->sequence;
  return echo__echo_service__stream__send_response(stream->call, &item);
}

/* The character U+0000 to U+00FF in UTF-8, as a string. */
static void set_character(char text[3], unsigned char value) {
  int two = value >= 0x80;
  text[0] = (char)(two ? 0xc0 | value >> 6 : value);
  text[1] = (char)(two ? 0x80 | (value & 0x3f) : 0);
  text[2] = '\0';
}

/* Sends items while there is room; behind the last one, the end. Returns
 * whether the stream is over. */
static int produce(struct stream *stream) {
  char character[3];
  for (; stream->text[stream->sequence] != '\0'; stream->sequence++) {
    set_character(character, (unsigned char)stream->text[stream->sequence]);
    int error = stream->send(stream, character);
    if (error == PSOCK_EFULL)
      return 0;
    if (error < 0) {
      psock_call_fail(stream->call, PSOCK_STATUS_INTERNAL, NULL);
      return 1;
    }
  }
  psock_call_end(stream->call, NULL);
  return 1;
}

static void on_room(void *data, psock_call *call) {
  (void)call;
  struct stream *stream = data;
  produce(stream);
}

static void on_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  (void)call;
  (void)status;
  free(data);
}

/* Keeps the stream and its request until the call has ended. */
static void keep(const struct stream *stream) {
  static const struct psock_call_events events = {
      .size = sizeof events, .ended = on_ended, .room = on_room};
  struct stream *kept = malloc(sizeof *kept);
  if (kept == NULL || psock_call_hold(stream->call) < 0) {
    psock_call_fail(stream->call, PSOCK_STATUS_RESOURCE_EXHAUSTED,
        "too many streams wait for their reader");
    free(kept);
    return;
  }
  *kept = *stream;
  psock_call_set_events(stream->call, &events, kept);
}

static void start_stream(struct stream *stream) {
  if (!produce(stream))
    keep(stream);
}

/* ---- The messages of echo.proto ---- */

static void on_call(void *state, psock_call *call, const Request *request) {
  (void)state;
  const EchoRequest *body = request->body;
  if (body == NULL) {
    psock_call_fail(call, PSOCK_STATUS_INVALID_ARGUMENT, "there is no body");
  } else if (request->response_behavior == RESPONSE_BEHAVIOR__STREAM) {
    start_stream(&(struct stream){.call = call,
        .text = body->message,
        .nanotime = body->nanotime,
        .send = send_own});
  } else {
    EchoResponse echo;
    Response response;
    echo_response__init(&echo);
    response__init(&response);
    echo.message = body->message;
    echo.nanotime = body->nanotime;
    response.kind_case = RESPONSE__KIND_ECHO;
    response.echo = &echo;
    request__call__reply(call, &response);
  }
}

/* ---- The service of echo_service.proto ---- */

static void on_echo(
    void *state, psock_call *call, const Echo__EchoRequest *request) {
  (void)state;
  Echo__EchoResponse echo;
  echo__echo_response__init(&echo);
  echo.message = request->message;
  echo.nanotime = request->nanotime;
  echo__echo_service__echo__reply(call, &echo);
}

static void on_stream(
    void *state, psock_call *call, const Echo__EchoRequest *request) {
  (void)state;
  start_stream(&(struct stream){.call = call,
      .text = request->message,
      .nanotime = request->nanotime,
      .send = send_framed});
}

static int add(psock_server *server, int framed) {
  static const struct request__call__handlers own = {
      .size = sizeof own, .on_call = on_call};
  static const struct echo__echo_service__handlers service = {
      .size = sizeof service, .on_echo = on_echo, .on_stream = on_stream};
  if (framed)
    return psock_server_add(
        server, &echo__echo_service__service, &service, NULL);
  return psock_server_add(server, &request__call__service, &own, NULL);
}

enum { FRAME_WORD = COMMON_WORD };

static const struct option words[] = {
    {"frame", no_argument, NULL, FRAME_WORD}, COMMON_WORDS};

const struct program program = {.name = "echo-server",
    .usage = "usage: echo-server [-l ADDRESS]... [-v] [--frame]\n"
             "Answers calls: unary calls, streams, cancel.\n",
    .options = "  -v          say at the end how many calls there were\n"
               "  --frame     serve echo_service.proto instead of echo.proto\n",
    .default_address = "tcp:127.0.0.1:9000",
    .words = words};

int main(int argc, char **argv) {
  struct common_addresses addresses = {.count = 0};
  int framed = 0, verbose = 0, option;
  while ((option = common_option(argc, argv, ":l:v")) != -1) {
    if (option == 'l')
      common_add_address(&addresses, optarg);
    else if (option == 'v')
      verbose = 1;
    else
      framed = 1;
  }
  struct ev_loop *ev = ev_default_loop(0);
  psock_loop *loop = common_loop(ev);
  psock_server *server;
  int error = psock_server_new(loop, NULL, &server);
  if (error == 0)
    error = add(server, framed);
  if (error < 0)
    common_fail("no server: %s", psock_strerror(error));
  int status = common_serve_calls(ev, server, &addresses, verbose);
  psock_loop_free(loop);
  ev_loop_destroy(ev);
  return status;
}
