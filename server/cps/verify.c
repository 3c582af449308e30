#include "server/cps/verify.h"

#include "common/error.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* One token's way to its chain. */
struct lookup {
    struct credential_wait wait;
    struct verify_job *job;
    bool may_be_old; /* the chain was kept, not fetched just now */
    bool verified;
};

struct verify_job {
    struct verifier *verifier;
    struct verify_result result;
    struct lookup lookups[VERIFY_MAX_TOKENS];
    size_t waiting; /* lookups without an answer */
    bool starting;  /* answers are being collected: on_credential only notes them */
    bool over;      /* the result stands */
    int64_t now;
    verify_on_done *done;
    void *arg;
};

static struct lookup *lookup_of(struct credential_wait *wait)
{
    return (struct lookup *)((char *)wait - offsetof(struct lookup, wait));
}

static void job_free(struct verify_job *job)
{
    for (size_t i = 0; i < VERIFY_MAX_TOKENS; i++) {
        credentials_cancel(&job->lookups[i].wait);
        passport_free(job->result.tokens[i].passport);
        cert_chain_unref(job->result.tokens[i].chain);
    }
    free(job);
}

static void finish(struct verify_job *job)
{
    for (size_t i = 0; i < VERIFY_MAX_TOKENS; i++)
        credentials_cancel(&job->lookups[i].wait);
    job->done(job->arg, &job->result);
    job_free(job);
}

/* Settles the result; the first word counts. */
static void settle(struct verify_job *job, enum verify_outcome outcome, enum sticps_err code,
                   size_t at_fault)
{
    if (job->over)
        return;
    job->over = true;
    job->result.outcome = outcome;
    job->result.code = code;
    job->result.at_fault = at_fault;
}

static void settle_refused(struct verify_job *job, enum sticps_err code, size_t at_fault)
{
    settle(job, code == STICPS_ERR_NO_MEMORY ? VERIFY_BUSY : VERIFY_REFUSED, code, at_fault);
}

/* ---- the cheap part ---- */

/* Divides the body into lines; a line break after the last one is tolerated. */
static enum sticps_err split(const char *body, size_t len, struct verify_result *result)
{
    const char *at = body, *end = body + len;
    size_t count = 0;
    do {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        const char *next = line_end != NULL ? line_end + 1 : end;
        if (line_end == NULL)
            line_end = end;
        else if (line_end > at && line_end[-1] == '\r')
            line_end--;
        if (count == VERIFY_MAX_TOKENS)
            return fail(&result->err, STICPS_ERR_MALFORMED, "body",
                        "more than %d PASSporTs in one body", VERIFY_MAX_TOKENS);
        if (line_end == at)
            return fail(&result->err, STICPS_ERR_MALFORMED, "body",
                        len == 0 ? "the body is empty" : "a line of the body is empty");
        result->tokens[count].text = at;
        result->tokens[count].len = (size_t)(line_end - at);
        count++;
        at = next;
    } while (at < end);
    result->tokens_len = count;
    return STICPS_OK;
}

/* Everything that costs no network. */
static bool check_cheaply(struct verify_job *job, const char *body, size_t len)
{
    struct verify_result *result = &job->result;
    enum sticps_err code = split(body, len, result);
    if (code != STICPS_OK) {
        settle_refused(job, code, 0);
        return false;
    }
    for (size_t i = 0; i < result->tokens_len; i++) {
        struct verify_token *token = &result->tokens[i];
        code = passport_parse(token->text, token->len, job->verifier->rules, job->now,
                              &token->passport, &result->err);
        if (code != STICPS_OK) {
            settle_refused(job, code, i);
            return false;
        }
    }
    for (size_t i = 1; i < result->tokens_len; i++) {
        if (!passport_same_call(result->tokens[0].passport, result->tokens[i].passport)) {
            settle_refused(
                job,
                fail(&result->err, STICPS_ERR_MALFORMED, "body",
                     "the PASSporTs of one body must be of one call: same orig and dest"),
                i);
            return false;
        }
    }
    return true;
}

/* ---- certificates and signatures ---- */

static void advance(struct verify_job *job);

