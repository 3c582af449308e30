#include "client/client.h"

#include "client/problem.h"
#include "common/strict_json.h"
#include "common/tn.h"
#include "common/url.h"
#include "sticps/deliver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_REPLY (1024 * 1024)
#define MAX_WAIT_MS 600000u /* so that wait and answer fit one deadline */
#define ANSWER_MS 5000      /* beyond what the CPS may wait */

struct sticps_passports {
    json_t *array; /* of strings */
};

struct retrieving {
    char *url;
    sticps_retrieve_fn *callback;
    void *ctx;
};

size_t sticps_passports_count(const struct sticps_passports *passports)
{
    return json_array_size(passports->array);
}

const char *sticps_passports_get(const struct sticps_passports *passports, size_t index)
{
    return json_string_value(json_array_get(passports->array, index));
}

void sticps_passports_free(struct sticps_passports *passports)
{
    if (passports == NULL)
        return;
    json_decref(passports->array);
    free(passports);
}

/* ---- the answer ---- */

/* {"passports":["…"]}; the caller owns *out. */
static enum sticps_err read_passports(const char *url, const struct fetch_answer *answer,
                                      json_t **out, struct sticps_error *err)
{
    json_t *root = strict_json_parse(answer->body, answer->body_len, STICPS_ERR_FETCH, err);
    if (root == NULL) {
        fail_context(err, "%s", url);
        return STICPS_ERR_FETCH;
    }
    json_t *array = json_object_get(root, "passports");
    bool right = json_is_array(array);
    for (size_t i = 0; right && i < json_array_size(array); i++)
        right = json_is_string(json_array_get(array, i));
    if (right)
        *out = json_incref(array);
    json_decref(root);
    if (!right)
        return fail(err, STICPS_ERR_FETCH, url, "the answer is not {\"passports\":[\"...\"]}");
    return STICPS_OK;
}

static enum sticps_err judge(const char *url, const struct fetch_answer *answer, json_t **out,
                             struct sticps_error *err)
{
    if (answer->status == 200) {
        enum sticps_err code = read_passports(url, answer, out, err);
        if (code != STICPS_OK || json_array_size(*out) > 0)
            return code;
    }
    struct problem problem;
    problem_read(answer, &problem);
    if (answer->status == 404 || answer->status == 200)
        return fail(err, STICPS_ERR_NOT_FOUND, url, "the CPS holds no PASSporT for this call");
    if (answer->status >= 400 && answer->status < 500)
        return fail(err, STICPS_ERR_REJECTED, url, "the CPS refuses: status %d %s %s",
                    answer->status, problem.code, problem.detail);
    return fetch_bad_status(err, url, answer->status);
}

static void on_answer(void *ctx, enum sticps_err code, const struct sticps_error *fetch_err,
                      const struct fetch_answer *answer)
{
    struct retrieving *retrieving = ctx;
    struct sticps_error err = *fetch_err;
    struct sticps_passports passports = {NULL};
    if (code == STICPS_OK)
        code = judge(retrieving->url, answer, &passports.array, &err);
    retrieving->callback(retrieving->ctx, code, &err, code == STICPS_OK ? &passports : NULL);
    json_decref(passports.array);
    free(retrieving->url);
    free(retrieving);
}

/* ---- the question ---- */

static enum sticps_err canonical(const struct sticps_client *client, const char *number,
                                 const char *name, struct tn *out, struct sticps_error *err)
{
    struct sticps_error why = {0};
    if (tn_from_typed(number, strlen(number), client->options->default_country, out, &why) ==
        STICPS_OK)
        return STICPS_OK;
    return fail(err, STICPS_ERR_USAGE, name, "%s: %s", number, why.text);
}

