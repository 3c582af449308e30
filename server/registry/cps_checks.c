#include "server/registry/cps_checks.h"

#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/registry/daemon.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 8          /* of one request, so that no request has the checker to itself */
#define ROUND_MS 2000      /* beyond the checks' own deadline, for each AT_ONCE of them */
#define TURN_MS 10000      /* what the first may wait for its turn */
#define AFTERWARDS_MS 5000 /* for the database, as for any request */

struct host {
    struct cps_checks *checks;
    const char *url; /* the first that named it */
    size_t origin_len;
    struct checker_result result;
};

struct cps_checks {
    struct checker *checker;
    struct server_thread *thread;
    enum config_policy policy;
    unsigned timeout_ms;
    struct host hosts[CPS_CHECKS_MAX];
    size_t len, asked, answered;
    bool too_many;
    struct pending *pending;
    void (*done)(struct pending *pending);
};

static const struct checker_result beyond = {
    .verdict = CHECKER_BAD,
    .detail = "not checked: one request may name at most 64 hosts; put further entries one by one",
};

enum config_policy cps_checks_policy(struct request *request)
{
    return node_of(request)->daemon->config->cps_check.policy;
}

struct cps_checks *cps_checks_new(struct request *request)
{
    struct cps_checks *checks = calloc(1, sizeof(*checks));
    struct node *node = node_of(request);
    const struct config *config = node->daemon->config;

    if (checks == NULL)
        abort();
    checks->checker = node->daemon->checker;
    checks->thread = node->thread;
    checks->policy = config->cps_check.policy;
    checks->timeout_ms = config->cps_check.timeout_ms;
    return checks;
}

void cps_checks_free(struct cps_checks *checks)
{
    free(checks);
}

/* ---- hosts ---- */

/* NULL for one that is not among the first CPS_CHECKS_MAX. */
static struct host *find(const struct cps_checks *checks, const char *url)
{
    size_t len = checker_origin(url);

    /* from the end: the entries of one host often follow each other */
    for (size_t i = checks->len; i-- > 0;) {
        const struct host *host = &checks->hosts[i];

        if (host->origin_len == len && memcmp(host->url, url, len) == 0)
            return (struct host *)host;
    }
    return NULL;
}

void cps_checks_add(struct cps_checks *checks, const char *url)
{
    if (find(checks, url) != NULL)
        return;
    checks->too_many = checks->len == CPS_CHECKS_MAX;
    if (!checks->too_many)
        checks->hosts[checks->len++] =
            (struct host){.checks = checks, .url = url, .origin_len = checker_origin(url)};
}

/* ---- running ---- */

static void go_on(struct cps_checks *checks);

static void on_result(void *arg, const struct checker_result *result)
{
    struct host *host = arg;

    host->result = *result;
    host->checks->answered++;
    go_on(host->checks);
}

static void go_on(struct cps_checks *checks)
{
    /* for a client that has left, what is under way is waited for, and nothing more is asked */
    bool gone = pending_request(checks->pending) == NULL;

    while (!gone && checks->asked < checks->len && checks->asked < checks->answered + AT_ONCE) {
        struct host *host = &checks->hosts[checks->asked++];

        checker_ask(checks->checker, checks->thread, host->url, checks->timeout_ms, on_result,
                    host);
    }
    if (checks->answered < checks->asked)
        return;
    if (!gone)
        pending_set_deadline(checks->pending, AFTERWARDS_MS);
    checks->done(checks->pending);
}

void cps_checks_run(struct cps_checks *checks, struct pending *pending,
                    void (*done)(struct pending *pending))
{
    unsigned rounds = (unsigned)(checks->len / AT_ONCE + 1);

    checks->pending = pending;
    checks->done = done;
    pending_set_deadline(pending, TURN_MS + rounds * (checks->timeout_ms + ROUND_MS));
    go_on(checks);
}

/* ---- results ---- */

enum checker_verdict cps_checks_verdict(const struct cps_checks *checks)
{
    enum checker_verdict worst = checks->too_many ? CHECKER_BAD : CHECKER_GOOD;

    if (checks->policy != CONFIG_CHECK_REQUIRE)
        return CHECKER_GOOD;
    for (size_t i = 0; i < checks->len && worst != CHECKER_BAD; i++)
        if (checks->hosts[i].result.verdict != CHECKER_GOOD)
            worst = checks->hosts[i].result.verdict;
    return worst;
}

const struct checker_result *cps_checks_of(const struct cps_checks *checks, const char *url)
{
    const struct host *host = find(checks, url);

    return host != NULL ? &host->result : &beyond;
}

static json_t *json_of(const struct checker_result *result)
{
    json_t *json = json_object();

    json_object_set_new(json, "ok",
                        result->verdict == CHECKER_UNKNOWN
                            ? json_null()
                            : json_boolean(result->verdict == CHECKER_GOOD));
    if (result->detail[0] != '\0')
        json_object_set_new(json, "detail", json_string(result->detail));
    if (result->status != 0)
        json_object_set_new(json, "status", json_integer(result->status));
    if (result->verdict != CHECKER_UNKNOWN)
        json_object_set_new(json, "ms", json_integer(result->ms));
    return json;
}

json_t *cps_checks_json_of(const struct cps_checks *checks, const char *url)
{
    return json_of(cps_checks_of(checks, url));
}

json_t *cps_checks_json(const struct cps_checks *checks)
{
    json_t *list = json_array();

    for (size_t i = 0; i < checks->len; i++) {
        const struct host *host = &checks->hosts[i];
        json_t *one = json_of(&host->result);

        json_object_set_new(one, "host", json_stringn(host->url, host->origin_len));
        json_array_append_new(list, one);
    }
    return list;
}

/* ---- refusing ---- */

static const struct problem failed = {422, "CPS_CHECK_FAILED"};

void cps_checks_refuse_all(struct request *request, json_t *errors)
{
    reply_problem_errors(request, &failed, errors, "%zu of these CPSs do not answer as they must",
                         json_array_size(errors));
}

void cps_checks_refuse(struct request *request, enum checker_verdict verdict, const char *pointer,
                       const char *detail)
{
    if (verdict == CHECKER_UNKNOWN) {
        reply_problem(request, &PROBLEM_UNAVAILABLE, "the CPS could not be checked, %s", detail);
        return;
    }
    json_t *errors = json_array();
    problem_add(errors, pointer, "%s", detail);
    reply_problem_errors(request, &failed, errors, "the CPS does not answer as it must: %s",
                         detail);
}

char *cps_checks_caller(const char *body)
{
    size_t len = strlen(body);
    char *id = len > 2 ? strndup(body + 1, len - 2) : NULL; /* a JSON string */

    if (id == NULL)
        abort();
    return id;
}
