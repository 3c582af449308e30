#include "server/cps/store_memory.h"

#include "common/error.h"
#include "server/cps/siphash.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ITEMS 3
#define WAITER_BUCKETS 4096
#define MAX_WINDOW 86400 /* seconds; bounds the ring of expiry times */

/* A place in a doubly linked chain: `at` is whatever points here. */
struct hook {
    struct hook *next;
    struct hook **at;
};

/* An entry's place under one of its dest numbers. */
struct place {
    struct hook hook; /* first: a hook of `calls` is a place */
    struct entry *entry;
    uint64_t dest;
};

/* A PASSporT that is held (token and places are there), or the digest of one handed over. */
struct entry {
    struct hook by_digest; /* first: a hook of `digests` is an entry */
    struct hook by_expiry;
    unsigned char digest[32];
    int64_t expires; /* the last second of its life */
    uint64_t orig;
    struct store_token *token;
    struct place *places;
    size_t places_len;
};

struct store_memory {
    struct store base;
    struct store_settings settings;
    EVP_MD *sha256;
    uint64_t seed[4]; /* two for numbers, two for digests */
    pthread_mutex_t lock;
    /* under the lock: */
    struct hook **calls;   /* places by dest and orig */
    struct hook **digests; /* entries by digest */
    size_t mask;           /* buckets of both, less one */
    struct hook **ring;    /* entries by `expires` modulo ring_len */
    size_t ring_len;
    int64_t swept; /* what expired in this second and before is gone */
    struct store_waiter *waiters[WAITER_BUCKETS];
    uint64_t order;
    struct store_usage usage;
};

static struct store_memory *self(struct store *store)
{
    return (struct store_memory *)store;
}

static void hook_insert(struct hook **head, struct hook *hook)
{
    hook->next = *head;
    hook->at = head;
    if (hook->next != NULL)
        hook->next->at = &hook->next;
    *head = hook;
}

static void hook_remove(struct hook *hook)
{
    *hook->at = hook->next;
    if (hook->next != NULL)
        hook->next->at = hook->at;
}

static struct entry *entry_of_expiry(struct hook *hook)
{
    return (struct entry *)((char *)hook - offsetof(struct entry, by_expiry));
}

void store_tokens_free(struct store_token *tokens)
{
    while (tokens != NULL) {
        struct store_token *next = tokens->next;
        free(tokens);
        tokens = next;
    }
}

/* ---- entries ---- */

static void entry_free(struct entry *entry)
{
    if (entry == NULL)
        return;
    free(entry->token);
    free(entry->places);
    free(entry);
}

static size_t entry_bytes(const struct entry *entry)
{
    size_t bytes = sizeof(*entry) + entry->places_len * sizeof(*entry->places);
    return entry->token == NULL ? bytes : bytes + sizeof(*entry->token) + entry->token->len + 1;
}

/* The digest starts with a secret, so that nobody outside can aim for one bucket. */
static bool digest_token(const struct store_memory *m, const struct store_item *item,
                         unsigned char digest[32])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, m->sha256, NULL) == 1 &&
              EVP_DigestUpdate(ctx, &m->seed[2], 2 * sizeof(m->seed[0])) == 1 &&
              EVP_DigestUpdate(ctx, item->text, item->len) == 1 &&
              EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* NULL when out of memory, or when OpenSSL does not work. */
static struct entry *entry_new(const struct store_memory *m, const struct store_call *call,
                               const struct store_item *item)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return NULL;
    entry->places = calloc(call->dest_len, sizeof(*entry->places));
    entry->token = malloc(sizeof(*entry->token) + item->len + 1);
    if (entry->places == NULL || entry->token == NULL || !digest_token(m, item, entry->digest)) {
        entry_free(entry);
        return NULL;
    }
    entry->token->next = NULL;
    entry->token->iat = item->iat;
    entry->token->len = item->len;
    memcpy(entry->token->text, item->text, item->len);
    entry->token->text[item->len] = '\0';
    entry->expires = item->iat + m->settings.max_age;
    entry->orig = tn_key(call->orig);
    entry->places_len = call->dest_len;
    for (size_t i = 0; i < call->dest_len; i++) {
        entry->places[i].entry = entry;
        entry->places[i].dest = tn_key(&call->dest[i]);
    }
    return entry;
}

