/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/call.h"
#include <protosocket/error.h>
#include <string.h>

/*
 * The public functions of a call. What differs between a server's call and a
 * caller's goes through the call's table; what doesn't is here.
 */

int psock_call_send(psock_call *call, const void *message) {
  if (message == NULL)
    return PSOCK_EINVAL;
  return call->ops->send(call, message);
}

int psock_call_reply(psock_call *call, const void *message) {
  if (call->ops->reply == NULL || message == NULL)
    return PSOCK_EINVAL;
  return call->ops->reply(call, message);
}

int psock_call_end(psock_call *call, const struct psock_status *status) {
  if (status != NULL && status->size == 0)
    return PSOCK_EINVAL;
  return call->ops->end(call, status);
}

int psock_call_fail(psock_call *call, uint32_t code, const char *text) {
  if (code == PSOCK_STATUS_OK)
    return PSOCK_EINVAL;
  struct psock_status status = psock_status_of(code, text);
  return call->ops->end(call, &status);
}

void psock_call_cancel(psock_call *call) {
  call->ops->cancel(call);
}

int psock_call_receive(psock_call *call, const void **ret_message) {
  if (call->ops->receive == NULL)
    return PSOCK_EINVAL;
  return call->ops->receive(call, ret_message);
}

void psock_call_set_events(
    psock_call *call, const struct psock_call_events *events, void *data) {
  if (call->ops->set_events != NULL)
    call->ops->set_events(call, events, data);
}

void psock_call_pause(psock_call *call) {
  call->ops->pause(call);
}

void psock_call_resume(psock_call *call) {
  call->ops->resume(call);
}

psock_call *psock_call_ref(psock_call *call) {
  atomic_fetch_add_explicit(&call->references, 1, memory_order_relaxed);
  return call;
}

void psock_call_unref(psock_call *call) {
  if (call != NULL && atomic_fetch_sub_explicit(
                          &call->references, 1, memory_order_acq_rel) == 1)
    call->ops->free(call);
}

int psock_call_share(psock_call *call) {
  return call->ops->share == NULL ? PSOCK_EINVAL : call->ops->share(call);
}

int psock_call_hold(psock_call *call) {
  return call->ops->hold == NULL ? PSOCK_EINVAL : call->ops->hold(call);
}

const struct psock_method *psock_call_get_method(const psock_call *call) {
  return call->method;
}

const struct psock_status *psock_call_get_status(const psock_call *call) {
  return call->has_ended ? &call->ended.status : NULL;
}

uint64_t psock_call_get_time_left(const psock_call *call) {
  if (call->deadline == PSOCK_NEVER)
    return PSOCK_TIMEOUT_NONE;
  uint64_t now = psock_loop_now(call->loop);
  return call->deadline > now ? call->deadline - now : 0;
}

uint64_t psock_call_get_age(const psock_call *call) {
  return psock_loop_now(call->loop) - call->began;
}

psock_connection *psock_call_get_connection(const psock_call *call) {
  return call->ops->get_connection == NULL ? NULL
                                           : call->ops->get_connection(call);
}

int psock_call_get_metadata(const psock_call *call, const char *key,
    struct psock_metadata *ret_metadata) {
  for (size_t i = 0; i < call->metadata_count; i++) {
    if (strcmp(call->metadata[i].key, key) != 0)
      continue;
    *ret_metadata = call->metadata[i];
    return 0;
  }
  return PSOCK_ENOENT;
}

int psock_call_get_metadata_at(
    const psock_call *call, size_t index, struct psock_metadata *ret_metadata) {
  if (index >= call->metadata_count)
    return PSOCK_ENOENT;
  *ret_metadata = call->metadata[index];
  return 0;
}

int psock_call_add_metadata(
    psock_call *call, const char *key, const void *value, size_t length) {
  return call->ops->add_metadata(call, key, value, length);
}
