/* server/http against real sockets: what a handler sees, what is refused, keep-alive, limits,
 * time-outs. */
#include "http_fixture.h"

#include "server/http/pending.h"

#define LIMIT 1024

static void echo(struct request *request)
{
    size_t len;
    const void *body = request_body(request, &len);
    reply_header(request, "x-client", request_client(request));
    reply_bytes(request, 200, "text/plain", body, len);
}

static void show_params(struct request *request)
{
    bool replied = false;
    const char *q = request_query(request, "q", &replied);
    int64_t limit;
    if (replied || !request_query_int(request, "limit", 1, 1000, 100, &limit))
        return;
    reply_json(request, 200,
               json_pack("{s:s,s:s,s:s*,s:I,s:s}", "sp", request_param(request, "sp"), "spc",
                         request_param(request, "spc"), "q", q, "limit", (json_int_t)limit, "host",
                         request_host(request)));
}

static void take_json(struct request *request)
{
    json_t *body = request_json(request);
    if (body != NULL)
        reply_json(request, 201, json_incref(body));
}

static void no_content(struct request *request)
{
    reply_header(request, "etag", "\"1\"");
    reply_empty(request, 204);
}

static void not_modified(struct request *request)
{
    reply_empty(request, 304);
}

static struct shared_bytes *big;

static void send_big(struct request *request)
{
    reply_header(request, "cache-control", "public, max-age=60");
    reply_shared(request, 200, "application/jwt", big);
}

static void forget(struct request *request)
{
    (void)request;
}

