/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "base/options.h"
#include "codec/bounds.h"
#include "codec/encode.h"
#include "codec/frame.h"
#include <protosocket/error.h>
#include <protosocket/protobuf.h>

/*
 * Length-delimited protobuf messages, for every type that protoc-c generates.
 *
 * Out: a message that is small and simple is encoded at once (encode.h). For
 * others the size is computed, room for it and its count reserved once, and the
 * message packed into that room. Only a message that is sent with a release
 * callback, and is large, goes through protobuf-c's virtual buffer instead, so
 * that its large parts stay where they are. What protobuf-c appends from its
 * own stack is never more than a tag and a number, so it is always copied.
 *
 * In: once all bytes of a frame are there, they are checked for depth if the
 * type needs it, the arena is limited, and protobuf-c unpacks into the arena.
 * It frees nothing there: what it allocates only while it unpacks counts
 * against the limit too, and goes with the message. protobuf-c says only that
 * it failed; why is read from the arena.
 *
 * A codec owns its bounds, and borrows the descriptors that the caller has.
 */

#define DEFAULT_MAX_MESSAGE ((size_t)4 << 20)
#define MOST_MAX_MESSAGE ((size_t)1 << 30)
#define DEFAULT_MAX_DEPTH 100u
#define MOST_MAX_DEPTH 1000u

/* Room in which a message is tried to be encoded without asking for its size,
 * and what is added to the least that a longer one needs. */
#define SMALL_ROOM 512

#define DEFAULT_MEMORY_FACTOR 64u
#define DEFAULT_MEMORY_MIN ((size_t)64 << 10)
#define DEFAULT_MEMORY_MAX ((size_t)64 << 20)

struct protobuf_codec {
  psock_codec codec;
  const ProtobufCMessageDescriptor *descriptor;
  struct psock_bounds *bounds; /* NULL: no message can be too deep */
  size_t max_message;
  unsigned memory_factor;
  size_t memory_min;
  size_t memory_max;
  struct psock_allocator allocator;
};

/* protobuf-c's virtual buffer, over ours; an append can't say that it failed,
 * so the first error stays until the end. */
struct lending_buffer {
  ProtobufCBuffer base;
  psock_buffer *out;
  int error;
};

/* protobuf-c's allocator, over an arena. */
struct arena_allocator {
  ProtobufCAllocator base;
  psock_arena *arena;
  int failed;
};

static void lending_append(
    ProtobufCBuffer *base, size_t length, const uint8_t *bytes) {
  struct lending_buffer *buffer = (struct lending_buffer *)base;
  if (buffer->error == 0)
    buffer->error = psock_buffer_append(buffer->out, bytes, length);
}

static int encode_lending(
    const ProtobufCMessage *message, size_t size, psock_buffer *out) {
  uint8_t count[PSOCK_COUNT_MAX];
  struct lending_buffer buffer = {
      .base.append = lending_append,
      .out = out,
  };
  lending_append(&buffer.base, psock_count_put(count, size), count);
  protobuf_c_message_pack_to_buffer(message, &buffer.base);
  return buffer.error;
}

/* Whether the message behind the count at `at` is above the limit. */
static int is_too_big(
    const struct protobuf_codec *self, const uint8_t *at, size_t length) {
  uint64_t count = 0;
  return psock_count_get(at, length, &count) > 0 && count > self->max_message;
}

/* One try of the fast way, in `room` bytes. Returns 0, PSOCK_ENOMEM,
 * PSOCK_ETOOBIG, or PSOCK_EAGAIN when it didn't succeed. */
static int try_simple(const struct protobuf_codec *self,
    const ProtobufCMessage *message, psock_buffer *out, size_t room,
    struct psock_encode_hint *hint) {
  uint8_t *at = psock_buffer_reserve(out, room);
  if (at == NULL)
    return PSOCK_ENOMEM;
  size_t length = psock_encode_simple(message, at, room, hint);
  if (length == 0)
    return PSOCK_EAGAIN;
  if (length > self->max_message && is_too_big(self, at, length))
    return PSOCK_ETOOBIG;
  psock_buffer_commit(out, length);
  return 0;
}

/* The fast way: once in the room that most messages need, and once more if
 * it was only too little. Results as try_simple. */
static int encode_simple(const struct protobuf_codec *self,
    const ProtobufCMessage *message, psock_buffer *out) {
  struct psock_encode_hint hint = {0};
  int error = try_simple(self, message, out, SMALL_ROOM, &hint);
  if (error != PSOCK_EAGAIN || hint.needed == 0 ||
      psock_buffer_lends(out, hint.needed))
    return error;
  if (hint.needed > self->max_message + SMALL_ROOM)
    return PSOCK_ETOOBIG;
  return try_simple(self, message, out, hint.needed + SMALL_ROOM, &hint);
}

