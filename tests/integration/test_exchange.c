/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/world.h"

#include <string.h>

/*
 * What every transport has to do for a connection: messages of every size,
 * many of them, both ways, in order and intact. One suite, four media.
 */

static struct world world;

static bool push(struct side *side, unsigned count) {
  while (side->sent < count) {
    int error = side_send(side, side->length_of(side->sent));
    if (error == PSOCK_EFULL)
      return false;
    DEMAND(error == 0, "sending: %s", psock_strerror(error));
  }
  return true;
}

/* Sends `count` messages in each direction, as the queues take them, and sees
 * that they arrive; the sides check what they are. */
static void pump(unsigned count, size_t (*length_of)(unsigned n)) {
  world.one.length_of = length_of;
  world.other.length_of = length_of;
  UNTIL(&world, push(&world.one, count) && push(&world.other, count));
  UNTIL(&world,
      world.one.count[MESSAGE] == count && world.other.count[MESSAGE] == count);
}

/* One side closes, in good order; the other follows by itself. */
static void part(void) {
  psock_connection_close(world.one.connection);
  UNTIL(&world, world.one.count[CLOSED] == 1 && world.other.count[CLOSED] == 1);
  ck_assert_int_eq(world.one.reason, 0);
  ck_assert_int_eq(world.other.reason, 0);
  ck_assert_uint_eq(psock_loop_get_ended(world.loop, 0), 2);
  world_fini(&world);
}

static size_t ten(unsigned n) {
  (void)n;
  return 10;
}

START_TEST(messages_go_both_ways) {
  world_init(&world, (enum medium)_i);
  world_pair(&world);
  pump(3, ten);
  ck_assert_uint_ge(world.one.count[BATCH_END], 1);
  ck_assert_uint_le(world.one.count[BATCH_END], 3);
  part();
}
END_TEST

START_TEST(many_at_once) {
  world_init(&world, (enum medium)_i);
  world_pair(&world);
  pump(50000, ten);
  ck_assert_uint_lt(world.one.count[BATCH_END], 50000);
  part();
}
END_TEST

/* Around the borders of counts, blocks and receives. */
static const size_t borders[] = {0, 1, 2, 126, 127, 128, 129, 255, 256, 1023,
    4000, 4016, 4024, 4032, 4090, 4094, 4095, 4096, 4097, 4100, 8191, 8192,
    8193, 16382, 16383, 16384, 16385, 32767, 32768, 61440, 65440, 65450, 65460,
    65470, 65530, 65532, 65533, 65534, 65535, 65536, 65537, 65540, 66000, 70000,
    131072, 200000};

#define BORDERS (unsigned)(sizeof borders / sizeof borders[0])

static size_t border(unsigned n) {
  return borders[n % BORDERS];
}

/* In an order that puts each behind every other sooner or later. */
static size_t mixed(unsigned n) {
  return borders[(n * 7u + n / BORDERS) % BORDERS];
}

/* Every 97th up to 70,000. */
static size_t rising(unsigned n) {
  return n * 97;
}

START_TEST(sizes_at_borders) {
  world_init(&world, (enum medium)_i);
  world_pair(&world);
  pump(3 * BORDERS, border);
  part();
}
END_TEST

START_TEST(sizes_mixed) {
  world_init(&world, (enum medium)_i);
  world_pair(&world);
  pump(20 * BORDERS, mixed);
  part();
}
END_TEST

START_TEST(sizes_rising) {
  world_init(&world, (enum medium)_i);
  world_pair(&world);
  pump(70000 / 97 + 1, rising);
  part();
}
END_TEST

static size_t large(unsigned n) {
  return n % 2 == 0 ? (size_t)1 << 20 : (size_t)4 << 20;
}

START_TEST(sizes_large) {
  world_init(&world, (enum medium)_i);
  world_pair(&world);
  pump(3, large);
  part();
}
END_TEST

