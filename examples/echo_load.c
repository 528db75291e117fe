/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"
#include "echo.psock.h"
#include "histogram.h"
#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * echo-load: calls an echo server as fast as it answers, through the library's
 * client side, and says how fast that was.
 *
 * A connection has a fixed number of places for calls in flight. Where a call
 * has ended the next one begins, with an id that leads back to the place; so
 * an answer finds its call without a search. The queue is made large enough
 * for all calls in flight, so it never refuses one. Each second a timer prints
 * what the second has brought. At the end no more calls begin, and a
 * connection is closed once its last one has been answered.
 *
 * Every answer is checked. A wrong answer, a cancel, or a connection that ends
 * too soon, ends the program with a sentence and status 1.
 */

#define SECOND UINT64_C(1000000000)
#define PATIENCE (10 * SECOND) /* for the last answers */

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

struct call {
  uint64_t id;      /* modulo `in_flight`: its place */
  uint64_t started; /* 0: no call is in this place */
  uint64_t items;   /* of its stream, so far */
};

struct client {
  struct load *load;
  psock_connection *connection;
  psock_sender *sender;
  unsigned long open; /* calls */
  struct call calls[];
};

struct load {
  const char *address;
  unsigned long connections, in_flight, size, seconds;
  int stream, verbose;
  char *text; /* `size` bytes and NUL: what is sent */
  psock_loop *loop;
  psock_timer *timer;
  unsigned long open, passed; /* connections; seconds */
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

static void begin_call(struct client *client, struct call *call, uint64_t now) {
  struct load *load = client->load;
  EchoRequest body;
  Request request;
  call->id += load->in_flight;
  call->started = now;
  call->items = 0;
  echo_request__init(&body);
  body.message = load->text;
  body.nanotime = call->started;
  request__init(&request);
  request.request_id = call->id;
  request.body = &body;
  if (load->stream)
    request.response_behavior = RESPONSE_BEHAVIOR__STREAM;
  int error = psock_send(client->sender, &request);
  if (error < 0)
    common_fail("%s: %s", load->address, psock_strerror(error));
}

static void end_call(struct client *client, struct call *call) {
  struct load *load = client->load;
  uint64_t now = psock_loop_now(load->loop);
  histogram_count(&load->second.latencies, now - call->started);
  if (!load->stopping) {
    begin_call(client, call, now);
    return;
  }
  call->started = 0;
  if (--client->open == 0)
    psock_connection_close(client->connection);
}

/* The call that `response` belongs to. */
static struct call *find_call(struct client *client, const Response *response) {
  struct call *call =
      &client->calls[response->request_id % client->load->in_flight];
  if (call->id != response->request_id || call->started == 0)
    common_fail("an answer came to call %" PRIu64 ", which is not in flight",
        response->request_id);
  return call;
}

static void check(int is_right, const struct call *call) {
  if (!is_right)
    common_fail("a wrong answer came to call %" PRIu64, call->id);
}

static void on_echo(void *state, psock_connection *connection,
    const Response *response, const EchoResponse *echo) {
  (void)connection;
  struct client *client = state;
  const struct load *load = client->load;
  struct call *call = find_call(client, response);
  check(!load->stream && response->code == PSOCK_CODE_NORMAL &&
            echo->nanotime == call->started &&
            strcmp(echo->message, load->text) == 0,
      call);
  end_call(client, call);
}

static void on_stream(void *state, psock_connection *connection,
    const Response *response, const EchoStream *item) {
  (void)connection;
  struct client *client = state;
  struct load *load = client->load;
  struct call *call = find_call(client, response);
  check(load->stream && response->code == PSOCK_CODE_NORMAL &&
            call->items < load->size && item->sequence == call->items &&
            item->nanotime == call->started &&
            item->message[0] == load->text[call->items] &&
            item->message[1] == '\0',
      call);
  call->items++;
  load->second.items++;
}

/* What is neither: the end of a stream, or of the server's patience. */
static void on_rest(
    void *state, psock_connection *connection, const Response *response) {
  (void)connection;
  struct client *client = state;
  struct call *call = find_call(client, response);
  uint32_t code = response__get_code(response);
  if (code != PSOCK_CODE_NORMAL && code != PSOCK_CODE_END)
    common_fail("the server has cancelled call %" PRIu64, call->id);
  check(code == PSOCK_CODE_END && client->load->stream &&
            call->items == client->load->size,
      call);
  end_call(client, call);
}

/* Begins the calls; when this was the last connection to open, the measuring.
 */
static void on_opened(void *state, psock_connection *connection) {
  (void)connection;
  struct client *client = state;
  struct load *load = client->load;
  uint64_t now = psock_loop_now(load->loop);
  for (; client->open < load->in_flight; client->open++) {
    client->calls[client->open].id = client->open;
    begin_call(client, &client->calls[client->open], now);
  }
  if (++load->open < load->connections)
    return;
  begin_period(&load->second, now);
  begin_period(&load->total, now);
  psock_timer_start(load->timer, SECOND);
}

static void on_closed(void *state, psock_connection *connection, int reason) {
  (void)connection;
  struct client *client = state;
  struct load *load = client->load;
  if (reason < 0)
    common_fail("%s: %s", load->address, psock_strerror(reason));
  if (!load->stopping || client->open > 0)
    common_fail("%s: the server has closed the connection", load->address);
  free(client);
  if (--load->open == 0)
    psock_timer_stop(load->timer);
}

static void on_second(void *data) {
  struct load *load = data;
  uint64_t now = psock_loop_now(load->loop);
  if (load->stopping)
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
  load->stopping = load->passed == load->seconds;
  psock_timer_start(load->timer, load->stopping ? PATIENCE : SECOND);
}

static void connect_client(struct load *load,
    const struct psock_address *address,
    const struct psock_connection_options *common) {
  static const struct psock_reactor_ops ops = {
      .size = sizeof ops, .opened = on_opened, .closed = on_closed};
  static const struct response__handlers handlers = {.size = sizeof handlers,
      .ops = &ops,
      .rest = on_rest,
      .on_echo = on_echo,
      .on_stream = on_stream};
  struct psock_connection_options options = *common;
  struct client *client =
      calloc(1, sizeof *client + load->in_flight * sizeof client->calls[0]);
  int error = PSOCK_ENOMEM;
  options.reactor = response__reactor(&handlers, client);
  if (client != NULL)
    error = psock_connect(load->loop, address, &options, &client->connection);
  if (error < 0)
    common_fail("%s: %s", load->address, psock_strerror(error));
  client->load = load;
  client->sender = psock_connection_get_sender(client->connection);
}

static void read_options(struct load *load, int argc, char **argv) {
  int option;
  while ((option = common_option(argc, argv, ":a:c:m:s:t:vw:")) != -1) {
    if (option == 'a')
      load->address = optarg;
    else if (option == 'c')
      load->connections = common_number('c', optarg, 1, 100000);
    else if (option == 'm' && strcmp(optarg, "stream") == 0)
      load->stream = 1;
    else if (option == 'm' && strcmp(optarg, "unary") == 0)
      load->stream = 0;
    else if (option == 'm')
      common_misuse("-m %s: neither unary nor stream", optarg);
    else if (option == 's')
      load->size = common_number('s', optarg, 0, MAX_SIZE);
    else if (option == 't')
      load->seconds = common_number('t', optarg, 1, 1000000);
    else if (option == 'v')
      load->verbose = 1;
    else
      load->in_flight = common_number('w', optarg, 1, 1000000);
  }
  if (load->address == NULL)
    common_misuse("-a ADDRESS is needed");
  if ((uint64_t)load->in_flight * (load->size + OVERHEAD) > MAX_IN_FLIGHT)
    common_misuse("-w times -s is too much: more than a GiB in flight");
}

const struct program program = {.name = "echo-load",
    .usage =
        "usage: echo-load -a ADDRESS [-c CONNECTIONS] [-w IN_FLIGHT]\n"
        "                 [-s BYTES] [-t SECONDS] [-m unary|stream] [-v]\n"
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
        "  --help          print this\n"
        "  --version       print the version of the library\n"};

int main(int argc, char **argv) {
  struct load load = {.connections = 1,
      .in_flight = 64,
      .size = 8,
      .seconds = 5,
      .verbose = isatty(STDOUT_FILENO)};
  struct ev_loop *ev = ev_default_loop(0);
  psock_codec *inbound = common_codec(&response__type, NULL);
  psock_codec *outbound = common_codec(&request__type, NULL);
  struct psock_connection_options options = {
      .size = sizeof options, .inbound = inbound, .outbound = outbound};
  struct psock_address address;
  read_options(&load, argc, argv);
  address = common_address('a', load.address);
  options.max_queued = MIN_QUEUED + load.in_flight * (load.size + OVERHEAD);
  load.text = calloc(1, load.size + 1);
  load.loop = common_loop(ev);
  if (load.text == NULL ||
      psock_timer_new(load.loop, on_second, &load, &load.timer) < 0)
    common_fail("out of memory");
  for (unsigned long i = 0; i < load.size; i++)
    load.text[i] = (char)('a' + i % 26);
  for (unsigned long i = 0; i < load.connections; i++)
    connect_client(&load, &address, &options);
  ev_run(ev, 0);
  printf("%s, %lu x %lu calls in flight, %lu bytes, all answers right: ",
      load.stream ? "stream" : "unary", load.connections, load.in_flight,
      load.size);
  print_period(&load, &load.total);
  psock_timer_free(load.timer);
  psock_loop_free(load.loop);
  psock_protobuf_codec_free(outbound);
  psock_protobuf_codec_free(inbound);
  ev_loop_destroy(ev);
  free(load.text);
  return 0;
}
