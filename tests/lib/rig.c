/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * See rig.h. The order of things in rig_end is the point of it: senders are
 * given back by the test, the connections end, then the loop, and then nothing
 * may be left.
 */

/* Seconds; far above what any test takes, also with a sanitizer. */
#define TIMEOUT 60

#define TURNS 100000

/* ---- the tap ---- */

static struct rig_tap *tap_of(psock_transport *transport) {
  return (struct rig_tap *)transport;
}

static void tap_ready(void *owner, unsigned directions) {
  struct rig_tap *tap = owner;
  tap->transport.ready(tap->transport.owner, directions);
}

static int tap_open(psock_transport *transport) {
  psock_transport *inner = tap_of(transport)->inner;
  return inner->ops->open(inner);
}

static ssize_t tap_receive(
    psock_transport *transport, void *buffer, size_t length) {
  psock_transport *inner = tap_of(transport)->inner;
  return inner->ops->receive(inner, buffer, length);
}

/* Notes the first `sent` bytes of the vectors. */
static void tap_note(
    struct rig_tap *tap, const struct iovec *vectors, size_t sent) {
  tap->sent += sent;
  for (; sent > 0; vectors++) {
    size_t length = vectors->iov_len < sent ? vectors->iov_len : sent;
    const char *from = vectors->iov_base;
    if (tap->watched != NULL && from >= tap->watched &&
        from + length <= tap->watched + tap->watched_length)
      tap->watched_sent += length;
    sent -= length;
  }
}

/* Without room, readiness for output is of no interest. */
static int watch_inner(struct rig_tap *tap) {
  unsigned directions = tap->directions;
  if (tap->room == 0)
    directions &= ~(unsigned)PSOCK_WRITE;
  return tap->inner->ops->watch(tap->inner, directions);
}

/* Sends vector by vector, so that what is sent can be cut anywhere. */
static ssize_t tap_send(
    psock_transport *transport, const struct iovec *vectors, int count) {
  struct rig_tap *tap = tap_of(transport);
  size_t total = 0;
  if ((size_t)count > tap->vectors_most)
    tap->vectors_most = (size_t)count;
  for (int i = 0; i < count && tap->room > 0; i++) {
    struct iovec vector = vectors[i];
    if (vector.iov_len > tap->room)
      vector.iov_len = tap->room;
    ssize_t sent = tap->inner->ops->send(tap->inner, &vector, 1);
    if (sent < 0 && sent != PSOCK_EAGAIN)
      return sent;
    if (sent <= 0)
      break;
    total += (size_t)sent;
    if (tap->room != SIZE_MAX)
      tap->room -= (size_t)sent;
    if ((size_t)sent < vectors[i].iov_len)
      break;
  }
  tap_note(tap, vectors, total);
  if (total > 0)
    return (ssize_t)total;
  (void)watch_inner(tap);
  return PSOCK_EAGAIN;
}

static int tap_shutdown(psock_transport *transport) {
  psock_transport *inner = tap_of(transport)->inner;
  return inner->ops->shutdown(inner);
}

static int tap_watch(psock_transport *transport, unsigned directions) {
  struct rig_tap *tap = tap_of(transport);
  tap->directions = directions;
  return watch_inner(tap);
}

static void tap_free(psock_transport *transport) {
  struct rig_tap *tap = tap_of(transport);
  tap->end->memory = NULL;
  tap->inner->ops->free(tap->inner);
}

static const struct psock_transport_ops tap_ops = {
    .size = sizeof tap_ops,
    .open = tap_open,
    .receive = tap_receive,
    .send = tap_send,
    .shutdown = tap_shutdown,
    .watch = tap_watch,
    .free = tap_free,
};

/* ---- messages ---- */

/* What is behind the head repeats itself. */
#define PERIOD ((size_t)26)

static char filler(uint32_t number, size_t place) {
  return (char)('a' + (number + place) % PERIOD);
}

