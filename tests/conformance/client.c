/* SPDX-License-Identifier: BSD-2-Clause */
#include "conformance.psock.h"
#include "echo.psock.h"
#include <ev.h>
#include <inttypes.h>
#include <protosocket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The client of the conformance suite: the top of
 * tests/programs/test_conformance.py says what it reads and prints; service.py
 * does the same in Python.
 *
 * Standard input is one more thing that the loop waits for. A line is done as
 * soon as it has come, and never waits: what is to be sent in a call that has
 * no room for it is kept as the line that it came in, and read again in `room`.
 */

enum { MAX_LINE = 4096, MAX_METADATA = 16 };

/* A line of a call, kept. */
struct kept {
  struct kept *next;
  char words[];
};

struct call {
  struct call *next;
  psock_call *call; /* NULL: it has ended */
  struct kept *first, **last;
  size_t told;   /* entries of metadata */
  int ends;      /* requests end behind what is kept */
  int too_large; /* a request was, which is why it is cancelled */
  char name[];
};

struct client {
  struct ev_loop *ev;
  struct ev_io input;
  psock_loop *loop;
  psock_caller *caller;
  int messages;
  struct call *calls; /* the last one first */
  char line[MAX_LINE];
  size_t length; /* of what has come of it */
};

/* What the words of a line say. */
struct words {
  Conformance__Request request;
  struct psock_metadata metadata[MAX_METADATA];
  struct psock_call_options options;
};

/* Ends the program if there is an error. */
static void check(int error) {
  if (error >= 0)
    return;
  fprintf(stderr, "client: %s\n", psock_strerror(error));
  exit(1);
}

static void *check_memory(void *memory) {
  check(memory == NULL ? PSOCK_ENOMEM : 0);
  return memory;
}

/* ---- What is printed ---- */

static void print_number(const char *name, uint64_t number) {
  if (number != 0)
    printf(" %s=%" PRIu64, name, number);
}

static void print_text(const char *name, const char *text) {
  if (text[0] != '\0')
    printf(" %s=%s", name, text);
}

static void print_metadata(struct call *call, const psock_call *from) {
  struct psock_metadata one;
  for (; psock_call_get_metadata_at(from, call->told, &one) == 0; call->told++)
    printf("metadata %s %s=%.*s\n", call->name, one.key, (int)one.length,
        (const char *)one.value);
}

static void on_message(
    void *data, psock_call *from, const Conformance__Response *response) {
  struct call *call = data;
  print_metadata(call, from);
  printf("message %s", call->name);
  print_text("text", response->text);
  print_number("sequence", response->sequence);
  print_number("messages", response->messages);
  print_number("bytes", response->bytes);
  print_number("stray", response->stray);
  print_number("filler", response->filler.len);
  puts("");
}

static void on_own_message(
    void *data, psock_call *from, const Response *response) {
  struct call *call = data;
  (void)from;
  printf("message %s", call->name);
  if (response->kind_case == RESPONSE__KIND_ECHO) {
    print_text("message", response->echo->message);
    print_number("nanotime", response->echo->nanotime);
  } else if (response->kind_case == RESPONSE__KIND_STREAM) {
    print_text("message", response->stream->message);
    print_number("nanotime", response->stream->nanotime);
    print_number("sequence", response->stream->sequence);
  }
  puts("");
}

static void print_ended(
    const struct call *call, uint32_t code, int not_begun, const char *text) {
  printf("ended %s %" PRIu32 "%s%s%s\n", call->name, code,
      not_begun ? " not_begun" : "", text[0] != '\0' ? ": " : "", text);
}

static void forget_kept(struct call *call) {
  struct kept *kept = call->first;
  call->first = kept->next;
  if (kept->next == NULL)
    call->last = &call->first;
  free(kept);
}

