/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz/differ.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/heap.h"
#include "codec/frame.h"
#include "fuzz/survey.h"
#include "fuzz/walk.h"
#include <protosocket/error.h>
#include <protosocket/generated.h>
#include <protosocket/protobuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Two decoders and two encoders, side by side: protobuf-c's own, with malloc,
 * and a codec of the library's, over an arena and a buffer as a connection has
 * them. The messages have to agree in every member, and what is encoded in
 * every byte.
 *
 * The library may refuse more than protobuf-c does, within reason: what is
 * nested deeper, or takes more memory, than the options of the trial say, and
 * strings that the schema wants to be UTF-8. Whether there was a reason, the
 * survey of the bytes says.
 *
 * What the library decodes lies in memory that was full of other things before
 * and ends where the message ends; where it says that a message doesn't point
 * into the bytes, these are destroyed before anybody looks. Everything belongs
 * to the trial but the bench, which stays from one to the next.
 */

/* A decoded message may take this many times what its values take, and as much
 * more: arrays grow by doubling, and blocks are not filled to the end. */
#define MEMORY_FACTOR 5
#define MEMORY_SLACK 1024

/* Per value, what protobuf-c takes besides, for its list of what has come. */
#define LISTED_VALUE 96

/* What a block takes besides its bytes. */
#define BLOCK_SLACK 1024

/* A trial's options, out of its bits. */
struct options {
  unsigned max_depth;
  size_t memory_min;
  size_t memory_max;
  unsigned memory_factor;
  bool plain;    /* without generated code */
  bool lending;  /* large parts of what is encoded stay where they are */
  bool fresh;    /* the arena has no block yet */
  unsigned room; /* of the first try to encode, in thirds of what it takes */
  unsigned count_room; /* that an encoder is told to set aside */
};

static struct {
  struct psock_heap *heap;
  struct psock_pool pool;
  struct psock_arena *arena;
  struct psock_buffer buffer;
} bench;

/* What the complaint is about. */
static struct {
  const struct psock_message_type *type;
  unsigned options;
  const uint8_t *bytes;
  size_t length;
} trial;

_Noreturn static void complain(
    const char *what, const char *more, long number) {
  const char *name = trial.type->descriptor->name;
  fprintf(stderr, "%s: %s%s (%ld); options 0x%x, %zu bytes:\n",
      name == NULL ? "a message" : name, what, more, number, trial.options,
      trial.length);
  for (size_t i = 0; i < trial.length && i < 2000; i++)
    fprintf(stderr, "%02x", trial.bytes[i]);
  fputc('\n', stderr);
  abort();
}

static void require(bool condition, const char *what) {
  if (!condition)
    complain(what, "", 0);
}

static struct options options_of(unsigned bits) {
  static const unsigned depths[] = {100, 100, 100, 1000, 1, 2, 3, 6};
  static const struct {
    size_t min;
    size_t max;
    unsigned factor;
  } memory[] = {{0, 0, 0}, {0, 0, 0}, {(size_t)64 << 20, 0, 0}, {1, 0, 8},
      {64, 256, 1}, {1000, 1000, 1}, {4096, 4096, 1}, {1, 20000, 3}};
  unsigned memory_bits = bits >> 3 & 7;
  return (struct options){
      .max_depth = depths[bits & 7],
      .memory_min = memory[memory_bits].min,
      .memory_max = memory[memory_bits].max,
      .memory_factor = memory[memory_bits].factor,
      .plain = (bits >> 6 & 3) == 3,
      .lending = (bits >> 8 & 1) != 0,
      .fresh = (bits >> 9 & 1) != 0,
      .room = bits >> 10 & 3,
      .count_room = 1 + (bits >> 12 & 3),
  };
}

static void *require_memory(void *memory) {
  require(memory != NULL, "there is no memory");
  return memory;
}

/* Memory that ends where it should. */
static uint8_t *bytes_new(size_t length) {
  return require_memory(malloc(length == 0 ? 1 : length));
}

static void prepare(const struct options *options) {
  if (bench.heap == NULL) {
    bench.heap = require_memory(psock_heap_new(NULL));
    require(psock_pool_init(&bench.pool, bench.heap, 0) == 0, "no pool");
    psock_buffer_init(&bench.buffer, &bench.pool, false);
  }
  bench.buffer.lending = options->lending;
}

/* An arena with no block, or with one that is full of what must not matter. */
static void prepare_arena(const struct options *options) {
  bench.arena = require_memory(psock_arena_new(&bench.pool));
  if (options->fresh)
    return;
  void *memory = require_memory(psock_arena_alloc(bench.arena, 1));
  memset(memory, 0xa5, bench.arena->blocks->capacity);
  psock_arena_next(&bench.arena);
}

static psock_codec *codec_new(
    const struct psock_message_type *type, const struct options *options) {
  psock_codec *codec = NULL;
  struct psock_message_type plain = psock_message_type_of(type->descriptor);
  struct psock_protobuf_options given = {
      .size = sizeof given,
      .max_depth = options->max_depth,
      .memory_factor = options->memory_factor,
      .memory_min = options->memory_min,
      .memory_max = options->memory_max,
  };
  int error =
      psock_protobuf_codec_new(options->plain ? &plain : type, &given, &codec);
  if (error != 0)
    complain("no codec: ", psock_strerror(error), error);
  return codec;
}

