#include "server/http/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define USER_TIMEOUT_MS 20000
#define LINGER_MS 2000
#define LINGER_BYTES (1024 * 1024)
#define DRAIN_GRACE_MS 200 /* for a client that has just connected and is about to ask */
#define INPUT_BUDGET (64 * 1024 * 1024) /* bytes of unanswered requests on one thread */

/* ---- opening and closing ---- */

static void linger_start(struct connection *connection);

static void connection_free(struct connection *connection)
{
    struct server_thread *thread = connection->thread;
    limits_leave(thread->server->limits, &connection->peer.key);
    thread->connections_open--;
    atomic_store_explicit(&thread->open, thread->connections_open, memory_order_relaxed);
    free(connection->subject);
    free(connection);
}

static void on_closed(void *arg)
{
    struct connection *connection = arg;
    h2o_linklist_unlink(&connection->link);
    connection->socket = NULL;
    if (connection->linger_fd >= 0)
        linger_start(connection);
    else
        connection_free(connection);
}

void connection_open(struct acceptor *acceptor, int fd, const struct sockaddr *peer,
                     socklen_t peer_len, const struct client_address *client, bool trusted)
{
    struct server_thread *thread = acceptor->thread;
    /* h2o has no time limit for writing; the kernel's ends a connection whose peer has gone. A
     * socket of the file system knows neither option, and needs none. */
    unsigned user_timeout = USER_TIMEOUT_MS;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof(user_timeout));

    struct connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL)
        abort();
    connection->thread = thread;
    connection->listener = acceptor->listener;
    connection->trusted = trusted;
    connection->peer = *client;
    connection->linger_fd = -1;
    connection->quiet_since_ms = monotonic_ms();
    thread->connections_open++;
    atomic_store_explicit(&thread->open, thread->connections_open, memory_order_relaxed);

    h2o_socket_t *socket =
        h2o_evloop_socket_create(thread->loop, fd, H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION);
    struct sockaddr_storage name;
    memcpy(&name, peer, peer_len);
    h2o_socket_setpeername(socket, (struct sockaddr *)&name, peer_len);
    /* Left to itself h2o 2.2.5 cuts the first 200 KiB of a TLS connection into records of 1,400
     * bytes. */
    socket->_latency_optimization.state = H2O_SOCKET_LATENCY_OPTIMIZATION_STATE_NEEDS_UPDATE;
    socket->_latency_optimization.suggested_tls_payload_size = 16384;
    socket->_latency_optimization.suggested_write_size = SIZE_MAX;
    socket->on_close.cb = on_closed;
    socket->on_close.data = connection;
    connection->socket = socket;
    h2o_linklist_insert(&thread->connections, &connection->link);

    /* h2o reads a line of the PROXY protocol, version 1, before TLS, and goes on without one. */
    acceptor->accept.expect_proxy_line = trusted && thread->server->options.proxy_protocol;
    acceptor->accept.ssl_ctx = atomic_load(&acceptor->listener->tls_context);
    h2o_accept(&acceptor->accept, socket);
}

struct connection *connection_of(h2o_req_t *req)
{
    return req->conn->callbacks->get_socket(req->conn)->on_close.data;
}

/* ---- the certificate that a client showed ---- */

/* h2o 2.2.5 keeps its SSL object to itself, but the object's BIO carries the socket, and the socket
 * carries our connection. */
static void on_handshake(const SSL *ssl, int where, int value)
{
    (void)value;
    if ((where & SSL_CB_HANDSHAKE_DONE) == 0)
        return;
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    BIO *bio = SSL_get_rbio(ssl);
    h2o_socket_t *socket = bio != NULL ? BIO_get_data(bio) : NULL;
    if (certificate == NULL || socket == NULL || socket->on_close.cb != on_closed)
        return;
    struct connection *connection = socket->on_close.data;
    BIO *text = BIO_new(BIO_s_mem());
    char *data;
    if (text == NULL ||
        X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) < 0) {
        BIO_free(text);
        return;
    }
    long len = BIO_get_mem_data(text, &data);
    free(connection->subject);
    connection->subject = strndup(data, len > 0 ? (size_t)len : 0);
    BIO_free(text);
}

void tls_watch_handshakes(SSL_CTX *ctx)
{
    SSL_CTX_set_info_callback(ctx, on_handshake);
}

/* ---- lingering ----
 *
 * h2o closes right after an answer like 413 while the client is still sending; the kernel then
 * resets the connection and the client may never read the answer. A duplicate of the descriptor
 * outlives h2o's, says that nothing more will come, and reads away what the client sends for a
 * moment. */

struct lingering {
    struct connection *connection;
    h2o_socket_t *socket;
    struct timer timer;
    size_t bytes;
};

void connection_linger(struct connection *connection)
{
    if (connection->linger_fd < 0)
        connection->linger_fd = fcntl(h2o_socket_get_fd(connection->socket), F_DUPFD_CLOEXEC, 0);
}

static void linger_end(struct lingering *linger)
{
    struct connection *connection = linger->connection;
    timer_stop(connection->thread, &linger->timer);
    h2o_socket_read_stop(linger->socket);
    h2o_socket_close(linger->socket);
    connection->thread->lingering--;
    connection_free(connection);
    free(linger);
}

