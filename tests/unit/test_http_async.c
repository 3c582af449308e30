/* server/http where time and threads matter: answers that come later, workers, posts, draining,
 * TLS. */
#include "http_fixture.h"

#include "server/http/pending.h"
#include "server/http/timer.h"
#include "server/http/worker.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>

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

/* ---- TLS ---- */

struct pki {
    char dir[64];
    char cert[80], key[80], other_cert[80], other_key[80], ca[80], client_cert[80], client_key[80];
};

static void write_cert(const char *path, X509 *cert)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    fclose(file);
}

static void write_key(const char *path, EVP_PKEY *key)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
}

static struct pki_spec now_spec(const char *cn, EVP_PKEY *key, const X509 *issuer,
                                EVP_PKEY *issuer_key)
{
    struct pki_spec spec = pki_signer_spec(key, issuer, issuer_key);
    int64_t now = (int64_t)time(NULL) - PKI_NOW;
    spec.cn = cn;
    spec.begins = now - PKI_DAY;
    spec.ends = now + PKI_DAY;
    return spec;
}

static void make_pair(const char *cn, const char *cert_path, const char *key_path,
                      const X509 *issuer, EVP_PKEY *issuer_key)
{
    EVP_PKEY *key = pki_p256();
    struct pki_spec spec = now_spec(cn, key, issuer, issuer_key);
    X509 *cert = pki_make(&spec);
    write_cert(cert_path, cert);
    write_key(key_path, key);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void make_pki(struct pki *pki)
{
    strcpy(pki->dir, "/tmp/sticps-http-XXXXXX");
    assert_non_null(mkdtemp(pki->dir));
    snprintf(pki->cert, sizeof(pki->cert), "%s/cert", pki->dir);
    snprintf(pki->key, sizeof(pki->key), "%s/key", pki->dir);
    snprintf(pki->other_cert, sizeof(pki->other_cert), "%s/cert2", pki->dir);
    snprintf(pki->other_key, sizeof(pki->other_key), "%s/key2", pki->dir);
    snprintf(pki->ca, sizeof(pki->ca), "%s/ca", pki->dir);
    snprintf(pki->client_cert, sizeof(pki->client_cert), "%s/client", pki->dir);
    snprintf(pki->client_key, sizeof(pki->client_key), "%s/clientkey", pki->dir);
    EVP_PKEY *ca_key = pki_p256();
    struct pki_spec spec = now_spec("Client CA", ca_key, NULL, NULL);
    spec.bc = PKI_BC_CA;
    spec.key_usage = "critical,keyCertSign,cRLSign";
    X509 *ca = pki_make(&spec);
    write_cert(pki->ca, ca);
    make_pair("first", pki->cert, pki->key, NULL, NULL);
    make_pair("second", pki->other_cert, pki->other_key, NULL, NULL);
    make_pair("sti-vs-1", pki->client_cert, pki->client_key, ca, ca_key);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
}

static void remove_pki(const struct pki *pki)
{
    const char *const files[] = {pki->cert, pki->key,         pki->other_cert, pki->other_key,
                                 pki->ca,   pki->client_cert, pki->client_key};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        unlink(files[i]);
    rmdir(pki->dir);
}

/* NULL when the handshake fails. */
static struct wire *wire_open_tls(unsigned port, SSL_CTX *ctx)
{
    struct wire *wire = wire_open(port);
    wire->ssl = SSL_new(ctx);
    SSL_set_fd(wire->ssl, wire->fd);
    if (SSL_connect(wire->ssl) == 1)
        return wire;
    wire_close(wire);
    return NULL;
}

static void get_subject(struct wire *wire, const char *expected)
{
    struct answer answer;
    char body[128];
    snprintf(body, sizeof(body), "{\"subject\":\"%s\"}", expected);
    wire_send(wire, GET("/subject"));
    assert_true(wire_receive(wire, &answer, false));
    assert_string_equal(answer.body, body);
    free(answer.body);
}

static void tls_is_1_2_or_better_without_http_2(void **state)
{
    (void)state;
    static const struct {
        int version;
        const char *ciphers; /* of TLS 1.2 */
        bool works;
    } table[] = {
        {TLS1_3_VERSION, NULL, true},
        {TLS1_2_VERSION, NULL, true},
        {TLS1_2_VERSION, "AES128-GCM-SHA256", false},         /* no forward secrecy */
        {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", false}, /* CBC */
        {TLS1_1_VERSION, NULL, false},
    };
    struct pki pki;
    make_pki(&pki);
    struct tls_options tls = {.certificate_file = pki.cert, .key_file = pki.key};
    struct listener_options options = plain;
    options.tls = &tls;
    struct fixture fixture;
    reset();
    fixture_start(&fixture, &defaults, &options);
    unsigned port = listener_port(fixture.listener);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_security_level(ctx, 0);
        SSL_CTX_set_min_proto_version(ctx, table[i].version);
        SSL_CTX_set_max_proto_version(ctx, table[i].version);
        SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x02h2\x08http/1.1", 12);
        if (table[i].ciphers != NULL)
            assert_int_equal(SSL_CTX_set_cipher_list(ctx, table[i].ciphers), 1);
        struct wire *wire = wire_open_tls(port, ctx);
        assert_int_equal(wire != NULL, table[i].works);
        if (wire != NULL) {
            const unsigned char *protocol;
            unsigned len;
            SSL_get0_alpn_selected(wire->ssl, &protocol, &len);
            assert_int_equal(len, 0);
            get_subject(wire, "none");
            get_subject(wire, "none");
            wire_close(wire);
        }
        SSL_CTX_free(ctx);
    }
    /* not TLS at all */
    struct wire *wire = wire_open(port);
    wire_send(wire, GET("/subject"));
    struct answer answer;
    assert_false(wire_receive(wire, &answer, false));
    wire_close(wire);
    fixture_stop(&fixture);
    remove_pki(&pki);
}

static void mutual_tls_names_the_client(void **state)
{
    (void)state;
    struct pki pki;
    make_pki(&pki);
    struct tls_options tls = {
        .certificate_file = pki.cert, .key_file = pki.key, .client_ca_file = pki.ca};
    struct listener_options options = plain;
    options.tls = &tls;
    struct fixture fixture;
    reset();
    fixture_start(&fixture, &defaults, &options);
    unsigned port = listener_port(fixture.listener);

    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_use_certificate_file(ctx, pki.client_cert, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, pki.client_key, SSL_FILETYPE_PEM), 1);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX_set_max_proto_version(ctx, version);
        struct wire *wire = wire_open_tls(port, ctx);
        assert_non_null(wire);
        get_subject(wire, "CN=sti-vs-1");
        wire_close(wire);
    }
    SSL_CTX_free(ctx);

    /* none, and one of another issuer: under TLS 1.3 the client learns it with its first read */
    for (int i = 0; i < 2; i++) {
        ctx = SSL_CTX_new(TLS_client_method());
        if (i == 1) {
            SSL_CTX_use_certificate_file(ctx, pki.other_cert, SSL_FILETYPE_PEM);
            SSL_CTX_use_PrivateKey_file(ctx, pki.other_key, SSL_FILETYPE_PEM);
        }
        struct wire *wire = wire_open_tls(port, ctx);
        if (wire != NULL) {
            struct answer answer;
            (void)wire_try_send(wire, GET("/subject"), strlen(GET("/subject")));
            assert_false(wire_receive(wire, &answer, false));
            wire_close(wire);
        }
        SSL_CTX_free(ctx);
    }
    fixture_stop(&fixture);
    remove_pki(&pki);
}

