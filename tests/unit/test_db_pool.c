/* server/db/pool: queries on a loop, and what becomes of them when the database
 * misbehaves. */
#include "db_fixture.h"

#include "server/db/pool.h"

#include <h2o.h>

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* What callbacks left behind. */
struct seen {
    int calls, ok, sql_errors, unavailable, sent;
    char value[256], sqlstate[6], message[256], constraint[64];
};

static void on_result(const struct db_result *result, void *arg)
{
    struct seen *seen = arg;
    seen->calls++;
    seen->ok += result->status == DB_OK;
    seen->sql_errors += result->status == DB_SQL_ERROR;
    seen->unavailable += result->status == DB_UNAVAILABLE;
    seen->sent += result->sent;
    snprintf(seen->value, sizeof(seen->value), "%s", db_text(result->rows, 0, 0));
    snprintf(seen->sqlstate, sizeof(seen->sqlstate), "%s", result->sqlstate);
    snprintf(seen->message, sizeof(seen->message), "%s", result->message);
    snprintf(seen->constraint, sizeof(seen->constraint), "%s", result->constraint);
}

static h2o_evloop_t *loop;

static void run_until(const int *count, int wanted)
{
    uint64_t end = now_ms() + 20000;
    while (*count < wanted && now_ms() < end)
        (void)h2o_evloop_run(loop, 20);
    assert_int_equal(*count, wanted);
}

static void run_for(uint64_t ms)
{
    for (uint64_t end = now_ms() + ms; now_ms() < end;)
        (void)h2o_evloop_run(loop, 5);
}

static void run_until_connected(struct db_pool *pool, unsigned wanted)
{
    uint64_t end = now_ms() + 20000;
    struct db_pool_state state;
    do {
        (void)h2o_evloop_run(loop, 20);
        db_pool_state(pool, &state);
    } while (state.connected != wanted && now_ms() < end);
    assert_int_equal(state.connected, wanted);
}

static const struct db_statement echo = {"echo", "SELECT $1::text", 1};
static const struct db_statement nap = {"nap", "SELECT pg_sleep($1::float)::text", 1};
static const struct db_statement wrong = {"wrong", "SELECT no_such_column", 0};
static const struct db_statement insert = {"insert", "INSERT INTO pool_test VALUES ($1::int)", 1};
static const struct db_statement whoami = {"whoami", "SELECT current_setting('statement_timeout')",
                                           0};

static struct db_pool *pool_open(const char *conninfo, unsigned connections, size_t queue_max)
{
    struct db_pool *pool = NULL;
    struct db_pool_options options = {.conninfo = conninfo,
                                      .connections = connections,
                                      .queue_max = queue_max,
                                      .statement_timeout_ms = 1500,
                                      .connect_timeout_ms = 500,
                                      .application_name = "pool-test"};
    assert_int_equal(db_pool_new(loop, &options, &pool, NULL), STICPS_OK);
    return pool;
}

static int setup(void **state)
{
    (void)state;
    loop = h2o_evloop_create();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        (void)h2o_evloop_run(loop, 0);
    h2o_evloop_destroy(loop);
    return 0;
}

static void ask_echo(struct db_pool *pool, const char *text, struct seen *seen)
{
    const char *params[] = {text};
    db_query(pool, &echo, params, 0, on_result, seen);
}

static void queries_are_answered(void **state)
{
    (void)state;
    NEED_DATABASE();
    struct db_pool *pool = pool_open("", 2, 0);
    struct seen seen = {0};
    /* before any connection is there, and more than there are connections */
    for (int i = 0; i < 50; i++)
        ask_echo(pool, "hällo", &seen);
    run_until(&seen.calls, 50);
    assert_int_equal(seen.ok, 50);
    assert_string_equal(seen.value, "hällo");
    ask_echo(pool, NULL, &seen);
    run_until(&seen.calls, 51);
    assert_string_equal(seen.value, "");
    db_query(pool, &whoami, NULL, 0, on_result, &seen);
    run_until(&seen.calls, 52);
    assert_string_equal(seen.value, "1500ms");
    struct db_pool_state counts;
    db_pool_state(pool, &counts);
    assert_int_equal(counts.queries, 52);
    assert_int_equal(counts.busy, 0);
    assert_int_equal(counts.queued, 0);
    db_pool_free(pool);
}

