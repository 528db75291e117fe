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
  const char *usage;           /* what --help prints, */
  const char *options;         /* of a server: of its own options; or NULL, */
  const char *default_address; /* and where it listens without -l */
  /* The long options, when there are more than --help and --version. */
  const struct option *words;
  int has_operands; /* what is no option is for the program to look at */
};
extern const struct program program;

/** What the numbers of a program's own long options begin with. */
#define COMMON_WORD 256

/** The end of `words`: the long options that all programs have. */
#define COMMON_WORDS                                                           \
  {"help", no_argument, NULL, COMMON_WORD - 1},                                \
      {"version", no_argument, NULL, COMMON_WORD - 2}, {                       \
    NULL, 0, NULL, 0                                                           \
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
 * The next option's letter, or its number in `words`, its argument in `optarg`,
 * or -1 behind the last. `letters` is that of getopt(3), with a colon in front.
 * Sees to --help and --version, and to options and arguments that there aren't.
 */
int common_option(int argc, char **argv, const char *letters);

/** `text`, given with `option` ("-l"), as an address or as a number from
 * `least` to `most`. */
struct psock_address common_address(const char *option, const char *text);
unsigned long common_number(const char *option, const char *text,
    unsigned long least, unsigned long most);

/** "NOT_FOUND: there is no such key", or the name alone if there is no text.
 * Lent until the next call. */
const char *common_status(const struct psock_status *status);

/** A codec of messages of `type`; `limits` may be NULL. */
psock_codec *common_codec(const struct psock_message_type *type,
    const struct psock_protobuf_options *limits);

/** A loop of the library on `ev`, which logs warnings to standard error. */
psock_loop *common_loop(struct ev_loop *ev);

#define COMMON_MAX_ADDRESSES 16

/** Where a server listens; all zero: at its default address. */
struct common_addresses {
  const char *texts[COMMON_MAX_ADDRESSES];
  unsigned count;
};

/** Adds the argument of an option -l. */
void common_add_address(struct common_addresses *addresses, const char *text);

/**
 * A server's life: listens at every -l ADDRESS, prints the addresses, runs,
 * and after SIGTERM or SIGINT drains. The caller returns from main with what
 * this returns.
 */
int common_serve(
    int argc, char **argv, const struct psock_listener_options *options);

/**
 * The same for a server of calls, whose program has read its options by itself.
 * Frees `calls` at the end, and says before that, if `verbose`, what it has
 * done. `ev` is that of its loop.
 */
int common_serve_calls(struct ev_loop *ev, psock_server *calls,
    const struct common_addresses *addresses, int verbose);

#endif
