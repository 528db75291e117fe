#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every source, page, script and test is in Makefile.am's lists: what is not,
# would be missing from the tarball, and a test would never run. And no file
# has a name that only a slip of the shell can have given it.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"

# Every file here but what a build in the source directory makes.
find_files() {
  find bench examples include man proto scripts src tests tools -type f \
    ! -path '*/.*' ! -path '*/__pycache__/*' ! -name '*.pb-c.*' \
    ! -name '*.psock.*' "$@" |
    LC_ALL=C sort
}

status=0
strange=$(find_files -name '*[!A-Za-z0-9._-]*')
[ -z "$strange" ] || {
  echo "strange names: $(echo "$strange" | head -n 5) ..."
  status=1
}

files=$(find_files \( -name '*.[ch1-9]' -o -name '*.awk' -o -name '*.md' \
  -o -name '*.proto' -o -name '*.py' -o -name '*.sh' -o -name '*.tap' \
  -o -path 'scripts/*' -o -path 'tests/data/*' \) \
  ! -name '*[!A-Za-z0-9._-]*')
[ -n "$files" ] || status=1
for file in $files; do
  # A test program is listed by its own name, not by that of its one source;
  # and a directory of many small files by its own.
  program=${file%.c}
  [ "${program#tests/}" != "$program" ] || program=$file
  names="$file|$program|$(dirname "$file")"
  grep -Eq "(^|[[:space:]=])($names)([[:space:]]|\$)" Makefile.am || {
    echo "Makefile.am does not list $file"
    status=1
  }
done
exit $status
