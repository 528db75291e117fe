/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"
#include "error.h"
#include "memory.h"
#include <stdlib.h>
#include <string.h>

/*
 * References to types. A field or a method names its type by its full name; the
 * type may come later, or in another file. So while files are read the names
 * are noted, and when all types are known they are looked up.
 */

struct reference {
  const char *type_name;
  struct field *field;
  const struct message **ret_message; /* where `field` is NULL */
  struct location at;
};

struct type {
  const char *full_name;
  struct message *message; /* or it is an enum */
  const struct enumeration *enumeration;
};

static struct reference *references;
static size_t reference_count;

static struct reference *add(const char *type_name, struct location at) {
  references =
      memory_resize(references, reference_count + 1, sizeof *references);
  struct reference *reference = &references[reference_count++];
  *reference = (struct reference){
      .type_name = type_name[0] == '.' ? type_name + 1 : type_name, .at = at};
  return reference;
}

void reference_field(struct field *field, const char *type_name) {
  add(type_name, field->at)->field = field;
}

void reference_message(const struct message **ret_message,
    const char *type_name, struct location at) {
  add(type_name, at)->ret_message = ret_message;
}

/* A type of a file that protoc-c makes nothing of cannot be used outside. */
int reference_check(const struct message *message, struct location at) {
  if (!message->file->no_generate || message->file == at.file)
    return 0;
  error_at(at,
      "message %s is not there in C: its file has the option "
      "(pb_c_file).no_generate",
      message->full_name);
  return -1;
}

static int compare(const void *a, const void *b) {
  const struct type *x = a;
  const struct type *y = b;
  return strcmp(x->full_name, y->full_name);
}

/* All types, by name. */
static struct type *list_types(const struct model *model, size_t *ret_count) {
  size_t count = 0;
  for (size_t i = 0; i < model->file_count; i++)
    count += model->files[i]->message_count + model->files[i]->enum_count;
  struct type *types = memory_new(count, sizeof *types);
  count = 0;
  for (size_t i = 0; i < model->file_count; i++) {
    const struct file *file = model->files[i];
    for (size_t j = 0; j < file->message_count; j++) {
      types[count].full_name = file->messages[j]->full_name;
      types[count++].message = file->messages[j];
    }
    for (size_t j = 0; j < file->enum_count; j++) {
      types[count].full_name = file->enums[j].full_name;
      types[count++].enumeration = &file->enums[j];
    }
  }
  qsort(types, count, sizeof *types, compare);
  *ret_count = count;
  return types;
}

/* Whether what has the field is in turn what the field holds: a tree's node. A
 * map of them is a message of its own in between. */
static bool is_recursive(
    const struct field *field, const struct message *value) {
  const struct message *holder = field->message;
  return holder == value || (holder->is_map_entry && holder->parent == value);
}

static int resolve_field(struct field *field, const struct type *type) {
  bool is_enum = field->type == PROTOBUF_C_TYPE_ENUM;
  if (is_enum != (type->enumeration != NULL))
    return -1;
  if (is_enum) {
    field->c_type = type->enumeration->c_type;
    return 0;
  }
  field->value = type->message;
  field->c_type = type->message->c_type;
  if (type->message->file == field->message->file &&
      !is_recursive(field, type->message))
    type->message->is_held = true;
  return 0;
}

static int resolve(const struct reference *reference, const struct type *type) {
  if (type == NULL)
    return -1;
  if (type->message != NULL)
    (void)reference_check(type->message, reference->at);
  if (reference->field != NULL)
    return resolve_field(reference->field, type);
  *reference->ret_message = type->message;
  return type->message != NULL ? 0 : -1;
}

int resolve_references(const struct model *model) {
  size_t count;
  struct type *types = list_types(model, &count);
  for (size_t i = 0; i < reference_count; i++) {
    const struct type key = {references[i].type_name, NULL, NULL};
    const struct type *type =
        bsearch(&key, types, count, sizeof *types, compare);
    if (resolve(&references[i], type) != 0)
      return -1;
  }
  return 0;
}
