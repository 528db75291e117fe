#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Includes in src/ and between the public headers only point to the same layer
# or downwards, and libev and protobuf-c are seen only where they belong.
#
# A public header counts as the layer that implements it. codec.h declares an
# interface and no function, so it is base, as channels encode with it.
# testing.h is implemented in two layers, by two files that alone see it.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"

find src include -name '*.[ch]' | LC_ALL=C sort | xargs "${AWK:-awk}" '
BEGIN {
  below["base"] = "base"
  below["codec"] = "codec base"
  below["channel"] = "channel base"
  below["transport"] = "transport base"
  below["connection"] = "connection channel codec transport base"
  below["server"] = "server " below["connection"]
  below["client"] = "client " below["connection"]
  below["rpc"] = "rpc client server " below["connection"]
  below["testing"] = "testing transport base"

  public["address.h"] = "transport"
  public["allocator.h"] = "base"
  public["arena.h"] = "base"
  public["buffer.h"] = "base"
  public["call.h"] = "rpc"
  public["caller.h"] = "rpc"
  public["codec.h"] = "base"
  public["connect.h"] = "client"
  public["connection.h"] = "connection"
  public["dispatch.h"] = "connection"
  public["error.h"] = "base"
  public["export.h"] = "base"
  public["generated.h"] = "codec"
  public["health.h"] = "rpc"
  public["listener.h"] = "server"
  public["loop.h"] = "base"
  public["message.h"] = "codec"
  public["protobuf.h"] = "codec"
  public["schema.h"] = "base"
  public["sender.h"] = "channel"
  public["server.h"] = "rpc"
  public["service.h"] = "rpc"
  public["status.h"] = "rpc"
  public["testing.h"] = "testing"
  public["text.h"] = "codec"
  public["transport.h"] = "transport"
  public["version.h"] = "base"

  allowed["src/base/loop_test.c", "testing.h"] = 1
  allowed["src/transport/memory.c", "testing.h"] = 1
  allowed["src/base/io.h", "ev.h"] = 1
  allowed["src/base/loop_ev.c", "ev.h"] = 1
}

function complain(text) {
  printf "%s:%d: %s\n", FILENAME, FNR, text
  bad = 1
}

# The layer of this file; "" for those that may include all.
function layer_of(file, part) {
  split(file, part, "/")
  if (part[1] == "src")
    return part[2]
  if (file == "include/protosocket.h")
    return ""
  return known(part[3])
}

function known(header) {
  if (!(header in public)) {
    complain(header " has no layer yet: give it one in " script)
    return "base"
  }
  return public[header]
}

function check(target, name) {
  if ((FILENAME, name) in allowed || layer == "")
    return
  if (index(" " below[layer] " ", " " target " ") == 0)
    complain(layer " may not include " name ", which is " target)
}

FNR == 1 {
  files++
  layer = layer_of(FILENAME)
  if (layer != "" && !(layer in below)) {
    complain("no such layer: " layer)
    layer = ""
  }
}

/^[ \t]*#[ \t]*include/ {
  name = $0
  sub(/^[^<"]*[<"]/, "", name)
  sub(/[>"].*/, "", name)
  if ($0 ~ /"/) {
    if (split(name, part, "/") != 2)
      complain("write \"layer/file.h\", not \"" name "\"")
    else
      check(part[1], name)
  } else if (name ~ /^protosocket\//) {
    sub(/^protosocket\//, "", name)
    check(known(name), name)
  } else if (name == "protosocket.h") {
    complain("include the headers that are needed, not <protosocket.h>")
  } else if (name == "ev.h" && !((FILENAME, name) in allowed)) {
    complain("only the loop seam may see libev")
  } else if (name ~ /^protobuf-c\// && layer != "codec") {
    complain("only the codec layer may see protobuf-c")
  }
}

END {
  if (files == 0) {
    print "no source was found"
    bad = 1
  }
  exit bad
}' script=tests/check-layers.sh
