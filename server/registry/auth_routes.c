#include "server/registry/auth_routes.h"

#include "server/http/log.h"
#include "server/http/worker.h"
#include "server/registry/api.h"
#include "server/registry/credential.h"
#include "server/registry/daemon.h"
#include "server/registry/password.h"
#include "server/registry/session.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 256   /* bytes of a user id or password that came in */
#define WAITING_MAX 16 /* passwords from one address that wait for a worker */

/* One sign-in: the database says whether to wait, a worker hashes, the database has the last word.
 */
struct login {
    struct pending *pending;
    char user[TEXT_MAX + 1];
    char password[TEXT_MAX + 1];
    size_t password_len;
    char stored[PASSWORD_HASH_SIZE]; /* "" for an unknown user */
    bool verified;
    char refresh[SESSION_REFRESH_TEXT_SIZE], refresh_hash[SESSION_HASH_TEXT_SIZE];
    char lifetime[16];
};

static void login_free(void *arg)
{
    struct login *login = arg;

    OPENSSL_cleanse(login, sizeof(*login));
    free(login);
}

/* ---- the answer of both login and token ---- */

/* `rows`: outcome, detail, body {"sid","userId"}, version. */
static void reply_tokens(struct request *request, const PGresult *rows, const char *refresh)
{
    const struct sessions *sessions = node_of(request)->daemon->sessions;
    struct sticps_error err;
    char *access = NULL;

    if (strcmp(db_text(rows, 0, 0), "OK") != 0) {
        api_reply_refusal(request, db_text(rows, 0, 0), db_text(rows, 0, 1), db_int(rows, 0, 3));
        return;
    }
    json_t *who = json_loads(db_text(rows, 0, 2), 0, NULL);
    const char *sid = json_string_value(json_object_get(who, "sid"));
    const char *user = json_string_value(json_object_get(who, "userId"));
    if (sid == NULL || user == NULL ||
        session_token_make(sessions, sid, user, &access, &err) != STICPS_OK) {
        reply_problem(request, &PROBLEM_INTERNAL, "no token can be made");
    } else {
        request_log_user(request, user);
        reply_json(request, 200,
                   json_pack("{s:s, s:s, s:s, s:I}", "status", "success", "accessToken", access,
                             "refreshToken", refresh, "expiresIn",
                             (json_int_t)session_token_lifetime(sessions)));
    }
    free(access);
    json_decref(who);
}

static bool tokens_possible(struct request *request)
{
    if (sessions_ready(node_of(request)->daemon->sessions))
        return true;
    reply_problem(request, &PROBLEM_UNAVAILABLE, "the database cannot be reached; try again");
    return false;
}

/* ---- login ---- */

static void on_login_finished(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);
    struct login *login = pending_data(pending);

    if (request != NULL && api_result_ok(request, result))
        reply_tokens(request, result->rows, login->refresh);
    pending_done(pending);
}

/* On a worker. */
static void verify(void *arg)
{
    struct login *login = arg;

    login->verified = password_verify(login->password, login->password_len,
                                      login->stored[0] != '\0' ? login->stored : NULL);
}

static void on_verified(void *arg)
{
    static const struct db_statement statement = {
        "login_finish",
        "SELECT * FROM login_finish($1, $2::inet, $3::boolean, $4, $5::bytea, $6::integer)", 6};
    struct login *login = arg;
    struct request *request = pending_request(login->pending);

    if (request == NULL) {
        pending_done(login->pending);
        return;
    }
    const char *params[] = {login->user,   request_client(request), login->verified ? "t" : "f",
                            login->stored, login->refresh_hash,     login->lifetime};
    db_query(node_of(request)->pool, &statement, params, 0, on_login_finished, login->pending);
}

