/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"
#include "error.h"
#include "memory.h"
#include <string.h>

/*
 * Messages that say which message answers them. Of each, a service is made up
 * that has one method, which takes the message and returns the answer; from
 * there on it is like one that was declared, but for its number on the wire,
 * which is 0.
 *
 * The answer is named in the text of an option, so it is looked up here as
 * protobuf looks up the type of a field: from the message outwards, in the
 * first scope that has the name's first part, among what this file and those
 * that it imports declare. A name that begins with a dot is a full one.
 */

/* Files whose declarations are looked at. */
struct scope {
  struct file *const *files;
  size_t count;
};

static bool is_same(const char *name, size_t length, const char *other) {
  return strncmp(name, other, length) == 0 && other[length] == '\0';
}

static const struct message *find_message(
    const struct scope *scope, const char *full_name) {
  for (size_t i = 0; i < scope->count; i++)
    for (size_t j = 0; j < scope->files[i]->message_count; j++) {
      const struct message *message = scope->files[i]->messages[j];
      if (strcmp(message->full_name, full_name) == 0)
        return message;
    }
  return NULL;
}

static bool is_type(const struct file *file, const char *name, size_t length) {
  for (size_t i = 0; i < file->message_count; i++)
    if (is_same(name, length, file->messages[i]->full_name))
      return true;
  for (size_t i = 0; i < file->enum_count; i++)
    if (is_same(name, length, file->enums[i].full_name))
      return true;
  return false;
}

/* Whether the file declares something of this name that has names in it. */
static bool is_outer(const struct file *file, const char *name, size_t length) {
  for (size_t i = 0; i < file->service_count; i++)
    if (is_same(name, length, file->services[i].full_name))
      return true;
  if (strncmp(file->package, name, length) == 0 &&
      (file->package[length] == '\0' || file->package[length] == '.'))
    return true;
  return is_type(file, name, length);
}

/* Whether the search ends at the first `length` bytes of `name`. */
static bool is_found(
    const struct scope *scope, const char *name, size_t length) {
  for (size_t i = 0; i < scope->count; i++)
    if (name[length] == '\0' ? is_type(scope->files[i], name, length)
                             : is_outer(scope->files[i], name, length))
      return true;
  return false;
}

/* The message that `name` stands for inside of `from`, or NULL. */
static const struct message *find(
    const struct scope *scope, const struct message *from, const char *name) {
  size_t outer = strlen(from->full_name);
  if (*name == '.')
    return find_message(scope, name + 1);
  for (;;) {
    const char *full_name = text_format(
        "%.*s%s%s", (int)outer, from->full_name, outer > 0 ? "." : "", name);
    size_t first = outer + (outer > 0) + strcspn(name, ".");
    if (is_found(scope, full_name, first))
      return find_message(scope, full_name);
    if (outer == 0)
      return NULL;
    do
      outer--;
    while (outer > 0 && from->full_name[outer] != '.');
  }
}

/* What can be named in `file`. */
static struct scope scope_of(struct file *file) {
  struct file **files = memory_new(file->import_count + 1, sizeof *files);
  files[0] = file;
  for (size_t i = 0; i < file->import_count; i++)
    files[i + 1] = file->imports[i];
  return (struct scope){files, file->import_count + 1};
}

static const struct message *find_response(const struct model *model,
    const struct scope *scope, const struct message *message) {
  const struct scope all = {model->files, model->file_count};
  const struct message *found = find(scope, message, message->response);
  if (found != NULL)
    return reference_check(found, message->at) == 0 ? found : NULL;
  found = find(&all, message, message->response);
  if (found != NULL)
    error_at(message->at,
        "message %s has the response %s, which is declared in %s: import that "
        "file",
        message->full_name, found->full_name, found->file->name);
  else
    error_at(message->at,
        "message %s has the response %s, which stands for no message: name one "
        "of this file, or of one that it imports",
        message->full_name, text_quote(message->response));
  return NULL;
}

static void build_method(struct method *method, const struct service *service,
    const struct message *response) {
  const struct message *message = service->message;
  method->name = message->name;
  method->c_name = "call";
  method->c_lower = service->c_lower;
  method->service = service;
  method->request = message;
  method->response = response;
  method->deprecated = message->deprecated;
  method->comments.leading =
      text_format("Takes a %s and returns what answers it: one %s, or many.",
          message->c_type, response->c_type);
  method->at = message->at;
}

static struct service *build_service(
    const struct message *message, const struct message *response) {
  struct service *service = memory_new(1, sizeof *service);
  service->name = message->name;
  service->full_name = message->full_name;
  service->c_type = message->c_type;
  service->c_lower = text_format("%s__call", message->c_lower);
  service->c_upper = message->c_upper;
  service->file = message->file;
  service->message = message;
  service->deprecated = message->deprecated;
  service->comments.leading =
      text_format("Calls on connections that carry a %s one way and a %s the "
                  "other.",
          message->c_type, response->c_type);
  service->at = message->at;
  service->methods = memory_new(1, sizeof *service->methods);
  service->method_count = 1;
  build_method(&service->methods[0], service, response);
  return service;
}

void build_calls(const struct model *model) {
  for (size_t i = 0; i < model->file_count; i++) {
    struct file *file = model->files[i];
    struct scope scope = scope_of(file);
    for (size_t j = 0; j < file->message_count; j++) {
      struct message *message = file->messages[j];
      if (message->response == NULL)
        continue;
      const struct message *response = find_response(model, &scope, message);
      if (response != NULL)
        message->call = build_service(message, response);
    }
  }
}
