/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/protobuf.h"

#include "base/allocator.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/options.h"
#include "codec/bounds.h"
#include <protosocket/error.h>

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

/* What is given to the second try at least. */
#define NEXT_ROOM 4096

#define DEFAULT_MEMORY_FACTOR 64u
#define DEFAULT_MEMORY_MIN ((size_t)64 << 10)
#define DEFAULT_MEMORY_MAX ((size_t)64 << 20)

struct protobuf_codec {
  psock_codec codec;
  struct psock_message_type type;
  struct psock_bounds *bounds; /* NULL: no message can be too deep, or the
                                  generated decoder looks itself */
  struct psock_protobuf_limits limits;
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

static int try_encode(const struct protobuf_codec *self, const void *message,
    psock_buffer *out, size_t room, struct psock_encoder *encoder) {
  return psock_protobuf_try(
      self->type.encode, message, self->limits.max_message, out, room, encoder);
}

/* What the first try has found too little room for: in as much as it found
 * missing. Results as psock_protobuf_try. */
static int encode_longer(const struct protobuf_codec *self, const void *message,
    psock_buffer *out, struct psock_encoder *encoder) {
  size_t needed = encoder->needed;
  if (psock_buffer_lends(out, needed))
    return PSOCK_EAGAIN;
  if (needed > self->limits.max_message + PSOCK_PROTOBUF_SLACK)
    return PSOCK_ETOOBIG;
  encoder->count_room = count_length(needed);
  return try_encode(self, message, out,
      needed + PSOCK_PROTOBUF_SLACK < NEXT_ROOM ? NEXT_ROOM
                                                : needed + PSOCK_PROTOBUF_SLACK,
      encoder);
}

/* With room for what it takes, which protobuf-c computes: by the generated
 * encoder, or if that needs more while it writes, or there is none, by
 * protobuf-c. */
static int encode_sized(const struct protobuf_codec *self,
    const ProtobufCMessage *message, psock_buffer *out) {
  size_t size = protobuf_c_message_get_packed_size(message);
  if (size > self->limits.max_message)
    return PSOCK_ETOOBIG;
  if (psock_buffer_lends(out, size))
    return encode_lending(message, size, out);
  if (self->type.encode != NULL) {
    struct psock_encoder encoder = {.count_room = 1};
    int error =
        try_encode(self, message, out, size + PSOCK_PROTOBUF_SLACK, &encoder);
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
    error = try_encode(self, base, out, PSOCK_PROTOBUF_SMALL_ROOM, &encoder);
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

/* By protobuf-c, into an arena that is limited. */
static int unpack(const struct psock_message_type *type, const uint8_t *bytes,
    size_t length, psock_arena *arena, struct psock_decoded *ret_decoded) {
  struct arena_allocator allocator = {
      .base.alloc = arena_allocator_alloc,
      .base.free = arena_allocator_free,
      .arena = arena,
  };
  allocator.base.allocator_data = &allocator;
  const void *message = protobuf_c_message_unpack(
      type->descriptor, &allocator.base, length, bytes);
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
static inline int decode_generated(const struct psock_protobuf_limits *limits,
    const struct psock_message_type *type, const uint8_t *bytes, size_t length,
    psock_arena *arena, struct psock_decoded *ret_decoded) {
  struct psock_decoder decoder = {
      .levels = limits->max_depth - 1,
      .arena = arena,
  };
  psock_arena_open(arena, &decoder.free, &decoder.free_end);
  void *message = type->decode(&decoder, bytes, bytes + length);
  psock_arena_close(arena, decoder.free);
  if (message == NULL)
    return decoder.error == 0 ? PSOCK_EMALFORMED : decoder.error;
  if (decoder.recheck)
    return unpack(type, bytes, length, arena, ret_decoded);
  ret_decoded->message = message;
  ret_decoded->detached = !decoder.aliased;
  return PSOCK_DECODE_MESSAGE;
}

static int decode(const psock_codec *codec, const uint8_t *bytes, size_t length,
    psock_arena *arena, struct psock_decoded *ret_decoded) {
  const struct protobuf_codec *self = (const struct protobuf_codec *)codec;
  struct psock_frame frame;
  int result = psock_frame_get(
      bytes, length, self->limits.max_message, &frame, ret_decoded);
  if (result != PSOCK_DECODE_MESSAGE)
    return result;
  psock_arena_limit(
      arena, psock_protobuf_memory_limit(&self->limits, frame.length));
  if (self->type.decode != NULL)
    return decode_generated(&self->limits, &self->type, frame.body,
        frame.length, arena, ret_decoded);
  if (self->bounds != NULL) {
    int error = psock_bounds_check(self->bounds, frame.body, frame.length);
    if (error != 0)
      return error;
  }
  return unpack(&self->type, frame.body, frame.length, arena, ret_decoded);
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

int psock_protobuf_limits_init(struct psock_protobuf_limits *limits,
    const struct psock_protobuf_options *given,
    const struct psock_allocator **ret_allocator) {
  struct psock_protobuf_options options;
  psock_options_copy(
      &options, sizeof options, given, given == NULL ? 0 : given->size);
  if ((given != NULL && given->size == 0) || complete_options(&options) != 0)
    return PSOCK_EINVAL;
  *limits = (struct psock_protobuf_limits){
      .max_message = options.max_message,
      .max_depth = options.max_depth,
      .memory_factor = options.memory_factor,
      .memory_min = options.memory_min,
      .memory_max = options.memory_max,
  };
  *ret_allocator = options.allocator;
  return 0;
}

bool psock_protobuf_type_is_valid(const struct psock_message_type *type) {
  return type != NULL &&
         type->size >= PSOCK_SIZE_THROUGH(struct psock_message_type, code) &&
         type->descriptor != NULL &&
         type->descriptor->magic == PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC &&
         (type->decode == NULL ||
             type->field_count == type->descriptor->n_fields);
}

int psock_protobuf_decode(const struct psock_protobuf_limits *limits,
    const struct psock_message_type *type, const uint8_t *bytes, size_t length,
    psock_arena *arena, struct psock_decoded *ret_decoded) {
  if (type->decode == NULL)
    return PSOCK_ENOTSUP;
  psock_arena_limit(arena, psock_protobuf_memory_limit(limits, length));
  return decode_generated(limits, type, bytes, length, arena, ret_decoded);
}

int psock_protobuf_try_more(psock_encode_fn *fields, const void *message,
    size_t max_message, psock_buffer *out, struct psock_encoder *encoder) {
  struct psock_buffer_mark mark = psock_buffer_mark(out);
  for (size_t room = NEXT_ROOM;; room *= 2) {
    if (encoder->needed > max_message + PSOCK_PROTOBUF_SLACK)
      return PSOCK_ETOOBIG;
    if (room < encoder->needed + PSOCK_PROTOBUF_SLACK)
      room = encoder->needed + PSOCK_PROTOBUF_SLACK;
    encoder->count_room = count_length(encoder->needed);
    int error =
        psock_protobuf_try(fields, message, max_message, out, room, encoder);
    if (error != PSOCK_EAGAIN)
      return error;
    psock_buffer_rewind(out, &mark);
  }
}

int psock_protobuf_codec_new(const struct psock_message_type *type,
    const struct psock_protobuf_options *given, psock_codec **ret_codec) {
  struct psock_protobuf_limits limits;
  const struct psock_allocator *allocator;
  if (psock_protobuf_limits_init(&limits, given, &allocator) != 0 ||
      !psock_protobuf_type_is_valid(type))
    return PSOCK_EINVAL;
  struct protobuf_codec *self = psock_alloc(allocator, sizeof *self);
  if (self == NULL)
    return PSOCK_ENOMEM;
  *self = (struct protobuf_codec){
      .codec = {.size = sizeof self->codec,
          .encode = encode,
          .decode = decode,
          .type = type->descriptor},
      .limits = limits,
      .allocator = *allocator,
  };
  psock_options_copy(&self->type, sizeof self->type, type, type->size);
  if (type->decode == NULL &&
      psock_bounds_new(
          type->descriptor, limits.max_depth, allocator, &self->bounds) != 0) {
    psock_free(allocator, self);
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
