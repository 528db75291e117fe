/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "rpc/server_call.h"

#include <protosocket/error.h>

/*
 * Calls that other threads use. All of a session's that are go by one clone of
 * the connection's sender, the outlet; what was sent on the first sender before
 * is in front of that, since a connection collects its first sender before the
 * lanes.
 *
 * What a thread does in such a call it does at once: it sends on the outlet,
 * which may be the call's last frame. Only what is the loop's has to be told to
 * it: by the record of the last frame, or by a letter, when that had no room,
 * or when the user waits for some. A call is in its session's table until the
 * loop knows; so the end of the connection finds it in any case.
 *
 * A shared call outlives its session, its server and its loop, if somebody has
 * a reference. It is freed when that is gone, and the session has let go, and
 * no letter is under way. After `let_go` there is no letter: nobody touches the
 * loop any more.
 */

void psock_outlet_unref(struct psock_outlet *outlet) {
  if (outlet == NULL || atomic_fetch_sub_explicit(
                            &outlet->references, 1, memory_order_acq_rel) > 1)
    return;
  struct psock_heap *heap = outlet->heap;
  psock_sender_drop(outlet->sender);
  psock_free(&heap->allocator, outlet);
  psock_heap_unref(heap);
}

/* From here on its counter is the session's. */
static int make_outlet(
    struct psock_session *session, struct psock_outlet **ret_outlet) {
  const struct psock_server *server = session->server;
  struct psock_outlet *outlet =
      psock_alloc(&server->heap->allocator, sizeof *outlet);
  if (outlet == NULL)
    return PSOCK_ENOMEM;
  *outlet = (struct psock_outlet){
      .face = server->face,
      .max_frame = session->peer.peer_max_frame,
      .max_kept = server->options.max_kept,
  };
  int error = psock_sender_clone(session->peer.sender, &outlet->sender);
  if (error != 0) {
    psock_free(&server->heap->allocator, outlet);
    return error;
  }
  outlet->heap = psock_heap_ref(server->heap);
  atomic_init(&outlet->references, 1);
  atomic_init(&outlet->kept, atomic_load(session->peer.kept));
  session->peer.kept = &outlet->kept;
  *ret_outlet = outlet;
  return 0;
}

int psock_session_get_outlet(
    struct psock_session *session, struct psock_outlet **ret_outlet) {
  if (session->outlet == NULL) {
    int error = make_outlet(session, &session->outlet);
    if (error != 0)
      return error;
  }
  atomic_fetch_add_explicit(
      &session->outlet->references, 1, memory_order_relaxed);
  *ret_outlet = session->outlet;
  return 0;
}

static bool is_done_with(const struct psock_server_call *call) {
  return call->state.unreferenced && call->shared->let_go &&
         !call->shared->posted;
}

/* The loop's thread looks at what another one has left. */
static void deliver(struct psock_letter *letter) {
  struct psock_shared *shared =
      PSOCK_CONTAINER(letter, struct psock_shared, letter);
  struct psock_server_call *call = shared->call;
  psock_server_call_lock(call);
  shared->posted = false;
  bool done = is_done_with(call);
  bool let_go = shared->let_go;
  bool wants_room = call->state.wants_room;
  psock_server_call_unlock(call);
  if (done)
    psock_server_call_destroy(call);
  else if (let_go)
    return;
  else if (psock_server_call_has_ended(call))
    psock_server_call_over(call);
  else if (wants_room)
    psock_server_call_want_room(call);
}

void psock_server_call_tell_loop(struct psock_server_call *call) {
  struct psock_shared *shared = call->shared;
  if (shared == NULL) {
    if (psock_server_call_has_ended(call))
      psock_server_call_over(call);
    else
      psock_server_call_want_room(call);
    return;
  }
  pthread_mutex_lock(&shared->mutex);
  bool posts = !shared->posted && !shared->let_go;
  shared->posted |= posts;
  if (posts)
    psock_loop_post(call->call.loop, &shared->letter);
  pthread_mutex_unlock(&shared->mutex);
}

void psock_shared_let_go(struct psock_server_call *call) {
  pthread_mutex_lock(&call->shared->mutex);
  call->shared->let_go = true;
  bool done = is_done_with(call);
  pthread_mutex_unlock(&call->shared->mutex);
  if (done)
    psock_server_call_destroy(call);
}

void psock_shared_unreferenced(struct psock_server_call *call) {
  pthread_mutex_lock(&call->shared->mutex);
  call->state.unreferenced = true;
  bool done = is_done_with(call);
  pthread_mutex_unlock(&call->shared->mutex);
  if (done)
    psock_server_call_destroy(call);
}

void psock_shared_free(struct psock_shared *shared, struct psock_heap *heap) {
  if (shared == NULL)
    return;
  pthread_mutex_destroy(&shared->mutex);
  psock_outlet_unref(shared->outlet);
  psock_free(&heap->allocator, shared);
}

int psock_server_call_share(psock_call *base) {
  struct psock_server_call *call = psock_server_call_of(base);
  if (call->shared != NULL)
    return 0;
  if (call->state.claimed || call->session == NULL)
    return PSOCK_ECANCELED;
  struct psock_shared *shared =
      psock_alloc(&call->heap->allocator, sizeof *shared);
  if (shared == NULL)
    return PSOCK_ENOMEM;
  *shared = (struct psock_shared){.letter = {.deliver = deliver}, .call = call};
  int error = psock_session_get_outlet(call->session, &shared->outlet);
  if (error != 0)
    goto err_after_alloc;
  if (pthread_mutex_init(&shared->mutex, NULL) != 0) {
    error = PSOCK_ENOMEM;
    goto err_after_outlet;
  }
  call->shared = shared;
  call->state.special = true;
  return 0;

err_after_outlet:
  psock_outlet_unref(shared->outlet);
err_after_alloc:
  psock_free(&call->heap->allocator, shared);
  return error == PSOCK_ECLOSED ? PSOCK_ECANCELED : error;
}
