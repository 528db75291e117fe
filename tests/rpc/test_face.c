/* SPDX-License-Identifier: BSD-2-Clause */
#include "calls.psock.h"
#include "codec.psock.h"
#include "codec/protobuf.h"
#include "connection/connection.h"
#include "echo.psock.h"
#include "generated_proto2.psock.h"
#include "lib/world.h"
#include "many.psock.h"
#include "rpc/face.h"

#include <stdlib.h>
#include <string.h>

/*
 * Frames and own messages through the faces of both ends: what arrives of what
 * is sent, to the byte for own messages, whose other end is raw then; and
 * payloads that are decoded while their frame is given, and kept.
 */

#define KEPT 64

static struct world world;
static struct psock_face server; /* of world.one */
static struct psock_face caller; /* of world.other */

/* What world.one was given last. */
static struct psock_rpc_frame got;

static const struct psock_method calls = {
    .size = sizeof calls,
    .name = "calls.Request",
    .request = &calls__request__type,
    .response = &calls__response__type,
};

/* With ids of 64 bits and 32, which say that they are there; and of numbers
 * that are always there. */
static const struct psock_method optional = {
    .size = sizeof optional,
    .name = "generated2.Optional",
    .request = &generated2__narrow__type,
    .response = &generated2__optional__type,
};
static const struct psock_method required = {
    .size = sizeof required,
    .name = "generated2.Required",
    .request = &generated2__required__type,
    .response = &generated2__narrow__type,
};

/* Notes a frame; its message lives as long as it is given. */
static void read_one(struct side *side, const void *message) {
  struct psock_rpc_frame room;
  got = *psock_face_read(&server, side->connection, message, &room);
}

static void begin_with(enum medium medium, const struct psock_method *own,
    const struct psock_protobuf_options *limits) {
  got = (struct psock_rpc_frame){0};
  ck_assert_int_eq(psock_face_init(&server, PSOCK_SERVER_END, own, limits), 0);
  ck_assert_int_eq(psock_face_init(&caller, PSOCK_CALLER_END, own, NULL), 0);
  world_init(&world, medium);
  world.one.options.inbound = server.inbound;
  world.one.options.outbound = server.outbound;
  world.other.options.inbound = caller.inbound;
  world.other.options.outbound = caller.outbound;
  world.one.on[MESSAGE] = read_one;
}

static void begin(const struct psock_method *own) {
  begin_with(MEMORY, own, NULL);
}

static void finish(void) {
  world_fini(&world);
  psock_face_fini(&server);
  psock_face_fini(&caller);
}

/* Sends `frame` from the caller's end, and turns until it was given. */
static void send_frame(const struct psock_rpc_frame *frame) {
  unsigned before = world.one.count[MESSAGE];
  ck_assert_int_eq(
      psock_face_send(&caller, world.other.sender, frame, NULL), 0);
  UNTIL(&world, world.one.count[MESSAGE] == before + 1);
}

/* ---- Frames ---- */

static void decode_request(struct side *side, const void *message) {
  struct psock_rpc_frame room;
  const void *decoded = NULL;
  const struct psock_rpc_frame *frame =
      psock_face_read(&server, side->connection, message, &room);
  ck_assert_ptr_eq(frame, message);
  ck_assert_int_eq(psock_face_decode(&server, side->connection, frame,
                       &echo_request__type, &decoded),
      0);
  const EchoRequest *request = decoded;
  ck_assert_ptr_eq(request->base.descriptor, &echo_request__descriptor);
  ck_assert_uint_eq(request->nanotime, frame->id);
  got = *frame;
}