static void on_ended(
    void *data, psock_call *from, const struct psock_status *status) {
  struct call *call = data;
  print_metadata(call, from);
  if (call->too_large)
    print_ended(call, PSOCK_STATUS_RESOURCE_EXHAUSTED, 0, "a large request");
  else
    print_ended(call, status->code, status->not_begun, status->text);
  psock_call_unref(call->call);
  call->call = NULL;
  while (call->first != NULL)
    forget_kept(call);
}

/* ---- What the words of a line say ---- */

static void set_filler(Conformance__Request *request, size_t size) {
  request->filler.data = check_memory(malloc(size + 1));
  request->filler.len = size;
  memset(request->filler.data, 'x', size);
}

static void add_metadata(struct words *words, const char *key, char *value) {
  check(words->options.metadata_count == MAX_METADATA ? PSOCK_ETOOBIG : 0);
  words->metadata[words->options.metadata_count++] = (struct psock_metadata){
      .key = key, .value = (const uint8_t *)value, .length = strlen(value)};
}

static void read_word(struct words *words, char *word) {
  char *value = strchr(word, '=');
  if (value == NULL)
    check(PSOCK_EINVAL);
  *value++ = '\0';
  uint32_t number = (uint32_t)strtoul(value, NULL, 10);
  if (strncmp(word, "meta.", 5) == 0)
    add_metadata(words, word + 5, value);
  else if (strcmp(word, "timeout_ms") == 0)
    words->options.timeout = number * UINT64_C(1000000);
  else if (strcmp(word, "text") == 0)
    words->request.text = value;
  else if (strcmp(word, "count") == 0)
    words->request.count = number;
  else if (strcmp(word, "size") == 0)
    words->request.size = number;
  else if (strcmp(word, "status_code") == 0)
    words->request.status_code = number;
  else if (strcmp(word, "status_text") == 0)
    words->request.status_text = value;
  else if (strcmp(word, "delay_ms") == 0)
    words->request.delay_ms = number;
  else if (strcmp(word, "ask_stray") == 0)
    words->request.ask_stray = number != 0;
  else if (strcmp(word, "filler") == 0)
    set_filler(&words->request, number);
  else
    check(PSOCK_EINVAL);
}

/* `rest` has to last as long as `ret_words`, which is freed with
 * free_words. */
static void read_words(char *rest, struct words *ret_words) {
  char *word;
  memset(ret_words, 0, sizeof *ret_words);
  conformance__request__init(&ret_words->request);
  ret_words->options.size = sizeof ret_words->options;
  ret_words->options.timeout = PSOCK_TIMEOUT_NONE;
  ret_words->options.metadata = ret_words->metadata;
  while ((word = strtok_r(rest, " ", &rest)) != NULL)
    read_word(ret_words, word);
}

static void free_words(struct words *words) {
  free(words->request.filler.data);
}

/* ---- Requests of a stream ---- */

static int send_request(psock_call *call, const char *text) {
  struct words words;
  char copy[MAX_LINE];
  strcpy(copy, text);
  read_words(copy, &words);
  int error = psock_call_send(call, &words.request);
  free_words(&words);
  return error;
}

/* Sends what was kept, as far as there is room, and then the end. Behind a
 * request that is too large nothing is sent any more. */
static void send_kept(struct call *call) {
  while (call->first != NULL) {
    int error = send_request(call->call, call->first->words);
    call->too_large = error == PSOCK_ETOOBIG;
    if (call->too_large)
      psock_call_cancel(call->call);
    if (call->too_large || error == PSOCK_EFULL)
      return;
    check(error == PSOCK_ECANCELED ? 0 : error);
    forget_kept(call);
  }
  int error = call->ends ? psock_call_end(call->call, NULL) : 0;
  check(error == PSOCK_ECANCELED ? 0 : error);
}

static void on_room(void *data, psock_call *from) {
  (void)from;
  send_kept(data);
}

static void keep(struct call *call, const char *words) {
  size_t size = strlen(words) + 1;
  struct kept *kept = check_memory(malloc(sizeof *kept + size));
  memcpy(kept->words, words, size);
  kept->next = NULL;
  *call->last = kept;
  call->last = &kept->next;
  if (call->first == kept)
    send_kept(call);
}