struct psock_text rig_message(
    char *buffer, uint32_t lane, uint32_t number, size_t length) {
  memcpy(buffer, &lane, sizeof lane);
  memcpy(buffer + sizeof lane, &number, sizeof number);
  char *rest = buffer + RIG_MESSAGE_MIN;
  size_t wanted = length - RIG_MESSAGE_MIN;
  size_t done = 0;
  for (; done < wanted && done < PERIOD; done++)
    rest[done] = filler(number, done);
  while (done < wanted) {
    size_t more = wanted - done < done ? wanted - done : done;
    memcpy(rest + done, rest, more);
    done += more;
  }
  return (struct psock_text){buffer, length};
}

bool rig_read(const struct psock_text *text, struct rig_got *ret_got) {
  if (text->length < RIG_MESSAGE_MIN)
    return false;
  ret_got->length = text->length;
  memcpy(&ret_got->lane, text->text, sizeof ret_got->lane);
  memcpy(&ret_got->number, text->text + sizeof ret_got->lane,
      sizeof ret_got->number);
  const char *rest = text->text + RIG_MESSAGE_MIN;
  size_t length = text->length - RIG_MESSAGE_MIN;
  for (size_t i = 0; i < length && i < PERIOD; i++)
    if (rest[i] != filler(ret_got->number, i))
      return false;
  return length <= PERIOD || memcmp(rest, rest + PERIOD, length - PERIOD) == 0;
}

int rig_send_with(struct rig *rig, psock_sender *sender,
    const struct psock_text *text, const struct psock_send_options *options) {
  const void *message = text;
  if (rig == NULL)
    return psock_send_many(sender, &message, 1, options);
  rig->inside++;
  int error = psock_send_many(sender, &message, 1, options);
  rig->inside--;
  return error;
}

int rig_send(
    psock_sender *sender, uint32_t lane, uint32_t number, size_t length) {
  char *buffer = malloc(length);
  ck_assert_ptr_nonnull(buffer);
  struct psock_text text = rig_message(buffer, lane, number, length);
  int error = psock_send(sender, &text);
  /* It has been encoded: whoever still looks there, reads garbage. */
  memset(buffer, 0, length);
  free(buffer);
  return error;
}

unsigned rig_fill(psock_sender *sender, uint32_t lane, size_t length) {
  unsigned count = 0;
  int error;
  while ((error = rig_send(sender, lane, count, length)) == 0)
    count++;
  ck_assert_int_eq(error, PSOCK_EFULL);
  return count;
}

static void on_release(void *data) {
  struct rig_lent *lent = data;
  lent->released++;
  lent->rig->early += lent->rig->inside > 0;
  if (lent->on_release != NULL)
    lent->on_release(lent);
}

struct rig_lent *rig_lend(
    struct rig *rig, uint32_t number, size_t length, unsigned expected) {
  struct rig_lent *lent = calloc(1, sizeof *lent);
  char *buffer = malloc(length);
  ck_assert(lent != NULL && buffer != NULL);
  lent->rig = rig;
  lent->text = rig_message(buffer, 0, number, length);
  lent->expected = expected;
  lent->next = rig->lent;
  rig->lent = lent;
  return lent;
}

void rig_release_with(
    struct psock_send_options *options, struct rig_lent *lent) {
  options->release = on_release;
  options->release_data = lent;
}

int rig_send_lent(psock_sender *sender, struct rig_lent *lent,
    const struct psock_record *record) {
  struct psock_send_options options = {
      .size = sizeof options,
      .record = record,
  };
  rig_release_with(&options, lent);
  return rig_send_with(lent->rig, sender, &lent->text, &options);
}

