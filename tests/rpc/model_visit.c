/* SPDX-License-Identifier: BSD-2-Clause */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The servers' side: what handlers do with a call, at once or later, and what
 * they are told of it. What a server has done to end a call, and was told that
 * it was done, is how the call has ended for it, whatever comes later.
 */

/* ---- A visit's beginning ---- */

static void remove_acting(struct model_visit *visit) {
  struct model *model = visit->trial->model;
  for (unsigned i = 0; i < model->acting_count; i++)
    if (model->acting[i] == visit) {
      model->acting[i] = model->acting[--model->acting_count];
      return;
    }
}

/* Which trial a call is one of: its metadata says so, and so does its first
 * request, if there is one. */
static struct model_trial *find_trial(
    struct model *model, const psock_call *call, const char *text) {
  struct psock_metadata entry;
  struct model_trial *trial = NULL;
  if (!model->options.own) {
    int error = psock_call_get_metadata(call, "trial", &entry);
    MODEL_DEMAND(model, error == 0, "a call has come without its metadata");
    trial = model_find(model, (const char *)entry.value, entry.length);
  }
  if (text == NULL)
    return trial;
  struct model_trial *other = model_find(model, text + 1, strlen(text + 1));
  MODEL_DEMAND(model, trial == NULL || trial == other,
      "a call has the metadata of another one");
  return other;
}

static void check_time_left(
    const struct model_trial *trial, const psock_call *call) {
  struct model *model = trial->model;
  uint64_t limit = model->options.server_timeout;
  uint64_t left = psock_call_get_time_left(call);
  uint64_t now = model_now(model);
  MODEL_DEMAND(model, limit == 0 || left <= limit,
      "a server's call has more time than it allows");
  if (model->options.own || trial->deadline == PSOCK_TIMEOUT_NONE) {
    MODEL_DEMAND(model, limit > 0 || left == PSOCK_TIMEOUT_NONE,
        "a deadline has come that call %u hasn't", trial->number);
    return;
  }
  MODEL_DEMAND(model, left <= trial->deadline - trial->began + 1000,
      "call %u has got more time on its way", trial->number);
  MODEL_DEMAND(model,
      (limit > 0 && left <= limit) || now + left >= trial->deadline,
      "call %u has lost time on its way", trial->number);
}

static struct model_visit *visit_new(
    struct model_host *host, psock_call *call, struct model_trial *trial) {
  struct model *model = host->model;
  struct model_visit *visit = calloc(1, sizeof *visit);
  MODEL_DEMAND(model, visit != NULL, "no memory for the model");
  model_note(model, "call %u is served", trial->number);
  MODEL_COUNT(SERVED);
  MODEL_DEMAND(model, trial->line->host == host,
      "call %u has come to another server", trial->number);
  MODEL_DEMAND(model, trial->visits == NULL || trial->doubled,
      "call %u is served twice", trial->number);
  model_counts[MODEL_SERVED_TWICE] += trial->visits != NULL;
  MODEL_DEMAND(model, psock_call_get_connection(call) != NULL,
      "a handler's call has no connection");
  check_time_left(trial, call);
  *visit = (struct model_visit){
      .next = trial->visits,
      .trial = trial,
      .host = host,
      .began = model_now(model),
      .to_send = model_chance(model, 100) ? model_roll(model, 60)
                                          : model_roll(model, 6),
  };
  trial->visits = visit;
  trial->line->visited = true;
  return visit;
}

/* ---- What a server does ---- */

static void acted(
    struct model_visit *visit, enum model_act act, uint32_t code) {
  visit->act = act;
  visit->code = code;
  remove_acting(visit);
}

/* It had ended already. */
static void too_late(struct model_visit *visit) {
  remove_acting(visit);
}

/* Something may come beside the first response. */
static void add_metadata(struct model_visit *visit, psock_call *call) {
  struct model *model = visit->trial->model;
  char digits[12];
  if (visit->sent > 0 || visit->ended || !model_chance(model, 300))
    return;
  snprintf(digits, sizeof digits, "%u", visit->trial->number);
  int error = psock_call_add_metadata(call, "visit", digits, strlen(digits));
  MODEL_DEMAND(model,
      error == 0 || (error == PSOCK_ENOTSUP && model->options.own) ||
          error == PSOCK_ECANCELED || error == PSOCK_ENOTSUP ||
          (error == PSOCK_ENOMEM && model_has_faulted(model)),
      "metadata can't be added: %s", psock_strerror(error));
}