static void served_name(unsigned port, char *out, size_t size)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    struct wire *wire = wire_open_tls(port, ctx);
    assert_non_null(wire);
    X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(wire->ssl)),
                              NID_commonName, out, (int)size);
    wire_close(wire);
    SSL_CTX_free(ctx);
}

static void certificates_are_replaced_while_serving(void **state)
{
    (void)state;
    struct pki pki;
    char name[32];
    struct sticps_error err = {0};
    make_pki(&pki);
    struct tls_options tls = {.certificate_file = pki.cert, .key_file = pki.key};
    struct listener_options options = plain;
    options.tls = &tls;
    struct fixture fixture;
    reset();
    fixture_start(&fixture, &defaults, &options);
    unsigned port = listener_port(fixture.listener);
    served_name(port, name, sizeof(name));
    assert_string_equal(name, "first");
    /* half a replacement is refused and changes nothing */
    assert_int_equal(rename(pki.other_cert, pki.cert), 0);
    assert_int_equal(server_reload_tls(fixture.server, &err), STICPS_ERR_CRYPTO);
    assert_string_equal(err.where, pki.key);
    served_name(port, name, sizeof(name));
    assert_string_equal(name, "first");
    assert_int_equal(rename(pki.other_key, pki.key), 0);
    assert_int_equal(server_reload_tls(fixture.server, &err), STICPS_OK);
    served_name(port, name, sizeof(name));
    assert_string_equal(name, "second");
    fixture_stop(&fixture);
    remove_pki(&pki);
}

static void bad_tls_files_are_named(void **state)
{
    (void)state;
    struct pki pki;
    make_pki(&pki);
    const struct {
        struct tls_options options;
        enum sticps_err code;
        const char *where;
    } table[] = {
        {{pki.cert, "/nonexistent", NULL}, STICPS_ERR_FILE, "/nonexistent"},
        {{"/nonexistent", pki.key, NULL}, STICPS_ERR_FILE, "/nonexistent"},
        {{pki.cert, pki.key, "/nonexistent"}, STICPS_ERR_FILE, "/nonexistent"},
        {{pki.key, pki.key, NULL}, STICPS_ERR_CRYPTO, pki.key},
        {{pki.cert, pki.cert, NULL}, STICPS_ERR_CRYPTO, pki.cert},
        {{pki.cert, pki.other_key, NULL}, STICPS_ERR_CRYPTO, pki.other_key},
        {{pki.cert, pki.key, pki.key}, STICPS_ERR_CRYPTO, pki.key},
        {{pki.cert, NULL, NULL}, STICPS_ERR_USAGE, "tls"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        SSL_CTX *ctx = NULL;
        struct sticps_error err = {0};
        assert_int_equal(tls_context_new(&table[i].options, &ctx, &err), table[i].code);
        assert_null(ctx);
        assert_string_equal(err.where, table[i].where);
        assert_true(err.text[0] != '\0');
    }
    remove_pki(&pki);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_answers_later),
        cmocka_unit_test(a_full_queue_is_503),
        cmocka_unit_test(a_client_that_leaves_harms_nobody),
        cmocka_unit_test(no_answer_in_time_is_503),
        cmocka_unit_test(draining_finishes_what_runs_and_closes_what_is_idle),
        cmocka_unit_test(draining_has_an_end),
        cmocka_unit_test(signals_stop_and_reload),
        cmocka_unit_test(posts_run_on_their_thread_until_it_ends),
        cmocka_unit_test(a_thread_that_cannot_start_ends_the_server),
        cmocka_unit_test(tls_is_1_2_or_better_without_http_2),
        cmocka_unit_test(mutual_tls_names_the_client),
        cmocka_unit_test(certificates_are_replaced_while_serving),
        cmocka_unit_test(bad_tls_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
