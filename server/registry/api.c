#include "server/registry/api.h"

#include "common/strict_json.h"
#include "server/http/log.h"
#include "server/http/router.h"
#include "server/registry/credential.h"
#include "server/registry/daemon.h"
#include "server/registry/pointer.h"
#include "server/registry/write_rate.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- outcomes ---- */

static const struct outcome {
    const char *name;
    struct problem problem; /* code NULL: a success of that status */
} outcomes[] = {
    {"OK", {200, NULL}},
    {"CREATED", {201, NULL}},
    {"ACCEPTED", {202, NULL}},
    {"NO_CONTENT", {204, NULL}},
    {"UNAUTHENTICATED", {401, "UNAUTHENTICATED"}},
    {"PROOF_REPLAYED", {401, "PROOF_REPLAYED"}},
    {"PROOF_TIME", {401, "PROOF_TIME"}},
    {"INVALID_CREDENTIALS", {401, "INVALID_CREDENTIALS"}},
    {"FORBIDDEN", {403, "FORBIDDEN"}},
    {"ACCOUNT_SUSPENDED", {403, "ACCOUNT_SUSPENDED"}},
    {"SPC_NOT_OWNED", {403, "SPC_NOT_OWNED"}},
    {"SCOPE_MISSING", {403, "SCOPE_MISSING"}},
    {"ADDRESS_NOT_ALLOWED", {403, "ADDRESS_NOT_ALLOWED"}},
    {"NOT_FOUND", {404, "NOT_FOUND"}},
    {"SPC_OWNED_BY_ANOTHER", {409, "SPC_OWNED_BY_ANOTHER"}},
    {"USER_ID_TAKEN", {409, "USER_ID_TAKEN"}},
    {"LAST_ADMIN", {409, "LAST_ADMIN"}},
    {"TOO_MANY_KEYS", {409, "TOO_MANY_KEYS"}},
    {"BRAKE_HOLDS", {409, "BRAKE_HOLDS"}},
    {"NOT_HELD", {409, "NOT_HELD"}},
    {"PRECONDITION_FAILED", {412, "PRECONDITION_FAILED"}},
    {"THROTTLED", {429, "TOO_MANY_REQUESTS"}},
};

static const struct outcome *find_outcome(const char *name)
{
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
        if (strcmp(outcomes[i].name, name) == 0)
            return &outcomes[i];
    return NULL;
}

void api_reply_refusal_errors(struct request *request, const char *name, const char *detail,
                              long long version, json_t *errors)
{
    const struct outcome *outcome = find_outcome(name);
    char seconds[24];

    if (outcome == NULL || outcome->problem.code == NULL) {
        log_fields(LOG_LEVEL_ERROR, "unknown outcome", LOG_TEXT("outcome", name));
        json_decref(errors);
        reply_problem(request, &PROBLEM_INTERNAL, "the request could not be completed");
        return;
    }
    int status = outcome->problem.status;
    if (status == 401 && credential_advice(request) != NULL)
        detail = credential_advice(request);
    if (status == 401 || status == 403 || status == 429)
        log_fields(LOG_LEVEL_WARN, "refused", LOG_TEXT("code", outcome->problem.code),
                   LOG_TEXT("user", credential_user(request)),
                   LOG_TEXT("client", request_client(request)),
                   LOG_TEXT("method", request_method(request)),
                   LOG_TEXT("path", request_path(request)), LOG_TEXT("reason", detail));
    if (status == 429) {
        snprintf(seconds, sizeof(seconds), "%lld", version);
        reply_header(request, "retry-after", seconds);
    }
    if (errors != NULL)
        reply_problem_errors(request, &outcome->problem, errors, "%s", detail);
    else
        reply_problem(request, &outcome->problem, "%s", detail);
}

void api_reply_refusal(struct request *request, const char *name, const char *detail,
                       long long version)
{
    api_reply_refusal_errors(request, name, detail, version, NULL);
}

