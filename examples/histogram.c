/* SPDX-License-Identifier: BSD-2-Clause */
#include "histogram.h"

/*
 * Values below 64 have a bucket each. Larger ones are shifted to the right
 * until they are from 32 to 63, and how far that was says which 32 buckets
 * they belong to.
 */

static unsigned bucket_of(uint64_t value) {
  unsigned shift =
      value < 2 * HISTOGRAM_OCTAVE ? 0 : 58 - (unsigned)__builtin_clzll(value);
  return shift * HISTOGRAM_OCTAVE + (unsigned)(value >> shift);
}

static double middle_of(unsigned bucket) {
  unsigned shift =
      bucket < 2 * HISTOGRAM_OCTAVE ? 0 : bucket / HISTOGRAM_OCTAVE - 1;
  uint64_t least = (uint64_t)(bucket - shift * HISTOGRAM_OCTAVE) << shift;
  return (double)least + (double)((UINT64_C(1) << shift) - 1) / 2;
}

void histogram_count(struct histogram *histogram, uint64_t value) {
  histogram->count++;
  histogram->buckets[bucket_of(value)]++;
}

void histogram_add(struct histogram *sum, const struct histogram *histogram) {
  sum->count += histogram->count;
  for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
    sum->buckets[i] += histogram->buckets[i];
}

double histogram_percentile(const struct histogram *histogram, double part) {
  double wanted = (double)histogram->count * part;
  uint64_t seen = 0;
  for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
    seen += histogram->buckets[i];
    if (seen > 0 && (double)seen >= wanted)
      return middle_of(i);
  }
  return 0;
}
