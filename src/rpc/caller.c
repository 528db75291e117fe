/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/caller.h"

#include "base/allocator.h"
#include "base/options.h"
#include "rpc/caller_call.h"
#include "rpc/link.h"
#include <protosocket/error.h>
#include <string.h>

/*
 * How a caller begins and ends, and how other threads reach its loop.
 *
 * Everything that was noted for later is done by `work`: at the end of a turn
 * of the loop as a task, or when the letter comes that other threads have
 * posted, together with their errands. So nothing calls back inside the
 * function that caused it.
 *
 * Closing waits until no call is in flight, then until no link is left, and
 * then for the next turn. Shutting, which is what freeing the first caller or
 * the loop does, ends everything at once: no errand is taken any more, links
 * end and with them their calls, then the calls that have no link. Clones and
 * calls that somebody has a reference to keep only the core's memory.
 */

#define DEFAULT_MAX_CALLS 1024u
#define DEFAULT_MAX_KEPT ((size_t)16 << 20)
#define DEFAULT_TIMEOUT ((uint64_t)10 * 1000000000u)
#define DEFAULT_PING_AFTER ((uint64_t)30 * 1000000000u)
#define DEFAULT_PING_TIMEOUT ((uint64_t)10 * 1000000000u)

/* ---- The core's memory ---- */

void psock_core_ref(struct psock_core *core) {
  atomic_fetch_add_explicit(&core->references, 1, memory_order_relaxed);
}

static void free_ways(struct psock_core *core) {
  pthread_mutex_lock(&core->mutex);
  struct psock_way *way = core->ways_left;
  core->ways_left = NULL;
  pthread_mutex_unlock(&core->mutex);
  while (way != NULL) {
    struct psock_way *next = way->next;
    psock_sender_drop(way->sender);
    psock_free(&core->heap->allocator, way);
    way = next;
  }
}

void psock_core_unref(struct psock_core *core) {
  struct psock_heap *heap = core->heap;
  if (atomic_fetch_sub_explicit(&core->references, 1, memory_order_acq_rel) > 1)
    return;
  free_ways(core);
  psock_caller_call_free_spare(core);
  psock_face_fini(&core->face);
  pthread_mutex_destroy(&core->mutex);
  psock_free(&heap->allocator, core->interceptors);
  psock_free(&heap->allocator, core);
  psock_heap_unref(heap);
}

bool psock_core_keep(struct psock_core *core, size_t length) {
  size_t kept =
      atomic_fetch_add_explicit(&core->kept, length, memory_order_relaxed);
  if (kept <= core->max_kept && length <= core->max_kept - kept)
    return true;
  psock_core_release(core, length);
  return false;
}

void psock_core_release(struct psock_core *core, size_t length) {
  atomic_fetch_sub_explicit(&core->kept, length, memory_order_relaxed);
}

/* ---- Reaching the loop ---- */

/* Under the mutex, unless the core is shut. */
static void post_letter(struct psock_core *core) {
  if (core->posted)
    return;
  core->posted = true;
  psock_core_ref(core);
  psock_loop_post(core->loop, &core->letter);
}

bool psock_core_post(
    struct psock_core *core, struct psock_caller_call *call, unsigned errands) {
  pthread_mutex_lock(&core->mutex);
  bool shut = core->shut;
  if (!shut) {
    if (call->errands == 0) {
      atomic_fetch_add_explicit(&call->owners, 1, memory_order_relaxed);
      psock_list_append(&core->errands, &call->errand);
      core->errand_count++;
    }
    call->errands |= errands;
    post_letter(core);
  }
  pthread_mutex_unlock(&core->mutex);
  return !shut;
}

void psock_core_call_loop(struct psock_core *core) {
  pthread_mutex_lock(&core->mutex);
  if (!core->shut)
    post_letter(core);
  pthread_mutex_unlock(&core->mutex);
}

void psock_core_look(struct psock_core *core) {
  if (!core->shut)
    psock_loop_defer(core->loop, &core->task);
}

