#include "client/deliver.h"

#include "client/client.h"
#include "client/delivery.h"
#include "client/latency.h"
#include "client/peers.h"
#include "client/signing.h"
#include "client/targets.h"
#include "common/passport.h"
#include "common/url.h"
#include "sticps/resolve.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_REPLY (64 * 1024)
#define SHORTEST_TRY_MS 10 /* with less time left there is no further one */
#define FIRST_BACKOFF_MS 20
#define MOST_TRIES 8

struct deliverer {
    struct sticps_client *client;
    atomic_bool closed;
    atomic_uint under_way; /* deliveries */
    struct latency latency;

    /* the loop's thread only */
    struct peers *peers;
    struct sticps_answer *answer; /* to resolve into: 2 KiB that are not cleared for each call */
    struct delivering *first;
    uint32_t random;
};

/* One CPS of one delivery. */
struct sending {
    struct delivering *delivering;
    struct outcome *outcome;
    struct peer *peer;              /* while a request is under way */
    struct loop_timer again;        /* the next try; or the end of waiting for `signing` */
    struct sticps_signing *signing; /* under way, else NULL */
    char *bearer;                   /* the request token that the CPS has demanded, or NULL */
    bool transient;
};

/* One call of sticps_deliver, from its queue to its callback. */
struct delivering {
    struct loop_task task;
    struct deliverer *deliverer;
    struct delivering *next, **link; /* in deliverer->first, once begun */
    sticps_deliver_fn *callback;
    void *ctx;
    uint64_t deadline; /* loop_now() */
    struct passport *passport;
    struct sticps_delivery *delivery;
    struct sending *sendings;
    size_t pending; /* sendings without an outcome, and 1 while they are being started */
    size_t len;
    char token[];
};

static void try_now(struct sending *sending);

/* ---- the end ---- */

static void delivering_free(struct delivering *delivering)
{
    for (size_t i = 0; delivering->sendings != NULL && i < delivering->delivery->len; i++)
        free(delivering->sendings[i].bearer);
    sticps_delivery_free(delivering->delivery);
    passport_free(delivering->passport);
    free(delivering->sendings);
    free(delivering);
}

static void end(struct delivering *delivering, enum sticps_err code, const struct sticps_error *err)
{
    struct deliverer *deliverer = delivering->deliverer;
    if (delivering->link != NULL) {
        *delivering->link = delivering->next;
        if (delivering->next != NULL)
            delivering->next->link = delivering->link;
    }
    atomic_fetch_sub(&deliverer->under_way, 1); /* the callback may start another */
    uint64_t begun = delivering->deadline - deliverer->client->options->deliver_timeout;
    latency_note(&deliverer->latency, loop_now() - begun);
    delivering->callback(delivering->ctx, code, err, delivering->delivery);
    delivering_free(delivering);
}

static void count_down(struct delivering *delivering)
{
    if (--delivering->pending > 0)
        return;
    const struct outcome *worst = delivery_gravest(delivering->delivery);
    end(delivering, worst->code, &worst->error);
}

static void settle(struct sending *sending, enum sticps_err code)
{
    struct outcome *outcome = sending->outcome;
    outcome->code = code;
    if (code == STICPS_ERR_FETCH && outcome->tries > 1)
        fail_context(&outcome->error, "after %u tries", outcome->tries);
    events_note(&sending->delivering->deliverer->client->events, STICPS_EVENT_DELIVERY, code,
                &outcome->error);
    count_down(sending->delivering);
}

/* ---- trying, and trying again ---- */

static uint64_t time_left(const struct delivering *delivering)
{
    uint64_t now = loop_now();
    return delivering->deadline > now ? delivering->deadline - now : 0;
}

static void on_again(struct loop_timer *timer)
{
    try_now((struct sending *)((char *)timer - offsetof(struct sending, again)));
}

/* After the pause for this try: doubled each time, and between a half and the whole of it, so that
 * what failed together does not come back together. */
static unsigned backoff_ms(struct deliverer *deliverer, unsigned tries)
{
    unsigned whole = FIRST_BACKOFF_MS << (tries - 1);
    deliverer->random = deliverer->random * 1664525u + 1013904223u;
    return whole / 2 + deliverer->random / 65536 % (whole / 2 + 1);
}

