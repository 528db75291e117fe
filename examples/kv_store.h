/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KV_STORE_H
#define KV_STORE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Keys with values, in memory, and in which order they were changed. It has
 * nothing to do with calls.
 */

#define KV_MAX_KEY 255

/** What a key has, or that it was deleted. */
struct kv_entry {
  const char *key;
  uint8_t *value;
  size_t length;
  uint64_t version; /* that the store got by the last change */
  int deleted;
  struct kv_entry *older, *newer; /* by version */
};

struct kv_store {
  void *tree; /* of entries: tsearch(3) */
  struct kv_entry *oldest, *newest;
  uint64_t version;   /* counts the changes */
  uint64_t forgotten; /* deleted keys up to this version may be gone */
  size_t deleted;     /* entries that are */
  size_t bytes, max_bytes;
};

/** An empty store. */
void kv_store_init(struct kv_store *store, size_t max_bytes);
void kv_store_fini(struct kv_store *store);

/** The entry of `key`, or NULL if it has no value. */
const struct kv_entry *kv_store_find(
    const struct kv_store *store, const char *key);

/** Sets a value, of which there will be a copy. Returns the entry, or NULL when
 * the store, or memory, is full. */
const struct kv_entry *kv_store_put(struct kv_store *store, const char *key,
    const uint8_t *value, size_t length);

/** Deletes a key. Returns what there is in its place, or NULL if it had no
 * value. */
const struct kv_entry *kv_store_delete(struct kv_store *store, const char *key);

/** The first change after `version`, or NULL; those that follow are `newer`. */
const struct kv_entry *kv_store_after(
    const struct kv_store *store, uint64_t version);

#endif
