#include "server/registry/account_routes.h"

#include "server/registry/api.h"
#include "server/registry/credential.h"

#include <string.h>

#define NAME_MAX_LENGTH 200 /* characters */

void account_get(struct request *request)
{
    static const struct db_statement statement = {
        "account_get", "SELECT * FROM account_get(" CREDENTIAL ", $2)", 2};
    struct api call;

    api_begin(&call, request);
    const char *sp = api_sp(&call);
    if (api_refused(&call))
        return;
    const char *params[] = {NULL, sp};
    api_run(&call, &statement, params, false, NULL);
}

void account_put(struct request *request)
{
    static const struct db_statement statement = {
        "account_put", "SELECT * FROM account_put(" CREDENTIAL ", $2::inet, $3, $4)", 4};
    struct api_text name = {.name = "name", .required = true};
    struct api call;

    api_begin(&call, request);
    const char *sp = api_sp(&call);
    api_body(&call, &name, 1);
    api_label(&call, &name, NAME_MAX_LENGTH);
    if (api_refused(&call))
        return;
    const char *params[] = {NULL, NULL, sp, name.value};
    const struct api_dress dress = {.location = request_printf(request, "/api/v1/account/%s", sp)};
    api_run(&call, &statement, params, true, &dress);
}

void account_put_state(struct request *request)
{
    static const struct db_statement statement = {
        "account_set_state", "SELECT * FROM account_set_state(" CREDENTIAL ", $2::inet, $3, $4)",
        4};
    struct api_text state = {.name = "state", .required = true};
    struct api call;

    api_begin(&call, request);
    const char *sp = api_sp(&call);
    api_body(&call, &state, 1);
    if (state.value != NULL && strcmp(state.value, "active") != 0 &&
        strcmp(state.value, "suspended") != 0)
        api_fault(&call, "/state", "must be \"active\" or \"suspended\"");
    if (api_refused(&call))
        return;
    const char *params[] = {NULL, NULL, sp, state.value};
    api_run(&call, &statement, params, true, NULL);
}

void account_spc_put(struct request *request)
{
    static const struct db_statement statement = {
        "spc_put", "SELECT * FROM spc_put(" CREDENTIAL ", $2::inet, $3, $4, $5::boolean)", 5};
    struct spc spc;
    struct api call;

    api_begin(&call, request);
    const char *sp = api_sp(&call);
    (void)api_spc(&call, &spc);
    const char *transfer = api_query(&call, "transfer");
    if (transfer == NULL)
        transfer = "false";
    if (strcmp(transfer, "true") != 0 && strcmp(transfer, "false") != 0)
        api_fault(&call, "/transfer", "must be true or false");
    api_no_body(&call);
    if (api_refused(&call))
        return;
    const char *params[] = {NULL, NULL, sp, spc.text, transfer};
    const struct api_dress dress = {
        .location = request_printf(request, "/api/v1/account/%s/spc/%s", sp, spc.text)};
    api_run(&call, &statement, params, true, &dress);
}

void account_spc_delete(struct request *request)
{
    static const struct db_statement statement = {
        "spc_delete", "SELECT * FROM spc_delete(" CREDENTIAL ", $2::inet, $3, $4)", 4};
    struct spc spc;
    struct api call;

    api_begin(&call, request);
    const char *sp = api_sp(&call);
    (void)api_spc(&call, &spc);
    if (api_refused(&call))
        return;
    const char *params[] = {NULL, NULL, sp, spc.text};
    api_run(&call, &statement, params, true, NULL);
}
