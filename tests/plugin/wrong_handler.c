/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A handler of the wrong type does not compile: this file does as it stands,
 * and not with WRONG_ARM, WRONG_REST, WRONG_METHOD, WRONG_CALL, WRONG_REQUEST,
 * WRONG_RESPONSE or WRONG_RESULT defined, each of which gives one function
 * another message than its own. tests/check-plugin.tap tries them all.
 */
#include "calls.psock.h"
#include "dispatch.psock.h"
#include "service.psock.h"

#if defined(WRONG_ARM)
typedef Golden__Dispatch__Event Arm;
#else
typedef Golden__Dispatch__Visit Arm;
#endif
#if defined(WRONG_REST)
typedef Golden__Dispatch__Visit Rest;
#else
typedef Golden__Dispatch__Event Rest;
#endif
#if defined(WRONG_METHOD)
typedef Golden__Receipt Bought;
#else
typedef Golden__Item Bought;
#endif
#if defined(WRONG_CALL)
typedef Golden__Calls__Response Asked;
#else
typedef Golden__Calls__Request Asked;
#endif
#if defined(WRONG_REQUEST)
typedef Golden__Receipt Filled;
#else
typedef Golden__Item Filled;
#endif
#if defined(WRONG_RESPONSE)
typedef Golden__Receipt Seen;
#else
typedef Golden__Item Seen;
#endif
#if defined(WRONG_RESULT)
typedef Golden__Item Result;
#else
typedef Golden__Receipt Result;
#endif

static void visit(void *state, psock_connection *connection,
    const Golden__Dispatch__Event *message, const Arm *visit) {
  (void)state;
  (void)connection;
  (void)message;
  (void)visit;
}

static void rest(
    void *state, psock_connection *connection, const Rest *message) {
  (void)state;
  (void)connection;
  (void)message;
}

static void buy_item(void *state, psock_call *call, const Bought *request) {
  (void)state;
  (void)call;
  (void)request;
}

static void ask(void *state, psock_call *call, const Asked *request) {
  (void)state;
  (void)call;
  (void)request;
}

static void fill(void *data, psock_call *call, const Filled *request) {
  (void)data;
  (void)call;
  (void)request;
}

static void see(void *data, psock_call *call, const Seen *response) {
  (void)data;
  (void)call;
  (void)response;
}

extern int buy(psock_caller *caller, const Golden__Item *item,
    const Result **ret_response, psock_call **ret_call);

int buy(psock_caller *caller, const Golden__Item *item,
    const Result **ret_response, psock_call **ret_call) {
  return golden__shop__buy_item__run(
      caller, item, NULL, ret_response, ret_call);
}

const struct golden__dispatch__event__handlers events = {
    .size = sizeof events, .rest = rest, .on_visit = visit};
const struct golden__shop__handlers shop = {
    .size = sizeof shop, .on_buy_item = buy_item};
const struct golden__calls__request__call__handlers calls = {
    .size = sizeof calls, .on_call = ask};
const struct golden__shop__fill__request_events filled = {
    .events = {.size = sizeof filled.events}, .message = fill};
const struct golden__shop__browse__events seen = {
    .events = {.size = sizeof seen.events}, .message = see};
