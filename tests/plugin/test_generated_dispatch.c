/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/guard.h"
#include "messages.h"
#include <stdlib.h>
#include <string.h>

/*
 * Handlers of a oneof that protoc-gen-psock has generated, used as a program
 * uses them: each member's value comes to its handler, what has none goes to
 * `rest`, and a program with an older header has fewer. The schemas are
 * generated.proto and its neighbours.
 */

/* The headers can be asked whether they declare these: they must not. */
static const int generated__held__dispatch = 1;
static const int generated__refuses__dispatch = 1;
static const int generated__several__nested__dispatch = 1;

START_TEST(nothing_is_made_unasked) {
  int made = generated__held__dispatch + generated__refuses__dispatch +
             generated__several__nested__dispatch;
  ck_assert_int_eq(made, 3);
}
END_TEST

/* What the last handler was given. */
struct seen {
  const char *handler;
  uint64_t number; /* an integer, in 64 bits */
  double real;
  const void *pointer;
  unsigned calls;
};

/* No handler looks into it. */
static max_align_t some_connection;
#define CONNECTION ((psock_connection *)(void *)&some_connection)

static const void *given_message;

static struct seen *note(void *state, psock_connection *connection,
    const void *message, const char *handler) {
  struct seen *seen = state;
  ck_assert_ptr_eq(connection, CONNECTION);
  ck_assert_ptr_eq(message, given_message);
  seen->handler = handler;
  seen->calls++;
  return seen;
}

