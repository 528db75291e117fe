/* SPDX-License-Identifier: BSD-2-Clause */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The callers' side: starting calls in all three ways, what they are told, and
 * what they do. Of each end it is asked whether something has happened that may
 * end a call so (may_end); if a call ends well, it must have got all that was
 * sent.
 */

static void on_ended(
    void *data, psock_call *call, const struct psock_status *status);
static void on_room(void *data, psock_call *call);
static void on_response(void *data, psock_call *call, const void *response);

static void on_text(void *data, psock_call *call, const Trial__Text *response) {
  on_response(data, call, response);
}

static void on_answer(
    void *data, psock_call *call, const Trial__Answer *response) {
  on_response(data, call, response);
}

#define EVENTS                                                                 \
  {                                                                            \
    .size = sizeof(struct psock_call_events), .ended = on_ended,               \
    .room = on_room                                                            \
  }

static const struct trial__trial__get__events get_events = {EVENTS, on_text};
static const struct trial__trial__put__events put_events = {EVENTS, on_text};
static const struct trial__trial__quick__events quick_events = {
    EVENTS, on_text};
static const struct trial__trial__download__events download_events = {
    EVENTS, on_text};
static const struct trial__trial__upload__events upload_events = {
    EVENTS, on_text};
static const struct trial__trial__chat__events chat_events = {EVENTS, on_text};
static const struct trial__ask__call__events ask_events = {EVENTS, on_answer};

static const struct {
  const struct psock_method *method;
  const struct psock_call_events *events;
} kinds[MODEL_KINDS] = {
    [MODEL_GET] = {&trial__trial__get__method, &get_events.events},
    [MODEL_PUT] = {&trial__trial__put__method, &put_events.events},
    [MODEL_QUICK] = {&trial__trial__quick__method, &quick_events.events},
    [MODEL_DOWNLOAD] = {&trial__trial__download__method,
        &download_events.events},
    [MODEL_UPLOAD] = {&trial__trial__upload__method, &upload_events.events},
    [MODEL_CHAT] = {&trial__trial__chat__method, &chat_events.events},
    [MODEL_ASK] = {&trial__ask__call__method, &ask_events.events},
    [MODEL_ASK_STREAM] = {&trial__ask__call__method, &ask_events.events},
};

/* ---- Starting ---- */

static struct model_trial *trial_new(
    struct model_line *line, enum model_kind kind) {
  struct model *model = line->model;
  struct model_trial *trial = calloc(1, sizeof *trial);
  if (model->trial_count % 64 == 0)
    model->trials =
        realloc(model->trials, (model->trial_count + 64) * sizeof(void *));
  MODEL_DEMAND(
      model, trial != NULL && model->trials != NULL, "no memory for the model");
  *trial = (struct model_trial){
      .model = model,
      .line = line,
      .number = model->trial_count,
      .kind = kind,
      .began = model_now(model),
      .deadline = PSOCK_TIMEOUT_NONE,
      .to_send = model_chance(model, 100) ? model_roll(model, 60)
                                          : model_roll(model, 6),
      .after_goaway = line->goaway_passed,
  };
  model->trials[model->trial_count++] = trial;
  model->live[model->live_count++] = trial;
  return trial;
}

static void remove_live(struct model_trial *trial) {
  struct model *model = trial->model;
  for (unsigned i = 0; i < model->live_count; i++)
    if (model->live[i] == trial) {
      model->live[i] = model->live[--model->live_count];
      return;
    }
}

static uint64_t random_timeout(struct model *model) {
  switch (model_roll(model, 8)) {
  case 0:
  case 1:
    return MODEL_MS + model_roll(model, 2000) * MODEL_MS;
  case 2:
    return (1 + model_roll(model, 20)) * MODEL_SECOND;
  case 3:
    return 1 + model_roll(model, 5000);
  case 4:
  case 5:
    return PSOCK_TIMEOUT_DEFAULT;
  default:
    return PSOCK_TIMEOUT_NONE;
  }
}

