#include "server/cps/daemon.h"

#include "common/error.h"
#include "server/cps/cps.h"
#include "server/cps/reload.h"
#include "server/cps/store_memory.h"
#include "server/http/log.h"
#include "server/http/reload.h"
#include "server/http/server.h"
#include "server/http/tls.h"

#include <sticps/client.h>

#include <stdlib.h>

/* ---- what a thread owns ---- */

static void on_second(struct timer *timer)
{
    struct cps_thread *thread =
        (struct cps_thread *)((char *)timer - offsetof(struct cps_thread, second));
    struct cps *cps = thread->cps;
    int64_t now = clock_now(&cps->clock);
    store_expire(cps->store, now);
    if (cps->ca_list != NULL)
        ca_list_tick(cps->ca_list, now);
    if (cps->revocation != NULL)
        revocation_tick(cps->revocation, now);
    timer_start(thread->thread, timer, 1000, on_second);
}

static enum sticps_err on_thread_start(struct server_thread *server_thread, void *arg, void **state,
                                       struct sticps_error *err)
{
    struct cps *cps = arg;
    struct cps_thread *thread = calloc(1, sizeof(*thread));
    if (thread == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    thread->cps = cps;
    thread->thread = server_thread;
    x5u_source_init(&thread->source, cps->client, server_thread);
    thread->counters = &cps->counters[server_thread_index(server_thread)];
    size_t threads = server_threads(server_thread_server(server_thread));
    size_t share = cps->config->x5u_max_pending / threads;
    enum sticps_err code =
        credentials_new(&thread->source.fetcher, cps->trust, &cps->clock, share > 0 ? share : 1,
                        &thread->counters->credentials, &thread->credentials, err);
    if (code != STICPS_OK) {
        free(thread);
        return code;
    }
    thread->verifier = (struct verifier){&cps->config->rules, thread->credentials};
    if (server_thread_index(server_thread) == 0)
        timer_start(server_thread, &thread->second, 0, on_second);
    *state = thread;
    return STICPS_OK;
}

static void on_thread_stop(struct server_thread *server_thread, void *arg, void *state)
{
    struct cps_thread *thread = state;
    (void)arg;
    timer_stop(server_thread, &thread->second);
    credentials_free(thread->credentials);
    free(thread);
}

static void end_waiting(void *arg)
{
    struct cps_thread *thread = server_thread_state(arg);
    if (thread != NULL)
        give_end_waiting(thread);
}

static void on_draining(struct server *server, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < server_threads(server); i++) {
        struct server_thread *thread = server_thread_at(server, i);
        if (!loop_post(thread, end_waiting, thread))
            log_warn("thread %zu ended before the drain", i);
    }
}

static void free_config(void *config)
{
    config_free(config);
}

static void on_reload(struct server *server, void *arg)
{
    (void)server;
    reload_run(arg);
}

/* ---- the parts ---- */

static enum sticps_err fill_options(const struct config *config, struct sticps_options *options,
                                    struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    sticps_options_set_lab(options, config->rules.lab);
    sticps_options_set_default_country(options, config->rules.default_country);
    sticps_options_set_x5u_timeout(options, config->x5u_deadline_ms);
    if (config->tls_ca != NULL)
        code = sticps_options_add_tls_ca_file(options, config->tls_ca, err);
    if (code == STICPS_OK && config->anchors.anchor != NULL)
        code = sticps_options_add_anchor_file(options, config->anchors.anchor, err);
    if (code == STICPS_OK && config->anchors.state != NULL)
        code = sticps_options_set_state_dir(options, config->anchors.state, err);
    return code;
}

