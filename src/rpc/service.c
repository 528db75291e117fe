/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/options.h"
#include <protosocket/error.h>
#include <protosocket/service.h>

/*
 * What generated functions call, and what they hand that on to: a carrier of
 * calls, which may have been compiled with older headers than the library.
 */

/* Whether the table `ops` goes as far as `member`, and has it. */
#define HAS(ops, type, member)                                                 \
  ((ops)->size >= PSOCK_SIZE_THROUGH(type, member) && (ops)->member != NULL)

/* A struct whose size is forgotten would have no effect, without a word. */
static int check(const struct psock_call_options *options,
    const struct psock_call_events *events) {
  if (events == NULL || events->size == 0 ||
      (options != NULL && options->size == 0))
    return PSOCK_EINVAL;
  return 0;
}

int psock_caller_start(psock_caller *caller, const struct psock_method *method,
    const void *request, const struct psock_call_options *options,
    const struct psock_call_events *events, void *data, psock_call **ret_call) {
  int error = check(options, events);
  if (error != 0)
    return error;
  if (!HAS(caller->ops, struct psock_caller_ops, start))
    return PSOCK_ENOTSUP;
  return caller->ops->start(
      caller, method, request, options, events, data, ret_call);
}

int psock_caller_run(psock_caller *caller, const struct psock_method *method,
    const void *request, const struct psock_call_options *options,
    const struct psock_call_events *events, void *data) {
  int error = check(options, events);
  if (error != 0)
    return error;
  if (!HAS(caller->ops, struct psock_caller_ops, run))
    return PSOCK_ENOTSUP;
  return caller->ops->run(caller, method, request, options, events, data);
}

int psock_call_send(psock_call *call, const void *message) {
  if (!HAS(call->ops, struct psock_call_ops, send))
    return PSOCK_ENOTSUP;
  return call->ops->send(call, message);
}

int psock_call_end(psock_call *call, const struct psock_status *status) {
  if (status != NULL && status->size == 0)
    return PSOCK_EINVAL;
  if (!HAS(call->ops, struct psock_call_ops, end))
    return PSOCK_ENOTSUP;
  return call->ops->end(call, status);
}
