/* SPDX-License-Identifier: BSD-2-Clause */
#include "kv_server.h"
#include <search.h>
#include <stdlib.h>
#include <string.h>

/*
 * The calls of kv-server that go on: Watch, which tells what changes under a
 * prefix, and Sync, which tells what changes of the keys that its caller names.
 *
 * Both are written so that a caller who reads slowly, or not at all, costs
 * nobody else anything. Nothing is queued for it. While there is room in its
 * call, changes are sent; once psock_call_send says PSOCK_EFULL, the call only
 * remembers how far it has come, and goes on from there in `room`, with what
 * the store has then. A watcher remembers one version, whatever happens; a Sync
 * remembers which of its keys it owes.
 *
 * The state of a call lives from its handler, which sets what is told of the
 * call, to `ended`, which is called exactly once, whatever ends the call. For
 * so long the call is there, too.
 */

/* The keys of one Sync. */
#define MAX_SUBJECTS 10000

/* What both have in common, and begin with. */
struct kv_follower {
  struct kv_follower *next, **link;
  struct kv *kv;
  psock_call *call;
  void (*changed)(struct kv_follower *follower, const struct kv_entry *entry);
  int blocked; /* there was no room for the last change: `room` will come */
};

struct watch {
  struct kv_follower follower;
  const char *prefix; /* the request's, which is held */
  uint64_t began;     /* the store's version then */
  uint64_t told;      /* everything up to this version has been told */
};

/* A key that the caller of a Sync has named. */
struct subject {
  const char *key;
  struct subject *next; /* that is owed, too */
  int owed;
};

struct sync {
  struct kv_follower follower;
  void *subjects; /* by their keys: tsearch(3) */
  size_t count;
  struct subject *first, **last; /* those that are owed */
  int named_all;
};

static void follow(struct kv_follower *follower, struct kv *kv,
    psock_call *call,
    void (*changed)(
        struct kv_follower *follower, const struct kv_entry *entry)) {
  follower->kv = kv;
  follower->call = call;
  follower->changed = changed;
  follower->next = kv->followers;
  follower->link = &kv->followers;
  if (follower->next != NULL)
    follower->next->link = &follower->next;
  kv->followers = follower;
}

static void unfollow(struct kv_follower *follower) {
  *follower->link = follower->next;
  if (follower->next != NULL)
    follower->next->link = follower->link;
}

/* Such a call has no end of its own that a server which drains could wait
 * for. */
static void on_drain(void *data, psock_call *call) {
  (void)data;
  psock_call_fail(call, PSOCK_STATUS_UNAVAILABLE, "the server is stopping");
}

/* Sends a change of `key`; `entry` is what it has now, or NULL. Returns whether
 * it was sent. If not, there is no room, or the call comes to its end; either
 * way nothing is to be told before `room` comes. */
static int send_change(struct kv_follower *follower, const char *key,
    const struct kv_entry *entry) {
  psock_call *call = follower->call;
  Kv__Change change;
  kv__change__init(&change);
  change.key = (char *)(uintptr_t)key;
  change.deleted = entry == NULL || entry->deleted;
  if (entry != NULL) {
    change.value.data = entry->value;
    change.value.len = entry->length;
    change.version = entry->version;
  }
  /* Both methods answer with the same message, so one function will do. */
  int error = psock_call_send(call, &change);
  if (error < 0 && error != PSOCK_EFULL)
    kv_fail(call, PSOCK_STATUS_INTERNAL, "key \"%s\": %s", key,
        psock_strerror(error));
  follower->blocked = error < 0;
  return error == 0;
}

/* ---- Watch ---- */

/* Whether keys were forgotten whose deletion the watcher should have been
 * told. */
static int has_missed(const struct watch *watch) {
  const struct kv_store *store = &watch->follower.kv->store;
  return store->forgotten > watch->began && store->forgotten > watch->told;
}

/* Tells what has not been told, as far as there is room. What was deleted
 * before the call began is no news. */
static void tell_watch(struct watch *watch) {
  if (has_missed(watch)) {
    kv_fail(watch->follower.call, PSOCK_STATUS_ABORTED,
        "too many keys were deleted since the last change that was read");
    return;
  }
  const struct kv_entry *entry =
      kv_store_after(&watch->follower.kv->store, watch->told);
  for (; entry != NULL; entry = entry->newer) {
    if (strncmp(entry->key, watch->prefix, strlen(watch->prefix)) == 0 &&
        !(entry->deleted && entry->version <= watch->began) &&
        !send_change(&watch->follower, entry->key, entry))
      return;
    watch->told = entry->version;
  }
}

/* Looking for what has not been told takes as long as there is much of that; so
 * it is not done for nothing. */
static void on_watch_changed(
    struct kv_follower *follower, const struct kv_entry *entry) {
  (void)entry;
  struct watch *watch = (struct watch *)follower;
  if (!follower->blocked || has_missed(watch))
    tell_watch(watch);
}