/* ---- tables; all under the lock ---- */

static uint64_t call_hash(const struct store_memory *m, uint64_t dest, uint64_t orig)
{
    uint64_t key[2] = {dest, orig};
    return siphash(m->seed[0], m->seed[1], key, sizeof(key));
}

static struct hook **call_bucket(const struct store_memory *m, uint64_t dest, uint64_t orig)
{
    return &m->calls[call_hash(m, dest, orig) & m->mask];
}

static struct hook **digest_bucket(const struct store_memory *m, const unsigned char digest[32])
{
    uint64_t word;
    memcpy(&word, digest, sizeof(word));
    return &m->digests[word & m->mask];
}

static struct hook **expiry_bucket(const struct store_memory *m, int64_t expires)
{
    return &m->ring[(uint64_t)expires % m->ring_len];
}

static bool digest_known(const struct store_memory *m, const unsigned char digest[32])
{
    for (struct hook *at = *digest_bucket(m, digest); at != NULL; at = at->next)
        if (memcmp(((struct entry *)at)->digest, digest, 32) == 0)
            return true;
    return false;
}

static void count(struct store_memory *m, const struct entry *entry, bool in)
{
    size_t *counter = entry->token != NULL ? &m->usage.held : &m->usage.remembered;
    if (in) {
        m->usage.bytes += entry_bytes(entry);
        ++*counter;
    } else {
        m->usage.bytes -= entry_bytes(entry);
        --*counter;
    }
}

static void insert(struct store_memory *m, struct entry *entry)
{
    hook_insert(digest_bucket(m, entry->digest), &entry->by_digest);
    hook_insert(expiry_bucket(m, entry->expires), &entry->by_expiry);
    for (size_t i = 0; i < entry->places_len; i++)
        hook_insert(call_bucket(m, entry->places[i].dest, entry->orig), &entry->places[i].hook);
    entry->token->order = m->order++;
    count(m, entry, true);
}

static void remove_places(struct entry *entry)
{
    for (size_t i = 0; i < entry->places_len; i++)
        hook_remove(&entry->places[i].hook);
}

static void remove_and_free(struct store_memory *m, struct entry *entry)
{
    count(m, entry, false);
    remove_places(entry);
    hook_remove(&entry->by_digest);
    hook_remove(&entry->by_expiry);
    entry_free(entry);
}

/* Turns a held PASSporT into the memory of one; returns what was held. */
static struct store_token *hand_over(struct store_memory *m, struct entry *entry)
{
    struct store_token *token = entry->token;
    count(m, entry, false);
    remove_places(entry);
    free(entry->places);
    entry->places = NULL;
    entry->places_len = 0;
    entry->token = NULL;
    hook_remove(&entry->by_expiry);
    entry->expires += m->settings.max_ahead;
    hook_insert(expiry_bucket(m, entry->expires), &entry->by_expiry);
    count(m, entry, true);
    return token;
}

/* Removes what lived no longer than to the second before `now`. Each second's bucket is visited
 * once; an entry in it that is not due belongs to a later round (the clock was set back). */
static void sweep(struct store_memory *m, int64_t now)
{
    int64_t target = now - 1, ring_len = (int64_t)m->ring_len;
    if (target < m->swept)
        m->swept = target;
    if (target - m->swept > ring_len)
        m->swept = target - ring_len;
    while (m->swept < target) {
        struct hook *next;
        for (struct hook *at = *expiry_bucket(m, ++m->swept); at != NULL; at = next) {
            next = at->next;
            struct entry *entry = entry_of_expiry(at);
            if (entry->expires <= target)
                remove_and_free(m, entry);
        }
    }
}

/* ---- waiters; under the lock ---- */

static struct store_waiter **waiter_bucket(struct store_memory *m, uint64_t dest, uint64_t orig)
{
    return &m->waiters[call_hash(m, dest, orig) % WAITER_BUCKETS];
}

static void waiter_remove(struct store_waiter *waiter)
{
    *waiter->link = waiter->next;
    if (waiter->next != NULL)
        waiter->next->link = waiter->link;
    waiter->link = NULL;
}