static enum sticps_err open_client(const struct config *config, struct sticps_client **out,
                                   struct sticps_error *err)
{
    struct sticps_options *options = sticps_options_new();
    if (options == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    enum sticps_err code = fill_options(config, options, err);
    if (code == STICPS_OK)
        code = sticps_client_new(options, out, err);
    sticps_options_free(options);
    return code;
}

/* Store, STI-CAs and client. What was opened is the caller's to close, also on failure. */
static enum sticps_err open_parts(struct cps *cps, struct sticps_error *err)
{
    const struct config *config = cps->config;
    enum sticps_err code = store_memory_new(&config->store, &cps->store, err);
    if (code == STICPS_OK)
        code = trust_new(&cps->trust, err);
    if (code == STICPS_OK && config->crl.file != NULL)
        code = revocation_new(config->crl.file, config->crl.signer, cps->trust,
                              clock_now(&cps->clock), &cps->revocation, err);
    if (code == STICPS_OK && config->anchors.bundle != NULL)
        code = trust_load_bundle(cps->trust, config->anchors.bundle, err);
    if (code == STICPS_OK)
        code = open_client(config, &cps->client, err);
    if (code == STICPS_OK)
        code = sticps_client_start_thread(cps->client, err);
    if (code == STICPS_OK && config->anchors.url != NULL)
        code = ca_list_new(cps->client, cps->trust, config->anchors.url, config->anchors.period,
                           &cps->ca_list, err);
    return code;
}

static void close_parts(struct cps *cps)
{
    sticps_client_free(cps->client);
    ca_list_free(cps->ca_list);
    revocation_free(cps->revocation);
    trust_free(cps->trust);
    store_free(cps->store);
}

/* ---- listeners ---- */

static enum sticps_err listen_all(struct server *server, const struct config_strings *addresses,
                                  struct listener_options options, struct sticps_error *err)
{
    for (unsigned i = 0; i < addresses->count; i++) {
        options.address = addresses->items[i];
        enum sticps_err code = server_listen(server, &options, NULL, err);
        if (code != STICPS_OK)
            return code;
    }
    return STICPS_OK;
}

static enum sticps_err open_listeners(struct server *server, const struct config *config,
                                      struct sticps_error *err)
{
    struct tls_options public_tls = {config->tls.certificate, config->tls.key, NULL};
    struct tls_options private_tls = {config->private_side.tls.certificate,
                                      config->private_side.tls.key, config->private_side.client_ca};
    struct listener_options incoming = {.name = "public",
                                        .tls = &public_tls,
                                        .routes = receive_routes,
                                        .routes_len = receive_routes_len,
                                        .body_limit = PASSPORT_MAX_BYTES};
    struct listener_options outgoing = {.name = "private",
                                        .tls = &private_tls,
                                        .routes = give_routes,
                                        .routes_len = give_routes_len,
                                        .authenticate = give_authenticate};
    enum sticps_err code = listen_all(server, &config->listen, incoming, err);
    if (code == STICPS_OK)
        code = listen_all(server, &config->private_side.listen, outgoing, err);
    return code;
}

static enum sticps_err check_tls(const struct config_tls *tls, const char *client_ca,
                                 struct sticps_error *err)
{
    struct tls_options options = {tls->certificate, tls->key, client_ca};
    SSL_CTX *context = NULL;
    enum sticps_err code = tls_context_new(&options, &context, err);
    SSL_CTX_free(context);
    return code;
}

/* ---- the interface ---- */

enum sticps_err daemon_check(const struct config *config, struct sticps_error *err)
{
    struct trust *trust = NULL;
    struct revocation *revocation = NULL;
    struct sticps_options *options = sticps_options_new();
    enum sticps_err code = STICPS_OK;
    if (options == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    code = check_tls(&config->tls, NULL, err);
    if (code == STICPS_OK)
        code = check_tls(&config->private_side.tls, config->private_side.client_ca, err);
    if (code == STICPS_OK)
        code = trust_new(&trust, err);
    if (code == STICPS_OK && config->crl.file != NULL)
        code = revocation_new(config->crl.file, config->crl.signer, trust, clock_now(&clock_system),
                              &revocation, err);
    if (code == STICPS_OK && config->anchors.bundle != NULL)
        code = trust_load_bundle(trust, config->anchors.bundle, err);
    if (code == STICPS_OK)
        code = fill_options(config, options, err);
    revocation_free(revocation);
    trust_free(trust);
    sticps_options_free(options);
    return code;
}

enum sticps_err daemon_run(const char *path, const struct config *config, struct sticps_error *err)
{
    struct cps cps = {.config = config, .clock = clock_system};
    struct server_options options = {.threads = config->threads,
                                     .max_connections = config->max_connections,
                                     .max_per_address = config->max_per_address,
                                     .requests_per_second = config->requests_per_second,
                                     .requests_burst = config->requests_burst,
                                     .access_log = config->access_log,
                                     .trusted_proxies = config->trusted_proxies.items,
                                     .trusted_proxies_len = config->trusted_proxies.count,
                                     .proxy_protocol = config->proxy_protocol,
                                     .thread_start = on_thread_start,
                                     .thread_stop = on_thread_stop,
                                     .draining = on_draining,
                                     .reload = on_reload,
                                     .arg = &cps};
    struct server *server = NULL;
    /* First the server: it blocks the signals that threads made later must not take. */
    enum sticps_err code = server_new(&options, &server, err);
    cps.server = server;
    if (code == STICPS_OK)
        cps.counters = calloc(server_threads(server), sizeof(*cps.counters));
    if (code == STICPS_OK && cps.counters == NULL)
        code = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (code == STICPS_OK)
        code = reload_new(path, free_config, &cps.reload, err);
    if (code == STICPS_OK)
        code = open_parts(&cps, err);
    if (code == STICPS_OK)
        code = open_listeners(server, config, err);
    if (code == STICPS_OK)
        code = server_stop_on_signals(server, err);
    if (code == STICPS_OK && config->rules.lab)
        log_warn("LAB SETTING: private and loopback addresses are open to fetching; never use it "
                 "where anybody else can reach this server");
    if (code == STICPS_OK)
        code = server_run(server, err);
    close_parts(&cps);
    server_free(server);
    free(cps.counters);
    reload_free(cps.reload);
    return code;
}
