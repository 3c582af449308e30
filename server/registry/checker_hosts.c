#include "server/registry/checker_hosts.h"

#include "server/http/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define MAX_HOSTS 4096
#define MAX_WAITING 1024
#define MAX_WAIT_MS 10000 /* for a turn */
#define KEEP_GOOD_MS 60000
#define KEEP_BAD_MS 5000
#define REPORT_GRACE_MS 1000 /* beyond the deadline of the check itself */

enum state { KNOWN, WAITING, RUNNING };

struct checker_host {
    char *origin; /* "https://host" or "https://host:port" */
    enum state state;
    uint64_t id;       /* of the order, while RUNNING */
    uint64_t deadline; /* KNOWN: the result is good until then; else it must be there by then */
    unsigned timeout_ms;
    struct checker_wait *waits;
    struct checker_host *next; /* while WAITING */
    struct checker_result result;
    UT_hash_handle hh;
};

/* ---- telling ---- */

static void deliver(void *arg)
{
    struct checker_wait *wait = arg;

    server_thread_release(wait->home);
    wait->done(wait->arg, &wait->result);
    free(wait);
}

static void tell(struct checker_wait *wait, const struct checker_result *result)
{
    wait->result = *result;
    if (!server_post(wait->home, deliver, wait))
        free(wait); /* the server never ran to its end */
}

static struct checker_result unknown(const char *why)
{
    struct checker_result result = {.verdict = CHECKER_UNKNOWN};

    snprintf(result.detail, sizeof(result.detail), "not checked: %s", why);
    return result;
}

void checker_tell_unknown(struct checker_wait *wait, const char *why)
{
    const struct checker_result result = unknown(why);

    tell(wait, &result);
}

static void conclude(struct checker_hosts *hosts, struct checker_host *host,
                     const struct checker_result *result, uint64_t now)
{
    struct checker_wait *wait = host->waits;

    counter_add(&hosts->checks[result->verdict], 1);
    host->state = KNOWN;
    host->result = *result;
    host->waits = NULL;
    host->deadline = now;
    if (result->verdict != CHECKER_UNKNOWN)
        host->deadline += result->verdict == CHECKER_GOOD ? KEEP_GOOD_MS : KEEP_BAD_MS;
    while (wait != NULL) {
        struct checker_wait *next = wait->next;

        tell(wait, result);
        wait = next;
    }
}

static void conclude_unknown(struct checker_hosts *hosts, struct checker_host *host,
                             const char *why, uint64_t now)
{
    const struct checker_result result = unknown(why);

    conclude(hosts, host, &result, now);
}

/* ---- the table ---- */

void checker_hosts_init(struct checker_hosts *hosts)
{
    hosts->end = &hosts->first;
}

static void drop(struct checker_hosts *hosts, struct checker_host *host)
{
    HASH_DEL(hosts->table, host);
    while (host->waits != NULL) {
        struct checker_wait *wait = host->waits;

        host->waits = wait->next;
        free(wait);
    }
    free(host->origin);
    free(host);
}

void checker_hosts_clear(struct checker_hosts *hosts)
{
    struct checker_host *host, *next;

    HASH_ITER(hh, hosts->table, host, next)
    {
        drop(hosts, host);
    }
}

static void drop_old(struct checker_hosts *hosts, uint64_t now)
{
    struct checker_host *host, *next;

    HASH_ITER(hh, hosts->table, host, next)
    {
        if (host->state == KNOWN && now >= host->deadline)
            drop(hosts, host);
    }
}

/* NULL when the table is full of what is still good. */
static struct checker_host *find(struct checker_hosts *hosts, const char *url, uint64_t now)
{
    size_t len = checker_origin(url);
    struct checker_host *host;

