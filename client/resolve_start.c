/* sticps_resolve_start and sticps_resolve_wait: resolving for those who can wait for ENUM. */
#include "client/client.h"

#include "client/resolve.h"
#include "sticps/resolve.h"

#include <stdlib.h>
#include <string.h>

/* One call, from the host's thread to its callback in the loop's. */
struct resolving {
    struct loop_task task;
    struct sticps_client *client;
    struct sticps_answer *answer;
    sticps_resolve_fn *callback;
    void *ctx;
    char number[];
};

static void end(struct resolving *resolving, enum sticps_err code, const struct sticps_error *err)
{
    resolving->callback(resolving->ctx, code, err, resolving->answer);
    sticps_answer_free(resolving->answer);
    free(resolving);
}

/* ENUM has had its time. */
static void on_asked(void *ctx)
{
    struct resolving *resolving = ctx;
    struct sticps_error err = {0};
    enum sticps_err code =
        deliverer_is_closed(resolving->client->deliverer)
            ? fail(&err, STICPS_ERR_FETCH, NULL, "the client was closed before ENUM had answered")
            : resolve_number(resolving->client, resolving->number, true, resolving->answer, &err);
    end(resolving, code, &err);
}

static void begin(struct loop_task *task)
{
    struct resolving *resolving =
        (struct resolving *)((char *)task - offsetof(struct resolving, task));
    struct sticps_client *client = resolving->client;
    struct sticps_error err = {0};
    enum sticps_err code =
        resolve_number(client, resolving->number, false, resolving->answer, &err);
    if (code != STICPS_ERR_WOULD_WAIT) {
        end(resolving, code, &err);
        return;
    }
    struct tn tn;
    struct enum_wait *wait = enum_wait_new(client->enumeration, 1);
    if (wait != NULL &&
        tn_from_claim(sticps_answer_tn(resolving->answer),
                      strlen(sticps_answer_tn(resolving->answer)), 0, &tn, NULL) == STICPS_OK)
        enum_wait_add(wait, &tn);
    if (wait == NULL ||
        !enum_wait_start(wait, client->options->enumeration.deadline_ms, on_asked, resolving))
        on_asked(resolving);
}

enum sticps_err sticps_resolve_start(struct sticps_client *client, const char *number,
                                     sticps_resolve_fn *callback, void *ctx,
                                     struct sticps_error *err)
{
    enum sticps_err code = client_check(client, err);
    if (code != STICPS_OK)
        return code;
    if (deliverer_is_closed(client->deliverer))
        return fail(err, STICPS_ERR_FETCH, NULL, "the client is being closed");
    size_t size = strlen(number) + 1;
    struct resolving *resolving = calloc(1, sizeof(*resolving) + size);
    if (resolving != NULL)
        resolving->answer = sticps_answer_new();
    if (resolving == NULL || resolving->answer == NULL) {
        free(resolving);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    resolving->task.run = begin;
    resolving->client = client;
    resolving->callback = callback;
    resolving->ctx = ctx;
    memcpy(resolving->number, number, size);
    loop_post(client->loop, &resolving->task);
    return STICPS_OK;
}

struct resolve_wait {
    struct loop *loop;
    struct loop_signal done;
    enum sticps_err code;
    struct sticps_error err;
    struct sticps_answer *answer;
};

static void on_resolve_wait(void *ctx, enum sticps_err code, const struct sticps_error *err,
                            const struct sticps_answer *answer)
{
    struct resolve_wait *wait = ctx;
    wait->code = code;
    wait->err = *err;
    answer_copy(wait->answer, answer);
    loop_signal_set(wait->loop, &wait->done);
}

enum sticps_err sticps_resolve_wait(struct sticps_client *client, const char *number,
                                    struct sticps_answer *answer, struct sticps_error *err)
{
    struct resolve_wait wait = {.loop = client->loop, .answer = answer};
    enum sticps_err code = sticps_resolve_start(client, number, on_resolve_wait, &wait, err);
    if (code != STICPS_OK)
        return code;
    loop_wait(client->loop, &wait.done);
    if (wait.code != STICPS_OK && err != NULL)
        *err = wait.err;
    return wait.code;
}
