/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/arena.h"
#include "base/buffer.h"
#include "codec/utf8.h"
#include "codec/wire.h"
#include <protosocket/error.h>
#include <protosocket/generated.h>

/*
 * The steps of generated decoders that are not inline: what is long, what
 * repeats, and what is rare. A message is decoded in one pass into the arena,
 * out of a stretch of it that the decoder has for itself.
 *
 * What is accepted is what protobuf_c_message_unpack accepts, down to its
 * oddities. The rarest of these are left to it: a message field that comes
 * twice, whose parts it merges, and a bool that comes with another wire type,
 * which it takes. Then `recheck` is set, what came is only passed over and held
 * to the bounds, and protobuf-c decodes the whole message again; see
 * protobuf.c.
 */

#define TAG_MAX 5
#define VARINT_MAX 10
#define COUNT_MAX 5

/* What long_tag adds to a tag of field 0: alone it would be malformed, but it
 * is taken when it is longer than it has to be. */
#define LONG_ZERO ((uint64_t)1 << 40)

/* Items that a repeated field has room for at first. */
#define FIRST_ROOM 4

void *psock_decode_more(struct psock_decoder *decoder, size_t length) {
  struct psock_arena *arena = decoder->arena;
  psock_arena_close(arena, decoder->free);
  void *memory = psock_arena_alloc(arena, length);
  if (memory == NULL)
    decoder->error =
        psock_arena_limited(arena) ? PSOCK_EMEMLIMIT : PSOCK_ENOMEM;
  psock_arena_open(arena, &decoder->free, &decoder->free_end);
  return memory;
}

/* Reads a varint of at most `max` bytes, one by one. */
static const uint8_t *get_varint(
    const uint8_t *at, const uint8_t *end, unsigned max, uint64_t *ret_value) {
  uint64_t value = 0;
  for (unsigned i = 0; i < max && at < end; i++) {
    uint8_t byte = *at++;
    value |= (uint64_t)(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      *ret_value = value;
      return at;
    }
  }
  return NULL;
}

static uint64_t load_64(const uint8_t *at) {
  return psock_get_fixed32(at) | (uint64_t)psock_get_fixed32(at + 4) << 32;
}

/* The `length` bytes at `at`, at least one and at most 8, with zeros behind. */
static uint64_t load_up_to_64(const uint8_t *at, size_t length) {
  if (length >= 8)
    return load_64(at);
  if (length >= 4)
    return psock_get_fixed32(at) | (uint64_t)psock_get_fixed32(at + length - 4)
                                       << (8 * (length - 4));
  return at[0] | (uint64_t)at[length / 2] << (8 * (length / 2)) |
         (uint64_t)at[length - 1] << (8 * (length - 1));
}

/* Takes the 7 low bits of 8 bytes together. */
static uint64_t gather(uint64_t bytes) {
  bytes = (bytes & 0x7f007f007f007f) | (bytes & 0x7f007f007f007f00) >> 1;
  bytes = (bytes & 0x3fff00003fff) | (bytes & 0x3fff00003fff0000) >> 2;
  return (bytes & 0xfffffff) | (bytes & 0xfffffff00000000) >> 4;
}

const uint8_t *psock_decode_long_tag(
    const uint8_t *at, const uint8_t *end, uint64_t *ret_tag) {
  at = get_varint(at, end, TAG_MAX, ret_tag);
  if (at != NULL && *ret_tag < 8)
    *ret_tag |= LONG_ZERO;
  return at;
}

/* Eight bytes at once: the first one whose high bit is not set is the last. */
const uint8_t *psock_decode_long_varint(
    const uint8_t *at, const uint8_t *end, uint64_t *ret_value) {
  static const uint64_t goes_on = UINT64_C(0x8080808080808080);
  if (at == end)
    return NULL;
  size_t length = (size_t)(end - at);
  uint64_t bytes = load_up_to_64(at, length);
  uint64_t ends = ~bytes & goes_on;
  if (ends != 0) {
    size_t taken = (size_t)__builtin_ctzll(ends) / 8 + 1;
    /* From the lowest bit to that one, both included. */
    *ret_value = gather(bytes & (ends ^ (ends - 1)));
    return taken <= length ? at + taken : NULL;
  }
  uint64_t rest = 0;
  at = get_varint(at + 8, end, VARINT_MAX - 8, &rest);
  *ret_value = gather(bytes) | rest << 56;
  return at;
}

