/* The private side: GET /passports/{dest}/{orig} hands over what is held for a call, at once or as
 * soon as it arrives (PROTOCOL section 6). */
#include "server/cps/cps.h"

#include "common/error.h"
#include "server/cps/decision_log.h"
#include "server/http/log.h"
#include "server/http/pending.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/http/server.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WAIT_MS 30000
#define DEADLINE_MARGIN_MS 5000 /* the wait's own timer always comes first */

static const struct problem PROBLEM_NOT_A_NUMBER = {400, "NOT_A_NUMBER"};

struct call {
    struct tn dest, orig;
};

/* A GET that waits. On its server thread, but for `woken`. It holds the thread. */
struct waiting {
    struct store_waiter waiter; /* first */
    struct timer timer;
    struct cps_thread *thread;
    struct pending *pending;
    struct waiting *next, **at; /* the thread's list */
    struct call call;
    bool woken;    /* set inside the store's lock: a message is on its way, which ends the wait */
    bool answered; /* only the end is left */
};

/* ---- handing over ---- */

static void reply_none(struct request *request)
{
    reply_problem(request, &PROBLEM_NOT_FOUND, "nothing is held for this call");
}

static void log_given(struct request *request, const struct call *call, size_t count)
{
    char dest[TN_MAX_DIGITS + 1], orig[TN_MAX_DIGITS + 1];
    mask_number(&call->dest, dest);
    mask_number(&call->orig, orig);
    log_fields(LOG_LEVEL_INFO, "handed over", LOG_TEXT("request", request_id(request)),
               LOG_TEXT("client", request_client(request)), LOG_TEXT("orig", orig),
               LOG_TEXT("dest", dest), LOG_NUMBER("tokens", count));
}

/* {"passports":["…","…"]}: tokens are base64url and dots, nothing in them needs escaping. Takes
 * over the chain. */
static void reply_tokens(struct request *request, const struct call *call,
                         struct store_token *tokens)
{
    static const char head[] = "{\"passports\":[", tail[] = "]}";
    size_t len = sizeof(head) + sizeof(tail), count = 0;
    for (const struct store_token *at = tokens; at != NULL; at = at->next)
        len += at->len + 3;
    char *text = request_alloc(request, len), *end = text;
    memcpy(end, head, sizeof(head) - 1);
    end += sizeof(head) - 1;
    for (const struct store_token *at = tokens; at != NULL; at = at->next, count++) {
        if (at != tokens)
            *end++ = ',';
        *end++ = '"';
        memcpy(end, at->text, at->len);
        end += at->len;
        *end++ = '"';
    }
    memcpy(end, tail, sizeof(tail) - 1);
    end += sizeof(tail) - 1;
    store_tokens_free(tokens);
    log_given(request, call, count);
    counter_add(&((struct cps_thread *)request_state(request))->counters->handed_over, count);
    reply_json_text(request, 200, text, (size_t)(end - text));
}

/* ---- waiting ---- */

/* Ends a wait whose answer is given or not wanted any more. */
static void waiting_end(struct waiting *w)
{
    struct cps_thread *thread = w->thread;
    w->answered = true;
    timer_stop(thread->thread, &w->timer);
    if (w->at != NULL) {
        *w->at = w->next;
        if (w->next != NULL)
            w->next->at = w->at;
        w->at = NULL;
    }
    store_wait_cancel(thread->cps->store, &w->waiter);
    if (w->woken)
        return; /* on_woken comes yet */
    pending_done(w->pending);
    server_thread_release(thread->thread);
}

/* Gives the last answer of a wait without a PASSporT. */
static void waiting_answer(struct waiting *w, void (*reply)(struct request *))
{
    struct request *request = pending_request(w->pending);
    w->answered = true;
    if (request != NULL)
        reply(request);
    waiting_end(w);
}

static void on_woken(void *arg);

/* The thread is held, so it takes the message. */
static void post_woken(struct waiting *w)
{
    w->woken = true;
    if (!loop_post(w->thread->thread, on_woken, w))
        log_error("a wait was woken on a thread that has ended");
}

/* Inside the store's lock, on the thread of the POST. The waiter's thread is held: it takes the
 * message. */
static void on_wake(struct store_waiter *waiter)
{
    post_woken((struct waiting *)waiter);
}

static void on_taken_late(void *arg, enum store_result result, struct store_token *tokens)
{
    struct waiting *w = arg;
    struct cps *cps = w->thread->cps;
    (void)result;
    if (tokens != NULL) {
        w->answered = true;
        reply_tokens(pending_request(w->pending), &w->call, tokens);
        waiting_end(w);
        return;
    }
    /* Another request took them: wait on, unless more came meanwhile. */
    if (!store_wait(cps->store, &w->waiter, &w->call.dest, &w->call.orig, clock_now(&cps->clock)))
        post_woken(w);
}

/* Something came for the call. It is taken only for a client that is still there to receive it. */
static void on_woken(void *arg)
{
    struct waiting *w = arg;
    struct cps *cps = w->thread->cps;
    w->woken = false;
    if (w->answered) {
        waiting_end(w);
        return;
    }
    if (request_client_left(pending_request(w->pending))) {
        waiting_answer(w, reply_none);
        return;
    }
    store_take(cps->store, &w->call.dest, &w->call.orig, clock_now(&cps->clock), on_taken_late, w);
}

static void on_timeout(struct timer *timer)
{
    waiting_answer((struct waiting *)((char *)timer - offsetof(struct waiting, timer)), reply_none);
}