static void reply(struct model_visit *visit, psock_call *call) {
  struct model *model = visit->trial->model;
  add_metadata(visit, call);
  int error = psock_call_reply(call, model_response(visit->trial, 0));
  model_note(model, "reply to call %u: %d", visit->trial->number, error);
  bool no_memory = error == PSOCK_ENOMEM && model_has_faulted(model);
  bool full = error == PSOCK_EFULL && model->options.max_queued > 0;
  if (error == PSOCK_ECANCELED) {
    too_late(visit);
    return;
  }
  MODEL_DEMAND(model, error == 0 || no_memory || full, "a reply fails: %s",
      psock_strerror(error));
  MODEL_DEMAND(model, !visit->ended, "call %u is answered after its end",
      visit->trial->number);
  if (error == 0) {
    MODEL_COUNT(REPLIED);
    model_counts[MODEL_REPLIED_LATER] += visit->began < model_now(model);
    acted(visit, MODEL_ACT_REPLY, PSOCK_STATUS_OK);
  } else {
    visit->any_text = true;
    acted(visit, MODEL_ACT_FAIL, PSOCK_STATUS_RESOURCE_EXHAUSTED);
  }
}

/* Ends it well, or, with a `status`, not. */
static void end(struct model_visit *visit, psock_call *call,
    const struct psock_status *status) {
  struct model *model = visit->trial->model;
  int error = psock_call_end(call, status);
  model_note(model, "end call %u with %u: %d", visit->trial->number,
      status == NULL ? 0 : status->code, error);
  if (error == PSOCK_ECANCELED) {
    too_late(visit);
    return;
  }
  MODEL_DEMAND(
      model, error == 0, "a call can't be ended: %s", psock_strerror(error));
  MODEL_DEMAND(model, !visit->ended, "call %u is ended after its end",
      visit->trial->number);
  if (status == NULL) {
    MODEL_COUNT(STREAM_ENDED);
    acted(visit, MODEL_ACT_END, PSOCK_STATUS_OK);
  } else {
    MODEL_COUNT(FAILED);
    acted(visit, MODEL_ACT_FAIL, status->code);
  }
}

static void fail_with_text(struct model_visit *visit, psock_call *call) {
  static const uint32_t codes[] = {PSOCK_STATUS_UNKNOWN, PSOCK_STATUS_NOT_FOUND,
      PSOCK_STATUS_ABORTED, PSOCK_STATUS_DATA_LOSS, 99};
  char text[24];
  snprintf(text, sizeof text, "why %u", visit->trial->number);
  struct psock_status status = {
      .size = sizeof status,
      .code = codes[model_roll(visit->trial->model, 5)],
      .text = text,
      .details = (const uint8_t *)text,
      .details_length = 4,
  };
  end(visit, call, &status);
}

/* On a connection that is closing it comes too late, and the status says so. */
static void cancel(struct model_visit *visit, psock_call *call) {
  struct model *model = visit->trial->model;
  bool had_ended = psock_call_get_status(call) != NULL;
  model_note(model, "the server cancels call %u", visit->trial->number);
  psock_call_cancel(call);
  const struct psock_status *status = psock_call_get_status(call);
  MODEL_DEMAND(model, status != NULL, "call %u goes on after its cancel",
      visit->trial->number);
  if (had_ended || status->code == PSOCK_STATUS_UNAVAILABLE) {
    too_late(visit);
    return;
  }
  MODEL_COUNT(SERVER_CANCELLED);
  acted(visit, MODEL_ACT_CANCEL, PSOCK_STATUS_CANCELLED);
}

