/* The checks of one request's CPS URLs (cps_check in the configuration): each host once, a few at a
 * time, so many in all; what they found, and how the answer tells it. Called by the routes that
 * take CPS URLs, on the request's thread. What follows from a result, they decide. */
#ifndef REGISTRY_CPS_CHECKS_H
#define REGISTRY_CPS_CHECKS_H

#include "server/http/pending.h"
#include "server/registry/checker.h"
#include "server/registry/config.h"

#include <jansson.h>

#define CPS_CHECKS_MAX 64 /* hosts of one request */

struct cps_checks;
struct request;

/* What is in force for this request. Not CONFIG_CHECK_OFF: then there are no checks to make. */
enum config_policy cps_checks_policy(struct request *request);

/* With the policy and the deadline of this moment. Never NULL. */
struct cps_checks *cps_checks_new(struct request *request);
void cps_checks_free(struct cps_checks *checks); /* accepts NULL; none may be under way */

/* A URL that has passed the rules of PROTOCOL section 1; borrowed. */
void cps_checks_add(struct cps_checks *checks, const char *url);

/* Runs them; the operation of `pending`. Calls done(pending) when all have ended, or the request is
 * gone; it then goes on in place of this call. The request's deadline is replaced by one that
 * leaves room for the checks, and by the usual one again before `done`. */
void cps_checks_run(struct cps_checks *checks, struct pending *pending,
                    void (*done)(struct pending *pending));

/* The worst of all: CHECKER_BAD before CHECKER_UNKNOWN before CHECKER_GOOD; but GOOD whatever was
 * found unless the policy is "require". */
enum checker_verdict cps_checks_verdict(const struct cps_checks *checks);
/* Of a URL that was added. */
const struct checker_result *cps_checks_of(const struct cps_checks *checks, const char *url);

/* {"ok","detail","status","ms"}: ok is null for what was not checked, the others are there when
 * they say something. The caller owns it. */
json_t *cps_checks_json_of(const struct cps_checks *checks, const char *url);
/* One such for each host, with "host". The caller owns it. */
json_t *cps_checks_json(const struct cps_checks *checks);

/* Replies to a request that is not accepted: 422 CPS_CHECK_FAILED naming `pointer`, or 503 when it
 * could not be checked. */
void cps_checks_refuse(struct request *request, enum checker_verdict verdict, const char *pointer,
                       const char *detail);
/* 422 CPS_CHECK_FAILED with many errors, which are taken over. */
void cps_checks_refuse_all(struct request *request, json_t *errors);

/* The caller's id out of what entry_put_allowed and entry_put_all_allowed answered, in the place of
 * a credential. The caller frees it. */
char *cps_checks_caller(const char *body);

#endif
