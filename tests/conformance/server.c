/* SPDX-License-Identifier: BSD-2-Clause */
#include "conformance.psock.h"
#include "echo.psock.h"
#include <ev.h>
#include <protosocket.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The server of the conformance suite: conformance.proto says what it does, the
 * top of tests/programs/test_conformance.py how it is run, and service.py does
 * the same in Python.
 *
 * A call is a struct work from its handler to its end. Methods come in two
 * kinds: one collects requests and answers once, the other answers each request
 * with a stream; a call with one request is the same with that one only. Work
 * on a request goes on until it has to wait, for time or for room, and is taken
 * up again by the timer or by `room`; meanwhile no further request is taken.
 * What can be answered at once is answered inside the handler, so that both
 * ways of answering are put to the test.
 */

struct server {
  struct ev_loop *ev;
  struct ev_signal signals[2];
  psock_loop *loop;
  psock_server *server;
};

struct work {
  struct server *server;
  const struct kind *kind;
  psock_call *call;
  psock_timer *timer;
  /* The last request, with texts of its own; of the filler only the length. */
  Conformance__Request request;
  uint64_t nanotime; /* of echo.proto's */
  int busy;          /* there is something left to do for it */
  int waited;        /* for the delay of what comes next */
  int requests_ended;
  uint32_t left; /* responses to it */
  uint32_t sequence;
  /* Of all requests. */
  char *texts;
  uint32_t messages;
  uint64_t bytes;
};

struct kind {
  /* Goes on with a request; `busy` is 0 when that is done. */
  void (*step)(struct work *work);
  /* All requests are done. */
  void (*finish)(struct work *work);
  /* Sends one of many responses; NULL where there is one. */
  int (*send)(struct work *work);
};

/* Ends the program if there is an error. */
static void check(int error) {
  if (error >= 0)
    return;
  fprintf(stderr, "server: %s\n", psock_strerror(error));
  exit(1);
}

static void *check_memory(void *memory) {
  check(memory == NULL ? PSOCK_ENOMEM : 0);
  return memory;
}

/* ---- Metadata ---- */

/* Sends back what came with a key that begins with `prefix`. */
static void return_metadata(psock_call *call, const char *prefix) {
  struct psock_metadata one;
  int error = 0;
  for (size_t i = 0; psock_call_get_metadata_at(call, i, &one) == 0; i++)
    if (error == 0 && strncmp(one.key, prefix, strlen(prefix)) == 0)
      error = psock_call_add_metadata(call, one.key, one.value, one.length);
  if (error < 0)
    psock_call_fail(call, PSOCK_STATUS_INTERNAL, psock_strerror(error));
}

/* The last frame of a stream comes next. */
static void begin_last(struct work *work) {
  if (work->kind->send != NULL && work->sequence == 0)
    return_metadata(work->call, "last-");
}

/* ---- What is common to all methods ---- */

static void fail(struct work *work, uint32_t code, const char *text) {
  begin_last(work);
  psock_call_fail(work->call, code, text);
}

/* Returns whether the request has asked for that. */
static int fail_if_asked(struct work *work) {
  const Conformance__Request *request = &work->request;
  if (request->status_code != 0)
    fail(work, request->status_code, request->status_text);
  return request->status_code != 0;
}

/* Returns whether the delay has still to pass. */
static int must_wait(struct work *work) {
  if (work->request.delay_ms == 0 || work->waited)
    return 0;
  psock_timer_start(work->timer, work->request.delay_ms * UINT64_C(1000000));
  return 1;
}

static void go_on(struct work *work) {
  work->kind->step(work);
  if (work->busy)
    return;
  if (work->requests_ended)
    work->kind->finish(work);
  else
    psock_call_resume(work->call);
}

static void on_time(void *data) {
  struct work *work = data;
  work->waited = 1;
  go_on(work);
}

static void on_room(void *data, psock_call *call) {
  (void)call;
  go_on(data);
}

static void free_work(struct work *work) {
  psock_timer_free(work->timer);
  free(work->request.text);
  free(work->request.status_text);
  free(work->texts);
  free(work);
}

static void on_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  (void)call;
  (void)status;
  free_work(data);
}

/* Keeps the request for as long as it is worked on. */
static void take_request(
    struct work *work, const Conformance__Request *request) {
  free(work->request.text);
  free(work->request.status_text);
  work->request = *request;
  work->request.text = check_memory(strdup(request->text));
  work->request.status_text = check_memory(strdup(request->status_text));
  work->left = request->count;
  work->busy = 1;
  work->waited = 0;
}

static void on_request(
    void *data, psock_call *call, const Conformance__Request *request) {
  struct work *work = data;
  take_request(work, request);
  work->kind->step(work);
  if (work->busy)
    psock_call_pause(call);
}

static void on_requests_ended(void *data, psock_call *call) {
  (void)call;
  struct work *work = data;
  work->requests_ended = 1;
  if (!work->busy)
    work->kind->finish(work);
}

