#include "server/sti/credentials.h"

#include "common/error.h"
#include "common/siphash.h"

#include <openssl/rand.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

/* A credential's life; set_state is the one place where it changes.
 *
 *   FETCHING ──▶ GOOD ◀──▶ REFRESHING
 *      ▲  └────▶ REFUSED      │
 *      └─── expired ──────────┘ */
enum state {
    FETCHING,   /* nothing to go by; a fetch is under way */
    GOOD,       /* a checked chain */
    REFRESHING, /* a checked chain, and a fetch for a newer one is under way */
    REFUSED,    /* code and err say why */
};

struct credential {
    char *x5u;
    UT_hash_handle hh;
    struct credential *prev, *next; /* in `kept` or `refused`, the one used last at the end */
    enum state state;
    struct cert_chain *chain; /* GOOD, REFRESHING */
    struct spc spc;
    uint64_t generation; /* of the trust set that chain or refusal was judged by */
    int64_t until;       /* Unix seconds: chain or refusal counts before this second */
    int64_t refreshed_at;
    enum sticps_err code;
    struct sticps_error err;
    struct x5u_fetch fetch;
    struct credentials *owner;
    struct credential_wait *waits;
};

struct credentials {
    struct x5u_fetcher *fetcher;
    struct trust *trust;
    const struct clock *clock;
    const struct trust_set *set;
    uint64_t seed[2];
    struct credential *table;
    struct credential *kept, *refused; /* GOOD; REFUSED */
    size_t kept_len, refused_len;
    size_t pending, max_pending;
    struct credentials_counters *counters;
};

/* ---- waiters ---- */

static void wait_add(struct credential_wait **head, struct credential_wait *wait)
{
    wait->next = *head;
    wait->at = head;
    if (wait->next != NULL)
        wait->next->at = &wait->next;
    *head = wait;
}

void credentials_cancel(struct credential_wait *wait)
{
    if (wait->at == NULL)
        return;
    *wait->at = wait->next;
    if (wait->next != NULL)
        wait->next->at = wait->at;
    wait->at = NULL;
}

/* Tells all who wait. Each may cancel others, or wait anew for the same credential. */
static void wake_all(struct credential *credential, const struct credential_answer *answer)
{
    struct credential_wait *head = credential->waits;
    credential->waits = NULL;
    if (head != NULL)
        head->at = &head;
    while (head != NULL) {
        struct credential_wait *wait = head;
        credentials_cancel(wait);
        wait->done(wait, answer);
    }
}

/* ---- table ---- */

static unsigned hash_of(const struct credentials *c, const char *x5u, size_t len)
{
    return (unsigned)siphash(c->seed[0], c->seed[1], x5u, len);
}

static struct credential *find(struct credentials *c, const char *x5u)
{
    struct credential *found = NULL;
    size_t len = strlen(x5u);
    HASH_FIND_BYHASHVALUE(hh, c->table, x5u, len, hash_of(c, x5u, len), found);
    return found;
}

static void leave_list(struct credential *credential)
{
    struct credentials *c = credential->owner;
    if (credential->state == GOOD) {
        DL_DELETE(c->kept, credential);
        c->kept_len--;
    } else if (credential->state == REFUSED) {
        DL_DELETE(c->refused, credential);
        c->refused_len--;
    }
}

static void enter_list(struct credential *credential)
{
    struct credentials *c = credential->owner;
    if (credential->state == GOOD) {
        DL_APPEND(c->kept, credential);
        c->kept_len++;
    } else if (credential->state == REFUSED) {
        DL_APPEND(c->refused, credential);
        c->refused_len++;
    }
}

/* Also marks the credential as the one used last. */
static void set_state(struct credential *credential, enum state state)
{
    leave_list(credential);
    credential->state = state;
    enter_list(credential);
    if (state == FETCHING || state == REFUSED) {
        cert_chain_unref(credential->chain);
        credential->chain = NULL;
    }
}

