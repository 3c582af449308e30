/* GET /v1/resolve/{tn}: who serves a number and where its CPS is, each step named (PROTOCOL section
 * 7), as `sticps resolve --json` says it. 200 also when there is no URL: `code` tells why. The
 * answer comes at once but for a number that ENUM must be asked about. */
#include "client/report/report.h"
#include "server/agent/agent.h"
#include "server/agent/engine.h"
#include "server/http/pending.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/http/server.h"

#include <stdlib.h>
#include <string.h>

/* Beyond ENUM's own deadline, which libsticps keeps. */
#define MARGIN_MS 2000

/* A number that is waited for; the answer comes in the client's thread. */
struct job {
    struct server_thread *thread;
    struct pending *pending;
    json_t *body; /* NULL: out of memory */
    char number[];
};

static void job_free(struct job *job)
{
    json_decref(job->body);
    free(job);
}

static void reply_answer(struct request *request, json_t *body)
{
    if (body != NULL)
        reply_json(request, 200, body);
    else
        reply_problem(request, &PROBLEM_UNAVAILABLE, "out of memory");
}

/* On the request's thread. */
static void on_reply(void *arg)
{
    struct job *job = arg;
    struct request *request = pending_request(job->pending);
    server_thread_release(job->thread);
    if (request != NULL) { /* otherwise who asked has left */
        reply_answer(request, job->body);
        job->body = NULL;
    }
    pending_done(job->pending);
    job_free(job);
}

/* In the client's thread. */
static void on_resolved(void *ctx, enum sticps_err code, const struct sticps_error *err,
                        const struct sticps_answer *answer)
{
    struct job *job = ctx;
    (void)code; /* the answer has it */
    job->body = report_answer(job->number, answer, err);
    if (!server_post(job->thread, on_reply, job))
        job_free(job);
}

static void wait_for_answer(struct request *request, struct agent_thread *thread,
                            const char *number)
{
    const struct agent_config *config = engine_config(thread->engine);
    struct sticps_error err = {0};
    size_t size = strlen(number) + 1;
    struct job *job = calloc(1, sizeof(*job) + size);
    if (job == NULL) {
        reply_problem(request, &PROBLEM_UNAVAILABLE, "out of memory");
        return;
    }
    job->thread = request_thread(request);
    memcpy(job->number, number, size);
    if (sticps_resolve_start(engine_client(thread->engine), number, on_resolved, job, &err) !=
        STICPS_OK) {
        job_free(job);
        reply_problem(request, &PROBLEM_UNAVAILABLE, "%s", err.text);
        return;
    }
    /* on_reply runs on this thread, so not before this */
    job->pending = pending_new(request, config->enumeration.deadline_ms + MARGIN_MS, NULL, NULL);
    server_thread_hold(job->thread);
}

void resolve_get(struct request *request)
{
    static const char *const known[] = {NULL};
    struct agent_thread *thread = request_state(request);
    const char *number = request_param(request, "tn");
    struct sticps_error err = {0};
    if (!request_query_only(request, known))
        return;
    if (sticps_resolve(engine_client(thread->engine), number, thread->answer, &err) ==
        STICPS_ERR_WOULD_WAIT)
        wait_for_answer(request, thread, number);
    else
        reply_answer(request, report_answer(number, thread->answer, &err));
}