/* What is left to a call that names no time. */
static uint64_t default_timeout(const struct model_trial *trial) {
  const struct model *model = trial->model;
  uint64_t left = PSOCK_TIMEOUT_NONE;
  uint64_t named = trial->kind == MODEL_QUICK ? 100 * MODEL_MS : 0;
  if (model->serving != NULL)
    left = psock_call_get_time_left(model->serving);
  if (left != PSOCK_TIMEOUT_NONE)
    return named != 0 && named < left ? named : left;
  if (named != 0)
    return named;
  if (model_kind_streams_responses(trial->kind))
    return PSOCK_TIMEOUT_NONE;
  return model->options.caller_timeout == 0 ? 10 * MODEL_SECOND
                                            : model->options.caller_timeout;
}

static void set_deadline(struct model_trial *trial, uint64_t timeout) {
  if (timeout == PSOCK_TIMEOUT_DEFAULT)
    timeout = default_timeout(trial);
  if (timeout != PSOCK_TIMEOUT_NONE)
    trial->deadline = trial->began + timeout;
}

/* What every start has: how it is called, and what it brings along. */
struct start {
  char digits[12];
  struct psock_metadata metadata;
  struct psock_call_options options;
  const void *request;
};

static void begin_start(
    struct start *start, struct model_trial *trial, uint64_t timeout) {
  bool own = trial->model->options.own;
  snprintf(start->digits, sizeof start->digits, "%u", trial->number);
  start->metadata = (struct psock_metadata){
      .key = "trial",
      .value = (const uint8_t *)start->digits,
      .length = strlen(start->digits),
  };
  start->options = (struct psock_call_options){
      .size = sizeof start->options,
      .timeout = timeout,
      .metadata = own ? NULL : &start->metadata,
      .metadata_count = own ? 0 : 1,
      .streams = trial->kind == MODEL_ASK_STREAM,
  };
  start->request =
      model_kind_streams_requests(trial->kind) ? NULL : model_request(trial, 0);
  set_deadline(trial, timeout);
  if (model_kind_streams_requests(trial->kind) && trial->line->waits_since == 0)
    trial->line->waits_since = trial->began;
  trial->model->starting = trial;
}

/* Whether a start may be refused for want of room. */
static bool may_be_full(const struct model_line *line) {
  const struct model_options *options = &line->model->options;
  return options->caller_calls > 0 || options->max_queued > 0 ||
         options->max_kept > 0;
}

/* What a start has returned. */
static bool has_started(struct model_trial *trial, int error, bool by_clone) {
  struct model *model = trial->model;
  struct model_line *line = trial->line;
  model->starting = NULL;
  model_note(model, "start %u (%d) on line %p: %d", trial->number,
      (int)trial->kind, (void *)line, error);
  if (error >= 0) {
    line->started++;
    MODEL_COUNT(STARTED);
    if (by_clone)
      MODEL_COUNT(STARTED_BY_CLONE);
    if (model->serving != NULL)
      MODEL_COUNT(STARTED_IN_HANDLER);
    return true;
  }
  line->refused++;
  trial->ended = true;
  remove_live(trial);
  bool no_memory = error == PSOCK_ENOMEM && model_has_faulted(model);
  bool closed =
      error == PSOCK_ECLOSED && (line->closing || line->caller == NULL);
  bool full = error == PSOCK_EFULL && may_be_full(line);
  model_counts[MODEL_START_NO_MEMORY] += no_memory;
  model_counts[MODEL_START_CLOSED] += closed;
  model_counts[MODEL_START_FULL] += full;
  MODEL_DEMAND(model, no_memory || closed || full, "a start fails: %s",
      psock_strerror(error));
  return false;
}

