#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Bounds that hold for all C here: 80 columns, 80 lines a function, 900 lines
# a file; the licence in the first line; comments as blocks.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"

find src include examples tests tools -name '*.[ch]' \
  ! -name '*.pb-c.[ch]' ! -name '*.psock.[ch]' |
  LC_ALL=C sort | xargs "${AWK:-awk}" '
function complain(line, text) {
  printf "%s:%d: %s\n", FILENAME, line, text
  bad = 1
}

FNR == 1 {
  files++
  start = 0
  if ($0 !~ /^\/\* SPDX-License-Identifier: BSD-2-Clause \*\/$/)
    complain(1, "the first line has to be the SPDX line")
}

length($0) > 80 { complain(FNR, "wider than 80 columns") }
FNR == 901 { complain(FNR, "the file has more than 900 lines") }
/^[ \t]*\/\// { complain(FNR, "comments are blocks, not //") }

# What stands at the left edge and is neither a directive nor a comment begins
# something; it is a function if it has parentheses and no initialiser before
# the brace that opens it.
/^[ \t]*$/ && !body { start = 0 }
/^[A-Za-z_]/ && !start { start = FNR; head = "" }
start && !body {
  head = head $0
  if ($0 ~ /\{[ \t]*$/)
    body = 1
  else if ($0 ~ /[;}][ \t]*$/)
    start = 0
}
/^}/ {
  if (start && head ~ /\(/ && head !~ /[^=!<>]=[^=]/) {
    functions++
    if (FNR - start + 1 > 80)
      complain(start, "a function of " FNR - start + 1 " lines; 80 are allowed")
  }
  start = body = 0
}

END {
  if (files == 0 || functions == 0) {
    print "no source was found"
    bad = 1
  }
  exit bad
}'
