#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The server and the client in README.md compile, and the one answers the
# other: over a unix socket here, as a port may be taken.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
PROTOC_C=${PROTOC_C-protoc-c}
PROTOC=${PROTOC-protoc}
PROTOC_GEN_PSOCK=${PROTOC_GEN_PSOCK-protoc-gen-psock}

[ -e .libs/libprotosocket.so ] && [ -n "$PROTOC_C" ] && [ -n "$PROTOC" ] &&
  [ -n "$PROTOC_GEN_PSOCK" ] || {
  echo "skipped: no shared library, no protoc-c, no protoc, or no plugin"
  exit 77
}
PKG_CONFIG_PATH=$(pwd)${PKG_CONFIG_PATH+:$PKG_CONFIG_PATH}
LD_LIBRARY_PATH=$(pwd)/.libs${LD_LIBRARY_PATH+:$LD_LIBRARY_PATH}
export PKG_CONFIG_PATH LD_LIBRARY_PATH
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" || :; rm -rf "$work"' EXIT
cd "$work"

# The blocks, in the order in which they stand there.
"${AWK:-awk}" '
  BEGIN { split("greeting.proto server.c client.c", names, " ") }
  /^```/ && name { name = ""; next }
  /^```(proto|c)$/ { name = names[++blocks]; next }
  name { print >name }
' "$top/README.md"
"$PROTOC_C" --c_out=. greeting.proto
"$PROTOC" --plugin=protoc-gen-psock="$PROTOC_GEN_PSOCK" --psock_out=. \
  greeting.proto
for program in server client; do
  # shellcheck disable=SC2046,SC2086
  ${CC:-cc} -Wall -Wextra -Werror ${TEST_CFLAGS-} -o $program $program.c \
    greeting.pb-c.c greeting.psock.c $(${PKG_CONFIG:-pkg-config} --cflags --libs protosocket)
done

./server unix:greeting.socket >server.out &
server=$!
said=
for _ in $(seq 100); do
  said=$(timeout 10 ./client unix:greeting.socket World 2>&1) || :
  case $said in
  *refused* | *'no such file'*) sleep 0.1 ;;
  *) break ;;
  esac
done
[ "$said" = 'Hello, World!' ] || {
  echo "the client said: $said"
  exit 1
}