START_TEST(frames_pass) {
  EchoRequest request;
  size_t length = 0;
  echo_request__init(&request);
  begin(NULL);
  ck_assert_ptr_eq(server.inbound, server.outbound);
  ck_assert_uint_eq(server.max_message, 4u << 20);
  world.one.on[MESSAGE] = decode_request;
  world_pair(&world);
  struct psock_rpc_frame frame = {
      .method = 9,
      .timeout_us = 7,
      .type = &echo_request__type,
      .message = &request,
      .ret_length = &length,
  };
  /* The first payload is empty, and so absent. */
  for (frame.id = 0; frame.id < 300; frame.id += 50) {
    request.nanotime = frame.id;
    send_frame(&frame);
    ck_assert_uint_eq(got.id, frame.id);
    ck_assert_uint_eq(got.method, 9);
    ck_assert_uint_eq(got.timeout_us, 7);
    ck_assert_uint_eq(got.length, length);
  }
  /* Codes beyond the end are frames like others, here. */
  world.one.on[MESSAGE] = read_one;
  send_frame(&(struct psock_rpc_frame){.code = PSOCK_CODE_WINDOW, .window = 5});
  ck_assert_uint_eq(got.code, PSOCK_CODE_WINDOW);
  ck_assert_uint_eq(got.window, 5);
  finish();
}
END_TEST

START_TEST(frames_with_a_record) {
  struct psock_record record = {NULL, 5};
  struct psock_send_options options = {
      .size = sizeof options, .record = &record};
  begin(NULL);
  world_pair(&world);
  struct psock_rpc_frame frame = {.id = 1};
  ck_assert_int_eq(
      psock_face_send(&caller, world.other.sender, &frame, &options), 0);
  UNTIL(&world, world.one.count[MESSAGE] == 1);
  ck_assert_uint_eq(world.other.records, 1);
  options.timeout = 1;
  ck_assert_int_eq(
      psock_face_send(&caller, world.other.sender, &frame, &options),
      PSOCK_ELOOPTHREAD);
  finish();
}
END_TEST

/* ---- Payloads that are kept ---- */

static psock_hold *holds[KEPT];
static const Codec__Plain *kept[KEPT];
static int kept_count;

/* Of every length up to those that are not copied. */
static size_t data_length(unsigned n) {
  static const size_t long_ones[] = {16383, 16384, 20000, 100000};
  return n % 3 == 2 ? long_ones[n / 3 % 4] : n * 13 % 300;
}

static void decode_and_hold(struct side *side, const void *message) {
  const void *decoded;
  ck_assert(side->connection->lent->detached);
  ck_assert_int_eq(psock_face_decode(&server, side->connection, message,
                       &codec__plain__type, &decoded),
      0);
  const Codec__Plain *plain = decoded;
  ck_assert(side->connection->lent->detached == (plain->data.len < 16384));
  if (kept_count == KEPT)
    return;
  ck_assert_int_eq(
      psock_connection_hold(side->connection, &holds[kept_count]), 0);
  kept[kept_count++] = plain;
}

static void send_plain(unsigned n) {
  static uint8_t data[100000];
  Codec__Plain plain;
  codec__plain__init(&plain);
  memset(data, 'a' + (int)(n % 26), sizeof data);
  plain.data.data = data;
  plain.data.len = data_length(n);
  struct psock_rpc_frame frame = {
      .id = n, .type = &codec__plain__type, .message = &plain};
  ck_assert_int_eq(
      psock_face_send(&caller, world.other.sender, &frame, NULL), 0);
}

START_TEST(payloads_are_kept) {
  begin_with((enum medium)_i, NULL, NULL);
  world.one.on[MESSAGE] = decode_and_hold;
  world_pair(&world);
  for (unsigned n = 0; n < 2 * KEPT; n++) {
    send_plain(n);
    if (n % 5 == 0)
      UNTIL(&world, world.one.count[MESSAGE] == n + 1);
  }
  UNTIL(&world, world.one.count[MESSAGE] == 2 * KEPT);
  finish();
  for (unsigned n = 0; n < KEPT; n++) {
    ck_assert_uint_eq(kept[n]->data.len, data_length(n));
    for (size_t at = 0; at < kept[n]->data.len; at++)
      DEMAND(kept[n]->data.data[at] == 'a' + n % 26, "kept payload %u", n);
    psock_hold_release(holds[n]);
  }
}
END_TEST

