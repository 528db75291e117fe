/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_RPC_PEER_RIG_H
#define TESTS_RPC_PEER_RIG_H

#include "connection/connection.h"
#include "lib/guard.h"
#include "lib/memory.h"
#include "rpc/peer.h"
#include "trial.psock.h"
#include <protosocket/error.h>
#include <protosocket/testing.h>
#include <stdlib.h>

/*
 * psock_peer alone: `near` is a connection that has one, `far` one that is
 * nothing but a reactor that writes down the frames it is given, and sends what
 * the test says. The peer is allocated and freed with its connection, so that a
 * sanitizer sees whoever looks at it afterwards.
 */

#define SECOND ((uint64_t)1000000000u)
#define MOST 256

/* In which callback the connection is freed. */
enum place { NOWHERE, KNOWN, GOAWAY, EXPIRE, SENT, TAKEN };

struct got {
  uint64_t id;
  uint32_t code;
  uint64_t window;
  bool not_begun;
  uint32_t status; /* UINT32_MAX: none */
  size_t payload_length;
  bool has_hello;
  struct psock_hello hello;
};

struct control {
  struct psock_control control; /* first */
  unsigned sent;
};

static struct rig {
  struct alloc_fault fault;
  psock_loop *loop;
  struct psock_face near_face;
  struct psock_face far_face;
  psock_transport *near_end;
  psock_transport *far_end;
  psock_connection *near; /* NULL: closed */
  psock_connection *far;
  psock_sender *far_sender;
  struct psock_peer_options options;
  size_t max_queued; /* of near */
  struct psock_peer *peer;
  enum place ends_in;
  struct control *in_sent; /* noted by `sent` */
  struct got got[MOST];
  unsigned got_count;
  unsigned known;
  bool known_hello;
  unsigned goaways;
  unsigned expired;
  uint64_t next; /* what `expire` returns */
  unsigned passed;
  unsigned taken;
  int reason;
} rig;

static inline bool ends_in(enum place place) {
  if (rig.ends_in != place || rig.near == NULL)
    return false;
  psock_connection_free(rig.near);
  return true;
}

/* ---- What the peer calls ---- */

static inline uint64_t on_expire(struct psock_peer *peer, uint64_t now) {
  ck_assert_ptr_eq(peer, rig.peer);
  ck_assert_uint_eq(now, psock_loop_now(rig.loop));
  rig.expired++;
  ends_in(EXPIRE);
  return rig.next;
}

static inline void on_known(struct psock_peer *peer) {
  ck_assert_ptr_eq(peer, rig.peer);
  rig.known++;
  rig.known_hello = peer->hello_came;
  ends_in(KNOWN);
}

static inline void on_goaway(struct psock_peer *peer) {
  ck_assert_ptr_eq(peer, rig.peer);
  rig.goaways++;
  ends_in(GOAWAY);
}

static const struct psock_peer_ops peer_ops = {
    .expire = on_expire, .known = on_known, .goaway = on_goaway};

static inline void on_sent(struct psock_control *control) {
  ((struct control *)control)->sent++;
  if (ends_in(SENT) || rig.in_sent == NULL)
    return;
  struct control *next = rig.in_sent;
  rig.in_sent = NULL;
  next->control.last = true;
  psock_peer_note(rig.peer, &next->control);
}

/* ---- The two connections ---- */

static inline void near_message(
    void *state, psock_connection *connection, const void *message) {
  (void)state;
  struct psock_rpc_frame room;
  const struct psock_rpc_frame *frame =
      psock_face_read(&rig.near_face, connection, message, &room);
  if (psock_peer_take(rig.peer, frame) == 0)
    rig.passed++;
  else
    rig.taken++;
}

static inline void near_batch_end(void *state, psock_connection *connection) {
  (void)state;
  (void)connection;
  psock_peer_end_batch(rig.peer);
}

static inline void near_closed(
    void *state, psock_connection *connection, int reason) {
  (void)state;
  (void)connection;
  struct psock_peer *peer = rig.peer;
  rig.reason = reason;
  rig.near = NULL;
  rig.peer = NULL;
  if (peer != NULL)
    psock_peer_close(peer);
  free(peer);
}

static inline void far_message(
    void *state, psock_connection *connection, const void *message) {
  (void)state;
  (void)connection;
  const struct psock_rpc_frame *frame = message;
  DEMAND(rig.got_count < MOST, "too many frames");
  rig.got[rig.got_count++] = (struct got){
      .id = frame->id,
      .code = frame->code,
      .window = frame->window,
      .not_begun = frame->not_begun,
      .status = frame->status == NULL ? UINT32_MAX : frame->status->code,
      .payload_length = frame->payload_length,
      .has_hello = frame->hello != NULL,
      .hello = frame->hello == NULL ? (struct psock_hello){0} : *frame->hello,
  };
}

static inline void far_closed(
    void *state, psock_connection *connection, int reason) {
  (void)state;
  (void)connection;
  (void)reason;
  rig.far = NULL;
}

