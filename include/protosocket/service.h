/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_SERVICE_H
#define PROTOSOCKET_SERVICE_H

#include <protosocket/export.h>
#include <protosocket/message.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What protoc-gen-psock generates of a service in a schema, as rows that the
 * library reads. Those who serve it also get a struct of typed handlers, and
 * those who call it typed functions; they are thin ones over
 * protosocket/call.h and protosocket/caller.h.
 *
 * Of a message that says which message answers it, the same is generated: a
 * service with one method, whose number is 0, for connections over messages of
 * these two types (protosocket-wire(7)).
 */

PSOCK_BEGIN_DECLS

/* One call of a method, as either side sees it: protosocket/call.h. */
typedef struct psock_call psock_call;
/* What calls can be made on: protosocket/caller.h. */
typedef struct psock_caller psock_caller;

/** A timeout that says "none". */
#define PSOCK_TIMEOUT_NONE UINT64_MAX

/** A timeout that says: inside a handler, the time that its call has left (or
 * less, if the method says so); else the method's; else the caller's. */
#define PSOCK_TIMEOUT_DEFAULT (UINT64_MAX - 1)

enum psock_method_flags {
  PSOCK_METHOD_CLIENT_STREAMS = 1, /* many requests in one call */
  PSOCK_METHOD_SERVER_STREAMS = 2, /* many responses */
  PSOCK_METHOD_IDEMPOTENT = 4, /* twice has the effect of once: is retried */
  PSOCK_METHOD_MAY_STREAM = 8  /* each call says whether responses stream */
};

/** Generated; constant. */
struct psock_method {
  size_t size;      /* sizeof(struct psock_method) */
  const char *name; /* "package.Service/Method", or what the schema says */
  uint32_t number;  /* FNV-1a of the name, 32 bits; 0: of own messages */
  uint32_t flags;   /* psock_method_flags */
  uint64_t timeout; /* of a call, in nanoseconds; 0: the caller's;
                       PSOCK_TIMEOUT_NONE */
  const struct psock_message_type *request;
  const struct psock_message_type *response;
  /* Calls the method's handler out of a server's `handlers`; `request` is NULL
   * where requests stream. Returns 1, or 0 if that handler is not set. */
  int (*serve)(
      const void *handlers, void *state, psock_call *call, const void *request);
  /* Calls `message` of a caller's `events`, if that is set. */
  void (*deliver)(
      const void *events, void *data, psock_call *call, const void *response);
  /* Calls `message` of a server's `events`, where requests stream; else
   * NULL. */
  void (*deliver_request)(
      const void *events, void *data, psock_call *call, const void *request);
};

/** Generated; constant. */
struct psock_service {
  size_t size;                               /* sizeof(struct psock_service) */
  const char *name;                          /* "package.Service" */
  const struct psock_method *const *methods; /* as declared */
  size_t method_count;
};

PSOCK_END_DECLS

#endif
