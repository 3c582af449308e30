#include "client/sending.h"

#include "client/client.h"
#include "client/peers.h"
#include "client/signing.h"
#include "common/url.h"

#include <stdlib.h>
#include <string.h>

#define MAX_REPLY (64 * 1024)
#define SHORTEST_TRY_MS 10 /* with less time left there is no further one */
#define FIRST_BACKOFF_MS 20
#define MOST_TRIES 8

static void try_now(struct sending *sending);

static void settle(struct sending *sending, enum sticps_err code)
{
    struct outcome *outcome = sending->outcome;
    outcome->code = code;
    if (code == STICPS_ERR_FETCH && outcome->tries > 1)
        fail_context(&outcome->error, "after %u tries", outcome->tries);
    events_note(&sending->sender->client->events, STICPS_EVENT_DELIVERY, code, &outcome->error);
    sending->sender->settled(sending);
}

/* ---- trying, and trying again ---- */

static uint64_t time_left(const struct sending *sending)
{
    return loop_time_left(sending->deadline);
}

static void on_again(struct loop_timer *timer)
{
    try_now((struct sending *)((char *)timer - offsetof(struct sending, again)));
}

/* After the pause for this try: doubled each time, and between a half and the whole of it, so that
 * what failed together does not come back together. */
static unsigned backoff_ms(struct sender *sender, unsigned tries)
{
    unsigned whole = FIRST_BACKOFF_MS << (tries - 1);
    sender->random = sender->random * 1664525u + 1013904223u;
    return whole / 2 + sender->random / 65536 % (whole / 2 + 1);
}

/* False when the time is up. */
static bool try_later(struct sending *sending)
{
    struct sender *sender = sending->sender;
    unsigned tries = sending->outcome->tries;
    if (tries >= MOST_TRIES || atomic_load(&sender->closed))
        return false;
    unsigned ms = backoff_ms(sender, tries);
    if (time_left(sending) < ms + SHORTEST_TRY_MS)
        return false;
    loop_timer_set(sender->client->loop, &sending->again, ms, on_again);
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

/* Not at once: the caller may be inside libcurl. */
static void serve_soon(struct sender *sender)
{
    if (sender->serving || !peers_are_due(sender->peers))
        return;
    sender->serving = true;
    loop_post(sender->client->loop, &sender->serve);
}

static void on_connected(void *ctx)
{
    struct sending *sending = ctx;
    peers_connected(sending->sender->peers, &sending->visit, loop_now());
    serve_soon(sending->sender);
}

static void leave(struct sending *sending, enum peer_outcome outcome, int64_t retry_after)
{
    struct sender *sender = sending->sender;
    bool paused = peers_leave(sender->peers, &sending->visit, outcome, retry_after, loop_now());
    serve_soon(sender);
    if (!paused)
        return;
    struct sticps_error err;
    fail(&err, STICPS_ERR_PAUSED, sending->outcome->url,
         retry_after > 0 ? "the CPS asks to be left in peace for %lld s, and is"
                         : "the CPS fails again and again, and is left in peace for a while",
         (long long)retry_after);
    events_note(&sender->client->events, STICPS_EVENT_PAUSE, STICPS_ERR_PAUSED, &err);
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
    struct sticps_client *client = sending->sender->client;
    uint64_t left = time_left(sending);
    if (answer->status != 401 || !answer->wants_bearer || sending->bearer != NULL ||
        !signing_is_possible(client->options) || left == 0 || atomic_load(&sending->sender->closed))
        return false;
    loop_timer_set(client->loop, &sending->again, (unsigned)left, on_unsigned);
    signing_start(client->options, client->loop, sending->outcome->url, sending->token,
                  sending->len, &sending->signing, on_signed, sending);
    return true;
}

static void on_posted(void *ctx, enum sticps_err code, const struct sticps_error *err,
                      const struct fetch_answer *answer)
{
    struct sending *sending = ctx;
    struct outcome *outcome = sending->outcome;
    const struct sticps_options *options = sending->sender->client->options;
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
        bool closing = atomic_load(&sending->sender->closed);
        leave(sending, closing || code == STICPS_ERR_NO_MEMORY ? PEER_UNKNOWN : PEER_FAILED, -1);
    }
    if (!again || !try_later(sending))
        settle(sending, code);
}

/* The first try may take half of the time until it is connected, so that a packet lost at the start
 * costs a delay and not the delivery. */
static enum sticps_err post(struct sending *sending, uint64_t left)
{
    struct sticps_client *client = sending->sender->client;
    struct fetch_request request = {
        .url = sending->outcome->url,
        .timeout_ms = (unsigned)left,
        .connect_ms = sending->outcome->tries == 0 ? (unsigned)(left + 1) / 2 : 0,
        .max_body = MAX_REPLY,
        .content_type = "application/passport",
        .body = sending->token,
        .body_len = sending->len,
        .bearer = sending->bearer,
        .connected = on_connected,
        .transient = &sending->transient,
    };
    sending->outcome->tries++;
    return fetch_start(client->fetcher, &request, on_posted, sending, &sending->outcome->error);
}

/* ---- whose turn it is ---- */

