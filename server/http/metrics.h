/* A page of metrics in the Prometheus text format 0.0.4, written at each scrape from numbers that
 * the threads have counted for themselves (counter.h). What every server has (requests,
 * connections, certificates) is written here; the daemons add their own families.
 *
 * A family is opened once; its samples follow before the next is opened. Names, types and label
 * names are the caller's to get right; label values may be anything and are escaped. */
#ifndef SERVER_HTTP_METRICS_H
#define SERVER_HTTP_METRICS_H

#include <stddef.h>
#include <stdint.h>

struct metrics;
struct request;
struct server;

struct metrics_label {
    const char *name, *value;
};
#define METRICS_LABELS(...)                      \
    (const struct metrics_label[]){__VA_ARGS__}, \
        sizeof((const struct metrics_label[]){__VA_ARGS__}) / sizeof(struct metrics_label)

/* Never NULL. Ended by metrics_reply or metrics_text. */
struct metrics *metrics_new(void);

/* The lines HELP and TYPE. `type`: "counter", "gauge" or "histogram". `name` is borrowed until the
 * next family. */
void metrics_family(struct metrics *metrics, const char *name, const char *type, const char *help);
/* A sample of the open family. */
void metrics_sample(struct metrics *metrics, const struct metrics_label *labels, size_t len,
                    double value);
/* A family of one sample without labels. */
void metrics_gauge(struct metrics *metrics, const char *name, const char *help, double value);
void metrics_counter(struct metrics *metrics, const char *name, const char *help, uint64_t value);

/* A family of one histogram without labels: `count` observations that add up to `sum`, and how many
 * of them were at most each `bound`, which rise. */
struct metrics_bucket {
    double bound;
    uint64_t within;
};
void metrics_histogram(struct metrics *metrics, const char *name, const char *help,
                       const struct metrics_bucket *buckets, size_t len, uint64_t count,
                       double sum);

/* The server's own families, the threads summed: requests by listener, route and class of status,
 * their durations, connections, requests over a rate. */
void metrics_server(struct metrics *metrics, const struct server *server);
/* Opens the family sticps_certificate_days_left with the TLS certificate of each listener; the
 * caller may add its own samples with metrics_days_left. `now` in Unix seconds. */
void metrics_certificates(struct metrics *metrics, const struct server *server, int64_t now);
void metrics_days_left(struct metrics *metrics, const char *certificate, int64_t not_after,
                       int64_t now);

/* Answers with the page, which is gone then. */
void metrics_reply(struct metrics *metrics, struct request *request);
/* The page itself, for tests; the caller frees it. */
char *metrics_text(struct metrics *metrics);

#endif
