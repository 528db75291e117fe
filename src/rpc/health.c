/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "base/list.h"
#include "base/loop.h"
#include "codec/wire.h"
#include <protosocket/call.h>
#include <protosocket/error.h>
#include <protosocket/generated.h>
#include <protosocket/health.h>
#include <string.h>

/*
 * protosocket.rpc.Health, as proto/protosocket/health.proto declares it. What
 * the plugin would generate of that is written by hand here, since the library
 * itself is built without protoc: two messages with one field each, and the
 * rows of two methods.
 *
 * A watcher is a call of Watch that is kept, with its request, which names the
 * service. It is told only the latest state: when there is no room for a
 * change, that is noted, and what holds then is sent when there is.
 */

#define NAME_MOST 255

/* Tags on the wire: field 1 as bytes, field 1 as a varint. */
#define TAG_SERVICE 10
#define TAG_SERVING 8

struct request {
  const char *service;
};

struct response {
  uint32_t serving;
};

struct entry {
  struct psock_list node;
  enum psock_serving serving;
  char name[];
};

struct watcher {
  struct psock_list node;
  struct psock_health *health;
  psock_call *call;
  const char *service; /* in the request, which the call holds */
  bool behind;         /* a change could not be sent */
};

struct psock_health {
  struct psock_heap *heap;
  struct psock_list entries;
  struct psock_list watchers;
};

/* ---- The messages ---- */

static void *decode_request(
    struct psock_decoder *decoder, const uint8_t *at, const uint8_t *end) {
  struct request *request = psock_decode_alloc(decoder, sizeof *request);
  char *service = NULL;
  while (request != NULL && at != NULL && at < end) {
    uint64_t tag = 0;
    at = psock_decode_tag(at, end, &tag);
    if (at != NULL && tag == TAG_SERVICE)
      at = psock_decode_string(decoder, at, end, &service);
    else if (at != NULL)
      at = psock_decode_skip(at, end, tag);
  }
  if (request == NULL || at == NULL)
    return NULL;
  request->service = service == NULL ? "" : service;
  return request;
}

static uint8_t *encode_response(
    struct psock_encoder *encoder, const void *message, uint8_t *at) {
  const struct response *response = message;
  if (!psock_encode_has_room(encoder, at, 11))
    return psock_encode_no_room(encoder, at, 11);
  if (response->serving == 0)
    return at;
  return psock_put_varint(psock_put_tag(at, TAG_SERVING), response->serving);
}

static const struct psock_message_type request_type = {
    .size = sizeof request_type, .decode = decode_request};
static const struct psock_message_type response_type = {
    .size = sizeof response_type, .encode = encode_response};

/* ---- What is known ---- */

static struct entry *find(
    const struct psock_health *health, const char *service) {
  for (struct psock_list *node = health->entries.next; node != &health->entries;
       node = node->next) {
    struct entry *entry = PSOCK_CONTAINER(node, struct entry, node);
    if (strcmp(entry->name, service) == 0)
      return entry;
  }
  return NULL;
}

static int add(struct psock_health *health, const char *service,
    enum psock_serving serving) {
  size_t length = strlen(service) + 1;
  struct entry *entry =
      psock_alloc(&health->heap->allocator, sizeof *entry + length);
  if (entry == NULL)
    return PSOCK_ENOMEM;
  entry->serving = serving;
  memcpy(entry->name, service, length);
  psock_list_append(&health->entries, &entry->node);
  return 0;
}

/* ---- The methods ---- */

static void check(
    struct psock_health *health, psock_call *call, const char *service) {
  const struct entry *entry = find(health, service);
  if (entry == NULL) {
    psock_call_fail(
        call, PSOCK_STATUS_NOT_FOUND, "nothing is known about the service");
    return;
  }
  struct response response = {.serving = entry->serving};
  psock_call_reply(call, &response);
}

static int serve_check(
    const void *handlers, void *state, psock_call *call, const void *request) {
  (void)handlers;
  check(state, call, ((const struct request *)request)->service);
  return 1;
}

static void tell(struct watcher *watcher) {
  const struct entry *entry = find(watcher->health, watcher->service);
  struct response response = {
      .serving = entry == NULL ? PSOCK_SERVING_UNKNOWN : entry->serving};
  int error = psock_call_send(watcher->call, &response);
  watcher->behind = error == PSOCK_EFULL;
  if (error < 0 && error != PSOCK_EFULL)
    psock_call_fail(
        watcher->call, PSOCK_STATUS_RESOURCE_EXHAUSTED, psock_strerror(error));
}