/* Sends one response; returns whether another one may be sent. */
static bool send_one(struct model_visit *visit, psock_call *call) {
  struct model *model = visit->trial->model;
  add_metadata(visit, call);
  int error = psock_call_send(call, model_response(visit->trial, visit->sent));
  model_note(model, "send response %u of call %u: %d", visit->sent,
      visit->trial->number, error);
  switch (error) {
  case 0:
    MODEL_COUNT(RESPONSE_SENT);
    MODEL_DEMAND(model, !visit->ended && visit->act == MODEL_NO_ACT,
        "call %u is answered after its end", visit->trial->number);
    visit->sent++;
    return true;
  case PSOCK_EFULL:
    MODEL_COUNT(RESPONSE_FULL);
    visit->waits = visit->events && !visit->ended;
    return false;
  case PSOCK_ECANCELED:
    too_late(visit);
    return false;
  default:
    MODEL_DEMAND(model, error == PSOCK_ENOMEM && model_has_faulted(model),
        "a response can't be sent: %s", psock_strerror(error));
    return false;
  }
}

/* Sends what it has to, as far as it goes, and then ends. */
static void produce(
    struct model_visit *visit, psock_call *call, unsigned count) {
  while (count > 0 && visit->sent < visit->to_send && send_one(visit, call))
    count--;
  if (count > 0 && visit->sent == visit->to_send && visit->act == MODEL_NO_ACT)
    end(visit, call, NULL);
}

/* ---- What it is told ---- */

/* Of calls without events it is known only when somebody asks that they have
 * ended. */
static bool may_have_ended(const struct model_trial *trial) {
  const struct model *model = trial->model;
  return trial->opened &&
         (trial->deadline <= model_now(model) || model_has_faulted(model) ||
             model->options.max_kept > 0);
}

/* Whether anything that has happened may end a call with this code, which its
 * server has not ended itself. */
static bool may_end(const struct model_visit *visit, uint32_t code) {
  const struct model_trial *trial = visit->trial;
  const struct model *model = trial->model;
  uint64_t limit = model->options.server_timeout;
  switch (code) {
  case PSOCK_STATUS_CANCELLED:
    return trial->cancelled || trial->ended || trial->doubled ||
           visit->host->server == NULL || may_have_ended(trial) ||
           ((trial->line->broken || model_has_faulted(model)) &&
               model_kind_streams_requests(trial->kind));
  case PSOCK_STATUS_DEADLINE_EXCEEDED:
    return (trial->deadline <= model_now(model) && !model->options.own) ||
           (limit > 0 && visit->began + limit <= model_now(model));
  case PSOCK_STATUS_UNAVAILABLE:
    return trial->line->broken || trial->line->closing ||
           visit->host->draining || model_has_faulted(model);
  case PSOCK_STATUS_RESOURCE_EXHAUSTED:
    return model_has_faulted(model) || model->options.max_kept > 0;
  default:
    return false;
  }
}

static void count_end(
    const struct model_visit *visit, const struct psock_status *status) {
  if (visit->act == MODEL_ACT_FAIL)
    MODEL_COUNT(SERVER_BY_HANDLER);
  else if (status->code == PSOCK_STATUS_OK)
    MODEL_COUNT(SERVER_OK);
  else if (status->code == PSOCK_STATUS_DEADLINE_EXCEEDED)
    MODEL_COUNT(SERVER_DEADLINE_EXCEEDED);
  else if (status->code == PSOCK_STATUS_UNAVAILABLE)
    MODEL_COUNT(SERVER_UNAVAILABLE);
  else if (visit->act == MODEL_NO_ACT && status->code == PSOCK_STATUS_CANCELLED)
    MODEL_COUNT(SERVER_BY_CALLER);
}

static void judge(
    struct model_visit *visit, const struct psock_status *status) {
  struct model *model = visit->trial->model;
  uint32_t number = visit->trial->number;
  model_note(model, "call %u ends for its server: %s (%s)", number,
      psock_status_name(status->code), status->text);
  MODEL_DEMAND(
      model, !visit->ended, "call %u ends twice for its server", number);
  if (visit->act != MODEL_NO_ACT)
    MODEL_DEMAND(model, status->code == visit->code,
        "call %u was ended with %u, and has ended with %u", number, visit->code,
        status->code);
  else
    MODEL_DEMAND(model, may_end(visit, status->code),
        "call %u ends for its server with %s (%s), for no reason", number,
        psock_status_name(status->code), status->text);
  count_end(visit, status);
  visit->ended = true;
  remove_acting(visit);
}