static void wake_waiters(struct store_memory *m, uint64_t dest, uint64_t orig)
{
    struct store_waiter *next;
    for (struct store_waiter *at = *waiter_bucket(m, dest, orig); at != NULL; at = next) {
        next = at->next;
        if (at->dest == dest && at->orig == orig) {
            waiter_remove(at);
            at->wake(at);
        }
    }
}

/* ---- the interface ---- */

/* Do the entries that are new fit, all together? */
static bool fits(const struct store_memory *m, struct entry *const *entries, size_t len)
{
    size_t added = 0, bytes = 0;
    for (size_t i = 0; i < len; i++) {
        if (digest_known(m, entries[i]->digest))
            continue;
        added++;
        bytes += entry_bytes(entries[i]);
    }
    return m->usage.held + m->usage.remembered + added <= m->settings.max_entries &&
           m->usage.bytes + bytes <= m->settings.max_bytes;
}

/* Takes over the entries that are to be held; leaves the others in `entries`. */
static enum store_result put_locked(struct store_memory *m, struct entry **entries, size_t len,
                                    int64_t now)
{
    sweep(m, now);
    if (!fits(m, entries, len))
        return STORE_FULL;
    for (size_t i = 0; i < len; i++) {
        struct entry *entry = entries[i];
        if (entry->expires < now || digest_known(m, entry->digest))
            continue;
        insert(m, entry);
        entries[i] = NULL;
        for (size_t j = 0; j < entry->places_len; j++)
            wake_waiters(m, entry->places[j].dest, entry->orig);
    }
    return STORE_HELD;
}

static void memory_put(struct store *store, const struct store_call *call,
                       const struct store_item *items, size_t len, int64_t now, store_on_put *done,
                       void *arg)
{
    struct store_memory *m = self(store);
    struct entry *entries[MAX_ITEMS] = {NULL};
    enum store_result result = len <= MAX_ITEMS ? STORE_HELD : STORE_FAILED;
    for (size_t i = 0; i < len && result == STORE_HELD; i++) {
        entries[i] = entry_new(m, call, &items[i]);
        if (entries[i] == NULL)
            result = STORE_FAILED;
    }
    if (result == STORE_HELD) {
        pthread_mutex_lock(&m->lock);
        result = put_locked(m, entries, len, now);
        pthread_mutex_unlock(&m->lock);
    }
    for (size_t i = 0; i < MAX_ITEMS; i++)
        entry_free(entries[i]);
    done(arg, result);
}

/* The first entry that is held for a call, at or after `from` in its bucket's chain. */
static struct entry *find_held(struct hook *from, uint64_t dest, uint64_t orig, int64_t now)
{
    for (struct hook *at = from; at != NULL; at = at->next) {
        struct place *place = (struct place *)at;
        if (place->dest == dest && place->entry->orig == orig && place->entry->expires >= now)
            return place->entry;
    }
    return NULL;
}

/* Newest iat first; of equal ones the one that came last. */
static int by_age(const void *a, const void *b)
{
    const struct store_token *x = *(struct store_token *const *)a;
    const struct store_token *y = *(struct store_token *const *)b;
    if (x->iat != y->iat)
        return x->iat < y->iat ? 1 : -1;
    return x->order < y->order ? 1 : x->order > y->order ? -1 : 0;
}

/* A chain that cannot be sorted for want of memory stays as it is: late in order, but not lost. */
static struct store_token *sorted(struct store_token *tokens, size_t len)
{
    struct store_token **array = len > 1 ? malloc(len * sizeof(struct store_token *)) : NULL;
    if (array == NULL)
        return tokens;
    size_t i = 0;
    for (struct store_token *at = tokens; at != NULL; at = at->next)
        array[i++] = at;
    qsort(array, len, sizeof(struct store_token *), by_age);
    for (i = 0; i + 1 < len; i++)
        array[i]->next = array[i + 1];
    array[len - 1]->next = NULL;
    tokens = array[0];
    free(array);
    return tokens;
}

static void memory_take(struct store *store, const struct tn *dest, const struct tn *orig,
                        int64_t now, store_on_take *done, void *arg)
{
    struct store_memory *m = self(store);
    uint64_t dest_key = tn_key(dest), orig_key = tn_key(orig);
    struct store_token *tokens = NULL;
    size_t len = 0;

    pthread_mutex_lock(&m->lock);
    sweep(m, now);
    struct hook **bucket = call_bucket(m, dest_key, orig_key);
    struct entry *entry;
    while ((entry = find_held(*bucket, dest_key, orig_key, now)) != NULL) {
        struct store_token *token = hand_over(m, entry);
        token->next = tokens;
        tokens = token;
        len++;
    }
    pthread_mutex_unlock(&m->lock);

    done(arg, STORE_HELD, sorted(tokens, len));
}