#define HANDLER(arm, type, member, cast)                                       \
  static void on_##arm(void *state, psock_connection *connection,              \
      const Generated__Event *message, type value) {                           \
    note(state, connection, message, #arm)->member = cast value;               \
  }

HANDLER(item, const Generated__Item *, pointer, )
HANDLER(note, const Generated__Types__Note *, pointer, )
HANDLER(text, const char *, pointer, )
HANDLER(data, const ProtobufCBinaryData *, pointer, )
HANDLER(raw, const ProtobufCBinaryData *, pointer, )
HANDLER(kind, Generated__Kind, number, (uint64_t))
HANDLER(flag, protobuf_c_boolean, number, (uint64_t))
HANDLER(i32, int32_t, number, (uint64_t))
HANDLER(i64, int64_t, number, (uint64_t))
HANDLER(u32, uint32_t, number, )
HANDLER(u64, uint64_t, number, )
HANDLER(s32, int32_t, number, (uint64_t))
HANDLER(s64, int64_t, number, (uint64_t))
HANDLER(f32, uint32_t, number, )
HANDLER(f64, uint64_t, number, )
HANDLER(sf32, int32_t, number, (uint64_t))
HANDLER(sf64, int64_t, number, (uint64_t))
HANDLER(real, float, real, (double))
HANDLER(longreal, double, real, )
HANDLER(default, protobuf_c_boolean, number, (uint64_t))
HANDLER(old, const char *, pointer, )

static void rest(void *state, psock_connection *connection,
    const Generated__Event *message) {
  note(state, connection, message, "rest");
}

static const struct psock_reactor_ops ops = {.size = sizeof ops};

static const struct generated__event__handlers handlers = {
    .size = sizeof handlers,
    .ops = &ops,
    .rest = rest,
    .on_item = on_item,
    .on_note = on_note,
    .on_text = on_text,
    .on_data = on_data,
    .on_raw = on_raw,
    .on_kind = on_kind,
    .on_flag = on_flag,
    .on_i32 = on_i32,
    .on_i64 = on_i64,
    .on_u32 = on_u32,
    .on_u64 = on_u64,
    .on_s32 = on_s32,
    .on_s64 = on_s64,
    .on_f32 = on_f32,
    .on_f64 = on_f64,
    .on_sf32 = on_sf32,
    .on_sf64 = on_sf64,
    .on_real = on_real,
    .on_longreal = on_longreal,
    .on_default = on_default,
    .on_old = on_old,
};

static struct seen give(const struct generated__event__handlers *to,
    const Generated__Event *event) {
  struct seen seen = {0};
  psock_reactor reactor = generated__event__reactor(to, &seen);
  given_message = event;
  psock_dispatch(
      reactor.dispatch, reactor.handlers, reactor.state, CONNECTION, event);
  return seen;
}

START_TEST(reactor_holds_what_it_was_given) {
  int state;
  psock_reactor reactor = generated__event__reactor(&handlers, &state);
  ck_assert_ptr_eq(reactor.ops, &ops);
  ck_assert_ptr_eq(reactor.state, &state);
  ck_assert_ptr_eq(reactor.dispatch, &generated__event__dispatch);
  ck_assert_ptr_eq(reactor.handlers, &handlers);
}
END_TEST

/* Sets the member `arm` of `event`, and gives it. */
#define GIVE(CASE, arm, value)                                                 \
  do {                                                                         \
    event = (Generated__Event)GENERATED__EVENT__INIT;                          \
    event.what_case = GENERATED__EVENT__WHAT_##CASE;                           \
    event.arm = value;                                                         \
    seen = give(&handlers, &event);                                            \
    ck_assert_uint_eq(seen.calls, 1);                                          \
  } while (0)

#define ASSERT_NUMBER(CASE, arm, value)                                        \
  do {                                                                         \
    GIVE(CASE, arm, value);                                                    \
    ck_assert_str_eq(seen.handler, #arm);                                      \
    ck_assert_uint_eq(seen.number, (uint64_t)(value));                         \
  } while (0)

START_TEST(numbers_come_by_value) {
  Generated__Event event;
  struct seen seen;
  ASSERT_NUMBER(KIND, kind, GENERATED__KIND__KIND_OTHER);
  ASSERT_NUMBER(FLAG, flag, 1);
  ASSERT_NUMBER(I32, i32, INT32_MIN);
  ASSERT_NUMBER(I64, i64, INT64_MIN);
  ASSERT_NUMBER(U32, u32, UINT32_MAX);
  ASSERT_NUMBER(U64, u64, UINT64_MAX);
  ASSERT_NUMBER(S32, s32, -3);
  ASSERT_NUMBER(S64, s64, -4);
  ASSERT_NUMBER(F32, f32, 5);
  ASSERT_NUMBER(F64, f64, 6);
  ASSERT_NUMBER(SF32, sf32, -7);
  ASSERT_NUMBER(SF64, sf64, -8);
  GIVE(REAL, real, 0.5f);
  ck_assert_str_eq(seen.handler, "real");
  ck_assert(seen.real > 0.4 && seen.real < 0.6);
  GIVE(LONG_REAL, longreal, -0.25);
  ck_assert_str_eq(seen.handler, "longreal");
  ck_assert(seen.real > -0.3 && seen.real < -0.2);
  GIVE(DEFAULT, default_, 1);
  ck_assert_str_eq(seen.handler, "default");
  ck_assert_uint_eq(seen.number, 1);
}
END_TEST

#define ASSERT_POINTER(CASE, arm, value, expected)                             \
  do {                                                                         \
    GIVE(CASE, arm, value);                                                    \
    ck_assert_str_eq(seen.handler, #arm);                                      \
    ck_assert_ptr_eq(seen.pointer, expected);                                  \
  } while (0)

START_TEST(the_others_come_by_pointer) {
  char text[] = "text";
  Generated__Item item = new_item();
  Generated__Types__Note other = new_note();
  ProtobufCBinaryData bytes = {0};
  Generated__Event event;
  struct seen seen;
  ASSERT_POINTER(ITEM, item, &item, &item);
  ASSERT_POINTER(NOTE, note, &other, &other);
  ASSERT_POINTER(TEXT, text, text, text);
  ASSERT_POINTER(OLD, old, text, text);
  ASSERT_POINTER(DATA, data, bytes, &event.data);
  ASSERT_POINTER(RAW, raw, bytes, &event.raw);
  ASSERT_POINTER(ITEM, item, NULL, NULL);
}
END_TEST

START_TEST(what_has_no_handler_goes_to_rest) {
  struct generated__event__handlers few = {
      .size = sizeof few, .rest = rest, .on_u32 = on_u32};
  Generated__Event event = GENERATED__EVENT__INIT;
  ck_assert_str_eq(give(&few, &event).handler, "rest");
  event.what_case = GENERATED__EVENT__WHAT_U64;
  ck_assert_str_eq(give(&few, &event).handler, "rest");
  event.what_case = GENERATED__EVENT__WHAT_U32;
  ck_assert_str_eq(give(&few, &event).handler, "u32");
  /* Numbers that no member has: below, between, above. */
  static const int none[] = {1, 2, 21, 39, 42, 1999, 2001, 0x7fffffff};
  for (size_t i = 0; i < COUNT(none); i++) {
    event.what_case = (Generated__Event__WhatCase)none[i];
    struct seen seen = give(&few, &event);
    ck_assert_str_eq(seen.handler, "rest");
    ck_assert_uint_eq(seen.calls, 1);
  }
  few.rest = NULL;
  ck_assert_uint_eq(give(&few, &event).calls, 0);
  event.what_case = GENERATED__EVENT__WHAT_U64;
  ck_assert_uint_eq(give(&few, &event).calls, 0);
  event.what_case = GENERATED__EVENT__WHAT__NOT_SET;
  ck_assert_uint_eq(give(&few, &event).calls, 0);
}
END_TEST

static void older_rest(void *state, psock_connection *connection,
    const Generated__Older *message) {
  struct seen *seen = note(state, connection, message, "rest");
  ck_assert_uint_eq(message->base.n_unknown_fields, 1);
  seen->number = message->base.unknown_fields[0].tag;
}

static void older_item(void *state, psock_connection *connection,
    const Generated__Older *message, const Generated__Item *item) {
  note(state, connection, message, "item")->pointer = item;
}

/* A member that only the sender's schema has is among the unknown fields. */
START_TEST(unknown_member_goes_to_rest) {
  static const uint8_t unknown[] = {0x1a, 2, 'h', 'i'};
  static const uint8_t known[] = {0xc2, 2, 0};
  struct generated__older__handlers of_older = {
      .size = sizeof of_older, .rest = older_rest, .on_item = older_item};
  struct seen seen = {0};
  psock_reactor reactor = generated__older__reactor(&of_older, &seen);
  Generated__Older *older =
      generated__older__unpack(NULL, sizeof unknown, unknown);
  given_message = older;
  psock_dispatch(
      reactor.dispatch, reactor.handlers, reactor.state, CONNECTION, older);
  ck_assert_str_eq(seen.handler, "rest");
  ck_assert_uint_eq(seen.number, 3);
  generated__older__free_unpacked(older, NULL);
  older = generated__older__unpack(NULL, sizeof known, known);
  given_message = older;
  psock_dispatch(
      reactor.dispatch, reactor.handlers, reactor.state, CONNECTION, older);
  ck_assert_str_eq(seen.handler, "item");
  ck_assert_ptr_eq(seen.pointer, older->item);
  generated__older__free_unpacked(older, NULL);
}
END_TEST

/* Handlers of a program whose header knew only those in front of `end`, with
 * nothing behind them that could be read. */
static struct seen give_to_older(size_t end, const Generated__Event *event) {
  struct generated__event__handlers *older = malloc(end);
  struct seen seen;
  ck_assert_ptr_nonnull(older);
  memcpy(older, &handlers, end);
  memcpy(older, &end, sizeof end);
  seen = give(older, event);
  free(older);
  return seen;
}

START_TEST(older_handlers_are_shorter) {
  Generated__Event event = GENERATED__EVENT__INIT;
  event.what_case = GENERATED__EVENT__WHAT_OLD;
  ck_assert_str_eq(give_to_older(sizeof handlers, &event).handler, "old");
  ck_assert_str_eq(
      give_to_older(offsetof(struct generated__event__handlers, on_old), &event)
          .handler,
      "rest");
  event.what_case = GENERATED__EVENT__WHAT_DEFAULT;
  ck_assert_str_eq(
      give_to_older(offsetof(struct generated__event__handlers, on_old), &event)
          .handler,
      "default");
  ck_assert_uint_eq(
      give_to_older(offsetof(struct generated__event__handlers, rest), &event)
          .calls,
      0);
}
END_TEST

START_TEST(tables_are_sorted) {
  const struct psock_dispatch_table *table = &generated__event__dispatch;
  ck_assert_uint_eq(table->size, sizeof *table);
  ck_assert_uint_eq(table->case_offset, offsetof(Generated__Event, what_case));
  ck_assert_uint_eq(table->row_count, 21);
  for (size_t i = 1; i < table->row_count; i++)
    ck_assert_uint_lt(table->rows[i - 1].field, table->rows[i].field);
  ck_assert_uint_eq(table->rows[0].field, 3);
  ck_assert_uint_eq(table->rows[20].field, 2000);
}
END_TEST

/* A message of a table that is made by hand: just its case. */
struct plain {
  uint32_t which;
};

static uint32_t called;

static int call_low(const void *of, void *state, psock_connection *connection,
    const void *message) {
  (void)of;
  (void)state;
  (void)connection;
  (void)message;
  called = 1;
  return 1;
}

static int call_high(const void *of, void *state, psock_connection *connection,
    const void *message) {
  call_low(of, state, connection, message);
  called = 2;
  return 1;
}

static int call_rest(const void *of, void *state, psock_connection *connection,
    const void *message) {
  call_low(of, state, connection, message);
  called = 3;
  return 1;
}

/* Numbers with gaps, among them one for each place that a guess may hit. */
START_TEST(gaps_between_rows) {
  static const struct psock_dispatch_row rows[] = {
      {2, call_low}, {4, call_high}, {5, call_low}, {9, call_high}};
  static const struct psock_dispatch_table table = {
      sizeof table, NULL, offsetof(struct plain, which), rows, 4, call_rest};
  static const uint32_t expected[] = {3, 3, 1, 3, 2, 1, 3, 3, 3, 2, 3};
  for (uint32_t field = 0; field < 11; field++) {
    struct plain plain = {field};
    psock_dispatch(&table, NULL, NULL, CONNECTION, &plain);
    ck_assert_uint_eq(called, expected[field]);
  }
}
END_TEST

/* Which messages have a table: see the comments in the schemas. */
START_TEST(options_choose_the_messages) {
  ck_assert_uint_eq(generated__older__dispatch.row_count, 1);
  ck_assert_uint_eq(generated__asks__dispatch.row_count, 1);
  ck_assert_uint_eq(generated__clashes__dispatch.row_count, 5);
  ck_assert_uint_eq(generated__several__dispatch.row_count, 2);
  ck_assert_uint_eq(generated__several__dispatch.case_offset,
      offsetof(Generated__Several, second_case));
  ck_assert_uint_eq(generated2__inner__dispatch.row_count, 3);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("generated dispatch");
  TCase *tcase = guard_case(suite, "generated dispatch");
  tcase_add_test(tcase, nothing_is_made_unasked);
  tcase_add_test(tcase, reactor_holds_what_it_was_given);
  tcase_add_test(tcase, numbers_come_by_value);
  tcase_add_test(tcase, the_others_come_by_pointer);
  tcase_add_test(tcase, what_has_no_handler_goes_to_rest);
  tcase_add_test(tcase, unknown_member_goes_to_rest);
  tcase_add_test(tcase, older_handlers_are_shorter);
  tcase_add_test(tcase, tables_are_sorted);
  tcase_add_test(tcase, gaps_between_rows);
  tcase_add_test(tcase, options_choose_the_messages);
  return guard_main(suite);
}
