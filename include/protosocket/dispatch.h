/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_DISPATCH_H
#define PROTOSOCKET_DISPATCH_H

#include <protosocket/connection.h>
#include <protosocket/export.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Dispatch: of a message that is one of several things, a oneof, each thing has
 * a handler of its own. protoc-gen-psock generates, for a message Foo, the
 * struct of handlers foo__handlers, the table foo__dispatch, and foo__reactor,
 * which makes a reactor of handlers and a state; see psock_dispatch(3).
 */

PSOCK_BEGIN_DECLS

/**
 * Calls one typed handler out of `handlers`. Returns 1, or 0 if that handler
 * is not set.
 */
typedef int psock_dispatch_call(const void *handlers, void *state,
    psock_connection *connection, const void *message);

/** Generated: what to call for the field with this number. A row never gets
 * another member. */
struct psock_dispatch_row {
  uint32_t field;
  psock_dispatch_call *call;
};

/** Generated; constant. */
struct psock_dispatch_table {
  size_t size;        /* sizeof(struct psock_dispatch_table) */
  const void *type;   /* of the messages, as in struct psock_codec */
  size_t case_offset; /* where the message says which field is set */
  const struct psock_dispatch_row *rows; /* by rising field number */
  size_t row_count;
  psock_dispatch_call *rest; /* for everything else */
};

/**
 * Gives `message` to the handler for the field of the oneof that is set. If
 * that handler is not set, or no field is, or one that this program's schema
 * does not have (it is among the message's unknown fields), it goes to `rest`;
 * if that is not set either, nothing happens. A reactor that foo__reactor made
 * does this by itself. All are borrowed until return. Loop's thread.
 */
PSOCK_API void psock_dispatch(const struct psock_dispatch_table *table,
    const void *handlers, void *state, psock_connection *connection,
    const void *message);

PSOCK_END_DECLS

#endif
