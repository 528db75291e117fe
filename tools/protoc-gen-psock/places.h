/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_PLACES_H
#define PLUGIN_PLACES_H

#include "model.h"
#include "plugin.pb-c.h"

/* A declaration, as a path from its file: a field's number in the descriptor
 * of what it is in, and its index there. */
struct path {
  const struct path *up; /* NULL: the declaration is one of the file's */
  int32_t field;
  int32_t index; /* -1: there is only one */
};

struct places;

/* `info` may be NULL, and is kept. */
struct places *places_new(const Schema__SourceCodeInfo *info);

/* The line of a declaration; of what it is in, if it has none itself, which is
 * so where protoc has made it up; 1 if nothing is known. `ret_comments` may be
 * NULL; otherwise it is set, to no comments if there are none. */
unsigned places_find(const struct places *places, const struct path *path,
    struct comments *ret_comments);

#endif
