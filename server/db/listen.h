/* NOTIFY on a loop: a connection of its own that listens, and listens again after every reconnect.
 */
#ifndef SERVER_DB_LISTEN_H
#define SERVER_DB_LISTEN_H

#include "common/error.h"

struct st_h2o_evloop_t;
struct db_listener;
struct db_pool_options;

struct db_listen_callbacks {
    /* LISTEN is in place: read the state now, whatever was missed. At the start and after every
     * reconnect. */
    void (*connected)(void *arg);
    /* A NOTIFY arrived. `payload` is "" when there is none. */
    void (*notified)(const char *channel, const char *payload, void *arg);
    /* The connection was lost; may be NULL. */
    void (*lost)(void *arg);
};

/* `channels`: NULL-terminated, plain lower-case identifiers; copied. Of `options` the pool's sizes
 * are not used. A connection that is silent for 30 s is probed, and dropped when that is not
 * answered. */
enum sticps_err db_listen_new(struct st_h2o_evloop_t *loop, const struct db_pool_options *options,
                              const char *const *channels,
                              const struct db_listen_callbacks *callbacks, void *arg,
                              struct db_listener **out, struct sticps_error *err) STICPS_MUST_CHECK;
void db_listen_free(struct db_listener *listener); /* accepts NULL; not from a callback */

#endif
