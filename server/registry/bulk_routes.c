#include "server/registry/bulk_routes.h"

#include "common/json_write.h"
#include "server/http/router.h"
#include "server/registry/api.h"
#include "server/registry/bulk_map.h"
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

static void on_put(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);

    if (request != NULL && api_result_ok(request, result)) {
        const char *outcome = db_text(result->rows, 0, 0), *body = db_text(result->rows, 0, 2);

        write_rate_count(request, outcome);
        if (strcmp(outcome, "OK") == 0)
            reply_json_text(request, 200, body, strlen(body));
        else
            api_reply_refusal_errors(request, outcome, db_text(result->rows, 0, 1), 0,
                                     body[0] != '\0' ? not_owned(pending_data(pending), body)
                                                     : NULL);
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

static void free_map(void *map)
{
    bulk_map_clear(map);
    free(map);
}

static void run(struct api *call, const char *sp, struct bulk_map *map, const char *dry_run)
{
    static const struct db_statement statement = {
        "entry_put_all",
        "SELECT * FROM entry_put_all(" CREDENTIAL
        ", $2::inet, $3, $4::text[], $5::text[], $6::boolean)",
        6};
    struct request *request = call->request;
    struct json_write spcs, urls;

    write_arrays(map, &spcs, &urls);
    const char *params[] = {
        credential_of(request), request_client(request), sp, spcs.data, urls.data, dry_run};
    struct pending *pending = pending_new(request, 0, map, free_map);
    db_query(node_of(request)->pool, &statement, params, 0, on_put, pending);
    json_write_clear(&spcs);
    json_write_clear(&urls);
    api_end(call);
}

void bulk_put(struct request *request)
{
    struct bulk_map *map = calloc(1, sizeof(*map));
    struct api call;

    if (map == NULL)
        abort();
    api_begin(&call, request);
    const char *sp = api_sp(&call);
    const char *dry_run = read_dry_run(&call);
    read_body(&call, map);
    check_if_match(&call);
    if (api_refused(&call))
        free_map(map);
    else
        run(&call, sp, map, dry_run);
}
