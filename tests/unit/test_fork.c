/* A process that forks with clients in it: the child reads and lets be, the parent notices nothing,
 * also with a thread running and deliveries under way. */
#include "tests/unit/deliver_fixture.h"

#include <dirent.h>
#include <sys/wait.h>

#define IN_CHILD(condition)                                                  \
    do {                                                                     \
        if (!(condition)) {                                                  \
            dprintf(2, "in the child, line %d: %s\n", __LINE__, #condition); \
            _exit(1);                                                        \
        }                                                                    \
    } while (0)

/* ---- children ---- */

/* Ends with 0, within a minute. */
static void await(pid_t child)
{
    int status = 0;
    pid_t ended = 0;
    for (int i = 0; i < 60000 && ended == 0; i++) {
        tls_server_pause(1);
        ended = waitpid(child, &status, WNOHANG);
    }
    if (ended == 0) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        fail_msg("the child hangs");
    }
    assert_int_equal(ended, child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A child that does nothing but hold its copies until the pipe's other end is closed. */
static pid_t idle_child(int *release)
{
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[1]);
        IN_CHILD(read(ends[0], &byte, 1) == 0);
        _exit(0);
    }
    close(ends[0]);
    *release = ends[1];
    return child;
}

static size_t open_files(void)
{
    size_t count = 0;
    DIR *all = opendir("/proc/self/fd");
    while (all != NULL && readdir(all) != NULL)
        count++;
    if (all != NULL)
        closedir(all);
    return count;
}

static bool resolves(struct sticps_client *client)
{
    struct sticps_answer *answer = sticps_answer_new();
    bool right = answer != NULL &&
                 sticps_resolve(client, "+12025550123", answer, NULL) == STICPS_OK &&
                 strstr(sticps_answer_url(answer), "/cps/company/1234") != NULL;
    sticps_answer_free(answer);
    return right;
}

static void on_list(void *ctx, enum sticps_err code, const struct sticps_error *err,
                    const struct sticps_list_result *result)
{
    *(bool *)ctx = code == STICPS_ERR_USAGE && strstr(err->text, "fork") != NULL && result == NULL;
}

static void on_x5u(void *ctx, enum sticps_err code, const struct sticps_error *err, const char *pem,
                   size_t len, int64_t expires_at)
{
    (void)len;
    (void)expires_at;
    *(bool *)ctx = code == STICPS_ERR_USAGE && strstr(err->text, "fork") != NULL && pem == NULL;
}

static void on_retrieve(void *ctx, enum sticps_err code, const struct sticps_error *err,
                        const struct sticps_passports *passports)
{
    *(bool *)ctx =
        code == STICPS_ERR_USAGE && strstr(err->text, "fork") != NULL && passports == NULL;
}

static void on_provision(void *ctx, enum sticps_err code, const struct sticps_error *err,
                         const char *answer)
{
    *(bool *)ctx = code == STICPS_ERR_USAGE && strstr(err->text, "fork") != NULL && answer == NULL;
}

/* In the child: each call that does more than read says so, at once and without a callback later.
 */
