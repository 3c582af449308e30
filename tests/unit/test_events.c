/* What a client counts and tells its host's log: each end once, by its name, and no called number.
 */
#include "sticps/sticps.h"

#include "client/events.h"
#include "tests/unit/tls_server.h"

struct line {
    enum sticps_log_level level;
    int event;
    enum sticps_err code;
    char where[128], text[512];
};

struct log {
    struct line lines[16];
    size_t len;
};

static void on_log(void *ctx, enum sticps_log_level level, int event, enum sticps_err code,
                   const char *where, const char *text)
{
    struct log *log = ctx;
    assert_true(log->len < 16);
    struct line *line = &log->lines[log->len++];
    line->level = level;
    line->event = event;
    line->code = code;
    snprintf(line->where, sizeof(line->where), "%s", where);
    snprintf(line->text, sizeof(line->text), "%s", text);
}

static void test_names(void **state)
{
    (void)state;
    for (int event = 0; event < STICPS_EVENT_COUNT; event++)
        assert_string_not_equal(sticps_event_name((enum sticps_event)event), "unknown");
    assert_string_equal(sticps_event_name(STICPS_EVENT_X5U), "x5u");
    assert_string_equal(sticps_event_name(STICPS_EVENT_COUNT), "unknown");
    assert_string_equal(sticps_event_name((enum sticps_event) - 1), "unknown");
}

static void test_levels_and_numbers(void **state)
{
    static const struct {
        enum sticps_event event;
        enum sticps_err code;
        const char *where, *told;
        enum sticps_log_level level;
    } rows[] = {
        {STICPS_EVENT_LIST, STICPS_ERR_ROLLBACK, "https://a.example/l", "https://a.example/l",
         STICPS_LOG_ERROR},
        {STICPS_EVENT_LIST, STICPS_ERR_FETCH, "https://a.example/l", "https://a.example/l",
         STICPS_LOG_WARN},
        {STICPS_EVENT_X5U, STICPS_ERR_FETCH, "https://a.example/c", "https://a.example/c",
         STICPS_LOG_WARN},
        {STICPS_EVENT_PAUSE, STICPS_ERR_PAUSED, "https://a.example/p", "https://a.example/p",
         STICPS_LOG_WARN},
        {STICPS_EVENT_DELIVERY, STICPS_ERR_REJECTED, "https://a.example/p", "https://a.example/p",
         STICPS_LOG_DEBUG},
        {STICPS_EVENT_DELIVERY, STICPS_ERR_NO_CARRIER, "12025550123", "", STICPS_LOG_DEBUG},
        {STICPS_EVENT_DELIVERY, STICPS_ERR_NOT_A_NUMBER, "+1202", "", STICPS_LOG_DEBUG},
    };
    struct log log = {.len = 0};
    struct sticps_options *options = sticps_options_new();
    static struct events events;
    (void)state;
    sticps_options_set_log(options, on_log, &log);
    events_init(&events, options);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct sticps_error err = {.code = rows[i].code};
        snprintf(err.where, sizeof(err.where), "%s", rows[i].where);
        snprintf(err.text, sizeof(err.text), "why %zu", i);
        events_note(&events, rows[i].event, rows[i].code, &err);
        assert_int_equal(log.len, i + 1);
        assert_int_equal(log.lines[i].level, rows[i].level);
        assert_string_equal(log.lines[i].where, rows[i].told);
        assert_string_equal(log.lines[i].text, err.text);
    }
    events_tell(&events, STICPS_EVENT_LIST, "https://a.example/l", "list %d", 7);
    assert_int_equal(log.lines[log.len - 1].level, STICPS_LOG_INFO);
    assert_string_equal(log.lines[log.len - 1].text, "list 7");
    sticps_options_free(options);
}

/* A server that sends no list, and a place where there is none: each is counted and told once. */
static void test_a_refused_list(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    struct tls_server *server = tls_server_start();
    struct sticps_options *options = sticps_options_new();
    struct sticps_client *client = NULL;
    struct sticps_list *list = NULL;
    struct log log = {.len = 0};
    struct sticps_error err;
    char url[96];
    assert_int_equal(sticps_options_add_anchor_file(options, server->ca_path, NULL), STICPS_OK);
    assert_int_equal(sticps_options_add_tls_ca_file(options, server->ca_path, NULL), STICPS_OK);
    sticps_options_set_lab(options, true);
    sticps_options_set_log(options, on_log, &log);
    assert_int_equal(sticps_client_new(options, &client, NULL), STICPS_OK);
    sticps_options_free(options);

    snprintf(url, sizeof(url), "https://127.0.0.1:%u/list", server->port);
    tls_server_answer(server, "", "rubbish");
    assert_int_equal(sticps_list_fetch_wait(client, STICPS_LIST_CPS, url, &list, NULL, NULL, &err),
                     STICPS_ERR_FORM);
    tls_server_status(server, "404 Not Found", "", "");
    assert_int_equal(sticps_list_fetch_wait(client, STICPS_LIST_CPS, url, &list, NULL, NULL, &err),
                     STICPS_ERR_FETCH);
    assert_int_equal(
        sticps_list_fetch_wait(client, STICPS_LIST_CPS, "http://a", &list, NULL, NULL, &err),
        STICPS_ERR_USAGE);
    static const enum sticps_err codes[] = {STICPS_ERR_FORM, STICPS_ERR_FETCH, STICPS_ERR_USAGE};
    assert_int_equal(log.len, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(log.lines[i].code, codes[i]);
        assert_int_equal(log.lines[i].event, STICPS_EVENT_LIST);
        assert_int_equal(sticps_event_count(client, STICPS_EVENT_LIST, codes[i]), 1);
    }
    assert_int_equal(sticps_event_count(client, STICPS_EVENT_LIST, STICPS_OK), 0);
    assert_int_equal(sticps_event_count(client, STICPS_EVENT_COUNT, STICPS_OK), 0);
    assert_int_equal(sticps_event_count(client, STICPS_EVENT_LIST, STICPS_ERR_COUNT), 0);
    sticps_client_free(client);
    tls_server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_levels_and_numbers),
        cmocka_unit_test(test_a_refused_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
