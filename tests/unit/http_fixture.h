/* A server of server/http on loopback for tests, and the plainest of clients: sockets, and a reader
 * of one response. Anything that fails ends the test. */
#ifndef TESTS_UNIT_HTTP_FIXTURE_H
#define TESTS_UNIT_HTTP_FIXTURE_H

#include "server/http/server.h"
#include "server/http/tls.h"
#include "server/http/router.h"
#include "server/http/request.h"
#include "server/http/reply.h"

#include "pki.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct fixture {
    struct server *server;
    struct listener *listener;
    pthread_t thread;
    enum sticps_err result;
    struct sticps_error err;
};

static inline void *fixture_run(void *arg)
{
    struct fixture *fixture = (struct fixture *)arg;
    fixture->result = server_run(fixture->server, &fixture->err);
    return NULL;
}

static inline void fixture_start(struct fixture *fixture, const struct server_options *options,
                                 const struct listener_options *listener)
{
    memset(fixture, 0, sizeof(*fixture));
    assert_int_equal(server_new(options, &fixture->server, &fixture->err), STICPS_OK);
    if (server_listen(fixture->server, listener, &fixture->listener, &fixture->err) != STICPS_OK)
        fail_msg("%s: %s", fixture->err.where, fixture->err.text);
    assert_int_equal(pthread_create(&fixture->thread, NULL, fixture_run, fixture), 0);
}

static inline void fixture_join(struct fixture *fixture)
{
    pthread_join(fixture->thread, NULL);
    if (fixture->result != STICPS_OK)
        print_error("%s\n", fixture->err.text);
    assert_int_equal(fixture->result, STICPS_OK);
    server_free(fixture->server);
}

static inline void fixture_stop(struct fixture *fixture)
{
    server_stop(fixture->server);
    fixture_join(fixture);
}

/* ---- the client ---- */

static inline int dial(unsigned port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 20};
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* A plain or a TLS connection, with what was read too far. */
struct wire {
    int fd;
    SSL *ssl; /* NULL: plain */
    char held[1 << 16];
    size_t held_len;
};

static inline ssize_t wire_read(struct wire *wire, void *to, size_t size)
{
    if (wire->ssl == NULL)
        return recv(wire->fd, to, size, 0);
    int got = SSL_read(wire->ssl, to, (int)size);
    return got > 0 ? got : SSL_get_error(wire->ssl, got) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static inline bool wire_try_send(struct wire *wire, const void *data, size_t len)
{
    const char *at = (const char *)data;
    while (len > 0) {
        ssize_t sent = wire->ssl != NULL ? SSL_write(wire->ssl, at, (int)len)
                                         : send(wire->fd, at, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        len -= (size_t)sent;
    }
    return true;
}

static inline void wire_send(struct wire *wire, const char *text)
{
    assert_true(wire_try_send(wire, text, strlen(text)));
}

static inline struct wire *wire_open(unsigned port)
{
    struct wire *wire = (struct wire *)calloc(1, sizeof(*wire));
    assert_non_null(wire);
    wire->fd = dial(port);
    return wire;
}

static inline void wire_close(struct wire *wire)
{
    SSL_free(wire->ssl);
    close(wire->fd);
    free(wire);
}

struct answer {
    int status;
    char head[8192];
    char *body; /* NUL-terminated */
    size_t body_len;
};

/* The value of a header in `out`, "" when there is none. */
static inline const char *answer_header(const struct answer *answer, const char *name, char *out,
                                        size_t size)
{
    size_t len = strlen(name);
    out[0] = '\0';
    for (const char *line = strchr(answer->head, '\n'); line != NULL; line = strchr(line, '\n')) {
        line++;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            const char *value = line + len + 1 + strspn(line + len + 1, " ");
            snprintf(out, size, "%.*s", (int)strcspn(value, "\r\n"), value);
            return out;
        }
    }
    return out;
}

/* Reads until `wanted` bytes are held, false at the end of the stream. */
static inline bool wire_fill(struct wire *wire, size_t wanted)
{
    while (wire->held_len < wanted) {
        ssize_t got =
            wire_read(wire, wire->held + wire->held_len, sizeof(wire->held) - wire->held_len);
        if (got <= 0)
            return false;
        wire->held_len += (size_t)got;
    }
    return true;
}

static inline void wire_consume(struct wire *wire, size_t len)
{
    wire->held_len -= len;
    memmove(wire->held, wire->held + len, wire->held_len);
}

/* One response; false when the stream ends first. `no_body`: an answer to HEAD. */
static inline bool wire_receive(struct wire *wire, struct answer *answer, bool no_body)
{
    char *end;
    memset(answer, 0, sizeof(*answer));
    while ((end = (char *)memmem(wire->held, wire->held_len, "\r\n\r\n", 4)) == NULL)
        if (!wire_fill(wire, wire->held_len + 1))
            return false;
    size_t head_len = (size_t)(end - wire->held) + 4;
    assert_true(head_len < sizeof(answer->head));
    memcpy(answer->head, wire->held, head_len);
    wire_consume(wire, head_len);
    assert_int_equal(sscanf(answer->head, "HTTP/1.1 %d", &answer->status), 1);
    char length[32];
    answer_header(answer, "content-length", length, sizeof(length));
    answer->body_len = no_body ? 0 : strtoul(length, NULL, 10);
    answer->body = (char *)calloc(1, answer->body_len + 1);
    assert_non_null(answer->body);
    for (size_t have = 0; have < answer->body_len;) {
        if (wire->held_len == 0 && !wire_fill(wire, 1))
            return false;
        size_t len = answer->body_len - have;
        if (len > wire->held_len)
            len = wire->held_len;
        memcpy(answer->body + have, wire->held, len);
        wire_consume(wire, len);
        have += len;
    }
    return true;
}

static inline bool wire_ended(struct wire *wire)
{
    return wire->held_len == 0 && !wire_fill(wire, 1);
}

/* Sends a request on a connection of its own and reads the answer. */
static inline struct answer ask(unsigned port, const char *request)
{
    struct wire *wire = wire_open(port);
    struct answer answer;
    wire_send(wire, request);
    assert_true(wire_receive(wire, &answer, strncmp(request, "HEAD", 4) == 0));
    wire_close(wire);
    return answer;
}

/* Is it a problem document with this code? */
static inline void assert_problem(const struct answer *answer, int status, const char *code)
{
    char type[64];
    json_error_t error;
    assert_int_equal(answer->status, status);
    assert_string_equal(answer_header(answer, "content-type", type, sizeof(type)),
                        "application/problem+json");
    json_t *document = json_loadb(answer->body, answer->body_len, 0, &error);
    assert_non_null(document);
    assert_string_equal(json_string_value(json_object_get(document, "code")), code);
    assert_int_equal(json_integer_value(json_object_get(document, "status")), status);
    assert_non_null(json_object_get(document, "title"));
    assert_non_null(json_object_get(document, "type"));
    json_decref(document);
}

#endif
