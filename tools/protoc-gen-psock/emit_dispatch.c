/* SPDX-License-Identifier: BSD-2-Clause */
#include "dispatch.h"
#include "emit.h"
#include "emit_parts.h"
#include "memory.h"
#include <string.h>

/*
 * Handlers for the members of a oneof. The header has the struct of typed
 * handlers, foo__handlers, and foo__reactor, which makes a reactor of them; the
 * source has, for each member, a small function that calls its handler with the
 * member's value, and the table of these functions by rising field number,
 * which psock_dispatch looks into. No pointer to a function is ever cast.
 *
 * dispatch.c says which messages have that.
 */

/* The parameter that an arm's handler is given, by type and name. */
static const char *parameter(const struct field *arm) {
  static const char *const taken[] = {"state", "connection", "message"};
  const char *name = arm->c_name;
  for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
    if (strcmp(name, taken[i]) == 0)
      name = text_format("%s_", name);
  if (arm->type == PROTOBUF_C_TYPE_MESSAGE)
    return text_format("const %s *%s", arm->value->c_type, name);
  if (arm->type == PROTOBUF_C_TYPE_STRING)
    return text_format("const char *%s", name);
  if (arm->type == PROTOBUF_C_TYPE_BYTES)
    return text_format("const ProtobufCBinaryData *%s", name);
  return text_format("%s %s", arm->c_type, name);
}

/* ---- The header ---- */

static void print_handler(struct printer *printer, const struct field *arm) {
  print_comments(printer, &arm->comments, NULL);
  print_bracket(printer, text_format("void (*on_%s)(", dispatch_arm_name(arm)),
      text_format("void *state, psock_connection *connection, "
                  "const %s *message, %s)%s;",
          arm->message->c_type, parameter(arm),
          emit_deprecated(arm->deprecated)));
}

static void print_handlers(struct printer *printer, const struct oneof *oneof) {
  const struct message *message = oneof->message;
  print_gap(printer);
  print_note(printer,
      text_format("What to call for a %s, by the member of its `%s` that is "
                  "set.",
          message->c_type, oneof->name));
  print_line(printer, "struct %s__handlers {", message->c_lower);
  print_open(printer);
  print_note(
      printer, text_format("sizeof(struct %s__handlers).", message->c_lower));
  print_line(printer, "size_t size;");
  print_note(printer, "The connection's other events, and `message` is not "
                      "called; may be NULL.");
  print_line(printer, "const struct psock_reactor_ops *ops;");
  print_note(printer, "For everything that has no handler here.");
  print_bracket(printer, "void (*rest)(",
      text_format("void *state, psock_connection *connection, "
                  "const %s *message);",
          message->c_type));
  for (size_t i = 0; i < oneof->field_count; i++)
    print_handler(printer, oneof->fields[i]);
  print_close(printer, "};\n");
}

void emit_dispatch_header(
    struct printer *printer, const struct message *message) {
  const struct oneof *oneof = dispatch_choose(message);
  const char *lower = message->c_lower;
  if (oneof == NULL)
    return;
  print_handlers(printer, oneof);
  print_gap(printer);
  print_line(
      printer, "extern const struct psock_dispatch_table %s__dispatch;", lower);
  print_gap(printer);
  print_note(printer,
      text_format("A reactor that gives every %s to its handler. `handlers` is "
                  "borrowed until `closed`.",
          message->c_type));
  print_bracket(printer,
      text_format("%sstatic inline psock_reactor %s__reactor(",
          message->deprecated ? "PSOCK_DEPRECATED " : "", lower),
      text_format(
          "const struct %s__handlers *handlers, void *state) {", lower));
  print_open(printer);
  print_bracket(printer, "psock_reactor reactor = {",
      text_format("handlers->ops, state, &%s__dispatch, handlers};", lower));
  print_line(printer, "return reactor;");
  print_close(printer, "}\n");
}

/* ---- The source ---- */

/* Begins a function that finds out whether `handler` is set. */
static void begin_call(struct printer *printer, const struct message *message,
    const char *name, const char *handler) {
  print_gap(printer);
  print_bracket(printer,
      text_format("static int %s__%s(", message->c_lower, name),
      "const void *handlers, void *state, psock_connection *connection, "
      "const void *message) {");
  print_open(printer);
  print_line(
      printer, "const struct %s__handlers *h = handlers;", message->c_lower);
  print_line(printer, "if (!PSOCK_HANDLER_IS_SET(h, %s))", handler);
  print_line(printer, "  return 0;");
}

static void end_call(struct printer *printer) {
  print_line(printer, "return 1;");
  print_close(printer, "}\n");
}

static void print_arm(struct printer *printer, const struct field *arm) {
  const char *name = dispatch_arm_name(arm);
  begin_call(printer, arm->message, text_format("call_%s", name),
      text_format("on_%s", name));
  print_line(printer, "const %s *m = message;", arm->message->c_type);
  print_line(printer, "h->on_%s(state, connection, m, %sm->%s);", name,
      arm->type == PROTOBUF_C_TYPE_BYTES ? "&" : "", arm->c_name);
  end_call(printer);
}

static size_t print_rows(struct printer *printer, const struct oneof *oneof) {
  const struct message *message = oneof->message;
  size_t count = 0;
  print_gap(printer);
  print_line(printer, "static const struct psock_dispatch_row %s__rows[] = {",
      message->c_lower);
  print_open(printer);
  for (size_t i = 0; i < message->field_count; i++) {
    const struct field *field = message->by_number[i];
    if (field->oneof != oneof)
      continue;
    print_line(printer, "  {%u, %s__call_%s},", (unsigned)field->number,
        message->c_lower, dispatch_arm_name(field));
    count++;
  }
  print_close(printer, "};\n");
  return count;
}

void emit_dispatch_source(
    struct printer *printer, const struct message *message) {
  const struct oneof *oneof = dispatch_choose(message);
  const char *lower = message->c_lower;
  if (oneof == NULL)
    return;
  for (size_t i = 0; i < oneof->field_count; i++)
    print_arm(printer, oneof->fields[i]);
  begin_call(printer, message, "rest", "rest");
  print_line(printer, "h->rest(state, connection, message);");
  end_call(printer);
  size_t rows = print_rows(printer, oneof);
  print_gap(printer);
  print_bracket(printer,
      text_format("const struct psock_dispatch_table %s__dispatch = {", lower),
      text_format("sizeof(struct psock_dispatch_table), &%s__descriptor, "
                  "offsetof(%s, %s), %s__rows, %zu, %s__rest};",
          lower, message->c_type, oneof->c_case, lower, rows, lower));
}