static void destroy(struct credential *credential)
{
    leave_list(credential);
    HASH_DEL(credential->owner->table, credential);
    cert_chain_unref(credential->chain);
    free(credential->x5u);
    free(credential);
}

static void keep_bounds(struct credentials *c)
{
    while (c->kept_len > CREDENTIALS_KEPT)
        destroy(c->kept);
    while (c->refused_len > CREDENTIALS_REFUSED)
        destroy(c->refused);
}

/* ---- judging ---- */

static void answer_of(const struct credential *credential, struct credential_answer *answer)
{
    *answer = (struct credential_answer){
        .result = CREDENTIAL_REFUSED, .code = credential->code, .err = &credential->err};
    if (credential->state == GOOD || credential->state == REFRESHING) {
        answer->result = CREDENTIAL_READY;
        answer->code = STICPS_OK;
        answer->chain = credential->chain;
        answer->spc = credential->spc;
    }
}

static bool anchors_ready(struct credentials *c, int64_t now)
{
    c->set = trust_current(c->trust, c->set);
    return c->set != NULL && now < c->set->expires;
}

static void refuse(struct credential *credential, enum sticps_err code,
                   const struct sticps_error *err, int64_t until)
{
    credential->code = code;
    credential->err = *err;
    credential->until = until;
    credential->generation =
        credential->owner->set != NULL ? credential->owner->set->generation : 0;
    set_state(credential, REFUSED);
}

/* Checks `chain` against the anchors of now; on success the credential holds it. */
static enum sticps_err judge(struct credential *credential, struct cert_chain *chain, int64_t now,
                             int64_t expires_at, struct sticps_error *err)
{
    struct credentials *c = credential->owner;
    struct spc spc;
    int64_t valid_until = 0;
    enum sticps_err code =
        sti_certificate_check(chain, c->set->anchors, c->set->crl, now, &valid_until, &spc, err);
    if (code != STICPS_OK)
        return code;
    cert_chain_ref(chain);
    cert_chain_unref(credential->chain);
    credential->chain = chain;
    credential->spc = spc;
    credential->generation = c->set->generation;
    credential->until = valid_until < expires_at ? valid_until : expires_at;
    return STICPS_OK;
}

/* ---- fetching ---- */

static void set_pending(struct credentials *c, size_t pending)
{
    c->pending = pending;
    counter_set(&c->counters->pending, pending);
}

static void refused_after_fetch(struct credential *credential, enum sticps_err code,
                                const struct sticps_error *err, int64_t now)
{
    struct credentials *c = credential->owner;
    /* What libsticps keeps of this URL would be refused again; after a while the network is asked.
     */
    c->fetcher->forget(c->fetcher, credential->x5u);
    refuse(credential, code, err, now + CREDENTIALS_REMEMBER);
}

/* The fetch brought a chain, trusted or not. */
static void take_chain(struct credential *credential, const char *pem, size_t len,
                       int64_t expires_at, int64_t now, struct credential_answer *answer)
{
    struct sticps_error err = {0};
    struct cert_chain *chain = NULL;
    enum sticps_err code = cert_chain_parse(pem, len, STICPS_ERR_BAD_IDENTITY_INFO, &chain, &err);
    if (code == STICPS_OK && !anchors_ready(credential->owner, now)) {
        answer->result = CREDENTIAL_NO_ANCHORS;
        refuse(credential, STICPS_ERR_UNSUPPORTED_CREDENTIAL, &err, now);
        cert_chain_unref(chain);
        return;
    }
    if (code == STICPS_OK)
        code = judge(credential, chain, now, expires_at, &err);
    cert_chain_unref(chain);
    if (code == STICPS_OK)
        set_state(credential, GOOD);
    else
        refused_after_fetch(credential, code, &err, now);
    answer_of(credential, answer);
}

