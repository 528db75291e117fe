/* SPDX-License-Identifier: BSD-2-Clause */
#include "model.h"

#include "lib/memory.h"
#include <stdlib.h>
#include <string.h>

/*
 * Hosts and lines: servers that come, drain and go, and callers that are
 * connected with them by a relay, which reorders, doubles, cuts and loses what
 * passes, as far as that may happen to calls.
 */

/* ---- Hosts ---- */

static struct psock_connection_options connection_options(
    const struct model *model) {
  return (struct psock_connection_options){
      .size = sizeof(struct psock_connection_options),
      .max_queued = model->options.max_queued,
  };
}

/* The interceptors of this world; there is one world at a time. */
static struct psock_interceptor interceptors[2];

static int server_interceptor_begin(
    void *data, psock_call *call, struct psock_status *ret_status) {
  (void)call;
  (void)ret_status;
  ((struct model *)data)->begun[1]++;
  return 0;
}

static void server_interceptor_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  struct model *model = data;
  (void)call;
  (void)status;
  MODEL_DEMAND(model, model->begun[1] > 0,
      "an interceptor is told of a call that never began");
  model->begun[1]--;
}

static int add_services(struct model_host *host) {
  if (host->model->options.own)
    return psock_server_add(
        host->server, &trial__ask__call__service, &model_ask_handlers, host);
  return psock_server_add(
      host->server, &trial__trial__service, &model_trial_handlers, host);
}

static void init_interceptors(struct model *model) {
  interceptors[0] = model_caller_interceptor;
  interceptors[0].data = model;
  interceptors[1] = (struct psock_interceptor){
      .size = sizeof interceptors[1],
      .begin = server_interceptor_begin,
      .ended = server_interceptor_ended,
      .data = model,
  };
}

void model_host_new(struct model *model) {
  const struct psock_interceptor *list[] = {&interceptors[1]};
  struct psock_connection_options connection = connection_options(model);
  struct psock_server_options options = {
      .size = sizeof options,
      .connection = &connection,
      .max_calls = model->options.server_calls,
      .max_kept = model->options.max_kept,
      .stream_window = model->options.stream_window,
      .timeout = model->options.server_timeout,
      .authorize = model->options.refuses ? model_authorize : NULL,
      .authorize_data = model,
      .interceptors = list,
      .interceptor_count = 1,
  };
  struct model_host *host = calloc(1, sizeof *host);
  MODEL_DEMAND(model, host != NULL, "no memory for the model");
  host->model = model;
  host->drain_at = PSOCK_TIMEOUT_NONE;
  host->next = model->hosts;
  model->hosts = host;
  model->host = host;
  model_disarm(model);
  init_interceptors(model);
  int error = psock_server_new(model->loop, &options, &host->server);
  MODEL_DEMAND(model, error == 0, "psock_server_new says %d", error);
  error = add_services(host);
  MODEL_DEMAND(model, error == 0, "psock_server_add says %d", error);
  model_note(model, "host %p", (void *)host);
}

static void break_lines_of(const struct model_host *host) {
  for (struct model_line *line = host->model->all_lines; line != NULL;
       line = line->next)
    if (line->host == host)
      line->broken = true;
}

void model_host_free(struct model_host *host) {
  struct model *model = host->model;
  psock_server *server = host->server;
  if (server == NULL)
    return;
  model_note(model, "free host %p", (void *)host);
  MODEL_COUNT(SERVER_FREED);
  if (model->depth > 0)
    MODEL_COUNT(SERVER_FREED_INSIDE);
  if (model->host == host)
    model->host = NULL;
  break_lines_of(host);
  host->server = NULL;
  const void *before = model_allow(model, host);
  psock_server_free(server);
  model_allow(model, before);
  MODEL_DEMAND(
      model, !host->draining || host->drained, "`drained` was not called");
}

static void drained(void *data) {
  struct model_host *host = data;
  struct model *model = host->model;
  struct model_frame frame = model_enter(model, host, "drained");
  model_note(model, "host %p is drained", data);
  MODEL_DEMAND(
      model, host->draining && !host->drained, "`drained` is called twice");
  host->drained = true;
  if (model_chance(model, 500))
    model_host_free(host);
  model_leave(model, frame);
}

void model_host_drain(struct model_host *host) {
  struct model *model = host->model;
  model_note(model, "drain host %p", (void *)host);
  int error = psock_server_drain(host->server, drained, host);
  MODEL_DEMAND(model, error == (host->draining ? PSOCK_EINVAL : 0),
      "psock_server_drain says %d", error);
  if (host->draining)
    return;
  MODEL_COUNT(SERVER_DRAINED);
  for (struct model_line *line = model->all_lines; line != NULL;
       line = line->next)
    line->known_before_drain = line->visited;
  host->draining = true;
  host->drain_at = model_now(model);
}

/* ---- Lines ---- */

