/* SPDX-License-Identifier: BSD-2-Clause */
#include "dispatch.h"
#include "memory.h"
#include <string.h>

/*
 * Which messages get a table of handlers, and for which of their oneofs: the
 * message's own option says it, else the file's. A message with several oneofs
 * has to name one of them, or has no table; check_message.c complains if it
 * asks for one. What is decided here is both checked and generated.
 */

bool dispatch_is_wanted(const struct message *message) {
  if (message->has_dispatch)
    return message->dispatch;
  if (message->file->dispatch == DISPATCH_OUTERMOST)
    return !message->is_held;
  return message->file->dispatch == DISPATCH_ALL;
}

const struct oneof *dispatch_find(const struct message *message) {
  if (message->dispatch_oneof == NULL)
    return NULL;
  for (size_t i = 0; i < message->oneof_count; i++)
    if (strcmp(message->oneofs[i].name, message->dispatch_oneof) == 0)
      return &message->oneofs[i];
  return NULL;
}

const struct oneof *dispatch_choose(const struct message *message) {
  if (!dispatch_is_wanted(message))
    return NULL;
  if (message->dispatch_oneof != NULL)
    return dispatch_find(message);
  return message->oneof_count == 1 ? &message->oneofs[0] : NULL;
}

/* A word of C++ has an underscore behind it as a member, and needs none behind
 * `on_`. */
const char *dispatch_arm_name(const struct field *arm) {
  return text_format("%.*s", (int)strlen(arm->name), arm->c_name);
}