/* As behind a pooler: nothing stays in the session that another client would meet. */
static void sessions_that_change_are_left_as_they_are(void **state)
{
    (void)state;
    NEED_DATABASE();
    static const struct db_statement prepared = {"prepared",
                                                 "SELECT count(*) FROM pg_prepared_statements", 0};
    struct db_pool *pool = NULL;
    struct db_pool_options options = {.conninfo = "", .connections = 1, .sessions_change = true};
    struct seen seen = {0};
    assert_int_equal(db_pool_new(loop, &options, &pool, NULL), STICPS_OK);
    for (int i = 0; i < 3; i++)
        ask_echo(pool, "hällo", &seen);
    run_until(&seen.calls, 3);
    assert_int_equal(seen.ok, 3);
    assert_string_equal(seen.value, "hällo");
    db_query(pool, &prepared, NULL, 0, on_result, &seen);
    run_until(&seen.calls, 4);
    assert_string_equal(seen.value, "0");
    db_query(pool, &whoami, NULL, 0, on_result, &seen);
    run_until(&seen.calls, 5);
    assert_string_equal(seen.value, "0"); /* the server's default */
    db_query(pool, &wrong, NULL, 0, on_result, &seen);
    run_until(&seen.calls, 6);
    assert_string_equal(seen.sqlstate, "42703");
    ask_echo(pool, "on it goes", &seen);
    run_until(&seen.calls, 7);
    assert_int_equal(seen.ok, 6);
    db_pool_free(pool);
}

static void an_error_of_sql_is_told_apart(void **state)
{
    (void)state;
    NEED_DATABASE();
    struct db_sync *db = sync_open("");
    sync_run(db, "DROP TABLE IF EXISTS pool_test; "
                 "CREATE TABLE pool_test (id int CONSTRAINT small CHECK (id < 10))");
    struct db_pool *pool = pool_open("", 1, 0);
    struct seen seen = {0};
    db_query(pool, &wrong, NULL, 0, on_result, &seen);
    run_until(&seen.calls, 1);
    assert_int_equal(seen.sql_errors, 1);
    assert_string_equal(seen.sqlstate, "42703");
    const char *params[] = {"11"};
    db_query(pool, &insert, params, 0, on_result, &seen);
    run_until(&seen.calls, 2);
    assert_int_equal(seen.sql_errors, 2);
    assert_string_equal(seen.sqlstate, "23514");
    assert_string_equal(seen.constraint, "small");
    ask_echo(pool, "on it goes", &seen);
    run_until(&seen.calls, 3);
    assert_int_equal(seen.ok, 1);
    db_pool_free(pool);
    sync_run(db, "DROP TABLE pool_test");
    db_sync_free(db);
}

static void the_queue_has_an_end(void **state)
{
    (void)state;
    NEED_DATABASE();
    struct db_pool *pool = pool_open("", 1, 3);
    run_until_connected(pool, 1);
    struct seen first = {0}, rest = {0};
    const char *params[] = {"0.3"};
    db_query(pool, &nap, params, 0, on_result, &first);
    for (int i = 0; i < 3; i++)
        ask_echo(pool, "x", &rest);
    assert_int_equal(rest.calls, 0);
    ask_echo(pool, "x", &rest);
    assert_int_equal(rest.unavailable, 1); /* at once */
    assert_int_equal(rest.sent, 0);
    run_until(&rest.calls, 4);
    assert_int_equal(rest.ok, 3);
    assert_int_equal(first.ok, 1);
    db_pool_free(pool);
}

static void a_slow_statement_is_ended_by_the_server(void **state)
{
    (void)state;
    NEED_DATABASE();
    struct db_pool *pool = pool_open("", 1, 0);
    run_until_connected(pool, 1);
    struct seen seen = {0};
    const char *params[] = {"60"};
    db_query(pool, &nap, params, 0, on_result, &seen);
    run_until(&seen.calls, 1);
    assert_int_equal(seen.unavailable, 1);
    assert_int_equal(seen.sent, 1);
    assert_string_equal(seen.sqlstate, "57014");
    run_until_connected(pool, 1); /* still the same */
    ask_echo(pool, "x", &seen);
    run_until(&seen.calls, 2);
    assert_int_equal(seen.ok, 1);
    db_pool_free(pool);
}

static void a_deadline_holds_in_the_queue_and_on_the_server(void **state)
{
    (void)state;
    NEED_DATABASE();
    struct db_pool *pool = pool_open("", 1, 0);
    run_until_connected(pool, 1);
    struct seen running = {0}, waiting = {0};
    const char *params[] = {"60"};
    db_query(pool, &nap, params, 400, on_result, &running);
    const char *text[] = {"x"};
    db_query(pool, &echo, text, 100, on_result, &waiting);
    run_until(&waiting.calls, 1);
    assert_int_equal(waiting.unavailable, 1);
    assert_int_equal(waiting.sent, 0);
    assert_int_equal(running.calls, 0);
    run_until(&running.calls, 1);
    assert_int_equal(running.unavailable, 1);
    assert_int_equal(running.sent, 1);
    run_until_connected(pool, 1); /* anew */
    ask_echo(pool, "x", &running);
    run_until(&running.calls, 2);
    assert_int_equal(running.ok, 1);
    db_pool_free(pool);
}

