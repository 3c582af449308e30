/* The history: publications, the audit trail, and the owners of an SPC (PROTOCOL section 3). */
#ifndef REGISTRY_PUBLICATION_ROUTES_H
#define REGISTRY_PUBLICATION_ROUTES_H

struct request;

void publications_get(struct request *request);  /* GET /api/v1/publications */
void publications_post(struct request *request); /* POST: publish now */
void audit_get(struct request *request);         /* GET /api/v1/audit */
void spc_history_get(struct request *request);   /* GET /api/v1/spc/{spc}/history */

#endif
