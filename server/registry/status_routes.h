/* Liveness, readiness with reasons, metrics (PROTOCOL section 1). None of them asks the database.
 */
#ifndef REGISTRY_STATUS_ROUTES_H
#define REGISTRY_STATUS_ROUTES_H

struct request;

void status_health(struct request *request);  /* GET /health: 200 for as long as the loop turns */
void status_ready(struct request *request);   /* GET /ready: 200, or 503 with reasons */
void status_metrics(struct request *request); /* GET /metrics: Prometheus text */

#endif
