/* The public side: POST /cps/company/{spc} takes PASSporTs (PROTOCOL section 6). */
#include "server/cps/cps.h"

#include "common/error.h"
#include "server/cps/decision_log.h"
#include "server/http/pending.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/http/server.h"

#include <stdlib.h>
#include <string.h>

/* Beyond the x5u's own deadline, which libsticps keeps. */
#define MARGIN_MS 500

/* One POST, from its arrival to its answer. It becomes a pending only when it must wait for a
 * certificate, which few do. */
struct receipt {
    struct timer timer; /* first; runs while waiting */
    struct cps_thread *thread;
    struct request *request; /* until there is a pending */
    struct pending *pending; /* NULL until it waits */
    struct verify_job *job;  /* while waiting */
    struct spc served;
};

static struct request *receipt_request(struct receipt *receipt)
{
    return receipt->pending != NULL ? pending_request(receipt->pending) : receipt->request;
}

/* The answer is given, or nobody wants it any more. */
static void receipt_end(struct receipt *receipt)
{
    if (receipt->pending != NULL)
        pending_done(receipt->pending); /* frees the receipt */
    else
        free(receipt);
}

static void reply_busy(struct request *request, const char *why)
{
    reply_header(request, "retry-after", "1");
    reply_problem(request, &PROBLEM_UNAVAILABLE, "%s", why);
}

static void reply_verdict(struct request *request, const struct verify_result *result)
{
    struct problem problem = {sticps_err_http_status(result->code), sticps_err_name(result->code)};
    const struct sticps_error *err = &result->err;
    if (problem.status == PROBLEM_INTERNAL.status)
        reply_problem(request, &PROBLEM_INTERNAL, "the PASSporT could not be checked");
    else
        reply_problem(request, &problem, "%s%s%s", err->where, err->where[0] != '\0' ? ": " : "",
                      err->text);
}

static void on_stored(void *arg, enum store_result result)
{
    static const char accepted[] = "{\"status\":\"success\"}";
    struct receipt *receipt = arg;
    struct request *request = receipt_request(receipt);
    if (request == NULL)
        ; /* who sent it has left; it is held all the same */
    else if (result == STORE_HELD)
        reply_json_text(request, 201, accepted, sizeof(accepted) - 1);
    else
        reply_busy(request,
                   result == STORE_FULL ? "the store is full" : "the store cannot be reached");
    receipt_end(receipt);
}

static void hold(struct receipt *receipt, const struct verify_result *result)
{
    struct cps *cps = receipt->thread->cps;
    const struct passport *first = result->tokens[0].passport;
    struct store_call call = {&first->orig, first->dest, first->dest_len};
    struct store_item items[VERIFY_MAX_TOKENS];
    for (size_t i = 0; i < result->tokens_len; i++)
        items[i] = (struct store_item){result->tokens[i].text, result->tokens[i].len,
                                       result->tokens[i].passport->iat};
    store_put(cps->store, &call, items, result->tokens_len, clock_now(&cps->clock), on_stored,
              receipt);
}

static void on_verified(void *arg, const struct verify_result *result)
{
    struct receipt *receipt = arg;
    struct request *request = receipt_request(receipt);
    receipt->job = NULL;
    if (receipt->pending != NULL)
        timer_stop(receipt->thread->thread, &receipt->timer);
    if (request == NULL) {
        receipt_end(receipt);
        return;
    }
    decision_log(request, &receipt->served, result);
    cps_count_verdict(receipt->thread->counters, result);
    switch (result->outcome) {
    case VERIFY_ACCEPTED:
        hold(receipt, result);
        return;
    case VERIFY_REFUSED:
        reply_verdict(request, result);
        break;
    case VERIFY_BUSY:
        reply_busy(request, "too many certificates are being fetched");
        break;
    case VERIFY_NOT_READY:
        reply_busy(request, "the list of approved STI-CAs is not there yet, or has expired");
        break;
    }
    receipt_end(receipt);
}

/* ---- while waiting for a certificate ---- */

static void on_timeout(struct timer *timer)
{
    struct receipt *receipt = (struct receipt *)timer;
    verify_give_up(receipt->job);
}

static void on_gone(struct pending *pending)
{
    struct receipt *receipt = pending_data(pending);
    timer_stop(receipt->thread->thread, &receipt->timer);
    if (receipt->job != NULL)
        verify_cancel(receipt->job);
    receipt->job = NULL;
    pending_done(pending);
}

static void wait_for_certificate(struct receipt *receipt, struct verify_job *job)
{
    unsigned ms = receipt->thread->cps->config->x5u_deadline_ms + MARGIN_MS;
    receipt->job = job;
    receipt->pending = pending_new(receipt->request, ms + MARGIN_MS, receipt, free);
    receipt->request = NULL;
    pending_on_gone(receipt->pending, on_gone);
    timer_start(receipt->thread->thread, &receipt->timer, ms, on_timeout);
}

/* ---- routes ---- */

static bool served_here(struct request *request, struct spc *out)
{
    const struct config *config = ((struct cps *)request_daemon(request))->config;
    const char *text = request_param(request, "spc");
    if (spc_from_typed(text, strlen(text), out, NULL) == STICPS_OK)
        for (size_t i = 0; i < config->spcs_len; i++)
            if (spc_key(&config->spcs[i]) == spc_key(out))
                return true;
    reply_problem(request, &PROBLEM_NOT_FOUND, "this CPS does not serve that company code");
    return false;
}

static void company_post(struct request *request)
{
    struct spc served;
    if (!served_here(request, &served))
        return;
    struct receipt *receipt = calloc(1, sizeof(*receipt));
    if (receipt == NULL) {
        reply_busy(request, "out of memory");
        return;
    }
    receipt->thread = request_state(request);
    receipt->request = request;
    receipt->served = served;

    size_t len = 0;
    const char *body = request_body(request, &len);
    struct verify_job *job =
        verify_start(&receipt->thread->verifier, len > 0 ? body : "", len,
                     clock_now(&receipt->thread->cps->clock), on_verified, receipt);
    if (job != NULL)
        wait_for_certificate(receipt, job);
}

void health_get(struct request *request)
{
    static const char healthy[] = "{\"status\":\"success\"}";
    reply_json_text(request, 200, healthy, sizeof(healthy) - 1);
}

const struct route receive_routes[] = {
    {.method = "POST",
     .path = "/cps/company/{spc}",
     .handler = company_post,
     .content_type = "application/passport",
     .body_limit = PASSPORT_MAX_BYTES},
    {.method = "GET", .path = "/health", .handler = health_get, .flags = ROUTE_UNLIMITED},
};
const size_t receive_routes_len = sizeof(receive_routes) / sizeof(*receive_routes);
