/* The lists, as they are fetched by everybody (PROTOCOL section 1), and the signer's certificates.
 * The current list comes from memory and needs no database. */
#ifndef REGISTRY_LIST_ROUTES_H
#define REGISTRY_LIST_ROUTES_H

#include "server/registry/published_list.h"

struct request;

void cps_list_get_envelope(struct request *request); /* GET /api/v1/cps-list */
void cps_list_get_newest(struct request *request);   /* GET /download/v1/cps-list */
void cps_list_get_earlier(struct request *request);  /* GET /download/v1/cps-list/{sequence} */
/* The same for the list of STI-CAs; 404 where there is none and none is configured. */
void ca_list_get_envelope(struct request *request); /* GET /api/v1/ca-list */
void ca_list_get_newest(struct request *request);   /* GET /download/v1/ca-list */
void ca_list_get_earlier(struct request *request);  /* GET /download/v1/ca-list/{sequence} */

void list_get_certificate(struct request *request); /* GET /download/v1/certificate/{file} */
void list_get_crl(struct request *request);         /* GET /download/v1/crl; 404 without config */

/* For what is as public as the lists are. Goes on with `then` at once, or when the session of the
 * request has been found alive; replies itself when it has not. */
void list_when_allowed(struct request *request, void (*then)(struct request *, enum list_kind),
                       enum list_kind kind);
/* Cache-Control: `rest` after "public", or "private" while lists need a session. */
void list_cache_for(struct request *request, const char *rest);

#endif
