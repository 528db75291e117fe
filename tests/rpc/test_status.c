/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/guard.h"
#include "lib/memory.h"
#include "rpc/call.h"
#include <protosocket/error.h>
#include <protosocket/testing.h>
#include <stdio.h>
#include <string.h>

/*
 * What calls of either side have in common and what needs no connection: how
 * they end (status), what travels beside their messages (metadata), who stands
 * around them (interceptors), and how much time a handler has left (serving).
 */

static struct memory memory;

static void setup(void) {
  memory_init(&memory, 0);
}

static void teardown(void) {
  memory_fini(&memory);
}

/* ---- Status ---- */

START_TEST(codes_have_the_names_of_google_rpc_code) {
  static const char *const names[] = {"OK", "CANCELLED", "UNKNOWN",
      "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
      "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  for (uint32_t code = 0; code < 17; code++)
    ck_assert_str_eq(psock_status_name(code), names[code]);
  ck_assert_int_eq(PSOCK_STATUS_UNAUTHENTICATED, 16);
  ck_assert_str_eq(psock_status_name(17), "unknown code");
  ck_assert_str_eq(psock_status_name(UINT32_MAX), "unknown code");
}
END_TEST

START_TEST(a_status_never_lacks_a_text) {
  struct psock_status status = psock_status_of(PSOCK_STATUS_ABORTED, NULL);
  ck_assert_uint_eq(status.size, sizeof status);
  ck_assert_uint_eq(status.code, PSOCK_STATUS_ABORTED);
  ck_assert_str_eq(status.text, "");
  ck_assert_uint_eq(status.details_length, 0);
  ck_assert_int_eq(status.not_begun, 0);
  ck_assert_str_eq(psock_status_of(PSOCK_STATUS_OK, "well").text, "well");
}
END_TEST

START_TEST(a_kept_status_is_a_copy) {
  char text[] = "no such thing";
  uint8_t details[] = {0, 1, 2, 255};
  struct psock_status status = {
      .size = sizeof status,
      .code = PSOCK_STATUS_NOT_FOUND,
      .text = text,
      .details = details,
      .details_length = sizeof details,
      .not_begun = 1,
  };
  struct psock_kept_status kept;
  psock_status_keep(&kept, memory.heap, &status);
  ck_assert_uint_gt(memory_held(&memory), 0);
  memset(text, '-', sizeof text);
  memset(details, 7, sizeof details);
  ck_assert_uint_eq(kept.status.size, sizeof status);
  ck_assert_uint_eq(kept.status.code, PSOCK_STATUS_NOT_FOUND);
  ck_assert_str_eq(kept.status.text, "no such thing");
  ck_assert_uint_eq(kept.status.details_length, 4);
  ck_assert_mem_eq(kept.status.details, "\0\1\2\377", 4);
  ck_assert_int_eq(kept.status.not_begun, 1);
  psock_status_drop(&kept);
  ck_assert_uint_eq(kept.status.code, PSOCK_STATUS_NOT_FOUND);
  ck_assert_str_eq(kept.status.text, "");
  ck_assert_uint_eq(kept.status.details_length, 0);
  psock_status_drop(&kept);
}
END_TEST

START_TEST(a_kept_status_may_have_only_a_text_or_only_details) {
  struct psock_kept_status kept;
  struct psock_status status = psock_status_of(PSOCK_STATUS_UNKNOWN, "why");
  psock_status_keep(&kept, memory.heap, &status);
  ck_assert_str_eq(kept.status.text, "why");
  ck_assert_uint_eq(kept.status.details_length, 0);
  psock_status_drop(&kept);
  status = psock_status_of(PSOCK_STATUS_UNKNOWN, NULL);
  status.text = NULL;
  status.details = (const uint8_t *)"xy";
  status.details_length = 2;
  psock_status_keep(&kept, memory.heap, &status);
  ck_assert_str_eq(kept.status.text, "");
  ck_assert_mem_eq(kept.status.details, "xy", 2);
  psock_status_drop(&kept);
}
END_TEST

START_TEST(a_kept_status_without_text_takes_no_memory) {
  struct psock_status status = psock_status_of(PSOCK_STATUS_OK, NULL);
  struct psock_kept_status kept;
  alloc_fault_arm(&memory.fault, 1, true);
  psock_status_keep(&kept, memory.heap, &status);
  ck_assert_uint_eq(atomic_load(&memory.fault.calls), 0);
  status.text = NULL;
  psock_status_keep(&kept, memory.heap, &status);
  ck_assert_uint_eq(atomic_load(&memory.fault.calls), 0);
  ck_assert_str_eq(kept.status.text, "");
  psock_status_drop(&kept);
}
END_TEST

START_TEST(without_memory_the_code_is_kept_alone) {
  struct psock_status status = psock_status_of(PSOCK_STATUS_ABORTED, "why");
  status.details = (const uint8_t *)"xy";
  status.details_length = 2;
  status.not_begun = 1;
  struct psock_kept_status kept;
  alloc_fault_arm(&memory.fault, 1, true);
  psock_status_keep(&kept, memory.heap, &status);
  ck_assert_uint_eq(kept.status.code, PSOCK_STATUS_ABORTED);
  ck_assert_str_eq(kept.status.text, "");
  ck_assert_uint_eq(kept.status.details_length, 0);
  ck_assert_int_eq(kept.status.not_begun, 1);
  psock_status_drop(&kept);
}
END_TEST

START_TEST(the_end_of_a_connection_is_unavailable) {
  struct psock_status status = psock_status_of_end(0);
  ck_assert_uint_eq(status.code, PSOCK_STATUS_UNAVAILABLE);
  ck_assert_str_ne(status.text, "");
  ck_assert_int_eq(status.not_begun, 0);
  status = psock_status_of_end(PSOCK_ERESET);
  ck_assert_uint_eq(status.code, PSOCK_STATUS_UNAVAILABLE);
  ck_assert_str_eq(status.text, psock_strerror(PSOCK_ERESET));
}
END_TEST

/* What a frame with this code, and, unless that is NULL, this status means. */
static struct psock_status meaning(
    uint32_t code, const struct psock_status *status, bool not_begun) {
  struct psock_rpc_frame frame = {
      .id = 1, .code = code, .status = status, .not_begun = not_begun};
  return psock_status_of_frame(&frame);
}

START_TEST(a_frame_that_ends_a_call_says_how) {
  struct psock_status none = psock_status_of(PSOCK_STATUS_OK, NULL);
  struct psock_status some = psock_status_of(PSOCK_STATUS_DATA_LOSS, "lost");
  struct psock_status odd = psock_status_of(4711, NULL);
  odd.text = NULL;
  odd.not_begun = 1;
  /* An end is well unless it says otherwise. */
  ck_assert_uint_eq(meaning(PSOCK_CODE_END, NULL, false).code, 0);
  ck_assert_uint_eq(meaning(PSOCK_CODE_END, &none, false).code, 0);
  ck_assert_uint_eq(meaning(PSOCK_CODE_END, &some, false).code, 15);
  ck_assert_str_eq(meaning(PSOCK_CODE_END, &some, false).text, "lost");
  /* A cancel never is, nor is any code that has no meaning. */
  static const uint32_t codes[] = {PSOCK_CODE_CANCEL, 3, 15, 22, 255};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    ck_assert_uint_eq(meaning(codes[i], NULL, false).code, 1);
    ck_assert_str_eq(meaning(codes[i], NULL, false).text, "");
    ck_assert_uint_eq(meaning(codes[i], &none, false).code, 2);
    ck_assert_uint_eq(meaning(codes[i], &some, false).code, 15);
    ck_assert_uint_eq(meaning(codes[i], &odd, false).code, 4711);
    ck_assert_str_eq(meaning(codes[i], &odd, false).text, "");
  }
}
END_TEST

