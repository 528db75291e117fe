/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_RPC_MODEL_H
#define TESTS_RPC_MODEL_H

#include "lib/alloc_fault.h"
#include "lib/guard.h"
#include "lib/relay.h"
#include "trial.psock.h"
#include <protosocket.h>
#include <protosocket/caller.h>
#include <protosocket/server.h>
#include <protosocket/testing.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A model of calls, beside the real ones. Everything happens in worlds: a loop
 * that is turned by hand, hosts (servers, one after the other), and lines (a
 * caller, a relay, and a connection of the host). A trial is a call as its
 * caller has it, a visit the same call as its server has it. Both write down
 * what was done, so that it can be said of each end whether it may come now and
 * in this way; every message says whose it is, and which one in its direction.
 *
 * model.c has worlds, what is random, and what messages are made of;
 * model_line.c hosts and lines; model_trial.c the callers' side; model_visit.c
 * the servers'; model_step.c what may happen in one step; model_end.c how a
 * world ends.
 */

#define MODEL_LINES 3
#define MODEL_LIVE 48
#define MODEL_MS ((uint64_t)1000000u)
#define MODEL_SECOND (1000 * MODEL_MS)

/* What has to happen in a run, or it has tested less than it says. */
#define MODEL_COUNTS(X)                                                        \
  X(STARTED)                                                                   \
  X(STARTED_BY_CLONE)                                                          \
  X(STARTED_IN_HANDLER)                                                        \
  X(START_FULL)                                                                \
  X(START_CLOSED)                                                              \
  X(START_NO_MEMORY)                                                           \
  X(OPENED)                                                                    \
  X(OPENED_LEFT)                                                               \
  X(RUN)                                                                       \
  X(RECEIVED)                                                                  \
  X(REQUEST_SENT)                                                              \
  X(REQUEST_FULL)                                                              \
  X(REQUEST_ROOM)                                                              \
  X(REQUESTS_ENDED)                                                            \
  X(CALLER_CANCELLED)                                                          \
  X(CALLER_PAUSED)                                                             \
  X(CALL_UNREFERENCED)                                                         \
  X(RESPONSE)                                                                  \
  X(SERVED)                                                                    \
  X(SERVED_TWICE)                                                              \
  X(SERVED_STREAM)                                                             \
  X(REQUEST)                                                                   \
  X(REPLIED)                                                                   \
  X(REPLIED_LATER)                                                             \
  X(RESPONSE_SENT)                                                             \
  X(RESPONSE_FULL)                                                             \
  X(RESPONSE_ROOM)                                                             \
  X(STREAM_ENDED)                                                              \
  X(FAILED)                                                                    \
  X(SERVER_CANCELLED)                                                          \
  X(DROPPED)                                                                   \
  X(SHARED)                                                                    \
  X(HELD)                                                                      \
  X(SERVER_PAUSED)                                                             \
  X(DRAIN_TOLD)                                                                \
  X(TIME_PASSED)                                                               \
  X(LINE_MADE)                                                                 \
  X(LINE_HELD)                                                                 \
  X(LINE_SHUT)                                                                 \
  X(LINE_DROPPED)                                                              \
  X(LINE_TORN)                                                                 \
  X(CALLER_CLOSED)                                                             \
  X(CALLER_FREED)                                                              \
  X(CALLER_FREED_INSIDE)                                                       \
  X(SERVER_DRAINED)                                                            \
  X(SERVER_FREED)                                                              \
  X(SERVER_FREED_INSIDE)                                                       \
  X(MEMORY_FAILED)                                                             \
  X(FRAME_REORDERED)                                                           \
  X(FRAME_DOUBLED)                                                             \
  X(START_DOUBLED)                                                             \
  X(FRAME_CUT)                                                                 \
  X(OK)                                                                        \
  X(CANCELLED)                                                                 \
  X(BY_HANDLER)                                                                \
  X(DEADLINE_EXCEEDED)                                                         \
  X(PERMISSION_DENIED)                                                         \
  X(RESOURCE_EXHAUSTED)                                                        \
  X(UNIMPLEMENTED)                                                             \
  X(INTERNAL)                                                                  \
  X(UNAVAILABLE)                                                               \
  X(NOT_BEGUN)                                                                 \
  X(SERVER_OK)                                                                 \
  X(SERVER_BY_HANDLER)                                                         \
  X(SERVER_BY_CALLER)                                                          \
  X(SERVER_DEADLINE_EXCEEDED)                                                  \
  X(SERVER_UNAVAILABLE)

enum model_count {
#define MODEL_COUNT_MEMBER(name) MODEL_##name,
  MODEL_COUNTS(MODEL_COUNT_MEMBER)
#undef MODEL_COUNT_MEMBER
      MODEL_COUNT_TOTAL
};

extern uint64_t model_counts[MODEL_COUNT_TOTAL];
extern const char *const model_count_names[MODEL_COUNT_TOTAL];

