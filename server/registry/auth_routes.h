/* Signing in, refreshing, signing out (PROTOCOL section 3; the rules are in sql/003 and sql/004).
 */
#ifndef REGISTRY_AUTH_ROUTES_H
#define REGISTRY_AUTH_ROUTES_H

struct request;

void auth_login(struct request *request);  /* POST /api/v1/auth/login */
void auth_token(struct request *request);  /* POST /api/v1/auth/token */
void auth_logout(struct request *request); /* POST /api/v1/auth/logout */

#endif
