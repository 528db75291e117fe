/* SPDX-License-Identifier: BSD-2-Clause */
#include "faces.psock.h"
#include "faces_proto2.psock.h"
#include "lib/guard.h"

#include <stdlib.h>
#include <string.h>

/*
 * What protoc-gen-psock generates beside encoders and decoders, used as a
 * program uses it: handlers of a oneof, the operations of calls, the tables and
 * functions of services, and the file's descriptor. The schemas are
 * faces.proto, faces_proto2.proto and faces_types.proto.
 */

/* Both headers mark deprecated members, and all of them are looked at here. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* The headers can be asked whether they declare these: they must not. */
static const int faces_proto2__file = 1;
static const int faces__held__dispatch = 1;
static const int faces__refuses__dispatch = 1;
static const int faces__several__nested__dispatch = 1;
static const int faces__only_id__get_code = 1;
static const int faces__only_id__make_end = 1;
static const int faces__greeter__say_hello__send = 1;
static const int faces__greeter__load__run = 1;

START_TEST(nothing_is_made_unasked) {
  int made = faces_proto2__file + faces__held__dispatch +
             faces__refuses__dispatch + faces__several__nested__dispatch +
             faces__only_id__get_code + faces__only_id__make_end +
             faces__greeter__say_hello__send + faces__greeter__load__run;
  ck_assert_int_eq(made, 8);
}
END_TEST

/* protoc-c's initialisers of messages with strings cast a `const` away. */
static Faces__Item new_item(void) {
  Faces__Item item;
  faces__item__init(&item);
  return item;
}

static Faces__Types__Note new_note(void) {
  Faces__Types__Note made;
  faces__types__note__init(&made);
  return made;
}