/* Frees what was lent; what is wrong with its releases, or NULL. */
static const char *end_lent(struct rig *rig) {
  const char *complaint = NULL;
  while (rig->lent != NULL) {
    struct rig_lent *lent = rig->lent;
    rig->lent = lent->next;
    if (lent->released != lent->expected)
      complaint = lent->released > lent->expected ? "released too often"
                                                  : "not released";
    free((char *)(uintptr_t)lent->text.text);
    free(lent);
  }
  return complaint;
}

/* ---- the reactor ---- */

static void on_opened(void *state, psock_connection *connection) {
  struct rig_end *end = state;
  end->rig->early += end->rig->inside > 0 || connection != end->connection;
  end->opened++;
}

static void on_message(
    void *state, psock_connection *connection, const void *message) {
  struct rig_end *end = state;
  end->rig->early += end->rig->inside > 0 || connection != end->connection;
  end->got = realloc(end->got, (end->got_count + 1) * sizeof *end->got);
  ck_assert_ptr_nonnull(end->got);
  ck_assert(rig_read(message, &end->got[end->got_count]));
  end->got_count++;
  if (end->on_message != NULL)
    end->on_message(end);
}

static void on_room(void *state, psock_connection *connection) {
  struct rig_end *end = state;
  end->rig->early += end->rig->inside > 0 || connection != end->connection;
  end->rooms++;
  if (end->on_room != NULL)
    end->on_room(end);
}

static void on_records(void *state, psock_connection *connection,
    const struct psock_record *records, size_t count) {
  struct rig_end *end = state;
  end->rig->early += end->rig->inside > 0 || connection != end->connection;
  ck_assert_uint_ge(count, 1);
  ck_assert_uint_eq(end->closed, 0);
  end->records =
      realloc(end->records, (end->record_count + count) * sizeof *end->records);
  ck_assert_ptr_nonnull(end->records);
  for (size_t i = 0; i < count; i++)
    end->records[end->record_count++] =
        (struct rig_record){records[i], end->tap.sent};
  if (end->on_records != NULL)
    end->on_records(end);
}

static void on_closed(void *state, psock_connection *connection, int reason) {
  struct rig_end *end = state;
  end->rig->early += end->rig->inside > 0 || connection != end->connection;
  end->closed++;
  end->reason = reason;
  if (end->on_closed != NULL)
    end->on_closed(end);
  end->connection = NULL;
  end->sender = NULL;
}

static const struct psock_reactor_ops all_ops = {
    .size = sizeof all_ops,
    .opened = on_opened,
    .message = on_message,
    .room = on_room,
    .records = on_records,
    .closed = on_closed,
};

/* ---- the rig ---- */

static void end_init(struct rig *rig, struct rig_end *end) {
  *end = (struct rig_end){.rig = rig, .ops = all_ops};
  end->options = (struct psock_connection_options){
      .size = sizeof end->options,
      .inbound = &rig->codec.codec,
      .outbound = &rig->codec.codec,
      .reactor = {.ops = &end->ops, .state = end},
  };
}

void rig_init(struct rig *rig) {
  *rig = (struct rig){.capacity = (size_t)1 << 20};
  alloc_fault_init(&rig->fault);
  psock_text_codec_init(&rig->codec, 0);
  end_init(rig, &rig->near);
  end_init(rig, &rig->far);
}

static int take(struct rig_end *end, psock_transport *memory) {
  end->memory = memory;
  end->tap = (struct rig_tap){
      .transport = {.ops = &tap_ops},
      .inner = memory,
      .room = SIZE_MAX,
      .end = end,
  };
  memory->ready = tap_ready;
  memory->owner = &end->tap;
  int error = psock_connection_new(
      end->rig->loop, &end->tap.transport, &end->options, &end->connection);
  if (error != 0)
    memory->ops->free(memory);
  else
    end->sender = psock_connection_get_sender(end->connection);
  end->first = end->sender;
  return error;
}

