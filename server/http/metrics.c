#include "server/http/metrics.h"

#include "server/http/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct metrics {
    FILE *out;
    char *text;
    size_t len;
    const char *family;
};

/* ---- the format ---- */

struct metrics *metrics_new(void)
{
    struct metrics *metrics = calloc(1, sizeof(*metrics));
    if (metrics == NULL || (metrics->out = open_memstream(&metrics->text, &metrics->len)) == NULL)
        abort();
    return metrics;
}

void metrics_family(struct metrics *metrics, const char *name, const char *type, const char *help)
{
    metrics->family = name;
    fprintf(metrics->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            fputs("\\n", out);
        else if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
}

static void write_sample(struct metrics *metrics, const char *suffix,
                         const struct metrics_label *labels, size_t len, double value)
{
    FILE *out = metrics->out;
    fprintf(out, "%s%s", metrics->family, suffix);
    for (size_t i = 0; i < len; i++) {
        fprintf(out, "%c%s=\"", i == 0 ? '{' : ',', labels[i].name);
        write_escaped(out, labels[i].value);
        fputc('"', out);
    }
    /* 15 digits: counters stay whole, and 0.0025 does not become 0.0025000000000000001 */
    fprintf(out, "%s %.15g\n", len > 0 ? "}" : "", value);
}

void metrics_sample(struct metrics *metrics, const struct metrics_label *labels, size_t len,
                    double value)
{
    write_sample(metrics, "", labels, len, value);
}

void metrics_gauge(struct metrics *metrics, const char *name, const char *help, double value)
{
    metrics_family(metrics, name, "gauge", help);
    write_sample(metrics, "", NULL, 0, value);
}

void metrics_counter(struct metrics *metrics, const char *name, const char *help, uint64_t value)
{
    metrics_family(metrics, name, "counter", help);
    write_sample(metrics, "", NULL, 0, (double)value);
}

void metrics_histogram(struct metrics *metrics, const char *name, const char *help,
                       const struct metrics_bucket *buckets, size_t len, uint64_t count, double sum)
{
    char bound[32];
    metrics_family(metrics, name, "histogram", help);
    for (size_t i = 0; i < len; i++) {
        snprintf(bound, sizeof(bound), "%.15g", buckets[i].bound);
        write_sample(metrics, "_bucket", METRICS_LABELS({"le", bound}), (double)buckets[i].within);
    }
    write_sample(metrics, "_bucket", METRICS_LABELS({"le", "+Inf"}), (double)count);
    write_sample(metrics, "_sum", NULL, 0, sum);
    write_sample(metrics, "_count", NULL, 0, (double)count);
}

char *metrics_text(struct metrics *metrics)
{
    if (fclose(metrics->out) != 0)
        abort();
    char *text = metrics->text;
    free(metrics);
    return text;
}

void metrics_reply(struct metrics *metrics, struct request *request)
{
    char *text = metrics_text(metrics);
    reply_bytes(request, 200, "text/plain; version=0.0.4; charset=utf-8", text, strlen(text));
    free(text);
}

/* ---- requests ---- */

/* One row of the numbers: a route of a listener, or all that met no route. */
struct row {
    const char *listener, *method, *route;
    struct route_totals totals;
};

static void sum_row(const struct server *server, const struct listener *listener, size_t index,
                    struct row *out)
{
    const struct route *route = index < listener->routes_len ? &listener->routes[index] : NULL;
    *out = (struct row){.listener = listener->name,
                        .method = route != NULL ? route->method : "other",
                        .route = route != NULL ? route->path : "other"};
    for (size_t i = 0; i < server->threads_len; i++)
        route_totals_add(&out->totals, &server->threads[i].stats[listener->stats_first + index]);
}

/* Of the listeners that count together only the first is shown. */
static bool shown_before(const struct server *server, const struct listener *listener)
{
    const struct listener *each = server->listeners;
    while (each != listener && each->stats_first != listener->stats_first)
        each = each->next;
    return each != listener;
}

static void for_each_row(struct metrics *metrics, const struct server *server,
                         void (*show)(struct metrics *, const struct row *))
{
    for (const struct listener *each = server->listeners; each != NULL; each = each->next) {
        if (shown_before(server, each))
            continue;
        for (size_t i = 0; i <= each->routes_len; i++) {
            struct row row;
            sum_row(server, each, i, &row);
            show(metrics, &row);
        }
    }
}

static void show_classes(struct metrics *metrics, const struct row *row)
{
    static const char *const names[ROUTE_STATS_CLASSES] = {"other", "1xx", "2xx",
                                                           "3xx",   "4xx", "5xx"};
    for (size_t i = 0; i < ROUTE_STATS_CLASSES; i++)
        if (row->totals.classes[i] > 0)
            metrics_sample(metrics,
                           METRICS_LABELS({"listener", row->listener}, {"method", row->method},
                                          {"route", row->route}, {"class", names[i]}),
                           (double)row->totals.classes[i]);
}

/* A route that was never asked has no histogram: seventeen lines of nothing for each. */
static void show_durations(struct metrics *metrics, const struct row *row)
{
    struct metrics_label labels[] = {
        {"listener", row->listener}, {"method", row->method}, {"route", row->route}, {"le", NULL}};
    uint64_t count = 0;
    for (size_t i = 0; i < ROUTE_STATS_BUCKETS; i++)
        count += row->totals.buckets[i];
    if (count == 0)
        return;
    count = 0;
    for (size_t i = 0; i < ROUTE_STATS_BUCKETS; i++) {
        char bound[32] = "+Inf";
        if (i < ROUTE_STATS_BUCKETS - 1)
            snprintf(bound, sizeof(bound), "%.15g", (double)route_stats_bounds[i] / 1e6);
        labels[3].value = bound;
        count += row->totals.buckets[i];
        write_sample(metrics, "_bucket", labels, 4, (double)count);
    }
    write_sample(metrics, "_sum", labels, 3, (double)row->totals.sum_us / 1e6);
    write_sample(metrics, "_count", labels, 3, (double)count);
}

void metrics_server(struct metrics *metrics, const struct server *server)
{
    struct server_counters counters;
    server_counters_read(server, &counters);
    metrics_family(metrics, "sticps_http_requests_total", "counter",
                   "Requests answered, by route and class of status.");
    for_each_row(metrics, server, show_classes);
    metrics_family(metrics, "sticps_http_request_duration_seconds", "histogram",
                   "Time from a request's last byte to its answer's, by route.");
    for_each_row(metrics, server, show_durations);
    metrics_gauge(metrics, "sticps_connections_open", "Open connections.",
                  (double)counters.connections_open);
    metrics_counter(metrics, "sticps_connections_accepted_total", "Connections accepted.",
                    counters.connections_accepted);
    metrics_counter(metrics, "sticps_connections_refused_total",
                    "Connections closed at once because of a limit.", counters.connections_refused);
    metrics_counter(metrics, "sticps_requests_limited_total",
                    "Requests answered 429, over the rate of their address.",
                    counters.requests_limited);
}

/* ---- certificates ---- */

void metrics_days_left(struct metrics *metrics, const char *certificate, int64_t not_after,
                       int64_t now)
{
    metrics_sample(metrics, METRICS_LABELS({"certificate", certificate}),
                   (double)(not_after - now) / 86400);
}

static bool named_before(const struct server *server, const struct listener *listener)
{
    const struct listener *each = server->listeners;
    while (each != listener && strcmp(each->name, listener->name) != 0)
        each = each->next;
    return each != listener;
}

void metrics_certificates(struct metrics *metrics, const struct server *server, int64_t now)
{
    metrics_family(metrics, "sticps_certificate_days_left", "gauge",
                   "Days until a certificate in use expires; negative when it has.");
    for (const struct listener *each = server->listeners; each != NULL; each = each->next) {
        int64_t not_after;
        char name[64];
        if (named_before(server, each) || !listener_tls_not_after(each, &not_after))
            continue;
        snprintf(name, sizeof(name), "tls-%s", each->name);
        metrics_days_left(metrics, name, not_after, now);
    }
}
