/* Accounts of service providers and the SPCs that they own (PROTOCOL section 3). */
#ifndef REGISTRY_ACCOUNT_ROUTES_H
#define REGISTRY_ACCOUNT_ROUTES_H

struct request;

void account_get(struct request *request);        /* GET /api/v1/account/{sp} */
void account_put(struct request *request);        /* PUT */
void account_put_state(struct request *request);  /* PUT /api/v1/account/{sp}/state */
void account_spc_put(struct request *request);    /* PUT /api/v1/account/{sp}/spc/{spc} */
void account_spc_delete(struct request *request); /* DELETE */

#endif
