/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/bounds.h"

#include "base/allocator.h"
#include <protosocket/error.h>
#include <stdbool.h>
#include <string.h>

/*
 * protobuf-c unpacks a message within a message by calling itself, as deep as
 * the bytes say. So the bytes are looked through before they are unpacked: not
 * decoded, only followed from sub-message to sub-message.
 *
 * Most types can't be nested too deep at all, and their messages are not
 * looked at. The others are reduced to what the check needs: for each type the
 * fields that are messages, and its height, which is how many levels it and
 * what can lie in it take. In a message, what can't reach too deep is passed
 * over: because its type is not high enough, or because it has too few bytes,
 * since every level takes two of them, a tag and a length. No byte is read
 * twice, nothing is allocated, and the stack holds one small frame a level,
 * of max_depth at most.
 *
 * The check reads what protobuf-c reads, down to its oddities (a tag and a
 * length are at most five bytes), and refuses what it can't read; so nothing
 * reaches protobuf-c whose depth was not understood. Wrong wire types of known
 * fields are left for protobuf-c to refuse.
 */

/* What protobuf-c reads of a tag and of a length. */
#define SHORT_VARINT_MAX 5
#define VARINT_MAX 10

/* Every level of nesting takes a byte of tag and one of length. */
#define BYTES_PER_LEVEL 2

#define FIRST_CAPACITY 16u

/* A field that is a message. */
struct link {
  uint32_t field;
  uint32_t type; /* index in types */
};

struct type {
  const struct link *links; /* by rising field number */
  size_t link_count;
  unsigned height; /* levels, its own counted; max_depth + 1: or more */
};

struct psock_bounds {
  unsigned max_depth;
  struct link *links;
  size_t type_count;
  struct type types[]; /* the outermost first */
};

/* The types that have been found, while the bounds are being made. */
struct survey {
  const struct psock_allocator *allocator;
  const ProtobufCMessageDescriptor **found;
  uint32_t count;
  uint32_t capacity;
  uint32_t *slots; /* 2 * capacity; index in found + 1, by hash; 0: free */
  size_t link_count;
};

static uint32_t *find_slot(
    const struct survey *survey, const ProtobufCMessageDescriptor *descriptor) {
  uint32_t mask = survey->capacity * 2 - 1;
  uint64_t hash = (uint64_t)(uintptr_t)descriptor * 0x9e3779b97f4a7c15u;
  uint32_t at = (uint32_t)(hash >> 32) & mask;
  while (survey->slots[at] != 0 &&
         survey->found[survey->slots[at] - 1] != descriptor)
    at = (at + 1) & mask;
  return &survey->slots[at];
}

static void survey_fini(struct survey *survey) {
  psock_free(survey->allocator, survey->found);
  psock_free(survey->allocator, survey->slots);
}

static int survey_grow(struct survey *survey) {
  struct survey grown = *survey;
  grown.capacity = grown.capacity == 0 ? FIRST_CAPACITY : grown.capacity * 2;
  size_t slots_size = (size_t)grown.capacity * 2 * sizeof *grown.slots;
  grown.found = psock_alloc(
      survey->allocator, (size_t)grown.capacity * sizeof *grown.found);
  grown.slots = psock_alloc(survey->allocator, slots_size);
  if (grown.found == NULL || grown.slots == NULL) {
    survey_fini(&grown);
    return PSOCK_ENOMEM;
  }
  memset(grown.slots, 0, slots_size);
  for (uint32_t i = 0; i < survey->count; i++) {
    grown.found[i] = survey->found[i];
    *find_slot(&grown, grown.found[i]) = i + 1;
  }
  survey_fini(survey);
  *survey = grown;
  return 0;
}

static int survey_add(
    struct survey *survey, const ProtobufCMessageDescriptor *descriptor) {
  if (survey->count == survey->capacity && survey_grow(survey) != 0)
    return PSOCK_ENOMEM;
  uint32_t *slot = find_slot(survey, descriptor);
  if (*slot != 0)
    return 0;
  survey->found[survey->count++] = descriptor;
  *slot = survey->count;
  return 0;
}