START_TEST(not_begun_is_what_the_frame_says_of_a_cancel) {
  struct psock_status some = psock_status_of(PSOCK_STATUS_UNAVAILABLE, NULL);
  ck_assert_int_eq(meaning(PSOCK_CODE_CANCEL, &some, true).not_begun, 1);
  ck_assert_int_eq(meaning(PSOCK_CODE_CANCEL, NULL, true).not_begun, 1);
  ck_assert_int_eq(meaning(PSOCK_CODE_END, &some, true).not_begun, 0);
  some.not_begun = 1;
  ck_assert_int_eq(meaning(PSOCK_CODE_CANCEL, &some, false).not_begun, 0);
}
END_TEST

/* ---- Metadata ---- */

START_TEST(keys_have_few_letters_and_a_length) {
  static const char *const good[] = {"a", "z", "0", "9", "x-request.id_7", "."};
  static const char *const bad[] = {
      "", "A", "a b", "a:b", "\xc3\xbc", "a\n", "a/", "`", "{", "key="};
  char longest[257];
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    ck_assert_msg(psock_metadata_key_is_valid(good[i]), "%s", good[i]);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    ck_assert_msg(!psock_metadata_key_is_valid(bad[i]), "%s", bad[i]);
  ck_assert(!psock_metadata_key_is_valid(NULL));
  memset(longest, 'k', sizeof longest);
  longest[255] = '\0';
  ck_assert(psock_metadata_key_is_valid(longest));
  longest[255] = 'k';
  longest[256] = '\0';
  ck_assert(!psock_metadata_key_is_valid(longest));
}
END_TEST

