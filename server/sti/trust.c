#include "server/sti/trust.h"

#include "common/clock.h"
#include "common/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct counted_set {
    struct trust_set set; /* first: callers hold a pointer to this */
    struct anchors *anchors;
    struct crl *crl;
    atomic_uint refs;
};

struct trust {
    _Atomic uint64_t generation; /* of `current`; 0: none */
    _Atomic int64_t confirmed;
    pthread_mutex_t lock;
    struct counted_set *current; /* under the lock */
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
    pthread_mutex_destroy(&trust->lock);
    free(trust);
}

enum sticps_err trust_publish(struct trust *trust, struct anchors *anchors, struct crl *crl,
                              int64_t expires, struct sticps_error *err)
{
    struct counted_set *fresh = malloc(sizeof(*fresh));
    if (fresh == NULL) {
        anchors_free(anchors);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    fresh->anchors = anchors;
    fresh->crl = crl != NULL ? crl_ref(crl) : NULL;
    atomic_init(&fresh->refs, 1);

    pthread_mutex_lock(&trust->lock);
    struct counted_set *old = trust->current;
    uint64_t generation = old != NULL ? old->set.generation + 1 : 1;
    fresh->set = (struct trust_set){anchors, crl, generation, expires};
    trust->current = fresh;
    atomic_store(&trust->generation, generation);
    pthread_mutex_unlock(&trust->lock);
    trust_confirm(trust);

    if (old != NULL)
        trust_set_unref(&old->set);
    return STICPS_OK;
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
    return trust_publish(trust, anchors, NULL, TRUST_FOREVER, err);
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
