/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_CLAIMS_H
#define PLUGIN_CLAIMS_H

#include "model.h"

/* Takes the names in C of what protoc-c makes of `file`; see register_name().
 */
void claims_take(const struct file *file);

#endif
