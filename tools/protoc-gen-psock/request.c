/* SPDX-License-Identifier: BSD-2-Clause */
#include "build.h"
#include "error.h"
#include "memory.h"
#include "names.h"
#include <ctype.h>
#include <string.h>

/*
 * From protoc's request to the model. protoc sends every file that is needed,
 * imported ones first, and says which are to be generated. Each becomes a
 * `struct file`, with its messages and enums in one list each, nested ones
 * right behind what they are in. Fields and methods are build.c's; their types
 * are resolved when all files are there (references.c).
 *
 * A request that is not one makes model_read() return NULL. What is wrong with
 * a schema is complained of, and reading goes on.
 */

/* Fields of the descriptors, as numbers in a path. */
enum {
  FILE_MESSAGE = 4,
  FILE_ENUM = 5,
  FILE_SOURCE_CODE_INFO = 9,
  FILE_SYNTAX = 12,
  MESSAGE_NESTED = 3,
  MESSAGE_ENUM = 4,
  ENUM_VALUE = 2
};

static const char *join(const char *outer, const char *name) {
  return text_format("%s%s%s", outer, *outer != '\0' ? "." : "", name);
}

static const char *change_case(const char *name, int (*change)(int letter)) {
  char *text = text_format("%s", name);
  for (char *at = text; *at != '\0'; at++)
    *at = (char)change((unsigned char)*at);
  return text;
}

static void add_enum(const struct source *source, const Schema__Enum *schema,
    const char *outer, const struct path *path) {
  struct file *file = source->file;
  file->enums =
      memory_resize(file->enums, file->enum_count + 1, sizeof *file->enums);
  struct enumeration *new = &file->enums[file->enum_count++];
  new->name = schema->name;
  new->full_name = join(outer, schema->name);
  new->c_type =
      names_full_type(new->full_name, file->package, source->c_package);
  new->c_lower =
      names_full_lower(new->full_name, file->package, source->c_package);
  new->c_upper =
      names_full_upper(new->full_name, file->package, source->c_package);
  new->at = source_find(source, path, NULL);
  new->value_count = schema->n_value;
  new->values = memory_new(schema->n_value, sizeof *new->values);
  for (size_t i = 0; i < schema->n_value; i++) {
    const struct path own = {path, ENUM_VALUE, (int32_t)i};
    new->values[i].name = schema->value[i]->name;
    new->values[i].c_name =
        text_format("%s__%s", new->c_upper, schema->value[i]->name);
    new->values[i].at = source_find(source, &own, NULL);
  }
}

/* Options, and which of protoc-c's helpers there are: whether a message in a
 * file, or in a message, has them depends on that too. */
static void set_options(struct message *message,
    const Schema__MessageOptions *options, bool init, bool pack) {
  message->c_base = "base";
  message->has_init = init;
  message->has_pack = pack;
  message->deprecated = message->file->deprecated;
  if (options == NULL)
    return;
  message->deprecated = message->deprecated || options->deprecated;
  message->is_map_entry = options->map_entry;
  if (options->c != NULL) {
    if (options->c->base_field_name != NULL)
      message->c_base = options->c->base_field_name;
    if (options->c->has_gen_init_helpers)
      message->has_init = options->c->gen_init_helpers;
    if (options->c->has_gen_pack_helpers)
      message->has_pack = options->c->gen_pack_helpers;
  }
  if (options->psock != NULL) {
    message->has_dispatch = options->psock->has_dispatch;
    message->dispatch = options->psock->dispatch;
    message->dispatch_oneof = options->psock->dispatch_oneof;
    message->response = options->psock->response;
  }
}

/* How messages nested in `message` get their pack functions: where the file
 * says nothing, only from what the message itself says. */
static bool nested_pack(
    const struct message *message, const Schema__Message *schema, bool deep) {
  const Schema__MessageOptions *options = schema->options;
  if (deep)
    return message->has_pack;
  return options != NULL && options->c != NULL && options->c->gen_pack_helpers;
}

static void add_message(const struct source *source,
    const Schema__Message *schema, const struct message *parent,
    const struct path *path, bool init, bool pack, bool deep) {
  struct file *file = source->file;
  struct message *new = memory_new(1, sizeof *new);
  file->messages = memory_resize(
      file->messages, file->message_count + 1, sizeof(struct message *));
  file->messages[file->message_count++] = new;
  new->name = schema->name;
  new->full_name =
      join(parent != NULL ? parent->full_name : file->package, schema->name);
  new->c_type =
      names_full_type(new->full_name, file->package, source->c_package);
  new->c_lower =
      names_full_lower(new->full_name, file->package, source->c_package);
  new->c_upper =
      names_full_upper(new->full_name, file->package, source->c_package);
  new->file = file;
  new->parent = parent;
  new->at = source_find(source, path, &new->comments);
  set_options(new, schema->options, init, pack);
  build_fields(source, new, schema, path);
  for (size_t i = 0; i < schema->n_enum_type; i++) {
    const struct path own = {path, MESSAGE_ENUM, (int32_t)i};
    add_enum(source, schema->enum_type[i], new->full_name, &own);
  }
  for (size_t i = 0; i < schema->n_nested_type; i++) {
    const struct path own = {path, MESSAGE_NESTED, (int32_t)i};
    add_message(source, schema->nested_type[i], new, &own, new->has_init,
        nested_pack(new, schema, deep), true);
  }
}