/* A callback of a visit begins. */
static struct model_frame enter(
    struct model_visit *visit, psock_call *call, const char *what) {
  bool ends = strcmp(what, "ended") == 0;
  struct model *model = visit->trial->model;
  struct model_frame frame = model_enter(model, visit->host, what);
  model->serving = call;
  MODEL_DEMAND(model, !visit->ended, "%s of call %u comes after its end", what,
      visit->trial->number);
  MODEL_DEMAND(model, visit->act == MODEL_NO_ACT || ends,
      "%s of call %u comes after its server has ended it", what,
      visit->trial->number);
  MODEL_DEMAND(model, visit->call == NULL || visit->call == call,
      "call %u is another one", visit->trial->number);
  return frame;
}

static void on_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  struct model_visit *visit = data;
  struct model *model = visit->trial->model;
  struct model_frame frame = enter(visit, call, "ended");
  const struct psock_status *kept = psock_call_get_status(call);
  MODEL_DEMAND(model, kept != NULL && kept->code == status->code,
      "call %u has ended, and doesn't know", visit->trial->number);
  judge(visit, status);
  if (model_chance(model, 700))
    model_visit_unref(visit);
  model_meddle(model);
  model_leave(model, frame);
}

static void on_room(void *data, psock_call *call) {
  struct model_visit *visit = data;
  struct model *model = visit->trial->model;
  struct model_frame frame = enter(visit, call, "room");
  model_note(model, "call %u has room for its server", visit->trial->number);
  MODEL_DEMAND(model, visit->waits, "call %u is told that there is room",
      visit->trial->number);
  MODEL_COUNT(RESPONSE_ROOM);
  visit->waits = false;
  produce(visit, call, model_roll(model, 10));
  model_meddle(model);
  model_leave(model, frame);
}

static void on_drain(void *data, psock_call *call) {
  struct model_visit *visit = data;
  struct model *model = visit->trial->model;
  struct model_frame frame = enter(visit, call, "drain");
  model_note(model, "call %u is told of a drain", visit->trial->number);
  MODEL_DEMAND(model, visit->host->draining && !visit->drain_told,
      "call %u is told of a drain", visit->trial->number);
  MODEL_COUNT(DRAIN_TOLD);
  visit->drain_told = true;
  model_meddle(model);
  model_leave(model, frame);
}

static void on_requests_ended(void *data, psock_call *call) {
  struct model_visit *visit = data;
  struct model *model = visit->trial->model;
  struct model_trial *trial = visit->trial;
  struct model_frame frame = enter(visit, call, "requests_ended");
  model_note(model, "call %u has got all requests", trial->number);
  MODEL_DEMAND(model, !visit->requests_over && trial->requests_over,
      "the requests of call %u have ended", trial->number);
  MODEL_DEMAND(model, visit->got == trial->sent || trial->doubled,
      "call %u has got %u requests of %u", trial->number, visit->got,
      trial->sent);
  visit->requests_over = true;
  if (model_chance(model, 700)) {
    if (trial->kind == MODEL_UPLOAD)
      reply(visit, call);
    else
      produce(visit, call, model_roll(model, 100));
  }
  model_meddle(model);
  model_leave(model, frame);
}

static void on_request(
    void *data, psock_call *call, const Trial__Text *request) {
  struct model_visit *visit = data;
  struct model *model = visit->trial->model;
  struct model_frame frame = enter(visit, call, "a request");
  model_note(
      model, "call %u gets request %u", visit->trial->number, visit->got);
  MODEL_COUNT(REQUEST);
  MODEL_DEMAND(model, !visit->requests_over && !visit->paused,
      "call %u gets a request too many", visit->trial->number);
  model_check_request(
      visit->trial, visit->got, request->text, request->number, &request->data);
  visit->got++;
  if (visit->trial->kind == MODEL_CHAT && model_chance(model, 500))
    produce(visit, call, 1);
  if (visit->call != NULL && model_chance(model, 100))
    model_visit_pause(visit, true);
  model_meddle(model);
  model_leave(model, frame);
}