const uint8_t *psock_decode_long_bool(
    const uint8_t *at, const uint8_t *end, int *ret_value) {
  int value = 0;
  for (int i = 0; i < VARINT_MAX && at < end; i++) {
    uint8_t byte = *at++;
    value |= (byte & 0x7f) != 0;
    if (byte < 0x80) {
      *ret_value = value;
      return at;
    }
  }
  return NULL;
}

const uint8_t *psock_decode_long_count(
    const uint8_t *at, const uint8_t *end, size_t *ret_count) {
  uint64_t count;
  at = get_varint(at, end, COUNT_MAX, &count);
  if (at == NULL || count > (size_t)(end - at))
    return NULL;
  *ret_count = (size_t)count;
  return at;
}

/* Memory for a string or for bytes: of any alignment. */
static uint8_t *alloc_bytes(struct psock_decoder *decoder, size_t length) {
  uint8_t *memory = decoder->free;
  if (length > (size_t)(decoder->free_end - memory))
    return psock_decode_more(decoder, length);
  decoder->free = memory + length;
  return memory;
}

const uint8_t *psock_decode_utf8(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, char **ret_text) {
  size_t length;
  const uint8_t *text = psock_decode_count(at, end, &length);
  if (text == NULL)
    return NULL;
  if (!psock_utf8_is_valid(text, length)) {
    decoder->error = PSOCK_EUTF8;
    return NULL;
  }
  return psock_decode_string(decoder, at, end, ret_text);
}

/* The bytes in [at, at + length): where they are, if they are many. */
static uint8_t *take_bytes(
    struct psock_decoder *decoder, const uint8_t *at, size_t length) {
  if (length >= PSOCK_BUFFER_LEND_MIN) {
    decoder->aliased = 1;
    return (uint8_t *)(uintptr_t)at; /* protobuf-c knows no constant bytes */
  }
  uint8_t *memory = alloc_bytes(decoder, length);
  if (memory != NULL)
    memcpy(memory, at, length);
  return memory;
}

const uint8_t *psock_decode_bytes(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, ProtobufCBinaryData *ret_bytes) {
  ProtobufCBinaryData bytes = {0, NULL};
  at = psock_decode_count(at, end, &bytes.len);
  if (at == NULL)
    return NULL;
  if (bytes.len > 0) {
    bytes.data = take_bytes(decoder, at, bytes.len);
    if (bytes.data == NULL)
      return NULL;
  }
  *ret_bytes = bytes;
  return at + bytes.len;
}

/* ---- Repeated fields ---- */

/* Makes the array's room longer where it lies, if it is the last thing in the
 * decoder's stretch of memory. */
static bool extend(struct psock_decoder *decoder, struct psock_array *array,
    size_t room, size_t item_size) {
  if (array->items == NULL)
    return false;
  uint8_t *end = (uint8_t *)array->items + array->room * item_size;
  size_t more = (room - array->room) * item_size;
  if (end != decoder->free || more > (size_t)(decoder->free_end - end))
    return false;
  decoder->free = end + more;
  array->room = room;
  return true;
}

/* Makes room for `more` items. */
static bool reserve(struct psock_decoder *decoder, struct psock_array *array,
    size_t more, size_t item_size) {
  if (more <= array->room - array->count)
    return true;
  /* Where size_t has 32 bits, a large frame can have more items than that
   * counts bytes for, and twice the room has to fit too. */
  if (array->count + more > PTRDIFF_MAX / 2 / item_size) {
    decoder->error = PSOCK_EMEMLIMIT;
    return false;
  }
  size_t room = array->room * 2;
  if (room < array->count + more)
    room = array->count + more;
  if (more == 1 && room < FIRST_ROOM)
    room = FIRST_ROOM;
  if (extend(decoder, array, room, item_size))
    return true;
  void *items = psock_decode_alloc(decoder, room * item_size);
  if (items == NULL)
    return false;
  if (array->count > 0)
    memcpy(items, array->items, array->count * item_size);
  array->items = items;
  array->room = room;
  return true;
}