#define MODEL_COUNT(name) (model_counts[MODEL_##name]++)

enum model_kind {
  MODEL_GET,
  MODEL_PUT,
  MODEL_QUICK,
  MODEL_DOWNLOAD,
  MODEL_UPLOAD,
  MODEL_CHAT,
  MODEL_ASK,        /* over own messages */
  MODEL_ASK_STREAM, /* the same, with many responses */
  MODEL_KINDS
};

/* How a server has ended a call. */
enum model_act {
  MODEL_NO_ACT,
  MODEL_ACT_REPLY,
  MODEL_ACT_END,
  MODEL_ACT_FAIL,
  MODEL_ACT_CANCEL,
  MODEL_ACT_DROP
};

struct model;

struct model_host {
  struct model *model;
  struct model_host *next;
  psock_server *server; /* NULL: freed */
  uint64_t drain_at;    /* PSOCK_TIMEOUT_NONE: not asked for */
  bool draining;
  bool drained;
};

struct model_id {
  uint64_t id;
  bool single;  /* its response ends it */
  bool streams; /* its requests stream */
};

struct model_line {
  struct model *model;
  struct model_line *next;
  struct model_host *host;
  struct relay relay;
  psock_caller *caller; /* NULL: freed */
  psock_caller *clone;
  struct model_id *ids; /* of starts that went by */
  size_t id_count;
  uint64_t started;
  uint64_t refused;
  uint64_t ended;
  uint64_t failed;
  bool broken;             /* its connection may have ended, or may end */
  uint64_t waits_since;    /* for the server's HELLO; 0: no call has */
  bool visited;            /* a call has been served */
  bool known_before_drain; /* the server has got the caller's HELLO */
  bool goaway_passed;      /* the caller may know */
  bool over;               /* the relay is freed */
  bool closing;
  bool closed;
};

/* A call as its caller has it. */
struct model_trial {
  struct model *model;
  struct model_line *line;
  uint32_t number;
  enum model_kind kind;
  psock_call *call; /* a reference, or NULL */
  struct model_visit *visits;
  uint64_t began;
  uint64_t deadline; /* PSOCK_TIMEOUT_NONE: it has none */
  unsigned to_send;  /* requests of a stream */
  unsigned sent;
  unsigned got;
  bool opened; /* without events */
  bool ended;
  bool cancelled;    /* by its caller */
  bool refused;      /* by an interceptor */
  bool after_goaway; /* its caller may have known */
  bool doubled;      /* its start came twice */
  bool paused;
  bool rested; /* was paused, once */
  bool waits;  /* for `room` */
  bool requests_over;
  /* The request that was sent last: who waits for room needs it longer. */
  Trial__Text text;
  Trial__Ask ask;
  char name[16];
};

/* The same as its server has it. */
struct model_visit {
  struct model_visit *next; /* of the same trial */
  struct model_trial *trial;
  struct model_host *host;
  psock_call *call; /* a reference, or NULL */
  enum model_act act;
  uint32_t code; /* of a failure */
  uint64_t began;
  unsigned to_send; /* responses of a stream */
  unsigned sent;
  unsigned got;
  bool events;
  bool ended; /* told so, or the model knows */
  bool any_text;
  bool paused;
  bool held;
  bool waits; /* for `room` */
  bool requests_over;
  bool drain_told;
};

struct model_options {
  bool own; /* over own messages */
  bool double_starts;
  bool refuses; /* interceptors, now and then */
  bool faults;  /* of memory */
  bool breaks;  /* connections, now and then */
  size_t capacity;
  size_t most_data;
  size_t most_sent;
  size_t most_kept; /* by the relay */
  unsigned rests;
  unsigned reorders;
  unsigned doubles;
  unsigned caller_calls; /* max_calls; 0: the default; and so on */
  unsigned server_calls;
  size_t stream_window;
  size_t max_queued;
  size_t max_kept;
  uint64_t caller_timeout;
  uint64_t server_timeout;
};

struct model {
  uint64_t seed;
  uint64_t state;
  unsigned step;
  struct model_options options;
  struct alloc_fault fault;
  psock_loop *loop;
  struct model_host *host; /* that new lines go to, or NULL */
  struct model_host *hosts;
  struct model_line *lines[MODEL_LINES];
  struct model_line *all_lines;
  struct model_trial **trials;
  uint32_t trial_count;
  struct model_trial *live[MODEL_LIVE]; /* that haven't ended */
  unsigned live_count;
  struct model_visit *acting[4 * MODEL_LIVE]; /* that are still to be ended */
  unsigned acting_count;
  psock_call *serving;          /* whose handler or event is on the stack */
  struct model_trial *starting; /* whose start is */
  struct model_trial *waiting;  /* who waits for a message of it, or for room */
  /* Who may call back now: NULL nobody, the model everybody, or a line or a
   * host that is being freed. */
  const void *may_call;
  unsigned depth;     /* callbacks on the stack */
  unsigned turning;   /* turns of the loop on the stack */
  uint64_t begun[2];  /* interceptors: of the caller, of the server */
  uint64_t unsettled; /* nanoseconds since the loop was quiet */
  bool faulted;       /* some memory was refused */
  bool doubled;       /* some start came twice */
  bool ending;
};

