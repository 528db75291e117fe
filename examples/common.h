/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef COMMON_H
#define COMMON_H

#include <getopt.h>
#include <protosocket.h>

/*
 * What the examples share: options, sentences for mistakes, and what is the
 * same in every server, which is to listen, to say where, and to end in good
 * order. Nothing of it is needed to use the library.
 */

/** Each program defines one. */
struct program {
  const char *name;
  const char *usage;           /* what --help prints */
  const char *default_address; /* of a server, when there is no -l */
};
extern const struct program program;

/** The `program` of a server; `does`: what it does, in whole lines. */
#define COMMON_SERVER(its_name, does, address)                                 \
  {                                                                            \
    .name = its_name,                                                          \
    .usage =                                                                   \
        "usage: " its_name " [-l ADDRESS]...\n" does "\n"                      \
        "  -l ADDRESS  listen at tcp:HOST:PORT, unix:PATH or unix:@NAME; "     \
        "may be given\n              several times; default " address "\n"     \
        "  --help      print this\n"                                           \
        "  --version   print the version of the library\n\n"                   \
        "SIGTERM and SIGINT end it, once what was begun is finished.\n",       \
    .default_address = address                                                 \
  }

/** Prints one line, with the program's name in front, to standard error. */
__attribute__((format(printf, 1, 2))) void common_warn(const char *format, ...);

/** As common_warn, and exits with status 1. */
__attribute__((format(printf, 1, 2))) _Noreturn void common_fail(
    const char *format, ...);

/** As common_fail, for mistakes on the command line: status 2. */
__attribute__((format(printf, 1, 2))) _Noreturn void common_misuse(
    const char *format, ...);

/**
 * The next option's letter, its argument in `optarg`, or -1 behind the last.
 * `letters` is that of getopt(3), with a colon in front. Sees to --help and
 * --version, and to options and arguments that there aren't.
 */
int common_option(int argc, char **argv, const char *letters);

/** `text`, given with `option`, as an address or as a number from `least` to
 * `most`. */
struct psock_address common_address(char option, const char *text);
unsigned long common_number(
    char option, const char *text, unsigned long least, unsigned long most);

/** A codec of messages of `type`; `limits` may be NULL. */
psock_codec *common_codec(const struct psock_message_type *type,
    const struct psock_protobuf_options *limits);

/** A loop of the library on `ev`, which logs warnings to standard error. */
psock_loop *common_loop(struct ev_loop *ev);

/**
 * A server's life: listens at every -l ADDRESS, prints the addresses, runs,
 * and after SIGTERM or SIGINT drains. The caller returns from main with what
 * this returns.
 */
int common_serve(
    int argc, char **argv, const struct psock_listener_options *options);

#endif