#define EVENTS                                                                 \
  {                                                                            \
    .size = sizeof(struct psock_call_events), .ended = on_ended,               \
    .room = on_room, .requests_ended = on_requests_ended, .drain = on_drain    \
  }

static const struct psock_call_events plain_events = EVENTS;
static const struct trial__trial__upload__request_events upload_events = {
    EVENTS, on_request};
static const struct trial__trial__chat__request_events chat_events = {
    EVENTS, on_request};

static void set_events(struct model_visit *visit, psock_call *call) {
  visit->events = true;
  if (visit->trial->kind == MODEL_UPLOAD)
    trial__trial__upload__set_events(call, &upload_events, visit);
  else if (visit->trial->kind == MODEL_CHAT)
    trial__trial__chat__set_events(call, &chat_events, visit);
  else
    psock_call_set_events(call, &plain_events, visit);
}

/* ---- Handlers ---- */

/* Whether it is a stream that may be added to now. */
static bool may_produce(const struct model_visit *visit) {
  return model_kind_streams_responses(visit->trial->kind);
}

static void answer(struct model_visit *visit, psock_call *call) {
  struct model *model = visit->trial->model;
  switch (model_roll(model, 12)) {
  case 0:
  case 1:
    fail_with_text(visit, call);
    break;
  case 2:
    cancel(visit, call);
    break;
  default:
    if (may_produce(visit))
      produce(visit, call, model_roll(model, 100));
    else
      reply(visit, call);
    break;
  }
}

/* Other threads could use it from now on; this one goes on to. */
static void share(struct model_visit *visit, psock_call *call) {
  struct model *model = visit->trial->model;
  int error = psock_call_share(call);
  MODEL_DEMAND(model,
      error == 0 || error == PSOCK_ECANCELED ||
          (error == PSOCK_ENOMEM && model_has_faulted(model)),
      "psock_call_share says %d", error);
  model_counts[MODEL_SHARED] += error == 0;
}

static void hold(struct model_visit *visit, psock_call *call) {
  struct model *model = visit->trial->model;
  int error = psock_call_hold(call);
  MODEL_DEMAND(model,
      error == 0 || (error == PSOCK_EFULL && model->options.max_kept > 0) ||
          (error == PSOCK_ENOMEM && model_has_faulted(model)),
      "psock_call_hold says %d", error);
  visit->held = error == 0;
  model_counts[MODEL_HELD] += error == 0;
}

/* Keeps the call. */
static void keep(struct model_visit *visit, psock_call *call) {
  struct model *model = visit->trial->model;
  if (model->acting_count == sizeof model->acting / sizeof *model->acting) {
    fail_with_text(visit, call);
    return;
  }
  visit->call = psock_call_ref(call);
  model->acting[model->acting_count++] = visit;
  if (model_kind_streams_requests(visit->trial->kind) ||
      model_chance(model, 600))
    set_events(visit, call);
  if (model_chance(model, 150))
    share(visit, call);
  if (model_chance(model, 150))
    hold(visit, call);
  if (may_produce(visit) && model_chance(model, 500))
    produce(visit, call, model_roll(model, 5));
}

static void serve(struct model_host *host, psock_call *call, const char *text) {
  struct model *model = host->model;
  struct model_frame frame = model_enter(model, host, "a handler");
  struct model_trial *trial = find_trial(model, call, text);
  struct model_visit *visit = visit_new(host, call, trial);
  model->serving = call;
  bool streams = model_kind_streams_requests(trial->kind);
  unsigned choice = model_roll(model, 20);
  model_counts[MODEL_SERVED_STREAM] += streams;
  if (choice == 0) {
    model_note(model, "call %u is dropped", trial->number);
    MODEL_COUNT(DROPPED);
    acted(visit, MODEL_ACT_DROP, PSOCK_STATUS_INTERNAL);
  } else if (choice < (streams ? 2 : 10)) {
    answer(visit, call);
    /* A handler that has not come to the end of its stream leaves it. */
    if (visit->act == MODEL_NO_ACT)
      acted(visit, MODEL_ACT_DROP, PSOCK_STATUS_INTERNAL);
  } else {
    keep(visit, call);
  }
  model_meddle(model);
  model_leave(model, frame);
}

