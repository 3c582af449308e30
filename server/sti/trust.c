#include "server/sti/trust.h"

#include "common/clock.h"
#include "common/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct counted_set {
    struct trust_set set; /* first: callers hold a pointer to this */
    struct anchors *anchors;
    int64_t anchors_expire;
    struct crl *crl;
    atomic_uint refs;
};

struct trust {
    _Atomic uint64_t generation; /* of `current`; 0: none */
    _Atomic int64_t confirmed;
    pthread_mutex_t lock;
    struct counted_set *current; /* under the lock, as is */
    struct crl *crl;             /* of the sets to come, or NULL */
};

static struct counted_set *counted(const struct trust_set *set)
{
    return (struct counted_set *)set;
}

void trust_set_unref(const struct trust_set *set)
{
    if (set == NULL)
        return;
    struct counted_set *own = counted(set);
    if (atomic_fetch_sub(&own->refs, 1) == 1) {
        anchors_free(own->anchors);
        crl_unref(own->crl);
        free(own);
    }
}

enum sticps_err trust_new(struct trust **out, struct sticps_error *err)
{
    struct trust *trust = calloc(1, sizeof(*trust));
    if (trust == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    pthread_mutex_init(&trust->lock, NULL);
    *out = trust;
    return STICPS_OK;
}

void trust_free(struct trust *trust)
{
    if (trust == NULL)
        return;
    if (trust->current != NULL)
        trust_set_unref(&trust->current->set);
    crl_unref(trust->crl);
    pthread_mutex_destroy(&trust->lock);
    free(trust);
}

/* Makes a set of the two; of both a reference is taken. `anchors_expire` is theirs alone. Under the
 * lock; *old is the caller's to give back. */
static enum sticps_err put(struct trust *trust, struct anchors *anchors, int64_t anchors_expire,
                           struct crl *crl, struct counted_set **old, struct sticps_error *err)
{
    struct counted_set *fresh = malloc(sizeof(*fresh));
    if (fresh == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    int64_t expires = anchors_expire;
    if (crl != NULL && crl_next_update(crl) < expires)
        expires = crl_next_update(crl);
    *old = trust->current;
    uint64_t generation = *old != NULL ? (*old)->set.generation + 1 : 1;
    fresh->anchors = anchors_ref(anchors);
    fresh->anchors_expire = anchors_expire;
    fresh->crl = crl != NULL ? crl_ref(crl) : NULL;
    atomic_init(&fresh->refs, 1);
    fresh->set = (struct trust_set){anchors, crl, generation, expires};
    trust->current = fresh;
    atomic_store(&trust->generation, generation);
    return STICPS_OK;
}

enum sticps_err trust_publish(struct trust *trust, struct anchors *anchors, int64_t expires,
                              struct sticps_error *err)
{
    struct counted_set *old = NULL;
    pthread_mutex_lock(&trust->lock);
    enum sticps_err code = put(trust, anchors, expires, trust->crl, &old, err);
    pthread_mutex_unlock(&trust->lock);
    anchors_free(anchors);
    if (code != STICPS_OK)
        return code;
    trust_confirm(trust);
    if (old != NULL)
        trust_set_unref(&old->set);
    return STICPS_OK;
}

enum sticps_err trust_set_crl(struct trust *trust, struct crl *crl, struct sticps_error *err)
{
    struct counted_set *old = NULL;
    enum sticps_err code = STICPS_OK;
    pthread_mutex_lock(&trust->lock);
    if (trust->current != NULL)
        code = put(trust, trust->current->anchors, trust->current->anchors_expire, crl, &old, err);
    if (code == STICPS_OK) {
        crl_unref(trust->crl);
        trust->crl = crl_ref(crl);
    }
    pthread_mutex_unlock(&trust->lock);
    if (old != NULL)
        trust_set_unref(&old->set);
    return code;
}

void trust_confirm(struct trust *trust)
{
    atomic_store(&trust->confirmed, clock_now(&clock_system));
}

int64_t trust_confirmed(const struct trust *trust)
{
    return atomic_load(&((struct trust *)trust)->confirmed);
}

enum sticps_err trust_load_bundle(struct trust *trust, const char *path, struct sticps_error *err)
{
    struct anchors *anchors = NULL;
    enum sticps_err code = anchors_new(&anchors, err);
    if (code == STICPS_OK)
        code = anchors_add_file(anchors, path, err);
    if (code != STICPS_OK) {
        anchors_free(anchors);
        return code;
    }
    return trust_publish(trust, anchors, TRUST_FOREVER, err);
}

const struct trust_set *trust_current(struct trust *trust, const struct trust_set *held)
{
    if (held != NULL && held->generation == atomic_load(&trust->generation))
        return held;
    trust_set_unref(held);
    pthread_mutex_lock(&trust->lock);
    struct counted_set *current = trust->current;
    if (current != NULL)
        atomic_fetch_add(&current->refs, 1);
    pthread_mutex_unlock(&trust->lock);
    return current != NULL ? &current->set : NULL;
}

int64_t trust_expires(struct trust *trust)
{
    const struct trust_set *set = trust_current(trust, NULL);
    int64_t expires = set != NULL ? set->expires : 0;
    trust_set_unref(set);
    return expires;
}
