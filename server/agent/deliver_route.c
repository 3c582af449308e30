/* POST /v1/deliver: a PASSporT into libsticps' queue. The answer comes at once, 202; or, when the
 * caller wants to wait, when the outcome of each CPS is known. */
#include "common/passport.h"
#include "client/report/report.h"
#include "server/agent/agent.h"
#include "server/agent/engine.h"
#include "server/http/log.h"
#include "server/http/pending.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/http/server.h"

#include <sticps/sticps.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Beyond the delivery's own deadline, which libsticps keeps. */
#define MARGIN_MS 2000

/* One delivery, from the queue to its outcome, which comes in the client's thread. */
struct job {
    char id[17];
    bool log;
    /* the rest only when the caller waits */
    struct server_thread *thread;
    struct pending *pending;
    enum sticps_err code;
    struct sticps_error err;
    struct sticps_delivery *delivery;
};

/* ---- the outcome ---- */

/* Neither the token nor a number of the call. */
static void log_outcome(const struct job *job, enum sticps_err code,
                        const struct sticps_delivery *delivery)
{
    size_t count = delivery != NULL ? sticps_delivery_count(delivery) : 0;
    if (count == 0)
        log_fields(LOG_LEVEL_INFO, "delivery", LOG_TEXT("id", job->id),
                   LOG_TEXT("code", sticps_err_name(code)));
    for (size_t i = 0; i < count; i++)
        log_fields(LOG_LEVEL_INFO, "delivery", LOG_TEXT("id", job->id),
                   LOG_TEXT("code", sticps_err_name(sticps_delivery_code(delivery, i))),
                   LOG_TEXT("url", sticps_delivery_url(delivery, i)),
                   LOG_NUMBER("status", sticps_delivery_status(delivery, i)),
                   LOG_NUMBER("tries", sticps_delivery_tries(delivery, i)),
                   LOG_TEXT("problem", sticps_delivery_problem(delivery, i)));
}

static void job_free(struct job *job)
{
    sticps_delivery_free(job->delivery);
    free(job);
}

static void reply_outcome(struct request *request, const struct job *job)
{
    bool delivered = job->code == STICPS_OK;
    json_t *body = json_pack(
        "{s:s, s:s, s:s, s:o, s:o}", "status", delivered ? "delivered" : "failed", "id", job->id,
        "code", sticps_err_name(job->code), "detail", report_text(delivered ? "" : job->err.text),
        "deliveries", report_deliveries(job->delivery));
    if (body != NULL)
        reply_json(request, 200, body);
    else
        reply_problem(request, &PROBLEM_UNAVAILABLE, "out of memory");
}

/* On the request's thread. */
static void on_outcome(void *arg)
{
    struct job *job = arg;
    struct request *request = pending_request(job->pending);
    server_thread_release(job->thread);
    if (request != NULL) /* otherwise who asked has left, or waited too long */
        reply_outcome(request, job);
    pending_done(job->pending);
    job_free(job);
}

/* In the client's thread. */
static void on_delivered(void *ctx, enum sticps_err code, const struct sticps_error *err,
                         const struct sticps_delivery *delivery)
{
    struct job *job = ctx;
    if (job->log)
        log_outcome(job, code, delivery);
    if (job->thread == NULL) {
        job_free(job);
        return;
    }
    job->code = code;
    if (code != STICPS_OK)
        job->err = *err;
    if (delivery != NULL)
        job->delivery = sticps_delivery_ref(delivery);
    if (!server_post(job->thread, on_outcome, job))
        job_free(job);
}

/* ---- the request ---- */

/* Prefer: wait (RFC 7240), whatever its number of seconds: the delivery has a deadline anyway. */
static bool prefers_wait(const char *header)
{
    while (header != NULL && *header != '\0') {
        header += strspn(header, " \t,");
        size_t len = strcspn(header, "=;, \t");
        if (len == 4 && strncasecmp(header, "wait", 4) == 0)
            return true;
        header += strcspn(header, ",");
    }
    return false;
}

/* False after it has replied. */
static bool read_wait(struct request *request, bool *out)
{
    static const char *const known[] = {"wait", NULL};
    int64_t wait = 0;
    if (!request_query_only(request, known) || !request_query_int(request, "wait", 0, 1, 0, &wait))
        return false;
    *out = wait == 1 || prefers_wait(request_header_joined(request, "prefer"));
    return true;
}

/* The white space that tools leave behind a token is nobody's fault. */
static const char *read_token(const struct request *request, size_t *len)
{
    const char *token = request_body(request, len);
    while (*len > 0 && strchr(" \t\r\n", token[*len - 1]) != NULL)
        --*len;
    return *len > 0 ? token : "";
}

/* What no CPS would take is told at once, by the status that a CPS would give. False after it has
 * replied. */
static bool check_token(struct request *request, const struct agent_config *config,
                        const char *token, size_t len)
{
    struct passport_rules rules = PASSPORT_RULES_DEFAULT;
    struct passport *passport = NULL;
    struct sticps_error err = {0};
    rules.default_country = agent_config_country(config);
    rules.lab = config->lab == AGENT_YES;
    enum sticps_err code = passport_parse(token, len, &rules, -1, &passport, &err);
    passport_free(passport);
    if (code == STICPS_OK)
        return true;
    struct problem problem = {sticps_err_http_status(code), sticps_err_name(code)};
    if (problem.status == PROBLEM_INTERNAL.status)
        problem = PROBLEM_UNAVAILABLE;
    reply_problem(request, &problem, "%s%s%s", err.where, err.where[0] != '\0' ? ": " : "",
                  err.text);
    return false;
}

static void reply_refused(struct request *request, enum sticps_err code,
                          const struct sticps_error *err)
{
    struct problem problem = {503, sticps_err_name(code)};
    reply_header(request, "retry-after", "1");
    reply_problem(request, &problem, "%s", err->text);
}

static void reply_queued(struct request *request)
{
    char text[64];
    int len =
        snprintf(text, sizeof(text), "{\"status\":\"queued\",\"id\":\"%s\"}", request_id(request));
    reply_json_text(request, 202, text, (size_t)len);
}

void deliver_post(struct request *request)
{
    struct agent_thread *thread = request_state(request);
    const struct agent_config *config = engine_config(thread->engine);
    struct sticps_error err = {0};
    bool wait = false;
    size_t len = 0;
    const char *token = read_token(request, &len);
    if (!read_wait(request, &wait) || !check_token(request, config, token, len))
        return;
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        reply_problem(request, &PROBLEM_UNAVAILABLE, "out of memory");
        return;
    }
    snprintf(job->id, sizeof(job->id), "%s", request_id(request));
    job->log = config->log.deliveries == AGENT_YES;
    job->thread = wait ? request_thread(request) : NULL;
    enum sticps_err code =
        sticps_deliver(engine_client(thread->engine), token, len, on_delivered, job, &err);
    if (code != STICPS_OK) {
        job_free(job);
        reply_refused(request, code, &err);
    } else if (wait) { /* on_outcome runs on this thread, so not before this */
        job->pending = pending_new(request, config->delivery.deadline_ms + MARGIN_MS, NULL, NULL);
        server_thread_hold(job->thread);
    } else {
        reply_queued(request);
    }
}
