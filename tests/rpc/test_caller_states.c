/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/callers.h"

#include "rpc/caller_call.h"

/*
 * Every event in every state of a caller's call: the table says in which state
 * the call is when the event has been dealt with, and, if it has ended, with
 * which status. The calls have a deadline, and are idempotent where they have
 * to wait.
 */

#define STATES (PSOCK_CALL_ENDED + 1)

#define TIMEOUT (5 * SECOND)

enum event {
  NOTHING,
  GOES_OPEN, /* the connection */
  HELLO,
  RESPONSE,
  END,
  CANCEL,
  WINDOW,
  LINK_ENDS,
  GOAWAY,
  USER_CANCEL,
  USER_PAUSE,
  USER_RESUME,
  DEADLINE,
  FREED,
  EVENTS
};

static const char *const event_names[EVENTS] = {"nothing", "goes open", "hello",
    "response", "end", "cancel", "window", "link ends", "goaway", "user cancel",
    "user pause", "user resume", "deadline", "freed"};

/* A status that says: it has not ended. */
#define NOT NO_STATUS

struct expected {
  enum psock_caller_call_state state;
  uint32_t code;
};

#define STAYS(state)                                                           \
  { PSOCK_CALL_##state, NOT }
#define ENDS(code)                                                             \
  { PSOCK_CALL_ENDED, PSOCK_STATUS_##code }

static const struct expected table[STATES][EVENTS] =
    {
        [PSOCK_CALL_STARTING] =
            {
                [NOTHING] = STAYS(OPEN),
                [GOES_OPEN] = STAYS(OPEN),
                [HELLO] = STAYS(OPEN),
                /* The record comes first. */
                [RESPONSE] = ENDS(OK),
                [END] = ENDS(INTERNAL),
                [CANCEL] = ENDS(CANCELLED),
                [WINDOW] = STAYS(OPEN),
                [LINK_ENDS] = ENDS(UNAVAILABLE),
                [GOAWAY] = STAYS(OPEN),
                [USER_CANCEL] = ENDS(CANCELLED),
                [USER_PAUSE] = STAYS(OPEN),
                [USER_RESUME] = STAYS(OPEN),
                [DEADLINE] = ENDS(DEADLINE_EXCEEDED),
                [FREED] = ENDS(CANCELLED),
            },
        [PSOCK_CALL_QUEUED] =
            {
                [NOTHING] = STAYS(QUEUED),
                [GOES_OPEN] = STAYS(OPEN),
                [HELLO] = STAYS(QUEUED),
                [RESPONSE] = STAYS(QUEUED),
                [END] = STAYS(QUEUED),
                [CANCEL] = STAYS(QUEUED),
                [WINDOW] = STAYS(QUEUED),
                [LINK_ENDS] = STAYS(QUEUED), /* it has not seen it */
                [GOAWAY] = STAYS(QUEUED),
                [USER_CANCEL] = ENDS(CANCELLED),
                [USER_PAUSE] = STAYS(QUEUED),
                [USER_RESUME] = STAYS(QUEUED),
                [DEADLINE] = ENDS(DEADLINE_EXCEEDED),
                [FREED] = ENDS(CANCELLED),
            },
        [PSOCK_CALL_WAITING] =
            {
                [NOTHING] = STAYS(WAITING),
                [GOES_OPEN] = STAYS(WAITING),
                [USER_CANCEL] = ENDS(CANCELLED),
                [USER_PAUSE] = STAYS(WAITING),
                [USER_RESUME] = STAYS(WAITING),
                [DEADLINE] = ENDS(DEADLINE_EXCEEDED),
                [FREED] = ENDS(CANCELLED),
            },
        [PSOCK_CALL_PENDING] =
            {
                [NOTHING] = STAYS(PENDING),
                [GOES_OPEN] = STAYS(PENDING),
                [HELLO] = STAYS(OPEN),
                [RESPONSE] =
                    ENDS(UNIMPLEMENTED), /* a first frame, but no hello */
                [END] = ENDS(UNIMPLEMENTED),
                [CANCEL] = ENDS(UNIMPLEMENTED),
                [WINDOW] = ENDS(UNIMPLEMENTED),
                [LINK_ENDS] = ENDS(UNAVAILABLE),
                [GOAWAY] = ENDS(UNIMPLEMENTED),
                [USER_CANCEL] = ENDS(CANCELLED),
                [USER_PAUSE] = STAYS(PENDING),
                [USER_RESUME] = STAYS(PENDING),
                [DEADLINE] = ENDS(UNIMPLEMENTED), /* after a second */
                [FREED] = ENDS(CANCELLED),
            },
        [PSOCK_CALL_OPEN] =
            {
                [NOTHING] = STAYS(OPEN),
                [GOES_OPEN] = STAYS(OPEN),
                [HELLO] = STAYS(OPEN),
                [RESPONSE] = ENDS(OK),
                [END] = ENDS(INTERNAL),
                [CANCEL] = ENDS(CANCELLED),
                [WINDOW] = STAYS(OPEN),
                [LINK_ENDS] = ENDS(UNAVAILABLE),
                [GOAWAY] = STAYS(OPEN),
                [USER_CANCEL] = ENDS(CANCELLED),
                [USER_PAUSE] = STAYS(OPEN),
                [USER_RESUME] = STAYS(OPEN),
                [DEADLINE] = ENDS(DEADLINE_EXCEEDED),
                [FREED] = ENDS(CANCELLED),
            },
        [PSOCK_CALL_CLOSED] =
            {
                [NOTHING] = STAYS(CLOSED),
                [GOES_OPEN] = STAYS(CLOSED),
                [HELLO] = STAYS(CLOSED),
                [RESPONSE] = STAYS(CLOSED),
                [END] = STAYS(CLOSED),
                [CANCEL] = STAYS(CLOSED),
                [WINDOW] = STAYS(CLOSED),
                [LINK_ENDS] = STAYS(CLOSED),
                [GOAWAY] = STAYS(CLOSED),
                [USER_CANCEL] = ENDS(CANCELLED),
                [USER_PAUSE] = STAYS(CLOSED),
                [USER_RESUME] = ENDS(OK),
                [DEADLINE] = STAYS(CLOSED),
                [FREED] = ENDS(CANCELLED),
            },
        [PSOCK_CALL_ENDED] =
            {
                [NOTHING] = ENDS(CANCELLED),
                [GOES_OPEN] = ENDS(CANCELLED),
                [HELLO] = ENDS(CANCELLED),
                [RESPONSE] = ENDS(CANCELLED),
                [END] = ENDS(CANCELLED),
                [CANCEL] = ENDS(CANCELLED),
                [WINDOW] = ENDS(CANCELLED),
                [LINK_ENDS] = ENDS(CANCELLED),
                [GOAWAY] = ENDS(CANCELLED),
                [USER_CANCEL] = ENDS(CANCELLED),
                [USER_PAUSE] = ENDS(CANCELLED),
                [USER_RESUME] = ENDS(CANCELLED),
                [DEADLINE] = ENDS(CANCELLED),
                [FREED] = ENDS(CANCELLED),
            },
};

static struct callers callers;
static struct trial trial;
static psock_caller *other;

static struct psock_caller_call *inner(void) {
  return psock_caller_call_of(trial.call);
}

/* A connection that is kept from opening is never quiet. */
static void turn(void) {
  for (int i = 0; i < 20; i++)
    psock_test_loop_turn(callers.loop);
}

static void start_on(psock_caller *caller, const struct psock_method *method) {
  struct psock_call_options options = {
      .size = sizeof options, .timeout = TIMEOUT};
  bool sends = (method->flags & PSOCK_METHOD_CLIENT_STREAMS) != 0;
  ck_assert_int_eq(callers_start_on(caller, &callers, &trial, method,
                       sends ? NULL : "text", &options),
      0);
  callers.started++;
}

static void reach_closed(void) {
  psock_call_pause(trial.call);
  callers_reply(callers_end(&callers), trial.id, "kept", 1);
  callers_settle(&callers);
}

/* Brings a call into `state`. */
static void reach(enum psock_caller_call_state state, bool own) {
  callers_init(&callers, own);
  trial = (struct trial){.callers = NULL};
  other = NULL;
  callers.connects = true;
  callers.silent = state == PSOCK_CALL_PENDING;
  callers.open_error = state == PSOCK_CALL_QUEUED ? PSOCK_EAGAIN : 0;
  ck_assert_int_eq(callers_try(&callers), 0);
  if (state != PSOCK_CALL_QUEUED)
    callers_settle(&callers);
  if (state == PSOCK_CALL_WAITING) {
    psock_connection_free(callers_end(&callers)->connection);
    callers_settle(&callers);
    callers.connect_error = PSOCK_ENFILE;
  }
  if (state == PSOCK_CALL_STARTING || state == PSOCK_CALL_QUEUED) {
    ck_assert_int_eq(psock_caller_clone(callers.caller, &other), 0);
    start_on(other, own ? callers_get(&callers) : &trial__trial__put__method);
  } else if (state == PSOCK_CALL_PENDING) {
    start_on(callers.caller, &trial__trial__upload__method);
  } else if (state == PSOCK_CALL_WAITING) {
    start_on(callers.caller, &trial__trial__get__method);
  } else {
    start_on(callers.caller,
        own ? callers_get(&callers) : &trial__trial__put__method);
  }
  if (state == PSOCK_CALL_QUEUED)
    turn();
  else if (state != PSOCK_CALL_STARTING)
    callers_settle(&callers);
  trial.id = trial.call->id;
  if (state == PSOCK_CALL_CLOSED)
    reach_closed();
  if (state == PSOCK_CALL_ENDED) {
    psock_call_cancel(trial.call);
    callers_settle(&callers);
  }
  ck_assert_int_eq((int)inner()->state, (int)state);
}

static void cause(enum event event) {
  struct callers_end *end = callers_end(&callers);
  switch (event) {
  case GOES_OPEN:
    if (end->connection != NULL)
      psock_memory_fail(end->memory, PSOCK_MEMORY_OPEN, 0, 0);
    break;
  case HELLO:
    callers_hello(end, 0, 0);
    break;
  case RESPONSE:
    callers_reply(end, trial.id, "answer", 2);
    break;
  case END:
    callers_code(end, trial.id, PSOCK_CODE_END);
    break;
  case CANCEL:
    callers_code(end, trial.id, PSOCK_CODE_CANCEL);
    break;
  case WINDOW:
    callers_window(end, trial.id, 1000);
    break;
  case LINK_ENDS:
    psock_connection_free(end->connection);
    break;
  case GOAWAY:
    callers_code(end, 0, PSOCK_CODE_GOAWAY);
    break;
  case USER_CANCEL:
    psock_call_cancel(trial.call);
    break;
  case USER_PAUSE:
    psock_call_pause(trial.call);
    break;
  case USER_RESUME:
    psock_call_resume(trial.call);
    break;
  case DEADLINE:
    psock_test_loop_advance(callers.loop, TIMEOUT);
    break;
  case FREED:
    callers_free_caller(&callers);
    break;
  default:
    break;
  }
}

/* What can't be: own messages don't say it, or there is no other end. */
static bool is_left_out(
    enum psock_caller_call_state state, enum event event, bool own) {
  if (own && (event == HELLO || event == WINDOW || event == GOAWAY ||
                 state == PSOCK_CALL_PENDING || state == PSOCK_CALL_WAITING))
    return true;
  return state == PSOCK_CALL_WAITING && event >= HELLO && event <= GOAWAY;
}

static void check(
    enum psock_caller_call_state state, enum event event, bool own) {
  const struct expected *expected = &table[state][event];
  if (is_left_out(state, event, own))
    return;
  reach(state, own);
  cause(event);
  turn();
  enum psock_caller_call_state now = inner()->state;
  ck_assert_msg(now == expected->state, "state %d, %s: the state is %d, not %d",
      (int)state, event_names[event], (int)now, (int)expected->state);
  if (expected->code != NOT) {
    ck_assert_uint_eq(trial.ended, 1);
    ck_assert_msg(trial.code == expected->code, "state %d, %s: %s, not %s",
        (int)state, event_names[event], psock_status_name(trial.code),
        psock_status_name(expected->code));
  } else {
    ck_assert_uint_eq(trial.ended, 0);
  }
  callers_free_caller(&callers);
  ck_assert_uint_eq(trial.ended, 1);
  psock_call_unref(trial.call);
  psock_caller_free(other);
  callers_fini(&callers);
}

START_TEST(test_event) {
  for (int state = 0; state < STATES; state++) {
    check((enum psock_caller_call_state)state, (enum event)_i, false);
    check((enum psock_caller_call_state)state, (enum event)_i, true);
  }
}
END_TEST

int main(void) {
  Suite *suite = suite_create("caller_states");
  TCase *tcase = guard_case(suite, "states");
  tcase_add_loop_test(tcase, test_event, 0, EVENTS);
  return guard_main(suite);
}
