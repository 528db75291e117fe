/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec.pb-c.h"
#include "lib/plain_codec.h"
#include "lib/world.h"
#include "utf8_file.psock.h"

#include <stdlib.h>
#include <string.h>

/*
 * Peers that mean harm: what they send is refused, and costs no more than they
 * have sent, or than the limits say.
 */

static struct world world;
static psock_codec *codec;

static void begin(int medium) {
  ck_assert_int_eq(plain_codec_new(&codec__tree__descriptor, NULL, &codec), 0);
  world_init(&world, (enum medium)medium);
  world.capacity = 8 << 20;
  world.one.options.inbound = codec;
  world_raw(&world);
}

static void finish(void) {
  world_fini(&world);
  psock_protobuf_codec_free(codec);
}

/* What is held beyond what a loop with an open connection holds anyway. */
static uint64_t held(void) {
  return world_stats(&world).held;
}

START_TEST(announces_much_and_sends_little) {
  static const size_t sent[] = {0, 1, 100, 60000, 70000, 200000};
  static char zeros[200000];
  begin(_i % MEDIA);
  size_t length = sent[_i / MEDIA];
  uint64_t before = held();
  raw_send(&world, "\200\200\200\002", 4);
  raw_send(&world, zeros, length);
  UNTIL(&world, side_stats(&world.one).bytes_in == length + 4);
  world_settle(&world);
  /* The bytes, as growing by doubling has it, and some blocks that the loop
   * keeps for everybody. */
  ck_assert_uint_le(held() - before, 2 * length + (384 << 10));
  ck_assert_uint_eq(world.one.count[CLOSED], 0);
  finish();
}
END_TEST

/* A hundred peers that begin a frame and go no further. */
START_TEST(unfinished_frames_cost_their_bytes) {
  psock_loop *loop;
  struct psock_loop_stats stats = {.size = sizeof stats};
  psock_transport *raw[100];
  static const struct psock_reactor_ops silent = {.size = sizeof silent};
  struct psock_text_codec text;
  psock_text_codec_init(&text, 0);
  struct psock_connection_options options = {
      .size = sizeof options,
      .inbound = &text.codec,
      .reactor = {.ops = &silent},
  };
  ck_assert_int_eq(psock_test_loop_new(NULL, &loop), 0);
  for (int i = 0; i < 100; i++) {
    psock_transport *end;
    psock_connection *connection;
    uint8_t bytes[] = {0x80, 0x80, 0x80, 0x01, 1, 2, 3};
    struct iovec vector = {.iov_base = bytes, .iov_len = sizeof bytes};
    ck_assert_int_eq(psock_memory_pair(loop, 100, &end, &raw[i]), 0);
    ck_assert_int_eq(psock_connection_new(loop, end, &options, &connection), 0);
    ck_assert_int_eq(raw[i]->ops->send(raw[i], &vector, 1), 7);
    ck_assert_int_eq(psock_test_loop_settle(loop, 100), 1);
  }
  psock_loop_get_stats(loop, &stats);
  ck_assert_uint_le(stats.held, 100 * 256 + (384 << 10));
  ck_assert_uint_le(stats.held_peak, 100 * 256 + (384 << 10));
  for (int i = 0; i < 100; i++)
    raw[i]->ops->free(raw[i]);
  psock_loop_free(loop);
}
END_TEST

/* Nested messages, the innermost first, each in a field 1 of the next. */
static uint8_t *nest(unsigned depth, size_t *ret_length) {
  size_t size = (size_t)depth * 5 + 16;
  uint8_t *bytes = malloc(size);
  size_t at = size;
  ck_assert_ptr_nonnull(bytes);
  for (unsigned i = 0; i < depth; i++) {
    size_t length = size - at;
    uint8_t head[8];
    size_t head_length = 0;
    head[head_length++] = 0x0a;
    for (; length > 127; length >>= 7)
      head[head_length++] = (uint8_t)(length | 128);
    head[head_length++] = (uint8_t)length;
    at -= head_length;
    memcpy(bytes + at, head, head_length);
  }
  memmove(bytes, bytes + at, size - at);
  *ret_length = size - at;
  return bytes;
}

static void send_nested(unsigned depth) {
  size_t length;
  uint8_t *bytes = nest(depth, &length);
  raw_send_frame(&world, bytes, length);
  free(bytes);
}

START_TEST(nested_ten_thousand_deep) {
  begin(_i);
  send_nested(99);
  UNTIL(&world, world.one.count[MESSAGE] == 1);
  send_nested(10000);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_uint_eq(world.one.count[MESSAGE], 1);
  ck_assert_int_eq(world.one.reason, PSOCK_EDEPTH);
  ck_assert_uint_lt(world_stats(&world).held_peak, 1 << 20);
  finish();
}
END_TEST

START_TEST(four_megabytes_of_empty_messages) {
  static uint8_t bytes[4 << 20];
  for (size_t i = 0; i < sizeof bytes; i += 2)
    bytes[i] = 0x0a;
  begin(_i);
  raw_send_frame(&world, bytes, sizeof bytes);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_int_eq(world.one.reason, PSOCK_EMEMLIMIT);
  /* The limit for the message, its bytes, and what growing takes. */
  ck_assert_uint_le(world_stats(&world).held_peak,
      ((uint64_t)64 << 20) + ((uint64_t)12 << 20) + (1 << 20));
  finish();
}
END_TEST

