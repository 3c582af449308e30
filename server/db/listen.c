#include "server/db/listen.h"

#include "server/db/link.h"
#include "server/db/pool.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS 100
#define QUIET_MS 30000 /* of silence before the connection is probed */
#define PROBE_MS 5000  /* for the answer to the probe */

struct db_listener {
    struct db_link link; /* first: a link is cast back to its listener */
    struct ticker ticker;
    char *conninfo, *application_name;
    char session_sql[1024];
    struct db_listen_callbacks callbacks;
    void *arg;
    void (*log)(const char *text);
    uint64_t heard_ms; /* of the last input */
    bool probing, outage_logged;
};

static void on_up(struct db_link *link)
{
    struct db_listener *listener = (struct db_listener *)link;
    listener->heard_ms = link_now_ms();
    listener->probing = false;
    listener->outage_logged = false;
    if (listener->callbacks.connected != NULL)
        listener->callbacks.connected(listener->arg);
}

static void on_down(struct db_link *link, bool was_up, const char *why)
{
    struct db_listener *listener = (struct db_listener *)link;
    if (!listener->outage_logged && listener->log != NULL)
        listener->log(why);
    listener->outage_logged = true;
    if (was_up && listener->callbacks.lost != NULL)
        listener->callbacks.lost(listener->arg);
}

static void on_input(struct db_link *link)
{
    struct db_listener *listener = (struct db_listener *)link;
    listener->heard_ms = link_now_ms();
    while (!PQisBusy(link->conn)) {
        PGresult *result = PQgetResult(link->conn);
        if (result == NULL)
            break;
        PQclear(result); /* of the probe; what counts is that it came */
        listener->probing = false;
    }
    PGnotify *notify;
    while (link->state == LINK_UP && (notify = PQnotifies(link->conn)) != NULL) {
        listener->callbacks.notified(notify->relname, notify->extra, listener->arg);
        PQfreemem(notify);
    }
}

static const struct db_link_owner listener_owner = {on_up, on_down, on_input};

static void on_tick(struct ticker *ticker, uint64_t now_ms)
{
    struct db_listener *listener = H2O_STRUCT_FROM_MEMBER(struct db_listener, ticker, ticker);
    struct db_link *link = &listener->link;
    if (link->state == LINK_UP && listener->probing && now_ms - listener->heard_ms >= PROBE_MS)
        link_drop(link, "the listening connection went silent");
    else if (link->state == LINK_UP && !listener->probing &&
             now_ms - listener->heard_ms >= QUIET_MS) {
        listener->probing = true;
        listener->heard_ms = now_ms;
        if (PQsendQuery(link->conn, "SELECT 1") == 1)
            (void)link_flush(link);
        else
            link_drop(link, PQerrorMessage(link->conn));
    }
    link_tick(link, now_ms);
}

/* "SET …; LISTEN a; LISTEN b" */
static bool build_session_sql(struct db_listener *listener, const char *const *channels)
{
    conninfo_session_sql(listener->session_sql, sizeof(listener->session_sql), 4000);
    for (; *channels != NULL; channels++) {
        size_t len = strlen(listener->session_sql);
        for (const char *c = *channels; *c != '\0'; c++)
            if (!islower((unsigned char)*c) && *c != '_' && !isdigit((unsigned char)*c))
                return false;
        int n = snprintf(listener->session_sql + len, sizeof(listener->session_sql) - len,
                         "; LISTEN %s", *channels);
        if (n < 0 || (size_t)n >= sizeof(listener->session_sql) - len)
            return false;
    }
    return true;
}

enum sticps_err db_listen_new(struct st_h2o_evloop_t *loop, const struct db_pool_options *options,
                              const char *const *channels,
                              const struct db_listen_callbacks *callbacks, void *arg,
                              struct db_listener **out, struct sticps_error *err)
{
    enum sticps_err code = conninfo_check(options->conninfo, err);
    if (code != STICPS_OK)
        return code;
    struct db_listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        abort();
    listener->conninfo = strdup(options->conninfo);
    listener->application_name =
        strdup(options->application_name != NULL ? options->application_name : "sticps");
    if (listener->conninfo == NULL || listener->application_name == NULL)
        abort();
    listener->callbacks = *callbacks;
    listener->arg = arg;
    listener->log = options->log;
    listener->ticker.tick = on_tick;
    if (!build_session_sql(listener, channels) || !ticker_start(&listener->ticker, loop, TICK_MS)) {
        db_listen_free(listener);
        return fail(err, STICPS_ERR_USAGE, "database", "cannot listen on these channels");
    }
    listener->link = (struct db_link){
        .loop = loop,
        .conninfo = listener->conninfo,
        .application_name = listener->application_name,
        .session_sql = listener->session_sql,
        .connect_timeout_ms = options->connect_timeout_ms != 0 ? options->connect_timeout_ms : 3000,
        .owner = &listener_owner};
    *out = listener;
    link_start(&listener->link);
    return STICPS_OK;
}

void db_listen_free(struct db_listener *listener)
{
    if (listener == NULL)
        return;
    ticker_stop(&listener->ticker);
    link_close(&listener->link);
    free(listener->conninfo);
    free(listener->application_name);
    free(listener);
}
