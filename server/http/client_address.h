/* Whose request it is: the peer of the connection, or, where that is a trusted proxy, whom the
 * proxy names in X-Forwarded-For. Rate limits, the audit trail, the allow-lists of API keys and the
 * logs go by it. Callers: listener, connection, dispatch. Any thread. */
#ifndef SERVER_HTTP_CLIENT_ADDRESS_H
#define SERVER_HTTP_CLIENT_ADDRESS_H

#include "server/http/limits.h"
#include "server/http/network.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

struct client_address {
    struct limits_key key;
    char text[INET6_ADDRSTRLEN]; /* an IPv4-mapped one as IPv4; "uid:N" */
};

struct trusted_proxies {
    struct network *networks;
    size_t len; /* 0: nobody is believed */
};

/* Each text an address or a network (network.h). STICPS_ERR_USAGE, the text naming the first that
 * is none, and proxy.trusted. proxies_clear frees what it makes. */
enum sticps_err proxies_parse(char *const *texts, size_t len, struct trusted_proxies *out,
                              struct sticps_error *err) STICPS_MUST_CHECK;
void proxies_clear(struct trusted_proxies *proxies);
/* The same for its errors alone, and whether `protocol` has anybody to speak it. For
 * configurations. */
enum sticps_err proxies_check(char *const *texts, size_t len, bool protocol,
                              struct sticps_error *err) STICPS_MUST_CHECK;

void client_address_of(const struct sockaddr *address, struct client_address *out);
/* The same of an accepted connection; through a socket of the file system a client is its user:
 * "uid:1000". */
void client_address_of_connection(int fd, const struct sockaddr *address,
                                  struct client_address *out);

bool proxies_trust(const struct trusted_proxies *proxies, const struct sockaddr *address);

/* `forwarded`: X-Forwarded-For, all its lines joined by commas, as a trusted peer sent it; NULL
 * when it sent none. Each proxy has appended whom it spoke with, so it is read from its end: the
 * first address that is no trusted proxy is the client. What stands before it anybody may have
 * written. A part that is no address ends the reading, and the last good address counts. `out`
 * holds the peer at first. */
void client_address_forwarded(const struct trusted_proxies *proxies, const char *forwarded,
                              struct client_address *out);

#endif
