/* SPDX-License-Identifier: BSD-2-Clause */
#include "fuzz/target.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/*
 * A program of a fuzz target, without a fuzzer: runs the target on each file
 * that is named on the command line, and on each in the directories that are;
 * without arguments, on the corpus in the source directory, and on what comes
 * of it when it is changed a little, at random but every time alike. Prints
 * TAP, a line for each file. When the target finds something, it aborts the
 * program.
 */

#define CHANGED 150
#define GROWTH_MAX 8

static unsigned count;
static unsigned changed; /* times that each file is changed */

static void fail(const char *what, const char *name) {
  printf("Bail out! %s %s\n", what, name);
  exit(1);
}

static uint64_t next_random(uint64_t *state) {
  uint64_t value = *state += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

/* Changes, adds or takes away a byte. There is room for one more. */
static size_t change(uint8_t *data, size_t size, uint64_t *state) {
  static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff};
  uint64_t number = next_random(state);
  size_t at = (size_t)(next_random(state) % (size + 1));
  uint8_t byte = (uint8_t)(number >> 8);
  if ((number & 8) != 0)
    byte = edges[byte % sizeof edges];
  if ((number & 7) == 0 || at == size) {
    memmove(data + at + 1, data + at, size - at);
    data[at] = byte;
    return size + 1;
  }
  if ((number & 7) == 1) {
    memmove(data + at, data + at + 1, size - at - 1);
    return size - 1;
  }
  if ((number & 7) < 4)
    byte = (uint8_t)(data[at] ^ 1u << byte % 8);
  data[at] = byte;
  return size;
}

/* Runs the target on data that ends where its memory ends. */
static void run(const uint8_t *data, size_t size) {
  uint8_t *copy = malloc(size == 0 ? 1 : size);
  if (copy == NULL)
    fail("no memory for", "an input");
  if (size > 0)
    memcpy(copy, data, size);
  LLVMFuzzerTestOneInput(copy, size);
  free(copy);
}

static void run_changed(const uint8_t *data, size_t size) {
  uint64_t state = size;
  uint8_t *copy = malloc(size + GROWTH_MAX);
  if (copy == NULL)
    fail("no memory for", "an input");
  for (unsigned i = 0; i < changed; i++) {
    size_t length = size;
    if (size > 0)
      memcpy(copy, data, size);
    for (unsigned times = 1 + i % GROWTH_MAX; times > 0; times--)
      length = change(copy, length, &state);
    run(copy, length);
  }
  free(copy);
}

static void replay_file(const char *path) {
  FILE *file = fopen(path, "rb");
  struct stat status;
  if (file == NULL || fstat(fileno(file), &status) != 0)
    fail("cannot open", path);
  size_t size = (size_t)status.st_size;
  uint8_t *data = malloc(size == 0 ? 1 : size);
  if (data == NULL || fread(data, 1, size, file) != size)
    fail("cannot read", path);
  fclose(file);
  run(data, size);
  run_changed(data, size);
  free(data);
  printf("ok %u - %s\n", ++count, path);
}

static int is_visible(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

static void replay(const char *path) {
  struct dirent **entries;
  int found = scandir(path, &entries, is_visible, alphasort);
  if (found < 0) {
    replay_file(path);
    return;
  }
  for (int i = 0; i < found; i++) {
    size_t length = strlen(path) + strlen(entries[i]->d_name) + 2;
    char *inner = malloc(length);
    if (inner == NULL)
      fail("no memory for", path);
    snprintf(inner, length, "%s/%s", path, entries[i]->d_name);
    replay(inner);
    free(inner);
    free(entries[i]);
  }
  free(entries);
}

/* $srcdir is what make check sets. */
static void replay_corpus(void) {
  const char *source = getenv("srcdir");
  char path[4096];
  snprintf(path, sizeof path, "%s/tests/fuzz/corpus/%s",
      source == NULL ? "." : source, target_name);
  changed = CHANGED;
  replay(path);
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 1; i < argc; i++)
    replay(argv[i]);
  if (argc == 1)
    replay_corpus();
  if (count == 0)
    fail("nothing to replay in the corpus of", target_name);
  printf("1..%u\n", count);
  return 0;
}