static inline void setup(void) {
  rig = (struct rig){
      .options =
          {
              .max_kept = 1000,
              .stream_window = 4711,
              .ping_after = PSOCK_NEVER,
              .ping_timeout = 10 * SECOND,
          },
      .next = PSOCK_NEVER,
      .reason = 1,
  };
  alloc_fault_init(&rig.fault);
  struct psock_loop_options options = {
      .size = sizeof options, .allocator = &rig.fault.allocator};
  ck_assert_int_eq(psock_test_loop_new(&options, &rig.loop), 0);
  struct psock_protobuf_options limits = {
      .size = sizeof limits, .max_message = 12345};
  ck_assert_int_eq(
      psock_face_init(&rig.near_face, PSOCK_SERVER_END, NULL, &limits), 0);
  ck_assert_int_eq(
      psock_face_init(&rig.far_face, PSOCK_CALLER_END, NULL, NULL), 0);
  rig.options.face = &rig.near_face;
}

static inline void teardown(void) {
  alloc_fault_disarm(&rig.fault);
  psock_connection_free(rig.near);
  psock_connection_free(rig.far);
  psock_loop_free(rig.loop);
  psock_face_fini(&rig.near_face);
  psock_face_fini(&rig.far_face);
  const char *complaint = alloc_fault_complaint(&rig.fault);
  ck_assert_msg(complaint == NULL, "%s", complaint);
}

/* Turns until nothing happens. */
static inline void settle(void) {
  ck_assert_int_eq(psock_test_loop_settle(rig.loop, 1000), 1);
}

static inline void pass(uint64_t time) {
  psock_test_loop_advance(rig.loop, time);
  settle();
}

/* Begins, without a turn of the loop. */
static inline void begin(size_t capacity) {
  static const struct psock_reactor_ops near_ops = {.size = sizeof near_ops,
      .message = near_message,
      .batch_end = near_batch_end,
      .closed = near_closed};
  static const struct psock_reactor_ops far_ops = {
      .size = sizeof far_ops, .message = far_message, .closed = far_closed};
  struct psock_connection_options options = {
      .size = sizeof options,
      .inbound = rig.near_face.inbound,
      .outbound = rig.near_face.outbound,
      .reactor = {.ops = &near_ops},
      .max_queued = rig.max_queued,
      .when_full = PSOCK_WHEN_FULL_READ,
  };
  ck_assert_int_eq(
      psock_memory_pair(rig.loop, capacity, &rig.near_end, &rig.far_end), 0);
  ck_assert_int_eq(
      psock_connection_new(rig.loop, rig.near_end, &options, &rig.near), 0);
  options.inbound = rig.far_face.inbound;
  options.outbound = rig.far_face.outbound;
  options.reactor.ops = &far_ops;
  options.max_queued = 0;
  ck_assert_int_eq(
      psock_connection_new(rig.loop, rig.far_end, &options, &rig.far), 0);
  rig.far_sender = psock_connection_get_sender(rig.far);
  rig.peer = malloc(sizeof *rig.peer);
  ck_assert_ptr_nonnull(rig.peer);
  ck_assert_int_eq(
      psock_peer_init(rig.peer, &peer_ops, &rig.options, rig.near), 0);
}

/* ---- What the test sends and looks for ---- */

static inline void far_send_frame(const struct psock_rpc_frame *frame) {
  ck_assert_int_eq(
      psock_face_send(&rig.far_face, rig.far_sender, frame, NULL), 0);
}

static inline void far_send(uint64_t id, uint32_t code) {
  struct psock_rpc_frame frame = {.id = id, .code = code};
  far_send_frame(&frame);
}

static inline void far_hello(uint64_t window, uint64_t max_frame_size) {
  struct psock_hello hello = {
      .version = 1, .stream_window = window, .max_frame_size = max_frame_size};
  struct psock_rpc_frame frame = {.code = PSOCK_CODE_HELLO, .hello = &hello};
  far_send_frame(&frame);
}

/* With a peer that has said HELLO. */
static inline void begin_known(size_t capacity) {
  begin(capacity);
  far_hello(0, 0);
  settle();
  rig.got_count = 0;
}

/* How often far got this. */
static inline unsigned count_of(uint64_t id, uint32_t code) {
  unsigned count = 0;
  for (unsigned i = 0; i < rig.got_count; i++)
    count += rig.got[i].id == id && rig.got[i].code == code;
  return count;
}

static inline void control_init(struct control *control, uint64_t id) {
  *control = (struct control){.control = {.id = id, .sent = on_sent}};
  psock_list_init(&control->control.node);
}

static inline void note_window(struct control *control, uint64_t window) {
  control->control.window += window;
  psock_peer_note(rig.peer, &control->control);
}

static inline void note_last(struct control *control, uint32_t code) {
  control->control.last = true;
  control->control.code = code;
  psock_peer_note(rig.peer, &control->control);
}

/* Fills the queue of `near`, as far does not read, with frames of the id 999.
 * Returns how many. */
static inline unsigned fill(void) {
  psock_connection_pause(rig.far);
  settle();
  struct psock_rpc_frame frame = {.id = 999, .code = PSOCK_CODE_NORMAL};
  unsigned count = 0;
  int error = 0;
  while (error == 0) {
    error = psock_face_send(&rig.near_face, rig.peer->sender, &frame, NULL);
    count += error == 0;
    if (error == 0)
      settle();
    DEMAND(count < MOST, "the queue is never full");
  }
  ck_assert_int_eq(error, PSOCK_EFULL);
  return count;
}

static inline TCase *rig_case(Suite *suite, const char *name) {
  TCase *tcase = guard_case(suite, name);
  tcase_add_checked_fixture(tcase, setup, teardown);
  return tcase;
}

#endif
