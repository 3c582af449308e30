/* The lists, as they are fetched by everybody (PROTOCOL section 1), and the signer's certificates.
 * The current list comes from memory and needs no database. */
#ifndef REGISTRY_LIST_ROUTES_H
#define REGISTRY_LIST_ROUTES_H

struct request;

void list_get_envelope(struct request *request);    /* GET /api/v1/cps-list */
void list_get(struct request *request);             /* GET /download/v1/cps-list */
void list_get_earlier(struct request *request);     /* GET /download/v1/cps-list/{sequence} */
void list_get_certificate(struct request *request); /* GET /download/v1/certificate/{file} */

#endif
