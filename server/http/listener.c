#include "server/http/internal.h"
#include "server/http/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_BODY_LIMIT (64 * 1024)
#define ACCEPT_BATCH 32
#define ACCEPT_RETRY_MS 100
#define UNIX_PREFIX "unix:"

/* "host:port", "[v6]:port", ":port" into its two parts. */
static bool split_address(const char *address, char *host, size_t host_size, const char **port)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon[1] == '\0')
        return false;
    const char *start = address;
    size_t len = (size_t)(colon - address);
    if (len >= 2 && start[0] == '[' && start[len - 1] == ']') {
        start++;
        len -= 2;
    } else if (memchr(start, ':', len) != NULL) {
        return false;
    }
    if (len >= host_size || strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return false;
    memcpy(host, start, len);
    host[len] = '\0';
    *port = colon + 1;
    return true;
}

static int open_socket(const struct addrinfo *info, const struct sockaddr *address, bool share)
{
    int on = 1;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    /* For ":port" an IPv6 socket takes IPv4 clients too. */
    int v6only = 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (share && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        (info->ai_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) != 0) ||
        bind(fd, address, info->ai_addrlen) != 0 || (share && listen(fd, SOMAXCONN) != 0)) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static unsigned port_of(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)address)->sin6_port)
                                          : ntohs(((const struct sockaddr_in *)address)->sin_port);
}

/* One socket per thread on the same port. SO_REUSEPORT would also let a second daemon of the same
 * user in and share its connections, so a plain bind asks first whether the port is free. */
static int open_all(struct listener *listener, const struct addrinfo *info)
{
    struct sockaddr_storage address;
    memset(&address, 0, sizeof(address));
    memcpy(&address, info->ai_addr, info->ai_addrlen);
    if (port_of(&address) != 0) {
        int probe = open_socket(info, (struct sockaddr *)&address, false);
        if (probe < 0 || listen(probe, 1) != 0) {
            int saved = errno;
            if (probe >= 0)
                close(probe);
            errno = saved;
            return -1;
        }
        close(probe);
    }
    for (size_t i = 0; i < listener->server->threads_len; i++) {
        if (listener->fds[i] >= 0)
            close(listener->fds[i]); /* of an address tried before */
        listener->fds[i] = open_socket(info, (struct sockaddr *)&address, true);
        if (listener->fds[i] < 0)
            return -1;
        socklen_t len = sizeof(address);
        if (getsockname(listener->fds[i], (struct sockaddr *)&address, &len) != 0)
            return -1;
    }
    listener->port = port_of(&address);
    return 0;
}