/* Leaves it to the loop. There are ways only where there are clones, so the
 * lock, which the caller has, is the mutex. */
static void bury_way(struct psock_core *core, struct psock_way *way) {
  way->next = core->ways_left;
  core->ways_left = way;
  if (!core->shut)
    post_letter(core);
}

static bool is_last(struct psock_way *way) {
  return way != NULL && atomic_fetch_sub_explicit(
                            &way->references, 1, memory_order_acq_rel) == 1;
}

void psock_core_leave_way(struct psock_core *core, struct psock_way *way) {
  if (is_last(way))
    bury_way(core, way);
}

void psock_core_drop_way(struct psock_core *core, struct psock_way *way) {
  if (!is_last(way))
    return;
  pthread_mutex_lock(&core->mutex);
  bury_way(core, way);
  pthread_mutex_unlock(&core->mutex);
}

/* Takes the next call that was posted, or NULL. */
static struct psock_caller_call *next_errand(
    struct psock_core *core, unsigned *ret_errands) {
  struct psock_caller_call *call = NULL;
  pthread_mutex_lock(&core->mutex);
  if (!psock_list_empty(&core->errands)) {
    call =
        PSOCK_CONTAINER(core->errands.next, struct psock_caller_call, errand);
    psock_list_remove(&call->errand);
    core->errand_count--;
    *ret_errands = call->errands;
    call->errands = 0;
  }
  pthread_mutex_unlock(&core->mutex);
  return call;
}

/* At most `count` of them; what they cause is left to the next turn. */
static void do_errands(struct psock_core *core, unsigned count) {
  struct psock_caller_call *call;
  unsigned errands = 0;
  while (count-- > 0 && (call = next_errand(core, &errands)) != NULL) {
    psock_caller_call_do_errands(call, errands);
    psock_caller_call_drop(call);
  }
}

static void end_keeping_loop(struct psock_core *core) {
  if (!core->keeps_loop)
    return;
  core->keeps_loop = false;
  core->loop->ops->keep(core->loop, false);
}

/* Whether no call is in flight; then none starts on the link any more. */
static bool is_idle(struct psock_core *core) {
  psock_core_lock(core);
  bool idle = core->in_flight == 0;
  if (idle && core->link != NULL)
    psock_link_retire(core->link);
  psock_core_unlock(core);
  return idle;
}

/* What psock_caller_close owes. */
static void tell_closed(struct psock_core *core) {
  if (!core->close_asked)
    return;
  core->close_asked = false;
  if (core->closed != NULL)
    core->closed(core->closed_data);
}

/* Goes on with psock_caller_close. */
static void advance_close(struct psock_core *core) {
  if (core->shut || !core->close_asked || !is_idle(core))
    return;
  for (struct psock_list *node = core->links.next; node != &core->links;
       node = node->next)
    psock_link_look(PSOCK_CONTAINER(node, struct psock_link, node));
  if (!psock_list_empty(&core->links))
    return;
  if (!core->closed_due) {
    core->closed_due = true;
    psock_core_look(core);
    return;
  }
  end_keeping_loop(core);
  tell_closed(core);
}

/* Does whatever can be done now. Somebody has a reference. */
static void work(struct psock_core *core) {
  free_ways(core);
  for (struct psock_list *node = core->links.next; node != &core->links;
       node = node->next)
    psock_link_look(PSOCK_CONTAINER(node, struct psock_link, node));
  psock_retry_work(core);
  advance_close(core);
}

static void run_task(struct psock_task *task) {
  struct psock_core *core = PSOCK_CONTAINER(task, struct psock_core, task);
  psock_core_ref(core);
  work(core);
  psock_core_unref(core);
}

static void deliver(struct psock_letter *letter) {
  struct psock_core *core = PSOCK_CONTAINER(letter, struct psock_core, letter);
  pthread_mutex_lock(&core->mutex);
  core->posted = false;
  unsigned count = core->errand_count;
  pthread_mutex_unlock(&core->mutex);
  do_errands(core, count);
  if (!core->shut)
    work(core);
  psock_core_unref(core);
}

/* ---- The end ---- */