/* A kind that may be started on any line of this world. */
static enum model_kind random_kind(struct model *model) {
  if (model->options.own)
    return model_chance(model, 500) ? MODEL_ASK : MODEL_ASK_STREAM;
  return (enum model_kind)model_roll(model, MODEL_ASK);
}

/* The caller, or a clone. NULL: both are gone. */
static psock_caller *caller_of(struct model_line *line, bool *ret_clone) {
  *ret_clone = line->clone != NULL &&
               (line->caller == NULL || model_chance(line->model, 500));
  return *ret_clone ? line->clone : line->caller;
}

static void check_time_left(struct model_trial *trial) {
  struct model *model = trial->model;
  uint64_t left = psock_call_get_time_left(trial->call);
  uint64_t expected = trial->deadline == PSOCK_TIMEOUT_NONE
                          ? PSOCK_TIMEOUT_NONE
                          : trial->deadline - trial->began;
  MODEL_DEMAND(model, left == expected, "call %u has %llu ns left, not %llu",
      trial->number, (unsigned long long)left, (unsigned long long)expected);
}

void model_trial_start(struct model_line *line) {
  struct model *model = line->model;
  bool by_clone = false;
  psock_caller *caller = caller_of(line, &by_clone);
  if (caller == NULL || model->live_count == MODEL_LIVE)
    return;
  struct model_trial *trial = trial_new(line, random_kind(model));
  struct start start;
  begin_start(&start, trial, random_timeout(model));
  bool wants_call = model_chance(model, 850);
  int error = psock_caller_start(caller, kinds[trial->kind].method,
      start.request, &start.options, kinds[trial->kind].events, trial,
      wants_call ? &trial->call : NULL);
  if (!has_started(trial, error, by_clone))
    return;
  if (trial->call != NULL)
    check_time_left(trial);
  if (model_kind_streams_requests(trial->kind))
    model_trial_send(trial, model_roll(model, 4));
}

/* ---- How it ends ---- */

/* Whether a server has ended it so. */
static const struct model_visit *visited(
    const struct model_trial *trial, enum model_act act) {
  const struct model_visit *visit = trial->visits;
  while (visit != NULL && visit->act != act)
    visit = visit->next;
  return visit;
}

/* Whoever rests may have a good end before it, behind what it has not read; if
 * it is given up then, that end stays, and the rest is dropped. */
static bool may_lack(const struct model_trial *trial) {
  return trial->rested && (trial->cancelled || trial->line->caller == NULL);
}

/* It ended well: all is here. */
static bool is_complete(const struct model_trial *trial) {
  bool streams = model_kind_streams_responses(trial->kind);
  bool lacks = may_lack(trial);
  for (const struct model_visit *visit = trial->visits; visit != NULL;
       visit = visit->next) {
    unsigned sent = streams ? visit->sent : 1;
    if (visit->act == (streams ? MODEL_ACT_END : MODEL_ACT_REPLY) &&
        (trial->got == sent || (lacks && trial->got < sent)))
      return true;
  }
  return false;
}

/* Whether the server's own limit on time has passed. */
static bool server_expired(const struct model_trial *trial) {
  const struct model *model = trial->model;
  uint64_t timeout = model->options.server_timeout;
  return timeout > 0 && model_now(model) >= trial->began + timeout;
}

static bool is_limited(const struct model *model) {
  return model->options.server_calls > 0 || model->options.max_kept > 0;
}

/* Whether its caller may have it wait: for the server's first frame, or for
 * room for the start of a stream; or to send it again. */
static bool may_wait(const struct model_trial *trial) {
  return trial->visits == NULL &&
         (trial->kind == MODEL_GET || model_kind_streams_requests(trial->kind));
}

/* With a server that is being drained: what it was told too late; what has not
 * come to it yet, if it does not know that its caller understands a GOAWAY; and
 * what waits with its caller. */
