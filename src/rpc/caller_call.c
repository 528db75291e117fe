/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/caller_call.h"

#include "base/allocator.h"
#include "rpc/link.h"
#include <protosocket/error.h>
#include <string.h>

/*
 * One call, from its start to its end:
 *
 *   STARTING --> OPEN                  sent by the first caller
 *   STARTING --> QUEUED --> OPEN       sent by a clone: errand, then record
 *   STARTING -------------> OPEN       sent by a clone: record
 *   STARTING --> WAITING --> OPEN      there is no link yet
 *   WAITING  --> PENDING --> OPEN      its requests stream
 *   OPEN     --> WAITING               it has failed, and is sent again
 *   any      --> ENDED                 or over CLOSED, with unread messages
 *
 * What happens when, and in which state. "Later" is a place on the link that
 * is given back when the cancel has left; "-" can't come, or changes nothing.
 *
 *                STARTING   QUEUED     WAITING  PENDING   OPEN       CLOSED
 *   record       OPEN       OPEN       -        -         -          -
 *   errand       QUEUED,    -          -        -         -          -
 *                WAITING,
 *                or ended
 *   link         -          -          PENDING, -         -          -
 *                                      OPEN
 *   first frame  -          -          -        OPEN, or  -          -
 *                                               ended
 *   response     -          -          -        -         given, or  -
 *                                                         kept
 *   its end      -          -          -        -         ended,     -
 *                                                         CLOSED,
 *                                                         WAITING
 *   link ends    -          -          -        ended     the same   -
 *   told to stop -          -          -        WAITING   -          -
 *   cancel       (errand    ended,     ended    ended     ended,     ended
 *                first)     later                         later
 *   deadline     -          as cancel, in each                       -
 *   read up      -          -          -        -         -          ended
 *
 * An answer to a call in another state than OPEN is a stray one. A call that
 * has ended has a place for as long as its cancel, or its record, is on its
 * way.
 */

static void set_state(
    struct psock_caller_call *call, enum psock_caller_call_state state) {
  psock_core_lock(call->core);
  call->state = state;
  psock_core_unlock(call->core);
}

/* ---- The request ---- */

/* Microseconds, rounded up; 0 would be none. */
static uint64_t in_microseconds(uint64_t left) {
  if (left == PSOCK_TIMEOUT_NONE)
    return 0;
  return left / 1000 + (left % 1000 > 0);
}

int psock_caller_call_send_start(struct psock_caller_call *call,
    psock_sender *sender, const void *request, uint64_t left,
    const struct psock_record *record) {
  const struct psock_method *method = call->base.method;
  struct psock_send_options options = {.size = sizeof options};
  struct psock_rpc_frame frame = {
      .id = call->base.id,
      .code = PSOCK_CODE_NORMAL,
      .method = method->number,
      .timeout_us = in_microseconds(left),
      .metadata = call->metadata.entries,
      .metadata_count = call->metadata.count,
      .max_length = call->max_frame,
  };
  if (request != NULL) {
    frame.type = method->request;
    frame.message = request;
  } else if (call->keeps) {
    frame.type = method->request;
    frame.payload = call->payload;
    frame.payload_length = call->payload_length;
  }
  options.record = record;
  return psock_face_send(
      &call->core->face, sender, &frame, record == NULL ? NULL : &options);
}

/* ---- Its place on a link ---- */

/* Gives it back; somebody may be waiting for it. */
static void give_place(struct psock_caller_call *call) {
  struct psock_core *core = call->core;
  psock_core_lock(core);
  bool look = call->link->retired || core->starved;
  psock_link_leave(call);
  psock_core_unlock(core);
  if (look)
    psock_core_look(core);
}

/* The cancel has left. */
static void cancel_sent(struct psock_control *control) {
  struct psock_caller_call *call =
      PSOCK_CONTAINER(control, struct psock_caller_call, control);
  psock_caller_call_enter(call);
  give_place(call);
  psock_caller_call_leave(call);
}