/* False when the time is up. */
static bool try_later(struct sending *sending)
{
    struct deliverer *deliverer = sending->delivering->deliverer;
    unsigned tries = sending->outcome->tries;
    if (tries >= MOST_TRIES || atomic_load(&deliverer->closed))
        return false;
    unsigned ms = backoff_ms(deliverer, tries);
    if (time_left(sending->delivering) < ms + SHORTEST_TRY_MS)
        return false;
    loop_timer_set(deliverer->client->loop, &sending->again, ms, on_again);
    return true;
}

static enum sticps_err judge(struct outcome *outcome, const struct fetch_answer *answer,
                             bool can_sign)
{
    outcome->status = answer->status;
    outcome->problem = (struct problem){0}; /* of a challenge */
    if (answer->status == 201)
        return STICPS_OK;
    problem_read(answer, &outcome->problem);
    if (answer->status == 401 && answer->wants_bearer && !can_sign)
        return fail(&outcome->error, STICPS_ERR_REJECTED, outcome->url,
                    "the CPS demands a request token, and this client has no STI key to sign it");
    if (answer->status >= 400 && answer->status < 500)
        return fail(&outcome->error, STICPS_ERR_REJECTED, outcome->url,
                    "the CPS refuses the PASSporT: status %d %s %s", answer->status,
                    outcome->problem.code, outcome->problem.detail);
    return fail(&outcome->error, STICPS_ERR_FETCH, outcome->url,
                "the CPS answers with status %d, not 201", answer->status);
}

static void leave(struct sending *sending, enum peer_outcome outcome, int64_t retry_after)
{
    struct deliverer *deliverer = sending->delivering->deliverer;
    bool paused = peers_leave(deliverer->peers, sending->peer, outcome, retry_after, loop_now());
    sending->peer = NULL;
    if (!paused)
        return;
    struct sticps_error err;
    fail(&err, STICPS_ERR_PAUSED, sending->outcome->url,
         retry_after > 0 ? "the CPS asks to be left in peace for %lld s, and is"
                         : "the CPS fails again and again, and is left in peace for a while",
         (long long)retry_after);
    events_note(&deliverer->client->events, STICPS_EVENT_PAUSE, STICPS_ERR_PAUSED, &err);
}

/* ---- a CPS that demands a request token ---- */

static void on_signed(void *ctx, enum sticps_err code, const struct sticps_error *err,
                      const char *token)
{
    struct sending *sending = ctx;
    struct outcome *outcome = sending->outcome;
    loop_timer_stop(&sending->again);
    outcome->error = (struct sticps_error){0}; /* a challenge is no refusal */
    if (code == STICPS_OK) {
        sending->bearer = strdup(token);
        if (sending->bearer == NULL)
            code = fail(&outcome->error, STICPS_ERR_NO_MEMORY, outcome->url, "out of memory");
    } else {
        fail(&outcome->error, code, outcome->url, "%s", err->text);
    }
    if (code == STICPS_OK)
        try_now(sending);
    else
        settle(sending, code);
}

static void on_unsigned(struct loop_timer *timer)
{
    struct sending *sending = (struct sending *)((char *)timer - offsetof(struct sending, again));
    signing_forget(sending->signing);
    sending->signing = NULL;
    settle(sending, fail(&sending->outcome->error, STICPS_ERR_FETCH, sending->outcome->url,
                         "the deadline passed before the request token was signed"));
}

/* The challenge and the request that meets it are one exchange: nothing was refused yet. False when
 * there is no meeting it, and the answer stands. */
static bool meet_challenge(struct sending *sending, const struct fetch_answer *answer)
{
    struct delivering *delivering = sending->delivering;
    struct sticps_client *client = delivering->deliverer->client;
    uint64_t left = time_left(delivering);
    if (answer->status != 401 || !answer->wants_bearer || sending->bearer != NULL ||
        !signing_is_possible(client->options) || left == 0 ||
        atomic_load(&delivering->deliverer->closed))
        return false;
    loop_timer_set(client->loop, &sending->again, (unsigned)left, on_unsigned);
    signing_start(client->options, client->loop, sending->outcome->url, delivering->token,
                  delivering->len, &sending->signing, on_signed, sending);
    return true;
}

