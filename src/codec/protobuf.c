/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "base/arena.h"
#include "base/options.h"
#include "codec/bounds.h"
#include "codec/frame.h"
#include <protosocket/error.h>
#include <protosocket/generated.h>
#include <protosocket/protobuf.h>
#include <stdbool.h>

/*
 * Length-delimited protobuf messages, of types that protoc-gen-psock has
 * generated code for, and of those that only protoc-c knows.
 *
 * Out: a generated encoder is tried in little room first, which is enough for
 * most messages; then in as much as that try has found missing; then in what
 * protobuf-c computes. Without one, protobuf-c computes the size, and packs. A
 * message that is sent with a release callback, and is large, goes through
 * protobuf-c's virtual buffer instead, so that its large parts stay where they
 * are. What protobuf-c appends from its own stack is never more than a tag and
 * a number, so it is always copied.
 *
 * In: once all bytes of a frame are there, the arena is limited, and the
 * generated decoder or protobuf-c decodes into it; the one counts how deep it
 * is, for the other the bytes are checked for that before. Nothing is freed
 * there: what protobuf-c allocates only while it unpacks counts against the
 * limit too, and goes with the message. It says only that it failed; why is
 * read from the arena.
 *
 * A codec owns its bounds, and borrows the descriptors that the caller has.
 */

#define DEFAULT_MAX_MESSAGE ((size_t)4 << 20)
#define MOST_MAX_MESSAGE ((size_t)1 << 30)
#define DEFAULT_MAX_DEPTH 100u
#define MOST_MAX_DEPTH 1000u

/* Room in which a message is tried to be encoded first, what is given to the
 * next try at least, and what is added to the least that a try needs: steps
 * ask for more room than they use, and counts may take more at first. */
#define SMALL_ROOM 512
#define NEXT_ROOM 4096
#define SLACK 256

#define DEFAULT_MEMORY_FACTOR 64u
#define DEFAULT_MEMORY_MIN ((size_t)64 << 10)
#define DEFAULT_MEMORY_MAX ((size_t)64 << 20)

