/* SPDX-License-Identifier: BSD-2-Clause */
#include "claims.h"
#include "memory.h"
#include "register.h"

/*
 * The names that protoc-c 1.4.1 takes in C: everything that it declares for a
 * file, and the members of its structs. protoc-c itself does not look for
 * collisions. What we generate takes its names in check_names.c.
 */

static void claim_members(const struct message *message, const char *what) {
  register_name(message, message->c_base,
      text_format("the (pb_c_msg).base_field_name of %s", what), message->at);
  for (size_t i = 0; i < message->oneof_count; i++)
    register_name(message, message->oneofs[i].c_case,
        text_format("the case of oneof %s", message->oneofs[i].name),
        message->oneofs[i].at);
  for (size_t i = 0; i < message->field_count; i++) {
    const struct field *field = message->fields[i];
    register_name(message, field->c_name, text_format("field %s", field->name),
        field->at);
    if (field->c_count != NULL)
      register_name(message, field->c_count,
          text_format("the %s of field %s",
              field->kind == FIELD_REPEATED ? "count" : "flag", field->name),
          field->at);
  }
}

static void claim_oneof(const struct oneof *oneof) {
  const char *what = text_format("oneof %s", oneof->name);
  register_name(NULL, oneof->c_type, what, oneof->at);
  register_name(NULL, oneof->c_none, what, oneof->at);
  for (size_t i = 0; i < oneof->field_count; i++)
    register_name(NULL, oneof->fields[i]->c_case,
        text_format(
            "field %s of oneof %s", oneof->fields[i]->name, oneof->name),
        oneof->fields[i]->at);
}

static void claim_defaults(const struct message *message) {
  for (size_t i = 0; i < message->field_count; i++)
    if (message->fields[i]->c_default != NULL)
      register_name(NULL, message->fields[i]->c_default,
          text_format("the default of field %s", message->fields[i]->name),
          message->fields[i]->at);
}

static void claim_message(const struct message *message) {
  static const char *const types[] = {"", "_Closure", NULL};
  static const char *const macros[] = {"__INIT", NULL};
  static const char *const objects[] = {"__descriptor", NULL};
  static const char *const init[] = {"__init", NULL};
  static const char *const pack[] = {"__get_packed_size", "__pack",
      "__pack_to_buffer", "__unpack", "__free_unpacked", NULL};
  const char *what = text_format("message %s", message->full_name);
  register_names(NULL, message->c_type, types, what, message->at);
  register_names(NULL, message->c_upper, macros, what, message->at);
  register_names(NULL, message->c_lower, objects, what, message->at);
  if (message->has_init)
    register_names(NULL, message->c_lower, init, what, message->at);
  if (message->has_pack)
    register_names(NULL, message->c_lower, pack, what, message->at);
  claim_members(message, what);
  claim_defaults(message);
  for (size_t i = 0; i < message->oneof_count; i++)
    claim_oneof(&message->oneofs[i]);
}

static void claim_enum(const struct enumeration *enumeration) {
  static const char *const objects[] = {"__descriptor", NULL};
  const char *what = text_format("enum %s", enumeration->full_name);
  register_name(NULL, enumeration->c_type, what, enumeration->at);
  register_name(NULL, text_format("_%s_IS_INT_SIZE", enumeration->c_upper),
      what, enumeration->at);
  register_names(NULL, enumeration->c_lower, objects, what, enumeration->at);
  for (size_t i = 0; i < enumeration->value_count; i++)
    register_name(NULL, enumeration->values[i].c_name,
        text_format("value %s of %s", enumeration->values[i].name, what),
        enumeration->values[i].at);
}

static void claim_service(const struct service *service) {
  static const char *const types[] = {"_Service", "_ServiceDestroy", NULL};
  static const char *const macros[] = {"__BASE_INIT", "__INIT", NULL};
  static const char *const objects[] = {
      "__descriptor", "__init", "__method_indices_by_name", NULL};
  const char *what = text_format("service %s", service->full_name);
  register_names(NULL, service->c_type, types, what, service->at);
  register_names(NULL, service->c_upper, macros, what, service->at);
  register_names(NULL, service->c_lower, objects, what, service->at);
  register_name(service, "base", text_format("the first member of %s", what),
      service->at);
  for (size_t i = 0; i < service->method_count; i++) {
    const struct method *method = &service->methods[i];
    const char *name = text_format("method %s", method->name);
    register_name(service, method->c_name, name, method->at);
    register_name(NULL, method->c_lower, name, method->at);
  }
}

void claims_take(const struct file *file) {
  if (file->no_generate)
    return;
  for (size_t i = 0; i < file->message_count; i++)
    claim_message(file->messages[i]);
  for (size_t i = 0; i < file->enum_count; i++)
    claim_enum(&file->enums[i]);
  for (size_t i = 0; i < file->service_count; i++)
    claim_service(&file->services[i]);
}
