/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/guard.h"
#include "messages.h"
#include <string.h>

/*
 * Services that protoc-gen-psock has generated, and calls of messages that say
 * what answers them: the tables of their methods, and the typed functions. What
 * the functions call is defined here in place of the library: it only notes
 * what it is asked for, and returns what a test has said. The schema is
 * generated.proto.
 */

/* The headers can be asked whether they declare these: they must not. */
enum {
  generated__greeter__say_hello__send_response,
  generated__greeter__say_hello__set_events,
  generated__greeter__say_hello__open,
  generated__greeter__say_hello__receive,
  generated__greeter__say_hello__send_request,
  generated__greeter__watch__reply,
  generated__greeter__watch__set_events,
  generated__greeter__watch__run,
  generated__greeter__watch__send_request,
  generated__greeter__load__send_response,
  generated__greeter__load__run,
  generated__greeter__talk__reply,
  generated__greeter__talk__run,
  generated__ask__call__set_events,
  generated__ask__call__send_request,
  generated__answer__call__service,
  UNASKED
};
struct generated__greeter__say_hello__request_events {
  char unasked;
};
struct generated__greeter__watch__request_events {
  char unasked;
};
struct generated__ask__call__request_events {
  char unasked;
};

START_TEST(nothing_is_made_unasked) {
  ck_assert_int_eq(UNASKED, 16);
}
END_TEST

/* ---- In place of the library ---- */

struct psock_call {
  char unused;
};
struct psock_caller {
  char unused;
};
static psock_call call;
static psock_caller caller;

/* What a function of the library was asked for, and what it says to that. */
static struct {
  const char *function;
  const void *object;
  const struct psock_method *method;
  const void *message;
  const struct psock_call_options *options;
  const struct psock_call_events *events;
  const void *data;
} asked;
static int result;
static const void *answer;

static int note(const char *function, const void *object, const void *message) {
  memset(&asked, 0, sizeof asked);
  asked.function = function;
  asked.object = object;
  asked.message = message;
  return result;
}

int psock_call_send(psock_call *of, const void *message) {
  return note("psock_call_send", of, message);
}

int psock_call_reply(psock_call *of, const void *message) {
  return note("psock_call_reply", of, message);
}

int psock_call_receive(psock_call *of, const void **ret_message) {
  if (result > 0)
    *ret_message = answer;
  return note("psock_call_receive", of, NULL);
}

void psock_call_set_events(
    psock_call *of, const struct psock_call_events *events, void *data) {
  note("psock_call_set_events", of, NULL);
  asked.events = events;
  asked.data = data;
}

int psock_caller_start(psock_caller *on, const struct psock_method *method,
    const void *request, const struct psock_call_options *options,
    const struct psock_call_events *events, void *data, psock_call **ret_call) {
  note("psock_caller_start", on, request);
  asked.method = method;
  asked.options = options;
  asked.events = events;
  asked.data = data;
  *ret_call = &call;
  return result;
}

int psock_caller_open(psock_caller *on, const struct psock_method *method,
    const void *request, const struct psock_call_options *options,
    psock_call **ret_call) {
  note("psock_caller_open", on, request);
  asked.method = method;
  asked.options = options;
  *ret_call = &call;
  return result;
}

int psock_caller_run(psock_caller *on, const struct psock_method *method,
    const void *request, const struct psock_call_options *options,
    const void **ret_response, psock_call **ret_call) {
  note("psock_caller_run", on, request);
  asked.method = method;
  asked.options = options;
  if (result == 0)
    *ret_response = answer;
  *ret_call = &call;
  return result;
}

/* ---- Tables ---- */

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
    {&generated__greeter__say_hello__method, "generated.Greeter/SayHello",
        0xafc0939e, 0, 0, &generated__item__type,
        &generated__types__receipt__type},
    {&generated__greeter__watch__method, "generated.Greeter/Watch", 0x2769c4d2,
        PSOCK_METHOD_SERVER_STREAMS, UINT64_C(1500000000),
        &generated__types__note__type, &generated__event__type},
    {&generated__greeter__load__method, "generated.Greeter/Load", 0xb91a9c13,
        PSOCK_METHOD_CLIENT_STREAMS | PSOCK_METHOD_IDEMPOTENT,
        PSOCK_TIMEOUT_NONE, &generated__item__type,
        &generated__types__receipt__type},
    {&generated__greeter__talk__method, "old.Greeter/Chat", 0xfcf92c79,
        PSOCK_METHOD_CLIENT_STREAMS | PSOCK_METHOD_SERVER_STREAMS |
            PSOCK_METHOD_IDEMPOTENT,
        0, &generated__event__type, &generated__event__type},
    {&generated__other__say_hello__method, "generated.Other/SayHello",
        0x05ad6c06, 0, 0, &generated__item__type, &generated__item__type},
    {&generated__ask__call__method, "generated.Ask", 0, PSOCK_METHOD_MAY_STREAM,
        0, &generated__ask__type, &generated__ask__answer__type},
    {&generated__ask__inner__call__method, "generated.Ask.Inner", 0,
        PSOCK_METHOD_MAY_STREAM, 0, &generated__ask__inner__type,
        &generated__ask__answer__type},
    {&generated__order__call__method, "generated.Order", 0,
        PSOCK_METHOD_MAY_STREAM, 0, &generated__order__type,
        &generated__types__delivery__type},
    {&generated__ping__call__method, "generated.Ping", 0,
        PSOCK_METHOD_MAY_STREAM, 0, &generated__ping__type,
        &generated__ping__type},
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
    ck_assert(method->serve != NULL && method->deliver != NULL);
    ck_assert_int_eq(method->deliver_request != NULL,
        (method->flags & PSOCK_METHOD_CLIENT_STREAMS) != 0);
  }
}
END_TEST

