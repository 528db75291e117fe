/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KV_INPUT_H
#define KV_INPUT_H

#include <ev.h>
#include <protosocket.h>

/*
 * Lines of a file or a terminal, for a program whose calls go on while it waits
 * for the next one.
 */

struct kv_input {
  struct ev_loop *ev;
  struct ev_io watcher;
  const char *name;
  char *data;
  size_t begin, end, capacity; /* of what was read, and is not given yet */
  int is_over;
  unsigned long number; /* of the line that was given last */
};

/** Opens `path`; NULL: takes standard input. Exits if it can't be read. */
void kv_input_init(
    struct kv_input *input, struct ev_loop *ev, const char *path);
void kv_input_fini(struct kv_input *input);

/**
 * The next line, without its end and with a NUL behind it; lent until the next
 * call. Runs the loop until there is one. Returns 0 behind the last line, and
 * when `call` has ended, as then nobody wants it.
 */
int kv_input_line(struct kv_input *input, const psock_call *call,
    char **ret_line, size_t *ret_length);

#endif
