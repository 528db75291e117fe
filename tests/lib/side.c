/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/world.h"

#include <string.h>

/*
 * A reactor that notes every call, holds the library to the order of calls
 * that it promises, and then does what the test wants done in that callback.
 */

const char *const event_names[EVENTS] = {"opened", "message", "batch_end",
    "room", "records", "input_ended", "drain", "closed"};

static void note(struct side *side, psock_connection *connection,
    enum event event, const void *argument) {
  DEMAND(side->count[CLOSED] == 0, "%s after closed", event_names[event]);
  if (event == OPENED)
    DEMAND(side->count[OPENED] == 0, "opened twice");
  else if (event != CLOSED && event != RECORDS)
    DEMAND(side->count[OPENED] == 1, "%s before opened", event_names[event]);
  DEMAND(side->connection == connection, "another connection");
  side->count[event]++;
  if (side->world->ev != NULL)
    ev_idle_start(side->world->ev, &side->world->noted);
  if (side->on[event] != NULL)
    side->on[event](side, argument);
}

static void on_opened(void *state, psock_connection *connection) {
  note(state, connection, OPENED, NULL);
}

static void on_message(
    void *state, psock_connection *connection, const void *message) {
  struct side *side = state;
  if (side->length_of != NULL) {
    const struct psock_text *got = message;
    unsigned n = side->count[MESSAGE];
    struct psock_text wanted = message_of(n, side->length_of(n));
    DEMAND(got->length == wanted.length &&
               memcmp(got->text, wanted.text, wanted.length) == 0,
        "message %u is not what was sent", n);
    side->bytes += got->length;
  }
  note(side, connection, MESSAGE, message);
}

static void on_batch_end(void *state, psock_connection *connection) {
  note(state, connection, BATCH_END, NULL);
}

static void on_room(void *state, psock_connection *connection) {
  ck_assert_uint_gt(psock_connection_get_room(connection), 0);
  note(state, connection, ROOM, NULL);
}

static void on_records(void *state, psock_connection *connection,
    const struct psock_record *records, size_t count) {
  struct side *side = state;
  ck_assert_uint_gt(count, 0);
  side->records += (unsigned)count;
  note(side, connection, RECORDS, records);
}

static void on_input_ended(void *state, psock_connection *connection) {
  note(state, connection, INPUT_ENDED, NULL);
}

static void on_drain(void *state, psock_connection *connection) {
  note(state, connection, DRAIN, NULL);
}

static void on_closed(void *state, psock_connection *connection, int reason) {
  struct side *side = state;
  side->reason = reason;
  note(side, connection, CLOSED, NULL);
  side->connection = NULL;
}

void side_init(struct side *side, struct world *world) {
  *side = (struct side){.world = world};
  side->ops = (struct psock_reactor_ops){
      .size = sizeof side->ops,
      .opened = on_opened,
      .message = on_message,
      .batch_end = on_batch_end,
      .room = on_room,
      .records = on_records,
      .drain = on_drain,
      .closed = on_closed,
  };
  side->options = (struct psock_connection_options){
      .size = sizeof side->options,
      .inbound = &world->codec.codec,
      .outbound = &world->codec.codec,
      .reactor = {.ops = &side->ops, .state = side},
  };
}

void side_wants_end(struct side *side) {
  side->ops.input_ended = on_input_ended;
}

static void made(struct side *side) {
  side->sender = psock_connection_get_sender(side->connection);
  side->made = true;
}

void side_take(struct side *side, psock_transport *transport) {
  ck_assert_int_eq(psock_connection_new(side->world->loop, transport,
                       &side->options, &side->connection),
      0);
  made(side);
}

void side_connect(struct side *side, const struct psock_address *address) {
  ck_assert_int_eq(psock_connect(side->world->loop, address, &side->options,
                       &side->connection),
      0);
  made(side);
}
