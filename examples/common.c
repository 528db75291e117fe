/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"
#include <ctype.h>
#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * What the examples share.
 *
 * common_serve is the part that has to do with the library. It puts a
 * psock_loop on libev's default loop, one listener on it for each address, and
 * runs libev's loop. The first SIGTERM or SIGINT asks the listeners for a
 * drain: they accept no more, and every connection comes to its end in its own
 * way. Once the last connection is gone nothing is left on the loop, and
 * ev_run returns by itself. The signal watchers are stopped by then, so a
 * second signal has its usual effect, and ends the program at once.
 */

#define MAX_LISTENERS 16

enum { OPTION_HELP = 256, OPTION_VERSION };

struct server {
  struct ev_loop *ev;
  struct ev_signal signals[2];
  psock_listener *listeners[MAX_LISTENERS];
  unsigned count;
};

__attribute__((format(printf, 1, 0))) static void complain(
    const char *format, va_list arguments) {
  fprintf(stderr, "%s: ", program.name);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
}

void common_warn(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  complain(format, arguments);
  va_end(arguments);
}

_Noreturn void common_fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  complain(format, arguments);
  va_end(arguments);
  exit(1);
}

_Noreturn void common_misuse(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  complain(format, arguments);
  va_end(arguments);
  fprintf(stderr, "%s: --help says what there is\n", program.name);
  exit(2);
}

int common_option(int argc, char **argv, const char *letters) {
  static const struct option words[] = {
      {"help", no_argument, NULL, OPTION_HELP},
      {"version", no_argument, NULL, OPTION_VERSION}, {NULL, 0, NULL, 0}};
  int option;
  opterr = 0;
  switch (option = getopt_long(argc, argv, letters, words, NULL)) {
  case -1:
    if (optind < argc)
      common_misuse("there is no use for \"%s\"", argv[optind]);
    return -1;
  case OPTION_HELP:
    fputs(program.usage, stdout);
    exit(0);
  case OPTION_VERSION:
    printf("%s (protosocket) %s\n", program.name, psock_version());
    exit(0);
  case ':':
    common_misuse("option -%c needs an argument", optopt);
  case '?':
    if (optopt > 0 && optopt < OPTION_HELP)
      common_misuse("there is no option -%c", optopt);
    common_misuse("there is no option %s", argv[optind - 1]);
  default:
    return option;
  }
}

struct psock_address common_address(char option, const char *text) {
  struct psock_address address;
  if (psock_address_parse(text, &address) < 0)
    common_misuse("-%c %s: the address is none of tcp:HOST:PORT (HOST in "
                  "figures), unix:PATH, unix:@NAME",
        option, text);
  return address;
}

unsigned long common_number(
    char option, const char *text, unsigned long least, unsigned long most) {
  unsigned long number;
  char *end;
  errno = 0;
  number = strtoul(text, &end, 10);
  if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 ||
      number < least || number > most)
    common_misuse(
        "-%c %s: not a number from %lu to %lu", option, text, least, most);
  return number;
}

psock_codec *common_codec(const struct psock_message_type *type,
    const struct psock_protobuf_options *limits) {
  psock_codec *codec;
  int error = psock_protobuf_codec_new(type, limits, &codec);
  if (error < 0)
    common_fail("no codec: %s", psock_strerror(error));
  return codec;
}

static void on_log(void *data, enum psock_log_level level, const char *text) {
  (void)data;
  if (level <= PSOCK_LOG_WARNING)
    common_warn("%s", text);
}

psock_loop *common_loop(struct ev_loop *ev) {
  struct psock_loop_options options = {.size = sizeof options, .log = on_log};
  psock_loop *loop;
  int error;
  if (ev == NULL)
    common_fail("libev finds no way to wait for events");
  error = psock_loop_new(ev, &options, &loop);
  if (error < 0)
    common_fail("no event loop: %s", psock_strerror(error));
  return loop;
}

static int listen_at(struct server *server, psock_loop *loop, const char *text,
    const struct psock_listener_options *options) {
  struct psock_address address = common_address('l', text);
  psock_listener **listener = &server->listeners[server->count];
  int error = psock_listen(loop, &address, options, listener);
  if (error < 0)
    common_warn("cannot listen on %s: %s", text, psock_strerror(error));
  else
    server->count++;
  return error;
}

static void print_addresses(const struct server *server) {
  for (unsigned i = 0; i < server->count; i++) {
    struct psock_address address;
    char text[PSOCK_ADDRESS_TEXT_SIZE];
    psock_listener_get_address(server->listeners[i], &address);
    psock_address_format(&address, text, sizeof text);
    printf("listening on %s\n", text);
  }
  fflush(stdout);
}

static void on_drained(void *data) {
  psock_listener **listener = data;
  psock_listener_free(*listener);
  *listener = NULL;
}

/* A watcher that waits for a signal must not keep ev_run from returning, hence
 * ev_unref here and in watch_signals. */
static void on_signal(
    struct ev_loop *ev, struct ev_signal *watcher, int events) {
  (void)events;
  struct server *server = watcher->data;
  for (int i = 0; i < 2; i++) {
    ev_ref(ev);
    ev_signal_stop(ev, &server->signals[i]);
  }
  for (unsigned i = 0; i < server->count; i++)
    if (psock_listener_drain(
            server->listeners[i], on_drained, &server->listeners[i]) < 0)
      on_drained(&server->listeners[i]);
}

static void watch_signals(struct server *server) {
  static const int numbers[2] = {SIGTERM, SIGINT};
  for (int i = 0; i < 2; i++) {
    ev_signal_init(&server->signals[i], on_signal, numbers[i]);
    server->signals[i].data = server;
    ev_signal_start(server->ev, &server->signals[i]);
    ev_unref(server->ev);
  }
}

/* The addresses that were named with -l, or the default one. */
static unsigned read_options(
    int argc, char **argv, const char **ret_addresses) {
  unsigned count = 0;
  while (common_option(argc, argv, ":l:") != -1) {
    if (count == MAX_LISTENERS)
      common_misuse("more than %d addresses", MAX_LISTENERS);
    common_address('l', optarg);
    ret_addresses[count++] = optarg;
  }
  if (count == 0)
    ret_addresses[count++] = program.default_address;
  return count;
}

int common_serve(
    int argc, char **argv, const struct psock_listener_options *options) {
  const char *addresses[MAX_LISTENERS];
  unsigned count = read_options(argc, argv, addresses);
  struct server server = {.ev = ev_default_loop(0)};
  psock_loop *loop = common_loop(server.ev);
  int error = 0;
  while (error == 0 && server.count < count)
    error = listen_at(&server, loop, addresses[server.count], options);
  if (error == 0) {
    watch_signals(&server);
    print_addresses(&server);
    ev_run(server.ev, 0);
  }
  psock_loop_free(loop);
  ev_loop_destroy(server.ev);
  return error < 0;
}