static bool is_drained(const struct model_trial *trial) {
  const struct model_line *line = trial->line;
  return line->host->draining &&
         (trial->after_goaway || !line->known_before_drain ||
             trial->model->options.own || may_wait(trial));
}

static bool may_be_unavailable(const struct model_trial *trial) {
  return trial->line->broken || is_drained(trial);
}

/* The server has failed it, over own messages, which can't say how. */
static bool may_be_failed_without_words(const struct model_trial *trial) {
  const struct model *model = trial->model;
  return model->options.own &&
         (visited(trial, MODEL_ACT_FAIL) != NULL ||
             visited(trial, MODEL_ACT_DROP) != NULL || model->options.refuses ||
             is_limited(model) || server_expired(trial) ||
             may_be_unavailable(trial) || model_has_faulted(model));
}

static bool failed_so(
    const struct model_trial *trial, const struct psock_status *status) {
  char text[24];
  const struct model *model = trial->model;
  snprintf(text, sizeof text, "why %u", trial->number);
  for (const struct model_visit *visit = trial->visits; visit != NULL;
       visit = visit->next) {
    if (visit->act != MODEL_ACT_FAIL || visit->code != status->code)
      continue;
    MODEL_DEMAND(model,
        visit->any_text || model_has_faulted(model) ||
            strcmp(status->text, text) == 0,
        "call %u fails with the text %s", trial->number, status->text);
    return true;
  }
  return false;
}

/* Whether anything that has happened may end a call with this code. */
static bool may_end(const struct model_trial *trial, uint32_t code) {
  const struct model *model = trial->model;
  switch (code) {
  case PSOCK_STATUS_OK:
    return is_complete(trial);
  case PSOCK_STATUS_CANCELLED:
    return trial->cancelled || trial->doubled || trial->line->caller == NULL ||
           visited(trial, MODEL_ACT_CANCEL) != NULL ||
           ((trial->line->broken || model_has_faulted(model)) &&
               model_kind_streams_requests(trial->kind)) ||
           may_be_failed_without_words(trial);
  case PSOCK_STATUS_DEADLINE_EXCEEDED:
    return trial->deadline <= model_now(model) || server_expired(trial);
  case PSOCK_STATUS_PERMISSION_DENIED:
    return trial->refused || (model->options.refuses &&
                                 (trial->visits == NULL || trial->doubled));
  case PSOCK_STATUS_RESOURCE_EXHAUSTED:
    return model_has_faulted(model) || is_limited(model) ||
           visited(trial, MODEL_ACT_DROP) != NULL;
  case PSOCK_STATUS_UNIMPLEMENTED:
    return model_kind_streams_requests(trial->kind) &&
           model_now(model) >= trial->line->waits_since + MODEL_SECOND;
  case PSOCK_STATUS_INTERNAL:
    return visited(trial, MODEL_ACT_DROP) != NULL || model_has_faulted(model);
  case PSOCK_STATUS_UNAVAILABLE:
    return may_be_unavailable(trial) || model_has_faulted(model);
  default:
    return false;
  }
}

static void count_end(bool by_handler, const struct psock_status *status) {
  static const enum model_count counts[] = {
      [PSOCK_STATUS_OK] = MODEL_OK,
      [PSOCK_STATUS_CANCELLED] = MODEL_CANCELLED,
      [PSOCK_STATUS_DEADLINE_EXCEEDED] = MODEL_DEADLINE_EXCEEDED,
      [PSOCK_STATUS_PERMISSION_DENIED] = MODEL_PERMISSION_DENIED,
      [PSOCK_STATUS_RESOURCE_EXHAUSTED] = MODEL_RESOURCE_EXHAUSTED,
      [PSOCK_STATUS_UNIMPLEMENTED] = MODEL_UNIMPLEMENTED,
      [PSOCK_STATUS_INTERNAL] = MODEL_INTERNAL,
      [PSOCK_STATUS_UNAVAILABLE] = MODEL_UNAVAILABLE,
  };
  model_counts[by_handler ? MODEL_BY_HANDLER : counts[status->code]]++;
  if (status->not_begun)
    MODEL_COUNT(NOT_BEGUN);
}

