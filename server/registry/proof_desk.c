#include "server/registry/proof_desk.h"

#include "common/crl.h"
#include "common/signed_list.h"
#include "server/http/log.h"
#include "server/http/metrics.h"
#include "server/http/rate.h"
#include "server/http/server.h"
#include "server/registry/crl_file.h"
#include "server/registry/daemon.h"
#include "server/registry/list_board.h"
#include "server/registry/published_list.h"
#include "server/sti/trust.h"

#include <sticps/client.h>

#include <stdlib.h>
#include <string.h>

/* Seconds' worth of requests that may come at once: a provider's first day, and many providers
 * behind one address. */
#define BURST_S 20

struct proof_service {
    struct sticps_client *client;
    struct trust *trust;
    struct rate *fetches, *proofs;
    int64_t sequence; /* of the list that was taken, or that could not be */
    struct crl *crl;  /* a reference: the one that was taken with it */
    counter open;     /* 1: proofs can be judged */
};

/* ---- the daemon's ---- */

static enum sticps_err open_client(const struct config *config, struct sticps_client **out,
                                   struct sticps_error *err)
{
    struct sticps_options *options = sticps_options_new();
    enum sticps_err rc = STICPS_OK;

    if (options == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    sticps_options_set_lab(options, config->lab == CONFIG_ON);
    sticps_options_set_x5u_timeout(options, config->sti_proof.deadline_ms);
    if (config->tls_ca != NULL)
        rc = sticps_options_add_tls_ca_file(options, config->tls_ca, err);
    if (rc == STICPS_OK)
        rc = sticps_client_new(options, out, err);
    sticps_options_free(options);
    if (rc == STICPS_OK)
        rc = sticps_client_start_thread(*out, err);
    return rc;
}

enum sticps_err proof_service_new(const struct config *config, struct proof_service **out,
                                  struct sticps_error *err)
{
    const struct config_sti_proof *limits = &config->sti_proof;
    struct proof_service *service = calloc(1, sizeof(*service));

    if (service == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    service->fetches = rate_new();
    service->proofs = rate_new();
    rate_set(service->fetches, limits->fetches_per_second, BURST_S * limits->fetches_per_second);
    rate_set(service->proofs, limits->proofs_per_second, BURST_S * limits->proofs_per_second);
    enum sticps_err rc = trust_new(&service->trust, err);
    if (rc == STICPS_OK)
        rc = open_client(config, &service->client, err);
    if (rc == STICPS_OK)
        *out = service;
    else
        proof_service_free(service);
    return rc;
}

void proof_service_free(struct proof_service *service)
{
    if (service == NULL)
        return;
    sticps_client_free(service->client);
    trust_free(service->trust);
    rate_free(service->fetches);
    rate_free(service->proofs);
    crl_unref(service->crl);
    free(service);
}

struct rate *proof_service_fetches(struct proof_service *service)
{
    return service->fetches;
}

struct rate *proof_service_proofs(struct proof_service *service)
{
    return service->proofs;
}

/* ---- the STI-CAs ---- */

static enum sticps_err read_anchors(const struct published_list *list, struct anchors **out,
                                    struct sticps_error *err)
{
    static const struct url_rules rules = {0}; /* there are no URLs in it */
    struct signed_list *parsed = NULL;
    struct jws jws = {0};
    size_t len;
    const char *text = shared_bytes_data(list->bare.plain, &len);
    enum sticps_err rc = jws_split(text, len, STICPS_ERR_FORM, &jws, err);

    if (rc == STICPS_OK)
        rc = signed_list_parse(&jws, SIGNED_LIST_TRUST_LIST, -1, 0, &rules, &parsed, err);
    jws_clear(&jws);
    if (rc != STICPS_OK)
        return rc;
    rc = anchors_new(out, err);
    for (size_t i = 0; i < parsed->trusted_len && rc == STICPS_OK; i++)
        rc = anchors_add(*out, parsed->trusted[i], strlen(parsed->trusted[i]), STICPS_ERR_PAYLOAD,
                         err);
    signed_list_free(parsed);
    return rc;
}

static enum sticps_err take_list(struct proof_service *service, const struct published_list *list,
                                 struct sticps_error *err)
{
    struct anchors *anchors = NULL;
    enum sticps_err rc = read_anchors(list, &anchors, err);