static size_t item_size_of(ProtobufCType type) {
  switch (type) {
  case PROTOBUF_C_TYPE_INT64:
  case PROTOBUF_C_TYPE_UINT64:
  case PROTOBUF_C_TYPE_SINT64:
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_SFIXED64:
  case PROTOBUF_C_TYPE_DOUBLE:
    return sizeof(uint64_t);
  case PROTOBUF_C_TYPE_STRING:
    return sizeof(char *);
  case PROTOBUF_C_TYPE_BYTES:
    return sizeof(ProtobufCBinaryData);
  default: /* protobuf_c_boolean and enums are as wide */
    return sizeof(uint32_t);
  }
}

/* Reads one number into an array that has room. */
static const uint8_t *get_number(const uint8_t *at, const uint8_t *end,
    ProtobufCType type, struct psock_array *array) {
  size_t i = array->count;
  switch (type) {
  case PROTOBUF_C_TYPE_INT32:
  case PROTOBUF_C_TYPE_ENUM:
    return psock_decode_int32(at, end, (int32_t *)array->items + i);
  case PROTOBUF_C_TYPE_UINT32:
    return psock_decode_uint32(at, end, (uint32_t *)array->items + i);
  case PROTOBUF_C_TYPE_SINT32:
    return psock_decode_sint32(at, end, (int32_t *)array->items + i);
  case PROTOBUF_C_TYPE_INT64:
  case PROTOBUF_C_TYPE_UINT64:
    return psock_decode_uint64(at, end, (uint64_t *)array->items + i);
  case PROTOBUF_C_TYPE_SINT64:
    return psock_decode_sint64(at, end, (int64_t *)array->items + i);
  case PROTOBUF_C_TYPE_FLOAT:
    return psock_decode_float(at, end, (float *)array->items + i);
  case PROTOBUF_C_TYPE_DOUBLE:
    return psock_decode_double(at, end, (double *)array->items + i);
  case PROTOBUF_C_TYPE_FIXED32:
  case PROTOBUF_C_TYPE_SFIXED32:
    return psock_decode_fixed32(at, end, (uint32_t *)array->items + i);
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_SFIXED64:
    return psock_decode_fixed64(at, end, (uint64_t *)array->items + i);
  default: /* PROTOBUF_C_TYPE_BOOL */
    return psock_decode_bool(at, end, (protobuf_c_boolean *)array->items + i);
  }
}

/* Reads one value into an array that has room. */
static const uint8_t *get_value(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, ProtobufCType type,
    struct psock_array *array) {
  size_t i = array->count;
  if (type == PROTOBUF_C_TYPE_STRING)
    return psock_decode_string(decoder, at, end, (char **)array->items + i);
  if (type == PROTOBUF_C_TYPE_BYTES)
    return psock_decode_bytes(
        decoder, at, end, (ProtobufCBinaryData *)array->items + i);
  return get_number(at, end, type, array);
}

/* Passes over `tag`, if that is what comes next. */
static bool take_tag(const uint8_t **at, const uint8_t *end, uint32_t tag) {
  uint64_t next;
  if (*at == end)
    return false;
  const uint8_t *behind = psock_decode_tag(*at, end, &next);
  if (behind == NULL || next != tag)
    return false;
  *at = behind;
  return true;
}

const uint8_t *psock_decode_repeated(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, uint32_t tag, ProtobufCType type,
    struct psock_array *array) {
  size_t item_size = item_size_of(type);
  do {
    if (!reserve(decoder, array, 1, item_size))
      return NULL;
    at = get_value(decoder, at, end, type, array);
    if (at == NULL)
      return NULL;
    array->count++;
  } while (take_tag(&at, end, tag));
  return at;
}

/* How many varints end in [at, end). */
static size_t count_varints(const uint8_t *at, const uint8_t *end) {
  size_t count = 0;
  for (; at < end; at++)
    count += *at < 0x80;
  return count;
}

