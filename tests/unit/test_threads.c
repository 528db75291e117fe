/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/rig.h"

#include <ev.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/*
 * Sixteen threads that send through a connection whose loop runs in a thread of
 * its own, over a pair of sockets: order, totals, records and releases, while
 * senders come and go, wait for room, and the connection ends under them. Made
 * for the thread sanitizer; a test asserts only in its own thread, because
 * check does not like it elsewhere.
 */

#define THREADS 16
#define LANES 8192

/* Nanoseconds; so long only where something has gone wrong. */
#define PATIENCE ((uint64_t)30 * 1000000000u)

#define LARGE_MIN ((size_t)16 << 10)

struct stage;

struct worker {
  struct stage *stage;
  uint32_t lane;
  psock_sender *sender;
  pthread_t thread;
  unsigned to_send;
  unsigned sent; /* acknowledged */
  unsigned records;
  unsigned lent;
  int error; /* that ended it; 0: it has sent all */
  sem_t room;
};

struct stage {
  struct alloc_fault fault;
  struct ev_loop *ev;
  psock_loop *loop;
  pthread_t loop_thread;
  struct psock_text_codec codec;
  struct psock_connection_options options;
  struct psock_reactor_ops near_ops;
  struct psock_reactor_ops far_ops;
  psock_connection *near;
  psock_connection *far;
  struct worker workers[THREADS];
  pthread_barrier_t start;
  /* What follows is the loop's thread's. */
  unsigned expected; /* messages, after which the connection ends */
  void (*at_expected)(struct stage *stage);
  unsigned got;
  uint32_t next[LANES];
  unsigned got_of[THREADS];
  unsigned records;
  unsigned disorder;
  unsigned near_closed;
  unsigned far_closed;
  int near_reason;
  atomic_uint released;
  atomic_uint released_elsewhere;
};

static void close_near(struct stage *stage) {
  psock_connection_close(stage->near);
}

static void free_near(struct stage *stage) {
  psock_connection_free(stage->near);
}

static void free_far(struct stage *stage) {
  psock_connection_free(stage->far);
}

static void far_message(
    void *state, psock_connection *connection, const void *message) {
  struct stage *stage = state;
  struct rig_got got;
  (void)connection;
  stage->got++;
  if (!rig_read(message, &got) || got.lane >= LANES ||
      got.number != stage->next[got.lane])
    stage->disorder++;
  else
    stage->next[got.lane]++;
  if (stage->got == stage->expected)
    stage->at_expected(stage);
}

static void far_closed(void *state, psock_connection *connection, int reason) {
  struct stage *stage = state;
  (void)connection;
  (void)reason;
  stage->far_closed++;
}

static void near_records(void *state, psock_connection *connection,
    const struct psock_record *records, size_t count) {
  struct stage *stage = state;
  (void)connection;
  stage->records += (unsigned)count;
  for (size_t i = 0; i < count; i++)
    if (records[i].pointer != &stage->workers[records[i].word])
      stage->disorder++;
}

static void near_closed(void *state, psock_connection *connection, int reason) {
  struct stage *stage = state;
  (void)connection;
  stage->near_closed++;
  stage->near_reason = reason;
}

static void stage_init(struct stage *stage) {
  memset(stage, 0, sizeof *stage);
  alloc_fault_init(&stage->fault);
  psock_text_codec_init(&stage->codec, 0);
  stage->near_ops = (struct psock_reactor_ops){
      .size = sizeof stage->near_ops,
      .records = near_records,
      .closed = near_closed,
  };
  stage->far_ops = (struct psock_reactor_ops){
      .size = sizeof stage->far_ops,
      .message = far_message,
      .closed = far_closed,
  };
  stage->options = (struct psock_connection_options){
      .size = sizeof stage->options,
      .inbound = &stage->codec.codec,
      .outbound = &stage->codec.codec,
      .reactor = {.ops = &stage->near_ops, .state = stage},
  };
  stage->at_expected = close_near;
}

/* Makes the loop, both connections, and a clone for every worker. */
static void stage_open(struct stage *stage) {
  struct psock_loop_options options = {
      .size = sizeof options,
      .allocator = &stage->fault.allocator,
  };
  int fds[2];
  stage->ev = ev_loop_new(EVFLAG_AUTO);
  ck_assert_ptr_nonnull(stage->ev);
  ck_assert_int_eq(psock_loop_new(stage->ev, &options, &stage->loop), 0);
  ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  ck_assert_int_eq(psock_connection_adopt(
                       stage->loop, fds[0], &stage->options, &stage->near),
      0);
  stage->options.reactor.ops = &stage->far_ops;
  ck_assert_int_eq(
      psock_connection_adopt(stage->loop, fds[1], &stage->options, &stage->far),
      0);
  psock_sender *first = psock_connection_get_sender(stage->near);
  for (uint32_t i = 0; i < THREADS; i++) {
    struct worker *worker = &stage->workers[i];
    worker->stage = stage;
    worker->lane = i;
    ck_assert_int_eq(psock_sender_clone(first, &worker->sender), 0);
    ck_assert_int_eq(sem_init(&worker->room, 0, 0), 0);
  }
}

