/* SPDX-License-Identifier: BSD-2-Clause */
#include "names.h"
#include "memory.h"
#include <ctype.h>
#include <string.h>

/*
 * Names. The generated code works on structs that protoc-c has declared, so it
 * has to call everything as protoc-c 1.4.1 does: a type's name has its words
 * joined (foo_bar and FooBar both become FooBar), a function's or an object's
 * is in lower case with an underscore wherever a small letter stands before a
 * capital one, a constant's is the same in upper case. The parts of a full name
 * are joined by two underscores.
 *
 * So different names in a schema can be the same in C; see register.c.
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

bool names_is_among(const char *word, const char *words) {
  const char *found = words;
  size_t length = strlen(word);
  while (length > 0 && (found = strstr(found, word)) != NULL) {
    if (found > words && found[-1] == ' ' && found[length] == ' ')
      return true;
    found++;
  }
  return false;
}

static bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool names_is_identifier(const char *text) {
  if (!is_letter(*text))
    return false;
  while (is_letter(*text) || (*text >= '0' && *text <= '9'))
    text++;
  return *text == '\0';
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
  for (char *at = result; *at != '\0'; at++)
    *at = (char)tolower((unsigned char)*at);
  result[strlen(name)] = '\0';
  if (names_is_among(result, keywords))
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
  size_t length = strlen(file_name);
  for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
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
  for (; *part != '\0'; part += *part == '/') {
    char *piece = text_format("%.*s", (int)strcspn(part, "/"), part);
    part += strlen(piece);
    for (size_t i = 0; piece[i] != '\0'; i++)
      if (!isalnum((unsigned char)piece[i]) || (unsigned char)piece[i] > 127)
        piece[i] = '_';
    result = text_format("%s%s%s", result, *result != '\0' ? "__" : "", piece);
  }
  return isdigit((unsigned char)*result) ? text_format("_%s", result) : result;
}