/* It has ended, and this is how. */
static void judge(
    struct model_trial *trial, const struct psock_status *status) {
  struct model *model = trial->model;
  model_note(model, "call %u ends: %s (%s)%s", trial->number,
      psock_status_name(status->code), status->text,
      status->not_begun ? ", not begun" : "");
  MODEL_DEMAND(model, !trial->ended, "call %u ends twice", trial->number);
  bool by_handler = failed_so(trial, status);
  MODEL_DEMAND(model, by_handler || may_end(trial, status->code),
      "call %u (kind %d) ends with %s (%s), for no reason, after %u messages",
      trial->number, (int)trial->kind, psock_status_name(status->code),
      status->text, trial->got);
  MODEL_DEMAND(model,
      !status->not_begun || trial->visits == NULL || trial->doubled,
      "call %u was not begun, but served", trial->number);
  count_end(by_handler, status);
  trial->ended = true;
  remove_live(trial);
  trial->line->ended++;
  trial->line->failed += status->code != PSOCK_STATUS_OK;
}

/* ---- What it is told ---- */

/* What the server sends beside its first response. */
static void check_metadata(struct model_trial *trial, const psock_call *call) {
  struct psock_metadata entry;
  char digits[12];
  if (psock_call_get_metadata(call, "visit", &entry) != 0)
    return;
  snprintf(digits, sizeof digits, "%u", trial->number);
  MODEL_DEMAND(trial->model,
      entry.length == strlen(digits) &&
          memcmp(entry.value, digits, entry.length) == 0,
      "call %u has the metadata of another one", trial->number);
}

static void take_response(
    struct model_trial *trial, const psock_call *call, const void *response) {
  struct model *model = trial->model;
  model_note(model, "call %u gets response %u", trial->number, trial->got);
  MODEL_COUNT(RESPONSE);
  model_check_response(trial, trial->got, response);
  check_metadata(trial, call);
  trial->got++;
  MODEL_DEMAND(model,
      trial->got == 1 || model_kind_streams_responses(trial->kind),
      "call %u has got two responses", trial->number);
}

static void on_response(void *data, psock_call *call, const void *response) {
  struct model_trial *trial = data;
  struct model *model = trial->model;
  struct model_frame frame = model_enter(model, trial->line, "message");
  MODEL_DEMAND(model, !trial->ended, "call %u gets a message after its end",
      trial->number);
  MODEL_DEMAND(model, trial->call == NULL || trial->call == call,
      "call %u is another one", trial->number);
  MODEL_DEMAND(model, !trial->paused, "call %u gets a message while it rests",
      trial->number);
  take_response(trial, call, response);
  if (trial->call != NULL && model_chance(model, 100))
    model_trial_pause(trial, true);
  model_meddle(model);
  model_leave(model, frame);
}

static void on_room(void *data, psock_call *call) {
  struct model_trial *trial = data;
  struct model *model = trial->model;
  struct model_frame frame = model_enter(model, trial->line, "room");
  (void)call;
  model_note(model, "call %u has room", trial->number);
  MODEL_DEMAND(model, !trial->ended && trial->waits,
      "call %u is told that there is room", trial->number);
  MODEL_COUNT(REQUEST_ROOM);
  trial->waits = false;
  model_trial_send(trial, model_roll(model, 10));
  model_meddle(model);
  model_leave(model, frame);
}

static void on_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  struct model_trial *trial = data;
  struct model *model = trial->model;
  struct model_frame frame = model_enter(model, trial->line, "ended");
  const struct psock_status *kept = psock_call_get_status(call);
  MODEL_DEMAND(model, kept != NULL && kept->code == status->code,
      "call %u has ended, and doesn't know", trial->number);
  judge(trial, status);
  check_metadata(trial, call);
  if (model_chance(model, 700))
    model_trial_unref(trial);
  model_meddle(model);
  model_leave(model, frame);
}

