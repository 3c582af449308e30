/* GET /metrics (PROTOCOL section 1). Asks neither the database nor another thread. */
#include "server/http/metrics.h"
#include "server/http/server.h"
#include "server/http/worker.h"
#include "server/registry/checker.h"
#include "server/registry/crl_file.h"
#include "server/registry/daemon.h"
#include "server/registry/list_board.h"
#include "server/registry/exporter.h"
#include "server/registry/published_list.h"
#include "server/registry/publisher.h"
#include "server/registry/sequence_floor.h"
#include "server/registry/status_routes.h"
#include "server/registry/witness.h"

static void write_list(struct metrics *metrics, struct node *node,
                       const struct publisher_status *status, int64_t now)
{
    const struct published_list *list = list_board_current(node, LIST_CPS);

    metrics_gauge(metrics, "sticps_list_sequence", "Sequence of the list that is served.",
                  list != NULL ? (double)list->sequence : 0);
    metrics_gauge(metrics, "sticps_list_expires_timestamp_seconds",
                  "exp of the list that is served.", list != NULL ? (double)list->exp : 0);
    metrics_gauge(metrics, "sticps_list_held",
                  "Entries that the next list would lose; above 0 while the brake holds it.",
                  (double)status->held[LIST_CPS].lost);
    if (status->sequence == 0)
        return;
    metrics_gauge(metrics, "sticps_list_age_seconds", "Time since the newest list was published.",
                  (double)(now - status->created));
    metrics_gauge(metrics, "sticps_list_entries", "Entries of the newest list.",
                  (double)status->entries);
}

/* Nothing where no list of STI-CAs is published. */
static void write_ca_list(struct metrics *metrics, struct node *node,
                          const struct publisher_status *status)
{
    const struct published_list *list = list_board_current(node, LIST_CA);

    if (list == NULL && node->daemon->config->ca_list.directory == NULL)
        return;
    metrics_gauge(metrics, "sticps_ca_list_sequence", "Sequence of the list of STI-CAs.",
                  list != NULL ? (double)list->sequence : 0);
    metrics_gauge(metrics, "sticps_ca_list_expires_timestamp_seconds",
                  "exp of the list of STI-CAs.", list != NULL ? (double)list->exp : 0);
    metrics_gauge(metrics, "sticps_ca_list_failed",
                  "1 while the list of STI-CAs cannot be brought up to date.",
                  status->trouble[LIST_CA][0] != '\0');
    metrics_gauge(metrics, "sticps_ca_list_held",
                  "STI-CAs that the next list would lose; above 0 while the brake holds it.",
                  (double)status->held[LIST_CA].lost);
}

static void write_publisher(struct metrics *metrics, const struct node *node,
                            const struct publisher_status *status)
{
    metrics_gauge(metrics, "sticps_publisher_leader", "1 on the node that publishes.",
                  status->leader);
    metrics_gauge(metrics, "sticps_publishing_failed",
                  "1 while a list that is due cannot be published.",
                  status->trouble[LIST_CPS][0] != '\0');
    metrics_gauge(metrics, "sticps_state_failed",
                  "1 while the newest list cannot be kept on the disk.",
                  sequence_floor_failed(node->daemon->floor));
    metrics_gauge(metrics, "sticps_witnesses_failing",
                  "Witnesses that could not be read at the last look.",
                  witness_failing(node->daemon->witness));
    metrics_gauge(metrics, "sticps_database_up",
                  "1 when the publisher reached the database at its last look.", status->database);
}

static void write_export(struct metrics *metrics, struct exporter *exporter)
{
    struct exporter_status status;

    exporter_status(exporter, &status);
    metrics_gauge(metrics, "sticps_export_sequence", "Sequence of the newest list in the export.",
                  (double)status.sequence[LIST_CPS]);
    metrics_gauge(metrics, "sticps_export_failed", "1 while the export cannot be kept up to date.",
                  status.trouble[0] != '\0');
}

void status_metrics(struct request *request)
{
    struct node *node = node_of(request);
    const struct daemon *daemon = node->daemon;
    struct metrics *metrics = metrics_new();
    struct publisher_status status;
    int64_t now = clock_now(daemon->clock);

    publisher_status(daemon->publisher, &status);
    write_list(metrics, node, &status, now);
    write_ca_list(metrics, node, &status);
    write_publisher(metrics, node, &status);
    if (daemon->exporter != NULL)
        write_export(metrics, daemon->exporter);
    if (daemon->crl != NULL)
        metrics_gauge(metrics, "sticps_crl_failed", "1 while the CRL's file cannot be used.",
                      crl_file_failed(daemon->crl));
    if (daemon->proofs != NULL && daemon->config->ca_list.directory != NULL)
        proof_desk_write(metrics, daemon->proofs, daemon->nodes, server_threads(daemon->server));
    if (daemon->config->cps_check.policy != CONFIG_CHECK_OFF)
        checker_write(metrics, daemon->checker);
    node_stats_write(metrics, daemon->nodes, server_threads(daemon->server));
    metrics_certificates(metrics, daemon->server, now);
    metrics_days_left(metrics, "signer", cert_chain_not_after(daemon->signer->chain), now);
    metrics_gauge(metrics, "sticps_password_jobs",
                  "Passwords waiting to be hashed, or being hashed.",
                  (double)worker_pool_load(daemon->workers));
    metrics_server(metrics, daemon->server);
    metrics_reply(metrics, request);
}
