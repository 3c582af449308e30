/* Users of an account and of the STI-PA (PROTOCOL section 3). */
#ifndef REGISTRY_USER_ROUTES_H
#define REGISTRY_USER_ROUTES_H

struct request;

void account_user_put(struct request *request);    /* PUT /api/v1/account/{sp}/user/{userId} */
void account_user_delete(struct request *request); /* DELETE */
void pa_user_put(struct request *request);         /* PUT /api/v1/user/{userId} */
void pa_user_delete(struct request *request);      /* DELETE */

#endif
