/* One asynchronous connection on an h2o loop: connecting, the first SQL of a session, waiting for
 * input, reconnecting with a growing pause. What is asked over it is its owner's business (pool.c).
 */
#ifndef SERVER_DB_LINK_H
#define SERVER_DB_LINK_H

#include "server/db/conninfo.h"

#include <h2o.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

struct db_link;

struct db_link_owner {
    /* The session is ready. */
    void (*up)(struct db_link *link);
    /* A ready session was lost, or an attempt failed; the next attempt comes by itself. */
    void (*down)(struct db_link *link, bool was_up, const char *why);
    /* Input was consumed: look at PQisBusy, PQgetResult. */
    void (*input)(struct db_link *link);
};

enum link_state { LINK_DOWN, LINK_CONNECTING, LINK_STARTING, LINK_UP, LINK_CLOSED };

struct db_link {
    enum link_state state;
    h2o_loop_t *loop;
    const char *conninfo, *application_name, *session_sql; /* borrowed from the owner */
    unsigned connect_timeout_ms;
    const struct db_link_owner *owner;

    PGconn *conn;
    h2o_socket_t
        *socket; /* wraps a duplicate of PQsocket, because both h2o and libpq close theirs */
    uint64_t deadline_ms; /* of the attempt under way */
    uint64_t next_ms;     /* of the next attempt, when down */
    unsigned pause_ms;
    unsigned host; /* to begin the next attempt with */
    bool ended;    /* the server has said goodbye */
};

/* `link` is embedded in its owner, who has filled the first five members in. Begins at once. */
void link_start(struct db_link *link);
/* Called every 100 ms or so. */
void link_tick(struct db_link *link, uint64_t now_ms);
/* After PQsend*: sends what libpq holds, now and when the socket allows it. False: the link was
 * lost, and `down` has been called. */
bool link_flush(struct db_link *link);
/* Has the server hung up on a quiet connection? A look at the socket before a query is sent keeps
 * the query from being lost with a connection whose end the loop has not come to see yet. */
bool link_alive(struct db_link *link);
/* Gives the connection up; calls `down`. */
void link_drop(struct db_link *link, const char *why);
/* For good; calls nothing. */
void link_close(struct db_link *link);

/* A heartbeat by the monotonic clock: h2o's timers follow the wall clock. */
struct ticker {
    h2o_socket_t *socket; /* a timerfd */
    void (*tick)(struct ticker *ticker, uint64_t now_ms);
};
bool ticker_start(struct ticker *ticker, h2o_loop_t *loop, unsigned every_ms);
void ticker_stop(struct ticker *ticker);
uint64_t link_now_ms(void);

#endif
