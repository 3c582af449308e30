/* Lets readers use a shared object that a writer may replace, without a lock, an allocation or a
 * wait on the reader's side. Called by resolve (reader) and by lists.c and client.c (writers).
 *
 *   reader:  unsigned side = gate_enter(g);  p = atomic_load(&shared);  …use p…  gate_leave(g,
 * side); writer:  old = atomic_exchange(&shared, new);  gate_wait(g);  free(old);
 *
 * Why it is right: a reader that still holds `old` loaded it before the exchange, and counted
 * itself in before that (all operations are sequentially consistent), so its side of the gate is
 * not zero until it leaves. gate_wait sees each side at zero once, after the exchange; whoever
 * counts in later loads `new`. New readers are sent to the other side meanwhile, so the wait ends
 * however many there are.
 *
 * This and not liburcu, whose -memb flavour wants every thread of the host registered before it
 * reads, and whose barriers are invisible to the thread sanitizer. */
#ifndef CLIENT_GATE_H
#define CLIENT_GATE_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

struct gate {
    pthread_mutex_t writers;
    atomic_uint side; /* where new readers go: 0 or 1 */
    atomic_uint readers[2];
};

static inline void gate_init(struct gate *gate)
{
    pthread_mutex_init(&gate->writers, NULL);
    atomic_init(&gate->side, 0);
    atomic_init(&gate->readers[0], 0);
    atomic_init(&gate->readers[1], 0);
}

static inline void gate_destroy(struct gate *gate)
{
    pthread_mutex_destroy(&gate->writers);
}

/* Never blocks; what lies between enter and leave must not either, for a writer waits for it. */
static inline unsigned gate_enter(struct gate *gate)
{
    unsigned side = atomic_load(&gate->side);
    atomic_fetch_add(&gate->readers[side], 1);
    return side;
}

static inline void gate_leave(struct gate *gate, unsigned side)
{
    atomic_fetch_sub(&gate->readers[side], 1);
}

/* Returns when nobody can hold what was replaced before the call. Not for a reader inside the gate.
 */
static inline void gate_wait(struct gate *gate)
{
    pthread_mutex_lock(&gate->writers);
    for (int turn = 0; turn < 2; turn++) {
        unsigned side = atomic_load(&gate->side);
        atomic_store(&gate->side, 1 - side);
        while (atomic_load(&gate->readers[side]) != 0)
            sched_yield();
    }
    pthread_mutex_unlock(&gate->writers);
}

#endif
