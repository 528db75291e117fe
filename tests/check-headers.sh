#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every public header compiles alone, and twice, as strict C11 and as C++17,
# and has the guard that its name demands.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
CC=${CC:-cc}
CXX=${CXX:-c++}
warnings='-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef -Werror'
c_flags="-std=c11 -Wstrict-prototypes -Wmissing-prototypes $warnings"
cxx_flags="-std=c++17 -Wold-style-cast $warnings"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
have_cxx=yes
echo 'int main() { return 0; }' >"$work/probe.cc"
$CXX -fsyntax-only "$work/probe.cc" >/dev/null 2>&1 || have_cxx=no

# compile FILE COMPILER FLAGS...
compile() {
  file=$1
  shift
  # shellcheck disable=SC2086
  "$@" -I"$top/include" ${PROTOBUF_C_CFLAGS-} -fsyntax-only "$file" || {
    echo "$header does not compile with: $*"
    status=1
  }
}

for path in "$top/include/protosocket.h" "$top"/include/protosocket/*.h; do
  header=${path#"$top/include/"}
  guard=$(echo "$header" | tr 'a-z/.' 'A-Z__')
  cat >"$work/header.c" <<EOF
#include <$header>
#include <$header>
#ifndef $guard
#error the guard $guard is missing
#endif
typedef int not_empty;
EOF
  cp "$work/header.c" "$work/header.cc"
  # shellcheck disable=SC2086
  compile "$work/header.c" $CC $c_flags
  if [ $have_cxx = yes ]; then
    # shellcheck disable=SC2086
    compile "$work/header.cc" $CXX $cxx_flags
  fi
done

if [ $status = 0 ] && [ $have_cxx = no ]; then
  echo "skipped: $CXX compiles no C++; as C the headers are in order"
  exit 77
fi
exit $status
