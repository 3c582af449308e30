/* Proof by STI certificate (PROTOCOL section 3): a request whose bearer token is signed with the
 * key of an STI certificate, in place of a session. It opens one entry, that of the certificate's
 * SPC.
 *
 * Nothing is fetched for a token whose claims do not fit the request, nor beyond the limits. While
 * a certificate is fetched the request waits, and no other does. That a token is used once is the
 * database's to see, in the transaction of the change (sql/). Called by credential, on the
 * request's thread. */
#ifndef REGISTRY_PROOF_H
#define REGISTRY_PROOF_H

#include <stdbool.h>

struct request;
struct route;

/* Is this bearer token meant to be a proof? */
bool proof_meant(const char *token);

/* True when the request may go on, its credential set. False when it was answered, or waits: then
 * it goes on by itself or is answered. `token` lives as long as the request. */
bool proof_check(struct request *request, const struct route *route, const char *token);

#endif
