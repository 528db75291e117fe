/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/call.h"

/*
 * Interceptors are called in the order in which they are listed, and told of
 * the end in the reverse one, as if each were around those behind it.
 */

size_t psock_interceptors_begin(const struct psock_interceptor *const *list,
    size_t count, psock_call *call, int *ret_refused,
    struct psock_status *ret_status) {
  *ret_refused = 0;
  for (size_t i = 0; i < count; i++) {
    struct psock_status status = psock_status_of(PSOCK_STATUS_OK, NULL);
    if (list[i]->begin == NULL ||
        list[i]->begin(list[i]->data, call, &status) == 0)
      continue;
    /* One that refuses without a reason has still refused. */
    if (status.code == PSOCK_STATUS_OK)
      status.code = PSOCK_STATUS_UNKNOWN;
    *ret_refused = 1;
    *ret_status = status;
    return i;
  }
  return count;
}

void psock_interceptors_end(const struct psock_interceptor *const *list,
    size_t begun, psock_call *call, const struct psock_status *status) {
  while (begun-- > 0)
    if (list[begun]->ended != NULL)
      list[begun]->ended(list[begun]->data, call, status);
}
