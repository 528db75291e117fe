/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_BASE_LIST_H
#define PSOCK_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A circular list of nodes that lie inside what is listed. The head is a node
 * too; a node that is in no list points to itself.
 */
struct psock_list {
  struct psock_list *next;
  struct psock_list *previous;
};

/* The struct of `type` that has `node` as its `member`. */
#define PSOCK_CONTAINER(node, type, member)                                    \
  ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void psock_list_init(struct psock_list *node) {
  node->next = node;
  node->previous = node;
}

static inline bool psock_list_empty(const struct psock_list *node) {
  return node->next == node;
}

/* Puts `node`, which is in no list, at the end of `list`. */
static inline void psock_list_append(
    struct psock_list *list, struct psock_list *node) {
  node->next = list;
  node->previous = list->previous;
  list->previous->next = node;
  list->previous = node;
}

/* Takes `node` out of its list, if it is in one. */
static inline void psock_list_remove(struct psock_list *node) {
  node->previous->next = node->next;
  node->next->previous = node->previous;
  psock_list_init(node);
}

/* Moves everything in `from` into `to`, which is empty. */
static inline void psock_list_take(
    struct psock_list *to, struct psock_list *from) {
  psock_list_init(to);
  if (psock_list_empty(from))
    return;
  *to = *from;
  to->next->previous = to;
  to->previous->next = to;
  psock_list_init(from);
}

#endif
