/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * line-server: a protocol of lines, to be spoken with nc(1). It shows another
 * codec than protobuf, and answers that come later than those to commands that
 * came after.
 *
 * A command is a line and is answered by a line, except that `help` has
 * several. `after` keeps its text and a timer; when that expires the text is
 * the answer. A session has at most MAX_WAITING of them, and none waits for
 * longer than MAX_DELAY.
 *
 * A session takes no more commands when its peer has ended its side, has said
 * `quit`, or when a drain was asked for. It closes when its last delayed
 * answer has gone. If the connection fails before that, `closed` throws the
 * delayed answers away.
 */

#define MAX_LINE 4096
#define MAX_WAITING 100
#define MAX_DELAY 10000u /* milliseconds */

struct session {
  psock_connection *connection;
  struct delayed *first; /* the delayed answers, in no order */
  unsigned waiting;
  int finishing;
};

/* An answer that waits for its time; in the list of its session. */
struct delayed {
  struct session *session;
  struct delayed *next, **link; /* `link` points here */
  psock_timer *timer;
  size_t length;
  char text[];
};

struct command {
  const char *name;
  void (*run)(struct session *session, struct psock_text rest);
  const char *help;
};

static void answer(struct session *session, struct psock_text line) {
  psock_sender *sender = psock_connection_get_sender(session->connection);
  int error = psock_send(sender, &line);
  if (error < 0 && error != PSOCK_ECLOSED)
    common_warn("an answer could not be sent, the connection is closed: %s",
        psock_strerror(error));
  if (error < 0)
    psock_connection_close(session->connection);
}

static void say(struct session *session, const char *text) {
  answer(session, (struct psock_text){text, strlen(text)});
}

static void close_if_done(struct session *session) {
  if (session->finishing && session->first == NULL)
    psock_connection_close(session->connection);
}

/* For `input_ended`, for `drain`, and for the command to quit. */
static void on_finish(void *state, psock_connection *connection) {
  struct session *session = state;
  session->finishing = 1;
  psock_connection_pause(connection);
  close_if_done(session);
}

static void free_delayed(struct delayed *delayed) {
  *delayed->link = delayed->next;
  if (delayed->next != NULL)
    delayed->next->link = delayed->link;
  delayed->session->waiting--;
  psock_timer_free(delayed->timer);
  free(delayed);
}

static void on_expired(void *data) {
  struct delayed *delayed = data;
  struct session *session = delayed->session;
  answer(session, (struct psock_text){delayed->text, delayed->length});
  free_delayed(delayed);
  close_if_done(session);
}

/* Keeps a copy of `text`, which is lent for the callback only. */
static int delay(
    struct session *session, unsigned milliseconds, struct psock_text text) {
  struct delayed *delayed = malloc(sizeof *delayed + text.length);
  psock_loop *loop = psock_connection_get_loop(session->connection);
  if (delayed == NULL)
    return PSOCK_ENOMEM;
  if (psock_timer_new(loop, on_expired, delayed, &delayed->timer) < 0) {
    free(delayed);
    return PSOCK_ENOMEM;
  }
  delayed->session = session;
  delayed->length = text.length;
  memcpy(delayed->text, text.text, text.length);
  delayed->next = session->first;
  delayed->link = &session->first;
  if (session->first != NULL)
    session->first->link = &delayed->next;
  session->first = delayed;
  session->waiting++;
  psock_timer_start(delayed->timer, milliseconds * UINT64_C(1000000));
  return 0;
}

/* Cuts the first word, and the space behind it, off `line`. */
static struct psock_text take_word(struct psock_text *line) {
  const char *space = memchr(line->text, ' ', line->length);
  struct psock_text word = *line;
  if (space != NULL)
    word.length = (size_t)(space - word.text);
  line->text += word.length + (space != NULL);
  line->length -= word.length + (space != NULL);
  return word;
}

/* A number up to MAX_DELAY, or something larger when it is none. */
static unsigned read_delay(struct psock_text word) {
  unsigned number = 0;
  if (word.length == 0)
    return MAX_DELAY + 1;
  for (size_t i = 0; i < word.length && number <= MAX_DELAY; i++) {
    if (word.text[i] < '0' || word.text[i] > '9')
      return MAX_DELAY + 1;
    number = number * 10 + (unsigned)(word.text[i] - '0');
  }
  return number;
}

static void run_after(struct session *session, struct psock_text rest) {
  unsigned milliseconds = read_delay(take_word(&rest));
  if (milliseconds > MAX_DELAY)
    say(session, "after needs a number of milliseconds, at most 10000");
  else if (session->waiting == MAX_WAITING)
    say(session, "there are 100 answers waiting; try again later");
  else if (delay(session, milliseconds, rest) < 0)
    say(session, "out of memory; try again later");
}

static void run_quit(struct session *session, struct psock_text rest) {
  (void)rest;
  on_finish(session, session->connection);
}

static void run_help(struct session *session, struct psock_text rest);

static const struct command commands[] = {
    {"echo", answer, "echo TEXT                answers TEXT"},
    {"after", run_after, "after MILLISECONDS TEXT  answers TEXT later"},
    {"help", run_help, "help                     answers this"},
    {"quit", run_quit,
        "quit                     closes, when all is answered"}};

static void run_help(struct session *session, struct psock_text rest) {
  (void)rest;
  for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
    say(session, commands[i].help);
}

static void on_message(
    void *state, psock_connection *connection, const void *message) {
  (void)connection;
  struct psock_text rest = *(const struct psock_text *)message;
  struct psock_text word = take_word(&rest);
  char text[80];
  for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
    if (strlen(commands[i].name) == word.length &&
        memcmp(commands[i].name, word.text, word.length) == 0) {
      commands[i].run(state, rest);
      return;
    }
  snprintf(text, sizeof text, "there is no command \"%.*s\"; help lists them",
      (int)(word.length < 20 ? word.length : 20), word.text);
  say(state, text);
}

static void on_closed(void *state, psock_connection *connection, int reason) {
  (void)connection;
  (void)reason;
  struct session *session = state;
  while (session->first != NULL)
    free_delayed(session->first);
  free(session);
}

static int on_accepted(
    void *data, psock_connection *connection, psock_reactor *ret_reactor) {
  (void)data;
  static const struct psock_reactor_ops ops = {.size = sizeof ops,
      .message = on_message,
      .input_ended = on_finish,
      .drain = on_finish,
      .closed = on_closed};
  struct session *session = calloc(1, sizeof *session);
  if (session == NULL)
    return PSOCK_ENOMEM;
  session->connection = connection;
  ret_reactor->ops = &ops;
  ret_reactor->state = session;
  return 0;
}

const struct program program = {.name = "line-server",
    .usage = "usage: line-server [-l ADDRESS]...\n"
             "Answers lines of text; say help to it with nc(1).\n",
    .default_address = "tcp:127.0.0.1:9002"};

int main(int argc, char **argv) {
  struct psock_text_codec lines;
  struct psock_listener_options options = {.size = sizeof options,
      .connection =
          &(struct psock_connection_options){
              .size = sizeof(struct psock_connection_options),
              .inbound = &lines.codec,
              .outbound = &lines.codec},
      .accepted = on_accepted};
  psock_line_codec_init(&lines, MAX_LINE);
  return common_serve(argc, argv, &options);
}
