/* What the routes of sticps-cpsd share: the daemon (request_daemon) and its part on each server
 * thread (request_state). Made by main. */
#ifndef SERVER_CPS_CPS_H
#define SERVER_CPS_CPS_H

#include "common/clock.h"
#include "server/cps/ca_list.h"
#include "server/cps/config.h"
#include "server/cps/cps_counters.h"
#include "server/cps/revocation.h"
#include "server/cps/store.h"
#include "server/sti/trust.h"
#include "server/cps/verify.h"
#include "server/sti/x5u_source.h"
#include "server/http/router.h"
#include "server/http/timer.h"

#include <stdbool.h>
#include <stddef.h>

struct reload;
struct server;
struct sticps_client;
struct waiting;

struct cps {
    const struct config *_Atomic config; /* what is in force; replaced by a reload */
    struct clock clock;
    struct store *store;
    struct trust *trust;
    struct ca_list *ca_list;       /* NULL when a bundle is configured */
    struct revocation *revocation; /* NULL when no CRL is */
    struct sticps_client *client;
    struct server *server;
    struct reload *reload;
    struct cps_counters *counters; /* one per server thread, by its index; outlive the threads */
};

struct cps_thread {
    struct cps *cps;
    struct x5u_source source;
    struct credentials *credentials;
    struct verifier verifier;
    struct cps_counters *counters;
    struct waiting *waiting; /* give_routes: requests that wait for a PASSporT */
    struct server_thread *thread;
    struct timer second; /* on the first thread only */
};

/* Public: PASSporTs come in. */
extern const struct route receive_routes[];
extern const size_t receive_routes_len;

/* Private: PASSporTs go out. */
extern const struct route give_routes[];
extern const size_t give_routes_len;

/* The authenticate hook of the private listener: bearer token, and client certificate where
 * configured. */
bool give_authenticate(struct request *request, const struct route *route);

/* The server drains: answers all who wait on this thread. */
void give_end_waiting(struct cps_thread *thread);

/* GET /health, on both listeners. */
void health_get(struct request *request);

/* GET /metrics, on the private listener. */
void metrics_get(struct request *request);

#endif
