#include "server/agent/engine.h"

#include "common/clock.h"
#include "server/http/log.h"
#include "server/http/timer.h"

#include <sticps/sticps.h>

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define RETRY_SECONDS 30
#define DRAIN_MARGIN_MS 1000

struct engine {
    const struct agent_config *config;
    struct sticps_client *client;
    pthread_mutex_t lock;
    bool fetching;    /* under the lock */
    int64_t next_due; /* under the lock */
};

/* ---- the client ---- */

static void on_client_log(void *ctx, enum sticps_log_level level, int event, enum sticps_err code,
                          const char *where, const char *text)
{
    static const enum log_level levels[] = {
        [STICPS_LOG_DEBUG] = LOG_LEVEL_DEBUG,
        [STICPS_LOG_INFO] = LOG_LEVEL_INFO,
        [STICPS_LOG_WARN] = LOG_LEVEL_WARN,
        [STICPS_LOG_ERROR] = LOG_LEVEL_ERROR,
    };
    (void)ctx;
    log_fields(levels[level], text, LOG_TEXT("event", sticps_event_name((enum sticps_event)event)),
               LOG_TEXT("code", sticps_err_name(code)), LOG_TEXT("where", where));
}

typedef enum sticps_err add_fn(struct sticps_options *, const char *, struct sticps_error *);

static enum sticps_err add_all(struct sticps_options *options, const struct agent_strings *texts,
                               add_fn *add, struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    for (unsigned i = 0; i < texts->count && code == STICPS_OK; i++)
        code = add(options, texts->items[i], err);
    return code;
}

static enum sticps_err set_files(const struct agent_config *config, struct sticps_options *options,
                                 struct sticps_error *err)
{
    const struct agent_list *list = &config->list;
    enum sticps_err code = sticps_options_set_state_dir(options, list->state, err);
    if (code == STICPS_OK)
        code = add_all(options, &list->anchors, sticps_options_add_anchor_file, err);
    if (code == STICPS_OK && list->crl.file != NULL)
        code = sticps_options_set_crl_file(options, list->crl.file, list->crl.signer, err);
    if (code == STICPS_OK && config->override != NULL)
        code = sticps_options_set_override_file(options, config->override, err);
    if (code == STICPS_OK)
        code = add_all(options, &config->tls_ca, sticps_options_add_tls_ca_file, err);
    if (code == STICPS_OK)
        code = add_all(options, &list->x5u_hosts, sticps_options_add_x5u_host, err);
    for (unsigned i = 0; i < list->ports.count && code == STICPS_OK; i++)
        code = sticps_options_add_cps_port(options, list->ports.items[i], err);
    return code;
}

static void set_numbers(const struct agent_config *config, struct sticps_options *options)
{
    sticps_options_set_list_timeout(options, config->list.timeout_ms);
    sticps_options_set_max_lifetime(options, config->list.max_lifetime);
    sticps_options_set_grace(options, config->list.grace);
    sticps_options_set_deliver_timeout(options, config->delivery.deadline_ms);
    sticps_options_set_deliver_limits(options, config->delivery.queue, config->delivery.per_cps);
    sticps_options_set_default_country(options, agent_config_country(config));
    sticps_options_set_lab(options, config->lab == AGENT_YES);
    sticps_options_set_log(options, on_client_log, NULL);
}

static enum sticps_err open_client(const struct agent_config *config, struct sticps_client **out,
                                   struct sticps_error *err)
{
    struct sticps_options *options = sticps_options_new();
    if (options == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    enum sticps_err code = set_files(config, options, err);
    if (code == STICPS_OK) {
        set_numbers(config, options);
        code = sticps_client_new(options, out, err);
    }
    sticps_options_free(options);
    return code;
}

static void use_held_list(struct sticps_client *client)
{
    struct sticps_error err = {0};
    enum sticps_err code = sticps_list_load(client, STICPS_LIST_CPS, &err);
    if (code != STICPS_OK && code != STICPS_ERR_NO_LIST)
        log_warn("the held list cannot be used: %s (%s)", err.text, err.where);
}

enum sticps_err engine_new(const struct agent_config *config, struct engine **out,
                           struct sticps_error *err)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    if (engine == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    engine->config = config;
    pthread_mutex_init(&engine->lock, NULL);
    enum sticps_err code = open_client(config, &engine->client, err);
    if (code == STICPS_OK && config->npdb.count > 0)
        code = sticps_client_set_npdb(engine->client, (const char *const *)config->npdb.items,
                                      config->npdb.count, err);
    if (code == STICPS_OK) {
        use_held_list(engine->client);
        code = sticps_client_start_thread(engine->client, err);
    }
    if (code == STICPS_OK)
        *out = engine;
    else
        engine_free(engine);
    return code;
}

void engine_free(struct engine *engine)
{
    if (engine == NULL)
        return;
    uint64_t end = monotonic_ms() + engine->config->delivery.deadline_ms + DRAIN_MARGIN_MS;
    while (engine->client != NULL && sticps_deliveries_under_way(engine->client) > 0 &&
           monotonic_ms() < end)
        nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
    sticps_client_free(engine->client);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

struct sticps_client *engine_client(const struct engine *engine)
{
    return engine->client;
}

const struct agent_config *engine_config(const struct engine *engine)
{
    return engine->config;
}

/* ---- the list ---- */

static void on_list(void *ctx, enum sticps_err code, const struct sticps_error *err,
                    const struct sticps_list_result *result)
{
    struct engine *engine = ctx;
    (void)err;
    (void)result;
    unsigned period = engine->config->list.period;
    unsigned wait = code == STICPS_OK || period < RETRY_SECONDS ? period : RETRY_SECONDS;
    pthread_mutex_lock(&engine->lock);
    engine->fetching = false;
    engine->next_due = clock_now(&clock_system) + wait;
    pthread_mutex_unlock(&engine->lock);
}

void engine_tick(struct engine *engine, int64_t now)
{
    if (engine->config->list.url == NULL)
        return;
    pthread_mutex_lock(&engine->lock);
    /* next_due lies further ahead than a period only when the clock was set back */
    bool due = !engine->fetching && (now >= engine->next_due ||
                                     engine->next_due - now > (int64_t)engine->config->list.period);
    if (due)
        engine->fetching = true;
    pthread_mutex_unlock(&engine->lock);
    if (due)
        sticps_list_fetch(engine->client, STICPS_LIST_CPS, engine->config->list.url, on_list,
                          engine);
}
