#include "sticps/provision.h"

#include "client/client.h"
#include "client/problem.h"
#include "common/json_write.h"
#include "common/key.h"
#include "common/request_token.h"
#include "common/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_REPLY (64 * 1024)
#define TIMEOUT_MS 15000 /* the registry fetches the certificate meanwhile */
#define LIFETIME_S 60    /* of the token: as long as may be, for a clock that is not quite right */

struct provisioning {
    char *url;
    sticps_provision_fn *callback;
    void *ctx;
};

static void provisioning_free(struct provisioning *provisioning)
{
    if (provisioning != NULL)
        free(provisioning->url);
    free(provisioning);
}

/* ---- the answer ---- */

static enum sticps_err judge(const char *url, const struct fetch_answer *answer,
                             struct sticps_error *err)
{
    struct problem problem;
    if (answer->status == 200 || answer->status == 201 || answer->status == 204)
        return STICPS_OK;
    problem_read(answer, &problem);
    if (answer->status == 404 && strcmp(problem.code, "NOT_FOUND") == 0)
        return fail(err, STICPS_ERR_NOT_FOUND, url, "the registry answers: %s", problem.detail);
    if (answer->status >= 400 && answer->status < 500)
        return fail(err, STICPS_ERR_REJECTED, url, "the registry refuses: status %d %s: %s",
                    answer->status, problem.code, problem.detail);
    if (problem.detail[0] == '\0')
        return fetch_bad_status(err, url, answer->status);
    return fail(err, STICPS_ERR_FETCH, url, "the registry cannot answer now: status %d: %s",
                answer->status, problem.detail);
}

static void on_answer(void *ctx, enum sticps_err code, const struct sticps_error *fetch_err,
                      const struct fetch_answer *answer)
{
    struct provisioning *provisioning = ctx;
    struct sticps_error err = *fetch_err;
    if (code == STICPS_OK)
        code = judge(provisioning->url, answer, &err);
    provisioning->callback(provisioning->ctx, code, &err, code == STICPS_OK ? answer->body : NULL);
    provisioning_free(provisioning);
}

/* ---- the request ---- */

/* The characters of an account (PROTOCOL section 3), which all stand for themselves in a path. */
static bool is_account(const char *text)
{
    static const char letters[] =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-";
    size_t len = strlen(text);
    return len >= 1 && len <= 64 && strspn(text, letters) == len && strchr("._-", *text) == NULL;
}

static enum sticps_err check(const struct sticps_provision_request *request,
                             struct sticps_error *err)
{
    struct url parts;
    struct sticps_error why = {.text = "a query ('?') is not allowed"};
    bool put = request->op == STICPS_PROVISION_PUT;
    if (url_parse(request->registry, strlen(request->registry), &parts, &why) != STICPS_OK ||
        strchr(request->registry, '?') != NULL)
        return fail(err, STICPS_ERR_USAGE, "registry",
                    "the address of the registry is an absolute https URL without query: %s",
                    why.text);
    if (!is_account(request->account))
        return fail(err, STICPS_ERR_USAGE, "account",
                    "an account is 1 to 64 letters, digits, '.', '_' and '-', and begins with a "
                    "letter or digit");
    if (put != (request->url != NULL))
        return fail(err, STICPS_ERR_USAGE, "url", "a CPS URL is for setting it, and only that");
    if (put && url_parse(request->url, strlen(request->url), &parts, &why) != STICPS_OK)
        return fail(err, STICPS_ERR_USAGE, "url", "the CPS URL: %s", why.text);
    return STICPS_OK;
}

/* {"url":"…"} for PUT, else "". */
static enum sticps_err write_body(const struct sticps_provision_request *request,
                                  struct json_write *body, struct sticps_error *err)
{
    json_write_init(body, 256);
    if (request->op == STICPS_PROVISION_PUT) {
        json_write_literal(body, "{\"url\":");
        json_write_string(body, request->url);
        json_write_literal(body, "}");
    }
    return json_write_check(body, err);
}

