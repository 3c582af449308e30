#include "server/registry/witness.h"

#include "common/url.h"
#include "server/http/log.h"
#include "server/registry/published_list.h"
#include "server/registry/sequence_floor.h"

#include <sticps/list.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PERIOD_MS 60000
#define LIST_TIMEOUT_MS 10000

struct witness {
    const struct config *config;
    struct sequence_floor *floor;
    struct sticps_options *options;
    pthread_t thread;
    int stop_fd;
    atomic_bool stopping, asked;
    atomic_uint failing;
    enum sticps_err said[LIST_KINDS][FLOOR_WITNESSES]; /* of each, at the last look */
};

/* One look at one URL. */
struct outcome {
    bool done;
    enum sticps_err code;
    char text[512];
    int64_t sequence;
    char sha256[65];
};

static void on_list(void *ctx, enum sticps_err code, const struct sticps_error *err,
                    const struct sticps_list_result *result)
{
    struct outcome *outcome = ctx;

    outcome->done = true;
    outcome->code = code;
    if (code == STICPS_OK) {
        outcome->sequence = sticps_list_sequence(result->list);
        snprintf(outcome->sha256, sizeof(outcome->sha256), "%s", sticps_list_sha256(result->list));
    } else {
        snprintf(outcome->text, sizeof(outcome->text), "%s", err->text);
    }
}

/* By a client that knows nothing yet, as a new one would: what it takes does not depend on what was
 * seen before. The client's own deadline ends it. */
static void fetch(struct witness *w, enum list_kind kind, const char *url, struct outcome *outcome)
{
    struct sticps_client *client = NULL;
    struct sticps_error err = {0};

    outcome->code = sticps_client_new(w->options, &client, &err);
    snprintf(outcome->text, sizeof(outcome->text), "%s", err.text);
    if (outcome->code != STICPS_OK)
        return;
    sticps_list_fetch(client, kind == LIST_CA ? STICPS_LIST_CA : STICPS_LIST_CPS, url, on_list,
                      outcome);
    while (!outcome->done && !atomic_load(&w->stopping)) {
        struct pollfd fds[] = {{.fd = sticps_client_fd(client), .events = POLLIN},
                               {.fd = w->stop_fd, .events = POLLIN}};

        poll(fds, 2, LIST_TIMEOUT_MS);
        if (sticps_client_process(client, &err) != STICPS_OK)
            break;
    }
    sticps_client_free(client); /* ends a fetch under way, with the callback */
}

/* Logs what has changed since the last look. */
static void note(struct witness *w, enum list_kind kind, size_t i, const char *url,
                 const struct outcome *outcome)
{
    enum sticps_err *said = &w->said[kind][i];

    if (outcome->code == STICPS_OK)
        sequence_floor_seen(w->floor, kind, i, url, outcome->sequence, outcome->sha256);
    else
        atomic_fetch_add(&w->failing, 1);
    if (outcome->code == STICPS_OK && *said != STICPS_OK)
        log_info("the witness %s can be read again", url);
    else if (outcome->code != STICPS_OK && outcome->code != *said && !atomic_load(&w->stopping))
        log_warn("the witness %s cannot be read, and publishing goes on without it: %s", url,
                 outcome->text);
    *said = outcome->code;
}

static void look_at(struct witness *w, enum list_kind kind, char *const *urls, unsigned len)
{
    for (unsigned i = 0; i < len && !atomic_load(&w->stopping); i++) {
        struct outcome outcome = {.code = STICPS_ERR_FETCH};

        fetch(w, kind, urls[i], &outcome);
        note(w, kind, i, urls[i], &outcome);
    }
}

static void *run(void *arg)
{
    struct witness *w = arg;
    const struct config_witness *config = w->config->witness;

    while (!atomic_load(&w->stopping)) {
        struct pollfd fd = {.fd = w->stop_fd, .events = POLLIN};

        atomic_store(&w->failing, 0);
        look_at(w, LIST_CPS, config->cps_list, config->cps_list_count);
        look_at(w, LIST_CA, config->ca_list, config->ca_list_count);
        atomic_store(&w->asked, true);
        poll(&fd, 1, PERIOD_MS);
    }
    return NULL;
}

/* ---- life ---- */

/* A list names its certificate under base_url, wherever it is shown. */
static enum sticps_err allow_x5u(struct sticps_options *options, const char *base_url,
                                 struct sticps_error *err)
{
    struct url url;
    enum sticps_err rc = url_parse(base_url, strlen(base_url), &url, err);
    char *host = rc == STICPS_OK ? strndup(url.host, url.host_len) : NULL;

    if (rc == STICPS_OK && host == NULL)
        rc = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (rc == STICPS_OK)
        rc = sticps_options_add_x5u_host(options, host, err);
    free(host);
    return rc;
}

static enum sticps_err fill_options(const struct config *config, struct sticps_options *options,
                                    struct sticps_error *err)
{
    enum sticps_err rc = sticps_options_add_anchor_file(options, config->witness->anchors, err);

    if (rc != STICPS_OK)
        fail_context(err, "witness.anchors");
    if (rc == STICPS_OK && config->tls_ca != NULL)
        rc = sticps_options_add_tls_ca_file(options, config->tls_ca, err);
    if (rc == STICPS_OK)
        rc = allow_x5u(options, config->base_url, err);
    for (unsigned i = 0; i < config->cps_url.ports_count && rc == STICPS_OK; i++)
        rc = sticps_options_add_cps_port(options, config->cps_url.ports[i], err);
    sticps_options_set_lab(options, config->lab == CONFIG_ON);
    sticps_options_set_list_timeout(options, LIST_TIMEOUT_MS);
    return rc;
}

enum sticps_err witness_check(const struct config *config, struct sticps_error *err)
{
    struct sticps_options *options = sticps_options_new();
    enum sticps_err rc = STICPS_OK;

    if (options == NULL)
        rc = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    else if (config->witness != NULL)
        rc = fill_options(config, options, err);
    sticps_options_free(options);
    return rc;
}

enum sticps_err witness_start(const struct config *config, struct sequence_floor *floor,
                              struct witness **out, struct sticps_error *err)
{
    if (config->witness == NULL) {
        *out = NULL;
        return STICPS_OK;
    }
    struct witness *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    w->config = config;
    w->floor = floor;
    w->options = sticps_options_new();
    w->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum sticps_err rc = w->options != NULL
                             ? fill_options(config, w->options, err)
                             : fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (rc == STICPS_OK && (w->stop_fd < 0 || pthread_create(&w->thread, NULL, run, w) != 0))
        rc = fail(err, STICPS_ERR_NO_MEMORY, NULL, "the thread of the witnesses cannot be started");
    if (rc == STICPS_OK) {
        *out = w;
        return STICPS_OK;
    }
    if (w->stop_fd >= 0)
        close(w->stop_fd);
    sticps_options_free(w->options);
    free(w);
    return rc;
}

void witness_stop(struct witness *w)
{
    if (w == NULL)
        return;
    atomic_store(&w->stopping, true);
    (void)!write(w->stop_fd, &(uint64_t){1}, sizeof(uint64_t));
    pthread_join(w->thread, NULL);
    close(w->stop_fd);
    sticps_options_free(w->options);
    free(w);
}

bool witness_asked(const struct witness *w)
{
    return w == NULL || atomic_load(&w->asked);
}

unsigned witness_failing(const struct witness *w)
{
    return w == NULL ? 0 : atomic_load(&w->failing);
}
