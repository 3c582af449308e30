#include "client/forks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int watching; /* what pthread_atfork said */
static pthread_mutex_t changes = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint count;

void forks_hold(void)
{
    pthread_mutex_lock(&changes);
}

void forks_release(void)
{
    pthread_mutex_unlock(&changes);
}

static void in_child(void)
{
    atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    forks_release();
}

static void watch(void)
{
    watching = pthread_atfork(forks_hold, forks_release, in_child);
}

enum sticps_err forks_watch(struct sticps_error *err)
{
    pthread_once(&once, watch);
    if (watching != 0)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "forks cannot be watched: %s",
                    strerror(watching));
    return STICPS_OK;
}

unsigned forks_count(void)
{
    return atomic_load_explicit(&count, memory_order_relaxed);
}