static enum sticps_err bind_address(struct listener *listener, struct sticps_error *err)
{
    char host[256];
    const char *port;
    if (!split_address(listener->address, host, sizeof(host), &port))
        return fail(err, STICPS_ERR_USAGE, listener->address,
                    "is no address to listen on: write host:port, [IPv6]:port or :port");
    struct addrinfo hints = {.ai_family = host[0] == '\0' ? AF_INET6 : AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int why = getaddrinfo(host[0] != '\0' ? host : NULL, port, &hints, &found);
    if (why != 0)
        return fail(err, STICPS_ERR_USAGE, listener->address, "%s cannot be listened on: %s",
                    listener->address, gai_strerror(why));
    int opened = -1;
    for (struct addrinfo *info = found; info != NULL && opened != 0; info = info->ai_next)
        opened = open_all(listener, info);
    if (opened != 0 && host[0] == '\0' && errno == EAFNOSUPPORT) {
        /* A host without IPv6 still has the IPv4 wildcard. */
        struct sockaddr_in any = {.sin_family = AF_INET};
        struct addrinfo v4 = {
            .ai_family = AF_INET, .ai_addr = (struct sockaddr *)&any, .ai_addrlen = sizeof(any)};
        any.sin_port = ((const struct sockaddr_in6 *)found->ai_addr)->sin6_port;
        opened = open_all(listener, &v4);
    }
    int saved = errno;
    freeaddrinfo(found);
    if (opened != 0)
        return fail(err, STICPS_ERR_USAGE, listener->address, "%s cannot be listened on: %s",
                    listener->address, strerror(saved));
    return STICPS_OK;
}

/* One socket, which all threads accept from. */
static enum sticps_err bind_unix(struct listener *listener, const struct listener_options *options,
                                 struct sticps_error *err)
{
    enum sticps_err code =
        unix_socket_listen(listener->address + strlen(UNIX_PREFIX), (mode_t)options->socket_mode,
                           options->socket_group, &listener->fds[0], &listener->unix_socket, err);
    for (size_t i = 1; i < listener->server->threads_len && code == STICPS_OK; i++) {
        listener->fds[i] = fcntl(listener->fds[0], F_DUPFD_CLOEXEC, 0);
        if (listener->fds[i] < 0)
            code = fail(err, STICPS_ERR_FILE, listener->address, "no further descriptor: %s",
                        strerror(errno));
    }
    return code;
}

static char *copy_text(const char *text)
{
    if (text == NULL)
        return NULL;
    char *copy = strdup(text);
    if (copy == NULL)
        abort();
    return copy;
}

static enum sticps_err load_tls(const struct listener *listener, SSL_CTX **out,
                                struct sticps_error *err)
{
    enum sticps_err code = tls_context_new(&listener->tls, out, err);
    if (code == STICPS_OK)
        tls_watch_handshakes(*out);
    return code;
}

enum sticps_err listener_open(struct server *server, const struct listener_options *options,
                              struct listener **out, struct sticps_error *err)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    if (listener == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    listener->server = server;
    listener->name = copy_text(options->name != NULL ? options->name : "http");
    listener->address = copy_text(options->address != NULL ? options->address : "");
    listener->routes = options->routes;
    listener->routes_len = options->routes_len;
    listener->body_limit = options->body_limit != 0 ? options->body_limit : DEFAULT_BODY_LIMIT;
    listener->authenticate = options->authenticate;
    pthread_mutex_init(&listener->tls_lock, NULL);
    for (size_t i = 0; i < SERVER_MAX_THREADS; i++)
        listener->fds[i] = -1;

    enum sticps_err code = strncmp(listener->address, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0
                               ? bind_unix(listener, options, err)
                               : bind_address(listener, err);
    if (code == STICPS_OK && options->tls != NULL) {
        listener->tls.certificate_file = copy_text(options->tls->certificate_file);
        listener->tls.key_file = copy_text(options->tls->key_file);
        listener->tls.client_ca_file = copy_text(options->tls->client_ca_file);
        SSL_CTX *context = NULL;
        code = load_tls(listener, &context, err);
        atomic_store(&listener->tls_context, context);
    }
    if (code != STICPS_OK) {
        listener_free(listener);
        return code;
    }
    *out = listener;
    return STICPS_OK;
}

void listener_free(struct listener *listener)
{
    for (size_t i = 0; i < SERVER_MAX_THREADS; i++)
        if (listener->fds[i] >= 0)
            close(listener->fds[i]);
    unix_socket_remove(&listener->unix_socket);
    for (size_t i = 0; i < listener->tls_retired_len; i++)
        SSL_CTX_free(listener->tls_retired[i]);
    free(listener->tls_retired);
    SSL_CTX_free(atomic_load(&listener->tls_context));
    free((char *)listener->tls.certificate_file);
    free((char *)listener->tls.key_file);
    free((char *)listener->tls.client_ca_file);
    pthread_mutex_destroy(&listener->tls_lock);
    free(listener->name);
    free(listener->address);
    free(listener);
}

unsigned listener_port(const struct listener *listener)
{
    return listener->port;
}

const char *listener_name(const struct listener *listener)
{
    return listener->name;
}

enum sticps_err listener_reload_tls(struct listener *listener, struct sticps_error *err)
{
    if (atomic_load(&listener->tls_context) == NULL)
        return STICPS_OK;
    SSL_CTX *fresh = NULL;
    enum sticps_err code = load_tls(listener, &fresh, err);
    if (code != STICPS_OK)
        return code;
    pthread_mutex_lock(&listener->tls_lock);
    listener->tls_retired = reallocarray(listener->tls_retired, listener->tls_retired_len + 1,
                                         sizeof(*listener->tls_retired));
    if (listener->tls_retired == NULL)
        abort();
    listener->tls_retired[listener->tls_retired_len++] =
        atomic_exchange(&listener->tls_context, fresh);
    pthread_mutex_unlock(&listener->tls_lock);
    return STICPS_OK;
}

bool listener_tls_not_after(const struct listener *listener, int64_t *out)
{
    SSL_CTX *context = atomic_load(&((struct listener *)listener)->tls_context);
    struct tm utc;
    if (context == NULL ||
        ASN1_TIME_to_tm(X509_get0_notAfter(SSL_CTX_get0_certificate(context)), &utc) != 1)
        return false;
    *out = (int64_t)timegm(&utc);
    return true;
}

/* ---- accepting ---- */

static void on_accept(h2o_socket_t *socket, const char *why);

static void on_retry(struct timer *timer)
{
    struct acceptor *acceptor = H2O_STRUCT_FROM_MEMBER(struct acceptor, retry, timer);
    if (acceptor->socket != NULL)
        h2o_socket_read_start(acceptor->socket, on_accept);
}

/* True: there may be more. */
static bool accept_one(struct acceptor *acceptor)
{
    struct server_thread *thread = acceptor->thread;
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    int fd = accept4(h2o_socket_get_fd(acceptor->socket), (struct sockaddr *)&peer, &len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            /* The socket stays readable, and the loop would spin on it. */
            log_warn("accept: %s; trying again in %d ms", strerror(errno), ACCEPT_RETRY_MS);
            h2o_socket_read_stop(acceptor->socket);
            timer_start(thread, &acceptor->retry, ACCEPT_RETRY_MS, on_retry);
            return false;
        }
        return errno == EINTR || errno == ECONNABORTED;
    }
    struct client_address client;
    client_address_of_connection(fd, (struct sockaddr *)&peer, &client);
    bool trusted = proxies_trust(&thread->server->proxies, (struct sockaddr *)&peer);
    if (!limits_enter(thread->server->limits, &client.key, trusted)) {
        atomic_fetch_add_explicit(&thread->refused, 1, memory_order_relaxed);
        close(fd);
        return true;
    }
    atomic_fetch_add_explicit(&thread->accepted, 1, memory_order_relaxed);
    connection_open(acceptor, fd, (struct sockaddr *)&peer, len, &client, trusted);
    return true;
}

static void on_accept(h2o_socket_t *socket, const char *why)
{
    struct acceptor *acceptor = socket->data;
    if (why != NULL)
        return;
    for (int i = 0; i < ACCEPT_BATCH; i++)
        if (!accept_one(acceptor))
            break;
}

enum sticps_err listener_start(struct listener *listener, struct server_thread *thread,
                               struct acceptor *acceptor, struct sticps_error *err)
{
    *acceptor = (struct acceptor){.thread = thread, .listener = listener};
    int fd = listener->fds[thread->index];
    if (fd < 0)
        return fail(err, STICPS_ERR_USAGE, listener->address, "this listener has run already");
    listener->fds[thread->index] = -1; /* the h2o socket closes it */
    acceptor->accept = (h2o_accept_ctx_t){.ctx = &thread->context, .hosts = listener->hosts};
    acceptor->socket = h2o_evloop_socket_create(thread->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    acceptor->socket->data = acceptor;
    h2o_socket_read_start(acceptor->socket, on_accept);
    return STICPS_OK;
}

void acceptor_stop(struct acceptor *acceptor)
{
    if (acceptor->socket == NULL)
        return;
    timer_stop(acceptor->thread, &acceptor->retry);
    /* Who has connected already gets an answer; closing would reset them. */
    for (int i = 0; i < SOMAXCONN && accept_one(acceptor); i++)
        ;
    timer_stop(acceptor->thread, &acceptor->retry);
    h2o_socket_read_stop(acceptor->socket);
    h2o_socket_close(acceptor->socket);
    acceptor->socket = NULL;
}
