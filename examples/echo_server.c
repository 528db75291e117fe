/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"
#include "echo.psock.h"
#include <stdlib.h>
#include <string.h>

/*
 * echo-server: serves echo.proto. One reactor answers the calls of one
 * connection: a unary call with its message, a streaming call with an item for
 * each byte of its message (up to the first NUL, where strings of protobuf-c
 * end) and an end. Calls are matched by request_id and controlled by code, as
 * protosocket-wire(7) has it.
 *
 * A unary call is answered inside `message`. So is a stream, for as long as
 * the connection has room. What is left of it then waits in a queue, with its
 * request held, and goes on in `room`: a stream is only ever produced as fast
 * as its reader takes it, and costs no more memory for being long. Streams
 * that wait take turns.
 *
 * Replies are built on the stack: psock_send has encoded them when it returns.
 * When it fails the connection is closed, or the caller would wait for ever.
 *
 * A session, the state of one reactor, lives from `accepted` to `closed`, and
 * owns its streams. After a drain, or when the peer has ended its side, the
 * session lets its streams run out, and then closes.
 */

/* What a session keeps for streams that wait, in bytes; further ones are
 * refused. A stream counts with its message, and with what may be held besides
 * it, since a message is held together with some that came with it. */
#define MAX_KEPT (16u << 20)
#define STREAM_COST (64u << 10)

/* Bytes of text from which not copying it pays for holding it. */
#define LONG_TEXT (32u << 10)

/* Items that a stream may send before the next one has its turn. */
#define TURN 64

struct stream {
  struct stream *next;
  psock_hold *hold; /* keeps `request` */
  const Request *request;
  uint64_t id;     /* the request's, at hand for `find` */
  size_t sequence; /* of the next item */
  size_t cost;     /* its part of `kept` */
};

struct session {
  psock_connection *connection;
  psock_sender *sender;
  struct stream *first; /* the streams that wait, next turn first */
  struct stream **last; /* where the next one is hung up */
  size_t kept;
  int finishing;
};

static int check_sent(struct session *session, int error) {
  /* Dispatch stops while the queue is more than half full, so only a reply of
   * half a queue's size can meet PSOCK_EFULL. */
  if (error < 0 && error != PSOCK_ECLOSED)
    common_warn("a reply could not be sent, the connection is closed: %s",
        psock_strerror(error));
  if (error < 0)
    psock_connection_close(session->connection);
  return error;
}

static int reply(struct session *session, const Response *response) {
  return check_sent(session, psock_send(session->sender, response));
}

static void cancel(struct session *session, uint64_t id) {
  Response response;
  response__make_cancel(&response, id);
  reply(session, &response);
}

static void end(struct session *session, uint64_t id) {
  Response response;
  response__make_end(&response, id);
  reply(session, &response);
}

static void release_hold(void *hold) {
  psock_hold_release(hold);
}

/* A long text is sent from where it was received to: its request is held until
 * it has left. */
static void reply_lending(struct session *session, const Response *response) {
  const void *message = response;
  struct psock_send_options options = {
      .size = sizeof options, .release = release_hold};
  psock_hold *hold;
  if (psock_connection_hold(session->connection, &hold) < 0) {
    reply(session, response);
    return;
  }
  options.release_data = hold;
  int error = psock_send_many(session->sender, &message, 1, &options);
  if (error < 0)
    psock_hold_release(hold);
  check_sent(session, error);
}

static void echo(struct session *session, const Request *request) {
  EchoResponse body;
  Response response;
  echo_response__init(&body);
  response__init(&response);
  body.message = request->body->message;
  body.nanotime = request->body->nanotime;
  response.request_id = request->request_id;
  response.kind_case = RESPONSE__KIND_ECHO;
  response.echo = &body;
  if (strnlen(body.message, LONG_TEXT) == LONG_TEXT)
    reply_lending(session, &response);
  else
    reply(session, &response);
}

/* The character U+0000 to U+00FF in UTF-8, as a string. */
static void set_character(char text[3], unsigned char value) {
  int two = value >= 0x80;
  text[0] = (char)(two ? 0xc0 | value >> 6 : value);
  text[1] = (char)(two ? 0x80 | (value & 0x3f) : 0);
  text[2] = '\0';
}

/*
 * Sends items of a stream, from number `sequence` on, at most `most` of them
 * and only while there is room; behind the last one, the end. Returns whether
 * the stream is over.
 */
static int produce(
    struct session *session, struct stream *stream, size_t most) {
  const Request *request = stream->request;
  const char *message = request->body->message;
  char character[3];
  EchoStream item;
  Response response;
  echo_stream__init(&item);
  response__init(&response);
  item.message = character;
  item.nanotime = request->body->nanotime;
  response.request_id = request->request_id;
  response.kind_case = RESPONSE__KIND_STREAM;
  response.stream = &item;
  for (; message[stream->sequence] != '\0'; stream->sequence++) {
    if (most-- == 0 || psock_connection_get_room(session->connection) == 0)
      return 0;
    set_character(character, (unsigned char)message[stream->sequence]);
    item.sequence = stream->sequence;
    if (reply(session, &response) < 0)
      return 1;
  }
  end(session, request->request_id);
  return 1;
}

