/* Networks as people write them: "192.0.2.0/24", "2001:db8::/32", or an address alone. Callers:
 * the server and the configurations, for trusted proxies; the registry, for the allow-lists of API
 * keys. Any thread. */
#ifndef SERVER_HTTP_NETWORK_H
#define SERVER_HTTP_NETWORK_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define NETWORK_TEXT_SIZE 50 /* with the NUL */

struct network {
    int family; /* AF_INET or AF_INET6 */
    unsigned bits;
    unsigned char bytes[16]; /* nothing is set behind `bits` */
};

/* STICPS_ERR_USAGE: no network; bits set behind its length, with what was probably meant in the
 * text; IPv4 inside IPv6, because a peer's address is never given so. */
enum sticps_err network_parse(const char *text, size_t len, struct network *out,
                              struct sticps_error *err) STICPS_MUST_CHECK;

/* The same in its one normal form, always with its length. */
enum sticps_err network_normalize(const char *text, size_t len, char out[NETWORK_TEXT_SIZE],
                                  struct sticps_error *err) STICPS_MUST_CHECK;

/* Is the address in it? An IPv4 one inside IPv6 counts as IPv4. */
bool network_has(const struct network *network, const struct sockaddr *address);

#endif
