/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/frame.h"

#include "base/allocator.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/heap.h"
#include "codec/protobuf.h"
#include "codec/wire.h"
#include <protosocket/error.h>
#include <protosocket/generated.h>
#include <string.h>

/*
 * The codec of protosocket.rpc.Frame, written by hand with the steps of
 * generated code, because a request or response inside is to be neither copied
 * nor looked at here: out, its own encoder writes it where it belongs; in, it
 * stays where it was received, until somebody knows its type.
 *
 * Out: the fields in order of their numbers, absent when zero, as protobuf-c
 * would write them. Status and hello are there when they are given, however
 * empty.
 *
 * In: most frames have an id, a code, a method, a payload and a timeout and
 * nothing else, which one short loop reads. At the first field that is not one
 * of these, a longer one goes on that knows them all. Of fields that come twice
 * the last one wins, and of status and hello the last one of each of their
 * fields, which is what protobuf says. Unknown fields, and known ones of
 * another wire type, are passed over; groups are malformed, as they are for
 * protobuf-c. Texts and keys are C strings: they end at a zero inside them.
 * Whether they are UTF-8 is not looked at.
 *
 * The limits are those of the codec; the depth is that of what is inside.
 */

/* Numbers and wire types of the fields, as they are on the wire. */
enum frame_tag {
  FRAME_ID = 1 << 3,
  FRAME_CODE = 2 << 3,
  FRAME_METHOD = 3 << 3 | 5,
  FRAME_PAYLOAD = 4 << 3 | 2,
  FRAME_TIMEOUT = 5 << 3,
  FRAME_STATUS = 6 << 3 | 2,
  FRAME_METADATA = 7 << 3 | 2,
  FRAME_WINDOW = 8 << 3,
  FRAME_HELLO = 9 << 3 | 2,
  FRAME_NOT_BEGUN = 10 << 3
};
enum status_tag {
  STATUS_CODE = 1 << 3,
  STATUS_MESSAGE = 2 << 3 | 2,
  STATUS_DETAILS = 3 << 3 | 2
};
enum metadata_tag { METADATA_KEY = 1 << 3 | 2, METADATA_VALUE = 2 << 3 | 2 };
enum hello_tag {
  HELLO_VERSION = 1 << 3,
  HELLO_STREAM_WINDOW = 2 << 3,
  HELLO_MAX_FRAME_SIZE = 3 << 3,
  HELLO_FEATURES = 4 << 3
};

/* The most bytes that a number takes with its tag. */
#define NUMBER_ROOM 11

/* Entries that metadata has room for at first. */
#define FIRST_ENTRIES 4

struct frame_codec {
  psock_codec codec;
  struct psock_protobuf_limits limits;
  struct psock_allocator allocator;
};

/* ---- Out ---- */

static uint8_t *encode_number(
    struct psock_encoder *encoder, uint8_t *at, uint32_t tag, uint64_t value) {
  if (value == 0)
    return at;
  if (!psock_encode_has_room(encoder, at, NUMBER_ROOM))
    return psock_encode_no_room(encoder, at, NUMBER_ROOM);
  return psock_put_varint(psock_put_tag(at, tag), value);
}

static uint8_t *encode_bytes(struct psock_encoder *encoder, uint8_t *at,
    uint32_t tag, const uint8_t *bytes, size_t length) {
  ProtobufCBinaryData data = {length, (uint8_t *)(uintptr_t)bytes};
  return length == 0 ? at : psock_encode_bytes(encoder, at, tag, &data);
}

static uint8_t *encode_text(struct psock_encoder *encoder, uint8_t *at,
    uint32_t tag, const char *text) {
  if (text == NULL || text[0] == '\0')
    return at;
  return psock_encode_string(encoder, at, tag, text);
}

