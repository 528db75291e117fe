/* SPDX-License-Identifier: BSD-2-Clause */
#include "greeting.psock.h"
#include <err.h>
#include <ev.h>
#include <protosocket.h>
#include <stdio.h>

static void on_greet(void *state, psock_call *call, const Hello__Name *name) {
  (void)state;
  char text[100];
  Hello__Greeting greeting = HELLO__GREETING__INIT;
  snprintf(text, sizeof text, "Hello, %s!", name->name);
  greeting.text = text;
  hello__greeter__greet__reply(call, &greeting);
}

static void check(int error) {
  if (error < 0)
    errx(1, "%s", psock_strerror(error));
}

static const struct hello__greeter__handlers handlers = {
    .size = sizeof handlers, .on_greet = on_greet};

int main(int argc, char **argv) {
  struct psock_address address;
  psock_loop *loop;
  psock_server *server;
  check(psock_address_parse(argc > 1 ? argv[1] : "", &address));
  check(psock_loop_new(EV_DEFAULT, NULL, &loop));
  check(psock_server_new(loop, NULL, &server));
  check(psock_server_add(server, &hello__greeter__service, &handlers, NULL));
  check(psock_server_listen(server, &address, NULL, NULL));
  ev_run(EV_DEFAULT, 0);
}
