#include "server/registry/user_routes.h"

#include "server/http/worker.h"
#include "server/registry/api.h"
#include "server/registry/credential.h"
#include "server/registry/daemon.h"
#include "server/registry/password.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* A PUT on its way to the worker pool, which hashes the password, and then to the database. Texts
 * are of the request's memory, or copied where the worker needs them. */
struct user_put {
    struct api_dress dress; /* first, for api_on_result */
    struct pending *pending;
    const char *sp; /* NULL for a user of the STI-PA */
    const char *user, *role;
    char password[PASSWORD_MAX_LENGTH + 1];
    size_t password_len;
    char hash[PASSWORD_HASH_SIZE];
    enum sticps_err hashed;
};

static void user_put_free(void *arg)
{
    struct user_put *put = arg;

    OPENSSL_cleanse(put->password, sizeof(put->password));
    free(put);
}

/* On a worker. */
static void hash_password(void *arg)
{
    struct user_put *put = arg;
    struct sticps_error err;

    put->hashed = password_hash(put->password, put->password_len, put->hash, &err);
}

static void on_hashed(void *arg)
{
    static const struct db_statement statement = {
        "user_put", "SELECT * FROM user_put(" CREDENTIAL ", $2::inet, $3, $4, $5, $6)", 6};
    struct user_put *put = arg;
    struct request *request = pending_request(put->pending);

    if (request == NULL || put->hashed != STICPS_OK) {
        pending_done(put->pending);
        return;
    }
    const char *params[] = {
        credential_of(request), request_client(request), put->sp, put->user, put->role, put->hash};
    db_query(node_of(request)->pool, &statement, params, 0, api_on_result, put->pending);
}

static void check_role(struct api *call, const struct api_text *role, const char *admin,
                       const char *other)
{
    if (role->value != NULL && strcmp(role->value, admin) != 0 && strcmp(role->value, other) != 0)
        api_fault(call, "/role", "must be \"%s\" or \"%s\"", admin, other);
}

static void check_password(struct api *call, const struct api_text *password)
{
    if (password->value != NULL &&
        (password->len < PASSWORD_MIN_LENGTH || password->len > PASSWORD_MAX_LENGTH))
        api_fault(call, "/password", "must have %d to %d bytes", PASSWORD_MIN_LENGTH,
                  PASSWORD_MAX_LENGTH);
}

/* `sp` NULL: a user of the STI-PA. The body's texts are copied, the call is ended. */
static void start(struct api *call, const char *sp, const char *user, const struct api_text *role,
                  const struct api_text *password)
{
    struct request *request = call->request;
    struct node *node = node_of(request);
    struct user_put *put = calloc(1, sizeof(*put));
    char one_time[PASSWORD_ONE_TIME_SIZE];
    struct sticps_error err;

    if (put == NULL)
        abort();
    put->sp = sp;
    put->user = user;
    put->role = request_printf(request, "%s", role->value);
    put->dress.location = sp != NULL
                              ? request_printf(request, "/api/v1/account/%s/user/%s", sp, user)
                              : request_printf(request, "/api/v1/user/%s", user);
    if (password->value != NULL) {
        put->password_len = password->len;
        memcpy(put->password, password->value, password->len);
    } else if (password_one_time(one_time, &err) == STICPS_OK) {
        put->password_len = strlen(one_time);
        memcpy(put->password, one_time, put->password_len);
        put->dress.secret_name = "password";
        put->dress.secret = request_printf(request, "%s", one_time);
        OPENSSL_cleanse(one_time, sizeof(one_time));
    } else {
        user_put_free(put);
        api_end(call);
        reply_problem(request, &PROBLEM_INTERNAL, "no password can be made");
        return;
    }
    api_end(call);
    put->pending = pending_new(request, 0, put, user_put_free);
    if (!worker_submit(node->daemon->workers, node->thread, hash_password, on_hashed, put)) {
        reply_problem(request, &PROBLEM_UNAVAILABLE, "too much to do; try again");
        pending_done(put->pending);
    }
}

static void put_user(struct request *request, bool of_account, const char *admin, const char *other)
{
    struct api_text members[] = {{.name = "role", .required = true}, {.name = "password"}};
    struct api call;

    api_begin(&call, request);
    const char *sp = of_account ? api_sp(&call) : NULL;
    const char *user = api_user(&call);
    api_body(&call, members, 2);
    check_role(&call, &members[0], admin, other);
    check_password(&call, &members[1]);
    if (!api_refused(&call))
        start(&call, sp, user, &members[0], &members[1]);
}

static void delete_user(struct request *request, bool of_account)
{
    static const struct db_statement statement = {
        "user_delete", "SELECT * FROM user_delete(" CREDENTIAL ", $2::inet, $3, $4)", 4};
    struct api call;

    api_begin(&call, request);
    const char *sp = of_account ? api_sp(&call) : NULL;
    const char *user = api_user(&call);
    if (api_refused(&call))
        return;
    const char *params[] = {NULL, NULL, sp, user};
    api_run(&call, &statement, params, true, NULL);
}

void account_user_put(struct request *request)
{
    put_user(request, true, "sp-admin", "sp-viewer");
}

void account_user_delete(struct request *request)
{
    delete_user(request, true);
}

void pa_user_put(struct request *request)
{
    put_user(request, false, "pa-admin", "pa-auditor");
}

void pa_user_delete(struct request *request)
{
    delete_user(request, false);
}