static uint8_t *encode_status(
    struct psock_encoder *encoder, const void *message, uint8_t *at) {
  const struct psock_status *status = message;
  at = encode_number(encoder, at, STATUS_CODE, status->code);
  if (at != NULL)
    at = encode_text(encoder, at, STATUS_MESSAGE, status->text);
  if (at != NULL)
    at = encode_bytes(
        encoder, at, STATUS_DETAILS, status->details, status->details_length);
  return at;
}

static uint8_t *encode_entry(
    struct psock_encoder *encoder, const void *message, uint8_t *at) {
  const struct psock_metadata *entry = message;
  at = encode_text(encoder, at, METADATA_KEY, entry->key);
  if (at != NULL)
    at = encode_bytes(encoder, at, METADATA_VALUE, entry->value, entry->length);
  return at;
}

static uint8_t *encode_hello(
    struct psock_encoder *encoder, const void *message, uint8_t *at) {
  const struct psock_hello *hello = message;
  at = encode_number(encoder, at, HELLO_VERSION, hello->version);
  if (at != NULL)
    at = encode_number(encoder, at, HELLO_STREAM_WINDOW, hello->stream_window);
  if (at != NULL)
    at =
        encode_number(encoder, at, HELLO_MAX_FRAME_SIZE, hello->max_frame_size);
  if (at != NULL)
    at = encode_number(encoder, at, HELLO_FEATURES, hello->features);
  return at;
}

/* The fields behind the timeout. */
static uint8_t *encode_rest(struct psock_encoder *encoder,
    const struct psock_rpc_frame *frame, uint8_t *at) {
  if (frame->status != NULL)
    at = psock_encode_message(
        encoder, at, FRAME_STATUS, encode_status, frame->status);
  for (size_t i = 0; i < frame->metadata_count && at != NULL; i++)
    at = psock_encode_message(
        encoder, at, FRAME_METADATA, encode_entry, &frame->metadata[i]);
  if (at != NULL)
    at = encode_number(encoder, at, FRAME_WINDOW, frame->window);
  if (at != NULL && frame->hello != NULL)
    at = psock_encode_message(
        encoder, at, FRAME_HELLO, encode_hello, frame->hello);
  if (at != NULL)
    at = encode_number(encoder, at, FRAME_NOT_BEGUN, frame->not_begun);
  return at;
}

static bool has_rest(const struct psock_rpc_frame *frame) {
  return frame->status != NULL || frame->metadata_count > 0 ||
         frame->window != 0 || frame->hello != NULL || frame->not_begun;
}

/* The payload; an empty one is absent. */
static uint8_t *encode_payload(struct psock_encoder *encoder,
    const struct psock_rpc_frame *frame, uint8_t *at) {
  if (frame->message == NULL)
    return encode_bytes(
        encoder, at, FRAME_PAYLOAD, frame->payload, frame->payload_length);
  uint8_t *end = psock_encode_message(
      encoder, at, FRAME_PAYLOAD, frame->type->encode, frame->message);
  return end != NULL && end - at == 2 ? at : end;
}

/* Id, code and method have room in any try. */
static uint8_t *encode_frame(
    struct psock_encoder *encoder, const void *message, uint8_t *at) {
  const struct psock_rpc_frame *frame = message;
  if (frame->id != 0)
    at = psock_put_varint(psock_put_tag(at, FRAME_ID), frame->id);
  if (frame->code != 0)
    at = psock_put_varint(psock_put_tag(at, FRAME_CODE), frame->code);
  if (frame->method != 0)
    at = psock_put_fixed32(psock_put_tag(at, FRAME_METHOD), frame->method);
  at = encode_payload(encoder, frame, at);
  if (at != NULL)
    at = encode_number(encoder, at, FRAME_TIMEOUT, frame->timeout_us);
  if (at != NULL && has_rest(frame))
    at = encode_rest(encoder, frame, at);
  return at;
}

/* Whether `message` is one of `type`, as far as that can be seen: the library's
 * own types have no descriptors. */
static bool is_of(const struct psock_message_type *type, const void *message) {
  const ProtobufCMessage *base = message;
  return type->descriptor == NULL || base->descriptor == type->descriptor;
}