/* One at a time, so that none shares its receive with another. */
START_TEST(sizes_alone) {
  world_init(&world, (enum medium)_i);
  world_pair(&world);
  world.one.length_of = border;
  for (unsigned n = 0; n < BORDERS; n++) {
    ck_assert_int_eq(side_send(&world.other, border(n)), 0);
    UNTIL(&world, world.one.count[MESSAGE] == n + 1);
  }
  part();
}
END_TEST

START_TEST(too_big_is_not_sent) {
  world_init(&world, (enum medium)_i);
  world_pair(&world);
  struct psock_text text = message_of(0, ((size_t)4 << 20) + 1);
  ck_assert_int_eq(psock_send(world.one.sender, &text), PSOCK_ETOOBIG);
  ck_assert_uint_eq(psock_sender_get_queued(world.one.sender), 0);
  world_settle(&world);
  ck_assert_uint_eq(side_stats(&world.one).bytes_out, 0);
  pump(3, ten);
  part();
}
END_TEST

START_TEST(too_big_for_the_receiver) {
  struct psock_text_codec small;
  psock_text_codec_init(&small, 1000);
  world_init(&world, (enum medium)_i);
  world.one.options.inbound = &small.codec;
  world_pair(&world);
  world.one.length_of = ten;
  side_send_all(&world.other, 2, 10);
  ck_assert_int_eq(side_send(&world.other, 1001), 0);
  side_send_all(&world.other, 1, 10);
  UNTIL(&world, world.one.count[CLOSED] == 1 && world.other.count[CLOSED] == 1);
  ck_assert_uint_eq(world.one.count[MESSAGE], 2);
  ck_assert_int_eq(world.one.reason, PSOCK_ETOOBIG);
  ck_assert_uint_eq(psock_loop_get_ended(world.loop, PSOCK_ETOOBIG), 1);
  world_fini(&world);
}
END_TEST

/* What is sent is encoded before the function returns. */
START_TEST(message_is_the_callers) {
  world_init(&world, (enum medium)_i);
  world_pair(&world);
  world.other.length_of = ten;
  struct psock_text wanted = message_of(0, 10);
  char text[10];
  memcpy(text, wanted.text, sizeof text);
  struct psock_text message = {.text = text, .length = sizeof text};
  ck_assert_int_eq(psock_send(world.one.sender, &message), 0);
  memset(text, 0, sizeof text);
  UNTIL(&world, world.other.count[MESSAGE] == 1);
  part();
}
END_TEST

/* What is answered in a batch leaves together, when the batch ends. */
START_TEST(answers_leave_together) {
  world_init(&world, (enum medium)_i);
  world_pair(&world);
  world.one.on[MESSAGE] = echo;
  world.one.length_of = world.other.length_of = ten;
  side_send_all(&world.other, 100, 10);
  UNTIL(&world, world.other.count[MESSAGE] == 100);
  struct psock_connection_stats stats = side_stats(&world.one);
  ck_assert_uint_eq(stats.messages_out, 100);
  ck_assert_uint_eq(stats.sends, world.one.count[BATCH_END]);
  part();
}
END_TEST

/* What is sent before the connection is open waits until it is. */
START_TEST(sending_before_opened) {
  world_init(&world, (enum medium)_i);
  world_make_pair(&world);
  world.one.length_of = ten;
  side_send_all(&world.other, 5, 10);
  ck_assert_uint_eq(psock_sender_get_queued(world.other.sender), 55);
  UNTIL(&world, world.one.count[MESSAGE] == 5);
  ck_assert_uint_eq(psock_sender_get_queued(world.other.sender), 0);
  part();
}
END_TEST

