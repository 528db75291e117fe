/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_CALL_H
#define PROTOSOCKET_CALL_H

#include <protosocket/connection.h>
#include <protosocket/export.h>
#include <protosocket/service.h>
#include <protosocket/status.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One call of a method, as either side sees it: the server's handlers are given
 * one, and psock_caller_start, psock_caller_open and psock_caller_run make one
 * (protosocket/caller.h). What is sent in it is typed by the functions that are
 * generated for each method; those are thin ones over what is here.
 *
 * A call is a counted reference. It ends exactly once: with what its server
 * says, or because it is cancelled, its deadline passes, or its connection
 * ends, whichever is first. Whoever is told of it by events need not keep a
 * reference: the call lasts until its `ended` has returned. When nobody has one
 * any more before it has ended, a caller's call is cancelled, and a server's
 * ends with INTERNAL, since nobody is left who could answer. References may
 * outlive connections, servers and callers, but not the loop.
 */

PSOCK_BEGIN_DECLS

/** Something that travels beside the messages. `key` has 1 to 255 bytes of
 * [a-z0-9._-]; the value is any bytes. */
struct psock_metadata {
  const char *key;
  const uint8_t *value;
  size_t length; /* bytes of `value` */
};

/** What one side of a call is told, on the loop's thread. The generated struct
 * for a direction that streams, or for a caller, begins with it and has the
 * typed `message` besides. Each may be NULL; none is called from inside a
 * function of the call's or of its caller's. */
struct psock_call_events {
  size_t size; /* sizeof(struct psock_call_events) */
  /** The call has ended, and how: last of all, exactly once, whoever ended it.
   * `status` is lent. */
  void (*ended)(
      void *data, psock_call *call, const struct psock_status *status);
  /** A message may be sent again, after PSOCK_EFULL. */
  void (*room)(void *data, psock_call *call);
  /** A server whose requests stream: the caller has sent its last one. */
  void (*requests_ended)(void *data, psock_call *call);
  /** A server: a drain was asked for. Calls that would go on for ever come to
   * an end; what has not when the time allowed for that is over is cut. */
  void (*drain)(void *data, psock_call *call);
};

/**
 * Sends one message: a server one of many responses, a caller one of many
 * requests. `message` is borrowed until return; it has been encoded then.
 *
 * The thread rule of the call: a server's call belongs to its loop's thread
 * until psock_call_share; a caller's to its loop's thread, or, when it was
 * started on a clone of the caller, to any one thread at a time.
 *
 * Returns 0; PSOCK_EFULL when the receiver's window or the connection has no
 * room: nothing was sent, and `room` is called when there is; on a call of
 * psock_caller_open it waits instead. PSOCK_ECANCELED when the call has ended;
 * PSOCK_EINVAL where this side has no more to send, or a single message is
 * asked for; PSOCK_ETOOBIG for more than the peer takes; PSOCK_ENOMEM.
 */
PSOCK_API PSOCK_NODISCARD int psock_call_send(
    psock_call *call, const void *message);

/**
 * A server: sends the one response, which ends the call well. Never refused for
 * want of room: what has none is kept, against the server's max_kept. A handler
 * need not look at the result: when the response can't be sent (PSOCK_ETOOBIG,
 * PSOCK_ENOMEM, PSOCK_EFULL when too much is kept), the call ends with a status
 * that says so, RESOURCE_EXHAUSTED. Thread as for psock_call_send. Returns 0 or
 * one of these; PSOCK_ECANCELED when the call has ended; PSOCK_EINVAL where
 * responses stream.
 */
PSOCK_API int psock_call_reply(psock_call *call, const void *message);

/**
 * Ends what this side sends. A server: ends the call, with `status`, or, when
 * that is NULL, well, after its last response. A caller: there are no more
 * requests; `status` is NULL. Never refused for want of room. Thread as for
 * psock_call_send. Returns 0, PSOCK_ECANCELED when the call has ended, or
 * PSOCK_EINVAL, also for a call with one response that is to end well without
 * it.
 */
PSOCK_API int psock_call_end(
    psock_call *call, const struct psock_status *status);

/** The same, for a server that fails a call: `code` is not OK, `text` may be
 * NULL. */
PSOCK_API int psock_call_fail(
    psock_call *call, uint32_t code, const char *text);

/**
 * Gives a call up: it ends with CANCELLED, and its peer is told. Does nothing
 * to one that has ended. A caller's: any thread that has a reference; a
 * server's: as psock_call_send.
 */
PSOCK_API void psock_call_cancel(psock_call *call);

/**
 * The next message of a call of psock_caller_open, waiting until it comes; lent
 * until the next psock_call_receive of this call or its last psock_call_unref.
 * One thread at a time. A call of the first caller's, while no callback is
 * running, runs the loop itself. Returns 1 with a message, 0 when the call has
 * ended (psock_call_get_status says how), PSOCK_ELOOPTHREAD inside a callback
 * of the call's loop, PSOCK_EINVAL for a call with events.
 */
PSOCK_API PSOCK_NODISCARD int psock_call_receive(
    psock_call *call, const void **ret_message);