    HASH_FIND(hh, hosts->table, url, len, host);
    if (host != NULL)
        return host;
    if (HASH_COUNT(hosts->table) >= MAX_HOSTS)
        drop_old(hosts, now);
    if (HASH_COUNT(hosts->table) >= MAX_HOSTS)
        return NULL;
    host = calloc(1, sizeof(*host));
    if (host == NULL || (host->origin = strndup(url, len)) == NULL)
        abort();
    HASH_ADD_KEYPTR(hh, hosts->table, host->origin, len, host);
    return host;
}

/* ---- the queue ---- */

static void enqueue(struct checker_hosts *hosts, struct checker_host *host, unsigned timeout_ms,
                    uint64_t now)
{
    host->state = WAITING;
    host->timeout_ms = timeout_ms;
    host->deadline = now + MAX_WAIT_MS;
    host->next = NULL;
    *hosts->end = host;
    hosts->end = &host->next;
    hosts->waiting++;
}

static struct checker_host *dequeue(struct checker_hosts *hosts)
{
    struct checker_host *host = hosts->first;

    hosts->first = host->next;
    if (hosts->first == NULL)
        hosts->end = &hosts->first;
    hosts->waiting--;
    return host;
}

void checker_hosts_ask(struct checker_hosts *hosts, struct checker_wait *wait, const char *url,
                       unsigned timeout_ms, uint64_t now)
{
    struct checker_host *host = find(hosts, url, now);

    if (host == NULL) {
        checker_tell_unknown(wait, "too many hosts are being checked; try again");
    } else if (host->state == KNOWN && now < host->deadline) {
        tell(wait, &host->result);
    } else if (host->state == KNOWN && hosts->waiting >= MAX_WAITING) {
        checker_tell_unknown(wait, "too many checks are under way; try again");
    } else {
        wait->next = host->waits;
        host->waits = wait;
        if (host->state == KNOWN)
            enqueue(hosts, host, timeout_ms, now);
    }
}

/* The queue is in the order of its deadlines. */
void checker_hosts_end_overdue(struct checker_hosts *hosts, uint64_t now)
{
    while (hosts->first != NULL && now >= hosts->first->deadline)
        conclude_unknown(hosts, dequeue(hosts), "too many checks are under way; try again", now);
}

void checker_hosts_end_waiting(struct checker_hosts *hosts, const char *why, uint64_t now)
{
    while (hosts->first != NULL)
        conclude_unknown(hosts, dequeue(hosts), why, now);
}

/* ---- what is with the process ---- */

bool checker_hosts_next(const struct checker_hosts *hosts, struct cps_check_order *out)
{
    if (hosts->first == NULL || hosts->running_len == CPS_CHECK_MAX_RUNNING)
        return false;
    *out =
        (struct cps_check_order){.id = hosts->last_id + 1, .timeout_ms = hosts->first->timeout_ms};
    snprintf(out->url, sizeof(out->url), "%s" CPS_CHECK_PATH, hosts->first->origin);
    return true;
}

void checker_hosts_sent(struct checker_hosts *hosts, uint64_t now)
{
    struct checker_host *host = dequeue(hosts);

    host->state = RUNNING;
    host->id = ++hosts->last_id;
    host->deadline = now + host->timeout_ms + REPORT_GRACE_MS;
    hosts->running[hosts->running_len++] = host;
}

void checker_hosts_report(struct checker_hosts *hosts, uint64_t id,
                          const struct checker_result *result, uint64_t now)
{
    for (size_t i = 0; i < hosts->running_len; i++) {
        struct checker_host *host = hosts->running[i];

        if (host->id != id)
            continue;
        hosts->running[i] = hosts->running[--hosts->running_len];
        conclude(hosts, host, result, now);
        return;
    }
}

void checker_hosts_end_running(struct checker_hosts *hosts, const char *why, uint64_t now)
{
    while (hosts->running_len > 0)
        conclude_unknown(hosts, hosts->running[--hosts->running_len], why, now);
}

bool checker_hosts_late(const struct checker_hosts *hosts, uint64_t now)
{
    for (size_t i = 0; i < hosts->running_len; i++)
        if (now >= hosts->running[i]->deadline)
            return true;
    return false;
}
