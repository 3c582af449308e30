#include "server/agent/engine.h"

#include "common/clock.h"
#include "common/file_stamp.h"
#include "server/http/log.h"
#include "server/http/timer.h"

#include <sticps/sticps.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DRAIN_MARGIN_MS 1000

typedef _Atomic uint64_t event_counts[STICPS_EVENT_COUNT][STICPS_ERR_COUNT];

struct engine {
    const struct agent_config *config;
    struct sticps_client *client;
    event_counts before;       /* of the engines before this one */
    struct file_stamp *stamps; /* of the portability files; the keeper's, as the next is */
    uint64_t load_due_ms;
    pthread_t keeper;
    bool kept; /* the keeper was made */

    pthread_mutex_t lock; /* guards what is below */
    pthread_cond_t changed;
    bool ending;
    struct engine_refresh refresh;
};

/* ---- the client ---- */

static void note_refresh(struct engine *engine, enum sticps_err code, const char *where,
                         const char *text)
{
    struct engine_refresh *refresh = &engine->refresh;
    pthread_mutex_lock(&engine->lock);
    refresh->at = clock_now(&clock_system);
    refresh->code = code;
    snprintf(refresh->where, sizeof(refresh->where), "%s", where);
    snprintf(refresh->text, sizeof(refresh->text), "%s", text);
    pthread_mutex_unlock(&engine->lock);
}

