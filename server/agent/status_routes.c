/* How the agent is: alive (GET /health), of use (GET /ready), and in detail (GET /v1/status). */
#include "client/report/report.h"
#include "server/agent/agent.h"
#include "server/agent/engine.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/http/server.h"

#include <sticps/sticps.h>

void health_get(struct request *request)
{
    static const char healthy[] = "{\"status\":\"success\"}";
    reply_json_text(request, 200, healthy, sizeof(healthy) - 1);
}

/* Whether the held list answers: within its exp, or the grace behind it. */
static const char *freshness(const struct engine *engine, const struct sticps_list *list,
                             int64_t now)
{
    enum sticps_freshness is = STICPS_NONE;
    if (list != NULL && now < sticps_list_exp(list))
        is = STICPS_FRESH;
    else if (list != NULL)
        is = now < sticps_list_exp(list) + engine_config(engine)->list.grace ? STICPS_STALE
                                                                             : STICPS_EXPIRED;
    return sticps_freshness_name(is);
}

void ready_get(struct request *request)
{
    const struct agent_thread *thread = request_state(request);
    const struct agent *agent = thread->agent;
    struct sticps_list *list = sticps_list_held(engine_client(thread->engine), STICPS_LIST_CPS);
    int64_t now = clock_now(&agent->clock);
    json_t *reasons = json_array();
    if (list == NULL)
        json_array_append_new(reasons, json_string("no list is held"));
    else if (now >= sticps_list_exp(list) + engine_config(thread->engine)->list.grace)
        json_array_append_new(reasons, json_string("the held list has expired"));
    if (engine_config(thread->engine)->npdb.count == 0)
        json_array_append_new(reasons, json_string("no portability file is configured"));
    if (server_stopping(agent->server))
        json_array_append_new(reasons, json_string("shutting down"));
    bool ready = json_array_size(reasons) == 0;
    if (!ready)
        reply_header(request, "retry-after", "1");
    reply_json(request, ready ? 200 : 503,
               json_pack("{s:s, s:s, s:I, s:o}", "status", ready ? "success" : "unavailable",
                         "freshness", freshness(thread->engine, list, now), "sequence",
                         (json_int_t)(list != NULL ? sticps_list_sequence(list) : 0), "reasons",
                         reasons));
    sticps_list_unref(list);
}

static json_t *list_json(const struct engine *engine, int64_t now)
{
    char fetched[21];
    struct sticps_list *list = sticps_list_held(engine_client(engine), STICPS_LIST_CPS);
    if (list == NULL)
        return json_null();
    clock_format(sticps_list_fetched_at(list), fetched);
    json_t *value =
        json_pack("{s:I, s:I, s:s, s:I, s:I, s:s, s:s, s:s}", "sequence",
                  (json_int_t)sticps_list_sequence(list), "exp", (json_int_t)sticps_list_exp(list),
                  "freshness", freshness(engine, list, now), "age",
                  (json_int_t)(now - sticps_list_fetched_at(list)), "entries",
                  (json_int_t)sticps_list_count(list), "sha256", sticps_list_sha256(list), "source",
                  sticps_list_source(list), "fetchedAt", fetched);
    sticps_list_unref(list);
    return value;
}

static json_t *texts_json(const struct agent_strings *texts)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < texts->count; i++)
        json_array_append_new(array, report_text(texts->items[i]));
    return array;
}

static json_t *sources_json(const struct agent_list *list)
{
    json_t *sources = texts_json(&list->urls), *files = texts_json(&list->files);
    json_array_extend(sources, files);
    json_decref(files);
    return sources;
}

static json_t *refresh_json(struct engine *engine)
{
    struct engine_refresh refresh;
    char at[21];
    engine_refresh_read(engine, &refresh);
    if (refresh.at == 0)
        return json_null();
    clock_format(refresh.at, at);
    return json_pack("{s:s, s:s, s:o, s:o}", "at", at, "code", sticps_err_name(refresh.code),
                     "where", report_text(refresh.where), "detail", report_text(refresh.text));
}

/* Those there is something to say of. */
static json_t *cps_json(struct sticps_client *client)
{
    struct sticps_stats *stats = NULL;
    json_t *array = json_array();
    if (sticps_stats_take(client, &stats, NULL) != STICPS_OK)
        return array;
    for (size_t i = 0; i < sticps_stats_cps_count(stats); i++)
        json_array_append_new(array,
                              json_pack("{s:o, s:i, s:i, s:i, s:I}", "name",
                                        report_text(sticps_stats_cps_name(stats, i)), "underWay",
                                        (int)sticps_stats_cps_under_way(stats, i), "waiting",
                                        (int)sticps_stats_cps_waiting(stats, i), "failures",
                                        (int)sticps_stats_cps_failures(stats, i), "pausedMs",
                                        (json_int_t)sticps_stats_cps_paused_ms(stats, i)));
    sticps_stats_free(stats);
    return array;
}

void status_get(struct request *request)
{
    const struct agent_thread *thread = request_state(request);
    struct engine *engine = thread->engine;
    const struct agent_config *config = engine_config(engine);
    unsigned under_way = sticps_deliveries_under_way(engine_client(engine));
    reply_json(request, 200,
               json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:{s:i, s:i}}", "status", "success",
                         "version", sticps_version(), "list",
                         list_json(engine, clock_now(&thread->agent->clock)), "sources",
                         sources_json(&config->list), "refresh", refresh_json(engine), "npdb",
                         texts_json(&config->npdb), "cps", cps_json(engine_client(engine)),
                         "deliveries", "underWay", (int)under_way, "limit",
                         (int)config->delivery.queue));
}