static void note(struct psock_caller_call *call) {
  call->control.id = call->base.id;
  call->control.sender = psock_caller_call_sends(call) && call->way != NULL
                             ? call->way->sender
                             : NULL;
  psock_peer_note(&call->link->peer, &call->control);
}

static void note_cancel(struct psock_caller_call *call) {
  call->control.last = true;
  call->control.code = PSOCK_CODE_CANCEL;
  call->control.sent = cancel_sent;
  note(call);
}

/* Takes the call, which is in `next` from now on, from wherever it is; its
 * server is told if it has to be. */
static void part(struct psock_caller_call *call,
    enum psock_caller_call_state next, enum psock_ended_by by) {
  enum psock_caller_call_state last = call->state;
  /* Whoever sees it open may use its place. */
  set_state(call, next);
  psock_list_remove(&call->node);
  if (call->link == NULL)
    return;
  if (last == PSOCK_CALL_QUEUED) {
    call->cancel_due = true;
  } else if (last == PSOCK_CALL_OPEN && by == PSOCK_BY_CALLER) {
    note_cancel(call);
  } else {
    psock_peer_forget(&call->link->peer, &call->control);
    give_place(call);
  }
}

/* ---- The end ---- */

/* They see what has come beside the messages. Of a call that waits, that is
 * shown to its user when it has received what belongs to it; and if another
 * thread may just be asking for it, to nobody else. */
static void tell_interceptors(struct psock_caller_call *call) {
  struct psock_call *base = &call->base;
  const struct psock_metadata *shown = base->metadata;
  size_t count = base->metadata_count;
  bool shows = call->opens && (call->runs || !call->of_clone);
  if (shows)
    psock_caller_call_show_metadata(call, true);
  psock_interceptors_end(
      call->core->interceptors, call->begun, base, &base->ended.status);
  if (!shows)
    return;
  base->metadata = shown;
  base->metadata_count = count;
}

/* Everybody is told that it has ended, with the status that was kept. */
static void tell(struct psock_caller_call *call) {
  struct psock_core *core = call->core;
  struct psock_call *base = &call->base;
  const struct psock_status *status = &base->ended.status;
  psock_core_lock(core);
  call->state = PSOCK_CALL_ENDED;
  core->in_flight--;
  psock_core_unlock(core);
  atomic_store_explicit(&base->has_ended, true, memory_order_release);
  if (call->keeps)
    psock_caller_call_drop_request(call);
  core->ended += !call->silent;
  core->failed += !call->silent && status->code != PSOCK_STATUS_OK;
  if (!call->opens)
    psock_caller_call_show_metadata(call, true);
  if (call->begun > 0)
    tell_interceptors(call);
  psock_core_lock(core);
  call->told = true;
  psock_caller_call_wake(call);
  psock_core_unlock(core);
  if (core->close_asked)
    psock_core_look(core);
  if (!call->silent && PSOCK_EVENT(base->events, ended))
    base->events->ended(base->data, base, status);
}

static void keep_status(
    struct psock_caller_call *call, const struct psock_status *status) {
  struct psock_kept_status *ended = &call->base.ended;
  if (ended->memory != NULL)
    psock_status_drop(ended);
  if (*status->text != '\0' || status->details_length > 0)
    psock_status_keep(ended, call->core->heap, status);
  else
    ended->status = *status;
}

/* Back to WAITING, as if it had not been sent. */
static void send_again(struct psock_caller_call *call, uint64_t at) {
  part(call, PSOCK_CALL_WAITING, PSOCK_BY_SERVER);
  psock_caller_call_drop_metadata(call);
  psock_retry_wait(call, at);
}