/* The loop returns when both connections have closed. */
static void *run_loop(void *data) {
  struct stage *stage = data;
  pthread_barrier_wait(&stage->start);
  ev_run(stage->ev, 0);
  return NULL;
}

/* Runs `work` in every worker's thread and the loop in another one, until all
 * have come to their end. */
static void stage_run(struct stage *stage, void *(*work)(void *worker)) {
  ck_assert_int_eq(pthread_barrier_init(&stage->start, NULL, THREADS + 1), 0);
  ck_assert_int_eq(
      pthread_create(&stage->loop_thread, NULL, run_loop, stage), 0);
  for (int i = 0; i < THREADS; i++)
    ck_assert_int_eq(pthread_create(&stage->workers[i].thread, NULL, work,
                         &stage->workers[i]),
        0);
  for (int i = 0; i < THREADS; i++)
    pthread_join(stage->workers[i].thread, NULL);
  pthread_join(stage->loop_thread, NULL);
  pthread_barrier_destroy(&stage->start);
}

/* What holds in every test, whatever the end was. */
static void stage_fini(struct stage *stage) {
  unsigned records = 0;
  unsigned lent = 0;
  for (int i = 0; i < THREADS; i++) {
    records += stage->workers[i].records;
    lent += stage->workers[i].lent;
    psock_sender_drop(stage->workers[i].sender);
    sem_destroy(&stage->workers[i].room);
  }
  psock_loop_free(stage->loop);
  ev_loop_destroy(stage->ev);
  ck_assert_uint_eq(stage->near_closed, 1);
  ck_assert_uint_eq(stage->far_closed, 1);
  ck_assert_uint_eq(stage->disorder, 0);
  ck_assert_uint_eq(stage->records, records);
  ck_assert_uint_eq(atomic_load(&stage->released), lent);
  ck_assert_uint_eq(atomic_load(&stage->released_elsewhere), 0);
  const char *complaint = alloc_fault_complaint(&stage->fault);
  ck_assert_msg(complaint == NULL, "%s", complaint);
}

static unsigned sent_by_all(const struct stage *stage) {
  unsigned sent = 0;
  for (int i = 0; i < THREADS; i++)
    sent += stage->workers[i].sent;
  return sent;
}

/* ---- what a worker sends ---- */

struct lent {
  struct stage *stage;
  char bytes[];
};

static void on_release(void *data) {
  struct lent *lent = data;
  struct stage *stage = lent->stage;
  atomic_fetch_add(&stage->released, 1);
  if (!pthread_equal(pthread_self(), stage->loop_thread))
    atomic_fetch_add(&stage->released_elsewhere, 1);
  free(lent);
}

/* A large one, from where it is. */
static int send_large(struct worker *worker, struct psock_send_options *options,
    uint32_t number) {
  size_t length = LARGE_MIN + number % 5 * 9000;
  struct lent *lent = malloc(sizeof *lent + length);
  if (lent == NULL)
    return PSOCK_ENOMEM;
  lent->stage = worker->stage;
  struct psock_text text =
      rig_message(lent->bytes, worker->lane, number, length);
  const void *message = &text;
  options->release = on_release;
  options->release_data = lent;
  int error = psock_send_many(worker->sender, &message, 1, options);
  if (error == 0)
    worker->lent++;
  else
    free(lent);
  return error;
}

static int send_small(struct worker *worker, struct psock_send_options *options,
    uint32_t number) {
  char buffer[200];
  size_t length = RIG_MESSAGE_MIN + number % 190;
  struct psock_text text = rig_message(buffer, worker->lane, number, length);
  const void *message = &text;
  return psock_send_many(worker->sender, &message, 1, options);
}

static int send_next(struct worker *worker, uint64_t timeout) {
  uint32_t number = worker->sent;
  struct psock_record record = {worker, worker->lane};
  struct psock_send_options options = {
      .size = sizeof options,
      .record = number % 3 == 0 ? &record : NULL,
      .timeout = timeout,
  };
  int error = number % 50 == 49 ? send_large(worker, &options, number)
                                : send_small(worker, &options, number);
  if (error != 0)
    return error;
  worker->sent++;
  worker->records += options.record != NULL;
  return 0;
}

