/* CPS URLs: one entry of an account, and its list of entries (PROTOCOL section 3). */
#ifndef REGISTRY_CPS_ROUTES_H
#define REGISTRY_CPS_ROUTES_H

struct request;

void cps_list_get(struct request *request);     /* GET /api/v1/account/{sp}/cps */
void cps_entry_get(struct request *request);    /* GET /api/v1/account/{sp}/cps/{spc} */
void cps_entry_put(struct request *request);    /* PUT */
void cps_entry_delete(struct request *request); /* DELETE */

#endif