static void on_watch_room(void *data, psock_call *call) {
  (void)call;
  tell_watch(data);
}

static void on_watch_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  (void)call;
  (void)status;
  struct watch *watch = data;
  unfollow(&watch->follower);
  free(watch);
}

void kv_on_watch(void *state, psock_call *call, const Kv__Prefix *request) {
  static const struct psock_call_events events = {.size = sizeof events,
      .ended = on_watch_ended,
      .room = on_watch_room,
      .drain = on_drain};
  struct kv *kv = state;
  struct watch *watch = calloc(1, sizeof *watch);
  /* The request is lent until this returns, unless it is held. */
  if (watch == NULL || psock_call_hold(call) < 0) {
    free(watch);
    kv_fail(call, PSOCK_STATUS_RESOURCE_EXHAUSTED, "there are too many calls");
    return;
  }
  watch->prefix = request->prefix;
  watch->began = kv->store.version;
  follow(&watch->follower, kv, call, on_watch_changed);
  psock_call_set_events(call, &events, watch);
  tell_watch(watch);
}

/* ---- Sync ---- */

static int compare(const void *a, const void *b) {
  const struct subject *first = a, *second = b;
  return strcmp(first->key, second->key);
}

static struct subject *find(const struct sync *sync, const char *key) {
  struct subject wanted = {.key = key};
  struct subject **found = tfind(&wanted, &sync->subjects, compare);
  return found == NULL ? NULL : *found;
}

static struct subject *add(struct sync *sync, const char *key) {
  size_t size = strlen(key) + 1;
  if (sync->count == MAX_SUBJECTS)
    return NULL;
  struct subject *subject = calloc(1, sizeof *subject + size);
  if (subject == NULL)
    return NULL;
  subject->key = memcpy(subject + 1, key, size);
  if (tsearch(subject, &sync->subjects, compare) == NULL) {
    free(subject);
    return NULL;
  }
  sync->count++;
  return subject;
}

/* Tells what is owed, as far as there is room. */
static void tell_sync(struct sync *sync) {
  const struct kv_store *store = &sync->follower.kv->store;
  for (struct subject *subject; (subject = sync->first) != NULL;) {
    if (!send_change(
            &sync->follower, subject->key, kv_store_find(store, subject->key)))
      return;
    subject->owed = 0;
    sync->first = subject->next;
    if (sync->first == NULL)
      sync->last = &sync->first;
  }
  if (sync->named_all)
    psock_call_end(sync->follower.call, NULL);
}

static void owe(struct sync *sync, struct subject *subject) {
  if (subject->owed)
    return;
  subject->owed = 1;
  subject->next = NULL;
  *sync->last = subject;
  sync->last = &subject->next;
}

static void on_sync_changed(
    struct kv_follower *follower, const struct kv_entry *entry) {
  struct sync *sync = (struct sync *)follower;
  struct subject *subject = find(sync, entry->key);
  if (subject == NULL)
    return;
  owe(sync, subject);
  tell_sync(sync);
}

static void on_known(void *data, psock_call *call, const Kv__Known *request) {
  struct sync *sync = data;
  if (!kv_check_key(call, request->key))
    return;
  struct subject *subject = find(sync, request->key);
  if (subject == NULL)
    subject = add(sync, request->key);
  if (subject == NULL) {
    kv_fail(call, PSOCK_STATUS_RESOURCE_EXHAUSTED,
        "%d keys, and no more, can be followed by one call", MAX_SUBJECTS);
    return;
  }
  const struct kv_entry *entry =
      kv_store_find(&sync->follower.kv->store, request->key);
  if (request->version != (entry == NULL ? 0 : entry->version))
    owe(sync, subject);
  tell_sync(sync);
}

static void on_known_ended(void *data, psock_call *call) {
  (void)call;
  struct sync *sync = data;
  sync->named_all = 1;
  tell_sync(sync);
}

static void on_sync_room(void *data, psock_call *call) {
  (void)call;
  tell_sync(data);
}

static void on_sync_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  (void)call;
  (void)status;
  struct sync *sync = data;
  unfollow(&sync->follower);
  tdestroy(sync->subjects, free);
  free(sync);
}

void kv_on_sync(void *state, psock_call *call) {
  static const struct kv__store__sync__request_events events = {
      .events = {.size = sizeof(struct psock_call_events),
          .ended = on_sync_ended,
          .room = on_sync_room,
          .requests_ended = on_known_ended,
          .drain = on_drain},
      .message = on_known};
  struct sync *sync = calloc(1, sizeof *sync);
  if (sync == NULL) {
    kv_fail(call, PSOCK_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    return;
  }
  sync->last = &sync->first;
  follow(&sync->follower, state, call, on_sync_changed);
  kv__store__sync__set_events(call, &events, sync);
}

void kv_tell(const struct kv *kv, const struct kv_entry *entry) {
  for (struct kv_follower *follower = kv->followers; follower != NULL;
       follower = follower->next)
    follower->changed(follower, entry);
}