static int encode(
    const psock_codec *codec, const void *message, psock_buffer *out) {
  const struct frame_codec *self = (const struct frame_codec *)codec;
  const struct psock_rpc_frame *frame = message;
  size_t max_length = self->limits.max_message;
  if (frame->max_length != 0 && frame->max_length < max_length)
    max_length = (size_t)frame->max_length;
  if (frame->message != NULL) {
    if (frame->type->encode == NULL)
      return PSOCK_ENOTSUP;
    if (!is_of(frame->type, frame->message))
      return PSOCK_EINVAL;
  }
  size_t before = out->length;
  struct psock_encoder encoder = {.count_room = 1};
  int error = psock_protobuf_try(encode_frame, frame, max_length, out,
      PSOCK_PROTOBUF_SMALL_ROOM, &encoder);
  if (error == PSOCK_EAGAIN)
    error =
        psock_protobuf_try_more(encode_frame, frame, max_length, out, &encoder);
  if (error == 0 && frame->ret_length != NULL)
    *frame->ret_length = out->length - before;
  return error;
}

/* ---- In ---- */

/* What is being decoded of a frame that has more than the usual fields. */
struct reader {
  struct psock_decoder *decoder;
  struct psock_rpc_frame *frame;
  struct psock_status *status; /* those of the frame, or NULL */
  struct psock_hello *hello;
  struct psock_metadata *metadata;
  size_t room; /* for entries of metadata */
  size_t cost; /* of the entries */
};

static const uint8_t *decode_text(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, const char **ret_text) {
  char *text;
  at = psock_decode_string(decoder, at, end, &text);
  if (at != NULL)
    *ret_text = text;
  return at;
}

/* A copy, however long it is. */
static const uint8_t *decode_bytes(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, const uint8_t **ret_bytes,
    size_t *ret_length) {
  const char *copy;
  const uint8_t *behind = decode_text(decoder, at, end, &copy);
  if (behind == NULL)
    return NULL;
  psock_decode_count(at, end, ret_length);
  *ret_bytes = (const uint8_t *)copy;
  return behind;
}

static const uint8_t *decode_status_field(struct reader *reader,
    const uint8_t *at, const uint8_t *end, uint64_t tag) {
  struct psock_status *status = reader->status;
  switch (tag) {
  case STATUS_CODE:
    return psock_decode_uint32(at, end, &status->code);
  case STATUS_MESSAGE:
    return decode_text(reader->decoder, at, end, &status->text);
  case STATUS_DETAILS:
    return decode_bytes(
        reader->decoder, at, end, &status->details, &status->details_length);
  default:
    return psock_decode_skip(at, end, tag);
  }
}

static const uint8_t *decode_hello_field(struct reader *reader,
    const uint8_t *at, const uint8_t *end, uint64_t tag) {
  struct psock_hello *hello = reader->hello;
  switch (tag) {
  case HELLO_VERSION:
    return psock_decode_uint32(at, end, &hello->version);
  case HELLO_STREAM_WINDOW:
    return psock_decode_uint64(at, end, &hello->stream_window);
  case HELLO_MAX_FRAME_SIZE:
    return psock_decode_uint64(at, end, &hello->max_frame_size);
  case HELLO_FEATURES:
    return psock_decode_uint64(at, end, &hello->features);
  default:
    return psock_decode_skip(at, end, tag);
  }
}

/* Of the last entry. */
static const uint8_t *decode_entry_field(struct reader *reader,
    const uint8_t *at, const uint8_t *end, uint64_t tag) {
  struct psock_metadata *entry =
      &reader->metadata[reader->frame->metadata_count];
  switch (tag) {
  case METADATA_KEY:
    return decode_text(reader->decoder, at, end, &entry->key);
  case METADATA_VALUE:
    return decode_bytes(
        reader->decoder, at, end, &entry->value, &entry->length);
  default:
    return psock_decode_skip(at, end, tag);
  }
}

