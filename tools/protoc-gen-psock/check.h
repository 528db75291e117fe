/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_CHECK_H
#define PLUGIN_CHECK_H

#include "model.h"

/* The parts of check_file. Each complains at the line of what is wrong. */

/* Options of messages and of their fields: check_message.c */
void check_messages(const struct file *file);

/* Options of methods, and their numbers: check_service.c */
void check_services(const struct file *file);

/* Takes the names of what is generated: check_names.c */
void check_names(const struct file *file);

#endif