static long long backends(struct db_sync *db)
{
    struct db_result result;
    assert_int_equal(db_sync_exec(db,
                                  "SELECT count(*) FROM pg_stat_activity "
                                  "WHERE application_name = 'pool-test'",
                                  0, NULL, TEST_MS, &result),
                     DB_OK);
    long long count = db_int(result.rows, 0, 0);
    db_sync_clear(&result);
    return count;
}

static void killed_backends_come_back(void **state)
{
    (void)state;
    NEED_DATABASE();
    struct db_sync *db = sync_open("");
    struct db_pool *pool = pool_open("", 3, 0);
    run_until_connected(pool, 3);
    for (int round = 0; round < 3; round++) {
        struct seen running = {0}, after = {0};
        const char *params[] = {"60"};
        db_query(pool, &nap, params, 0, on_result, &running);
        run_for(50);
        sync_run(db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                     "WHERE application_name = 'pool-test'");
        while (backends(db) > 0)
            usleep(1000);
        /* the loop has not seen yet that all connections are dead */
        ask_echo(pool, "again", &after);
        run_until(&running.calls, 1);
        assert_int_equal(running.unavailable, 1);
        assert_int_equal(running.sent, 1);
        run_until(&after.calls, 1);
        assert_int_equal(after.ok, 1); /* it waited for a new connection */
        run_until_connected(pool, 3);
    }
    db_pool_free(pool);
    db_sync_free(db);
}

static void an_outage_is_short_of_waiting_and_ends_by_itself(void **state)
{
    (void)state;
    NEED_DATABASE();
    struct relay *relay = relay_start();
    struct db_pool *pool = pool_open(relay->conninfo, 2, 0);
    struct seen seen = {0};
    run_until_connected(pool, 2);
    relay_set(relay, RELAY_CLOSED);
    run_until_connected(pool, 0);
    ask_echo(pool, "x", &seen); /* waits a while for a quick return */
    assert_int_equal(seen.calls, 0);
    run_until(&seen.calls, 1);
    assert_int_equal(seen.unavailable, 1);
    assert_int_equal(seen.sent, 0);
    ask_echo(pool, "x", &seen); /* and now no longer */
    assert_int_equal(seen.unavailable, 2);
    relay_set(relay, RELAY_PASS);
    run_until_connected(pool, 2);
    ask_echo(pool, "x", &seen);
    run_until(&seen.calls, 3);
    assert_int_equal(seen.ok, 1);
    db_pool_free(pool);
    relay_stop(relay);
}

static void a_silent_server_holds_nobody(void **state)
{
    (void)state;
    NEED_DATABASE();
    struct relay *relay = relay_start();
    struct db_pool *pool = pool_open(relay->conninfo, 1, 0);
    struct seen seen = {0};
    run_until_connected(pool, 1);
    relay_set(relay, RELAY_FREEZE);
    const char *params[] = {"x"};
    db_query(pool, &echo, params, 300, on_result, &seen);
    run_until(&seen.calls, 1);
    assert_int_equal(seen.unavailable, 1);
    run_for(1500); /* attempts to connect meet the silence too, and give up */
    relay_set(relay, RELAY_PASS);
    run_until_connected(pool, 1);
    ask_echo(pool, "x", &seen);
    run_until(&seen.calls, 2);
    assert_int_equal(seen.ok, 1);
    db_pool_free(pool);
    relay_stop(relay);
}

static void a_long_parameter_and_a_long_answer_pass(void **state)
{
    (void)state;
    NEED_DATABASE();
    struct relay *relay = relay_start(); /* slow, so that libpq has to wait for the socket */
    struct db_pool *pool = pool_open(relay->conninfo, 1, 0);
    run_until_connected(pool, 1);
    static const struct db_statement length = {"length",
                                               "SELECT length($1)::text, repeat('y', 9000000)", 1};
    struct seen seen = {0};
    char *text = malloc(8000001);
    memset(text, 'x', 8000000);
    text[8000000] = '\0';
    const char *params[] = {text};
    db_query(pool, &length, params, 10000, on_result, &seen);
    free(text);
    run_until(&seen.calls, 1);
    assert_int_equal(seen.ok, 1);
    assert_string_equal(seen.value, "8000000");
    db_pool_free(pool);
    relay_stop(relay);
}

