/* SPDX-License-Identifier: BSD-2-Clause */
#include "check.h"
#include "dispatch.h"
#include "error.h"
#include "memory.h"
#include "types.h"
#include <stddef.h>

/*
 * Options of messages and of fields that make no sense: an id or a code that a
 * call could not use, a call of messages that lack them, a table of handlers
 * for a oneof that is not there, a test for UTF-8 of what is no string. An
 * option that has no effect where it stands is an error too: whoever wrote it
 * expected one.
 *
 * Each complaint says what is wrong and what to do, at the line of the message
 * or the field that has the option. A field with a wrong type is not looked at
 * further.
 */

/* ---- The id and the control code of a call ---- */

static const char *noun(const struct field *field) {
  if (field->value != NULL && field->value->is_map_entry)
    return "a map";
  return field->is_string ? "a string" : type_of(field)->noun;
}

static bool is_unsigned(const struct field *field) {
  return field->type == PROTOBUF_C_TYPE_UINT32 ||
         field->type == PROTOBUF_C_TYPE_FIXED32 ||
         field->type == PROTOBUF_C_TYPE_UINT64 ||
         field->type == PROTOBUF_C_TYPE_FIXED64;
}

/* `first` is the first field of the message that is the same. */
static void check_call_field(const struct field *field,
    const struct field *first, const char *option, const char *what) {
  if (field->kind == FIELD_REPEATED)
    error_at(field->at,
        "field %s is repeated and cannot be %s of a call: mark a single "
        "uint32, uint64, fixed32 or fixed64",
        field->name, what);
  else if (field->oneof != NULL)
    error_at(field->at,
        "field %s is in oneof %s and cannot be %s of a call, which "
        "every message has: move it out of the oneof",
        field->name, field->oneof->name, what);
  else if (!is_unsigned(field))
    error_at(field->at,
        "field %s is %s and cannot be %s of a call: make it a uint32, "
        "uint64, fixed32 or fixed64",
        field->name, noun(field), what);
  if (field != first)
    error_at(field->at,
        "message %s has two fields with (protosocket.field).%s, %s in "
        "line %u and %s: take it from one of them",
        field->message->full_name, option, first->name, first->at.line,
        field->name);
}

static void check_field(const struct field *field) {
  const struct message *message = field->message;
  if (field->id && field->code)
    error_at(field->at,
        "field %s cannot be both the id and the code of a call: mark two "
        "fields",
        field->name);
  if (field->id)
    check_call_field(field, message->id, "id", "the id");
  if (field->code)
    check_call_field(field, message->code, "code", "the code");
  if (!field->has_check_utf8)
    return;
  if (!field->is_string)
    error_at(field->at,
        "field %s is %s: check_utf8 is for strings, take it away", field->name,
        noun(field));
  else if (field->type == PROTOBUF_C_TYPE_BYTES)
    error_at(field->at,
        "field %s is kept as bytes, which are not checked: take away "
        "check_utf8 or string_as_bytes",
        field->name);
}

/* ---- The message that answers ---- */

/* `what` is a clause about `marked` that its lack ends. A code without an id
 * has been told of already, where it is. */
static void check_marks(const struct message *message,
    const struct message *marked, const char *what) {
  if (marked->id == NULL && (marked != message || marked->code == NULL))
    error_at(message->at,
        "%s no id: mark the field that is the id of a call with "
        "(protosocket.field).id",
        what);
  if (marked->code == NULL)
    error_at(message->at,
        "%s no control code: mark the field that is the code of a call with "
        "(protosocket.field).code",
        what);
}

static const char *place(const struct message *from, const struct message *to) {
  return from->file == to->file
             ? text_format("line %u", to->at.line)
             : text_format("%s:%u", to->file->name, to->at.line);
}

/* What is wrong with a response is told where it is asked to be one. */
static void check_response(const struct message *message) {
  const struct message *response = message->call->methods[0].response;
  check_marks(message, message,
      text_format("message %s has a response and", message->full_name));
  if (response != message)
    check_marks(message, response,
        text_format("message %s has the response %s (%s), which has",
            message->full_name, response->full_name, place(message, response)));
}

/* ---- The table of handlers ---- */

/* A name for a oneof that is not there. */
static void check_oneof_name(const struct message *message) {
  if (message->dispatch_oneof == NULL)
    return;
  if (dispatch_find(message) == NULL)
    error_at(message->at,
        "message %s has no oneof %s: let dispatch_oneof name one that "
        "it has",
        message->full_name, text_quote(message->dispatch_oneof));
  else if (!dispatch_is_wanted(message))
    error_at(message->at,
        "message %s gets no table of handlers, so dispatch_oneof has no "
        "effect: set dispatch = true too, or take it away",
        message->full_name);
}

static void check_dispatch(const struct message *message) {
  bool asked = message->has_dispatch || message->dispatch_oneof != NULL;
  if (message->oneof_count == 0 && asked)
    error_at(message->at,
        "message %s has no oneof to dispatch on: take away %s",
        message->full_name,
        message->has_dispatch ? "(protosocket.message).dispatch"
                              : "(protosocket.message).dispatch_oneof");
  else if (message->oneof_count > 1 && message->has_dispatch &&
           message->dispatch && message->dispatch_oneof == NULL)
    error_at(message->at,
        "message %s has %zu oneofs: name the one to dispatch on with "
        "(protosocket.message).dispatch_oneof",
        message->full_name, message->oneof_count);
  else
    check_oneof_name(message);
}

/* ---- A message ---- */

static void check_message(const struct message *message) {
  for (size_t i = 0; i < message->field_count; i++)
    check_field(message->fields[i]);
  if (message->code != NULL && message->id == NULL)
    error_at(message->code->at,
        "message %s has a control code and no id: mark the field that is "
        "the id of a call with (protosocket.field).id",
        message->full_name);
  if (message->call != NULL)
    check_response(message);
  check_dispatch(message);
}

void check_messages(const struct file *file) {
  for (size_t i = 0; i < file->message_count; i++)
    if (!file->messages[i]->is_map_entry)
      check_message(file->messages[i]);
}