/* Finds every type that can lie in `descriptor`, each once. */
static int survey_run(
    struct survey *survey, const ProtobufCMessageDescriptor *descriptor) {
  int error = survey_add(survey, descriptor);
  for (uint32_t i = 0; error == 0 && i < survey->count; i++) {
    const ProtobufCMessageDescriptor *type = survey->found[i];
    for (unsigned f = 0; error == 0 && f < type->n_fields; f++) {
      if (type->fields[f].type != PROTOBUF_C_TYPE_MESSAGE)
        continue;
      survey->link_count++;
      error = survey_add(survey, type->fields[f].descriptor);
    }
  }
  return error;
}

/* Writes down the fields of the types that were found. */
static struct psock_bounds *survey_result(
    const struct survey *survey, unsigned max_depth) {
  struct psock_bounds *bounds;
  size_t types_size = survey->count * sizeof bounds->types[0];
  bounds = psock_alloc(
      survey->allocator, sizeof *bounds + types_size +
                             survey->link_count * sizeof bounds->links[0]);
  if (bounds == NULL)
    return NULL;
  bounds->max_depth = max_depth;
  bounds->type_count = survey->count;
  bounds->links = (struct link *)(bounds->types + survey->count);
  struct link *link = bounds->links;
  for (uint32_t i = 0; i < survey->count; i++) {
    const ProtobufCMessageDescriptor *type = survey->found[i];
    bounds->types[i] = (struct type){.links = link};
    for (unsigned f = 0; f < type->n_fields; f++) {
      if (type->fields[f].type != PROTOBUF_C_TYPE_MESSAGE)
        continue;
      link->field = type->fields[f].id;
      link->type = *find_slot(survey, type->fields[f].descriptor) - 1;
      link++;
    }
    bounds->types[i].link_count = (size_t)(link - bounds->types[i].links);
  }
  return bounds;
}

/* The height of `type` as it follows from those of its fields. */
static unsigned height_above_fields(
    const struct psock_bounds *bounds, const struct type *type) {
  unsigned height = 0;
  for (size_t i = 0; i < type->link_count; i++) {
    unsigned below = bounds->types[type->links[i].type].height;
    if (below > height)
      height = below;
  }
  return height > bounds->max_depth ? height : height + 1;
}

/* Heights only grow and are capped, so this comes to an end: after as many
 * rounds as there are levels, at most max_depth + 1. */
static void measure_heights(struct psock_bounds *bounds) {
  bool changed = true;
  while (changed) {
    changed = false;
    for (size_t i = bounds->type_count; i-- > 0;) {
      unsigned height = height_above_fields(bounds, &bounds->types[i]);
      changed = changed || height != bounds->types[i].height;
      bounds->types[i].height = height;
    }
  }
}

