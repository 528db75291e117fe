/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_CHECK_H
#define PLUGIN_CHECK_H

#include "model.h"

/* Complains of all that the plugin cannot make code for, at the line of what is
 * wrong. What follows are its parts. */
void check_model(const struct model *model);

/* Takes the names in C of what we generate for `file`; see register_name(). */
void check_names(const struct file *file);

/* Options of messages and of their fields. */
void check_messages(const struct file *file);

/* Options of methods, and their numbers. */
void check_services(const struct file *file);

#endif
