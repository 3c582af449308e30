#include "client/client.h"

#include "client/problem.h"
#include "common/passport.h"
#include "sticps/deliver.h"
#include "sticps/resolve.h"

#include <stdlib.h>
#include <string.h>

#define MAX_REPLY (64 * 1024)

struct target {
    struct delivering *delivering;
    char *url;
    enum sticps_err code;
    int status;
    struct problem problem;    /* of a refusal */
    struct sticps_error error; /* of a failure */
};

struct sticps_delivery {
    size_t len;
    struct target targets[];
};

/* One call of sticps_deliver under way. */
struct delivering {
    struct sticps_delivery *delivery;
    atomic_size_t pending; /* targets without an outcome, and 1 while they are being started */
    sticps_deliver_fn *callback;
    void *ctx;
};

/* ---- outcomes ---- */

void sticps_delivery_free(struct sticps_delivery *delivery)
{
    if (delivery == NULL)
        return;
    for (size_t i = 0; i < delivery->len; i++)
        free(delivery->targets[i].url);
    free(delivery);
}

size_t sticps_delivery_count(const struct sticps_delivery *delivery)
{
    return delivery->len;
}

const char *sticps_delivery_url(const struct sticps_delivery *delivery, size_t index)
{
    return delivery->targets[index].url;
}

enum sticps_err sticps_delivery_code(const struct sticps_delivery *delivery, size_t index)
{
    return delivery->targets[index].code;
}

int sticps_delivery_status(const struct sticps_delivery *delivery, size_t index)
{
    return delivery->targets[index].status;
}

const char *sticps_delivery_problem(const struct sticps_delivery *delivery, size_t index)
{
    return delivery->targets[index].problem.code;
}

const char *sticps_delivery_detail(const struct sticps_delivery *delivery, size_t index)
{
    const struct target *target = &delivery->targets[index];
    return target->code == STICPS_ERR_REJECTED ? target->problem.detail : target->error.text;
}

/* How grave an outcome is, for choosing the one to report. */
static int gravity(enum sticps_err code)
{
    if (code == STICPS_OK)
        return 0;
    return code == STICPS_ERR_REJECTED ? 2 : 1;
}

static const struct target *gravest(const struct sticps_delivery *delivery)
{
    const struct target *worst = &delivery->targets[0];
    for (size_t i = 1; i < delivery->len; i++)
        if (gravity(delivery->targets[i].code) > gravity(worst->code))
            worst = &delivery->targets[i];
    return worst;
}

static void count_down(struct delivering *delivering)
{
    if (atomic_fetch_sub(&delivering->pending, 1) != 1)
        return;
    const struct target *worst = gravest(delivering->delivery);
    delivering->callback(delivering->ctx, worst->code, &worst->error, delivering->delivery);
    sticps_delivery_free(delivering->delivery);
    free(delivering);
}

static void judge(struct target *target, const struct fetch_answer *answer)
{
    target->status = answer->status;
    if (answer->status == 201)
        return;
    problem_read(answer, &target->problem);
    if (answer->status >= 400 && answer->status < 500)
        target->code = fail(&target->error, STICPS_ERR_REJECTED, target->url,
                            "the CPS refuses the PASSporT: status %d %s %s", answer->status,
                            target->problem.code, target->problem.detail);
    else
        target->code = fail(&target->error, STICPS_ERR_FETCH, target->url,
                            "the CPS answers with status %d, not 201", answer->status);
}

static void on_posted(void *ctx, enum sticps_err code, const struct sticps_error *err,
                      const struct fetch_answer *answer)
{
    struct target *target = ctx;
    target->code = code;
    if (code == STICPS_OK)
        judge(target, answer);
    else
        target->error = *err;
    count_down(target->delivering);
}

/* ---- whom to ---- */

static bool is_known(const struct sticps_delivery *delivery, const char *url)
{
    for (size_t i = 0; i < delivery->len; i++)
        if (strcmp(delivery->targets[i].url, url) == 0)
            return true;
    return false;
}

