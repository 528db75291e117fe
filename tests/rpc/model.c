/* SPDX-License-Identifier: BSD-2-Clause */
#include "model.h"

#include "lib/memory.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A world and what it is made of: options that are drawn once, a loop with
 * memory that can fail, hosts, lines, and messages of which each byte is
 * foreseen. Trials, visits, lines and hosts are the model's own memory, and
 * stay until the world ends, so that whoever calls back late is caught and
 * doesn't crash.
 */

uint64_t model_counts[MODEL_COUNT_TOTAL];
const char *const model_count_names[MODEL_COUNT_TOTAL] = {
#define MODEL_COUNT_NAME(name) #name,
    MODEL_COUNTS(MODEL_COUNT_NAME)
#undef MODEL_COUNT_NAME
};

/* Turns after which a loop that isn't quiet never will be. */
#define MOST_TURNS 100000

/* ---- Saying and drawing ---- */

void model_fail(const struct model *model, const char *format, ...) {
  char text[400];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  ck_abort_msg("MODEL_SEED=%llu MODEL_STEPS=1 (step %u, at %llu ns): %s",
      (unsigned long long)model->seed, model->step,
      (unsigned long long)model_now(model), text);
  abort();
}

void model_note(const struct model *model, const char *format, ...) {
  static int traces = -1;
  va_list arguments;
  if (traces < 0)
    traces = getenv("MODEL_TRACE") != NULL;
  if (!traces)
    return;
  fprintf(stderr, "%5u %*s", model->step, (int)(2 * model->depth), "");
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
}

unsigned model_roll(struct model *model, unsigned limit) {
  return (unsigned)random_below(&model->state, limit);
}

bool model_chance(struct model *model, unsigned of_thousand) {
  return model_roll(model, 1000) < of_thousand;
}

uint64_t model_now(const struct model *model) {
  return psock_loop_now(model->loop);
}

/* ---- Turning, and being called back ---- */

const void *model_allow(struct model *model, const void *who) {
  const void *before = model->may_call;
  model->may_call = who;
  return before;
}

static void look_at_memory(struct model *model) {
  if (atomic_load(&model->fault.refused) == 0 || model->faulted)
    return;
  model_note(model, "memory has failed");
  MODEL_COUNT(MEMORY_FAILED);
  model->faulted = true;
}

void model_disarm(struct model *model) {
  look_at_memory(model);
  alloc_fault_disarm(&model->fault);
}

void model_begin_turn(struct model *model) {
  model->may_call = model;
  model->turning++;
}

void model_end_turn(struct model *model) {
  model->may_call = NULL;
  model->turning--;
  look_at_memory(model);
}

void model_turn(struct model *model, unsigned turns) {
  model_begin_turn(model);
  while (turns-- > 0)
    if (psock_test_loop_turn(model->loop) == 0)
      break;
  model_end_turn(model);
}

/* What is due at the clock's time has ended; but whoever rests may have an end
 * before that coming, behind what it has not read. */
static void check_deadlines(struct model *model) {
  for (unsigned i = 0; i < model->live_count; i++) {
    const struct model_trial *trial = model->live[i];
    MODEL_DEMAND(model,
        trial->opened || trial->paused || trial->deadline > model_now(model),
        "call %u outlives its deadline", trial->number);
  }
}

/* Whether the caller counts as the model does. */
static void check_caller(const struct model_line *line) {
  const struct model *model = line->model;
  struct psock_caller_stats stats = {.size = sizeof stats};
  if (line->caller == NULL)
    return;
  psock_caller_get_stats(line->caller, &stats);
  uint64_t in_flight = line->started - line->ended;
  MODEL_DEMAND(model, stats.started == line->started,
      "the caller counts %llu started, not %llu",
      (unsigned long long)stats.started, (unsigned long long)line->started);
  MODEL_DEMAND(model, stats.refused == line->refused,
      "the caller counts %llu refused, not %llu",
      (unsigned long long)stats.refused, (unsigned long long)line->refused);
  MODEL_DEMAND(model, stats.started == stats.ended + stats.in_flight,
      "the caller has started %llu, ended %llu, and has %llu in flight",
      (unsigned long long)stats.started, (unsigned long long)stats.ended,
      (unsigned long long)stats.in_flight);
  /* Of calls without events the model learns later that they have ended. */
  MODEL_DEMAND(model,
      stats.in_flight <= in_flight && stats.failed >= line->failed,
      "the caller has %llu in flight, not %llu; %llu have failed, not %llu",
      (unsigned long long)stats.in_flight, (unsigned long long)in_flight,
      (unsigned long long)stats.failed, (unsigned long long)line->failed);
}

void model_settle(struct model *model) {
  model_begin_turn(model);
  int quiet = psock_test_loop_settle(model->loop, MOST_TURNS);
  model_end_turn(model);
  MODEL_DEMAND(model, quiet == 1, "the loop never comes to rest");
  model->unsettled = 0;
  check_deadlines(model);
  for (const struct model_line *line = model->all_lines; line != NULL;
       line = line->next)
    check_caller(line);
}

