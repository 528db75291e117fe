/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/options.h"
#include "lib/rig.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The list of errors, the version, and structs that are longer or shorter than
 * the library knows them.
 */

static const struct {
  const char *name;
  int number;
  const char *text;
} errors[] = {
#define ROW(name, number, text) {"PSOCK_" #name, number, text},
    PSOCK_ERRORS(ROW)
#undef ROW
};

#define ERRORS (int)(sizeof errors / sizeof errors[0])

START_TEST(errors_have_names_and_texts) {
  ck_assert_int_eq(ERRORS, PSOCK_ERROR_COUNT);
  for (int i = 0; i < ERRORS; i++) {
    /* Numbers follow each other, so that they can index what is counted. */
    ck_assert_int_eq(errors[i].number, -1 - i);
    ck_assert_str_eq(psock_errname(errors[i].number), errors[i].name);
    ck_assert_str_eq(psock_strerror(errors[i].number), errors[i].text);
    ck_assert(islower((unsigned char)errors[i].text[0]));
    for (int k = 0; k < i; k++) {
      ck_assert_str_ne(errors[i].text, errors[k].text);
      ck_assert_str_ne(errors[i].name, errors[k].name);
    }
  }
}
END_TEST

START_TEST(other_numbers_have_texts_too) {
  static const int good[] = {0, 1, INT_MAX};
  static const int unknown[] = {-PSOCK_ERROR_COUNT - 1, -1000, INT_MIN};
  for (int i = 0; i < 3; i++) {
    ck_assert_str_eq(psock_strerror(good[i]), "success");
    ck_assert_str_eq(psock_errname(good[i]), "PSOCK_OK");
    ck_assert_str_eq(psock_strerror(unknown[i]), "unknown error");
    ck_assert_str_eq(psock_errname(unknown[i]), "unknown");
  }
}
END_TEST

/* The build says which version configure has; elsewhere it is not known. */
START_TEST(version_is_the_same_everywhere) {
  char text[32];
  snprintf(text, sizeof text, "%d.%d.%d", PSOCK_VERSION_MAJOR,
      PSOCK_VERSION_MINOR, PSOCK_VERSION_PATCH);
  ck_assert_str_eq(text, PSOCK_VERSION);
  ck_assert_str_eq(psock_version(), PSOCK_VERSION);
  const char *configured = getenv("VERSION");
  if (configured != NULL)
    ck_assert_str_eq(configured, PSOCK_VERSION);
}
END_TEST

/* ---- options ---- */

struct old {
  size_t size;
  int one;
};

struct new {
  size_t size;
  int one;
  int two;
};

START_TEST(options_of_all_ages) {
  struct old old = {sizeof old, 1};
  struct new new = {sizeof new, 1, 2};
  struct new known_new;
  struct old known_old;
  psock_options_copy(&known_new, sizeof known_new, &old,
      offsetof(struct old, one) + sizeof old.one);
  ck_assert(known_new.one == 1 && known_new.two == 0);
  psock_options_copy(&known_old, sizeof known_old, &new, new.size);
  ck_assert_int_eq(known_old.one, 1);
  memset(&known_new, 0xff, sizeof known_new);
  psock_options_copy(&known_new, sizeof known_new, NULL, 0);
  ck_assert(known_new.size == 0 && known_new.one == 0 && known_new.two == 0);
}
END_TEST

START_TEST(statistics_of_all_ages) {
  struct new known = {77, 1, 2};
  struct new given = {5, -1, -1};
  psock_options_fill(
      &given, sizeof(size_t) + sizeof(int), &known, sizeof known);
  ck_assert(given.size == 5 && given.one == 1 && given.two == -1);
  psock_options_fill(&given, sizeof given, &known, sizeof known);
  ck_assert(given.size == 5 && given.one == 1 && given.two == 2);
  given.one = -1;
  psock_options_fill(&given, 0, &known, sizeof known);
  ck_assert_int_eq(given.one, -1);
  given.two = -1;
  psock_options_fill(
      &given, sizeof given, &known, sizeof(size_t) + sizeof(int));
  ck_assert(given.one == 1 && given.two == -1);
}
END_TEST

int main(void) {
  Suite *suite = suite_create("errors and options");
  TCase *tcase = rig_case(suite, "errors");
  tcase_add_test(tcase, errors_have_names_and_texts);
  tcase_add_test(tcase, other_numbers_have_texts_too);
  tcase_add_test(tcase, version_is_the_same_everywhere);
  tcase = rig_case(suite, "options");
  tcase_add_test(tcase, options_of_all_ages);
  tcase_add_test(tcase, statistics_of_all_ages);
  return rig_main(suite);
}
