/* PUTs of CPS URLs as fast as the registry takes them: each connection keeps one request under way,
 * as each of pgbench's keeps one transaction. Called by tests/bench/run:
 *
 *     bench_put PORT TOKEN PATH SPCS CONNECTIONS SECONDS STAMP
 *
 * PATH is that of an account's entries, with a slash at its end; SPCS has one code a line. Every
 * request has a URL of its own, made from STAMP. HTTP/1.1 over TLS to 127.0.0.1; one thread, so
 * that it is no more of a burden than pgbench is. Ends with status 1 at the first answer that is
 * not 200 or 201. Prints one JSON object: requests answered, seconds, median and 99th percentile of
 * the time to the answer in µs. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define MAX_CONNECTIONS 1024
#define MAX_SAMPLES 4000000 /* answer times kept */

struct connection {
    SSL *ssl;
    uint64_t sent_us;
    size_t len; /* of the answer so far */
    char answer[16384];
};

struct load {
    const char *token, *path, *stamp;
    char (*spcs)[8];
    size_t spcs_len;
    size_t sent, answered;
    uint32_t *times_us;
    int epoll;
};

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench_put: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void read_spcs(struct load *load, const char *file)
{
    FILE *in = fopen(file, "r");
    char line[64];
    if (in == NULL)
        die("%s cannot be read", file);
    while (fgets(line, sizeof(line), in) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        load->spcs = reallocarray(load->spcs, load->spcs_len + 1, sizeof(*load->spcs));
        if (load->spcs == NULL || strlen(line) >= sizeof(*load->spcs))
            die("%s: bad SPC %s", file, line);
        memcpy(load->spcs[load->spcs_len++], line, strlen(line) + 1);
    }
    fclose(in);
    if (load->spcs_len == 0)
        die("%s is empty", file);
}

/* ---- a connection ---- */

static void connect_to(struct connection *connection, SSL_CTX *ctx, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        die("no connection to port %u", port);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    connection->ssl = SSL_new(ctx);
    if (connection->ssl == NULL || SSL_set_fd(connection->ssl, fd) != 1 ||
        SSL_connect(connection->ssl) != 1)
        die("no TLS: %s", ERR_reason_error_string(ERR_peek_last_error()));
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        die("fcntl");
}

/* A request is small and the one before it is answered, so the kernel takes it at once. */
static void ask(struct load *load, struct connection *connection)
{
    char body[256], text[2048];
    int body_len = snprintf(body, sizeof(body), "{\"url\":\"https://cps.example.com/%s/%zu\"}",
                            load->stamp, load->sent);
    int len =
        snprintf(text, sizeof(text),
                 "PUT %s%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
                 "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                 load->path, load->spcs[load->sent % load->spcs_len], load->token, body_len, body);
    if (len < 0 || (size_t)len >= sizeof(text))
        die("the request is too long");
    load->sent++;
    connection->len = 0;
    connection->sent_us = now_us();
    if (SSL_write(connection->ssl, text, len) != len)
        die("the connection was lost");
}

enum taken { TAKEN_NOTHING, TAKEN_PART, TAKEN_ANSWER };

static enum taken take(struct connection *connection)
{
    int got = SSL_read(connection->ssl, connection->answer + connection->len,
                       (int)(sizeof(connection->answer) - 1 - connection->len));
    if (got <= 0 && SSL_get_error(connection->ssl, got) == SSL_ERROR_WANT_READ)
        return TAKEN_NOTHING;
    if (got <= 0)
        die("the connection was lost");
    connection->len += (size_t)got;
    connection->answer[connection->len] = '\0';
    const char *end = strstr(connection->answer, "\r\n\r\n");
    if (end == NULL)
        return TAKEN_PART;
    const char *length = strcasestr(connection->answer, "\r\ncontent-length:");
    if (length == NULL || length > end)
        die("an answer without length: %s", connection->answer);
    size_t body = strtoul(length + 17, NULL, 10);
    if (connection->len < (size_t)(end + 4 - connection->answer) + body)
        return TAKEN_PART;
    if (strncmp(connection->answer, "HTTP/1.1 200 ", 13) != 0 &&
        strncmp(connection->answer, "HTTP/1.1 201 ", 13) != 0)
        die("a refusal: %s", connection->answer);
    return TAKEN_ANSWER;
}

/* ---- the run ---- */

/* Until nothing is left to read, which may be inside OpenSSL, or the answer is whole. */
static void on_ready(struct load *load, struct connection *connection, bool more)
{
    enum taken taken;
    do
        taken = take(connection);
    while (taken == TAKEN_PART);
    if (taken == TAKEN_NOTHING)
        return;
    if (load->answered < MAX_SAMPLES)
        load->times_us[load->answered] = (uint32_t)(now_us() - connection->sent_us);
    load->answered++;
    if (more)
        ask(load, connection);
}

static void run(struct load *load, uint64_t end_us)
{
    struct epoll_event events[64];
    size_t open = load->sent; /* one request on each */
    while (load->answered < load->sent || now_us() < end_us) {
        int ready = epoll_wait(load->epoll, events, 64, 10000);
        bool more = now_us() < end_us;
        if (ready == 0)
            die("no answer for ten seconds on %zu connections", open);
        for (int i = 0; i < ready; i++)
            on_ready(load, events[i].data.ptr, more);
    }
}

static int by_size(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

int main(int argc, char **argv)
{
    if (argc != 8)
        die("usage: bench_put PORT TOKEN PATH SPCS CONNECTIONS SECONDS STAMP");
    struct load load = {.token = argv[2], .path = argv[3], .stamp = argv[7]};
    size_t connections = strtoul(argv[5], NULL, 10);
    if (connections < 1 || connections > MAX_CONNECTIONS)
        die("1 to %d connections", MAX_CONNECTIONS);
    read_spcs(&load, argv[4]);
    load.times_us = calloc(MAX_SAMPLES, sizeof(*load.times_us));
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    struct connection *all = calloc(connections, sizeof(*all));
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (all == NULL || load.times_us == NULL || load.epoll < 0 || ctx == NULL)
        die("out of memory");
    SSL_CTX_set_read_ahead(ctx, 1);
    for (size_t i = 0; i < connections; i++)
        connect_to(&all[i], ctx, (uint16_t)strtoul(argv[1], NULL, 10));
    uint64_t begin_us = now_us();
    for (size_t i = 0; i < connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        ask(&load, &all[i]);
        if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, SSL_get_fd(all[i].ssl), &event) != 0)
            die("epoll_ctl");
    }
    run(&load, begin_us + strtoul(argv[6], NULL, 10) * 1000000);
    double seconds = (double)(now_us() - begin_us) / 1e6;
    size_t samples = load.answered < MAX_SAMPLES ? load.answered : MAX_SAMPLES;
    qsort(load.times_us, samples, sizeof(*load.times_us), by_size);
    printf("{\"requests\": %zu, \"seconds\": %.3f, \"p50_us\": %u, \"p99_us\": %u}\n",
           load.answered, seconds, load.times_us[samples / 2], load.times_us[samples / 100 * 99]);
    return 0;
}
