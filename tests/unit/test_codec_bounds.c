/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/allocator.h"
#include "codec.pb-c.h"
#include "codec/bounds.h"
#include "unit/test_codec.h"

/*
 * The check of depth: which types need it, on graphs made by hand, and what it
 * says of bytes, at exactly the depth that is allowed and one below.
 */

#define TYPES 64
#define FIELDS 8

/* Types that have nothing but messages in them. */
struct graph {
  ProtobufCMessageDescriptor types[TYPES];
  ProtobufCFieldDescriptor fields[TYPES][FIELDS];
};

static struct graph *graph_new(void) {
  struct graph *graph = calloc(1, sizeof *graph);
  ck_assert_ptr_nonnull(graph);
  for (int i = 0; i < TYPES; i++)
    graph->types[i].fields = graph->fields[i];
  return graph;
}

static void graph_link(struct graph *graph, size_t from, size_t to) {
  unsigned field = graph->types[from].n_fields++;
  ck_assert_uint_lt(field, FIELDS);
  graph->fields[from][field] = (ProtobufCFieldDescriptor){
      .id = field + 1,
      .type = PROTOBUF_C_TYPE_MESSAGE,
      .descriptor = &graph->types[to],
  };
}

static struct psock_bounds *bounds_of(
    const ProtobufCMessageDescriptor *descriptor, unsigned max_depth) {
  struct psock_bounds *bounds = NULL;
  ck_assert_int_eq(psock_bounds_new(descriptor, max_depth,
                       &psock_default_allocator, &bounds),
      0);
  return bounds;
}

/* Whether messages of the type have to be checked. */
static bool is_checked(
    const ProtobufCMessageDescriptor *descriptor, unsigned max_depth) {
  struct psock_bounds *bounds = bounds_of(descriptor, max_depth);
  psock_bounds_free(bounds, &psock_default_allocator);
  return bounds != NULL;
}

/* Takes `bytes`. */
static int check(const ProtobufCMessageDescriptor *descriptor,
    unsigned max_depth, struct bytes bytes) {
  struct psock_bounds *bounds = bounds_of(descriptor, max_depth);
  ck_assert_ptr_nonnull(bounds);
  int result = psock_bounds_check(bounds, bytes.at, bytes.length);
  psock_bounds_free(bounds, &psock_default_allocator);
  free(bytes.at);
  return result;
}

START_TEST(straight_graph) {
  struct graph *graph = graph_new();
  for (size_t i = 0; i + 1 < TYPES; i++)
    graph_link(graph, i, i + 1);
  for (size_t i = 0; i < TYPES; i++) {
    unsigned levels = (unsigned)(TYPES - i);
    if (levels > 1)
      ck_assert(is_checked(&graph->types[i], levels - 1));
    ck_assert(!is_checked(&graph->types[i], levels));
  }
  free(graph);
}
END_TEST

/* The longest path runs against the order in which the types are found, and a
 * shorter one is as long as the first part of it. */
START_TEST(graph_against_the_order) {
  static const uint8_t links[][2] = {{0, 1}, {0, 2}, {0, 3}, {0, 4}, {3, 2},
      {2, 1}, {1, 5}, {5, 6}, {6, 7}, {4, 8}, {8, 9}, {9, 10}, {10, 11}};
  struct graph *graph = graph_new();
  for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
    graph_link(graph, links[i][0], links[i][1]);
  ck_assert(is_checked(&graph->types[0], 6));
  ck_assert(!is_checked(&graph->types[0], 7));
  free(graph);
}
END_TEST

/* 7 to the 63rd paths, but only 64 levels. */
START_TEST(graph_with_many_paths) {
  struct graph *graph = graph_new();
  for (size_t i = 0; i + 1 < TYPES; i++)
    for (int field = 0; field < FIELDS - 1; field++)
      graph_link(graph, i, i + 1);
  ck_assert(!is_checked(&graph->types[0], TYPES));
  ck_assert(is_checked(&graph->types[0], TYPES - 1));
  graph_link(graph, TYPES - 1, 0);
  ck_assert(is_checked(&graph->types[0], 1000));
  free(graph);
}
END_TEST

