#include "server/cps/store_table.h"

#include "common/error.h"
#include "common/siphash.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

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

struct store_table {
    struct store_settings settings;
    EVP_MD *sha256;
    uint64_t seed[4];      /* two for numbers, two for digests */
    struct hook **calls;   /* places by dest and orig */
    struct hook **digests; /* entries by digest */
    size_t mask;           /* buckets of both, less one */
    struct hook **ring;    /* entries by `expires` modulo ring_len */
    size_t ring_len;
    int64_t swept; /* what expired in this second and before is gone */
    uint64_t order;
    struct store_usage usage;
};

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

/* ---- entries ---- */

void entry_free(struct entry *entry)
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
static bool digest_token(const struct store_table *t, const struct store_item *item,
                         unsigned char digest[32])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, t->sha256, NULL) == 1 &&
              EVP_DigestUpdate(ctx, &t->seed[2], 2 * sizeof(t->seed[0])) == 1 &&
              EVP_DigestUpdate(ctx, item->text, item->len) == 1 &&
              EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* NULL when out of memory, or when OpenSSL does not work. */
struct entry *entry_new(const struct store_table *t, const struct store_call *call,
                        const struct store_item *item)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return NULL;
    entry->places = calloc(call->dest_len, sizeof(*entry->places));
    entry->token = malloc(sizeof(*entry->token) + item->len + 1);
    if (entry->places == NULL || entry->token == NULL || !digest_token(t, item, entry->digest)) {
        entry_free(entry);
        return NULL;
    }
    entry->token->next = NULL;
    entry->token->iat = item->iat;
    entry->token->len = item->len;
    memcpy(entry->token->text, item->text, item->len);
    entry->token->text[item->len] = '\0';
    entry->expires = item->iat + t->settings.max_age;
    entry->orig = tn_key(call->orig);
    entry->places_len = call->dest_len;
    for (size_t i = 0; i < call->dest_len; i++) {
        entry->places[i].entry = entry;
        entry->places[i].dest = tn_key(&call->dest[i]);
    }
    return entry;
}

/* ---- tables ---- */

uint64_t store_table_hash(const struct store_table *t, uint64_t dest, uint64_t orig)
{
    uint64_t key[2] = {dest, orig};
    return siphash(t->seed[0], t->seed[1], key, sizeof(key));
}

static struct hook **call_bucket(const struct store_table *t, uint64_t dest, uint64_t orig)
{
    return &t->calls[store_table_hash(t, dest, orig) & t->mask];
}

static struct hook **digest_bucket(const struct store_table *t, const unsigned char digest[32])
{
    uint64_t word;
    memcpy(&word, digest, sizeof(word));
    return &t->digests[word & t->mask];
}

static struct hook **expiry_bucket(const struct store_table *t, int64_t expires)
{
    return &t->ring[(uint64_t)expires % t->ring_len];
}

static bool digest_known(const struct store_table *t, const unsigned char digest[32])
{
    for (struct hook *at = *digest_bucket(t, digest); at != NULL; at = at->next)
        if (memcmp(((struct entry *)at)->digest, digest, 32) == 0)
            return true;
    return false;
}

static void count(struct store_table *t, const struct entry *entry, bool in)
{
    size_t *counter = entry->token != NULL ? &t->usage.held : &t->usage.remembered;
    if (in) {
        t->usage.bytes += entry_bytes(entry);
        ++*counter;
    } else {
        t->usage.bytes -= entry_bytes(entry);
        --*counter;
    }
}

bool store_table_insert(struct store_table *t, struct entry *entry, int64_t now)
{
    if (entry->expires < now || digest_known(t, entry->digest))
        return false;
    hook_insert(digest_bucket(t, entry->digest), &entry->by_digest);
    hook_insert(expiry_bucket(t, entry->expires), &entry->by_expiry);
    for (size_t i = 0; i < entry->places_len; i++)
        hook_insert(call_bucket(t, entry->places[i].dest, entry->orig), &entry->places[i].hook);
    entry->token->order = t->order++;
    count(t, entry, true);
    return true;
}

static void remove_places(struct entry *entry)
{
    for (size_t i = 0; i < entry->places_len; i++)
        hook_remove(&entry->places[i].hook);
}

static void remove_and_free(struct store_table *t, struct entry *entry)
{
    count(t, entry, false);
    remove_places(entry);
    hook_remove(&entry->by_digest);
    hook_remove(&entry->by_expiry);
    entry_free(entry);
}