static void refused_in_child(struct sticps_client *client)
{
    const struct sticps_retrieve_request retrieve = {"https://127.0.0.1/", "1", "2", NULL, 0};
    const struct sticps_provision_request provision = {
        STICPS_PROVISION_GET, "https://127.0.0.1", "sp", "1234", NULL, "/none",
        "https://a.example/c"};
    struct sticps_error err = {0};
    struct sticps_delivery *delivery = NULL;
    struct sticps_passports *passports = NULL;
    struct sticps_list *list = NULL;
    struct tally tally = {0};
    const char *paths[] = {npdb_path};
    char *text = NULL;
    bool told = false;

    IN_CHILD(sticps_client_fd(client) == -1);
    IN_CHILD(sticps_client_process(client, &err) == STICPS_ERR_USAGE);
    IN_CHILD(strstr(err.text, "fork") != NULL);
    IN_CHILD(sticps_client_start_thread(client, NULL) == STICPS_ERR_USAGE);
    sticps_client_stop_thread(client);
    IN_CHILD(sticps_client_set_npdb(client, paths, 1, NULL) == STICPS_ERR_USAGE);
    IN_CHILD(queue(client, token_one, &tally) == STICPS_ERR_USAGE);
    IN_CHILD(sticps_deliver_wait(client, token_one, strlen(token_one), &delivery, &err) ==
             STICPS_ERR_USAGE);
    IN_CHILD(sticps_list_load(client, STICPS_LIST_CPS, NULL) == STICPS_ERR_USAGE);
    IN_CHILD(sticps_list_reset(client, STICPS_LIST_CPS, 0, NULL, NULL, NULL) == STICPS_ERR_USAGE);
    sticps_list_fetch(client, STICPS_LIST_CPS, "https://127.0.0.1/l", on_list, &told);
    IN_CHILD(told && (told = false, true));
    sticps_trust_list_fetch(client, "https://127.0.0.1/l", on_list, &told);
    IN_CHILD(told && (told = false, true));
    IN_CHILD(sticps_list_fetch_wait(client, STICPS_LIST_CPS, "https://127.0.0.1/l", &list, NULL,
                                    NULL, NULL) == STICPS_ERR_USAGE);
    sticps_x5u_fetch(client, "https://127.0.0.1/c", on_x5u, &told);
    IN_CHILD(told && (told = false, true));
    sticps_x5u_forget(client, "https://127.0.0.1/c");
    sticps_retrieve(client, &retrieve, on_retrieve, &told);
    IN_CHILD(told && (told = false, true));
    IN_CHILD(sticps_retrieve_wait(client, &retrieve, &passports, NULL) == STICPS_ERR_USAGE);
    sticps_provision(client, &provision, on_provision, &told);
    IN_CHILD(told);
    IN_CHILD(sticps_provision_wait(client, &provision, &text, NULL) == STICPS_ERR_USAGE);
    IN_CHILD(atomic_load(&tally.calls) == 0);
}

/* ---- tests ---- */

static void await_request(int before)
{
    for (int i = 0; i < 60000 && atomic_load(&server->requests) <= before; i++)
        tls_server_pause(1);
    assert_true(atomic_load(&server->requests) > before);
}

/* The child resolves, is refused the rest, and frees; the parent's delivery, which is at the CPS
 * all the while, ends well, and its connection carries the next one. */
static void test_the_child_reads_and_the_parent_delivers(void **state)
{
    (void)state;
    for (int thread = 0; thread < 2; thread++) {
        struct sticps_client *client = new_client((struct settings){60000, 0, 0});
        struct tally tally = {0};
        int requests = atomic_load(&server->requests);
        int connections = atomic_load(&server->connections);
        atomic_store(&server->hold_ms, 120000);
        if (thread)
            assert_int_equal(sticps_client_start_thread(client, NULL), STICPS_OK);
        assert_int_equal(queue(client, token_one, &tally), STICPS_OK);
        for (int i = 0; !thread && i < 60000 && atomic_load(&server->requests) <= requests; i++) {
            tls_server_pause(1);
            assert_int_equal(sticps_client_process(client, NULL), STICPS_OK);
        }
        await_request(requests);

        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct sticps_list *held = sticps_list_held(client, STICPS_LIST_CPS);
            IN_CHILD(resolves(client));
            IN_CHILD(held != NULL && sticps_list_sequence(held) == 1);
            IN_CHILD(sticps_deliveries_under_way(client) == 1);
            IN_CHILD(sticps_event_count(client, STICPS_EVENT_DELIVERY, STICPS_OK) == 0);
            refused_in_child(client);
            size_t files = open_files();
            sticps_client_free(client);
            IN_CHILD(files - open_files() == 4); /* epoll, timer, event, connection */
            IN_CHILD(sticps_list_count(held) == 2);
            sticps_list_unref(held);
            _exit(0);
        }
        await(child);
        assert_int_equal(atomic_load(&tally.calls), 0);
        atomic_store(&server->hold_ms, 0);
        for (int i = 0; !thread && i < 60000 && atomic_load(&tally.calls) == 0; i++) {
            tls_server_pause(1);
            assert_int_equal(sticps_client_process(client, NULL), STICPS_OK);
        }
        wait_for(&tally, 1);
        assert_int_equal(atomic_load(&tally.ok), 1);
        assert_int_equal(deliver(client, token_one, NULL, NULL), STICPS_OK);
        assert_int_equal(atomic_load(&server->connections), connections + 1);
        sticps_client_free(client);
    }
}

