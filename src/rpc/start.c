/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/caller_call.h"
#include "rpc/link.h"
#include <protosocket/error.h>

/*
 * Starting a call. In one section under the lock it is admitted and gets its
 * place on the link; then, without the lock, come the interceptors and the
 * encoding. The first caller sends on the connection's first sender, a clone on
 * its own way, with a record by which the loop gets to know of the call before
 * it can be answered. From then on the call of a clone belongs to the loop, and
 * is not touched here any more.
 *
 * What can't be sent right away (there is no link, or requests stream and the
 * server is not known well enough) is kept, and left to the loop by an errand.
 * So is a call that is to end without having been sent.
 */

struct beginning {
  struct psock_caller *caller;
  struct psock_core *core;
  const struct psock_start *start;
  struct psock_call_options options;
  bool first; /* it is the first caller */
  bool streams;
  bool hopeless; /* there is no link, and none can be made for now */
  bool early;    /* the connection is not open: the record will take its time */
  struct psock_caller_call *call;
  struct psock_way *way; /* a clone's, to be dropped in the end */
};

/* ---- What was asked for ---- */

static int check_face(const struct psock_core *core,
    const struct psock_method *method,
    const struct psock_call_options *options) {
  const struct psock_method *own = core->face.own;
  if (own == NULL)
    return method->number == 0 ? PSOCK_ENOTSUP : 0;
  if (method->number != 0 || options->metadata_count > 0 ||
      method->request->descriptor != own->request->descriptor ||
      method->response->descriptor != own->response->descriptor)
    return PSOCK_ENOTSUP;
  return 0;
}

/* What is said by no options. */
static const struct psock_call_options usual = {
    .size = sizeof usual, .timeout = PSOCK_TIMEOUT_DEFAULT};

static void copy_options(struct psock_call_options *options,
    const struct psock_call_options *given) {
  if (given == NULL)
    *options = usual;
  else
    psock_options_copy(options, sizeof *options, given, given->size);
}

/* Looks at the arguments, and fills in the rest of `beginning`. */
static int check(struct beginning *beginning) {
  const struct psock_start *start = beginning->start;
  const struct psock_method *method = start->method;
  struct psock_call_options *options = &beginning->options;
  bool sends = (method->flags & PSOCK_METHOD_CLIENT_STREAMS) != 0;
  copy_options(options, start->options);
  if (options->size == 0 || options->timeout == 0 ||
      (options->metadata == NULL && options->metadata_count > 0) ||
      (start->events != NULL && start->events->size == 0) ||
      (start->request == NULL) != sends ||
      (options->streams && !(method->flags & PSOCK_METHOD_MAY_STREAM)))
    return PSOCK_EINVAL;
  beginning->streams =
      (method->flags & PSOCK_METHOD_SERVER_STREAMS) || options->streams;
  return check_face(beginning->core, method, options);
}

/* Nanoseconds that the call may take. */
static uint64_t find_timeout(const struct beginning *beginning) {
  uint64_t timeout = beginning->options.timeout;
  uint64_t named = beginning->start->method->timeout;
  if (timeout != PSOCK_TIMEOUT_DEFAULT)
    return timeout;
  uint64_t left = psock_serving_get_time_left();
  if (left != PSOCK_TIMEOUT_NONE)
    return named != 0 && named < left ? named : left;
  if (named != 0)
    return named;
  return beginning->streams ? PSOCK_TIMEOUT_NONE : beginning->core->timeout;
}

/* ---- Under the lock ---- */

/* Sees to it that the clone has a way to the link, and the call uses it. */
static int take_way(struct beginning *beginning, struct psock_link *link) {
  struct psock_caller *caller = beginning->caller;
  if (caller->way == NULL || caller->way->link_number != link->number) {
    struct psock_way *way;
    int error = psock_link_add_way(link, &way);
    if (error != 0)
      return error;
    psock_core_leave_way(link->core, caller->way);
    caller->way = way;
  }
  /* For the call, and for sending on it: others may use the clone, too. */
  beginning->call->way = caller->way;
  beginning->way = caller->way;
  atomic_fetch_add_explicit(&caller->way->references, 2, memory_order_relaxed);
  return 0;
}

static int take_place(struct beginning *beginning, struct psock_link *link) {
  struct psock_caller_call *call = beginning->call;
  int error = psock_link_enter(link, call);
  if (error != 0 || beginning->first)
    return error;
  error = take_way(beginning, link);
  if (error != 0) {
    psock_link_leave(call);
    /* It has closed. */
    if (error == PSOCK_ECLOSED)
      psock_link_retire(link);
    return error == PSOCK_ECLOSED ? 0 : error;
  }
  link->begun++;
  beginning->early = !link->opened;
  return 0;
}

/* Whether the start can be sent on `link` right away. */
static bool is_direct(
    const struct beginning *beginning, const struct psock_link *link) {
  if (link == NULL)
    return false;
  if (!(beginning->start->method->flags & PSOCK_METHOD_CLIENT_STREAMS))
    return true;
  return beginning->first && link->known && link->has_hello;
}

