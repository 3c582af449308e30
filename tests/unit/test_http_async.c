/* server/http where time and threads matter: answers that come later, workers, posts, draining,
 * TLS. */
#include "http_fixture.h"

#include "server/http/limits.h"
#include "server/http/pending.h"
#include "server/http/timer.h"
#include "server/http/worker.h"

#include <signal.h>
#include <stdatomic.h>

/* What the tests look at from outside. */
static atomic_int jobs_running, jobs_may_end, gone_seen, freed, late_answers;
static struct worker_pool *pool;

static void reset(void)
{
    atomic_store(&jobs_running, 0);
    atomic_store(&jobs_may_end, 0);
    atomic_store(&gone_seen, 0);
    atomic_store(&freed, 0);
    atomic_store(&late_answers, 0);
}

static void wait_until(const atomic_int *value, int wanted)
{
    for (int i = 0; i < 20000 && atomic_load(value) < wanted; i++)
        usleep(1000);
    assert_int_equal(atomic_load(value), wanted);
}

static void free_counted(void *data)
{
    atomic_fetch_add(&freed, 1);
    free(data);
}

/* A job that ends when the test lets it. */
static void run_job(void *arg)
{
    (void)arg;
    atomic_fetch_add(&jobs_running, 1);
    while (atomic_load(&jobs_may_end) == 0)
        usleep(1000);
}

static void job_done(void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);
    if (request != NULL)
        reply_json(request, 200, json_pack("{s:s}", "done", (char *)pending_data(pending)));
    else
        atomic_fetch_add(&late_answers, 1);
    pending_done(pending);
}

static void work(struct request *request)
{
    struct pending *pending = pending_new(request, 0, strdup("yes"), free_counted);
    if (!worker_submit(pool, request_thread(request), run_job, job_done, pending)) {
        reply_problem(request, &PROBLEM_UNAVAILABLE, "too much to do");
        pending_done(pending);
    }
}

static void quick_job(void *arg)
{
    (void)arg;
}

static void quick(struct request *request)
{
    struct pending *pending = pending_new(request, 0, strdup("quick"), free_counted);
    if (!worker_submit(pool, request_thread(request), quick_job, job_done, pending))
        pending_done(pending); /* without a reply: the client gets 500 */
}

/* What several clients make happen, in the order in which the one worker takes it. */
static char turns[16];
static atomic_int turns_len;

static void take_turn(void *arg)
{
    turns[atomic_load(&turns_len)] = *(const char *)arg;
    atomic_fetch_add(&turns_len, 1);
}

static void turn_done(void *arg)
{
    (void)arg;
}

static void submit_turns(struct request *request)
{
    static char clients[] = "AAAAABCC";
    static const enum worker_answer expected[] = {WORKER_TAKEN, WORKER_TAKEN,       WORKER_TAKEN,
                                                  WORKER_TAKEN, WORKER_CLIENT_FULL, WORKER_TAKEN,
                                                  WORKER_TAKEN, WORKER_FULL};

    for (int i = 0; i < 8; i++) {
        struct limits_key client = {{4, 192, 0, 2, (uint8_t)clients[i]}};
        assert_int_equal(worker_submit_for(pool, &client, 4, request_thread(request), take_turn,
                                           turn_done, &clients[i]),
                         expected[i]);
    }
    assert_false(worker_submit(pool, request_thread(request), take_turn, turn_done, clients));
    reply_empty(request, 204);
}

/* A long poll: nothing ever comes, and who waits is told when the client is out of it. */
static void on_gone(struct pending *pending)
{
    assert_null(pending_request(pending));
    atomic_fetch_add(&gone_seen, 1);
    pending_done(pending);
}

static void wait_for_ever(struct request *request)
{
    const char *deadline = request_param(request, "ms");
    struct pending *pending =
        pending_new(request, (unsigned)strtoul(deadline, NULL, 10), strdup("x"), free_counted);
    pending_on_gone(pending, on_gone);
    atomic_fetch_add(&jobs_running, 1);
}

/* The check of a token that takes another thread. */
static void auth_done(void *arg)
{
    struct request *request = pending_detach(arg);
    if (request != NULL)
        router_continue(request);
}

