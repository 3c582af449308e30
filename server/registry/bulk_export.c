#include "server/registry/bulk_routes.h"

#include "server/registry/api.h"
#include "server/registry/bulk_csv.h"
#include "server/registry/credential.h"
#include "server/registry/daemon.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* One element of an Accept header: is it this media type, and its weight in thousandths (RFC 9110
 * s12.4.2; 1,000 when none is written or it cannot be read). */
static int weight_of(const char *element, size_t len, const char *type)
{
    size_t name = strcspn(element, ";, \t");
    const char *end = element + len;

    if (name != strlen(type) || strncasecmp(element, type, name) != 0)
        return -1;
    for (const char *p = element + name; p < end; p++) {
        if (*p != ';')
            continue;
        p += 1 + strspn(p + 1, " \t");
        if (strncasecmp(p, "q=", 2) == 0) {
            double q = strtod(p + 2, NULL);

            return q >= 0 && q <= 1 ? (int)(q * 1000) : 1000;
        }
        p--;
    }
    return 1000;
}

/* Does the client ask for CSV by name, and rather than for JSON by name? Whoever takes anything
 * gets JSON. */
static bool prefers_csv(const char *accept)
{
    int csv = 0, json = 0;

    while (accept != NULL && *accept != '\0') {
        accept += strspn(accept, " \t,");
        size_t len = strcspn(accept, ",");
        int weight = weight_of(accept, len, "text/csv");

        csv = weight > csv ? weight : csv;
        weight = weight_of(accept, len, "application/json");
        json = weight > json ? weight : json;
        accept += len;
    }
    return csv > json;
}

static void on_csv(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);

    if (request != NULL && api_result_ok(request, result)) {
        const char *outcome = db_text(result->rows, 0, 0), *body = db_text(result->rows, 0, 2);
        struct json_doc mapping = {0};
        struct json_write csv;
        struct sticps_error err;

        json_write_init(&csv, strlen(body) + 16);
        if (strcmp(outcome, "OK") != 0) {
            api_reply_refusal(request, outcome, db_text(result->rows, 0, 1), 0);
        } else if (json_doc_parse_object(body, strlen(body), STICPS_ERR_FORM, &mapping, &err) ==
                   STICPS_OK) {
            bulk_write_csv(&csv, &mapping);
            if (json_write_check(&csv, &err) == STICPS_OK)
                reply_bytes(request, 200, "text/csv; charset=utf-8; header=present", csv.data,
                            csv.len);
        }
        json_write_clear(&csv);
        json_doc_clear(&mapping);
    }
    pending_done(pending);
}

static void run(struct api *call, const char *sp, bool csv)
{
    static const struct db_statement statement = {
        "entry_export", "SELECT * FROM entry_export(" CREDENTIAL ", $2, $3)", 3};
    const char *params[] = {credential_of(call->request), sp, csv ? "" : "0-"};

    if (csv) {
        struct pending *pending = pending_new(call->request, 0, NULL, NULL);

        db_query(node_of(call->request)->pool, &statement, params, 0, on_csv, pending);
        api_end(call);
    } else {
        api_run(call, &statement, params, false, NULL);
    }
}

/* A whole mapping has no pages. */
static void check_no_page(struct api *call)
{
    static const char detail[] = "this format has no pages: all is in one answer";

    if (api_query(call, "limit") != NULL)
        api_fault(call, "/limit", "%s", detail);
    if (api_query(call, "after") != NULL)
        api_fault(call, "/after", "%s", detail);
}

bool bulk_export(struct api *call, const char *sp)
{
    const char *format = api_query(call, "format");

    if (format == NULL)
        format = prefers_csv(request_header_joined(call->request, "accept")) ? "csv" : "json";
    bool csv = strcmp(format, "csv") == 0;
    if (!csv && strcmp(format, "rfc9888") != 0) {
        if (strcmp(format, "json") != 0)
            api_fault(call, "/format", "must be json, csv or rfc9888");
        return false;
    }
    check_no_page(call);
    if (!api_refused(call))
        run(call, sp, csv);
    return true;
}