static int enter(struct beginning *beginning) {
  struct psock_core *core = beginning->core;
  if (core->closing)
    return PSOCK_ECLOSED;
  if (core->in_flight >= core->max_calls)
    return PSOCK_EFULL;
  beginning->call = psock_caller_call_new(core);
  if (beginning->call == NULL)
    return PSOCK_ENOMEM;
  if (!is_direct(beginning, core->link))
    return 0;
  return take_place(beginning, core->link);
}

static int admit(struct beginning *beginning) {
  struct psock_core *core = beginning->core;
  psock_core_lock(core);
  int error = enter(beginning);
  if (error == 0) {
    core->in_flight++;
    core->started++;
  } else {
    core->refused++;
  }
  psock_core_unlock(core);
  if (error != 0 && beginning->call != NULL)
    psock_caller_call_recycle(beginning->call);
  return error;
}

/* ---- Taking it back ---- */

/* Gives back the place of a start that was not sent. */
static void leave_place(struct beginning *beginning) {
  struct psock_core *core = beginning->core;
  struct psock_caller_call *call = beginning->call;
  struct psock_link *link = call->link;
  if (link == NULL)
    return;
  psock_core_lock(core);
  if (!beginning->first)
    link->begun--;
  bool look = link->retired || core->starved;
  psock_link_leave(call);
  psock_core_unlock(core);
  if (look)
    psock_core_call_loop(core);
}

/* The start fails with `error`. Interceptors that have begun are told, on the
 * loop's thread as long as there is one. */
static int fail(struct beginning *beginning, int error) {
  struct psock_core *core = beginning->core;
  struct psock_caller_call *call = beginning->call;
  struct psock_status status =
      psock_status_of(PSOCK_STATUS_RESOURCE_EXHAUSTED, psock_strerror(error));
  leave_place(beginning);
  psock_core_lock(core);
  core->started--;
  core->refused++;
  core->in_flight -= call->begun == 0;
  psock_core_unlock(core);
  if (call->begun == 0) {
    psock_caller_call_recycle(call);
    return error;
  }
  call->silent = true;
  call->opens = false;
  call->base.events = NULL;
  atomic_store_explicit(&call->base.references, 1, memory_order_relaxed);
  if (psock_caller_call_end_later(call, &status))
    return error;
  psock_interceptors_end(
      core->interceptors, call->begun, &call->base, &call->base.ended.status);
  psock_core_lock(core);
  core->in_flight--;
  psock_core_unlock(core);
  psock_caller_call_recycle(call);
  return error;
}

/* ---- The call ---- */

static void fill(struct beginning *beginning, psock_call **ret_call) {
  struct psock_caller_call *call = beginning->call;
  const struct psock_start *start = beginning->start;
  struct psock_call *base = &call->base;
  uint64_t now = psock_loop_now(beginning->core->loop);
  uint64_t timeout = find_timeout(beginning);
  base->ops = &psock_caller_call_ops;
  base->method = start->method;
  base->loop = beginning->core->loop;
  base->began = now;
  base->deadline =
      timeout > PSOCK_NEVER - 1 - now ? PSOCK_NEVER : now + timeout;
  base->events = start->events;
  base->data = start->data;
  atomic_init(&base->references, ret_call != NULL && !start->opens ? 2 : 1);
  atomic_init(&call->owners, 2);
  call->opens = start->opens;
  call->runs = start->runs;
  call->streams = beginning->streams;
  call->of_clone = !beginning->first;
}

/* The interceptors' turn. Returns whether they let the call go on; if not,
 * `ret_status` is how it ends. */
static bool intercept(
    struct beginning *beginning, struct psock_status *ret_status) {
  struct psock_core *core = beginning->core;
  struct psock_caller_call *call = beginning->call;
  int refused = 0;
  if (core->interceptor_count == 0)
    return true;
  call->collects = true;
  call->begun = (uint16_t)psock_interceptors_begin(core->interceptors,
      core->interceptor_count, &call->base, &refused, ret_status);
  call->collects = false;
  return !refused;
}

/* The call ends without having been sent. */
static int end_unsent(
    struct beginning *beginning, const struct psock_status *status) {
  leave_place(beginning);
  if (psock_caller_call_end_later(beginning->call, status))
    return 0;
  return fail(beginning, PSOCK_ECLOSED);
}

/* Leaves the start to the loop. */
static int defer(struct beginning *beginning) {
  const struct psock_start *start = beginning->start;
  struct psock_caller_call *call = beginning->call;
  if (start->request != NULL && !call->keeps) {
    int error = psock_caller_call_keep_request(call, start->request);
    if (error != 0)
      return fail(beginning, error);
  }
  if (!psock_core_post(beginning->core, call, PSOCK_ERRAND_START))
    return fail(beginning, PSOCK_ECLOSED);
  return 0;
}

