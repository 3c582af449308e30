/* The lists that an STI-PA signs: cpsMapping (SPC → CPS URL) and trustList (the approved STI-CAs),
 * fetched, accepted under the nine rules of PROTOCOL section 2, and kept. The first rule that fails
 * ends a fetch, keeps the last good list and is the code that is reported. */
#ifndef STICPS_LIST_H
#define STICPS_LIST_H

#include <sticps/client.h>

#ifdef __cplusplus
extern "C" {
#endif

enum sticps_list_kind {
    STICPS_LIST_CPS, /* cpsMapping */
    STICPS_LIST_CA,  /* trustList */
};

/* An accepted list: immutable, reference-counted, safe to share between threads. */
struct sticps_list;
STICPS_EXPORT struct sticps_list *sticps_list_ref(struct sticps_list *list);
STICPS_EXPORT void sticps_list_unref(struct sticps_list *list); /* accepts NULL */

STICPS_EXPORT enum sticps_list_kind sticps_list_kind(const struct sticps_list *list);
STICPS_EXPORT int64_t sticps_list_sequence(const struct sticps_list *list);
STICPS_EXPORT int64_t sticps_list_exp(const struct sticps_list *list);        /* Unix seconds */
STICPS_EXPORT int64_t sticps_list_fetched_at(const struct sticps_list *list); /* Unix seconds */
STICPS_EXPORT const char *sticps_list_source(const struct sticps_list *list); /* URL or file */
STICPS_EXPORT const char *
sticps_list_sha256(const struct sticps_list *list); /* hex, of the JWS text */
STICPS_EXPORT const char *sticps_list_jws(const struct sticps_list *list); /* as it was signed */

/* How many entries, and the one at `index` (NULL when out of range; borrowed from the list).
 * STICPS_LIST_CPS: key is the SPC, value the URL; sorted by SPC. STICPS_LIST_CA: key is "", value
 * the PEM of an approved STI-CA: the anchors to verify STI certificates with. */
STICPS_EXPORT size_t sticps_list_count(const struct sticps_list *list);
STICPS_EXPORT const char *sticps_list_key(const struct sticps_list *list, size_t index);
STICPS_EXPORT const char *sticps_list_value(const struct sticps_list *list, size_t index);

/* What a fetch did. */
enum sticps_list_status {
    STICPS_LIST_TAKEN,   /* a new list is held */
    STICPS_LIST_CURRENT, /* the held list is still the current one */
};

struct sticps_list_result {
    enum sticps_list_status status;
    struct sticps_list *list; /* the list held now; borrowed, take a reference to keep it */
    int64_t previous; /* sequence held before, 0 for none; a gap is sequence > previous + 1 */
};

/* STICPS_OK with `result`; otherwise result is NULL and `err` says why (never NULL). */
typedef void sticps_list_fn(void *ctx, enum sticps_err code, const struct sticps_error *err,
                            const struct sticps_list_result *result);

/* Asks the network for the list at `url` (https, either form), checks it, stores it, and makes it
 * the one that sticps_resolve reads (CPS) and sticps_list_held returns. The callback runs in the
 * loop's thread; inline for STICPS_ERR_USAGE (not an https URL, no anchors), STICPS_ERR_NO_MEMORY,
 * and while the client is being freed. refresh.h has the same for several sources.
 *
 * The files of the state directory are written and synced in the loop's thread; a host that cannot
 * spare those milliseconds lets the client have its own thread. */
STICPS_EXPORT void sticps_list_fetch(struct sticps_client *client, enum sticps_list_kind kind,
                                     const char *url, sticps_list_fn *callback, void *ctx);

/* The same, waiting. `*list` is the caller's reference; `status` and `previous` may be NULL. */
STICPS_EXPORT enum sticps_err
sticps_list_fetch_wait(struct sticps_client *client, enum sticps_list_kind kind, const char *url,
                       struct sticps_list **list, enum sticps_list_status *status,
                       int64_t *previous, struct sticps_error *err) STICPS_MUST_CHECK;

/* sticps_list_fetch for STICPS_LIST_CA. */
STICPS_EXPORT void sticps_trust_list_fetch(struct sticps_client *client, const char *url,
                                           sticps_list_fn *callback, void *ctx);

/* Reads the held list from the state directory, without the network: when a program starts, or when
 * another process does the fetching. Its hash is checked and its payload parsed; its age is not
 * (resolve looks at exp itself). STICPS_ERR_NO_LIST when there is none, STICPS_ERR_STATE when the
 * file is damaged. */
STICPS_EXPORT enum sticps_err sticps_list_load(struct sticps_client *client,
                                               enum sticps_list_kind kind,
                                               struct sticps_error *err) STICPS_MUST_CHECK;

/* The list held in memory (the caller's reference), or NULL. Never waits. */
STICPS_EXPORT struct sticps_list *sticps_list_held(struct sticps_client *client,
                                                   enum sticps_list_kind kind);

/* Recovery after a fast-forward: somebody who could sign published a huge sequence, and the lists
 * that the STI-PA really goes on with are refused (ROLLBACK, or EQUIVOCATION). Two steps, with an
 * operator's decision between them, never without one; `sticps list recover` is the tool.
 *
 * What the sources of the options (refresh.h) offer now: the first list that passes all rules but
 * the floor (1 to 7), waiting. Nothing is kept. `*offered` is the caller's reference. */
STICPS_EXPORT enum sticps_err sticps_list_offer_wait(struct sticps_client *client,
                                                     enum sticps_list_kind kind,
                                                     struct sticps_list **offered,
                                                     struct sticps_error *err) STICPS_MUST_CHECK;

/* Makes `offered`, of sticps_list_offer_wait, the held list, with the floor at its sequence; what
 * was accepted at its sequence and above is forgotten. STICPS_ERR_USAGE when the floor does not
 * refuse it (fetch it), EXP when it has expired meanwhile, SHRINK as rule 9 says. A line in
 * audit.log of the state directory says who did it, and when; when that cannot be written, nothing
 * is changed (STICPS_ERR_FILE). `previous_floor` may be NULL. */
STICPS_EXPORT enum sticps_err sticps_list_recover(struct sticps_client *client,
                                                  struct sticps_list *offered,
                                                  int64_t *previous_floor,
                                                  struct sticps_error *err) STICPS_MUST_CHECK;

/* Lowers the floor on disk to `sequence`, never raises it (STICPS_ERR_USAGE): after the STI-PA
 * itself went back, and told so by another way than the list. A held list above it is dropped.
 * A line in audit.log says who did it. `previous_floor` and `dropped` may be NULL. */
STICPS_EXPORT enum sticps_err sticps_list_reset(struct sticps_client *client,
                                                enum sticps_list_kind kind, int64_t sequence,
                                                int64_t *previous_floor, bool *dropped,
                                                struct sticps_error *err) STICPS_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
