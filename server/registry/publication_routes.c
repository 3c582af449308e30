#include "server/registry/publication_routes.h"

#include "server/registry/api.h"
#include "server/registry/credential.h"

#include <inttypes.h>
#include <stdio.h>

/* A page of something that is numbered, newest first: limit, and after which number (0: from the
 * newest). `of_spc`: of the SPC that the path names, the statement's $4. */
static void get_page(struct request *request, const struct db_statement *statement, bool of_spc)
{
    char limit[16], after[24];
    struct spc spc = {""};
    struct api call;

    api_begin(&call, request);
    if (of_spc)
        (void)api_spc(&call, &spc);
    api_limit(&call, limit, sizeof(limit));
    int64_t number = api_query_int(&call, "after", 0, INT64_MAX, 0);
    if (api_refused(&call))
        return;
    snprintf(after, sizeof(after), "%" PRId64, number);
    const char *params[] = {NULL, limit, number > 0 ? after : NULL, spc.text};
    api_run(&call, statement, params, false, NULL);
}

void publications_get(struct request *request)
{
    static const struct db_statement statement = {
        "publication_list",
        "SELECT * FROM publication_list(" CREDENTIAL ", $2::integer, $3::bigint)", 3};

    get_page(request, &statement, false);
}

void audit_get(struct request *request)
{
    static const struct db_statement statement = {
        "audit_list", "SELECT * FROM audit_list(" CREDENTIAL ", $2::integer, $3::bigint)", 3};

    get_page(request, &statement, false);
}

void spc_history_get(struct request *request)
{
    static const struct db_statement statement = {
        "spc_history", "SELECT * FROM spc_history(" CREDENTIAL ", $4, $2::integer, $3::bigint)", 4};

    get_page(request, &statement, true);
}

/* Publish now; with {"confirm":…}, what the brake holds back under that name. */
void publications_post(struct request *request)
{
    static const struct db_statement statement = {
        "publication_request", "SELECT * FROM publication_request(" CREDENTIAL ", $2::inet, $3)",
        3};
    struct api_text body[] = {{.name = "confirm"}};
    struct api call;
    size_t size;

    api_begin(&call, request);
    (void)request_body(request, &size);
    if (size > 0)
        api_body(&call, body, 1);
    if (api_refused(&call))
        return;
    const char *params[] = {NULL, NULL, body[0].value};
    api_run(&call, &statement, params, true, NULL);
}