/* Replies for a query that failed; false, for its callers to return. */
static bool query_failed(struct request *request, const struct db_result *result)
{
    bool again = result->status == DB_UNAVAILABLE || strcmp(result->sqlstate, "40001") == 0 ||
                 strcmp(result->sqlstate, "40P01") == 0; /* serialization failure, deadlock */
    log_fields(again ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, "query failed",
               LOG_TEXT("sqlstate", result->sqlstate), LOG_TEXT("message", result->message),
               LOG_TEXT("request", request_id(request)));
    if (again)
        reply_problem(request, &PROBLEM_UNAVAILABLE, "the database cannot be reached; try again");
    else
        reply_problem(request, &PROBLEM_INTERNAL, "the request could not be completed");
    return false;
}

bool api_query_ok(struct request *request, const struct db_result *result)
{
    return result->status == DB_OK || query_failed(request, result);
}

bool api_result_ok(struct request *request, const struct db_result *result)
{
    return (result->status == DB_OK && PQntuples(result->rows) == 1) ||
           query_failed(request, result);
}

/* ---- what a function returned ---- */

/* The body with a member more; `value` is taken over. */
static void reply_with(struct request *request, int status, const char *text, const char *name,
                       json_t *value)
{
    json_t *body = json_loads(text, 0, NULL);

    if (json_object_set_new(body, name, value) != 0) {
        json_decref(body);
        reply_problem(request, &PROBLEM_INTERNAL, "the request could not be completed");
        return;
    }
    reply_json(request, status, body);
}

static void reply_outcome(struct request *request, const PGresult *rows,
                          const struct api_dress *dress)
{
    const char *name = db_text(rows, 0, 0), *body = db_text(rows, 0, 2);
    const struct outcome *outcome = find_outcome(name);
    char etag[32];

    if ((request_route(request)->role & API_ROLE_SP_WRITE) != 0)
        write_rate_count(request, name);
    if (outcome == NULL || outcome->problem.code != NULL) {
        api_reply_refusal(request, name, db_text(rows, 0, 1), db_int(rows, 0, 3));
        return;
    }
    int status = outcome->problem.status;
    if (db_text_or_null(rows, 0, 3) != NULL) {
        snprintf(etag, sizeof(etag), "\"%lld\"", db_int(rows, 0, 3));
        reply_header(request, "etag", etag);
        const char *method = request_method(request);
        bool reading = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
        if (reading && !etag_match(request_header_joined(request, "if-match"), etag)) {
            reply_problem(request, &PROBLEM_PRECONDITION_FAILED,
                          "the entry is not at that version");
            return;
        }
        if (reading && etag_none_match(request_header_joined(request, "if-none-match"), etag)) {
            reply_empty(request, 304);
            return;
        }
    }
    if (status == 201 && dress->location != NULL)
        reply_header(request, "location", dress->location);
    if (status == 204)
        reply_empty(request, status);
    else if (dress->secret != NULL)
        reply_with(request, status, body, dress->secret_name, json_string(dress->secret));
    else if (dress->check != NULL)
        reply_with(request, status, body, "check", json_incref(dress->check));
    else
        reply_json_text(request, status, body, strlen(body));
}

void api_on_result(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);

    if (request != NULL && api_result_ok(request, result))
        reply_outcome(request, result->rows, pending_data(pending));
    pending_done(pending);
}

void api_run(struct api *call, const struct db_statement *statement, const char **params,
             bool with_address, const struct api_dress *dress)
{
    struct request *request = call->request;
    struct api_dress *data = calloc(1, sizeof(*data));

    if (data == NULL)
        abort();
    if (dress != NULL)
        *data = *dress;
    params[0] = credential_of(request);
    if (with_address)
        params[1] = request_client(request);
    struct pending *pending = pending_new(request, 0, data, free);
    db_query(node_of(request)->pool, statement, params, 0, api_on_result, pending);
    api_end(call);
}

