/* SPDX-License-Identifier: BSD-2-Clause */
#include "kv_server.h"
#include "common.h"
#include <ev.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * kv-server: serves the service of kv.proto. A good one to begin with for
 * whoever writes a service: kv_store.c is what it is about, and knows nothing
 * of calls; here are the calls that end by themselves; those that go on are in
 * kv_follow.c.
 *
 * A handler is given a call and a request. It answers right away, with a reply
 * or a failure, and returns; what it has on its stack has been encoded by then.
 * It need not look at what these two return, since a call always ends. Load is
 * different in that its requests stream: its handler only sets up a state for
 * the call, and what comes is told to the events of that.
 *
 * Around all calls stand two interceptors. The outer one writes a log, the
 * inner one refuses those who do not know the token; so the log has these, too.
 */

/* Greater than any text that a handler makes of a key. */
#define MAX_TEXT 512

void kv_fail(psock_call *call, uint32_t code, const char *format, ...) {
  char text[MAX_TEXT];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  psock_call_fail(call, code, text);
}

int kv_check_key(psock_call *call, const char *key) {
  size_t length = strlen(key);
  if (length >= 1 && length <= KV_MAX_KEY)
    return 1;
  kv_fail(call, PSOCK_STATUS_INVALID_ARGUMENT,
      "a key has 1 to %d bytes, and not %zu", KV_MAX_KEY, length);
  return 0;
}

/* ---- The calls ---- */

static void on_get(void *state, psock_call *call, const Kv__Key *request) {
  struct kv *kv = state;
  const struct kv_entry *entry = kv_store_find(&kv->store, request->key);
  if (entry == NULL) {
    kv_fail(call, PSOCK_STATUS_NOT_FOUND, "there is no key \"%.*s\"",
        KV_MAX_KEY, request->key);
    return;
  }
  Kv__Entry response;
  kv__entry__init(&response);
  response.value.data = entry->value;
  response.value.len = entry->length;
  response.version = entry->version;
  kv__store__get__reply(call, &response);
}

/* Puts a pair, and tells who follows. Returns NULL when the call has failed. */
static const struct kv_entry *put(
    struct kv *kv, psock_call *call, const Kv__Pair *pair) {
  if (!kv_check_key(call, pair->key))
    return NULL;
  const struct kv_entry *entry =
      kv_store_put(&kv->store, pair->key, pair->value.data, pair->value.len);
  if (entry == NULL)
    kv_fail(call, PSOCK_STATUS_RESOURCE_EXHAUSTED,
        "the store is full: there is no room for \"%s\"", pair->key);
  else
    kv_tell(kv, entry);
  return entry;
}

static void on_put(void *state, psock_call *call, const Kv__Pair *request) {
  const struct kv_entry *entry = put(state, call, request);
  if (entry == NULL)
    return;
  Kv__Version response;
  kv__version__init(&response);
  response.version = entry->version;
  kv__store__put__reply(call, &response);
}

static void on_delete(void *state, psock_call *call, const Kv__Key *request) {
  struct kv *kv = state;
  const struct kv_entry *entry = kv_store_delete(&kv->store, request->key);
  if (entry != NULL)
    kv_tell(kv, entry);
  Kv__Version response;
  kv__version__init(&response);
  response.version = kv->store.version;
  kv__store__delete__reply(call, &response);
}

/* ---- Load: many requests, one response ---- */

struct load {
  struct kv *kv;
  uint64_t count;
};

static void on_pair(void *data, psock_call *call, const Kv__Pair *pair) {
  struct load *load = data;
  if (put(load->kv, call, pair) != NULL)
    load->count++;
}

static void on_pairs_ended(void *data, psock_call *call) {
  const struct load *load = data;
  Kv__Loaded response;
  kv__loaded__init(&response);
  response.count = load->count;
  kv__store__load__reply(call, &response);
}

/* Comes once for every call, however it has ended. */
static void on_load_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  (void)call;
  (void)status;
  free(data);
}

