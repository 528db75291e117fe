/* SPDX-License-Identifier: BSD-2-Clause */
#include "claims.h"
#include "names.h"

/*
 * The names that are taken in C: everything that protoc-c declares for a file,
 * the members of its structs, and our codecs and types. What else we generate
 * takes its names where it is checked.
 *
 * protoc-c itself does not look for collisions; a compiler does, in a file that
 * nobody has written.
 */

/* Takes each of `endings`, an array that ends with NULL, behind `stem`. */
static void claim_all(const char *stem, const char *const *endings,
    const char *what, struct location at) {
  for (; *endings != NULL; endings++)
    names_claim(NULL, text_format("%s%s", stem, *endings), what, at);
}

static void claim_members(const struct message *message, const char *what) {
  size_t i;
  names_claim(message, message->c_base,
      text_format("what protoc-c puts first into %s (the option "
                  "(pb_c_msg).base_field_name renames it)",
          what),
      message->at);
  for (i = 0; i < message->oneof_count; i++)
    names_claim(message, message->oneofs[i].c_case,
        text_format("the case of oneof %s", message->oneofs[i].name),
        message->oneofs[i].at);
  for (i = 0; i < message->field_count; i++) {
    const struct field *field = message->fields[i];
    names_claim(message, field->c_name, text_format("field %s", field->name),
        field->at);
    if (field->c_count != NULL)
      names_claim(message, field->c_count,
          text_format("the %s of field %s",
              field->kind == FIELD_REPEATED ? "count" : "flag", field->name),
          field->at);
  }
}

static void claim_oneof(const struct oneof *oneof) {
  const char *what = text_format("oneof %s", oneof->name);
  size_t i;
  names_claim(NULL, oneof->c_type, what, oneof->at);
  names_claim(NULL, oneof->c_none, what, oneof->at);
  for (i = 0; i < oneof->field_count; i++)
    names_claim(NULL, oneof->fields[i]->c_case,
        text_format(
            "field %s of oneof %s", oneof->fields[i]->name, oneof->name),
        oneof->fields[i]->at);
}

static void claim_defaults(const struct message *message) {
  size_t i;
  for (i = 0; i < message->field_count; i++)
    if (message->fields[i]->c_default != NULL)
      names_claim(NULL, message->fields[i]->c_default,
          text_format("the default of field %s", message->fields[i]->name),
          message->fields[i]->at);
}

static void claim_message(const struct message *message) {
  static const char *const types[] = {"", "_Closure", NULL};
  static const char *const macros[] = {"__INIT", NULL};
  static const char *const objects[] = {
      "__descriptor", "__type", "__initial", "__encode", "__decode", NULL};
  static const char *const init[] = {"__init", NULL};
  static const char *const pack[] = {"__get_packed_size", "__pack",
      "__pack_to_buffer", "__unpack", "__free_unpacked", NULL};
  const char *what = text_format("message %s", message->full_name);
  size_t i;
  claim_all(message->c_type, types, what, message->at);
  claim_all(message->c_upper, macros, what, message->at);
  claim_all(message->c_lower, objects, what, message->at);
  if (message->has_init)
    claim_all(message->c_lower, init, what, message->at);
  if (message->has_pack)
    claim_all(message->c_lower, pack, what, message->at);
  claim_members(message, what);
  claim_defaults(message);
  for (i = 0; i < message->oneof_count; i++)
    claim_oneof(&message->oneofs[i]);
}

static void claim_enum(const struct enumeration *enumeration) {
  static const char *const objects[] = {"__descriptor", NULL};
  const char *what = text_format("enum %s", enumeration->full_name);
  size_t i;
  names_claim(NULL, enumeration->c_type, what, enumeration->at);
  names_claim(NULL, text_format("_%s_IS_INT_SIZE", enumeration->c_upper), what,
      enumeration->at);
  claim_all(enumeration->c_lower, objects, what, enumeration->at);
  for (i = 0; i < enumeration->value_count; i++)
    names_claim(NULL, enumeration->values[i].c_name,
        text_format("value %s of %s", enumeration->values[i].name, what),
        enumeration->values[i].at);
}

static void claim_service(const struct service *service) {
  static const char *const types[] = {"_Service", "_ServiceDestroy", NULL};
  static const char *const macros[] = {"__BASE_INIT", "__INIT", NULL};
  static const char *const objects[] = {
      "__descriptor", "__init", "__method_indices_by_name", NULL};
  const char *what = text_format("service %s", service->full_name);
  size_t i;
  claim_all(service->c_type, types, what, service->at);
  claim_all(service->c_upper, macros, what, service->at);
  claim_all(service->c_lower, objects, what, service->at);
  names_claim(service, "base",
      text_format("what protoc-c puts first into %s", what), service->at);
  for (i = 0; i < service->method_count; i++) {
    const struct method *method = &service->methods[i];
    const char *name = text_format("method %s", method->name);
    names_claim(service, method->c_name, name, method->at);
    names_claim(NULL, method->c_lower, name, method->at);
  }
}

void claims_take(const struct file *file) {
  size_t i;
  if (file->no_generate)
    return;
  for (i = 0; i < file->message_count; i++)
    claim_message(file->messages[i]);
  for (i = 0; i < file->enum_count; i++)
    claim_enum(&file->enums[i]);
  for (i = 0; i < file->service_count; i++)
    claim_service(&file->services[i]);
}
