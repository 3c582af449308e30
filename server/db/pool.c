#include "server/db/pool.h"

#include "server/db/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS 50
/* How long queries wait for a server that has gone away before they are refused at once. */
#define OUTAGE_MS 1000

struct query {
    struct query *next;
    const struct db_statement *statement;
    uint64_t deadline_ms;
    db_callback *callback;
    void *arg;
    const char *params[]; /* their texts follow in the same allocation */
};

struct queue {
    struct query *first, **end;
    size_t len;
};

enum slot_state { SLOT_IDLE, SLOT_PREPARING, SLOT_RUNNING };

struct slot {
    struct db_link link; /* first: a link is cast back to its slot */
    struct db_pool *pool;
    enum slot_state state;
    struct query *query; /* while preparing or running */
    PGresult *result;    /* its first result, until all have arrived */
    const struct db_statement **prepared;
    size_t prepared_len;
};

struct db_pool {
    struct ticker ticker; /* first: a ticker is cast back to its pool */
    char *conninfo, *application_name;
    char session_sql[512];
    struct db_pool_options options;
    struct slot *slots;
    size_t slots_len;
    unsigned connected, busy;
    uint64_t down_since_ms; /* when connected is 0 */
    struct queue queue;
    uint64_t queries, failures;
    bool closing, outage_logged, advised;
};

/* ---- queries ---- */

static struct query *query_new(const struct db_statement *statement, const char *const *params)
{
    size_t len = (size_t)statement->params, bytes = 0;
    for (size_t i = 0; i < len; i++)
        bytes += params[i] != NULL ? strlen(params[i]) + 1 : 0;
    struct query *query = malloc(sizeof(*query) + len * sizeof(query->params[0]) + bytes);
    if (query == NULL)
        abort();
    query->next = NULL;
    query->statement = statement;
    char *text = (char *)(query->params + len);
    for (size_t i = 0; i < len; i++) {
        size_t n = params[i] != NULL ? strlen(params[i]) + 1 : 0;
        query->params[i] = params[i] != NULL ? memcpy(text, params[i], n) : NULL;
        text += n;
    }
    return query;
}

static void queue_init(struct queue *queue)
{
    *queue = (struct queue){.first = NULL};
    queue->end = &queue->first;
}

static void queue_push(struct queue *queue, struct query *query)
{
    query->next = NULL;
    *queue->end = query;
    queue->end = &query->next;
    queue->len++;
}

static void queue_push_front(struct queue *queue, struct query *query)
{
    query->next = queue->first;
    if (queue->first == NULL)
        queue->end = &query->next;
    queue->first = query;
    queue->len++;
}

static struct query *queue_pop(struct queue *queue)
{
    struct query *query = queue->first;
    if (query == NULL)
        return NULL;
    queue->first = query->next;
    if (queue->first == NULL)
        queue->end = &queue->first;
    queue->len--;
    return query;
}

/* The query's end: tells its owner and frees it. */
static void conclude(struct db_pool *pool, struct query *query, const struct db_result *result)
{
    pool->queries++;
    if (result->status == DB_UNAVAILABLE)
        pool->failures++;
    query->callback(result, query->arg);
    free(query);
}

static void refuse(struct db_pool *pool, struct query *query, bool sent, const char *why)
{
    struct db_result result;
    db_result_fill(&result, NULL, NULL);
    result.sent = sent;
    result.message = why;
    conclude(pool, query, &result);
}

/* ---- one connection at work ---- */

static bool is_prepared(const struct slot *slot, const struct db_statement *statement)
{
    for (size_t i = 0; i < slot->prepared_len; i++)
        if (slot->prepared[i] == statement)
            return true;
    return false;
}

static void remember_prepared(struct slot *slot, const struct db_statement *statement)
{
    slot->prepared = reallocarray(slot->prepared, slot->prepared_len + 1, sizeof(*slot->prepared));
    if (slot->prepared == NULL)
        abort();
    slot->prepared[slot->prepared_len++] = statement;
}

static bool send_prepare(struct slot *slot)
{
    const struct db_statement *statement = slot->query->statement;
    slot->state = SLOT_PREPARING;
    return PQsendPrepare(slot->link.conn, statement->name, statement->sql, 0, NULL) == 1;
}

static bool send_query(struct slot *slot)
{
    const struct query *query = slot->query;
    slot->state = SLOT_RUNNING;
    if (slot->pool->options.sessions_change)
        return PQsendQueryParams(slot->link.conn, query->statement->sql, query->statement->params,
                                 NULL, query->params, NULL, NULL, 0) == 1;
    return PQsendQueryPrepared(slot->link.conn, query->statement->name, query->statement->params,
                               query->params, NULL, NULL, 0) == 1;
}

static void start(struct slot *slot, struct query *query)
{
    slot->query = query;
    slot->pool->busy++;
    slot->state = SLOT_PREPARING; /* until it is sent: a lost query that was not may go elsewhere */
    if (!link_alive(&slot->link)) {
        link_drop(&slot->link, PQerrorMessage(slot->link.conn));
        return;
    }
    bool ready = slot->pool->options.sessions_change || is_prepared(slot, query->statement);
    bool sent = ready ? send_query(slot) : send_prepare(slot);
    if (sent)
        (void)link_flush(&slot->link);
    else
        link_drop(&slot->link, PQerrorMessage(slot->link.conn));
}