static bool authenticate(struct request *request, const struct route *route)
{
    (void)route;
    struct pending *pending = pending_new(request, 0, strdup("auth"), free_counted);
    assert_true(worker_submit(pool, request_thread(request), quick_job, auth_done, pending));
    return false;
}

static void subject(struct request *request)
{
    const char *name = request_client_subject(request);
    reply_json(request, 200, json_pack("{s:s}", "subject", name != NULL ? name : "none"));
}

static const struct route routes[] = {
    {.method = "GET", .path = "/work", .handler = work},
    {.method = "GET", .path = "/quick", .handler = quick},
    {.method = "GET", .path = "/turns", .handler = submit_turns},
    {.method = "GET", .path = "/wait/{ms}", .handler = wait_for_ever},
    {.method = "GET", .path = "/guarded", .handler = quick, .flags = ROUTE_AUTH},
    {.method = "GET", .path = "/subject", .handler = subject},
};

static const struct server_options defaults = {.threads = 2, .handler_deadline_ms = 10000};
static const struct listener_options plain = {.name = "test",
                                              .address = "127.0.0.1:0",
                                              .routes = routes,
                                              .routes_len = sizeof(routes) / sizeof(routes[0]),
                                              .authenticate = authenticate};

static unsigned start(struct fixture *fixture, const struct server_options *options, size_t queue)
{
    reset();
    assert_int_equal(worker_pool_new(1, queue, &pool, NULL), STICPS_OK);
    fixture_start(fixture, options, &plain);
    return listener_port(fixture->listener);
}

static void stop(struct fixture *fixture)
{
    fixture_stop(fixture);
    worker_pool_free(pool);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

static void a_worker_answers_later(void **state)
{
    (void)state;
    struct fixture fixture;
    unsigned port = start(&fixture, &defaults, 8);
    struct wire *wire = wire_open(port);
    for (int i = 0; i < 20; i++) {
        struct answer answer;
        wire_send(wire, i % 2 == 0 ? GET("/quick") : GET("/guarded"));
        assert_true(wire_receive(wire, &answer, false));
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.body, "{\"done\":\"quick\"}");
        free(answer.body);
    }
    wire_close(wire);
    stop(&fixture);
    assert_int_equal(atomic_load(&freed), 30); /* each pending, and those of the ten checks */
}

static void a_full_queue_is_503(void **state)
{
    (void)state;
    struct fixture fixture;
    unsigned port = start(&fixture, &defaults, 1);
    struct wire *running = wire_open(port), *waiting = wire_open(port);
    struct answer answer;
    char value[16];
    wire_send(running, GET("/work"));
    wait_until(&jobs_running, 1);
    wire_send(waiting, GET("/work"));
    for (int i = 0; i < 20000 && worker_pool_load(pool) < 2; i++)
        usleep(1000);
    answer = ask(port, GET("/work"));
    assert_problem(&answer, 503, "UNAVAILABLE");
    assert_string_equal(answer_header(&answer, "retry-after", value, sizeof(value)), "1");
    free(answer.body);
    answer = ask(port, GET("/quick")); /* its handler gives up without a word */
    assert_problem(&answer, 500, "INTERNAL");
    free(answer.body);
    atomic_store(&jobs_may_end, 1);
    assert_true(wire_receive(running, &answer, false));
    assert_int_equal(answer.status, 200);
    free(answer.body);
    assert_true(wire_receive(waiting, &answer, false));
    assert_int_equal(answer.status, 200);
    free(answer.body);
    wire_close(running);
    wire_close(waiting);
    stop(&fixture);
    assert_int_equal(atomic_load(&freed), 4);
}

static void clients_take_turns(void **state)
{
    (void)state;
    struct fixture fixture;
    unsigned port = start(&fixture, &defaults, 6);
    struct wire *running = wire_open(port);
    struct answer answer;
    atomic_store(&turns_len, 0);
    wire_send(running, GET("/work"));
    wait_until(&jobs_running, 1);
    answer = ask(port, GET("/turns"));
    assert_int_equal(answer.status, 204);
    free(answer.body);
    assert_int_equal(worker_pool_load(pool), 7);
    atomic_store(&jobs_may_end, 1);
    wait_until(&turns_len, 6);
    assert_memory_equal(turns, "ABCAAA", 6);
    assert_true(wire_receive(running, &answer, false));
    free(answer.body);
    wire_close(running);
    stop(&fixture);
}

