#include "server/registry/daemon.h"

#include "server/db/pool.h"
#include "server/http/log.h"
#include "server/http/rate.h"
#include "server/http/request.h"
#include "server/http/reload.h"
#include "server/http/server.h"
#include "server/http/tls.h"
#include "server/http/worker.h"
#include "server/registry/credential.h"
#include "server/registry/checker.h"
#include "server/registry/checker_process.h"
#include "server/registry/crl_file.h"
#include "server/registry/database.h"
#include "server/registry/exporter.h"
#include "server/registry/list_board.h"
#include "server/registry/publisher.h"
#include "server/registry/reload.h"
#include "server/registry/routes.h"
#include "server/registry/sequence_floor.h"
#include "server/registry/session.h"
#include "server/registry/witness.h"
#include "server/registry/token_cache.h"

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdlib.h>

#define HASH_THREADS 2
#define HASH_QUEUE 64 /* at a tenth of a second each, what a client would wait for */

struct node *node_of(struct request *request)
{
    return request_state(request);
}

/* ---- checks ---- */

static struct tls_options tls_of(const struct config *config)
{
    return (struct tls_options){.certificate_file = config->tls.certificate,
                                .key_file = config->tls.key};
}

static enum sticps_err check_tls(const struct config *config, struct sticps_error *err)
{
    const struct tls_options options = tls_of(config);
    struct anchors *anchors = NULL;
    SSL_CTX *context = NULL;
    enum sticps_err rc = tls_context_new(&options, &context, err);

    SSL_CTX_free(context);
    if (rc != STICPS_OK || config->tls_ca == NULL)
        return rc;
    rc = anchors_new(&anchors, err);
    if (rc == STICPS_OK)
        rc = anchors_add_file(anchors, config->tls_ca, err);
    if (rc != STICPS_OK)
        fail_context(err, "tls_ca");
    anchors_free(anchors);
    return rc;
}

enum sticps_err daemon_check(const struct config *config, struct sticps_error *err)
{
    struct signer *signer = NULL;
    enum sticps_err rc =
        signer_load(config, &config->signer, clock_now(&clock_system), &signer, err);

    signer_free(signer);
    signer = NULL;
    if (rc == STICPS_OK && config->next_signer != NULL)
        rc = signer_load(config, config->next_signer, clock_now(&clock_system), &signer, err);
    signer_free(signer);
    if (rc == STICPS_OK && config->cps_check.policy != CONFIG_CHECK_OFF)
        rc = checker_program_check(err);
    return rc == STICPS_OK ? check_tls(config, err) : rc;
}

/* ---- threads ---- */

static void on_pool_log(bool good, const char *text)
{
    if (good)
        log_info("%s", text);
    else
        log_warn("%s", text);
}

static void on_second(struct timer *timer)
{
    struct node *node = (struct node *)((char *)timer - offsetof(struct node, second));

    node_stats_pool(&node->stats, node->pool);
    proof_service_look(node);
    timer_start(node->thread, timer, 1000, on_second);
}

static enum sticps_err on_thread_start(struct server_thread *thread, void *arg, void **state,
                                       struct sticps_error *err)
{
    struct daemon *daemon = arg;
    struct node *node = &daemon->nodes[server_thread_index(thread)];
    const struct db_pool_options options = {
        .conninfo = daemon->config->database.url,
        .connections = daemon->config->database.connections,
        .application_name = "sticps-registryd",
        .sessions_change = daemon->config->database.transaction_pooling == CONFIG_ON,
        .log = on_pool_log,
    };

    node->daemon = daemon;
    node->thread = thread;
    enum sticps_err rc = db_pool_new(server_thread_loop(thread), &options, &node->pool, err);
    if (rc == STICPS_OK && daemon->proofs != NULL)
        rc = proof_desk_open(&node->proofs, daemon->proofs, thread, daemon->config, daemon->clock,
                             server_threads(daemon->server), err);
    if (rc == STICPS_OK)
        rc = list_board_join(daemon->board, node, err);
    if (rc != STICPS_OK) {
        proof_desk_close(&node->proofs);
        db_pool_free(node->pool);
        node->pool = NULL;
        return rc;
    }
    node->tokens = token_cache_new();
    timer_start(thread, &node->second, 0, on_second);
    *state = node;
    return STICPS_OK;
}

static void on_thread_stop(struct server_thread *thread, void *arg, void *state)
{
    struct daemon *daemon = arg;
    struct node *node = state;

    timer_stop(thread, &node->second);
    list_board_leave(daemon->board, node);
    proof_desk_close(&node->proofs);
    db_pool_free(node->pool);
    node->pool = NULL;
    token_cache_free(node->tokens);
    node->tokens = NULL;
}

static void free_config(void *config)
{
    config_free(config);
}

static void on_reload(struct server *server, void *arg)
{
    struct daemon *daemon = arg;

    (void)server;
    reload_run(daemon);
    publisher_look(daemon->publisher);
}

/* ---- the run ---- */

static enum sticps_err listen_all(struct daemon *daemon, struct sticps_error *err)
{
    const struct config *config = daemon->config;
    const struct tls_options tls = tls_of(config);

    for (unsigned i = 0; i < config->listen_count; i++) {
        const struct listener_options options = {
            .name = "public",
            .address = config->listen[i],
            .tls = &tls,
            .routes = registry_routes,
            .routes_len = registry_routes_len,
            .authenticate = credential_check,
        };
        enum sticps_err rc = server_listen(daemon->server, &options, NULL, err);

        if (rc != STICPS_OK)
            return rc;
    }
    return server_stop_on_signals(daemon->server, err);
}

