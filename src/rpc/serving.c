/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/call.h"
#include <protosocket/service.h>

/*
 * The deadline of the handler that this thread is running, so that calls made
 * inside it have no more time than it has itself. A handler may cause another
 * one to run before it returns; so what was there is put back.
 */

/* It is looked at in every call: so it has a fixed place in each thread's
 * memory, which needs no function of the dynamic linker to be found. */
static _Thread_local struct psock_serving_state serving
    __attribute__((tls_model("initial-exec")));

struct psock_serving_state psock_serving_begin(
    psock_loop *loop, uint64_t deadline) {
  struct psock_serving_state previous = serving;
  serving = (struct psock_serving_state){.loop = loop, .deadline = deadline};
  return previous;
}

void psock_serving_end(struct psock_serving_state previous) {
  serving = previous;
}

uint64_t psock_serving_get_time_left(void) {
  if (serving.loop == NULL || serving.deadline == PSOCK_NEVER)
    return PSOCK_TIMEOUT_NONE;
  uint64_t now = psock_loop_now(serving.loop);
  return serving.deadline > now ? serving.deadline - now : 0;
}
