/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"
#include "error.h"
#include "memory.h"
#include "names.h"
#include "types.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Fields, oneofs, services and methods, out of descriptors. What a field is
 * becomes what protoc-c makes of it: its C type, and whether a flag, a count or
 * a oneof's case goes with it.
 *
 * What protoc-c 1.4.1 has no code for, or ends in the middle of, is complained
 * of here: groups, proto3's `optional`, and fields outside of oneofs where
 * use_oneof_field_name is set.
 */

/* Fields of the descriptors, as numbers in a path. */
enum {
  MESSAGE_FIELD = 2,
  MESSAGE_ONEOF = 8,
  FILE_SERVICE = 6,
  SERVICE_METHOD = 2
};

enum { TYPE_GROUP = 10 };
enum { LABEL_REQUIRED = 2, LABEL_REPEATED = 3 };
enum { NO_SIDE_EFFECTS = 1, IDEMPOTENT = 2 };

struct location source_find(const struct source *source,
    const struct path *path, struct comments *ret_comments) {
  unsigned line = places_find(source->places, path, ret_comments);
  return (struct location){source->file, line};
}

static void set_type(const struct source *source, struct field *field,
    const Schema__Field *schema) {
  if (schema->type == TYPE_GROUP)
    error_at(field->at,
        "field %s is a group, which protoc-c cannot generate; make it a field "
        "of a message type",
        field->name);
  else if (type_find(schema->type, &field->type) != 0)
    error_at(field->at, "field %s has a type that is not known", field->name);
  field->c_type = type_in_c(field->type);
  field->is_string = field->type == PROTOBUF_C_TYPE_STRING;
  field->const_string = field->is_string && source->const_strings;
  if (field->const_string)
    field->c_type = "const char *";
  if (field->type == PROTOBUF_C_TYPE_MESSAGE ||
      field->type == PROTOBUF_C_TYPE_ENUM)
    reference_field(field, schema->type_name);
}

static enum field_kind kind_of(const struct source *source,
    const struct message *message, const Schema__Field *schema) {
  if (schema->label == LABEL_REPEATED)
    return FIELD_REPEATED;
  if (schema->label == LABEL_REQUIRED)
    return FIELD_REQUIRED;
  if (schema->has_oneof_index && !schema->proto3_optional &&
      (size_t)schema->oneof_index < message->oneof_count)
    return FIELD_ONEOF;
  return source->file->syntax == 3 ? FIELD_PLAIN : FIELD_OPTIONAL;
}

static void set_options(const struct source *source, struct field *field,
    const Schema__FieldOptions *options) {
  field->packed = field->kind == FIELD_REPEATED && field_is_packable(field) &&
                  source->file->syntax == 3;
  field->check_utf8 = source->file->check_utf8;
  if (options == NULL)
    return;
  if (options->has_packed)
    field->packed = field->kind == FIELD_REPEATED && field_is_packable(field) &&
                    options->packed;
  field->deprecated = options->deprecated;
  if (field->is_string && options->c != NULL && options->c->string_as_bytes) {
    field->type = PROTOBUF_C_TYPE_BYTES;
    field->c_type = type_in_c(field->type);
    field->const_string = false;
  }
  if (options->psock == NULL)
    return;
  field->id = options->psock->id;
  field->code = options->psock->code;
  field->has_check_utf8 = options->psock->has_check_utf8;
  if (field->has_check_utf8)
    field->check_utf8 = options->psock->check_utf8;
}

static void set_names(const struct source *source, struct field *field) {
  const struct message *message = field->message;
  field->c_name = names_field(field->name);
  if (field->kind == FIELD_REPEATED)
    field->c_count = text_format("n_%s", field->c_name);
  else if (field_has_flag(field))
    field->c_count = text_format("has_%s", field->c_name);
  if (field->type == PROTOBUF_C_TYPE_STRING && field->has_default)
    field->c_default = text_format("%s__default_value",
        names_full_lower(text_format("%s.%s", message->full_name, field->name),
            source->file->package, source->c_package));
}

