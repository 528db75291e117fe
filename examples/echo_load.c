/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"
#include "echo.psock.h"
#include "echo_service.psock.h"
#include "histogram.h"
#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * echo-load: calls an echo server as fast as it answers, and says how fast that
 * was.
 *
 * A client is a caller, which is a connection, and has a fixed number of places
 * for calls in flight. What the library tells of a call comes with its place;
 * where a call has ended, the next one begins. The queue is made large enough
 * for all calls in flight, so it never refuses one. Once every client has had
 * an answer, the measuring begins; each second a timer prints what the second
 * has brought. At the end no more calls begin, and each caller closes when its
 * last one has ended.
 *
 * Every answer is checked. A wrong answer, or a call that does not end well,
 * ends the program with a sentence and status 1.
 *
 * With --frame the calls are those of echo_service.proto's service, otherwise
 * of echo.proto's messages.
 */

#define SECOND UINT64_C(1000000000)
#define PATIENCE (10 * SECOND) /* for the first answers, and for the last */

/* Texts fit into messages of 4 MiB; a request is its text and less than
 * OVERHEAD bytes. */
#define MAX_SIZE 4000000
#define OVERHEAD 64
#define MIN_QUEUED (8u << 20)

/* What all calls in flight of one connection may come to, in bytes. */
#define MAX_IN_FLIGHT (1u << 30)

/* What was measured in a second, or in all. */
struct period {
  uint64_t began, ended;
  uint64_t items;             /* of streams, that have come */
  struct histogram latencies; /* of calls that have ended */
};

/* Where a call is, and after it the next one. */
struct place {
  struct client *client;
  uint64_t started;
  uint64_t items; /* of its stream, so far */
};

struct client {
  struct client *next;
  struct load *load;
  psock_caller *caller;
  int answered;
  struct place places[];
};

struct load {
  const char *address;
  unsigned long connections, in_flight, size, seconds;
  int framed, stream, verbose;
  char *text; /* `size` bytes and NUL: what is sent */
  psock_loop *loop;
  psock_timer *timer;
  struct client *clients;
  unsigned long answered, open, passed; /* clients, callers, seconds */
  int stopping;
  struct period second, total;
};

static void begin_period(struct period *period, uint64_t now) {
  memset(period, 0, sizeof *period);
  period->began = now;
}

static void print_period(const struct load *load, const struct period *period) {
  const struct histogram *latencies = &period->latencies;
  double seconds = (double)(period->ended - period->began) / (double)SECOND;
  printf("%.0f calls/s", (double)latencies->count / seconds);
  if (load->stream)
    printf(", %.0f items/s", (double)period->items / seconds);
  printf(", p50 %.1f us, p99 %.1f us, p99.9 %.1f us\n",
      histogram_percentile(latencies, 0.5) / 1000,
      histogram_percentile(latencies, 0.99) / 1000,
      histogram_percentile(latencies, 0.999) / 1000);
  if (fflush(stdout) != 0)
    common_fail("standard output: %s", strerror(errno));
}

static void check(const struct load *load, int is_right) {
  if (!is_right)
    common_fail("%s: a wrong answer has come", load->address);
}

static void check_echo(
    const struct place *place, const char *message, uint64_t nanotime) {
  const struct load *load = place->client->load;
  check(load, !load->stream && nanotime == place->started &&
                  strcmp(message, load->text) == 0);
}

static void check_item(struct place *place, const char *message,
    uint64_t nanotime, uint64_t sequence) {
  struct load *load = place->client->load;
  check(load, load->stream && place->items < load->size &&
                  sequence == place->items && nanotime == place->started &&
                  message[0] == load->text[place->items] && message[1] == '\0');
  place->items++;
  load->second.items++;
}

static void on_ended(
    void *data, psock_call *call, const struct psock_status *status);

/* ---- The messages of echo.proto ---- */

static void on_response(
    void *data, psock_call *call, const Response *response) {
  (void)call;
  struct place *place = data;
  if (response->kind_case == RESPONSE__KIND_ECHO)
    check_echo(place, response->echo->message, response->echo->nanotime);
  else if (response->kind_case == RESPONSE__KIND_STREAM)
    check_item(place, response->stream->message, response->stream->nanotime,
        response->stream->sequence);
  else
    check(place->client->load, 0);
}