/* Whether there is a walk of `edges` from type 0. */
static bool has_walk(const struct graph *graph, unsigned edges) {
  uint64_t reached = 1;
  for (; edges > 0; edges--) {
    uint64_t next = 0;
    for (int i = 0; i < TYPES; i++)
      for (unsigned field = 0;
           (reached >> i & 1) != 0 && field < graph->types[i].n_fields; field++)
        next |= (uint64_t)1
                << ((const ProtobufCMessageDescriptor *)graph->fields[i][field]
                           .descriptor -
                       graph->types);
    reached = next;
  }
  return reached != 0;
}

START_TEST(random_graph) {
  uint64_t state = (uint64_t)_i;
  struct graph *graph = graph_new();
  size_t types = 1 + random_below(&state, TYPES);
  for (size_t links = random_below(&state, 3 * types); links > 0; links--) {
    size_t from = random_below(&state, types);
    size_t to = random_below(&state, types);
    /* Mostly forwards, or every graph would have a cycle. */
    if (from >= to && random_below(&state, 32) != 0)
      continue;
    if (graph->types[from].n_fields < FIELDS)
      graph_link(graph, from, to);
  }
  for (unsigned depth = 1; depth <= TYPES + 1; depth++)
    ck_assert_int_eq(
        is_checked(&graph->types[0], depth), has_walk(graph, depth));
  free(graph);
}
END_TEST

START_TEST(types_of_protoc) {
  ck_assert(!is_checked(&codec__inner__descriptor, 1));
  ck_assert(is_checked(&codec__outer__descriptor, 2));
  ck_assert(!is_checked(&codec__outer__descriptor, 3));
  ck_assert(!is_checked(&codec__plain__descriptor, 1));
  ck_assert(is_checked(&codec__tree__descriptor, 1000));
  ck_assert(is_checked(&codec__struct__descriptor, 1000));
  ck_assert(is_checked(&codec__struct__fields_entry__descriptor, 1000));
  ck_assert(is_checked(&codec__every__descriptor, 1000));
}
END_TEST

/* Map entry, value, struct. */
static const uint32_t struct_fields[] = {1, 2, 3};
/* Value, list. */
static const uint32_t list_fields[] = {1, 4};
static const uint32_t tree_fields[] = {1};
static const uint32_t chain_fields[] = {20000};
static const uint32_t every_fields[] = {24, 536870911, 1000};

static const struct {
  const ProtobufCMessageDescriptor *descriptor;
  const uint32_t *fields;
  size_t count;
} recursions[] = {
    {&codec__tree__descriptor, tree_fields, 1},
    {&codec__struct__descriptor, struct_fields, 3},
    {&codec__list__descriptor, list_fields, 2},
    {&codec__chain__descriptor, chain_fields, 1},
    {&codec__every__descriptor, every_fields, 3},
};

#define RECURSIONS (int)(sizeof recursions / sizeof recursions[0])

static const unsigned depths[] = {1, 2, 3, 10, 99, 100, 101, 1000};

#define DEPTHS (int)(sizeof depths / sizeof depths[0])

/* `levels` of messages in all, and 8 bytes of another field in front. */
static struct bytes recursion_of(int kind, size_t levels, bool padded) {
  struct bytes bytes =
      nest(recursions[kind].fields, recursions[kind].count, levels - 1);
  if (!padded)
    return bytes;
  struct bytes both = bytes_new(bytes.length + 8);
  memcpy(both.at, "\xfa\x7f\x05\x0a\x00\x0a\x00\x0a", 8);
  memcpy(both.at + 8, bytes.at, bytes.length);
  free(bytes.at);
  return both;
}

