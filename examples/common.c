/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"
#include <ctype.h>
#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * What the examples share.
 *
 * common_serve and common_serve_calls are the part that has to do with the
 * library. They listen at every address, with a listener for each or with a
 * psock_server, which has its own listeners, and run libev's default loop. The
 * first SIGTERM or SIGINT asks for a drain: no more connections are accepted,
 * and every one comes to its end in its own way. Once the last is gone nothing
 * is left on the loop, and ev_run returns by itself. The signal watchers are
 * stopped by then, so a second signal has its usual effect, and ends the
 * program at once.
 */

enum { HELP_WORD = COMMON_WORD - 1, VERSION_WORD = COMMON_WORD - 2 };

struct server {
  struct ev_loop *ev;
  struct ev_signal signals[2];
  psock_listener *listeners[COMMON_MAX_ADDRESSES];
  unsigned count;
  psock_server *calls; /* owns the listeners; NULL: the program does */
  int verbose;
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

static void print_help(void) {
  fputs(program.usage, stdout);
  if (program.default_address == NULL)
    return;
  printf("\n  -l ADDRESS  listen at tcp:HOST:PORT, unix:PATH or unix:@NAME; "
         "may be given\n              several times; default %s\n%s"
         "  --help      print this\n"
         "  --version   print the version of the library\n\n"
         "SIGTERM and SIGINT end it, once what was begun is finished.\n",
      program.default_address, program.options != NULL ? program.options : "");
}

int common_option(int argc, char **argv, const char *letters) {
  static const struct option usual_words[] = {COMMON_WORDS};
  const struct option *words = program.words;
  int option;
  opterr = 0;
  if (words == NULL)
    words = usual_words;
  switch (option = getopt_long(argc, argv, letters, words, NULL)) {
  case -1:
    if (optind < argc && !program.has_operands)
      common_misuse("there is no use for \"%s\"", argv[optind]);
    return -1;
  case HELP_WORD:
    print_help();
    exit(0);
  case VERSION_WORD:
    printf("%s (protosocket) %s\n", program.name, psock_version());
    exit(0);
  case ':':
    if (optopt < VERSION_WORD)
      common_misuse("option -%c needs an argument", optopt);
    common_misuse("option %s needs an argument", argv[optind - 1]);
  case '?':
    if (optopt > 0 && optopt < VERSION_WORD)
      common_misuse("there is no option -%c", optopt);
    common_misuse("there is no option %s", argv[optind - 1]);
  default:
    return option;
  }
}

struct psock_address common_address(const char *option, const char *text) {
  struct psock_address address;
  if (psock_address_parse(text, &address) < 0)
    common_misuse("%s %s: the address is none of tcp:HOST:PORT (HOST in "
                  "figures), unix:PATH, unix:@NAME",
        option, text);
  return address;
}

unsigned long common_number(const char *option, const char *text,
    unsigned long least, unsigned long most) {
  unsigned long number;
  char *end;
  errno = 0;
  number = strtoul(text, &end, 10);
  if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 ||
      number < least || number > most)
    common_misuse(
        "%s %s: not a number from %lu to %lu", option, text, least, most);
  return number;
}

const char *common_status(const struct psock_status *status) {
  static char text[1024];
  snprintf(text, sizeof text, "%s%s%s", psock_status_name(status->code),
      status->text[0] != '\0' ? ": " : "", status->text);
  return text;
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

void common_add_address(struct common_addresses *addresses, const char *text) {
  if (addresses->count == COMMON_MAX_ADDRESSES)
    common_misuse("more than %d addresses", COMMON_MAX_ADDRESSES);
  common_address("-l", text);
  addresses->texts[addresses->count++] = text;
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

static void print_stats(const psock_server *server) {
  struct psock_server_stats stats = {.size = sizeof stats};
  psock_server_get_stats(server, &stats);
  common_warn("%" PRIu64 " calls, of which %" PRIu64 " failed: %" PRIu64
              " were refused, %" PRIu64 " cancelled, %" PRIu64 " out of time",
      stats.ended, stats.failed, stats.refused, stats.cancelled, stats.expired);
}

static void on_listener_drained(void *data) {
  psock_listener **listener = data;
  psock_listener_free(*listener);
  *listener = NULL;
}

static void on_server_drained(void *data) {
  struct server *server = data;
  if (server->verbose)
    print_stats(server->calls);
  psock_server_free(server->calls);
  server->calls = NULL;
}

static void drain(struct server *server) {
  if (server->calls != NULL) {
    if (psock_server_drain(server->calls, on_server_drained, server) < 0)
      on_server_drained(server);
    return;
  }
  for (unsigned i = 0; i < server->count; i++)
    if (psock_listener_drain(server->listeners[i], on_listener_drained,
            &server->listeners[i]) < 0)
      on_listener_drained(&server->listeners[i]);
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
  drain(server);
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

/* Listens at every address, and runs until a drain has ended. With a `loop`
 * there is a listener of its own for each. */
static int serve(struct server *server,
    const struct common_addresses *addresses, psock_loop *loop,
    const struct psock_listener_options *options) {
  const char *const *texts = addresses->texts;
  unsigned count = addresses->count;
  if (count == 0) {
    texts = &program.default_address;
    count = 1;
  }
  for (; server->count < count; server->count++) {
    const char *text = texts[server->count];
    struct psock_address address = common_address("-l", text);
    psock_listener **listener = &server->listeners[server->count];
    int error =
        server->calls != NULL
            ? psock_server_listen(server->calls, &address, options, listener)
            : psock_listen(loop, &address, options, listener);
    if (error < 0) {
      common_warn("cannot listen on %s: %s", text, psock_strerror(error));
      return 1;
    }
  }
  watch_signals(server);
  print_addresses(server);
  ev_run(server->ev, 0);
  return 0;
}

int common_serve(
    int argc, char **argv, const struct psock_listener_options *options) {
  struct common_addresses addresses = {.count = 0};
  struct server server = {.ev = ev_default_loop(0)};
  while (common_option(argc, argv, ":l:") != -1)
    common_add_address(&addresses, optarg);
  psock_loop *loop = common_loop(server.ev);
  int status = serve(&server, &addresses, loop, options);
  psock_loop_free(loop);
  ev_loop_destroy(server.ev);
  return status;
}

int common_serve_calls(struct ev_loop *ev, psock_server *calls,
    const struct common_addresses *addresses, int verbose) {
  struct server server = {.ev = ev, .calls = calls, .verbose = verbose};
  int status = serve(&server, addresses, NULL, NULL);
  psock_server_free(server.calls);
  return status;
}