/* Whether something can't pass. */
static bool is_held(const struct model_line *line) {
  return !line->over && (line->relay.ways[RELAY_CALLER].held ||
                            line->relay.ways[RELAY_SERVER].held);
}

/* Whether the host's time for draining is over, in so much time. */
static bool drain_ends(const struct model_host *host, uint64_t time) {
  return host->draining &&
         host->drain_at + 10 * MODEL_SECOND <= model_now(host->model) + time;
}

void model_expect(struct model *model, uint64_t time) {
  /* Pings, and closing, have 10 s. */
  for (struct model_line *line = model->all_lines; line != NULL;
       line = line->next)
    if (is_held(line) || model->unsettled + time >= 10 * MODEL_SECOND ||
        drain_ends(line->host, time))
      line->broken = true;
}

void model_pass(struct model *model, uint64_t time) {
  model_note(model, "%llu ms pass", (unsigned long long)(time / MODEL_MS));
  model_expect(model, time);
  model->unsettled += time;
  psock_test_loop_advance(model->loop, time);
}

struct model_frame model_enter(
    struct model *model, const void *who, const char *what) {
  struct model_frame frame = {model->may_call, model->serving};
  MODEL_DEMAND(model, model->may_call == model || model->may_call == who,
      "%s is called from inside a function", what);
  model->may_call = NULL;
  model->depth++;
  return frame;
}

void model_leave(struct model *model, struct model_frame frame) {
  model->may_call = frame.may_call;
  model->serving = frame.serving;
  model->depth--;
}

void model_meddle(struct model *model) {
  if (model->depth < 3 && !model->ending && model_chance(model, 80))
    model_step(model, true);
}

/* ---- Messages ---- */

#define MOST_DATA 8192

/* Each byte one more than that before it. */
static uint8_t data_bytes[256 + MOST_DATA];

/* What a message with this number in this direction holds. */
static uint64_t hash_of(uint32_t number, uint32_t sequence, char direction) {
  uint64_t state =
      ((uint64_t)number << 32 | sequence) * 256 + (uint8_t)direction;
  return next_random(&state);
}

static size_t length_of(const struct model *model, uint64_t hash) {
  size_t most = hash % 8 == 0 ? model->options.most_data : 40;
  return (size_t)(hash >> 8) % (most + 1);
}

/* Every second message is without data, as many are. */
static ProtobufCBinaryData data_of(const struct model *model, uint32_t number,
    uint32_t sequence, char direction) {
  uint64_t hash = hash_of(number, sequence, direction);
  size_t length = hash % 2 == 0 ? length_of(model, hash) : 0;
  return (ProtobufCBinaryData){.len = length, .data = data_bytes + hash % 256};
}

const void *model_request(struct model_trial *trial, uint32_t sequence) {
  ProtobufCBinaryData data =
      data_of(trial->model, trial->number, sequence, 'q');
  snprintf(trial->name, sizeof trial->name, "q%u", trial->number);
  if (trial->model->options.own) {
    trial__ask__init(&trial->ask);
    trial->ask.text = trial->name;
    trial->ask.count = sequence;
    trial->ask.data = data;
    return &trial->ask;
  }
  trial__text__init(&trial->text);
  trial->text.text = trial->name;
  trial->text.number = sequence;
  trial->text.data = data;
  return &trial->text;
}

const void *model_response(struct model_trial *trial, uint32_t sequence) {
  static Trial__Text text;
  static Trial__Answer answer;
  static char name[16];
  ProtobufCBinaryData data =
      data_of(trial->model, trial->number, sequence, 'r');
  snprintf(name, sizeof name, "r%u", trial->number);
  if (trial->model->options.own) {
    trial__answer__init(&answer);
    answer.text = name;
    answer.number = sequence;
    answer.data = data;
    return &answer;
  }
  trial__text__init(&text);
  text.text = name;
  text.number = sequence;
  text.data = data;
  return &text;
}

static void check_message(struct model_trial *trial, uint32_t sequence,
    char direction, const char *text, uint32_t number,
    const ProtobufCBinaryData *data) {
  struct model *model = trial->model;
  char name[16];
  ProtobufCBinaryData expected =
      data_of(model, trial->number, sequence, direction);
  snprintf(name, sizeof name, "%c%u", direction, trial->number);
  MODEL_DEMAND(model, strcmp(text, name) == 0, "call %u gets a message of %s",
      trial->number, text);
  MODEL_DEMAND(model, number == sequence,
      "call %u (%c) gets message %u instead of %u", trial->number, direction,
      number, sequence);
  MODEL_DEMAND(model,
      data->len == expected.len &&
          (data->len == 0 || memcmp(data->data, expected.data, data->len) == 0),
      "message %u of call %u (%c) is damaged", sequence, trial->number,
      direction);
}

void model_check_request(struct model_trial *trial, uint32_t sequence,
    const char *text, uint32_t number, const ProtobufCBinaryData *data) {
  check_message(trial, sequence, 'q', text, number, data);
}

