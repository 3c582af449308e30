#include "server/registry/key_routes.h"

#include "server/registry/api.h"
#include "server/registry/api_key.h"
#include "server/registry/credential.h"
#include "server/http/network.h"
#include "server/registry/session.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_LENGTH 100 /* characters */
#define SCOPES_MAX 3        /* of one owner */
#define ADDRESSES_MAX 32
#define EXPIRES_MAX (10 * 365 * 86400) /* seconds */

static const char *const account_scopes[] = {"read", "write", "history", NULL};
static const char *const pa_scopes[] = {"history", "publish", NULL};

/* ---- what came in ---- */

/* An element of a list as its normal form in `out` (room for NETWORK_TEXT_SIZE); false with *fault.
 */
typedef bool read_element(const char *text, size_t len, const void *arg, char *out,
                          struct sticps_error *fault);

static bool read_scope(const char *text, size_t len, const void *arg, char *out,
                       struct sticps_error *fault)
{
    const char *const *scopes = arg;

    for (size_t i = 0; scopes[i] != NULL; i++)
        if (strlen(scopes[i]) == len && memcmp(scopes[i], text, len) == 0) {
            memcpy(out, text, len + 1);
            return true;
        }
    if (scopes == account_scopes)
        (void)fail(fault, STICPS_ERR_USAGE, NULL, "must be \"read\", \"write\" or \"history\"");
    else
        (void)fail(fault, STICPS_ERR_USAGE, NULL, "must be \"history\" or \"publish\"");
    return false;
}

static bool read_address(const char *text, size_t len, const void *arg, char *out,
                         struct sticps_error *fault)
{
    (void)arg;
    return network_normalize(text, len, out, fault) == STICPS_OK;
}

/* The list as an array literal of PostgreSQL, from the request's memory; each element once. What
 * read_element lets through needs no quotes there. */
static char *read_list(struct api *call, const struct api_text *list, size_t max,
                       read_element *read, const void *arg)
{
    size_t len = json_array_size(list->json), used = 1;

    if (len > max) {
        api_fault(call, request_printf(call->request, "/%s", list->name),
                  "must have at most %zu elements", max);
        return NULL;
    }
    char(*elements)[NETWORK_TEXT_SIZE] =
        request_alloc(call->request, (len + 1) * sizeof(*elements));
    char *out = request_alloc(call->request, (len + 1) * (sizeof(*elements) + 1) + 2);
    out[0] = '{';
    for (size_t i = 0; i < len; i++) {
        const json_t *value = json_array_get(list->json, i);
        const char *pointer = request_printf(call->request, "/%s/%zu", list->name, i);
        struct sticps_error fault;

        elements[i][0] = '\0';
        if (!json_is_string(value)) {
            api_fault(call, pointer, "must be a string");
            continue;
        }
        if (!read(json_string_value(value), json_string_length(value), arg, elements[i], &fault)) {
            elements[i][0] = '\0';
            api_fault(call, pointer, "%s", fault.text);
            continue;
        }
        for (size_t k = 0; k < i; k++)
            if (strcmp(elements[k], elements[i]) == 0)
                api_fault(call, pointer, "is there twice");
        if (used > 1)
            out[used++] = ',';
        memcpy(out + used, elements[i], strlen(elements[i]));
        used += strlen(elements[i]);
    }
    out[used] = '}';
    out[used + 1] = '\0';
    return out;
}

/* NULL when absent, or after noting the fault. */
static const char *read_expiry(struct api *call, const struct api_text *expires)
{
    if (expires->json == NULL)
        return NULL;
    json_int_t seconds = json_integer_value(expires->json);
    if (seconds < 1 || seconds > EXPIRES_MAX) {
        api_fault(call, "/expiresIn", "must be 1 to %d seconds", EXPIRES_MAX);
        return NULL;
    }
    return request_printf(call->request, "%" JSON_INTEGER_FORMAT, seconds);
}

/* ---- the routes ---- */

static void post_key(struct request *request, bool of_account)
{
    static const struct db_statement statement = {
        "key_create",
        "SELECT * FROM key_create(" CREDENTIAL
        ", $2::inet, $3, $4, $5::bytea, $6, $7::text[], $8::cidr[], $9::integer)",
        9};
    struct api_text members[] = {{.name = "name", .required = true},
                                 {.name = "scopes", .required = true, .kind = API_LIST},
                                 {.name = "addresses", .kind = API_LIST},
                                 {.name = "expiresIn", .kind = API_INTEGER}};
    const char *const *allowed = of_account ? account_scopes : pa_scopes;
    char text[API_KEY_TEXT_SIZE], id[API_KEY_ID_SIZE], hash[SESSION_HASH_TEXT_SIZE];
    struct sticps_error err;
    struct api call;

    api_begin(&call, request);
    const char *sp = of_account ? api_sp(&call) : NULL;
    api_body(&call, members, 4);
    api_label(&call, &members[0], NAME_MAX_LENGTH);
    const char *scopes = read_list(&call, &members[1], SCOPES_MAX, read_scope, allowed);
    if (members[1].json != NULL && json_array_size(members[1].json) == 0)
        api_fault(&call, "/scopes", "must name a scope");
    const char *addresses = read_list(&call, &members[2], ADDRESSES_MAX, read_address, NULL);
    const char *expires = read_expiry(&call, &members[3]);
    if (api_refused(&call))
        return;
    if (api_key_make(text, id, &err) != STICPS_OK) {
        api_end(&call);
        reply_problem(request, &PROBLEM_INTERNAL, "no key can be made");
        return;
    }
    session_refresh_hash(text, strlen(text), hash);
    const char *params[] = {NULL, NULL, sp, id, hash, members[0].value, scopes, addresses, expires};
    const struct api_dress dress = {
        .location = sp != NULL ? request_printf(request, "/api/v1/account/%s/key/%s", sp, id)
                               : request_printf(request, "/api/v1/key/%s", id),
        .secret_name = "key",
        .secret = request_printf(request, "%s", text)};
    OPENSSL_cleanse(text, sizeof(text));
    api_run(&call, &statement, params, true, &dress);
}

static void list_keys(struct request *request, bool of_account)
{
    static const struct db_statement statement = {"key_list",
                                                  "SELECT * FROM key_list(" CREDENTIAL ", $2)", 2};
    struct api call;

    api_begin(&call, request);
    const char *sp = of_account ? api_sp(&call) : NULL;
    if (api_refused(&call))
        return;
    const char *params[] = {NULL, sp};
    api_run(&call, &statement, params, false, NULL);
}

static void delete_key(struct request *request, bool of_account)
{
    static const struct db_statement statement = {
        "key_revoke", "SELECT * FROM key_revoke(" CREDENTIAL ", $2::inet, $3, $4)", 4};
    struct api call;

    api_begin(&call, request);
    const char *sp = of_account ? api_sp(&call) : NULL;
    const char *id = request_param(request, "keyId");
    if (!api_key_is_id(id))
        api_fault(&call, "/keyId", "the id of a key is 12 digits of 0-9 a-f");
    if (api_refused(&call))
        return;
    const char *params[] = {NULL, NULL, sp, id};
    api_run(&call, &statement, params, true, NULL);
}

void account_key_list(struct request *request)
{
    list_keys(request, true);
}

void account_key_post(struct request *request)
{
    post_key(request, true);
}

void account_key_delete(struct request *request)
{
    delete_key(request, true);
}

void pa_key_list(struct request *request)
{
    list_keys(request, false);
}

void pa_key_post(struct request *request)
{
    post_key(request, false);
}

void pa_key_delete(struct request *request)
{
    delete_key(request, false);
}
