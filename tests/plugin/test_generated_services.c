/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/guard.h"
#include "messages.h"
#include <string.h>

/*
 * Services that protoc-gen-psock has generated: the tables of their methods,
 * and the functions that call and send, over a caller and a call that only note
 * what they are asked for. The schema is generated.proto.
 */

/* The headers can be asked whether they declare these: they must not. */
static const int generated__greeter__say_hello__send = 1;
static const int generated__greeter__load__run = 1;

START_TEST(nothing_is_made_unasked) {
  int made =
      generated__greeter__say_hello__send + generated__greeter__load__run;
  ck_assert_int_eq(made, 2);
}
END_TEST

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
  struct generated__greeter__say_hello__events hello = {
      .events = {.size = sizeof hello.events}};
  struct generated__greeter__watch__events watch = {
      .events = {.size = sizeof watch.events}};
  struct generated__greeter__load__events load = {
      .events = {.size = sizeof load.events}};
  struct psock_call_options options = {.size = sizeof options};
  Generated__Item item = new_item();
  Generated__Types__Note other = new_note();
  psock_call *made = NULL;
  int data;
  ck_assert_int_eq(generated__greeter__say_hello__start(
                       &caller, &item, &options, &hello, &data, &made),
      42);
  ck_assert_ptr_eq(made, &call);
  check_asked(
      "start", &item, methods[0].method, &options, &hello.events, &data);
  ck_assert_int_eq(generated__greeter__say_hello__run(
                       &caller, &item, &options, &hello, &data),
      43);
  check_asked("run", &item, methods[0].method, &options, &hello.events, &data);
  ck_assert_int_eq(generated__greeter__watch__start(
                       &caller, &other, NULL, &watch, &data, &made),
      42);
  check_asked("start", &other, methods[1].method, NULL, &watch.events, &data);
  ck_assert_int_eq(
      generated__greeter__watch__run(&caller, &other, NULL, &watch, &data), 43);
  check_asked("run", &other, methods[1].method, NULL, &watch.events, &data);
  ck_assert_int_eq(
      generated__greeter__load__start(&caller, NULL, &load, &data, &made), 42);
  check_asked("start", NULL, methods[2].method, NULL, &load.events, &data);
}
END_TEST

START_TEST(functions_that_send) {
  Generated__Item item = new_item();
  Generated__Event event = GENERATED__EVENT__INIT;
  Generated__Types__Receipt receipt = GENERATED__TYPES__RECEIPT__INIT;
  ck_assert_int_eq(generated__greeter__say_hello__reply(&call, &receipt), 41);
  ck_assert_ptr_eq(asked.message, &receipt);
  ck_assert_int_eq(generated__greeter__watch__reply(&call, &event), 41);
  ck_assert_ptr_eq(asked.message, &event);
  ck_assert_int_eq(generated__greeter__load__send(&call, &item), 41);
  ck_assert_ptr_eq(asked.message, &item);
  event.code = 1;
  ck_assert_int_eq(generated__greeter__talk__send(&call, &event), 41);
  ck_assert_ptr_eq(asked.message, &event);
  ck_assert_ptr_eq(asked.caller, &call);
}
END_TEST

static const void *served;

static void on_say_hello(
    void *state, psock_call *of, const Generated__Item *request) {
  ck_assert_ptr_eq(state, &asked);
  ck_assert_ptr_eq(of, &call);
  served = request;
}

static void on_load(void *state, psock_call *of) {
  ck_assert_ptr_eq(state, &asked);
  served = of;
}

START_TEST(serving_calls_the_handler) {
  const struct psock_method *hello = &generated__greeter__say_hello__method;
  const struct psock_method *load = &generated__greeter__load__method;
  struct generated__greeter__handlers few = {
      .size = sizeof few, .on_say_hello = on_say_hello, .on_load = on_load};
  Generated__Item item = new_item();
  ck_assert_int_eq(hello->serve(&few, &asked, &call, &item), 1);
  ck_assert_ptr_eq(served, &item);
  ck_assert_int_eq(load->serve(&few, &asked, &call, NULL), 1);
  ck_assert_ptr_eq(served, &call);
  ck_assert_int_eq(
      generated__greeter__watch__method.serve(&few, &asked, &call, &item), 0);
  ck_assert_int_eq(
      generated__greeter__talk__method.serve(&few, &asked, &call, NULL), 0);
  few.size = offsetof(struct generated__greeter__handlers, on_load);
  ck_assert_int_eq(load->serve(&few, &asked, &call, NULL), 0);
  ck_assert_int_eq(hello->serve(&few, &asked, &call, &item), 1);
}
END_TEST

static void got_receipt(
    void *data, psock_call *of, const Generated__Types__Receipt *response) {
  ck_assert_ptr_eq(data, &asked);
  ck_assert_ptr_eq(of, &call);
  served = response;
}

START_TEST(delivering_tells_the_caller) {
  const struct psock_method *hello = &generated__greeter__say_hello__method;
  struct generated__greeter__say_hello__events events = {
      .events = {.size = sizeof events.events}, .message = got_receipt};
  Generated__Types__Receipt receipt = GENERATED__TYPES__RECEIPT__INIT;
  hello->deliver(&events, &asked, &call, &receipt);
  ck_assert_ptr_eq(served, &receipt);
  events.message = NULL;
  hello->deliver(&events, &asked, &call, &receipt);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("generated services");
  TCase *tcase = guard_case(suite, "generated services");
  tcase_add_test(tcase, nothing_is_made_unasked);
  tcase_add_test(tcase, methods_have_their_rows);
  tcase_add_test(tcase, services_list_their_methods);
  tcase_add_test(tcase, functions_that_call);
  tcase_add_test(tcase, functions_that_send);
  tcase_add_test(tcase, serving_calls_the_handler);
  tcase_add_test(tcase, delivering_tells_the_caller);
  return guard_main(suite);
}