static struct psock_metadata entry_of(const char *key, const char *value) {
  return (struct psock_metadata){
      key, (const uint8_t *)value, value == NULL ? 0 : strlen(value)};
}

START_TEST(an_entry_costs_key_value_and_32) {
  struct psock_metadata entry = entry_of("key", "value");
  ck_assert_uint_eq(psock_metadata_cost(&entry), 3 + 5 + 32);
  entry = entry_of("k", NULL);
  ck_assert_uint_eq(psock_metadata_cost(&entry), 33);
}
END_TEST

START_TEST(what_is_appended_is_copied_in_order) {
  struct psock_metadata_list list = {.heap = NULL};
  char key[] = "one";
  char value[] = "first";
  struct psock_metadata first = entry_of(key, value);
  struct psock_metadata more[] = {entry_of("two", NULL), entry_of("one", "x")};
  ck_assert_int_eq(psock_metadata_append(&list, memory.heap, &first, 1), 0);
  memset(key, '-', 3);
  memset(value, '-', 5);
  ck_assert_int_eq(psock_metadata_append(&list, memory.heap, more, 2), 0);
  ck_assert_int_eq(psock_metadata_append(&list, memory.heap, NULL, 0), 0);
  ck_assert_uint_eq(list.count, 3);
  ck_assert_str_eq(list.entries[0].key, "one");
  ck_assert_uint_eq(list.entries[0].length, 5);
  ck_assert_mem_eq(list.entries[0].value, "first", 5);
  ck_assert_str_eq(list.entries[1].key, "two");
  ck_assert_uint_eq(list.entries[1].length, 0);
  ck_assert_str_eq(list.entries[2].key, "one");
  ck_assert_mem_eq(list.entries[2].value, "x", 1);
  ck_assert_uint_eq(list.cost, 3 + 5 + 3 + 3 + 1 + 3 * 32);
  psock_metadata_clear(&list);
  ck_assert_uint_eq(list.count, 0);
  ck_assert_uint_eq(list.cost, 0);
  psock_metadata_clear(&list);
}
END_TEST

/* A list with one entry, to which nothing may be done. */
struct kept_list {
  struct psock_metadata_list list;
  struct psock_metadata_list before;
};

static void keep_one(struct kept_list *kept) {
  struct psock_metadata entry = entry_of("old", "stays");
  kept->list = (struct psock_metadata_list){.heap = NULL};
  ck_assert_int_eq(
      psock_metadata_append(&kept->list, memory.heap, &entry, 1), 0);
  kept->before = kept->list;
}

/* Appending fails with `error` and changes nothing. */
static void refuses(struct kept_list *kept,
    const struct psock_metadata *entries, size_t count, int error) {
  ck_assert_int_eq(
      psock_metadata_append(&kept->list, memory.heap, entries, count), error);
  ck_assert_ptr_eq(kept->list.entries, kept->before.entries);
  ck_assert_uint_eq(kept->list.count, 1);
  ck_assert_uint_eq(kept->list.cost, kept->before.cost);
}

