/* The verdict on the body of a POST: one to three PASSporTs of one call, all or none (PROTOCOL
 * sections 5 and 6). Cheap checks of all of them first, so that nothing is fetched for a body that
 * is refused anyway; then the certificates, in parallel; then the signatures. Freshness is judged
 * at arrival.
 *
 * Called by receive_routes, on a server thread; knows neither HTTP nor sockets. */
#ifndef SERVER_CPS_VERIFY_H
#define SERVER_CPS_VERIFY_H

#include "common/passport.h"
#include "server/sti/credentials.h"

#include <stddef.h>
#include <stdint.h>

#define VERIFY_MAX_TOKENS 3

/* What verdicts are made with; one per server thread, everything borrowed. */
struct verifier {
    const struct passport_rules *rules;
    struct credentials *credentials;
};

enum verify_outcome {
    VERIFY_ACCEPTED,
    VERIFY_REFUSED,  /* code is the verdict, err says why */
    VERIFY_BUSY,     /* too many fetches under way, or out of memory */
    VERIFY_NOT_READY /* no STI-CAs are known, or their list has expired */
};

struct verify_token {
    const char *text; /* in the body */
    size_t len;
    struct passport *passport; /* NULL when it could not be read */
    struct cert_chain *chain;  /* NULL until it is there */
    struct spc spc;            /* of the chain */
};

/* Borrowed until the callback returns. */
struct verify_result {
    enum verify_outcome outcome;
    enum sticps_err code;
    struct sticps_error err;
    struct verify_token tokens[VERIFY_MAX_TOKENS];
    size_t tokens_len; /* 0 when the body could not be divided */
    size_t at_fault;   /* the token that is refused, for logs */
};

typedef void verify_on_done(void *arg, const struct verify_result *result);

/* Under way until `done` was called, which frees it. */
struct verify_job;

/* `body` must stay until then. Returns NULL when `done` was called already. `now` in Unix seconds.
 */
struct verify_job *verify_start(struct verifier *verifier, const char *body, size_t len,
                                int64_t now, verify_on_done *done, void *arg);

/* The time that the request has is over: refused with BAD_IDENTITY_INFO, as the x5u did not answer.
 * Calls `done`. */
void verify_give_up(struct verify_job *job);

/* The request is gone: forgets the job without calling `done`. */
void verify_cancel(struct verify_job *job);

#endif
