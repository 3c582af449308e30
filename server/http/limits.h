/* How many connections are open, in all and per client address. Shared by the threads of one
 * server; an IPv6 client counts by its /64. Called by the listener only. */
#ifndef SERVER_HTTP_LIMITS_H
#define SERVER_HTTP_LIMITS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct limits;

/* What a connection counts under. */
struct limits_key {
    uint8_t bytes[17]; /* family, then IPv4 address, IPv6 prefix or user id */
};

struct limits *limits_new(unsigned max_connections, unsigned max_per_address);
void limits_free(struct limits *limits); /* accepts NULL */

/* Connections over a lowered limit stay. */
void limits_set(struct limits *limits, unsigned max_connections, unsigned max_per_address);

struct limits_key limits_key_of(const struct sockaddr *address);

/* Counts one connection; false, and not counted, when a limit is reached. A trusted proxy has no
 * limit of its address: everybody comes by it. */
bool limits_enter(struct limits *limits, const struct limits_key *key, bool is_proxy);
void limits_leave(struct limits *limits, const struct limits_key *key);

unsigned limits_open(struct limits *limits);

#endif