static void end_all(struct psock_list *calls) {
  struct psock_status status = psock_status_of(PSOCK_STATUS_CANCELLED, NULL);
  while (!psock_list_empty(calls))
    psock_caller_call_end(
        PSOCK_CONTAINER(calls->next, struct psock_caller_call, node), &status,
        PSOCK_BY_CALLER);
}

/* Ends what is left. What calls back in here may cause the same once more. */
static void end_everything(struct psock_core *core) {
  do_errands(core, UINT32_MAX);
  while (!psock_list_empty(&core->links))
    psock_link_free(PSOCK_CONTAINER(core->links.next, struct psock_link, node));
  end_all(&core->waiting);
  end_all(&core->closed_calls);
  tell_closed(core);
}

static void shut(struct psock_core *core) {
  psock_core_ref(core);
  if (core->shut) {
    /* It may still be at that. */
    end_everything(core);
    psock_core_unref(core);
    return;
  }
  psock_core_lock(core);
  core->closing = true;
  core->link = NULL;
  psock_core_unlock(core);
  pthread_mutex_lock(&core->mutex);
  core->shut = true;
  pthread_mutex_unlock(&core->mutex);
  psock_list_remove(&core->owned.node);
  end_everything(core);
  end_keeping_loop(core);
  free_ways(core);
  psock_task_cancel(&core->task);
  psock_loop_stop_alarm(core->loop, &core->alarm);
  psock_alarms_unreserve(&core->loop->alarms);
  psock_core_unref(core);
}

static void end_owned(struct psock_owned *owned) {
  shut(PSOCK_CONTAINER(owned, struct psock_core, owned));
}

/* ---- The beginning ---- */

static uint64_t or_default(uint64_t given, uint64_t otherwise) {
  return given == 0 ? otherwise : given;
}

/* The method of own messages, or NULL; false for a service that is none of
 * these. */
static bool find_own(
    const struct psock_service *service, const struct psock_method **ret_own) {
  *ret_own = NULL;
  if (service == NULL)
    return true;
  if (service->method_count != 1 || service->methods[0]->number != 0)
    return false;
  *ret_own = service->methods[0];
  return true;
}

static int copy_interceptors(
    struct psock_core *core, const struct psock_caller_options *options) {
  size_t count = options->interceptor_count;
  if ((options->interceptors == NULL) != (count == 0) || count > UINT16_MAX)
    return PSOCK_EINVAL;
  for (size_t i = 0; i < count; i++)
    if (options->interceptors[i] == NULL || options->interceptors[i]->size == 0)
      return PSOCK_EINVAL;
  if (count == 0)
    return 0;
  core->interceptors = psock_alloc(
      &core->heap->allocator, count * sizeof(const struct psock_interceptor *));
  if (core->interceptors == NULL)
    return PSOCK_ENOMEM;
  for (size_t i = 0; i < count; i++)
    core->interceptors[i] = options->interceptors[i];
  core->interceptor_count = count;
  return 0;
}

/* The field of ids is as wide as the narrower one. */
static unsigned id_width(const struct psock_face *face) {
  if (face->own == NULL)
    return sizeof(uint64_t);
  unsigned in = face->in->id->width;
  unsigned out = face->out->id->width;
  return in < out ? in : out;
}

/* The codecs, in the loop's memory unless the limits say otherwise. */
static int init_face(struct psock_core *core, const struct psock_method *own,
    const struct psock_protobuf_options *given) {
  struct psock_protobuf_options limits;
  if (given != NULL && given->size == 0)
    return PSOCK_EINVAL;
  psock_options_copy(
      &limits, sizeof limits, given, given == NULL ? 0 : given->size);
  limits.size = sizeof limits;
  if (limits.allocator == NULL)
    limits.allocator = &core->heap->allocator;
  return psock_face_init(&core->face, PSOCK_CALLER_END, own, &limits);
}