START_TEST(depth_is_exact) {
  int kind = _i / DEPTHS;
  unsigned max = depths[_i % DEPTHS];
  const ProtobufCMessageDescriptor *type = recursions[kind].descriptor;
  for (int padded = 0; padded < 2; padded++) {
    ck_assert_int_eq(check(type, max, recursion_of(kind, max, padded)), 0);
    ck_assert_int_eq(
        check(type, max, recursion_of(kind, max + 1, padded)), PSOCK_EDEPTH);
    ck_assert_int_eq(
        check(type, max, recursion_of(kind, max + 500, padded)), PSOCK_EDEPTH);
  }
}
END_TEST

/* A type that can't recurse counts with the levels it has, where it is. */
START_TEST(side_branch_at_the_limit) {
  enum { MAX = 10 };
  static const uint32_t branch[] = {100, 1};
  for (size_t chain = 1; chain <= MAX; chain++) {
    struct bytes bytes = nest(branch, 2, 2);
    for (size_t i = 1; i < chain; i++)
      bytes = wrap(20000, bytes);
    ck_assert_int_eq(check(&codec__chain__descriptor, MAX, bytes),
        chain + 2 <= MAX ? 0 : PSOCK_EDEPTH);
  }
}
END_TEST

/* What looks nested but is a string, or unknown, isn't. */
START_TEST(only_messages_nest) {
  struct bytes deep = nest(tree_fields, 1, 50);
  ck_assert_int_eq(
      check(&codec__tree__descriptor, 10, wrap(2, wrap(2, deep))), 0);
  deep = nest(tree_fields, 1, 50);
  ck_assert_int_eq(check(&codec__tree__descriptor, 10, wrap(3, deep)), 0);
}
END_TEST

/* The deep one may come last, behind others that are not. */
START_TEST(every_field_is_followed) {
  struct bytes flat = nest(tree_fields, 1, 9);
  struct bytes deep = nest(tree_fields, 1, 10);
  for (size_t repeats = 0; repeats < 2; repeats++) {
    struct bytes both = bytes_new(100 * flat.length + deep.length * repeats);
    for (size_t i = 0; i < 100; i++)
      memcpy(both.at + i * flat.length, flat.at, flat.length);
    memcpy(both.at + 100 * flat.length, deep.at, deep.length * repeats);
    ck_assert_int_eq(check(&codec__tree__descriptor, 10, both),
        repeats == 0 ? 0 : PSOCK_EDEPTH);
  }
  free(flat.at);
  free(deep.at);
}
END_TEST