/* protoc-c 1.4.1 ends in the middle of these. */
static void check_survival(const struct source *source,
    const struct field *field, const Schema__Field *schema) {
  static const struct file *told;
  if (schema->proto3_optional) {
    error_at(field->at,
        "field %s is optional, which protoc-c cannot generate in proto3; leave "
        "`optional` out, or put the field into a oneof of its own",
        field->name);
  } else if (source->use_oneof_field_name && field->kind != FIELD_ONEOF &&
             told != source->file) {
    error_at(field->at,
        "field %s is in no oneof, which protoc-c does not survive where the "
        "option (pb_c_file).use_oneof_field_name is set",
        field->name);
    told = source->file;
  }
}

/* Whether what protoc-c writes for a number is a finite one: it rounds a double
 * to DBL_DIG digits, which makes the largest ones larger than any double. */
static bool is_finite(const struct field *field, const char *text) {
  if (field->type == PROTOBUF_C_TYPE_FLOAT)
    return isfinite(strtof(text, NULL));
  return isfinite(
      strtod(text_format("%.*g", DBL_DIG, strtod(text, NULL)), NULL));
}

/* protoc-c 1.4.1 writes these into its header all the same: infinities as
 * "inf", which C does not know, and the smallest integer as a minus in front of
 * a number that has no type. */
static void check_default(const struct field *field, const char *text) {
  bool is_real = field->type == PROTOBUF_C_TYPE_FLOAT ||
                 field->type == PROTOBUF_C_TYPE_DOUBLE;
  if (is_real && !is_finite(field, text))
    error_at(field->at,
        "field %s has the default %s, for which protoc-c writes what is no "
        "number in C: leave it out, or take one that is finite and not as "
        "large",
        field->name, text);
  else if (strcmp(field->c_type, "int64_t") == 0 &&
           strcmp(text, "-9223372036854775808") == 0)
    error_at(field->at,
        "field %s has the default %s, which protoc-c writes as a constant that "
        "C does not have: leave it out, or take a larger one",
        field->name, text);
}

static void join_oneof(
    struct message *message, struct field *field, struct oneof *oneof) {
  oneof->fields[oneof->field_count++] = field;
  field->oneof = oneof;
  field->c_case = text_format("%s__%s_%s", message->c_upper,
      names_upper(oneof->name), names_upper(field->name));
}

static void build_field(const struct source *source, struct message *message,
    struct field *field, const Schema__Field *schema, const struct path *path) {
  field->name = schema->name;
  field->at = source_find(source, path, &field->comments);
  field->message = message;
  field->number = (uint32_t)schema->number;
  field->kind = kind_of(source, message, schema);
  field->has_default = schema->default_value != NULL;
  set_type(source, field, schema);
  set_options(source, field, schema->options);
  field->check_utf8 =
      field->check_utf8 && field->type == PROTOBUF_C_TYPE_STRING;
  set_names(source, field);
  check_survival(source, field, schema);
  if (field->has_default)
    check_default(field, schema->default_value);
  if (field->kind == FIELD_ONEOF)
    join_oneof(message, field, &message->oneofs[schema->oneof_index]);
}

static void build_oneof(const struct source *source, struct message *message,
    struct oneof *oneof, const struct path *path) {
  oneof->at = source_find(source, path, &oneof->comments);
  oneof->c_name = names_lower(oneof->name);
  oneof->c_case = text_format("%s_case", oneof->c_name);
  oneof->c_type =
      text_format("%s__%sCase", message->c_type, names_camel(oneof->name));
  oneof->c_none = text_format(
      "%s__%s__NOT_SET", message->c_upper, names_upper(oneof->name));
  oneof->message = message;
  oneof->fields = memory_new(message->field_count, sizeof *oneof->fields);
}

static int compare_numbers(const void *a, const void *b) {
  const struct field *const *x = a;
  const struct field *const *y = b;
  return (*x)->number < (*y)->number ? -1 : (*x)->number > (*y)->number;
}

/* The oneofs that protoc makes up for proto3's `optional` are left out: they
 * come last. */