static void on_linger_timeout(struct timer *timer)
{
    linger_end(H2O_STRUCT_FROM_MEMBER(struct lingering, timer, timer));
}

static void on_linger_read(h2o_socket_t *socket, const char *why)
{
    struct lingering *linger = socket->data;
    char sink[16384];
    for (int i = 0; i < 8; i++) {
        ssize_t got = read(h2o_socket_get_fd(socket), sink, sizeof(sink));
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got > 0)
            linger->bytes += (size_t)got;
        if (got <= 0 || why != NULL || linger->bytes > LINGER_BYTES) {
            linger_end(linger);
            return;
        }
    }
}

static void linger_start(struct connection *connection)
{
    struct lingering *linger = calloc(1, sizeof(*linger));
    if (linger == NULL)
        abort();
    shutdown(connection->linger_fd, SHUT_WR);
    linger->connection = connection;
    linger->socket = h2o_evloop_socket_create(connection->thread->loop, connection->linger_fd,
                                              H2O_SOCKET_FLAG_DONT_READ);
    linger->socket->data = linger;
    connection->thread->lingering++;
    h2o_socket_read_start(linger->socket, on_linger_read);
    timer_start(connection->thread, &linger->timer, LINGER_MS, on_linger_timeout);
}

/* ---- sweeping ---- */

/* Makes h2o's next read or write fail, upon which it closes the connection. */
static void cut(struct connection *connection)
{
    connection->cut = true;
    shutdown(h2o_socket_get_fd(connection->socket), SHUT_RDWR);
}

/* How long the connection has been waiting for the peer without any progress, in one direction. */
static uint64_t quiet_ms(struct connection *connection, uint64_t now_ms)
{
    h2o_socket_t *socket = connection->socket;
    bool reading = h2o_socket_is_reading(socket), writing = h2o_socket_is_writing(socket);
    if (reading != connection->was_reading || writing != connection->was_writing ||
        socket->bytes_written != connection->written_seen || (!reading && !writing)) {
        connection->was_reading = reading;
        connection->was_writing = writing;
        connection->written_seen = socket->bytes_written;
        connection->quiet_since_ms = now_ms;
    }
    return now_ms - connection->quiet_since_ms;
}

static bool overdue(const struct server_thread *thread, const struct connection *connection,
                    uint64_t quiet)
{
    const struct server_options *options = &thread->server->options;
    bool writing = h2o_socket_is_writing(connection->socket);
    if (writing)
        return quiet > options->write_timeout_ms;
    /* h2o's own request time-out comes first, unless the wall clock that it goes by was set back.
     */
    if (h2o_socket_is_reading(connection->socket))
        return quiet > options->request_timeout_ms + 2000 &&
               quiet > options->handshake_timeout_ms + 2000;
    return false;
}

static bool idle_while_draining(const struct server_thread *thread,
                                const struct connection *connection, uint64_t quiet)
{
    const h2o_socket_t *socket = connection->socket;
    return thread->draining && connection->was_reading && !connection->was_writing &&
           socket->input->size == 0 && (socket->bytes_written > 0 || quiet >= DRAIN_GRACE_MS);
}

/* The bytes that clients have sent and that no handler has answered yet may reach the largest body
 * limit for each connection; together they must not eat the machine. The greediest goes first. */
static void relieve_memory(struct server_thread *thread, size_t total, size_t budget)
{
    while (total > budget) {
        struct connection *greediest = NULL;
        for (h2o_linklist_t *at = thread->connections.next; at != &thread->connections;
             at = at->next) {
            struct connection *each = H2O_STRUCT_FROM_MEMBER(struct connection, link, at);
            if (h2o_socket_is_reading(each->socket) && !each->cut &&
                (greediest == NULL || each->socket->input->size > greediest->socket->input->size))
                greediest = each;
        }
        if (greediest == NULL || greediest->socket->input->size == 0)
            return;
        total -= greediest->socket->input->size;
        cut(greediest);
    }
}

void connections_sweep(struct server_thread *thread)
{
    uint64_t now_ms = monotonic_ms();
    size_t input = 0;
    h2o_linklist_t *next;
    for (h2o_linklist_t *at = thread->connections.next; at != &thread->connections; at = next) {
        next = at->next;
        struct connection *connection = H2O_STRUCT_FROM_MEMBER(struct connection, link, at);
        uint64_t quiet = quiet_ms(connection, now_ms);
        if (overdue(thread, connection, quiet) || idle_while_draining(thread, connection, quiet))
            cut(connection);
        if (h2o_socket_is_reading(connection->socket) && !connection->cut)
            input += connection->socket->input->size;
    }
    size_t budget = 4 * thread->server->largest_body;
    relieve_memory(thread, input, budget > INPUT_BUDGET ? budget : INPUT_BUDGET);
}

void connections_abort(struct server_thread *thread)
{
    for (h2o_linklist_t *at = thread->connections.next; at != &thread->connections; at = at->next)
        cut(H2O_STRUCT_FROM_MEMBER(struct connection, link, at));
}