    if (rc == STICPS_OK)
        return trust_publish(service->trust, anchors, list->exp, err);
    anchors_free(anchors);
    return rc;
}

static void look_for_news(struct proof_service *service, const struct published_list *list,
                          struct crl_file *file)
{
    struct sticps_error err = {0};
    struct crl *crl = file != NULL ? crl_file_list(file) : NULL;
    enum sticps_err rc = STICPS_OK;

    if (list == NULL || (file != NULL && crl == NULL)) {
        crl_unref(crl);
        return;
    }
    if (crl != service->crl)
        rc = trust_set_crl(service->trust, crl, &err);
    crl_unref(service->crl);
    service->crl = crl;
    if (rc == STICPS_OK && list->sequence != service->sequence)
        rc = take_list(service, list, &err);
    service->sequence = list->sequence;
    if (rc != STICPS_OK)
        log_error("proofs by STI certificate go on with the STI-CAs of before: %s", err.text);
}

void proof_service_look(struct node *node)
{
    struct proof_service *service = node->daemon->proofs;

    if (service == NULL || server_thread_index(node->thread) != 0)
        return;
    look_for_news(service, list_board_current(node, LIST_CA), node->daemon->crl);
    int64_t now = clock_now(node->daemon->clock);
    bool open = now < trust_expires(service->trust), was = counter_read(&service->open) != 0;
    counter_set(&service->open, open);
    if (open && !was)
        log_info("proofs by STI certificate are taken");
    else if (was && !open)
        log_error("NO PROOF BY STI CERTIFICATE IS TAKEN: the %s",
                  service->crl != NULL && crl_next_update(service->crl) <= now
                      ? "CRL should have been replaced by now (nextUpdate)"
                      : "list of STI-CAs has expired");
}

/* ---- a thread's ---- */

enum sticps_err proof_desk_open(struct proof_desk *desk, struct proof_service *service,
                                struct server_thread *thread, const struct config *config,
                                const struct clock *clock, size_t threads, struct sticps_error *err)
{
    size_t share = config->sti_proof.max_pending / threads;

    desk->service = service;
    x5u_source_init(&desk->source, service->client, thread);
    return credentials_new(&desk->source.fetcher, service->trust, clock, share > 0 ? share : 1,
                           &desk->cache, &desk->credentials, err);
}

void proof_desk_close(struct proof_desk *desk)
{
    credentials_free(desk->credentials);
    desk->credentials = NULL;
    desk->service = NULL;
}

void proof_desk_write(struct metrics *metrics, const struct proof_service *service,
                      const struct node *nodes, size_t len)
{
    static const char *const names[] = {"accepted", "refused", "limited", "busy"};
    uint64_t verdicts[4] = {0}, pending = 0;

    for (size_t i = 0; i < len; i++) {
        const struct proof_desk *desk = &nodes[i].proofs;
        const counter *const counters[] = {&desk->accepted, &desk->refused, &desk->limited,
                                           &desk->busy};

        for (size_t j = 0; j < 4; j++)
            verdicts[j] += counter_read(counters[j]);
        pending += counter_read(&desk->cache.pending);
    }
    metrics_family(metrics, "sticps_sti_proofs_total", "counter",
                   "Proofs by STI certificate, before the database was asked, by verdict.");
    for (size_t j = 0; j < 4; j++)
        metrics_sample(metrics, METRICS_LABELS({"verdict", names[j]}), (double)verdicts[j]);
    metrics_gauge(
        metrics, "sticps_sti_proofs_open",
        "1 while the approved STI-CAs, and the CRL if there is one, are there and current.",
        (double)counter_read(&service->open));
    metrics_gauge(metrics, "sticps_sti_proof_fetches", "STI certificates being fetched now.",
                  (double)pending);
}