static void end(struct call *call) {
  call->ends = 1;
  if (call->first == NULL)
    send_kept(call);
}

/* ---- Starts ---- */

#define EVENTS                                                                 \
  {                                                                            \
    .size = sizeof(struct psock_call_events), .ended = on_ended,               \
    .room = on_room                                                            \
  }

static int start_unary(
    struct client *client, const struct words *words, struct call *call) {
  static const struct conformance__conformance__unary__events events = {
      .events = EVENTS, .message = on_message};
  return conformance__conformance__unary__start(client->caller, &words->request,
      &words->options, &events, call, &call->call);
}

static int start_download(
    struct client *client, const struct words *words, struct call *call) {
  static const struct conformance__conformance__download__events events = {
      .events = EVENTS, .message = on_message};
  return conformance__conformance__download__start(client->caller,
      &words->request, &words->options, &events, call, &call->call);
}

static int start_upload(
    struct client *client, const struct words *words, struct call *call) {
  static const struct conformance__conformance__upload__events events = {
      .events = EVENTS, .message = on_message};
  return conformance__conformance__upload__start(
      client->caller, &words->options, &events, call, &call->call);
}

static int start_chat(
    struct client *client, const struct words *words, struct call *call) {
  static const struct conformance__conformance__chat__events events = {
      .events = EVENTS, .message = on_message};
  return conformance__conformance__chat__start(
      client->caller, &words->options, &events, call, &call->call);
}

static int start_hang(
    struct client *client, const struct words *words, struct call *call) {
  static const struct conformance__conformance__hang__events events = {
      .events = EVENTS, .message = on_message};
  return conformance__conformance__hang__start(client->caller, &words->request,
      &words->options, &events, call, &call->call);
}

static int start_own(
    struct client *client, const struct words *words, struct call *call) {
  static const struct request__call__events events = {
      .events = EVENTS, .message = on_own_message};
  EchoRequest body;
  Request request;
  echo_request__init(&body);
  request__init(&request);
  body.message = words->request.text;
  request.body = &body;
  if (words->options.streams)
    request.response_behavior = RESPONSE_BEHAVIOR__STREAM;
  return request__call__start(
      client->caller, &request, &words->options, &events, call, &call->call);
}

static const struct method {
  const char *name;
  int messages, streams; /* for --messages; and then: has many responses */
  int (*start)(
      struct client *client, const struct words *words, struct call *call);
} methods[] = {{"unary", 0, 0, start_unary}, {"download", 0, 0, start_download},
    {"upload", 0, 0, start_upload}, {"chat", 0, 0, start_chat},
    {"hang", 0, 0, start_hang}, {"unary", 1, 0, start_own},
    {"download", 1, 1, start_own}};

static struct call *add_call(struct client *client, const char *name) {
  size_t size = strlen(name) + 1;
  struct call *call = check_memory(calloc(1, sizeof *call + size));
  memcpy(call->name, name, size);
  call->last = &call->first;
  call->next = client->calls;
  client->calls = call;
  return call;
}

static void start(struct client *client, const struct method *method,
    const char *name, char *rest) {
  struct call *call = add_call(client, name);
  struct words words;
  read_words(rest, &words);
  words.options.streams = method->streams;
  int error = method->start(client, &words, call);
  free_words(&words);
  if (error == PSOCK_ETOOBIG || error == PSOCK_EFULL)
    print_ended(
        call, PSOCK_STATUS_RESOURCE_EXHAUSTED, 0, psock_strerror(error));
  else if (error == PSOCK_ECLOSED)
    print_ended(call, PSOCK_STATUS_UNAVAILABLE, 1, psock_strerror(error));
  else
    check(error);
}

/* ---- Lines ---- */

static const struct method *find_method(
    const struct client *client, const char *name) {
  for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
    if (methods[i].messages == client->messages &&
        strcmp(methods[i].name, name) == 0)
      return &methods[i];
  return NULL;
}