/* ---- Payloads that can't be decoded ---- */

static const struct psock_message_type *wanted_type;
static int decode_error;
static const void *decoded_message;

static void decode_wanted(struct side *side, const void *message) {
  decoded_message = NULL;
  decode_error = psock_face_decode(
      &server, side->connection, message, wanted_type, &decoded_message);
}

/* Sends `payload` in a frame, and has it decoded; returns how that went. */
static int decode_payload(const struct psock_message_type *type,
    const uint8_t *payload, size_t length) {
  wanted_type = type;
  world.one.on[MESSAGE] = decode_wanted;
  send_frame(&(struct psock_rpc_frame){
      .id = 1, .payload = payload, .payload_length = length});
  ck_assert((decode_error == 0) == (decoded_message != NULL));
  return decode_error;
}

START_TEST(payloads_that_are_none) {
  static const uint8_t nested[] = {10, 8, 10, 6, 10, 4, 10, 2, 10, 0};
  static const uint8_t again[] = {
      26, 3, 10, 1, 'a', 26, 2, 16, 5}; /* a body in two parts */
  static uint8_t empty[4000];
  struct psock_message_type plain =
      psock_message_type_of(&echo_request__descriptor);
  struct psock_protobuf_options limits = {.size = sizeof limits,
      .max_depth = 4,
      .memory_factor = 1,
      .memory_min = 6000,
      .memory_max = 6000};
  begin_with(MEMORY, NULL, &limits);
  world_pair(&world);
  ck_assert_int_eq(
      decode_payload(&echo_request__type, nested, 1), PSOCK_EMALFORMED);
  ck_assert_int_eq(
      decode_payload(&codec__tree__type, nested, sizeof nested), PSOCK_EDEPTH);
  ck_assert_int_eq(
      decode_payload(&codec__tree__type, nested + 4, sizeof nested - 4), 0);
  ck_assert_int_eq(decode_payload(&plain, nested, 0), PSOCK_ENOTSUP);
  for (size_t i = 0; i < sizeof empty; i += 2)
    empty[i] = 10;
  ck_assert_int_eq(
      decode_payload(&codec__tree__type, empty, sizeof empty), PSOCK_EMEMLIMIT);
  ck_assert_int_eq(decode_payload(&codec__tree__type, empty, 20), 0);
  /* What generated code leaves to protobuf-c. */
  ck_assert_int_eq(decode_payload(&request__type, again, sizeof again), 0);
  finish();
}
END_TEST

static void compare_merged(struct side *side, const void *message) {
  decode_wanted(side, message);
  const Request *request = decoded_message;
  ck_assert_str_eq(request->body->message, "a");
  ck_assert_uint_eq(request->body->nanotime, 5);
}

START_TEST(payloads_that_are_merged) {
  static const uint8_t again[] = {26, 3, 10, 1, 'a', 26, 2, 16, 5};
  begin(NULL);
  wanted_type = &request__type;
  world.one.on[MESSAGE] = compare_merged;
  world_pair(&world);
  send_frame(&(struct psock_rpc_frame){
      .id = 1, .payload = again, .payload_length = sizeof again});
  finish();
}
END_TEST

static void decode_outside(struct side *side, const void *argument) {
  static const struct psock_rpc_frame frame;
  const void *decoded = NULL;
  (void)argument;
  ck_assert_int_eq(psock_face_decode(&server, side->connection, &frame,
                       &echo_request__type, &decoded),
      PSOCK_EINVAL);
  ck_assert_ptr_null(decoded);
  ck_assert_uint_eq(psock_connection_given_length(side->connection), 0);
}

START_TEST(only_while_given) {
  begin(NULL);
  world.one.on[OPENED] = decode_outside;
  world.one.on[BATCH_END] = decode_outside;
  world_pair(&world);
  decode_outside(&world.one, NULL);
  send_frame(&(struct psock_rpc_frame){.id = 1});
  UNTIL(&world, world.one.count[BATCH_END] == 1);
  finish();
}
END_TEST

