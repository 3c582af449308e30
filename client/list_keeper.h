/* Keeps a list fresh: refreshes it again and again in the client's loop, as sticps_list_keep_fresh
 * says. Called by client.c. */
#ifndef CLIENT_LIST_KEEPER_H
#define CLIENT_LIST_KEEPER_H

#include "client/list_refresh.h"

#include <pthread.h>

struct list_keeper {
    struct list_refresher *refresher;
    enum sticps_list_kind kind;
    pthread_mutex_t mutex; /* of the two below */
    unsigned seconds;      /* 0: off */
    bool posted;

    /* the loop's thread only */
    struct loop_task task;
    struct loop_timer timer;
    bool under_way;
    unsigned failures; /* in a row */
    uint64_t rest_until[LIST_SOURCES_MAX];
};

/* `refresher` outlives it. */
void list_keeper_init(struct list_keeper *keeper, struct list_refresher *refresher,
                      enum sticps_list_kind kind);
void list_keeper_destroy(
    struct list_keeper *keeper); /* the loop is stopped, no refresh under way */

/* Any thread. As sticps_list_keep_fresh. */
enum sticps_err list_keeper_set(struct list_keeper *keeper, unsigned seconds,
                                struct sticps_error *err) STICPS_MUST_CHECK;

/* How long to wait, in milliseconds, before a list is asked for again: pure, for tests. `random` is
 * any number, `expires_in` the seconds that the held list is good for (0 or less: there is none).
 */
uint64_t list_keeper_first(unsigned seconds, int64_t expires_in, uint32_t random);
uint64_t list_keeper_next(unsigned seconds, unsigned failures, int64_t expires_in, uint32_t random);

#endif