static void a_client_that_leaves_harms_nobody(void **state)
{
    (void)state;
    struct fixture fixture;
    unsigned port = start(&fixture, &defaults, 8);
    struct wire *wire = wire_open(port);
    wire_send(wire, GET("/work"));
    wait_until(&jobs_running, 1);
    struct linger reset_at_once = {.l_onoff = 1};
    setsockopt(wire->fd, SOL_SOCKET, SO_LINGER, &reset_at_once, sizeof(reset_at_once));
    wire_close(wire);
    usleep(20000);
    atomic_store(&jobs_may_end, 1);
    wait_until(&freed, 1); /* h2o noticed when it wrote, and all was freed */
    stop(&fixture);
}

static void no_answer_in_time_is_503(void **state)
{
    (void)state;
    struct server_options options = defaults;
    options.handler_deadline_ms = 50;
    struct fixture fixture;
    unsigned port = start(&fixture, &options, 8);
    struct wire *wire = wire_open(port);
    struct answer answer;
    char value[16];
    wire_send(wire, GET("/work"));
    assert_true(wire_receive(wire, &answer, false));
    assert_problem(&answer, 503, "UNAVAILABLE");
    assert_string_equal(answer_header(&answer, "retry-after", value, sizeof(value)), "1");
    free(answer.body);
    /* the connection goes on while the job still runs */
    wire_send(wire, GET("/subject"));
    assert_true(wire_receive(wire, &answer, false));
    assert_int_equal(answer.status, 200);
    free(answer.body);
    atomic_store(&jobs_may_end, 1);
    wait_until(&late_answers, 1);
    wait_until(&freed, 1);
    wire_send(wire, GET("/wait/20"));
    assert_true(wire_receive(wire, &answer, false));
    assert_problem(&answer, 503, "UNAVAILABLE");
    free(answer.body);
    wait_until(&gone_seen, 1);
    wire_close(wire);
    wait_until(&freed, 2);
    stop(&fixture);
}

static void draining_finishes_what_runs_and_closes_what_is_idle(void **state)
{
    (void)state;
    struct fixture fixture;
    unsigned port = start(&fixture, &defaults, 8);
    struct wire *busy = wire_open(port), *idle = wire_open(port), *fresh = wire_open(port);
    struct answer answer;
    char value[16];
    wire_send(idle, GET("/subject"));
    assert_true(wire_receive(idle, &answer, false));
    assert_string_equal(answer_header(&answer, "connection", value, sizeof(value)), "keep-alive");
    free(answer.body);
    wire_send(busy, GET("/work"));
    wait_until(&jobs_running, 1);
    assert_false(server_stopping(fixture.server));
    server_stop(fixture.server);
    assert_true(wire_ended(idle));
    assert_true(wire_ended(fresh)); /* connected, but never asked */
    assert_true(server_stopping(fixture.server));
    int refused = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(refused, (struct sockaddr *)&address, sizeof(address)), -1);
    close(refused);
    atomic_store(&jobs_may_end, 1);
    assert_true(wire_receive(busy, &answer, false));
    assert_int_equal(answer.status, 200);
    free(answer.body);
    assert_true(wire_ended(busy));
    fixture_join(&fixture);
    worker_pool_free(pool);
    wire_close(busy);
    wire_close(idle);
    wire_close(fresh);
}

static void draining_has_an_end(void **state)
{
    (void)state;
    struct server_options options = defaults;
    options.drain_timeout_ms = 200;
    options.handler_deadline_ms = 600000;
    struct fixture fixture;
    unsigned port = start(&fixture, &options, 8);
    struct wire *poll_wire = wire_open(port), *half = wire_open(port);
    wire_send(poll_wire, GET("/wait/600000"));
    wait_until(&jobs_running, 1);
    wire_send(half, "GET /subject HTTP/1.1\r\nHost"); /* half a request */
    stop(&fixture);
    assert_int_equal(atomic_load(&gone_seen), 1);
    assert_int_equal(atomic_load(&freed), 1);
    assert_true(wire_ended(half));
    wire_close(poll_wire);
    wire_close(half);
}

