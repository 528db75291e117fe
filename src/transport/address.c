/* SPDX-License-Identifier: BSD-2-Clause */
#include <protosocket/address.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <protosocket/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

/*
 * The text of an address, and back. Host names are not looked up here: that
 * takes time, and belongs to whoever may wait.
 */

#define TCP "tcp:"
#define UNIX "unix:"
#define ANY_HOST "*"

/* Digits only, at most 65535. */
static bool read_port(const char *text, in_port_t *ret_port) {
  uint32_t port = 0;
  if (*text == '\0')
    return false;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9')
      return false;
    port = port * 10 + (uint32_t)(*text - '0');
    if (port > UINT16_MAX)
      return false;
  }
  *ret_port = htons((uint16_t)port);
  return true;
}

static void set_ipv4(
    struct psock_address *address, struct in_addr host, in_port_t port) {
  struct sockaddr_in in = {
      .sin_family = AF_INET,
      .sin_port = port,
      .sin_addr = host,
  };
  memcpy(&address->storage, &in, sizeof in);
  address->length = sizeof in;
}

static void set_ipv6(
    struct psock_address *address, struct in6_addr host, in_port_t port) {
  struct sockaddr_in6 in = {
      .sin6_family = AF_INET6,
      .sin6_port = port,
      .sin6_addr = host,
  };
  memcpy(&address->storage, &in, sizeof in);
  address->length = sizeof in;
}

/* HOST:PORT, where an IPv6 HOST is in brackets. */
static bool read_tcp(const char *text, struct psock_address *address) {
  char host[INET6_ADDRSTRLEN];
  bool bracketed = *text == '[';
  const char *begin = bracketed ? text + 1 : text;
  const char *end = bracketed ? strstr(begin, "]:") : strchr(begin, ':');
  in_port_t port;
  if (end == NULL || (size_t)(end - begin) >= sizeof host ||
      !read_port(end + (bracketed ? 2 : 1), &port))
    return false;
  memcpy(host, begin, (size_t)(end - begin));
  host[end - begin] = '\0';
  struct in_addr ipv4;
  struct in6_addr ipv6 = IN6ADDR_ANY_INIT;
  if (!bracketed && inet_pton(AF_INET, host, &ipv4) == 1) {
    set_ipv4(address, ipv4, port);
    return true;
  }
  if (bracketed ? inet_pton(AF_INET6, host, &ipv6) != 1
                : strcmp(host, ANY_HOST) != 0)
    return false;
  set_ipv6(address, ipv6, port);
  return true;
}

/* A path, or @NAME for a name that is no file. */
static bool read_unix(const char *text, struct psock_address *address) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  size_t length = strlen(text);
  bool abstract = *text == '@';
  if (length == 0 || length >= sizeof un.sun_path || (abstract && length == 1))
    return false;
  memcpy(un.sun_path, text, length);
  if (abstract)
    un.sun_path[0] = '\0';
  memcpy(&address->storage, &un, sizeof un);
  address->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                length + (abstract ? 0 : 1));
  return true;
}

int psock_address_parse(const char *text, struct psock_address *ret_address) {
  struct psock_address address = {.length = 0};
  bool understood = false;
  if (strncmp(text, TCP, strlen(TCP)) == 0)
    understood = read_tcp(text + strlen(TCP), &address);
  else if (strncmp(text, UNIX, strlen(UNIX)) == 0)
    understood = read_unix(text + strlen(UNIX), &address);
  if (!understood)
    return PSOCK_EADDRESS;
  *ret_address = address;
  return 0;
}

static void format_unix(
    const struct psock_address *address, char *text, size_t size) {
  const struct sockaddr_un *un =
      (const struct sockaddr_un *)(const void *)&address->storage;
  size_t length = 0;
  if (address->length > offsetof(struct sockaddr_un, sun_path))
    length = address->length - offsetof(struct sockaddr_un, sun_path);
  if (length > 0 && un->sun_path[0] == '\0')
    snprintf(text, size, UNIX "@%.*s", (int)(length - 1), un->sun_path + 1);
  else
    snprintf(text, size, UNIX "%.*s", (int)length, un->sun_path);
}

void psock_address_format(
    const struct psock_address *address, char *ret_text, size_t size) {
  char host[INET6_ADDRSTRLEN] = "";
  const void *storage = &address->storage;
  const struct sockaddr_in *in = storage;
  const struct sockaddr_in6 *in6 = storage;
  switch (address->storage.ss_family) {
  case AF_INET:
    inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
    snprintf(ret_text, size, TCP "%s:%u", host, ntohs(in->sin_port));
    break;
  case AF_INET6:
    inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
    snprintf(ret_text, size, TCP "[%s]:%u", host, ntohs(in6->sin6_port));
    break;
  case AF_UNIX:
    format_unix(address, ret_text, size);
    break;
  default:
    snprintf(ret_text, size, "unknown");
    break;
  }
}
