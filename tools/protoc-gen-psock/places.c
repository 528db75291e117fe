/* SPDX-License-Identifier: BSD-2-Clause */
#include "places.h"
#include "memory.h"
#include <stdlib.h>

/*
 * Where declarations are, and the comments at them. protoc sends a list of
 * places, each with the path of what stands there: numbers of fields and
 * indices, by turns, through the descriptors from the file on. The list is
 * sorted by path once, and searched by halves.
 *
 * A schema that did not come as text has no such list; everything is in line 1
 * then, and has no comments.
 */

struct place {
  const Schema__SourceCodeInfo__Location *location;
  size_t order;
};

struct places {
  struct place *items;
  size_t count;
};

static int compare_paths(
    const int32_t *a, size_t a_length, const int32_t *b, size_t b_length) {
  for (size_t i = 0; i < a_length && i < b_length; i++)
    if (a[i] != b[i])
      return a[i] < b[i] ? -1 : 1;
  return a_length < b_length ? -1 : a_length > b_length;
}

static int compare(const void *a, const void *b) {
  const struct place *x = a;
  const struct place *y = b;
  int by_path = compare_paths(x->location->path, x->location->n_path,
      y->location->path, y->location->n_path);
  if (by_path != 0)
    return by_path;
  return x->order < y->order ? -1 : x->order > y->order;
}

struct places *places_new(const Schema__SourceCodeInfo *info) {
  struct places *places = memory_new(1, sizeof *places);
  if (info == NULL)
    return places;
  places->items = memory_new(info->n_location, sizeof *places->items);
  places->count = info->n_location;
  for (size_t i = 0; i < info->n_location; i++) {
    places->items[i].location = info->location[i];
    places->items[i].order = i;
  }
  qsort(places->items, places->count, sizeof *places->items, compare);
  return places;
}

/* Writes out a path; returns its length. `numbers` has room for it. */
static size_t flatten(const struct path *path, int32_t *numbers) {
  if (path == NULL)
    return 0;
  size_t length = flatten(path->up, numbers);
  numbers[length++] = path->field;
  if (path->index >= 0)
    numbers[length++] = path->index;
  return length;
}

static size_t depth(const struct path *path) {
  size_t levels = 0;
  for (; path != NULL; path = path->up)
    levels++;
  return levels;
}

/* The first place with that path, or NULL. */
static const Schema__SourceCodeInfo__Location *find(
    const struct places *places, const int32_t *path, size_t length) {
  size_t low = 0, high = places->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const Schema__SourceCodeInfo__Location *location =
        places->items[middle].location;
    if (compare_paths(location->path, location->n_path, path, length) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  if (low < places->count &&
      compare_paths(places->items[low].location->path,
          places->items[low].location->n_path, path, length) == 0)
    return places->items[low].location;
  return NULL;
}

unsigned places_find(const struct places *places, const struct path *path,
    struct comments *ret_comments) {
  const struct path *from = path;
  int32_t *numbers = memory_new(depth(path) * 2, sizeof *numbers);
  if (ret_comments != NULL)
    ret_comments->leading = ret_comments->trailing = NULL;
  for (; path != NULL; path = path->up) {
    const Schema__SourceCodeInfo__Location *location =
        find(places, numbers, flatten(path, numbers));
    if (location == NULL)
      continue;
    if (path == from && ret_comments != NULL) {
      ret_comments->leading = location->leading_comments;
      ret_comments->trailing = location->trailing_comments;
    }
    if (location->n_span > 0 && location->span[0] >= 0)
      return (unsigned)location->span[0] + 1;
  }
  return 1;
}
