/* SPDX-License-Identifier: BSD-2-Clause */
#include "check.h"
#include "faces.h"

/*
 * What protoc accepts and this plugin cannot: options that make no sense where
 * they stand, methods that could not be told apart, names that C would find
 * twice. Everything is looked at, so that one run shows all that is wrong.
 */

void check_file(const struct file *file) {
  check_messages(file);
  check_services(file);
  check_names(file);
}