static void own_problem(struct request *request)
{
    static const struct problem stale = {403, "STALE_DATE"};
    reply_problem(request, &stale, "too old by %d s", 7);
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

static const struct route routes[] = {
    {.method = "POST", .path = "/echo", .handler = echo, .content_type = "text/plain"},
    {.method = "GET", .path = "/a/{sp}/b/{spc}", .handler = show_params},
    {.method = "PUT", .path = "/json", .handler = take_json, .content_type = "application/json"},
    {.method = "PUT", .path = "/none", .handler = no_content},
    {.method = "GET", .path = "/none", .handler = not_modified},
    {.method = "GET", .path = "/big", .handler = send_big},
    {.method = "GET", .path = "/forget", .handler = forget},
    {.method = "GET", .path = "/own", .handler = own_problem},
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

static const struct server_options defaults = {.threads = 2, .access_log = false};
static const struct listener_options plain = {.name = "test",
                                              .address = "127.0.0.1:0",
                                              .routes = routes,
                                              .routes_len = sizeof(routes) / sizeof(routes[0]),
                                              .body_limit = LIMIT,
                                              .authenticate = authenticate};

static unsigned start(struct fixture *fixture)
{
    fixture_start(fixture, &defaults, &plain);
    return listener_port(fixture->listener);
}

static void answers_as_the_table_says(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        int status;
        const char *code;   /* of a problem, or NULL */
        const char *header; /* that the answer must have, or NULL */
        const char *value;
    } table[] = {
        {"GET /a/x/b/y HTTP/1.1\r\nHost: h\r\n\r\n", 200, NULL, "cache-control", "no-store"},
        {"GET /a/x/b/y HTTP/1.1\r\nHost: h\r\n\r\n", 200, NULL, "x-content-type-options",
         "nosniff"},
        {"GET /a/x/b/y HTTP/1.1\r\nHost: h\r\n\r\n", 200, NULL, "server", "sticps"},
        {"GET https://h/a/x/b/y HTTP/1.1\r\nHost: h\r\n\r\n", 200, NULL, NULL, NULL},
        {"GET https://h HTTP/1.1\r\nHost: h\r\n\r\n", 404, "NOT_FOUND", NULL, NULL},
        {"GET /a/x/b/y HTTP/1.0\r\n\r\n", 200, NULL, "connection", "close"},
        {"HEAD /a/x/b/y HTTP/1.1\r\nHost: h\r\n\r\n", 200, NULL, "content-type",
         "application/json"},
        {"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n", 404, "NOT_FOUND", NULL, NULL},
        {"GET /a/x/b/y/ HTTP/1.1\r\nHost: h\r\n\r\n", 404, "NOT_FOUND", NULL, NULL},
        {"GET /a/x/../x/b/y HTTP/1.1\r\nHost: h\r\n\r\n", 404, "NOT_FOUND", NULL, NULL},
        {"GET /a/x%2Fz/b/y HTTP/1.1\r\nHost: h\r\n\r\n", 404, "NOT_FOUND", NULL, NULL},
        {"GET /a/x%00/b/y HTTP/1.1\r\nHost: h\r\n\r\n", 404, "NOT_FOUND", NULL, NULL},
        {"DELETE /a/x/b/y HTTP/1.1\r\nHost: h\r\n\r\n", 405, "METHOD_NOT_ALLOWED", "allow",
         "GET, HEAD"},
        {"OPTIONS /none HTTP/1.1\r\nHost: h\r\n\r\n", 405, "METHOD_NOT_ALLOWED", "allow",
         "PUT, GET, HEAD"},
        {"TRACE /a/x/b/y HTTP/1.1\r\nHost: h\r\n\r\n", 405, "METHOD_NOT_ALLOWED", NULL, NULL},
        {"PUT /json HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: "
         "2\r\n\r\n{}",
         201, NULL, "content-type", "application/json"},
        {"PUT /json HTTP/1.1\r\nHost: h\r\nContent-Type: Application/Json; "
         "charset=UTF-8\r\nContent-Length: 2\r\n\r\n{}",
         201, NULL, NULL, NULL},
        {"PUT /json HTTP/1.1\r\nHost: h\r\nContent-Type: text/json\r\nContent-Length: 2\r\n\r\n{}",
         415, "UNSUPPORTED_MEDIA_TYPE", NULL, NULL},
        {"PUT /json HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}", 415,
         "UNSUPPORTED_MEDIA_TYPE", NULL, NULL},
        {"PUT /json HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\r\n", 400, "NOT_JSON",
         NULL, NULL},
        {"PUT /json HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: "
         "13\r\n\r\n{\"a\":1,\"a\":2}",
         400, "NOT_JSON", NULL, NULL},
        {"PUT /json HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: "
         "3\r\n\r\n{]}",
         400, "NOT_JSON", NULL, NULL},
        {"PUT /json HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: "
         "2\r\n\r\n[]",
         422, "INVALID", NULL, NULL},
        {"PUT /json HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: "
         "2\r\n\r\n42",
         422, "INVALID", NULL, NULL},
        {"PUT /json HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: "
         "chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
         201, NULL, NULL, NULL},
        {"PUT /none HTTP/1.1\r\nHost: h\r\n\r\n", 204, NULL, "etag", "\"1\""},
        {"PUT /none HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 204, NULL, NULL, NULL},
        {"PUT /none HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: "
         "2\r\n\r\n{}",
         415, "UNSUPPORTED_MEDIA_TYPE", NULL, NULL},
        {"GET /none HTTP/1.1\r\nHost: h\r\n\r\n", 304, NULL, NULL, NULL},
        {"GET /none HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}", 304, NULL, NULL, NULL},
        {"GET /forget HTTP/1.1\r\nHost: h\r\n\r\n", 500, "INTERNAL", NULL, NULL},
        {"GET /own HTTP/1.1\r\nHost: h\r\n\r\n", 403, "STALE_DATE", NULL, NULL},
        {"POST /whoami HTTP/1.1\r\nHost: h\r\n\r\n", 401, "UNAUTHENTICATED", "www-authenticate",
         "Bearer"},
        /* who may not come in learns nothing about bodies */
        {"POST /whoami HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}", 401, "UNAUTHENTICATED",
         NULL, NULL},
        {"POST /whoami HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer secret\r\n\r\n", 200, NULL,
         NULL, NULL},
        {"POST /whoami HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\n\r\n", 200, NULL, NULL,
         NULL},
        {"POST /whoami HTTP/1.1\r\nHost: h\r\nAuthorization: bearer secret\r\nContent-Length: "
         "2\r\n\r\n{}",
         415, "UNSUPPORTED_MEDIA_TYPE", NULL, NULL},
        {"POST /whoami HTTP/1.1\r\nHost: h\r\nAuthorization: secret\r\nAuthorization: "
         "secret\r\n\r\n",
         401, "UNAUTHENTICATED", NULL, NULL},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nExpect: "
         "a-miracle\r\nContent-Length: 1\r\n\r\nx",
         417, "EXPECTATION_FAILED", "connection", "close"},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", 400, "BAD_REQUEST", NULL,
         NULL},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400,
         "BAD_REQUEST", "connection", "close"},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: "
         "chunked\r\n\r\n0\r\n\r\n",
         400, "BAD_REQUEST", "connection", "close"},
        {"GET /a/x/b/y HTTP/1.1\r\nHost: h\r\nA: b\r\n c: d\r\n\r\n", 400, "BAD_REQUEST",
         "connection", "close"},
        {"GET /a/x/b/y?limit=0 HTTP/1.1\r\nHost: h\r\n\r\n", 422, "INVALID", NULL, NULL},
        {"GET /a/x/b/y?limit=1001 HTTP/1.1\r\nHost: h\r\n\r\n", 422, "INVALID", NULL, NULL},
        {"GET /a/x/b/y?limit=1e2 HTTP/1.1\r\nHost: h\r\n\r\n", 422, "INVALID", NULL, NULL},
        {"GET /a/x/b/y?limit=%201 HTTP/1.1\r\nHost: h\r\n\r\n", 422, "INVALID", NULL, NULL},
        {"GET /a/x/b/y?limit=99999999999999999999 HTTP/1.1\r\nHost: h\r\n\r\n", 422, "INVALID",
         NULL, NULL},
        {"GET /a/x/b/y?q=%zz HTTP/1.1\r\nHost: h\r\n\r\n", 422, "INVALID", NULL, NULL},
        {"GET /a/x/b/y?q=1&q=2 HTTP/1.1\r\nHost: h\r\n\r\n", 422, "INVALID", NULL, NULL},
    };
    struct fixture fixture;
    unsigned port = start(&fixture);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct answer answer = ask(port, table[i].request);
        if (answer.status != table[i].status)
            print_error("%s\n%s%s\n", table[i].request, answer.head, answer.body);
        assert_int_equal(answer.status, table[i].status);
        if (table[i].code != NULL)
            assert_problem(&answer, table[i].status, table[i].code);
        if (table[i].header != NULL) {
            char value[128];
            assert_string_equal(answer_header(&answer, table[i].header, value, sizeof(value)),
                                table[i].value);
        }
        free(answer.body);
    }
    fixture_stop(&fixture);
}

