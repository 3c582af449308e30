/* Who makes a request: the listener's authenticate hook reads what stands in Authorization and
 * leaves it for the handler. A credential is the first parameter of every request function in sql/;
 * what it is worth is decided there, here only what can be told without the database:
 *
 *   the access token of a session    its signature and expiry   the session's id
 *   an API key                       its form                   "key", its SHA-256, the peer
 *   a proof by STI certificate       all but its first use      "proof", what it says, in JSON
 *
 * On the request's thread. */
#ifndef REGISTRY_CREDENTIAL_H
#define REGISTRY_CREDENTIAL_H

#include <stdbool.h>

struct request;
struct route;

/* The parameter $1 of a statement, in the place of p_sid: a session's id is one already, and costs
 * no further call. */
#define CREDENTIAL "CASE WHEN length($1::text) = 36 THEN $1::uuid ELSE caller_id($1) END"

/* The authenticate hook. */
bool credential_check(struct request *request, const struct route *route);
/* For proof, which comes to its end later: `text` for $1, `user` for logs; both are copied. */
void credential_set_proof(struct request *request, const char *text, const char *user);

/* What goes into $1; NULL when the route needs nobody (a list that is public). */
const char *credential_of(const struct request *request);
/* Whose it claims to be, for logs: the user, or "key:" and the key's id; "" for nobody. */
const char *credential_user(const struct request *request);
/* Is it one that the database must not be asked about, because that uses it up? */
bool credential_is_spent_by_use(const struct request *request);
/* What to do about a credential that the database does not take. */
const char *credential_advice(const struct request *request);

#endif
