#include "server/registry/cps_routes.h"

#include "common/url.h"
#include "server/registry/api.h"
#include "server/registry/bulk_routes.h"
#include "server/registry/checked_put.h"
#include "server/registry/cps_checks.h"
#include "server/registry/credential.h"
#include "server/registry/daemon.h"

#include <string.h>

void cps_list_get(struct request *request)
{
    static const struct db_statement statement = {
        "entry_list", "SELECT * FROM entry_list(" CREDENTIAL ", $2, $3::integer, $4)", 4};
    char limit[16];
    struct spc after = {""};
    struct sticps_error err;
    struct api call;

    api_begin(&call, request);
    const char *sp = api_sp(&call);
    if (bulk_export(&call, sp))
        return;
    api_limit(&call, limit, sizeof(limit));
    const char *typed = api_query(&call, "after");
    if (typed != NULL && spc_from_typed(typed, strlen(typed), &after, &err) != STICPS_OK)
        api_fault(&call, "/after", "must be what \"next\" of the page before gave");
    if (api_refused(&call))
        return;
    const char *params[] = {NULL, sp, limit, after.text};
    api_run(&call, &statement, params, false, NULL);
}

void cps_entry_get(struct request *request)
{
    static const struct db_statement statement = {
        "entry_get", "SELECT * FROM entry_get(" CREDENTIAL ", $2, $3)", 3};
    struct spc spc;
    struct api call;

    api_begin(&call, request);
    const char *sp = api_sp(&call);
    (void)api_spc(&call, &spc);
    if (api_refused(&call))
        return;
    const char *params[] = {NULL, sp, spc.text};
    api_run(&call, &statement, params, false, NULL);
}

/* If-Match as sql/005_entries.sql takes it: NULL without the header, else an array literal of the
 * versions that its strong tags name, or of the star, which stands alone. What can never match an
 * entry's ETag is left out, so a malformed header matches nothing (RFC 9110 s13.1.1). */
static const char *if_match(struct request *request)
{
    const char *p = request_header_joined(request, "if-match");

    if (p == NULL)
        return NULL;
    p += strspn(p, " \t");
    if (p[0] == '*' && p[1 + strspn(p + 1, " \t")] == '\0')
        return "{*}";
    size_t size = strlen(p) + 3, used = 0;
    char *out = request_alloc(request, size);
    out[used++] = '{';
    while (*p != '\0') {
        p += strspn(p, " \t,");
        const char *item = p;
        /* a comma inside quotes belongs to the tag */
        size_t weak = strncmp(p, "W/", 2) == 0 ? 2 : 0;
        if (p[weak] == '"')
            p += weak + 1 + strcspn(p + weak + 1, "\"");
        p += strcspn(p, ",");
        size_t len = (size_t)(p - item);
        while (len > 0 && (item[len - 1] == ' ' || item[len - 1] == '\t'))
            len--;
        bool version = len > 2 && len <= 21 && item[0] == '"' && item[len - 1] == '"' &&
                       strspn(item + 1, "0123456789") == len - 2;
        if (!version)
            continue;
        if (used > 1)
            out[used++] = ',';
        memcpy(out + used, item + 1, len - 2);
        used += len - 2;
    }
    out[used++] = '}';
    out[used] = '\0';
    return out;
}

static void check_url(struct api *call, const struct api_text *url)
{
    const struct daemon *daemon = node_of(call->request)->daemon;
    struct sticps_error err;

    if (url->value != NULL &&
        cps_url_check(url->value, url->len, &daemon->url_rules, &err) != STICPS_OK)
        api_fault(call, "/url", "%s", err.text);
}

void cps_entry_put(struct request *request)
{
    struct api_text url = {.name = "url", .required = true};
    struct spc spc;
    struct api call;

    api_begin(&call, request);
    const char *sp = api_sp(&call);
    (void)api_spc(&call, &spc);
    api_body(&call, &url, 1);
    check_url(&call, &url);
    if (api_refused(&call))
        return;
    const char *params[] = {NULL, NULL, sp, spc.text, url.value, if_match(request)};
    const struct api_dress dress = {
        .location = request_printf(request, "/api/v1/account/%s/cps/%s", sp, spc.text)};
    if (cps_checks_policy(request) == CONFIG_CHECK_OFF) {
        api_run(&call, &entry_put, params, true, &dress);
    } else {
        checked_put(request, params, &dress);
        api_end(&call);
    }
}

void cps_entry_delete(struct request *request)
{
    static const struct db_statement statement = {
        "entry_delete", "SELECT * FROM entry_delete(" CREDENTIAL ", $2::inet, $3, $4, $5::text[])",
        5};
    struct spc spc;
    struct api call;

    api_begin(&call, request);
    const char *sp = api_sp(&call);
    (void)api_spc(&call, &spc);
    if (api_refused(&call))
        return;
    const char *params[] = {NULL, NULL, sp, spc.text, if_match(request)};
    api_run(&call, &statement, params, true, NULL);
}
