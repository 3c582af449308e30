/* Sends PASSporTs to their CPSs: the queue between the host's threads and the loop, the deadline,
 * the tries and the pauses (peers.h). Made and closed by client.c. */
#ifndef CLIENT_DELIVER_H
#define CLIENT_DELIVER_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

struct deliverer;
struct latency;
struct peer_facts;
struct sticps_client;

/* The client's options, loop and fetcher are there, and outlive it. */
enum sticps_err deliverer_new(struct sticps_client *client, struct deliverer **out,
                              struct sticps_error *err) STICPS_MUST_CHECK;

/* Refuses new deliveries and ends those that wait for their turn or their next try, each with its
 * callback; what is at a CPS ends with fetcher_close, which comes next. The loop is stopped. */
void deliverer_close(struct deliverer *deliverer);
bool deliverer_is_closed(const struct deliverer *deliverer); /* any thread */
void deliverer_free(struct deliverer *deliverer);            /* accepts NULL; closed */

/* For statistics; any thread. The second as peers_list. */
const struct latency *deliverer_latency(const struct deliverer *deliverer);
size_t deliverer_peers(struct deliverer *deliverer, struct peer_facts *out, size_t room);

#endif