/* ---- what came in ---- */

void api_begin(struct api *call, struct request *request)
{
    *call = (struct api){.request = request};
}

void api_end(struct api *call)
{
    json_decref(call->body);
    json_decref(call->errors);
    call->body = NULL;
    call->errors = NULL;
}

void api_fault(struct api *call, const char *pointer, const char *format, ...)
{
    char text[700];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (call->errors == NULL)
        call->errors = json_array();
    problem_add(call->errors, pointer, "%s", text);
    if (call->problem == NULL) {
        call->problem = &PROBLEM_INVALID;
        snprintf(call->detail, sizeof(call->detail), "%s", text);
    }
}

void api_refuse(struct api *call, const struct problem *problem, const char *detail)
{
    json_decref(call->errors);
    call->errors = NULL;
    call->problem = problem;
    snprintf(call->detail, sizeof(call->detail), "%s", detail);
}

static bool is_id(const char *text, const char *further)
{
    size_t len = strlen(text);

    if (len < 1 || len > 64 || strchr(further, text[0]) != NULL)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

        if (!letter && strchr(further, c) == NULL)
            return false;
    }
    return true;
}

const char *api_sp(struct api *call)
{
    const char *sp = request_param(call->request, "sp");

    if (is_id(sp, "._-"))
        return sp;
    api_fault(call, "/sp",
              "an account is 1 to 64 letters, digits, '.', '_' and '-', and begins with a "
              "letter or digit");
    return NULL;
}

const char *api_user(struct api *call)
{
    const char *user = request_param(call->request, "userId");

    if (is_id(user, "._@-"))
        return user;
    api_fault(
        call, "/userId",
        "a user id is 1 to 64 letters, digits, '.', '_', '@' and '-', and begins with a letter "
        "or digit");
    return NULL;
}

bool api_spc(struct api *call, struct spc *out)
{
    const char *text = request_param(call->request, "spc");
    struct sticps_error err;

    if (spc_from_typed(text, strlen(text), out, &err) == STICPS_OK)
        return true;
    api_fault(call, "/spc", "%s", err.text);
    return false;
}

const char *api_query(struct api *call, const char *name)
{
    const char *fault;
    const char *value = request_query_find(call->request, name, &fault);

    if (fault != NULL)
        api_fault(call, request_printf(call->request, "/%s", name), "%s", fault);
    return value;
}

int64_t api_query_int(struct api *call, const char *name, int64_t min, int64_t max,
                      int64_t fallback)
{
    const char *text = api_query(call, name);
    int64_t value = fallback;

    if (text != NULL && !query_int(text, min, max, &value))
        api_fault(call, request_printf(call->request, "/%s", name),
                  "must be a whole number from %" PRId64 " to %" PRId64, min, max);
    return value;
}

void api_limit(struct api *call, char *out, size_t size)
{
    snprintf(out, size, "%d", (int)api_query_int(call, "limit", 1, 1000, 100));
}

static json_type type_of(enum api_kind kind)
{
    return kind == API_LIST ? JSON_ARRAY : kind == API_INTEGER ? JSON_INTEGER : JSON_STRING;
}

static const char *name_of(enum api_kind kind)
{
    return kind == API_LIST ? "an array" : kind == API_INTEGER ? "a whole number" : "a string";
}

static void read_members(struct api *call, struct api_text *members, size_t len)
{
    char pointer[100];
    const char *key;
    json_t *value;

    json_object_foreach(call->body, key, value)
    {
        size_t i = 0;

        pointer_write(pointer, sizeof(pointer), "", key);
        while (i < len && strcmp(members[i].name, key) != 0)
            i++;
        if (i == len) {
            api_fault(call, pointer, "this member is not known here");
        } else if (json_typeof(value) != type_of(members[i].kind)) {
            api_fault(call, pointer, "must be %s", name_of(members[i].kind));
            members[i].required = false; /* one fault is enough */
        } else {
            members[i].json = value;
            members[i].value = json_string_value(value); /* NULL for what is none */
            members[i].len = json_string_length(value);
        }
    }
    for (size_t i = 0; i < len; i++) {
        if (!members[i].required || members[i].json != NULL)
            continue;
        pointer_write(pointer, sizeof(pointer), "", members[i].name);
        api_fault(call, pointer, "this member is missing");
    }
}

