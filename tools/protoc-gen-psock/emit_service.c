/* SPDX-License-Identifier: BSD-2-Clause */
#include "emit.h"
#include "emit_parts.h"
#include "memory.h"
#include "method.h"

/*
 * A service, for those who serve it and those who call it, or the call that a
 * message's option makes, which is the same. The header has a table of its
 * methods, a struct of typed handlers, and for each method what emit_method.c
 * writes. The source has the tables, and for each method two or three small
 * functions: `serve` calls the handler, `deliver` gives a response to the
 * caller, and `deliver_request` a request to the server, where requests stream.
 * No pointer to a function is ever cast.
 */

#define NANOSECONDS_PER_MILLISECOND 1000000u

/* ---- The header ---- */

static void print_tables(
    struct printer *printer, const struct service *service) {
  print_comments(printer, &service->comments,
      text_format("The service %s.", service->full_name));
  print_line(printer, "extern const struct psock_service %s__service;",
      service->c_lower);
  for (size_t i = 0; i < service->method_count; i++) {
    const struct method *method = &service->methods[i];
    print_gap(printer);
    print_comments(printer, &method->comments,
        text_format("The method %s.", method->name));
    print_line(printer, "extern const struct psock_method %s__method;",
        method->c_lower);
  }
}

/* What a handler answers with. */
static const char *answer(const struct method *method) {
  const char *lower = method->c_lower;
  if (!method_sends(method))
    return text_format("answers with one %s__reply", lower);
  if (!method_replies(method))
    return text_format(
        "answers with %s__send_response, as often as needed", lower);
  return text_format(
      "answers with one %s__reply, or with %s__send_response, as often as "
      "needed",
      lower, lower);
}

static void print_handler(
    struct printer *printer, const struct method *method) {
  const char *request =
      method->client_streams
          ? ""
          : text_format(", const %s *request", method->request->c_type);
  const char *end = method_sends(method) ? ", and then psock_call_end" : "";
  print_note(
      printer, text_format("%s: %s%s.", method->name, answer(method), end));
  print_bracket(printer, text_format("void (*on_%s)(", method->c_name),
      text_format("void *state, psock_call *call%s)%s;", request,
          emit_deprecated(method->deprecated)));
}

static void print_handlers(
    struct printer *printer, const struct service *service) {
  print_gap(printer);
  print_note(
      printer, service->message != NULL
                   ? text_format("Answers every %s.", service->message->c_type)
                   : text_format("Serves %s: a handler for each method.",
                         service->full_name));
  print_line(printer, "struct %s__handlers {", service->c_lower);
  print_open(printer);
  print_note(
      printer, text_format("sizeof(struct %s__handlers).", service->c_lower));
  print_line(printer, "size_t size;");
  for (size_t i = 0; i < service->method_count; i++)
    print_handler(printer, &service->methods[i]);
  print_close(printer, "};\n");
}

void emit_service_header(
    struct printer *printer, const struct service *service) {
  if (service->message == NULL)
    print_heading(printer, service->full_name);
  print_gap(printer);
  print_tables(printer, service);
  print_handlers(printer, service);
  for (size_t i = 0; i < service->method_count; i++)
    emit_method(printer, &service->methods[i]);
}

/* ---- The source ---- */

static void print_serve(struct printer *printer, const struct method *method) {
  print_gap(printer);
  print_bracket(printer, text_format("static int %s__serve(", method->c_lower),
      "const void *handlers, void *state, psock_call *call, "
      "const void *request) {");
  print_open(printer);
  print_line(printer, "const struct %s__handlers *h = handlers;",
      method->service->c_lower);
  if (method->client_streams)
    print_line(printer, "(void)request;");
  print_line(printer, "if (!PSOCK_HANDLER_IS_SET(h, on_%s))", method->c_name);
  print_line(printer, "  return 0;");
  print_line(printer, "h->on_%s(state, call%s);", method->c_name,
      method->client_streams ? "" : ", request");
  print_line(printer, "return 1;");
  print_close(printer, "}\n");
}

/* A function that calls `message` of a struct of events. */
static void print_deliver(struct printer *printer, const struct method *method,
    const char *name, const char *events, const char *message) {
  print_gap(printer);
  print_bracket(printer,
      text_format("static void %s__%s(", method->c_lower, name),
      text_format("const void *events, void *data, psock_call *call, "
                  "const void *%s) {",
          message));
  print_open(printer);
  print_line(
      printer, "const struct %s__%s *e = events;", method->c_lower, events);
  print_line(printer, "if (e->message != NULL)");
  print_line(printer, "  e->message(data, call, %s);", message);
  print_close(printer, "}\n");
}

static const char *flags(const struct method *method) {
  static const char *const names[] = {"PSOCK_METHOD_CLIENT_STREAMS",
      "PSOCK_METHOD_SERVER_STREAMS", "PSOCK_METHOD_IDEMPOTENT",
      "PSOCK_METHOD_MAY_STREAM"};
  const bool set[] = {method->client_streams, method->server_streams,
      method->idempotent, method_may_stream(method)};
  const char *text = "";
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (set[i])
      text = text_format("%s%s%s", text, *text == '\0' ? "" : " | ", names[i]);
  return *text == '\0' ? "0" : text;
}

static const char *timeout(const struct method *method) {
  uint64_t nanoseconds =
      (uint64_t)method->timeout_ms * NANOSECONDS_PER_MILLISECOND;
  if (method->no_timeout)
    return "PSOCK_TIMEOUT_NONE";
  return method->has_timeout_ms
             ? text_format("UINT64_C(%llu)", (unsigned long long)nanoseconds)
             : "0";
}

static const char *number(const struct method *method) {
  uint32_t number = method_number(method);
  return number != 0 ? text_format("UINT32_C(0x%08lx)", (unsigned long)number)
                     : "0";
}

static void print_method(struct printer *printer, const struct method *method) {
  const char *lower = method->c_lower;
  print_serve(printer, method);
  print_deliver(printer, method, "deliver", "events", "response");
  if (method->client_streams)
    print_deliver(
        printer, method, "deliver_request", "request_events", "request");
  print_gap(printer);
  print_bracket(printer,
      text_format("const struct psock_method %s__method = {", lower),
      text_format("sizeof(struct psock_method), %s, %s, %s, %s, &%s__type, "
                  "&%s__type, %s__serve, %s__deliver, %s%s};",
          text_quote(method_wire_name(method)), number(method), flags(method),
          timeout(method), method->request->c_lower, method->response->c_lower,
          lower, lower, method->client_streams ? lower : "NULL",
          method->client_streams ? "__deliver_request" : ""));
}

void emit_service_source(
    struct printer *printer, const struct service *service) {
  const char *lower = service->c_lower;
  const char *methods = "NULL";
  for (size_t i = 0; i < service->method_count; i++)
    print_method(printer, &service->methods[i]);
  if (service->method_count > 0) {
    methods = text_format("%s__service__methods", lower);
    print_gap(printer);
    print_line(
        printer, "static const struct psock_method *const %s[] = {", methods);
    print_open(printer);
    for (size_t i = 0; i < service->method_count; i++)
      print_line(printer, "  &%s__method,", service->methods[i].c_lower);
    print_close(printer, "};\n");
  }
  print_gap(printer);
  print_bracket(printer,
      text_format("const struct psock_service %s__service = {", lower),
      text_format("sizeof(struct psock_service), %s, %s, %zu};",
          text_quote(service->full_name), methods, service->method_count));
}
