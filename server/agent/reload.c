#include "server/agent/reload.h"

#include "server/agent/agent.h"
#include "server/agent/engine.h"
#include "server/http/log.h"
#include "server/http/server.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- what needs a restart ---- */

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_texts(const struct agent_strings *a, const struct agent_strings *b)
{
    bool same = a->count == b->count;
    for (unsigned i = 0; i < a->count && same; i++)
        same = same_text(a->items[i], b->items[i]);
    return same;
}

static enum sticps_err check_fixed(const struct agent_config *old, const struct agent_config *fresh,
                                   struct sticps_error *err)
{
    const char *key = NULL;
    if (!same_texts(&old->listen, &fresh->listen))
        key = "listen";
    else if (!same_text(old->socket.mode, fresh->socket.mode) ||
             !same_text(old->socket.group, fresh->socket.group))
        key = "socket";
    else if (old->threads != fresh->threads)
        key = "threads";
    return key == NULL ? STICPS_OK : fail(err, STICPS_ERR_USAGE, NULL, "%s needs a restart", key);
}

/* ---- the threads go over to another engine ---- */

struct handover {
    struct engine *engine;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t left; /* threads that use the one before */
};

struct order {
    struct handover *handover;
    struct server_thread *thread;
};

static void take_over(void *arg)
{
    struct order *order = arg;
    struct handover *handover = order->handover;
    struct agent_thread *thread = server_thread_state(order->thread);
    thread->engine = handover->engine;
    pthread_mutex_lock(&handover->lock);
    handover->left--;
    pthread_cond_signal(&handover->changed);
    pthread_mutex_unlock(&handover->lock);
}

/* Returns when no thread uses the engine before. The threads live: only the main thread, which is
 * this one, ends them. */
static void hand_over(struct server *server, struct engine *engine)
{
    size_t threads = server_threads(server);
    struct handover handover = {.engine = engine, .left = threads};
    struct order *orders = calloc(threads, sizeof(*orders));
    if (orders == NULL)
        abort();
    pthread_mutex_init(&handover.lock, NULL);
    pthread_cond_init(&handover.changed, NULL);
    for (size_t i = 0; i < threads; i++) {
        orders[i] = (struct order){&handover, server_thread_at(server, i)};
        if (!server_post(orders[i].thread, take_over, &orders[i]))
            abort();
    }
    pthread_mutex_lock(&handover.lock);
    while (handover.left > 0)
        pthread_cond_wait(&handover.changed, &handover.lock);
    pthread_mutex_unlock(&handover.lock);
    pthread_cond_destroy(&handover.changed);
    pthread_mutex_destroy(&handover.lock);
    free(orders);
}

/* ---- the reload ---- */

static void put_in_force(struct agent *agent, struct agent_config *config, struct engine *engine)
{
    const struct server_tuning tuning = {.max_connections = config->limits.connections,
                                         .max_per_address = config->limits.connections,
                                         .access_log = config->log.access == AGENT_YES};
    struct agent_config *old_config = agent->config;
    struct engine *old = agent->engine;
    engine_inherit(engine, old);
    hand_over(agent->server, engine);
    server_tune(agent->server, &tuning);
    agent->config = config;
    agent->engine = engine;
    engine_retire(old, engine);
    agent_config_free(old_config);
}

void reload_run(struct agent *agent)
{
    struct sticps_error err = {0};
    struct agent_config *fresh = NULL;
    struct engine *engine = NULL;
    enum sticps_err code = agent_config_load(agent->path, agent->flags, &fresh, &err);
    if (code == STICPS_OK)
        code = check_fixed(agent->config, fresh, &err);
    if (code == STICPS_OK)
        code = engine_new(fresh, &engine, &err);
    if (code != STICPS_OK) {
        log_error("reload REFUSED, everything stays as it was: %s%s%s", err.where,
                  err.where[0] != '\0' ? ": " : "", err.text);
        agent_config_free(fresh);
        return;
    }
    put_in_force(agent, fresh, engine);
    log_info("reload: the configuration and its files were read again");
}
