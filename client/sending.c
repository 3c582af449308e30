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

static void leave(struct sending *sending, enum peer_outcome outcome, int64_t retry_after)
{
    struct sender *sender = sending->sender;
    bool paused = peers_leave(sender->peers, sending->peer, outcome, retry_after, loop_now());
    sending->peer = NULL;
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
        .transient = &sending->transient,
    };
    sending->outcome->tries++;
    return fetch_start(client->fetcher, &request, on_posted, sending, &sending->outcome->error);
}

/* Whether the CPS may be asked now; the outcome's error says why not. */
static enum sticps_err enter(struct sending *sending)
{
    struct sender *sender = sending->sender;
    struct outcome *outcome = sending->outcome;
    struct url url;
    uint64_t wait_ms = 0;
    enum sticps_err code = url_parse(outcome->url, strlen(outcome->url), &url, &outcome->error);
    if (code != STICPS_OK) /* not with what a list may hold */
        return code;
    switch (peers_enter(sender->peers, &url, loop_now(), &sending->peer, &wait_ms)) {
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
                    sender->client->options->deliver_per_cps);
    default:
        return fail(&outcome->error, STICPS_ERR_NO_MEMORY, outcome->url, "out of memory");
    }
}

static void try_now(struct sending *sending)
{
    uint64_t left = time_left(sending);
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

/* ---- for deliver.c ---- */

bool sender_open(struct sender *sender, struct sticps_client *client,
                 void (*settled)(struct sending *sending))
{
    sender->client = client;
    sender->settled = settled;
    sender->random = (uint32_t)loop_now();
    sender->peers = peers_new(client->options->deliver_per_cps);
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
    if (sending->signing != NULL) {
        signing_forget(sending->signing);
        sending->signing = NULL;
        fail(&sending->outcome->error, STICPS_ERR_FETCH, sending->outcome->url,
             "the client was closed before the request token was signed");
    }
    settle(sending, sending->outcome->error.code);
    return true;
}

void sending_clear(struct sending *sending)
{
    free(sending->bearer);
}
