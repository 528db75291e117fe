/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"
#include "kv.psock.h"
#include "kv_input.h"
#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * kv: calls kv-server from the command line. It shows the three ways to make a
 * call, each of which is one line in another place:
 *
 * - get, put and delete use what runs a call and returns when it has ended.
 * - watch and load use what opens a call, and then receive its messages one by
 *   one, or send them; each waits as long as it has to.
 * - sync starts a call whose messages are told to a function, since it waits
 *   for two things at once: what the server says, and its input.
 *
 * Functions that wait run the loop. The program itself runs it only where it
 * waits for input, too.
 *
 * A call that fails ends the program with its status in a sentence, and exit
 * status 1.
 */

#define SECOND UINT64_C(1000000000)

struct client {
  struct ev_loop *ev;
  psock_caller *caller;
  struct psock_call_options options; /* of every call */
  struct psock_metadata token;
};

/* Ends the program if `result` is an error, which says why there is no call. */
static void check(int result) {
  if (result < 0)
    common_fail("%s", psock_strerror(result));
}

/* Ends the program because the call has not ended well. */
static _Noreturn void fail(const psock_call *call) {
  common_fail("%s", common_status(psock_call_get_status(call)));
}

/* Ends the program if `result`, of a function that runs a call, is an error, or
 * the code of a status that is not OK. */
static void check_run(int result, const psock_call *call) {
  check(result);
  if (result > 0)
    fail(call);
}

/* The same for a call that was opened or started, once it has ended. */
static void check_ended(const psock_call *call) {
  if (psock_call_get_status(call)->code != PSOCK_STATUS_OK)
    fail(call);
}

static void print_line(const ProtobufCBinaryData *value) {
  if (value->len > 0)
    fwrite(value->data, 1, value->len, stdout);
  putchar('\n');
  if (fflush(stdout) != 0 || ferror(stdout))
    common_fail("standard output: %s", strerror(errno));
}

static void print_change(const Kv__Change *change) {
  printf("%" PRIu64 " %s %s%s", change->version,
      change->deleted ? "delete" : "put", change->key,
      change->deleted ? "" : " ");
  print_line(&change->value);
}

/* ---- One request, one response ---- */

static void get(struct client *client, char **operands) {
  const Kv__Entry *entry;
  psock_call *call = NULL;
  Kv__Key request;
  kv__key__init(&request);
  request.key = operands[0];
  int result = kv__store__get__run(
      client->caller, &request, &client->options, &entry, &call);
  check_run(result, call);
  print_line(&entry->value);
  psock_call_unref(call);
}

static void put(struct client *client, char **operands) {
  const Kv__Version *version;
  psock_call *call = NULL;
  Kv__Pair request;
  kv__pair__init(&request);
  request.key = operands[0];
  request.value.data = (uint8_t *)operands[1];
  request.value.len = strlen(operands[1]);
  int result = kv__store__put__run(
      client->caller, &request, &client->options, &version, &call);
  check_run(result, call);
  psock_call_unref(call);
}

static void delete_key(struct client *client, char **operands) {
  const Kv__Version *version;
  psock_call *call = NULL;
  Kv__Key request;
  kv__key__init(&request);
  request.key = operands[0];
  int result = kv__store__delete__run(
      client->caller, &request, &client->options, &version, &call);
  check_run(result, call);
  psock_call_unref(call);
}

/* ---- Many responses ---- */

static void watch(struct client *client, char **operands) {
  const Kv__Change *change;
  psock_call *call = NULL;
  Kv__Prefix request;
  int result;
  kv__prefix__init(&request);
  request.prefix = operands[0];
  check(kv__store__watch__open(
      client->caller, &request, &client->options, &call));
  while ((result = kv__store__watch__receive(call, &change)) > 0)
    print_change(change);
  check(result);
  check_ended(call);
  psock_call_unref(call);
}

/* ---- Many requests ---- */

/* Takes a line apart at its first blank. Returns what is behind it, or NULL if
 * there is none. */
static char *split(char *line) {
  char *blank = strchr(line, ' ');
  if (blank == NULL)
    return NULL;
  *blank = '\0';
  return blank + 1;
}

static void load(struct client *client, char **operands) {
  (void)operands;
  const Kv__Loaded *loaded;
  psock_call *call = NULL;
  struct kv_input input;
  char *line;
  size_t length;
  uint64_t count = 0;
  int result = 0;
  kv_input_init(&input, client->ev, NULL);
  check(kv__store__load__open(client->caller, &client->options, &call));
  while (result == 0 && kv_input_line(&input, call, &line, &length)) {
    char *value = split(line);
    if (value == NULL)
      common_fail("%s: line %lu is not KEY VALUE", input.name, input.number);
    Kv__Pair pair;
    kv__pair__init(&pair);
    pair.key = line;
    pair.value.data = (uint8_t *)value;
    pair.value.len = length - (size_t)(value - line);
    result = kv__store__load__send_request(call, &pair);
  }
  /* When the call has ended already, its status says why. */
  if (result != PSOCK_ECANCELED)
    check(result);
  psock_call_end(call, NULL);
  while ((result = kv__store__load__receive(call, &loaded)) > 0)
    count = loaded->count;
  check(result);
  check_ended(call);
  printf("%" PRIu64 " loaded", count);
  print_line(&(ProtobufCBinaryData){.len = 0});
  psock_call_unref(call);
  kv_input_fini(&input);
}