static void on_posted(void *ctx, enum sticps_err code, const struct sticps_error *err,
                      const struct fetch_answer *answer)
{
    struct sending *sending = ctx;
    struct outcome *outcome = sending->outcome;
    const struct sticps_options *options = sending->delivering->deliverer->client->options;
    bool again = false; /* whatever was answered, it is an answer */
    if (code == STICPS_OK) {
        code = judge(outcome, answer, signing_is_possible(options));
        leave(sending, answer->status >= 500 ? PEER_FAILED : PEER_ANSWERED, answer->retry_after);
        if (meet_challenge(sending, answer))
            return;
    } else {
        outcome->error = *err;
        again = sending->transient;
        free(sending->bearer); /* good for one request, which may have come through */
        sending->bearer = NULL;
        bool closing = atomic_load(&sending->delivering->deliverer->closed);
        leave(sending, closing || code == STICPS_ERR_NO_MEMORY ? PEER_UNKNOWN : PEER_FAILED, -1);
    }
    if (!again || !try_later(sending))
        settle(sending, code);
}

/* The first try may take half of the time until it is connected, so that a packet lost at the start
 * costs a delay and not the delivery. */
static enum sticps_err post(struct sending *sending, uint64_t left)
{
    struct delivering *delivering = sending->delivering;
    struct sticps_client *client = delivering->deliverer->client;
    struct fetch_request request = {
        .url = sending->outcome->url,
        .timeout_ms = (unsigned)left,
        .connect_ms = sending->outcome->tries == 0 ? (unsigned)(left + 1) / 2 : 0,
        .max_body = MAX_REPLY,
        .content_type = "application/passport",
        .body = delivering->token,
        .body_len = delivering->len,
        .bearer = sending->bearer,
        .transient = &sending->transient,
    };
    sending->outcome->tries++;
    return fetch_start(client->fetcher, &request, on_posted, sending, &sending->outcome->error);
}

/* Whether the CPS may be asked now; the outcome's error says why not. */
static enum sticps_err enter(struct sending *sending)
{
    struct deliverer *deliverer = sending->delivering->deliverer;
    struct outcome *outcome = sending->outcome;
    struct url url;
    uint64_t wait_ms = 0;
    enum sticps_err code = url_parse(outcome->url, strlen(outcome->url), &url, &outcome->error);
    if (code != STICPS_OK) /* not with what a list may hold */
        return code;
    switch (peers_enter(deliverer->peers, &url, loop_now(), &sending->peer, &wait_ms)) {
    case PEER_ENTERED:
        return STICPS_OK;
    case PEER_PAUSED:
        return fail(&outcome->error, STICPS_ERR_PAUSED, outcome->url,
                    "not asked: this CPS failed again and again, or asked for it; it is tried "
                    "again in %llu ms",
                    (unsigned long long)wait_ms);
    case PEER_FULL:
        return fail(&outcome->error, STICPS_ERR_BUSY, outcome->url,
                    "not asked: %u requests to this CPS are under way already",
                    deliverer->client->options->deliver_per_cps);
    default:
        return fail(&outcome->error, STICPS_ERR_NO_MEMORY, outcome->url, "out of memory");
    }
}

static void try_now(struct sending *sending)
{
    uint64_t left = time_left(sending->delivering);
    struct sticps_error before = sending->outcome->error;
    enum sticps_err code =
        left == 0 ? fail(&sending->outcome->error, STICPS_ERR_FETCH, sending->outcome->url,
                         "the deadline passed before the CPS could be asked")
                  : enter(sending);
    /* What the CPS did says more than that it is now paused. */
    if (code != STICPS_OK && before.code != STICPS_OK) {
        sending->outcome->error = before;
        code = before.code;
    }
    if (code == STICPS_OK) {
        code = post(sending, left);
        if (code == STICPS_OK)
            return;
        leave(sending, PEER_UNKNOWN, -1);
    }
    settle(sending, code);
}

/* ---- whom to ---- */

static enum sticps_err parse(struct delivering *delivering, struct sticps_error *err)
{
    const struct sticps_options *options = delivering->deliverer->client->options;
    struct passport_rules rules = PASSPORT_RULES_DEFAULT;
    rules.default_country = options->default_country;
    rules.lab = options->lab;
    return passport_parse(delivering->token, delivering->len, &rules, -1, &delivering->passport,
                          err);
}

