/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz/survey.h"

#include <string.h>

/*
 * A second reader of messages, which only looks: how deep they are nested,
 * whether their strings are UTF-8, and about how much memory they are worth. It
 * says when a decoder that refuses a message may do so. It shares no code with
 * the library and is made to be short, not fast.
 *
 * Which strings are checked, a descriptor doesn't say; in the schemas of the
 * tests it is those whose name, or whose map's, begins with "checked".
 */

struct reader {
  const uint8_t *at;
  const uint8_t *end;
};

/* Reads a varint of at most `most` bytes; false: there is none. */
static bool read_varint(
    struct reader *reader, unsigned most, uint64_t *ret_value) {
  *ret_value = 0;
  for (unsigned i = 0; i < most && reader->at < reader->end; i++) {
    uint64_t byte = *reader->at++;
    *ret_value |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80)
      return true;
  }
  return false;
}

/* Reads the value behind a tag; false: there is none. */
static bool read_value(
    struct reader *reader, unsigned wire_type, struct reader *ret_value) {
  uint64_t length = 0;
  if (wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED &&
      !read_varint(reader, 5, &length))
    return false;
  ret_value->at = reader->at;
  if (wire_type == PROTOBUF_C_WIRE_TYPE_VARINT) {
    if (!read_varint(reader, 10, &length))
      return false;
    ret_value->end = reader->at;
    return true;
  }
  if (wire_type == PROTOBUF_C_WIRE_TYPE_32BIT)
    length = 4;
  else if (wire_type == PROTOBUF_C_WIRE_TYPE_64BIT)
    length = 8;
  else if (wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
    return false;
  if (length > (uint64_t)(reader->end - reader->at))
    return false;
  reader->at += length;
  ret_value->end = reader->at;
  return true;
}

/* The number that a character of so many bytes has at least. */
static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

/* Each character is put together, and then looked at. */
static bool is_utf8(struct reader text) {
  while (text.at < text.end) {
    uint32_t character = *text.at++;
    unsigned length = character < 0x80             ? 1
                      : (character & 0xe0) == 0xc0 ? 2
                      : (character & 0xf0) == 0xe0 ? 3
                      : (character & 0xf8) == 0xf0 ? 4
                                                   : 0;
    if (length == 0)
      return false;
    if (length > 1)
      character &= 0x7fu >> length;
    for (unsigned i = 1; i < length; i++) {
      if (text.at == text.end || (*text.at & 0xc0) != 0x80)
        return false;
      character = character << 6 | (*text.at++ & 0x3f);
    }
    if (character < least[length] || character > 0x10ffff ||
        (character >= 0xd800 && character < 0xe000))
      return false;
  }
  return true;
}

static bool is_checked(const ProtobufCMessageDescriptor *type,
    const ProtobufCFieldDescriptor *field) {
  return field->type == PROTOBUF_C_TYPE_STRING && field->name != NULL &&
         (strncmp(field->name, "checked", 7) == 0 ||
             strncmp(type->short_name, "Checked", 7) == 0);
}

static size_t array_item_size(const ProtobufCFieldDescriptor *field) {
  return field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData)
                                              : sizeof(uint64_t);
}

static void look(const ProtobufCMessageDescriptor *type, struct reader reader,
    unsigned depth, struct survey *survey);

static void look_at_field(const ProtobufCMessageDescriptor *type,
    const ProtobufCFieldDescriptor *field, unsigned wire_type,
    struct reader value, unsigned depth, struct survey *survey) {
  size_t length = (size_t)(value.end - value.at);
  bool counted = wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
  survey->values++;
  survey->memory += length + 1;
  if (field == NULL) {
    survey->memory += sizeof(ProtobufCMessageUnknownField) + 5;
    return;
  }
  if (field->label == PROTOBUF_C_LABEL_REPEATED)
    survey->memory += array_item_size(field) * (counted ? length + 1 : 1);
  if (field->type == PROTOBUF_C_TYPE_BOOL)
    survey->left += wire_type != PROTOBUF_C_WIRE_TYPE_VARINT;
  if (is_checked(type, field) && counted && !is_utf8(value))
    survey->bad_text = true;
  if (field->type == PROTOBUF_C_TYPE_MESSAGE && counted)
    look(field->descriptor, value, depth + 1, survey);
}

static void look(const ProtobufCMessageDescriptor *type, struct reader reader,
    unsigned depth, struct survey *survey) {
  uint64_t tag;
  if (depth > survey->depth)
    survey->depth = depth;
  survey->memory += type->sizeof_message;
  if (depth > SURVEY_DEPTH_MAX)
    return;
  const ProtobufCFieldDescriptor *seen[8] = {NULL};
  while (reader.at < reader.end && read_varint(&reader, 5, &tag)) {
    struct reader value;
    const ProtobufCFieldDescriptor *field =
        tag >> 3 > UINT32_MAX ? NULL
                              : protobuf_c_message_descriptor_get_field(
                                    type, (unsigned)(tag >> 3));
    if (!read_value(&reader, (unsigned)(tag & 7), &value))
      return;
    look_at_field(type, field, (unsigned)(tag & 7), value, depth, survey);
    /* A message field that has come before, or may have. */
    if (field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE &&
        field->label != PROTOBUF_C_LABEL_REPEATED) {
      const ProtobufCFieldDescriptor **place = &seen[field->id % 8];
      survey->left += *place != NULL;
      *place = field;
    }
  }
}

struct survey survey_message(const ProtobufCMessageDescriptor *type,
    const uint8_t *bytes, size_t length) {
  struct survey survey = {0};
  look(type, (struct reader){bytes, bytes + length}, 1, &survey);
  return survey;
}