static enum sticps_err build_url(const struct sticps_client *client,
                                 const struct sticps_retrieve_request *request, char **out,
                                 struct sticps_error *err)
{
    struct url parts;
    struct tn dest, orig;
    size_t len = strlen(request->url);
    if (url_parse(request->url, len, &parts, err) != STICPS_OK || strchr(request->url, '?') != NULL)
        return fail(err, STICPS_ERR_USAGE, request->url,
                    "the address of the CPS is an absolute https URL without query");
    if (request->wait_ms > MAX_WAIT_MS)
        return fail(err, STICPS_ERR_USAGE, "wait", "at most %u ms", MAX_WAIT_MS);
    enum sticps_err code = canonical(client, request->dest, "dest", &dest, err);
    if (code == STICPS_OK)
        code = canonical(client, request->orig, "orig", &orig, err);
    if (code != STICPS_OK)
        return code;
    while (len > 0 && request->url[len - 1] == '/')
        len--;
    char wait[32] = "";
    if (request->wait_ms > 0)
        snprintf(wait, sizeof(wait), "?wait=%u", request->wait_ms);
    char *url = NULL;
    if (asprintf(&url, "%.*s/passports/%s/%s%s", (int)len, request->url, dest.digits, orig.digits,
                 wait) < 0)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    *out = url;
    return STICPS_OK;
}

/* A token goes into a header line: nothing that could end it. */
static enum sticps_err check_token(const char *token, struct sticps_error *err)
{
    for (; token != NULL && *token != '\0'; token++)
        if (*token <= 0x20 || *token > 0x7e)
            return fail(err, STICPS_ERR_USAGE, "token", "white space or a control in the token");
    return STICPS_OK;
}

static enum sticps_err start(struct sticps_client *client,
                             const struct sticps_retrieve_request *request,
                             struct retrieving *retrieving, struct sticps_error *err)
{
    enum sticps_err code = check_token(request->token, err);
    if (code == STICPS_OK)
        code = build_url(client, request, &retrieving->url, err);
    if (code != STICPS_OK)
        return code;
    struct fetch_request fetch = {
        .url = retrieving->url,
        .timeout_ms = request->wait_ms + ANSWER_MS,
        .max_body = MAX_REPLY,
        .private_addresses = true,
        .client_certificate = true,
        .bearer = request->token,
    };
    return fetch_start(client->fetcher, &fetch, on_answer, retrieving, err);
}

void sticps_retrieve(struct sticps_client *client, const struct sticps_retrieve_request *request,
                     sticps_retrieve_fn *callback, void *ctx)
{
    struct sticps_error err = {0};
    struct retrieving *retrieving = calloc(1, sizeof(*retrieving));
    enum sticps_err code;
    if (retrieving == NULL) {
        code = fail(&err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    } else {
        retrieving->callback = callback;
        retrieving->ctx = ctx;
        code = start(client, request, retrieving, &err);
    }
    if (code == STICPS_OK)
        return;
    callback(ctx, code, &err, NULL);
    if (retrieving != NULL)
        free(retrieving->url);
    free(retrieving);
}

struct retrieve_wait {
    struct loop *loop;
    struct loop_signal done;
    enum sticps_err code;
    struct sticps_error err;
    struct sticps_passports *passports;
};

static void on_retrieve_wait(void *ctx, enum sticps_err code, const struct sticps_error *err,
                             const struct sticps_passports *passports)
{
    struct retrieve_wait *wait = ctx;
    wait->code = code;
    wait->err = *err;
    if (passports != NULL) {
        wait->passports = calloc(1, sizeof(*wait->passports));
        if (wait->passports != NULL)
            wait->passports->array = json_incref(passports->array);
        else
            wait->code = fail(&wait->err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    loop_signal_set(wait->loop, &wait->done);
}

enum sticps_err sticps_retrieve_wait(struct sticps_client *client,
                                     const struct sticps_retrieve_request *request,
                                     struct sticps_passports **out, struct sticps_error *err)
{
    struct retrieve_wait wait = {.loop = client->loop};
    sticps_retrieve(client, request, on_retrieve_wait, &wait);
    loop_wait(client->loop, &wait.done);
    if (wait.code != STICPS_OK) {
        if (err != NULL)
            *err = wait.err;
        return wait.code;
    }
    *out = wait.passports;
    return STICPS_OK;
}
