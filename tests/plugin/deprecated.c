/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whoever uses what a schema deprecates is warned, and whoever only includes
 * the header is not: this file compiles as it stands, with warnings as errors,
 * and not with OLD_HANDLER or OLD_FUNCTION defined. tests/check-plugin.tap
 * tries them all.
 */
#include "dispatch.psock.h"
#include "service.psock.h"

extern int use(struct golden__dispatch__event__handlers *handlers,
    psock_call *call, const Golden__Item *item);

int use(struct golden__dispatch__event__handlers *handlers, psock_call *call,
    const Golden__Item *item) {
  handlers->on_text = NULL;
#if defined(OLD_HANDLER)
  handlers->on_old = NULL;
#endif
#if defined(OLD_FUNCTION)
  return golden__shop__haggle__send_request(call, item);
#else
  return golden__shop__fill__send_request(call, item);
#endif
}
