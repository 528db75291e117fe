/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PLUGIN_MODEL_H
#define PLUGIN_MODEL_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The schema as the rest of the plugin sees it: what protoc sent, with every
 * reference resolved, every name in C worked out, and the place and the
 * comments of everything at hand. request.c makes it; nobody changes it
 * afterwards. A message or service whose file is deprecated is so too, and so
 * is a method whose service is. Text is never NULL unless a comment here says
 * so. Everything lives until the program exits.
 */

struct file;
struct message;
struct oneof;
struct service;

/* Where something is declared; the line counts from 1. */
struct location {
  const struct file *file;
  unsigned line;
};

/* The comments next to a declaration, without the comment signs; NULL: none. */
struct comments {
  const char *leading;
  const char *trailing;
};

/* How protoc-c keeps a field, and hence how it is encoded. */
enum field_kind {
  FIELD_REQUIRED,
  FIELD_OPTIONAL, /* proto2, not in a oneof */
  FIELD_PLAIN,    /* proto3, not in a oneof: left out when it is zero */
  FIELD_ONEOF,    /* of either syntax */
  FIELD_REPEATED
};

struct field {
  const char *name;    /* as declared */
  const char *c_name;  /* of the struct's member */
  const char *c_count; /* n_x, or has_x, or NULL */
  uint32_t number;
  enum field_kind kind;
  ProtobufCType type; /* a string with string_as_bytes is BYTES */
  bool is_string;     /* declared as string, whatever C makes of it */
  bool packed;
  bool deprecated;
  const char *c_type;        /* of one value: "uint32_t", "char *", "Foo" */
  const char *c_default;     /* of a string: foo__x__default_value, or NULL */
  bool has_default;          /* of any type */
  const char *c_case;        /* in a oneof: FOO__KIND_X, or NULL */
  struct message *message;   /* whose field this is */
  struct message *value;     /* the type of a message field, or NULL */
  const struct oneof *oneof; /* that it belongs to, or NULL */
  bool const_string;         /* the member is `const char *` */
  bool check_utf8;           /* what holds for this field */
  /* the options, as written */
  bool id;
  bool code;
  bool has_check_utf8;
  struct comments comments;
  struct location at;
};

struct oneof {
  const char *name;   /* as declared */
  const char *c_name; /* lower case, as in `kind_case` */
  const char *c_case; /* the member: kind_case */
  const char *c_type; /* of that member: Foo__KindCase */
  const char *c_none; /* FOO__KIND__NOT_SET */
  const struct message *message;
  struct field **fields; /* as declared */
  size_t field_count;
  struct comments comments;
  struct location at;
};

struct message {
  const char *name;      /* as declared: Inner */
  const char *full_name; /* package.Outer.Inner */
  const char *c_type;    /* Package__Outer__Inner */
  const char *c_lower;   /* package__outer__inner */
  const char *c_upper;   /* PACKAGE__OUTER__INNER */
  const char *c_base;    /* the member that is a ProtobufCMessage: base */
  const struct file *file;
  const struct message *parent; /* that it is nested in, or NULL */
  struct field **fields;        /* as declared */
  struct field **by_number;     /* the same, by rising number */
  size_t field_count;
  struct oneof *oneofs; /* as declared */
  size_t oneof_count;
  const struct field *id;   /* the first that is marked so, or NULL */
  const struct field *code; /* the same */
  bool is_map_entry;
  bool is_held;  /* by a field of another message in the same file */
  bool has_init; /* protoc-c makes foo__init */
  bool has_pack; /* protoc-c makes foo__pack and its like */
  bool deprecated;
  /* the options, as written */
  bool has_dispatch;
  bool dispatch;
  const char *dispatch_oneof; /* or NULL */
  const char *response;       /* or NULL */
  /* what that makes of the message: a service with one method; or NULL */
  const struct service *call;
  struct comments comments;
  struct location at;
};

struct enum_value {
  const char *name;
  const char *c_name; /* FOO__COLOUR__RED */
  struct location at;
};

struct enumeration {
  const char *name;
  const char *full_name;
  const char *c_type;
  const char *c_lower;
  const char *c_upper;
  struct enum_value *values;
  size_t value_count;
  struct location at;
};

struct method {
  const char *name;    /* as declared: SayHello */
  const char *c_name;  /* say_hello */
  const char *c_lower; /* package__greeter__say_hello */
  const struct service *service;
  const struct message *request;
  const struct message *response;
  bool client_streams;
  bool server_streams;
  bool idempotent;
  bool deprecated;
  /* the options, as written */
  bool has_timeout_ms;
  uint32_t timeout_ms;
  bool no_timeout;
  const char *wire_name; /* or NULL */
  struct comments comments;
  struct location at;
};

struct service {
  const char *name;      /* as declared: Greeter */
  const char *full_name; /* package.Greeter */
  const char *c_type;    /* Package__Greeter */
  const char *c_lower;   /* package__greeter */
  const char *c_upper;   /* PACKAGE__GREETER */
  const struct file *file;
  const struct message *message; /* whose `call` this is, or NULL */
  struct method *methods;        /* as declared */
  size_t method_count;
  bool deprecated;
  struct comments comments;
  struct location at;
};

/* As in protosocket/options.proto. */
enum file_dispatch {
  DISPATCH_OUTERMOST = 0,
  DISPATCH_ALL = 1,
  DISPATCH_NONE = 2
};

struct file {
  const char *name;      /* dir/echo.proto */
  const char *stem;      /* dir/echo: with .pb-c.h, what protoc-c makes of it */
  const char *c_lower;   /* dir__echo, as in dir__echo__schema */
  const char *c_upper;   /* DIR__ECHO_PROTO, as in its guard */
  const char *package;   /* "" if there is none */
  int syntax;            /* 2 or 3; 0: another, which is an error already */
  bool generate;         /* protoc asks for it */
  const char *c_package; /* the option, or NULL */
  bool no_generate;      /* protoc-c makes nothing of it, and neither do we */
  bool deprecated;
  struct file **imports;
  size_t import_count;
  struct message **messages; /* nested ones right behind what they are in */
  size_t message_count;
  struct enumeration *enums; /* nested ones too */
  size_t enum_count;
  struct service *services;
  size_t service_count;
  /* the options */
  enum file_dispatch dispatch;
  bool check_utf8;
  bool embed_descriptor;
  /* a google.protobuf.FileDescriptorProto, without places and comments */
  const uint8_t *descriptor;
  size_t descriptor_length;
};

struct model {
  struct file **files; /* imported ones in front of those that import them */
  size_t file_count;
};

/* Reads a CodeGeneratorRequest. Complains (see error.h) of what the plugin
 * cannot make code for; returns NULL only if this is not a request at all. */
struct model *model_read(const uint8_t *request, size_t length);

#endif