struct protobuf_codec {
  psock_codec codec;
  struct psock_message_type type;
  struct psock_bounds *bounds; /* NULL: no message can be too deep, or the
                                  generated decoder looks itself */
  unsigned max_depth;
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

static size_t count_length(size_t count) {
  uint8_t bytes[PSOCK_COUNT_MAX];
  return psock_count_put(bytes, count);
}

/* One try of the generated encoder in `room` bytes, with encoder->count_room
 * set aside for the frame's count. Returns 0, PSOCK_ENOMEM, PSOCK_ETOOBIG, or
 * PSOCK_EAGAIN when that was too little; then encoder->needed says what is
 * needed at least. */
static int try_encode(const struct protobuf_codec *self, const void *message,
    psock_buffer *out, size_t room, struct psock_encoder *encoder) {
  uint8_t *begin = psock_buffer_reserve(out, room);
  if (begin == NULL)
    return PSOCK_ENOMEM;
  size_t count_room = encoder->count_room;
  uint8_t *body = begin + count_room;
  encoder->begin = begin;
  encoder->limit = begin + room;
  uint8_t *end = self->type.encode(encoder, message, body);
  if (end == NULL)
    return PSOCK_EAGAIN;
  if ((size_t)(end - body) > self->max_message)
    return PSOCK_ETOOBIG;
  if (PSOCK_LIKELY(count_room == 1 && end - body < 0x80))
    *begin = (uint8_t)(end - body);
  else
    end = psock_encode_count(encoder, body, end, count_room);
  if (end == NULL)
    return PSOCK_EAGAIN;
  psock_buffer_commit(out, (size_t)(end - begin));
  return 0;
}

/* What the first try has found too little room for: in as much as it found
 * missing. Results as try_encode. */
static int encode_longer(const struct protobuf_codec *self, const void *message,
    psock_buffer *out, struct psock_encoder *encoder) {
  size_t needed = encoder->needed;
  if (psock_buffer_lends(out, needed))
    return PSOCK_EAGAIN;
  if (needed > self->max_message + SLACK)
    return PSOCK_ETOOBIG;
  encoder->count_room = count_length(needed);
  return try_encode(self, message, out,
      needed + SLACK < NEXT_ROOM ? NEXT_ROOM : needed + SLACK, encoder);
}

/* With room for what it takes, which protobuf-c computes: by the generated
 * encoder, or if that needs more while it writes, or there is none, by
 * protobuf-c. */
static int encode_sized(const struct protobuf_codec *self,
    const ProtobufCMessage *message, psock_buffer *out) {
  size_t size = protobuf_c_message_get_packed_size(message);
  if (size > self->max_message)
    return PSOCK_ETOOBIG;
  if (psock_buffer_lends(out, size))
    return encode_lending(message, size, out);
  if (self->type.encode != NULL) {
    struct psock_encoder encoder = {.count_room = 1};
    int error = try_encode(self, message, out, size + SLACK, &encoder);
    if (error != PSOCK_EAGAIN)
      return error;
  }
  uint8_t *room = psock_buffer_reserve(out, size + PSOCK_COUNT_MAX);
  if (room == NULL)
    return PSOCK_ENOMEM;
  size_t prefix = psock_count_put(room, size);
  protobuf_c_message_pack(message, room + prefix);
  psock_buffer_commit(out, prefix + size);
  return 0;
}

static int encode(
    const psock_codec *codec, const void *message, psock_buffer *out) {
  const struct protobuf_codec *self = (const struct protobuf_codec *)codec;
  const ProtobufCMessage *base = message;
  if (base == NULL || base->descriptor != self->type.descriptor)
    return PSOCK_EINVAL;
  int error = PSOCK_EAGAIN;
  if (self->type.encode != NULL) {
    struct psock_encoder encoder = {.count_room = 1};
    error = try_encode(self, base, out, SMALL_ROOM, &encoder);
    if (error == PSOCK_EAGAIN)
      error = encode_longer(self, base, out, &encoder);
  }
  return error == PSOCK_EAGAIN ? encode_sized(self, base, out) : error;
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

/* By protobuf-c, into an arena that is limited. */
static int unpack(const struct protobuf_codec *self,
    const struct psock_frame *frame, psock_arena *arena,
    struct psock_decoded *ret_decoded) {
  struct arena_allocator allocator = {
      .base.alloc = arena_allocator_alloc,
      .base.free = arena_allocator_free,
      .arena = arena,
  };
  allocator.base.allocator_data = &allocator;
  const void *message = protobuf_c_message_unpack(
      self->type.descriptor, &allocator.base, frame->length, frame->body);
  if (message == NULL) {
    if (psock_arena_limited(arena))
      return PSOCK_EMEMLIMIT;
    return allocator.failed ? PSOCK_ENOMEM : PSOCK_EMALFORMED;
  }
  ret_decoded->message = message;
  ret_decoded->detached = 1; /* it copies all that it unpacks */
  return PSOCK_DECODE_MESSAGE;
}

/* By generated code. What that leaves to protobuf-c has been found to be within
 * the bounds; both together have the limit's memory. */
static int decode_generated(const struct protobuf_codec *self,
    const struct psock_frame *frame, psock_arena *arena,
    struct psock_decoded *ret_decoded) {
  struct psock_decoder decoder = {
      .levels = self->max_depth - 1,
      .arena = arena,
  };
  psock_arena_open(arena, &decoder.free, &decoder.free_end);
  void *message =
      self->type.decode(&decoder, frame->body, frame->body + frame->length);
  psock_arena_close(arena, decoder.free);
  if (message == NULL)
    return decoder.error == 0 ? PSOCK_EMALFORMED : decoder.error;
  if (decoder.recheck)
    return unpack(self, frame, arena, ret_decoded);
  ret_decoded->message = message;
  ret_decoded->detached = !decoder.aliased;
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
  psock_arena_limit(arena, memory_limit(self, frame.length));
  if (self->type.decode != NULL)
    return decode_generated(self, &frame, arena, ret_decoded);
  if (self->bounds != NULL) {
    int error = psock_bounds_check(self->bounds, frame.body, frame.length);
    if (error != 0)
      return error;
  }
  return unpack(self, &frame, arena, ret_decoded);
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

static bool type_is_valid(const struct psock_message_type *type) {
  return type != NULL &&
         type->size >= PSOCK_SIZE_THROUGH(struct psock_message_type, code) &&
         type->descriptor != NULL &&
         type->descriptor->magic == PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC &&
         (type->decode == NULL ||
             type->field_count == type->descriptor->n_fields);
}

int psock_protobuf_codec_new(const struct psock_message_type *type,
    const struct psock_protobuf_options *given, psock_codec **ret_codec) {
  struct psock_protobuf_options options;
  psock_options_copy(
      &options, sizeof options, given, given == NULL ? 0 : given->size);
  if ((given != NULL && given->size == 0) || complete_options(&options) != 0 ||
      !type_is_valid(type))
    return PSOCK_EINVAL;
  struct protobuf_codec *self = psock_alloc(options.allocator, sizeof *self);
  if (self == NULL)
    return PSOCK_ENOMEM;
  *self = (struct protobuf_codec){
      .codec = {.size = sizeof self->codec,
          .encode = encode,
          .decode = decode,
          .type = type->descriptor},
      .max_depth = options.max_depth,
      .max_message = options.max_message,
      .memory_factor = options.memory_factor,
      .memory_min = options.memory_min,
      .memory_max = options.memory_max,
      .allocator = *options.allocator,
  };
  psock_options_copy(&self->type, sizeof self->type, type, type->size);
  if (type->decode == NULL &&
      psock_bounds_new(type->descriptor, options.max_depth, options.allocator,
          &self->bounds) != 0) {
    psock_free(options.allocator, self);
    return PSOCK_ENOMEM;
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