START_TEST(one_bad_entry_refuses_all) {
  struct kept_list kept;
  struct psock_metadata entries[] = {
      entry_of("good", "1"), entry_of("Bad", "2"), entry_of("good", "3")};
  keep_one(&kept);
  refuses(&kept, entries, 3, PSOCK_EINVAL);
  entries[1].key = NULL;
  refuses(&kept, entries, 3, PSOCK_EINVAL);
  entries[1] = (struct psock_metadata){.key = "ok", .length = 1};
  refuses(&kept, entries, 3, PSOCK_EINVAL);
  psock_metadata_clear(&kept.list);
}
END_TEST

START_TEST(there_are_at_most_64_entries) {
  struct kept_list kept;
  struct psock_metadata entries[64];
  for (size_t i = 0; i < 64; i++)
    entries[i] = entry_of("k", "v");
  keep_one(&kept);
  refuses(&kept, entries, 64, PSOCK_ETOOBIG);
  refuses(&kept, entries, SIZE_MAX, PSOCK_ETOOBIG);
  ck_assert_int_eq(
      psock_metadata_append(&kept.list, memory.heap, entries, 63), 0);
  ck_assert_uint_eq(kept.list.count, 64);
  ck_assert_int_eq(psock_metadata_append(&kept.list, memory.heap, entries, 1),
      PSOCK_ETOOBIG);
  psock_metadata_clear(&kept.list);
}
END_TEST

START_TEST(there_are_at_most_8_kib) {
  static const uint8_t value[8192];
  struct kept_list kept;
  keep_one(&kept);
  size_t room = 8192 - kept.list.cost;
  struct psock_metadata entry = {"k", value, room - 33 + 1};
  refuses(&kept, &entry, 1, PSOCK_ETOOBIG);
  entry.length = SIZE_MAX - 16;
  refuses(&kept, &entry, 1, PSOCK_ETOOBIG);
  entry.length = room - 33;
  ck_assert_int_eq(
      psock_metadata_append(&kept.list, memory.heap, &entry, 1), 0);
  ck_assert_uint_eq(kept.list.cost, 8192);
  ck_assert_uint_eq(kept.list.entries[1].length, room - 33);
  entry.length = 0;
  ck_assert_int_eq(
      psock_metadata_append(&kept.list, memory.heap, &entry, 1), PSOCK_ETOOBIG);
  psock_metadata_clear(&kept.list);
}
END_TEST

START_TEST(without_memory_nothing_is_appended) {
  struct kept_list kept;
  struct psock_metadata entry = entry_of("new", "fails");
  keep_one(&kept);
  alloc_fault_arm(&memory.fault, 1, true);
  refuses(&kept, &entry, 1, PSOCK_ENOMEM);
  alloc_fault_disarm(&memory.fault);
  psock_metadata_clear(&kept.list);
}
END_TEST

/* ---- A call of neither side ---- */

START_TEST(metadata_is_found_by_key_and_by_number) {
  struct psock_metadata entries[] = {
      entry_of("a", "1"), entry_of("b", "2"), entry_of("b", "3")};
  psock_call call = {.metadata = entries, .metadata_count = 3};
  struct psock_metadata got = entry_of("untouched", NULL);
  ck_assert_int_eq(psock_call_get_metadata(&call, "c", &got), PSOCK_ENOENT);
  ck_assert_int_eq(psock_call_get_metadata_at(&call, 3, &got), PSOCK_ENOENT);
  ck_assert_str_eq(got.key, "untouched");
  ck_assert_int_eq(psock_call_get_metadata(&call, "b", &got), 0);
  ck_assert_mem_eq(got.value, "2", 1);
  ck_assert_int_eq(psock_call_get_metadata_at(&call, 2, &got), 0);
  ck_assert_mem_eq(got.value, "3", 1);
  call.metadata_count = 0;
  ck_assert_int_eq(psock_call_get_metadata_at(&call, 0, &got), PSOCK_ENOENT);
}
END_TEST