static int start_own(struct place *place) {
  static const struct request__call__events events = {
      .events = {.size = sizeof(struct psock_call_events), .ended = on_ended},
      .message = on_response};
  static const struct psock_call_options streams = {
      .size = sizeof streams, .timeout = PSOCK_TIMEOUT_DEFAULT, .streams = 1};
  const struct load *load = place->client->load;
  EchoRequest body;
  Request request;
  echo_request__init(&body);
  request__init(&request);
  body.message = load->text;
  body.nanotime = place->started;
  request.body = &body;
  if (load->stream)
    request.response_behavior = RESPONSE_BEHAVIOR__STREAM;
  return request__call__start(place->client->caller, &request,
      load->stream ? &streams : NULL, &events, place, NULL);
}

/* ---- The service of echo_service.proto ---- */

static void on_echo(
    void *data, psock_call *call, const Echo__EchoResponse *response) {
  (void)call;
  check_echo(data, response->message, response->nanotime);
}

static void on_item(
    void *data, psock_call *call, const Echo__EchoStream *response) {
  (void)call;
  check_item(data, response->message, response->nanotime, response->sequence);
}

static int start_framed(struct place *place) {
  static const struct echo__echo_service__echo__events echo_events = {
      .events = {.size = sizeof(struct psock_call_events), .ended = on_ended},
      .message = on_echo};
  static const struct echo__echo_service__stream__events stream_events = {
      .events = {.size = sizeof(struct psock_call_events), .ended = on_ended},
      .message = on_item};
  struct client *client = place->client;
  Echo__EchoRequest request;
  echo__echo_request__init(&request);
  request.message = client->load->text;
  request.nanotime = place->started;
  if (client->load->stream)
    return echo__echo_service__stream__start(
        client->caller, &request, NULL, &stream_events, place, NULL);
  return echo__echo_service__echo__start(
      client->caller, &request, NULL, &echo_events, place, NULL);
}

/* ---- Calls one after the other ---- */

static void begin_call(struct place *place, uint64_t now) {
  const struct load *load = place->client->load;
  place->started = now;
  place->items = 0;
  int error = load->framed ? start_framed(place) : start_own(place);
  if (error < 0)
    common_fail("%s: %s", load->address, psock_strerror(error));
}

/* A client has had its first answer. When it was the last one to have one, the
 * measuring begins. */
static void count_answered(struct client *client, uint64_t now) {
  struct load *load = client->load;
  client->answered = 1;
  if (++load->answered < load->connections)
    return;
  begin_period(&load->second, now);
  begin_period(&load->total, now);
  psock_timer_start(load->timer, SECOND);
}

static void on_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  (void)call;
  struct place *place = data;
  struct load *load = place->client->load;
  uint64_t now = psock_loop_now(load->loop);
  if (status->code != PSOCK_STATUS_OK)
    common_fail("%s: %s", load->address, common_status(status));
  check(load, !load->stream || place->items == load->size);
  histogram_count(&load->second.latencies, now - place->started);
  if (!place->client->answered)
    count_answered(place->client, now);
  if (!load->stopping)
    begin_call(place, now);
}

static void on_closed(void *data) {
  struct client *client = data;
  struct load *load = client->load;
  psock_caller_free(client->caller);
  free(client);
  if (--load->open == 0)
    psock_timer_stop(load->timer);
}

static void stop(struct load *load) {
  struct client *client = load->clients;
  load->stopping = 1;
  while (client != NULL) {
    struct client *next = client->next;
    if (psock_caller_close(client->caller, on_closed, client) < 0)
      on_closed(client);
    client = next;
  }
}

/* At the end of each second, and when patience is. */
static void on_time(void *data) {
  struct load *load = data;
  uint64_t now = psock_loop_now(load->loop);
  if (load->stopping || load->answered < load->connections)
    common_fail("%s: calls are not answered", load->address);
  load->second.ended = load->total.ended = now;
  load->total.items += load->second.items;
  histogram_add(&load->total.latencies, &load->second.latencies);
  load->passed++;
  if (load->verbose) {
    printf("%4lu s: ", load->passed);
    print_period(load, &load->second);
  }
  begin_period(&load->second, now);
  psock_timer_start(
      load->timer, load->passed < load->seconds ? SECOND : PATIENCE);
  if (load->passed == load->seconds)
    stop(load);
}

static void begin_client(struct load *load, const struct psock_address *address,
    const struct psock_caller_options *options) {
  uint64_t now = psock_loop_now(load->loop);
  struct client *client =
      calloc(1, sizeof *client + load->in_flight * sizeof client->places[0]);
  int error = PSOCK_ENOMEM;
  if (client != NULL)
    error = psock_caller_connect(load->loop, address, options, &client->caller);
  if (error < 0)
    common_fail("%s: %s", load->address, psock_strerror(error));
  client->load = load;
  client->next = load->clients;
  load->clients = client;
  load->open++;
  for (unsigned long i = 0; i < load->in_flight; i++) {
    client->places[i].client = client;
    begin_call(&client->places[i], now);
  }
}

