/* What a thread counts of the requests of one route: answers by class of status, and how long they
 * took. Written by the thread, summed over the threads by metrics. */
#ifndef SERVER_HTTP_ROUTE_STATS_H
#define SERVER_HTTP_ROUTE_STATS_H

#include "server/http/counter.h"

#include <stddef.h>
#include <stdint.h>

#define ROUTE_STATS_CLASSES 6  /* [2] is 2xx; [0] is what fits no class */
#define ROUTE_STATS_BUCKETS 14 /* the last one is +Inf */

struct route_stats {
    counter classes[ROUTE_STATS_CLASSES];
    counter buckets[ROUTE_STATS_BUCKETS]; /* each without those below it */
    counter sum_us;
};

/* Upper bounds of the buckets but the last, in microseconds, inclusive. */
extern const uint64_t route_stats_bounds[ROUTE_STATS_BUCKETS - 1];

/* `took_us` is negative when it is not known. */
void route_stats_count(struct route_stats *stats, int status, int64_t took_us);

/* Plain numbers, for the sum. */
struct route_totals {
    uint64_t classes[ROUTE_STATS_CLASSES];
    uint64_t buckets[ROUTE_STATS_BUCKETS];
    uint64_t sum_us;
};
void route_totals_add(struct route_totals *totals, const struct route_stats *stats);

#endif