/* Gives waiting queries to idle connections. */
static void dispatch(struct db_pool *pool)
{
    for (size_t i = 0; i < pool->slots_len && pool->queue.len > 0; i++) {
        struct slot *slot = &pool->slots[i];
        if (slot->link.state == LINK_UP && slot->state == SLOT_IDLE)
            start(slot, queue_pop(&pool->queue));
    }
}

static void set_idle(struct slot *slot)
{
    if (slot->state != SLOT_IDLE)
        slot->pool->busy--;
    slot->state = SLOT_IDLE;
    slot->query = NULL;
    slot->result = NULL;
}

/* A statement that this connection has prepared is not there, or was there before. */
static bool is_of_another_session(const struct db_result *result)
{
    return strcmp(result->sqlstate, "26000") == 0 || strcmp(result->sqlstate, "42P05") == 0;
}

/* The session's prepared statements no longer fit the database (a migration, a pooler that swapped
 * sessions): a new session prepares them anew. */
static bool is_stale(const struct db_result *result)
{
    return is_of_another_session(result) || strcmp(result->sqlstate, "0A000") == 0;
}

static void advise(struct db_pool *pool)
{
    if (pool->advised || pool->options.log == NULL)
        return;
    pool->advised = true;
    pool->options.log(false,
                      "a prepared statement is of another session: behind a pooler that gives each "
                      "transaction another one, set database.transaction_pooling");
}

/* All of a statement's results are here. */
static void complete(struct slot *slot)
{
    struct db_pool *pool = slot->pool;
    struct query *query = slot->query;
    PGresult *rows = slot->result;
    struct db_result result;
    db_result_fill(&result, rows, slot->link.conn);
    if (slot->state == SLOT_PREPARING && result.status == DB_OK) {
        PQclear(rows);
        slot->result = NULL;
        remember_prepared(slot, query->statement);
        if (send_query(slot))
            (void)link_flush(&slot->link);
        else
            link_drop(&slot->link, PQerrorMessage(slot->link.conn));
        return;
    }
    result.sent = slot->state == SLOT_RUNNING;
    set_idle(slot);
    bool stale = is_stale(&result);
    if (is_of_another_session(&result))
        advise(pool);
    conclude(pool, query, &result);
    PQclear(rows);
    if (stale && slot->state == SLOT_IDLE)
        link_drop(&slot->link, "a prepared statement was out of date");
    if (!pool->closing)
        dispatch(pool);
}

static void on_input(struct db_link *link)
{
    struct slot *slot = (struct slot *)link;
    while (slot->state != SLOT_IDLE && !PQisBusy(link->conn)) {
        PGresult *result = PQgetResult(link->conn);
        if (result == NULL) {
            complete(slot);
            return;
        }
        ExecStatusType status = PQresultStatus(result);
        if (slot->result == NULL)
            slot->result = result;
        else
            PQclear(result);
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
            link_drop(link, "a statement of the pool must not be COPY");
            return;
        }
    }
}

static void on_up(struct db_link *link)
{
    struct slot *slot = (struct slot *)link;
    struct db_pool *pool = slot->pool;
    if (pool->connected++ == 0 && pool->options.log != NULL)
        pool->options.log(true, "database connected");
    pool->outage_logged = false;
    dispatch(pool);
}

static void on_down(struct db_link *link, bool was_up, const char *why)
{
    struct slot *slot = (struct slot *)link;
    struct db_pool *pool = slot->pool;
    struct query *query = slot->query;
    bool sent = slot->state == SLOT_RUNNING;
    slot->prepared_len = 0;
    PQclear(slot->result);
    set_idle(slot);
    if (was_up && --pool->connected == 0)
        pool->down_since_ms = link_now_ms();
    if (pool->connected == 0 && !pool->outage_logged && pool->options.log != NULL) {
        pool->outage_logged = true;
        pool->options.log(false, why);
    }
    if (query == NULL)
        return;
    /* What was never sent may go over another connection. */
    if (!sent && !pool->closing && link_now_ms() < query->deadline_ms)
        queue_push_front(&pool->queue, query);
    else
        refuse(pool, query, sent, why);
}

static const struct db_link_owner slot_owner = {on_up, on_down, on_input};

/* ---- time ---- */

/* Takes the queries out that can no longer be answered, then tells their owners, who may add new
 * ones. */
static void refuse_overdue(struct db_pool *pool, uint64_t now_ms)
{
    bool outage = pool->connected == 0 && now_ms - pool->down_since_ms >= OUTAGE_MS;
    struct queue kept, overdue;
    struct query *query;
    queue_init(&kept);
    queue_init(&overdue);
    while ((query = queue_pop(&pool->queue)) != NULL)
        queue_push(outage || now_ms >= query->deadline_ms ? &overdue : &kept, query);
    while ((query = queue_pop(&kept)) != NULL)
        queue_push(&pool->queue, query);
    while ((query = queue_pop(&overdue)) != NULL)
        refuse(pool, query, false, outage ? "no database connection" : "deadline in the queue");
}

