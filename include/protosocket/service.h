/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_SERVICE_H
#define PROTOSOCKET_SERVICE_H

#include <protosocket/message.h>

/*
 * What protoc-gen-psock generates of a service in a schema: a table of its
 * methods, a struct of typed handlers for those who serve it, and typed
 * functions for those who call it. The generated code only knows the
 * interfaces that are declared here: a call, and whatever carries calls, which
 * is a caller.
 */

PSOCK_BEGIN_DECLS

/* One call of a method, as either side sees it. */
typedef struct psock_call psock_call;
/* What calls can be made on. */
typedef struct psock_caller psock_caller;

/** A timeout that says "none"; 0 stands for the default. */
#define PSOCK_TIMEOUT_NONE UINT64_MAX

enum psock_method_flags {
  PSOCK_METHOD_CLIENT_STREAMS = 1, /* many requests in one call */
  PSOCK_METHOD_SERVER_STREAMS = 2, /* many responses */
  PSOCK_METHOD_IDEMPOTENT = 4 /* twice has the effect of once: may be retried */
};

/** How a call ended; `size` is set by who fills it. */
struct psock_status {
  size_t size;
  uint32_t code;    /* 0: well; otherwise a number of google.rpc.Code */
  const char *text; /* for people; never NULL */
  const uint8_t *details;
  size_t details_length;
};

/** Generated; constant. */
struct psock_method {
  size_t size;      /* sizeof(struct psock_method) */
  const char *name; /* "package.Service/Method", or what the schema says */
  uint32_t number;  /* FNV-1a of the name, 32 bits; never 0 */
  uint32_t flags;   /* psock_method_flags */
  uint64_t timeout; /* of a call, in nanoseconds; 0: the default */
  const struct psock_message_type *request;
  const struct psock_message_type *response;
  /* Calls the method's handler out of a server's `handlers`; `request` is NULL
   * where requests stream. Returns 1, or 0 if that handler is not set. */
  int (*serve)(
      const void *handlers, void *state, psock_call *call, const void *request);
  /* Calls `message` of a caller's `events`, if that is set. */
  void (*deliver)(
      const void *events, void *data, psock_call *call, const void *response);
};

/** Generated; constant. */
struct psock_service {
  size_t size;                               /* sizeof(struct psock_service) */
  const char *name;                          /* "package.Service" */
  const struct psock_method *const *methods; /* as declared */
  size_t method_count;
};

/** What a caller is told of a call; the generated struct for each method begins
 * with it and has the typed `message` besides. All on the loop's thread. */
struct psock_call_events {
  size_t size; /* sizeof(struct psock_call_events) */
  /** The call has ended. Last of all, exactly once. May be NULL. */
  void (*ended)(
      void *data, psock_call *call, const struct psock_status *status);
  /** A request may be sent again, after one was refused. May be NULL. */
  void (*room)(void *data, psock_call *call);
};

/** How to call; set `size` to sizeof, the rest to zero or as needed. */
struct psock_call_options {
  size_t size;
  /* In nanoseconds, or PSOCK_TIMEOUT_NONE. Default: the method's. */
  uint64_t timeout;
};

struct psock_call_ops {
  size_t size; /* sizeof(struct psock_call_ops) */
  /** Sends one more message in this call: a server a response, a caller a
   * request. `message` is borrowed until return. */
  int (*send)(psock_call *call, const void *message);
};

struct psock_call {
  const struct psock_call_ops *ops;
};

struct psock_caller_ops {
  size_t size; /* sizeof(struct psock_caller_ops) */
  /** Starts a call; what comes of it is told to `events`, after this has
   * returned. `request` is borrowed until return, and NULL where requests
   * stream; `events` until `ended`. `options` may be NULL. */
  int (*start)(psock_caller *caller, const struct psock_method *method,
      const void *request, const struct psock_call_options *options,
      const struct psock_call_events *events, void *data,
      psock_call **ret_call);
  /** The same, but returns when the call has ended; `events` is told on this
   * thread. */
  int (*run)(psock_caller *caller, const struct psock_method *method,
      const void *request, const struct psock_call_options *options,
      const struct psock_call_events *events, void *data);
};

struct psock_caller {
  const struct psock_caller_ops *ops;
};

PSOCK_END_DECLS

#endif