/* A message inside the frame: its count, and field by field. */
static const uint8_t *decode_inner(struct reader *reader, const uint8_t *at,
    const uint8_t *end,
    const uint8_t *(*field)(struct reader *reader, const uint8_t *at,
        const uint8_t *end, uint64_t tag)) {
  size_t length;
  at = psock_decode_count(at, end, &length);
  if (at == NULL)
    return NULL;
  end = at + length;
  while (at < end) {
    uint64_t tag = 0;
    at = psock_decode_tag(at, end, &tag);
    if (at == NULL)
      return NULL;
    at = field(reader, at, end, tag);
    if (at == NULL)
      return NULL;
  }
  return at;
}

static const uint8_t *decode_status(
    struct reader *reader, const uint8_t *at, const uint8_t *end) {
  struct psock_status *status = reader->status;
  if (status == NULL) {
    status = psock_decode_alloc(reader->decoder, sizeof *status);
    if (status == NULL)
      return NULL;
    *status = (struct psock_status){.size = sizeof *status, .text = ""};
    reader->status = status;
    reader->frame->status = status;
  }
  return decode_inner(reader, at, end, decode_status_field);
}

static const uint8_t *decode_hello(
    struct reader *reader, const uint8_t *at, const uint8_t *end) {
  struct psock_hello *hello = reader->hello;
  if (hello == NULL) {
    hello = psock_decode_alloc(reader->decoder, sizeof *hello);
    if (hello == NULL)
      return NULL;
    *hello = (struct psock_hello){0};
    reader->hello = hello;
    reader->frame->hello = hello;
  }
  return decode_inner(reader, at, end, decode_hello_field);
}

/* Makes room for one more entry. */
static bool reserve_entry(struct reader *reader) {
  size_t count = reader->frame->metadata_count;
  if (count < reader->room)
    return true;
  size_t room = count == 0 ? FIRST_ENTRIES : count * 2;
  struct psock_metadata *metadata =
      psock_decode_alloc(reader->decoder, room * sizeof *metadata);
  if (metadata == NULL)
    return false;
  if (count > 0)
    memcpy(metadata, reader->metadata, count * sizeof *metadata);
  reader->metadata = metadata;
  reader->room = room;
  reader->frame->metadata = metadata;
  return true;
}

static const uint8_t *decode_metadata(
    struct reader *reader, const uint8_t *at, const uint8_t *end) {
  struct psock_rpc_frame *frame = reader->frame;
  if (frame->metadata_count == PSOCK_METADATA_ENTRIES || !reserve_entry(reader))
    return NULL;
  struct psock_metadata *entry = &reader->metadata[frame->metadata_count];
  *entry = (struct psock_metadata){.key = "", .value = (const uint8_t *)""};
  at = decode_inner(reader, at, end, decode_entry_field);
  if (at == NULL)
    return NULL;
  frame->metadata_count++;
  reader->cost +=
      strlen(entry->key) + entry->length + PSOCK_METADATA_ENTRY_COST;
  return reader->cost <= PSOCK_METADATA_BYTES ? at : NULL;
}

/* One of the usual fields; false when it is none. `*at` is NULL when it can't
 * be read. */
static inline bool decode_usual(struct psock_rpc_frame *frame,
    const uint8_t **at, const uint8_t *end, uint64_t tag) {
  switch (tag) {
  case FRAME_ID:
    *at = psock_decode_uint64(*at, end, &frame->id);
    return true;
  case FRAME_CODE:
    *at = psock_decode_uint32(*at, end, &frame->code);
    return true;
  case FRAME_METHOD:
    *at = psock_decode_fixed32(*at, end, &frame->method);
    return true;
  case FRAME_PAYLOAD:
    *at = psock_decode_count(*at, end, &frame->payload_length);
    frame->payload = *at;
    if (*at != NULL)
      *at += frame->payload_length;
    return true;
  case FRAME_TIMEOUT:
    *at = psock_decode_uint64(*at, end, &frame->timeout_us);
    return true;
  default:
    return false;
  }
}

