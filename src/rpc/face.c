/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/face.h"

#include "base/allocator.h"
#include "channel/channel.h"
#include "codec/protobuf.h"
#include "connection/connection.h"
#include <string.h>

/*
 * Frame, or own messages. Frames pass through: their codec does the work. An
 * own message that is sent is copied first, without what it points to, because
 * id and code are put in and the caller's message is not to be written to; most
 * are small enough for the stack. One that was encoded to be sent later is
 * decoded again for that, by protobuf-c, with the allocator of the connection's
 * loop.
 */

/* The largest struct of an own message that is copied onto the stack. */
#define SMALL_MESSAGE 512

/* Where the copy of a message lies for the time of a send. */
union copy {
  max_align_t aligned;
  uint8_t bytes[SMALL_MESSAGE];
};

/* ---- Sending own messages ---- */

static const struct psock_allocator *allocator_of(const psock_sender *sender) {
  return &sender->channel->heap->allocator;
}

static int send_one(psock_sender *sender, const void *message,
    const struct psock_send_options *options) {
  if (options == NULL)
    return psock_send(sender, message);
  return psock_send_many(sender, &message, 1, options);
}

/* Puts id and code into `message`, and sends it. */
static int send_stamped(const struct psock_message_type *type,
    psock_sender *sender, const struct psock_rpc_frame *frame, void *message,
    const struct psock_send_options *options) {
  psock_call_field_set(type->id, message, frame->id);
  psock_call_field_set(type->code, message, frame->code);
  return send_one(sender, message, options);
}

/* A copy of the `size` bytes of `message`, which is of `type`. */
static int send_copy(const struct psock_message_type *type,
    psock_sender *sender, const struct psock_rpc_frame *frame,
    const void *message, const struct psock_send_options *options) {
  const struct psock_allocator *allocator = allocator_of(sender);
  size_t size = type->descriptor->sizeof_message;
  union copy small;
  void *copy = &small;
  if (size > sizeof small)
    copy = psock_alloc(allocator, size);
  if (copy == NULL)
    return PSOCK_ENOMEM;
  memcpy(copy, message, size);
  int error = send_stamped(type, sender, frame, copy, options);
  if (copy != &small)
    psock_free(allocator, copy);
  return error;
}

static void *unpack_alloc(void *data, size_t size) {
  return psock_alloc(data, size);
}

static void unpack_free(void *data, void *memory) {
  psock_free(data, memory);
}

/* What psock_frame_encode_payload has made; that it is well formed is known. */
static int send_payload(const struct psock_message_type *type,
    psock_sender *sender, const struct psock_rpc_frame *frame,
    const struct psock_send_options *options) {
  struct psock_allocator copy = *allocator_of(sender);
  ProtobufCAllocator allocator = {
      .alloc = unpack_alloc,
      .free = unpack_free,
      .allocator_data = &copy,
  };
  ProtobufCMessage *message = protobuf_c_message_unpack(
      type->descriptor, &allocator, frame->payload_length, frame->payload);
  if (message == NULL)
    return PSOCK_ENOMEM;
  int error = send_stamped(type, sender, frame, message, options);
  protobuf_c_message_free_unpacked(message, &allocator);
  return error;
}

static int send_own(const struct psock_message_type *type, psock_sender *sender,
    const struct psock_rpc_frame *frame,
    const struct psock_send_options *options) {
  const ProtobufCMessage *message = frame->message;
  if (frame->ret_length != NULL)
    *frame->ret_length = 0;
  if (frame->code > PSOCK_CODE_END)
    return 0;
  if (message == NULL && frame->payload_length > 0)
    return send_payload(type, sender, frame, options);
  if (message == NULL)
    message = type->initial;
  if (message->descriptor != type->descriptor)
    return PSOCK_EINVAL;
  return send_copy(type, sender, frame, message, options);
}