static int take_options(
    struct psock_core *core, const struct psock_caller_options *options) {
  const struct psock_connection_options *connection = options->connection;
  const struct psock_method *own;
  if (!find_own(options->messages, &own) ||
      options->max_calls > PSOCK_SLOTS_MOST ||
      options->stream_window > (uint64_t)PSOCK_WINDOW_MOST ||
      (connection != NULL && connection->size == 0))
    return PSOCK_EINVAL;
  int error = copy_interceptors(core, options);
  if (error == 0)
    error = init_face(core, own, options->limits);
  if (error != 0)
    return error;
  psock_options_copy(&core->connection, sizeof core->connection, connection,
      connection == NULL ? 0 : connection->size);
  core->connection.size = sizeof core->connection;
  core->connection.inbound = core->face.inbound;
  core->connection.outbound = core->face.outbound;
  /* A caller always reads. */
  core->connection.when_full = PSOCK_WHEN_FULL_READ;
  core->max_calls = (unsigned)or_default(options->max_calls, DEFAULT_MAX_CALLS);
  core->id_width = id_width(&core->face);
  core->max_kept = (size_t)or_default(options->max_kept, DEFAULT_MAX_KEPT);
  core->stream_window =
      (size_t)or_default(options->stream_window, PSOCK_WINDOW_DEFAULT);
  core->timeout = or_default(options->timeout, DEFAULT_TIMEOUT);
  core->ping_after = or_default(options->ping_after, DEFAULT_PING_AFTER);
  core->ping_timeout = or_default(options->ping_timeout, DEFAULT_PING_TIMEOUT);
  return 0;
}

static void init(struct psock_core *core, psock_loop *loop) {
  *core = (struct psock_core){
      .loop = loop,
      .heap = psock_heap_ref(loop->heap),
      .owned = {.end = end_owned},
      .letter = {.deliver = deliver},
      .alarm = {.expired = psock_retry_expired},
  };
  atomic_init(&core->references, 1);
  atomic_init(&core->cloned, false);
  atomic_init(&core->kept, 0);
  psock_list_init(&core->errands);
  psock_list_init(&core->links);
  psock_list_init(&core->waiting);
  psock_list_init(&core->closed_calls);
  psock_task_init(&core->task, run_task);
}

/* Everything but the link. */
static int core_new(psock_loop *loop, const struct psock_caller_options *given,
    struct psock_core **ret_core) {
  struct psock_caller_options options;
  if (given != NULL && given->size == 0)
    return PSOCK_EINVAL;
  psock_options_copy(
      &options, sizeof options, given, given == NULL ? 0 : given->size);
  int error = psock_alarms_reserve(&loop->alarms);
  if (error != 0)
    return error;
  struct psock_core *core = psock_alloc(&loop->heap->allocator, sizeof *core);
  if (core == NULL) {
    psock_alarms_unreserve(&loop->alarms);
    return PSOCK_ENOMEM;
  }
  init(core, loop);
  error = pthread_mutex_init(&core->mutex, NULL) == 0 ? 0 : PSOCK_ENOMEM;
  if (error != 0)
    goto err_after_init;
  error = take_options(core, &options);
  if (error != 0)
    goto err_after_mutex;
  psock_list_append(&loop->owned, &core->owned.node);
  *ret_core = core;
  return 0;

err_after_mutex:
  pthread_mutex_destroy(&core->mutex);
err_after_init:
  psock_alarms_unreserve(&loop->alarms);
  psock_free(&loop->heap->allocator, core->interceptors);
  psock_free(&loop->heap->allocator, core);
  psock_heap_unref(loop->heap);
  return error;
}

static int caller_new(
    struct psock_core *core, bool first, psock_caller **ret_caller) {
  psock_caller *caller = psock_alloc(&core->heap->allocator, sizeof *caller);
  if (caller == NULL)
    return PSOCK_ENOMEM;
  *caller = (psock_caller){.core = core, .first = first};
  *ret_caller = caller;
  return 0;
}

