#include "client/signing.h"

#include "common/es256.h"
#include "common/jws.h"
#include "common/request_token.h"
#include "common/url.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define ACTION "publish"
#define LIFETIME_S 60 /* as long as may be, for a clock that is not quite right */

struct sticps_signing {
    struct loop_task task; /* first; posted when the host has answered */
    char *text;            /* the signing input, with room for the signature */
    size_t len;
    unsigned char digest[ES256_DIGEST], raw[ES256_SIGNATURE];
    bool failed;
    struct sticps_signing **handle; /* the caller's, while it waits */
    signing_fn *callback;           /* NULL: nobody waits */
    void *ctx;

    pthread_mutex_t mutex; /* of `loop`, which the host's thread looks at */
    struct loop *loop;     /* NULL: nobody waits */
};

static void signing_free(struct sticps_signing *signing)
{
    pthread_mutex_destroy(&signing->mutex);
    free(signing->text);
    free(signing);
}

/* ---- the end ---- */

static void finish(struct sticps_signing *signing, enum sticps_err code,
                   const struct sticps_error *err)
{
    *signing->handle = NULL;
    if (code == STICPS_OK)
        jws_complete(signing->text, &signing->len, signing->raw);
    signing->callback(signing->ctx, code, err, code == STICPS_OK ? signing->text : NULL);
    signing_free(signing);
}

static void on_signed(struct loop_task *task)
{
    struct sticps_signing *signing = (struct sticps_signing *)task;
    struct sticps_error err = {0};
    pthread_mutex_lock(&signing->mutex); /* the host's thread may still be about to leave it */
    pthread_mutex_unlock(&signing->mutex);
    if (signing->callback == NULL)
        signing_free(signing);
    else if (signing->failed)
        finish(signing,
               fail(&err, STICPS_ERR_REJECTED, NULL,
                    "the CPS demands a request token, and the host gives no signature for it"),
               &err);
    else
        finish(signing, STICPS_OK, &err);
}

const unsigned char *sticps_signing_digest(const struct sticps_signing *signing)
{
    return signing->digest;
}

void sticps_signing_done(struct sticps_signing *signing, const unsigned char *signature)
{
    pthread_mutex_lock(&signing->mutex);
    bool wanted = signing->loop != NULL;
    if (wanted) {
        signing->failed = signature == NULL;
        if (signature != NULL)
            memcpy(signing->raw, signature, sizeof(signing->raw));
        loop_post(signing->loop, &signing->task); /* under the mutex: the loop is there */
    }
    pthread_mutex_unlock(&signing->mutex);
    if (!wanted)
        signing_free(signing);
}

void signing_forget(struct sticps_signing *signing)
{
    signing->callback = NULL; /* if it is posted, on_signed frees it */
    pthread_mutex_lock(&signing->mutex);
    signing->loop = NULL;
    pthread_mutex_unlock(&signing->mutex);
}

/* ---- the beginning ---- */

/* The token but for its signature. */
static enum sticps_err write_token(struct sticps_signing *signing,
                                   const struct sticps_options *options, const char *url,
                                   const void *body, size_t len, struct sticps_error *err)
{
    struct url parts;
    enum sticps_err code = url_parse(url, strlen(url), &parts, err);
    if (code != STICPS_OK)
        return code;
    size_t base_len = parts.path_len > 0 ? (size_t)(parts.path - url) : strlen(url);
    char *base = strndup(url, base_len);
    if (base == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, url, "out of memory");
    const struct request_facts facts = {
        .action = ACTION,
        .base_url = base,
        .method = "POST",
        .target = parts.path_len > 0 ? parts.path : "/", /* as it is sent */
        .body = body,
        .body_len = len,
    };
    code =
        request_token_input(&facts, &options->sti_spc, options->sti_x5u, clock_now(&options->clock),
                            LIFETIME_S, signing->digest, &signing->text, &signing->len, err);
    free(base);
    return code;
}

void signing_start(const struct sticps_options *options, struct loop *loop, const char *url,
                   const void *body, size_t len, struct sticps_signing **out, signing_fn *callback,
                   void *ctx)
{
    struct sticps_error err = {0};
    struct sticps_signing *signing = calloc(1, sizeof(*signing));
    if (signing == NULL) {
        callback(ctx, fail(&err, STICPS_ERR_NO_MEMORY, url, "out of memory"), &err, NULL);
        return;
    }
    signing->task.run = on_signed;
    signing->handle = out;
    signing->callback = callback;
    signing->ctx = ctx;
    signing->loop = loop;
    pthread_mutex_init(&signing->mutex, NULL);
    *out = signing;
    enum sticps_err code = write_token(signing, options, url, body, len, &err);
    if (code == STICPS_OK && options->sti_key == NULL) {
        options->sti_sign(options->sti_sign_ctx, signing);
        return;
    }
    if (code == STICPS_OK)
        code = es256_sign(options->sti_key, signing->digest, signing->raw, &err);
    finish(signing, code, &err);
}