void model_check_response(
    struct model_trial *trial, uint32_t sequence, const void *message) {
  if (trial->model->options.own) {
    const Trial__Answer *answer = message;
    check_message(
        trial, sequence, 'r', answer->text, answer->number, &answer->data);
  } else {
    const Trial__Text *text = message;
    check_message(trial, sequence, 'r', text->text, text->number, &text->data);
  }
}

struct model_trial *model_find(
    struct model *model, const char *digits, size_t length) {
  uint32_t number = 0;
  for (size_t i = 0; i < length; i++) {
    MODEL_DEMAND(model, digits[i] >= '0' && digits[i] <= '9',
        "a call without a number has come");
    number = number * 10 + (uint32_t)(digits[i] - '0');
  }
  MODEL_DEMAND(model, length > 0 && number < model->trial_count,
      "call %u has come, but was never started", number);
  return model->trials[number];
}

/* ---- Worlds ---- */

static unsigned pick(
    struct model *model, const unsigned *choices, unsigned count) {
  return choices[model_roll(model, count)];
}

#define PICK(model, ...)                                                       \
  pick(model, (const unsigned[]){__VA_ARGS__},                                 \
      sizeof((unsigned[]){__VA_ARGS__}) / sizeof(unsigned))

static void draw_options(struct model *model) {
  struct model_options *options = &model->options;
  *options = (struct model_options){
      .own = model_chance(model, 250),
      .double_starts = model_chance(model, 100),
      .refuses = model_chance(model, 200),
      .faults = model_chance(model, 200),
      .breaks = model_chance(model, 500),
      .capacity = PICK(model, 64, 1000, 4096, 65536),
      .most_data = PICK(model, 100, 1500, 6000),
      .most_sent = PICK(model, 0, 0, 20, 500, 4000),
      .rests = PICK(model, 0, 100, 700),
      .reorders = PICK(model, 0, 300, 900),
      .doubles = PICK(model, 0, 0, 200),
      .caller_calls = PICK(model, 0, 0, 0, 3, 10),
      .server_calls = PICK(model, 0, 0, 0, 3, 10),
      .stream_window = PICK(model, 0, 0, 1, 300, 3000, 20000),
      .max_queued = PICK(model, 0, 0, 0, 20000),
      .max_kept = PICK(model, 0, 0, 0, 10000),
      .caller_timeout = PICK(model, 0, 0, 2) * MODEL_SECOND,
      .server_timeout = PICK(model, 0, 0, 0, 3) * MODEL_SECOND,
  };
  /* Now and then a line that is so slow that queues are always full, of
   * messages that fit in them. */
  if (!model_chance(model, 100))
    return;
  options->capacity = 64;
  options->most_kept = 200;
  options->most_data = 100;
  options->most_sent = 20;
  options->max_queued = 400;
}

static void note_options(const struct model *model) {
  const struct model_options *options = &model->options;
  model_note(model,
      "own %d, double starts %d, refuses %d, faults %d, breaks %d, capacity "
      "%zu, data %zu, sent %zu, calls %u %u, window %zu, queue %zu, kept %zu",
      options->own, options->double_starts, options->refuses, options->faults,
      options->breaks, options->capacity, options->most_data,
      options->most_sent, options->caller_calls, options->server_calls,
      options->stream_window, options->max_queued, options->max_kept);
}

struct model *model_new(uint64_t seed) {
  struct model *model = calloc(1, sizeof *model);
  ck_assert_ptr_nonnull(model);
  model->seed = seed;
  model->state = seed;
  for (size_t i = 0; i < sizeof data_bytes; i++)
    data_bytes[i] = (uint8_t)i;
  draw_options(model);
  alloc_fault_init(&model->fault);
  struct psock_loop_options options = {
      .size = sizeof options, .allocator = &model->fault.allocator};
  ck_assert_int_eq(psock_test_loop_new(&options, &model->loop), 0);
  note_options(model);
  model_host_new(model);
  model_line_new(model);
  return model;
}

static void free_trials(struct model *model) {
  for (uint32_t i = 0; i < model->trial_count; i++) {
    struct model_trial *trial = model->trials[i];
    while (trial->visits != NULL) {
      struct model_visit *visit = trial->visits;
      trial->visits = visit->next;
      free(visit);
    }
    free(trial);
  }
  free(model->trials);
}

void model_free(struct model *model) {
  while (model->all_lines != NULL) {
    struct model_line *line = model->all_lines;
    model->all_lines = line->next;
    model_line_end_relay(line);
    free(line->ids);
    free(line);
  }
  while (model->hosts != NULL) {
    struct model_host *host = model->hosts;
    model->hosts = host->next;
    free(host);
  }
  psock_loop_free(model->loop);
  free_trials(model);
  const char *complaint = alloc_fault_complaint(&model->fault);
  ck_assert_msg(complaint == NULL, "MODEL_SEED=%llu MODEL_STEPS=1: %s",
      (unsigned long long)model->seed, complaint);
  free(model);
}
