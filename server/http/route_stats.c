#include "server/http/route_stats.h"

const uint64_t route_stats_bounds[ROUTE_STATS_BUCKETS - 1] = {
    250,    1000,   2500,    5000,    10000,   25000,   50000,
    100000, 250000, 1000000, 2500000, 5000000, 30000000};

void route_stats_count(struct route_stats *stats, int status, int64_t took_us)
{
    int class = status / 100;
    size_t bucket = 0;

    counter_add(&stats->classes[class >= 1 && class < ROUTE_STATS_CLASSES ? class : 0], 1);
    if (took_us < 0)
        return;
    while (bucket < ROUTE_STATS_BUCKETS - 1 && (uint64_t)took_us > route_stats_bounds[bucket])
        bucket++;
    counter_add(&stats->buckets[bucket], 1);
    counter_add(&stats->sum_us, (uint64_t)took_us);
}

void route_totals_add(struct route_totals *totals, const struct route_stats *stats)
{
    for (size_t i = 0; i < ROUTE_STATS_CLASSES; i++)
        totals->classes[i] += counter_read(&stats->classes[i]);
    for (size_t i = 0; i < ROUTE_STATS_BUCKETS; i++)
        totals->buckets[i] += counter_read(&stats->buckets[i]);
    totals->sum_us += counter_read(&stats->sum_us);
}
