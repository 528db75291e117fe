#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The shared library has the soname and the protections that configure means
# to give it; a probe that goes wrong there would do so silently.
set -eu
library=.libs/libprotosocket.so
soname=libprotosocket.so.0

[ -e "$library" ] || {
  echo "skipped: no shared library was built"
  exit 77
}
command -v readelf >/dev/null || {
  echo 'skipped: readelf is missing'
  exit 77
}

status=0
# expect WHAT PATTERN: some line of $found matches PATTERN.
expect() {
  echo "$found" | grep -Eq "$2" || {
    echo "$library: $1 is missing"
    status=1
  }
}

found=$(readelf -dW "$library")
expect "the soname $soname" "SONAME.*\[$soname\]"
expect 'binding at start (-z now)' 'BIND_NOW|FLAGS_1.*NOW'
if echo "$found" | grep -E 'TEXTREL|RPATH|RUNPATH'; then
  echo "$library: has text relocations or a run path"
  status=1
fi
found=$(readelf -lW "$library")
expect 'relocations made read-only (-z relro)' 'GNU_RELRO'
expect 'a stack that is not executable' 'GNU_STACK .* RW '
exit $status
