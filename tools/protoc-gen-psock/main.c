/* SPDX-License-Identifier: BSD-2-Clause */
#include "check.h"
#include "emit.h"
#include "error.h"
#include "memory.h"
#include "plugin.pb-c.h"
#include <errno.h>
#include <protosocket/version.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * protoc-gen-psock, a plugin of protoc: it reads a CodeGeneratorRequest from
 * standard input and writes a CodeGeneratorResponse to standard output.
 *
 *   request -> model -> checks -> a header and a source for each file
 *
 * What is wrong with a schema goes into the response, in place of all files,
 * and the exit status is 0: protoc prints it and fails. Only what is wrong with
 * the request itself, or the system, is told on standard error, with status 1.
 */

static const char usage[] =
    "Usage: protoc --c_out=DIRECTORY --psock_out=DIRECTORY FILE.proto\n"
    "\n"
    "protoc-gen-psock makes FILE.psock.h and FILE.psock.c: dispatch tables,\n"
    "encoders and decoders for the messages of a schema. protoc runs it.\n"
    "\n"
    "  --help     print this\n"
    "  --version  print the version\n";

static uint8_t *read_all(FILE *stream, size_t *ret_length) {
  uint8_t *bytes = NULL;
  size_t length = 0, room = 0;
  do {
    if (length == room) {
      room = room > 0 ? room * 2 : 65536;
      bytes = memory_resize(bytes, room, 1);
    }
    length += fread(bytes + length, 1, room - length, stream);
  } while (!feof(stream) && !ferror(stream));
  *ret_length = length;
  return ferror(stream) ? NULL : bytes;
}

static void add_file(Schema__Response *response, const struct file *file,
    const char *ending,
    void (*emit)(struct printer *printer, const struct file *file)) {
  Schema__Response__File *new = memory_new(1, sizeof *new);
  struct printer printer = {0};
  emit(&printer, file);
  schema__response__file__init(new);
  new->name = text_format("%s%s", file->stem, ending);
  new->content = printer.text;
  response->file = memory_resize(
      response->file, response->n_file + 1, sizeof *response->file);
  response->file[response->n_file++] = new;
}

static void generate(Schema__Response *response, const struct model *model) {
  for (size_t i = 0; i < model->file_count; i++) {
    const struct file *file = model->files[i];
    if (!file->generate || file->no_generate)
      continue;
    add_file(response, file, ".psock.h", emit_header);
    add_file(response, file, ".psock.c", emit_source);
  }
}

static int write_response(const Schema__Response *response) {
  size_t length = schema__response__get_packed_size(response);
  uint8_t *bytes = memory_new(length, 1);
  schema__response__pack(response, bytes);
  if (fwrite(bytes, 1, length, stdout) == length && fflush(stdout) == 0)
    return 0;
  fprintf(stderr, "protoc-gen-psock: cannot write: %s\n", strerror(errno));
  return 1;
}

static int run(void) {
  size_t length;
  const uint8_t *request = read_all(stdin, &length);
  if (request == NULL) {
    fprintf(stderr, "protoc-gen-psock: cannot read: %s\n", strerror(errno));
    return 1;
  }
  const struct model *model = model_read(request, length);
  if (model == NULL) {
    fputs("protoc-gen-psock: what came in is no request of protoc's\n", stderr);
    return 1;
  }
  Schema__Response response = SCHEMA__RESPONSE__INIT;
  response.has_supported_features = 1;
  response.supported_features = 1; /* FEATURE_PROTO3_OPTIONAL: an error of ours
                                    * says more than protoc's */
  check_model(model);
  if (error_count() > 0)
    response.error = error_text();
  else
    generate(&response, model);
  return write_response(&response);
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--help") == 0)
    return fputs(usage, stdout) < 0 || fflush(stdout) != 0;
  if (argc == 2 && strcmp(argv[1], "--version") == 0)
    return puts("protoc-gen-psock " PSOCK_VERSION) < 0 || fflush(stdout) != 0;
  if (argc > 1) {
    fprintf(
        stderr, "protoc-gen-psock: unknown argument %s\n%s", argv[1], usage);
    return 1;
  }
  if (isatty(STDIN_FILENO)) {
    fputs("protoc-gen-psock is a plugin that protoc runs, and reads a request "
          "of protoc's from standard input; see --help\n",
        stderr);
    return 1;
  }
  return run();
}
