#include "server/registry/checked_put.h"

#include "server/registry/cps_checks.h"
#include "server/registry/credential.h"
#include "server/registry/daemon.h"
#include "server/registry/write_rate.h"

#include <stdlib.h>
#include <string.h>

const struct db_statement entry_put = {
    "entry_put", "SELECT * FROM entry_put(" CREDENTIAL ", $2::inet, $3, $4, $5, $6::text[])",
    ENTRY_PUT_PARAMS};

/* The order of entry_put's parameters. */
enum { CALLER, ADDRESS, SP, SPC, URL, IF_MATCH };

struct put {
    struct api_dress dress; /* first: api_on_result */
    struct cps_checks *checks;
    char *params[ENTRY_PUT_PARAMS];
};

static void free_put(void *arg)
{
    struct put *put = arg;

    for (size_t i = 0; i < ENTRY_PUT_PARAMS; i++)
        free(put->params[i]);
    json_decref(put->dress.check);
    cps_checks_free(put->checks);
    free(put);
}

static char *copy(const char *text)
{
    char *out = text != NULL ? strdup(text) : NULL;

    if (out == NULL && text != NULL)
        abort();
    return out;
}

/* The check has ended. */
static void on_checked(struct pending *pending)
{
    struct request *request = pending_request(pending);
    struct put *put = pending_data(pending);
    enum checker_verdict verdict = cps_checks_verdict(put->checks);

    if (request == NULL) {
        pending_done(pending);
    } else if (verdict == CHECKER_GOOD) {
        put->dress.check = cps_checks_json_of(put->checks, put->params[URL]);
        db_query(node_of(request)->pool, &entry_put, (const char *const *)put->params, 0,
                 api_on_result, pending);
    } else {
        write_rate_count(request, "OK"); /* it has made us work for this SP */
        cps_checks_refuse(request, verdict, "/url",
                          cps_checks_of(put->checks, put->params[URL])->detail);
        pending_done(pending);
    }
}

/* Whether the caller may. */
static void on_allowed(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);
    struct put *put = pending_data(pending);

    if (request == NULL || !api_result_ok(request, result)) {
        pending_done(pending);
        return;
    }
    const char *outcome = db_text(result->rows, 0, 0);

    if (strcmp(outcome, "OK") != 0) {
        write_rate_count(request, outcome);
        api_reply_refusal(request, outcome, db_text(result->rows, 0, 1), 0);
        pending_done(pending);
        return;
    }
    /* the credential may have been good for once; what the database made of it still is */
    put->params[CALLER] = cps_checks_caller(db_text(result->rows, 0, 2));
    cps_checks_add(put->checks, put->params[URL]);
    cps_checks_run(put->checks, pending, on_checked);
}

void checked_put(struct request *request, const char *const params[ENTRY_PUT_PARAMS],
                 const struct api_dress *dress)
{
    static const struct db_statement statement = {
        "entry_put_allowed", "SELECT * FROM entry_put_allowed(" CREDENTIAL ", $2, $3)", 3};
    struct put *put = calloc(1, sizeof(*put));

    if (put == NULL)
        abort();
    put->dress = *dress;
    put->checks = cps_checks_new(request);
    put->params[ADDRESS] = copy(request_client(request));
    for (size_t i = SP; i < ENTRY_PUT_PARAMS; i++)
        put->params[i] = copy(params[i]);
    const char *asked[] = {credential_of(request), put->params[SP], put->params[SPC]};
    struct pending *pending = pending_new(request, 0, put, free_put);

    db_query(node_of(request)->pool, &statement, asked, 0, on_allowed, pending);
}