static enum sticps_err add_target(struct sticps_delivery *delivery, const char *url,
                                  struct sticps_error *err)
{
    if (is_known(delivery, url))
        return STICPS_OK;
    struct target *target = &delivery->targets[delivery->len];
    target->url = strdup(url);
    if (target->url == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    delivery->len++;
    return STICPS_OK;
}

/* The distinct CPS of the called numbers. When there is none, the first number's reason. */
static enum sticps_err find_targets(struct sticps_client *client, const struct passport *passport,
                                    struct sticps_delivery *delivery, struct sticps_error *err)
{
    struct sticps_answer *answer = sticps_answer_new();
    if (answer == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    enum sticps_err first = STICPS_OK, code = STICPS_OK;
    for (size_t i = 0; i < passport->dest_len && code != STICPS_ERR_NO_MEMORY; i++) {
        struct sticps_error why = {0};
        char number[TN_MAX_DIGITS + 2] = "+"; /* canonical: nothing is to be added */
        memcpy(number + 1, passport->dest[i].digits, TN_MAX_DIGITS + 1);
        code = sticps_resolve(client, number, answer, &why);
        if (code == STICPS_OK)
            code = add_target(delivery, sticps_answer_url(answer), &why);
        if (code != STICPS_OK && (first == STICPS_OK || code == STICPS_ERR_NO_MEMORY)) {
            first = code;
            if (err != NULL)
                *err = why;
        }
    }
    sticps_answer_free(answer);
    if (code == STICPS_ERR_NO_MEMORY)
        return code;
    return delivery->len > 0 ? STICPS_OK : first;
}

/* ---- the call ---- */

/* From a token to its targets. */
static enum sticps_err plan(struct sticps_client *client, const char *token, size_t len,
                            struct sticps_delivery **out, struct sticps_error *err)
{
    struct passport_rules rules = PASSPORT_RULES_DEFAULT;
    rules.default_country = client->options->default_country;
    rules.lab = client->options->lab;
    struct passport *passport = NULL;
    enum sticps_err code = passport_parse(token, len, &rules, -1, &passport, err);
    if (code != STICPS_OK)
        return code;
    struct sticps_delivery *delivery =
        calloc(1, sizeof(*delivery) + passport->dest_len * sizeof(struct target));
    code = delivery != NULL ? find_targets(client, passport, delivery, err)
                            : fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    passport_free(passport);
    if (code == STICPS_OK)
        *out = delivery;
    else
        sticps_delivery_free(delivery);
    return code;
}

static void post(struct sticps_client *client, struct target *target, const char *token, size_t len)
{
    struct fetch_request request = {
        .url = target->url,
        .timeout_ms = client->options->deliver_timeout,
        .max_body = MAX_REPLY,
        .content_type = "application/passport",
        .body = token,
        .body_len = len,
    };
    enum sticps_err code =
        fetch_start(client->fetcher, &request, on_posted, target, &target->error);
    if (code != STICPS_OK) {
        target->code = code;
        count_down(target->delivering);
    }
}

void sticps_deliver(struct sticps_client *client, const char *token, size_t len,
                    sticps_deliver_fn *callback, void *ctx)
{
    struct sticps_error err = {0};
    struct sticps_delivery *delivery = NULL;
    enum sticps_err code = plan(client, token, len, &delivery, &err);
    struct delivering *delivering = code == STICPS_OK ? calloc(1, sizeof(*delivering)) : NULL;
    if (code == STICPS_OK && delivering == NULL)
        code = fail(&err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (code != STICPS_OK) {
        callback(ctx, code, &err, NULL);
        sticps_delivery_free(delivery);
        return;
    }
    size_t count = delivery->len;
    *delivering = (struct delivering){
        .delivery = delivery,
        .callback = callback,
        .ctx = ctx,
    };
    atomic_init(&delivering->pending, count + 1);
    for (size_t i = 0; i < count; i++) {
        delivery->targets[i].delivering = delivering;
        post(client, &delivery->targets[i], token, len);
    }
    count_down(delivering);
}

struct deliver_wait {
    struct loop *loop;
    struct loop_signal done;
    enum sticps_err code;
    struct sticps_error err;
    struct sticps_delivery *delivery;
};

/* A copy for the waiting caller; NULL when out of memory. */
static struct sticps_delivery *delivery_copy(const struct sticps_delivery *from)
{
    struct sticps_delivery *to = calloc(1, sizeof(*to) + from->len * sizeof(struct target));
    for (size_t i = 0; to != NULL && i < from->len; i++) {
        to->targets[i] = from->targets[i];
        to->targets[i].url = strdup(from->targets[i].url);
        to->len++;
        if (to->targets[i].url == NULL) {
            sticps_delivery_free(to);
            return NULL;
        }
    }
    return to;
}

static void on_deliver_wait(void *ctx, enum sticps_err code, const struct sticps_error *err,
                            const struct sticps_delivery *delivery)
{
    struct deliver_wait *wait = ctx;
    wait->code = code;
    wait->err = *err;
    if (delivery != NULL)
        wait->delivery = delivery_copy(delivery);
    if (delivery != NULL && wait->delivery == NULL)
        wait->code = fail(&wait->err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    loop_signal_set(wait->loop, &wait->done);
}

enum sticps_err sticps_deliver_wait(struct sticps_client *client, const char *token, size_t len,
                                    struct sticps_delivery **out, struct sticps_error *err)
{
    struct deliver_wait wait = {.loop = client->loop};
    sticps_deliver(client, token, len, on_deliver_wait, &wait);
    loop_wait(client->loop, &wait.done);
    if (wait.code != STICPS_OK && err != NULL)
        *err = wait.err;
    *out = wait.delivery;
    return wait.code;
}
