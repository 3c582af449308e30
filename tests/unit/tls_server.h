/* A TLS server on loopback for tests of the client, in a thread of its own, one connection after
 * the other. It answers GET and POST with what `answer` holds, or what `answers` gives to each
 * request, counts requests and connections, and can be held back. Its certificate is made here, for
 * 127.0.0.1; its root's file is what --tls-ca would name. */
#ifndef TESTS_UNIT_TLS_SERVER_H
#define TESTS_UNIT_TLS_SERVER_H

#include "tests/unit/pki.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 2048 /* in its life */

/* The whole HTTP answer to the request whose head this is, malloc'd; NULL closes the connection
 * without one, and *last after it. In the connection's thread. */
typedef char *tls_server_answers(void *ctx, const char *head, size_t *len, bool *last);

struct tls_server {
    SSL_CTX *context;
    int listener;
    unsigned port;
    pthread_t thread;
    bool running;
    atomic_bool stop;
    atomic_int requests, connections;
    atomic_int resumed; /* connections whose TLS handshake took up an earlier session */
    atomic_int hold_ms; /* before each answer */
    atomic_int drop;    /* so many connections are closed as soon as they are there */
    pthread_mutex_t mutex;
    char *answer; /* a whole HTTP answer; under the mutex */
    size_t answer_len;
    char head[8192]; /* of the last request; under the mutex */
    tls_server_answers *answers; /* in its place; NULL: none */
    void *answers_ctx;
    char ca_path[64];
};

static inline void tls_server_status(struct tls_server *server, const char *status,
                                     const char *headers, const char *body)
{
    char *text = NULL;
    int len = asprintf(&text, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n%s", status,
                       strlen(body), headers, body);
    assert_true(len > 0);
    pthread_mutex_lock(&server->mutex);
    free(server->answer);
    server->answer = text;
    server->answer_len = (size_t)len;
    pthread_mutex_unlock(&server->mutex);
}

static inline void tls_server_pause(int ms)
{
    const struct timespec pause = {ms / 1000, (ms % 1000) * 1000000L};
    nanosleep(&pause, NULL);
}

static inline void tls_server_answer(struct tls_server *server, const char *headers,
                                     const char *body)
{
    tls_server_status(server, "200 OK", headers, body);
}

static inline bool tls_server_give(struct tls_server *server, SSL *tls, const char *head)
{
    size_t len = 0;
    bool last = false;
    char *answer = server->answers(server->answers_ctx, head, &len, &last);
    bool sent = answer != NULL && SSL_write(tls, answer, (int)len) > 0;
    free(answer);
    return sent && !last;
}

/* One request after the other on a kept connection. False when the peer is gone. */
static inline bool tls_server_exchange(struct tls_server *server, SSL *tls)
{
    char head[8192];
    int len = 0;
    head[0] = '\0';
    while (strstr(head, "\r\n\r\n") == NULL && len < (int)sizeof(head) - 1) {
        int n = SSL_read(tls, head + len, (int)sizeof(head) - 1 - len);
        if (n <= 0)
            return false;
        len += n;
        head[len] = '\0';
    }
    atomic_fetch_add(&server->requests, 1);
    for (int held = 0; held < atomic_load(&server->hold_ms) && !atomic_load(&server->stop); held++)
        tls_server_pause(1);
    if (server->answers != NULL)
        return tls_server_give(server, tls, head);
    pthread_mutex_lock(&server->mutex);
    memcpy(server->head, head, sizeof(head));
    int sent = SSL_write(tls, server->answer, (int)server->answer_len);
    pthread_mutex_unlock(&server->mutex);
    return sent > 0;
}

static inline bool tls_server_readable(const struct tls_server *server, int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    while (!atomic_load(&server->stop))
        if (poll(&poller, 1, 20) > 0)
            return true;
    return false;
}