START_TEST(nothing_calls_back_inside) {
  world_init(&world, (enum medium)_i);
  world_make_pair(&world);
  ck_assert_uint_eq(world.other.count[OPENED], 0);
  UNTIL(&world, world.one.count[OPENED] > 0 && world.other.count[OPENED] > 0);
  side_send_all(&world.other, 1, 10);
  psock_connection_drain(world.other.connection);
  psock_connection_want_room(world.other.connection);
  psock_connection_pause(world.other.connection);
  psock_connection_resume(world.other.connection);
  psock_connection_close(world.other.connection);
  ck_assert_uint_eq(world.other.count[DRAIN] + world.other.count[ROOM] +
                        world.other.count[CLOSED] + world.one.count[MESSAGE],
      0);
  UNTIL(&world, world.one.count[CLOSED] == 1 && world.other.count[CLOSED] == 1);
  world_fini(&world);
}
END_TEST

/* Known numbers for a known conversation. */
START_TEST(counters) {
  world_init(&world, (enum medium)_i);
  world_pair(&world);
  ck_assert_uint_eq(world_stats(&world).connections, 2);
  world.one.on[MESSAGE] = echo;
  side_send_all(&world.other, 4, 200);
  UNTIL(&world, world.other.count[MESSAGE] == 4);
  struct psock_connection_stats one = side_stats(&world.one);
  struct psock_connection_stats other = side_stats(&world.other);
  ck_assert_uint_eq(one.bytes_in, 808);
  ck_assert_uint_eq(one.bytes_out, 808);
  ck_assert_uint_eq(one.messages_in, 4);
  ck_assert_uint_eq(one.messages_out, 4);
  ck_assert_uint_eq(one.sends, 1);
  ck_assert_uint_eq(one.receives, 1);
  ck_assert_uint_eq(one.stalls_in + one.stalls_out, 0);
  ck_assert_mem_eq(&one, &other, sizeof one);
  psock_connection_pause(world.one.connection);
  psock_connection_pause(world.one.connection);
  ck_assert_uint_eq(side_stats(&world.one).stalls_in, 1);
  psock_connection_resume(world.one.connection);
  part();
}
END_TEST

/* A caller with an older header gets what it knows, and nothing behind it. */
START_TEST(counters_of_an_older_header) {
  world_init(&world, (enum medium)_i);
  world_pair(&world);
  pump(2, ten);
  struct psock_connection_stats stats;
  memset(&stats, 0x55, sizeof stats);
  stats.size = offsetof(struct psock_connection_stats, messages_in);
  psock_connection_get_stats(world.one.connection, &stats);
  ck_assert_uint_eq(stats.bytes_in, 22);
  ck_assert_uint_eq(stats.messages_in, 0x5555555555555555u);
  ck_assert_ptr_eq(psock_connection_get_loop(world.one.connection), world.loop);
  part();
}
END_TEST

int main(void) {
  Suite *suite = suite_create("exchange");
  TCase *tcase = guard_case(suite, "exchange");
  tcase_add_loop_test(tcase, messages_go_both_ways, 0, MEDIA);
  tcase_add_loop_test(tcase, many_at_once, 0, MEDIA);
  tcase_add_loop_test(tcase, sizes_at_borders, 0, MEDIA);
  tcase_add_loop_test(tcase, sizes_mixed, 0, MEDIA);
  tcase_add_loop_test(tcase, sizes_rising, 0, MEDIA);
  tcase_add_loop_test(tcase, sizes_large, 0, MEDIA);
  tcase_add_loop_test(tcase, sizes_alone, 0, MEDIA);
  tcase_add_loop_test(tcase, too_big_is_not_sent, 0, MEDIA);
  tcase_add_loop_test(tcase, too_big_for_the_receiver, 0, MEDIA);
  tcase_add_loop_test(tcase, message_is_the_callers, 0, MEDIA);
  tcase_add_loop_test(tcase, answers_leave_together, 0, MEDIA);
  tcase_add_loop_test(tcase, sending_before_opened, 0, MEDIA);
  tcase_add_loop_test(tcase, nothing_calls_back_inside, 0, MEDIA);
  tcase_add_loop_test(tcase, counters, 0, MEDIA);
  tcase_add_loop_test(tcase, counters_of_an_older_header, 0, MEDIA);
  return guard_main(suite);
}
