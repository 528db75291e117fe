/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_PLUGIN_MESSAGES_H
#define TESTS_PLUGIN_MESSAGES_H

#include "generated.psock.h"
#include "generated_proto2.psock.h"

/*
 * What the tests of generated code share. Both headers mark deprecated members,
 * and all of them are looked at here.
 */

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* protoc-c's initialisers of messages with strings cast a `const` away. */
static inline Generated__Item new_item(void) {
  Generated__Item item;
  generated__item__init(&item);
  return item;
}

static inline Generated__Types__Note new_note(void) {
  Generated__Types__Note made;
  generated__types__note__init(&made);
  return made;
}

#endif
