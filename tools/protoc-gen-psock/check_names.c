/* SPDX-License-Identifier: BSD-2-Clause */
#include "check.h"
#include "face_parts.h"
#include "names.h"

/*
 * The names in C that the faces use. Each is taken in the register, which
 * complains when something else has it: a method of the name Service, for one,
 * for which protoc-c makes a function that is called as the service's table.
 * The tags of structs are names of their own kind in C, and have a scope of
 * their own here.
 */

static const char tags[] = "tags";

/* Takes `stem` with each of the endings behind it. */
static void claim(const void *scope, const char *stem,
    const char *const *endings, size_t count, const char *what,
    struct location at) {
  for (size_t i = 0; i < count; i++)
    names_claim(scope, text_format("%s__%s", stem, endings[i]), what, at);
}

#define CLAIM(scope, stem, endings, what, at)                                  \
  claim(scope, stem, endings, sizeof(endings) / sizeof(endings)[0], what, at)

static void claim_dispatch(const struct message *message, const char *what) {
  static const char *const names[] = {"dispatch", "reactor", "rows", "rest"};
  static const char *const structs[] = {"handlers"};
  const struct oneof *oneof = dispatch_choose(message);
  if (oneof == NULL)
    return;
  CLAIM(NULL, message->c_lower, names, what, message->at);
  CLAIM(tags, message->c_lower, structs, what, message->at);
  for (size_t i = 0; i < oneof->field_count; i++)
    names_claim(NULL,
        text_format("%s__call_%s", message->c_lower,
            dispatch_arm_name(oneof->fields[i])),
        text_format("field %s of %s", oneof->fields[i]->name, what),
        oneof->fields[i]->at);
}

static void claim_message(const struct message *message) {
  static const char *const of_id[] = {"id", "get_id", "set_id"};
  static const char *const of_code[] = {"code", "get_code"};
  static const char *const of_both[] = {"make_cancel", "make_end"};
  const char *what = text_format("message %s", message->full_name);
  if (message->id != NULL)
    CLAIM(NULL, message->c_lower, of_id, what, message->at);
  if (message->code != NULL)
    CLAIM(NULL, message->c_lower, of_code, what, message->at);
  if (message->id != NULL && message->code != NULL)
    CLAIM(NULL, message->c_lower, of_both, what, message->at);
  claim_dispatch(message, what);
}

static void claim_method(const struct method *method) {
  static const char *const names[] = {
      "method", "reply", "start", "serve", "deliver"};
  static const char *const structs[] = {"events"};
  const char *what = text_format(
      "method %s of service %s", method->name, method->service->full_name);
  CLAIM(NULL, method->c_lower, names, what, method->at);
  CLAIM(tags, method->c_lower, structs, what, method->at);
  names_claim(NULL,
      text_format(
          "%s__%s", method->c_lower, method->client_streams ? "send" : "run"),
      what, method->at);
}

static void claim_service(const struct service *service) {
  static const char *const names[] = {"service", "service__methods"};
  static const char *const structs[] = {"handlers"};
  const char *what = text_format("service %s", service->full_name);
  CLAIM(NULL, service->c_lower, names, what, service->at);
  CLAIM(tags, service->c_lower, structs, what, service->at);
  for (size_t i = 0; i < service->method_count; i++)
    claim_method(&service->methods[i]);
}

void check_names(const struct file *file) {
  static const char *const of_file[] = {"file", "file__bytes"};
  struct location top = {file, 1};
  if (file->embed_descriptor)
    CLAIM(
        NULL, file->c_lower, of_file, text_format("file %s", file->name), top);
  for (size_t i = 0; i < file->message_count; i++)
    if (!file->messages[i]->is_map_entry)
      claim_message(file->messages[i]);
  for (size_t i = 0; i < file->service_count; i++)
    claim_service(&file->services[i]);
}
