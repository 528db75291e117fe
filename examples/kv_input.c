/* SPDX-License-Identifier: BSD-2-Clause */
#include "kv_input.h"
#include "common.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * A program that waited in read(2) would not answer its server's pings, nor
 * hear that its call has ended. So the file is one more watcher on the loop
 * that the library uses, and waiting for a line is running this loop.
 */

#define PART (64u << 10)
#define MAX_LINE (4u << 20)

static void make_room(struct kv_input *input) {
  size_t length = input->end - input->begin;
  if (length > MAX_LINE)
    common_fail(
        "%s: line %lu has more than 4 MiB", input->name, input->number + 1);
  memmove(input->data, input->data + input->begin, length);
  input->begin = 0;
  input->end = length;
  if (input->capacity - length >= PART)
    return;
  input->capacity += PART + length;
  input->data = realloc(input->data, input->capacity + 1);
  if (input->data == NULL)
    common_fail("out of memory");
}

static void on_readable(struct ev_loop *ev, struct ev_io *watcher, int events) {
  (void)ev;
  (void)events;
  struct kv_input *input = watcher->data;
  make_room(input);
  ssize_t count =
      read(watcher->fd, input->data + input->end, input->capacity - input->end);
  if (count > 0)
    input->end += (size_t)count;
  else if (count == 0)
    input->is_over = 1;
  else if (errno != EINTR && errno != EAGAIN)
    common_fail("%s: %s", input->name, strerror(errno));
}

void kv_input_init(
    struct kv_input *input, struct ev_loop *ev, const char *path) {
  *input = (struct kv_input){.ev = ev, .name = path, .capacity = PART};
  int fd = STDIN_FILENO;
  if (path != NULL)
    fd = open(path, O_RDONLY | O_CLOEXEC);
  else
    input->name = "standard input";
  if (fd < 0 || fcntl(fd, F_GETFD) < 0)
    common_fail("%s: %s", input->name, strerror(errno));
  input->data = malloc(PART + 1);
  if (input->data == NULL)
    common_fail("out of memory");
  ev_io_init(&input->watcher, on_readable, fd, EV_READ);
  input->watcher.data = input;
}

void kv_input_fini(struct kv_input *input) {
  if (input->watcher.fd != STDIN_FILENO)
    close(input->watcher.fd);
  free(input->data);
}

int kv_input_line(struct kv_input *input, const psock_call *call,
    char **ret_line, size_t *ret_length) {
  for (;;) {
    char *line = input->data + input->begin;
    size_t length = input->end - input->begin;
    const char *feed = memchr(line, '\n', length);
    if (psock_call_get_status(call) != NULL)
      return 0;
    if (feed != NULL || (input->is_over && length > 0)) {
      *ret_length = feed != NULL ? (size_t)(feed - line) : length;
      line[*ret_length] = '\0';
      input->begin += *ret_length + (feed != NULL);
      input->number++;
      *ret_line = line;
      return 1;
    }
    if (input->is_over)
      return 0;
    ev_io_start(input->ev, &input->watcher);
    ev_run(input->ev, EVRUN_ONCE);
    ev_io_stop(input->ev, &input->watcher);
  }
}
