/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_METHOD_H
#define PLUGIN_METHOD_H

#include "model.h"

/* "package.Service/Method", or what the option says. */
const char *method_wire_name(const struct method *method);

/* Its hash: the number that a call of the method is made with. */
uint32_t method_number(const struct method *method);

#endif