static const struct type *find_type(const struct psock_bounds *bounds,
    const struct type *type, uint32_t field) {
  const struct link *links = type->links;
  size_t low = 0;
  size_t high = type->link_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (links[middle].field == field)
      return &bounds->types[links[middle].type];
    if (links[middle].field < field)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

/* Whether `length` bytes of `type`, one level below `depth`, may hold a message
 * that is too deep, or be one. */
static bool may_be_too_deep(const struct psock_bounds *bounds,
    const struct type *type, size_t length, unsigned depth) {
  size_t levels = 1 + length / BYTES_PER_LEVEL;
  if (levels > type->height)
    levels = type->height;
  return depth + levels > bounds->max_depth;
}

/* Reads a tag or a length. Returns what is behind it; NULL: malformed. */
static const uint8_t *read_short_varint(
    const uint8_t *at, const uint8_t *end, uint64_t *ret_value) {
  uint64_t value = 0;
  for (int i = 0; i < SHORT_VARINT_MAX && at < end; i++) {
    uint8_t byte = *at++;
    value |= (uint64_t)(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      *ret_value = value;
      return at;
    }
  }
  return NULL;
}

static const uint8_t *skip_varint(const uint8_t *at, const uint8_t *end) {
  for (int i = 0; i < VARINT_MAX && at < end; i++)
    if (*at++ < 0x80)
      return at;
  return NULL;
}

static const uint8_t *skip_fixed(
    const uint8_t *at, const uint8_t *end, size_t length) {
  return (size_t)(end - at) < length ? NULL : at + length;
}

/* Passes over a value that is no message. NULL: malformed. */
static const uint8_t *skip_scalar(
    const uint8_t *at, const uint8_t *end, unsigned wire_type) {
  switch (wire_type) {
  case PROTOBUF_C_WIRE_TYPE_VARINT:
    return skip_varint(at, end);
  case PROTOBUF_C_WIRE_TYPE_64BIT:
    return skip_fixed(at, end, 8);
  case PROTOBUF_C_WIRE_TYPE_32BIT:
    return skip_fixed(at, end, 4);
  default:
    return NULL;
  }
}

/* Reads a tag; its first byte must hold a part of the field number, or go on.
 * NULL: malformed. */
static const uint8_t *read_tag(const uint8_t *at, const uint8_t *end,
    uint32_t *ret_field, unsigned *ret_wire_type) {
  uint64_t tag;
  if ((*at & 0xf8) == 0)
    return NULL;
  at = read_short_varint(at, end, &tag);
  if (at == NULL)
    return NULL;
  *ret_field = (uint32_t)(tag >> 3);
  *ret_wire_type = (unsigned)(tag & 7);
  return at;
}

/* Reads a length that has as many bytes behind it. NULL: malformed. */
static const uint8_t *read_length(
    const uint8_t *at, const uint8_t *end, size_t *ret_length) {
  uint64_t length;
  at = read_short_varint(at, end, &length);
  if (at == NULL || length > (size_t)(end - at))
    return NULL;
  *ret_length = (size_t)length;
  return at;
}

/* Follows the message of `type` in [at, end), which lies at `depth`. */
static int follow(const struct psock_bounds *bounds, const struct type *type,
    const uint8_t *at, const uint8_t *end, unsigned depth) {
  while (at < end) {
    uint32_t field;
    unsigned wire_type;
    at = read_tag(at, end, &field, &wire_type);
    if (at == NULL)
      return PSOCK_EMALFORMED;
    if (wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED) {
      at = skip_scalar(at, end, wire_type);
      if (at == NULL)
        return PSOCK_EMALFORMED;
      continue;
    }
    size_t length;
    at = read_length(at, end, &length);
    if (at == NULL)
      return PSOCK_EMALFORMED;
    const struct type *inner = find_type(bounds, type, field);
    if (inner != NULL && may_be_too_deep(bounds, inner, length, depth)) {
      if (depth == bounds->max_depth)
        return PSOCK_EDEPTH;
      int error = follow(bounds, inner, at, at + length, depth + 1);
      if (error != 0)
        return error;
    }
    at += length;
  }
  return 0;
}

int psock_bounds_new(const ProtobufCMessageDescriptor *descriptor,
    unsigned max_depth, const struct psock_allocator *allocator,
    struct psock_bounds **ret_bounds) {
  struct survey survey = {.allocator = allocator};
  struct psock_bounds *bounds = NULL;
  if (survey_run(&survey, descriptor) == 0)
    bounds = survey_result(&survey, max_depth);
  survey_fini(&survey);
  if (bounds == NULL)
    return PSOCK_ENOMEM;
  measure_heights(bounds);
  if (bounds->types[0].height <= max_depth) {
    psock_free(allocator, bounds);
    bounds = NULL;
  }
  *ret_bounds = bounds;
  return 0;
}

void psock_bounds_free(
    struct psock_bounds *bounds, const struct psock_allocator *allocator) {
  psock_free(allocator, bounds);
}

int psock_bounds_check(
    const struct psock_bounds *bounds, const uint8_t *bytes, size_t length) {
  if (!may_be_too_deep(bounds, &bounds->types[0], length, 0))
    return 0;
  return follow(bounds, &bounds->types[0], bytes, bytes + length, 1);
}
