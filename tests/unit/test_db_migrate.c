/* server/db/migrate and sync: steps are applied once, whole or not at all, and changed ones are
 * refused. */
#include "db_fixture.h"

#include "server/db/migrate.h"

#include <sys/eventfd.h>

static const char one[] = "CREATE TABLE step_one (id int); CREATE TABLE step_one_more (id int);";
static const char two[] = "CREATE TABLE step_two (id int); INSERT INTO step_two VALUES (2);";
static const char three[] = "CREATE TABLE step_three (id int)";
static const char broken[] = "CREATE TABLE step_three (id int); SELECT 1/0;";

#define STEP(name, text)             \
    {                                \
        name, text, sizeof(text) - 1 \
    }

/* A database of our own: other tests may have their schema in the default one. */
#define OWN "dbname=migrate_test"

static struct db_sync *fresh(void)
{
    struct db_sync *db = sync_open(OWN);
    sync_run(db, "DROP TABLE IF EXISTS schema_migration, step_one, step_one_more, step_two, "
                 "step_three");
    return db;
}

static long long number(struct db_sync *db, const char *sql)
{
    struct db_result result;
    assert_int_equal(db_sync_exec(db, sql, 0, NULL, TEST_MS, &result), DB_OK);
    long long value = db_int(result.rows, 0, 0);
    db_sync_clear(&result);
    return value;
}

static void steps_are_applied_once_and_in_order(void **state)
{
    (void)state;
    NEED_DATABASE();
    const struct migration list[] = {STEP("001_one.sql", one), STEP("002_two.sql", two),
                                     STEP("003_three.sql", three)};
    struct db_sync *db = fresh();
    size_t applied = 99;
    assert_int_equal(db_migrate_list(OWN, list, 2, &applied, NULL), STICPS_OK);
    assert_int_equal(applied, 2);
    assert_int_equal(db_migrate_list(OWN, list, 2, &applied, NULL), STICPS_OK);
    assert_int_equal(applied, 0);
    assert_int_equal(db_migrate_list(OWN, list, 3, &applied, NULL), STICPS_OK);
    assert_int_equal(applied, 1);
    assert_int_equal(number(db, "SELECT count(*) FROM step_two"), 1);
    assert_int_equal(number(db, "SELECT count(*) FROM schema_migration"), 3);
    db_sync_free(db);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    NEED_DATABASE();
    const struct migration list[] = {STEP("001_one.sql", one), STEP("002_two.sql", two)};
    const struct migration changed[] = {STEP("001_one.sql", one), STEP("002_two.sql", three)};
    const struct migration renamed[] = {STEP("001_uno.sql", one), STEP("002_two.sql", two)};
    const struct migration gap[] = {STEP("001_one.sql", one), STEP("003_two.sql", two)};
    const struct migration unnumbered[] = {STEP("one.sql", one)};
    struct db_sync *db = fresh();
    struct sticps_error err = {0};
    assert_int_equal(db_migrate_list(OWN, list, 2, NULL, NULL), STICPS_OK);
    assert_int_equal(db_migrate_list(OWN, changed, 2, NULL, &err), STICPS_ERR_STATE);
    assert_string_equal(err.where, "002_two.sql");
    assert_int_equal(db_migrate_list(OWN, renamed, 2, NULL, &err), STICPS_ERR_STATE);
    assert_string_equal(err.where, "001_uno.sql");
    assert_int_equal(db_migrate_list(OWN, list, 1, NULL, &err), STICPS_ERR_STATE); /* newer */
    assert_string_equal(err.where, "002_two.sql");
    assert_int_equal(db_migrate_list(OWN, gap, 2, NULL, &err), STICPS_ERR_STATE);
    assert_string_equal(err.where, "003_two.sql");
    assert_int_equal(db_migrate_list(OWN, unnumbered, 1, NULL, &err), STICPS_ERR_STATE);
    db_sync_free(db);
}