/* Notes an answer. */
static void note(struct verify_job *job, size_t i, const struct credential_answer *answer)
{
    struct verify_token *token = &job->result.tokens[i];
    switch (answer->result) {
    case CREDENTIAL_READY:
        cert_chain_unref(token->chain);
        token->chain = cert_chain_ref(answer->chain);
        token->spc = answer->spc;
        job->lookups[i].may_be_old = !answer->fresh;
        break;
    case CREDENTIAL_WAITING:
        job->waiting++;
        break;
    case CREDENTIAL_REFUSED:
        if (!job->over && answer->err != NULL)
            job->result.err = *answer->err;
        settle_refused(job, answer->code, i);
        break;
    case CREDENTIAL_BUSY:
        settle(job, VERIFY_BUSY, STICPS_OK, i);
        break;
    case CREDENTIAL_NO_ANCHORS:
        settle(job, VERIFY_NOT_READY, STICPS_OK, i);
        break;
    }
}

static void on_credential(struct credential_wait *wait, const struct credential_answer *answer)
{
    struct lookup *lookup = lookup_of(wait);
    struct verify_job *job = lookup->job;
    job->waiting--;
    note(job, (size_t)(lookup - job->lookups), answer);
    advance(job);
}

/* The answer to a refresh, after a kept chain's key did not match: only a chain that was issued
 * anew changes the verdict, which is that of the signature. */
static void on_refreshed(struct credential_wait *wait, const struct credential_answer *answer)
{
    struct lookup *lookup = lookup_of(wait);
    struct verify_job *job = lookup->job;
    job->waiting--;
    if (answer->result == CREDENTIAL_READY)
        note(job, (size_t)(lookup - job->lookups), answer);
    lookup->may_be_old = false; /* once is enough */
    advance(job);
}

/* True when the signature matches, or when the answer to that must wait. */
static bool check_signature(struct verify_job *job, size_t i)
{
    struct lookup *lookup = &job->lookups[i];
    struct verify_token *token = &job->result.tokens[i];
    struct sticps_error err = {0};
    enum sticps_err code = passport_verify_signature(token->passport, token->chain, &err);
    if (code == STICPS_OK) {
        lookup->verified = true;
        return true;
    }
    if (code == STICPS_ERR_INVALID_IDENTITY_HEADER && lookup->may_be_old) {
        struct credential_answer answer;
        lookup->may_be_old = false;
        lookup->wait.done = on_refreshed;
        credentials_refresh(job->verifier->credentials, token->passport->x5u, job->now,
                            &lookup->wait, &answer);
        if (answer.result == CREDENTIAL_WAITING) {
            job->waiting++;
            return true;
        }
    }
    job->result.err = err;
    settle_refused(job, code, i);
    return false;
}

/* All chains are there: the signatures that are not checked yet. */
static void check_signatures(struct verify_job *job)
{
    for (size_t i = 0; i < job->result.tokens_len; i++)
        if (!job->lookups[i].verified && !check_signature(job, i))
            return;
    if (job->waiting == 0)
        settle(job, VERIFY_ACCEPTED, STICPS_OK, 0);
}

/* Does what can be done now; the job is gone when it was the last. */
static void advance(struct verify_job *job)
{
    if (job->starting)
        return;
    if (!job->over && job->waiting == 0)
        check_signatures(job);
    if (job->over)
        finish(job);
}

static void look_up(struct verify_job *job, size_t i)
{
    struct lookup *lookup = &job->lookups[i];
    struct credential_answer answer;
    lookup->wait.done = on_credential;
    credentials_get(job->verifier->credentials, job->result.tokens[i].passport->x5u, job->now,
                    &lookup->wait, &answer);
    note(job, i, &answer);
}

/* ---- the interface ---- */

struct verify_job *verify_start(struct verifier *verifier, const char *body, size_t len,
                                int64_t now, verify_on_done *done, void *arg)
{
    struct verify_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        struct verify_result busy = {.outcome = VERIFY_BUSY};
        done(arg, &busy);
        return NULL;
    }
    job->verifier = verifier;
    job->now = now;
    job->done = done;
    job->arg = arg;
    for (size_t i = 0; i < VERIFY_MAX_TOKENS; i++)
        job->lookups[i].job = job;

    if (check_cheaply(job, body, len)) {
        job->starting = true;
        for (size_t i = 0; i < job->result.tokens_len && !job->over; i++)
            look_up(job, i);
        job->starting = false;
        if (!job->over && job->waiting == 0)
            check_signatures(job);
    }
    if (!job->over)
        return job;
    finish(job);
    return NULL;
}

void verify_give_up(struct verify_job *job)
{
    (void)fail(&job->result.err, STICPS_ERR_BAD_IDENTITY_INFO, "x5u",
               "the x5u did not answer in time");
    settle(job, VERIFY_REFUSED, STICPS_ERR_BAD_IDENTITY_INFO, 0);
    finish(job);
}

void verify_cancel(struct verify_job *job)
{
    job_free(job);
}