/* From the token's called numbers to its targets. */
static enum sticps_err plan(struct delivering *delivering, struct sticps_error *err)
{
    struct deliverer *deliverer = delivering->deliverer;
    struct sticps_delivery *delivery = delivery_new(delivering->passport->dest_len);
    enum sticps_err code = delivery != NULL
                               ? targets_find(deliverer->client, delivering->passport,
                                              deliverer->answer, delivery, err)
                               : fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (code == STICPS_OK) {
        delivering->sendings = calloc(delivery->len, sizeof(*delivering->sendings));
        if (delivering->sendings == NULL)
            code = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    if (code == STICPS_OK)
        delivering->delivery = delivery;
    else
        sticps_delivery_free(delivery);
    return code;
}

static enum sticps_err check_open(const struct deliverer *deliverer, struct sticps_error *err)
{
    if (!atomic_load(&deliverer->closed))
        return STICPS_OK;
    return fail(err, STICPS_ERR_FETCH, NULL, "the client was closed before the CPS was asked");
}

static void end_unsent(struct delivering *delivering, enum sticps_err code,
                       const struct sticps_error *err)
{
    events_note(&delivering->deliverer->client->events, STICPS_EVENT_DELIVERY, code, err);
    end(delivering, code, err);
}

/* What must be waited for to resolve the called numbers is there, or overdue. */
static void send_all(void *ctx)
{
    struct delivering *delivering = ctx;
    struct deliverer *deliverer = delivering->deliverer;
    struct sticps_error err = {0};
    enum sticps_err code = check_open(deliverer, &err);
    if (code == STICPS_OK)
        code = plan(delivering, &err);
    if (code != STICPS_OK) {
        end_unsent(delivering, code, &err);
        return;
    }
    delivering->next = deliverer->first;
    delivering->link = &deliverer->first;
    if (delivering->next != NULL)
        delivering->next->link = &delivering->next;
    deliverer->first = delivering;
    size_t count = delivering->delivery->len;
    delivering->pending = count + 1;
    for (size_t i = 0; i < count; i++) {
        delivering->sendings[i].delivering = delivering;
        delivering->sendings[i].outcome = &delivering->delivery->outcomes[i];
        try_now(&delivering->sendings[i]);
    }
    count_down(delivering);
}

static void begin(struct loop_task *task)
{
    struct delivering *delivering =
        (struct delivering *)((char *)task - offsetof(struct delivering, task));
    struct deliverer *deliverer = delivering->deliverer;
    struct sticps_error err = {0};
    enum sticps_err code = check_open(deliverer, &err);
    if (code == STICPS_OK)
        code = parse(delivering, &err);
    if (code != STICPS_OK)
        end_unsent(delivering, code, &err);
    else if (!targets_wait(deliverer->client, delivering->passport, deliverer->answer,
                           (unsigned)time_left(delivering), send_all, delivering))
        send_all(delivering);
}

/* ---- the calls ---- */

/* Takes a place in the queue. */
static bool take_place(struct deliverer *deliverer)
{
    unsigned limit = deliverer->client->options->deliver_queue;
    unsigned count = atomic_fetch_add(&deliverer->under_way, 1);
    if (count < limit)
        return true;
    atomic_fetch_sub(&deliverer->under_way, 1);
    return false;
}

/* A copy of the token in the queue. */
static enum sticps_err enqueue(struct deliverer *deliverer, const char *token, size_t len,
                               sticps_deliver_fn *callback, void *ctx, struct sticps_error *err)
{
    const struct sticps_options *options = deliverer->client->options;
    if (len > PASSPORT_MAX_BYTES)
        return fail(err, STICPS_ERR_MALFORMED, NULL, "a PASSporT has at most %d bytes",
                    PASSPORT_MAX_BYTES);
    if (atomic_load(&deliverer->closed))
        return fail(err, STICPS_ERR_FETCH, NULL, "the client is being closed");
    if (!take_place(deliverer))
        return fail(err, STICPS_ERR_BUSY, NULL, "%u deliveries are under way already",
                    options->deliver_queue);
    struct delivering *delivering = malloc(sizeof(*delivering) + len);
    if (delivering == NULL) {
        atomic_fetch_sub(&deliverer->under_way, 1);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    *delivering = (struct delivering){
        .task.run = begin,
        .deliverer = deliverer,
        .callback = callback,
        .ctx = ctx,
        .deadline = loop_now() + options->deliver_timeout,
        .len = len,
    };
    if (len > 0)
        memcpy(delivering->token, token, len);
    loop_post(deliverer->client->loop, &delivering->task);
    return STICPS_OK;
}

enum sticps_err sticps_deliver(struct sticps_client *client, const char *token, size_t len,
                               sticps_deliver_fn *callback, void *ctx, struct sticps_error *err)
{
    struct sticps_error why;
    enum sticps_err code = client_check(client, err);
    if (code != STICPS_OK)
        return code;
    code = enqueue(client->deliverer, token, len, callback, ctx, &why);
    if (code == STICPS_OK)
        return code;
    events_note(&client->events, STICPS_EVENT_DELIVERY, code, &why);
    if (err != NULL)
        *err = why;
    return code;
}

unsigned sticps_deliveries_under_way(const struct sticps_client *client)
{
    return atomic_load(&client->deliverer->under_way);
}

const struct latency *deliverer_latency(const struct deliverer *deliverer)
{
    return &deliverer->latency;
}

size_t deliverer_peers(struct deliverer *deliverer, struct peer_facts *out, size_t room)
{
    return peers_list(deliverer->peers, loop_now(), out, room);
}

struct deliver_wait {
    struct loop *loop;
    struct loop_signal done;
    enum sticps_err code;
    struct sticps_error err;
    struct sticps_delivery *delivery;
};

static void on_deliver_wait(void *ctx, enum sticps_err code, const struct sticps_error *err,
                            const struct sticps_delivery *delivery)
{
    struct deliver_wait *wait = ctx;
    wait->code = code;
    wait->err = *err;
    wait->delivery = sticps_delivery_ref(delivery);
    loop_signal_set(wait->loop, &wait->done);
}

enum sticps_err sticps_deliver_wait(struct sticps_client *client, const char *token, size_t len,
                                    struct sticps_delivery **out, struct sticps_error *err)
{
    struct deliver_wait wait = {.loop = client->loop};
    *out = NULL;
    enum sticps_err code = sticps_deliver(client, token, len, on_deliver_wait, &wait, err);
    if (code != STICPS_OK)
        return code;
    loop_wait(client->loop, &wait.done);
    if (wait.code != STICPS_OK && err != NULL)
        *err = wait.err;
    *out = wait.delivery;
    return wait.code;
}

/* ---- life ---- */

enum sticps_err deliverer_new(struct sticps_client *client, struct deliverer **out,
                              struct sticps_error *err)
{
    struct deliverer *deliverer = calloc(1, sizeof(*deliverer));
    if (deliverer != NULL) {
        deliverer->client = client;
        deliverer->random = (uint32_t)loop_now();
        deliverer->peers = peers_new(client->options->deliver_per_cps);
        deliverer->answer = sticps_answer_new();
    }
    if (deliverer == NULL || deliverer->peers == NULL || deliverer->answer == NULL) {
        deliverer_free(deliverer);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    *out = deliverer;
    return STICPS_OK;
}

/* Ends one that waits for its next try; false when there is none. */
static bool end_waiting(struct deliverer *deliverer)
{
    for (struct delivering *at = deliverer->first; at != NULL; at = at->next) {
        for (size_t i = 0; i < at->delivery->len; i++) {
            struct sending *sending = &at->sendings[i];
            if (sending->again.link == NULL)
                continue;
            loop_timer_stop(&sending->again);
            if (sending->signing != NULL) {
                signing_forget(sending->signing);
                sending->signing = NULL;
                fail(&sending->outcome->error, STICPS_ERR_FETCH, sending->outcome->url,
                     "the client was closed before the request token was signed");
            }
            settle(sending, sending->outcome->error.code); /* may free `at` */
            return true;
        }
    }
    return false;
}

void deliverer_close(struct deliverer *deliverer)
{
    atomic_store(&deliverer->closed, true);
    loop_run_posted(deliverer->client->loop); /* what was queued ends here */
    while (end_waiting(deliverer))
        ;
}

bool deliverer_is_closed(const struct deliverer *deliverer)
{
    return atomic_load(&deliverer->closed);
}

void deliverer_free(struct deliverer *deliverer)
{
    if (deliverer == NULL)
        return;
    peers_free(deliverer->peers);
    sticps_answer_free(deliverer->answer);
    free(deliverer);
}
