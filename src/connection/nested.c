/* SPDX-License-Identifier: BSD-2-Clause */
#include "codec/protobuf.h"
#include "connection/connection.h"

/*
 * Messages inside the one that is being given, whose bytes the codec has left
 * where they were received until somebody knows their type. They are decoded
 * into the arena behind the message, and go with it. What points into the bytes
 * makes the message one that does: who keeps it then keeps the block, too.
 */

int psock_connection_decode(psock_connection *connection,
    const struct psock_protobuf_limits *limits,
    const struct psock_message_type *type, const uint8_t *bytes, size_t length,
    const void **ret_message) {
  struct psock_decoded *lent = connection->lent;
  struct psock_decoded decoded = {0};
  if (lent == NULL)
    return PSOCK_EINVAL;
  int error = psock_protobuf_decode(
      limits, type, bytes, length, connection->loop->arena, &decoded);
  if (error != PSOCK_DECODE_MESSAGE)
    return error;
  if (!decoded.detached)
    lent->detached = 0;
  *ret_message = decoded.message;
  return 0;
}

size_t psock_connection_given_length(const psock_connection *connection) {
  return connection->lent == NULL ? 0 : connection->lent->consumed;
}