/* Freed first, and decoded then. */
static void free_and_decode(struct side *side, const void *message) {
  psock_connection *connection = side->connection;
  const void *decoded;
  psock_connection_free(connection);
  ck_assert_int_eq(psock_face_decode(&server, connection, message,
                       &codec__plain__type, &decoded),
      0);
  ck_assert_uint_eq(((const Codec__Plain *)decoded)->data.len, 20000);
}

START_TEST(decoded_after_the_end) {
  begin(NULL);
  world.one.on[MESSAGE] = free_and_decode;
  world_pair(&world);
  send_plain(8); /* 20,000 bytes */
  UNTIL(&world, world.one.count[MESSAGE] == 1);
  finish();
}
END_TEST

/* ---- Own messages ---- */

static char text_of_requests[] = "text";

static Calls__Request text_request(void) {
  Calls__Request request;
  calls__request__init(&request);
  request.id = 77;
  request.code = 66;
  request.body_case = CALLS__REQUEST__BODY_TEXT;
  request.text = text_of_requests;
  return request;
}

static void compare_request(struct side *side, const void *message) {
  const void *decoded = NULL;
  read_one(side, message);
  const Calls__Request *request = got.message;
  ck_assert_ptr_eq(request, message);
  ck_assert_ptr_eq(got.type, &calls__request__type);
  ck_assert_str_eq(request->text, "text");
  ck_assert_int_eq(psock_face_decode(&server, side->connection, &got,
                       &calls__request__type, &decoded),
      0);
  ck_assert_ptr_eq(decoded, request);
}

START_TEST(own_messages_pass) {
  static const uint64_t ids[] = {0, 1, 300, UINT32_MAX, UINT64_MAX};
  Calls__Request request = text_request();
  Calls__Request before = request;
  size_t length = 7;
  begin(&calls);
  ck_assert_uint_eq(server.max_message, 4u << 20);
  world.one.on[MESSAGE] = compare_request;
  world_pair(&world);
  for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
    struct psock_rpc_frame frame = {
        .id = ids[i],
        .method = 9,
        .timeout_us = 5,
        .type = &calls__request__type,
        .message = &request,
        .ret_length = &length,
    };
    uint64_t bytes = side_stats(&world.one).bytes_in;
    send_frame(&frame);
    ck_assert_uint_eq(got.id, ids[i]);
    ck_assert_uint_eq(got.code, 0);
    ck_assert_uint_eq(got.length, side_stats(&world.one).bytes_in - bytes);
    ck_assert_uint_eq(got.method, 0);
    ck_assert_uint_eq(got.timeout_us, 0);
    ck_assert_uint_eq(length, 0);
    ck_assert_mem_eq(&request, &before, sizeof request);
  }
  finish();
}
END_TEST

/* What the server's end of `own` sends for `frame` is `expected`, or nothing.
 */
static void assert_bytes(const struct psock_method *own,
    const struct psock_rpc_frame *frame, const uint8_t *expected,
    size_t length) {
  uint8_t bytes[200];
  size_t counted = 7;
  struct psock_rpc_frame copy = *frame;
  begin(own);
  world_raw(&world);
  copy.ret_length = &counted;
  ck_assert_int_eq(psock_face_send(&server, world.one.sender, &copy, NULL), 0);
  ck_assert_uint_eq(counted, 0);
  world_settle(&world);
  ssize_t received = raw_receive(&world, bytes, sizeof bytes);
  if (length == 0)
    ck_assert_int_eq(received, PSOCK_EAGAIN);
  else
    ck_assert_int_eq(received, (ssize_t)length);
  if (length > 0)
    ck_assert_mem_eq(bytes, expected, length);
  finish();
}

#define ASSERT_BYTES(own, frame, ...)                                          \
  assert_bytes(own, frame, (const uint8_t[]){__VA_ARGS__},                     \
      sizeof((const uint8_t[]){__VA_ARGS__}))

