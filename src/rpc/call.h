/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_RPC_CALL_H
#define PSOCK_RPC_CALL_H

#include "base/loop.h"
#include "base/options.h"
#include "rpc/frame.h"
#include <protosocket/call.h>
#include <stdatomic.h>

/*
 * What a call of a server and one of a caller have in common: they begin with
 * struct psock_call, and the public functions in call.c go through its table to
 * the side that the call belongs to.
 */

struct psock_call_ops {
  int (*send)(psock_call *call, const void *message);
  int (*reply)(psock_call *call, const void *message); /* NULL: a caller's */
  int (*end)(psock_call *call, const struct psock_status *status);
  void (*cancel)(psock_call *call);
  int (*receive)(psock_call *call, const void **ret_message); /* or NULL */
  void (*set_events)(psock_call *call, const struct psock_call_events *events,
      void *data); /* NULL: a caller's */
  void (*pause)(psock_call *call);
  void (*resume)(psock_call *call);
  int (*share)(psock_call *call); /* NULL: a caller's */
  int (*hold)(psock_call *call);  /* NULL: a caller's */
  psock_connection *(*get_connection)(const psock_call *call); /* or NULL */
  int (*add_metadata)(
      psock_call *call, const char *key, const void *value, size_t length);
  /* The last reference is gone. */
  void (*free)(psock_call *call);
};

/* Where the status of a call that has ended is kept. */
struct psock_kept_status {
  struct psock_status status;
  struct psock_heap *heap; /* of `memory`, if that is not NULL */
  void *memory;            /* text and details; NULL: static, or none */
  size_t length;           /* of `memory` */
};

/* Metadata on its way out, or kept. All in one piece of memory. */
struct psock_metadata_list {
  struct psock_heap *heap;
  struct psock_metadata *entries; /* NULL: none; keys and values behind them */
  size_t count;
  size_t cost;   /* as limited */
  size_t length; /* of the memory */
};

struct psock_call {
  const struct psock_call_ops *ops;
  const struct psock_method *method;
  psock_loop *loop;
  atomic_uint references;
  uint64_t id;
  uint64_t began;    /* the loop's clock */
  uint64_t deadline; /* the loop's clock; PSOCK_NEVER: none */
  const struct psock_call_events *events;
  void *data;
  /* What the peer has sent, lent or kept; see psock_call_get_metadata. */
  const struct psock_metadata *metadata;
  size_t metadata_count;
  atomic_bool has_ended; /* `ended` counts, and changes no more */
  struct psock_kept_status ended;
};

/* Of an events struct that may be older than this library. */
#define PSOCK_EVENT(events, member)                                            \
  ((events) != NULL &&                                                         \
      (events)->size >=                                                        \
          PSOCK_SIZE_THROUGH(struct psock_call_events, member) &&              \
      (events)->member != NULL)

/* ---- Status ---- */

/* A status with a text that lasts for ever, or NULL for none. */
struct psock_status psock_status_of(uint32_t code, const char *text);

/* Keeps a copy of `status`, whose text may be NULL. When memory is out, the
 * code is kept without text and details. */
void psock_status_keep(struct psock_kept_status *kept, struct psock_heap *heap,
    const struct psock_status *status);
void psock_status_drop(struct psock_kept_status *kept);

/* The status of a call whose connection has ended for `reason`. */
struct psock_status psock_status_of_end(int reason);

/* What a frame that ends a call says: a cancel without status is CANCELLED,
 * with code 0 UNKNOWN; an end without is OK. Borrowed from the frame. */
struct psock_status psock_status_of_frame(const struct psock_rpc_frame *frame);

/* ---- Metadata ---- */

/* What an entry counts against PSOCK_METADATA_BYTES. */
size_t psock_metadata_cost(const struct psock_metadata *entry);

/* Whether `key` is one. */
bool psock_metadata_key_is_valid(const char *key);

/* Appends copies of `count` entries, all or none. Any thread. Returns 0,
 * PSOCK_EINVAL, PSOCK_ETOOBIG or PSOCK_ENOMEM. */
int psock_metadata_append(struct psock_metadata_list *list,
    struct psock_heap *heap, const struct psock_metadata *entries,
    size_t count);
/* The same for what a peer has sent, whose keys may be anything. */
int psock_metadata_copy(struct psock_metadata_list *list,
    struct psock_heap *heap, const struct psock_metadata *entries,
    size_t count);
void psock_metadata_clear(struct psock_metadata_list *list);

/* ---- The call that this thread is serving ---- */

/* The deadline, on the loop's clock, of the handler that is running on this
 * thread; PSOCK_NEVER: none is running, or it has none. Set around each handler
 * and event of a server's call, and restored afterwards. */
uint64_t psock_serving_get_time_left(void);

struct psock_serving_state {
  psock_loop *loop;
  uint64_t deadline;
};
struct psock_serving_state psock_serving_begin(
    psock_loop *loop, uint64_t deadline);
void psock_serving_end(struct psock_serving_state previous);

/* ---- Interceptors ---- */

/* Calls `begin` of each until one refuses. Returns how many have begun, with
 * `*ret_refused` 1 and `ret_status` (its text good as long as the interceptor
 * has it) if one refused. */
size_t psock_interceptors_begin(const struct psock_interceptor *const *list,
    size_t count, psock_call *call, int *ret_refused,
    struct psock_status *ret_status);

/* Calls `ended` of the first `begun`, the last one first. */
void psock_interceptors_end(const struct psock_interceptor *const *list,
    size_t begun, psock_call *call, const struct psock_status *status);

#endif