static void on_tick(struct ticker *ticker, uint64_t now_ms)
{
    struct db_pool *pool = (struct db_pool *)ticker;
    for (size_t i = 0; i < pool->slots_len; i++) {
        struct slot *slot = &pool->slots[i];
        if (slot->query != NULL && now_ms >= slot->query->deadline_ms)
            link_drop(&slot->link, "a query was not answered in time");
        link_tick(&slot->link, now_ms);
    }
    if (pool->queue.len > 0)
        refuse_overdue(pool, now_ms);
}

/* ---- the pool ---- */

static char *copy_text(const char *text)
{
    char *copy = text != NULL ? strdup(text) : NULL;
    if (text != NULL && copy == NULL)
        abort();
    return copy;
}

enum sticps_err db_pool_new(struct st_h2o_evloop_t *loop, const struct db_pool_options *options,
                            struct db_pool **out, struct sticps_error *err)
{
    enum sticps_err code = conninfo_check(options->conninfo, err);
    if (code != STICPS_OK)
        return code;
    struct db_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        abort();
    pool->options = *options;
    pool->conninfo = copy_text(options->conninfo);
    pool->application_name = copy_text(options->application_name);
    if (pool->options.queue_max == 0)
        pool->options.queue_max = 1024;
    if (pool->options.statement_timeout_ms == 0)
        pool->options.statement_timeout_ms = 4000;
    if (pool->options.connect_timeout_ms == 0)
        pool->options.connect_timeout_ms = 3000;
    if (options->sessions_change) /* only to see that there is a server behind the pooler */
        snprintf(pool->session_sql, sizeof(pool->session_sql), "SELECT 1");
    else
        conninfo_session_sql(pool->session_sql, sizeof(pool->session_sql),
                             pool->options.statement_timeout_ms);
    queue_init(&pool->queue);
    pool->down_since_ms = link_now_ms();
    pool->ticker.tick = on_tick;
    if (!ticker_start(&pool->ticker, loop, TICK_MS)) {
        db_pool_free(pool);
        return fail(err, STICPS_ERR_FILE, NULL, "no descriptor for a timer");
    }
    pool->slots_len = options->connections != 0 ? options->connections : 4;
    pool->slots = calloc(pool->slots_len, sizeof(*pool->slots));
    if (pool->slots == NULL)
        abort();
    for (size_t i = 0; i < pool->slots_len; i++) {
        struct slot *slot = &pool->slots[i];
        slot->pool = pool;
        slot->link = (struct db_link){.loop = loop,
                                      .conninfo = pool->conninfo,
                                      .application_name = pool->application_name,
                                      .session_sql = pool->session_sql,
                                      .connect_timeout_ms = pool->options.connect_timeout_ms,
                                      .owner = &slot_owner};
        link_start(&slot->link);
    }
    *out = pool;
    return STICPS_OK;
}

void db_pool_free(struct db_pool *pool)
{
    if (pool == NULL)
        return;
    pool->closing = true;
    ticker_stop(&pool->ticker);
    for (size_t i = 0; i < pool->slots_len; i++) {
        struct slot *slot = &pool->slots[i];
        struct query *query = slot->query;
        bool sent = slot->state == SLOT_RUNNING;
        link_close(&slot->link);
        PQclear(slot->result);
        set_idle(slot);
        if (query != NULL)
            refuse(pool, query, sent, "the server is stopping");
        free(slot->prepared);
    }
    struct query *query;
    while ((query = queue_pop(&pool->queue)) != NULL)
        refuse(pool, query, false, "the server is stopping");
    free(pool->slots);
    free(pool->conninfo);
    free(pool->application_name);
    free(pool);
}

void db_query(struct db_pool *pool, const struct db_statement *statement, const char *const *params,
              unsigned deadline_ms, db_callback *callback, void *arg)
{
    struct query *query = query_new(statement, params);
    uint64_t now_ms = link_now_ms();
    query->callback = callback;
    query->arg = arg;
    query->deadline_ms =
        now_ms + (deadline_ms != 0 ? deadline_ms : pool->options.statement_timeout_ms + 500);
    if (pool->closing)
        refuse(pool, query, false, "the server is stopping");
    else if (pool->connected == 0 && now_ms - pool->down_since_ms >= OUTAGE_MS)
        refuse(pool, query, false, "no database connection");
    else if (pool->queue.len >= pool->options.queue_max)
        refuse(pool, query, false, "too many queries are waiting");
    else {
        queue_push(&pool->queue, query);
        dispatch(pool);
    }
}

void db_pool_state(const struct db_pool *pool, struct db_pool_state *out)
{
    *out = (struct db_pool_state){.connected = pool->connected,
                                  .busy = pool->busy,
                                  .queued = pool->queue.len,
                                  .queries = pool->queries,
                                  .failures = pool->failures};
}
