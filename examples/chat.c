/* SPDX-License-Identifier: BSD-2-Clause */
#include "chat.psock.h"
#include "common.h"
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * chat: a client of chat-server. What comes from the server is printed, what
 * is typed is sent, line by line, each as it comes: standard input is watched
 * with libev, next to the connection and on the same loop, and may as well be
 * a pipe or a file.
 *
 * When the queue is full, input is left where it is until there is room. At
 * its end the connection is closed in good order, so that all of it arrives.
 * If the connection ends first, the program says why and exits with status 1.
 */

#define MAX_LINE 1024

struct chat {
  struct ev_loop *ev;
  struct ev_io input;
  psock_connection *connection;
  psock_sender *sender;
  char line[MAX_LINE + 1]; /* what has been read and not been sent */
  size_t length;
  int input_ended;
  const char *server;
  int status;
};

/* The connection need not be open for this: what is sent waits until it is. */
static int say(struct chat *chat, Chat__ToServer__KindCase kind, char *text) {
  Chat__ToServer message;
  chat__to_server__init(&message);
  message.kind_case = kind;
  if (kind == CHAT__TO_SERVER__KIND_NAME)
    message.name = text;
  else
    message.text = text;
  return psock_send(chat->sender, &message);
}

/* Sends the lines that are whole; also what is too long for one line, and, at
 * the end of the input, what has no line feed. Input stops while the queue is
 * full: then on_writable is called. */
static void say_lines(struct chat *chat) {
  for (;;) {
    char *feed = memchr(chat->line, '\n', chat->length);
    size_t length = feed != NULL ? (size_t)(feed - chat->line) : chat->length;
    if (feed == NULL && length < MAX_LINE &&
        (!chat->input_ended || length == 0))
      break;
    chat->line[length] = '\0';
    if (say(chat, CHAT__TO_SERVER__KIND_TEXT, chat->line) == PSOCK_EFULL) {
      if (feed != NULL)
        *feed = '\n';
      ev_io_stop(chat->ev, &chat->input);
      return;
    }
    length += feed != NULL;
    chat->length -= length;
    memmove(chat->line, chat->line + length, chat->length);
  }
  if (chat->input_ended)
    psock_connection_close(chat->connection);
  else
    ev_io_start(chat->ev, &chat->input);
}

static void on_writable(void *data) {
  say_lines(data);
}

static void on_input(struct ev_loop *ev, struct ev_io *input, int events) {
  (void)events;
  struct chat *chat = input->data;
  ssize_t count =
      read(STDIN_FILENO, chat->line + chat->length, MAX_LINE - chat->length);
  if (count < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (count > 0) {
    chat->length += (size_t)count;
  } else {
    if (count < 0)
      common_warn("standard input: %s", strerror(errno));
    chat->status = count < 0;
    chat->input_ended = 1;
    ev_io_stop(ev, input);
  }
  say_lines(chat);
}

/* What others say must not steer the terminal: control characters, which in
 * UTF-8 are also 0xc2 with a byte from 0x80 to 0x9f, are shown as dots. */
static void print(const char *text) {
  for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
    int two = c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0;
    c += two;
    putchar(two || *c < ' ' || *c == 0x7f ? '.' : *c);
  }
}

static void on_message(
    void *state, psock_connection *connection, const void *message) {
  (void)state;
  (void)connection;
  const Chat__ToClient *said = message;
  print(said->name[0] != '\0' ? said->name : "*");
  fputs(said->name[0] != '\0' ? ": " : " ", stdout);
  print(said->text);
  putchar('\n');
}

static void on_batch_end(void *state, psock_connection *connection) {
  (void)state;
  (void)connection;
  fflush(stdout);
}

static void on_closed(void *state, psock_connection *connection, int reason) {
  (void)connection;
  struct chat *chat = state;
  ev_io_stop(chat->ev, &chat->input);
  if (reason == 0 && chat->input_ended)
    return;
  common_warn("%s: %s", chat->server,
      reason == 0 ? "the server has closed the connection"
                  : psock_strerror(reason));
  chat->status = 1;
}

static int begin(struct chat *chat, psock_loop *loop,
    const struct psock_connection_options *options, char *name) {
  struct psock_address address = common_address("-a", chat->server);
  int error = psock_connect(loop, &address, options, &chat->connection);
  if (error < 0)
    return error;
  chat->sender = psock_connection_get_sender(chat->connection);
  psock_sender_on_writable(chat->sender, on_writable, chat);
  ev_io_init(&chat->input, on_input, STDIN_FILENO, EV_READ);
  chat->input.data = chat;
  ev_io_start(chat->ev, &chat->input);
  return say(chat, CHAT__TO_SERVER__KIND_NAME, name);
}

const struct program program = {.name = "chat",
    .usage =
        "usage: chat [-a ADDRESS] [-n NAME]\n"
        "Sends what is typed to a chat-server, and prints what all say.\n\n"
        "  -a ADDRESS  of the server; default tcp:127.0.0.1:9001\n"
        "  -n NAME     who you are; default $USER\n"
        "  --help      print this\n"
        "  --version   print the version of the library\n"};

int main(int argc, char **argv) {
  static const struct psock_reactor_ops ops = {.size = sizeof ops,
      .message = on_message,
      .batch_end = on_batch_end,
      .closed = on_closed};
  static char nobody[] = "somebody";
  if (fcntl(STDIN_FILENO, F_GETFD) < 0)
    common_fail("standard input: %s", strerror(errno));
  struct chat chat = {.ev = ev_default_loop(0), .server = "tcp:127.0.0.1:9001"};
  struct psock_connection_options options = {
      .size = sizeof options, .reactor = {.ops = &ops, .state = &chat}};
  char *name = getenv("USER") != NULL ? getenv("USER") : nobody;
  psock_codec *inbound = common_codec(&chat__to_client__type, NULL);
  psock_codec *outbound = common_codec(&chat__to_server__type, NULL);
  psock_loop *loop = common_loop(chat.ev);
  int option;
  while ((option = common_option(argc, argv, ":a:n:")) != -1)
    if (option == 'a')
      chat.server = optarg;
    else
      name = optarg;
  options.inbound = inbound;
  options.outbound = outbound;
  int error = begin(&chat, loop, &options, name);
  if (error < 0)
    common_fail("%s: %s", chat.server, psock_strerror(error));
  ev_run(chat.ev, 0);
  psock_loop_free(loop);
  psock_protobuf_codec_free(outbound);
  psock_protobuf_codec_free(inbound);
  ev_loop_destroy(chat.ev);
  return chat.status;
}
