/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_SERVICE_H
#define PROTOSOCKET_SERVICE_H

#include <protosocket/export.h>
#include <protosocket/message.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What protoc-gen-psock generates of a service in a schema: a table of its
 * methods, a struct of typed handlers for those who serve it, and typed
 * functions for those who call it. The generated code only knows the
 * interfaces that are declared here: a call, and whatever carries calls, which
 * is a caller. The library itself carries none yet.
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
 * with it and has the typed `message` besides. On the loop's thread or, for
 * psock_caller_run, on the thread that runs the call. */
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

/** What carries a call; psock_call_send and psock_call_end say what each has to
 * do. */
struct psock_call_ops {
  size_t size; /* sizeof(struct psock_call_ops) */
  int (*send)(psock_call *call, const void *message);
  int (*end)(psock_call *call, const struct psock_status *status);
};

struct psock_call {
  const struct psock_call_ops *ops;
};

/** What carries calls; psock_caller_start and psock_caller_run say what each
 * has to do. */
struct psock_caller_ops {
  size_t size; /* sizeof(struct psock_caller_ops) */
  int (*start)(psock_caller *caller, const struct psock_method *method,
      const void *request, const struct psock_call_options *options,
      const struct psock_call_events *events, void *data,
      psock_call **ret_call);
  int (*run)(psock_caller *caller, const struct psock_method *method,
      const void *request, const struct psock_call_options *options,
      const struct psock_call_events *events, void *data);
};

struct psock_caller {
  const struct psock_caller_ops *ops;
};

/* The generated functions are typed ones over these. Which threads may call
 * them, what carries the calls says. Each returns 0, PSOCK_EINVAL for a struct
 * whose size is 0, PSOCK_ENOTSUP for what the carrier does not have, or what
 * the carrier returns. */

/**
 * Starts a call; what comes of it is told to `events`, after this has returned.
 * `request` is borrowed until return, and NULL where requests stream; `options`
 * may be NULL, and is borrowed until return; `events` is borrowed until its
 * `ended` has returned, and so long `ret_call` is valid.
 */
PSOCK_API PSOCK_NODISCARD int psock_caller_start(psock_caller *caller,
    const struct psock_method *method, const void *request,
    const struct psock_call_options *options,
    const struct psock_call_events *events, void *data, psock_call **ret_call);

/** The same, but returns when the call has ended. */
PSOCK_API PSOCK_NODISCARD int psock_caller_run(psock_caller *caller,
    const struct psock_method *method, const void *request,
    const struct psock_call_options *options,
    const struct psock_call_events *events, void *data);

/**
 * Sends one more message in a call: a server a response, a caller a request.
 * `message` is borrowed until return.
 */
PSOCK_API PSOCK_NODISCARD int psock_call_send(
    psock_call *call, const void *message);

/**
 * Ends what this side sends. A server: there are no more responses, and
 * `status`, NULL for well, is how the call ends. A caller: there are no more
 * requests; with a `status` that is not NULL it gives the call up. `status` is
 * borrowed until return.
 */
PSOCK_API PSOCK_NODISCARD int psock_call_end(
    psock_call *call, const struct psock_status *status);

PSOCK_END_DECLS

#endif