static void params_and_query_arrive_decoded(void **state)
{
    (void)state;
    struct fixture fixture;
    unsigned port = start(&fixture);
    struct answer answer = ask(port, "GET /a/x%20y/b/%2541?z=1&q=a+b%26c&limit=7 HTTP/1.1\r\n"
                                     "Host: example.net:8443\r\n\r\n");
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "{\"sp\":\"x y\",\"spc\":\"%41\",\"q\":\"a b&c\",\"limit\":7,"
                                     "\"host\":\"example.net:8443\"}");
    free(answer.body);
    fixture_stop(&fixture);
}

static void a_connection_serves_many_requests_also_at_once(void **state)
{
    (void)state;
    struct fixture fixture;
    unsigned port = start(&fixture);
    struct wire *wire = wire_open(port);
    char ids[6][32];
    /* three one after the other, a refused one and one without a body among them, then three in one
     * go */
    static const char *const requests[] = {
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: "
        "3\r\n\r\none",
        "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n",
        "HEAD /a/x/b/y HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: "
        "3\r\n\r\ntwo"
        "PUT /none HTTP/1.1\r\nHost: h\r\n\r\n"
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: "
        "5\r\n\r\nthree",
    };
    static const int statuses[] = {200, 404, 200, 200, 204, 200};
    for (size_t i = 0, sent = 0; i < 6; i++) {
        struct answer answer;
        if (sent < 4 && i == sent)
            wire_send(wire, requests[sent++]);
        assert_true(wire_receive(wire, &answer, i == 2));
        assert_int_equal(answer.status, statuses[i]);
        answer_header(&answer, "x-request-id", ids[i], sizeof(ids[i]));
        assert_int_equal(strlen(ids[i]), 16);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(ids[i], ids[j]);
        free(answer.body);
    }
    wire_close(wire);
    fixture_stop(&fixture);
}

