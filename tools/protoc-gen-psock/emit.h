/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_EMIT_H
#define PLUGIN_EMIT_H

#include "model.h"
#include "print.h"

/* The whole NAME.psock.h and NAME.psock.c of `file`. Nothing fails: a file with
 * an error is not printed. What follows are the parts of both. */
void emit_header(struct printer *printer, const struct file *file);
void emit_source(struct printer *printer, const struct file *file);

/* The first line. */
void emit_banner(struct printer *printer, const struct file *file);

/* The schema itself, if it is to be there. */
void emit_schema_header(struct printer *printer, const struct file *file);
void emit_schema_source(struct printer *printer, const struct file *file);

/* The definition of foo__encode, and of foo__decode. */
void emit_encode(struct printer *printer, const struct message *message);
void emit_decode(struct printer *printer, const struct message *message);

/* What calls need, if the message has the fields: the source defines foo__id
 * and foo__code. */
void emit_call_header(struct printer *printer, const struct message *message);
void emit_call_source(struct printer *printer, const struct message *message);

/* Handlers for a oneof, if the message is to have them. */
void emit_dispatch_header(
    struct printer *printer, const struct message *message);
void emit_dispatch_source(
    struct printer *printer, const struct message *message);

/* The tables of a service, or of the call that a message's option makes. */
void emit_service_header(
    struct printer *printer, const struct service *service);
void emit_service_source(
    struct printer *printer, const struct service *service);

/* The functions of a method, and the structs of its events. */
void emit_method(struct printer *printer, const struct method *method);

#endif
