/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_BASE_ALARM_H
#define PSOCK_BASE_ALARM_H

#include "base/heap.h"
#include <stdint.h>

/* A moment that never comes. */
#define PSOCK_NEVER UINT64_MAX

/* What is to happen at a moment; lies inside what it belongs to. */
struct psock_alarm {
  uint64_t at;
  size_t place; /* in the heap, from 1; 0: not started */
  void (*expired)(struct psock_alarm *alarm);
};

/* All alarms of a loop, the earliest first. */
struct psock_alarms {
  struct psock_heap *heap;
  struct psock_alarm **at; /* at[1] is the earliest */
  size_t capacity;
  size_t reserved; /* alarms that may be started at once */
  size_t count;
};

/* Makes sure that one more alarm can be started. Returns 0 or PSOCK_ENOMEM. */
int psock_alarms_reserve(struct psock_alarms *alarms);
void psock_alarms_unreserve(struct psock_alarms *alarms);

/* Starts `alarm` for `at`, anew if it was started. */
void psock_alarms_start(
    struct psock_alarms *alarms, struct psock_alarm *alarm, uint64_t at);
void psock_alarms_stop(struct psock_alarms *alarms, struct psock_alarm *alarm);

/* When the earliest is due, or PSOCK_NEVER. */
uint64_t psock_alarms_next(const struct psock_alarms *alarms);

/* Takes out and returns one that is due at `now`, or NULL. */
struct psock_alarm *psock_alarms_pop(struct psock_alarms *alarms, uint64_t now);

void psock_alarms_fini(struct psock_alarms *alarms);

#endif
