#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every block in the EXAMPLES of the manual pages is a source that compiles.
# Messages point to the line of the page.
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

# Writes each block to NAME-NUMBER.c, without the escapes of mdoc. In section 3
# every block is a source; elsewhere, those that begin with an #include.
"${AWK:-awk}" -v work="$work" '
/^\.Sh / { examples = $2 == "EXAMPLES" }
/^\.Ed/ && output { close(output); output = "" }
fresh {
  fresh = 0
  if (FILENAME !~ /\.3$/ && !/^#include/)
    next
  output = work "/" name "-" ++blocks ".c"
  print "#line " FNR " \"" FILENAME "\"" >output
}
output {
  gsub(/\\&/, "")
  gsub(/\\-/, "-")
  gsub(/\\\(aq/, "\047")
  gsub(/\\\(dq/, "\"")
  gsub(/\\e/, "\\")
  print >output
}
/^\.Bd/ && examples {
  name = FILENAME
  sub(/.*\//, "", name)
  fresh = 1
}' man/*.[1-9]

status=0
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
