/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "base/loop.h"

/*
 * Timers for users: an alarm of the loop's that calls a function of theirs.
 */

struct psock_timer {
  struct psock_alarm alarm;
  psock_loop *loop;
  void (*expired)(void *data);
  void *data;
};

static void timer_expired(struct psock_alarm *alarm) {
  struct psock_timer *timer = PSOCK_CONTAINER(alarm, struct psock_timer, alarm);
  timer->expired(timer->data);
}

int psock_timer_new(psock_loop *loop, void (*expired)(void *data), void *data,
    psock_timer **ret_timer) {
  int error = psock_alarms_reserve(&loop->alarms);
  if (error != 0)
    return error;
  psock_timer *timer = psock_alloc(&loop->heap->allocator, sizeof *timer);
  if (timer == NULL) {
    psock_alarms_unreserve(&loop->alarms);
    return PSOCK_ENOMEM;
  }
  *timer = (psock_timer){
      .alarm = {.expired = timer_expired},
      .loop = loop,
      .expired = expired,
      .data = data,
  };
  *ret_timer = timer;
  return 0;
}

void psock_timer_start(psock_timer *timer, uint64_t after) {
  psock_loop_start_alarm(timer->loop, &timer->alarm, after);
}

void psock_timer_stop(psock_timer *timer) {
  psock_loop_stop_alarm(timer->loop, &timer->alarm);
}

void psock_timer_free(psock_timer *timer) {
  if (timer == NULL)
    return;
  psock_loop *loop = timer->loop;
  psock_timer_stop(timer);
  psock_alarms_unreserve(&loop->alarms);
  psock_free(&loop->heap->allocator, timer);
}