static int interceptor_begin(
    void *data, psock_call *call, struct psock_status *ret_status) {
  struct model *model = data;
  (void)call;
  if (model->options.refuses && model_chance(model, 50)) {
    model->starting->refused = true;
    ret_status->code = PSOCK_STATUS_PERMISSION_DENIED;
    return 1;
  }
  model->begun[0]++;
  return 0;
}

static void interceptor_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  struct model *model = data;
  (void)call;
  (void)status;
  MODEL_DEMAND(model, model->begun[0] > 0,
      "an interceptor is told of a call that never began");
  model->begun[0]--;
}

const struct psock_interceptor model_caller_interceptor = {
    .size = sizeof(struct psock_interceptor),
    .begin = interceptor_begin,
    .ended = interceptor_ended,
};

/* ---- What it does ---- */

/* Sends one request; returns whether another one may be sent. */
static bool send_one(struct model_trial *trial) {
  struct model *model = trial->model;
  int error = psock_call_send(trial->call, model_request(trial, trial->sent));
  model_note(
      model, "call %u sends request %u: %d", trial->number, trial->sent, error);
  if (error == 0) {
    trial->sent++;
    MODEL_COUNT(REQUEST_SENT);
    return true;
  }
  if (error == PSOCK_EFULL) {
    trial->waits = true;
    MODEL_COUNT(REQUEST_FULL);
  }
  bool no_memory = error == PSOCK_ENOMEM && model_has_faulted(model);
  MODEL_DEMAND(model,
      error == PSOCK_ECANCELED || (error == PSOCK_EFULL && !trial->ended) ||
          no_memory,
      "request %u of call %u fails: %s", trial->sent, trial->number,
      psock_strerror(error));
  return false;
}

void model_trial_send(struct model_trial *trial, unsigned count) {
  struct model *model = trial->model;
  if (trial->call == NULL || trial->requests_over ||
      !model_kind_streams_requests(trial->kind))
    return;
  while (count > 0 && trial->sent < trial->to_send && send_one(trial))
    count--;
  if (count == 0 || trial->sent < trial->to_send)
    return;
  int error = psock_call_end(trial->call, NULL);
  model_note(model, "call %u ends its requests: %d", trial->number, error);
  MODEL_DEMAND(model, error == PSOCK_ECANCELED || (error == 0 && !trial->ended),
      "the end of the requests of call %u fails: %s", trial->number,
      psock_strerror(error));
  MODEL_COUNT(REQUESTS_ENDED);
  trial->requests_over = true;
  MODEL_DEMAND(model, psock_call_send(trial->call, model_request(trial, 0)) < 0,
      "call %u sends a request after their end", trial->number);
}

void model_trial_cancel(struct model_trial *trial) {
  if (trial->call == NULL)
    return;
  model_note(trial->model, "cancel call %u", trial->number);
  MODEL_COUNT(CALLER_CANCELLED);
  trial->cancelled |= !trial->ended;
  psock_call_cancel(trial->call);
}

void model_trial_pause(struct model_trial *trial, bool paused) {
  if (trial->call == NULL || trial->opened)
    return;
  model_note(
      trial->model, "%s call %u", paused ? "pause" : "resume", trial->number);
  MODEL_COUNT(CALLER_PAUSED);
  trial->paused = paused;
  trial->rested |= paused;
  if (paused)
    psock_call_pause(trial->call);
  else
    psock_call_resume(trial->call);
}