static struct work *new_work(
    struct server *server, psock_call *call, const struct kind *kind) {
  struct work *work = check_memory(calloc(1, sizeof *work));
  work->server = server;
  work->kind = kind;
  work->call = call;
  check(psock_timer_new(server->loop, on_time, work, &work->timer));
  return_metadata(call, "first-");
  if (kind->send == NULL)
    return_metadata(call, "last-");
  return work;
}

/* The metadata have to last until `ended`. Returns 0 if that can't be; the call
 * has failed then. */
static int keep(struct work *work) {
  int error = psock_call_hold(work->call);
  if (error == 0)
    return 1;
  fail(work, PSOCK_STATUS_RESOURCE_EXHAUSTED, psock_strerror(error));
  free_work(work);
  return 0;
}

static void serve(struct work *work, const Conformance__Request *request) {
  static const struct psock_call_events events = {
      .size = sizeof events, .ended = on_ended, .room = on_room};
  take_request(work, request);
  work->requests_ended = 1;
  go_on(work);
  if (psock_call_get_status(work->call) != NULL)
    free_work(work);
  else if (keep(work))
    psock_call_set_events(work->call, &events, work);
}

/* ---- One response: Unary and Upload ---- */

static void set_filler(Conformance__Response *response, uint32_t size) {
  response->filler.data = check_memory(malloc((size_t)size + 1));
  response->filler.len = size;
  memset(response->filler.data, 'x', size);
}

static void collect(struct work *work) {
  if (must_wait(work) || fail_if_asked(work))
    return;
  size_t length = work->texts != NULL ? strlen(work->texts) : 0;
  size_t more = strlen(work->request.text) + 1;
  work->texts = check_memory(realloc(work->texts, length + more));
  memcpy(work->texts + length, work->request.text, more);
  work->messages++;
  work->bytes += work->request.filler.len;
  work->busy = 0;
}

static uint64_t get_stray(const struct work *work) {
  struct psock_server_stats stats = {.size = sizeof stats};
  psock_server_get_stats(work->server->server, &stats);
  return stats.stray;
}

/* A reply that can't be sent ends the call as it should. */
static void reply(struct work *work,
    int (*send)(psock_call *call, const Conformance__Response *response),
    uint64_t stray) {
  Conformance__Response response;
  conformance__response__init(&response);
  set_filler(&response, work->request.size);
  if (work->texts != NULL)
    response.text = work->texts;
  response.messages = work->messages;
  response.bytes = work->bytes;
  response.stray = stray;
  send(work->call, &response);
  free(response.filler.data);
}

static void finish_unary(struct work *work) {
  reply(work, conformance__conformance__unary__reply,
      work->request.ask_stray ? get_stray(work) : 0);
}

static void finish_upload(struct work *work) {
  reply(work, conformance__conformance__upload__reply, 0);
}

static void on_unary(
    void *state, psock_call *call, const Conformance__Request *request) {
  static const struct kind kind = {.step = collect, .finish = finish_unary};
  serve(new_work(state, call, &kind), request);
}

static void on_upload(void *state, psock_call *call) {
  static const struct kind kind = {.step = collect, .finish = finish_upload};
  static const struct conformance__conformance__upload__request_events events =
      {.events = {.size = sizeof(struct psock_call_events),
           .ended = on_ended,
           .requests_ended = on_requests_ended},
          .message = on_request};
  struct work *work = new_work(state, call, &kind);
  if (keep(work))
    conformance__conformance__upload__set_events(call, &events, work);
}

/* ---- Many responses: Download and Chat ---- */

static void respond(struct work *work) {
  while (work->left > 0) {
    if (must_wait(work))
      return;
    int error = work->kind->send(work);
    if (error == PSOCK_EFULL)
      return;
    if (error < 0) {
      fail(work, PSOCK_STATUS_RESOURCE_EXHAUSTED, psock_strerror(error));
      return;
    }
    begin_last(work);
    work->waited = 0;
    work->left--;
    work->sequence++;
  }
  work->busy = fail_if_asked(work);
}

static void end(struct work *work) {
  begin_last(work);
  psock_call_end(work->call, NULL);
}

static int send_response(struct work *work,
    int (*send)(psock_call *call, const Conformance__Response *response)) {
  Conformance__Response response;
  conformance__response__init(&response);
  set_filler(&response, work->request.size);
  response.text = work->request.text;
  response.sequence = work->sequence;
  int error = send(work->call, &response);
  free(response.filler.data);
  return error;
}

static int send_download(struct work *work) {
  return send_response(work, conformance__conformance__download__send_response);
}

static int send_chat(struct work *work) {
  return send_response(work, conformance__conformance__chat__send_response);
}

static void on_download(
    void *state, psock_call *call, const Conformance__Request *request) {
  static const struct kind kind = {
      .step = respond, .finish = end, .send = send_download};
  serve(new_work(state, call, &kind), request);
}

