/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_LIB_CALLS_H
#define TESTS_LIB_CALLS_H

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
 * For tests of servers: a server of trial.proto, on a loop that is turned by
 * hand, with an allocator that fails on demand, and peers over pairs in memory
 * that say frame by frame what the test wants, and write down what they get.
 *
 *   struct calls calls;
 *   calls_init(&calls, own);
 *   (change calls.options, calls.handle, ...)
 *   calls_open(&calls);
 *   calls_start(&calls.peer, 1, &trial__trial__get__method, "text", 1);
 *   calls_settle(&calls);
 *   ...
 *   calls_fini(&calls);
 *
 * Over own messages (`own`) there is the one method of trial.Ask, and what only
 * Frames can say isn't said. calls_fini checks what holds for all tests: every
 * call that came has ended, its `ended` was told exactly once and last, its
 * caller got at most one frame that ends it, and nothing behind that, and no
 * memory is left.
 */

#define SECOND ((uint64_t)1000000000u)
#define MILLISECOND ((uint64_t)1000000u)

#define NO_STATUS UINT32_MAX

struct calls;

/* A frame as a peer got it. */
struct calls_got {
  uint64_t id;
  uint32_t code;
  uint32_t status; /* NO_STATUS: none */
  char reason[96]; /* the text of the status */
  bool not_begun;
  uint64_t window;
  size_t length; /* of the frame */
  bool has_message;
  char text[64]; /* of the message */
  uint32_t number;
  size_t data_length;
  char metadata[64]; /* "key=value " for each */
};

struct calls_peer {
  struct calls *calls;
  psock_connection *connection; /* NULL once closed */
  psock_sender *sender;
  psock_transport *memory; /* the server's end, for limits and faults */
  struct calls_got *got;
  size_t count;
  size_t capacity;
  bool forgetful; /* counts frames, but doesn't keep them */
  unsigned closed;
  int reason;
  void (*on_got)(struct calls_peer *peer, const struct calls_got *got);
};

/* What came of a call whose events are calls_watch's. */
struct calls_ended {
  unsigned count;
  uint32_t code;
  char text[96];
};

struct calls {
  struct alloc_fault fault;
  psock_loop *loop;
  psock_server *server;
  struct psock_server_options options;
  struct psock_connection_options connection;
  struct psock_protobuf_options limits;
  struct psock_connection_options peer_connection;
  struct psock_face face; /* of the peers */
  bool own;
  bool lenient;    /* what a peer can't send is left out */
  size_t capacity; /* of each pair */
  struct calls_peer peer;

  /* Called for every call; requests that stream have no text. Default: replies
   * with text and number. */
  void (*handle)(
      struct calls *calls, psock_call *call, const char *text, uint32_t number);
  void *data; /* the test's */

  /* What calls_watch has seen. */
  unsigned served;
  unsigned watched;
  unsigned rooms;
  unsigned requests;
  unsigned requests_ended;
  unsigned drains;
  unsigned drained;
  struct calls_ended ended; /* of the last one */
  char last_request[64];
  void (*on_ended)(struct calls *calls, psock_call *call);
  void (*on_room)(struct calls *calls, psock_call *call);
  void (*on_request)(
      struct calls *calls, psock_call *call, const Trial__Text *request);
  void (*on_requests_ended)(struct calls *calls, psock_call *call);
  void (*on_drain)(struct calls *calls, psock_call *call);
  int inside; /* a function of a call's is on the stack */
};

/* Makes the loop; then everything may be set otherwise. */
void calls_init(struct calls *calls, bool own);

/* Makes the server and the first peer, which says HELLO unless that is
 * over own messages. */
void calls_open(struct calls *calls);

/* The same without a HELLO. */
void calls_open_silent(struct calls *calls);

/* Only the server; an error where there is one. */
int calls_try_server(struct calls *calls);

/* Another peer. Returns an error where there is one. */
int calls_try_peer(struct calls *calls, struct calls_peer *peer);

/* Ends everything; what is wrong fails the test. */
void calls_fini(struct calls *calls);

/* Turns until nothing happens any more. */
void calls_settle(struct calls *calls);

/* Lets time pass, and turns. */
void calls_pass(struct calls *calls, uint64_t nanoseconds);

/* ---- What a peer says ---- */

/* Sends any frame; its `length` is not looked at. */
void calls_say(struct calls_peer *peer, const struct psock_rpc_frame *frame);

void calls_hello(struct calls_peer *peer, uint64_t window, uint64_t max_frame);
void calls_start(struct calls_peer *peer, uint64_t id,
    const struct psock_method *method, const char *text, uint32_t number);
void calls_cancel(struct calls_peer *peer, uint64_t id);
void calls_request(struct calls_peer *peer, uint64_t id, const char *text);
/* Only an id and a code. */
void calls_code(struct calls_peer *peer, uint64_t id, uint32_t code);
void calls_window(struct calls_peer *peer, uint64_t id, uint64_t length);

/* The method with many responses, of this face. */
const struct psock_method *calls_download(const struct calls *calls);
const struct psock_method *calls_get(const struct calls *calls);

/* ---- What a peer got ---- */

/* How many frames of this id, or with this id and code. */
size_t calls_count(const struct calls_peer *peer, uint64_t id);
size_t calls_count_code(
    const struct calls_peer *peer, uint64_t id, uint32_t code);

/* The last frame of this id, or NULL. */
const struct calls_got *calls_last(const struct calls_peer *peer, uint64_t id);

/* Fails the test unless the last frame of `id` is a cancel with this status; a
 * plain one over own messages. */
void calls_check_failed(
    const struct calls_peer *peer, uint64_t id, uint32_t status);

/* ---- For handlers ---- */

/* Each in the type of the face. Returns as the function that it is over. */
int calls_reply(
    struct calls *calls, psock_call *call, const char *text, uint32_t number);
int calls_send(
    struct calls *calls, psock_call *call, const char *text, uint32_t number);
/* With `length` bytes of data. */
int calls_send_data(struct calls *calls, psock_call *call, uint32_t number,
    uint8_t *data, size_t length);

/* Sets events that count. */
void calls_watch(struct calls *calls, psock_call *call);

/* Does nothing. */
void calls_ignore(
    struct calls *calls, psock_call *call, const char *text, uint32_t number);

struct psock_server_stats calls_stats(const struct calls *calls);

#endif