/* Cancels and ends, with whatever else the frame says. */
START_TEST(own_cancel_and_end) {
  struct psock_status status = {.size = sizeof status, .code = 5};
  struct psock_rpc_frame frame = {
      .id = 5, .code = 1, .status = &status, .not_begun = true};
  ASSERT_BYTES(&calls, &frame, 11, 9, 5, 0, 0, 0, 0, 0, 0, 0, 16, 1);
  frame.code = 2;
  ASSERT_BYTES(&calls, &frame, 11, 9, 5, 0, 0, 0, 0, 0, 0, 0, 16, 2);
  ASSERT_BYTES(&optional, &frame, 4, 8, 5, 16, 2);
  ASSERT_BYTES(&required, &frame, 7, 13, 5, 0, 0, 0, 16, 2);
}
END_TEST

START_TEST(own_responses) {
  Calls__Response response;
  calls__response__init(&response);
  response.code = 99;
  struct psock_rpc_frame frame = {
      .id = 258, .type = &calls__response__type, .message = &response};
  ASSERT_BYTES(&calls, &frame, 9, 9, 2, 1, 0, 0, 0, 0, 0, 0);
  /* A field that can be absent is there, also when it is 0. */
  Generated2__Optional words;
  generated2__optional__init(&words);
  frame.type = &generated2__optional__type;
  frame.message = &words;
  frame.id = UINT64_C(1) << 35;
  ASSERT_BYTES(&optional, &frame, 9, 8, 128, 128, 128, 128, 128, 1, 16, 0);
  ck_assert(!words.has_id && !words.has_code);
  ck_assert_uint_eq(words.code, 7);
  /* Of an id in 32 bits the low ones. */
  Generated2__Narrow narrow;
  generated2__narrow__init(&narrow);
  frame.type = &generated2__narrow__type;
  frame.message = &narrow;
  frame.id = UINT64_C(0x504030201);
  ASSERT_BYTES(&required, &frame, 7, 13, 1, 2, 3, 4, 16, 0);
}
END_TEST

/* What own messages can't say is not sent. */
START_TEST(own_messages_say_less) {
  Calls__Response response;
  calls__response__init(&response);
  struct psock_rpc_frame frame = {
      .type = &calls__response__type, .message = &response};
  for (uint32_t code = 3; code < 25; code++) {
    frame.id = code % 2;
    frame.code = code;
    assert_bytes(&calls, &frame, NULL, 0);
  }
}
END_TEST

START_TEST(another_message) {
  Calls__Request request = text_request();
  begin(&calls);
  world_pair(&world);
  struct psock_rpc_frame frame = {
      .id = 1, .type = &calls__request__type, .message = &request};
  ck_assert_int_eq(
      psock_face_send(&server, world.one.sender, &frame, NULL), PSOCK_EINVAL);
  finish();
}
END_TEST

START_TEST(own_messages_with_a_record) {
  struct psock_record record = {NULL, 5};
  struct psock_send_options options = {
      .size = sizeof options, .record = &record};
  Calls__Request request = text_request();
  begin(&calls);
  world_pair(&world);
  struct psock_rpc_frame frame = {
      .id = 1, .type = &calls__request__type, .message = &request};
  ck_assert_int_eq(
      psock_face_send(&caller, world.other.sender, &frame, &options), 0);
  UNTIL(&world, world.one.count[MESSAGE] == 1);
  ck_assert_uint_eq(world.other.records, 1);
  finish();
}
END_TEST