static void signals_stop_and_reload(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    reset();
    assert_int_equal(server_new(&defaults, &fixture.server, NULL), STICPS_OK);
    assert_int_equal(server_listen(fixture.server, &plain, &fixture.listener, NULL), STICPS_OK);
    assert_int_equal(server_stop_on_signals(fixture.server, NULL), STICPS_OK);
    assert_int_equal(pthread_create(&fixture.thread, NULL, fixture_run, &fixture), 0);
    struct answer answer = ask(listener_port(fixture.listener), GET("/subject"));
    assert_int_equal(answer.status, 200);
    free(answer.body);
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGTERM);
    fixture_join(&fixture);
}

/* ---- posts ---- */

static atomic_int posts_run;

static void count_post(void *arg)
{
    (void)arg;
    atomic_fetch_add(&posts_run, 1);
}

static void *post_many(void *arg)
{
    struct server *server = arg;
    for (size_t i = 0; i < 1000; i++)
        if (!loop_post(server_thread_at(server, i % server_threads(server)), count_post, NULL))
            abort();
    return NULL;
}

static void posts_run_on_their_thread_until_it_ends(void **state)
{
    (void)state;
    struct fixture fixture;
    unsigned port = start(&fixture, &defaults, 8);
    struct answer answer = ask(port, GET("/subject")); /* the threads are up */
    free(answer.body);
    pthread_t posters[3];
    atomic_store(&posts_run, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&posters[i], NULL, post_many, fixture.server), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(posters[i], NULL);
    wait_until(&posts_run, 3000);
    server_stop(fixture.server);
    pthread_join(fixture.thread, NULL);
    assert_false(loop_post(server_thread_at(fixture.server, 0), count_post, NULL));
    server_free(fixture.server);
    worker_pool_free(pool);
    assert_int_equal(atomic_load(&posts_run), 3000);
}

/* ---- what a thread owns ---- */

static enum sticps_err fail_on_second(struct server_thread *thread, void *arg, void **state,
                                      struct sticps_error *err)
{
    atomic_int *started = arg;
    if (server_thread_index(thread) == 1)
        return (fail)(err, STICPS_ERR_FETCH, "here", "no luck");
    atomic_fetch_add(started, 1);
    *state = started;
    return STICPS_OK;
}

static void stop_counted(struct server_thread *thread, void *arg, void *state)
{
    (void)thread;
    assert_ptr_equal(arg, state);
    atomic_fetch_sub((atomic_int *)state, 1);
}

static void a_thread_that_cannot_start_ends_the_server(void **state)
{
    (void)state;
    atomic_int started;
    atomic_init(&started, 0);
    struct server_options options = defaults;
    options.thread_start = fail_on_second;
    options.thread_stop = stop_counted;
    options.arg = &started;
    struct server *server;
    struct sticps_error err = {0};
    assert_int_equal(server_new(&options, &server, NULL), STICPS_OK);
    assert_int_equal(server_listen(server, &plain, NULL, NULL), STICPS_OK);
    assert_int_equal(server_run(server, &err), STICPS_ERR_FETCH);
    assert_string_equal(err.text, "no luck");
    assert_int_equal(atomic_load(&started), 0); /* the other thread started and stopped */
    server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_answers_later),
        cmocka_unit_test(a_full_queue_is_503),
        cmocka_unit_test(clients_take_turns),
        cmocka_unit_test(a_client_that_leaves_harms_nobody),
        cmocka_unit_test(no_answer_in_time_is_503),
        cmocka_unit_test(draining_finishes_what_runs_and_closes_what_is_idle),
        cmocka_unit_test(draining_has_an_end),
        cmocka_unit_test(signals_stop_and_reload),
        cmocka_unit_test(posts_run_on_their_thread_until_it_ends),
        cmocka_unit_test(a_thread_that_cannot_start_ends_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