static void test_a_child_makes_its_own(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    assert_int_equal(deliver(client, token_one, NULL, NULL), STICPS_OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        sticps_client_free(client);
        client = new_client((struct settings){60000, 0, 0});
        IN_CHILD(resolves(client));
        IN_CHILD(deliver(client, token_one, NULL, NULL) == STICPS_OK);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            IN_CHILD(resolves(client));
            IN_CHILD(deliver(client, token_one, NULL, NULL) == STICPS_ERR_USAGE);
            sticps_client_free(client);
            _exit(0);
        }
        int status = 1;
        IN_CHILD(waitpid(grandchild, &status, 0) == grandchild && status == 0);
        IN_CHILD(deliver(client, token_one, NULL, NULL) == STICPS_OK);
        sticps_client_free(client);
        _exit(0);
    }
    await(child);
    assert_int_equal(deliver(client, token_one, NULL, NULL), STICPS_OK);
    sticps_client_free(client);
}

/* A child that keeps its copy of a connection does not make the parent's loop turn for nothing when
 * the parent closes it. */
static void test_copies_do_not_wake_the_parent(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    struct tally tally = {0};
    int release, requests = atomic_load(&server->requests);
    atomic_store(&server->hold_ms, 120000);
    tls_server_status(server, "201 Created", "Connection: close\r\n", "");
    assert_int_equal(queue(client, token_one, &tally), STICPS_OK);
    for (int i = 0; i < 60000 && atomic_load(&server->requests) <= requests; i++) {
        tls_server_pause(1);
        assert_int_equal(sticps_client_process(client, NULL), STICPS_OK);
    }
    pid_t child = idle_child(&release);
    atomic_store(&server->hold_ms, 0);
    struct pollfd fd = {.fd = sticps_client_fd(client), .events = POLLIN};
    unsigned quiet = 0;
    for (int i = 0; i < 2000 && quiet < 5; i++) {
        bool readable = poll(&fd, 1, 20) > 0;
        quiet = readable || atomic_load(&tally.calls) == 0 ? 0 : quiet + 1;
        assert_int_equal(sticps_client_process(client, NULL), STICPS_OK);
    }
    assert_int_equal(atomic_load(&tally.ok), 1);
    assert_int_equal(quiet, 5);
    tls_server_status(server, "201 Created", "", "");
    close(release);
    await(child);
    sticps_client_free(client);
}

/* The numbers are replaced without pause while children are made: each has whole ones. */
static atomic_bool enough;

static void *replace_numbers(void *arg)
{
    const char *paths[] = {npdb_path};
    while (!atomic_load(&enough)) {
        assert_int_equal(sticps_client_set_npdb(arg, paths, 1, NULL), STICPS_OK);
        assert_int_equal(sticps_list_load(arg, STICPS_LIST_CPS, NULL), STICPS_OK);
    }
    return NULL;
}

static void test_forks_amid_replacements(void **state)
{
    (void)state;
    struct sticps_client *client = new_client((struct settings){60000, 0, 0});
    pthread_t thread;
    atomic_store(&enough, false);
    assert_int_equal(pthread_create(&thread, NULL, replace_numbers, client), 0);
    for (int i = 0; i < 40; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (int n = 0; n < 100; n++)
                IN_CHILD(resolves(client));
            sticps_client_free(client);
            _exit(0);
        }
        await(child);
    }
    atomic_store(&enough, true);
    pthread_join(thread, NULL);
    sticps_client_free(client);
}

/* The lock of the state directory is given back by the parent, whatever a child has copied; and a
 * child that ends gives back nothing. */
static void test_the_lock_of_the_state(void **state)
{
    (void)state;
    struct list_store *store = NULL, *second = NULL;
    int release;
    assert_int_equal(list_store_new(dir, STICPS_LIST_CPS, &store, NULL), STICPS_OK);
    assert_int_equal(list_store_new(dir, STICPS_LIST_CPS, &second, NULL), STICPS_OK);
    assert_int_equal(list_store_lock(store, NULL), STICPS_OK);
    pid_t freeing = fork();
    assert_true(freeing >= 0);
    if (freeing == 0) {
        list_store_free(store);
        _exit(0);
    }
    await(freeing);
    assert_int_equal(list_store_lock(second, NULL), STICPS_ERR_STATE);
    pid_t idle = idle_child(&release);
    list_store_unlock(store);
    assert_int_equal(list_store_lock(second, NULL), STICPS_OK);
    list_store_unlock(second);
    close(release);
    await(idle);
    list_store_free(store);
    list_store_free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_child_reads_and_the_parent_delivers),
        cmocka_unit_test(test_a_child_makes_its_own),
        cmocka_unit_test(test_copies_do_not_wake_the_parent),
        cmocka_unit_test(test_forks_amid_replacements),
        cmocka_unit_test(test_the_lock_of_the_state),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