static unsigned freed;

static void count_free(psock_call *call) {
  (void)call;
  freed++;
}

static int fail_end(psock_call *call, const struct psock_status *status) {
  if (status != NULL)
    psock_status_keep(&call->ended, memory.heap, status);
  return 0;
}

START_TEST(what_a_side_has_not_is_refused) {
  static const struct psock_call_ops ops = {.end = fail_end};
  psock_call call = {.ops = &ops};
  const void *message = NULL;
  struct psock_status status = {.size = 0};
  ck_assert_int_eq(psock_call_reply(&call, &message), PSOCK_EINVAL);
  ck_assert_int_eq(psock_call_receive(&call, &message), PSOCK_EINVAL);
  ck_assert_int_eq(psock_call_share(&call), PSOCK_EINVAL);
  ck_assert_int_eq(psock_call_hold(&call), PSOCK_EINVAL);
  ck_assert_ptr_null(psock_call_get_connection(&call));
  psock_call_set_events(&call, NULL, NULL);
  ck_assert_int_eq(psock_call_end(&call, &status), PSOCK_EINVAL);
  ck_assert_int_eq(psock_call_fail(&call, 0, "well"), PSOCK_EINVAL);
  ck_assert_int_eq(psock_call_end(&call, NULL), 0);
}
END_TEST

START_TEST(a_failure_has_a_code_and_perhaps_a_text) {
  static const struct psock_call_ops ops = {.end = fail_end};
  psock_call call = {.ops = &ops};
  ck_assert_int_eq(psock_call_fail(&call, PSOCK_STATUS_ABORTED, "why"), 0);
  ck_assert_uint_eq(call.ended.status.code, PSOCK_STATUS_ABORTED);
  ck_assert_str_eq(call.ended.status.text, "why");
  psock_status_drop(&call.ended);
  ck_assert_int_eq(psock_call_fail(&call, 99, NULL), 0);
  ck_assert_uint_eq(call.ended.status.code, 99);
  ck_assert_str_eq(call.ended.status.text, "");
  psock_status_drop(&call.ended);
}
END_TEST

START_TEST(the_last_reference_frees) {
  static const struct psock_call_ops ops = {.free = count_free};
  psock_call call = {.ops = &ops, .references = 1};
  ck_assert_ptr_eq(psock_call_ref(&call), &call);
  psock_call_unref(NULL);
  psock_call_unref(&call);
  ck_assert_uint_eq(freed, 0);
  psock_call_unref(&call);
  ck_assert_uint_eq(freed, 1);
}
END_TEST

START_TEST(a_call_knows_its_times_and_its_end) {
  psock_loop *loop = NULL;
  ck_assert_int_eq(psock_test_loop_new(NULL, &loop), 0);
  psock_call call = {
      .loop = loop, .began = psock_loop_now(loop), .deadline = PSOCK_NEVER};
  ck_assert_uint_eq(psock_call_get_age(&call), 0);
  ck_assert_uint_eq(psock_call_get_time_left(&call), PSOCK_TIMEOUT_NONE);
  ck_assert_ptr_null(psock_call_get_status(&call));
  call.deadline = call.began + 100;
  psock_test_loop_advance(loop, 99);
  ck_assert_uint_eq(psock_call_get_age(&call), 99);
  ck_assert_uint_eq(psock_call_get_time_left(&call), 1);
  psock_test_loop_advance(loop, 1);
  ck_assert_uint_eq(psock_call_get_time_left(&call), 0);
  psock_test_loop_advance(loop, 1);
  ck_assert_uint_eq(psock_call_get_time_left(&call), 0);
  call.ended.status = psock_status_of(PSOCK_STATUS_DEADLINE_EXCEEDED, NULL);
  ck_assert_ptr_null(psock_call_get_status(&call));
  call.has_ended = true;
  ck_assert_uint_eq(
      psock_call_get_status(&call)->code, PSOCK_STATUS_DEADLINE_EXCEEDED);
  psock_loop_free(loop);
}
END_TEST