void model_trial_unref(struct model_trial *trial) {
  struct model *model = trial->model;
  psock_call *call = trial->call;
  /* One that rests could never go on; and who waits still needs it. */
  if (call == NULL || (trial->paused && !trial->ended) ||
      trial == model->waiting)
    return;
  model_note(model, "unref call %u", trial->number);
  MODEL_COUNT(CALL_UNREFERENCED);
  trial->call = NULL;
  if (trial->opened && !trial->ended) {
    MODEL_COUNT(OPENED_LEFT);
    trial->ended = true;
    trial->cancelled = true;
    remove_live(trial);
    trial->line->ended++;
  }
  psock_call_unref(call);
}

/* ---- Waiting ---- */

/* One that may be waited for: it ends at last. */
static uint64_t some_timeout(struct model *model) {
  return (1 + model_roll(model, 4000)) * MODEL_MS;
}

/* Waiting lets time pass, also where nothing can. */
static void expect_waiting(struct model *model) {
  model_disarm(model);
  model_expect(model, 5 * MODEL_SECOND);
}

/* Only the first caller; a clone would wait for somebody else to turn the
 * loop. */
void model_trial_open(struct model_line *line) {
  struct model *model = line->model;
  psock_caller *caller = line->caller;
  if (caller == NULL || model->live_count == MODEL_LIVE ||
      (model->depth > 0 && model->turning == 0))
    return;
  struct model_trial *trial = trial_new(line, random_kind(model));
  struct start start;
  trial->opened = true;
  begin_start(&start, trial, some_timeout(model));
  int error = psock_caller_open(caller, kinds[trial->kind].method,
      start.request, &start.options, &trial->call);
  if (model->depth > 0) {
    MODEL_DEMAND(model, error == PSOCK_ELOOPTHREAD || error == PSOCK_ECLOSED,
        "psock_caller_open inside a callback says %d", error);
    trial->ended = true;
    line->refused += error != PSOCK_ELOOPTHREAD;
    remove_live(trial);
    return;
  }
  if (!has_started(trial, error, false))
    return;
  MODEL_COUNT(OPENED);
  check_time_left(trial);
}

void model_trial_receive(struct model_trial *trial) {
  struct model *model = trial->model;
  const void *response = NULL;
  if (!trial->opened || trial->call == NULL || trial->ended)
    return;
  expect_waiting(model);
  model->waiting = trial;
  model_begin_turn(model);
  int result = psock_call_receive(trial->call, &response);
  model_end_turn(model);
  model->waiting = NULL;
  MODEL_DEMAND(
      model, result == 0 || result == 1, "psock_call_receive says %d", result);
  if (result == 1) {
    MODEL_COUNT(RECEIVED);
    take_response(trial, trial->call, response);
    return;
  }
  const struct psock_status *status = psock_call_get_status(trial->call);
  MODEL_DEMAND(model, status != NULL, "call %u has ended, and doesn't know",
      trial->number);
  judge(trial, status);
}

void model_trial_run(struct model_line *line) {
  static const enum model_kind single[] = {MODEL_GET, MODEL_PUT, MODEL_QUICK};
  struct model *model = line->model;
  psock_caller *caller = line->caller;
  const void *response = NULL;
  if (caller == NULL || model->live_count == MODEL_LIVE)
    return;
  enum model_kind kind =
      model->options.own ? MODEL_ASK : single[model_roll(model, 3)];
  struct model_trial *trial = trial_new(line, kind);
  struct start start;
  trial->opened = true;
  expect_waiting(model);
  begin_start(&start, trial, some_timeout(model));
  model_begin_turn(model);
  int result = psock_caller_run(caller, kinds[kind].method, start.request,
      &start.options, &response, &trial->call);
  model_end_turn(model);
  if (!has_started(trial, result, false))
    return;
  MODEL_COUNT(RUN);
  const struct psock_status *status = psock_call_get_status(trial->call);
  MODEL_DEMAND(model, status != NULL && (int)status->code == result,
      "call %u has ended, and doesn't know", trial->number);
  if (result == 0)
    take_response(trial, trial->call, response);
  judge(trial, status);
  model_trial_unref(trial);
}
