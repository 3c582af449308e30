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
/* OK (201), REJECTED (4xx); FETCH or ADDRESS when it could not be asked or gave no answer of use;
 * PAUSED, NO_CONNECTION or BUSY when it was not asked. */
STICPS_EXPORT enum sticps_err sticps_delivery_code(const struct sticps_delivery *delivery,
                                                   size_t index);
STICPS_EXPORT int sticps_delivery_status(const struct sticps_delivery *delivery, size_t index);
/* How many requests were made; 0 when it was not asked. */
STICPS_EXPORT unsigned sticps_delivery_tries(const struct sticps_delivery *delivery, size_t index);
/* The `code` of the problem that the CPS answered with, e.g. "STALE_DATE", or "". */
STICPS_EXPORT const char *sticps_delivery_problem(const struct sticps_delivery *delivery,
                                                  size_t index);
STICPS_EXPORT const char *sticps_delivery_detail(const struct sticps_delivery *delivery,
                                                 size_t index);

/* Keeps it beyond the callback; ended by sticps_delivery_free. Accepts NULL. Any thread. */
STICPS_EXPORT struct sticps_delivery *sticps_delivery_ref(const struct sticps_delivery *delivery);
STICPS_EXPORT void sticps_delivery_free(struct sticps_delivery *delivery); /* accepts NULL */

/* `code` is OK when every CPS took it; otherwise the gravest of what happened: REJECTED, then what
 * else failed; or, when no called number has a CPS, the reason of the first number; or MALFORMED
 * and the like for what is no PASSporT. `delivery` may be NULL when nothing was sent. */
typedef void sticps_deliver_fn(void *ctx, enum sticps_err code, const struct sticps_error *err,
                               const struct sticps_delivery *delivery);

/* Queues a PASSporT for the CPS of each called number, and returns at once: from any thread,
 * without a look at the network. In the loop's thread the token is parsed (not verified), its
 * numbers are resolved, and it is posted to each distinct CPS, all at the same time.
 *
 * sticps_options_set_deliver_timeout bounds the whole, from this call to the callback. Within it a
 * connection that fails or breaks is tried again after a short and growing pause (a CPS holds a
 * token that comes twice once), never after an answer of whatever status. To one CPS only so many
 * connections are opened at a time, and no more than are of use; who finds none waits in a queue of
 * that CPS's until one is free, or until the deadline (NO_CONNECTION). A CPS that fails five
 * times in a row, a 5xx being a failure, is not asked for a second, then for longer, up to 30 s;
 * one that says Retry-After for as long as it says, up to 5 minutes (PAUSED). A CPS that demands a
 * request token gets one where the options have an STI key (signing.h).
 *
 * STICPS_OK: `callback` runs once, in the loop's thread (inbox.h: or its result is collected).
 * Otherwise never: BUSY when the queue is full, MALFORMED for more than 16 KiB, NO_MEMORY, FETCH
 * when the client is being freed. `token` need not outlive the call. */
STICPS_EXPORT enum sticps_err sticps_deliver(struct sticps_client *client, const char *token,
                                             size_t len, sticps_deliver_fn *callback, void *ctx,
                                             struct sticps_error *err) STICPS_MUST_CHECK;

/* The same, waiting. `*out` may be set to NULL; the caller frees it. */
STICPS_EXPORT enum sticps_err sticps_deliver_wait(struct sticps_client *client, const char *token,
                                                  size_t len, struct sticps_delivery **out,
                                                  struct sticps_error *err) STICPS_MUST_CHECK;

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
 * `request` need not outlive the call. The callback runs once, in the loop's thread, or inside this
 * call when nothing is to be sent. */
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