/* A request with a body of `len` bytes. */
static char *with_body(const char *path, size_t len, size_t *total)
{
    char *text = calloc(1, len + 256);
    int head = snprintf(text, 256,
                        "POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        path, len);
    memset(text + head, 'b', len);
    *total = (size_t)head + len;
    return text;
}

static void bodies_have_a_limit_of_their_route(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        size_t len;
        int status;
        bool goes_on; /* the connection is still good */
    } table[] = {
        {"/echo", LIMIT, 200, true},        {"/echo", LIMIT + 1, 413, true},
        {"/echo", 200 * 1024, 413, true},   {"/bulk", 300000, 200, true},
        {"/bulk", 300001, 413, true},       {"/echo", 3 * 1024 * 1024, 413, false},
        {"/nowhere", 10 * 1024, 404, true},
    };
    struct fixture fixture;
    unsigned port = start(&fixture);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct wire *wire = wire_open(port);
        struct answer answer;
        size_t total;
        char *request = with_body(table[i].path, table[i].len, &total);
        bool sent = wire_try_send(wire, request, total);
        assert_true(sent || !table[i].goes_on);
        assert_true(wire_receive(wire, &answer, false));
        assert_int_equal(answer.status, table[i].status);
        if (answer.status == 413)
            assert_problem(&answer, 413, "TOO_LARGE");
        if (answer.status == 200)
            assert_int_equal(answer.body_len, table[i].len);
        free(answer.body);
        if (table[i].goes_on) {
            wire_send(wire, "GET /a/x/b/y HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_true(wire_receive(wire, &answer, false));
            assert_int_equal(answer.status, 200);
            free(answer.body);
        } else {
            assert_true(wire_ended(wire));
        }
        free(request);
        wire_close(wire);
    }
    fixture_stop(&fixture);
}

