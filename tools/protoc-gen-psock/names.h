/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_NAMES_H
#define PLUGIN_NAMES_H

#include <stdbool.h>

/* Names in C, exactly as protoc-c 1.4.1 makes them. */

/* One part of a name. FooBar becomes foo_bar; FOO_BAR; foo_bar becomes FooBar.
 */
const char *names_lower(const char *name);
const char *names_upper(const char *name);
const char *names_camel(const char *name);

/* A member of a struct. */
const char *names_field(const char *name);

/* A full name, package.Outer.Inner, whose file has `package`; `c_package` takes
 * its place if that is not NULL. */
const char *names_full_type(
    const char *full_name, const char *package, const char *c_package);
const char *names_full_lower(
    const char *full_name, const char *package, const char *c_package);
const char *names_full_upper(
    const char *full_name, const char *package, const char *c_package);

/* The name of a .proto file without that ending. */
const char *names_stem(const char *file_name);

/* The name of a .proto file as an identifier: what cannot stand in one becomes
 * an underscore, and a folder's end two. */
const char *names_file(const char *file_name);

bool names_is_identifier(const char *text);

/* Whether `word` is one of `words`, which have a space around each. */
bool names_is_among(const char *word, const char *words);

#endif
