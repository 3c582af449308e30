/* A snapshot of what a client is doing and has done, for the host's metrics, beside the counts of
 * events.h. Taking one costs an allocation and a look at each CPS that there is something to say
 * of; the calls that place or resolve nothing else. */
#ifndef STICPS_STATS_H
#define STICPS_STATS_H

#include <sticps/client.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sticps_stats;

/* Of this moment; the caller owns *out (sticps_stats_free). Any thread. STICPS_ERR_NO_MEMORY. */
STICPS_EXPORT enum sticps_err sticps_stats_take(struct sticps_client *client,
                                                struct sticps_stats **out,
                                                struct sticps_error *err) STICPS_MUST_CHECK;
STICPS_EXPORT void sticps_stats_free(struct sticps_stats *stats); /* accepts NULL */

/* New ones are added before STICPS_STAT_COUNT; numbers never change their meaning. */
enum sticps_stat {
    STICPS_STAT_DELIVERIES_UNDER_WAY, /* queued, and not ended */
    STICPS_STAT_DELIVERIES_ENDED,     /* since the client was made, as those below */
    STICPS_STAT_DELIVERIES_MS,        /* their durations added up, from the call to the callback */
    STICPS_STAT_REQUESTS_CONNECTED,   /* HTTP requests of any kind on a new connection */
    STICPS_STAT_REQUESTS_RESUMED,     /* of these, with an earlier TLS session */
    STICPS_STAT_REQUESTS_REUSED,      /* on a connection that was kept */
    STICPS_STAT_X5U_HITS,             /* certificates that came from the cache */
    STICPS_STAT_ENUM_HITS,            /* numbers that ENUM was not asked about again */
    STICPS_STAT_COUNT
};

/* 0 for what this version does not know. */
STICPS_EXPORT uint64_t sticps_stats_figure(const struct sticps_stats *stats,
                                           enum sticps_stat which);

/* How many deliveries took at most `ms` milliseconds, from the call to the callback, for a power of
 * two up to 32,768; for any other number, those of the next smaller one. */
STICPS_EXPORT uint64_t sticps_stats_deliveries_within(const struct sticps_stats *stats,
                                                      unsigned ms);

/* The CPSs that a request is under way to, or that have not answered well since they last failed,
 * in no order. `name` is host:port; borrowed from the snapshot. Each accepts an index below the
 * count. */
STICPS_EXPORT size_t sticps_stats_cps_count(const struct sticps_stats *stats);
STICPS_EXPORT const char *sticps_stats_cps_name(const struct sticps_stats *stats, size_t index);
STICPS_EXPORT unsigned sticps_stats_cps_under_way(const struct sticps_stats *stats, size_t index);
/* Deliveries that wait for one of its connections. */
STICPS_EXPORT unsigned sticps_stats_cps_waiting(const struct sticps_stats *stats, size_t index);
/* In a row, without an answer in between. */
STICPS_EXPORT unsigned sticps_stats_cps_failures(const struct sticps_stats *stats, size_t index);
/* For how much longer it is not asked, in milliseconds; 0: it is. */
STICPS_EXPORT uint64_t sticps_stats_cps_paused_ms(const struct sticps_stats *stats, size_t index);

#ifdef __cplusplus
}
#endif
#endif