/* What came of each code, on the end whose codes have 64 bits. */
START_TEST(own_codes) {
  static const struct {
    uint64_t code;
    uint32_t read;
  } codes[] = {{0, 0}, {1, 1}, {2, 2}, {3, 1}, {16, 1}, {17, 1}, {20, 1},
      {21, 1}, {UINT32_MAX, 1}, {UINT64_C(1) << 32, 1},
      {(UINT64_C(1) << 32) + 2, 1}, {UINT64_MAX, 1}};
  const struct psock_face *face = &caller;
  begin(&calls);
  for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
    Calls__Response response;
    struct psock_rpc_frame room;
    world_settle(&world);
    calls__response__init(&response);
    response.id = UINT64_MAX - i;
    response.code = codes[i].code;
    struct psock_connection connection = {.lent = NULL};
    const struct psock_rpc_frame *frame =
        psock_face_read(face, &connection, &response, &room);
    ck_assert_ptr_eq(frame, &room);
    ck_assert_uint_eq(frame->id, UINT64_MAX - i);
    ck_assert_uint_eq(frame->code, codes[i].read);
    ck_assert_ptr_eq(frame->message, &response);
  }
  finish();
}
END_TEST

/* ---- A struct that is too large for the stack ---- */

static const struct psock_call_field many_id = {
    offsetof(Many__Many, field_5), 0, sizeof(uint64_t)};
static const struct psock_call_field many_code = {
    offsetof(Many__Many, field_14), 0, sizeof(uint32_t)};
static struct psock_message_type many_type;
static struct psock_method many;

static void make_many(void) {
  many_type = many__many__type;
  many_type.id = &many_id;
  many_type.code = &many_code;
  many = (struct psock_method){
      .size = sizeof many, .request = &many_type, .response = &many_type};
}

static void compare_many(struct side *side, const void *message) {
  read_one(side, message);
  ck_assert_str_eq(((const Many__Many *)message)->field_11, "text");
}

/* An allocator that fails once. */
static void *(*right_alloc)(void *data, size_t size);
static unsigned fail_at;

static void *failing_alloc(void *data, size_t size) {
  if (fail_at > 0 && --fail_at == 0)
    return NULL;
  return right_alloc(data, size);
}

static void begin_failing(const struct psock_method *own) {
  right_alloc = guard_memory.allocator.alloc;
  guard_memory.allocator.alloc = failing_alloc;
  begin(own);
}

/* Sends, with every allocation failing once, until it goes. */
static void send_failing(const struct psock_rpc_frame *frame, unsigned least) {
  unsigned count = 0;
  int error = PSOCK_ENOMEM;
  while (error == PSOCK_ENOMEM) {
    fail_at = ++count;
    error = psock_face_send(&caller, world.other.sender, frame, NULL);
    fail_at = 0;
    ck_assert(error == 0 || error == PSOCK_ENOMEM);
  }
  ck_assert_uint_gt(count, least);
  UNTIL(&world, world.one.count[MESSAGE] == 1);
}

START_TEST(large_structs) {
  Many__Many message;
  make_many();
  many__many__init(&message);
  message.field_11 = text_of_requests;
  ck_assert_uint_gt(sizeof message, 512);
  begin_failing(&many);
  world.one.on[MESSAGE] = compare_many;
  world_pair(&world);
  struct psock_rpc_frame frame = {
      .id = 5, .type = &many_type, .message = &message};
  send_failing(&frame, 1);
  ck_assert_uint_eq(got.id, 5);
  ck_assert_uint_eq(message.field_5, 0);
  frame.code = 1;
  frame.message = NULL;
  world.one.on[MESSAGE] = read_one;
  send_frame(&frame);
  ck_assert_uint_eq(got.code, 1);
  finish();
}
END_TEST

/* ---- Own messages that were encoded before ---- */

START_TEST(own_payloads) {
  Calls__Request request = text_request();
  begin_failing(&calls);
  world.one.on[MESSAGE] = compare_request;
  world_pair(&world);
  struct psock_heap *heap = world.loop->heap;
  struct psock_rpc_frame frame = {.id = 500};
  uint8_t *payload;
  ck_assert_int_eq(
      psock_frame_encode_payload(caller.max_message, heap,
          &calls__request__type, &request, &payload, &frame.payload_length),
      0);
  frame.payload = payload;
  send_failing(&frame, 2);
  ck_assert_uint_eq(got.id, 500);
  ck_assert_uint_eq(got.code, 0);
  psock_heap_release(heap, payload, frame.payload_length);
  /* Nothing at all is an empty message. */
  world.one.on[MESSAGE] = read_one;
  send_frame(&(struct psock_rpc_frame){.id = 6});
  ck_assert_uint_eq(got.id, 6);
  ck_assert_uint_eq(got.length, 3);
  finish();
}
END_TEST

