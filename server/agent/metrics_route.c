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
    metrics_server(metrics, thread->agent->server);
    metrics_reply(metrics, request);
}
