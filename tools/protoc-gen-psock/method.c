/* SPDX-License-Identifier: BSD-2-Clause */
#include "method.h"
#include "memory.h"

/*
 * How methods are named and numbered on the wire. The name is the service's
 * full name, a slash, and the method's name, unless the schema has another; the
 * number is the name's FNV-1a hash of 32 bits. A method that gets a new name
 * keeps its number when the option wire_name has the old one.
 */

#define FNV_OFFSET 2166136261u
#define FNV_PRIME 16777619u

const char *method_wire_name(const struct method *method) {
  if (method->wire_name != NULL)
    return method->wire_name;
  return text_format("%s/%s", method->service->full_name, method->name);
}

uint32_t method_number(const struct method *method) {
  uint32_t hash = FNV_OFFSET;
  for (const char *at = method_wire_name(method); *at != '\0'; at++)
    hash = (hash ^ (unsigned char)*at) * FNV_PRIME;
  return hash;
}