static void *send_waiting(void *data) {
  struct worker *worker = data;
  pthread_barrier_wait(&worker->stage->start);
  while (worker->error == 0 && worker->sent < worker->to_send)
    worker->error = send_next(worker, PATIENCE);
  return NULL;
}

static void have_all_send(struct stage *stage, unsigned each) {
  for (int i = 0; i < THREADS; i++)
    stage->workers[i].to_send = each;
}

START_TEST(all_arrive_in_order) {
  struct stage stage;
  stage_init(&stage);
  stage.options.max_queued = (size_t)256 << 10;
  stage_open(&stage);
  have_all_send(&stage, 1000);
  stage.expected = THREADS * 1000;
  stage_run(&stage, send_waiting);
  ck_assert_uint_eq(sent_by_all(&stage), THREADS * 1000);
  ck_assert_uint_eq(stage.got, THREADS * 1000);
  ck_assert_int_eq(stage.near_reason, 0);
  stage_fini(&stage);
}
END_TEST

/* Waits for the writable callback instead, which must not get lost. */
static void *send_when_writable(void *data) {
  struct worker *worker = data;
  struct timespec deadline;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += (time_t)(PATIENCE / 1000000000u);
  pthread_barrier_wait(&worker->stage->start);
  while (worker->error == 0 && worker->sent < worker->to_send) {
    int error = send_next(worker, 0);
    if (error != PSOCK_EFULL)
      worker->error = error;
    else if (sem_timedwait(&worker->room, &deadline) != 0)
      worker->error = PSOCK_ETIMEDOUT;
  }
  return NULL;
}

static void on_writable(void *data) {
  sem_post(&((struct worker *)data)->room);
}

START_TEST(writable_is_never_missed) {
  struct stage stage;
  stage_init(&stage);
  stage.options.max_queued = (size_t)64 << 10;
  stage_open(&stage);
  for (int i = 0; i < THREADS; i++)
    psock_sender_on_writable(
        stage.workers[i].sender, on_writable, &stage.workers[i]);
  have_all_send(&stage, 500);
  stage.expected = THREADS * 500;
  stage_run(&stage, send_when_writable);
  for (int i = 0; i < THREADS; i++)
    ck_assert_int_eq(stage.workers[i].error, 0);
  ck_assert_uint_eq(stage.got, THREADS * 500);
  stage_fini(&stage);
}
END_TEST

/* Makes a clone, sends on it, and drops it, again and again; every clone is a
 * lane of its own. */
static void *send_on_clones(void *data) {
  struct worker *worker = data;
  struct worker clone = {.stage = worker->stage};
  pthread_barrier_wait(&worker->stage->start);
  for (unsigned i = 0; i < worker->to_send && worker->error == 0; i++) {
    clone.lane = THREADS + worker->lane + i * THREADS;
    clone.sent = 0;
    worker->error = psock_sender_clone(worker->sender, &clone.sender);
    if (worker->error != 0)
      return NULL;
    char buffer[32];
    for (uint32_t n = 0; n < 3 && worker->error == 0; n++) {
      struct psock_text text = rig_message(buffer, clone.lane, n, 32);
      worker->error = psock_send(clone.sender, &text);
      worker->sent++;
    }
    psock_sender_drop(clone.sender);
  }
  return NULL;
}

START_TEST(clones_come_and_go) {
  struct stage stage;
  stage_init(&stage);
  stage_open(&stage);
  have_all_send(&stage, 300);
  stage.expected = THREADS * 300 * 3;
  stage_run(&stage, send_on_clones);
  for (int i = 0; i < THREADS; i++)
    ck_assert_int_eq(stage.workers[i].error, 0);
  ck_assert_uint_eq(stage.got, THREADS * 300 * 3);
  stage_fini(&stage);
}
END_TEST

/* All workers send on the first one's clone, in turns that the lane makes. */
static void *send_on_shared(void *data) {
  struct worker *worker = data;
  char buffer[RIG_MESSAGE_MIN];
  pthread_barrier_wait(&worker->stage->start);
  for (unsigned i = 0; i < worker->to_send && worker->error == 0; i++) {
    struct psock_text text =
        rig_message(buffer, worker->lane, worker->sent, sizeof buffer);
    worker->error = psock_send(worker->stage->workers[0].sender, &text);
    worker->sent++;
  }
  return NULL;
}

