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

/* Reference-counted, so that a waiting caller keeps what the loop's thread was handed. */
struct sticps_passports {
    atomic_uint refs;
    size_t len;
    char *items[];
};

struct retrieving {
    char *url;
    sticps_retrieve_fn *callback;
    void *ctx;
};

size_t sticps_passports_count(const struct sticps_passports *passports)
{
    return passports->len;
}

const char *sticps_passports_get(const struct sticps_passports *passports, size_t index)
{
    return index < passports->len ? passports->items[index] : NULL;
}

void sticps_passports_free(struct sticps_passports *passports)
{
    if (passports == NULL || atomic_fetch_sub(&passports->refs, 1) != 1)
        return;
    for (size_t i = 0; i < passports->len; i++)
        free(passports->items[i]);
    free(passports);
}

/* From an array of strings; NULL when out of memory. */
static struct sticps_passports *passports_new(const json_t *array)
{
    size_t count = json_array_size(array);
    struct sticps_passports *passports = calloc(1, sizeof(*passports) + count * sizeof(char *));
    if (passports == NULL)
        return NULL;
    atomic_init(&passports->refs, 1);
    for (; passports->len < count; passports->len++) {
        char *text = strdup(json_string_value(json_array_get(array, passports->len)));
        if (text == NULL) {
            sticps_passports_free(passports);
            return NULL;
        }
        passports->items[passports->len] = text;
    }
    return passports;
}

/* ---- the answer ---- */

/* Does a string have the characters of a compact token, and those only? Hosts print and log them.
 */
static bool looks_compact(const json_t *value)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    const char *text = json_string_value(value);
    return text != NULL && text[0] != '\0' && text[strspn(text, alphabet)] == '\0';
}

/* {"passports":["..."]}; the caller owns *out. */
static enum sticps_err read_passports(const char *url, const struct fetch_answer *answer,
                                      struct sticps_passports **out, struct sticps_error *err)
{
    json_t *root = strict_json_parse(answer->body, answer->body_len, STICPS_ERR_FETCH, err);
    if (root == NULL) {
        fail_context(err, "%s", url);
        return err->code;
    }
    const json_t *array = json_object_get(root, "passports");
    bool right = json_is_array(array);
    for (size_t i = 0; right && i < json_array_size(array); i++)
        right = looks_compact(json_array_get(array, i));
    struct sticps_passports *passports = right ? passports_new(array) : NULL;
    json_decref(root);
    if (!right)
        return fail(err, STICPS_ERR_FETCH, url, "the answer is not {\"passports\":[\"...\"]}");
    if (passports == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, url, "out of memory");
    *out = passports;
    return STICPS_OK;
}

static enum sticps_err judge(const char *url, const struct fetch_answer *answer,
                             struct sticps_passports **out, struct sticps_error *err)
{
    struct problem problem;
    if (answer->status == 200) {
        enum sticps_err code = read_passports(url, answer, out, err);
        if (code != STICPS_OK || (*out)->len > 0)
            return code;
    }
    if (answer->status == 404 || answer->status == 200)
        return fail(err, STICPS_ERR_NOT_FOUND, url, "the CPS holds no PASSporT for this call");
    if (answer->status < 400 || answer->status >= 500)
        return fetch_bad_status(err, url, answer->status);
    problem_read(answer, &problem);
    return fail(err, STICPS_ERR_REJECTED, url, "the CPS refuses: status %d %s %s", answer->status,
                problem.code, problem.detail);
}

static void on_answer(void *ctx, enum sticps_err code, const struct sticps_error *fetch_err,
                      const struct fetch_answer *answer)
{
    struct retrieving *retrieving = ctx;
    struct sticps_error err = *fetch_err;
    struct sticps_passports *passports = NULL;
    if (code == STICPS_OK)
        code = judge(retrieving->url, answer, &passports, &err);
    retrieving->callback(retrieving->ctx, code, &err, code == STICPS_OK ? passports : NULL);
    sticps_passports_free(passports);
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
    struct sticps_error why = {.text = "a query ('?') is not allowed"};
    size_t len = strlen(request->url);
    if (url_parse(request->url, len, &parts, &why) != STICPS_OK ||
        strchr(request->url, '?') != NULL)
        return fail(err, STICPS_ERR_USAGE, "url", /* not the URL: it may have a password in it */
                    "the address of the CPS is an absolute https URL without query: %s", why.text);
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
    enum sticps_err code = client_check(client, &err);
    if (code != STICPS_OK) {
        callback(ctx, code, &err, NULL);
        return;
    }
    struct retrieving *retrieving = calloc(1, sizeof(*retrieving));
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
        wait->passports = (struct sticps_passports *)passports; /* ours; const to the caller */
        atomic_fetch_add(&wait->passports->refs, 1);
    }
    loop_signal_set(wait->loop, &wait->done);
}

enum sticps_err sticps_retrieve_wait(struct sticps_client *client,
                                     const struct sticps_retrieve_request *request,
                                     struct sticps_passports **out, struct sticps_error *err)
{
    enum sticps_err code = client_check(client, err);
    if (code != STICPS_OK)
        return code;
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