static void on_chat(void *state, psock_call *call) {
  static const struct kind kind = {
      .step = respond, .finish = end, .send = send_chat};
  static const struct conformance__conformance__chat__request_events events = {
      .events = {.size = sizeof(struct psock_call_events),
          .ended = on_ended,
          .room = on_room,
          .requests_ended = on_requests_ended},
      .message = on_request};
  struct work *work = new_work(state, call, &kind);
  if (keep(work))
    conformance__conformance__chat__set_events(call, &events, work);
}

/* ---- No response: Hang ---- */

static void on_hang_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  (void)data;
  (void)call;
  (void)status;
  puts("stopped Hang");
}

static void on_hang(
    void *state, psock_call *call, const Conformance__Request *request) {
  static const struct psock_call_events events = {
      .size = sizeof events, .ended = on_hang_ended};
  (void)state;
  (void)request;
  return_metadata(call, "first-");
  return_metadata(call, "last-");
  psock_call_set_events(call, &events, NULL);
}

/* ---- The messages of echo.proto ---- */

static int send_item(struct work *work) {
  unsigned char byte = (unsigned char)work->request.text[work->sequence];
  char text[3] = {(char)byte};
  EchoStream item;
  Response response;
  echo_stream__init(&item);
  response__init(&response);
  if (byte >= 0x80) {
    text[0] = (char)(0xc0 | byte >> 6);
    text[1] = (char)(0x80 | (byte & 0x3f));
  }
  item.message = text;
  item.nanotime = work->nanotime;
  item.sequence = work->sequence;
  response.kind_case = RESPONSE__KIND_STREAM;
  response.stream = &item;
  return request__call__send_response(work->call, &response);
}

static void echo(psock_call *call, const EchoRequest *body) {
  EchoResponse one;
  Response response;
  echo_response__init(&one);
  response__init(&response);
  one.message = body->message;
  one.nanotime = body->nanotime;
  response.kind_case = RESPONSE__KIND_ECHO;
  response.echo = &one;
  request__call__reply(call, &response);
}

static void echo_stream(
    struct server *server, psock_call *call, const EchoRequest *body) {
  static const struct kind kind = {
      .step = respond, .finish = end, .send = send_item};
  struct work *work = new_work(server, call, &kind);
  Conformance__Request request;
  conformance__request__init(&request);
  request.text = body->message;
  request.count = (uint32_t)strlen(body->message);
  work->nanotime = body->nanotime;
  serve(work, &request);
}

static void on_call(void *state, psock_call *call, const Request *request) {
  if (request->body == NULL)
    psock_call_fail(call, PSOCK_STATUS_INVALID_ARGUMENT, "no body");
  else if (request->response_behavior == RESPONSE_BEHAVIOR__STREAM)
    echo_stream(state, call, request->body);
  else
    echo(call, request->body);
}

/* ---- The program ---- */

static void on_drained(void *data) {
  struct server *server = data;
  psock_server_free(server->server);
  server->server = NULL;
}

/* A second signal ends the program at once. */
static void on_signal(
    struct ev_loop *ev, struct ev_signal *watcher, int events) {
  (void)events;
  struct server *server = watcher->data;
  for (int i = 0; i < 2; i++)
    ev_signal_stop(ev, &server->signals[i]);
  check(psock_server_drain(server->server, on_drained, server));
}

static void watch_signals(struct server *server) {
  static const int numbers[2] = {SIGTERM, SIGINT};
  for (int i = 0; i < 2; i++) {
    ev_signal_init(&server->signals[i], on_signal, numbers[i]);
    server->signals[i].data = server;
    ev_signal_start(server->ev, &server->signals[i]);
  }
}

static void add(struct server *server, int messages) {
  static const struct request__call__handlers own = {
      .size = sizeof own, .on_call = on_call};
  static const struct conformance__conformance__handlers handlers = {
      .size = sizeof handlers,
      .on_unary = on_unary,
      .on_download = on_download,
      .on_upload = on_upload,
      .on_chat = on_chat,
      .on_hang = on_hang};
  check(messages ? psock_server_add(
                       server->server, &request__call__service, &own, server)
                 : psock_server_add(server->server,
                       &conformance__conformance__service, &handlers, server));
}

static void listen_at(struct server *server, const char *text) {
  struct psock_address address;
  char bound[PSOCK_ADDRESS_TEXT_SIZE];
  psock_listener *listener;
  check(psock_address_parse(text, &address));
  check(psock_server_listen(server->server, &address, NULL, &listener));
  psock_listener_get_address(listener, &address);
  psock_address_format(&address, bound, sizeof bound);
  printf("listening on %s\n", bound);
}

int main(int argc, char **argv) {
  struct server server = {.ev = ev_default_loop(0)};
  int messages = argc == 3 && strcmp(argv[2], "--messages") == 0;
  if (argc != 2 + messages) {
    fputs("usage: server ADDRESS [--messages]\n", stderr);
    return 2;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  check(psock_loop_new(server.ev, NULL, &server.loop));
  check(psock_server_new(server.loop, NULL, &server.server));
  add(&server, messages);
  watch_signals(&server);
  listen_at(&server, argv[1]);
  ev_run(server.ev, 0);
  psock_loop_free(server.loop);
  ev_loop_destroy(server.ev);
  return 0;
}