static struct call *find_call(struct client *client, const char *name) {
  struct call *call = client->calls;
  while (call != NULL && strcmp(call->name, name) != 0)
    call = call->next;
  return call;
}

static void print_stray(struct client *client) {
  struct psock_caller_stats stats = {.size = sizeof stats};
  psock_caller_get_stats(client->caller, &stats);
  printf("stray %" PRIu64 "\n", stats.stray);
}

static void take_line(struct client *client, char *line) {
  char *rest = line;
  const char *command = strtok_r(rest, " ", &rest);
  const char *name = strtok_r(rest, " ", &rest);
  if (command != NULL && strcmp(command, "stray") == 0) {
    print_stray(client);
    return;
  }
  if (name == NULL)
    check(PSOCK_EINVAL);
  const struct method *method = find_method(client, command);
  struct call *call = find_call(client, name);
  if (method != NULL)
    start(client, method, name, rest);
  else if (call == NULL)
    check(PSOCK_ENOENT);
  else if (call->call == NULL)
    return; /* it has ended, whatever is still asked for */
  else if (strcmp(command, "send") == 0)
    keep(call, rest != NULL ? rest : "");
  else if (strcmp(command, "end") == 0)
    end(call);
  else if (strcmp(command, "cancel") == 0)
    psock_call_cancel(call->call);
  else
    check(PSOCK_EINVAL);
}

static void take_lines(struct client *client) {
  char *end;
  client->line[client->length] = '\0';
  while ((end = strchr(client->line, '\n')) != NULL) {
    char line[MAX_LINE];
    size_t length = (size_t)(end - client->line);
    memcpy(line, client->line, length);
    line[length] = '\0';
    client->length -= length + 1;
    memmove(client->line, end + 1, client->length + 1);
    take_line(client, line);
  }
  check(client->length == MAX_LINE - 1 ? PSOCK_ETOOBIG : 0);
}

static void on_closed(void *data) {
  struct client *client = data;
  psock_caller_free(client->caller);
}

static void on_input(struct ev_loop *ev, struct ev_io *watcher, int events) {
  (void)events;
  struct client *client = watcher->data;
  ssize_t length = read(STDIN_FILENO, client->line + client->length,
      MAX_LINE - 1 - client->length);
  if (length > 0) {
    client->length += (size_t)length;
    take_lines(client);
    return;
  }
  ev_io_stop(ev, watcher);
  check(psock_caller_close(client->caller, on_closed, client));
}

/* ---- The program ---- */

/* One connection, and no other after it. */
static void connect_to(struct client *client, const char *text) {
  struct psock_caller_options options = {.size = sizeof options,
      .messages = client->messages ? &request__call__service : NULL};
  struct psock_address address;
  psock_transport *transport;
  check(psock_address_parse(text, &address));
  int fd = socket(address.storage.ss_family, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (const struct sockaddr *)&address.storage,
                    address.length) < 0)
    check(PSOCK_EREFUSED);
  check(psock_transport_socket_new(client->loop, fd, &transport));
  check(psock_caller_new(client->loop, transport, &options, &client->caller));
}

int main(int argc, char **argv) {
  static struct client client;
  client.messages = argc == 3 && strcmp(argv[2], "--messages") == 0;
  if (argc != 2 + client.messages) {
    fputs("usage: client ADDRESS [--messages]\n", stderr);
    return 2;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  client.ev = ev_default_loop(0);
  check(psock_loop_new(client.ev, NULL, &client.loop));
  connect_to(&client, argv[1]);
  ev_io_init(&client.input, on_input, STDIN_FILENO, EV_READ);
  client.input.data = &client;
  ev_io_start(client.ev, &client.input);
  ev_run(client.ev, 0);
  while (client.calls != NULL) {
    struct call *next = client.calls->next;
    free(client.calls);
    client.calls = next;
  }
  psock_loop_free(client.loop);
  ev_loop_destroy(client.ev);
  return 0;
}