/* ---- Making a face ---- */

START_TEST(faces_that_are_none) {
  struct psock_face face;
  struct psock_face untouched;
  struct psock_protobuf_options limits = {.size = 0};
  struct psock_message_type plain =
      psock_message_type_of(&calls__request__descriptor);
  struct psock_message_type no_code = calls__request__type;
  struct psock_message_type other = calls__request__type;
  no_code.code = NULL;
  other.field_count++;
  const struct psock_message_type *const bad[] = {
      NULL, &plain, &no_code, &other, &echo_request__type};
  memset(&face, 7, sizeof face);
  memset(&untouched, 7, sizeof untouched);
  for (size_t i = 0; i < 2 * sizeof bad / sizeof bad[0]; i++) {
    struct psock_method own = calls;
    if (i % 2 == 0)
      own.request = bad[i / 2];
    else
      own.response = bad[i / 2];
    ck_assert_int_eq(
        psock_face_init(&face, PSOCK_SERVER_END, &own, NULL), PSOCK_EINVAL);
  }
  ck_assert_int_eq(
      psock_face_init(&face, PSOCK_SERVER_END, &calls, &limits), PSOCK_EINVAL);
  ck_assert_int_eq(
      psock_face_init(&face, PSOCK_CALLER_END, NULL, &limits), PSOCK_EINVAL);
  ck_assert_mem_eq(&face, &untouched, sizeof face);
}
END_TEST

START_TEST(no_memory_for_a_face) {
  const struct psock_method *own = _i == 0 ? NULL : &calls;
  struct psock_allocator allocator = guard_memory.allocator;
  struct psock_protobuf_options limits = {
      .size = sizeof limits, .allocator = &allocator, .max_message = 5};
  struct psock_face face;
  right_alloc = allocator.alloc;
  allocator.alloc = failing_alloc;
  for (unsigned count = 1; count <= (_i == 0 ? 1u : 2u); count++) {
    fail_at = count;
    ck_assert_int_eq(
        psock_face_init(&face, PSOCK_CALLER_END, own, &limits), PSOCK_ENOMEM);
  }
  fail_at = 0;
  ck_assert_int_eq(psock_face_init(&face, PSOCK_CALLER_END, own, &limits), 0);
  ck_assert_uint_eq(face.max_message, 5);
  psock_face_fini(&face);
}
END_TEST

static void add_frames(Suite *suite) {
  TCase *tcase = guard_case(suite, "frames");
  tcase_add_test(tcase, frames_pass);
  tcase_add_test(tcase, frames_with_a_record);
  tcase_add_loop_test(tcase, payloads_are_kept, 0, MEDIA);
  tcase_add_test(tcase, payloads_that_are_none);
  tcase_add_test(tcase, payloads_that_are_merged);
  tcase_add_test(tcase, only_while_given);
  tcase_add_test(tcase, decoded_after_the_end);
}

int main(void) {
  Suite *suite = suite_create("face");
  add_frames(suite);
  TCase *tcase = guard_case(suite, "own messages");
  tcase_add_test(tcase, own_messages_pass);
  tcase_add_test(tcase, own_cancel_and_end);
  tcase_add_test(tcase, own_responses);
  tcase_add_test(tcase, own_messages_say_less);
  tcase_add_test(tcase, another_message);
  tcase_add_test(tcase, own_messages_with_a_record);
  tcase_add_test(tcase, own_codes);
  tcase_add_test(tcase, large_structs);
  tcase_add_test(tcase, own_payloads);
  tcase_add_test(tcase, faces_that_are_none);
  tcase_add_loop_test(tcase, no_memory_for_a_face, 0, 2);
  return guard_main(suite);
}
