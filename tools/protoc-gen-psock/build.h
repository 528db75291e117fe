/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_BUILD_H
#define PLUGIN_BUILD_H

#include "model.h"
#include "places.h"
#include "plugin.pb-c.h"

/* A file that is being read: its part of the model, and what only reading it
 * needs. */
struct source {
  struct file *file;
  const struct places *places;
  const char *c_package; /* or NULL */
  bool const_strings;
  bool use_oneof_field_name;
};

/* Where `path` is in the file. `ret_comments` may be NULL. */
struct location source_find(const struct source *source,
    const struct path *path, struct comments *ret_comments);

/* Fills in the fields and the oneofs of `message` from what protoc sent. Types
 * are still to be resolved. */
void build_fields(const struct source *source, struct message *message,
    const Schema__Message *schema, const struct path *path);

/* Fills in services and their methods; types are still to be resolved. */
void build_services(const struct source *source, const Schema__File *schema);

/* Notes that `field` or `*ret_message` is of the type with this name; what
 * has the type is declared at `at`. */
void reference_field(struct field *field, const char *type_name);
void reference_message(const struct message **ret_message,
    const char *type_name, struct location at);

/* Whether what is declared at `at` can use `message`: returns 0, or complains
 * and returns -1 if protoc-c makes nothing of it. */
int reference_check(const struct message *message, struct location at);

/* Resolves all that was noted. Returns 0, or -1 if a type is not there, which
 * protoc does not let happen. */
int resolve_references(const struct model *model);

/* Makes the `call` of every message that has the option `response`, whose text
 * protoc does not look at: complains where it stands for no message. */
void build_calls(const struct model *model);

#endif
