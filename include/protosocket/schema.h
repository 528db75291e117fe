/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_SCHEMA_H
#define PROTOSOCKET_SCHEMA_H

#include <protosocket/export.h>
#include <stddef.h>
#include <stdint.h>

PSOCK_BEGIN_DECLS

/**
 * Generated, unless the schema says no; constant: a schema, as protoc has
 * understood it, for programs that tell others what they speak.
 */
struct psock_schema {
  size_t size;          /* sizeof(struct psock_schema) */
  const char *name;     /* of the .proto, as protoc was given it */
  const uint8_t *bytes; /* a google.protobuf.FileDescriptorProto, without
                           source_code_info */
  size_t length;
};

PSOCK_END_DECLS

#endif