START_TEST(services_list_their_methods) {
  const struct psock_service *greeter = &generated__greeter__service;
  const struct psock_service *empty = &generated__nothing__service;
  ck_assert_uint_eq(greeter->size, sizeof *greeter);
  ck_assert_str_eq(greeter->name, "generated.Greeter");
  ck_assert_uint_eq(greeter->method_count, 4);
  for (size_t i = 0; i < greeter->method_count; i++)
    ck_assert_ptr_eq(greeter->methods[i], methods[i].method);
  ck_assert_uint_eq(generated__other__service.method_count, 1);
  ck_assert_str_eq(empty->name, "generated.Nothing");
  ck_assert_uint_eq(empty->method_count, 0);
}
END_TEST

START_TEST(messages_that_are_answered_are_services) {
  const struct psock_service *ask = &generated__ask__call__service;
  ck_assert_uint_eq(ask->size, sizeof *ask);
  ck_assert_str_eq(ask->name, "generated.Ask");
  ck_assert_uint_eq(ask->method_count, 1);
  ck_assert_ptr_eq(ask->methods[0], &generated__ask__call__method);
  ck_assert_str_eq(
      generated__ask__inner__call__service.name, "generated.Ask.Inner");
  ck_assert_ptr_eq(generated__order__call__service.methods[0],
      &generated__order__call__method);
}
END_TEST

/* ---- Calling ---- */

static struct psock_call_options options = {.size = sizeof options};
static int data;

/* What was just asked for is this: of the caller, if there is a method, else of
 * the call. */
static void check_asked(const char *function, const struct psock_method *method,
    const void *message, const struct psock_call_events *events) {
  bool calls = method != NULL;
  ck_assert_str_eq(asked.function, function);
  ck_assert_ptr_eq(
      asked.object, calls ? (const void *)&caller : (const void *)&call);
  ck_assert_ptr_eq(asked.method, method);
  ck_assert_ptr_eq(asked.message, message);
  ck_assert_ptr_eq(asked.options, calls ? &options : NULL);
  ck_assert_ptr_eq(asked.events, events);
  ck_assert_ptr_eq(asked.data, events != NULL ? &data : NULL);
}

/* What follows `request`, which is NULL where requests stream, are the first
 * arguments of the function. */