static enum sticps_err make_server(struct daemon *daemon, struct sticps_error *err)
{
    const struct config *config = daemon->config;
    const struct server_options options = {
        .threads = config->threads,
        .max_connections = config->limits.connections,
        .max_per_address = config->limits.per_address,
        .requests_per_second = config->limits.requests_per_second,
        .requests_burst = config->limits.requests_burst,
        .access_log = config->log.access == CONFIG_ON,
        .trusted_proxies = config->proxy.trusted,
        .trusted_proxies_len = config->proxy.trusted_count,
        .proxy_protocol = config->proxy.protocol == CONFIG_ON,
        .thread_start = on_thread_start,
        .thread_stop = on_thread_stop,
        .reload = on_reload,
        .arg = daemon,
    };
    enum sticps_err rc = server_new(&options, &daemon->server, err);

    if (rc != STICPS_OK)
        return rc;
    daemon->nodes = calloc(server_threads(daemon->server), sizeof(*daemon->nodes));
    if (daemon->nodes == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    return listen_all(daemon, err);
}

/* A schema that is not this program's ends the start, and so does a role that may do too much; a
 * database that is away does not. */
static enum sticps_err check_database(const struct config *config, struct sticps_error *err)
{
    struct sticps_error said = {0};
    enum sticps_err rc = database_check(config, &said);

    if (rc == STICPS_OK)
        return STICPS_OK;
    if (rc == STICPS_ERR_FETCH) {
        log_warn("starting without the database: %s", said.text);
        return STICPS_OK;
    }
    if (err != NULL)
        *err = said;
    return rc;
}

/* The lists that this node served last, until the database is heard. */
static void put_up_kept(struct daemon *daemon)
{
    for (enum list_kind kind = 0; kind < LIST_KINDS; kind++) {
        struct published_list *list = sequence_floor_kept(daemon->floor, kind);

        if (list != NULL)
            list_board_put(daemon->board, list);
        published_list_unref(list);
    }
}

static void daemon_clear(struct daemon *daemon, struct signer *signer)
{
    proof_service_free(daemon->proofs);
    server_free(daemon->server);
    worker_pool_free(daemon->workers);
    checker_free(daemon->checker);
    witness_stop(daemon->witness);
    sequence_floor_free(daemon->floor);
    list_board_free(daemon->board);
    crl_file_free(daemon->crl);
    sessions_free(daemon->sessions);
    free(daemon->nodes);
    signer_free(signer);
    reload_free(daemon->reload);
    rate_free(daemon->writes);
}

enum sticps_err daemon_run(const char *path, const struct config *config, struct sticps_error *err)
{
    struct daemon daemon = {.clock = &clock_system, .config = config};
    struct signer *signer = NULL, *next_signer = NULL;
    enum sticps_err rc;

    if (config->lab == CONFIG_ON)
        log_warn(
            "LAB SETTING: loopback and private addresses and any port are allowed in published "
            "URLs; never use it in production");
    daemon.url_rules = config_url_rules(config);
    daemon.writes = rate_new();
    rate_set(daemon.writes, config->limits.writes_per_second, config->limits.writes_burst);
    rc = reload_new(path, free_config, &daemon.reload, err);
    if (rc == STICPS_OK)
        rc = make_server(&daemon, err);
    if (rc == STICPS_OK)
        rc = check_database(config, err);
    if (rc == STICPS_OK)
        rc = signer_load(config, &config->signer, clock_now(daemon.clock), &signer, err);
    if (rc == STICPS_OK && config->next_signer != NULL)
        rc = signer_load(config, config->next_signer, clock_now(daemon.clock), &next_signer, err);
    daemon.signer = signer;
    daemon.next_signer = next_signer;
    if (rc == STICPS_OK)
        rc = sessions_new(config->base_url, config->session.access_lifetime, daemon.clock,
                          &daemon.sessions, err);
    if (rc == STICPS_OK)
        rc = list_board_new(&daemon.board, err);
    if (rc == STICPS_OK && config->crl != NULL)
        rc = crl_file_new(config->crl, &daemon.crl, err);
    if (rc == STICPS_OK)
        rc = worker_pool_new(HASH_THREADS, HASH_QUEUE, &daemon.workers, err);
    if (rc == STICPS_OK && config->sti_proof.enabled == CONFIG_ON)
        rc = proof_service_new(config, &daemon.proofs, err);
    if (rc == STICPS_OK)
        rc = checker_new(config, &daemon.checker, err);
    if (rc == STICPS_OK)
        rc = sequence_floor_new(config->state, &daemon.floor, err);
    if (rc == STICPS_OK) {
        put_up_kept(&daemon);
        rc = witness_start(config, daemon.floor, &daemon.witness, err);
    }
    if (rc == STICPS_OK)
        rc = publisher_start(&daemon, &daemon.publisher, err);
    if (rc == STICPS_OK && config->export != NULL)
        rc = exporter_start(&daemon, &daemon.exporter, err);
    if (rc == STICPS_OK)
        rc = server_run(daemon.server, err);
    publisher_stop(daemon.publisher);
    exporter_stop(daemon.exporter);
    daemon_clear(&daemon, signer);
    signer_free(next_signer);
    return rc;
}