/* The first caller, which gets the core's reference, and its first link. */
static int begin(struct psock_core *core, psock_transport *transport,
    psock_caller **ret_caller) {
  psock_caller *caller = NULL;
  int error = caller_new(core, true, &caller);
  if (error == 0)
    error = psock_link_new(core, transport, &core->link);
  if (error != 0) {
    psock_free(&core->heap->allocator, caller);
    shut(core);
    psock_core_unref(core);
    return error;
  }
  *ret_caller = caller;
  return 0;
}

int psock_caller_connect(psock_loop *loop, const struct psock_address *address,
    const struct psock_caller_options *options, psock_caller **ret_caller) {
  struct psock_core *core;
  int error = core_new(loop, options, &core);
  if (error != 0)
    return error;
  core->connects = true;
  core->address = *address;
  return begin(core, NULL, ret_caller);
}

int psock_caller_new(psock_loop *loop, psock_transport *transport,
    const struct psock_caller_options *options, psock_caller **ret_caller) {
  struct psock_core *core;
  if (transport == NULL)
    return PSOCK_EINVAL;
  int error = core_new(loop, options, &core);
  if (error != 0)
    return error;
  return begin(core, transport, ret_caller);
}

/* From here on other threads may be there: what takes the lock takes it. */
static int prepare_for_clones(struct psock_core *core) {
  if (core->closing)
    return PSOCK_ECLOSED;
  atomic_store_explicit(&core->cloned, true, memory_order_relaxed);
  if (!core->keeps_loop) {
    core->keeps_loop = true;
    core->loop->ops->keep(core->loop, true);
  }
  if (core->link == NULL || core->link->root != NULL)
    return 0;
  return psock_link_add_root(core->link);
}

int psock_caller_clone(psock_caller *caller, psock_caller **ret_caller) {
  struct psock_core *core = caller->core;
  int error = caller->first ? prepare_for_clones(core) : 0;
  if (error != 0)
    return error;
  psock_core_lock(core);
  bool closing = core->closing;
  psock_core_unlock(core);
  if (closing)
    return PSOCK_ECLOSED;
  error = caller_new(core, false, ret_caller);
  if (error == 0)
    psock_core_ref(core);
  return error;
}

void psock_caller_free(psock_caller *caller) {
  if (caller == NULL)
    return;
  struct psock_core *core = caller->core;
  /* `closed` may free the caller, even if freeing it has called that. */
  if (caller->first && core->freed)
    return;
  if (caller->first) {
    core->freed = true;
    shut(core);
  } else {
    psock_core_lock(core);
    psock_core_leave_way(core, caller->way);
    psock_core_unlock(core);
  }
  psock_free(&core->heap->allocator, caller);
  psock_core_unref(core);
}

int psock_caller_close(
    psock_caller *caller, void (*closed)(void *data), void *data) {
  struct psock_core *core = caller->core;
  if (!caller->first || core->closing)
    return PSOCK_EINVAL;
  psock_core_lock(core);
  core->closing = true;
  psock_core_unlock(core);
  core->close_asked = true;
  core->closed = closed;
  core->closed_data = data;
  psock_core_look(core);
  return 0;
}

/* ---- Statistics ---- */

static void add_links(
    struct psock_core *core, struct psock_caller_stats *stats) {
  for (struct psock_list *node = core->links.next; node != &core->links;
       node = node->next) {
    struct psock_link *link = PSOCK_CONTAINER(node, struct psock_link, node);
    if (link->over)
      continue;
    stats->stray += link->peer.stray;
    stats->pings += link->peer.pings;
  }
}

void psock_caller_get_stats(
    const psock_caller *caller, struct psock_caller_stats *ret_stats) {
  struct psock_core *core = caller->core;
  struct psock_caller_stats stats = {
      .ended = core->ended,
      .failed = core->failed,
      .retried = core->retried,
      .kept = atomic_load(&core->kept),
      .stray = core->stray,
      .connected = core->connected,
      .pings = core->pings,
  };
  psock_core_lock(core);
  stats.in_flight = core->in_flight;
  stats.started = core->started;
  stats.refused = core->refused;
  psock_core_unlock(core);
  add_links(core, &stats);
  psock_options_fill(ret_stats, ret_stats->size, &stats, sizeof stats);
}
