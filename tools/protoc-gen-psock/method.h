/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_METHOD_H
#define PLUGIN_METHOD_H

#include "model.h"

/* "package.Service/Method", or what the option says; of a message's own call,
 * the message's full name. */
const char *method_wire_name(const struct method *method);

/* Its hash: the number that a call of the method is made with; 0 of a message's
 * own call. */
uint32_t method_number(const struct method *method);

/* Whether each call says if its responses stream: that of a message's own. */
bool method_may_stream(const struct method *method);

/* What there is of the method: one response that ends a call, many responses;
 * a function that runs a call to its end, and one that opens it. */
bool method_replies(const struct method *method);
bool method_sends(const struct method *method);
bool method_runs(const struct method *method);
bool method_opens(const struct method *method);

#endif