/* ---- Many of both ---- */

static void on_change(void *data, psock_call *call, const Kv__Change *change) {
  (void)data;
  (void)call;
  print_change(change);
}

static uint64_t parse_version(const struct kv_input *input, const char *text) {
  unsigned long long version;
  int end = 0;
  if (text == NULL)
    return 0;
  if (sscanf(text, "%llu%n", &version, &end) != 1 || text[end] != '\0')
    common_fail("%s: line %lu is not KEY VERSION", input->name, input->number);
  return version;
}

static void sync_keys(struct client *client, char **operands) {
  static const struct kv__store__sync__events events = {
      .events = {.size = sizeof(struct psock_call_events)},
      .message = on_change};
  psock_call *call = NULL;
  struct kv_input input;
  char *line;
  size_t length;
  int result = 0;
  kv_input_init(&input, client->ev, operands[0]);
  check(kv__store__sync__start(
      client->caller, &client->options, &events, NULL, &call));
  while (result == 0 && kv_input_line(&input, call, &line, &length)) {
    Kv__Known known;
    kv__known__init(&known);
    known.version = parse_version(&input, split(line));
    known.key = line;
    while (
        (result = kv__store__sync__send_request(call, &known)) == PSOCK_EFULL)
      ev_run(client->ev, EVRUN_ONCE);
  }
  if (result != PSOCK_ECANCELED)
    check(result);
  psock_call_end(call, NULL);
  while (psock_call_get_status(call) == NULL)
    ev_run(client->ev, EVRUN_ONCE);
  check_ended(call);
  psock_call_unref(call);
  kv_input_fini(&input);
}

/* ---- The program ---- */

struct command {
  const char *name;
  const char *operands;
  int least, most;
  void (*run)(struct client *client, char **operands);
};

static const struct command commands[] = {{"get", "KEY", 1, 1, get},
    {"put", "KEY VALUE", 2, 2, put}, {"delete", "KEY", 1, 1, delete_key},
    {"watch", "PREFIX", 1, 1, watch}, {"load", "no operands", 0, 0, load},
    {"sync", "[FILE]", 0, 1, sync_keys}};

enum { TIMEOUT_WORD = COMMON_WORD, TOKEN_WORD };

static const struct option words[] = {
    {"timeout", required_argument, NULL, TIMEOUT_WORD},
    {"token", required_argument, NULL, TOKEN_WORD}, COMMON_WORDS};

const struct program program = {.name = "kv",
    .usage =
        "usage: kv [-a ADDRESS] [--timeout SECONDS] [--token TOKEN] COMMAND\n"
        "Calls a kv-server.\n\n"
        "  get KEY        print the value\n"
        "  put KEY VALUE  set it\n"
        "  delete KEY     so that it has none\n"
        "  watch PREFIX   print what there is of keys that begin with this, "
        "and\n"
        "                 then every change: VERSION put KEY VALUE, or\n"
        "                 VERSION delete KEY\n"
        "  load           put what standard input has: lines KEY VALUE\n"
        "  sync [FILE]    print changes of the keys in lines KEY [VERSION], "
        "and\n"
        "                 end after those that have come at the end of them\n\n"
        "  -a ADDRESS     of the server; default tcp:127.0.0.1:9003\n"
        "  --timeout SECONDS\n"
        "                 for the call; default 10, and none for watch, load,\n"
        "                 sync\n"
        "  --token TOKEN  what a kv-server with this option asks for\n"
        "  --help         print this\n"
        "  --version      print the version of the library\n",
    .words = words,
    .has_operands = 1};

static const struct command *find_command(int argc, char **argv) {
  if (optind == argc)
    common_misuse("a command is needed");
  int count = argc - optind - 1;
  for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
    const struct command *command = &commands[i];
    if (strcmp(argv[optind], command->name) != 0)
      continue;
    if (count < command->least || count > command->most)
      common_misuse("%s takes %s", command->name, command->operands);
    return command;
  }
  common_misuse("there is no command \"%s\"", argv[optind]);
}

int main(int argc, char **argv) {
  const char *server = "tcp:127.0.0.1:9003";
  struct client client = {.ev = ev_default_loop(0),
      .options = {
          .size = sizeof client.options, .timeout = PSOCK_TIMEOUT_DEFAULT}};
  int option;
  /* The + ends the options at the command: a value may begin with a dash. */
  while ((option = common_option(argc, argv, "+:a:")) != -1) {
    if (option == 'a')
      server = optarg;
    else if (option == TIMEOUT_WORD)
      client.options.timeout =
          common_number("--timeout", optarg, 1, 1000000) * SECOND;
    else {
      client.token = (struct psock_metadata){.key = "authorization",
          .value = (const uint8_t *)optarg,
          .length = strlen(optarg)};
      client.options.metadata = &client.token;
      client.options.metadata_count = 1;
    }
  }
  const struct command *command = find_command(argc, argv);
  struct psock_address address = common_address("-a", server);
  psock_loop *loop = common_loop(client.ev);
  int error = psock_caller_connect(loop, &address, NULL, &client.caller);
  if (error < 0)
    common_fail("%s: %s", server, psock_strerror(error));
  command->run(&client, argv + optind + 1);
  psock_caller_free(client.caller);
  psock_loop_free(loop);
  ev_loop_destroy(client.ev);
  return 0;
}
