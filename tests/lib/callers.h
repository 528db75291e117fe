/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_LIB_CALLERS_H
#define TESTS_LIB_CALLERS_H

#include "lib/alloc_fault.h"
#include "lib/guard.h"
#include "rpc/face.h"
#include "rpc/frame.h"
#include "trial.psock.h"
#include <check.h>
#include <protosocket.h>
#include <protosocket/testing.h>
#include <stdbool.h>

/*
 * For tests of callers: a caller of trial.proto, on a loop that is turned by
 * hand, with an allocator that fails on demand, and for each of its connections
 * an end over a pair in memory that says frame by frame what the test wants,
 * and writes down what it gets.
 *
 *   struct callers callers;
 *   struct trial trial;
 *   callers_init(&callers, own);
 *   (change callers.options, callers.connects, ...)
 *   callers_open(&callers);
 *   callers_start(&callers, &trial, callers_get(&callers), "text");
 *   callers_settle(&callers);
 *   callers_reply(callers_end(&callers), trial.id, "answer", 1);
 *   ...
 *   callers_fini(&callers);
 *
 * The rig has a psock_connect of its own, so that a caller that connects gets
 * ends in memory, too, or the error that the test wants. callers_fini checks
 * what holds for all tests: every call that was started has ended, exactly once
 * and last of all, nothing called back from inside a function, and no memory is
 * left.
 */

#define SECOND ((uint64_t)1000000000u)
#define MILLISECOND ((uint64_t)1000000u)
#define NO_STATUS UINT32_MAX

struct callers;

/* A frame as an end got it. */
struct callers_got {
  uint64_t id;
  uint32_t code;
  uint32_t method;
  uint64_t timeout_us;
  uint64_t window;
  uint64_t hello_window;
  size_t length;
  bool has_hello;
  bool has_status;
  char text[64];
  uint32_t number;
  char metadata[64]; /* "key=value " for each */
};

/* The server's end of one connection. */
struct callers_end {
  struct callers *callers;
  psock_connection *connection; /* NULL once closed */
  psock_sender *sender;
  psock_transport *memory; /* the caller's end, for limits and faults */
  struct callers_got *got;
  size_t count;
  size_t capacity;
  unsigned closed;
  unsigned input_ended;
  int reason;
};

#define CALLERS_ENDS 64

/* A call as the test has it. */
struct trial {
  struct callers *callers;
  psock_call *call; /* a reference, or NULL */
  uint64_t id;      /* when it was started */
  unsigned messages;
  unsigned rooms;
  unsigned ended;
  uint32_t code;
  char reason[96];
  int not_begun;
  char text[64]; /* of the last message */
  uint32_t number;
  char metadata[128]; /* when it was last told something */
  void (*on_message)(struct trial *trial, psock_call *call);
  void (*on_ended)(struct trial *trial, psock_call *call);
  void (*on_room)(struct trial *trial, psock_call *call);
};

struct callers {
  struct alloc_fault fault;
  psock_loop *loop;
  psock_caller *caller; /* NULL: freed */
  struct psock_caller_options options;
  struct psock_connection_options connection;
  struct psock_protobuf_options limits;
  struct psock_face face; /* of the ends */
  bool own;
  bool connects;
  bool silent;    /* ends don't say HELLO by themselves */
  bool forgetful; /* ends don't write down what they get */
  size_t capacity;
  uint64_t window; /* in their HELLO */
  uint64_t max_frame;
  int connect_error; /* of psock_connect */
  int open_error;    /* of the transport that it makes */
  unsigned connects_seen;
  struct callers_end ends[CALLERS_ENDS];
  unsigned end_count;
  /* Called for every frame of a call that an end gets. */
  void (*on_got)(struct callers_end *end, const struct callers_got *got);
  void *data;
  unsigned started; /* trials with events */
  unsigned ended;
  unsigned closed; /* psock_caller_close's */
  int inside;      /* a function is on the stack */
};

void callers_init(struct callers *callers, bool own);

/* The same on a loop of `ev`, which is not turned by hand. */
void callers_init_ev(struct callers *callers, bool own, struct ev_loop *ev);

/* Makes the caller, and settles. */
void callers_open(struct callers *callers);

/* Only the caller; an error where there is one. */
int callers_try(struct callers *callers);

/* Frees what is left; what is wrong fails the test. */
void callers_fini(struct callers *callers);

void callers_free_caller(struct callers *callers);
void callers_settle(struct callers *callers);
void callers_pass(struct callers *callers, uint64_t nanoseconds);

/* The newest end. */
struct callers_end *callers_end(struct callers *callers);

/* ---- Methods of the face ---- */

const struct psock_method *callers_get(const struct callers *callers);
const struct psock_method *callers_download(const struct callers *callers);

/* ---- Calls ---- */

/* The request of `method` with this text, in static memory. */
const void *callers_request(
    const struct psock_method *method, const char *text);

/* Starts a call on the caller; what psock_caller_start returns. */
int callers_try_start(struct callers *callers, struct trial *trial,
    const struct psock_method *method, const char *text,
    const struct psock_call_options *options);

/* The same on any caller, without looking from where it is called back. */
int callers_start_on(psock_caller *caller, struct callers *callers,
    struct trial *trial, const struct psock_method *method, const char *text,
    const struct psock_call_options *options);

/* Starts one, which has to work, keeps a reference, and settles. */
void callers_start(struct callers *callers, struct trial *trial,
    const struct psock_method *method, const char *text);

/* Gives the reference back. */
void callers_unref(struct trial *trial);

/* Fails the test unless it has ended once, in this way. */
void callers_check_ended(const struct trial *trial, uint32_t code);

/* ---- What an end says; none of them settles ---- */

void callers_say(struct callers_end *end, const struct psock_rpc_frame *frame);
void callers_hello(struct callers_end *end, uint64_t window, uint64_t max);
void callers_code(struct callers_end *end, uint64_t id, uint32_t code);
void callers_reply(
    struct callers_end *end, uint64_t id, const char *text, uint32_t number);
/* With `length` bytes of data, of which one is in the text. */
void callers_reply_data(struct callers_end *end, uint64_t id, size_t length);
void callers_fail(
    struct callers_end *end, uint64_t id, uint32_t status, bool not_begun);
void callers_window(struct callers_end *end, uint64_t id, uint64_t length);

/* Replies to every start, with its text. */
void callers_echo(struct callers_end *end, const struct callers_got *got);

/* ---- What an end got ---- */

size_t callers_count(const struct callers_end *end, uint32_t code);
size_t callers_count_of(
    const struct callers_end *end, uint64_t id, uint32_t code);
/* The last one with this code. */
const struct callers_got *callers_last(
    const struct callers_end *end, uint32_t code);

struct psock_caller_stats callers_stats(const struct callers *callers);

#endif
