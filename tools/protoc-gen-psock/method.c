/* SPDX-License-Identifier: BSD-2-Clause */
#include "method.h"
#include "memory.h"

/*
 * How methods are named and numbered on the wire, and what follows from what
 * streams in them. The name is the service's full name, a slash, and the
 * method's name, unless the schema has another; the number is the name's FNV-1a
 * hash of 32 bits. A method that gets a new name keeps its number when the
 * option wire_name has the old one.
 *
 * The call that a message's option makes is found by neither: it is the only
 * one on its connections. Whether its responses stream is up to each call, so
 * it has what is there for one response, and what is there for many.
 */

#define FNV_OFFSET 2166136261u
#define FNV_PRIME 16777619u

const char *method_wire_name(const struct method *method) {
  if (method->service->message != NULL)
    return method->service->full_name;
  if (method->wire_name != NULL)
    return method->wire_name;
  return text_format("%s/%s", method->service->full_name, method->name);
}

uint32_t method_number(const struct method *method) {
  uint32_t hash = FNV_OFFSET;
  if (method->service->message != NULL)
    return 0;
  for (const char *at = method_wire_name(method); *at != '\0'; at++)
    hash = (hash ^ (unsigned char)*at) * FNV_PRIME;
  return hash;
}

bool method_may_stream(const struct method *method) {
  return method->service->message != NULL;
}

bool method_replies(const struct method *method) {
  return !method->server_streams;
}

bool method_sends(const struct method *method) {
  return method->server_streams || method_may_stream(method);
}

bool method_runs(const struct method *method) {
  return !method->client_streams && !method->server_streams;
}

bool method_opens(const struct method *method) {
  return !method_runs(method) || method_may_stream(method);
}