void psock_caller_call_end(struct psock_caller_call *call,
    const struct psock_status *status, enum psock_ended_by by) {
  struct psock_core *core = call->core;
  uint64_t at;
  if (call->state == PSOCK_CALL_ENDED)
    return;
  psock_caller_call_enter(call);
  if (by != PSOCK_BY_CALLER && call->keeps &&
      psock_retry_is_due(call, status, &at)) {
    send_again(call, at);
    psock_caller_call_leave(call);
    return;
  }
  /* What has failed already keeps its status; what has ended well has not, if
   * messages are dropped. */
  if (call->state != PSOCK_CALL_CLOSED ||
      call->base.ended.status.code == PSOCK_STATUS_OK)
    keep_status(call, status);
  part(call, PSOCK_CALL_CLOSED, by);
  if (by == PSOCK_BY_CALLER)
    psock_caller_call_empty_inbox(call);
  if (!call->opens && call->inbox.count > 0) {
    psock_list_append(&core->closed_calls, &call->node);
  } else {
    tell(call);
  }
  psock_caller_call_leave(call);
}

static void end_with(
    struct psock_caller_call *call, uint32_t code, const char *text) {
  struct psock_status status = psock_status_of(code, text);
  psock_caller_call_end(call, &status, PSOCK_BY_CALLER);
}

bool psock_caller_call_end_later(
    struct psock_caller_call *call, const struct psock_status *status) {
  keep_status(call, status);
  return psock_core_post(call->core, call, PSOCK_ERRAND_TELL);
}

void psock_caller_call_expire(struct psock_caller_call *call) {
  end_with(call, PSOCK_STATUS_DEADLINE_EXCEEDED, "the deadline has passed");
}

void psock_caller_call_lost(struct psock_caller_call *call, int reason) {
  struct psock_status status = psock_status_of_end(reason);
  if (call->core->shut) {
    end_with(call, PSOCK_STATUS_CANCELLED, NULL);
    return;
  }
  /* Not all of its start has been handed to the transport: nobody can have
   * begun it. */
  status.not_begun =
      call->state != PSOCK_CALL_OPEN || call->link->bytes_out < call->sent_at;
  psock_caller_call_end(call, &status, PSOCK_BY_CONNECTION);
}

/* ---- The start ---- */

/* Its server is told, once, that there are no more requests. */
static void end_requests(struct psock_caller_call *call) {
  if (call->state != PSOCK_CALL_OPEN || call->end_noted)
    return;
  call->end_noted = true;
  call->control.requests_ended = true;
  note(call);
}

void psock_caller_call_sent(struct psock_caller_call *call) {
  struct psock_link *link = call->link;
  bool sends = psock_caller_call_sends(call);
  psock_core_lock(call->core);
  call->state = PSOCK_CALL_OPEN;
  call->send_window = (int64_t)link->peer.peer_window;
  call->read = 0;
  bool ended = call->requests_ended;
  psock_core_unlock(call->core);
  call->sent_at = psock_link_get_position(link);
  call->receive_window = (int64_t)call->core->stream_window;
  call->control.window = 0;
  if (call->attempts++ > 0)
    call->core->retried++;
  psock_peer_set_deadline(&link->peer, call->base.deadline);
  if (!sends)
    return;
  psock_list_append(&link->streams, &call->node);
  if (ended)
    end_requests(call);
}

/* The frames of a clone's call use one way, from the second on. */
static int find_way(struct psock_caller_call *call, struct psock_link *link) {
  struct psock_way *way = NULL;
  if (!call->of_clone)
    return 0;
  int error = psock_link_add_way(link, &way);
  if (error != 0)
    return error;
  psock_core_lock(call->core);
  psock_core_leave_way(call->core, call->way);
  call->way = way;
  psock_core_unlock(call->core);
  return 0;
}

/* Sends what was kept, or the start of a stream. Returns PSOCK_EFULL or
 * PSOCK_ECLOSED when that has to be tried again, else 0: it is sent, or has
 * ended. */
