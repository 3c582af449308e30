/* A few threads for slow work (password hashing, blocking fetches) that must not hold up a loop. */
#ifndef SERVER_HTTP_WORKER_H
#define SERVER_HTTP_WORKER_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

struct worker_pool;
struct server_thread;

/* `threads` at least 1; at most `queue_max` jobs wait. */
enum sticps_err worker_pool_new(unsigned threads, size_t queue_max, struct worker_pool **out,
                                struct sticps_error *err) STICPS_MUST_CHECK;

/* run(arg) on a worker, then done(arg) on `home`'s loop; called on `home` itself. `home` stays
 * alive until done has run. False when the queue is full (answer 503): nothing happens and `arg`
 * stays the caller's. */
bool worker_submit(struct worker_pool *pool, struct server_thread *home, void (*run)(void *arg),
                   void (*done)(void *arg), void *arg) STICPS_MUST_CHECK;

/* The same for what clients make happen: each client has a queue of its own, of at most
 * `client_max` jobs, and the workers take from all of them in turn, so that one that floods waits
 * behind itself alone. Other jobs are one queue more. */
enum worker_answer { WORKER_TAKEN, WORKER_CLIENT_FULL, WORKER_FULL };
struct limits_key;
enum worker_answer worker_submit_for(struct worker_pool *pool, const struct limits_key *client,
                                     size_t client_max, struct server_thread *home,
                                     void (*run)(void *arg), void (*done)(void *arg),
                                     void *arg) STICPS_MUST_CHECK;

/* Jobs waiting or running, for metrics. Any thread. */
size_t worker_pool_load(struct worker_pool *pool);

/* After server_run has returned. Accepts NULL. */
void worker_pool_free(struct worker_pool *pool);

#endif
