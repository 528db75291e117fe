/* SPDX-License-Identifier: BSD-2-Clause */
#include "greeting.psock.h"
#include <err.h>
#include <ev.h>
#include <protosocket.h>
#include <stdio.h>

static void check(int error) {
  if (error < 0)
    errx(1, "%s", psock_strerror(error));
}

int main(int argc, char **argv) {
  Greeting__Name name = GREETING__NAME__INIT;
  const Greeting__Greeting *greeting;
  struct psock_address address;
  psock_loop *loop;
  psock_caller *caller;
  psock_call *call;
  check(psock_address_parse(argc > 1 ? argv[1] : "", &address));
  check(psock_loop_new(EV_DEFAULT, NULL, &loop));
  check(psock_caller_connect(loop, &address, NULL, &caller));
  if (argc > 2)
    name.name = argv[2];
  int code =
      greeting__greeter__greet__run(caller, &name, NULL, &greeting, &call);
  check(code);
  if (code != PSOCK_STATUS_OK)
    errx(1, "%s", psock_call_get_status(call)->text);
  puts(greeting->text);
  psock_call_unref(call);
  psock_caller_free(caller);
  psock_loop_free(loop);
  return 0;
}