static void on_gone(struct pending *pending)
{
    struct waiting *w = pending_data(pending);
    if (!w->answered)
        waiting_end(w);
}

static void reply_stopping(struct request *request)
{
    reply_header(request, "retry-after", "1");
    reply_problem(request, &PROBLEM_UNAVAILABLE, "the server is stopping");
}

void give_end_waiting(struct cps_thread *thread)
{
    struct waiting *next;
    for (struct waiting *w = thread->waiting; w != NULL; w = next) {
        next = w->next;
        waiting_answer(w, reply_stopping);
    }
}

static void start_waiting(struct request *request, const struct call *call, unsigned ms)
{
    struct waiting *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        reply_problem(request, &PROBLEM_UNAVAILABLE, "out of memory");
        return;
    }
    struct cps_thread *thread = request_state(request);
    struct cps *cps = thread->cps;
    w->thread = thread;
    w->call = *call;
    w->waiter.wake = on_wake;
    w->pending = pending_new(request, ms + DEADLINE_MARGIN_MS, w, free);
    pending_on_gone(w->pending, on_gone);
    server_thread_hold(thread->thread);
    w->next = thread->waiting;
    w->at = &thread->waiting;
    if (w->next != NULL)
        w->next->at = &w->next;
    thread->waiting = w;
    timer_start(thread->thread, &w->timer, ms, on_timeout);
    if (!store_wait(cps->store, &w->waiter, &call->dest, &call->orig, clock_now(&cps->clock)))
        post_woken(w);
}

/* ---- the route ---- */

struct retrieval {
    struct request *request;
    struct call call;
    int64_t wait_ms;
};

static void on_taken(void *arg, enum store_result result, struct store_token *tokens)
{
    struct retrieval *retrieval = arg;
    struct request *request = retrieval->request;
    if (tokens != NULL)
        reply_tokens(request, &retrieval->call, tokens);
    else if (result == STORE_FAILED)
        reply_problem(request, &PROBLEM_UNAVAILABLE, "the store cannot be reached");
    else if (retrieval->wait_ms == 0)
        reply_none(request);
    else if (server_stopping(server_thread_server(request_thread(request))))
        reply_stopping(request);
    else
        start_waiting(request, &retrieval->call, (unsigned)retrieval->wait_ms);
}

static bool number_param(struct request *request, const char *name, struct tn *out)
{
    const struct cps *cps = request_daemon(request);
    const char *text = request_param(request, name);
    struct sticps_error err;
    if (tn_from_typed(text, strlen(text), cps->config->rules.default_country, out, &err) ==
        STICPS_OK)
        return true;
    reply_problem(request, &PROBLEM_NOT_A_NUMBER, "%s: %s", name, err.text);
    return false;
}

static void passports_get(struct request *request)
{
    struct cps *cps = request_daemon(request);
    struct retrieval *retrieval = request_alloc(request, sizeof(*retrieval));
    if (request_is_head(request)) { /* would hand over without handing over */
        reply_header(request, "allow", "GET");
        reply_problem(request, &PROBLEM_METHOD_NOT_ALLOWED, "only GET hands PASSporTs over");
        return;
    }
    if (!number_param(request, "dest", &retrieval->call.dest) ||
        !number_param(request, "orig", &retrieval->call.orig) ||
        !request_query_int(request, "wait", 0, INT32_MAX, 0, &retrieval->wait_ms))
        return;
    if (retrieval->wait_ms > MAX_WAIT_MS)
        retrieval->wait_ms = MAX_WAIT_MS;
    retrieval->request = request;
    store_take(cps->store, &retrieval->call.dest, &retrieval->call.orig, clock_now(&cps->clock),
               on_taken, retrieval);
}

static bool is_token(const char *given, const char *token)
{
    return given != NULL && token != NULL && strlen(given) == strlen(token) &&
           CRYPTO_memcmp(given, token, strlen(token)) == 0;
}

bool give_authenticate(struct request *request, const struct route *route)
{
    const struct config *config = ((struct cps *)request_daemon(request))->config;
    const char *token = config->private_side.token, *given;
    if (config->private_side.client_ca != NULL && request_client_subject(request) == NULL) {
        reply_problem(request, &PROBLEM_UNAUTHENTICATED, "a client certificate is needed");
        return false;
    }
    if (token == NULL)
        return true;
    given = request_bearer(request);
    if (is_token(given, token) ||
        (route->handler == metrics_get && is_token(given, config->private_side.metrics_token)))
        return true;
    log_fields(LOG_LEVEL_WARN, "refused", LOG_TEXT("request", request_id(request)),
               LOG_TEXT("client", request_client(request)),
               LOG_TEXT("reason", given == NULL ? "no bearer token" : "wrong bearer token"));
    reply_problem(request, &PROBLEM_UNAUTHENTICATED, "the bearer token is missing or wrong");
    return false;
}

/* The STI-VS asks once for each call: no limit of requests. */
const struct route give_routes[] = {
    {.method = "GET",
     .path = "/passports/{dest}/{orig}",
     .handler = passports_get,
     .flags = ROUTE_AUTH | ROUTE_UNLIMITED},
    {.method = "GET", .path = "/health", .handler = health_get, .flags = ROUTE_UNLIMITED},
    {.method = "GET",
     .path = "/metrics",
     .handler = metrics_get,
     .flags = ROUTE_AUTH | ROUTE_UNLIMITED},
};
const size_t give_routes_len = sizeof(give_routes) / sizeof(*give_routes);
