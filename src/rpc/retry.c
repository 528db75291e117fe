/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/caller_call.h"
#include "rpc/link.h"
#include <protosocket/error.h>

/*
 * Calls that wait for a connection, and connecting. A caller that connects
 * makes a link when a call needs one and there is none; after one that has
 * failed, because it did not open, or no call was answered on it, not before a
 * time that grows with each further failure, of which a random part is taken,
 * so that many callers don't come back at once.
 *
 * Until then calls that may be sent again wait, within their deadlines; others
 * end, since their users can decide better. A call that may be sent again
 * waits, too, when it has failed without an answer; each has its own time for
 * that, which grows in the same way. One alarm serves them all; a look at all
 * that wait is taken when it comes, or when something has changed.
 */

#define FIRST_BACKOFF ((uint64_t)50 * 1000000u)
#define MOST_BACKOFF ((uint64_t)30 * 1000000000u)

/* How often a call is sent in all. */
#define MOST_ATTEMPTS 5u

/* Nanoseconds to wait after `failures` in a row. */
static uint64_t backoff(struct psock_core *core, unsigned failures) {
  uint64_t most = FIRST_BACKOFF;
  for (unsigned i = 1; i < failures && most < MOST_BACKOFF; i++)
    most *= 2;
  if (most > MOST_BACKOFF)
    most = MOST_BACKOFF;
  return psock_loop_random(core->loop) % (most + 1);
}

void psock_retry_note_failure(struct psock_core *core) {
  core->failures++;
  core->connect_at = psock_loop_now(core->loop) + backoff(core, core->failures);
}

struct psock_link *psock_retry_get_link(struct psock_core *core) {
  struct psock_link *link;
  if (core->link != NULL || !core->connects || core->shut ||
      psock_loop_now(core->loop) < core->connect_at)
    return core->link;
  int error = psock_link_new(core, NULL, &link);
  if (error != 0) {
    core->last_reason = error;
    psock_retry_note_failure(core);
    return NULL;
  }
  psock_core_lock(core);
  core->link = link;
  psock_core_unlock(core);
  return link;
}

struct psock_status psock_retry_status(const struct psock_core *core) {
  struct psock_status status = psock_status_of_end(core->last_reason);
  status.not_begun = 1;
  return status;
}

bool psock_retry_is_due(const struct psock_caller_call *call,
    const struct psock_status *status, uint64_t *ret_at) {
  struct psock_core *core = call->core;
  if (!(call->base.method->flags & PSOCK_METHOD_IDEMPOTENT) ||
      call->attempts >= MOST_ATTEMPTS || core->shut ||
      (status->code != PSOCK_STATUS_UNAVAILABLE && !status->not_begun) ||
      (core->link == NULL && !core->connects))
    return false;
  uint64_t at = psock_loop_now(core->loop) + backoff(core, call->attempts);
  if (at >= call->base.deadline)
    return false;
  *ret_at = at;
  return true;
}

void psock_retry_wait(struct psock_caller_call *call, uint64_t at) {
  struct psock_core *core = call->core;
  psock_core_lock(core);
  call->state = PSOCK_CALL_WAITING;
  psock_core_unlock(core);
  call->retry_at = at;
  psock_list_append(&core->waiting, &call->node);
  psock_core_look(core);
}

/* Sends a call whose time has come. Returns false when no further one can be
 * sent now. */
static bool try_to_send(struct psock_caller_call *call) {
  struct psock_core *core = call->core;
  struct psock_link *link = psock_retry_get_link(core);
  if (link == NULL) {
    struct psock_status status = psock_retry_status(core);
    bool waits =
        core->connects && call->base.method->flags & PSOCK_METHOD_IDEMPOTENT;
    if (!waits)
      psock_caller_call_end(call, &status, PSOCK_BY_CALLER);
    return true;
  }
  if (link->full)
    return false;
  int error = psock_caller_call_go(call, link);
  if (error == PSOCK_ECLOSED) {
    psock_core_lock(core);
    psock_link_retire(link);
    psock_core_unlock(core);
    psock_core_look(core);
  }
  return error == 0;
}

/* Looks at each call that waits now, once. */
static void look_at_all(struct psock_core *core, uint64_t now) {
  bool sending = true;
  size_t count = 0;
  for (struct psock_list *node = core->waiting.next; node != &core->waiting;
       node = node->next)
    count++;
  while (count-- > 0 && !psock_list_empty(&core->waiting)) {
    struct psock_caller_call *call =
        PSOCK_CONTAINER(core->waiting.next, struct psock_caller_call, node);
    psock_list_remove(&call->node);
    psock_list_append(&core->waiting, &call->node);
    if (call->base.deadline <= now)
      psock_caller_call_expire(call);
    else if (sending && call->retry_at <= now)
      sending = try_to_send(call);
  }
}

/* When the first of them has to be looked at again; what waits for room or for
 * a place is looked at when there is some. */
static uint64_t next_look(struct psock_core *core, uint64_t now) {
  uint64_t next = PSOCK_NEVER;
  uint64_t link_at = core->link == NULL ? core->connect_at : 0;
  for (struct psock_list *node = core->waiting.next; node != &core->waiting;
       node = node->next) {
    struct psock_caller_call *call =
        PSOCK_CONTAINER(node, struct psock_caller_call, node);
    uint64_t at = call->retry_at > link_at ? call->retry_at : link_at;
    if (at > now && at < next)
      next = at;
    if (call->base.deadline < next)
      next = call->base.deadline;
  }
  return next;
}

void psock_retry_work(struct psock_core *core) {
  if (core->shut)
    return;
  if (psock_list_empty(&core->waiting)) {
    psock_loop_stop_alarm(core->loop, &core->alarm);
    return;
  }
  look_at_all(core, psock_loop_now(core->loop));
  if (core->shut)
    return;
  uint64_t now = psock_loop_now(core->loop);
  uint64_t next = next_look(core, now);
  if (next == PSOCK_NEVER)
    psock_loop_stop_alarm(core->loop, &core->alarm);
  else
    psock_loop_start_alarm(
        core->loop, &core->alarm, next > now ? next - now : 0);
}

void psock_retry_expired(struct psock_alarm *alarm) {
  psock_core_look(PSOCK_CONTAINER(alarm, struct psock_core, alarm));
}
