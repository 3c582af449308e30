/* Lets readers use a shared object that a writer may replace, without a lock, an allocation or a
 * wait on the reader's side. Called by resolve (reader) and by lists.c and client.c (writers).
 *
 *   reader:  unsigned ticket = gate_enter(g);
 *            p = atomic_load(&shared);  …use p…
 *            gate_leave(g, ticket);
 *   writer:  old = atomic_exchange(&shared, new);  gate_wait(g);  free(old);
 *
 * Why it is right: a reader that still holds `old` loaded it before the exchange, and counted
 * itself in before that (all operations are sequentially consistent), so the counter that it uses
 * is not zero until it leaves. gate_wait sees each counter at zero once, after the exchange;
 * whoever counts in later loads `new`. New readers are sent to the other side meanwhile, so the
 * wait ends however many there are.
 *
 * Each side has one counter for each of GATE_STRIPES processors, on cache lines of their own, so
 * that readers on different processors do not pass a line to and fro. A thread that is moved
 * meanwhile leaves where it came in; that several share a stripe costs time, nothing else.
 *
 * This and not liburcu, whose -memb flavour wants every thread of the host registered before it
 * reads, and whose barriers are invisible to the thread sanitizer. */
#ifndef CLIENT_GATE_H
#define CLIENT_GATE_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define GATE_STRIPES 32 /* a power of two */
#define GATE_STRIDE 128 /* two cache lines: neighbours are fetched in pairs */

struct gate_stripe {
    atomic_uint readers[2];
    char apart[GATE_STRIDE - 2 * sizeof(atomic_uint)];
};

struct gate {
    pthread_mutex_t writers;
    atomic_uint side; /* where new readers go: 0 or 1 */
    char apart[GATE_STRIDE];
    struct gate_stripe stripes[GATE_STRIPES];
};

static inline void gate_init(struct gate *gate)
{
    pthread_mutex_init(&gate->writers, NULL);
    atomic_init(&gate->side, 0);
    for (unsigned i = 0; i < GATE_STRIPES; i++) {
        atomic_init(&gate->stripes[i].readers[0], 0);
        atomic_init(&gate->stripes[i].readers[1], 0);
    }
}

static inline void gate_destroy(struct gate *gate)
{
    pthread_mutex_destroy(&gate->writers);
}

/* Never blocks; what lies between enter and leave must not either, for a writer waits for it. The
 * processor's number comes from memory that the kernel keeps current (rseq), without a system call;
 * where it cannot be had, -1 is a stripe too. */
static inline unsigned gate_enter(struct gate *gate)
{
    unsigned stripe = (unsigned)sched_getcpu() % GATE_STRIPES;
    unsigned side = atomic_load(&gate->side);
    atomic_fetch_add(&gate->stripes[stripe].readers[side], 1);
    return stripe << 1 | side;
}

static inline void gate_leave(struct gate *gate, unsigned ticket)
{
    atomic_fetch_sub(&gate->stripes[ticket >> 1].readers[ticket & 1], 1);
}

/* Returns when nobody can hold what was replaced before the call. Not for a reader inside the gate.
 */
static inline void gate_wait(struct gate *gate)
{
    pthread_mutex_lock(&gate->writers);
    for (int turn = 0; turn < 2; turn++) {
        unsigned side = atomic_load(&gate->side);
        atomic_store(&gate->side, 1 - side);
        for (unsigned i = 0; i < GATE_STRIPES; i++)
            while (atomic_load(&gate->stripes[i].readers[side]) != 0)
                sched_yield();
    }
    pthread_mutex_unlock(&gate->writers);
}

#endif
