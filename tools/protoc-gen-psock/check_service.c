/* SPDX-License-Identifier: BSD-2-Clause */
#include "check.h"
#include "error.h"
#include "memory.h"
#include "method.h"
#include <string.h>

/*
 * Methods whose options make no sense, or that nobody could call: a number that
 * another method of the file has, whatever its service, or the number 0. Both
 * are the doing of a hash, so both are mended by another name on the wire. The
 * complaint is at the later of two methods and names the other.
 */

/* Whether `name` has the form Service/Method. */
static bool is_wire_name(const char *name) {
  const char *slash = strchr(name, '/');
  if (slash == NULL || slash == name || slash[1] == '\0')
    return false;
  if (strchr(slash + 1, '/') != NULL)
    return false;
  for (const char *at = name; *at != '\0'; at++)
    if ((unsigned char)*at <= ' ' || *at == 0x7f)
      return false;
  return true;
}

static void check_options(const struct method *method) {
  if (method->has_timeout_ms && method->no_timeout)
    error_at(method->at,
        "method %s has both timeout_ms and no_timeout: take one of them "
        "away",
        method->name);
  else if (method->has_timeout_ms && method->timeout_ms == 0)
    error_at(method->at,
        "method %s has a timeout of 0, which no call could meet: leave out "
        "timeout_ms for the default, or set no_timeout",
        method->name);
  if (method->wire_name != NULL && !is_wire_name(method->wire_name))
    error_at(method->at,
        "method %s has the wire_name %s: give it the form "
        "\"package.Service/Method\", with one slash and without spaces",
        method->name, text_quote(method->wire_name));
}

/* A method with what it is called on the wire. */
struct call {
  const struct method *method;
  const char *name;
  uint32_t number;
};

static void check_pair(const struct call *later, const struct call *earlier) {
  if (later->number != earlier->number)
    return;
  if (strcmp(later->name, earlier->name) == 0)
    error_at(later->method->at,
        "method %s is called %s on the wire, as is %s of service "
        "%s in line %u: give one of them another wire_name",
        later->method->name, text_quote(later->name), earlier->method->name,
        earlier->method->service->full_name, earlier->method->at.line);
  else
    error_at(later->method->at,
        "methods %s and %s (in line %u) have the same number on the wire, "
        "0x%08x: give one of them another name there with "
        "(protosocket.method).wire_name",
        text_quote(later->name), text_quote(earlier->name),
        earlier->method->at.line, (unsigned)later->number);
}

/* All methods of the file, as declared. */
static size_t list_calls(const struct file *file, struct call **ret_calls) {
  size_t count = 0, filled = 0;
  for (size_t i = 0; i < file->service_count; i++)
    count += file->services[i].method_count;
  struct call *calls = memory_new(count, sizeof *calls);
  for (size_t i = 0; i < file->service_count; i++)
    for (size_t k = 0; k < file->services[i].method_count; k++) {
      const struct method *method = &file->services[i].methods[k];
      calls[filled++] = (struct call){.method = method,
          .name = method_wire_name(method),
          .number = method_number(method)};
    }
  *ret_calls = calls;
  return count;
}

void check_services(const struct file *file) {
  struct call *calls;
  size_t count = list_calls(file, &calls);
  for (size_t i = 0; i < count; i++) {
    check_options(calls[i].method);
    if (calls[i].number == 0)
      error_at(calls[i].method->at,
          "method %s has the number 0 on the wire, which stands for none: "
          "give it another name there with (protosocket.method).wire_name",
          text_quote(calls[i].name));
    for (size_t k = 0; k < i; k++)
      check_pair(&calls[i], &calls[k]);
  }
}
