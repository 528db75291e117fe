/* SPDX-License-Identifier: BSD-2-Clause */
#include "kv_store.h"
#include <search.h>
#include <stdlib.h>
#include <string.h>

/*
 * The store of kv-server: a tree that finds entries by their keys, and a list
 * of the same entries in the order in which they were changed last.
 *
 * The list is what makes it easy to tell others of changes at their own pace:
 * somebody who knows everything up to some version has missed exactly what is
 * behind it in the list, each key once, however often it has changed. For that,
 * deleted keys stay in the list for a while.
 */

/* What an entry costs besides its key and value, about. */
#define ENTRY_COST (sizeof(struct kv_entry) + 64)

/* Deleted keys to be remembered; with more, all but half of them go. */
#define MAX_DELETED 10000

static int compare(const void *a, const void *b) {
  const struct kv_entry *first = a, *second = b;
  return strcmp(first->key, second->key);
}

static struct kv_entry *find(const struct kv_store *store, const char *key) {
  struct kv_entry wanted = {.key = key};
  struct kv_entry **found = tfind(&wanted, &store->tree, compare);
  return found == NULL ? NULL : *found;
}

static void unlink_entry(struct kv_store *store, struct kv_entry *entry) {
  *(entry->older != NULL ? &entry->older->newer : &store->oldest) =
      entry->newer;
  *(entry->newer != NULL ? &entry->newer->older : &store->newest) =
      entry->older;
}

/* The entry has changed: it goes to the end of the list. */
static void append(struct kv_store *store, struct kv_entry *entry) {
  entry->version = ++store->version;
  entry->newer = NULL;
  entry->older = store->newest;
  *(store->newest != NULL ? &store->newest->newer : &store->oldest) = entry;
  store->newest = entry;
}

static size_t cost(const char *key, size_t length) {
  return ENTRY_COST + strlen(key) + length;
}

static void free_entry(void *data) {
  struct kv_entry *entry = data;
  free(entry->value);
  free(entry);
}

/* Forgets the deleted keys but for the last `most`. */
static void forget(struct kv_store *store, size_t most) {
  struct kv_entry *newer;
  for (struct kv_entry *entry = store->oldest; store->deleted > most;
       entry = newer) {
    newer = entry->newer;
    if (!entry->deleted)
      continue;
    store->forgotten = entry->version;
    store->deleted--;
    store->bytes -= cost(entry->key, 0);
    tdelete(entry, &store->tree, compare);
    unlink_entry(store, entry);
    free_entry(entry);
  }
}

/* Whether there is room for this value in place of what `entry` has. */
static int fits(const struct kv_store *store, const struct kv_entry *entry,
    const char *key, size_t length) {
  size_t others = store->bytes - (entry == NULL ? 0 : cost(key, entry->length));
  return others + cost(key, length) <= store->max_bytes;
}

/* A new entry, which is in the tree, and not in the list. */
static struct kv_entry *add(struct kv_store *store, const char *key) {
  size_t size = strlen(key) + 1;
  struct kv_entry *entry = calloc(1, sizeof *entry + size);
  if (entry == NULL)
    return NULL;
  entry->key = memcpy(entry + 1, key, size);
  if (tsearch(entry, &store->tree, compare) == NULL) {
    free(entry);
    return NULL;
  }
  return entry;
}

void kv_store_init(struct kv_store *store, size_t max_bytes) {
  *store = (struct kv_store){.max_bytes = max_bytes};
}

void kv_store_fini(struct kv_store *store) {
  tdestroy(store->tree, free_entry);
}

const struct kv_entry *kv_store_find(
    const struct kv_store *store, const char *key) {
  const struct kv_entry *entry = find(store, key);
  return entry == NULL || entry->deleted ? NULL : entry;
}

const struct kv_entry *kv_store_put(struct kv_store *store, const char *key,
    const uint8_t *value, size_t length) {
  struct kv_entry *entry = find(store, key);
  if (!fits(store, entry, key, length)) {
    forget(store, 0);
    entry = find(store, key);
    if (!fits(store, entry, key, length))
      return NULL;
  }
  uint8_t *copy = malloc(length + 1);
  int is_new = entry == NULL;
  if (copy == NULL || (is_new && (entry = add(store, key)) == NULL)) {
    free(copy);
    return NULL;
  }
  if (is_new)
    store->bytes += cost(key, 0);
  else
    unlink_entry(store, entry);
  store->bytes = store->bytes - entry->length + length;
  store->deleted -= (size_t)entry->deleted;
  free(entry->value);
  if (length > 0)
    memcpy(copy, value, length);
  entry->value = copy;
  entry->length = length;
  entry->deleted = 0;
  append(store, entry);
  return entry;
}

const struct kv_entry *kv_store_delete(
    struct kv_store *store, const char *key) {
  struct kv_entry *entry = find(store, key);
  if (entry == NULL || entry->deleted)
    return NULL;
  store->bytes -= entry->length;
  free(entry->value);
  entry->value = NULL;
  entry->length = 0;
  entry->deleted = 1;
  unlink_entry(store, entry);
  append(store, entry);
  if (++store->deleted > MAX_DELETED)
    forget(store, MAX_DELETED / 2);
  return entry;
}

const struct kv_entry *kv_store_after(
    const struct kv_store *store, uint64_t version) {
  const struct kv_entry *entry = store->newest;
  if (entry == NULL || entry->version <= version)
    return NULL;
  while (entry->older != NULL && entry->older->version > version)
    entry = entry->older;
  return entry;
}