/* Turns a held PASSporT into the memory of one; returns what was held. */
static struct store_token *hand_over(struct store_table *t, struct entry *entry)
{
    struct store_token *token = entry->token;
    count(t, entry, false);
    remove_places(entry);
    free(entry->places);
    entry->places = NULL;
    entry->places_len = 0;
    entry->token = NULL;
    hook_remove(&entry->by_expiry);
    entry->expires += t->settings.max_ahead;
    hook_insert(expiry_bucket(t, entry->expires), &entry->by_expiry);
    count(t, entry, true);
    return token;
}

/* Removes what lived no longer than to the second before `now`. Each second's bucket is visited
 * once; an entry in it that is not due belongs to a later round (the clock was set back). */
void store_table_sweep(struct store_table *t, int64_t now)
{
    int64_t target = now - 1, ring_len = (int64_t)t->ring_len;
    if (target < t->swept)
        t->swept = target;
    if (target - t->swept > ring_len)
        t->swept = target - ring_len;
    while (t->swept < target) {
        struct hook *next;
        for (struct hook *at = *expiry_bucket(t, ++t->swept); at != NULL; at = next) {
            next = at->next;
            struct entry *entry = entry_of_expiry(at);
            if (entry->expires <= target)
                remove_and_free(t, entry);
        }
    }
}

bool store_table_fits(const struct store_table *t, struct entry *const *entries, size_t len)
{
    size_t added = 0, bytes = 0;
    for (size_t i = 0; i < len; i++) {
        if (digest_known(t, entries[i]->digest))
            continue;
        added++;
        bytes += entry_bytes(entries[i]);
    }
    return t->usage.held + t->usage.remembered + added <= t->settings.max_entries &&
           t->usage.bytes + bytes <= t->settings.max_bytes;
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

/* ---- the interface ---- */

size_t entry_places(const struct entry *entry)
{
    return entry->places_len;
}

uint64_t entry_dest(const struct entry *entry, size_t index)
{
    return entry->places[index].dest;
}

uint64_t entry_orig(const struct entry *entry)
{
    return entry->orig;
}

bool store_table_holds(const struct store_table *t, uint64_t dest, uint64_t orig, int64_t now)
{
    return find_held(*call_bucket(t, dest, orig), dest, orig, now) != NULL;
}

struct store_token *store_table_take(struct store_table *t, uint64_t dest, uint64_t orig,
                                     int64_t now, size_t *len)
{
    struct hook **bucket = call_bucket(t, dest, orig);
    struct store_token *tokens = NULL;
    struct entry *entry;
    *len = 0;
    while ((entry = find_held(*bucket, dest, orig, now)) != NULL) {
        struct store_token *token = hand_over(t, entry);
        token->next = tokens;
        tokens = token;
        ++*len;
    }
    return tokens;
}

const struct store_usage *store_table_usage(const struct store_table *t)
{
    return &t->usage;
}

void store_table_free(struct store_table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; t->ring != NULL && i < t->ring_len; i++)
        while (t->ring[i] != NULL)
            remove_and_free(t, entry_of_expiry(t->ring[i]));
    EVP_MD_free(t->sha256);
    free(t->calls);
    free(t->digests);
    free(t->ring);
    free(t);
}

enum sticps_err store_table_new(const struct store_settings *settings, struct store_table **out,
                                struct sticps_error *err)
{
    struct store_table *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    size_t buckets = 64;
    while (buckets < settings->max_entries)
        buckets *= 2;
    t->settings = *settings;
    t->mask = buckets - 1;
    t->ring_len = (size_t)(settings->max_age + 2 * settings->max_ahead + 2);
    t->calls = calloc(buckets, sizeof(struct hook *));
    t->digests = calloc(buckets, sizeof(struct hook *));
    t->ring = calloc(t->ring_len, sizeof(struct hook *));
    if (t->calls == NULL || t->digests == NULL || t->ring == NULL) {
        store_table_free(t);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory for a store of %zu entries",
                    settings->max_entries);
    }
    t->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (t->sha256 == NULL || RAND_bytes((unsigned char *)t->seed, sizeof(t->seed)) != 1) {
        store_table_free(t);
        return fail(err, STICPS_ERR_CRYPTO, NULL, "OpenSSL gives no SHA-256 or no random numbers");
    }
    *out = t;
    return STICPS_OK;
}