int rig_try_open(struct rig *rig) {
  struct psock_loop_options options = {
      .size = sizeof options,
      .allocator = &rig->fault.allocator,
  };
  int error = psock_test_loop_new(&options, &rig->loop);
  if (error != 0)
    return error;
  psock_transport *near;
  psock_transport *far;
  error = psock_memory_pair(rig->loop, rig->capacity, &near, &far);
  if (error != 0)
    return error;
  error = take(&rig->near, near);
  if (error != 0) {
    far->ops->free(far);
    return error;
  }
  return take(&rig->far, far);
}

void rig_open(struct rig *rig) {
  ck_assert_int_eq(rig_try_open(rig), 0);
  rig_settle(rig);
  ck_assert_uint_eq(rig->near.opened, 1);
  ck_assert_uint_eq(rig->far.opened, 1);
}

void rig_settle(struct rig *rig) {
  ck_assert_int_eq(psock_test_loop_settle(rig->loop, TURNS), 1);
}

void rig_block(struct rig *rig) {
  rig->near.tap.room = 0;
}

static void give_room(struct rig *rig, size_t room) {
  if (rig->near.memory == NULL)
    return;
  rig->near.tap.room = room;
  ck_assert_int_eq(watch_inner(&rig->near.tap), 0);
}

void rig_let_leave(struct rig *rig, size_t length) {
  give_room(rig, length);
  rig_settle(rig);
}

void rig_unblock(struct rig *rig) {
  give_room(rig, SIZE_MAX);
}

static const char *end_complaint(const struct rig_end *end, bool made) {
  if (end->closed != (made ? 1 : 0))
    return made ? "closed was not called once" : "closed was called";
  return end->opened > 1 ? "opened twice" : NULL;
}

const char *rig_end(struct rig *rig) {
  bool near = rig->near.closed > 0 || rig->near.connection != NULL;
  bool far = rig->far.closed > 0 || rig->far.connection != NULL;
  psock_connection_free(rig->near.connection);
  psock_connection_free(rig->far.connection);
  psock_loop_free(rig->loop);
  rig->loop = NULL;
  free(rig->near.got);
  free(rig->far.got);
  free(rig->near.records);
  free(rig->far.records);
  const char *complaint = end_lent(rig);
  if (complaint == NULL && rig->early > 0)
    complaint = "something called back too early";
  if (complaint == NULL)
    complaint = end_complaint(&rig->near, near);
  if (complaint == NULL)
    complaint = end_complaint(&rig->far, far);
  if (complaint == NULL)
    complaint = alloc_fault_complaint(&rig->fault);
  return complaint;
}

void rig_fini(struct rig *rig) {
  const char *complaint = rig_end(rig);
  ck_assert_msg(complaint == NULL, "%s", complaint);
}

psock_sender *rig_clone(struct rig *rig) {
  psock_sender *clone;
  ck_assert_int_eq(psock_sender_clone(rig->near.sender, &clone), 0);
  return clone;
}

void rig_drop(struct rig *rig, psock_sender *sender) {
  if (sender != rig->near.first)
    psock_sender_drop(sender);
}

bool rig_in_order(const struct rig *rig, uint32_t lane, size_t count) {
  size_t seen = 0;
  for (size_t i = 0; i < rig->far.got_count; i++) {
    const struct rig_got *got = &rig->far.got[i];
    if (got->lane != lane)
      continue;
    if (got->number != seen)
      return false;
    seen++;
  }
  return seen == count;
}

uint64_t rig_wakeups(const struct rig *rig) {
  struct psock_loop_stats stats = {.size = sizeof stats};
  psock_loop_get_stats(rig->loop, &stats);
  return stats.wakeups;
}

TCase *rig_case(Suite *suite, const char *name) {
  TCase *tcase = tcase_create(name);
  tcase_set_timeout(tcase, TIMEOUT);
  suite_add_tcase(suite, tcase);
  return tcase;
}

int rig_main(Suite *suite) {
  SRunner *runner = srunner_create(suite);
  srunner_run_all(runner, CK_ENV);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
