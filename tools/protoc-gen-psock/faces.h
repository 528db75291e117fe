/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_FACES_H
#define PLUGIN_FACES_H

#include "model.h"
#include "print.h"

/*
 * What is generated besides encoders and decoders: the file's descriptor, the
 * tables of handlers, the operations that calls need, and services. Each has a
 * part in the header and a part in the source.
 */

/* The headers of the library that what follows needs, by name. */
void face_includes(struct printer *printer, const struct file *file);

void face_file_header(struct printer *printer, const struct file *file);
void face_file_source(struct printer *printer, const struct file *file);

/* In the header, behind the declaration of foo__type; in the source, in front
 * of its definition, which needs foo__id and foo__code if the message has
 * them. */
void face_message_header(
    struct printer *printer, const struct message *message);
void face_message_source(
    struct printer *printer, const struct message *message);

void face_service_header(
    struct printer *printer, const struct service *service);
void face_service_source(
    struct printer *printer, const struct service *service);

/* Complains of options that make no sense, and takes the names in C that the
 * functions above use. */
void check_file(const struct file *file);

#endif
