#include "client/client.h"

#include "client/latency.h"
#include "client/peers.h"
#include "sticps/stats.h"

#include <stdlib.h>

struct sticps_stats {
    uint64_t figures[STICPS_STAT_COUNT];
    uint64_t within[LATENCY_BUCKETS]; /* the bucket's, and all shorter ones */
    size_t cps_len;
    struct peer_facts cps[];
};

static void read_latency(const struct latency *latency, struct sticps_stats *stats)
{
    uint64_t count = 0;
    for (size_t i = 0; i <= LATENCY_BUCKETS; i++) {
        count += atomic_load_explicit(&latency->counts[i], memory_order_relaxed);
        if (i < LATENCY_BUCKETS)
            stats->within[i] = count;
    }
    stats->figures[STICPS_STAT_DELIVERIES_ENDED] = count;
    stats->figures[STICPS_STAT_DELIVERIES_MS] =
        atomic_load_explicit(&latency->sum, memory_order_relaxed);
}

enum sticps_err sticps_stats_take(struct sticps_client *client, struct sticps_stats **out,
                                  struct sticps_error *err)
{
    enum sticps_err code = client_check(client, err);
    if (code != STICPS_OK)
        return code;
    size_t room = deliverer_peers(client->deliverer, NULL, 0) + 16; /* some may come meanwhile */
    struct sticps_stats *stats = calloc(1, sizeof(*stats) + room * sizeof(*stats->cps));
    if (stats == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    size_t len = deliverer_peers(client->deliverer, stats->cps, room);
    stats->cps_len = len < room ? len : room;
    read_latency(deliverer_latency(client->deliverer), stats);
    struct fetch_counts counts = fetcher_counts(client->fetcher);
    stats->figures[STICPS_STAT_DELIVERIES_UNDER_WAY] = sticps_deliveries_under_way(client);
    stats->figures[STICPS_STAT_REQUESTS_CONNECTED] = counts.connected;
    stats->figures[STICPS_STAT_REQUESTS_RESUMED] = counts.resumed;
    stats->figures[STICPS_STAT_REQUESTS_REUSED] = counts.reused;
    stats->figures[STICPS_STAT_X5U_HITS] = x5u_cache_hits(client->x5u);
    if (client->enumeration != NULL)
        stats->figures[STICPS_STAT_ENUM_HITS] = enum_source_hits(client->enumeration);
    *out = stats;
    return STICPS_OK;
}

void sticps_stats_free(struct sticps_stats *stats)
{
    free(stats);
}

uint64_t sticps_stats_figure(const struct sticps_stats *stats, enum sticps_stat which)
{
    return (unsigned)which < STICPS_STAT_COUNT ? stats->figures[which] : 0;
}

uint64_t sticps_stats_deliveries_within(const struct sticps_stats *stats, unsigned ms)
{
    size_t bucket = latency_bucket(ms);
    if (bucket == LATENCY_BUCKETS || ms != 1u << bucket) /* between two: the smaller */
        bucket--;
    return ms == 0 ? 0 : stats->within[bucket];
}

size_t sticps_stats_cps_count(const struct sticps_stats *stats)
{
    return stats->cps_len;
}

const char *sticps_stats_cps_name(const struct sticps_stats *stats, size_t index)
{
    return stats->cps[index].name;
}

unsigned sticps_stats_cps_under_way(const struct sticps_stats *stats, size_t index)
{
    return stats->cps[index].under_way;
}

unsigned sticps_stats_cps_waiting(const struct sticps_stats *stats, size_t index)
{
    return stats->cps[index].waiting;
}

unsigned sticps_stats_cps_failures(const struct sticps_stats *stats, size_t index)
{
    return stats->cps[index].failures;
}

uint64_t sticps_stats_cps_paused_ms(const struct sticps_stats *stats, size_t index)
{
    return stats->cps[index].paused_ms;
}
