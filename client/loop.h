/* The loop of a client: one epoll descriptor that holds curl's sockets, a timer, a wake-up and what
 * else is watched, so that a host can wait for it in a loop of its own. Called by client.c (drive,
 * thread, wait), fetch.c (transfers) and enum_query.c (a watch). Knows nothing of lists or
 * certificates. */
#ifndef CLIENT_LOOP_H
#define CLIENT_LOOP_H

#include "common/error.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;

/* Work for the loop's thread, embedded in what it is about. */
struct loop_task {
    struct loop_task *next;
    void (*run)(struct loop_task *task);
};

/* A moment for the loop's thread, embedded in what it is about. Zeroed: not set. */
struct loop_timer {
    struct loop_timer *prev, *next; /* NULL when not set */
    uint64_t due;                   /* loop_now() */
    void (*run)(struct loop_timer *timer);
};

/* A transfer, the first member of what CURLOPT_PRIVATE of its handle points to. `done` runs once,
 * in the loop's thread, with the handle already out of the multi handle. */
struct loop_transfer {
    void (*done)(struct loop_transfer *transfer, CURLcode result);
};

/* A descriptor besides curl's, embedded in what it is about: `ready` runs in the loop's thread for
 * as long as it is readable. */
struct loop_watch {
    struct loop_watch *next;
    int fd;
    void (*ready)(struct loop_watch *watch);
};

/* What a waiting caller waits for. */
struct loop_signal {
    bool set;
};

enum sticps_err loop_new(struct loop **out, struct sticps_error *err) STICPS_MUST_CHECK;
void loop_free(struct loop *loop); /* accepts NULL; stopped, without transfers */

/* In a child of the host's process: closes its copies of the descriptors, and touches nothing else,
 * libcurl's memory included. Accepts NULL. */
void loop_abandon(struct loop *loop);

int loop_fd(const struct loop *loop);
CURLM *loop_multi(struct loop *loop); /* for the loop's thread only */
/* Before a socket of libcurl's is closed: its number may be anybody's afterwards, and a forked
 * child's copy would keep it in the epoll set, where nothing could take it out any more. The loop's
 * thread only. */
void loop_closing(struct loop *loop, int fd);

/* Does what is due, never waits. One thread at a time. */
enum sticps_err loop_process(struct loop *loop, struct sticps_error *err) STICPS_MUST_CHECK;

/* Monotonic milliseconds. Any thread. */
uint64_t loop_now(void);

/* Until then, 0 when it is over. */
static inline uint64_t loop_time_left(uint64_t deadline)
{
    uint64_t now = loop_now();
    return deadline > now ? deadline - now : 0;
}

/* Runs `timer` once, `ms` from now, unless it is stopped before; setting it again moves it. Cheap
 * for one that is due after most others, as a deadline is. The loop's thread only. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, unsigned ms,
                    void (*run)(struct loop_timer *timer));
void loop_timer_stop(struct loop_timer *timer); /* harmless when not set */
bool loop_timer_is_set(const struct loop_timer *timer);

/* `watch` has its fd and function. The loop is stopped. STICPS_ERR_NO_MEMORY. */
enum sticps_err loop_watch(struct loop *loop, struct loop_watch *watch,
                           struct sticps_error *err) STICPS_MUST_CHECK;
void loop_unwatch(struct loop *loop, struct loop_watch *watch); /* harmless when not watched */

/* Runs `task` in the loop's thread, soon. Any thread. Never fails. */
void loop_post(struct loop *loop, struct loop_task *task);

/* Runs the tasks posted so far; what they post themselves waits for the next turn. The loop's
 * thread, or any when the loop is stopped. */
void loop_run_posted(struct loop *loop);

enum sticps_err loop_start_thread(struct loop *loop, struct sticps_error *err) STICPS_MUST_CHECK;
void loop_stop_thread(struct loop *loop); /* no effect without one */
bool loop_has_thread(struct loop *loop);

/* Waits until `signal` is set, driving the loop when it has no thread of its own. */
void loop_wait(struct loop *loop, struct loop_signal *signal);
void loop_signal_set(struct loop *loop, struct loop_signal *signal);

#endif
