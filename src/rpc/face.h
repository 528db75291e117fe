/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PSOCK_RPC_FACE_H
#define PSOCK_RPC_FACE_H

#include "rpc/frame.h"
#include <protosocket/connection.h>
#include <protosocket/sender.h>
#include <protosocket/service.h>

/*
 * The two faces of the engine. A server or a caller speaks one of them: the
 * Frame of services, or a schema's own messages with an id and a code. What is
 * above this file only knows frames; over own messages, frames that the face
 * can't say (hello, ping, pong, goaway, window, messages of client streams) are
 * not sent, status and metadata are left out, and what comes has none.
 */

struct psock_face {
  psock_codec *inbound;
  psock_codec *outbound;
  const struct psock_method *own;      /* NULL: Frame */
  const struct psock_message_type *in; /* over own messages; else NULL */
  const struct psock_message_type *out;
  size_t max_message; /* of the limits: what this side takes */
};

/* Which end of a connection. */
enum psock_end { PSOCK_SERVER_END, PSOCK_CALLER_END };

/* `own` is the method of own messages, or NULL; borrowed until psock_face_fini.
 * `limits` may be NULL. Returns 0, PSOCK_EINVAL, also for types of own messages
 * that have no id, no code or no generated code, or PSOCK_ENOMEM. */
int psock_face_init(struct psock_face *face, enum psock_end end,
    const struct psock_method *own,
    const struct psock_protobuf_options *limits);
void psock_face_fini(struct psock_face *face);

/* What `connection` is giving, as a frame: `message` itself, or, over own
 * messages, `room`, filled. There every code above PSOCK_CODE_END is a cancel,
 * and an id may be 0. Only inside `message` of the reactor. */
const struct psock_rpc_frame *psock_face_read(const struct psock_face *face,
    const psock_connection *connection, const void *message,
    struct psock_rpc_frame *room);

/*
 * Sends `frame`, with `options`, which may be NULL. Over own messages, a frame
 * with a message is a copy of that with this id and code; one with a payload is
 * that, decoded, with id and code, which takes longer, and can't have a
 * release; a cancel or an end is made; anything else is left out with its
 * record, which is no error. *frame->ret_length is 0 then: nobody counts own
 * messages. Threads and results as for psock_send_many, and PSOCK_EINVAL for a
 * message that is not of its type.
 */
int psock_face_send(const struct psock_face *face, psock_sender *sender,
    const struct psock_rpc_frame *frame,
    const struct psock_send_options *options);

/* Sends `message`, over own messages, as the frame with this id, the code 0 and
 * this message would be: the usual way, and shorter. */
int psock_face_send_own(const struct psock_face *face, psock_sender *sender,
    uint64_t id, const void *message);

/*
 * The message in a frame that has come, of type `type`: decoded now, over own
 * messages the frame's. It lives as long as the message that is being given,
 * and psock_connection_hold holds it too, if it is called after this. Only
 * inside `message` of the reactor. Returns 0 or what the decoder says
 * (PSOCK_EMALFORMED, ...), PSOCK_ENOTSUP for a type without generated code.
 */
int psock_face_decode(const struct psock_face *face,
    psock_connection *connection, const struct psock_rpc_frame *frame,
    const struct psock_message_type *type, const void **ret_message);

#endif