static enum sticps_err sign(const struct sticps_client *client,
                            const struct sticps_provision_request *request,
                            const struct request_facts *facts, const struct spc *spc, char **token,
                            struct sticps_error *err)
{
    EVP_PKEY *key = request->key_file == NULL ? client->options->sti_key : NULL;
    size_t len;
    enum sticps_err code = STICPS_OK;
    if (request->key_file != NULL)
        code = key_load(request->key_file, &key, err);
    else if (key != NULL)
        EVP_PKEY_up_ref(key);
    else
        code = fail(err, STICPS_ERR_USAGE, "key_file",
                    "no key: name its file, or give the options an STI key");
    if (code == STICPS_OK)
        code = request_token_sign(facts, spc, request->x5u, clock_now(&client->options->clock),
                                  LIFETIME_S, key, token, &len, err);
    EVP_PKEY_free(key);
    return code;
}

static enum sticps_err start(struct sticps_client *client,
                             const struct sticps_provision_request *request,
                             struct provisioning *provisioning, struct sticps_error *err)
{
    static const char *const methods[] = {"GET", "PUT", "DELETE"};
    struct spc spc;
    struct json_write body = {0};
    char *base = NULL, *target = NULL, *token = NULL;
    enum sticps_err code = check(request, err);
    if (code == STICPS_OK)
        code = spc_from_typed(request->spc, strlen(request->spc), &spc, err);
    if (code != STICPS_OK)
        return code;
    size_t len = strlen(request->registry);
    while (len > 0 && request->registry[len - 1] == '/')
        len--;
    code = write_body(request, &body, err);
    if (code == STICPS_OK &&
        (asprintf(&base, "%.*s", (int)len, request->registry) < 0 ||
         asprintf(&target, "/api/v1/account/%s/cps/%s", request->account, spc.text) < 0 ||
         asprintf(&provisioning->url, "%s%s", base, target) < 0))
        code = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (code == STICPS_OK) {
        const struct request_facts facts = {"provision", base,      methods[request->op],
                                            target,      body.data, body.len};
        code = sign(client, request, &facts, &spc, &token, err);
    }
    if (code == STICPS_OK) {
        const struct fetch_request fetch = {
            .url = provisioning->url,
            .method = methods[request->op],
            .timeout_ms = TIMEOUT_MS,
            .max_body = MAX_REPLY,
            .bearer = token,
            .content_type = body.len > 0 ? "application/json" : NULL,
            .body = body.data,
            .body_len = body.len,
        };
        code = fetch_start(client->fetcher, &fetch, on_answer, provisioning, err);
    }
    json_write_clear(&body);
    free(base);
    free(target);
    free(token);
    return code;
}

void sticps_provision(struct sticps_client *client, const struct sticps_provision_request *request,
                      sticps_provision_fn *callback, void *ctx)
{
    struct sticps_error err = {0};
    enum sticps_err code = client_check(client, &err);
    if (code != STICPS_OK) {
        callback(ctx, code, &err, NULL);
        return;
    }
    struct provisioning *provisioning = calloc(1, sizeof(*provisioning));
    if (provisioning == NULL) {
        code = fail(&err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    } else {
        provisioning->callback = callback;
        provisioning->ctx = ctx;
        code = start(client, request, provisioning, &err);
    }
    if (code == STICPS_OK)
        return;
    callback(ctx, code, &err, NULL);
    provisioning_free(provisioning);
}

/* ---- waiting ---- */

struct provision_wait {
    struct loop *loop;
    struct loop_signal done;
    enum sticps_err code;
    struct sticps_error err;
    char *answer;
};

static void on_provision_wait(void *ctx, enum sticps_err code, const struct sticps_error *err,
                              const char *answer)
{
    struct provision_wait *wait = ctx;
    wait->code = code;
    wait->err = *err;
    if (code == STICPS_OK) {
        wait->answer = strdup(answer);
        if (wait->answer == NULL)
            wait->code = fail(&wait->err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    loop_signal_set(wait->loop, &wait->done);
}

enum sticps_err sticps_provision_wait(struct sticps_client *client,
                                      const struct sticps_provision_request *request, char **answer,
                                      struct sticps_error *err)
{
    enum sticps_err code = client_check(client, err);
    if (code != STICPS_OK)
        return code;
    struct provision_wait wait = {.loop = client->loop};
    sticps_provision(client, request, on_provision_wait, &wait);
    loop_wait(client->loop, &wait.done);
    if (wait.code == STICPS_OK)
        *answer = wait.answer;
    else if (err != NULL)
        *err = wait.err;
    return wait.code;
}