static void append(struct session *session, struct stream *stream) {
  stream->next = NULL;
  *session->last = stream;
  session->last = &stream->next;
}

/* Takes the stream at `link` out of the queue. */
static struct stream *take(struct session *session, struct stream **link) {
  struct stream *stream = *link;
  *link = stream->next;
  if (*link == NULL)
    session->last = link;
  return stream;
}

static void free_stream(struct session *session, struct stream *stream) {
  session->kept -= stream->cost;
  psock_hold_release(stream->hold);
  free(stream);
}

/* Puts a copy of `stream` into the queue, and keeps its request. */
static int keep(struct session *session, struct stream *stream) {
  const char *rest = stream->request->body->message + stream->sequence;
  stream->cost = STREAM_COST + stream->sequence + strlen(rest);
  if (stream->cost > MAX_KEPT - session->kept)
    return PSOCK_EFULL;
  struct stream *kept = malloc(sizeof *kept);
  if (kept == NULL)
    return PSOCK_ENOMEM;
  if (psock_connection_hold(session->connection, &stream->hold) < 0) {
    free(kept);
    return PSOCK_ENOMEM;
  }
  *kept = *stream;
  session->kept += kept->cost;
  append(session, kept);
  psock_connection_want_room(session->connection);
  return 0;
}

/* A stream begins at once, unless others wait: then it waits with them. */
static void start_stream(struct session *session, const Request *request) {
  struct stream stream = {.request = request, .id = request->request_id};
  if (session->first == NULL && produce(session, &stream, SIZE_MAX))
    return;
  if (keep(session, &stream) < 0)
    cancel(session, request->request_id);
}

static struct stream **find(struct session *session, uint64_t id) {
  struct stream **link = &session->first;
  while (*link != NULL && (*link)->id != id)
    link = &(*link)->next;
  return link;
}

static void close_if_done(struct session *session) {
  if (session->finishing && session->first == NULL)
    psock_connection_close(session->connection);
}

static void on_message(
    void *state, psock_connection *connection, const void *message) {
  (void)connection;
  struct session *session = state;
  const Request *request = message;
  struct stream **running;
  if (request->code == PSOCK_CODE_END)
    return;
  running = find(session, request->request_id);
  if (*running != NULL) {
    /* A cancel, or a start with an id that is in use: both stop the stream. */
    free_stream(session, take(session, running));
    cancel(session, request->request_id);
    close_if_done(session);
  } else if (request->code != PSOCK_CODE_NORMAL) {
    /* A cancel for a call that has ended. */
  } else if (request->body == NULL || session->finishing) {
    cancel(session, request->request_id);
  } else if (request->response_behavior == RESPONSE_BEHAVIOR__STREAM) {
    start_stream(session, request);
  } else {
    echo(session, request);
  }
}

static void on_room(void *state, psock_connection *connection) {
  struct session *session = state;
  while (session->first != NULL && psock_connection_get_room(connection) > 0) {
    struct stream *stream = take(session, &session->first);
    if (produce(session, stream, TURN))
      free_stream(session, stream);
    else
      append(session, stream);
  }
  if (session->first != NULL)
    psock_connection_want_room(connection);
  close_if_done(session);
}

/* Both for `drain` and for `input_ended`. */
static void on_finish(void *state, psock_connection *connection) {
  (void)connection;
  struct session *session = state;
  session->finishing = 1;
  close_if_done(session);
}

static void on_closed(void *state, psock_connection *connection, int reason) {
  (void)connection;
  (void)reason;
  struct session *session = state;
  while (session->first != NULL)
    free_stream(session, take(session, &session->first));
  free(session);
}

static int on_accepted(
    void *data, psock_connection *connection, psock_reactor *ret_reactor) {
  (void)data;
  static const struct psock_reactor_ops ops = {.size = sizeof ops,
      .message = on_message,
      .room = on_room,
      .input_ended = on_finish,
      .drain = on_finish,
      .closed = on_closed};
  struct session *session = calloc(1, sizeof *session);
  if (session == NULL)
    return PSOCK_ENOMEM;
  session->connection = connection;
  session->sender = psock_connection_get_sender(connection);
  session->last = &session->first;
  ret_reactor->ops = &ops;
  ret_reactor->state = session;
  return 0;
}

const struct program program = COMMON_SERVER("echo-server",
    "Serves echo.proto: unary calls, streams, cancel.\n", "tcp:127.0.0.1:9000");

int main(int argc, char **argv) {
  psock_codec *inbound = common_codec(&request__type, NULL);
  psock_codec *outbound = common_codec(&response__type, NULL);
  struct psock_listener_options options = {.size = sizeof options,
      .connection =
          &(struct psock_connection_options){
              .size = sizeof(struct psock_connection_options),
              .inbound = inbound,
              .outbound = outbound},
      .accepted = on_accepted};
  int status = common_serve(argc, argv, &options);
  psock_protobuf_codec_free(outbound);
  psock_protobuf_codec_free(inbound);
  return status;
}