static const uint8_t *decode_field(struct reader *reader, const uint8_t *at,
    const uint8_t *end, uint64_t tag) {
  struct psock_rpc_frame *frame = reader->frame;
  int value = 0;
  if (decode_usual(frame, &at, end, tag))
    return at;
  switch (tag) {
  case FRAME_STATUS:
    return decode_status(reader, at, end);
  case FRAME_METADATA:
    return decode_metadata(reader, at, end);
  case FRAME_WINDOW:
    return psock_decode_uint64(at, end, &frame->window);
  case FRAME_HELLO:
    return decode_hello(reader, at, end);
  case FRAME_NOT_BEGUN:
    at = psock_decode_bool(at, end, &value);
    frame->not_begun = value != 0;
    return at;
  default:
    return psock_decode_skip(at, end, tag);
  }
}

/* Goes on with any fields. Returns whether they could be read. */
static bool decode_rest(struct psock_decoder *decoder,
    struct psock_rpc_frame *frame, const uint8_t *at, const uint8_t *end) {
  struct reader reader = {.decoder = decoder, .frame = frame};
  while (at < end) {
    uint64_t tag = 0;
    at = psock_decode_tag(at, end, &tag);
    if (at == NULL)
      return false;
    at = decode_field(&reader, at, end, tag);
    if (at == NULL)
      return false;
  }
  return true;
}

/* To be copied takes a frame a few moves; to be cleared, a slow instruction. */
static const struct psock_rpc_frame blank;

static struct psock_rpc_frame *decode_frame(
    struct psock_decoder *decoder, const uint8_t *at, const uint8_t *end) {
  struct psock_rpc_frame *frame = psock_decode_alloc(decoder, sizeof *frame);
  if (frame == NULL)
    return NULL;
  *frame = blank;
  while (at < end) {
    const uint8_t *value = at + 1;
    if (!decode_usual(frame, &value, end, *at))
      return decode_rest(decoder, frame, at, end) ? frame : NULL;
    if (value == NULL)
      return NULL;
    at = value;
  }
  return frame;
}

static int decode(const psock_codec *codec, const uint8_t *bytes, size_t length,
    psock_arena *arena, struct psock_decoded *ret_decoded) {
  const struct frame_codec *self = (const struct frame_codec *)codec;
  struct psock_frame body;
  int result = psock_frame_get(
      bytes, length, self->limits.max_message, &body, ret_decoded);
  if (result != PSOCK_DECODE_MESSAGE)
    return result;
  struct psock_decoder decoder = {.arena = arena};
  psock_arena_limit(
      arena, psock_protobuf_memory_limit(&self->limits, body.length));
  psock_arena_open(arena, &decoder.free, &decoder.free_end);
  struct psock_rpc_frame *frame =
      decode_frame(&decoder, body.body, body.body + body.length);
  psock_arena_close(arena, decoder.free);
  if (frame == NULL)
    return decoder.error == 0 ? PSOCK_EMALFORMED : decoder.error;
  frame->length = ret_decoded->consumed;
  ret_decoded->message = frame;
  ret_decoded->detached = 1;
  return PSOCK_DECODE_MESSAGE;
}

/* ---- A payload alone ---- */

/* Memory to encode to: at first somebody else's. */
struct room {
  struct psock_heap *heap;
  uint8_t *memory;
  size_t size;
  bool held; /* `memory` is to be released */
};

/* Replaces the memory by at least twice as much. */
static int grow(struct room *room, size_t needed) {
  size_t size = room->size * 2;
  if (size < needed)
    size = needed;
  uint8_t *memory = psock_heap_hold_more(room->heap, size);
  if (memory == NULL)
    return PSOCK_ENOMEM;
  if (room->held)
    psock_heap_release(room->heap, room->memory, room->size);
  room->memory = memory;
  room->size = size;
  room->held = true;
  return 0;
}