static void a_step_that_fails_leaves_nothing(void **state)
{
    (void)state;
    NEED_DATABASE();
    const struct migration list[] = {STEP("001_one.sql", one), STEP("002_two.sql", two),
                                     STEP("003_three.sql", broken)};
    struct db_sync *db = fresh();
    struct sticps_error err = {0};
    assert_int_equal(db_migrate_list(OWN, list, 3, NULL, &err), STICPS_ERR_STATE);
    assert_non_null(strstr(err.text, "003_three.sql"));
    assert_non_null(strstr(err.text, "22012"));
    assert_int_equal(number(db, "SELECT count(*) FROM schema_migration"), 2);
    assert_int_equal(number(db, "SELECT count(*) FROM pg_tables WHERE tablename = 'step_three'"),
                     0);
    db_sync_free(db);
}

/* Row rules hide all rows from a transaction without a scope, and so from a step. */
static void a_step_sees_the_rows_of_every_account(void **state)
{
    (void)state;
    NEED_DATABASE();
    const struct migration list[] = {
        STEP("001_one.sql",
             "CREATE TABLE step_one AS SELECT current_setting('sticps.scope', true) AS scope")};
    struct sticps_error err = {0};
    struct db_sync *db = fresh();
    if (db_migrate_list(OWN, list, 1, NULL, &err) != STICPS_OK)
        fail_msg("%s: %s", err.where, err.text);
    assert_int_equal(number(db, "SELECT count(*) FROM step_one WHERE scope = '*'"), 1);
    db_sync_free(db);
}

struct racer {
    const struct migration *list;
    size_t len, applied;
    enum sticps_err code;
};

static void *race(void *arg)
{
    struct racer *racer = arg;
    racer->code = db_migrate_list(OWN, racer->list, racer->len, &racer->applied, NULL);
    return NULL;
}

static void nodes_that_start_together_apply_each_step_once(void **state)
{
    (void)state;
    NEED_DATABASE();
    const struct migration list[] = {STEP("001_one.sql", one), STEP("002_two.sql", two),
                                     STEP("003_three.sql", three)};
    struct db_sync *db = fresh();
    struct racer racers[4];
    pthread_t threads[4];
    size_t sum = 0;
    for (int i = 0; i < 4; i++) {
        racers[i] = (struct racer){.list = list, .len = 3};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(racers[i].code, STICPS_OK);
        sum += racers[i].applied;
    }
    assert_int_equal(sum, 3);
    db_sync_free(db);
}

static void the_programs_own_steps_apply_and_check(void **state)
{
    (void)state;
    NEED_DATABASE();
    struct db_sync *db = sync_open("");
    struct sticps_error err = {0};
    size_t applied = 0;
    if (migrations_len == 0)
        skip();
    sync_run(db, "DROP DATABASE IF EXISTS own_steps");
    sync_run(db, "CREATE DATABASE own_steps");
    assert_int_equal(db_migrate_check("dbname=own_steps", &err), STICPS_ERR_STATE);
    if (db_migrate("dbname=own_steps", &applied, &err) != STICPS_OK)
        fail_msg("%s: %s", err.where, err.text);
    assert_int_equal(applied, migrations_len);
    if (db_migrate_check("dbname=own_steps", &err) != STICPS_OK)
        fail_msg("%s: %s", err.where, err.text);
    sync_run(db, "DROP DATABASE own_steps");
    db_sync_free(db);
}

/* ---- the blocking connection ---- */

static void a_blocking_call_has_a_limit(void **state)
{
    (void)state;
    NEED_DATABASE();
    struct db_sync *db = sync_open("");
    struct db_result result;
    const char *params[] = {"7", NULL};
    assert_int_equal(db_sync_exec(db, "SELECT $1::int * 6, $2::text", 2, params, TEST_MS, &result),
                     DB_OK);
    assert_int_equal(db_int(result.rows, 0, 0), 42);
    assert_null(db_text_or_null(result.rows, 0, 1));
    assert_string_equal(db_text(result.rows, 5, 5), "");
    db_sync_clear(&result);
    assert_int_equal(db_sync_script(db, "SELECT nonsense", TEST_MS, &result), DB_SQL_ERROR);
    assert_string_equal(result.sqlstate, "42703");
    assert_true(result.message[0] != '\0');
    struct sticps_error err = {0};
    assert_int_equal(db_sync_fail(&result, "asking", &err), STICPS_ERR_STATE);
    assert_non_null(strstr(err.text, "42703"));
    db_sync_clear(&result);
    assert_int_equal(db_sync_script(db, "SELECT pg_sleep(60)", 100, &result), DB_UNAVAILABLE);
    assert_true(result.sent);
    assert_int_equal(db_sync_fail(&result, "asking", &err), STICPS_ERR_FETCH);
    db_sync_clear(&result);
    db_sync_free(db);
}

