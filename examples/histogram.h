/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

/*
 * How often which values came, to about one part in 64: there are 32 buckets
 * for each power of two. All zero is an empty one.
 */

enum { HISTOGRAM_OCTAVE = 32, HISTOGRAM_BUCKETS = 60 * HISTOGRAM_OCTAVE };

struct histogram {
  uint64_t count;
  uint64_t buckets[HISTOGRAM_BUCKETS];
};

/** Counts one `value`. */
void histogram_count(struct histogram *histogram, uint64_t value);

/** Adds to `sum` all that `histogram` has counted. */
void histogram_add(struct histogram *sum, const struct histogram *histogram);

/** The value that `part` (0 to 1) of all values do not exceed; 0 for none. */
double histogram_percentile(const struct histogram *histogram, double part);

#endif
