/* SPDX-License-Identifier: BSD-2-Clause */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * Calls at random, against a model of them (model.h): every call that was
 * started ends exactly once, for its caller and for its server, in a way that
 * something that happened explains, never from inside a function, with nothing
 * after it; nothing gets lost, doubled, reordered or mixed up on the way; and
 * nothing is left behind.
 *
 * MODEL_SEED is the seed of the first world, MODEL_STEPS how many steps there
 * are in all worlds together; with MODEL_TRACE each of them is told, with
 * MODEL_COUNTS how often what has happened. A failure says the seed of its
 * world.
 */

#define FIRST_SEED 1
#define MOST_STEPS 1200000

/* Steps in one world, before it ends. */
#define STEPS_OF_WORLD 240

/* Seconds, for a slow machine with a sanitizer. */
#define TIMEOUT 400

static unsigned long long number_of(
    const char *name, unsigned long long otherwise) {
  const char *value = getenv(name);
  return value == NULL ? otherwise : strtoull(value, NULL, 0);
}

static unsigned long long live_in(uint64_t seed) {
  struct model *model = model_new(seed);
  while (model->step < STEPS_OF_WORLD)
    model_step(model, false);
  model_end(model);
  unsigned long long steps = model->step;
  model_free(model);
  return steps;
}

/* A run that is as long as it is meant to be sees everything. */
static void demand_coverage(void) {
  for (unsigned i = 0; i < MODEL_COUNT_TOTAL; i++)
    ck_assert_msg(
        model_counts[i] > 0, "%s has never happened", model_count_names[i]);
}

START_TEST(calls_end_once_and_for_a_reason) {
  unsigned long long seed = number_of("MODEL_SEED", FIRST_SEED);
  unsigned long long most = number_of("MODEL_STEPS", MOST_STEPS);
  unsigned long long steps = 0;
  unsigned long long worlds = 0;
  while (steps < most) {
    steps += live_in(seed + worlds);
    worlds++;
  }
  if (getenv("MODEL_COUNTS") != NULL)
    for (unsigned i = 0; i < MODEL_COUNT_TOTAL; i++)
      fprintf(stderr, "%-26s %llu\n", model_count_names[i],
          (unsigned long long)model_counts[i]);
  fprintf(stderr, "# %llu steps in %llu worlds\n", steps, worlds);
  if (most >= MOST_STEPS)
    demand_coverage();
}
END_TEST

int main(void) {
  Suite *suite = suite_create("model");
  TCase *tcase = guard_case(suite, "model");
  tcase_set_timeout(tcase, TIMEOUT);
  tcase_add_test(tcase, calls_end_once_and_for_a_reason);
  return guard_main(suite);
}
