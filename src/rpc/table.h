/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_RPC_TABLE_H
#define PSOCK_RPC_TABLE_H

#include "base/loop.h"
#include <stddef.h>
#include <stdint.h>

/*
 * What is in flight on a connection, by ids that a peer has chosen. An entry
 * lies inside what it stands for, so adding one never fails.
 */

/* Buckets that lie in the table itself, as a power of two. */
#define PSOCK_TABLE_FEW_BITS 3

struct psock_table_entry {
  struct psock_table_entry *next; /* in its bucket */
  uint64_t id;
};

struct psock_table {
  psock_loop *loop;
  size_t count; /* entries */
  uint64_t keys[3];
  unsigned bits; /* of the number of a bucket */
  bool seeded;
  struct psock_table_entry **buckets;
  struct psock_table_entry *few[1 << PSOCK_TABLE_FEW_BITS];
};

/* Begins an empty table, which must not be moved. */
void psock_table_init(struct psock_table *table, psock_loop *loop);

/* Adds `entry`, whose id is not in the table. */
void psock_table_add(
    struct psock_table *table, struct psock_table_entry *entry);

/* Takes out `entry`, which is in the table. An empty table has no memory but
 * its own, whatever was in it. */
void psock_table_remove(
    struct psock_table *table, struct psock_table_entry *entry);

/* The entry with this id, or NULL. */
struct psock_table_entry *psock_table_find(
    const struct psock_table *table, uint64_t id);

/* The entry behind `entry`, or the first for NULL; NULL: there is none. What
 * has been returned may be taken out once the next one is known. */
struct psock_table_entry *psock_table_next(
    const struct psock_table *table, const struct psock_table_entry *entry);

#endif