/* ---- model.c ---- */

struct model *model_new(uint64_t seed);
void model_free(struct model *model);

/* Ends the test, and says which world it was. */
void model_fail(const struct model *model, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

#define MODEL_DEMAND(model, condition, ...)                                    \
  do {                                                                         \
    if (!(condition))                                                          \
      model_fail(model, __VA_ARGS__);                                          \
  } while (0)

/* With MODEL_TRACE in the environment, says what happens. */
void model_note(const struct model *model, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

unsigned model_roll(struct model *model, unsigned limit);
bool model_chance(struct model *model, unsigned of_thousand);

uint64_t model_now(const struct model *model);

/* Turns of the loop. */
void model_turn(struct model *model, unsigned turns);
void model_settle(struct model *model);
void model_pass(struct model *model, uint64_t time);

/* Notes what may end when so much time passes. */
void model_expect(struct model *model, uint64_t time);

/* Before what may cause callbacks of `who`; afterwards with what it was. */
const void *model_allow(struct model *model, const void *who);

/* The same around what turns the loop. */
void model_begin_turn(struct model *model);
void model_end_turn(struct model *model);

/* Around every callback. */
struct model_frame {
  const void *may_call;
  psock_call *serving;
};
struct model_frame model_enter(
    struct model *model, const void *who, const char *what);
void model_leave(struct model *model, struct model_frame frame);

/* A random step, now and then, inside a callback. */
void model_meddle(struct model *model);

/* Looks whether memory was refused, and lets it be had again. */
void model_disarm(struct model *model);

/* A message; good until the trial's next one in this direction, a response
 * until the next one of any. */
const void *model_request(struct model_trial *trial, uint32_t sequence);
const void *model_response(struct model_trial *trial, uint32_t sequence);

/* Whether a message is that. */
void model_check_request(struct model_trial *trial, uint32_t sequence,
    const char *text, uint32_t number, const ProtobufCBinaryData *data);
void model_check_response(
    struct model_trial *trial, uint32_t sequence, const void *message);

/* The trial whose first request is `text`, or whose number is `digits`. */
struct model_trial *model_find(
    struct model *model, const char *digits, size_t length);

/* Whether some memory was refused, in this turn too. */
static inline bool model_has_faulted(const struct model *model) {
  return model->faulted || atomic_load(&model->fault.refused) > 0;
}

static inline bool model_kind_streams_requests(enum model_kind kind) {
  return kind == MODEL_UPLOAD || kind == MODEL_CHAT;
}

static inline bool model_kind_streams_responses(enum model_kind kind) {
  return kind == MODEL_DOWNLOAD || kind == MODEL_CHAT ||
         kind == MODEL_ASK_STREAM;
}

/* ---- model_line.c ---- */

void model_host_new(struct model *model);
void model_host_free(struct model_host *host);
void model_host_drain(struct model_host *host);
void model_line_new(struct model *model);
void model_line_break(struct model_line *line);
void model_line_free_caller(struct model_line *line);
void model_line_close_caller(struct model_line *line);

/* Frees the relay; what it did is counted then. */
void model_line_end_relay(struct model_line *line);

/* ---- model_trial.c ---- */

/* Starts a call on `line`, if there may be one more. */
void model_trial_start(struct model_line *line);

/* The same with waiting; not inside callbacks. */
void model_trial_open(struct model_line *line);
void model_trial_run(struct model_line *line);

/* Takes the next response of an opened one. */
void model_trial_receive(struct model_trial *trial);

/* Sends some requests, and perhaps their end. */
void model_trial_send(struct model_trial *trial, unsigned count);

void model_trial_cancel(struct model_trial *trial);
void model_trial_pause(struct model_trial *trial, bool paused);
void model_trial_unref(struct model_trial *trial);

extern const struct psock_interceptor model_caller_interceptor;

/* ---- model_visit.c ---- */

extern const struct trial__trial__handlers model_trial_handlers;
extern const struct trial__ask__call__handlers model_ask_handlers;

/* Ends the call in one of the ways it may be, or sends some responses. */
void model_visit_act(struct model_visit *visit);

/* The same, for the end of the world: it comes to a good end. */
void model_visit_complete(struct model_visit *visit);

void model_visit_pause(struct model_visit *visit, bool paused);
void model_visit_unref(struct model_visit *visit);

int model_authorize(void *data, psock_call *call,
    const struct psock_method *method, struct psock_status *ret_status);

/* ---- model_step.c ---- */

/* One step; `inside` a callback only what may be done there. */
void model_step(struct model *model, bool inside);

/* ---- model_end.c ---- */

/* Whatever has begun comes to its end, and everything is freed. */
void model_end(struct model *model);

#endif
