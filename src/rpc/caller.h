/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_RPC_CALLER_H
#define PSOCK_RPC_CALLER_H

#include "base/list.h"
#include "base/loop.h"
#include "rpc/face.h"
#include <protosocket/caller.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/*
 * What a caller and its clones share: the core. It belongs to the loop's
 * thread, but for what is said to be under the lock, which clones use too. As
 * long as there has never been a clone, taking the lock is doing nothing: then
 * only the loop's thread is there.
 *
 * Other threads ask the loop for what only it may do by posting a call with
 * bits that say what (psock_core_post). That is under the mutex itself, because
 * a call of a caller without clones may be cancelled from anywhere, too.
 *
 * caller.c makes, clones and frees callers; start.c starts calls;
 * caller_call.c is one call; link.c is one connection; retry.c sees to it that
 * there is one; blocking.c waits for calls.
 */

struct psock_caller_call;
struct psock_link;

/* The way of a clone to the connection of one link. Counted by the clone, the
 * calls that use it, and who is just sending on it; given back on the loop's
 * thread, because the loop may wait for room in it. */
struct psock_way {
  psock_sender *sender;
  uint64_t link_number;
  atomic_uint references; /* one more only under the lock */
  struct psock_way *next; /* in core->ways_left */
};

struct psock_caller {
  struct psock_core *core;
  bool first;
  struct psock_way *way; /* a clone's, under the lock; NULL: none yet */
};

struct psock_core {
  psock_loop *loop;
  struct psock_heap *heap;
  struct psock_owned owned; /* by the loop */
  /* Callers, links, a letter that is under way, what is on the stack, and calls
   * that somebody keeps beyond their end. */
  atomic_uint references;
  atomic_bool cloned;
  atomic_size_t kept; /* bytes for calls */

  /* ---- Constant ---- */
  struct psock_face face;
  struct psock_address address; /* where it connects to */
  bool connects;
  struct psock_connection_options connection;
  unsigned max_calls;
  unsigned id_width;
  size_t max_kept;
  size_t stream_window;
  uint64_t timeout;
  uint64_t ping_after;
  uint64_t ping_timeout;
  const struct psock_interceptor **interceptors;
  size_t interceptor_count;

  /* ---- Under the mutex, always ---- */
  pthread_mutex_t mutex;
  struct psock_list errands; /* of calls that were posted */
  unsigned errand_count;
  struct psock_way *ways_left;
  struct psock_letter letter;
  bool posted; /* the letter is under way */
  bool shut;   /* nothing is posted any more; set on the loop's thread */

  /* ---- Under the lock ---- */
  struct psock_link *link; /* for calls that start; NULL: there is none */
  struct psock_caller_call *spare;
  unsigned spare_count;
  unsigned in_flight;
  bool closing; /* no call starts any more */
  bool starved; /* a call waits for a place on the link */
  uint64_t started;
  uint64_t refused;

  /* ---- The loop's thread ---- */
  struct psock_list links;
  struct psock_list waiting; /* calls, for a link */
  struct psock_list closed_calls;
  struct psock_task task;
  struct psock_alarm alarm; /* of `waiting` */
  unsigned failures;        /* links that were of no use, in a row */
  uint64_t connect_at;      /* not before */
  int last_reason;          /* why the last link has ended */
  uint64_t link_number;     /* of the last link */
  bool keeps_loop;
  bool freed; /* the first caller */
  bool close_asked;
  bool closed_due; /* `closed` is called by the next task */
  void (*closed)(void *data);
  void *closed_data;
  uint64_t ended;
  uint64_t failed;
  uint64_t retried;
  uint64_t stray;
  uint64_t connected;
  uint64_t pings;
};

/* What psock_core_post asks for. */
enum psock_errand {
  PSOCK_ERRAND_START = 1,  /* goes on with a start */
  PSOCK_ERRAND_TELL = 2,   /* ends with the status that was kept */
  PSOCK_ERRAND_CANCEL = 4, /* psock_call_cancel */
  PSOCK_ERRAND_RESUME = 8, /* psock_call_resume */
  PSOCK_ERRAND_GRANT = 16, /* enough was read for a WINDOW */
  PSOCK_ERRAND_END = 32,   /* no more requests */
  PSOCK_ERRAND_ROOM = 64   /* wants to know when there is room */
};

static inline void psock_core_lock(struct psock_core *core) {
  if (atomic_load_explicit(&core->cloned, memory_order_relaxed))
    pthread_mutex_lock(&core->mutex);
}

static inline void psock_core_unlock(struct psock_core *core) {
  if (atomic_load_explicit(&core->cloned, memory_order_relaxed))
    pthread_mutex_unlock(&core->mutex);
}

/* Whether the caller is on the loop's thread. Any thread. */
static inline bool psock_core_is_home(const struct psock_core *core) {
  return psock_heap_is_home(core->heap);
}

/* ---- caller.c ---- */

void psock_core_ref(struct psock_core *core);
void psock_core_unref(struct psock_core *core);

/* Has the loop do what `errands` (bits) say, in a turn to come. Any thread that
 * may use the call. Returns false when the loop will do nothing any more. */
bool psock_core_post(
    struct psock_core *core, struct psock_caller_call *call, unsigned errands);

/* Has the loop look, in a turn to come, whether links and waiting calls can go
 * on. The second one: any thread, not under the lock. */
void psock_core_look(struct psock_core *core);
void psock_core_call_loop(struct psock_core *core);

/* Counts `length` bytes as kept; false when that is too much. Any thread. */
bool psock_core_keep(struct psock_core *core, size_t length);
void psock_core_release(struct psock_core *core, size_t length);

/* Gives back a reference. NULL is allowed. The first one under the lock. */
void psock_core_leave_way(struct psock_core *core, struct psock_way *way);
void psock_core_drop_way(struct psock_core *core, struct psock_way *way);

/* ---- start.c ---- */

struct psock_start {
  const struct psock_method *method;
  const void *request;
  const struct psock_call_options *options;
  const struct psock_call_events *events;
  void *data;
  bool opens; /* psock_caller_open */
  bool runs;  /* psock_caller_run; opens, too */
};

/* What psock_caller_start and _open do. `ret_call` may be NULL. */
int psock_caller_begin(psock_caller *caller, const struct psock_start *start,
    psock_call **ret_call);

/* ---- retry.c; all on the loop's thread ---- */

/* The link that calls can be sent on, made now if there is none and it is time
 * for that; or NULL. */
struct psock_link *psock_retry_get_link(struct psock_core *core);

/* A connection was of no use. */
void psock_retry_note_failure(struct psock_core *core);

/* Has `call`, which is in no list and has no place, sent when `at` has come and
 * there is a link. */
void psock_retry_wait(struct psock_caller_call *call, uint64_t at);

/* Whether `call`, whose request is kept, and which has failed with `status`, is
 * to be sent again, and when. */
bool psock_retry_is_due(const struct psock_caller_call *call,
    const struct psock_status *status, uint64_t *ret_at);

/* Sends what waits, as far as it can be. */
void psock_retry_work(struct psock_core *core);

/* The alarm. */
void psock_retry_expired(struct psock_alarm *alarm);

/* UNAVAILABLE, not begun: there is no connection. */
struct psock_status psock_retry_status(const struct psock_core *core);

#endif