/* Nothing usable came. How long that is remembered is libsticps' business. */
static void take_failure(struct credential *credential, enum sticps_err code,
                         const struct sticps_error *err, int64_t now,
                         struct credential_answer *answer)
{
    if (code == STICPS_ERR_NO_MEMORY)
        answer->result = CREDENTIAL_BUSY;
    else
        answer->code = STICPS_ERR_BAD_IDENTITY_INFO;
    if (credential->state == REFRESHING)
        set_state(credential, GOOD); /* the kept chain goes on serving others */
    else
        refuse(credential, STICPS_ERR_BAD_IDENTITY_INFO, err, now);
}

static void on_fetched(struct x5u_fetch *fetch, enum sticps_err code,
                       const struct sticps_error *err, const char *pem, size_t len,
                       int64_t expires_at, bool fresh)
{
    struct credential *credential =
        (struct credential *)((char *)fetch - offsetof(struct credential, fetch));
    struct credentials *c = credential->owner;
    int64_t now = clock_now(c->clock);
    struct credential_answer answer = {.result = CREDENTIAL_REFUSED, .code = code, .err = err};

    set_pending(c, c->pending - 1);
    if (code == STICPS_OK)
        take_chain(credential, pem, len, expires_at, now, &answer);
    else
        take_failure(credential, code, err, now, &answer);
    answer.fresh = fresh;

    /* A waiter may replace or evict what this credential holds: the answer keeps the chain alive.
     */
    struct cert_chain *chain = answer.chain != NULL ? cert_chain_ref(answer.chain) : NULL;
    struct sticps_error copy = answer.err != NULL ? *answer.err : (struct sticps_error){0};
    answer.err = &copy;
    wake_all(credential, &answer);
    cert_chain_unref(chain);
    keep_bounds(c);
}

/* Queues `wait`, and fetches if no fetch is under way. */
static void fetch_and_wait(struct credential *credential, enum state state,
                           struct credential_wait *wait, struct credential_answer *answer)
{
    struct credentials *c = credential->owner;
    bool under_way = credential->state == FETCHING || credential->state == REFRESHING;
    if (!under_way && c->pending >= c->max_pending) {
        *answer = (struct credential_answer){.result = CREDENTIAL_BUSY};
        return;
    }
    set_state(credential, state);
    *answer = (struct credential_answer){.result = CREDENTIAL_WAITING};
    wait_add(&credential->waits, wait);
    if (!under_way) {
        set_pending(c, c->pending + 1);
        c->fetcher->fetch(c->fetcher, &credential->fetch);
    }
}

/* ---- the interface ---- */

static struct credential *add(struct credentials *c, const char *x5u)
{
    struct credential *credential = calloc(1, sizeof(*credential));
    char *copy = strdup(x5u);
    if (credential == NULL || copy == NULL) {
        free(credential);
        free(copy);
        return NULL;
    }
    credential->x5u = copy;
    credential->owner = c;
    credential->state = REFUSED; /* since ever: until is 0 */
    credential->fetch.url = copy;
    credential->fetch.done = on_fetched;
    size_t len = strlen(copy);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, c->table, credential->x5u, len, hash_of(c, copy, len),
                                credential);
    enter_list(credential);
    return credential;
}

/* Other anchors than the chain was judged by: judge again, without a fetch. */
static void judge_again(struct credential *credential, int64_t now)
{
    struct sticps_error err = {0};
    enum sticps_err code = judge(credential, credential->chain, now, credential->until, &err);
    if (code == STICPS_OK)
        return;
    if (credential->state == GOOD)
        refuse(credential, code, &err, now + CREDENTIALS_REMEMBER);
    else
        set_state(credential, FETCHING);
}

bool credentials_known(struct credentials *c, const char *x5u, int64_t now)
{
    const struct credential *credential = find(c, x5u);
    if (credential == NULL)
        return false;
    if (credential->state == FETCHING || credential->state == REFRESHING)
        return true;
    bool judged_now = c->set != NULL && credential->generation == c->set->generation;
    return now < credential->until && (credential->state == GOOD || judged_now);
}