/* Why it is not tried, or not again. What the CPS did at an earlier try says more. */
static void give_up(struct sending *sending, const struct sticps_error *why)
{
    if (sending->outcome->error.code == STICPS_OK)
        sending->outcome->error = *why;
    settle(sending, sending->outcome->error.code);
}

/* It has waited until it was too late. */
static void leave_unserved(struct sending *sending)
{
    struct sticps_error why = {0};
    leave(sending, PEER_UNKNOWN, -1);
    fail(&why, STICPS_ERR_NO_CONNECTION, sending->outcome->url,
         "not asked: others had all connections to this CPS until the deadline");
    give_up(sending, &why);
}

static void on_unserved(struct loop_timer *timer)
{
    leave_unserved((struct sending *)((char *)timer - offsetof(struct sending, again)));
}

/* So many may wait for one CPS as there are places left in the queue: one that is slow gets half of
 * them, and others still have theirs. */
static size_t room_to_wait(struct sticps_client *client)
{
    unsigned taken = sticps_deliveries_under_way(client), all = client->options->deliver_queue;
    return taken < all ? all - taken : 0;
}

/* What becomes of one that the CPS's peer has given this entry. */
static void go_on(struct sending *sending, enum peer_entry entry, uint64_t wait_ms)
{
    struct loop *loop = sending->sender->client->loop;
    struct outcome *outcome = sending->outcome;
    uint64_t left = time_left(sending);
    struct sticps_error why = {0};
    enum sticps_err code;
    switch (entry) {
    case PEER_ENTERED:
        code = post(sending, left);
        if (code == STICPS_OK)
            return;
        leave(sending, PEER_UNKNOWN, -1);
        settle(sending, code);
        return;
    case PEER_WAITS:
        loop_timer_set(loop, &sending->again, (unsigned)left, on_unserved);
        return;
    case PEER_PAUSED:
        fail(&why, STICPS_ERR_PAUSED, outcome->url,
             "not asked: this CPS failed again and again, or asked for it; it is tried again in "
             "%llu ms",
             (unsigned long long)wait_ms);
        break;
    case PEER_FULL:
        fail(&why, STICPS_ERR_BUSY, outcome->url,
             "not asked: too many others wait for this CPS already");
        break;
    default:
        fail(&why, STICPS_ERR_NO_MEMORY, outcome->url, "out of memory");
    }
    give_up(sending, &why);
}

static void try_now(struct sending *sending)
{
    struct sender *sender = sending->sender;
    const char *text = sending->outcome->url;
    struct sticps_error why = {0};
    struct url url;
    uint64_t wait_ms = 0;
    enum sticps_err code = url_parse(text, strlen(text), &url, &why);
    if (code == STICPS_OK &&
        time_left(sending) == 0) /* the former: not with what a list may hold */
        code =
            fail(&why, STICPS_ERR_FETCH, text, "the deadline passed before the CPS could be asked");
    if (code != STICPS_OK) {
        give_up(sending, &why);
        return;
    }
    sending->visit.deadline = sending->deadline;
    go_on(sending,
          peers_enter(sender->peers, &url, loop_now(), room_to_wait(sender->client),
                      &sending->visit, &wait_ms),
          wait_ms);
}

static void serve(struct loop_task *task)
{
    struct sender *sender = (struct sender *)((char *)task - offsetof(struct sender, serve));
    struct peer_visit *visit;
    enum peer_entry entry;
    uint64_t wait_ms = 0;
    sender->serving = false;
    while ((visit = peers_next(sender->peers, loop_now(), &entry, &wait_ms)) != NULL) {
        struct sending *sending =
            (struct sending *)((char *)visit - offsetof(struct sending, visit));
        loop_timer_stop(&sending->again);
        if (entry == PEER_ENTERED && time_left(sending) < SHORTEST_TRY_MS)
            leave_unserved(sending); /* a try that must fail would be held against the CPS */
        else
            go_on(sending, entry, wait_ms);
    }
}

/* ---- for deliver.c ---- */

bool sender_open(struct sender *sender, struct sticps_client *client,
                 void (*settled)(struct sending *sending))
{
    sender->client = client;
    sender->settled = settled;
    sender->serve.run = serve;
    sender->random = (uint32_t)loop_now();
    sender->peers = peers_new(client->options->deliver_per_cps, PEER_CONNECTING);
    return sender->peers != NULL;
}

void sender_close(struct sender *sender)
{
    peers_free(sender->peers);
}

void sending_start(struct sending *sending)
{
    try_now(sending);
}

bool sending_end_wait(struct sending *sending)
{
    if (!loop_timer_is_set(&sending->again))
        return false;
    loop_timer_stop(&sending->again);
    struct sticps_error why = {0};
    bool signing = sending->signing != NULL;
    if (sending->visit.state == PEER_VISIT_WAITS)
        leave(sending, PEER_UNKNOWN, -1);
    if (signing) {
        signing_forget(sending->signing);
        sending->signing = NULL;
        sending->outcome->error = (struct sticps_error){0}; /* a challenge is no refusal */
    }
    fail(&why, STICPS_ERR_FETCH, sending->outcome->url, "the client was closed before %s",
         signing ? "the request token was signed" : "the CPS was asked");
    give_up(sending, &why);
    return true;
}

void sending_clear(struct sending *sending)
{
    free(sending->bearer);
}