static void a_chunked_body_is_limited_too(void **state)
{
    (void)state;
    struct fixture fixture;
    unsigned port = start(&fixture);
    struct wire *wire = wire_open(port);
    struct answer answer;
    wire_send(wire, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n");
    char chunk[4096 + 16];
    int head = snprintf(chunk, sizeof(chunk), "1000\r\n");
    memset(chunk + head, 'c', 4096);
    memcpy(chunk + head + 4096, "\r\n", 2);
    for (int i = 0; i < 1000; i++)
        if (!wire_try_send(wire, chunk, (size_t)head + 4098))
            break;
    assert_true(wire_receive(wire, &answer, false));
    assert_problem(&answer, 413, "TOO_LARGE");
    free(answer.body);
    assert_true(wire_ended(wire));
    wire_close(wire);
    fixture_stop(&fixture);
}

static void expect_100_continue_is_answered_or_refused_before_the_body(void **state)
{
    (void)state;
    struct fixture fixture;
    unsigned port = start(&fixture);
    struct wire *wire = wire_open(port);
    struct answer answer;
    wire_send(wire, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\n"
                    "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_true(wire_receive(wire, &answer, false));
    assert_int_equal(answer.status, 100);
    free(answer.body);
    wire_send(wire, "abc");
    assert_true(wire_receive(wire, &answer, false));
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "abc");
    free(answer.body);
    wire_close(wire);

    wire = wire_open(port);
    wire_send(wire, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\n"
                    "Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n");
    assert_true(wire_receive(wire, &answer, false));
    assert_problem(&answer, 413, "TOO_LARGE");
    free(answer.body);
    wire_close(wire);
    fixture_stop(&fixture);
}

static void a_smuggled_request_is_not_answered(void **state)
{
    (void)state;
    struct fixture fixture;
    unsigned port = start(&fixture);
    struct wire *wire = wire_open(port);
    struct answer answer;
    wire_send(wire, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\n"
                    "Content-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                    "GET /a/x/b/y HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(wire_receive(wire, &answer, false));
    assert_problem(&answer, 400, "BAD_REQUEST");
    free(answer.body);
    assert_true(wire_ended(wire));
    wire_close(wire);
    fixture_stop(&fixture);
}

static void too_much_head_is_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    unsigned port = start(&fixture);
    struct answer answer;
    char *request = calloc(1, 500 * 1024);
    /* one long line, then too many short ones, then an endless one */
    strcpy(request, "GET /a/x/b/y HTTP/1.1\r\nHost: h\r\nX: ");
    memset(request + strlen(request), 'x', 65 * 1024);
    strcat(request, "\r\n\r\n");
    answer = ask(port, request);
    assert_problem(&answer, 431, "HEADERS_TOO_LARGE");
    free(answer.body);

    strcpy(request, "GET /a/x/b/y HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 101; i++)
        strcat(request, "X: y\r\n");
    strcat(request, "\r\n");
    answer = ask(port, request);
    assert_int_equal(answer.status, 400);
    free(answer.body);

    strcpy(request, "GET /a/x/b/y HTTP/1.1\r\nHost: h\r\nX: ");
    memset(request + strlen(request), 'x', 450 * 1024);
    struct wire *wire = wire_open(port);
    (void)wire_try_send(wire, request, strlen(request));
    if (wire_receive(wire, &answer, false))
        assert_int_equal(answer.status, 400);
    free(answer.body);
    assert_true(wire_ended(wire));
    wire_close(wire);
    free(request);
    fixture_stop(&fixture);
}

static void http_2_is_not_spoken(void **state)
{
    (void)state;
    struct fixture fixture;
    unsigned port = start(&fixture);
    struct answer answer = ask(port, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_int_equal(answer.status, 400);
    free(answer.body);
    answer =
        ask(port, "GET /a/x/b/y HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, "
                  "HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n");
    assert_int_equal(answer.status, 200);
    free(answer.body);
    fixture_stop(&fixture);
}

static void a_long_shared_answer_arrives_whole(void **state)
{
    (void)state;
    size_t len = 3 * 1024 * 1024 + 17;
    char *data = malloc(len);
    for (size_t i = 0; i < len; i++)
        data[i] = (char)(i * 31 + i / 4096);
    big = shared_bytes_new(data, len);
    struct fixture fixture;
    unsigned port = start(&fixture);
    struct wire *wire = wire_open(port);
    struct answer answer;
    char value[64];
    for (int i = 0; i < 3; i++) {
        wire_send(wire, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_true(wire_receive(wire, &answer, false));
        assert_int_equal(answer.body_len, len);
        assert_memory_equal(answer.body, data, len);
        assert_string_equal(answer_header(&answer, "cache-control", value, sizeof(value)),
                            "public, max-age=60");
        free(answer.body);
    }
    wire_send(wire, "HEAD /big HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(wire_receive(wire, &answer, true));
    assert_int_equal(
        strtoul(answer_header(&answer, "content-length", value, sizeof(value)), NULL, 10), len);
    free(answer.body);
    /* and one that leaves in the middle */
    wire_send(wire, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(wire_fill(wire, 100));
    wire_close(wire);
    fixture_stop(&fixture);
    shared_bytes_unref(big); /* the last reference: ASan would see it used later, or leaked */
    free(data);
}

static void what_cannot_be_listened_on_is_said(void **state)
{
    (void)state;
    struct fixture fixture;
    unsigned port = start(&fixture);
    char taken[32];
    snprintf(taken, sizeof(taken), "127.0.0.1:%u", port);
    const char *const addresses[] = {"127.0.0.1", "127.0.0.1:",  "127.0.0.1:http",
                                     "::1:80",    "192.0.2.1:0", "no.such.host.invalid:80",
                                     taken};
    struct server *server;
    struct sticps_error err;
    assert_int_equal(server_new(&defaults, &server, &err), STICPS_OK);
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct listener_options options = plain;
        options.address = addresses[i];
        assert_int_equal(server_listen(server, &options, NULL, &err), STICPS_ERR_USAGE);
        assert_string_equal(err.where, addresses[i]);
    }
    struct listener_options options = plain;
    options.authenticate = NULL;
    assert_int_equal(server_listen(server, &options, NULL, &err), STICPS_ERR_USAGE);
    assert_int_equal(server_run(server, &err), STICPS_ERR_USAGE); /* no address at all */
    server_free(server);
    fixture_stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_as_the_table_says),
        cmocka_unit_test(params_and_query_arrive_decoded),
        cmocka_unit_test(a_connection_serves_many_requests_also_at_once),
        cmocka_unit_test(bodies_have_a_limit_of_their_route),
        cmocka_unit_test(a_chunked_body_is_limited_too),
        cmocka_unit_test(expect_100_continue_is_answered_or_refused_before_the_body),
        cmocka_unit_test(a_smuggled_request_is_not_answered),
        cmocka_unit_test(too_much_head_is_refused),
        cmocka_unit_test(http_2_is_not_spoken),
        cmocka_unit_test(a_long_shared_answer_arrives_whole),
        cmocka_unit_test(what_cannot_be_listened_on_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