/* ---- Encoding ---- */

/* What protobuf-c makes of `message`. */
static uint8_t *pack(const ProtobufCMessage *message, size_t *ret_length) {
  size_t length = protobuf_c_message_get_packed_size(message);
  uint8_t *bytes = bytes_new(length);
  require(protobuf_c_message_pack(message, bytes) == length,
      "protobuf-c disagrees with itself about a length");
  *ret_length = length;
  return bytes;
}

/* Whether the buffer holds the frame of these bytes; empties it. */
static bool buffer_holds(const uint8_t *bytes, size_t length) {
  uint8_t *frame = bytes_new(length + PSOCK_COUNT_MAX);
  size_t total = psock_count_put(frame, length);
  if (length > 0)
    memcpy(frame + total, bytes, length);
  total += length;
  bool same = bench.buffer.length == total;
  size_t done = 0;
  while (bench.buffer.length > 0) {
    struct iovec vector;
    if (psock_buffer_vectors(&bench.buffer, &vector, 1, SIZE_MAX) != 1)
      break;
    same = same && memcmp(frame + done, vector.iov_base, vector.iov_len) == 0;
    done += vector.iov_len;
    psock_buffer_consume(&bench.buffer, vector.iov_len);
  }
  free(frame);
  return same && bench.buffer.length == 0;
}

/* One try of the generated encoder, in memory that ends where the room does.
 * Returns 0 when it has encoded `bytes`, or how much room it wants. */
static size_t try_room(const struct psock_message_type *type,
    const ProtobufCMessage *message, size_t room, unsigned count_room,
    const uint8_t *bytes, size_t length) {
  uint8_t *memory = bytes_new(room);
  struct psock_encoder encoder = {
      .begin = memory,
      .limit = memory + room,
      .count_room = count_room,
  };
  const uint8_t *end = type->encode(&encoder, message, memory);
  if (end == NULL)
    require(encoder.needed > room, "an encoder wants no more than it has");
  else
    require((size_t)(end - memory) == length &&
                (length == 0 || memcmp(memory, bytes, length) == 0),
        "the generated encoder's bytes differ");
  free(memory);
  return end == NULL ? encoder.needed : 0;
}

/* `bytes` are what protobuf-c makes of `message`. */
static void compare_encoders(const psock_codec *codec,
    const struct options *options, const ProtobufCMessage *message,
    const uint8_t *bytes, size_t length) {
  int error = codec->encode(codec, message, &bench.buffer);
  if (error != 0)
    complain("the codec doesn't encode: ", psock_strerror(error), error);
  require(buffer_holds(bytes, length), "the codec's bytes differ");
  if (trial.type->encode == NULL)
    return;
  size_t room = length * options->room / 3;
  for (size_t wanted = 1; wanted != 0; room = wanted + wanted / 4)
    wanted =
        try_room(trial.type, message, room, options->count_room, bytes, length);
}

void differ_encode(const struct psock_message_type *type, unsigned bits,
    const ProtobufCMessage *message) {
  struct options options = options_of(bits);
  trial.type = type;
  trial.options = bits;
  trial.length = 0;
  prepare(&options);
  uint8_t *bytes = pack(message, &trial.length);
  trial.bytes = bytes;
  psock_codec *codec = codec_new(type, &options);
  compare_encoders(codec, &options, message, bytes, trial.length);
  psock_protobuf_codec_free(codec);
  free(bytes);
}

/* ---- Decoding ---- */

/* All that is known of one trial. */
struct attempt {
  const struct options *options;
  struct survey survey;
  ProtobufCMessage *reference; /* NULL: protobuf-c refuses, or wasn't asked */
  size_t limit;                /* of memory */
  const uint8_t *body;         /* in the frame that the library was given */
  size_t length;
  struct psock_decoded decoded;
};

static size_t limit_of(const struct options *options, size_t length) {
  size_t factor = options->memory_factor == 0 ? 64 : options->memory_factor;
  size_t least =
      options->memory_min == 0 ? (size_t)64 << 10 : options->memory_min;
  size_t most =
      options->memory_max == 0 ? (size_t)64 << 20 : options->memory_max;
  size_t limit = length * factor < least ? least : length * factor;
  return limit > most ? most : limit;
}

/* What is left to protobuf-c is decoded twice, and copied when it is merged. */
static bool may_be_too_much(const struct attempt *attempt) {
  const struct survey *survey = &attempt->survey;
  size_t once = survey->memory * MEMORY_FACTOR;
  size_t most = once + MEMORY_SLACK;
  if (survey->left > 0 || attempt->options->plain)
    most +=
        once + survey->values * LISTED_VALUE + survey->left * survey->memory;
  return most > attempt->limit;
}

