/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/calls.h"

#include <string.h>

/*
 * Every event in every state of a server's call, as server_call.c draws them,
 * over Frames and over own messages, for calls of the loop's thread and for
 * those that were shared.
 */

enum state {
  SERVED, /* inside the handler */
  OPEN,
  OVER, /* it has been failed with NOT_FOUND, and nobody has been told */
  LET_GO
};

enum event {
  SEND,
  REPLY,
  END,
  END_OK,
  FAIL,
  CANCEL,
  UNREF,
  ADD_METADATA,
  CALLERS_CANCEL,
  CALLERS_START,
  CALLERS_END,
  CALLERS_WINDOW,
  CALLERS_REQUEST,
  CALLERS_OTHER,
  DEADLINE,
  PEER_CLOSES,
  PEER_RESETS,
  CONNECTION_CLOSE,
  CONNECTION_FREE,
  SERVER_FREE
};

#define OK PSOCK_STATUS_OK
#define CANCELLED PSOCK_STATUS_CANCELLED
#define NOT_FOUND PSOCK_STATUS_NOT_FOUND
#define EXPIRED PSOCK_STATUS_DEADLINE_EXCEEDED
#define UNAVAILABLE PSOCK_STATUS_UNAVAILABLE
#define ABORTED PSOCK_STATUS_ABORTED
#define INTERNAL PSOCK_STATUS_INTERNAL

/* It has not ended. */
#define NOT (-1)
/* No frame came that belongs to the call. */
#define NONE (-1)

static const struct row {
  enum state state;
  enum event event;
  int result; /* of what its user does */
  int ended;  /* with which status */
  int frame;  /* the code of the last one that the caller got */
  int status; /* in it */
  int strays; /* frames that belong to no call */
} rows[] = {
    {SERVED, SEND, 0, NOT, 0, NONE, 0},
    {SERVED, REPLY, 0, OK, 0, NONE, 0},
    {SERVED, END, 0, OK, 2, NONE, 0},
    {SERVED, END_OK, 0, OK, 2, NONE, 0},
    {SERVED, FAIL, 0, ABORTED, 1, ABORTED, 0},
    {SERVED, CANCEL, 0, CANCELLED, 1, NONE, 0},
    {SERVED, ADD_METADATA, 0, NOT, NONE, NONE, 0},
    {SERVED, CONNECTION_CLOSE, 0, UNAVAILABLE, NONE, NONE, 0},
    {SERVED, CONNECTION_FREE, 0, UNAVAILABLE, NONE, NONE, 0},
    {SERVED, SERVER_FREE, 0, CANCELLED, NONE, NONE, 0},

    {OPEN, SEND, 0, NOT, 0, NONE, 0},
    {OPEN, REPLY, 0, OK, 0, NONE, 0},
    {OPEN, END, 0, OK, 2, NONE, 0},
    {OPEN, END_OK, 0, OK, 2, NONE, 0},
    {OPEN, FAIL, 0, ABORTED, 1, ABORTED, 0},
    {OPEN, CANCEL, 0, CANCELLED, 1, NONE, 0},
    {OPEN, UNREF, 0, INTERNAL, 1, INTERNAL, 0},
    {OPEN, ADD_METADATA, 0, NOT, NONE, NONE, 0},
    {OPEN, CALLERS_CANCEL, 0, CANCELLED, 1, NONE, 0},
    {OPEN, CALLERS_START, 0, CANCELLED, 1, NONE, 0},
    {OPEN, CALLERS_END, 0, NOT, NONE, NONE, 0},
    {OPEN, CALLERS_WINDOW, 0, NOT, NONE, NONE, 0},
    {OPEN, CALLERS_REQUEST, 0, NOT, NONE, NONE, 1},
    {OPEN, CALLERS_OTHER, 0, CANCELLED, 1, NONE, 0},
    {OPEN, DEADLINE, 0, EXPIRED, 1, EXPIRED, 0},
    {OPEN, PEER_CLOSES, 0, NOT, NONE, NONE, 0},
    {OPEN, PEER_RESETS, 0, UNAVAILABLE, NONE, NONE, 0},
    {OPEN, CONNECTION_CLOSE, 0, UNAVAILABLE, NONE, NONE, 0},
    {OPEN, CONNECTION_FREE, 0, UNAVAILABLE, NONE, NONE, 0},
    {OPEN, SERVER_FREE, 0, CANCELLED, NONE, NONE, 0},

    {OVER, SEND, PSOCK_ECANCELED, NOT_FOUND, 1, NOT_FOUND, 0},
    {OVER, REPLY, PSOCK_ECANCELED, NOT_FOUND, 1, NOT_FOUND, 0},
    {OVER, END, PSOCK_ECANCELED, NOT_FOUND, 1, NOT_FOUND, 0},
    {OVER, FAIL, PSOCK_ECANCELED, NOT_FOUND, 1, NOT_FOUND, 0},
    {OVER, CANCEL, 0, NOT_FOUND, 1, NOT_FOUND, 0},
    {OVER, ADD_METADATA, PSOCK_ENOTSUP, NOT_FOUND, 1, NOT_FOUND, 0},
    {OVER, CONNECTION_CLOSE, 0, NOT_FOUND, 1, NOT_FOUND, 0},
    {OVER, CONNECTION_FREE, 0, NOT_FOUND, NONE, NONE, 0},
    {OVER, SERVER_FREE, 0, NOT_FOUND, NONE, NONE, 0},

    {LET_GO, SEND, PSOCK_ECANCELED, NOT_FOUND, 1, NOT_FOUND, 0},
    {LET_GO, REPLY, PSOCK_ECANCELED, NOT_FOUND, 1, NOT_FOUND, 0},
    {LET_GO, END, PSOCK_ECANCELED, NOT_FOUND, 1, NOT_FOUND, 0},
    {LET_GO, FAIL, PSOCK_ECANCELED, NOT_FOUND, 1, NOT_FOUND, 0},
    {LET_GO, CANCEL, 0, NOT_FOUND, 1, NOT_FOUND, 0},
    {LET_GO, UNREF, 0, NOT_FOUND, 1, NOT_FOUND, 0},
    {LET_GO, ADD_METADATA, PSOCK_ENOTSUP, NOT_FOUND, 1, NOT_FOUND, 0},
    {LET_GO, CALLERS_CANCEL, 0, NOT_FOUND, 1, NOT_FOUND, 1},
    {LET_GO, CALLERS_END, 0, NOT_FOUND, 1, NOT_FOUND, 1},
    {LET_GO, CALLERS_WINDOW, 0, NOT_FOUND, 1, NOT_FOUND, 1},
    {LET_GO, CALLERS_REQUEST, 0, NOT_FOUND, 1, NOT_FOUND, 1},
    {LET_GO, DEADLINE, 0, NOT_FOUND, 1, NOT_FOUND, 0},
    {LET_GO, PEER_CLOSES, 0, NOT_FOUND, 1, NOT_FOUND, 0},
    {LET_GO, PEER_RESETS, 0, NOT_FOUND, 1, NOT_FOUND, 0},
    {LET_GO, CONNECTION_FREE, 0, NOT_FOUND, 1, NOT_FOUND, 0},
    {LET_GO, SERVER_FREE, 0, NOT_FOUND, 1, NOT_FOUND, 0},
};

