/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PROTOSOCKET_HEALTH_H
#define PROTOSOCKET_HEALTH_H

#include <protosocket/export.h>
#include <protosocket/loop.h>
#include <protosocket/server.h>

/*
 * protosocket.rpc.Health (proto/protosocket/rpc.proto's neighbour
 * health.proto): says of each service whether it is serving. Check answers
 * once, Watch at once and then with each change. Loop's thread.
 */

PSOCK_BEGIN_DECLS

typedef struct psock_health psock_health;

/** What is said of a service; the numbers are those on the wire. */
enum psock_serving {
  PSOCK_SERVING_UNKNOWN = 0,
  PSOCK_SERVING = 1,
  PSOCK_NOT_SERVING = 2
};

/** Makes a health service in which "" (the whole server) is serving, and
 * nothing else is known. Returns 0 or PSOCK_ENOMEM. */
PSOCK_API PSOCK_NODISCARD int psock_health_new(
    psock_loop *loop, psock_health **ret_health);

/** Serves it, as psock_server_add. It has to last as long as the server. */
PSOCK_API PSOCK_NODISCARD int psock_health_add(
    psock_health *health, psock_server *server);

/** Says what `service` ("package.Service", copied; "": the whole server) is
 * doing from now on, and tells those who watch. Returns 0 or PSOCK_ENOMEM. */
PSOCK_API PSOCK_NODISCARD int psock_health_set(
    psock_health *health, const char *service, enum psock_serving serving);

/** Frees it, after every server that serves it. NULL is allowed. */
PSOCK_API void psock_health_free(psock_health *health);

PSOCK_END_DECLS

#endif