static bool refusal_is_right(const struct attempt *attempt, int error) {
  switch (error) {
  case PSOCK_EMALFORMED:
    return attempt->reference == NULL;
  case PSOCK_EDEPTH:
    return attempt->survey.depth > attempt->options->max_depth;
  case PSOCK_EUTF8:
    return attempt->survey.bad_text && !attempt->options->plain;
  case PSOCK_EMEMLIMIT:
    return may_be_too_much(attempt);
  default:
    return false;
  }
}

static void judge(const struct attempt *attempt, int result) {
  if (result < 0) {
    if (!refusal_is_right(attempt, result))
      complain("refused without a reason: ", psock_strerror(result), result);
    return;
  }
  require(result == PSOCK_DECODE_MESSAGE, "a whole frame is no message");
  require(attempt->reference != NULL, "protobuf-c refuses this");
  require(attempt->survey.depth <= attempt->options->max_depth, "too deep");
  require(!attempt->survey.bad_text || attempt->options->plain, "not UTF-8");
}

/* Whether the arena has given this memory, or it is of the frame. */
static bool is_of_message(
    const void *data, const void *memory, size_t length, enum walk_kind kind) {
  const struct attempt *attempt = data;
  uintptr_t at = (uintptr_t)memory;
  uintptr_t body = (uintptr_t)attempt->body;
  for (const struct psock_block *block = bench.arena->blocks; block != NULL;
       block = block->next) {
    uintptr_t first = (uintptr_t)block->data;
    if (at >= first && at + length <= first + block->end)
      return true;
  }
  return kind == WALK_BYTES && !attempt->decoded.detached && at >= body &&
         at + length <= body + attempt->length;
}

static size_t arena_used(void) {
  size_t used = 0;
  for (const struct psock_block *block = bench.arena->blocks; block != NULL;
       block = block->next)
    used += block->end;
  return used;
}

/* The library's message and protobuf-c's are the same, as they are and as they
 * are encoded. */
static void compare(const psock_codec *codec, const struct attempt *attempt) {
  const ProtobufCMessage *message = attempt->decoded.message;
  size_t length;
  size_t other_length;
  require(walk_memory(message, is_of_message, attempt),
      "the message points to what isn't its own");
  const char *difference = walk_difference(message, attempt->reference);
  if (difference != NULL)
    complain("the messages differ: ", difference, 0);
  uint8_t *bytes = pack(message, &length);
  uint8_t *other = pack(attempt->reference, &other_length);
  require(length == other_length && memcmp(bytes, other, length) == 0,
      "protobuf-c encodes the messages in different ways");
  compare_encoders(codec, attempt->options, message, bytes, length);
  compare_encoders(codec, attempt->options, attempt->reference, bytes, length);
  free(bytes);
  free(other);
}

/* The library's part, with the frame in memory that ends where it ends. */
static void attempt_frame(struct attempt *attempt, const uint8_t *bytes) {
  uint8_t count[PSOCK_COUNT_MAX];
  size_t prefix = psock_count_put(count, attempt->length);
  uint8_t *frame = bytes_new(prefix + attempt->length);
  memcpy(frame, count, prefix);
  if (attempt->length > 0)
    memcpy(frame + prefix, bytes, attempt->length);
  attempt->body = frame + prefix;
  psock_codec *codec = codec_new(trial.type, attempt->options);
  size_t held = atomic_load(&bench.heap->held);
  atomic_store(&bench.heap->held_peak, held);
  int result = codec->decode(
      codec, frame, prefix + attempt->length, bench.arena, &attempt->decoded);
  size_t grown = atomic_load(&bench.heap->held_peak) - held;
  require(grown <= attempt->limit + BLOCK_SLACK, "more memory than allowed");
  require(arena_used() <= attempt->limit, "more of the arena than allowed");
  judge(attempt, result);
  if (result == PSOCK_DECODE_MESSAGE) {
    require(attempt->decoded.consumed == prefix + attempt->length,
        "not all of the frame was consumed");
    if (attempt->decoded.detached)
      memset(frame, 0x5a, prefix + attempt->length);
    compare(codec, attempt);
  }
  psock_protobuf_codec_free(codec);
  free(frame);
}

void differ_decode(const struct psock_message_type *type, unsigned bits,
    const uint8_t *bytes, size_t length) {
  struct options options = options_of(bits);
  if (length == 0)
    bytes = (const uint8_t *)"";
  trial.type = type;
  trial.options = bits;
  trial.bytes = bytes;
  trial.length = length;
  struct attempt attempt = {
      .options = &options,
      .survey = survey_message(type->descriptor, bytes, length),
      .limit = limit_of(&options, length),
      .length = length,
  };
  if (attempt.survey.depth <= SURVEY_DEPTH_MAX)
    attempt.reference =
        protobuf_c_message_unpack(type->descriptor, NULL, length, bytes);
  prepare(&options);
  prepare_arena(&options);
  attempt_frame(&attempt, bytes);
  psock_arena_unref(bench.arena);
  protobuf_c_message_free_unpacked(attempt.reference, NULL);
}