/* ---- Handlers ---- */

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
      const Faces__Event *message, type value) {                               \
    note(state, connection, message, #arm)->member = cast value;               \
  }

HANDLER(item, const Faces__Item *, pointer, )
HANDLER(note, const Faces__Types__Note *, pointer, )
HANDLER(text, const char *, pointer, )
HANDLER(data, const ProtobufCBinaryData *, pointer, )
HANDLER(raw, const ProtobufCBinaryData *, pointer, )
HANDLER(kind, Faces__Kind, number, (uint64_t))
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

static void rest(
    void *state, psock_connection *connection, const Faces__Event *message) {
  note(state, connection, message, "rest");
}

static const struct psock_reactor_ops ops = {.size = sizeof ops};

static const struct faces__event__handlers handlers = {
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

static struct seen give(
    const struct faces__event__handlers *to, const Faces__Event *event) {
  struct seen seen = {0};
  psock_reactor reactor = faces__event__reactor(to, &seen);
  given_message = event;
  psock_dispatch(
      reactor.dispatch, reactor.handlers, reactor.state, CONNECTION, event);
  return seen;
}

START_TEST(reactor_holds_what_it_was_given) {
  int state;
  psock_reactor reactor = faces__event__reactor(&handlers, &state);
  ck_assert_ptr_eq(reactor.ops, &ops);
  ck_assert_ptr_eq(reactor.state, &state);
  ck_assert_ptr_eq(reactor.dispatch, &faces__event__dispatch);
  ck_assert_ptr_eq(reactor.handlers, &handlers);
}
END_TEST

/* Sets the member `arm` of `event`, and gives it. */
#define GIVE(CASE, arm, value)                                                 \
  do {                                                                         \
    event = (Faces__Event)FACES__EVENT__INIT;                                  \
    event.what_case = FACES__EVENT__WHAT_##CASE;                               \
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
  Faces__Event event;
  struct seen seen;
  ASSERT_NUMBER(KIND, kind, FACES__KIND__KIND_OTHER);
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
  Faces__Item item = new_item();
  Faces__Types__Note other = new_note();
  ProtobufCBinaryData bytes = {0};
  Faces__Event event;
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
  struct faces__event__handlers few = {
      .size = sizeof few, .rest = rest, .on_u32 = on_u32};
  Faces__Event event = FACES__EVENT__INIT;
  ck_assert_str_eq(give(&few, &event).handler, "rest");
  event.what_case = FACES__EVENT__WHAT_U64;
  ck_assert_str_eq(give(&few, &event).handler, "rest");
  event.what_case = FACES__EVENT__WHAT_U32;
  ck_assert_str_eq(give(&few, &event).handler, "u32");
  /* Numbers that no member has: below, between, above. */
  static const int none[] = {1, 2, 21, 39, 42, 1999, 2001, 0x7fffffff};
  for (size_t i = 0; i < COUNT(none); i++) {
    event.what_case = (Faces__Event__WhatCase)none[i];
    struct seen seen = give(&few, &event);
    ck_assert_str_eq(seen.handler, "rest");
    ck_assert_uint_eq(seen.calls, 1);
  }
  few.rest = NULL;
  ck_assert_uint_eq(give(&few, &event).calls, 0);
  event.what_case = FACES__EVENT__WHAT_U64;
  ck_assert_uint_eq(give(&few, &event).calls, 0);
  event.what_case = FACES__EVENT__WHAT__NOT_SET;
  ck_assert_uint_eq(give(&few, &event).calls, 0);
}
END_TEST

static void older_rest(
    void *state, psock_connection *connection, const Faces__Older *message) {
  struct seen *seen = note(state, connection, message, "rest");
  ck_assert_uint_eq(message->base.n_unknown_fields, 1);
  seen->number = message->base.unknown_fields[0].tag;
}

static void older_item(void *state, psock_connection *connection,
    const Faces__Older *message, const Faces__Item *item) {
  note(state, connection, message, "item")->pointer = item;
}

/* A member that only the sender's schema has is among the unknown fields. */
START_TEST(unknown_member_goes_to_rest) {
  static const uint8_t unknown[] = {0x1a, 2, 'h', 'i'};
  static const uint8_t known[] = {0xc2, 2, 0};
  struct faces__older__handlers of_older = {
      .size = sizeof of_older, .rest = older_rest, .on_item = older_item};
  struct seen seen = {0};
  psock_reactor reactor = faces__older__reactor(&of_older, &seen);
  Faces__Older *older = faces__older__unpack(NULL, sizeof unknown, unknown);
  given_message = older;
  psock_dispatch(
      reactor.dispatch, reactor.handlers, reactor.state, CONNECTION, older);
  ck_assert_str_eq(seen.handler, "rest");
  ck_assert_uint_eq(seen.number, 3);
  faces__older__free_unpacked(older, NULL);
  older = faces__older__unpack(NULL, sizeof known, known);
  given_message = older;
  psock_dispatch(
      reactor.dispatch, reactor.handlers, reactor.state, CONNECTION, older);
  ck_assert_str_eq(seen.handler, "item");
  ck_assert_ptr_eq(seen.pointer, older->item);
  faces__older__free_unpacked(older, NULL);
}
END_TEST

/* Handlers of a program whose header knew only those in front of `end`, with
 * nothing behind them that could be read. */
static struct seen give_to_older(size_t end, const Faces__Event *event) {
  struct faces__event__handlers *older = malloc(end);
  struct seen seen;
  ck_assert_ptr_nonnull(older);
  memcpy(older, &handlers, end);
  memcpy(older, &end, sizeof end);
  seen = give(older, event);
  free(older);
  return seen;
}

START_TEST(older_handlers_are_shorter) {
  Faces__Event event = FACES__EVENT__INIT;
  event.what_case = FACES__EVENT__WHAT_OLD;
  ck_assert_str_eq(give_to_older(sizeof handlers, &event).handler, "old");
  ck_assert_str_eq(
      give_to_older(offsetof(struct faces__event__handlers, on_old), &event)
          .handler,
      "rest");
  event.what_case = FACES__EVENT__WHAT_DEFAULT;
  ck_assert_str_eq(
      give_to_older(offsetof(struct faces__event__handlers, on_old), &event)
          .handler,
      "default");
  ck_assert_uint_eq(
      give_to_older(offsetof(struct faces__event__handlers, rest), &event)
          .calls,
      0);
}
END_TEST

START_TEST(tables_are_sorted) {
  const struct psock_dispatch_table *table = &faces__event__dispatch;
  ck_assert_uint_eq(table->size, sizeof *table);
  ck_assert_uint_eq(table->case_offset, offsetof(Faces__Event, what_case));
  ck_assert_uint_eq(table->row_count, 21);
  for (size_t i = 1; i < table->row_count; i++)
    ck_assert_uint_lt(table->rows[i - 1].field, table->rows[i].field);
  ck_assert_uint_eq(table->rows[0].field, 3);
  ck_assert_uint_eq(table->rows[20].field, 2000);
}
END_TEST

/* Which messages have a table: see the comments in the schemas. */
START_TEST(options_choose_the_messages) {
  ck_assert_uint_eq(faces__older__dispatch.row_count, 1);
  ck_assert_uint_eq(faces__asks__dispatch.row_count, 1);
  ck_assert_uint_eq(faces__clashes__dispatch.row_count, 5);
  ck_assert_uint_eq(faces__several__dispatch.row_count, 2);
  ck_assert_uint_eq(faces__several__dispatch.case_offset,
      offsetof(Faces__Several, second_case));
  ck_assert_uint_eq(faces2__inner__dispatch.row_count, 3);
}
END_TEST

/* ---- Fields of calls ---- */

/* Sets and gets by the library's functions, which are given the type, and
 * returns the id and the code that it made. */
static void check_type(const struct psock_message_type *type, void *message,
    unsigned id_bits, unsigned code_bits) {
  uint64_t id = UINT64_C(0xfedcba9876543210);
  uint64_t low = UINT64_C(0x76543210);
  ck_assert_uint_eq(type->id->width, id_bits / 8);
  ck_assert_uint_eq(type->code->width, code_bits / 8);
  psock_message_make(type, message, 5, PSOCK_CODE_END);
  ck_assert(protobuf_c_message_check(message));
  ck_assert_uint_eq(psock_message_get_id(type, message), 5);
  ck_assert_uint_eq(psock_message_get_code(type, message), PSOCK_CODE_END);
  psock_message_set_id(type, message, id);
  ck_assert_uint_eq(
      psock_message_get_id(type, message), id_bits == 64 ? id : low);
  psock_message_make(type, message, 9, PSOCK_CODE_CANCEL);
  ck_assert_uint_eq(psock_message_get_code(type, message), PSOCK_CODE_CANCEL);
}

#define CHECK_TYPE(Type, lower, id_bits, code_bits)                            \
  do {                                                                         \
    Type message;                                                              \
    check_type(&lower##__type, &message, id_bits, code_bits);                  \
    ck_assert_uint_eq(lower##__get_id(&message), 9);                           \
    ck_assert_uint_eq(lower##__get_code(&message), PSOCK_CODE_CANCEL);         \
    lower##__make_end(&message, 10);                                           \
    ck_assert_uint_eq(lower##__get_code(&message), PSOCK_CODE_END);            \
    ck_assert_uint_eq(                                                         \
        sizeof(lower##__get_code(&message)), sizeof(uint##code_bits##_t));     \
    ck_assert_uint_eq(lower##__get_id(&message), 10);                          \
    lower##__make_cancel(&message, 11);                                        \
    ck_assert_uint_eq(                                                         \
        psock_message_get_code(&lower##__type, &message), PSOCK_CODE_CANCEL);  \
    lower##__set_id(&message, UINT64_C(0x187654321));                          \
    ck_assert_uint_eq(psock_message_get_id(&lower##__type, &message),          \
        id_bits == 64 ? UINT64_C(0x187654321) : UINT64_C(0x87654321));         \
  } while (0)

START_TEST(ids_and_codes_of_every_type) {
  CHECK_TYPE(Faces__Event, faces__event, 64, 32);
  CHECK_TYPE(Faces__Call32, faces__call32, 32, 32);
  CHECK_TYPE(Faces__CallFixed32, faces__call_fixed32, 32, 64);
  CHECK_TYPE(Faces__CallFixed64, faces__call_fixed64, 64, 64);
  CHECK_TYPE(Faces2__Optional, faces2__optional, 64, 32);
  CHECK_TYPE(Faces2__Required, faces2__required, 64, 64);
  CHECK_TYPE(Faces2__Narrow, faces2__narrow, 32, 32);
}
END_TEST

/* What is sent has its fields: in proto2, only present ones are encoded. */
START_TEST(optional_fields_are_marked) {
  Faces2__Optional message = FACES2__OPTIONAL__INIT;
  faces2__optional__set_id(&message, 0);
  ck_assert(message.has_id && !message.has_code);
  message.has_id = 0;
  psock_message_set_id(&faces2__optional__type, &message, 1);
  ck_assert(message.has_id && !message.has_code);
  /* The default of a field that is absent is its value. */
  ck_assert_uint_eq(faces2__optional__get_code(&message), 7);
  faces2__optional__make_cancel(&message, 3);
  ck_assert(message.has_id && message.has_code);
  ck_assert_str_eq(message.text, "text");
}
END_TEST

START_TEST(id_alone) {
  Faces__OnlyId message = FACES__ONLY_ID__INIT;
  faces__only_id__set_id(&message, UINT64_MAX);
  ck_assert_uint_eq(faces__only_id__get_id(&message), UINT64_MAX);
  ck_assert_ptr_nonnull(faces__only_id__type.id);
  ck_assert_ptr_null(faces__only_id__type.code);
  ck_assert_ptr_null(faces__item__type.id);
  ck_assert_ptr_null(faces__item__type.code);
}
END_TEST

/* ---- Services ---- */

/* The numbers are those of an FNV-1a that somebody else has written. */
static const struct {
  const struct psock_method *method;
  const char *name;
  uint32_t number;
  uint32_t flags;
  uint64_t timeout;
  const struct psock_message_type *request;
  const struct psock_message_type *response;
} methods[] = {
    {&faces__greeter__say_hello__method, "faces.Greeter/SayHello", 0x38f9220b,
        0, 0, &faces__item__type, &faces__types__receipt__type},
    {&faces__greeter__watch__method, "faces.Greeter/Watch", 0x15386e21,
        PSOCK_METHOD_SERVER_STREAMS, UINT64_C(1500000000),
        &faces__types__note__type, &faces__event__type},
    {&faces__greeter__load__method, "faces.Greeter/Load", 0xe60bb372,
        PSOCK_METHOD_CLIENT_STREAMS | PSOCK_METHOD_IDEMPOTENT,
        PSOCK_TIMEOUT_NONE, &faces__item__type, &faces__types__receipt__type},
    {&faces__greeter__talk__method, "old.Greeter/Chat", 0xfcf92c79,
        PSOCK_METHOD_CLIENT_STREAMS | PSOCK_METHOD_SERVER_STREAMS |
            PSOCK_METHOD_IDEMPOTENT,
        0, &faces__event__type, &faces__event__type},
    {&faces__other__say_hello__method, "faces.Other/SayHello", 0x9d664ae3, 0, 0,
        &faces__item__type, &faces__item__type},
};

START_TEST(methods_have_their_rows) {
  for (size_t i = 0; i < COUNT(methods); i++) {
    const struct psock_method *method = methods[i].method;
    ck_assert_uint_eq(method->size, sizeof *method);
    ck_assert_str_eq(method->name, methods[i].name);
    ck_assert_uint_eq(method->number, methods[i].number);
    ck_assert_uint_eq(method->flags, methods[i].flags);
    ck_assert_uint_eq(method->timeout, methods[i].timeout);
    ck_assert_ptr_eq(method->request, methods[i].request);
    ck_assert_ptr_eq(method->response, methods[i].response);
  }
}
END_TEST

START_TEST(services_list_their_methods) {
  const struct psock_service *greeter = &faces__greeter__service;
  const struct psock_service *empty = &faces__nothing__service;
  ck_assert_uint_eq(greeter->size, sizeof *greeter);
  ck_assert_str_eq(greeter->name, "faces.Greeter");
  ck_assert_uint_eq(greeter->method_count, 4);
  for (size_t i = 0; i < greeter->method_count; i++)
    ck_assert_ptr_eq(greeter->methods[i], methods[i].method);
  ck_assert_uint_eq(faces__other__service.method_count, 1);
  ck_assert_str_eq(empty->name, "faces.Nothing");
  ck_assert_uint_eq(empty->method_count, 0);
}
END_TEST

/* A call and a caller that note what they are asked for. */
static struct {
  const char *what;
  const void *message;
  const struct psock_method *method;
  const struct psock_call_options *options;
  const struct psock_call_events *events;
  const void *caller;
  void *data;
} asked;

static int noted_send(psock_call *call, const void *message) {
  asked.what = "send";
  asked.caller = call;
  asked.message = message;
  return 41;
}

static const struct psock_call_ops call_ops = {
    .size = sizeof call_ops, .send = noted_send};
static psock_call call = {&call_ops};

static void note_start(const char *what, psock_caller *caller,
    const struct psock_method *method, const void *request,
    const struct psock_call_options *options,
    const struct psock_call_events *events, void *data) {
  asked.what = what;
  asked.caller = caller;
  asked.method = method;
  asked.message = request;
  asked.options = options;
  asked.events = events;
  asked.data = data;
}

static int noted_start(psock_caller *caller, const struct psock_method *method,
    const void *request, const struct psock_call_options *options,
    const struct psock_call_events *events, void *data, psock_call **ret_call) {
  note_start("start", caller, method, request, options, events, data);
  *ret_call = &call;
  return 42;
}

static int noted_run(psock_caller *caller, const struct psock_method *method,
    const void *request, const struct psock_call_options *options,
    const struct psock_call_events *events, void *data) {
  note_start("run", caller, method, request, options, events, data);
  return 43;
}

static const struct psock_caller_ops caller_ops = {
    .size = sizeof caller_ops, .start = noted_start, .run = noted_run};
static psock_caller caller = {&caller_ops};

static void check_asked(const char *what, const void *message,
    const struct psock_method *method, const struct psock_call_options *options,
    const struct psock_call_events *events, void *data) {
  ck_assert_str_eq(asked.what, what);
  ck_assert_ptr_eq(asked.caller, &caller);
  ck_assert_ptr_eq(asked.message, message);
  ck_assert_ptr_eq(asked.method, method);
  ck_assert_ptr_eq(asked.options, options);
  ck_assert_ptr_eq(asked.events, events);
  ck_assert_ptr_eq(asked.data, data);
  memset(&asked, 0, sizeof asked);
}

START_TEST(functions_that_call) {
  struct faces__greeter__say_hello__events hello = {
      .events = {.size = sizeof hello.events}};
  struct faces__greeter__watch__events watch = {
      .events = {.size = sizeof watch.events}};
  struct faces__greeter__load__events load = {
      .events = {.size = sizeof load.events}};
  struct psock_call_options options = {.size = sizeof options};
  Faces__Item item = new_item();
  Faces__Types__Note other = new_note();
  psock_call *made = NULL;
  int data;
  ck_assert_int_eq(faces__greeter__say_hello__start(
                       &caller, &item, &options, &hello, &data, &made),
      42);
  ck_assert_ptr_eq(made, &call);
  check_asked(
      "start", &item, methods[0].method, &options, &hello.events, &data);
  ck_assert_int_eq(
      faces__greeter__say_hello__run(&caller, &item, &options, &hello, &data),
      43);
  check_asked("run", &item, methods[0].method, &options, &hello.events, &data);
  ck_assert_int_eq(
      faces__greeter__watch__start(&caller, &other, NULL, &watch, &data, &made),
      42);
  check_asked("start", &other, methods[1].method, NULL, &watch.events, &data);
  ck_assert_int_eq(
      faces__greeter__watch__run(&caller, &other, NULL, &watch, &data), 43);
  check_asked("run", &other, methods[1].method, NULL, &watch.events, &data);
  ck_assert_int_eq(
      faces__greeter__load__start(&caller, NULL, &load, &data, &made), 42);
  check_asked("start", NULL, methods[2].method, NULL, &load.events, &data);
}
END_TEST

START_TEST(functions_that_send) {
  Faces__Item item = new_item();
  Faces__Event event = FACES__EVENT__INIT;
  Faces__Types__Receipt receipt = FACES__TYPES__RECEIPT__INIT;
  ck_assert_int_eq(faces__greeter__say_hello__reply(&call, &receipt), 41);
  ck_assert_ptr_eq(asked.message, &receipt);
  ck_assert_int_eq(faces__greeter__watch__reply(&call, &event), 41);
  ck_assert_ptr_eq(asked.message, &event);
  ck_assert_int_eq(faces__greeter__load__send(&call, &item), 41);
  ck_assert_ptr_eq(asked.message, &item);
  event.code = 1;
  ck_assert_int_eq(faces__greeter__talk__send(&call, &event), 41);
  ck_assert_ptr_eq(asked.message, &event);
  ck_assert_ptr_eq(asked.caller, &call);
}
END_TEST

static const void *served;

static void on_say_hello(
    void *state, psock_call *of, const Faces__Item *request) {
  ck_assert_ptr_eq(state, &asked);
  ck_assert_ptr_eq(of, &call);
  served = request;
}

static void on_load(void *state, psock_call *of) {
  ck_assert_ptr_eq(state, &asked);
  served = of;
}

START_TEST(serving_calls_the_handler) {
  const struct psock_method *hello = &faces__greeter__say_hello__method;
  const struct psock_method *load = &faces__greeter__load__method;
  struct faces__greeter__handlers few = {
      .size = sizeof few, .on_say_hello = on_say_hello, .on_load = on_load};
  Faces__Item item = new_item();
  ck_assert_int_eq(hello->serve(&few, &asked, &call, &item), 1);
  ck_assert_ptr_eq(served, &item);
  ck_assert_int_eq(load->serve(&few, &asked, &call, NULL), 1);
  ck_assert_ptr_eq(served, &call);
  ck_assert_int_eq(
      faces__greeter__watch__method.serve(&few, &asked, &call, &item), 0);
  ck_assert_int_eq(
      faces__greeter__talk__method.serve(&few, &asked, &call, NULL), 0);
  few.size = offsetof(struct faces__greeter__handlers, on_load);
  ck_assert_int_eq(load->serve(&few, &asked, &call, NULL), 0);
  ck_assert_int_eq(hello->serve(&few, &asked, &call, &item), 1);
}
END_TEST

static void got_receipt(
    void *data, psock_call *of, const Faces__Types__Receipt *response) {
  ck_assert_ptr_eq(data, &asked);
  ck_assert_ptr_eq(of, &call);
  served = response;
}

START_TEST(delivering_tells_the_caller) {
  const struct psock_method *hello = &faces__greeter__say_hello__method;
  struct faces__greeter__say_hello__events events = {
      .events = {.size = sizeof events.events}, .message = got_receipt};
  Faces__Types__Receipt receipt = FACES__TYPES__RECEIPT__INIT;
  hello->deliver(&events, &asked, &call, &receipt);
  ck_assert_ptr_eq(served, &receipt);
  events.message = NULL;
  hello->deliver(&events, &asked, &call, &receipt);
}
END_TEST

/* ---- The file ---- */

static uint64_t read_varint(const uint8_t **at, const uint8_t *end) {
  uint64_t value = 0;
  unsigned shift = 0;
  do {
    ck_assert(*at < end && shift < 64);
    value |= (uint64_t)(**at & 0x7f) << shift;
    shift += 7;
  } while ((*(*at)++ & 0x80) != 0);
  return value;
}

/* Of google.protobuf.FileDescriptorProto: all fields that these files have are
 * length-delimited. Field 9 would be the places and comments. */
START_TEST(file_has_its_descriptor) {
  const struct psock_file *file = &faces__file;
  const uint8_t *at = file->descriptor;
  const uint8_t *end = at + file->descriptor_length;
  unsigned counts[16] = {0};
  ck_assert_uint_eq(file->size, sizeof *file);
  ck_assert_str_eq(file->name, "faces.proto");
  while (at < end) {
    uint64_t tag = read_varint(&at, end);
    uint64_t length = read_varint(&at, end);
    ck_assert_uint_eq(tag & 7, 2);
    ck_assert_uint_lt(tag >> 3, COUNT(counts));
    ck_assert_uint_le(length, (uint64_t)(end - at));
    if (counts[tag >> 3]++ == 0 && tag >> 3 == 1)
      ck_assert(length == 11 && memcmp(at, "faces.proto", 11) == 0);
    at += length;
  }
  ck_assert_uint_eq(counts[1], 1);
  ck_assert_uint_eq(counts[2], 1);
  ck_assert_uint_eq(counts[3], 3);
  ck_assert_uint_eq(counts[4], 13);
  ck_assert_uint_eq(counts[5], 1);
  ck_assert_uint_eq(counts[6], 3);
  ck_assert_uint_eq(counts[9], 0);
  ck_assert_str_eq(faces_types__file.name, "faces_types.proto");
}
END_TEST

int main(void) {
  Suite *suite = suite_create("generated faces");
  TCase *tcase = guard_case(suite, "handlers");
  tcase_add_test(tcase, nothing_is_made_unasked);
  tcase_add_test(tcase, reactor_holds_what_it_was_given);
  tcase_add_test(tcase, numbers_come_by_value);
  tcase_add_test(tcase, the_others_come_by_pointer);
  tcase_add_test(tcase, what_has_no_handler_goes_to_rest);
  tcase_add_test(tcase, unknown_member_goes_to_rest);
  tcase_add_test(tcase, older_handlers_are_shorter);
  tcase_add_test(tcase, tables_are_sorted);
  tcase_add_test(tcase, options_choose_the_messages);
  tcase = guard_case(suite, "calls");
  tcase_add_test(tcase, ids_and_codes_of_every_type);
  tcase_add_test(tcase, optional_fields_are_marked);
  tcase_add_test(tcase, id_alone);
  tcase = guard_case(suite, "services");
  tcase_add_test(tcase, methods_have_their_rows);
  tcase_add_test(tcase, services_list_their_methods);
  tcase_add_test(tcase, functions_that_call);
  tcase_add_test(tcase, functions_that_send);
  tcase_add_test(tcase, serving_calls_the_handler);
  tcase_add_test(tcase, delivering_tells_the_caller);
  tcase = guard_case(suite, "files");
  tcase_add_test(tcase, file_has_its_descriptor);
  return guard_main(suite);
}
