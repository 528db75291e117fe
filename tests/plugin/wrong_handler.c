/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A handler of the wrong type does not compile: this file does as it stands,
 * and not with WRONG_ARM, WRONG_REST or WRONG_METHOD defined, each of which
 * gives one handler another message than its own. tests/check-plugin.tap tries
 * them all.
 */
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

const struct golden__dispatch__event__handlers events = {
    .size = sizeof events, .rest = rest, .on_visit = visit};
const struct golden__shop__handlers shop = {
    .size = sizeof shop, .on_buy_item = buy_item};
