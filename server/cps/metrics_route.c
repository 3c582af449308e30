/* GET /metrics of the private listener: the server's figures and the CPS's own, the threads summed.
 * Who may ask is who may retrieve, and the holder of the metrics token. */
#include "server/cps/cps.h"
#include "server/cps/decision_log.h"
#include "server/http/metrics.h"
#include "server/http/request.h"
#include "server/http/server.h"

#include <string.h>

const char *const cps_verdicts[CPS_VERDICTS] = {
    "ACCEPTED",
    "MALFORMED",
    "STALE_DATE",
    "BAD_IDENTITY_INFO",
    "UNSUPPORTED_CREDENTIAL",
    "INVALID_IDENTITY_HEADER",
    "BUSY",
    "NOT_READY",
    "other",
};

void cps_count_verdict(struct cps_counters *counters, const struct verify_result *result)
{
    const char *name = verdict_name(result);
    size_t i = 0;
    while (i < CPS_VERDICTS - 1 && strcmp(cps_verdicts[i], name) != 0)
        i++;
    counter_add(&counters->verdicts[i], 1);
}

/* One number of all threads: `offset` of a counter in struct cps_counters. */
static double sum(const struct cps *cps, size_t offset)
{
    uint64_t total = 0;
    for (size_t i = 0; i < server_threads(cps->server); i++)
        total += counter_read((const counter *)((const char *)&cps->counters[i] + offset));
    return (double)total;
}
#define SUM(cps, member) sum((cps), offsetof(struct cps_counters, member))

static void write_verdicts(struct metrics *metrics, const struct cps *cps)
{
    metrics_family(metrics, "sticps_cps_verdicts_total", "counter",
                   "Verdicts on what was sent in, one for each POST.");
    for (size_t i = 0; i < CPS_VERDICTS; i++)
        metrics_sample(metrics, METRICS_LABELS({"code", cps_verdicts[i]}),
                       sum(cps, offsetof(struct cps_counters, verdicts) + i * sizeof(counter)));
}

static void write_store(struct metrics *metrics, const struct cps *cps)
{
    struct store_usage usage;
    store_usage(cps->store, &usage);
    metrics_gauge(metrics, "sticps_cps_store_held", "PASSporTs that wait for their call.",
                  (double)usage.held);
    metrics_gauge(metrics, "sticps_cps_store_remembered",
                  "Digests of PASSporTs handed over lately.", (double)usage.remembered);
    metrics_gauge(metrics, "sticps_cps_store_bytes", "Memory of the two.", (double)usage.bytes);
    metrics_counter(metrics, "sticps_cps_handed_over_total", "PASSporTs handed to the STI-VS.",
                    (uint64_t)SUM(cps, handed_over));
}

static void write_credentials(struct metrics *metrics, const struct cps *cps)
{
    metrics_family(metrics, "sticps_cps_credentials_total", "counter",
                   "Signers' certificates asked of the cache, by what it had.");
    metrics_sample(metrics, METRICS_LABELS({"result", "hit"}), SUM(cps, credentials.hits));
    metrics_sample(metrics, METRICS_LABELS({"result", "miss"}), SUM(cps, credentials.misses));
    metrics_sample(metrics, METRICS_LABELS({"result", "refused"}), SUM(cps, credentials.refused));
    metrics_sample(metrics, METRICS_LABELS({"result", "busy"}), SUM(cps, credentials.busy));
    metrics_gauge(metrics, "sticps_cps_x5u_fetches_pending", "Certificates being fetched.",
                  SUM(cps, credentials.pending));
}

void metrics_get(struct request *request)
{
    const struct cps *cps = request_daemon(request);
    struct metrics *metrics = metrics_new();
    int64_t now = clock_now(&cps->clock), confirmed = trust_confirmed(cps->trust);
    int64_t expires = trust_expires(cps->trust);
    write_verdicts(metrics, cps);
    write_store(metrics, cps);
    write_credentials(metrics, cps);
    if (confirmed != 0)
        metrics_gauge(metrics, "sticps_cps_anchors_age_seconds",
                      "Time since the approved STI-CAs were read, or found unchanged.",
                      (double)(now - confirmed));
    if (expires != 0 && expires != TRUST_FOREVER)
        metrics_gauge(metrics, "sticps_cps_trust_left_seconds",
                      "Until the list of STI-CAs or the CRL ends, and nobody is believed.",
                      (double)(expires - now));
    metrics_certificates(metrics, cps->server, now);
    metrics_server(metrics, cps->server);
    metrics_reply(metrics, request);
}
