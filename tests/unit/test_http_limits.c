/* server/http against clients that mean harm or are broken, and what of them the log keeps. */
#include "http_fixture.h"

static void echo(struct request *request)
{
    size_t len;
    const void *body = request_body(request, &len);
    reply_header(request, "x-client", request_client(request));
    reply_bytes(request, 200, "text/plain", body, len);
}

static void whoami(struct request *request)
{
    reply_json(request, 200, json_pack("{s:s}", "user", (const char *)request_identity(request)));
}

static bool authenticate(struct request *request, const struct route *route)
{
    const char *token = request_bearer(request);
    if (token == NULL || strcmp(token, "secret") != 0) {
        reply_problem(request, &PROBLEM_UNAUTHENTICATED, "a token is needed for role %u",
                      route->role);
        return false;
    }
    request_set_identity(request, strdup("alice"), free);
    request_log_user(request, "alice");
    return true;
}

static struct shared_bytes *big;

static void send_big(struct request *request)
{
    reply_shared(request, 200, "application/jwt", big);
}

static void health(struct request *request)
{
    reply_json_text(request, 200, "{}", 2);
}

static const struct route routes[] = {
    {.method = "GET", .path = "/health", .handler = health},
    {.method = "GET", .path = "/big", .handler = send_big},
    {.method = "POST",
     .path = "/bulk",
     .handler = echo,
     .content_type = "text/plain",
     .body_limit = 300000},
    {.method = "POST",
     .path = "/whoami",
     .handler = whoami,
     .flags = ROUTE_AUTH,
     .role = 3,
     .content_type = "application/json"},
};

static const struct server_options defaults = {.threads = 2};
static const struct listener_options plain = {.name = "test",
                                              .address = "127.0.0.1:0",
                                              .routes = routes,
                                              .routes_len = sizeof(routes) / sizeof(routes[0]),
                                              .authenticate = authenticate};

static void a_body_that_drips_is_cut_off(void **state)
{
    (void)state;
    struct fixture fixture;
    struct server_options options = defaults;
    options.request_timeout_ms = 600;
    fixture_start(&fixture, &options, &plain);
    struct wire *wire = wire_open(listener_port(fixture.listener));
    wire_send(wire, "POST /bulk HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\n"
                    "Content-Length: 1000\r\n\r\n");
    int drips = 0;
    while (drips < 200 && wire_try_send(wire, "x", 1)) {
        struct pollfd polled = {.fd = wire->fd, .events = POLLIN};
        if (poll(&polled, 1, 50) != 0)
            break; /* the end of the stream */
        drips++;
    }
    assert_true(wire_ended(wire));
    assert_true(drips < 200); /* the whole request has a limit, not each byte of it */
    wire_close(wire);
    fixture_stop(&fixture);
}

