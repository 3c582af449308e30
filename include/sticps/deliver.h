/* Both ends of the delivery, seen from a client: a PASSporT to the CPS of the called numbers'
 * providers, and from one's own CPS to the STI-VS (PROTOCOL section 6). */
#ifndef STICPS_DELIVER_H
#define STICPS_DELIVER_H

#include <sticps/client.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What became of one CPS. Texts are never NULL; borrowed. */
struct sticps_delivery;
STICPS_EXPORT size_t sticps_delivery_count(const struct sticps_delivery *delivery);
STICPS_EXPORT const char *sticps_delivery_url(const struct sticps_delivery *delivery, size_t index);
/* OK (201), REJECTED (4xx), FETCH or ADDRESS (everything else). */
STICPS_EXPORT enum sticps_err sticps_delivery_code(const struct sticps_delivery *delivery,
                                                   size_t index);
STICPS_EXPORT int sticps_delivery_status(const struct sticps_delivery *delivery, size_t index);
/* The `code` of the problem that the CPS answered with, e.g. "STALE_DATE", or "". */
STICPS_EXPORT const char *sticps_delivery_problem(const struct sticps_delivery *delivery,
                                                  size_t index);
STICPS_EXPORT const char *sticps_delivery_detail(const struct sticps_delivery *delivery,
                                                 size_t index);

/* `code` is OK when every CPS took it; otherwise the gravest of what happened: REJECTED, then FETCH
 * or ADDRESS; or, when no called number has a CPS, the reason of the first number; or MALFORMED and
 * the like for what is no PASSporT. `delivery` may be NULL when nothing was sent. */
typedef void sticps_deliver_fn(void *ctx, enum sticps_err code, const struct sticps_error *err,
                               const struct sticps_delivery *delivery);

/* Resolves each called number of a PASSporT and posts it to each distinct CPS, all at once, under
 * one total deadline (sticps_options_set_deliver_timeout). The token is parsed, not verified.
 * `token` need not outlive the call. The callback runs inline when nothing is to be sent, otherwise
 * in the loop's thread. From any thread. */
STICPS_EXPORT void sticps_deliver(struct sticps_client *client, const char *token, size_t len,
                                  sticps_deliver_fn *callback, void *ctx);

/* The same, waiting. `*out` may be set to NULL; the caller frees it. */
STICPS_EXPORT enum sticps_err sticps_deliver_wait(struct sticps_client *client, const char *token,
                                                  size_t len, struct sticps_delivery **out,
                                                  struct sticps_error *err) STICPS_MUST_CHECK;
STICPS_EXPORT void sticps_delivery_free(struct sticps_delivery *delivery); /* accepts NULL */

/* PASSporTs that one's own CPS holds for a call. */
struct sticps_passports;
STICPS_EXPORT size_t sticps_passports_count(const struct sticps_passports *passports);
STICPS_EXPORT const char *sticps_passports_get(const struct sticps_passports *passports,
                                               size_t index);

struct sticps_retrieve_request {
    const char *url;  /* of the CPS's private listener, https */
    const char *dest; /* numbers as people write them */
    const char *orig;
    const char *token; /* bearer token, or NULL */
    unsigned wait_ms;  /* how long the CPS may hold the request until a PASSporT comes */
};

/* NOT_FOUND when none is held, REJECTED for any other refusal, FETCH, USAGE for a URL or number
 * that cannot be used. */
typedef void sticps_retrieve_fn(void *ctx, enum sticps_err code, const struct sticps_error *err,
                                const struct sticps_passports *passports);

/* Fetches and so removes them. This peer is one's own: private addresses are open. The texts of
 * `request` need not outlive the call. Callback as for sticps_deliver. */
STICPS_EXPORT void sticps_retrieve(struct sticps_client *client,
                                   const struct sticps_retrieve_request *request,
                                   sticps_retrieve_fn *callback, void *ctx);
STICPS_EXPORT enum sticps_err sticps_retrieve_wait(struct sticps_client *client,
                                                   const struct sticps_retrieve_request *request,
                                                   struct sticps_passports **out,
                                                   struct sticps_error *err) STICPS_MUST_CHECK;
STICPS_EXPORT void sticps_passports_free(struct sticps_passports *passports); /* accepts NULL */

#ifdef __cplusplus
}
#endif
#endif