static void add_types(const struct source *source, const Schema__File *schema) {
  const Schema__CFileOptions *c =
      schema->options != NULL ? schema->options->c : NULL;
  bool init = c == NULL || c->gen_init_helpers;
  bool deep = c != NULL && c->has_gen_pack_helpers;
  bool pack = !deep || c->gen_pack_helpers;
  for (size_t i = 0; i < schema->n_enum_type; i++) {
    const struct path own = {NULL, FILE_ENUM, (int32_t)i};
    add_enum(source, schema->enum_type[i], source->file->package, &own);
  }
  for (size_t i = 0; i < schema->n_message_type; i++) {
    const struct path own = {NULL, FILE_MESSAGE, (int32_t)i};
    add_message(source, schema->message_type[i], NULL, &own, init, pack, deep);
  }
}

static void set_file_options(
    struct source *source, const Schema__FileOptions *options) {
  struct file *file = source->file;
  file->embed_descriptor = true;
  if (options == NULL)
    return;
  file->deprecated = options->deprecated;
  if (options->c != NULL) {
    file->no_generate = options->c->no_generate;
    source->c_package = options->c->c_package;
    file->c_package = options->c->c_package;
    source->const_strings = options->c->const_strings;
    source->use_oneof_field_name = options->c->use_oneof_field_name;
  }
  if (options->psock != NULL) {
    file->dispatch = (enum file_dispatch)options->psock->dispatch;
    file->check_utf8 = options->psock->check_utf8;
    file->embed_descriptor = options->psock->embed_descriptor;
  }
}

static void set_syntax(const struct source *source, const char *syntax) {
  const struct path path = {NULL, FILE_SYNTAX, -1};
  struct file *file = source->file;
  if (syntax == NULL || *syntax == '\0' || strcmp(syntax, "proto2") == 0)
    file->syntax = 2;
  else if (strcmp(syntax, "proto3") == 0)
    file->syntax = 3;
  else
    error_at(source_find(source, &path, NULL),
        "the syntax \"%s\" is not known: only proto2 and proto3 are", syntax);
}

/* Reads a varint; 0 bytes behind the end. */
static uint64_t read_varint(const uint8_t **at, const uint8_t *end) {
  uint64_t value = 0;
  for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
    uint8_t byte = *(*at)++;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80)
      break;
  }
  return value;
}

/* Copies a file's descriptor, without the places and comments: they would make
 * up most of it. It has been read already, so it is one; all of its fields are
 * counted bytes or varints. */
static void copy_descriptor(
    struct file *file, const uint8_t *bytes, size_t length) {
  const uint8_t *at = bytes;
  const uint8_t *end = bytes + length;
  uint8_t *copy = memory_new(length, 1);
  file->descriptor = copy;
  while (at < end) {
    const uint8_t *from = at;
    uint64_t tag = read_varint(&at, end);
    uint64_t value = read_varint(&at, end);
    if ((tag & 7) == 2)
      at += value < (uint64_t)(end - at) ? (size_t)value : (size_t)(end - at);
    if (tag >> 3 == FILE_SOURCE_CODE_INFO)
      continue;
    memcpy(copy, from, (size_t)(at - from));
    copy += at - from;
  }
  file->descriptor_length = (size_t)(copy - file->descriptor);
}

static struct file *find_file(const struct model *model, const char *name) {
  for (size_t i = 0; i < model->file_count; i++)
    if (strcmp(model->files[i]->name, name) == 0)
      return model->files[i];
  return NULL;
}

static void set_imports(
    const struct model *model, struct file *file, const Schema__File *schema) {
  file->imports = memory_new(schema->n_dependency, sizeof *file->imports);
  for (size_t i = 0; i < schema->n_dependency; i++) {
    struct file *import = find_file(model, schema->dependency[i]);
    if (import != NULL)
      file->imports[file->import_count++] = import;
  }
}

static bool is_to_generate(const Schema__Request *request, const char *name) {
  for (size_t i = 0; i < request->n_file_to_generate; i++)
    if (strcmp(request->file_to_generate[i], name) == 0)
      return true;
  return false;
}

static struct file *read_file(const struct model *model,
    const Schema__Request *request, const ProtobufCBinaryData *bytes) {
  Schema__File *schema =
      schema__file__unpack(&memory_allocator, bytes->len, bytes->data);
  if (schema == NULL)
    return NULL;
  struct file *file = memory_new(1, sizeof *file);
  file->name = schema->name;
  file->stem = names_stem(schema->name);
  file->c_lower = change_case(names_file(file->stem), tolower);
  file->c_upper = change_case(names_file(file->name), toupper);
  file->package = schema->package;
  file->generate = is_to_generate(request, schema->name);
  struct source source = {
      .file = file, .places = places_new(schema->source_code_info)};
  set_file_options(&source, schema->options);
  set_syntax(&source, schema->syntax);
  set_imports(model, file, schema);
  add_types(&source, schema);
  build_services(&source, schema);
  copy_descriptor(file, bytes->data, bytes->len);
  return file;
}

/* There are no parameters; protoc passes on whatever it is given. */
static void check_parameter(const char *parameter) {
  const struct location nowhere = {NULL, 0};
  if (parameter != NULL && *parameter != '\0')
    error_at(nowhere, "unknown parameter \"%s\": protoc-gen-psock has none",
        parameter);
}

struct model *model_read(const uint8_t *bytes, size_t length) {
  Schema__Request *request =
      schema__request__unpack(&memory_allocator, length, bytes);
  if (request == NULL)
    return NULL;
  struct model *model = memory_new(1, sizeof *model);
  check_parameter(request->parameter);
  model->files = memory_new(request->n_proto_file, sizeof *model->files);
  for (size_t i = 0; i < request->n_proto_file; i++) {
    struct file *file = read_file(model, request, &request->proto_file[i]);
    if (file == NULL)
      return NULL;
    model->files[model->file_count++] = file;
  }
  if (resolve_references(model) != 0)
    return NULL;
  build_calls(model);
  return model;
}
