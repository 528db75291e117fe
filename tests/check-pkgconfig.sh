#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A program builds and runs with nothing but what pkg-config says about the
# library in its build directory, the version is the same everywhere, and the
# plugin, if it was built, and the options are where it says.
set -eu
library=.libs/libprotosocket.so
PKG_CONFIG=${PKG_CONFIG:-pkg-config}

[ -e "$library" ] || {
  echo "skipped: no shared library was built"
  exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PKG_CONFIG_PATH=$(pwd)${PKG_CONFIG_PATH+:$PKG_CONFIG_PATH}
LD_LIBRARY_PATH=$(pwd)/.libs${LD_LIBRARY_PATH+:$LD_LIBRARY_PATH}
export PKG_CONFIG_PATH LD_LIBRARY_PATH

cat >"$work/version.c" <<'EOF'
#include <ev.h>
#include <protosocket.h>
#include <stdio.h>

int main(void) {
  psock_loop *loop;

  if (psock_loop_new(ev_default_loop(0), NULL, &loop) != 0)
    return 1;
  psock_loop_free(loop);
  printf("%s %d.%d.%d %s\n", PSOCK_VERSION, PSOCK_VERSION_MAJOR,
      PSOCK_VERSION_MINOR, PSOCK_VERSION_PATCH, psock_version());
  return 0;
}
EOF
# shellcheck disable=SC2046,SC2086
${CC:-cc} ${TEST_CFLAGS-} -o "$work/version" "$work/version.c" \
  $($PKG_CONFIG --cflags --libs protosocket)
said=$("$work/version")
version=$($PKG_CONFIG --modversion protosocket)
[ "$said" = "$version $version $version" ] || {
  echo "protosocket.pc says $version; the headers (twice) and the library: $said"
  exit 1
}
[ "${VERSION-$version}" = "$version" ] || {
  echo "configure.ac says $VERSION, protosocket.pc $version"
  exit 1
}
plugin=$($PKG_CONFIG --variable=protoc_gen_psock protosocket)
if [ -e "$plugin" ]; then
  said=$("$plugin" --version)
  [ "$said" = "protoc-gen-psock $version" ] || {
    echo "$plugin says $said"
    exit 1
  }
fi
protodir=$($PKG_CONFIG --variable=protodir protosocket)
[ -f "$protodir/protosocket/options.proto" ] || {
  echo "there is no protosocket/options.proto in $protodir"
  exit 1
}
