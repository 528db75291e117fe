/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/table.h"

#include "base/allocator.h"
#include <string.h>

/*
 * Chains in a power of two of buckets, at most about one entry each.
 *
 * Ids come from the peer, which might choose them so that they all meet in one
 * bucket. So the bucket is taken from a hash with three random words as its
 * key: id = (high, low) goes to the upper bits of
 *
 *   (key0 + low) * (key1 + high) + key2
 *
 * which is strongly universal: for whoever doesn't know the key, any two ids
 * meet with the probability of chance, whatever they are. That costs one
 * multiplication, a fraction of what a hash would that also keeps its key from
 * those who see its results; here nobody sees them. What somebody could still
 * find out by measuring times gains little: a chain is never longer than the
 * calls that one connection may have in flight.
 *
 * A few buckets are part of the table, so that few entries cost no memory.
 * More are made as the entries gather, and given back when the last has gone.
 * Without memory for more, chains get longer.
 */

/* Buckets are added by this factor, as a power of two. */
#define GROWTH_BITS 2

/* A bucket has a number of fewer bits than this. */
#define MOST_BITS 31

static size_t bucket_count(const struct psock_table *table) {
  return (size_t)1 << table->bits;
}

static size_t bucket_of(const struct psock_table *table, uint64_t id) {
  uint64_t mixed =
      (table->keys[0] + (uint32_t)id) * (table->keys[1] + (id >> 32)) +
      table->keys[2];
  return (size_t)(mixed >> (64 - table->bits));
}

static void use_few(struct psock_table *table) {
  memset(table->few, 0, sizeof table->few);
  table->buckets = table->few;
  table->bits = PSOCK_TABLE_FEW_BITS;
}

static void free_buckets(struct psock_table *table) {
  if (table->buckets != table->few)
    psock_free(&table->loop->heap->allocator, table->buckets);
}

static void put(struct psock_table *table, struct psock_table_entry *entry) {
  struct psock_table_entry **bucket =
      &table->buckets[bucket_of(table, entry->id)];
  entry->next = *bucket;
  *bucket = entry;
}

/* Takes out every entry, as one chain. */
static struct psock_table_entry *take_all(struct psock_table *table) {
  struct psock_table_entry *all = NULL;
  for (size_t i = 0; i < bucket_count(table); i++) {
    struct psock_table_entry *entry = table->buckets[i];
    while (entry != NULL) {
      struct psock_table_entry *next = entry->next;
      entry->next = all;
      all = entry;
      entry = next;
    }
  }
  return all;
}

static void grow(struct psock_table *table) {
  unsigned bits = table->bits + GROWTH_BITS;
  size_t size = sizeof *table->buckets << bits;
  if (bits > MOST_BITS)
    return;
  struct psock_table_entry **buckets =
      psock_alloc(&table->loop->heap->allocator, size);
  if (buckets == NULL)
    return;
  struct psock_table_entry *all = take_all(table);
  free_buckets(table);
  memset(buckets, 0, size);
  table->buckets = buckets;
  table->bits = bits;
  while (all != NULL) {
    struct psock_table_entry *next = all->next;
    put(table, all);
    all = next;
  }
}

void psock_table_init(struct psock_table *table, psock_loop *loop) {
  *table = (struct psock_table){.loop = loop};
  use_few(table);
}

void psock_table_add(
    struct psock_table *table, struct psock_table_entry *entry) {
  /* Most connections never need the key: it is drawn when the first does. */
  if (!table->seeded) {
    for (int i = 0; i < 3; i++)
      table->keys[i] = psock_loop_random(table->loop);
    table->seeded = true;
  }
  if (table->count >= bucket_count(table))
    grow(table);
  put(table, entry);
  table->count++;
}

void psock_table_remove(
    struct psock_table *table, struct psock_table_entry *entry) {
  struct psock_table_entry **link =
      &table->buckets[bucket_of(table, entry->id)];
  while (*link != entry)
    link = &(*link)->next;
  *link = entry->next;
  table->count--;
  if (table->count > 0 || table->buckets == table->few)
    return;
  free_buckets(table);
  use_few(table);
}

struct psock_table_entry *psock_table_find(
    const struct psock_table *table, uint64_t id) {
  if (table->count == 0)
    return NULL;
  struct psock_table_entry *entry = table->buckets[bucket_of(table, id)];
  while (entry != NULL && entry->id != id)
    entry = entry->next;
  return entry;
}

struct psock_table_entry *psock_table_next(
    const struct psock_table *table, const struct psock_table_entry *entry) {
  size_t bucket = 0;
  if (table->count == 0)
    return NULL;
  if (entry != NULL) {
    if (entry->next != NULL)
      return entry->next;
    bucket = bucket_of(table, entry->id) + 1;
  }
  for (; bucket < bucket_count(table); bucket++)
    if (table->buckets[bucket] != NULL)
      return table->buckets[bucket];
  return NULL;
}