static void on_get(void *state, psock_call *call, const Trial__Text *request) {
  struct model_host *host = state;
  struct model_trial *trial = find_trial(host->model, call, request->text);
  model_check_request(trial, 0, request->text, request->number, &request->data);
  serve(host, call, request->text);
}

static void on_stream(void *state, psock_call *call) {
  serve(state, call, NULL);
}

static void on_ask(void *state, psock_call *call, const Trial__Ask *request) {
  struct model_host *host = state;
  struct model_trial *trial = find_trial(host->model, call, request->text);
  model_check_request(trial, 0, request->text, request->count, &request->data);
  serve(host, call, request->text);
}

const struct trial__trial__handlers model_trial_handlers = {
    .size = sizeof(struct trial__trial__handlers),
    .on_get = on_get,
    .on_put = on_get,
    .on_quick = on_get,
    .on_download = on_get,
    .on_upload = on_stream,
    .on_chat = on_stream,
};
const struct trial__ask__call__handlers model_ask_handlers = {
    .size = sizeof(struct trial__ask__call__handlers),
    .on_call = on_ask,
};

int model_authorize(void *data, psock_call *call,
    const struct psock_method *method, struct psock_status *ret_status) {
  struct model *model = data;
  MODEL_DEMAND(model, psock_call_get_method(call) == method,
      "a call has another method");
  MODEL_DEMAND(model, ret_status->code == PSOCK_STATUS_PERMISSION_DENIED,
      "authorize is given the status %u", ret_status->code);
  return model_chance(model, 50);
}

/* ---- Later ---- */

void model_visit_act(struct model_visit *visit) {
  struct model *model = visit->trial->model;
  if (visit->call == NULL || visit->act != MODEL_NO_ACT)
    return;
  if (may_produce(visit) && model_chance(model, 700)) {
    produce(visit, visit->call, model_roll(model, 8));
    return;
  }
  if (!visit->events && model_chance(model, 100)) {
    model_note(model, "call %u is left", visit->trial->number);
    MODEL_COUNT(DROPPED);
    acted(visit, MODEL_ACT_DROP, PSOCK_STATUS_INTERNAL);
    model_visit_unref(visit);
    return;
  }
  answer(visit, visit->call);
}

void model_visit_complete(struct model_visit *visit) {
  if (visit->call == NULL || visit->act != MODEL_NO_ACT)
    return;
  if (may_produce(visit))
    produce(visit, visit->call, 1000);
  else if (visit->trial->kind != MODEL_UPLOAD || visit->requests_over ||
           visit->trial->call == NULL)
    reply(visit, visit->call);
}

void model_visit_pause(struct model_visit *visit, bool paused) {
  if (visit->call == NULL || !visit->events)
    return;
  model_note(visit->trial->model, "%s call %u for its server",
      paused ? "pause" : "resume", visit->trial->number);
  MODEL_COUNT(SERVER_PAUSED);
  visit->paused = paused;
  if (paused)
    psock_call_pause(visit->call);
  else
    psock_call_resume(visit->call);
}

/* The metadata and the status are there for as long as the call. */
static void look_at(struct model_visit *visit) {
  struct model *model = visit->trial->model;
  if (visit->held && !model->options.own)
    MODEL_DEMAND(model, find_trial(model, visit->call, NULL) == visit->trial,
        "call %u has the metadata of another one", visit->trial->number);
  if (visit->ended)
    MODEL_DEMAND(model, psock_call_get_status(visit->call) != NULL,
        "call %u has ended, and doesn't know", visit->trial->number);
}

void model_visit_unref(struct model_visit *visit) {
  psock_call *call = visit->call;
  if (call == NULL)
    return;
  look_at(visit);
  visit->call = NULL;
  remove_acting(visit);
  psock_call_unref(call);
}
