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
  Hello__Name name = HELLO__NAME__INIT;
  const Hello__Greeting *greeting;
  struct psock_address address;
  psock_loop *loop;
  psock_caller *caller;
  psock_call *call;
  check(psock_address_parse(argc == 3 ? argv[1] : "", &address));
  check(psock_loop_new(EV_DEFAULT, NULL, &loop));
  check(psock_caller_connect(loop, &address, NULL, &caller));
  name.name = argv[2];
  int code = hello__greeter__greet__run(caller, &name, NULL, &greeting, &call);
  check(code);
  if (code != PSOCK_STATUS_OK)
    errx(1, "%s", psock_call_get_status(call)->text);
  puts(greeting->text);
  psock_call_unref(call);
  psock_caller_free(caller);
  psock_loop_free(loop);
}