#define ROWS (int)(sizeof rows / sizeof *rows)

/* How the tests are numbered. */
enum { OWN = 1, SHARED = 2, WAYS = 4 };

struct trial {
  struct calls calls; /* first */
  const struct row *row;
  bool shared;
  psock_call *call;
  psock_connection *connection; /* the server's */
  int result;
};

static void act(struct trial *trial) {
  struct calls *calls = &trial->calls;
  psock_call *call = trial->call;
  struct psock_status ok = {.size = sizeof ok};
  trial->result = 0;
  calls->inside += trial->row->event < CONNECTION_CLOSE;
  switch (trial->row->event) {
  case SEND:
    trial->result = calls_send(calls, call, "", 0);
    break;
  case REPLY:
    trial->result = calls_reply(calls, call, "", 0);
    break;
  case END:
    trial->result = psock_call_end(call, NULL);
    break;
  case END_OK:
    trial->result = psock_call_end(call, &ok);
    break;
  case FAIL:
    trial->result = psock_call_fail(call, ABORTED, "aborted");
    break;
  case CANCEL:
    psock_call_cancel(call);
    break;
  case UNREF:
    trial->call = NULL;
    psock_call_unref(call);
    break;
  case ADD_METADATA:
    trial->result = psock_call_add_metadata(call, "key", "value", 5);
    break;
  case CALLERS_CANCEL:
    calls_cancel(&calls->peer, 1);
    break;
  case CALLERS_START:
    calls_start(&calls->peer, 1, calls_get(calls), "", 0);
    break;
  case CALLERS_END:
    calls_code(&calls->peer, 1, PSOCK_CODE_END);
    break;
  case CALLERS_WINDOW:
    calls_window(&calls->peer, 1, 1);
    break;
  case CALLERS_REQUEST:
    calls_request(&calls->peer, 1, "");
    break;
  case CALLERS_OTHER:
    calls_code(&calls->peer, 1, 99);
    break;
  case DEADLINE:
    psock_test_loop_advance(calls->loop, SECOND);
    break;
  case PEER_CLOSES:
    psock_connection_close(calls->peer.connection);
    break;
  case PEER_RESETS:
    psock_memory_fail(
        calls->peer.memory, PSOCK_MEMORY_RECEIVE, 0, PSOCK_ERESET);
    calls_cancel(&calls->peer, 77);
    break;
  case CONNECTION_CLOSE:
    psock_connection_close(trial->connection);
    break;
  case CONNECTION_FREE:
    psock_connection_free(trial->connection);
    break;
  case SERVER_FREE:
    psock_server_free(calls->server);
    calls->server = NULL;
    break;
  }
  calls->inside -= trial->row->event < CONNECTION_CLOSE;
}