static bool memory_wait(struct store *store, struct store_waiter *waiter, const struct tn *dest,
                        const struct tn *orig, int64_t now)
{
    struct store_memory *m = self(store);
    waiter->dest = tn_key(dest);
    waiter->orig = tn_key(orig);
    waiter->link = NULL;

    pthread_mutex_lock(&m->lock);
    bool held = find_held(*call_bucket(m, waiter->dest, waiter->orig), waiter->dest, waiter->orig,
                          now) != NULL;
    if (!held) {
        struct store_waiter **head = waiter_bucket(m, waiter->dest, waiter->orig);
        waiter->next = *head;
        waiter->link = head;
        if (waiter->next != NULL)
            waiter->next->link = &waiter->next;
        *head = waiter;
    }
    pthread_mutex_unlock(&m->lock);
    return !held;
}

static void memory_wait_cancel(struct store *store, struct store_waiter *waiter)
{
    struct store_memory *m = self(store);
    pthread_mutex_lock(&m->lock);
    if (waiter->link != NULL)
        waiter_remove(waiter);
    pthread_mutex_unlock(&m->lock);
}

static void memory_expire(struct store *store, int64_t now)
{
    struct store_memory *m = self(store);
    pthread_mutex_lock(&m->lock);
    sweep(m, now);
    pthread_mutex_unlock(&m->lock);
}

static void memory_usage(struct store *store, struct store_usage *out)
{
    struct store_memory *m = self(store);
    pthread_mutex_lock(&m->lock);
    *out = m->usage;
    pthread_mutex_unlock(&m->lock);
}

static void memory_free(struct store *store)
{
    struct store_memory *m = self(store);
    for (size_t i = 0; m->ring != NULL && i < m->ring_len; i++)
        while (m->ring[i] != NULL)
            remove_and_free(m, entry_of_expiry(m->ring[i]));
    pthread_mutex_destroy(&m->lock);
    EVP_MD_free(m->sha256);
    free(m->calls);
    free(m->digests);
    free(m->ring);
    free(m);
}

static const struct store_ops memory_ops = {memory_put,         memory_take,   memory_wait,
                                            memory_wait_cancel, memory_expire, memory_usage,
                                            memory_free};

enum sticps_err store_memory_new(const struct store_settings *settings, struct store **out,
                                 struct sticps_error *err)
{
    if (settings->max_entries < 1 || settings->max_entries > (size_t)1 << 30)
        return fail(err, STICPS_ERR_USAGE, NULL, "a store holds 1 to 2^30 entries");
    if (settings->max_age < 0 || settings->max_age > MAX_WINDOW || settings->max_ahead < 0 ||
        settings->max_ahead > MAX_WINDOW)
        return fail(err, STICPS_ERR_USAGE, NULL, "a window of time is 0 to %d seconds", MAX_WINDOW);

    struct store_memory *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    size_t buckets = 64;
    while (buckets < settings->max_entries)
        buckets *= 2;
    m->base.ops = &memory_ops;
    m->settings = *settings;
    m->mask = buckets - 1;
    m->ring_len = (size_t)(settings->max_age + 2 * settings->max_ahead + 2);
    pthread_mutex_init(&m->lock, NULL);
    m->calls = calloc(buckets, sizeof(struct hook *));
    m->digests = calloc(buckets, sizeof(struct hook *));
    m->ring = calloc(m->ring_len, sizeof(struct hook *));
    if (m->calls == NULL || m->digests == NULL || m->ring == NULL) {
        memory_free(&m->base);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory for a store of %zu entries",
                    settings->max_entries);
    }
    m->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (m->sha256 == NULL || RAND_bytes((unsigned char *)m->seed, sizeof(m->seed)) != 1) {
        memory_free(&m->base);
        return fail(err, STICPS_ERR_CRYPTO, NULL, "OpenSSL gives no SHA-256 or no random numbers");
    }
    *out = &m->base;
    return STICPS_OK;
}