static void on_login_begun(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);
    struct login *login = pending_data(pending);

    if (request == NULL || !api_result_ok(request, result)) {
        pending_done(pending);
        return;
    }
    if (strcmp(db_text(result->rows, 0, 0), "OK") != 0) {
        api_reply_refusal(request, db_text(result->rows, 0, 0), db_text(result->rows, 0, 1),
                          db_int(result->rows, 0, 3));
        pending_done(pending);
        return;
    }
    struct node *node = node_of(request);
    size_t key_len;
    const struct limits_key *client = request_client_key(request, &key_len);
    snprintf(login->stored, sizeof(login->stored), "%s", db_text(result->rows, 0, 2));
    switch (worker_submit_for(node->daemon->workers, client, WAITING_MAX, node->thread, verify,
                              on_verified, login)) {
    case WORKER_TAKEN:
        return;
    case WORKER_CLIENT_FULL:
        api_reply_refusal(request, "THROTTLED", "too many sign-ins from this address at once", 1);
        break;
    case WORKER_FULL:
        reply_problem(request, &PROBLEM_UNAVAILABLE, "too much to do; try again");
    }
    pending_done(pending);
}

void auth_login(struct request *request)
{
    static const struct db_statement statement = {
        "login_begin",
        "SELECT outcome, detail, body ->> 'password', version FROM login_begin($1, $2::inet)", 2};
    struct api_text members[] = {{.name = "userId", .required = true},
                                 {.name = "password", .required = true}};
    struct node *node = node_of(request);
    struct sticps_error err;
    struct api call;

    api_begin(&call, request);
    api_body(&call, members, 2);
    if (members[0].len > TEXT_MAX)
        api_fault(&call, "/userId", "is too long");
    if (members[1].len > TEXT_MAX)
        api_fault(&call, "/password", "is too long");
    if (api_refused(&call))
        return;
    struct login *login = calloc(1, sizeof(*login));
    if (login == NULL)
        abort();
    memcpy(login->user, members[0].value, members[0].len);
    memcpy(login->password, members[1].value, members[1].len);
    login->password_len = members[1].len;
    snprintf(login->lifetime, sizeof(login->lifetime), "%u",
             node->daemon->config->session.refresh_lifetime);
    api_end(&call);
    if (!tokens_possible(request)) {
        login_free(login);
        return;
    }
    if (session_refresh_make(login->refresh, login->refresh_hash, &err) != STICPS_OK) {
        login_free(login);
        reply_problem(request, &PROBLEM_INTERNAL, "no token can be made");
        return;
    }
    const char *params[] = {login->user, request_client(request)};
    login->pending = pending_new(request, 0, login, login_free);
    db_query(node->pool, &statement, params, 0, on_login_begun, login->pending);
}

/* ---- token ---- */

static void on_refreshed(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);

    if (request != NULL && api_result_ok(request, result))
        reply_tokens(request, result->rows, pending_data(pending));
    pending_done(pending);
}

void auth_token(struct request *request)
{
    static const struct db_statement statement = {
        "session_refresh",
        "SELECT * FROM session_refresh($1::bytea, $2::bytea, $3::integer, $4::inet)", 4};
    struct api_text member = {.name = "refreshToken", .required = true};
    struct node *node = node_of(request);
    char old_hash[SESSION_HASH_TEXT_SIZE], hash[SESSION_HASH_TEXT_SIZE], lifetime[16];
    struct sticps_error err;
    struct api call;

    api_begin(&call, request);
    api_body(&call, &member, 1);
    if (api_refused(&call))
        return;
    session_refresh_hash(member.value, member.len, old_hash);
    api_end(&call);
    if (!tokens_possible(request))
        return;
    char *fresh = malloc(SESSION_REFRESH_TEXT_SIZE);
    if (fresh == NULL)
        abort();
    if (session_refresh_make(fresh, hash, &err) != STICPS_OK) {
        free(fresh);
        reply_problem(request, &PROBLEM_INTERNAL, "no token can be made");
        return;
    }
    snprintf(lifetime, sizeof(lifetime), "%u", node->daemon->config->session.refresh_lifetime);
    const char *params[] = {old_hash, hash, lifetime, request_client(request)};
    struct pending *pending = pending_new(request, 0, fresh, free);
    db_query(node->pool, &statement, params, 0, on_refreshed, pending);
}

/* ---- logout ---- */

void auth_logout(struct request *request)
{
    static const struct db_statement statement = {
        "session_end", "SELECT * FROM session_end(" CREDENTIAL ", $2::inet)", 2};
    struct api call;

    api_begin(&call, request);
    api_no_body(&call);
    if (api_refused(&call))
        return;
    const char *params[] = {NULL, NULL};
    api_run(&call, &statement, params, true, NULL);
}
