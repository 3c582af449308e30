/* What proofs by STI certificate (PROTOCOL section 3) need beside the request. Of the daemon: a
 * client of libsticps that fetches certificates, the approved STI-CAs, the limits. Of each server
 * thread: the certificates that it has checked, and what it counts.
 *
 * The STI-CAs are those of the newest list of them that this node serves, whichever node published
 * it: nobody is trusted here whom the STI-PA does not tell everybody to trust, and no longer. A CRL
 * that is configured counts, and is waited for. Callers: daemon, proof, metrics_route. */
#ifndef REGISTRY_PROOF_DESK_H
#define REGISTRY_PROOF_DESK_H

#include "common/clock.h"
#include "common/error.h"
#include "server/http/counter.h"
#include "server/registry/config.h"
#include "server/sti/credentials.h"
#include "server/sti/x5u_source.h"

#include <stddef.h>

struct metrics;
struct node;
struct proof_service;
struct rate;
struct server_thread;

/* ---- the daemon's ---- */

/* Starts a thread for the fetches: after the server has blocked its signals. */
enum sticps_err proof_service_new(const struct config *config, struct proof_service **out,
                                  struct sticps_error *err) STICPS_MUST_CHECK;
/* After all desks. Accepts NULL. */
void proof_service_free(struct proof_service *service);

/* Takes over the node's list of STI-CAs and the daemon's CRL when either has changed, and says in
 * the log when they begin or cease to be of use. Called on every thread when it has got a list, and
 * every second; only the first thread acts. */
void proof_service_look(struct node *node);

/* Fetches that a client's address causes, and good proofs of an SPC. Any thread. */
struct rate *proof_service_fetches(struct proof_service *service);
struct rate *proof_service_proofs(struct proof_service *service);

/* ---- a thread's ---- */

struct proof_desk {
    struct proof_service *service;
    struct x5u_source source;
    struct credentials *credentials;
    struct credentials_counters cache;
    counter accepted, refused, limited, busy; /* verdicts; any thread reads them */
};

/* `threads` share sti_proof.max_pending. What is borrowed outlives the desk. */
enum sticps_err proof_desk_open(struct proof_desk *desk, struct proof_service *service,
                                struct server_thread *thread, const struct config *config,
                                const struct clock *clock, size_t threads,
                                struct sticps_error *err) STICPS_MUST_CHECK;
/* At the thread's end. Harmless for one that was never opened; the counters stay. */
void proof_desk_close(struct proof_desk *desk);

/* The families of the service and of all nodes' desks, summed. */
void proof_desk_write(struct metrics *metrics, const struct proof_service *service,
                      const struct node *nodes, size_t len);

#endif
