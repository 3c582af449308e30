/* The insides of the server, shared by its own files and nobody else: server.c (start, signals,
 * drain), thread.c (one loop), listener.c (sockets, accepting), connection.c (what is open),
 * dispatch.c (from h2o to a handler), request.c, reply.c, pending.c, access_log.c. */
#ifndef SERVER_HTTP_INTERNAL_H
#define SERVER_HTTP_INTERNAL_H

#include "server/http/client_address.h"
#include "server/http/limits.h"
#include "server/http/rate.h"
#include "server/http/reply.h"
#include "server/http/request.h"
#include "server/http/route_stats.h"
#include "server/http/router.h"
#include "server/http/server.h"
#include "server/http/timer.h"
#include "server/http/tls.h"
#include "server/http/trace.h"
#include "server/http/unix_socket.h"

#include <h2o.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#define SERVER_MAX_THREADS 16
#define SERVER_MAX_HEAD (64 * 1024) /* bytes of request line and headers */

/* ---- server ---- */

enum server_state { SERVER_NEW, SERVER_RUNNING, SERVER_DRAINING, SERVER_ENDED };

struct server {
    struct server_options options;
    struct limits *limits;
    struct trusted_proxies proxies;
    struct rate *requests_rate; /* by limits_key */
    h2o_globalconf_t conf;
    size_t threads_len;
    struct server_thread *threads; /* from the start; their loops are made by server_run */
    struct listener *listeners;    /* linked list, in the order of server_listen */
    size_t listeners_len;
    size_t largest_body; /* of all routes */
    size_t stats_len;    /* struct route_stats of each thread */
    int stop_fd;         /* eventfd: server_stop writes to it */
    _Atomic bool access_log;
    int signal_fd;     /* -1 until server_stop_on_signals */
    _Atomic int state; /* enum server_state */

    pthread_mutex_t lock; /* guards what is below */
    pthread_cond_t changed;
    size_t opened, started, ended;
    bool start_failed;
    struct sticps_error start_error;
};

/* ---- listeners ---- */

struct acceptor { /* one listener on one thread */
    struct server_thread *thread;
    struct listener *listener;
    h2o_socket_t *socket;
    h2o_accept_ctx_t accept;
    struct timer retry; /* after running out of descriptors */
};

struct listener {
    struct listener *next;
    struct server *server;
    char *name, *address;
    unsigned port;
    const struct route *routes;
    size_t routes_len;
    size_t body_limit;
    bool (*authenticate)(struct request *, const struct route *);
    h2o_hostconf_t *hosts[2];
    size_t stats_first; /* of its routes in the threads' stats, then one for what met no route */
    int fds[SERVER_MAX_THREADS];
    struct unix_socket unix_socket;

    struct tls_options tls; /* copied texts; all NULL without TLS */
    pthread_mutex_t tls_lock;
    SSL_CTX *_Atomic tls_context;
    SSL_CTX **tls_retired; /* h2o holds no reference between accept and handshake, so none is freed
                              early */
    size_t tls_retired_len;
};

enum sticps_err listener_open(struct server *server, const struct listener_options *options,
                              struct listener **out, struct sticps_error *err) STICPS_MUST_CHECK;
void listener_free(struct listener *listener);
/* The end of the certificate shown to new connections, in Unix seconds; false without TLS. */
bool listener_tls_not_after(const struct listener *listener, int64_t *out);
enum sticps_err listener_start(struct listener *listener, struct server_thread *thread,
                               struct acceptor *acceptor,
                               struct sticps_error *err) STICPS_MUST_CHECK;
/* Takes what waits in the kernel's queue, then closes the socket. */
void acceptor_stop(struct acceptor *acceptor);

/* ---- threads ---- */

struct server_thread {
    struct server *server;
    size_t index;
    pthread_t id;
    bool running; /* a pthread was made */
    h2o_evloop_t *loop;
    h2o_context_t context;
    void *state;
    struct acceptor *acceptors;
    size_t acceptors_len;