static size_t count_oneofs(const Schema__Message *schema) {
  size_t count = schema->n_oneof_decl;
  for (size_t i = 0; i < schema->n_field; i++)
    if (schema->field[i]->proto3_optional && count > 0)
      count--;
  return count;
}

void build_fields(const struct source *source, struct message *message,
    const Schema__Message *schema, const struct path *path) {
  message->field_count = schema->n_field;
  message->fields = memory_new(schema->n_field, sizeof *message->fields);
  message->by_number = memory_new(schema->n_field, sizeof *message->by_number);
  message->oneof_count = count_oneofs(schema);
  message->oneofs = memory_new(message->oneof_count, sizeof *message->oneofs);
  for (size_t i = 0; i < message->oneof_count; i++) {
    const struct path own = {path, MESSAGE_ONEOF, (int32_t)i};
    message->oneofs[i].name = schema->oneof_decl[i]->name;
    build_oneof(source, message, &message->oneofs[i], &own);
  }
  for (size_t i = 0; i < schema->n_field; i++) {
    const struct path own = {path, MESSAGE_FIELD, (int32_t)i};
    struct field *field = memory_new(1, sizeof *field);
    message->fields[i] = message->by_number[i] = field;
    build_field(source, message, field, schema->field[i], &own);
    if (field->id && message->id == NULL)
      message->id = field;
    if (field->code && message->code == NULL)
      message->code = field;
  }
  qsort(message->by_number, message->field_count, sizeof *message->by_number,
      compare_numbers);
}

static void build_method(const struct source *source, struct method *method,
    const Schema__Method *schema, const struct path *path) {
  const Schema__MethodOptions *options = schema->options;
  method->name = schema->name;
  method->at = source_find(source, path, &method->comments);
  method->c_name = names_lower(schema->name);
  method->c_lower =
      text_format("%s__%s", method->service->c_lower, method->c_name);
  reference_message(&method->request, schema->input_type, method->at);
  reference_message(&method->response, schema->output_type, method->at);
  method->client_streams = schema->client_streaming;
  method->server_streams = schema->server_streaming;
  method->deprecated = method->service->deprecated;
  if (options == NULL)
    return;
  method->deprecated = method->deprecated || options->deprecated;
  method->idempotent = options->idempotency_level == NO_SIDE_EFFECTS ||
                       options->idempotency_level == IDEMPOTENT;
  if (options->psock == NULL)
    return;
  method->has_timeout_ms = options->psock->has_timeout_ms;
  method->timeout_ms = options->psock->timeout_ms;
  method->no_timeout = options->psock->no_timeout;
  method->wire_name = options->psock->wire_name;
}

static void build_service(const struct source *source, struct service *service,
    const Schema__Service *schema, const struct path *path) {
  const struct file *file = source->file;
  service->name = schema->name;
  service->full_name = text_format(
      "%s%s%s", file->package, *file->package ? "." : "", schema->name);
  service->c_type =
      names_full_type(service->full_name, file->package, source->c_package);
  service->c_lower =
      names_full_lower(service->full_name, file->package, source->c_package);
  service->c_upper =
      names_full_upper(service->full_name, file->package, source->c_package);
  service->file = file;
  service->at = source_find(source, path, &service->comments);
  service->deprecated = file->deprecated || (schema->options != NULL &&
                                                schema->options->deprecated);
  service->method_count = schema->n_method;
  service->methods = memory_new(schema->n_method, sizeof *service->methods);
  for (size_t i = 0; i < schema->n_method; i++) {
    const struct path own = {path, SERVICE_METHOD, (int32_t)i};
    service->methods[i].service = service;
    build_method(source, &service->methods[i], schema->method[i], &own);
  }
}

void build_services(const struct source *source, const Schema__File *schema) {
  struct file *file = source->file;
  file->service_count = schema->n_service;
  file->services = memory_new(schema->n_service, sizeof *file->services);
  for (size_t i = 0; i < schema->n_service; i++) {
    const struct path own = {NULL, FILE_SERVICE, (int32_t)i};
    build_service(source, &file->services[i], schema->service[i], &own);
  }
}
