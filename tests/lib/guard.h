/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef TESTS_LIB_GUARD_H
#define TESTS_LIB_GUARD_H

#include <check.h>
#include <protosocket/allocator.h>
#include <protosocket/loop.h>
#include <stdatomic.h>
#include <stdbool.h>

/*
 * What is watched around every test: open descriptors, memory that the library
 * has not given back, and lines that it has logged. A test that leaves one of
 * them behind fails. test_guards.c proves that.
 */

/* ck_assert_msg for what is looked at often: check writes a record of every
 * assertion, this only of a failed one. */
#define DEMAND(condition, ...)                                                 \
  do {                                                                         \
    if (!(condition))                                                          \
      ck_abort_msg(__VA_ARGS__);                                               \
  } while (0)

struct guard_memory {
  struct psock_allocator allocator;
  atomic_long live;
};

/* The allocator that is counted. */
extern struct guard_memory guard_memory;

/* How many descriptors this process has open. */
int guard_count_fds(void);

/* To be given to psock_loop_new as `log`. */
void guard_log(void *data, enum psock_log_level level, const char *text);

/* Lines that hold `text` are no reason to fail, however many come. */
void guard_allow_log(const char *text);

/* The next `count` lines that hold `text` are no reason to fail; all of them
 * have to come. */
void guard_expect_log(const char *text, int count);

/* How many of the expected lines have come. */
int guard_expected_logs(void);

/* A case of `suite` under guard, with a timeout. */
TCase *guard_case(Suite *suite, const char *name);

/* Runs `suite` as a program does; returns its exit status. */
int guard_main(Suite *suite);

#endif