/* A codec that misbehaves ends its own connection only. */
static int decode_nothing(const psock_codec *self, const uint8_t *bytes,
    size_t length, psock_arena *arena, struct psock_decoded *ret_decoded) {
  (void)self;
  (void)bytes;
  (void)length;
  (void)arena;
  ret_decoded->message = bytes;
  ret_decoded->consumed = 0;
  return PSOCK_DECODE_MESSAGE;
}

START_TEST(codec_that_takes_nothing) {
  static const psock_codec bad = {.size = sizeof bad, .decode = decode_nothing};
  world_init(&world, (enum medium)_i);
  world.one.options.inbound = &bad;
  world_raw(&world);
  raw_send(&world, "a", 1);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_int_eq(world.one.reason, PSOCK_EINVAL);
  ck_assert_uint_eq(world.one.count[MESSAGE], 0);
  world_fini(&world);
}
END_TEST

START_TEST(without_codecs) {
  world_init(&world, (enum medium)_i);
  world.one.options.inbound = NULL;
  world.one.options.outbound = NULL;
  world_raw(&world);
  ck_assert_int_eq(side_send(&world.one, 1), PSOCK_ENOTSUP);
  raw_send(&world, "a", 1);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_int_eq(world.one.reason, PSOCK_ENOTSUP);
  world_fini(&world);
}
END_TEST

/* Skips the first byte of every two, and more than there is at a '+'. */
static int decode_skipping(const psock_codec *self, const uint8_t *bytes,
    size_t length, psock_arena *arena, struct psock_decoded *ret_decoded) {
  static const struct psock_text nothing = {"", 0};
  (void)self;
  (void)length;
  (void)arena;
  ret_decoded->consumed = bytes[0] == '+' ? 100 : 1;
  ret_decoded->message = &nothing;
  return bytes[0] == 'm' ? PSOCK_DECODE_MESSAGE : PSOCK_DECODE_SKIP;
}

START_TEST(codec_that_skips) {
  static const psock_codec skipping = {
      .size = sizeof skipping, .decode = decode_skipping};
  static char bytes[104] = "-m+";
  bytes[102] = 'm';
  bytes[103] = '-';
  for (size_t step = 1; step <= sizeof bytes; step++) {
    world_init(&world, MEMORY);
    world.one.options.inbound = &skipping;
    world_raw(&world);
    psock_memory_limit_receive(world.one_end, step);
    raw_send(&world, bytes, sizeof bytes);
    raw_shutdown(&world);
    UNTIL(&world, world.one.count[CLOSED] == 1);
    ck_assert_uint_eq(world.one.count[MESSAGE], 2);
    ck_assert_int_eq(world.one.reason, 0);
    world_fini(&world);
  }
}
END_TEST

START_TEST(end_inside_a_skip) {
  static const psock_codec skipping = {
      .size = sizeof skipping, .decode = decode_skipping};
  world_init(&world, MEMORY);
  world.one.options.inbound = &skipping;
  world_raw(&world);
  raw_send(&world, "m+mmm", 5);
  raw_shutdown(&world);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_uint_eq(world.one.count[MESSAGE], 1);
  ck_assert_int_eq(world.one.reason, PSOCK_ETRUNCATED);
  world_fini(&world);
}
END_TEST

/* A string that is not UTF-8, where the schema asks for it. */
START_TEST(text_that_is_none) {
  ck_assert_int_eq(
      psock_protobuf_codec_new(&utf8_file__strings__type, NULL, &codec), 0);
  world_init(&world, (enum medium)_i);
  world.one.options.inbound = codec;
  world_raw(&world);
  raw_send_frame(&world, "\x0a\x02\xc3\xa4", 4);
  UNTIL(&world, world.one.count[MESSAGE] == 1);
  raw_send_frame(&world, "\x0a\x02\xc3\x28", 4);
  UNTIL(&world, world.one.count[CLOSED] == 1);
  ck_assert_uint_eq(world.one.count[MESSAGE], 1);
  ck_assert_int_eq(world.one.reason, PSOCK_EUTF8);
  finish();
}
END_TEST

int main(void) {
  Suite *suite = suite_create("hostile");
  TCase *tcase = guard_case(suite, "hostile");
  tcase_add_loop_test(
      tcase, announces_much_and_sends_little, 0, (int)MEDIA * 6);
  tcase_add_test(tcase, unfinished_frames_cost_their_bytes);
  tcase_add_loop_test(tcase, nested_ten_thousand_deep, 0, MEDIA);
  tcase_add_loop_test(tcase, four_megabytes_of_empty_messages, 0, MEDIA);
  tcase_add_loop_test(tcase, codec_that_takes_nothing, 0, MEDIA);
  tcase_add_loop_test(tcase, without_codecs, 0, MEDIA);
  tcase_add_loop_test(tcase, text_that_is_none, 0, MEDIA);
  tcase_add_test(tcase, codec_that_skips);
  tcase_add_test(tcase, end_inside_a_skip);
  return guard_main(suite);
}