/* ---- Interceptors ---- */

static char story[64];

static int begin(
    void *data, psock_call *call, struct psock_status *ret_status) {
  (void)call;
  ck_assert_uint_eq(ret_status->size, sizeof *ret_status);
  ck_assert_uint_eq(ret_status->code, PSOCK_STATUS_OK);
  strncat(story, data, sizeof story - strlen(story) - 1);
  /* One that doesn't refuse leaves no trace. */
  ret_status->code = PSOCK_STATUS_ABORTED;
  return 0;
}

static void ended(
    void *data, psock_call *call, const struct psock_status *status) {
  (void)call;
  ck_assert_uint_eq(status->code, PSOCK_STATUS_INTERNAL);
  strncat(story, "-", sizeof story - strlen(story) - 1);
  strncat(story, data, sizeof story - strlen(story) - 1);
}

static int refuse(
    void *data, psock_call *call, struct psock_status *ret_status) {
  begin(data, call, ret_status);
  ret_status->code = PSOCK_STATUS_UNAUTHENTICATED;
  ret_status->text = "who are you?";
  return 1;
}

static int refuse_silently(
    void *data, psock_call *call, struct psock_status *ret_status) {
  begin(data, call, ret_status);
  ret_status->code = PSOCK_STATUS_OK;
  return 1;
}

#define INTERCEPTOR(name, begins, ends)                                        \
  {                                                                            \
    .size = sizeof(struct psock_interceptor), .begin = (begins),               \
    .ended = (ends), .data = (name)                                            \
  }

START_TEST(interceptors_end_in_the_reverse_order) {
  static char names[][2] = {"a", "b", "c", "d"};
  static const struct psock_interceptor all[] = {
      INTERCEPTOR(names[0], begin, ended),
      INTERCEPTOR(names[1], NULL, ended),
      INTERCEPTOR(names[2], begin, NULL),
      INTERCEPTOR(names[3], begin, ended),
  };
  const struct psock_interceptor *list[] = {&all[0], &all[1], &all[2], &all[3]};
  struct psock_status status = psock_status_of(PSOCK_STATUS_OK, "before");
  int refused = 7;
  ck_assert_uint_eq(
      psock_interceptors_begin(list, 4, NULL, &refused, &status), 4);
  ck_assert_int_eq(refused, 0);
  ck_assert_str_eq(status.text, "before");
  ck_assert_str_eq(story, "acd");
  status = psock_status_of(PSOCK_STATUS_INTERNAL, NULL);
  psock_interceptors_end(list, 4, NULL, &status);
  ck_assert_str_eq(story, "acd-d-b-a");
}
END_TEST

START_TEST(who_refuses_is_the_last_to_begin_and_is_not_told_the_end) {
  static char names[][2] = {"a", "b", "c"};
  static const struct psock_interceptor all[] = {
      INTERCEPTOR(names[0], begin, ended),
      INTERCEPTOR(names[1], refuse, ended),
      INTERCEPTOR(names[2], begin, ended),
  };
  const struct psock_interceptor *list[] = {&all[0], &all[1], &all[2]};
  struct psock_status status;
  int refused = 0;
  ck_assert_uint_eq(
      psock_interceptors_begin(list, 3, NULL, &refused, &status), 1);
  ck_assert_int_eq(refused, 1);
  ck_assert_uint_eq(status.code, PSOCK_STATUS_UNAUTHENTICATED);
  ck_assert_str_eq(status.text, "who are you?");
  status = psock_status_of(PSOCK_STATUS_INTERNAL, NULL);
  psock_interceptors_end(list, 1, NULL, &status);
  ck_assert_str_eq(story, "ab-a");
}
END_TEST

START_TEST(a_refusal_without_a_reason_is_unknown) {
  static char name[] = "a";
  static const struct psock_interceptor one =
      INTERCEPTOR(name, refuse_silently, ended);
  const struct psock_interceptor *list[] = {&one};
  struct psock_status status;
  int refused = 0;
  ck_assert_uint_eq(
      psock_interceptors_begin(list, 1, NULL, &refused, &status), 0);
  ck_assert_int_eq(refused, 1);
  ck_assert_uint_eq(status.code, PSOCK_STATUS_UNKNOWN);
  psock_interceptors_end(list, 0, NULL, &status);
  ck_assert_str_eq(story, "a");
}
END_TEST