static void connections_are_limited_and_counted_back(void **state)
{
    (void)state;
    struct fixture fixture;
    struct server_options options = defaults;
    options.max_per_address = 4;
    fixture_start(&fixture, &options, &plain);
    unsigned port = listener_port(fixture.listener);
    for (int round = 0; round < 3; round++) {
        struct wire *wires[4], *extra;
        struct answer answer;
        for (int i = 0; i < 4; i++) {
            wires[i] = wire_open(port);
            wire_send(wires[i], "GET /health HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_true(wire_receive(wires[i], &answer, false));
            free(answer.body);
        }
        extra = wire_open(port);
        assert_true(wire_ended(extra));
        wire_close(extra);
        struct server_counters counters;
        server_counters_read(fixture.server, &counters);
        assert_int_equal(counters.connections_open, 4);
        assert_int_equal(counters.connections_refused, round + 1);
        for (int i = 0; i < 4; i++)
            wire_close(wires[i]);
        do {
            usleep(1000);
            server_counters_read(fixture.server, &counters);
        } while (counters.connections_open > 0);
    }
    struct server_counters counters;
    server_counters_read(fixture.server, &counters);
    assert_int_equal(counters.requests, 12);
    assert_int_equal(counters.responses[2], 12);
    fixture_stop(&fixture);
}

/* Sends `len` bytes of the body of a larger request. */
static struct wire *half_a_body(unsigned port, size_t len)
{
    struct wire *wire = wire_open(port);
    char *text = calloc(1, len + 1);
    memset(text, 'b', len);
    wire_send(wire, "POST /bulk HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\n"
                    "Content-Length: 364000\r\n\r\n");
    (void)wire_try_send(wire, text, len);
    free(text);
    return wire;
}

static void unfinished_bodies_cannot_fill_the_memory(void **state)
{
    (void)state;
    enum { N = 240 };
    struct fixture fixture;
    struct server_options options = defaults;
    options.threads = 1;
    fixture_start(&fixture, &options, &plain);
    unsigned port = listener_port(fixture.listener);
    struct wire *wires[N];
    struct server_counters counters;
    for (int i = 0; i < N; i++)
        wires[i] = half_a_body(port, 360000); /* 86 MB in all; 64 MiB are allowed */
    do {
        usleep(1000);
        server_counters_read(fixture.server, &counters);
    } while (counters.connections_accepted < N ||
             counters.connections_open * 360000 > 64 * 1024 * 1024);
    assert_true(counters.connections_open > N / 2); /* not more than needed */
    struct answer answer = ask(port, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(answer.status, 200);
    free(answer.body);
    for (int i = 0; i < N; i++)
        wire_close(wires[i]);
    fixture_stop(&fixture);
}

static void who_does_not_read_is_cut_off(void **state)
{
    (void)state;
    struct fixture fixture;
    struct server_options options = defaults;
    options.write_timeout_ms = 300;
    size_t len = 32 * 1024 * 1024;
    big = shared_bytes_adopt(calloc(1, len), len);
    fixture_start(&fixture, &options, &plain);
    struct wire *wire = wire_open(listener_port(fixture.listener));
    wire_send(wire, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    struct server_counters counters;
    do { /* until the kernel's buffers are full and the limit has passed */
        usleep(1000);
        server_counters_read(fixture.server, &counters);
    } while (counters.requests == 0 || counters.connections_open > 0);
    wire_close(wire);
    fixture_stop(&fixture);
    shared_bytes_unref(big);
}

/* Stderr goes into a file while it runs. */
static size_t capture(char *out, size_t size, void (*run)(void))
{
    char path[] = "/tmp/sticps-log-XXXXXX";
    int file = mkstemp(path), saved = dup(STDERR_FILENO);
    assert_true(file >= 0 && saved >= 0);
    unlink(path);
    dup2(file, STDERR_FILENO);
    run();
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t len = pread(file, out, size - 1, 0);
    close(file);
    assert_true(len >= 0);
    out[len] = '\0';
    return (size_t)len;
}

static void some_requests(void)
{
    struct fixture fixture;
    struct server_options options = defaults;
    options.access_log = true;
    fixture_start(&fixture, &options, &plain);
    unsigned port = listener_port(fixture.listener);
    free(ask(port, "POST /whoami?token=hunter2 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "
                   "secret\r\nContent-Type: application/json\r\nContent-Length: "
                   "15\r\n\r\n{\"a\":\"hunter2\"}")
             .body);
    free(ask(port, "POST /bulk HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n").body);
    fixture_stop(&fixture);
}

static void the_access_log_says_who_did_what_and_no_secret(void **state)
{
    (void)state;
    char text[8192];
    capture(text, sizeof(text), some_requests);
    assert_null(strstr(text, "secret"));
    assert_null(strstr(text, "hunter2"));
    int requests = 0, refused = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_t *read = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(read);
        const char *msg = json_string_value(json_object_get(read, "msg"));
        if (strcmp(msg, "request") == 0) {
            requests++;
            assert_string_equal(json_string_value(json_object_get(read, "method")), "POST");
            assert_string_equal(json_string_value(json_object_get(read, "path")), "/whoami");
            assert_string_equal(json_string_value(json_object_get(read, "user")), "alice");
            assert_string_equal(json_string_value(json_object_get(read, "client")), "127.0.0.1");
            assert_int_equal(json_integer_value(json_object_get(read, "status")), 200);
            assert_int_equal(json_integer_value(json_object_get(read, "bytes")), 16);
        } else if (strcmp(msg, "refused") == 0) {
            refused++;
            assert_int_equal(json_integer_value(json_object_get(read, "status")), 413);
        }
        json_decref(read);
    }
    assert_int_equal(requests, 1);
    assert_int_equal(refused, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_that_drips_is_cut_off),
        cmocka_unit_test(connections_are_limited_and_counted_back),
        cmocka_unit_test(unfinished_bodies_cannot_fill_the_memory),
        cmocka_unit_test(who_does_not_read_is_cut_off),
        cmocka_unit_test(the_access_log_says_who_did_what_and_no_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