static inline void tls_server_connection(struct tls_server *server, int fd)
{
    const struct timeval timeout = {60, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    SSL *tls = SSL_new(server->context);
    SSL_set_fd(tls, fd);
    atomic_fetch_add(&server->connections, 1);
    bool dropped = atomic_load(&server->drop) > 0 && atomic_fetch_sub(&server->drop, 1) > 0;
    if (!dropped && SSL_accept(tls) == 1) {
        atomic_fetch_add(&server->resumed, SSL_session_reused(tls));
        while ((SSL_pending(tls) > 0 || tls_server_readable(server, fd)) &&
               tls_server_exchange(server, tls))
            ;
    }
    SSL_free(tls);
    close(fd);
}

static inline void *tls_server_connection_main(void *argument)
{
    struct tls_server *server = ((void **)argument)[0];
    int fd = (int)(intptr_t)((void **)argument)[1];
    free(argument);
    tls_server_connection(server, fd);
    return NULL;
}

static inline void *tls_server_main(void *argument)
{
    struct tls_server *server = argument;
    pthread_t threads[CONNECTIONS_MAX];
    size_t count = 0;
    while (tls_server_readable(server, server->listener) && count < CONNECTIONS_MAX) {
        int fd = accept(server->listener, NULL, NULL);
        void **pair = calloc(2, sizeof(*pair));
        pair[0] = server;
        pair[1] = (void *)(intptr_t)fd;
        if (fd < 0 || pthread_create(&threads[count], NULL, tls_server_connection_main, pair) != 0)
            free(pair);
        else
            count++;
    }
    while (count > 0)
        pthread_join(threads[--count], NULL);
    return NULL;
}

static inline void tls_server_certificates(struct tls_server *server)
{
    EVP_PKEY *ca_key = pki_p256(), *key = pki_p256();
    struct pki_spec ca_spec = pki_ca_spec("TLS root", ca_key, NULL, NULL);
    ca_spec.ends = 36500L * PKI_DAY;
    X509 *ca = pki_make(&ca_spec);
    struct pki_spec spec = pki_signer_spec(key, ca, ca_key);
    spec.cn = "127.0.0.1";
    spec.ends = 36500L * PKI_DAY;
    spec.extended_key_usage = "serverAuth";
    X509 *cert = pki_make(&spec);
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    pki_add_conf(cert, &ctx, NID_subject_alt_name, "IP:127.0.0.1");
    assert_true(X509_sign(cert, ca_key, EVP_sha256()) > 0);
    server->context = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(server->context, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server->context, key), 1);

    strcpy(server->ca_path, "/tmp/sticps-test-ca-XXXXXX");
    int fd = mkstemp(server->ca_path);
    assert_true(fd >= 0);
    char *pem = pki_pem(&ca, 1);
    assert_int_equal(write(fd, pem, strlen(pem)), (ssize_t)strlen(pem));
    close(fd);
    free(pem);
    X509_free(ca);
    X509_free(cert);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
}

/* Bound to its port, and not yet serving. */
static inline struct tls_server *tls_server_new(void)
{
    struct tls_server *server = calloc(1, sizeof(*server));
    assert_non_null(server);
    pthread_mutex_init(&server->mutex, NULL);
    tls_server_certificates(server);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(server->listener, 1024), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &len), 0);
    server->port = ntohs(address.sin_port);
    tls_server_answer(server, "", "");
    return server;
}

static inline void tls_server_run(struct tls_server *server)
{
    assert_int_equal(pthread_create(&server->thread, NULL, tls_server_main, server), 0);
    server->running = true;
}

static inline struct tls_server *tls_server_start(void)
{
    struct tls_server *server = tls_server_new();
    tls_server_run(server);
    return server;
}

static inline void tls_server_stop(struct tls_server *server)
{
    atomic_store(&server->stop, true);
    if (server->running)
        pthread_join(server->thread, NULL);
    close(server->listener);
    SSL_CTX_free(server->context);
    unlink(server->ca_path);
    free(server->answer);
    pthread_mutex_destroy(&server->mutex);
    free(server);
}

#endif