static void get(struct credentials *c, const char *x5u, int64_t now, struct credential_wait *wait,
                struct credential_answer *answer)
{
    if (!anchors_ready(c, now)) {
        *answer = (struct credential_answer){.result = CREDENTIAL_NO_ANCHORS};
        return;
    }
    struct credential *credential = find(c, x5u);
    if (credential == NULL && c->pending >= c->max_pending) {
        *answer = (struct credential_answer){.result = CREDENTIAL_BUSY};
        return;
    }
    if (credential == NULL)
        credential = add(c, x5u);
    if (credential == NULL) {
        *answer = (struct credential_answer){.result = CREDENTIAL_BUSY};
        return;
    }

    bool has_chain = credential->state == GOOD || credential->state == REFRESHING;
    if (has_chain && now < credential->until && credential->generation != c->set->generation)
        judge_again(credential, now);
    bool settled = credential->state != FETCHING && now < credential->until;
    if (settled && credential->state == REFUSED)
        settled = credential->generation == c->set->generation;
    if (!settled) {
        fetch_and_wait(credential, FETCHING, wait, answer);
        return;
    }
    if (credential->state == GOOD)
        set_state(credential, GOOD);
    answer_of(credential, answer);
}

static void count_answer(struct credentials_counters *counters, enum credential_result result)
{
    switch (result) {
    case CREDENTIAL_READY:
        counter_add(&counters->hits, 1);
        break;
    case CREDENTIAL_WAITING:
        counter_add(&counters->misses, 1);
        break;
    case CREDENTIAL_REFUSED:
        counter_add(&counters->refused, 1);
        break;
    case CREDENTIAL_BUSY:
        counter_add(&counters->busy, 1);
        break;
    case CREDENTIAL_NO_ANCHORS: /* the verdict NOT_READY says so */
        break;
    }
}

void credentials_get(struct credentials *c, const char *x5u, int64_t now,
                     struct credential_wait *wait, struct credential_answer *answer)
{
    get(c, x5u, now, wait, answer);
    count_answer(c->counters, answer->result);
}

void credentials_refresh(struct credentials *c, const char *x5u, int64_t now,
                         struct credential_wait *wait, struct credential_answer *answer)
{
    struct credential *credential = find(c, x5u);
    if (credential == NULL || credential->state == FETCHING || credential->state == REFUSED) {
        credentials_get(c, x5u, now, wait, answer);
        return;
    }
    bool lately = now >= credential->refreshed_at &&
                  now - credential->refreshed_at < CREDENTIALS_REFRESH_EVERY;
    if (credential->state == GOOD && lately) {
        *answer = (struct credential_answer){.result = CREDENTIAL_REFUSED};
        return;
    }
    if (credential->state == GOOD) {
        if (c->pending < c->max_pending) {
            credential->refreshed_at = now;
            c->fetcher->forget(c->fetcher, x5u);
        }
    }
    fetch_and_wait(credential, REFRESHING, wait, answer);
}

enum sticps_err credentials_new(struct x5u_fetcher *fetcher, struct trust *trust,
                                const struct clock *clock, size_t max_pending,
                                struct credentials_counters *counters, struct credentials **out,
                                struct sticps_error *err)
{
    struct credentials *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (RAND_bytes((unsigned char *)c->seed, sizeof(c->seed)) != 1) {
        free(c);
        return fail(err, STICPS_ERR_CRYPTO, NULL, "OpenSSL gives no random numbers");
    }
    c->fetcher = fetcher;
    c->trust = trust;
    c->clock = clock;
    c->max_pending = max_pending;
    c->counters = counters;
    *out = c;
    return STICPS_OK;
}

void credentials_free(struct credentials *c)
{
    if (c == NULL)
        return;
    struct credential *credential, *next;
    HASH_ITER(hh, c->table, credential, next)
    {
        destroy(credential);
    }
    trust_set_unref(c->set);
    free(c);
}
