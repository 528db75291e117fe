/* SPDX-License-Identifier: BSD-2-Clause */
#include "register.h"
#include "error.h"
#include "memory.h"
#include "names.h"
#include <string.h>

/*
 * The names that are taken in C. Different names in a schema can be the same
 * there, and a compiler would find out in a file that nobody has written. So
 * whatever has a name in C takes it here first, for a scope, and the second to
 * take one is told of, once for each pair of declarations.
 */

/* What C does not take as a name, in any of the modes of gcc and clang. */
static const char words_of_c[] =
    " asm auto break case char const continue default do double else enum"
    " extern float for goto if inline int long register restrict return short"
    " signed sizeof static struct switch typedef typeof union unsigned void"
    " volatile while ";

/* What a compiler or a header that every program includes makes something else
 * of; <protobuf-c/protobuf-c.h> itself includes <assert.h>. */
static const char macros[] = " errno linux static_assert unix ";

struct claim {
  const void *scope;
  const char *name;
  const char *what;
  struct location at;
};

/* Open addressing; the room is a power of 2, and at least half is free. */
static struct claim *claims;
static size_t claim_count;
static size_t claim_room;

static struct claim *find(const void *scope, const char *name) {
  size_t hash = (size_t)(uintptr_t)scope / sizeof(void *);
  for (const char *at = name; *at != '\0'; at++)
    hash = (hash ^ (unsigned char)*at) * 16777619u;
  for (;; hash++) {
    struct claim *claim = &claims[hash & (claim_room - 1)];
    if (claim->name == NULL ||
        (claim->scope == scope && strcmp(claim->name, name) == 0))
      return claim;
  }
}

static void make_room(void) {
  struct claim *old = claims;
  size_t old_room = claim_room;
  if (claim_room > claim_count * 2)
    return;
  claim_room = claim_room > 0 ? claim_room * 2 : 1024;
  claims = memory_new(claim_room, sizeof *claims);
  for (size_t i = 0; i < old_room; i++)
    if (old[i].name != NULL)
      *find(old[i].scope, old[i].name) = old[i];
}

static bool same_place(struct location a, struct location b) {
  return a.file == b.file && a.line == b.line;
}

/* Of two things that meet in several names, the first is enough. */
struct meeting {
  struct location at;
  struct location other;
  const char *what;
};

static bool is_known(
    struct location at, struct location other, const char *what) {
  static struct meeting *meetings;
  static size_t count;
  for (size_t i = 0; i < count; i++)
    if (same_place(meetings[i].at, at) &&
        same_place(meetings[i].other, other) &&
        (!same_place(at, other) || strcmp(meetings[i].what, what) == 0))
      return true;
  meetings = memory_resize(meetings, count + 1, sizeof *meetings);
  meetings[count].at = at;
  meetings[count].other = other;
  meetings[count++].what = what;
  return false;
}

/* Of two declarations, the one to complain of: in a file that is to be
 * generated, and the later one of a file. */
static bool is_to_blame(struct location at, struct location other) {
  if (at.file != other.file)
    return at.file->generate;
  return at.line >= other.line;
}

static void complain(
    const struct claim *claim, const char *what, struct location at) {
  struct location other = claim->at;
  const char *other_what = claim->what;
  if (is_known(at, other, what))
    return;
  if (!is_to_blame(at, other)) {
    other = at;
    other_what = what;
    at = claim->at;
    what = claim->what;
  }
  const char *place =
      same_place(at, other) ? ""
      : at.file == other.file
          ? text_format(" (line %u)", other.line)
          : text_format(" (%s:%u)", other.file->name, other.line);
  error_at(at, "%s and %s%s both have the name %s in C: rename one of them",
      what, other_what, place, claim->name);
}

void register_name(
    const void *scope, const char *name, const char *what, struct location at) {
  bool is_word = names_is_among(name, words_of_c);
  if (is_word || names_is_among(name, macros)) {
    error_at(at, "%s would have the name %s in C, which is a %s", what, name,
        is_word ? "keyword" : "macro");
    return;
  }
  make_room();
  struct claim *claim = find(scope, name);
  if (claim->name != NULL) {
    complain(claim, what, at);
    return;
  }
  claim->scope = scope;
  claim->name = name;
  claim->what = what;
  claim->at = at;
  claim_count++;
}

void register_names(const void *scope, const char *stem,
    const char *const *endings, const char *what, struct location at) {
  for (; *endings != NULL; endings++)
    register_name(scope, text_format("%s%s", stem, *endings), what, at);
}
