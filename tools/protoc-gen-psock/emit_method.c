/* SPDX-License-Identifier: BSD-2-Clause */
#include "emit.h"
#include "emit_parts.h"
#include "memory.h"
#include "method.h"

/*
 * The typed functions of a method, and the structs of what is told of its
 * calls. All of the functions are inline and hand on what they are given to
 * those of protosocket/call.h and protosocket/caller.h. First what a server
 * uses: it answers with one response, or sends many, and where requests stream
 * it says what it is told of them. Then what a caller uses.
 *
 * A method whose requests stream starts without one, and has a function that
 * sends them. What nothing streams in can be run to its end by one function;
 * anything else is opened, and its responses are received one by one. What is
 * received passes through a `const void *`: no pointer is ever taken for one of
 * another type.
 */

/* The head of an inline function, up to its bracket; and of one whose result
 * has to be looked at. */
static const char *head(
    const struct method *method, const char *type, const char *name) {
  return text_format("%s %s %s__%s(", emit_inline(method->deprecated), type,
      method->c_lower, name);
}

static const char *checked(const struct method *method, const char *name) {
  return text_format("PSOCK_NODISCARD %s", head(method, "int", name));
}

static void begin(struct printer *printer, const char *opened, const char *note,
    const char *parameters) {
  print_gap(printer);
  print_note(printer, note);
  print_bracket(printer, opened, text_format("%s) {", parameters));
  print_open(printer);
}

static void end(struct printer *printer) {
  print_close(printer, "}\n");
}

/* What is told of a method's calls, to who serves it or who calls it. */
static void print_events(struct printer *printer, const struct method *method,
    const char *name, const char *who, const char *what,
    const struct message *type) {
  print_gap(printer);
  print_note(
      printer, text_format("What the %s of %s is told.", who, method->name));
  print_line(printer, "struct %s__%s {", method->c_lower, name);
  print_open(printer);
  print_line(printer, "struct psock_call_events events;");
  print_note(printer,
      text_format("A %s has come; it is lent until this returns.", what));
  print_bracket(printer, "void (*message)(",
      text_format(
          "void *data, psock_call *call, const %s *%s);", type->c_type, what));
  print_close(printer, "};\n");
}

/* ---- A server ---- */

static void print_reply(struct printer *printer, const struct method *method) {
  begin(printer, head(method, "int", "reply"),
      text_format("Answers a call of %s, which ends it: see psock_call_reply.",
          method->name),
      text_format(
          "psock_call *call, const %s *response", method->response->c_type));
  print_line(printer, "return psock_call_reply(call, response);");
  end(printer);
}

static void print_send_response(
    struct printer *printer, const struct method *method) {
  begin(printer, checked(method, "send_response"),
      text_format("Sends one of many responses of %s: see psock_call_send.",
          method->name),
      text_format(
          "psock_call *call, const %s *response", method->response->c_type));
  print_line(printer, "return psock_call_send(call, response);");
  end(printer);
}

static void print_set_events(
    struct printer *printer, const struct method *method) {
  begin(printer, head(method, "void", "set_events"),
      text_format("Sets what is told of a call of %s: see "
                  "psock_call_set_events.",
          method->name),
      text_format("psock_call *call, const struct %s__request_events *events, "
                  "void *data",
          method->c_lower));
  print_line(printer, "psock_call_set_events(call, &events->events, data);");
  end(printer);
}

/* ---- A caller ---- */

/* What the functions that start a call are given first. */
static const char *start_parameters(const struct method *method) {
  const char *request =
      method->client_streams
          ? ""
          : text_format("const %s *request, ", method->request->c_type);
  return text_format(
      "psock_caller *caller, %sconst struct psock_call_options *options",
      request);
}

static const char *start_arguments(const struct method *method) {
  return text_format("caller, &%s__method, %s, options", method->c_lower,
      method->client_streams ? "NULL" : "request");
}

static void print_start(struct printer *printer, const struct method *method) {
  begin(printer, checked(method, "start"),
      text_format("Starts a call of %s: see psock_caller_start.", method->name),
      text_format("%s, const struct %s__events *events, void *data, "
                  "psock_call **ret_call",
          start_parameters(method), method->c_lower));
  print_bracket(printer, "return psock_caller_start(",
      text_format(
          "%s, events == NULL ? NULL : &events->events, data, ret_call);",
          start_arguments(method)));
  end(printer);
}

/* Ends a function that has got a response if what it has called returns what
 * `condition` says; else the output stays untouched. */
static void end_with_response(struct printer *printer,
    const struct method *method, const char *condition) {
  print_line(printer, "if (result %s)", condition);
  print_line(printer, "  *ret_response = (const %s *)response;",
      method->response->c_type);
  print_line(printer, "return result;");
  end(printer);
}

static void print_run(struct printer *printer, const struct method *method) {
  begin(printer, checked(method, "run"),
      text_format("Calls %s, and waits for its response: see psock_caller_run.",
          method->name),
      text_format("%s, const %s **ret_response, psock_call **ret_call",
          start_parameters(method), method->response->c_type));
  print_line(printer, "const void *response = NULL;");
  print_bracket(printer, "int result = psock_caller_run(",
      text_format("%s, &response, ret_call);", start_arguments(method)));
  end_with_response(printer, method, "== 0");
}

static void print_open_call(
    struct printer *printer, const struct method *method) {
  begin(printer, checked(method, "open"),
      text_format("Opens a call of %s: see psock_caller_open.", method->name),
      text_format("%s, psock_call **ret_call", start_parameters(method)));
  print_bracket(printer, "return psock_caller_open(",
      text_format("%s, ret_call);", start_arguments(method)));
  end(printer);
}

static void print_receive(
    struct printer *printer, const struct method *method) {
  begin(printer, checked(method, "receive"),
      text_format("Waits for %s response of %s: see psock_call_receive.",
          method_sends(method) ? "the next" : "the", method->name),
      text_format("psock_call *call, const %s **ret_response",
          method->response->c_type));
  print_line(printer, "const void *response = NULL;");
  print_line(printer, "int result = psock_call_receive(call, &response);");
  end_with_response(printer, method, "> 0");
}

static void print_send_request(
    struct printer *printer, const struct method *method) {
  begin(printer, checked(method, "send_request"),
      text_format("Sends one of the requests of %s: see psock_call_send.",
          method->name),
      text_format(
          "psock_call *call, const %s *request", method->request->c_type));
  print_line(printer, "return psock_call_send(call, request);");
  end(printer);
}

void emit_method(struct printer *printer, const struct method *method) {
  if (method_replies(method))
    print_reply(printer, method);
  if (method_sends(method))
    print_send_response(printer, method);
  if (method->client_streams) {
    print_events(printer, method, "request_events", "server", "request",
        method->request);
    print_set_events(printer, method);
  }
  print_events(
      printer, method, "events", "caller", "response", method->response);
  print_start(printer, method);
  if (method_runs(method))
    print_run(printer, method);
  if (method_opens(method)) {
    print_open_call(printer, method);
    print_receive(printer, method);
  }
  if (method->client_streams)
    print_send_request(printer, method);
}