/* Bytes of a Tree, and what the check says when one level is allowed. */
static const struct {
  const char *bytes;
  size_t length;
  int result;
} oddities[] = {
    {"", 0, 0},
    {"\x0a\x00", 2, PSOCK_EDEPTH},
    /* The tag and the length of field 1, not in their shortest form. */
    {"\x8a\x00\x00", 3, PSOCK_EDEPTH},
    {"\x8a\x80\x80\x80\x00\x80\x80\x80\x80\x00", 10, PSOCK_EDEPTH},
    /* The same with six bytes. */
    {"\x8a\x80\x80\x80\x80\x00\x00", 7, PSOCK_EMALFORMED},
    {"\x0a\x80\x80\x80\x80\x80\x00", 7, PSOCK_EMALFORMED},
    /* Field 0, which protobuf-c sees only in its shortest form. */
    {"\x02\x00", 2, PSOCK_EMALFORMED},
    {"\x82\x00\x00", 3, 0},
    /* The largest field number is not field 1. */
    {"\xfa\xff\xff\xff\x7f\x00", 6, 0},
    {"\x8a\x80\x80\x80\x10\x00", 6, 0},
    /* Groups, and wire types that don't exist. */
    {"\x0b\x0c", 2, PSOCK_EMALFORMED},
    {"\x0c\x00", 2, PSOCK_EMALFORMED},
    {"\x0e\x00", 2, PSOCK_EMALFORMED},
    {"\x0f\x00", 2, PSOCK_EMALFORMED},
    /* Field 1 with wire types that are wrong for it: not for this check. */
    {"\x08\x00", 2, 0},
    {"\x0d\x00\x00\x00\x00", 5, 0},
    {"\x09\x00\x00\x00\x00\x00\x00\x00\x00", 9, 0},
    /* Each kind of value, cut. */
    {"\x18\x80", 2, PSOCK_EMALFORMED},
    {"\x1d\x00\x00\x00", 4, PSOCK_EMALFORMED},
    {"\x19\x00\x00\x00\x00\x00\x00\x00", 8, PSOCK_EMALFORMED},
    {"\x1a\x01", 2, PSOCK_EMALFORMED},
    {"\x1a\x80", 2, PSOCK_EMALFORMED},
    {"\x1a", 1, 0},
    {"\x9a\x80", 2, PSOCK_EMALFORMED},
    /* A varint of ten bytes, and of eleven. */
    {"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11, 0},
    {"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 12, PSOCK_EMALFORMED},
    /* Lengths around 2 and 4 GiB. */
    {"\x1a\xff\xff\xff\xff\x07", 6, PSOCK_EMALFORMED},
    {"\x1a\x80\x80\x80\x80\x08", 6, PSOCK_EMALFORMED},
    {"\x1a\x80\x80\x80\x80\x10", 6, PSOCK_EMALFORMED},
};

#define ODDITIES (int)(sizeof oddities / sizeof oddities[0])

/* What the check refuses, protobuf-c refuses too. */
START_TEST(odd_bytes) {
  struct bytes bytes = bytes_copy(oddities[_i].bytes, oddities[_i].length);
  ProtobufCMessage *message = protobuf_c_message_unpack(
      &codec__tree__descriptor, NULL, bytes.length, bytes.at);
  if (oddities[_i].result == PSOCK_EMALFORMED)
    ck_assert_ptr_null(message);
  if (oddities[_i].result == PSOCK_EDEPTH)
    ck_assert_uint_gt(((Codec__Tree *)message)->n_child, 0);
  protobuf_c_message_free_unpacked(message, NULL);
  ck_assert_int_eq(
      check(&codec__tree__descriptor, 1, bytes), oddities[_i].result);
}
END_TEST

START_TEST(memory_is_out) {
  struct faulty faulty;
  faulty_init(&faulty);
  struct graph *graph = graph_new();
  for (size_t i = 0; i < TYPES; i++)
    graph_link(graph, i, (i + 1) % TYPES);
  int error = PSOCK_ENOMEM;
  for (size_t i = 1; error != 0; i++) {
    struct psock_bounds *bounds = NULL;
    faulty_set(&faulty, i, _i == 1);
    error = psock_bounds_new(&graph->types[0], 100, &faulty.allocator, &bounds);
    if (error == 0) {
      ck_assert_uint_gt(i, 3);
      psock_bounds_free(bounds, &faulty.allocator);
    } else {
      ck_assert_int_eq(error, PSOCK_ENOMEM);
      ck_assert_ptr_null(bounds);
    }
    ck_assert_uint_eq(faulty.live, 0);
  }
  free(graph);
}
END_TEST

int main(void) {
  TCase *tcase = tcase_create("bounds");
  tcase_add_test(tcase, straight_graph);
  tcase_add_test(tcase, graph_against_the_order);
  tcase_add_test(tcase, graph_with_many_paths);
  tcase_add_loop_test(tcase, random_graph, 0, 50);
  tcase_add_test(tcase, types_of_protoc);
  tcase_add_loop_test(tcase, depth_is_exact, 0, RECURSIONS * DEPTHS);
  tcase_add_test(tcase, side_branch_at_the_limit);
  tcase_add_test(tcase, only_messages_nest);
  tcase_add_test(tcase, every_field_is_followed);
  tcase_add_loop_test(tcase, odd_bytes, 0, ODDITIES);
  tcase_add_loop_test(tcase, memory_is_out, 0, 2);
  return run_case(tcase, "codec bounds");
}
