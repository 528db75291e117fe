/* SPDX-License-Identifier: BSD-2-Clause */
#include "model.h"

/*
 * How a world ends: nothing disturbs any longer, nobody rests, everything that
 * was begun is finished, and then there must be nothing left: no call that
 * waits for something, nothing in flight and nothing kept. What was broken
 * comes to its end when time passes. Then all is freed, in some order.
 */

#define ROUNDS 400

static void calm(struct model *model) {
  model->ending = true;
  model_disarm(model);
  for (struct model_line *line = model->all_lines; line != NULL;
       line = line->next)
    if (!line->over)
      relay_calm(&line->relay);
}

/* Everybody reads again, and produces what there is. */
static void go_on(struct model *model) {
  for (unsigned i = model->live_count; i > 0; i--) {
    struct model_trial *trial = model->live[i - 1];
    if (trial->paused)
      model_trial_pause(trial, false);
    if (!trial->opened && !trial->waits)
      model_trial_send(trial, 1000);
  }
  for (unsigned i = model->acting_count; i > 0; i--) {
    struct model_visit *visit = model->acting[i - 1];
    if (visit->paused)
      model_visit_pause(visit, false);
    if (!visit->waits)
      model_visit_complete(visit);
  }
}

/* Takes what has come in calls without events; who sends requests in them has
 * sent them all before. */
static bool receive_some(struct model *model) {
  for (unsigned i = 0; i < model->live_count; i++) {
    struct model_trial *trial = model->live[i];
    if (!trial->opened || trial->call == NULL)
      continue;
    if (!trial->requests_over && model_kind_streams_requests(trial->kind)) {
      model->waiting = trial;
      model_begin_turn(model);
      model_trial_send(trial, 1000);
      model_end_turn(model);
      model->waiting = NULL;
    }
    model_trial_receive(trial);
    return true;
  }
  return false;
}

/* What each call lacks that isn't on a broken line. */
static void demand_quiet(struct model *model) {
  for (unsigned i = 0; i < model->live_count; i++) {
    const struct model_trial *trial = model->live[i];
    MODEL_DEMAND(model, trial->line->broken || model_has_faulted(model),
        "call %u (kind %d) never ends: %u requests sent of %u%s, %u responses",
        trial->number, (int)trial->kind, trial->sent, trial->to_send,
        trial->waits ? ", waits for room" : "", trial->got);
  }
  for (uint32_t i = 0; i < model->trial_count; i++)
    for (const struct model_visit *visit = model->trials[i]->visits;
         visit != NULL; visit = visit->next)
      MODEL_DEMAND(model,
          visit->ended || !visit->events || visit->trial->line->broken ||
              visit->trial->doubled || model_has_faulted(model),
          "call %u (kind %d) never ends for its server: %u responses of %u%s",
          visit->trial->number, (int)visit->trial->kind, visit->sent,
          visit->to_send, visit->waits ? ", waits for room" : "");
}

/* A call that may be made again waits for that, if it was not begun. */
static bool is_retried(const struct model *model) {
  for (unsigned i = 0; i < model->live_count; i++)
    if (model->live[i]->kind == MODEL_GET && model->live[i]->visits == NULL)
      return true;
  return false;
}

static bool all_done(const struct model *model) {
  return model->live_count == 0 && model->acting_count == 0;
}

/* Nothing holds up whoever was told to close, or drain; but what was started
 * twice nobody ends but the connection. */
static void demand_closing(const struct model *model) {
  if (model->doubled || model_has_faulted(model))
    return;
  for (const struct model_line *line = model->all_lines; line != NULL;
       line = line->next)
    MODEL_DEMAND(model, !line->closing || line->closed || line->broken,
        "a caller does not close when its last call has ended");
  for (const struct model_host *host = model->hosts; host != NULL;
       host = host->next) {
    bool broken = false;
    for (const struct model_line *line = model->all_lines; line != NULL;
         line = line->next)
      broken |= line->host == host && line->broken;
    MODEL_DEMAND(model, !host->draining || host->drained || broken,
        "a server is not drained when its last call has ended");
  }
}