int psock_face_send_own(const struct psock_face *face, psock_sender *sender,
    uint64_t id, const void *message) {
  const struct psock_message_type *type = face->out;
  size_t size = type->descriptor->sizeof_message;
  union copy copy;
  if (((const ProtobufCMessage *)message)->descriptor != type->descriptor ||
      size > sizeof copy) {
    struct psock_rpc_frame frame = {.id = id, .message = message};
    return send_own(type, sender, &frame, NULL);
  }
  memcpy(&copy, message, size);
  psock_call_field_set(type->id, &copy, id);
  psock_call_field_set(type->code, &copy, PSOCK_CODE_NORMAL);
  return psock_send(sender, &copy);
}

/* ---- The face ---- */

static bool is_own(const struct psock_message_type *type) {
  return type != NULL && psock_protobuf_type_is_valid(type) &&
         type->encode != NULL && type->decode != NULL &&
         type->initial != NULL && type->id != NULL && type->code != NULL;
}

static int init_own(struct psock_face *face, enum psock_end end,
    const struct psock_method *own,
    const struct psock_protobuf_options *limits) {
  bool serves = end == PSOCK_SERVER_END;
  if (!is_own(own->request) || !is_own(own->response))
    return PSOCK_EINVAL;
  face->own = own;
  face->in = serves ? own->request : own->response;
  face->out = serves ? own->response : own->request;
  int error = psock_protobuf_codec_new(face->in, limits, &face->inbound);
  if (error != 0)
    return error;
  error = psock_protobuf_codec_new(face->out, limits, &face->outbound);
  if (error != 0)
    psock_protobuf_codec_free(face->inbound);
  return error;
}

int psock_face_init(struct psock_face *face, enum psock_end end,
    const struct psock_method *own,
    const struct psock_protobuf_options *limits) {
  struct psock_face made = {.own = NULL};
  struct psock_protobuf_limits taken;
  const struct psock_allocator *allocator;
  if (psock_protobuf_limits_init(&taken, limits, &allocator) != 0)
    return PSOCK_EINVAL;
  made.max_message = taken.max_message;
  int error;
  if (own != NULL) {
    error = init_own(&made, end, own, limits);
  } else {
    error = psock_frame_codec_new(limits, &made.inbound);
    made.outbound = made.inbound;
  }
  if (error == 0)
    *face = made;
  return error;
}

void psock_face_fini(struct psock_face *face) {
  if (face->own == NULL) {
    psock_frame_codec_free(face->inbound);
  } else {
    psock_protobuf_codec_free(face->inbound);
    psock_protobuf_codec_free(face->outbound);
  }
  face->inbound = NULL;
  face->outbound = NULL;
}

const struct psock_rpc_frame *psock_face_read(const struct psock_face *face,
    const psock_connection *connection, const void *message,
    struct psock_rpc_frame *room) {
  if (face->own == NULL)
    return message;
  /* Compared with all its bits: 1 << 32 is no 0. */
  uint64_t code = psock_message_get_code(face->in, message);
  *room = (struct psock_rpc_frame){
      .id = psock_message_get_id(face->in, message),
      .code = code > PSOCK_CODE_END ? PSOCK_CODE_CANCEL : (uint32_t)code,
      .type = face->in,
      .message = message,
      .length = psock_connection_given_length(connection),
  };
  return room;
}

int psock_face_send(const struct psock_face *face, psock_sender *sender,
    const struct psock_rpc_frame *frame,
    const struct psock_send_options *options) {
  if (face->own != NULL)
    return send_own(face->out, sender, frame, options);
  return send_one(sender, frame, options);
}

int psock_face_decode(const struct psock_face *face,
    psock_connection *connection, const struct psock_rpc_frame *frame,
    const struct psock_message_type *type, const void **ret_message) {
  static const uint8_t nothing;
  if (face->own != NULL) {
    *ret_message = frame->message;
    return 0;
  }
  return psock_connection_decode(connection,
      psock_frame_codec_limits(face->inbound), type,
      frame->payload == NULL ? &nothing : frame->payload, frame->payload_length,
      ret_message);
}