static int encode_alone(struct room *room, size_t max_message,
    const struct psock_message_type *type, const void *message,
    size_t *ret_length) {
  struct psock_encoder encoder = {.count_room = 1};
  for (;;) {
    encoder.begin = room->memory;
    encoder.limit = room->memory + room->size;
    const uint8_t *end = type->encode(&encoder, message, room->memory);
    if (end != NULL) {
      *ret_length = (size_t)(end - room->memory);
      return *ret_length <= max_message ? 0 : PSOCK_ETOOBIG;
    }
    if (encoder.needed > max_message + PSOCK_PROTOBUF_SLACK)
      return PSOCK_ETOOBIG;
    int error = grow(room, encoder.needed + PSOCK_PROTOBUF_SLACK);
    if (error != 0)
      return error;
  }
}

/* Copies the bytes into memory that is there, or takes its place. */
static int keep(struct psock_heap *heap, const uint8_t *bytes, size_t length,
    uint8_t **payload, size_t *capacity) {
  if (length > *capacity) {
    uint8_t *memory = psock_heap_hold_more(heap, length);
    if (memory == NULL)
      return PSOCK_ENOMEM;
    if (*capacity > 0)
      psock_heap_release(heap, *payload, *capacity);
    *payload = memory;
    *capacity = length;
  }
  if (length > 0)
    memcpy(*payload, bytes, length);
  return 0;
}

/* ---- The codec ---- */

int psock_frame_codec_new(
    const struct psock_protobuf_options *limits, psock_codec **ret_codec) {
  /* Only its address counts: of no other messages. */
  static const char type;
  struct psock_protobuf_limits taken;
  const struct psock_allocator *allocator;
  if (psock_protobuf_limits_init(&taken, limits, &allocator) != 0)
    return PSOCK_EINVAL;
  struct frame_codec *self = psock_alloc(allocator, sizeof *self);
  if (self == NULL)
    return PSOCK_ENOMEM;
  *self = (struct frame_codec){
      .codec = {.size = sizeof self->codec,
          .encode = encode,
          .decode = decode,
          .type = &type},
      .limits = taken,
      .allocator = *allocator,
  };
  *ret_codec = &self->codec;
  return 0;
}

void psock_frame_codec_free(psock_codec *codec) {
  if (codec == NULL)
    return;
  struct frame_codec *self = (struct frame_codec *)codec;
  struct psock_allocator allocator = self->allocator;
  psock_free(&allocator, self);
}

const struct psock_protobuf_limits *psock_frame_codec_limits(
    const psock_codec *codec) {
  return &((const struct frame_codec *)codec)->limits;
}

int psock_frame_encode_payload(size_t max_message, struct psock_heap *heap,
    const struct psock_message_type *type, const void *message,
    uint8_t **ret_payload, size_t *ret_length) {
  uint8_t *payload = NULL;
  size_t capacity = 0;
  int error = psock_frame_encode_payload_again(
      max_message, heap, type, message, &payload, &capacity, ret_length);
  if (error == 0)
    *ret_payload = payload;
  return error;
}

int psock_frame_encode_payload_again(size_t max_message,
    struct psock_heap *heap, const struct psock_message_type *type,
    const void *message, uint8_t **payload, size_t *capacity,
    size_t *ret_length) {
  uint8_t small[PSOCK_PROTOBUF_SMALL_ROOM];
  struct room room = {.heap = heap, .memory = small, .size = sizeof small};
  if (type->encode == NULL)
    return PSOCK_ENOTSUP;
  if (!is_of(type, message))
    return PSOCK_EINVAL;
  size_t length;
  int error = encode_alone(&room, max_message, type, message, &length);
  if (error == 0)
    error = keep(heap, room.memory, length, payload, capacity);
  if (room.held)
    psock_heap_release(heap, room.memory, room.size);
  if (error == 0)
    *ret_length = length;
  return error;
}
