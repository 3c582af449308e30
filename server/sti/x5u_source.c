#include "server/sti/x5u_source.h"

#include "common/error.h"
#include "server/http/server.h"

#include <sticps/x5u.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* One fetch on its way there and back. Owned by libsticps until its callback, then by the message.
 */
struct errand {
    struct server_thread *thread;
    struct x5u_fetch *fetch;
    enum sticps_err code;
    struct sticps_error err;
    char *pem;
    size_t len;
    int64_t expires_at;
    pthread_t asker;
    bool fresh;
};

static void errand_free(struct errand *errand)
{
    free(errand->pem);
    free(errand);
}

/* On the server thread. */
static void deliver(void *arg)
{
    struct errand *errand = arg;
    struct server_thread *thread = errand->thread;
    errand->fetch->done(errand->fetch, errand->code, &errand->err, errand->pem, errand->len,
                        errand->expires_at, errand->fresh);
    errand_free(errand);
    server_thread_release(thread);
}

static void on_x5u(void *ctx, enum sticps_err code, const struct sticps_error *err, const char *pem,
                   size_t len, int64_t expires_at)
{
    struct errand *errand = ctx;
    errand->code = code;
    /* An answer inside sticps_x5u_fetch comes from its cache; any other on the client's thread. */
    errand->fresh = !pthread_equal(pthread_self(), errand->asker);
    if (code == STICPS_OK) {
        errand->pem = malloc(len + 1);
        if (errand->pem == NULL) {
            errand->code = fail(&errand->err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
        } else {
            memcpy(errand->pem, pem, len + 1);
            errand->len = len;
            errand->expires_at = expires_at;
        }
    } else {
        errand->err = *err;
    }
    /* The thread is held, so it takes the message, unless the server never ran to its end. */
    if (!loop_post(errand->thread, deliver, errand))
        errand_free(errand);
}

/* credentials have no way to hear of a failure inside fetch(): out of memory ends the daemon, as it
 * does in the plumbing below. */
static void source_fetch(struct x5u_fetcher *fetcher, struct x5u_fetch *fetch)
{
    struct x5u_source *source = (struct x5u_source *)fetcher;
    struct errand *errand = calloc(1, sizeof(*errand));
    if (errand == NULL)
        abort();
    errand->thread = source->thread;
    errand->fetch = fetch;
    errand->asker = pthread_self();
    server_thread_hold(source->thread);
    sticps_x5u_fetch(source->client, fetch->url, on_x5u, errand);
}

static void source_forget(struct x5u_fetcher *fetcher, const char *url)
{
    sticps_x5u_forget(((struct x5u_source *)fetcher)->client, url);
}

void x5u_source_init(struct x5u_source *source, struct sticps_client *client,
                     struct server_thread *thread)
{
    *source = (struct x5u_source){{source_fetch, source_forget}, client, thread};
}