static void on_client_log(void *ctx, enum sticps_log_level level, int event, enum sticps_err code,
                          const char *where, const char *text)
{
    static const enum log_level levels[] = {
        [STICPS_LOG_DEBUG] = LOG_LEVEL_DEBUG,
        [STICPS_LOG_INFO] = LOG_LEVEL_INFO,
        [STICPS_LOG_WARN] = LOG_LEVEL_WARN,
        [STICPS_LOG_ERROR] = LOG_LEVEL_ERROR,
    };
    if (event == STICPS_EVENT_LIST)
        note_refresh(ctx, code, where, text);
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

static enum sticps_err add_sources(const struct agent_list *list, struct sticps_options *options,
                                   struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    for (unsigned i = 0; i < list->urls.count && code == STICPS_OK; i++)
        code = sticps_options_add_list_url(options, STICPS_LIST_CPS, list->urls.items[i], err);
    for (unsigned i = 0; i < list->files.count && code == STICPS_OK; i++)
        code = sticps_options_add_list_file(options, STICPS_LIST_CPS, list->files.items[i], err);
    return code;
}

static enum sticps_err set_files(const struct agent_config *config, struct sticps_options *options,
                                 struct sticps_error *err)
{
    const struct agent_list *list = &config->list;
    enum sticps_err code = sticps_options_set_state_dir(options, list->state, err);
    if (code == STICPS_OK)
        code = add_sources(list, options, err);
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
    if (code == STICPS_OK && config->sti.key != NULL)
        code = sticps_options_set_sti_key_file(options, config->sti.spc, config->sti.x5u,
                                               config->sti.key, err);
    for (unsigned i = 0; i < list->ports.count && code == STICPS_OK; i++)
        code = sticps_options_add_cps_port(options, list->ports.items[i], err);
    return code;
}

static enum sticps_err set_enum(const struct agent_enum *from, struct sticps_options *options,
                                struct sticps_error *err)
{
    if (from->apex == NULL)
        return STICPS_OK;
    enum sticps_err code = sticps_options_add_enum(options, from->apex, err);
    if (code == STICPS_OK && from->first == AGENT_YES)
        code = sticps_options_add_npdb(options, err);
    if (code == STICPS_OK)
        code = add_all(options, &from->servers, sticps_options_add_enum_server, err);
    sticps_options_set_enum_limits(options, from->deadline_ms, from->cache);
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
}

static enum sticps_err fill_options(const struct agent_config *config,
                                    struct sticps_options *options, struct sticps_error *err)
{
    enum sticps_err code = set_files(config, options, err);
    if (code == STICPS_OK)
        code = set_enum(&config->enumeration, options, err);
    if (code == STICPS_OK)
        set_numbers(config, options);
    return code;
}

static enum sticps_err open_client(struct engine *engine, struct sticps_error *err)
{
    struct sticps_options *options = sticps_options_new();
    if (options == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    sticps_options_set_log(options, on_client_log, engine);
    enum sticps_err code = fill_options(engine->config, options, err);
    if (code == STICPS_OK)
        code = sticps_client_new(options, &engine->client, err);
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

static enum sticps_err open_npdb(struct engine *engine, struct sticps_error *err)
{
    const struct agent_strings *files = &engine->config->npdb;
    return sticps_client_set_npdb(engine->client, (const char *const *)files->items, files->count,
                                  err);
}

/* ---- the keeper: a thread for what may wait for a disk ---- */

/* Where the list has no source another process fetches it into the same folder. */
static void load_list_again(struct engine *engine)
{
    uint64_t now_ms = monotonic_ms();
    if (agent_config_fetches(engine->config) || now_ms < engine->load_due_ms)
        return;
    engine->load_due_ms = now_ms + (uint64_t)engine->config->list.period * 1000;
    use_held_list(engine->client);
}

static bool files_changed(struct engine *engine)
{
    bool changed = false;
    for (unsigned i = 0; i < engine->config->npdb.count; i++)
        changed |= file_stamp_changed(&engine->stamps[i], engine->config->npdb.items[i]);
    return changed;
}

static void look_at_files(struct engine *engine)
{
    struct sticps_error err = {0};
    if (!files_changed(engine))
        return;
    if (open_npdb(engine, &err) == STICPS_OK)
        log_info("the portability files were opened anew");
    else
        log_error(
            "a portability file has changed and cannot be used, the ones before stay: %s (%s)",
            err.text, err.where);
}

static void *keep(void *arg)
{
    struct engine *engine = arg;
    pthread_mutex_lock(&engine->lock);
    while (!engine->ending) {
        struct timespec until;
        pthread_mutex_unlock(&engine->lock);
        load_list_again(engine);
        look_at_files(engine);
        pthread_mutex_lock(&engine->lock);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        if (!engine->ending)
            pthread_cond_timedwait(&engine->changed, &engine->lock, &until);
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

static void stop_keeper(struct engine *engine)
{
    if (!engine->kept)
        return;
    pthread_mutex_lock(&engine->lock);
    engine->ending = true;
    pthread_cond_signal(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
    pthread_join(engine->keeper, NULL);
}

/* ---- beginning and end ---- */

static enum sticps_err start_threads(struct engine *engine, struct sticps_error *err)
{
    enum sticps_err code = sticps_client_start_thread(engine->client, err);
    if (code == STICPS_OK && agent_config_fetches(engine->config))
        code = sticps_list_keep_fresh(engine->client, STICPS_LIST_CPS, engine->config->list.period,
                                      err);
    if (code != STICPS_OK)
        return code;
    int why = pthread_create(&engine->keeper, NULL, keep, engine);
    if (why != 0)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "cannot start a thread: %s", strerror(why));
    engine->kept = true;
    return STICPS_OK;
}

static struct engine *make(const struct agent_config *config)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    pthread_condattr_t monotonic;
    if (engine != NULL)
        engine->stamps = calloc(config->npdb.count + 1, sizeof(*engine->stamps));
    if (engine == NULL || engine->stamps == NULL) {
        free(engine);
        return NULL;
    }
    engine->config = config;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&engine->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return engine;
}

enum sticps_err engine_new(const struct agent_config *config, struct engine **out,
                           struct sticps_error *err)
{
    struct engine *engine = make(config);
    if (engine == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    enum sticps_err code = open_client(engine, err);
    (void)files_changed(engine); /* before they are opened */
    if (code == STICPS_OK)
        code = open_npdb(engine, err);
    if (code == STICPS_OK) {
        use_held_list(engine->client);
        code = start_threads(engine, err);
    }
    if (code == STICPS_OK)
        *out = engine;
    else
        engine_free(engine);
    return code;
}

static void wait_for_deliveries(const struct engine *engine)
{
    uint64_t end = monotonic_ms() + engine->config->delivery.deadline_ms + DRAIN_MARGIN_MS;
    while (sticps_deliveries_under_way(engine->client) > 0 && monotonic_ms() < end)
        nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
}

void engine_free(struct engine *engine)
{
    if (engine == NULL)
        return;
    stop_keeper(engine);
    if (engine->client != NULL)
        wait_for_deliveries(engine);
    sticps_client_free(engine->client);
    pthread_cond_destroy(&engine->changed);
    pthread_mutex_destroy(&engine->lock);
    free(engine->stamps);
    free(engine);
}

enum sticps_err engine_check(const struct agent_config *config, struct sticps_error *err)
{
    struct sticps_options *options = sticps_options_new();
    if (options == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    enum sticps_err code = fill_options(config, options, err);
    sticps_options_free(options);
    for (unsigned i = 0; i < config->npdb.count && code == STICPS_OK; i++) {
        struct sticps_npdb *npdb = NULL;
        code = sticps_npdb_open(config->npdb.items[i], 0, &npdb, err);
        sticps_npdb_close(npdb);
    }
    return code;
}

/* ---- one engine after another ---- */

uint64_t engine_events(const struct engine *engine, enum sticps_event event, enum sticps_err code)
{
    return atomic_load_explicit(&((struct engine *)engine)->before[event][code],
                                memory_order_relaxed) +
           sticps_event_count(engine->client, event, code);
}

void engine_inherit(struct engine *engine, const struct engine *old)
{
    for (int event = 0; event < STICPS_EVENT_COUNT; event++)
        for (int code = 0; code < STICPS_ERR_COUNT; code++) {
            uint64_t counted = engine_events(old, (enum sticps_event)event, (enum sticps_err)code);
            atomic_store_explicit(&engine->before[event][code], counted, memory_order_relaxed);
        }
}

void engine_retire(struct engine *old, struct engine *heir)
{
    stop_keeper(old);
    old->kept = false;
    wait_for_deliveries(old);
    engine_inherit(heir, old);
    engine_free(old);
}

void engine_refresh_read(struct engine *engine, struct engine_refresh *out)
{
    pthread_mutex_lock(&engine->lock);
    *out = engine->refresh;
    pthread_mutex_unlock(&engine->lock);
}

struct sticps_client *engine_client(const struct engine *engine)
{
    return engine->client;
}

const struct agent_config *engine_config(const struct engine *engine)
{
    return engine->config;
}