static void finish(struct model *model) {
  calm(model);
  for (unsigned round = 0; round < ROUNDS; round++) {
    model_settle(model);
    if (all_done(model))
      break;
    go_on(model);
    if (round > 20)
      receive_some(model);
    if (round > 20 && is_retried(model))
      model_pass(model, 100 * MODEL_MS);
  }
  model_settle(model);
  demand_quiet(model);
  demand_closing(model);
}

/* What was broken has time to be noticed. */
static void wait_for_the_rest(struct model *model) {
  for (unsigned i = 0; i < 6; i++) {
    model_pass(model, 11 * MODEL_SECOND);
    model_settle(model);
    go_on(model);
    while (receive_some(model))
      continue;
  }
}

static void demand_empty_caller(const struct model_line *line) {
  const struct model *model = line->model;
  struct psock_caller_stats stats = {.size = sizeof stats};
  if (line->caller == NULL)
    return;
  psock_caller_get_stats(line->caller, &stats);
  MODEL_DEMAND(model,
      stats.in_flight == 0 && stats.kept == 0 && stats.failed >= line->failed,
      "a caller has %llu in flight, keeps %llu bytes, and has %llu failed",
      (unsigned long long)stats.in_flight, (unsigned long long)stats.kept,
      (unsigned long long)stats.failed);
}

static void demand_empty_host(const struct model_host *host) {
  const struct model *model = host->model;
  struct psock_server_stats stats = {.size = sizeof stats};
  /* What was started twice nobody ends but the connection. */
  if (host->server == NULL || model->doubled)
    return;
  psock_server_get_stats(host->server, &stats);
  MODEL_DEMAND(model,
      stats.in_flight == 0 && stats.kept == 0 && stats.started == stats.ended,
      "a server has started %llu and ended %llu, has %llu in flight, and keeps "
      "%llu bytes",
      (unsigned long long)stats.started, (unsigned long long)stats.ended,
      (unsigned long long)stats.in_flight, (unsigned long long)stats.kept);
}

/* Frees what is left of calls: references, and those that nothing ends. */
static void let_go(struct model *model) {
  for (uint32_t i = 0; i < model->trial_count; i++) {
    struct model_trial *trial = model->trials[i];
    for (struct model_visit *visit = trial->visits; visit != NULL;
         visit = visit->next)
      model_visit_unref(visit);
    trial->paused = false;
    model_trial_unref(trial);
  }
}

static void free_callers(struct model *model) {
  for (struct model_line *line = model->all_lines; line != NULL;
       line = line->next) {
    if (line->clone != NULL)
      psock_caller_free(line->clone);
    line->clone = NULL;
    if (line->caller != NULL)
      model_line_free_caller(line);
  }
}

static void free_hosts(struct model *model) {
  for (struct model_host *host = model->hosts; host != NULL; host = host->next)
    model_host_free(host);
}

/* Whoever was told to close, or drain, has. */
static void demand_closed(struct model *model) {
  for (struct model_line *line = model->all_lines; line != NULL;
       line = line->next)
    MODEL_DEMAND(model, !line->closing || line->closed || line->caller == NULL,
        "a caller never closes");
  for (struct model_host *host = model->hosts; host != NULL; host = host->next)
    MODEL_DEMAND(
        model, !host->draining || host->drained, "a server is never drained");
}

void model_end(struct model *model) {
  finish(model);
  for (struct model_line *line = model->all_lines; line != NULL;
       line = line->next)
    if (line->caller != NULL && model_chance(model, 300))
      model_line_close_caller(line);
  if (model->host != NULL && model_chance(model, 300))
    model_host_drain(model->host);
  wait_for_the_rest(model);
  let_go(model);
  model_settle(model);
  demand_closed(model);
  for (struct model_line *line = model->all_lines; line != NULL;
       line = line->next)
    demand_empty_caller(line);
  for (struct model_host *host = model->hosts; host != NULL; host = host->next)
    demand_empty_host(host);
  if (model_chance(model, 500))
    free_hosts(model);
  free_callers(model);
  free_hosts(model);
  MODEL_DEMAND(model, model->live_count == 0, "%u calls have never ended",
      model->live_count);
  MODEL_DEMAND(model, model->begun[0] == 0 && model->begun[1] == 0,
      "interceptors are not told the end of %llu calls of callers and %llu of "
      "servers",
      (unsigned long long)model->begun[0], (unsigned long long)model->begun[1]);
  let_go(model);
}