#define CHECK_START(prefix, request, ...)                                      \
  do {                                                                         \
    struct prefix##__events events = {                                         \
        .events = {.size = sizeof(struct psock_call_events)}};                 \
    psock_call *made = NULL;                                                   \
    result = 43;                                                               \
    ck_assert_int_eq(                                                          \
        prefix##__start(__VA_ARGS__, &options, &events, &data, &made), 43);    \
    ck_assert_ptr_eq(made, &call);                                             \
    check_asked(                                                               \
        "psock_caller_start", &prefix##__method, request, &events.events);     \
  } while (0)

#define CHECK_OPEN(prefix, request, ...)                                       \
  do {                                                                         \
    psock_call *made = NULL;                                                   \
    result = 44;                                                               \
    ck_assert_int_eq(prefix##__open(__VA_ARGS__, &options, &made), 44);        \
    ck_assert_ptr_eq(made, &call);                                             \
    check_asked("psock_caller_open", &prefix##__method, request, NULL);        \
  } while (0)

/* What is returned comes back, and the response only if there is one. */
#define CHECK_RUN(prefix, request, Response, value)                            \
  do {                                                                         \
    Response before, after;                                                    \
    const Response *response = &before;                                        \
    psock_call *made = NULL;                                                   \
    answer = &after;                                                           \
    result = value;                                                            \
    ck_assert_int_eq(                                                          \
        prefix##__run(&caller, request, &options, &response, &made), value);   \
    ck_assert_ptr_eq(response, (value) == 0 ? &after : &before);               \
    ck_assert_ptr_eq(made, &call);                                             \
    check_asked("psock_caller_run", &prefix##__method, request, NULL);         \
  } while (0)

#define CHECK_RECEIVE(prefix, Response, value)                                 \
  do {                                                                         \
    Response before, after;                                                    \
    const Response *response = &before;                                        \
    answer = &after;                                                           \
    result = value;                                                            \
    ck_assert_int_eq(prefix##__receive(&call, &response), value);              \
    ck_assert_ptr_eq(response, (value) > 0 ? &after : &before);                \
    check_asked("psock_call_receive", NULL, NULL, NULL);                       \
  } while (0)

/* `function` sends or answers with a message. */
#define CHECK_SEND(function, library, Message)                                 \
  do {                                                                         \
    Message message;                                                           \
    memset(&message, 0, sizeof message);                                       \
    result = 45;                                                               \
    ck_assert_int_eq(function(&call, &message), 45);                           \
    check_asked(library, NULL, &message, NULL);                                \
  } while (0)

#define CHECK_SET_EVENTS(prefix)                                               \
  do {                                                                         \
    struct prefix##__request_events events = {                                 \
        .events = {.size = sizeof(struct psock_call_events)}};                 \
    prefix##__set_events(&call, &events, &data);                               \
    check_asked("psock_call_set_events", NULL, NULL, &events.events);          \
  } while (0)

START_TEST(one_request_one_response) {
  Generated__Item item = new_item();
  CHECK_START(generated__greeter__say_hello, &item, &caller, &item);
  CHECK_RUN(generated__greeter__say_hello, &item, Generated__Types__Receipt, 0);
  CHECK_RUN(generated__greeter__say_hello, &item, Generated__Types__Receipt, 5);
  CHECK_RUN(
      generated__greeter__say_hello, &item, Generated__Types__Receipt, -3);
  CHECK_SEND(generated__greeter__say_hello__reply, "psock_call_reply",
      Generated__Types__Receipt);
}
END_TEST

START_TEST(many_responses) {
  Generated__Types__Note request = new_note();
  CHECK_START(generated__greeter__watch, &request, &caller, &request);
  CHECK_OPEN(generated__greeter__watch, &request, &caller, &request);
  CHECK_RECEIVE(generated__greeter__watch, Generated__Event, 1);
  CHECK_RECEIVE(generated__greeter__watch, Generated__Event, 0);
  CHECK_RECEIVE(generated__greeter__watch, Generated__Event, -3);
  CHECK_SEND(generated__greeter__watch__send_response, "psock_call_send",
      Generated__Event);
}
END_TEST

START_TEST(many_requests) {
  CHECK_START(generated__greeter__load, NULL, &caller);
  CHECK_OPEN(generated__greeter__load, NULL, &caller);
  CHECK_RECEIVE(generated__greeter__load, Generated__Types__Receipt, 1);
  CHECK_RECEIVE(generated__greeter__load, Generated__Types__Receipt, 0);
  CHECK_SEND(generated__greeter__load__send_request, "psock_call_send",
      Generated__Item);
  CHECK_SEND(generated__greeter__load__reply, "psock_call_reply",
      Generated__Types__Receipt);
  CHECK_SET_EVENTS(generated__greeter__load);
}
END_TEST

START_TEST(many_of_both) {
  CHECK_START(generated__greeter__talk, NULL, &caller);
  CHECK_OPEN(generated__greeter__talk, NULL, &caller);
  CHECK_RECEIVE(generated__greeter__talk, Generated__Event, 1);
  CHECK_RECEIVE(generated__greeter__talk, Generated__Event, -3);
  CHECK_SEND(generated__greeter__talk__send_request, "psock_call_send",
      Generated__Event);
  CHECK_SEND(generated__greeter__talk__send_response, "psock_call_send",
      Generated__Event);
  CHECK_SET_EVENTS(generated__greeter__talk);
}
END_TEST

/* Of a message that is answered by one or by many, there is either way. */
START_TEST(calls_of_messages) {
  Generated__Order order = GENERATED__ORDER__INIT;
  CHECK_START(generated__order__call, &order, &caller, &order);
  CHECK_RUN(generated__order__call, &order, Generated__Types__Delivery, 0);
  CHECK_RUN(generated__order__call, &order, Generated__Types__Delivery, 14);
  CHECK_OPEN(generated__order__call, &order, &caller, &order);
  CHECK_RECEIVE(generated__order__call, Generated__Types__Delivery, 1);
  CHECK_RECEIVE(generated__order__call, Generated__Types__Delivery, 0);
  CHECK_SEND(generated__order__call__reply, "psock_call_reply",
      Generated__Types__Delivery);
  CHECK_SEND(generated__order__call__send_response, "psock_call_send",
      Generated__Types__Delivery);
}
END_TEST

/* ---- Serving, and being told ---- */

static const void *served;

static void serve(void *state, psock_call *of, const void *request) {
  ck_assert_ptr_eq(state, &data);
  ck_assert_ptr_eq(of, &call);
  served = request;
}

static void on_say_hello(
    void *state, psock_call *of, const Generated__Item *request) {
  serve(state, of, request);
}

static void on_load(void *state, psock_call *of) {
  serve(state, of, of);
}

static void on_call(
    void *state, psock_call *of, const Generated__Order *request) {
  serve(state, of, request);
}

START_TEST(serving_calls_the_handler) {
  const struct psock_method *hello = &generated__greeter__say_hello__method;
  const struct psock_method *load = &generated__greeter__load__method;
  struct generated__greeter__handlers few = {
      .size = sizeof few, .on_say_hello = on_say_hello, .on_load = on_load};
  Generated__Item item = new_item();
  ck_assert_int_eq(hello->serve(&few, &data, &call, &item), 1);
  ck_assert_ptr_eq(served, &item);
  ck_assert_int_eq(load->serve(&few, &data, &call, NULL), 1);
  ck_assert_ptr_eq(served, &call);
  ck_assert_int_eq(
      generated__greeter__watch__method.serve(&few, &data, &call, &item), 0);
  ck_assert_int_eq(
      generated__greeter__talk__method.serve(&few, &data, &call, NULL), 0);
  few.size = offsetof(struct generated__greeter__handlers, on_load);
  ck_assert_int_eq(load->serve(&few, &data, &call, NULL), 0);
  ck_assert_int_eq(hello->serve(&few, &data, &call, &item), 1);
}
END_TEST

START_TEST(serving_calls_the_handler_of_a_message) {
  const struct psock_method *method = &generated__order__call__method;
  struct generated__order__call__handlers handlers = {
      .size = sizeof handlers, .on_call = on_call};
  Generated__Order order = GENERATED__ORDER__INIT;
  ck_assert_int_eq(method->serve(&handlers, &data, &call, &order), 1);
  ck_assert_ptr_eq(served, &order);
  handlers.on_call = NULL;
  ck_assert_int_eq(method->serve(&handlers, &data, &call, &order), 0);
  ck_assert_int_eq(
      generated__ask__call__method.serve(
          &(struct generated__ask__call__handlers){.size = sizeof(size_t)},
          &data, &call, &order),
      0);
}
END_TEST

static void got_receipt(
    void *state, psock_call *of, const Generated__Types__Receipt *response) {
  serve(state, of, response);
}

static void got_item(
    void *state, psock_call *of, const Generated__Item *request) {
  serve(state, of, request);
}

static void got_delivery(
    void *state, psock_call *of, const Generated__Types__Delivery *response) {
  serve(state, of, response);
}

/* `function` gives a message to `message` of `events`, if that is set. */
#define CHECK_DELIVER(function, struct_events, got, Message)                   \
  do {                                                                         \
    struct struct_events events = {                                            \
        .events = {.size = sizeof events.events}, .message = got};             \
    Message message;                                                           \
    memset(&message, 0, sizeof message);                                       \
    function(&events, &data, &call, &message);                                 \
    ck_assert_ptr_eq(served, &message);                                        \
    served = NULL;                                                             \
    events.message = NULL;                                                     \
    function(&events, &data, &call, &message);                                 \
    ck_assert_ptr_null(served);                                                \
  } while (0)

START_TEST(delivering_tells_either_side) {
  CHECK_DELIVER(generated__greeter__say_hello__method.deliver,
      generated__greeter__say_hello__events, got_receipt,
      Generated__Types__Receipt);
  CHECK_DELIVER(generated__greeter__load__method.deliver,
      generated__greeter__load__events, got_receipt, Generated__Types__Receipt);
  CHECK_DELIVER(generated__greeter__load__method.deliver_request,
      generated__greeter__load__request_events, got_item, Generated__Item);
  CHECK_DELIVER(generated__order__call__method.deliver,
      generated__order__call__events, got_delivery, Generated__Types__Delivery);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("generated services");
  TCase *tcase = guard_case(suite, "generated services");
  tcase_add_test(tcase, nothing_is_made_unasked);
  tcase_add_test(tcase, methods_have_their_rows);
  tcase_add_test(tcase, services_list_their_methods);
  tcase_add_test(tcase, messages_that_are_answered_are_services);
  tcase_add_test(tcase, one_request_one_response);
  tcase_add_test(tcase, many_responses);
  tcase_add_test(tcase, many_requests);
  tcase_add_test(tcase, many_of_both);
  tcase_add_test(tcase, calls_of_messages);
  tcase_add_test(tcase, serving_calls_the_handler);
  tcase_add_test(tcase, serving_calls_the_handler_of_a_message);
  tcase_add_test(tcase, delivering_tells_either_side);
  return guard_main(suite);
}