static void waiting_tells_what_happened(void **state)
{
    (void)state;
    NEED_DATABASE();
    struct db_sync *db = sync_open(""), *other = sync_open("");
    char channel[32], payload[32], terminate[96];
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint64_t one_event = 1;
    sync_run(db, "LISTEN work");
    assert_int_equal(db_sync_wait(db, event, 20), DB_WAIT_TIMEOUT);
    assert_int_equal(db_sync_wait(db, -1, 0), DB_WAIT_TIMEOUT);
    assert_int_equal(write(event, &one_event, sizeof(one_event)), sizeof(one_event));
    assert_int_equal(db_sync_wait(db, event, TEST_MS), DB_WAIT_EVENT);
    assert_int_equal(read(event, &one_event, sizeof(one_event)), sizeof(one_event));
    sync_run(other, "NOTIFY work, 'a'; NOTIFY work, 'b'");
    assert_int_equal(db_sync_wait(db, event, TEST_MS), DB_WAIT_NOTIFIED);
    assert_true(db_sync_notification(db, channel, sizeof(channel), payload, sizeof(payload)));
    assert_string_equal(channel, "work");
    assert_string_equal(payload, "a");
    assert_int_equal(db_sync_wait(db, event, TEST_MS), DB_WAIT_NOTIFIED);
    assert_true(db_sync_notification(db, NULL, 0, payload, sizeof(payload)));
    assert_string_equal(payload, "b");
    assert_false(db_sync_notification(db, NULL, 0, NULL, 0));
    /* one that comes in with the answer to a statement is not lost */
    sync_run(other, "NOTIFY work, 'c'");
    sync_run(db, "SELECT 1");
    assert_int_equal(db_sync_wait(db, -1, TEST_MS), DB_WAIT_NOTIFIED);
    assert_true(db_sync_notification(db, NULL, 0, NULL, 0));
    snprintf(terminate, sizeof(terminate), "SELECT pg_terminate_backend(%lld)",
             number(db, "SELECT pg_backend_pid()"));
    sync_run(other, terminate);
    assert_int_equal(db_sync_wait(db, event, TEST_MS), DB_WAIT_LOST);
    struct db_result result;
    assert_int_equal(db_sync_script(db, "SELECT 1", TEST_MS, &result), DB_UNAVAILABLE);
    db_sync_clear(&result);
    db_sync_free(db);
    db_sync_free(other);
    close(event);
}

static void an_unreachable_server_is_an_error_in_time(void **state)
{
    (void)state;
    struct db_sync *db = NULL;
    struct sticps_error err = {0};
    assert_int_equal(
        db_sync_connect("host=127.0.0.1 port=1 password=hunter2", "t", 2000, &db, &err),
        STICPS_ERR_FETCH);
    assert_null(strstr(err.text, "hunter2"));
    assert_int_equal(db_sync_connect("password hunter2", "t", 2000, &db, &err), STICPS_ERR_USAGE);
    assert_null(strstr(err.text, "hunter2"));
    assert_null(db);
    /* one that accepts and says nothing */
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    char conninfo[64];
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%u", ntohs(address.sin_port));
    assert_int_equal(db_sync_connect(conninfo, "t", 200, &db, &err), STICPS_ERR_FETCH);
    close(fd);
}

static int make_database(void **state)
{
    (void)state;
    if (getenv("PGHOST") == NULL)
        return 0;
    struct db_sync *db = sync_open("");
    sync_run(db, "DROP DATABASE IF EXISTS migrate_test");
    sync_run(db, "CREATE DATABASE migrate_test");
    db_sync_free(db);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_applied_once_and_in_order),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(a_step_that_fails_leaves_nothing),
        cmocka_unit_test(a_step_sees_the_rows_of_every_account),
        cmocka_unit_test(nodes_that_start_together_apply_each_step_once),
        cmocka_unit_test(the_programs_own_steps_apply_and_check),
        cmocka_unit_test(a_blocking_call_has_a_limit),
        cmocka_unit_test(waiting_tells_what_happened),
        cmocka_unit_test(an_unreachable_server_is_an_error_in_time),
    };
    return cmocka_run_group_tests(tests, make_database, NULL);
}
