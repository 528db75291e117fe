/* SPDX-License-Identifier: BSD-2-Clause */
#include "check.h"
#include "dispatch.h"
#include "error.h"
#include "memory.h"
#include "method.h"
#include "names.h"
#include "register.h"
#include <string.h>

/*
 * The names in C of what we generate. Each is taken in the register, which
 * complains when something else has it: a method of the name Service, for one,
 * for which protoc-c makes a function that is called as the service's table.
 * The tags of structs are names of their own kind in C, and have a scope of
 * their own here.
 */

static const char tags[] = "tags";

static void claim_dispatch(const struct message *message, const char *what) {
  static const char *const names[] = {
      "__dispatch", "__reactor", "__rows", "__rest", NULL};
  static const char *const structs[] = {"__handlers", NULL};
  const struct oneof *oneof = dispatch_choose(message);
  if (oneof == NULL)
    return;
  register_names(NULL, message->c_lower, names, what, message->at);
  register_names(tags, message->c_lower, structs, what, message->at);
  for (size_t i = 0; i < oneof->field_count; i++)
    register_name(NULL,
        text_format("%s__call_%s", message->c_lower,
            dispatch_arm_name(oneof->fields[i])),
        text_format("field %s of %s", oneof->fields[i]->name, what),
        oneof->fields[i]->at);
}

/* Names of a method that it has only if `there`. */
static void claim_if(bool there, const struct method *method,
    const char *const *names, const char *what) {
  if (there)
    register_names(NULL, method->c_lower, names, what, method->at);
}

static void claim_method(const struct method *method, const char *what) {
  static const char *const of_all[] = {
      "__method", "__start", "__serve", "__deliver", NULL};
  static const char *const of_one[] = {"__reply", NULL};
  static const char *const of_many[] = {"__send_response", NULL};
  static const char *const of_requests[] = {
      "__set_events", "__send_request", "__deliver_request", NULL};
  static const char *const of_run[] = {"__run", NULL};
  static const char *const of_open[] = {"__open", "__receive", NULL};
  static const char *const events[] = {"__events", NULL};
  static const char *const request_events[] = {"__request_events", NULL};
  claim_if(true, method, of_all, what);
  claim_if(method_replies(method), method, of_one, what);
  claim_if(method_sends(method), method, of_many, what);
  claim_if(method->client_streams, method, of_requests, what);
  claim_if(method_runs(method), method, of_run, what);
  claim_if(method_opens(method), method, of_open, what);
  register_names(tags, method->c_lower, events, what, method->at);
  if (method->client_streams)
    register_names(tags, method->c_lower, request_events, what, method->at);
}

/* Of a service that was declared, or of a message's call. */
static void claim_service(const struct service *service, const char *what) {
  static const char *const names[] = {"__service", "__service__methods", NULL};
  static const char *const structs[] = {"__handlers", NULL};
  register_names(NULL, service->c_lower, names, what, service->at);
  register_names(tags, service->c_lower, structs, what, service->at);
  for (size_t i = 0; i < service->method_count; i++) {
    const struct method *method = &service->methods[i];
    claim_method(
        method, service->message != NULL
                    ? what
                    : text_format("method %s of %s", method->name, what));
  }
}

static void claim_message(const struct message *message) {
  static const char *const of_all[] = {
      "__type", "__initial", "__encode", "__decode", NULL};
  static const char *const of_id[] = {"__id", "__get_id", "__set_id", NULL};
  static const char *const of_code[] = {"__code", "__get_code", NULL};
  static const char *const of_both[] = {"__make_cancel", "__make_end", NULL};
  const char *what = text_format("message %s", message->full_name);
  register_names(NULL, message->c_lower, of_all, what, message->at);
  if (message->id != NULL)
    register_names(NULL, message->c_lower, of_id, what, message->at);
  if (message->code != NULL)
    register_names(NULL, message->c_lower, of_code, what, message->at);
  if (message->id != NULL && message->code != NULL)
    register_names(NULL, message->c_lower, of_both, what, message->at);
  claim_dispatch(message, what);
  if (message->call != NULL)
    claim_service(message->call, what);
}

/* Whether the name of a file can stand in a comment and between quotes. */
static bool is_harmless(const char *name) {
  for (const char *at = name; *at != '\0'; at++)
    if ((unsigned char)*at < ' ' || *at == '"' || *at == '\\' || *at == '*')
      return false;
  return true;
}

/* A package, with dots between its parts. */
static bool is_package(const char *text) {
  while (*text != '\0') {
    size_t length = strcspn(text, ".");
    if (!names_is_identifier(text_format("%.*s", (int)length, text)))
      return false;
    text += length + (text[length] == '.');
  }
  return true;
}

/* What gets into C as it is written. */
static void check_text(const struct file *file) {
  const struct location top = {file, 1};
  if (!is_harmless(file->name))
    error_at(top, "the file's name cannot stand in C: leave out control "
                  "characters and \" \\ *");
  if (file->c_package != NULL && !is_package(file->c_package))
    error_at(top,
        "the option (pb_c_file).c_package %s is no package: give it "
        "identifiers with dots between them",
        text_quote(file->c_package));
  for (size_t i = 0; i < file->message_count; i++) {
    const struct message *message = file->messages[i];
    if (!names_is_identifier(message->c_base))
      error_at(message->at,
          "the option (pb_c_msg).base_field_name of message %s is %s, which "
          "is no identifier: name a member",
          message->full_name, text_quote(message->c_base));
  }
}

void check_names(const struct file *file) {
  static const char *const of_file[] = {"__schema", "__schema__bytes", NULL};
  const struct location top = {file, 1};
  if (file->no_generate)
    return;
  check_text(file);
  if (file->embed_descriptor)
    register_names(
        NULL, file->c_lower, of_file, text_format("file %s", file->name), top);
  for (size_t i = 0; i < file->message_count; i++)
    claim_message(file->messages[i]);
  for (size_t i = 0; i < file->service_count; i++)
    claim_service(&file->services[i],
        text_format("service %s", file->services[i].full_name));
}