static void run(struct load *load, struct ev_loop *ev) {
  struct psock_address address = common_address("-a", load->address);
  struct psock_connection_options connection = {.size = sizeof connection,
      .max_queued = MIN_QUEUED + load->in_flight * (load->size + OVERHEAD)};
  struct psock_caller_options options = {.size = sizeof options,
      .messages = load->framed ? NULL : &request__call__service,
      .connection = &connection,
      .max_calls = (unsigned)load->in_flight,
      .timeout = 2 * PATIENCE};
  load->text = calloc(1, load->size + 1);
  load->loop = common_loop(ev);
  if (load->text == NULL ||
      psock_timer_new(load->loop, on_time, load, &load->timer) < 0)
    common_fail("out of memory");
  for (unsigned long i = 0; i < load->size; i++)
    load->text[i] = (char)('a' + i % 26);
  psock_timer_start(load->timer, PATIENCE);
  for (unsigned long i = 0; i < load->connections; i++)
    begin_client(load, &address, &options);
  ev_run(ev, 0);
  psock_timer_free(load->timer);
  psock_loop_free(load->loop);
  free(load->text);
}

enum { FRAME_WORD = COMMON_WORD };

static const struct option words[] = {
    {"frame", no_argument, NULL, FRAME_WORD}, COMMON_WORDS};

static void read_options(struct load *load, int argc, char **argv) {
  int option;
  while ((option = common_option(argc, argv, ":a:c:m:s:t:vw:")) != -1) {
    if (option == 'a')
      load->address = optarg;
    else if (option == 'c')
      load->connections = common_number("-c", optarg, 1, 100000);
    else if (option == 'm' && strcmp(optarg, "stream") == 0)
      load->stream = 1;
    else if (option == 'm' && strcmp(optarg, "unary") == 0)
      load->stream = 0;
    else if (option == 'm')
      common_misuse("-m %s: neither unary nor stream", optarg);
    else if (option == 's')
      load->size = common_number("-s", optarg, 0, MAX_SIZE);
    else if (option == 't')
      load->seconds = common_number("-t", optarg, 1, 1000000);
    else if (option == 'v')
      load->verbose = 1;
    else if (option == 'w')
      load->in_flight = common_number("-w", optarg, 1, 1000000);
    else
      load->framed = 1;
  }
  if (load->address == NULL)
    common_misuse("-a ADDRESS is needed");
  if ((uint64_t)load->in_flight * (load->size + OVERHEAD) > MAX_IN_FLIGHT)
    common_misuse("-w times -s is too much: more than a GiB in flight");
}

const struct program program = {.name = "echo-load",
    .usage =
        "usage: echo-load -a ADDRESS [-c CONNECTIONS] [-w IN_FLIGHT]\n"
        "                 [-s BYTES] [-t SECONDS] [-m unary|stream]\n"
        "                 [--frame] [-v]\n"
        "Calls an echo server as fast as it answers, checks every answer, and\n"
        "says how many there were and how long they took.\n\n"
        "  -a ADDRESS      of the server: tcp:HOST:PORT, unix:PATH, "
        "unix:@NAME\n"
        "  -c CONNECTIONS  at once; default 1\n"
        "  -w IN_FLIGHT    calls at once on each connection; default 64\n"
        "  -s BYTES        in the text of a call; default 8\n"
        "  -t SECONDS      to go on for; default 5\n"
        "  -m MODE         unary, or stream: an item for each byte; default "
        "unary\n"
        "  -v              print a line a second, even if not to a terminal\n"
        "  --frame         call the service of echo_service.proto, as the\n"
        "                  server with the same option serves it\n"
        "  --help          print this\n"
        "  --version       print the version of the library\n",
    .words = words};

int main(int argc, char **argv) {
  struct load load = {.connections = 1,
      .in_flight = 64,
      .size = 8,
      .seconds = 5,
      .verbose = isatty(STDOUT_FILENO)};
  struct ev_loop *ev = ev_default_loop(0);
  read_options(&load, argc, argv);
  run(&load, ev);
  printf("%s, %lu x %lu calls in flight, %lu bytes, all answers right: ",
      load.stream ? "stream" : "unary", load.connections, load.in_flight,
      load.size);
  print_period(&load, &load.total);
  ev_loop_destroy(ev);
  return 0;
}
