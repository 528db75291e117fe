/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/caller_call.h"

#include "base/options.h"
#include <protosocket/error.h>

/*
 * Calls that are waited for. What comes is kept in the call's inbox until it is
 * received. Whoever waits for a call of the first caller's runs the loop; who
 * waits for one of a clone's sleeps until the loop, which somebody else runs,
 * has changed something. There the lock is a mutex to sleep under.
 *
 * A message that was received is lent: it goes back, and its bytes are granted
 * to the server again, when the next one is asked for.
 */

/* Makes what waiting needs. Under the lock. */
static int prepare(struct psock_caller_call *call) {
  if (!call->has_changed && pthread_cond_init(&call->changed, NULL) != 0)
    return PSOCK_ENOMEM;
  call->has_changed = true;
  return 0;
}

/* Whether this is a callback of the loop's. A core that is shut has no loop any
 * more. */
static bool is_inside(const struct psock_core *core) {
  return psock_core_is_home(core) && !core->shut &&
         psock_loop_is_inside(core->loop);
}

/* Sleeps, under the lock. */
static int sleep_once(struct psock_caller_call *call) {
  struct psock_core *core = call->core;
  int error = is_inside(core) ? PSOCK_ELOOPTHREAD : prepare(call);
  if (error == 0)
    pthread_cond_wait(&call->changed, &core->mutex);
  return error;
}

static int run_once(struct psock_caller_call *call) {
  struct psock_core *core = call->core;
  if (!psock_core_is_home(core))
    return PSOCK_ELOOPTHREAD;
  psock_core_unlock(core);
  int error = psock_loop_run(core->loop);
  psock_core_lock(core);
  return error;
}

int psock_caller_call_wait(struct psock_caller_call *call,
    bool (*ready)(const struct psock_caller_call *call)) {
  int error = 0;
  psock_core_lock(call->core);
  while (error == 0 && !call->told && !ready(call))
    error = call->of_clone ? sleep_once(call) : run_once(call);
  psock_core_unlock(call->core);
  return error;
}

void psock_caller_call_give_back(struct psock_caller_call *call) {
  struct psock_received received = call->lent;
  if (received.hold == NULL)
    return;
  call->lent.hold = NULL;
  psock_received_release(call->core, &received);
  psock_caller_call_note_read(call, received.length);
}

static bool has_message(const struct psock_caller_call *call) {
  return call->inbox.count > 0;
}

static bool never(const struct psock_caller_call *call) {
  (void)call;
  return false;
}

int psock_caller_call_receive(psock_call *base, const void **ret_message) {
  struct psock_caller_call *call = psock_caller_call_of(base);
  struct psock_core *core = call->core;
  struct psock_received received;
  if (!call->opens)
    return PSOCK_EINVAL;
  psock_caller_call_give_back(call);
  int error = psock_caller_call_wait(call, has_message);
  if (error != 0)
    return error;
  psock_core_lock(core);
  bool taken = psock_inbox_take(&call->inbox, &received);
  psock_core_unlock(core);
  psock_caller_call_show_metadata(call, !taken);
  if (!taken)
    return 0;
  call->lent = received;
  *ret_message = received.message;
  return 1;
}

static int begin(psock_caller *caller, const struct psock_start *start,
    psock_call **ret_call) {
  if (is_inside(caller->core))
    return PSOCK_ELOOPTHREAD;
  return psock_caller_begin(caller, start, ret_call);
}

int psock_caller_open(psock_caller *caller, const struct psock_method *method,
    const void *request, const struct psock_call_options *options,
    psock_call **ret_call) {
  struct psock_start start = {
      .method = method,
      .request = request,
      .options = options,
      .opens = true,
  };
  if (ret_call == NULL)
    return PSOCK_EINVAL;
  return begin(caller, &start, ret_call);
}

/* Waits for the one response, and then for the end. Returns 0 or an error. */
static int finish(struct psock_caller_call *call, const void **ret_response) {
  int got = psock_caller_call_receive(&call->base, ret_response);
  if (got < 0)
    return got;
  int error = psock_caller_call_wait(call, never);
  if (error == 0)
    psock_caller_call_show_metadata(call, true);
  return error;
}

int psock_caller_run(psock_caller *caller, const struct psock_method *method,
    const void *request, const struct psock_call_options *options,
    const void **ret_response, psock_call **ret_call) {
  const unsigned streams =
      PSOCK_METHOD_CLIENT_STREAMS | PSOCK_METHOD_SERVER_STREAMS;
  struct psock_start start = {
      .method = method,
      .request = request,
      .options = options,
      .opens = true,
      .runs = true,
  };
  struct psock_call_options known;
  psock_call *call;
  psock_options_copy(
      &known, sizeof known, options, options == NULL ? 0 : options->size);
  if ((method->flags & streams) != 0 || known.streams || ret_call == NULL)
    return PSOCK_EINVAL;
  int error = begin(caller, &start, &call);
  if (error != 0)
    return error;
  const void *response = NULL;
  error = finish(psock_caller_call_of(call), &response);
  if (error != 0) {
    psock_call_unref(call);
    return error;
  }
  uint32_t code = psock_call_get_status(call)->code;
  *ret_call = call;
  if (code == PSOCK_STATUS_OK)
    *ret_response = response;
  return code <= INT32_MAX ? (int)code : INT32_MAX;
}
