#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What the shared library exports, what the version script lists and what the
# public headers declare are the same functions, all named psock_.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
library=.libs/libprotosocket.so
export LC_ALL=C

[ -e "$library" ] || {
  echo "skipped: no shared library was built"
  exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${AWK:-awk}" -f "$top/scripts/prototypes.awk" "$top/include/protosocket.h" \
  "$top"/include/protosocket/*.h | cut -d ' ' -f 1 | sort >"$work/headers"
sed -n 's/^ *\(psock_[a-z0-9_]*\);$/\1/p' "$top/libprotosocket.map" \
  >"$work/map"
# nm prints "address type name@@NODE"; the nodes themselves have type A.
# shellcheck disable=SC2086
${NM:-nm} -D --defined-only "$library" | "${AWK:-awk}" '
  $2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$work/library"

status=0
[ -s "$work/headers" ] || {
  echo 'no prototype was found in the public headers'
  status=1
}
sort -u -c "$work/map" || {
  echo 'libprotosocket.map is not sorted'
  status=1
}
for list in map library; do
  diff -u "$work/headers" "$work/$list" || {
    echo "the $list (+) differs from the public headers (-)"
    status=1
  }
done
if grep -v '^psock_' "$work/library"; then
  echo 'these exported names do not begin with psock_'
  status=1
fi
exit $status
