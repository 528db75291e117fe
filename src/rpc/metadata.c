/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "base/heap.h"
#include "rpc/call.h"
#include <protosocket/error.h>
#include <stdint.h>
#include <string.h>

/*
 * Metadata that is kept: entries, and behind them their keys and values, in one
 * piece of memory that is made anew when something is appended. Calls have few
 * entries, mostly none, so nothing cleverer pays.
 */

#define KEY_MOST 255

size_t psock_metadata_cost(const struct psock_metadata *entry) {
  return strlen(entry->key) + entry->length + PSOCK_METADATA_ENTRY_COST;
}

bool psock_metadata_key_is_valid(const char *key) {
  size_t length = 0;
  if (key == NULL)
    return false;
  for (; key[length] != '\0'; length++) {
    char c = key[length];
    if (length == KEY_MOST ||
        !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
            c == '_' || c == '-'))
      return false;
  }
  return length > 0;
}

/* Whether users may add these. */
static bool are_valid(const struct psock_metadata *entries, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!psock_metadata_key_is_valid(entries[i].key) ||
        (entries[i].value == NULL && entries[i].length > 0))
      return false;
  return true;
}

/* Looks at what is to be appended: 0 with what it costs, or an error. */
static int check(const struct psock_metadata_list *list,
    const struct psock_metadata *entries, size_t count, size_t *ret_cost) {
  size_t cost = list->cost;
  if (count > PSOCK_METADATA_ENTRIES - list->count)
    return PSOCK_ETOOBIG;
  for (size_t i = 0; i < count; i++) {
    if (entries[i].length > PSOCK_METADATA_BYTES)
      return PSOCK_ETOOBIG;
    cost += psock_metadata_cost(&entries[i]);
  }
  if (cost > PSOCK_METADATA_BYTES)
    return PSOCK_ETOOBIG;
  *ret_cost = cost;
  return 0;
}

/* Copies `entry` to `to`, its key and value to `*at`, which goes on. */
static void copy(struct psock_metadata *to, const struct psock_metadata *entry,
    uint8_t **at) {
  size_t key_length = strlen(entry->key) + 1;
  memcpy(*at, entry->key, key_length);
  to->key = (const char *)*at;
  *at += key_length;
  if (entry->length > 0)
    memcpy(*at, entry->value, entry->length);
  to->value = *at;
  to->length = entry->length;
  *at += entry->length;
}

int psock_metadata_copy(struct psock_metadata_list *list,
    struct psock_heap *heap, const struct psock_metadata *entries,
    size_t count) {
  size_t cost = 0;
  int error = check(list, entries, count, &cost);
  if (error != 0 || count == 0)
    return error;
  size_t total = list->count + count;
  /* What an entry costs beyond its bytes is enough for it and a NUL. */
  _Static_assert(sizeof *entries + 1 <= PSOCK_METADATA_ENTRY_COST,
      "an entry takes no more than it is counted as");
  struct psock_metadata *memory = psock_heap_hold(heap, cost);
  if (memory == NULL)
    return PSOCK_ENOMEM;
  uint8_t *at = (uint8_t *)(memory + total);
  for (size_t i = 0; i < list->count; i++)
    copy(&memory[i], &list->entries[i], &at);
  for (size_t i = 0; i < count; i++)
    copy(&memory[list->count + i], &entries[i], &at);
  psock_metadata_clear(list);
  *list = (struct psock_metadata_list){
      .heap = psock_heap_ref(heap),
      .entries = memory,
      .count = total,
      .cost = cost,
      .length = cost,
  };
  return 0;
}

int psock_metadata_append(struct psock_metadata_list *list,
    struct psock_heap *heap, const struct psock_metadata *entries,
    size_t count) {
  if (count <= PSOCK_METADATA_ENTRIES && !are_valid(entries, count))
    return PSOCK_EINVAL;
  return psock_metadata_copy(list, heap, entries, count);
}

void psock_metadata_clear(struct psock_metadata_list *list) {
  if (list->entries == NULL)
    return;
  psock_heap_release(list->heap, list->entries, list->length);
  psock_heap_unref(list->heap);
  *list = (struct psock_metadata_list){.heap = NULL};
}
