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
 * without arguments, on the corpus in the source directory. Prints TAP, a line
 * for each file. When the target finds something, it aborts the program.
 */

static unsigned count;

static void fail(const char *what, const char *name) {
  printf("Bail out! %s %s\n", what, name);
  exit(1);
}

static void replay_file(const char *path) {
  FILE *file = fopen(path, "rb");
  struct stat status;
  if (file == NULL || fstat(fileno(file), &status) != 0)
    fail("cannot open", path);
  size_t size = (size_t)status.st_size;
  /* Exactly as long as the file, for whoever watches over what is read. */
  uint8_t *data = malloc(size == 0 ? 1 : size);
  if (data == NULL || fread(data, 1, size, file) != size)
    fail("cannot read", path);
  fclose(file);
  LLVMFuzzerTestOneInput(data, size);
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
  replay(path);
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 1; i < argc; i++)
    replay(argv[i]);
  if (argc == 1)
    replay_corpus();
  printf("1..%u\n", count);
  return 0;
}
