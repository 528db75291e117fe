/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_DISPATCH_H
#define PLUGIN_DISPATCH_H

#include "model.h"

/* The oneof that `message` gets a table of handlers for, or NULL. */
const struct oneof *dispatch_choose(const struct message *message);

/* Whether `message` is to have a table, as far as that depends on options. */
bool dispatch_is_wanted(const struct message *message);

/* The oneof that the option dispatch_oneof names, or NULL. */
const struct oneof *dispatch_find(const struct message *message);

/* What handlers are called for `arm`: the field's name in lower case. */
const char *dispatch_arm_name(const struct field *arm);

#endif
