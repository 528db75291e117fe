#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The server and the client of examples/tutorial, with which protosocket-rpc(7)
# begins, compile as anybody would compile them, and the one answers the other.
# That the page has the same text is seen to by check-examples.sh.
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

fail() {
  echo "$1"
  exit 1
}

cp "$top/examples/tutorial/"* .
lines=$(cat server.c client.c | grep -v '^$' | grep -vc SPDX)
[ "$lines" -lt 60 ] || fail "server.c and client.c have $lines lines"
"$PROTOC_C" --c_out=. greeting.proto
"$PROTOC" --plugin=protoc-gen-psock="$PROTOC_GEN_PSOCK" --psock_out=. \
  greeting.proto
for program in server client; do
  # shellcheck disable=SC2046,SC2086
  ${CC:-cc} -Wall -Wextra -Werror ${TEST_CFLAGS-} -o $program $program.c \
    greeting.pb-c.c greeting.psock.c \
    $(${PKG_CONFIG:-pkg-config} --cflags --libs protosocket)
done

# says STATUS WORDS ARGUMENT...: the client, with these, says the words.
says() {
  wanted=$1
  words=$2
  shift 2
  status=0
  said=$(timeout 20 ./client "$@" 2>&1) || status=$?
  [ "$status" = "$wanted" ] || fail "client $*: status $status: $said"
  case $said in
  *"$words"*) ;;
  *) fail "client $*: $said" ;;
  esac
}

says 1 'client: ' unix:socket World
says 1 'client: the address is not understood' nowhere World
timeout 20 ./server nowhere 2>server.said && fail 'the server is nowhere'
grep -q 'server: the address is not understood' server.said ||
  fail "the server said: $(cat server.said)"

./server unix:socket &
server=$!
for _ in $(seq 100); do
  ! timeout 20 ./client unix:socket World >/dev/null 2>&1 || break
  sleep 0.1
done
says 0 'Hello, World!' unix:socket World
says 0 'Hello, Ann!' unix:socket Ann
says 0 'Hello, !' unix:socket ''
says 1 'client: the address is not understood' unix:socket
