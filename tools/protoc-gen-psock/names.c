/* SPDX-License-Identifier: BSD-2-Clause */
#include "names.h"
#include "error.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

/*
 * Names. The generated code works on structs that protoc-c has declared, so it
 * has to call everything as protoc-c 1.4.1 does: a type's name has its words
 * joined (foo_bar and FooBar both become FooBar), a function's or an object's
 * is in lower case with an underscore wherever a small letter stands before a
 * capital one, a constant's is the same in upper case. The parts of a full name
 * are joined by two underscores.
 *
 * So different names in a schema can be the same in C. Whoever generates a name
 * takes it here first, for a scope; the second to take one is told of.
 */

/* What protoc-c adds an underscore to, when a field has such a name. */
static const char keywords[] =
    " and and_eq asm auto bitand bitor bool break case catch char class compl"
    " const const_cast continue default delete do double dynamic_cast else enum"
    " explicit extern false float for friend goto if inline int long mutable"
    " namespace new not not_eq operator or or_eq private protected public"
    " register reinterpret_cast return short signed sizeof static static_cast"
    " struct switch template this throw true try typedef typeid typename union"
    " unsigned using virtual void volatile wchar_t while xor xor_eq ";

/* What C does not take as a name, in any of the modes of gcc and clang. */
static const char words_of_c[] =
    " asm auto break case char const continue default do double else enum"
    " extern float for goto if inline int long register restrict return short"
    " signed sizeof static struct switch typedef typeof union unsigned void"
    " volatile while ";

static bool is_among(const char *word, const char *words) {
  const char *found = words;
  size_t length = strlen(word);
  while ((found = strstr(found, word)) != NULL) {
    if (found > words && found[-1] == ' ' && found[length] == ' ')
      return length > 0;
    found++;
  }
  return false;
}

/* Separates words by underscores, and brings letters to one case. */
static char *separate(const char *name, int (*change)(int letter)) {
  char *result = memory_new(strlen(name) * 2 + 1, 1);
  char *at = result;
  bool was_upper = true;
  for (; *name != '\0'; name++) {
    bool is_upper = *name >= 'A' && *name <= 'Z';
    if (is_upper && !was_upper)
      *at++ = '_';
    *at++ = (char)change((unsigned char)*name);
    was_upper = is_upper;
  }
  return result;
}

const char *names_lower(const char *name) {
  return separate(name, tolower);
}

const char *names_upper(const char *name) {
  return separate(name, toupper);
}

const char *names_camel(const char *name) {
  char *result = memory_new(strlen(name) + 1, 1);
  char *at = result;
  bool begins = true;
  for (; *name != '\0'; name++) {
    if (*name != '_')
      *at++ = begins ? (char)toupper((unsigned char)*name) : *name;
    begins = *name == '_';
  }
  return result;
}

const char *names_field(const char *name) {
  char *result = text_format("%s_", name);
  char *at;
  for (at = result; *at != '\0'; at++)
    *at = (char)tolower((unsigned char)*at);
  result[strlen(name)] = '\0';
  if (is_among(result, keywords))
    result[strlen(name)] = '_';
  return result;
}

/* Changes each part of a full name, and joins them. */
static const char *full(const char *full_name, const char *package,
    const char *c_package, const char *(*change)(const char *part)) {
  const char *result = "";
  if (c_package != NULL)
    full_name = text_format("%s%s%s", c_package, *package == '\0' ? "." : "",
        full_name + strlen(package));
  while (*full_name != '\0') {
    int length = (int)strcspn(full_name, ".");
    if (length > 0)
      result = text_format("%s%s%s", result, *result != '\0' ? "__" : "",
          change(text_format("%.*s", length, full_name)));
    full_name += length;
    full_name += *full_name == '.';
  }
  return result;
}

const char *names_full_type(
    const char *full_name, const char *package, const char *c_package) {
  return full(full_name, package, c_package, names_camel);
}

const char *names_full_lower(
    const char *full_name, const char *package, const char *c_package) {
  return full(full_name, package, c_package, names_lower);
}

const char *names_full_upper(
    const char *full_name, const char *package, const char *c_package) {
  return full(full_name, package, c_package, names_upper);
}

const char *names_stem(const char *file_name) {
  static const char *const endings[] = {".protodevel", ".proto"};
  size_t i, length = strlen(file_name);
  for (i = 0; i < sizeof endings / sizeof endings[0]; i++) {
    size_t ending = strlen(endings[i]);
    if (length >= ending &&
        strcmp(file_name + length - ending, endings[i]) == 0)
      return text_format("%.*s", (int)(length - ending), file_name);
  }
  return file_name;
}

const char *names_file(const char *file_name) {
  const char *part = file_name;
  const char *result = "";
  size_t i;
  for (; *part != '\0'; part += *part == '/') {
    char *piece = text_format("%.*s", (int)strcspn(part, "/"), part);
    part += strlen(piece);
    for (i = 0; piece[i] != '\0'; i++)
      if (!isalnum((unsigned char)piece[i]) || (unsigned char)piece[i] > 127)
        piece[i] = '_';
    result = text_format("%s%s%s", result, *result != '\0' ? "__" : "", piece);
  }
  return isdigit((unsigned char)*result) ? text_format("_%s", result) : result;
}

/* ---- The register ---- */

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
  const char *at;
  size_t hash = (size_t)(uintptr_t)scope / sizeof(void *);
  for (at = name; *at != '\0'; at++)
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
  size_t i, old_room = claim_room;
  if (claim_room > claim_count * 2)
    return;
  claim_room = claim_room > 0 ? claim_room * 2 : 1024;
  claims = memory_new(claim_room, sizeof *claims);
  for (i = 0; i < old_room; i++)
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
  size_t i;
  for (i = 0; i < count; i++)
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
  const char *place;
  if (is_known(at, other, what))
    return;
  if (!is_to_blame(at, other)) {
    other = at;
    other_what = what;
    at = claim->at;
    what = claim->what;
  }
  place = same_place(at, other) ? ""
          : at.file == other.file
              ? text_format(" (line %u)", other.line)
              : text_format(" (%s:%u)", other.file->name, other.line);
  error_at(at, "%s and %s%s both have the name %s in C", what, other_what,
      place, claim->name);
}

void names_claim(
    const void *scope, const char *name, const char *what, struct location at) {
  struct claim *claim;
  if (is_among(name, words_of_c)) {
    error_at(
        at, "%s would have the name %s in C, which is a keyword", what, name);
    return;
  }
  make_room();
  claim = find(scope, name);
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