static int encode(
    const psock_codec *codec, const void *message, psock_buffer *out) {
  const struct protobuf_codec *self = (const struct protobuf_codec *)codec;
  const ProtobufCMessage *base = message;
  if (base == NULL || base->descriptor != self->descriptor)
    return PSOCK_EINVAL;
  int error = encode_simple(self, base, out);
  if (error != PSOCK_EAGAIN)
    return error;
  size_t size = protobuf_c_message_get_packed_size(base);
  if (size > self->max_message)
    return PSOCK_ETOOBIG;
  if (psock_buffer_lends(out, size))
    return encode_lending(base, size, out);
  uint8_t *room = psock_buffer_reserve(out, size + PSOCK_COUNT_MAX);
  if (room == NULL)
    return PSOCK_ENOMEM;
  size_t prefix = psock_count_put(room, size);
  protobuf_c_message_pack(base, room + prefix);
  psock_buffer_commit(out, prefix + size);
  return 0;
}

static void *arena_allocator_alloc(void *data, size_t size) {
  struct arena_allocator *allocator = data;
  void *memory = psock_arena_alloc(allocator->arena, size);
  if (memory == NULL)
    allocator->failed = 1;
  return memory;
}

static void arena_allocator_free(void *data, void *memory) {
  (void)data;
  (void)memory;
}

static size_t memory_limit(const struct protobuf_codec *self, size_t length) {
  uint64_t limit = (uint64_t)length * self->memory_factor;
  if (limit < self->memory_min)
    limit = self->memory_min;
  return limit > self->memory_max ? self->memory_max : (size_t)limit;
}

static int unpack(const struct protobuf_codec *self,
    const struct psock_frame *frame, psock_arena *arena,
    const void **ret_message) {
  struct arena_allocator allocator = {
      .base.alloc = arena_allocator_alloc,
      .base.free = arena_allocator_free,
      .arena = arena,
  };
  allocator.base.allocator_data = &allocator;
  psock_arena_limit(arena, memory_limit(self, frame->length));
  const void *message = protobuf_c_message_unpack(
      self->descriptor, &allocator.base, frame->length, frame->body);
  if (message == NULL) {
    if (psock_arena_limited(arena))
      return PSOCK_EMEMLIMIT;
    return allocator.failed ? PSOCK_ENOMEM : PSOCK_EMALFORMED;
  }
  *ret_message = message;
  return PSOCK_DECODE_MESSAGE;
}

static int decode(const psock_codec *codec, const uint8_t *bytes, size_t length,
    psock_arena *arena, struct psock_decoded *ret_decoded) {
  const struct protobuf_codec *self = (const struct protobuf_codec *)codec;
  struct psock_frame frame;
  int result =
      psock_frame_get(bytes, length, self->max_message, &frame, ret_decoded);
  if (result != PSOCK_DECODE_MESSAGE)
    return result;
  if (self->bounds != NULL) {
    int error = psock_bounds_check(self->bounds, frame.body, frame.length);
    if (error != 0)
      return error;
  }
  ret_decoded->detached = 1; /* protobuf-c copies all that it unpacks. */
  return unpack(self, &frame, arena, &ret_decoded->message);
}

/* Puts the defaults where zeros are. Returns 0 or PSOCK_EINVAL. */
static int complete_options(struct psock_protobuf_options *options) {
  if (options->max_message == 0)
    options->max_message = DEFAULT_MAX_MESSAGE;
  if (options->max_depth == 0)
    options->max_depth = DEFAULT_MAX_DEPTH;
  if (options->memory_factor == 0)
    options->memory_factor = DEFAULT_MEMORY_FACTOR;
  if (options->memory_max == 0)
    options->memory_max = DEFAULT_MEMORY_MAX;
  if (options->memory_min > options->memory_max)
    return PSOCK_EINVAL;
  if (options->memory_min == 0)
    options->memory_min = DEFAULT_MEMORY_MIN;
  if (options->allocator == NULL)
    options->allocator = &psock_default_allocator;
  if (options->max_message > MOST_MAX_MESSAGE ||
      options->max_depth > MOST_MAX_DEPTH)
    return PSOCK_EINVAL;
  return 0;
}

int psock_protobuf_codec_new(const ProtobufCMessageDescriptor *descriptor,
    const struct psock_protobuf_options *given, psock_codec **ret_codec) {
  struct psock_protobuf_options options;
  psock_options_copy(
      &options, sizeof options, given, given == NULL ? 0 : given->size);
  if ((given != NULL && given->size == 0) || complete_options(&options) != 0 ||
      descriptor == NULL ||
      descriptor->magic != PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC)
    return PSOCK_EINVAL;
  struct protobuf_codec *self = psock_alloc(options.allocator, sizeof *self);
  if (self == NULL)
    return PSOCK_ENOMEM;
  *self = (struct protobuf_codec){
      .codec = {.size = sizeof self->codec, .encode = encode, .decode = decode},
      .descriptor = descriptor,
      .max_message = options.max_message,
      .memory_factor = options.memory_factor,
      .memory_min = options.memory_min,
      .memory_max = options.memory_max,
      .allocator = *options.allocator,
  };
  int error = psock_bounds_new(
      descriptor, options.max_depth, options.allocator, &self->bounds);
  if (error != 0) {
    psock_free(options.allocator, self);
    return error;
  }
  *ret_codec = &self->codec;
  return 0;
}

void psock_protobuf_codec_free(psock_codec *codec) {
  if (codec == NULL)
    return;
  struct protobuf_codec *self = (struct protobuf_codec *)codec;
  struct psock_allocator allocator = self->allocator;
  psock_bounds_free(self->bounds, &allocator);
  psock_free(&allocator, self);
}
