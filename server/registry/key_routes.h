/* API keys of accounts and of the STI-PA (PROTOCOL section 3): made, listed, revoked by people who
 * are signed in. The key itself is in the answer to its POST and nowhere else. */
#ifndef REGISTRY_KEY_ROUTES_H
#define REGISTRY_KEY_ROUTES_H

struct request;

void account_key_list(struct request *request);
void account_key_post(struct request *request);
void account_key_delete(struct request *request);
void pa_key_list(struct request *request);
void pa_key_post(struct request *request);
void pa_key_delete(struct request *request);

#endif