static void on_room(void *data, psock_call *call) {
  (void)call;
  struct watcher *watcher = data;
  if (watcher->behind)
    tell(watcher);
}

static void on_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  (void)status;
  struct watcher *watcher = data;
  psock_list_remove(&watcher->node);
  psock_free(&watcher->health->heap->allocator, watcher);
  psock_call_unref(call);
}

static void on_drain(void *data, psock_call *call) {
  (void)data;
  psock_call_fail(
      call, PSOCK_STATUS_UNAVAILABLE, "the server is shutting down");
}

static void watch(
    struct psock_health *health, psock_call *call, const char *service) {
  static const struct psock_call_events events = {.size = sizeof events,
      .ended = on_ended,
      .room = on_room,
      .drain = on_drain};
  struct watcher *watcher = NULL;
  if (psock_call_hold(call) == 0)
    watcher = psock_alloc(&health->heap->allocator, sizeof *watcher);
  if (watcher == NULL) {
    psock_call_fail(
        call, PSOCK_STATUS_RESOURCE_EXHAUSTED, psock_strerror(PSOCK_ENOMEM));
    return;
  }
  *watcher = (struct watcher){
      .health = health, .call = psock_call_ref(call), .service = service};
  psock_list_append(&health->watchers, &watcher->node);
  psock_call_set_events(call, &events, watcher);
  tell(watcher);
}

static int serve_watch(
    const void *handlers, void *state, psock_call *call, const void *request) {
  (void)handlers;
  const char *service = ((const struct request *)request)->service;
  if (strlen(service) > NAME_MOST)
    psock_call_fail(
        call, PSOCK_STATUS_INVALID_ARGUMENT, "the name is too long");
  else
    watch(state, call, service);
  return 1;
}

static const struct psock_method check_method = {
    .size = sizeof check_method,
    .name = "protosocket.rpc.Health/Check",
    .number = UINT32_C(0xd5a20150),
    .flags = PSOCK_METHOD_IDEMPOTENT,
    .request = &request_type,
    .response = &response_type,
    .serve = serve_check,
};
static const struct psock_method watch_method = {
    .size = sizeof watch_method,
    .name = "protosocket.rpc.Health/Watch",
    .number = UINT32_C(0x86b2b573),
    .flags = PSOCK_METHOD_SERVER_STREAMS | PSOCK_METHOD_IDEMPOTENT,
    .request = &request_type,
    .response = &response_type,
    .serve = serve_watch,
};
static const struct psock_method *const methods[] = {
    &check_method, &watch_method};
static const struct psock_service service = {
    .size = sizeof service,
    .name = "protosocket.rpc.Health",
    .methods = methods,
    .method_count = sizeof methods / sizeof *methods,
};

/* ---- For users ---- */

int psock_health_new(psock_loop *loop, psock_health **ret_health) {
  struct psock_health *health =
      psock_alloc(&loop->heap->allocator, sizeof *health);
  if (health == NULL)
    return PSOCK_ENOMEM;
  health->heap = psock_heap_ref(loop->heap);
  psock_list_init(&health->entries);
  psock_list_init(&health->watchers);
  int error = add(health, "", PSOCK_SERVING);
  if (error != 0) {
    psock_health_free(health);
    return error;
  }
  *ret_health = health;
  return 0;
}

int psock_health_add(psock_health *health, psock_server *server) {
  /* The rows above look at nothing in the handlers but their size. */
  static const size_t handlers = sizeof handlers;
  return psock_server_add(server, &service, &handlers, health);
}

int psock_health_set(psock_health *health, const char *service_name,
    enum psock_serving serving) {
  struct entry *entry = find(health, service_name);
  if (entry != NULL && entry->serving == serving)
    return 0;
  if (entry != NULL) {
    entry->serving = serving;
  } else {
    int error = add(health, service_name, serving);
    if (error != 0)
      return error;
  }
  for (struct psock_list *node = health->watchers.next;
       node != &health->watchers; node = node->next) {
    struct watcher *watcher = PSOCK_CONTAINER(node, struct watcher, node);
    if (strcmp(watcher->service, service_name) == 0)
      tell(watcher);
  }
  return 0;
}

void psock_health_free(psock_health *health) {
  if (health == NULL)
    return;
  struct psock_heap *heap = health->heap;
  while (!psock_list_empty(&health->entries)) {
    struct entry *entry =
        PSOCK_CONTAINER(health->entries.next, struct entry, node);
    psock_list_remove(&entry->node);
    psock_free(&heap->allocator, entry);
  }
  psock_free(&heap->allocator, health);
  psock_heap_unref(heap);
}