/* ---- The call that is being served ---- */

START_TEST(inside_a_handler_there_is_its_time_and_afterwards_what_was) {
  psock_loop *loop = NULL;
  ck_assert_int_eq(psock_test_loop_new(NULL, &loop), 0);
  uint64_t now = psock_loop_now(loop);
  ck_assert_uint_eq(psock_serving_get_time_left(), PSOCK_TIMEOUT_NONE);
  struct psock_serving_state outer = psock_serving_begin(loop, now + 1000);
  ck_assert_uint_eq(psock_serving_get_time_left(), 1000);
  struct psock_serving_state inner = psock_serving_begin(loop, PSOCK_NEVER);
  ck_assert_uint_eq(psock_serving_get_time_left(), PSOCK_TIMEOUT_NONE);
  psock_test_loop_advance(loop, 400);
  psock_serving_end(inner);
  ck_assert_uint_eq(psock_serving_get_time_left(), 600);
  psock_test_loop_advance(loop, 601);
  ck_assert_uint_eq(psock_serving_get_time_left(), 0);
  psock_serving_end(outer);
  ck_assert_uint_eq(psock_serving_get_time_left(), PSOCK_TIMEOUT_NONE);
  psock_loop_free(loop);
}
END_TEST

/* ---- The suite ---- */

static void add_status(Suite *suite) {
  TCase *tcase = guard_case(suite, "status");
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, codes_have_the_names_of_google_rpc_code);
  tcase_add_test(tcase, a_status_never_lacks_a_text);
  tcase_add_test(tcase, a_kept_status_is_a_copy);
  tcase_add_test(tcase, a_kept_status_may_have_only_a_text_or_only_details);
  tcase_add_test(tcase, a_kept_status_without_text_takes_no_memory);
  tcase_add_test(tcase, without_memory_the_code_is_kept_alone);
  tcase_add_test(tcase, the_end_of_a_connection_is_unavailable);
  tcase_add_test(tcase, a_frame_that_ends_a_call_says_how);
  tcase_add_test(tcase, not_begun_is_what_the_frame_says_of_a_cancel);
}

static void add_metadata(Suite *suite) {
  TCase *tcase = guard_case(suite, "metadata");
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, keys_have_few_letters_and_a_length);
  tcase_add_test(tcase, an_entry_costs_key_value_and_32);
  tcase_add_test(tcase, what_is_appended_is_copied_in_order);
  tcase_add_test(tcase, one_bad_entry_refuses_all);
  tcase_add_test(tcase, there_are_at_most_64_entries);
  tcase_add_test(tcase, there_are_at_most_8_kib);
  tcase_add_test(tcase, without_memory_nothing_is_appended);
}

static void add_call(Suite *suite) {
  TCase *tcase = guard_case(suite, "call");
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, metadata_is_found_by_key_and_by_number);
  tcase_add_test(tcase, what_a_side_has_not_is_refused);
  tcase_add_test(tcase, a_failure_has_a_code_and_perhaps_a_text);
  tcase_add_test(tcase, the_last_reference_frees);
  tcase_add_test(tcase, a_call_knows_its_times_and_its_end);
}

static void add_others(Suite *suite) {
  TCase *tcase = guard_case(suite, "interceptors");
  tcase_add_test(tcase, interceptors_end_in_the_reverse_order);
  tcase_add_test(
      tcase, who_refuses_is_the_last_to_begin_and_is_not_told_the_end);
  tcase_add_test(tcase, a_refusal_without_a_reason_is_unknown);
  tcase = guard_case(suite, "serving");
  tcase_add_test(
      tcase, inside_a_handler_there_is_its_time_and_afterwards_what_was);
}

int main(void) {
  Suite *suite = suite_create("status");
  add_status(suite);
  add_metadata(suite);
  add_call(suite);
  add_others(suite);
  return guard_main(suite);
}
