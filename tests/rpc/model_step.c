/* SPDX-License-Identifier: BSD-2-Clause */
#include "model.h"

/*
 * What may happen in one step. Some steps are for the loop's owner alone:
 * turning it, and waiting. All others come inside callbacks too.
 */

/* Any line; NULL where there is none just now. */
static struct model_line *any_line(struct model *model) {
  return model->lines[model_roll(model, MODEL_LINES)];
}

static struct model_trial *any_live(struct model *model) {
  if (model->live_count == 0)
    return NULL;
  return model->live[model_roll(model, model->live_count)];
}

/* One of the last that were started. */
static struct model_trial *any_trial(struct model *model) {
  uint32_t count = model->trial_count < 100 ? model->trial_count : 100;
  if (count == 0)
    return NULL;
  return model->trials[model->trial_count - 1 - model_roll(model, count)];
}

static struct model_visit *any_acting(struct model *model) {
  if (model->acting_count == 0)
    return NULL;
  return model->acting[model_roll(model, model->acting_count)];
}

/* ---- Outside callbacks ---- */

static void turn(struct model *model) {
  model_turn(model, 1 + model_roll(model, 6));
}

static void pass(struct model *model) {
  static const uint64_t times[] = {1, 20 * MODEL_MS, 300 * MODEL_MS,
      300 * MODEL_MS, MODEL_SECOND, 3 * MODEL_SECOND, 15 * MODEL_SECOND};
  uint64_t time = times[model_roll(model, sizeof times / sizeof *times)];
  MODEL_COUNT(TIME_PASSED);
  if (time > MODEL_SECOND && model_chance(model, 700))
    time = MODEL_MS;
  model_pass(model, time);
  if (model_chance(model, 500))
    model_settle(model);
}

static void open(struct model *model) {
  struct model_line *line = any_line(model);
  if (line != NULL)
    model_trial_open(line);
}

static void run(struct model *model) {
  struct model_line *line = any_line(model);
  if (line != NULL)
    model_trial_run(line);
}

static void receive(struct model *model) {
  for (unsigned i = 0; i < model->live_count; i++)
    if (model->live[i]->opened) {
      model_trial_receive(model->live[i]);
      return;
    }
}

/* ---- Calls ---- */

/* Where queues are to be full, much is done at once. */
static bool is_slow(const struct model *model) {
  return model->options.most_kept > 0;
}

static unsigned times(struct model *model) {
  return is_slow(model) ? 1 + model_roll(model, 10) : 1;
}

static void start(struct model *model) {
  struct model_line *line = any_line(model);
  for (unsigned count = times(model); line != NULL && count > 0; count--)
    model_trial_start(line);
}

static void send_requests(struct model *model) {
  struct model_trial *trial = any_live(model);
  /* Sending in one that was opened waits for room. */
  if (trial != NULL && !trial->opened)
    model_trial_send(trial, 1 + model_roll(model, 6));
}

static void cancel(struct model *model) {
  struct model_trial *trial =
      model_chance(model, 900) ? any_live(model) : any_trial(model);
  if (trial != NULL)
    model_trial_cancel(trial);
}

static void pause_or_resume(struct model *model) {
  struct model_trial *trial = any_live(model);
  struct model_visit *visit = any_acting(model);
  if (trial != NULL && (trial->paused || model_chance(model, 300)))
    model_trial_pause(trial, !trial->paused);
  if (visit != NULL && (visit->paused || model_chance(model, 300)))
    model_visit_pause(visit, !visit->paused);
}

static void unref(struct model *model) {
  struct model_trial *trial = any_trial(model);
  if (trial == NULL)
    return;
  for (struct model_visit *visit = trial->visits; visit != NULL;
       visit = visit->next)
    if (visit->ended || visit->act != MODEL_NO_ACT)
      model_visit_unref(visit);
  model_trial_unref(trial);
}

static void act(struct model *model) {
  for (unsigned count = times(model); count > 0; count--) {
    struct model_visit *visit = any_acting(model);
    if (visit != NULL)
      model_visit_act(visit);
  }
}

/* ---- Lines, hosts and memory ---- */

static void hold(struct model *model) {
  struct model_line *line = any_line(model);
  enum relay_end to = model_chance(model, 500) ? RELAY_CALLER : RELAY_SERVER;
  if (line == NULL || line->over)
    return;
  bool held = model_chance(model, is_slow(model) ? 900 : 400);
  model_note(model, "%s line %p towards %d", held ? "hold" : "let go",
      (void *)line, to);
  model_counts[MODEL_LINE_HELD] += held;
  relay_hold(&line->relay, to, held);
}

static void break_line(struct model *model) {
  struct model_line *line = any_line(model);
  if (model->options.breaks && line != NULL)
    model_line_break(line);
}

static void close_caller(struct model *model) {
  struct model_line *line = any_line(model);
  if (line != NULL && line->caller != NULL)
    model_line_close_caller(line);
}

static void free_caller(struct model *model) {
  struct model_line *line = any_line(model);
  if (line == NULL)
    return;
  if (line->caller != NULL && model_chance(model, 700)) {
    model_line_free_caller(line);
  } else if (line->clone != NULL) {
    psock_caller *clone = line->clone;
    line->clone = NULL;
    model_note(model, "free clone of line %p", (void *)line);
    psock_caller_free(clone);
  }
}

static void drain(struct model *model) {
  if (model->options.breaks && model->host != NULL)
    model_host_drain(model->host);
}

static void free_host(struct model *model) {
  if (model->options.breaks && model->host != NULL)
    model_host_free(model->host);
}

static void new_host(struct model *model) {
  if (model->host == NULL || model->host->draining)
    model_host_new(model);
}

/* One of the next allocations fails, or some in a row. */
static void fail_memory(struct model *model) {
  model_disarm(model);
  if (!model->options.faults || model_chance(model, 500))
    return;
  model_note(model, "memory will fail");
  alloc_fault_arm(
      &model->fault, 1 + model_roll(model, 30), model_chance(model, 200));
}

/* ---- Choosing ---- */

/* How often each comes, and whether it may inside callbacks. */
static const struct {
  void (*take)(struct model *model);
  unsigned weight;
  bool inside;
} steps[] = {
    {turn, 200, false},
    {model_settle, 20, false},
    {pass, 30, false},
    {open, 8, true},
    {run, 8, false},
    {receive, 25, false},
    {start, 120, true},
    {send_requests, 40, true},
    {cancel, 15, true},
    {pause_or_resume, 20, true},
    {unref, 15, true},
    {act, 100, true},
    {hold, 8, true},
    {break_line, 4, true},
    {close_caller, 2, true},
    {free_caller, 2, true},
    {drain, 1, true},
    {free_host, 1, true},
    {new_host, 2, true},
    {model_line_new, 10, true},
    {fail_memory, 10, true},
};

#define STEPS (sizeof steps / sizeof *steps)

void model_step(struct model *model, bool inside) {
  unsigned total = 0;
  model->step++;
  for (size_t i = 0; i < STEPS; i++)
    total += !inside || steps[i].inside ? steps[i].weight : 0;
  unsigned roll = model_roll(model, total);
  for (size_t i = 0; i < STEPS; i++) {
    if (inside && !steps[i].inside)
      continue;
    if (roll < steps[i].weight) {
      steps[i].take(model);
      return;
    }
    roll -= steps[i].weight;
  }
}
