/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/callers.h"

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/*
 * Clones on many threads, while their connections end, are told to go away, or
 * work: every call that was started ends exactly once, whoever waits is woken,
 * and nothing is left. What the threads do is drawn from a seed; when it
 * happens is up to the machine, so this is for sanitizers, too.
 */

#define THREADS 8
#define TIMEOUT (20 * SECOND)

static struct callers callers;
static struct ev_loop *ev;
static psock_timer *timer;
static psock_caller *shared; /* by some of the threads */
static atomic_uint started;
static atomic_uint ended;
static atomic_uint begun;
static atomic_uint over;
static atomic_uint running; /* threads that are at work */
static atomic_bool ready;   /* the loop runs */
static unsigned ticks;
static unsigned
    breaks; /* every so many ticks a connection is broken; 0: none */
static bool frees_early; /* the caller goes while threads are at work */
static int rounds;

struct worker {
  pthread_t thread;
  psock_caller *caller;
  uint64_t state;
  bool owns;
};

static uint64_t draw(uint64_t *state) {
  uint64_t value = *state += UINT64_C(0x9e3779b97f4a7c15);
  value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
  return value ^ (value >> 31);
}

/* ---- On the loop's thread ---- */

static void serve(struct callers_end *end, const struct callers_got *got) {
  if (got->code == PSOCK_CODE_MESSAGE) {
    callers_window(end, got->id, got->length);
  } else if (got->code == PSOCK_CODE_END) {
    callers_reply(end, got->id, "thanks", 1);
  } else if (got->code == PSOCK_CODE_NORMAL &&
             got->method == trial__trial__download__method.number) {
    for (uint32_t i = 0; i < 3; i++)
      callers_reply(end, got->id, got->text, i);
    callers_code(end, got->id, PSOCK_CODE_END);
  } else if (got->code == PSOCK_CODE_NORMAL &&
             got->method != trial__trial__upload__method.number) {
    callers_reply(end, got->id, got->text, got->number);
  }
}

static void break_something(void) {
  struct callers_end *end = callers_end(&callers);
  if (end->connection == NULL || callers.end_count + 4 > CALLERS_ENDS)
    return;
  if (ticks / breaks % 3 == 0)
    callers_code(end, 0, PSOCK_CODE_GOAWAY);
  else if (ticks / breaks % 3 == 1)
    psock_connection_close(end->connection);
  else
    psock_connection_free(end->connection);
}

static void on_closed(void *data) {
  (void)data;
  ev_break(ev, EVBREAK_ALL);
}

static void tick(void *data) {
  (void)data;
  ticks++;
  atomic_store(&ready, true);
  if (frees_early && ticks == 20)
    callers_free_caller(&callers);
  if (callers.caller != NULL && breaks > 0 && ticks % breaks == 0)
    break_something();
  if (atomic_load(&running) > 0) {
    psock_timer_start(timer, MILLISECOND);
    return;
  }
  if (callers.caller == NULL)
    ev_break(ev, EVBREAK_ALL);
  else
    ck_assert_int_eq(psock_caller_close(callers.caller, on_closed, NULL), 0);
}

static void *run_loop(void *data) {
  (void)data;
  psock_timer_start(timer, MILLISECOND);
  ev_run(ev, 0);
  return NULL;
}

static void on_ended(
    void *data, psock_call *call, const struct psock_status *status) {
  (void)data;
  (void)call;
  (void)status;
  atomic_fetch_add(&ended, 1);
}

static int intercept(
    void *data, psock_call *call, struct psock_status *ret_status) {
  (void)data;
  (void)call;
  (void)ret_status;
  atomic_fetch_add(&begun, 1);
  return 0;
}

static void intercepted(
    void *data, psock_call *call, const struct psock_status *status) {
  (void)data;
  (void)call;
  (void)status;
  atomic_fetch_add(&over, 1);
}

/* ---- On the others ---- */

static const struct psock_call_options in_time = {
    .size = sizeof in_time, .timeout = TIMEOUT};

static const struct psock_method *method_of(struct worker *worker) {
  if (callers.own)
    return callers_get(&callers);
  return draw(&worker->state) % 2 ? &trial__trial__get__method
                                  : &trial__trial__put__method;
}

static void check_start(int error) {
  DEMAND(error == 0 || error == PSOCK_EFULL ||
             (error == PSOCK_ECLOSED && frees_early),
      "a start returns %s", psock_errname(error));
}

static void start_one(struct worker *worker) {
  static const struct trial__trial__get__events get = {
      {.size = sizeof(struct psock_call_events), .ended = on_ended}, NULL};
  static const struct trial__ask__call__events ask = {
      {.size = sizeof(struct psock_call_events), .ended = on_ended}, NULL};
  const struct psock_method *method =
      callers.own ? callers_get(&callers) : &trial__trial__get__method;
  bool keeps = draw(&worker->state) % 2;
  psock_call *call = NULL;
  int error = psock_caller_start(worker->caller, method,
      callers_request(method, "text"), &in_time,
      callers.own ? &ask.events : &get.events, NULL, keeps ? &call : NULL);
  check_start(error);
  if (error != 0)
    return;
  atomic_fetch_add(&started, 1);
  if (!keeps)
    return;
  if (draw(&worker->state) % 2)
    psock_call_cancel(call);
  (void)psock_call_get_status(call);
  psock_call_unref(call);
}

static void run_one(struct worker *worker) {
  const struct psock_method *method = method_of(worker);
  const void *response = NULL;
  psock_call *call;
  int error = psock_caller_run(worker->caller, method,
      callers_request(method, "text"), &in_time, &response, &call);
  if (error < 0) {
    check_start(error);
    return;
  }
  const char *text = "text";
  if (error == 0)
    text = callers.own ? ((const Trial__Answer *)response)->text
                       : ((const Trial__Text *)response)->text;
  DEMAND(strcmp(text, "text") == 0, "another text");
  DEMAND((int)psock_call_get_status(call)->code == error, "another status");
  psock_call_unref(call);
}