static int send_kept(struct psock_caller_call *call) {
  struct psock_link *link = call->link;
  bool sends = psock_caller_call_sends(call);
  uint64_t left = psock_call_get_time_left(&call->base);
  int error = sends ? find_way(call, link) : 0;
  call->max_frame = link->max_frame;
  if (left == 0) {
    psock_caller_call_expire(call);
    return 0;
  }
  if (error == 0)
    error = psock_caller_call_send_start(
        call, psock_link_get_sender(link), NULL, left, NULL);
  if (error == PSOCK_EFULL) {
    link->full = true;
    psock_link_await_room(link, psock_link_get_sender(link));
  }
  if (error == PSOCK_EFULL || error == PSOCK_ECLOSED)
    return error;
  if (error != 0) {
    end_with(call, PSOCK_STATUS_RESOURCE_EXHAUSTED, psock_strerror(error));
    return 0;
  }
  psock_list_remove(&call->node);
  psock_caller_call_sent(call);
  if (sends)
    psock_caller_call_tell_room(call);
  return 0;
}

/* The server is known by now, or is not waited for any longer. */
static int begin_stream(struct psock_caller_call *call) {
  struct psock_link *link = call->link;
  if (link->has_hello)
    return send_kept(call);
  end_with(call, PSOCK_STATUS_UNIMPLEMENTED,
      "the server takes no streams of requests");
  return 0;
}

static void await(struct psock_caller_call *call) {
  struct psock_link *link = call->link;
  psock_list_remove(&call->node);
  psock_list_append(&link->pending, &call->node);
  set_state(call, PSOCK_CALL_PENDING);
  /* While it is connecting, the server has nothing to say. */
  if (link->opened)
    psock_peer_await(&link->peer);
  psock_peer_set_deadline(&link->peer, call->base.deadline);
}

int psock_caller_call_go(
    struct psock_caller_call *call, struct psock_link *link) {
  struct psock_core *core = call->core;
  psock_caller_call_enter(call);
  if (call->state == PSOCK_CALL_PENDING) {
    int error = begin_stream(call);
    psock_caller_call_leave(call);
    return error;
  }
  psock_core_lock(core);
  int error = psock_link_enter(link, call);
  core->starved = error == PSOCK_EFULL;
  psock_core_unlock(core);
  if (error == PSOCK_ENOMEM) {
    end_with(call, PSOCK_STATUS_RESOURCE_EXHAUSTED, psock_strerror(error));
    error = 0;
  } else if (error == 0 && !psock_caller_call_sends(call)) {
    error = send_kept(call);
  } else if (error == 0 && link->known) {
    error = begin_stream(call);
  } else if (error == 0) {
    await(call);
  }
  if (error != 0 && call->link != NULL) {
    psock_core_lock(core);
    psock_link_leave(call);
    psock_core_unlock(core);
  }
  psock_caller_call_leave(call);
  return error;
}

void psock_caller_call_arrived(struct psock_caller_call *call) {
  struct psock_link *link = call->link;
  psock_caller_call_enter(call);
  if (call->state == PSOCK_CALL_STARTING || call->state == PSOCK_CALL_QUEUED) {
    psock_caller_call_sent(call);
    /* It is somewhere in what was collected. */
    call->sent_at = link->connection->stats.bytes_out + 1;
  } else if (call->cancel_due) {
    call->cancel_due = false;
    note_cancel(call);
  }
  psock_caller_call_leave(call);
}

/* ---- What comes ---- */

/* Counts a response against what the server may send. */
static bool is_within_window(
    struct psock_caller_call *call, const struct psock_rpc_frame *frame) {
  if (!call->streams || !call->link->peer.hello_came)
    return true;
  if (call->receive_window <= 0)
    return false;
  call->receive_window -= (int64_t)frame->length;
  return true;
}

/* What was read may be sent again. */
static void grant(struct psock_caller_call *call) {
  struct psock_core *core = call->core;
  psock_core_lock(core);
  size_t read = call->read;
  call->read = 0;
  psock_core_unlock(core);
  if (call->state != PSOCK_CALL_OPEN || !call->link->peer.hello_came)
    return;
  call->receive_window += (int64_t)read;
  call->control.window += read;
  note(call);
}

