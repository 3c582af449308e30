#include "server/agent/daemon.h"

#include "common/error.h"
#include "common/passport.h"
#include "server/agent/agent.h"
#include "server/agent/engine.h"
#include "server/agent/reload.h"
#include "server/http/log.h"
#include "server/http/server.h"

#include <sticps/resolve.h>

#include <grp.h>
#include <stdlib.h>

/* More than the longest deadline of a delivery, whose caller may wait. */
#define DRAIN_MS 15000

const struct route agent_routes[] = {
    {.method = "POST",
     .path = "/v1/deliver",
     .handler = deliver_post,
     .content_type = "application/passport",
     .body_limit = PASSPORT_MAX_BYTES},
    {.method = "GET", .path = "/v1/resolve/{tn}", .handler = resolve_get},
    {.method = "GET", .path = "/v1/status", .handler = status_get},
    {.method = "GET", .path = "/health", .handler = health_get},
    {.method = "GET", .path = "/ready", .handler = ready_get},
    {.method = "GET", .path = "/metrics", .handler = metrics_get},
};
const size_t agent_routes_len = sizeof(agent_routes) / sizeof(*agent_routes);

/* ---- what a thread owns ---- */

static enum sticps_err on_thread_start(struct server_thread *server_thread, void *arg, void **state,
                                       struct sticps_error *err)
{
    struct agent *agent = arg;
    struct agent_thread *thread = calloc(1, sizeof(*thread));
    struct sticps_answer *answer = sticps_answer_new();
    if (thread == NULL || answer == NULL) {
        free(thread);
        sticps_answer_free(answer);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    (void)server_thread;
    *thread = (struct agent_thread){agent, agent->engine, answer};
    *state = thread;
    return STICPS_OK;
}

static void on_thread_stop(struct server_thread *server_thread, void *arg, void *state)
{
    struct agent_thread *thread = state;
    (void)server_thread;
    (void)arg;
    sticps_answer_free(thread->answer);
    free(thread);
}

static void on_reload(struct server *server, void *arg)
{
    (void)server;
    reload_run(arg);
}

/* ---- the interface ---- */

enum sticps_err daemon_check(const struct agent_config *config, struct sticps_error *err)
{
    const char *group = config->socket.group;
    if (group != NULL && getgrnam(group) == NULL)
        return fail(err, STICPS_ERR_USAGE, "socket.group", "there is no group %s on this machine",
                    group);
    return engine_check(config, err);
}

static enum sticps_err open_listeners(struct server *server, const struct agent_config *config,
                                      struct sticps_error *err)
{
    struct listener_options options = {.name = "agent",
                                       .socket_mode = agent_config_socket_mode(config),
                                       .socket_group = config->socket.group,
                                       .routes = agent_routes,
                                       .routes_len = agent_routes_len,
                                       .body_limit = PASSPORT_MAX_BYTES};
    enum sticps_err code = STICPS_OK;
    for (unsigned i = 0; i < config->listen.count && code == STICPS_OK; i++) {
        options.address = config->listen.items[i];
        code = server_listen(server, &options, NULL, err);
    }
    return code;
}

enum sticps_err daemon_run(const char *path, const struct agent_flags *flags,
                           struct agent_config *config, struct sticps_error *err)
{
    struct agent agent = {.path = path, .flags = flags, .clock = clock_system, .config = config};
    /* Its clients are few, and all have the same address. */
    struct server_options options = {.threads = config->threads,
                                     .max_connections = config->limits.connections,
                                     .max_per_address = config->limits.connections,
                                     .drain_timeout_ms = DRAIN_MS,
                                     .access_log = config->log.access == AGENT_YES,
                                     .thread_start = on_thread_start,
                                     .thread_stop = on_thread_stop,
                                     .reload = on_reload,
                                     .arg = &agent};
    struct server *server = NULL;
    /* First the server: it blocks the signals that threads made later must not take. */
    enum sticps_err code = server_new(&options, &server, err);
    agent.server = server;
    if (code == STICPS_OK)
        code = engine_new(config, &agent.engine, err);
    if (code == STICPS_OK)
        code = open_listeners(server, config, err);
    if (code == STICPS_OK)
        code = server_stop_on_signals(server, err);
    if (code == STICPS_OK && config->lab == AGENT_YES)
        log_warn("LAB SETTING: private and loopback addresses are open to fetching and delivery; "
                 "never use it for real calls");
    if (code == STICPS_OK)
        code = server_run(server, err);
    engine_free(agent.engine);
    agent_config_free(agent.config);
    server_free(server);
    return code;
}
