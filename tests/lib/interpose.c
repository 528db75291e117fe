/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib/interpose.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

/*
 * The linker takes these definitions for the library, which the tests link as
 * objects, and for libev and everything else too. RTLD_NEXT finds the function
 * that would have been called, which is a sanitizer's where there is one.
 */

struct plan {
  unsigned calls;
  unsigned from; /* 0: none fails */
  unsigned count;
  int error;
};

static struct plan plans[CALLS + 1];
static size_t limits[CALLS];
static bool interrupting;
static bool interrupted[CALLS];
static uint64_t clock_offset;

static void set_plan(int index, unsigned from, unsigned count, int error) {
  plans[index] = (struct plan){.from = from, .count = count, .error = error};
}

void interpose_fail(enum call call, unsigned from, unsigned count, int error) {
  set_plan((int)call, from, count, error);
}

void interpose_fail_any(unsigned from, unsigned count, int error) {
  set_plan(CALLS, from, count, error);
}

void interpose_interrupt_all(void) {
  interrupting = true;
}

void interpose_limit(enum call call, size_t length) {
  limits[call] = length;
}

unsigned interpose_count(enum call call) {
  return plans[call].calls;
}

void interpose_advance_clock(uint64_t nanoseconds) {
  clock_offset += nanoseconds;
}

static int planned(struct plan *plan) {
  plan->calls++;
  if (plan->from == 0 || plan->calls < plan->from ||
      plan->calls - plan->from >= plan->count)
    return 0;
  return plan->error;
}

/* The calls that a signal can interrupt. */
static bool can_be_interrupted(enum call call) {
  return call == CALL_RECV || call == CALL_SEND || call == CALL_ACCEPT4;
}

/* The error that this call fails with, or 0. */
static int fault(enum call call) {
  int any = planned(&plans[CALLS]);
  int error = planned(&plans[call]);
  if (error == 0)
    error = any;
  if (error == 0 && interrupting && can_be_interrupted(call)) {
    interrupted[call] = !interrupted[call];
    error = interrupted[call] ? EINTR : 0;
  }
  return error;
}

/* Whether this call fails; sets errno. */
static bool fails(enum call call) {
  int error = fault(call);
  if (error == 0)
    return false;
  errno = error;
  return true;
}

/* dlsym gives an object's pointer, which C does not turn into a function's. */
static void find(void *function, const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (found == NULL)
    abort();
  memcpy(function, &found, sizeof found);
}

/* Seen by libev too, which is a shared library, however this is compiled. */
#pragma GCC visibility push(default)

ssize_t recv(int fd, void *buffer, size_t length, int flags) {
  ssize_t (*real)(int, void *, size_t, int);
  int error = fault(CALL_RECV);
  if (error == INTERPOSE_END)
    return 0;
  if (error != 0) {
    errno = error;
    return -1;
  }
  find(&real, "recv");
  if (limits[CALL_RECV] > 0 && length > limits[CALL_RECV])
    length = limits[CALL_RECV];
  return real(fd, buffer, length, flags);
}

ssize_t send(int fd, const void *buffer, size_t length, int flags) {
  ssize_t (*real)(int, const void *, size_t, int);
  if (fails(CALL_SEND))
    return -1;
  find(&real, "send");
  if (limits[CALL_SEND] > 0 && length > limits[CALL_SEND])
    length = limits[CALL_SEND];
  return real(fd, buffer, length, flags);
}

/* sendmsg of no more than `limit` bytes, which are less than there are. */
static ssize_t send_some(ssize_t (*real)(int, const struct msghdr *, int),
    int fd, const struct msghdr *message, size_t limit, int flags) {
  struct iovec vectors[1024];
  struct msghdr shorter = *message;
  size_t count = 0;
  for (; count < message->msg_iovlen && limit > 0; count++) {
    vectors[count] = message->msg_iov[count];
    if (vectors[count].iov_len > limit)
      vectors[count].iov_len = limit;
    limit -= vectors[count].iov_len;
  }
  shorter.msg_iov = vectors;
  shorter.msg_iovlen = count;
  return real(fd, &shorter, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  ssize_t (*real)(int, const struct msghdr *, int);
  if (fails(CALL_SEND))
    return -1;
  find(&real, "sendmsg");
  if (limits[CALL_SEND] > 0)
    return send_some(real, fd, message, limits[CALL_SEND], flags);
  return real(fd, message, flags);
}

int accept4(int fd, __SOCKADDR_ARG address, socklen_t *length, int flags) {
  int (*real)(int, struct sockaddr *, socklen_t *, int);
  if (fails(CALL_ACCEPT4))
    return -1;
  find(&real, "accept4");
  return real(fd, address.__sockaddr__, length, flags);
}

int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length) {
  int (*real)(int, const struct sockaddr *, socklen_t);
  if (fails(CALL_CONNECT))
    return -1;
  find(&real, "connect");
  return real(fd, address.__sockaddr__, length);
}

int shutdown(int fd, int how) {
  int (*real)(int, int);
  if (fails(CALL_SHUTDOWN))
    return -1;
  find(&real, "shutdown");
  return real(fd, how);
}

int socket(int domain, int type, int protocol) {
  int (*real)(int, int, int);
  if (fails(CALL_SOCKET))
    return -1;
  find(&real, "socket");
  return real(domain, type, protocol);
}

int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t length) {
  int (*real)(int, const struct sockaddr *, socklen_t);
  if (fails(CALL_BIND))
    return -1;
  find(&real, "bind");
  return real(fd, address.__sockaddr__, length);
}

int listen(int fd, int backlog) {
  int (*real)(int, int);
  if (fails(CALL_LISTEN))
    return -1;
  find(&real, "listen");
  return real(fd, backlog);
}

int eventfd(unsigned int count, int flags) {
  int (*real)(unsigned int, int);
  if (fails(CALL_EVENTFD))
    return -1;
  find(&real, "eventfd");
  return real(count, flags);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  int (*real)(clockid_t, struct timespec *);
  find(&real, "clock_gettime");
  int result = real(clock, time);
  if (result != 0 || clock != CLOCK_MONOTONIC)
    return result;
  uint64_t nanoseconds = (uint64_t)time->tv_nsec + clock_offset;
  time->tv_sec += (time_t)(nanoseconds / 1000000000u);
  time->tv_nsec = (long)(nanoseconds % 1000000000u);
  return 0;
}

#pragma GCC visibility pop