/* The link has closed meanwhile. */
static int defer_anew(struct beginning *beginning) {
  struct psock_core *core = beginning->core;
  struct psock_link *link = beginning->call->link;
  psock_core_lock(core);
  psock_link_retire(link);
  psock_core_unlock(core);
  leave_place(beginning);
  return defer(beginning);
}

static int send_by_first(struct beginning *beginning, const void *request) {
  struct psock_caller_call *call = beginning->call;
  struct psock_call *base = &call->base;
  uint64_t left = base->deadline == PSOCK_NEVER ? PSOCK_TIMEOUT_NONE
                                                : base->deadline - base->began;
  int error = PSOCK_ECLOSED;
  if (!call->link->over)
    error = psock_caller_call_send_start(
        call, psock_link_get_sender(call->link), request, left, NULL);
  if (error == PSOCK_ECLOSED)
    return defer_anew(beginning);
  if (error != 0)
    return fail(beginning, error);
  psock_caller_call_sent(call);
  return 0;
}

/* Once it is sent, the loop may do with the call whatever it wants to. */
static int send_by_clone(struct beginning *beginning, const void *request) {
  struct psock_caller_call *call = beginning->call;
  struct psock_call *base = &call->base;
  uint64_t left = base->deadline == PSOCK_NEVER ? PSOCK_TIMEOUT_NONE
                                                : base->deadline - base->began;
  struct psock_record record = {.pointer = call};
  bool early = beginning->early;
  if (early)
    atomic_fetch_add_explicit(&call->owners, 1, memory_order_relaxed);
  int error = psock_caller_call_send_start(
      call, beginning->way->sender, request, left, &record);
  if (error == 0 && early) {
    /* The loop has to know of the deadline before the record comes. */
    psock_core_post(beginning->core, call, PSOCK_ERRAND_START);
    psock_caller_call_drop(call);
  }
  if (error == 0)
    return 0;
  if (early)
    atomic_fetch_sub_explicit(&call->owners, 1, memory_order_relaxed);
  return error == PSOCK_ECLOSED ? defer_anew(beginning)
                                : fail(beginning, error);
}

/* Sees to it that there is a link, if that can be. */
static void find_link(struct beginning *beginning) {
  struct psock_core *core = beginning->core;
  if (!beginning->first || core->closing || core->link != NULL)
    return;
  beginning->hopeless =
      psock_retry_get_link(core) == NULL &&
      !(beginning->start->method->flags & PSOCK_METHOD_IDEMPOTENT);
}

static int go(struct beginning *beginning) {
  const struct psock_start *start = beginning->start;
  struct psock_caller_call *call = beginning->call;
  const void *request = start->request;
  struct psock_status status;
  if (!intercept(beginning, &status))
    return end_unsent(beginning, &status);
  if (call->base.deadline == call->base.began) {
    status = psock_status_of(
        PSOCK_STATUS_DEADLINE_EXCEEDED, "there was no time left");
    return end_unsent(beginning, &status);
  }
  if (beginning->hopeless) {
    status = psock_retry_status(beginning->core);
    return end_unsent(beginning, &status);
  }
  /* What can't be kept is sent all the same, but only once. */
  if (start->method->flags & PSOCK_METHOD_IDEMPOTENT && request != NULL &&
      psock_caller_call_keep_request(call, request) == 0)
    request = NULL;
  if (call->link == NULL)
    return defer(beginning);
  return beginning->first ? send_by_first(beginning, request)
                          : send_by_clone(beginning, request);
}

int psock_caller_begin(psock_caller *caller, const struct psock_start *start,
    psock_call **ret_call) {
  struct psock_core *core = caller->core;
  struct beginning beginning = {
      .caller = caller,
      .core = core,
      .start = start,
      .first = caller->first,
  };
  if (caller->first && !psock_core_is_home(core))
    return PSOCK_ELOOPTHREAD;
  int error = check(&beginning);
  if (error != 0) {
    psock_core_lock(core);
    core->refused++;
    psock_core_unlock(core);
    return error;
  }
  find_link(&beginning);
  error = admit(&beginning);
  if (error != 0)
    return error;
  struct psock_caller_call *call = beginning.call;
  fill(&beginning, ret_call);
  if (beginning.options.metadata_count > 0)
    error = psock_metadata_append(&call->metadata, core->heap,
        beginning.options.metadata, beginning.options.metadata_count);
  error = error == 0 ? go(&beginning) : fail(&beginning, error);
  if (error == 0 && ret_call != NULL)
    *ret_call = &call->base;
  psock_core_drop_way(core, beginning.way);
  return error;
}

int psock_caller_start(psock_caller *caller, const struct psock_method *method,
    const void *request, const struct psock_call_options *options,
    const struct psock_call_events *events, void *data, psock_call **ret_call) {
  struct psock_start start = {
      .method = method,
      .request = request,
      .options = options,
      .events = events,
      .data = data,
  };
  return psock_caller_begin(caller, &start, ret_call);
}
