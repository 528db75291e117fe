/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/alarm.h"

#include "base/allocator.h"
#include <protosocket/error.h>

/*
 * A binary heap of pointers. Its array grows when something that has an alarm
 * is made, so that starting an alarm cannot fail. libev sees one timer, the
 * earliest of these.
 */

int psock_alarms_reserve(struct psock_alarms *alarms) {
  /* One more, because places count from 1. */
  struct psock_alarm **at = psock_heap_grow(alarms->heap, alarms->at,
      &alarms->capacity, alarms->reserved + 2, sizeof *at);
  if (at == NULL)
    return PSOCK_ENOMEM;
  alarms->at = at;
  alarms->reserved++;
  return 0;
}

void psock_alarms_unreserve(struct psock_alarms *alarms) {
  alarms->reserved--;
}

static void put(
    struct psock_alarms *alarms, size_t place, struct psock_alarm *alarm) {
  alarms->at[place] = alarm;
  alarm->place = place;
}

/* Moves `alarm` from `place` towards the front as far as it belongs. */
static void rise(
    struct psock_alarms *alarms, size_t place, struct psock_alarm *alarm) {
  while (place > 1 && alarms->at[place / 2]->at > alarm->at) {
    put(alarms, place, alarms->at[place / 2]);
    place /= 2;
  }
  put(alarms, place, alarm);
}

/* Moves `alarm` from `place` towards the end as far as it belongs. */
static void sink(
    struct psock_alarms *alarms, size_t place, struct psock_alarm *alarm) {
  for (;;) {
    size_t child = place * 2;
    if (child > alarms->count)
      break;
    if (child < alarms->count &&
        alarms->at[child + 1]->at < alarms->at[child]->at)
      child++;
    if (alarms->at[child]->at >= alarm->at)
      break;
    put(alarms, place, alarms->at[child]);
    place = child;
  }
  put(alarms, place, alarm);
}

void psock_alarms_start(
    struct psock_alarms *alarms, struct psock_alarm *alarm, uint64_t at) {
  psock_alarms_stop(alarms, alarm);
  alarm->at = at;
  alarms->count++;
  rise(alarms, alarms->count, alarm);
}

void psock_alarms_stop(struct psock_alarms *alarms, struct psock_alarm *alarm) {
  size_t place = alarm->place;
  if (place == 0)
    return;
  alarm->place = 0;
  struct psock_alarm *last = alarms->at[alarms->count];
  alarms->count--;
  if (last == alarm)
    return;
  rise(alarms, place, last);
  sink(alarms, last->place, last);
}

uint64_t psock_alarms_next(const struct psock_alarms *alarms) {
  return alarms->count == 0 ? PSOCK_NEVER : alarms->at[1]->at;
}

struct psock_alarm *psock_alarms_pop(
    struct psock_alarms *alarms, uint64_t now) {
  if (psock_alarms_next(alarms) > now)
    return NULL;
  struct psock_alarm *alarm = alarms->at[1];
  psock_alarms_stop(alarms, alarm);
  return alarm;
}

void psock_alarms_fini(struct psock_alarms *alarms) {
  psock_free(&alarms->heap->allocator, alarms->at);
}
