/* SPDX-License-Identifier: BSD-2-Clause */
#include "dispatch.h"
#include "emit.h"
#include "emit_parts.h"
#include "memory.h"
#include <protosocket/message.h>
#include <stdlib.h>
#include <string.h>

/*
 * The frame of a generated header: the guard, what it includes, a check that it
 * fits the library's headers, and then for the file, each message and each
 * service what is declared for it. Here that is only a message's type; the rest
 * is in emit_schema.c, emit_call.c, emit_dispatch.c, emit_service.c and
 * emit_method.c.
 *
 * Included are protoc-c's header for this file, and ours for each file that has
 * a message which is used here, by name.
 */

/* The version of what is generated, as text. */
#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
#define GENERATED_VERSION TEXT(PSOCK_GENERATED_VERSION)

/* The headers of the library that are needed, by name. */
static void emit_library_includes(
    struct printer *printer, const struct file *file) {
  bool calls = file->service_count > 0;
  bool dispatches = false;
  for (size_t i = 0; i < file->message_count; i++) {
    calls = calls || file->messages[i]->call != NULL;
    dispatches = dispatches || dispatch_choose(file->messages[i]) != NULL;
  }
  if (calls)
    print(printer, "#include <protosocket/call.h>\n"
                   "#include <protosocket/caller.h>\n");
  if (dispatches)
    print(printer, "#include <protosocket/dispatch.h>\n");
  print(printer, "#include <protosocket/message.h>\n");
  if (file->embed_descriptor)
    print(printer, "#include <protosocket/schema.h>\n");
  if (calls)
    print(printer, "#include <protosocket/service.h>\n");
}

static int compare_stems(const void *a, const void *b) {
  const struct file *const *x = a;
  const struct file *const *y = b;
  return strcmp((*x)->stem, (*y)->stem);
}

static void add_user(const struct file *file, const struct message *used,
    const struct file **files, size_t *count) {
  if (used == NULL || used->file == file || used->file->no_generate)
    return;
  for (size_t i = 0; i < *count; i++)
    if (files[i] == used->file)
      return;
  files[(*count)++] = used->file;
}

static void add_users(const struct file *file, const struct service *service,
    const struct file **files, size_t *count) {
  for (size_t i = 0; i < service->method_count; i++) {
    add_user(file, service->methods[i].request, files, count);
    add_user(file, service->methods[i].response, files, count);
  }
}

/* The most files that can be used: one for each field, each method's types, and
 * what answers each message. */
static size_t count_uses(const struct file *file) {
  size_t count = 0;
  for (size_t i = 0; i < file->message_count; i++)
    count += file->messages[i]->field_count + 1;
  for (size_t i = 0; i < file->service_count; i++)
    count += 2 * file->services[i].method_count;
  return count;
}

static void emit_includes(struct printer *printer, const struct file *file) {
  const struct file **used = memory_new(count_uses(file), sizeof *used);
  size_t count = 0;
  for (size_t i = 0; i < file->message_count; i++) {
    const struct message *message = file->messages[i];
    for (size_t j = 0; j < message->field_count; j++)
      add_user(file, message->fields[j]->value, used, &count);
    if (message->call != NULL)
      add_users(file, message->call, used, &count);
  }
  for (size_t i = 0; i < file->service_count; i++)
    add_users(file, &file->services[i], used, &count);
  qsort(used, count, sizeof *used, compare_stems);
  print(printer, "#include \"%s.pb-c.h\"\n", file->stem);
  emit_library_includes(printer, file);
  if (count > 0)
    print(printer, "\n");
  for (size_t i = 0; i < count; i++)
    print(printer, "#include \"%s.psock.h\"\n", used[i]->stem);
}

static bool has_deprecated(const struct file *file) {
  for (size_t i = 0; i < file->message_count; i++) {
    const struct message *message = file->messages[i];
    if (message->deprecated)
      return true;
    for (size_t j = 0; j < message->field_count; j++)
      if (message->fields[j]->deprecated)
        return true;
  }
  for (size_t i = 0; i < file->service_count; i++)
    for (size_t j = 0; j < file->services[i].method_count; j++)
      if (file->services[i].methods[j].deprecated)
        return true;
  return file->deprecated;
}

/* The inline functions may use what is deprecated; those who call them are
 * warned. */
static void emit_begin(struct printer *printer, const struct file *file) {
  if (has_deprecated(file))
    print(printer,
        "#if defined(__GNUC__)\n"
        "#pragma GCC diagnostic push\n"
        "#pragma GCC diagnostic ignored \"-Wdeprecated-declarations\"\n"
        "#endif\n\n");
  print(printer, "PSOCK_BEGIN_DECLS\n");
}

static void emit_end(struct printer *printer, const struct file *file) {
  print_gap(printer);
  print(printer, "PSOCK_END_DECLS\n\n");
  if (has_deprecated(file))
    print(printer, "#if defined(__GNUC__)\n"
                   "#pragma GCC diagnostic pop\n"
                   "#endif\n\n");
  print(printer, "#endif\n");
}

static void emit_type_declaration(
    struct printer *printer, const struct message *message) {
  print_heading(printer, message->c_type);
  print_comments(printer, &message->comments,
      text_format("The message %s.", message->full_name));
  print_line(printer, "extern const struct psock_message_type %s__type%s;",
      message->c_lower, emit_deprecated(message->deprecated));
}

void emit_header(struct printer *printer, const struct file *file) {
  emit_banner(printer, file);
  print(printer, "#ifndef PSOCK_%s\n#define PSOCK_%s\n\n", file->c_upper,
      file->c_upper);
  emit_includes(printer, file);
  print(printer, "\n#if PSOCK_GENERATED_VERSION < " GENERATED_VERSION "\n"
                 "#error \"protosocket's headers are older than the "
                 "protoc-gen-psock that made this\"\n"
                 "#elif PSOCK_GENERATED_OLDEST > " GENERATED_VERSION "\n"
                 "#error \"made by a protoc-gen-psock that is too old: run "
                 "protoc again\"\n"
                 "#endif\n\n");
  emit_begin(printer, file);
  emit_schema_header(printer, file);
  for (size_t i = 0; i < file->message_count; i++) {
    emit_type_declaration(printer, file->messages[i]);
    emit_call_header(printer, file->messages[i]);
    emit_dispatch_header(printer, file->messages[i]);
    if (file->messages[i]->call != NULL)
      emit_service_header(printer, file->messages[i]->call);
  }
  for (size_t i = 0; i < file->service_count; i++)
    emit_service_header(printer, &file->services[i]);
  emit_end(printer, file);
}