static void freeing_answers_everybody(void **state)
{
    (void)state;
    NEED_DATABASE();
    struct db_pool *pool = pool_open("", 1, 0);
    struct seen seen = {0};
    run_until_connected(pool, 1);
    const char *params[] = {"60"};
    for (int i = 0; i < 5; i++)
        db_query(pool, &nap, params, 0, on_result, &seen);
    run_for(30);
    db_pool_free(pool);
    assert_int_equal(seen.calls, 5);
    assert_int_equal(seen.unavailable, 5);
    assert_int_equal(seen.sent, 1);
}

/* A callback that asks again, as handlers with two statements do. */
struct chain {
    struct db_pool *pool;
    struct seen seen;
    int left;
};

static void on_chain(const struct db_result *result, void *arg)
{
    struct chain *chain = arg;
    on_result(result, &chain->seen);
    const char *params[] = {"x"};
    if (chain->left-- > 0)
        db_query(chain->pool, &echo, params, 0, on_chain, chain);
}

static void a_callback_may_ask_again(void **state)
{
    (void)state;
    NEED_DATABASE();
    struct chain chain = {.pool = pool_open("", 1, 0), .left = 100};
    const char *params[] = {"x"};
    db_query(chain.pool, &echo, params, 0, on_chain, &chain);
    run_until(&chain.seen.calls, 101);
    assert_int_equal(chain.seen.ok, 101);
    db_pool_free(chain.pool);
}

static void a_statement_that_went_stale_heals(void **state)
{
    (void)state;
    NEED_DATABASE();
    struct db_sync *db = sync_open("");
    sync_run(db, "DROP TABLE IF EXISTS stale; CREATE TABLE stale (a int); "
                 "INSERT INTO stale VALUES (1)");
    static const struct db_statement all = {"all", "SELECT * FROM stale", 0};
    struct db_pool *pool = pool_open("", 1, 0);
    struct seen seen = {0};
    db_query(pool, &all, NULL, 0, on_result, &seen);
    run_until(&seen.calls, 1);
    assert_int_equal(seen.ok, 1);
    sync_run(db, "ALTER TABLE stale ADD COLUMN b int");
    db_query(pool, &all, NULL, 0, on_result, &seen);
    run_until(&seen.calls, 2);
    assert_string_equal(seen.sqlstate, "0A000");
    db_query(pool, &all, NULL, 0, on_result, &seen);
    run_until(&seen.calls, 3);
    assert_int_equal(seen.ok, 2);
    db_pool_free(pool);
    sync_run(db, "DROP TABLE stale");
    db_sync_free(db);
}

static void a_bad_conninfo_is_refused_without_repeating_it(void **state)
{
    (void)state;
    struct db_pool *pool = NULL;
    struct sticps_error err = {0};
    struct db_pool_options options = {.conninfo = "host=h password hunter2"};
    assert_int_equal(db_pool_new(loop, &options, &pool, &err), STICPS_ERR_USAGE);
    assert_null(strstr(err.text, "hunter2"));
    assert_null(pool);
}

static char logged[512];

static void keep_log(bool good, const char *text)
{
    (void)good;
    snprintf(logged, sizeof(logged), "%s", text);
}

static void the_password_is_not_logged(void **state)
{
    (void)state;
    struct db_pool *pool = NULL;
    struct db_pool_options options = {
        .conninfo = "host=127.0.0.1 port=1 password=hunter2", .connections = 1, .log = keep_log};
    assert_int_equal(db_pool_new(loop, &options, &pool, NULL), STICPS_OK);
    run_for(100);
    assert_non_null(strstr(logged, "127.0.0.1"));
    assert_null(strstr(logged, "hunter2"));
    db_pool_free(pool);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(queries_are_answered),
        TEST(sessions_that_change_are_left_as_they_are),
        TEST(an_error_of_sql_is_told_apart),
        TEST(the_queue_has_an_end),
        TEST(a_slow_statement_is_ended_by_the_server),
        TEST(a_deadline_holds_in_the_queue_and_on_the_server),
        TEST(killed_backends_come_back),
        TEST(an_outage_is_short_of_waiting_and_ends_by_itself),
        TEST(a_silent_server_holds_nobody),
        TEST(a_long_parameter_and_a_long_answer_pass),
        TEST(freeing_answers_everybody),
        TEST(a_callback_may_ask_again),
        TEST(a_statement_that_went_stale_heals),
        TEST(a_bad_conninfo_is_refused_without_repeating_it),
        TEST(the_password_is_not_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
