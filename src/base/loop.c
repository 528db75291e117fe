/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/loop.h"

#include "base/allocator.h"
#include "base/options.h"

/*
 * What every loop does, whatever turns it. A turn: events and alarms call
 * back; then, in psock_loop_finish_turn, the tasks that were deferred run and
 * letters from other threads are delivered; then the loop sleeps until the
 * next event, alarm or letter.
 *
 * Sleeping is announced: only a letter that finds the loop asleep pays for a
 * wake-up. The loop looks into its mailbox once more after it has said that it
 * sleeps, so a letter is either seen then, or its sender sees the loop asleep.
 */

#define DEFAULT_MAX_HELD ((size_t)512 << 20)
#define DEFAULT_MAX_CACHED ((size_t)8 << 20)

/* How often in one turn letters are asked for, before events get theirs. */
#define LETTER_ROUNDS 4

int psock_loop_init(psock_loop *loop, const struct psock_loop_ops *ops,
    struct psock_heap *heap, const struct psock_loop_options *given) {
  struct psock_loop_options options;
  psock_options_copy(
      &options, sizeof options, given, given == NULL ? 0 : given->size);
  size_t max_cached =
      options.max_cached == 0 ? DEFAULT_MAX_CACHED : options.max_cached;
  *loop = (psock_loop){
      .ops = ops,
      .heap = heap,
      .alarms = {.heap = heap},
      .alarm_at = PSOCK_NEVER,
      .log = options.log,
      .log_data = options.log_data,
  };
  heap->max_held = options.max_held == 0 ? DEFAULT_MAX_HELD : options.max_held;
  psock_list_init(&loop->tasks);
  psock_list_init(&loop->owned);
  atomic_init(&loop->letters, NULL);
  atomic_init(&loop->sleeping, false);
  atomic_init(&loop->wakeups, 0);
  if (psock_pool_init(&loop->pool, heap, max_cached) != 0)
    goto err_after_heap;
  loop->arena = psock_arena_new(&loop->pool);
  if (loop->arena == NULL)
    goto err_after_pool;
  return 0;

err_after_pool:
  psock_pool_fini(&loop->pool);
err_after_heap:
  psock_heap_unref(heap);
  return PSOCK_ENOMEM;
}

void psock_loop_fini(psock_loop *loop) {
  psock_arena_unref(loop->arena);
  psock_alarms_fini(&loop->alarms);
  psock_pool_fini(&loop->pool);
  psock_heap_unref(loop->heap);
}

int psock_loop_expire(psock_loop *loop) {
  uint64_t now = loop->ops->now(loop);
  int count = 0;
  /* No more than there are now: one that starts itself anew has to wait. */
  for (size_t limit = loop->alarms.count; limit > 0; limit--) {
    struct psock_alarm *alarm = psock_alarms_pop(&loop->alarms, now);
    if (alarm == NULL)
      break;
    alarm->expired(alarm);
    count++;
  }
  loop->alarm_at = psock_alarms_next(&loop->alarms);
  loop->ops->set_alarm(loop, loop->alarm_at);
  return count;
}

void psock_loop_defer(psock_loop *loop, struct psock_task *task) {
  if (!psock_list_empty(&task->node))
    return;
  psock_list_append(&loop->tasks, &task->node);
  /* Between the end of a turn and the sleep somebody else's code may run. */
  if (atomic_load_explicit(&loop->sleeping, memory_order_relaxed))
    loop->ops->wake(loop);
}

/* Runs the tasks that are there now; those that they defer have to wait. */
static int run_tasks(psock_loop *loop) {
  struct psock_list tasks;
  int count = 0;
  psock_list_take(&tasks, &loop->tasks);
  while (!psock_list_empty(&tasks)) {
    struct psock_task *task =
        PSOCK_CONTAINER(tasks.next, struct psock_task, node);
    psock_list_remove(&task->node);
    task->run(task);
    count++;
  }
  return count;
}

static int deliver_letters(psock_loop *loop) {
  int count = 0;
  struct psock_mail *mail = psock_mail_take(&loop->letters);
  while (mail != NULL) {
    struct psock_letter *letter = (struct psock_letter *)mail;
    mail = mail->next;
    letter->deliver(letter);
    count++;
  }
  return count;
}

int psock_loop_finish_turn(psock_loop *loop) {
  atomic_store_explicit(
      &loop->heap->thread, pthread_self(), memory_order_relaxed);
  atomic_store(&loop->sleeping, false);
  int count = run_tasks(loop);
  for (int round = 0; round < LETTER_ROUNDS; round++) {
    count += deliver_letters(loop);
    atomic_store(&loop->sleeping, true);
    if (atomic_load(&loop->letters) == NULL)
      break;
    if (!atomic_exchange(&loop->sleeping, false))
      break;
  }
  return count;
}

void psock_loop_post(psock_loop *loop, struct psock_letter *letter) {
  psock_mail_post(&loop->letters, &letter->mail);
  if (!atomic_exchange(&loop->sleeping, false))
    return;
  atomic_fetch_add_explicit(&loop->wakeups, 1, memory_order_relaxed);
  loop->ops->wake(loop);
}

void psock_loop_start_alarm(
    psock_loop *loop, struct psock_alarm *alarm, uint64_t after) {
  uint64_t now = loop->ops->now(loop);
  uint64_t at = after > PSOCK_NEVER - 1 - now ? PSOCK_NEVER - 1 : now + after;
  psock_alarms_start(&loop->alarms, alarm, at);
  if (at >= loop->alarm_at)
    return;
  loop->alarm_at = at;
  loop->ops->set_alarm(loop, at);
}

void psock_loop_stop_alarm(psock_loop *loop, struct psock_alarm *alarm) {
  psock_alarms_stop(&loop->alarms, alarm);
  if (loop->alarms.count > 0 || loop->alarm_at == PSOCK_NEVER)
    return;
  /* With none left, the loop must be able to come to its end. */
  loop->alarm_at = PSOCK_NEVER;
  loop->ops->set_alarm(loop, PSOCK_NEVER);
}

uint64_t psock_loop_now(const psock_loop *loop) {
  return loop->ops->now(loop);
}

void psock_loop_get_stats(
    const psock_loop *loop, struct psock_loop_stats *ret_stats) {
  struct psock_loop_stats stats = {
      .held = atomic_load(&loop->heap->held),
      .held_peak = atomic_load(&loop->heap->held_peak),
      .connections = loop->connections,
      .wakeups = atomic_load(&loop->wakeups),
  };
  psock_options_fill(ret_stats, ret_stats->size, &stats, sizeof stats);
}

uint64_t psock_loop_get_ended(const psock_loop *loop, int reason) {
  if (reason > 0 || reason < -PSOCK_ERROR_COUNT)
    return 0;
  return loop->ended[-reason];
}

/* Ends listeners and connections; some end others, so the list is asked anew
 * each time. */
static void end_owned(psock_loop *loop) {
  while (!psock_list_empty(&loop->owned)) {
    struct psock_owned *owned =
        PSOCK_CONTAINER(loop->owned.next, struct psock_owned, node);
    owned->end(owned);
  }
}

void psock_loop_free(psock_loop *loop) {
  if (loop == NULL)
    return;
  /* Whoever frees the loop is its thread now; another one that has inherited
   * the id of a thread that is gone must not be taken for it. */
  atomic_store_explicit(
      &loop->heap->thread, pthread_self(), memory_order_relaxed);
  end_owned(loop);
  /* Letters that were under way belong to what has ended, and free it. */
  deliver_letters(loop);
  loop->ops->free(loop);
}
