/* From a called number to the CPS of its provider (PROTOCOL section 7). */
#ifndef STICPS_RESOLVE_H
#define STICPS_RESOLVE_H

#include <sticps/client.h>

#ifdef __cplusplus
extern "C" {
#endif

enum sticps_freshness {
    STICPS_FRESH,   /* the list is in force */
    STICPS_STALE,   /* past its exp, within the configured grace */
    STICPS_EXPIRED, /* past both: no URL is given */
    STICPS_NONE,    /* no list is held */
};

/* Room for one answer, each step named. Made once per thread and reused: resolving allocates
 * nothing. */
struct sticps_answer;
STICPS_EXPORT struct sticps_answer *sticps_answer_new(void); /* NULL when out of memory */
STICPS_EXPORT void sticps_answer_free(struct sticps_answer *answer);

/* Resolves a number as people or switches write it. STICPS_OK and a URL, or the reason why there is
 * none: NOT_A_NUMBER, NO_CARRIER, CARRIER_HAS_NO_CPS, LIST_EXPIRED, NO_LIST; and WOULD_WAIT, where
 * the options have ENUM (numbers.h), for a number that it must be asked about first. The answer is
 * filled in either way, as far as the steps went. Never waits: no lock, no allocation, no I/O but
 * the mapped portability file, and what a function of the host does (numbers.h). From any thread,
 * each with its own answer. */
STICPS_EXPORT enum sticps_err sticps_resolve(struct sticps_client *client, const char *number,
                                             struct sticps_answer *answer,
                                             struct sticps_error *err) STICPS_MUST_CHECK;

/* How sticps_resolve would have ended, had ENUM been asked before; never WOULD_WAIT. `answer` and
 * `err` are never NULL; borrowed until it returns. */
typedef void sticps_resolve_fn(void *ctx, enum sticps_err code, const struct sticps_error *err,
                               const struct sticps_answer *answer);

/* The same for a host that may wait: asks ENUM when it must be asked, within the deadline of
 * sticps_options_set_enum_limits. Returns at once, from any thread. STICPS_OK: `callback` runs
 * once, in the loop's thread, with STICPS_ERR_FETCH when the client is freed before. Otherwise
 * never: NO_MEMORY, or FETCH when the client is being freed. `number` need not outlive the call. */
STICPS_EXPORT enum sticps_err sticps_resolve_start(struct sticps_client *client, const char *number,
                                                   sticps_resolve_fn *callback, void *ctx,
                                                   struct sticps_error *err) STICPS_MUST_CHECK;

/* The same, waiting. */
STICPS_EXPORT enum sticps_err sticps_resolve_wait(struct sticps_client *client, const char *number,
                                                  struct sticps_answer *answer,
                                                  struct sticps_error *err) STICPS_MUST_CHECK;

/* Texts are "" when the step was not reached or has nothing to say. */
STICPS_EXPORT const char *sticps_answer_tn(const struct sticps_answer *answer);  /* canonical */
STICPS_EXPORT const char *sticps_answer_lrn(const struct sticps_answer *answer); /* if ported */
STICPS_EXPORT bool sticps_answer_ported(const struct sticps_answer *answer);
STICPS_EXPORT const char *sticps_answer_carrier(const struct sticps_answer *answer); /* by number */
STICPS_EXPORT const char *
sticps_answer_spc(const struct sticps_answer *answer); /* after override */
STICPS_EXPORT const char *sticps_answer_url(const struct sticps_answer *answer);
STICPS_EXPORT int64_t sticps_answer_sequence(const struct sticps_answer *answer); /* 0: no list */
STICPS_EXPORT enum sticps_freshness sticps_answer_freshness(const struct sticps_answer *answer);
STICPS_EXPORT enum sticps_err sticps_answer_reason(const struct sticps_answer *answer);

/* "fresh", "stale", "expired", "none". Static storage. */
STICPS_EXPORT const char *sticps_freshness_name(enum sticps_freshness freshness);

#ifdef __cplusplus
}
#endif
#endif
