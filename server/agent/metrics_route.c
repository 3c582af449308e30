/* GET /metrics: the server's figures, and what happened in the client. */
#include "server/agent/agent.h"
#include "server/agent/engine.h"
#include "server/http/metrics.h"
#include "server/http/request.h"

#include <sticps/sticps.h>

/* A code that never happened has no sample: thirty for each event otherwise. */
static void write_events(struct metrics *metrics, const struct engine *engine)
{
    metrics_family(metrics, "sticps_agent_events_total", "counter",
                   "Lists, certificates and deliveries that ended, and CPSs paused, by outcome.");
    for (int event = 0; event < STICPS_EVENT_COUNT; event++)
        for (int code = 0; code < STICPS_ERR_COUNT; code++) {
            uint64_t count = engine_events(engine, (enum sticps_event)event, (enum sticps_err)code);
            if (count > 0 || code == STICPS_OK)
                metrics_sample(
                    metrics,
                    METRICS_LABELS({"event", sticps_event_name((enum sticps_event)event)},
                                   {"code", sticps_err_name((enum sticps_err)code)}),
                    (double)count);
        }
}

static void write_list(struct metrics *metrics, struct sticps_client *client, int64_t now)
{
    struct sticps_list *list = sticps_list_held(client, STICPS_LIST_CPS);
    if (list == NULL)
        return;
    metrics_gauge(metrics, "sticps_agent_list_sequence", "Of the held list.",
                  (double)sticps_list_sequence(list));
    metrics_gauge(metrics, "sticps_agent_list_entries", "Of the held list.",
                  (double)sticps_list_count(list));
    metrics_gauge(metrics, "sticps_agent_list_left_seconds",
                  "Until the held list expires; negative when it has.",
                  (double)(sticps_list_exp(list) - now));
    metrics_gauge(metrics, "sticps_agent_list_age_seconds", "Since the held list was fetched.",
                  (double)(now - sticps_list_fetched_at(list)));
    sticps_list_unref(list);
}

#define DURATIONS 14 /* 4 ms to 32.8 s */

static void write_durations(struct metrics *metrics, const struct sticps_stats *stats)
{
    struct metrics_bucket buckets[DURATIONS];
    for (unsigned i = 0; i < DURATIONS; i++) {
        unsigned ms = 4u << i;
        buckets[i] =
            (struct metrics_bucket){ms / 1000.0, sticps_stats_deliveries_within(stats, ms)};
    }
    metrics_histogram(metrics, "sticps_agent_delivery_duration_seconds",
                      "From a delivery's acceptance to its end.", buckets, DURATIONS,
                      sticps_stats_figure(stats, STICPS_STAT_DELIVERIES_ENDED),
                      (double)sticps_stats_figure(stats, STICPS_STAT_DELIVERIES_MS) / 1000);
}

/* Since the last reload: the client is another then. */
static void write_stats(struct metrics *metrics, struct sticps_client *client)
{
    static const struct {
        const char *connection;
        enum sticps_stat figure;
    } rows[] = {
        {"new", STICPS_STAT_REQUESTS_CONNECTED},
        {"resumed", STICPS_STAT_REQUESTS_RESUMED},
        {"kept", STICPS_STAT_REQUESTS_REUSED},
    };
    struct sticps_stats *stats = NULL;
    if (sticps_stats_take(client, &stats, NULL) != STICPS_OK)
        return;
    write_durations(metrics, stats);
    metrics_family(metrics, "sticps_agent_requests_total", "counter",
                   "HTTP requests by the connection they went out on; resumed ones are new, too.");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        metrics_sample(metrics, METRICS_LABELS({"connection", rows[i].connection}),
                       (double)sticps_stats_figure(stats, rows[i].figure));
    unsigned paused = 0, waiting = 0;
    for (size_t i = 0; i < sticps_stats_cps_count(stats); i++) {
        paused += sticps_stats_cps_paused_ms(stats, i) > 0;
        waiting += sticps_stats_cps_waiting(stats, i);
    }
    metrics_gauge(metrics, "sticps_agent_cps_paused", "CPSs that are left in peace for a while.",
                  paused);
    metrics_gauge(metrics, "sticps_agent_deliveries_waiting",
                  "Deliveries that wait for a connection to their CPS.", waiting);
    sticps_stats_free(stats);
}

void metrics_get(struct request *request)
{
    const struct agent_thread *thread = request_state(request);
    struct sticps_client *client = engine_client(thread->engine);
    struct metrics *metrics = metrics_new();
    write_events(metrics, thread->engine);
    write_list(metrics, client, clock_now(&thread->agent->clock));
    metrics_gauge(metrics, "sticps_agent_deliveries_under_way",
                  "Deliveries that were queued and have not ended.",
                  (double)sticps_deliveries_under_way(client));
    write_stats(metrics, client);
    metrics_server(metrics, thread->agent->server);
    metrics_reply(metrics, request);
}
