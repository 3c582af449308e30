#include "server/registry/bulk_routes.h"

#include "common/json_write.h"
#include "server/http/router.h"
#include "server/registry/api.h"
#include "server/registry/bulk_map.h"
#include "server/registry/cps_checks.h"
#include "server/registry/credential.h"
#include "server/registry/daemon.h"
#include "server/registry/write_rate.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of a body that is still read a second time, to tell what is no JSON from JSON of a wrong
 * type. */
#define SCALAR_MAX (64u * 1024)

static void on_fault(void *call, const char *pointer, const char *detail)
{
    api_fault(call, pointer, "%s", detail);
}

/* Reads the body in the form that its media type names; the router has seen that it is one of ours.
 */
static void read_body(struct api *call, struct bulk_map *map)
{
    struct sticps_error err = {0};
    const char *type = request_header(call->request, "content-type");
    size_t len;
    const void *body = request_body(call->request, &len);

    bulk_map_init(map, &node_of(call->request)->daemon->url_rules, on_fault, call);
    if (type != NULL && router_media_type_is(type, strlen(type), "text/csv"))
        bulk_read_csv(map, body, len);
    else if (bulk_read_json(map, body, len, &err) == STICPS_OK)
        return;
    else if (len <= SCALAR_MAX && request_body_is_scalar(call->request))
        api_fault(call, "", "the body must be a JSON object");
    else
        api_refuse(call, &PROBLEM_NOT_JSON, err.text); /* 400 comes before 422 */
}

/* The whole mapping has no ETag, so no If-Match but the star can hold (RFC 9110 s13.1.1). Better
 * said than ignored: whoever sends one wants to be kept from overwriting somebody else's change. */
static void check_if_match(struct api *call)
{
    const char *header = request_header_joined(call->request, "if-match");

    if (header != NULL && strcmp(header, "*") != 0 && call->problem == NULL)
        api_refuse(call, &PROBLEM_PRECONDITION_FAILED,
                   "the whole mapping has no ETag; send it without If-Match");
}

/* "true" or "false", or anything with the fault noted. */
static const char *read_dry_run(struct api *call)
{
    const char *text = api_query(call, "dryRun");

    if (text != NULL && strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        api_fault(call, "/dryRun", "must be true or false");
    return text != NULL ? text : "false";
}

/* What waits for the database, and for the checks of the CPSs where there are any. */
struct put {
    struct bulk_map map;
    const char *sp, *dry_run;  /* of the request's memory */
    struct cps_checks *checks; /* NULL without */
    char *caller;              /* in place of the credential, after the checks */
};

static void free_put(void *arg)
{
    struct put *put = arg;

    bulk_map_clear(&put->map);
    cps_checks_free(put->checks);
    free(put->caller);
    free(put);
}

/* ---- the answer ---- */

/* The function names the SPCs that are not the account's by their places. */
static json_t *not_owned(const struct bulk_map *map, const char *places)
{
    json_t *errors = json_array(), *list = json_loads(places, 0, NULL), *place;
    char pointer[BULK_POINTER_SIZE];
    size_t i;

    json_array_foreach(list, i, place)
    {
        size_t n = (size_t)json_integer_value(place);

        if (n < 1 || n > map->len)
            continue;
        bulk_pointer(map, &map->entries[n - 1], pointer);
        problem_add(errors, pointer, "the account does not own the SPC %s",
                    map->entries[n - 1].spc.text);
    }
    json_decref(list);
    return errors;
}

static void reply_with_checks(struct request *request, const struct put *put, const char *text)
{
    json_t *body = json_loads(text, 0, NULL);

    json_object_set_new(body, "checks", cps_checks_json(put->checks));
    reply_json(request, 200, body);
}

/* Replies unless it went well; true when it did. */
static bool went_well(struct request *request, const struct db_result *result,
                      const struct bulk_map *map)
{
    const char *outcome = db_text(result->rows, 0, 0), *body = db_text(result->rows, 0, 2);

    if (strcmp(outcome, "OK") == 0)
        return true;
    api_reply_refusal_errors(request, outcome, db_text(result->rows, 0, 1), 0,
                             body[0] != '\0' ? not_owned(map, body) : NULL);
    return false;
}

static void on_put(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);
    const struct put *put = pending_data(pending);

    if (request != NULL && api_result_ok(request, result)) {
        const char *body = db_text(result->rows, 0, 2);

        write_rate_count(request, db_text(result->rows, 0, 0));
        if (!went_well(request, result, &put->map))
            ;
        else if (put->checks == NULL)
            reply_json_text(request, 200, body, strlen(body));
        else
            reply_with_checks(request, put, body);
    }
    pending_done(pending);
}

/* ---- the call ---- */

/* The two as array literals of PostgreSQL. */
static void write_arrays(const struct bulk_map *map, struct json_write *spcs,
                         struct json_write *urls)
{
    struct sticps_error err;

