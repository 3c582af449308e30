#include "client/deliver.h"

#include "client/client.h"
#include "client/delivery.h"
#include "client/latency.h"
#include "client/peers.h"
#include "client/sending.h"
#include "client/targets.h"
#include "common/passport.h"
#include "sticps/resolve.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct deliverer {
    struct sticps_client *client;
    atomic_uint under_way; /* deliveries */
    struct latency latency;
    struct sender sender;

    /* the loop's thread only */
    struct sticps_answer *answer; /* to resolve into: 2 KiB that are not cleared for each call */
    struct delivering *first;
};

/* One CPS of one delivery. */
struct part {
    struct sending sending; /* first */
    struct delivering *delivering;
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
    struct part *parts;
    size_t pending; /* parts without an outcome, and 1 while they are being started */
    size_t len;
    char token[];
};

/* ---- the end ---- */

static void delivering_free(struct delivering *delivering)
{
    for (size_t i = 0; delivering->parts != NULL && i < delivering->delivery->len; i++)
        sending_clear(&delivering->parts[i].sending);
    sticps_delivery_free(delivering->delivery);
    passport_free(delivering->passport);
    free(delivering->parts);
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

static void on_settled(struct sending *sending)
{
    count_down(((struct part *)sending)->delivering);
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
        delivering->parts = calloc(delivery->len, sizeof(*delivering->parts));
        if (delivering->parts == NULL)
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
    if (!atomic_load(&deliverer->sender.closed))
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
        struct part *part = &delivering->parts[i];
        part->delivering = delivering;
        part->sending = (struct sending){
            .sender = &deliverer->sender,
            .outcome = &delivering->delivery->outcomes[i],
            .token = delivering->token,
            .len = delivering->len,
            .deadline = delivering->deadline,
        };
        sending_start(&part->sending);
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
                           (unsigned)loop_time_left(delivering->deadline), send_all, delivering))
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
    if (atomic_load(&deliverer->sender.closed))
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
    return peers_list(deliverer->sender.peers, loop_now(), out, room);
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
    if (deliverer == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    deliverer->client = client;
    deliverer->answer = sticps_answer_new();
    if (!sender_open(&deliverer->sender, client, on_settled) || deliverer->answer == NULL) {
        deliverer_free(deliverer);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    *out = deliverer;
    return STICPS_OK;
}

/* Ends one that waits for its next try; false when there is none. */
static bool end_waiting(struct deliverer *deliverer)
{
    for (struct delivering *at = deliverer->first; at != NULL; at = at->next)
        for (size_t i = 0; i < at->delivery->len; i++)
            if (sending_end_wait(&at->parts[i].sending)) /* `at` may be gone */
                return true;
    return false;
}

void deliverer_close(struct deliverer *deliverer)
{
    atomic_store(&deliverer->sender.closed, true);
    loop_run_posted(deliverer->client->loop); /* what was queued ends here */
    while (end_waiting(deliverer))
        ;
}

bool deliverer_is_closed(const struct deliverer *deliverer)
{
    return atomic_load(&deliverer->sender.closed);
}

void deliverer_free(struct deliverer *deliverer)
{
    if (deliverer == NULL)
        return;
    sender_close(&deliverer->sender);
    sticps_answer_free(deliverer->answer);
    free(deliverer);
}