void psock_caller_call_note_read(
    struct psock_caller_call *call, size_t length) {
  struct psock_core *core = call->core;
  if (!call->streams || core->face.own != NULL)
    return;
  psock_core_lock(core);
  call->read += length;
  bool due =
      call->read >= core->stream_window / 2 && call->state == PSOCK_CALL_OPEN;
  psock_core_unlock(core);
  if (!due)
    return;
  if (call->opens)
    psock_core_post(core, call, PSOCK_ERRAND_GRANT);
  else
    grant(call);
}

/* Gives a message to a call's events. */
static void give(
    struct psock_caller_call *call, const void *message, size_t length) {
  struct psock_call *base = &call->base;
  psock_caller_call_show_metadata(call, false);
  if (base->events != NULL)
    base->method->deliver(base->events, base->data, base, message);
  if (call->state == PSOCK_CALL_OPEN)
    psock_caller_call_note_read(call, length);
}

/* Ends a call over its response; a server that has said its only one has ended
 * it, too. */
static void refuse(
    struct psock_caller_call *call, uint32_t code, const char *text) {
  struct psock_status status = psock_status_of(code, text);
  psock_caller_call_end(
      call, &status, call->streams ? PSOCK_BY_CALLER : PSOCK_BY_SERVER);
}

/* Takes in what has come with the first frame, and the message. Returns whether
 * the call goes on. */
static bool admit(struct psock_caller_call *call, psock_connection *connection,
    const struct psock_rpc_frame *frame, const void **ret_message) {
  struct psock_core *core = call->core;
  if (!is_within_window(call, frame)) {
    refuse(call, PSOCK_STATUS_INTERNAL,
        "the server has sent more than it was allowed to");
    return false;
  }
  int error = psock_face_decode(
      &core->face, connection, frame, call->base.method->response, ret_message);
  if (error != 0) {
    refuse(call, PSOCK_STATUS_INTERNAL, psock_strerror(error));
    return false;
  }
  if (!call->answered && frame->metadata_count > 0)
    error = psock_metadata_copy(
        &call->received, core->heap, frame->metadata, frame->metadata_count);
  call->answered = true;
  /* It is not sent again any more. */
  if (call->streams)
    psock_caller_call_drop_request(call);
  if (error == 0)
    return true;
  refuse(call, PSOCK_STATUS_RESOURCE_EXHAUSTED, psock_strerror(error));
  return false;
}

static void take_response(struct psock_caller_call *call,
    psock_connection *connection, const struct psock_rpc_frame *frame) {
  static const struct psock_status well = {.size = sizeof well, .text = ""};
  const void *message = NULL;
  if (!admit(call, connection, frame, &message))
    return;
  if (call->opens || call->paused || call->inbox.count > 0) {
    int error =
        psock_caller_call_keep(call, connection, message, frame->length);
    if (error != 0) {
      refuse(call, PSOCK_STATUS_RESOURCE_EXHAUSTED,
          error == PSOCK_EFULL ? "too much is kept" : psock_strerror(error));
      return;
    }
  } else {
    give(call, message, frame->length);
  }
  if (!call->streams && call->state == PSOCK_CALL_OPEN)
    psock_caller_call_end(call, &well, PSOCK_BY_SERVER);
}

static void take_end(
    struct psock_caller_call *call, const struct psock_rpc_frame *frame) {
  struct psock_status status = psock_status_of_frame(frame);
  if (!call->streams && status.code == PSOCK_STATUS_OK)
    status = psock_status_of(
        PSOCK_STATUS_INTERNAL, "the server has ended the call without answer");
  psock_caller_call_keep_trailing(call, frame);
  psock_caller_call_end(call, &status, PSOCK_BY_SERVER);
}

