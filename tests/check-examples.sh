#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every block in the EXAMPLES of the manual pages is a source that compiles.
# Messages point to the line of the page. And the tutorial in protosocket-rpc(7)
# is what stands in examples/tutorial.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
build=$(pwd)
CC=${CC:-cc}

[ -f proto/echo.psock.h ] || {
  echo "skipped: the build has not made proto/echo.psock.h"
  exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$top"

# What mdoc wants escaped, as it is read.
plain='
function plain(line) {
  gsub(/\\&/, "", line)
  gsub(/\\-/, "-", line)
  gsub(/\\\(aq/, "\047", line)
  gsub(/\\\(dq/, "\"", line)
  gsub(/\\e/, "\\", line)
  return line
}'

# Writes each block to NAME-NUMBER.c, without the escapes of mdoc. In section 3
# every block is a source; elsewhere, those that begin with an #include.
"${AWK:-awk}" -v work="$work" "$plain"'
/^\.Sh / { examples = $2 == "EXAMPLES" }
/^\.Ed/ && output { close(output); output = "" }
fresh {
  fresh = 0
  if (FILENAME !~ /\.3$/ && !/^#include/)
    next
  output = work "/" name "-" ++blocks ".c"
  print "#line " FNR " \"" FILENAME "\"" >output
}
output { print plain($0) >output }
/^\.Bd/ && examples {
  name = FILENAME
  sub(/.*\//, "", name)
  fresh = 1
}' man/*.[1-9]

# The tutorial: the first blocks of its section, but for the SPDX lines.
status=0
"${AWK:-awk}" -v work="$work" "$plain"'
BEGIN { split("greeting.proto server.c client.c", names, " ") }
/^\.Sh / { inside = /A SERVER AND A CLIENT/ }
/^\.Ed/ && output { close(output); output = "" }
output { print plain($0) >output }
/^\.Bd/ && inside && ++blocks in names {
  output = work "/tutorial-" names[blocks]
}' man/protosocket-rpc.7
for name in greeting.proto server.c client.c; do
  sed 1d "examples/tutorial/$name" | diff -u - "$work/tutorial-$name" || {
    echo "protosocket-rpc(7) does not have examples/tutorial/$name as it is"
    status=1
  }
  rm -f "$work/tutorial-$name"
done

for example in "$work"/*.c; do
  [ -f "$example" ] || {
    echo 'no example was found'
    exit 1
  }
  # shellcheck disable=SC2086
  $CC -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -I"$top/include" \
    -I"$build/proto" ${PROTOBUF_C_CFLAGS-} ${LIBEV_CFLAGS-} -fsyntax-only \
    "$example" || status=1
done
exit $status
