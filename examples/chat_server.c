/* SPDX-License-Identifier: BSD-2-Clause */
#include "chat.psock.h"
#include "common.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * chat-server: what one client says goes to all, itself included, so that
 * everybody reads the same in the same order. It shows a reactor with state,
 * and sending to connections other than the one that called.
 *
 * A member is the state of one connection. It comes into the room with its
 * name, its first message, and leaves it in `closed`.
 *
 * A member that reads slowly stops nobody: what does not fit into the queue of
 * its connection is lost to it. Once half of its queue is empty again it is
 * told how much that was.
 */

#define MAX_MESSAGE 4096
#define MAX_NAME 32

/* What is queued for one member, and what is read from one before the others
 * have their turn. The first is much the larger, so that those who read at once
 * lose nothing, however much somebody has to say. */
#define MAX_QUEUED (1u << 20)
#define MAX_BATCH (64u << 10)

struct member {
  struct room *room;
  psock_connection *connection;
  struct member *next, **link; /* in the room; `link` points here, or NULL */
  uint64_t lost;               /* messages, since its queue was full */
  char name[MAX_NAME + 1];
};

struct room {
  struct member *first;
};

static void tell(struct member *member, const Chat__ToClient *message) {
  int error = PSOCK_EFULL;
  if (member->lost == 0)
    error =
        psock_send(psock_connection_get_sender(member->connection), message);
  if (error == PSOCK_EFULL)
    member->lost++;
  else if (error < 0)
    psock_connection_close(member->connection);
}

/* Tells `member` what the server itself has to say. */
static void notify(struct member *member, char *text) {
  Chat__ToClient message;
  chat__to_client__init(&message);
  message.text = text;
  tell(member, &message);
}

static void on_writable(void *data) {
  struct member *member = data;
  char text[80];
  snprintf(text, sizeof text, "you read too slowly: %" PRIu64 " messages lost",
      member->lost);
  member->lost = 0;
  notify(member, text);
}

static void notify_all(struct room *room, const char *name, const char *event) {
  char text[MAX_NAME + 20];
  snprintf(text, sizeof text, "%s %s", name, event);
  for (struct member *to = room->first; to != NULL; to = to->next)
    notify(to, text);
}

static void enter(struct member *member, const char *name) {
  struct room *room = member->room;
  snprintf(member->name, sizeof member->name, "%s", name);
  member->next = room->first;
  member->link = &room->first;
  if (room->first != NULL)
    room->first->link = &member->next;
  room->first = member;
  notify_all(room, name, "has come");
}

static void leave(struct member *member) {
  *member->link = member->next;
  if (member->next != NULL)
    member->next->link = member->link;
  notify_all(member->room, member->name, "has left");
}

static void speak(struct member *member, char *text) {
  Chat__ToClient message;
  chat__to_client__init(&message);
  message.name = member->name;
  message.text = text;
  for (struct member *to = member->room->first; to != NULL; to = to->next)
    tell(to, &message);
}

static void on_opened(void *state, psock_connection *connection) {
  struct member *member = state;
  psock_sender_on_writable(
      psock_connection_get_sender(connection), on_writable, member);
}

/* Also for what a newer client may say. */
static void on_rest(
    void *state, psock_connection *connection, const Chat__ToServer *said) {
  (void)said;
  char rule[] = "say your name, of 1 to 32 bytes, once and first of all";
  notify(state, rule);
  psock_connection_close(connection);
}

static void on_name(void *state, psock_connection *connection,
    const Chat__ToServer *said, const char *name) {
  struct member *member = state;
  if (member->link != NULL || name[0] == '\0' || strlen(name) > MAX_NAME)
    on_rest(state, connection, said);
  else
    enter(member, name);
}

static void on_text(void *state, psock_connection *connection,
    const Chat__ToServer *said, const char *text) {
  struct member *member = state;
  (void)text;
  if (member->link == NULL)
    on_rest(state, connection, said);
  else
    speak(member, said->text);
}

static void on_closed(void *state, psock_connection *connection, int reason) {
  (void)connection;
  (void)reason;
  struct member *member = state;
  if (member->link != NULL)
    leave(member);
  free(member);
}

static int on_accepted(
    void *data, psock_connection *connection, psock_reactor *ret_reactor) {
  (void)connection;
  /* Without `input_ended` and `drain` a connection is closed in good order. */
  static const struct psock_reactor_ops ops = {
      .size = sizeof ops, .opened = on_opened, .closed = on_closed};
  static const struct chat__to_server__handlers handlers = {
      .size = sizeof handlers,
      .ops = &ops,
      .rest = on_rest,
      .on_name = on_name,
      .on_text = on_text};
  struct member *member = calloc(1, sizeof *member);
  if (member == NULL)
    return PSOCK_ENOMEM;
  member->room = data;
  member->connection = connection;
  *ret_reactor = chat__to_server__reactor(&handlers, member);
  return 0;
}

const struct program program = {.name = "chat-server",
    .usage = "usage: chat-server [-l ADDRESS]...\n"
             "Tells everybody what one of them says.\n",
    .default_address = "tcp:127.0.0.1:9001"};

int main(int argc, char **argv) {
  struct psock_protobuf_options limits = {
      .size = sizeof limits, .max_message = MAX_MESSAGE};
  psock_codec *inbound = common_codec(&chat__to_server__type, &limits);
  psock_codec *outbound = common_codec(&chat__to_client__type, NULL);
  struct room room = {NULL};
  struct psock_listener_options options = {.size = sizeof options,
      .connection =
          &(struct psock_connection_options){
              .size = sizeof(struct psock_connection_options),
              .inbound = inbound,
              .outbound = outbound,
              .max_queued = MAX_QUEUED,
              .batch_bytes = MAX_BATCH},
      .accepted = on_accepted,
      .data = &room};
  int status = common_serve(argc, argv, &options);
  psock_protobuf_codec_free(outbound);
  psock_protobuf_codec_free(inbound);
  return status;
}
