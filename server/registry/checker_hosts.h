/* What the checker knows and has to do: a table of hosts with their last results, a queue of those
 * that wait for a turn, those that are with the process now, and who waits for each. checker.c's
 * own part: every call under its lock, times in monotonic ms. */
#ifndef REGISTRY_CHECKER_HOSTS_H
#define REGISTRY_CHECKER_HOSTS_H

#include "common/cps_check.h"
#include "server/http/counter.h"
#include "server/registry/checker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct checker_host;

/* Somebody who waits for a host's result; malloc'd, freed once told. */
struct checker_wait {
    struct checker_wait *next;
    struct server_thread *home; /* held */
    checker_fn *done;
    void *arg;
    struct checker_result result;
};

/* Zeroed, then checker_hosts_init. */
struct checker_hosts {
    struct checker_host *table;        /* by origin */
    struct checker_host *first, **end; /* waiting, in turn */
    size_t waiting;
    struct checker_host *running[CPS_CHECK_MAX_RUNNING];
    size_t running_len;
    uint64_t last_id;
    counter checks[CHECKER_VERDICTS]; /* that have ended, by verdict; for metrics */
};

void checker_hosts_init(struct checker_hosts *hosts);
void checker_hosts_clear(struct checker_hosts *hosts);

/* Tells `wait` a result that is known, or that there is too much to do; else lets it wait. Takes it
 * over. */
void checker_hosts_ask(struct checker_hosts *hosts, struct checker_wait *wait, const char *url,
                       unsigned timeout_ms, uint64_t now);
/* "not checked", and why. Takes `wait` over. */
void checker_tell_unknown(struct checker_wait *wait, const char *why);

/* The order to send next, without sending it: false when nothing waits or enough is running. Once
 * it was sent, checker_hosts_sent moves it on. */
bool checker_hosts_next(const struct checker_hosts *hosts, struct cps_check_order *out);
void checker_hosts_sent(struct checker_hosts *hosts, uint64_t now);
/* A result for the order of that id; none of ours is passed over. */
void checker_hosts_report(struct checker_hosts *hosts, uint64_t id,
                          const struct checker_result *result, uint64_t now);

/* Ends the waits that have taken too long. */
void checker_hosts_end_overdue(struct checker_hosts *hosts, uint64_t now);
/* Ends all that wait for a turn, or all that run. */
void checker_hosts_end_waiting(struct checker_hosts *hosts, const char *why, uint64_t now);
void checker_hosts_end_running(struct checker_hosts *hosts, const char *why, uint64_t now);
/* Has the process not reported in time? */
bool checker_hosts_late(const struct checker_hosts *hosts, uint64_t now);

#endif