/* Finds the field with this tag, of the wire type 2, behind `at`. */
static const uint8_t *find_field(
    const uint8_t *at, const uint8_t *end, uint8_t tag, size_t *ret_length) {
  while (at < end) {
    uint8_t here = *at++;
    uint64_t value = 0;
    unsigned shift = 0;
    if ((here & 7) == 5) {
      at += 4;
      continue;
    }
    do {
      value |= (uint64_t)(*at & 0x7f) << shift;
      shift += 7;
    } while (*at++ >= 0x80);
    if (here == tag) {
      *ret_length = (size_t)value;
      return at;
    }
    if ((here & 7) == 2)
      at += value;
  }
  return NULL;
}

/* The trial that a start belongs to: its text says so over own messages (field
 * 3), else the value of its metadata (field 2 in field 7). */
static struct model_trial *trial_of(
    struct model *model, const struct relay_frame *frame) {
  const uint8_t *at = frame->bytes;
  const uint8_t *end = frame->bytes + frame->length;
  size_t length = 0;
  while (*at++ >= 0x80)
    continue;
  bool own = model->options.own;
  at = find_field(at, end, own ? 3 << 3 | 2 : 7 << 3 | 2, &length);
  MODEL_DEMAND(model, at != NULL, "a start says nothing");
  if (own)
    return model_find(model, (const char *)at + 1, length - 1);
  at = find_field(at, at + length, 2 << 3 | 2, &length);
  MODEL_DEMAND(model, at != NULL, "a start has metadata without a value");
  return model_find(model, (const char *)at, length);
}

static struct model_id *find_id(struct model_line *line, uint64_t id) {
  for (size_t i = line->id_count; i > 0; i--)
    if (line->ids[i - 1].id == id)
      return &line->ids[i - 1];
  return NULL;
}

static void start_passed(
    struct model_line *line, const struct relay_frame *frame) {
  struct model *model = line->model;
  struct model_trial *trial = trial_of(model, frame);
  if (frame->copy) {
    trial->doubled = true;
    model->doubled = true;
    MODEL_COUNT(START_DOUBLED);
    return;
  }
  MODEL_DEMAND(model, frame->id != 0 && find_id(line, frame->id) == NULL,
      "the id %llu is used twice", (unsigned long long)frame->id);
  if (line->id_count % 64 == 0)
    line->ids = realloc(line->ids, (line->id_count + 64) * sizeof *line->ids);
  MODEL_DEMAND(model, line->ids != NULL, "no memory for the model");
  line->ids[line->id_count++] = (struct model_id){
      .id = frame->id,
      .single = !model_kind_streams_responses(trial->kind),
      .streams = model_kind_streams_requests(trial->kind),
  };
}

static void frame_passed(
    void *data, enum relay_end to, const struct relay_frame *frame) {
  struct model_line *line = data;
  model_note(line->model, "-- line %p, to the %s: id %llu, code %u%s", data,
      to == RELAY_CALLER ? "caller" : "server", (unsigned long long)frame->id,
      frame->code, frame->copy ? ", again" : "");
  if (to == RELAY_SERVER && frame->code == 0 && frame->id != 0)
    start_passed(line, frame);
  if (to == RELAY_CALLER && frame->id == 0 && frame->code == 19)
    line->goaway_passed = true;
}

/* What ends a call may come twice, and so may what is about the connection, but
 * for a GOAWAY, which says that nothing follows it. A start only where that is
 * looked for; one whose requests come behind it is left alone, as they might
 * be taken for those of the second one. */
static bool may_double(
    void *data, enum relay_end to, const struct relay_frame *frame) {
  struct model_line *line = data;
  const struct model_id *id = find_id(line, frame->id);
  if (frame->id == 0)
    return frame->code >= 16 && frame->code <= 18;
  if (frame->code == 1 || frame->code == 2)
    return to == RELAY_CALLER || frame->code == 1;
  if (frame->code != 0 || id == NULL)
    return false;
  return to == RELAY_CALLER
             ? id->single
             : line->model->options.double_starts && !id->streams;
}

static struct relay_options relay_options(struct model_line *line) {
  const struct model_options *options = &line->model->options;
  return (struct relay_options){
      .seed = next_random(&line->model->state),
      .capacity = options->capacity,
      .most_kept = options->most_kept,
      .rests = options->rests,
      .reorders = options->reorders,
      .doubles = options->doubles,
      .most_sent = options->most_sent,
      .may_double = may_double,
      .passed = frame_passed,
      .data = line,
  };
}

static void count_relay(const struct relay *relay) {
  model_counts[MODEL_FRAME_REORDERED] += relay->reordered;
  model_counts[MODEL_FRAME_DOUBLED] += relay->doubled;
  model_counts[MODEL_FRAME_CUT] += relay->cut;
}

void model_line_end_relay(struct model_line *line) {
  if (line->over)
    return;
  line->over = true;
  line->broken = true;
  count_relay(&line->relay);
  relay_free(&line->relay);
}