static void handle(
    struct calls *calls, psock_call *call, const char *text, uint32_t number) {
  (void)text;
  (void)number;
  struct trial *trial = (struct trial *)calls;
  trial->call = psock_call_ref(call);
  trial->connection = psock_call_get_connection(call);
  ck_assert_ptr_nonnull(trial->connection);
  /* Events have a reference, too: without them, the last one is the test's. */
  if (trial->row->event != UNREF || trial->row->state != OPEN)
    calls_watch(calls, call);
  if (trial->shared)
    ck_assert_int_eq(psock_call_share(call), 0);
  if (trial->row->state == OVER || trial->row->state == LET_GO)
    ck_assert_int_eq(psock_call_fail(call, NOT_FOUND, "not there"), 0);
  if (trial->row->state == SERVED || trial->row->state == OVER)
    act(trial);
}

/* What a face can't say is not tried over it. */
static bool is_sayable(enum event event, bool own) {
  return !own || (event != CALLERS_WINDOW && event != CALLERS_REQUEST &&
                     event != CALLERS_OTHER && event != ADD_METADATA);
}

static void check_frame(const struct trial *trial) {
  const struct calls *calls = &trial->calls;
  const struct row *row = trial->row;
  const struct calls_got *last = calls_last(&calls->peer, 1);
  if (row->frame == NONE) {
    ck_assert_ptr_null(last);
    return;
  }
  ck_assert_ptr_nonnull(last);
  ck_assert_uint_eq(calls_count(&calls->peer, 1), 1);
  ck_assert_int_eq((int)last->code, row->frame);
  ck_assert_uint_eq(last->status,
      row->status == NONE || calls->own ? NO_STATUS : (uint32_t)row->status);
}

static void check_trial(const struct trial *trial) {
  const struct calls *calls = &trial->calls;
  const struct row *row = trial->row;
  const struct psock_status *status =
      trial->call == NULL ? NULL : psock_call_get_status(trial->call);
  ck_assert_int_eq(trial->result, row->result);
  ck_assert_uint_eq(
      calls->ended.count, row->ended != NOT && calls->watched > 0 ? 1 : 0);
  if (calls->ended.count > 0)
    ck_assert_int_eq((int)calls->ended.code, row->ended);
  if (trial->call != NULL)
    ck_assert((status == NULL) == (row->ended == NOT));
  if (status != NULL)
    ck_assert_int_eq((int)status->code, row->ended);
  check_frame(trial);
  if (calls->server == NULL)
    return;
  struct psock_server_stats stats = calls_stats(calls);
  ck_assert_int_eq((int)stats.stray, row->strays);
  ck_assert_uint_eq(stats.in_flight, row->ended == NOT);
  ck_assert_uint_eq(stats.started, stats.in_flight + stats.ended);
}

static void run(const struct row *row, int way) {
  struct trial trial = {.row = row, .shared = (way & SHARED) != 0};
  struct calls *calls = &trial.calls;
  bool own = (way & OWN) != 0;
  if (!is_sayable(row->event, own))
    return;
  calls_init(calls, own);
  calls->handle = handle;
  calls->options.timeout = SECOND;
  calls_open(calls);
  calls_start(&calls->peer, 1,
      row->event == REPLY ? calls_get(calls) : calls_download(calls), "", 0);
  calls_settle(calls);
  ck_assert_uint_eq(calls->served, 1);
  if (row->state == OPEN || row->state == LET_GO)
    act(&trial);
  calls_settle(calls);
  /* A connection that was closed is so when the peer has closed, too. */
  if (row->event == CONNECTION_CLOSE && calls->peer.connection != NULL) {
    psock_connection_close(calls->peer.connection);
    calls_settle(calls);
  }
  check_trial(&trial);
  psock_call_unref(trial.call);
  calls_settle(calls);
  calls_fini(calls);
}

START_TEST(states) {
  const struct row *row = &rows[_i / WAYS];
  run(row, _i % WAYS);
}
END_TEST

static Suite *suite(void) {
  Suite *suite = suite_create("server_states");
  TCase *tcase = guard_case(suite, "states");
  tcase_add_loop_test(tcase, states, 0, ROWS * WAYS);
  return suite;
}

int main(void) {
  return guard_main(suite());
}