const uint8_t *psock_decode_packed(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, ProtobufCType type,
    struct psock_array *array) {
  size_t item_size = item_size_of(type);
  size_t length;
  at = psock_decode_count(at, end, &length);
  if (at == NULL || length == 0)
    return at;
  end = at + length;
  size_t count;
  switch (type) {
  case PROTOBUF_C_TYPE_FLOAT:
  case PROTOBUF_C_TYPE_FIXED32:
  case PROTOBUF_C_TYPE_SFIXED32:
  case PROTOBUF_C_TYPE_DOUBLE:
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_SFIXED64:
    count = length / item_size;
    break;
  default:
    count = count_varints(at, end);
    break;
  }
  if (count == 0 || !reserve(decoder, array, count, item_size))
    return NULL;
  for (; count > 0 && at != NULL; count--) {
    at = get_number(at, end, type, array);
    array->count++;
  }
  return at == end ? at : NULL;
}

const uint8_t *psock_decode_utf8s(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, uint32_t tag,
    struct psock_array *array) {
  do {
    if (!reserve(decoder, array, 1, sizeof(char *)))
      return NULL;
    at = psock_decode_utf8(
        decoder, at, end, (char **)array->items + array->count);
    if (at == NULL)
      return NULL;
    array->count++;
  } while (take_tag(&at, end, tag));
  return at;
}

const uint8_t *psock_decode_messages(struct psock_decoder *decoder,
    const uint8_t *at, const uint8_t *end, uint32_t tag,
    psock_decode_fn *decode, struct psock_array *array) {
  do {
    void *message;
    at = psock_decode_message(decoder, at, end, decode, &message);
    if (at == NULL || !reserve(decoder, array, 1, sizeof(void *)))
      return NULL;
    ((void **)array->items)[array->count++] = message;
  } while (take_tag(&at, end, tag));
  return at;
}

/* ---- Fields that are not as expected ---- */

const uint8_t *psock_decode_skip(
    const uint8_t *at, const uint8_t *end, uint64_t tag) {
  uint64_t value;
  size_t length;
  if (tag < 8)
    return NULL;
  switch (tag & 7) {
  case PROTOBUF_C_WIRE_TYPE_VARINT:
    return get_varint(at, end, VARINT_MAX, &value);
  case PROTOBUF_C_WIRE_TYPE_64BIT:
    return end - at < 8 ? NULL : at + 8;
  case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
    at = psock_decode_count(at, end, &length);
    return at == NULL ? NULL : at + length;
  case PROTOBUF_C_WIRE_TYPE_32BIT:
    return end - at < 4 ? NULL : at + 4;
  default:
    return NULL;
  }
}

static bool keep_unknown(struct psock_decoder *decoder,
    struct psock_array *unknown, uint64_t tag, const uint8_t *value,
    size_t length) {
  ProtobufCMessageUnknownField field = {
      .tag = (uint32_t)(tag >> 3),
      .wire_type = (ProtobufCWireType)(tag & 7),
      .len = length,
  };
  if (!reserve(decoder, unknown, 1, sizeof field))
    return false;
  field.data = take_bytes(decoder, value, length);
  ((ProtobufCMessageUnknownField *)unknown->items)[unknown->count++] = field;
  return field.data != NULL;
}

const uint8_t *psock_decode_other(struct psock_decoder *decoder,
    const ProtobufCMessageDescriptor *descriptor, const uint8_t *at,
    const uint8_t *end, uint64_t tag, struct psock_array *unknown) {
  const uint8_t *value = at;
  at = psock_decode_skip(at, end, tag);
  if (at == NULL)
    return NULL;
  const ProtobufCFieldDescriptor *field =
      protobuf_c_message_descriptor_get_field(descriptor, (uint32_t)(tag >> 3));
  if (field == NULL)
    return keep_unknown(decoder, unknown, tag, value, (size_t)(at - value))
               ? at
               : NULL;
  if (field->type != PROTOBUF_C_TYPE_BOOL)
    return NULL;
  decoder->recheck = 1;
  return at;
}