/**
 * A server: sets what it is told of `call`, once, inside the handler, and keeps
 * the call until `ended` has returned, which also comes when the call has ended
 * already; further ones are ignored. So long `events` is borrowed. Methods
 * whose requests stream have a typed function of their own over this, and only
 * that one may be used for them. Loop's thread.
 */
PSOCK_API void psock_call_set_events(
    psock_call *call, const struct psock_call_events *events, void *data);

/**
 * No further message is given to `events` until psock_call_resume; what comes
 * meanwhile is kept, up to the window. A caller's call that its server or its
 * connection ends meanwhile is told `ended` behind what is kept. Loop's thread.
 */
PSOCK_API void psock_call_pause(psock_call *call);

/** Takes back a pause; what was kept is given in the loop's next turn. Loop's
 * thread. */
PSOCK_API void psock_call_resume(psock_call *call);

/** Another reference, for who keeps the call: a handler that answers later
 * takes one. Threads as for psock_call_cancel. Returns `call`. */
PSOCK_API psock_call *psock_call_ref(psock_call *call);

/** Gives a reference back. NULL is allowed. Threads as for psock_call_ref, and
 * for a server's call that is shared, any. */
PSOCK_API void psock_call_unref(psock_call *call);

/**
 * A server: from now on any thread may send, reply, end, fail, cancel, ask and
 * unref, one at a time. Loop's thread, inside the handler or with a reference.
 * Returns 0, PSOCK_ENOMEM or PSOCK_ECANCELED.
 */
PSOCK_API PSOCK_NODISCARD int psock_call_share(psock_call *call);

/**
 * A server, inside the handler: keeps the request and what came with it until
 * the call is freed, counted against the server's max_kept. Loop's thread.
 * Returns 0, PSOCK_EFULL when too much is kept, PSOCK_EINVAL elsewhere, or
 * PSOCK_ENOMEM.
 */
PSOCK_API PSOCK_NODISCARD int psock_call_hold(psock_call *call);

/** The method. For calls over a schema's own messages, the generated one with
 * the number 0. Thread as for psock_call_send. */
PSOCK_API const struct psock_method *psock_call_get_method(
    const psock_call *call);

/** How the call has ended, or NULL while it has not; lent until the last
 * reference is gone. Thread as for psock_call_send. */
PSOCK_API const struct psock_status *psock_call_get_status(
    const psock_call *call);

/** Nanoseconds left until the deadline: 0 when it has passed,
 * PSOCK_TIMEOUT_NONE without one. Thread as for psock_call_send. */
PSOCK_API uint64_t psock_call_get_time_left(const psock_call *call);

/** Nanoseconds since the call was started, or came. Thread as for
 * psock_call_send. */
PSOCK_API uint64_t psock_call_get_age(const psock_call *call);

/** A server: the connection that the call came on, to ask for its peer; NULL
 * when it has ended, and for a caller's call. Loop's thread. */
PSOCK_API psock_connection *psock_call_get_connection(const psock_call *call);

/**
 * What the peer has sent beside the messages: a server the caller's, inside the
 * handler or after psock_call_hold; a caller the server's, which come with the
 * first message and with the end. The first entry with `key`. Returns 0 with an
 * entry, which is lent, or PSOCK_ENOENT. Thread as for psock_call_send.
 */
PSOCK_API PSOCK_NODISCARD int psock_call_get_metadata(const psock_call *call,
    const char *key, struct psock_metadata *ret_metadata);

/** The same by number, from 0: PSOCK_ENOENT behind the last. */
PSOCK_API PSOCK_NODISCARD int psock_call_get_metadata_at(
    const psock_call *call, size_t index, struct psock_metadata *ret_metadata);

/**
 * Adds metadata: a server for its next frame that may have some (the first, and
 * the one that ends the call), an interceptor of a caller for the start. All is
 * copied. Thread as for psock_call_send. Returns 0, PSOCK_EINVAL for a key that
 * is none, PSOCK_ENOTSUP where no frame is left that may have any, or over a
 * schema's own messages, PSOCK_ETOOBIG above 64 entries or 8 KiB (keys and
 * values, and 32 bytes for each), or PSOCK_ENOMEM.
 */
PSOCK_API PSOCK_NODISCARD int psock_call_add_metadata(
    psock_call *call, const char *key, const void *value, size_t length);

/* ---- Interceptors, on either side ---- */

/**
 * Something around every call: authentication, logs, metrics. `begin` is called
 * in the order in which interceptors are listed, `ended` in the reverse one,
 * for every call whose `begin` has said 0, exactly once. On the server's side
 * on the loop's thread, before the request is decoded; on the caller's, `begin`
 * on the thread that starts the call, `ended` on the loop's. Neither may free
 * the server, the caller or the connection.
 */
struct psock_interceptor {
  size_t size; /* sizeof(struct psock_interceptor) */
  /** May read the peer's metadata and add its own. Returns 0, or 1 to refuse
   * the call with `ret_status`, which is OK when this is called. May be
   * NULL. */
  int (*begin)(void *data, psock_call *call, struct psock_status *ret_status);
  /** The call has ended. May be NULL. */
  void (*ended)(
      void *data, psock_call *call, const struct psock_status *status);
  void *data;
};

PSOCK_END_DECLS

#endif
