#include "server/registry/status_routes.h"

#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/http/server.h"
#include "server/registry/daemon.h"
#include "server/registry/list_board.h"
#include "server/registry/exporter.h"
#include "server/registry/published_list.h"
#include "server/registry/publisher.h"

void status_health(struct request *request)
{
    reply_json(request, 200, json_pack("{s:s}", "status", "success"));
}

static void add_reason(json_t *reasons, const char *what, const char *detail)
{
    json_array_append_new(reasons, detail != NULL ? json_sprintf("%s: %s", what, detail)
                                                  : json_string(what));
}

/* What a person must see to although the node serves: taken out of rotation for it, the node would
 * serve nobody. */
static json_t *warnings_of(const struct daemon *daemon, const struct publisher_status *status)
{
    json_t *warnings = json_array();

    for (size_t kind = 0; kind < LIST_KINDS; kind++) {
        const struct list_loss *held = &status->held[kind];

        if (held->lost > 0)
            json_array_append_new(
                warnings,
                json_sprintf("the brake holds the %s back: it would lose %zu of %zu entries; bring "
                             "them back, or confirm %s",
                             list_kind_name(kind), held->lost, held->of, held->confirm));
    }
    if (daemon->exporter != NULL) {
        struct exporter_status export;

        exporter_status(daemon->exporter, &export);
        if (export.trouble[0] != '\0')
            add_reason(warnings, "export", export.trouble);
    }
    return warnings;
}

void status_ready(struct request *request)
{
    struct node *node = node_of(request);
    const struct daemon *daemon = node->daemon;
    struct publisher_status status;
    json_t *reasons = json_array();

    const struct published_list *list = list_board_current(node, LIST_CPS);
    publisher_status(daemon->publisher, &status);
    if (!status.database)
        add_reason(reasons, "database", status.database_trouble);
    if (status.trouble[LIST_CPS][0] != '\0')
        add_reason(reasons, "publishing", status.trouble[LIST_CPS]);
    if (list == NULL)
        add_reason(reasons, "no list has been loaded", NULL);
    else if (list->exp <= clock_now(daemon->clock))
        add_reason(reasons, "the list has expired", NULL);
    if (server_stopping(daemon->server))
        add_reason(reasons, "shutting down", NULL);

    bool ready = json_array_size(reasons) == 0;
    if (!ready)
        reply_header(request, "retry-after", "1");
    reply_json(request, ready ? 200 : 503,
               json_pack("{s:s, s:I, s:o, s:o}", "status", ready ? "success" : "unavailable",
                         "sequence", (json_int_t)(list != NULL ? list->sequence : 0), "reasons",
                         reasons, "warnings", warnings_of(daemon, &status)));
}
