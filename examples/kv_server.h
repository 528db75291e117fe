/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KV_SERVER_H
#define KV_SERVER_H

#include "kv.psock.h"
#include "kv_store.h"
#include <protosocket.h>

/* What the parts of kv-server know of each other. */

struct kv_follower;

/** The state that all handlers are called with. */
struct kv {
  struct kv_store store;
  struct kv_follower *followers; /* calls that are told of changes */
};

/** Fails `call` with a text as of printf(3). */
__attribute__((format(printf, 3, 4))) void kv_fail(
    psock_call *call, uint32_t code, const char *format, ...);

/** Whether `key` can be one. If not, the call fails. */
int kv_check_key(psock_call *call, const char *key);

/** The handlers of the calls that follow the store: kv_follow.c. */
void kv_on_watch(void *state, psock_call *call, const Kv__Prefix *request);
void kv_on_sync(void *state, psock_call *call);

/** Tells them that `entry` has changed; NULL: nothing has. */
void kv_tell(const struct kv *kv, const struct kv_entry *entry);

#endif