START_TEST(a_clone_may_be_shared) {
  struct stage stage;
  stage_init(&stage);
  stage_open(&stage);
  have_all_send(&stage, 500);
  stage.expected = THREADS * 500;
  stage_run(&stage, send_on_shared);
  ck_assert_uint_eq(stage.got, THREADS * 500);
  stage_fini(&stage);
}
END_TEST

/* ---- the connection ends under the senders ---- */

static void *send_until_closed(void *data) {
  struct worker *worker = data;
  pthread_barrier_wait(&worker->stage->start);
  while (worker->error == 0 || worker->error == PSOCK_ETIMEDOUT)
    worker->error = send_next(worker, 1000000);
  return NULL;
}

static void run_until_closed(struct stage *stage) {
  stage_open(stage);
  stage->expected = 2000;
  stage_run(stage, send_until_closed);
  for (int i = 0; i < THREADS; i++)
    ck_assert_int_eq(stage->workers[i].error, PSOCK_ECLOSED);
}

START_TEST(close_loses_nothing) {
  struct stage stage;
  stage_init(&stage);
  stage.options.max_queued = (size_t)256 << 10;
  run_until_closed(&stage);
  ck_assert_int_eq(stage.near_reason, 0);
  ck_assert_uint_eq(stage.got, sent_by_all(&stage));
  for (int i = 0; i < THREADS; i++)
    ck_assert_uint_eq(stage.next[i], stage.workers[i].sent);
  stage_fini(&stage);
}
END_TEST

START_TEST(free_while_sending) {
  struct stage stage;
  stage_init(&stage);
  stage.options.max_queued = (size_t)256 << 10;
  stage.at_expected = free_near;
  run_until_closed(&stage);
  ck_assert_int_eq(stage.near_reason, PSOCK_ECANCELED);
  ck_assert_uint_le(stage.got, sent_by_all(&stage));
  stage_fini(&stage);
}
END_TEST

START_TEST(peer_goes_while_sending) {
  struct stage stage;
  stage_init(&stage);
  stage.options.max_queued = (size_t)256 << 10;
  stage.at_expected = free_far;
  run_until_closed(&stage);
  ck_assert_uint_le(stage.got, sent_by_all(&stage));
  stage_fini(&stage);
}
END_TEST

/* Both at once: clones are made and dropped while the connection goes. */
static void *clone_until_closed(void *data) {
  struct worker *worker = data;
  char buffer[RIG_MESSAGE_MIN];
  pthread_barrier_wait(&worker->stage->start);
  while (worker->error == 0 || worker->error == PSOCK_EFULL) {
    psock_sender *clone;
    worker->error = psock_sender_clone(worker->sender, &clone);
    if (worker->error != 0)
      break;
    struct psock_text text =
        rig_message(buffer, worker->lane, worker->sent, sizeof buffer);
    worker->error = psock_send(clone, &text);
    worker->sent += worker->error == 0;
    psock_sender_drop(clone);
    if (worker->error == PSOCK_EFULL)
      sched_yield();
  }
  return NULL;
}

static void clone_under(void (*at_expected)(struct stage *stage)) {
  struct stage stage;
  stage_init(&stage);
  stage.at_expected = at_expected;
  stage.options.max_queued = (size_t)16 << 10;
  stage_open(&stage);
  stage.expected = 500;
  stage_run(&stage, clone_until_closed);
  /* A worker's clones are lanes without an order between them. */
  stage.disorder = 0;
  for (int i = 0; i < THREADS; i++)
    ck_assert_int_eq(stage.workers[i].error, PSOCK_ECLOSED);
  if (at_expected == close_near)
    ck_assert_uint_eq(stage.got, sent_by_all(&stage));
  stage_fini(&stage);
}

START_TEST(clone_while_closing) {
  clone_under(close_near);
}
END_TEST

START_TEST(clone_while_freeing) {
  clone_under(free_near);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("threads");
  TCase *tcase = rig_case(suite, "flow");
  tcase_add_test(tcase, all_arrive_in_order);
  tcase_add_test(tcase, writable_is_never_missed);
  tcase_add_test(tcase, clones_come_and_go);
  tcase_add_test(tcase, a_clone_may_be_shared);
  tcase = rig_case(suite, "ends");
  tcase_add_loop_test(tcase, close_loses_nothing, 0, 3);
  tcase_add_loop_test(tcase, free_while_sending, 0, 3);
  tcase_add_loop_test(tcase, peer_goes_while_sending, 0, 3);
  tcase_add_test(tcase, clone_while_closing);
  tcase_add_test(tcase, clone_while_freeing);
  return rig_main(suite);
}
