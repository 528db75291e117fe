/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_FACE_PARTS_H
#define PLUGIN_FACE_PARTS_H

#include "model.h"
#include "print.h"

/*
 * What the files face_*.c and check_*.c know of each other: the parts that a
 * message's face is made of, and the decisions that are both checked and
 * printed.
 */

/* `text` as a string literal of C. */
const char *face_quote(const char *text);

/* " PSOCK_DEPRECATED", or nothing. */
const char *face_deprecated(bool deprecated);

/* One empty line, if there is none yet. */
void face_gap(struct printer *printer);

/* A comment of the plugin's own. */
void face_note(struct printer *printer, const char *text);

/* A line that opens a bracket at the end of `head`, and what follows there,
 * broken as clang-format does where it is too wide. */
void face_line(struct printer *printer, const char *head, const char *rest);

/* Lines that follow are indented, as the body of what has just been opened;
 * and the end of such a body. */
void face_open(struct printer *printer);
void face_close(struct printer *printer, const char *end);

/* ---- Handlers for a oneof: face_dispatch.c ---- */

/* The oneof that `message` gets a table of handlers for, or NULL. */
const struct oneof *dispatch_choose(const struct message *message);

/* Whether `message` is to have a table, as far as that depends on options. */
bool dispatch_is_wanted(const struct message *message);

/* The oneof that the option dispatch_oneof names, or NULL. */
const struct oneof *dispatch_find(const struct message *message);

/* What handlers are called for `arm`: the field's name in lower case. */
const char *dispatch_arm_name(const struct field *arm);

void dispatch_header(struct printer *printer, const struct message *message);
void dispatch_source(struct printer *printer, const struct message *message);

/* ---- Id and control code of a call: face_call.c ---- */

void call_header(struct printer *printer, const struct message *message);
void call_source(struct printer *printer, const struct message *message);

/* ---- Methods on the wire: face_method.c ---- */

/* "package.Service/Method", or what the option says. */
const char *method_wire_name(const struct method *method);

/* Its hash: the number that a call of the method is made with. */
uint32_t method_number(const struct method *method);

#endif
