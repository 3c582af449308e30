/* What one server thread of the registry counts for metrics beside its requests: who fetches lists,
 * and how its database pool fares. Written by the thread, read by any; part of struct node, whose
 * memory outlives the thread. */
#ifndef REGISTRY_NODE_STATS_H
#define REGISTRY_NODE_STATS_H

#include "server/http/counter.h"

#include <stdbool.h>
#include <stddef.h>

#define NODE_CLIENTS 32     /* kinds of clients told apart on one thread */
#define NODE_CLIENT_SIZE 24 /* "sticps/999.999.999" */

struct db_pool;
struct metrics;
struct node;

struct node_stats {
    struct {
        char name[NODE_CLIENT_SIZE]; /* written before clients_len counts it, and never again */
        counter fetches;
    } clients[NODE_CLIENTS];
    counter clients_len;
    counter other_clients;
    counter writes_limited; /* answered 429, over the rate of their SP */

    counter connections, busy, waiting; /* of the pool, as of the last second */
    counter queries, failures;
};

/* A list was asked for. `user_agent` may be NULL. Clients of ours are told apart by their version;
 * whatever else a peer writes is "other", so that nobody can blow up the page. */
void node_stats_fetch(struct node_stats *stats, const char *user_agent);
/* The product token of our own clients, "sticps/X.Y.Z"; false for anything else. */
bool node_stats_client(const char *user_agent, char out[NODE_CLIENT_SIZE]);

/* Takes the pool's state over. On its thread. */
void node_stats_pool(struct node_stats *stats, const struct db_pool *pool);

/* The families of all nodes, summed. */
void node_stats_write(struct metrics *metrics, const struct node *nodes, size_t len);

#endif