void api_body(struct api *call, struct api_text *members, size_t len)
{
    struct sticps_error err = {0};
    size_t size;
    const void *data = request_body(call->request, &size);

    call->body = strict_json_parse(data, size, STICPS_ERR_FORM, &err);
    if (call->body == NULL && request_body_is_scalar(call->request)) {
        api_fault(call, "", "the body must be a JSON object");
    } else if (call->body == NULL) {
        api_refuse(call, &PROBLEM_NOT_JSON, err.text); /* 400 comes before 422 */
    } else if (!json_is_object(call->body)) {
        api_fault(call, "", "the body must be a JSON object");
    } else {
        read_members(call, members, len);
    }
}

void api_label(struct api *call, const struct api_text *label, size_t max)
{
    const char *pointer = request_printf(call->request, "/%s", label->name);
    size_t characters = 0;

    if (label->value == NULL)
        return;
    for (size_t i = 0; i < label->len; i++) {
        unsigned char c = (unsigned char)label->value[i];

        if (c < 0x20 || c == 0x7f) {
            api_fault(call, pointer, "must not have control characters");
            return;
        }
        characters += (c & 0xc0) != 0x80;
    }
    if (characters < 1 || characters > max)
        api_fault(call, pointer, "must have 1 to %zu characters", max);
}

void api_no_body(struct api *call)
{
    size_t size;

    (void)request_body(call->request, &size);
    if (size > 0)
        api_body(call, NULL, 0);
}

/* ---- refusing ---- */

struct refusal {
    const struct problem *problem;
    json_t *errors;
    char detail[700];
};

static void refusal_free(void *arg)
{
    struct refusal *refusal = arg;

    json_decref(refusal->errors);
    free(refusal);
}

static void reply_refused(struct request *request, const struct refusal *refusal)
{
    if (refusal->errors != NULL)
        reply_problem_errors(request, refusal->problem, json_incref(refusal->errors), "%s",
                             refusal->detail);
    else
        reply_problem(request, refusal->problem, "%s", refusal->detail);
}

static void on_session_checked(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);

    if (request != NULL && api_result_ok(request, result)) {
        const char *outcome = db_text(result->rows, 0, 0);

        if (strcmp(outcome, "OK") == 0)
            reply_refused(request, pending_data(pending));
        else
            api_reply_refusal(request, outcome, db_text(result->rows, 0, 1), 0);
    }
    pending_done(pending);
}

bool api_refused(struct api *call)
{
    static const struct db_statement statement = {
        "session_check", "SELECT outcome, detail FROM session_check(" CREDENTIAL ")", 1};
    const char *credential = credential_of(call->request);

    if (call->problem == NULL)
        return false;
    struct refusal *refusal = calloc(1, sizeof(*refusal));
    if (refusal == NULL)
        abort();
    refusal->problem = call->problem;
    refusal->errors = call->errors;
    call->errors = NULL;
    memcpy(refusal->detail, call->detail, sizeof(refusal->detail));
    api_end(call);
    if (credential == NULL || credential_is_spent_by_use(call->request)) {
        reply_refused(call->request, refusal);
        refusal_free(refusal);
    } else {
        const char *params[] = {credential};
        struct pending *pending = pending_new(call->request, 0, refusal, refusal_free);

        db_query(node_of(call->request)->pool, &statement, params, 0, on_session_checked, pending);
    }
    return true;
}
