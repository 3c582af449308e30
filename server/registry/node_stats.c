#include "server/registry/node_stats.h"

#include "server/db/pool.h"
#include "server/http/metrics.h"
#include "server/registry/daemon.h"

#include <string.h>

/* ---- clients ---- */

/* 1 to 3 digits; moves `*at` behind them. */
static bool skip_number(const char **at)
{
    size_t len = strspn(*at, "0123456789");

    *at += len;
    return len >= 1 && len <= 3;
}

static bool skip_char(const char **at, char c)
{
    return *(*at)++ == c;
}

bool node_stats_client(const char *user_agent, char out[NODE_CLIENT_SIZE])
{
    static const char product[] = "sticps/";
    const char *at = user_agent;

    if (at == NULL || strncmp(at, product, sizeof(product) - 1) != 0)
        return false;
    at += sizeof(product) - 1;
    if (!skip_number(&at) || !skip_char(&at, '.') || !skip_number(&at) || !skip_char(&at, '.') ||
        !skip_number(&at) || (*at != '\0' && *at != ' '))
        return false;
    size_t len = (size_t)(at - user_agent);
    memcpy(out, user_agent, len);
    out[len] = '\0';
    return true;
}

void node_stats_fetch(struct node_stats *stats, const char *user_agent)
{
    char name[NODE_CLIENT_SIZE];
    size_t len = counter_read(&stats->clients_len), i = 0;

    if (!node_stats_client(user_agent, name)) {
        counter_add(&stats->other_clients, 1);
        return;
    }
    while (i < len && strcmp(stats->clients[i].name, name) != 0)
        i++;
    if (i == NODE_CLIENTS) {
        counter_add(&stats->other_clients, 1);
        return;
    }
    counter_add(&stats->clients[i].fetches, 1);
    if (i == len) {
        memcpy(stats->clients[i].name, name, sizeof(name));
        atomic_store_explicit(&stats->clients_len, len + 1, memory_order_release);
    }
}

/* ---- the pool ---- */

void node_stats_pool(struct node_stats *stats, const struct db_pool *pool)
{
    struct db_pool_state state;

    db_pool_state(pool, &state);
    counter_set(&stats->connections, state.connected);
    counter_set(&stats->busy, state.busy);
    counter_set(&stats->waiting, state.queued);
    counter_set(&stats->queries, state.queries);
    counter_set(&stats->failures, state.failures);
}

/* ---- the page ---- */

static size_t clients_of(const struct node *node)
{
    return atomic_load_explicit((counter *)&node->stats.clients_len, memory_order_acquire);
}

static uint64_t fetches_of(const struct node *nodes, size_t len, const char *name)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < len; i++)
        for (size_t j = 0; j < clients_of(&nodes[i]); j++)
            if (strcmp(nodes[i].stats.clients[j].name, name) == 0)
                sum += counter_read(&nodes[i].stats.clients[j].fetches);
    return sum;
}

static bool shown_by(const struct node *nodes, size_t len, const char *name)
{
    for (size_t i = 0; i < len; i++)
        for (size_t j = 0; j < clients_of(&nodes[i]); j++)
            if (strcmp(nodes[i].stats.clients[j].name, name) == 0)
                return true;
    return false;
}

static void write_clients(struct metrics *metrics, const struct node *nodes, size_t len)
{
    uint64_t other = 0;

    metrics_family(metrics, "sticps_list_fetches_total", "counter",
                   "Requests for the current lists, by the client's version.");
    for (size_t i = 0; i < len; i++) {
        other += counter_read(&nodes[i].stats.other_clients);
        for (size_t j = 0; j < clients_of(&nodes[i]); j++) {
            const char *name = nodes[i].stats.clients[j].name;

            if (!shown_by(nodes, i, name))
                metrics_sample(metrics, METRICS_LABELS({"client", name}),
                               (double)fetches_of(nodes, len, name));
        }
    }
    metrics_sample(metrics, METRICS_LABELS({"client", "other"}), (double)other);
}

void node_stats_write(struct metrics *metrics, const struct node *nodes, size_t len)
{
    uint64_t connections = 0, busy = 0, waiting = 0, queries = 0, failures = 0, limited = 0;

    write_clients(metrics, nodes, len);
    for (size_t i = 0; i < len; i++) {
        const struct node_stats *stats = &nodes[i].stats;

        connections += counter_read(&stats->connections);
        busy += counter_read(&stats->busy);
        waiting += counter_read(&stats->waiting);
        queries += counter_read(&stats->queries);
        failures += counter_read(&stats->failures);
        limited += counter_read(&stats->writes_limited);
    }
    metrics_gauge(metrics, "sticps_database_connections_open",
                  "Open database connections, without the publisher's.", (double)connections);
    metrics_gauge(metrics, "sticps_database_connections_busy",
                  "Of these, those with a query under way.", (double)busy);
    metrics_gauge(metrics, "sticps_database_queries_waiting", "Queries that wait for a connection.",
                  (double)waiting);
    metrics_counter(metrics, "sticps_database_queries_total", "Queries ended, in any way.",
                    queries);
    metrics_counter(metrics, "sticps_database_failures_total",
                    "Of these, those that found no database or no answer in time.", failures);
    metrics_counter(metrics, "sticps_writes_limited_total",
                    "Writes answered 429, over the rate of their SP.", limited);
}
