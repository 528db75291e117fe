#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every source, page, script and test is in Makefile.am's lists: what is not,
# would be missing from the tarball, and a test would never run.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"

files=$(find examples include man proto scripts src tests -type f \( \
  -name '*.[chm1-9]' -o -name '*.map' -o -name '*.proto' -o -name '*.sh' -o \
  -path 'scripts/*' -o -path 'tests/data/*' \) ! -name '*.pb-c.*' \
  ! -name '*.la' ! -name '*.lo' ! -name '*.o' ! -path '*/.*' | LC_ALL=C sort)

status=0
for file in $files; do
  # A test program is listed by its own name, not by that of its one source.
  program=${file%.c}
  [ "${program#tests/}" != "$program" ] || program=$file
  grep -Eq "(^|[[:space:]=])($file|$program)([[:space:]]|\$)" Makefile.am || {
    echo "Makefile.am does not list $file"
    status=1
  }
done
[ -n "$files" ] || status=1
exit $status
