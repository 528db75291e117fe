#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# mandoc finds nothing to warn of in the manual pages.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)

command -v mandoc >/dev/null || {
  echo 'skipped: mandoc is missing'
  exit 77
}
mandoc -Tlint -Wwarning "$top"/man/*.[1-9]
