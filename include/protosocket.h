/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_H
#define PROTOSOCKET_H

/* All of the library but what is for tests, <protosocket/testing.h>, and for
 * generated code, <protosocket/generated.h>. */
#include <protosocket/address.h>
#include <protosocket/allocator.h>
#include <protosocket/arena.h>
#include <protosocket/buffer.h>
#include <protosocket/call.h>
#include <protosocket/caller.h>
#include <protosocket/codec.h>
#include <protosocket/connect.h>
#include <protosocket/connection.h>
#include <protosocket/dispatch.h>
#include <protosocket/error.h>
#include <protosocket/health.h>
#include <protosocket/listener.h>
#include <protosocket/loop.h>
#include <protosocket/message.h>
#include <protosocket/protobuf.h>
#include <protosocket/schema.h>
#include <protosocket/sender.h>
#include <protosocket/server.h>
#include <protosocket/service.h>
#include <protosocket/status.h>
#include <protosocket/text.h>
#include <protosocket/transport.h>
#include <protosocket/version.h>

#endif
