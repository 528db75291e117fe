#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# python.sh TEST.py: runs a test of the programs, which needs Python 3.8 or
# later and nothing besides. Without it the test is skipped.
set -eu

python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null || {
  echo '1..0 # SKIP python3, 3.8 or later, is missing'
  exit 0
}
# The sources may lie where nothing can be written: no byte code there.
exec python3 -B "$@"