static void take_window(
    struct psock_caller_call *call, const struct psock_rpc_frame *frame) {
  if (!psock_caller_call_sends(call)) {
    call->core->stray++;
    return;
  }
  psock_core_lock(call->core);
  bool fits =
      frame->window <= (uint64_t)(PSOCK_WINDOW_MOST - call->send_window);
  if (fits)
    call->send_window += (int64_t)frame->window;
  psock_core_unlock(call->core);
  if (fits)
    psock_caller_call_tell_room(call);
  else
    end_with(call, PSOCK_STATUS_INTERNAL, "the server's window is too large");
}

void psock_caller_call_take(struct psock_caller_call *call,
    psock_connection *connection, const struct psock_rpc_frame *frame) {
  psock_caller_call_enter(call);
  if (frame->code == PSOCK_CODE_NORMAL)
    take_response(call, connection, frame);
  else if (frame->code == PSOCK_CODE_WINDOW)
    take_window(call, frame);
  else
    take_end(call, frame);
  psock_caller_call_leave(call);
}

/* ---- What its user wants ---- */

void psock_caller_call_tell_room(struct psock_caller_call *call) {
  struct psock_call *base = &call->base;
  psock_core_lock(call->core);
  bool due = call->wants_room && !call->requests_ended &&
             call->state == PSOCK_CALL_OPEN && call->send_window > 0;
  if (due) {
    call->wants_room = false;
    psock_caller_call_wake(call);
  }
  psock_core_unlock(call->core);
  if (due && PSOCK_EVENT(base->events, room))
    base->events->room(base->data, base);
}

/* Gives what came during a pause. */
static void give_inbox(struct psock_caller_call *call) {
  struct psock_received received;
  while (!call->paused && call->state != PSOCK_CALL_ENDED &&
         psock_inbox_take(&call->inbox, &received)) {
    give(call, received.message, received.length);
    psock_received_release(call->core, &received);
  }
  if (call->state != PSOCK_CALL_CLOSED || call->inbox.count > 0)
    return;
  psock_list_remove(&call->node);
  tell(call);
}

void psock_caller_call_put_off(struct psock_caller_call *call) {
  struct psock_core *core = call->core;
  psock_caller_call_enter(call);
  if (core->connects && !core->shut) {
    part(call, PSOCK_CALL_WAITING, PSOCK_BY_SERVER);
    psock_retry_wait(call, 0);
  } else {
    struct psock_status status = psock_retry_status(core);
    psock_caller_call_end(call, &status, PSOCK_BY_CALLER);
  }
  psock_caller_call_leave(call);
}

/* The sender of its requests has refused one. */
static void await_room(struct psock_caller_call *call) {
  if (call->state == PSOCK_CALL_OPEN)
    psock_link_await_room(call->link, call->way != NULL
                                          ? call->way->sender
                                          : psock_link_get_sender(call->link));
}

/* Its thread has let go of it. */
static void go_on(struct psock_caller_call *call, unsigned errands) {
  if (errands & PSOCK_ERRAND_TELL) {
    tell(call);
  } else if (call->link != NULL) {
    set_state(call, PSOCK_CALL_QUEUED);
    psock_peer_set_deadline(&call->link->peer, call->base.deadline);
  } else if (call->core->shut) {
    end_with(call, PSOCK_STATUS_CANCELLED, NULL);
  } else {
    psock_retry_wait(call, 0);
  }
}

void psock_caller_call_do_errands(
    struct psock_caller_call *call, unsigned errands) {
  psock_caller_call_enter(call);
  if (call->state == PSOCK_CALL_STARTING)
    go_on(call, errands);
  if (errands & PSOCK_ERRAND_CANCEL)
    end_with(call, PSOCK_STATUS_CANCELLED, NULL);
  if (errands & PSOCK_ERRAND_END)
    end_requests(call);
  if (errands & PSOCK_ERRAND_GRANT)
    grant(call);
  if (errands & PSOCK_ERRAND_ROOM)
    await_room(call);
  if (errands & PSOCK_ERRAND_RESUME)
    give_inbox(call);
  psock_caller_call_leave(call);
}
