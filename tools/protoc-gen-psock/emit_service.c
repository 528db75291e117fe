/* SPDX-License-Identifier: BSD-2-Clause */
#include "emit.h"
#include "emit_parts.h"
#include "memory.h"
#include "method.h"

/*
 * A service, for those who serve it and those who call it. The header has a
 * table of its methods, a struct of typed handlers, and for each method what
 * sends a response, what a caller is told of, and what calls. All of it rests
 * on protosocket/service.h: the functions are inline and hand on what they are
 * given. The source has the tables, and for each method two small functions:
 * `serve` calls the handler, `deliver` gives a response to the caller. No
 * pointer to a function is ever cast.
 *
 * A method whose requests stream starts without one: its handler is only told
 * of the call, it has `send` for the requests, and it cannot be run to its end
 * by one function.
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

static void print_handler(
    struct printer *printer, const struct method *method) {
  const char *request =
      method->client_streams
          ? ""
          : text_format(", const %s *request", method->request->c_type);
  print_note(printer,
      text_format("%s: answers %s %s__reply.", method->name,
          method->server_streams ? "as often as needed with" : "with one",
          method->c_lower));
  print_bracket(printer, text_format("void (*on_%s)(", method->c_name),
      text_format("void *state, psock_call *call%s)%s;", request,
          emit_deprecated(method->deprecated)));
}

static void print_handlers(
    struct printer *printer, const struct service *service) {
  print_gap(printer);
  print_note(printer,
      text_format("Serves %s: a handler for each method.", service->full_name));
  print_line(printer, "struct %s__handlers {", service->c_lower);
  print_open(printer);
  print_note(
      printer, text_format("sizeof(struct %s__handlers).", service->c_lower));
  print_line(printer, "size_t size;");
  for (size_t i = 0; i < service->method_count; i++)
    print_handler(printer, &service->methods[i]);
  print_close(printer, "};\n");
}

/* A function that sends one message in a call that has begun. */
static void print_send(struct printer *printer, const struct method *method,
    const char *verb, const char *what, const struct message *type) {
  print_gap(printer);
  print_note(
      printer, text_format("Sends a %s of %s in `call`.", what, method->name));
  print_bracket(printer,
      text_format("PSOCK_NODISCARD %s int %s__%s(",
          emit_inline(method->deprecated), method->c_lower, verb),
      text_format("psock_call *call, const %s *%s) {", type->c_type, what));
  print_open(printer);
  print_line(printer, "return psock_call_send(call, %s);", what);
  print_close(printer, "}\n");
}

static void print_events(struct printer *printer, const struct method *method) {
  print_gap(printer);
  print_note(
      printer, text_format("What the caller of %s is told.", method->name));
  print_line(printer, "struct %s__events {", method->c_lower);
  print_open(printer);
  print_line(printer, "struct psock_call_events events;");
  print_note(printer, "A response has come; it is lent until this returns.");
  print_bracket(printer, "void (*message)(",
      text_format("void *data, psock_call *call, const %s *response);",
          method->response->c_type));
  print_close(printer, "};\n");
}

/* A function that calls: `start`, or `run`, which has no `ret_call`. */
static void print_caller(struct printer *printer, const struct method *method,
    const char *verb, const char *parameter, const char *argument) {
  const char *request =
      method->client_streams
          ? ""
          : text_format("const %s *request, ", method->request->c_type);
  print_gap(printer);
  print_note(printer,
      text_format("Calls %s: see psock_caller_%s.", method->name, verb));
  print_bracket(printer,
      text_format("PSOCK_NODISCARD %s int %s__%s(",
          emit_inline(method->deprecated), method->c_lower, verb),
      text_format("psock_caller *caller, %s"
                  "const struct psock_call_options *options, "
                  "const struct %s__events *events, void *data%s) {",
          request, method->c_lower, parameter));
  print_open(printer);
  print_bracket(printer, text_format("return psock_caller_%s(", verb),
      text_format("caller, &%s__method, %s, options, &events->events, data%s);",
          method->c_lower, method->client_streams ? "NULL" : "request",
          argument));
  print_close(printer, "}\n");
}

static void print_functions(
    struct printer *printer, const struct method *method) {
  print_send(printer, method, "reply", "response", method->response);
  print_events(printer, method);
  print_caller(
      printer, method, "start", ", psock_call **ret_call", ", ret_call");
  if (method->client_streams)
    print_send(printer, method, "send", "request", method->request);
  else
    print_caller(printer, method, "run", "", "");
}

void emit_service_header(
    struct printer *printer, const struct service *service) {
  print_heading(printer, service->full_name);
  print_tables(printer, service);
  print_handlers(printer, service);
  for (size_t i = 0; i < service->method_count; i++)
    print_functions(printer, &service->methods[i]);
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

static void print_deliver(
    struct printer *printer, const struct method *method) {
  print_gap(printer);
  print_bracket(printer,
      text_format("static void %s__deliver(", method->c_lower),
      "const void *events, void *data, psock_call *call, "
      "const void *response) {");
  print_open(printer);
  print_line(printer, "const struct %s__events *e = events;", method->c_lower);
  print_line(printer, "if (e->message != NULL)");
  print_line(printer, "  e->message(data, call, response);");
  print_close(printer, "}\n");
}

static const char *flags(const struct method *method) {
  static const char *const names[] = {"PSOCK_METHOD_CLIENT_STREAMS",
      "PSOCK_METHOD_SERVER_STREAMS", "PSOCK_METHOD_IDEMPOTENT"};
  const bool set[] = {
      method->client_streams, method->server_streams, method->idempotent};
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

static void print_method(struct printer *printer, const struct method *method) {
  const char *lower = method->c_lower;
  print_serve(printer, method);
  print_deliver(printer, method);
  print_gap(printer);
  print_bracket(printer,
      text_format("const struct psock_method %s__method = {", lower),
      text_format("sizeof(struct psock_method), %s, UINT32_C(0x%08x), %s, %s, "
                  "&%s__type, &%s__type, %s__serve, %s__deliver};",
          text_quote(method_wire_name(method)), (unsigned)method_number(method),
          flags(method), timeout(method), method->request->c_lower,
          method->response->c_lower, lower, lower));
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