static void read_one(struct worker *worker) {
  const struct psock_method *method = &trial__trial__download__method;
  psock_call *call;
  const void *message;
  uint64_t most = draw(&worker->state) % 5;
  int error = psock_caller_open(
      worker->caller, method, callers_request(method, "text"), &in_time, &call);
  check_start(error);
  if (error != 0)
    return;
  for (uint32_t i = 0; i < most; i++) {
    if (psock_call_receive(call, &message) == 0)
      break;
    DEMAND(((const Trial__Text *)message)->number == i, "another item");
  }
  psock_call_unref(call);
}

static void write_one(struct worker *worker) {
  const struct psock_method *method = &trial__trial__upload__method;
  psock_call *call;
  const void *message;
  int error = psock_caller_open(worker->caller, method, NULL, &in_time, &call);
  check_start(error);
  if (error != 0)
    return;
  uint64_t most = draw(&worker->state) % 8;
  error = 0;
  for (uint64_t i = 0; i < most && error == 0; i++)
    error = psock_call_send(call, callers_request(method, "0123456789"));
  DEMAND(error == 0 || error == PSOCK_ECANCELED, "sending: %s",
      psock_errname(error));
  if (draw(&worker->state) % 4 > 0) {
    (void)!psock_call_end(call, NULL);
    while (psock_call_receive(call, &message) > 0)
      continue;
    DEMAND(psock_call_get_status(call) != NULL, "it has not ended");
  }
  psock_call_unref(call);
}

static void clone_one(struct worker *worker) {
  psock_caller *copy;
  if (!worker->owns || psock_caller_clone(worker->caller, &copy) != 0)
    return;
  psock_caller_free(worker->caller);
  worker->caller = copy;
}

static void *work(void *data) {
  struct worker *worker = data;
  while (!atomic_load(&ready))
    sched_yield();
  for (int i = 0; i < rounds; i++) {
    uint64_t what = draw(&worker->state) % 16;
    if (what < 5)
      start_one(worker);
    else if (what < 10 || callers.own)
      run_one(worker);
    else if (what < 12)
      read_one(worker);
    else if (what < 15)
      write_one(worker);
    else
      clone_one(worker);
  }
  if (worker->owns)
    psock_caller_free(worker->caller);
  atomic_fetch_sub(&running, 1);
  return NULL;
}

/* ---- The test ---- */

static void open_all(bool own) {
  static const struct psock_interceptor interceptor = {
      .size = sizeof interceptor, .begin = intercept, .ended = intercepted};
  const struct psock_interceptor *const list[] = {&interceptor};
  ev = ev_loop_new(EVFLAG_AUTO);
  ck_assert_ptr_nonnull(ev);
  callers_init_ev(&callers, own, ev);
  callers.connects = true;
  callers.forgetful = true;
  callers.on_got = serve;
  callers.window = 30;
  callers.options.interceptors = list;
  callers.options.interceptor_count = 1;
  ck_assert_int_eq(callers_try(&callers), 0);
  ck_assert_int_eq(psock_timer_new(callers.loop, tick, NULL, &timer), 0);
  ck_assert_int_eq(psock_caller_clone(callers.caller, &shared), 0);
}

static void run_all(void) {
  static struct worker workers[THREADS];
  pthread_t loop;
  atomic_store(&running, THREADS);
  ck_assert_int_eq(pthread_create(&loop, NULL, run_loop, NULL), 0);
  for (unsigned i = 0; i < THREADS; i++) {
    workers[i] =
        (struct worker){.caller = shared, .state = i, .owns = i % 4 != 0};
    if (workers[i].owns)
      ck_assert_int_eq(psock_caller_clone(shared, &workers[i].caller), 0);
  }
  for (unsigned i = 0; i < THREADS; i++)
    ck_assert_int_eq(
        pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
  for (unsigned i = 0; i < THREADS; i++)
    pthread_join(workers[i].thread, NULL);
  pthread_join(loop, NULL);
}

static void check_all(void) {
  psock_timer_free(timer);
  psock_caller_free(shared);
  if (callers.caller != NULL) {
    struct psock_caller_stats stats = callers_stats(&callers);
    ck_assert_uint_eq(stats.in_flight, 0);
    ck_assert_uint_eq(stats.started, stats.ended);
    ck_assert_uint_eq(stats.kept, 0);
  }
  callers_fini(&callers);
  ev_loop_destroy(ev);
  ck_assert_uint_eq(atomic_load(&started), atomic_load(&ended));
  ck_assert_uint_eq(atomic_load(&begun), atomic_load(&over));
}

START_TEST(test_work) {
  rounds = 300;
  open_all(_i);
  run_all();
  check_all();
}
END_TEST

START_TEST(test_connections_end) {
  rounds = 500;
  breaks = 2;
  open_all(_i);
  run_all();
  ck_assert_uint_gt(callers.end_count, 3);
  check_all();
}
END_TEST

START_TEST(test_caller_goes) {
  rounds = 2000;
  breaks = 3;
  frees_early = true;
  open_all(_i);
  run_all();
  check_all();
}
END_TEST

int main(void) {
  Suite *suite = suite_create("caller_threads");
  TCase *tcase = guard_case(suite, "threads");
  tcase_set_timeout(tcase, 120);
  tcase_add_loop_test(tcase, test_work, 0, 2);
  tcase_add_loop_test(tcase, test_connections_end, 0, 2);
  tcase_add_loop_test(tcase, test_caller_goes, 0, 2);
  return guard_main(suite);
}