static void on_load(void *state, psock_call *call) {
  static const struct kv__store__load__request_events events = {
      .events = {.size = sizeof(struct psock_call_events),
          .ended = on_load_ended,
          .requests_ended = on_pairs_ended},
      .message = on_pair};
  struct load *load = calloc(1, sizeof *load);
  if (load == NULL) {
    kv_fail(call, PSOCK_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    return;
  }
  load->kv = state;
  kv__store__load__set_events(call, &events, load);
}

/* ---- The interceptors ---- */

static void log_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  const int *verbose = data;
  if (*verbose)
    common_warn("%s: %s, %" PRIu64 " us", psock_call_get_method(call)->name,
        common_status(status), psock_call_get_age(call) / 1000);
}

/* Says nothing of how much was right, not even by how long it takes. */
static int is_equal(const struct psock_metadata *given, const char *token) {
  unsigned char difference = given->length != strlen(token);
  for (size_t i = 0; i < given->length && token[i] != '\0'; i++)
    difference |= given->value[i] ^ (unsigned char)token[i];
  return difference == 0;
}

static int check_token(
    void *data, psock_call *call, struct psock_status *ret_status) {
  const char *token = *(const char **)data;
  struct psock_metadata given;
  if (token == NULL)
    return 0;
  if (psock_call_get_metadata(call, "authorization", &given) == 0 &&
      is_equal(&given, token))
    return 0;
  ret_status->code = PSOCK_STATUS_UNAUTHENTICATED;
  ret_status->text = "the token is missing, or wrong";
  return 1;
}

/* ---- The program ---- */

enum { TOKEN_WORD = COMMON_WORD };

static const struct option words[] = {
    {"token", required_argument, NULL, TOKEN_WORD}, COMMON_WORDS};

const struct program program = {.name = "kv-server",
    .usage = "usage: kv-server [-l ADDRESS]... [-m MIB] [-v] [--token TOKEN]\n"
             "Keeps keys and values for kv, in memory.\n",
    .options = "  -m MIB      keep so many MiB at most; default 64\n"
               "  -v          log every call on standard error\n"
               "  --token TOKEN\n"
               "              answer only who has this token\n",
    .default_address = "tcp:127.0.0.1:9003",
    .words = words};

/* The service, and another one that says whether it is there. */
static int add_services(
    psock_server *server, psock_health *health, struct kv *kv) {
  static const struct kv__store__handlers handlers = {.size = sizeof handlers,
      .on_get = on_get,
      .on_put = on_put,
      .on_delete = on_delete,
      .on_watch = kv_on_watch,
      .on_load = on_load,
      .on_sync = kv_on_sync};
  int error = psock_server_add(server, &kv__store__service, &handlers, kv);
  if (error == 0)
    error = psock_health_add(health, server);
  if (error == 0)
    error = psock_health_set(health, kv__store__service.name, PSOCK_SERVING);
  return error;
}

int main(int argc, char **argv) {
  struct common_addresses addresses = {.count = 0};
  unsigned long mib = 64;
  const char *token = NULL;
  int verbose = 0, option;
  while ((option = common_option(argc, argv, ":l:m:v")) != -1) {
    if (option == 'l')
      common_add_address(&addresses, optarg);
    else if (option == 'm')
      mib = common_number("-m", optarg, 1, 1 << 20);
    else if (option == 'v')
      verbose = 1;
    else
      token = optarg;
  }
  struct psock_interceptor log = {
      .size = sizeof log, .ended = log_ended, .data = &verbose};
  struct psock_interceptor guard = {
      .size = sizeof guard, .begin = check_token, .data = &token};
  const struct psock_interceptor *interceptors[] = {&log, &guard};
  struct psock_server_options options = {.size = sizeof options,
      .interceptors = interceptors,
      .interceptor_count = 2};
  struct ev_loop *ev = ev_default_loop(0);
  psock_loop *loop = common_loop(ev);
  psock_server *server = NULL;
  psock_health *health = NULL;
  struct kv kv = {.followers = NULL};
  kv_store_init(&kv.store, (size_t)mib << 20);
  int error = psock_server_new(loop, &options, &server);
  if (error == 0)
    error = psock_health_new(loop, &health);
  if (error == 0)
    error = add_services(server, health, &kv);
  if (error < 0)
    common_fail("no server: %s", psock_strerror(error));
  int status = common_serve_calls(ev, server, &addresses, verbose);
  psock_health_free(health);
  kv_store_fini(&kv.store);
  psock_loop_free(loop);
  ev_loop_destroy(ev);
  return status;
}
