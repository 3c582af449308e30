#include "server/registry/status_routes.h"

#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/http/server.h"
#include "server/http/worker.h"
#include "server/registry/daemon.h"
#include "server/registry/published_list.h"
#include "server/registry/publisher.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void status_health(struct request *request)
{
    reply_json(request, 200, json_pack("{s:s}", "status", "success"));
}

static void add_reason(json_t *reasons, const char *what, const char *detail)
{
    json_array_append_new(reasons, detail != NULL ? json_sprintf("%s: %s", what, detail)
                                                  : json_string(what));
}

void status_ready(struct request *request)
{
    struct node *node = node_of(request);
    const struct daemon *daemon = node->daemon;
    struct publisher_status status;
    json_t *reasons = json_array();

    publisher_status(daemon->publisher, &status);
    if (!status.database)
        add_reason(reasons, "database", status.database_trouble);
    if (status.publishing_trouble[0] != '\0')
        add_reason(reasons, "publishing", status.publishing_trouble);
    if (node->list == NULL)
        add_reason(reasons, "no list has been loaded", NULL);
    else if (node->list->exp <= clock_now(daemon->clock))
        add_reason(reasons, "the list has expired", NULL);
    if (server_stopping(daemon->server))
        add_reason(reasons, "shutting down", NULL);

    bool ready = json_array_size(reasons) == 0;
    if (!ready)
        reply_header(request, "retry-after", "1");
    reply_json(request, ready ? 200 : 503,
               json_pack("{s:s, s:I, s:o}", "status", ready ? "success" : "unavailable", "sequence",
                         (json_int_t)(node->list != NULL ? node->list->sequence : 0), "reasons",
                         reasons));
}

struct metric {
    const char *name, *type, *help;
    double value;
};

void status_metrics(struct request *request)
{
    struct node *node = node_of(request);
    const struct daemon *daemon = node->daemon;
    struct publisher_status status;
    struct server_counters counters;
    char *text = NULL;
    size_t len = 0;

    publisher_status(daemon->publisher, &status);
    server_counters_read(daemon->server, &counters);
    const struct published_list *list = node->list;
    const struct metric metrics[] = {
        {"database_up", "gauge", "1 when the database was reached at the last look",
         status.database},
        {"publisher_leader", "gauge", "1 on the node that publishes", status.leader},
        {"publishing_failed", "gauge", "1 while a list that is due cannot be published",
         status.publishing_trouble[0] != '\0'},
        {"list_sequence", "gauge", "sequence of the list that is served",
         list != NULL ? (double)list->sequence : 0},
        {"list_expires_timestamp_seconds", "gauge", "exp of the list that is served",
         list != NULL ? (double)list->exp : 0},
        {"list_entries", "gauge", "entries of the newest list", (double)status.entries},
        {"connections_open", "gauge", "open connections", (double)counters.connections_open},
        {"connections_accepted_total", "counter", "accepted connections",
         (double)counters.connections_accepted},
        {"connections_refused_total", "counter", "connections over a limit",
         (double)counters.connections_refused},
        {"requests_total", "counter", "answered requests", (double)counters.requests},
        {"workers_load", "gauge", "passwords waiting or being hashed",
         (double)worker_pool_load(daemon->workers)},
    };
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        abort();
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
        fprintf(out, "# HELP sticps_%s %s\n# TYPE sticps_%s %s\nsticps_%s %.0f\n", metrics[i].name,
                metrics[i].help, metrics[i].name, metrics[i].type, metrics[i].name,
                metrics[i].value);
    fprintf(out, "# HELP sticps_responses_total answers by class of status\n"
                 "# TYPE sticps_responses_total counter\n");
    for (int i = 1; i < 6; i++)
        fprintf(out, "sticps_responses_total{class=\"%dxx\"} %" PRIu64 "\n", i,
                counters.responses[i]);
    fclose(out);
    reply_bytes(request, 200, "text/plain; version=0.0.4; charset=utf-8", text, len);
    free(text);
}
