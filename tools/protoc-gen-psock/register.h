/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_REGISTER_H
#define PLUGIN_REGISTER_H

#include "model.h"

/* Takes `name` in `scope` (NULL: what is global in C; otherwise any pointer, of
 * what has the name as a member) for `what`, such as "message Foo", declared at
 * `at`. Complains if something declared elsewhere has it already, or if C does
 * not have it as a name. The texts are kept. */
void register_name(
    const void *scope, const char *name, const char *what, struct location at);

/* Takes `stem` with each of `endings` behind it, an array that ends with NULL.
 */
void register_names(const void *scope, const char *stem,
    const char *const *endings, const char *what, struct location at);

#endif
