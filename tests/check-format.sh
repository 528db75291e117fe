#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# clang-format, with .clang-format, would change nothing. Version 14 decides:
# others differ in details.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"

tool=
for candidate in clang-format-14 clang-format; do
  if "$candidate" --version 2>/dev/null | grep -q 'version 14\.'; then
    tool=$candidate
    break
  fi
done
[ -n "$tool" ] || {
  echo 'skipped: clang-format 14 is missing'
  exit 77
}

# What git tracks, or would; in a tarball, what lies there.
sources=$([ -e .git ] &&
  git ls-files --cached --others --exclude-standard '*.c' '*.h' |
    grep -v '\.psock\.[ch]$') ||
  sources=$(find src include examples tests tools -name '*.[ch]' \
    ! -name '*.pb-c.*' ! -name '*.psock.*')
[ -n "$sources" ] || {
  echo 'no source was found'
  exit 1
}
echo "$sources" | xargs "$tool" --dry-run -Werror