static void make_caller(struct model_line *line) {
  struct model *model = line->model;
  const struct psock_interceptor *list[] = {&interceptors[0]};
  struct psock_connection_options connection = connection_options(model);
  struct psock_caller_options options = {
      .size = sizeof options,
      .messages = model->options.own ? &trial__ask__call__service : NULL,
      .connection = &connection,
      .max_calls = model->options.caller_calls,
      .max_kept = model->options.max_kept,
      .stream_window = model->options.stream_window,
      .timeout = model->options.caller_timeout,
      .interceptors = list,
      .interceptor_count = 1,
  };
  int error = psock_caller_new(model->loop,
      relay_take(&line->relay, RELAY_CALLER), &options, &line->caller);
  MODEL_DEMAND(model, error == 0, "psock_caller_new says %d", error);
  if (model_chance(model, 300)) {
    error = psock_caller_clone(line->caller, &line->clone);
    MODEL_DEMAND(model, error == 0, "psock_caller_clone says %d", error);
  }
}

/* A place for another line: a free one, or that of one that is done with. */
static struct model_line **place_of(struct model *model) {
  for (unsigned i = 0; i < MODEL_LINES; i++) {
    struct model_line *line = model->lines[i];
    if (line != NULL && (line->caller != NULL || line->clone != NULL))
      continue;
    if (line != NULL)
      model_line_end_relay(line);
    model->lines[i] = NULL;
    return &model->lines[i];
  }
  return NULL;
}

void model_line_new(struct model *model) {
  struct model_line **place = place_of(model);
  struct model_host *host = model->host;
  if (place == NULL || host == NULL || host->draining)
    return;
  struct model_line *line = calloc(1, sizeof *line);
  MODEL_DEMAND(model, line != NULL, "no memory for the model");
  *place = line;
  line->model = model;
  line->host = host;
  line->next = model->all_lines;
  model->all_lines = line;
  model_disarm(model);
  struct relay_options options = relay_options(line);
  int error = relay_new(&line->relay, model->loop, &options);
  MODEL_DEMAND(model, error == 0, "relay_new says %d", error);
  error =
      psock_server_accept(host->server, relay_take(&line->relay, RELAY_SERVER));
  MODEL_DEMAND(model, error == 0, "psock_server_accept says %d", error);
  make_caller(line);
  if (model_chance(model, 100))
    relay_hold(&line->relay, RELAY_CALLER, true);
  model_note(model, "line %p to host %p", (void *)line, (void *)host);
  MODEL_COUNT(LINE_MADE);
}

void model_line_break(struct model_line *line) {
  struct model *model = line->model;
  enum relay_end to = model_chance(model, 500) ? RELAY_CALLER : RELAY_SERVER;
  if (line->over)
    return;
  line->broken = true;
  switch (model_roll(model, 3)) {
  case 0:
    model_note(model, "shut line %p towards %d", (void *)line, to);
    MODEL_COUNT(LINE_SHUT);
    relay_shut(&line->relay, to);
    break;
  case 1:
    model_note(model, "drop line %p", (void *)line);
    MODEL_COUNT(LINE_DROPPED);
    relay_drop(&line->relay, false);
    break;
  default:
    model_note(model, "tear line %p", (void *)line);
    MODEL_COUNT(LINE_TORN);
    relay_drop(&line->relay, true);
    break;
  }
}

void model_line_free_caller(struct model_line *line) {
  struct model *model = line->model;
  psock_caller *caller = line->caller;
  model_note(model, "free caller of line %p", (void *)line);
  MODEL_COUNT(CALLER_FREED);
  if (model->depth > 0)
    MODEL_COUNT(CALLER_FREED_INSIDE);
  line->caller = NULL;
  line->broken = true;
  const void *before = model_allow(model, line);
  psock_caller_free(caller);
  model_allow(model, before);
  MODEL_DEMAND(model, !line->closing || line->closed,
      "`closed` of a caller was not called");
  for (unsigned i = 0; i < model->live_count; i++)
    MODEL_DEMAND(model, model->live[i]->line != line || model->live[i]->opened,
        "call %u has not ended with its caller", model->live[i]->number);
}

static void caller_closed(void *data) {
  struct model_line *line = data;
  struct model *model = line->model;
  struct model_frame frame = model_enter(model, line, "closed");
  model_note(model, "caller of line %p has closed", data);
  MODEL_DEMAND(model, line->closing && !line->closed,
      "`closed` of a caller is called twice");
  line->closed = true;
  for (unsigned i = 0; i < model->live_count; i++)
    MODEL_DEMAND(model, model->live[i]->line != line || model->live[i]->opened,
        "a caller has closed before call %u ended", model->live[i]->number);
  if (line->caller != NULL && model_chance(model, 500))
    model_line_free_caller(line);
  model_leave(model, frame);
}

void model_line_close_caller(struct model_line *line) {
  struct model *model = line->model;
  model_note(model, "close caller of line %p", (void *)line);
  int error = psock_caller_close(line->caller, caller_closed, line);
  MODEL_DEMAND(model, error == (line->closing ? PSOCK_EINVAL : 0),
      "psock_caller_close says %d", error);
  if (!line->closing)
    MODEL_COUNT(CALLER_CLOSED);
  line->closing = true;
}