    json_write_init(spcs, map->len * 7 + 3);
    json_write_init(urls, map->len * 80 + 3);
    json_write_literal(spcs, "{");
    json_write_literal(urls, "{");
    for (size_t i = 0; i < map->len; i++) {
        json_write_raw(spcs, ",", i > 0);
        json_write_raw(spcs, map->entries[i].spc.text, strlen(map->entries[i].spc.text));
        json_write_raw(urls, ",", i > 0);
        /* printable ASCII without backslash: an array literal quotes it as JSON does */
        json_write_string(urls, map->entries[i].url);
    }
    json_write_raw(spcs, "}", 2); /* with the NUL */
    json_write_raw(urls, "}", 2);
    if (json_write_check(spcs, &err) != STICPS_OK || json_write_check(urls, &err) != STICPS_OK)
        abort();
}

/* Runs one of the two functions that take the mapping. `last` is true or false for entry_put_all,
 * and NULL for the one without it. */
static void query(struct pending *pending, const struct db_statement *statement,
                  const char *credential, const char *last, db_callback *done)
{
    struct request *request = pending_request(pending);
    const struct put *put = pending_data(pending);
    struct json_write spcs, urls;

    write_arrays(&put->map, &spcs, &urls);
    const char *params[] = {credential, request_client(request), put->sp, spcs.data, urls.data,
                            last};
    db_query(node_of(request)->pool, statement, params, 0, done, pending);
    json_write_clear(&spcs);
    json_write_clear(&urls);
}

static void run(struct pending *pending, const char *credential)
{
    static const struct db_statement statement = {
        "entry_put_all",
        "SELECT * FROM entry_put_all(" CREDENTIAL
        ", $2::inet, $3, $4::text[], $5::text[], $6::boolean)",
        6};
    const struct put *put = pending_data(pending);

    query(pending, &statement, credential, put->dry_run, on_put);
}

/* ---- checks before it (cps_check in the configuration) ---- */

/* 422 for every entry whose CPS does not answer; 503 when that could not be found out. */
static void refuse(struct request *request, const struct put *put, enum checker_verdict verdict)
{
    json_t *errors = json_array();
    char pointer[BULK_POINTER_SIZE];

    for (size_t i = 0; i < put->map.len; i++) {
        const struct bulk_entry *entry = &put->map.entries[i];
        const struct checker_result *result = cps_checks_of(put->checks, entry->url);

        if (result->verdict != verdict)
            continue;
        bulk_pointer(&put->map, entry, pointer);
        problem_add(errors, pointer, "%s", result->detail);
    }
    if (verdict == CHECKER_BAD) {
        cps_checks_refuse_all(request, errors);
        return;
    }
    cps_checks_refuse(request, verdict, "",
                      json_string_value(json_object_get(json_array_get(errors, 0), "detail")));
    json_decref(errors);
}

static void on_checked(struct pending *pending)
{
    struct request *request = pending_request(pending);
    struct put *put = pending_data(pending);
    enum checker_verdict verdict = cps_checks_verdict(put->checks);

    if (request != NULL && verdict == CHECKER_GOOD) {
        run(pending, put->caller);
        return;
    }
    if (request != NULL) {
        write_rate_count(request, "OK"); /* it has made us work for this SP */
        refuse(request, put, verdict);
    }
    pending_done(pending);
}

static void on_allowed(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);
    struct put *put = pending_data(pending);

    if (request == NULL || !api_result_ok(request, result)) {
        pending_done(pending);
        return;
    }
    if (!went_well(request, result, &put->map)) {
        write_rate_count(request, db_text(result->rows, 0, 0));
        pending_done(pending);
        return;
    }
    put->caller = cps_checks_caller(db_text(result->rows, 0, 2));
    for (size_t i = 0; i < put->map.len; i++)
        cps_checks_add(put->checks, put->map.entries[i].url);
    cps_checks_run(put->checks, pending, on_checked);
}

static void run_checked(struct pending *pending, struct put *put)
{
    static const struct db_statement statement = {"entry_put_all_allowed",
                                                  "SELECT * FROM entry_put_all_allowed(" CREDENTIAL
                                                  ", $2::inet, $3, $4::text[], $5::text[])",
                                                  5};
    struct request *request = pending_request(pending);

    put->checks = cps_checks_new(request);
    query(pending, &statement, credential_of(request), NULL, on_allowed);
}

/* ---- the route ---- */

void bulk_put(struct request *request)
{
    struct put *put = calloc(1, sizeof(*put));
    struct api call;

    if (put == NULL)
        abort();
    api_begin(&call, request);
    put->sp = api_sp(&call);
    put->dry_run = read_dry_run(&call);
    read_body(&call, &put->map);
    check_if_match(&call);
    if (api_refused(&call)) {
        free_put(put);
        return;
    }
    struct pending *pending = pending_new(request, 0, put, free_put);

    if (cps_checks_policy(request) == CONFIG_CHECK_OFF)
        run(pending, credential_of(request));
    else
        run_checked(pending, put);
    api_end(&call);
}
