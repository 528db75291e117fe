/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/caller_call.h"
#include "rpc/link.h"
#include <protosocket/error.h>

/*
 * What the user of a caller's call may do with it. Only sending is done right
 * away, on the thread that asks for it; anything else that concerns the loop is
 * posted, because a callback must not run inside the function that causes it,
 * and because the thread may be another one.
 */

/* What a request is sent with, as it was when the lock was held. */
struct outlet {
  psock_sender *sender;
  struct psock_way *way; /* whose sender it is, or NULL */
  uint64_t max_frame;
};

/* Whether a request may be sent now: 0 with an outlet, or why not. */
static int look(struct psock_caller_call *call, struct outlet *ret_outlet) {
  int error = 0;
  psock_core_lock(call->core);
  if (call->state >= PSOCK_CALL_CLOSED) {
    error = PSOCK_ECANCELED;
  } else if (call->requests_ended) {
    error = PSOCK_EINVAL;
  } else if (call->state != PSOCK_CALL_OPEN || call->send_window <= 0) {
    error = PSOCK_EFULL;
    call->wants_room = true;
  } else if (call->way == NULL) {
    *ret_outlet = (struct outlet){
        .sender = psock_link_get_sender(call->link),
        .max_frame = call->max_frame,
    };
  } else {
    /* The call may end, and leave its way, while it is used. */
    atomic_fetch_add_explicit(&call->way->references, 1, memory_order_relaxed);
    *ret_outlet = (struct outlet){
        .sender = call->way->sender,
        .way = call->way,
        .max_frame = call->max_frame,
    };
  }
  psock_core_unlock(call->core);
  return error;
}

/* A request of `length` bytes was sent, or `error` says why not. */
static void note_sent(
    struct psock_caller_call *call, int error, size_t length) {
  psock_core_lock(call->core);
  if (error == 0)
    call->send_window -= (int64_t)length;
  else if (error == PSOCK_EFULL)
    call->wants_room = true;
  psock_core_unlock(call->core);
  if (error == PSOCK_EFULL)
    psock_core_post(call->core, call, PSOCK_ERRAND_ROOM);
}

static int send_once(struct psock_caller_call *call, const void *message) {
  struct outlet outlet;
  size_t length = 0;
  int error = look(call, &outlet);
  if (error != 0)
    return error;
  struct psock_rpc_frame frame = {
      .id = call->base.id,
      .code = PSOCK_CODE_MESSAGE,
      .type = call->base.method->request,
      .message = message,
      .ret_length = &length,
      .max_length = outlet.max_frame,
  };
  error = psock_face_send(&call->core->face, outlet.sender, &frame, NULL);
  psock_core_drop_way(call->core, outlet.way);
  note_sent(call, error, length);
  return error == PSOCK_ECLOSED ? PSOCK_ECANCELED : error;
}

static bool has_room(const struct psock_caller_call *call) {
  return !call->wants_room;
}

static int send_request(psock_call *base, const void *message) {
  struct psock_caller_call *call = psock_caller_call_of(base);
  if (!psock_caller_call_sends(call) || message == NULL)
    return PSOCK_EINVAL;
  for (;;) {
    int error = send_once(call, message);
    if (error != PSOCK_EFULL || !call->opens)
      return error;
    error = psock_caller_call_wait(call, has_room);
    if (error != 0)
      return error;
  }
}

static int end_requests(psock_call *base, const struct psock_status *status) {
  struct psock_caller_call *call = psock_caller_call_of(base);
  if (status != NULL || !psock_caller_call_sends(call))
    return PSOCK_EINVAL;
  psock_core_lock(call->core);
  bool ended = call->state >= PSOCK_CALL_CLOSED;
  bool again = call->requests_ended;
  call->requests_ended = true;
  psock_core_unlock(call->core);
  if (ended)
    return PSOCK_ECANCELED;
  if (again)
    return PSOCK_EINVAL;
  if (!psock_core_post(call->core, call, PSOCK_ERRAND_END))
    return PSOCK_ECANCELED;
  return 0;
}

static void cancel(psock_call *base) {
  struct psock_caller_call *call = psock_caller_call_of(base);
  if (!atomic_load_explicit(&base->has_ended, memory_order_acquire))
    psock_core_post(call->core, call, PSOCK_ERRAND_CANCEL);
}

/* Of what is kept anyway, nothing is given. */
static void pause_messages(psock_call *base) {
  struct psock_caller_call *call = psock_caller_call_of(base);
  call->paused = !call->opens;
}

static void resume_messages(psock_call *base) {
  struct psock_caller_call *call = psock_caller_call_of(base);
  if (!call->paused)
    return;
  call->paused = false;
  psock_core_post(call->core, call, PSOCK_ERRAND_RESUME);
}

/* For interceptors, before the call is sent. */
static int add_metadata(
    psock_call *base, const char *key, const void *value, size_t length) {
  struct psock_caller_call *call = psock_caller_call_of(base);
  struct psock_metadata entry = {.key = key, .value = value, .length = length};
  if (!call->collects || call->core->face.own != NULL)
    return PSOCK_ENOTSUP;
  return psock_metadata_append(&call->metadata, call->core->heap, &entry, 1);
}

/* The last reference is gone. To a call with events the loop has one until it
 * has ended. */
static void release(psock_call *base) {
  struct psock_caller_call *call = psock_caller_call_of(base);
  cancel(base);
  psock_caller_call_drop(call);
}

const struct psock_call_ops psock_caller_call_ops = {
    .send = send_request,
    .end = end_requests,
    .cancel = cancel,
    .receive = psock_caller_call_receive,
    .pause = pause_messages,
    .resume = resume_messages,
    .add_metadata = add_metadata,
    .free = release,
};
