#include "server/cps/store_memory.h"

#include "common/error.h"
#include "server/cps/store_table.h"

#include <pthread.h>
#include <stdlib.h>

#define MAX_ITEMS 3
#define WAITER_BUCKETS 4096
#define MAX_WINDOW 86400 /* seconds; bounds the table's ring of expiry times */

struct store_memory {
    struct store base;
    pthread_mutex_t lock;
    struct store_table *table;                    /* under the lock */
    struct store_waiter *waiters[WAITER_BUCKETS]; /* under the lock */
};

static struct store_memory *self(struct store *store)
{
    return (struct store_memory *)store;
}

void store_tokens_free(struct store_token *tokens)
{
    while (tokens != NULL) {
        struct store_token *next = tokens->next;
        free(tokens);
        tokens = next;
    }
}

/* ---- waiters; under the lock ---- */

static struct store_waiter **waiter_bucket(struct store_memory *m, uint64_t dest, uint64_t orig)
{
    return &m->waiters[store_table_hash(m->table, dest, orig) % WAITER_BUCKETS];
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

/* Takes over the entries that are to be held; leaves the others in `entries`. */
static enum store_result put_locked(struct store_memory *m, struct entry **entries, size_t len,
                                    int64_t now)
{
    store_table_sweep(m->table, now);
    if (!store_table_fits(m->table, entries, len))
        return STORE_FULL;
    for (size_t i = 0; i < len; i++) {
        struct entry *entry = entries[i];
        if (!store_table_insert(m->table, entry, now))
            continue;
        entries[i] = NULL;
        for (size_t j = 0; j < entry_places(entry); j++)
            wake_waiters(m, entry_dest(entry, j), entry_orig(entry));
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
        entries[i] = entry_new(m->table, call, &items[i]);
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
    store_table_sweep(m->table, now);
    tokens = store_table_take(m->table, dest_key, orig_key, now, &len);
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
    bool held = store_table_holds(m->table, waiter->dest, waiter->orig, now);
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
    store_table_sweep(m->table, now);
    pthread_mutex_unlock(&m->lock);
}

static void memory_usage(struct store *store, struct store_usage *out)
{
    struct store_memory *m = self(store);
    pthread_mutex_lock(&m->lock);
    *out = *store_table_usage(m->table);
    pthread_mutex_unlock(&m->lock);
}

static void memory_free(struct store *store)
{
    struct store_memory *m = self(store);
    store_table_free(m->table);
    pthread_mutex_destroy(&m->lock);
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
    enum sticps_err code = store_table_new(settings, &m->table, err);
    if (code != STICPS_OK) {
        free(m);
        return code;
    }
    m->base.ops = &memory_ops;
    pthread_mutex_init(&m->lock, NULL);
    *out = &m->base;
    return STICPS_OK;
}