    struct timer_heap timers;
    struct timer sweep;
    h2o_linklist_t connections; /* struct connection */
    h2o_linklist_t pendings;    /* struct pending whose request lives */
    size_t connections_open, lingering;
    size_t holds;
    _Atomic uint64_t turned_at_ms; /* the loop, at its last sweep; for the watchdog */
    bool draining;
    uint64_t drain_deadline_ms;

    h2o_multithread_receiver_t posts;
    pthread_mutex_t post_lock; /* guards `closed` */
    bool closed;

    uint64_t id_next; /* request ids */
    struct route_stats *stats;
    counter limited; /* requests over the rate */
    _Atomic uint64_t accepted, refused, requests, responses[6];
    _Atomic uint64_t open; /* connections_open, for other threads */
};

/* Sets up everything but the pthread. */
void thread_init(struct server_thread *thread, struct server *server, size_t index);
void *thread_main(void *thread);
void thread_drain(void *thread); /* posted by server.c */
void thread_free(struct server_thread *thread);

/* ---- connections ---- */

struct connection {
    h2o_linklist_t link;
    struct server_thread *thread;
    struct listener *listener;
    h2o_socket_t *socket;
    struct client_address peer; /* who opened it: a client, or a proxy */
    bool trusted;               /* a proxy that is believed */
    char *subject;              /* of the TLS client certificate, or NULL */
    uint64_t quiet_since_ms;
    size_t written_seen;
    bool was_reading, was_writing, cut;
    int linger_fd; /* -1: close as usual */
};

/* Adopts an accepted descriptor that limits_enter has counted under client->key. */
void connection_open(struct acceptor *acceptor, int fd, const struct sockaddr *peer,
                     socklen_t peer_len, const struct client_address *client, bool trusted);
struct connection *connection_of(h2o_req_t *req);
/* The answer goes out while the client may still be sending: close in a way that lets it be read.
 */
void connection_linger(struct connection *connection);
/* Closes what is overdue, idle while draining, or takes too much memory. */
void connections_sweep(struct server_thread *thread);
/* Breaks every connection. */
void connections_abort(struct server_thread *thread);
void tls_watch_handshakes(SSL_CTX *ctx);

/* ---- requests ---- */

struct pending;

struct request {
    h2o_req_t *h2o;
    struct connection *connection;
    struct server_thread *thread;
    const struct listener *listener;
    const struct route *route;
    struct route_match match;
    char *params[ROUTE_MAX_PARAMS]; /* decoded */
    const char *method, *path;
    size_t path_len;
    const char *query; /* "" when there is none */
    size_t query_len;
    bool has_query; /* also of an empty one, "?" and nothing behind it */
    struct client_address client;
    char id[17];
    const char *user; /* for the access log, or NULL */
    struct trace trace;
    uint64_t started_us;
    json_t *json;
    void *identity;
    void (*identity_free)(void *);
    struct pending *pending;
    struct shared_bytes *shared;
    bool replied, cache_control_set, retry_after_set;
    const char *reason; /* of a problem, static; NULL: the usual one of the status */

    h2o_generator_t generator; /* long answers go out in pieces */
    const char *rest;
    size_t rest_len;
};

/* The handler of every listener: h2o's on_req. */
void dispatch_setup(struct listener *listener, h2o_hostconf_t *host);
/* The request of h2o's request, NULL when h2o refused it before any handler. */
struct request *request_of(h2o_req_t *req);
/* The one traceparent of the request, if it is valid. */
void request_read_trace(struct request *request);

/* What of a request's head h2o lets pass and should not: both Content-Length and Transfer-Encoding,
 * either of them twice, two Hosts, Transfer-Encoding in HTTP/1.0, folded lines (RFC 9112 s3.2,
 * s5.2, s6.3). `head` is as received. */
enum framing { FRAMING_GOOD, FRAMING_AMBIGUOUS, FRAMING_TOO_LONG };
enum framing framing_check(const char *head, size_t len, bool http10);

void pending_gone(struct pending *pending);         /* called by the request's dispose hook */
void pendings_expire(struct server_thread *thread); /* every open one gets its 503 now */
void access_log_request(h2o_req_t *req);

#endif
