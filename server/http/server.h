/* The HTTP server that both daemons stand on: listeners, threads, and an orderly end.
 *
 * Built on h2o 2.2.5, HTTP/1.1 only. Every thread has its own h2o loop and its own listening socket
 * per address (SO_REUSEPORT), so that nothing is shared on the request path; the kernel spreads
 * connections.
 *
 * A daemon's main():
 *
 *     server_new(&options, &server, &err);
 *     server_listen(server, &public_listener, &listener, &err);     once per address
 *     server_stop_on_signals(server, &err);                         SIGTERM, SIGINT; SIGPIPE is
 * ignored server_run(server, &err);                                     returns when drained and
 * joined server_free(server);
 *
 * Call server_new before the program makes any thread of its own: it blocks SIGTERM, SIGINT and
 * SIGHUP in the calling thread, and threads made later inherit that. */
#ifndef SERVER_HTTP_SERVER_H
#define SERVER_HTTP_SERVER_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server;        /* one per daemon */
struct server_thread; /* one h2o loop; handlers run on it */
struct listener;      /* one address */
struct request;
struct route;
struct tls_options;

/* A connection limit counts open connections, the unfinished TLS handshakes among them. */
struct server_options {
    unsigned threads;         /* 0: one per processor, at most 16 */
    unsigned max_connections; /* in all; 0: 10,000 */
    unsigned max_per_address; /* per client address, an IPv6 /64 counting as one; 0: 256 */
    /* Per client address, likewise; more are answered 429. Routes with ROUTE_UNLIMITED apart. */
    unsigned requests_per_second;  /* 0: no limit */
    unsigned requests_burst;       /* at once; 0: twice requests_per_second */
    unsigned request_timeout_ms;   /* to receive one whole request, and to sit idle; 0: 10,000 */
    unsigned handshake_timeout_ms; /* TLS; 0: 5,000 */
    unsigned write_timeout_ms;     /* to take 128 KiB of an answer; 0: 60,000 */
    unsigned drain_timeout_ms;     /* for requests in flight when stopping; 0: 10,000 */
    unsigned handler_deadline_ms;  /* default of struct pending; 0: 5,000 */
    bool access_log;               /* a line per request on stderr */
    /* Addresses and networks (network.h) of the proxies whose X-Forwarded-For is believed; with
     * proxy_protocol they also begin each connection with a PROXY line, version 1. */
    char *const *trusted_proxies;
    size_t trusted_proxies_len;
    bool proxy_protocol;

    /* Called on each thread before it accepts, and after its last request is gone, for what a
     * thread owns (a database pool). `*state` is handed out by server_thread_state. A failing start
     * ends server_run with its error. Both may be NULL. */
    enum sticps_err (*thread_start)(struct server_thread *thread, void *arg, void **state,
                                    struct sticps_error *err);
    void (*thread_stop)(struct server_thread *thread, void *arg, void *state);
    /* Called on the thread inside server_run when draining begins, before server threads are told.
     * For waking long polls, or closing what does not belong to a request. May be NULL. */
    void (*draining)(struct server *server, void *arg);
    /* Called on SIGHUP (re-read certificates), on the thread inside server_run. May be NULL. */
    void (*reload)(struct server *server, void *arg);
    void *arg; /* passed to the four above, and handed out by request_daemon() */
};

struct listener_options {
    const char *name; /* in logs: "public" */
    /* "host:port", "[::1]:8443", ":8443" (any), port 0: a free one; "unix:/run/x.sock" */
    const char *address;
    unsigned socket_mode;          /* of "unix:"; 0: 0660 */
    const char *socket_group;      /* NULL: the process's own */
    const struct tls_options *tls; /* NULL: plain HTTP, for this machine's own clients and tests */
    const struct route *routes;    /* see router.h; must outlive the server */
    size_t routes_len;
    size_t body_limit; /* bytes, for routes that set none; 0: 64 KiB */
    /* For routes with ROUTE_AUTH, before the handler and before the body is looked at. True: go on.
     * False: it has replied, or will later call router_continue() or reply (asynchronous check). */
    bool (*authenticate)(struct request *request, const struct route *route);
};

/* Everything is copied but for `routes`. STICPS_ERR_USAGE for a trusted proxy that is no network.
 */
enum sticps_err server_new(const struct server_options *options, struct server **out,
                           struct sticps_error *err) STICPS_MUST_CHECK;

/* Opens the sockets of one address and loads its certificates. Before server_run. `out` may be
 * NULL; the listener belongs to the server. STICPS_ERR_USAGE (address), STICPS_ERR_FILE (files),
 * STICPS_ERR_CRYPTO (certificate and key do not fit). */
enum sticps_err server_listen(struct server *server, const struct listener_options *options,
                              struct listener **out, struct sticps_error *err) STICPS_MUST_CHECK;

/* The port listened on: the one that the kernel chose when 0 was asked for. server_run logs one
 * line
 * {"msg":"listening","listener":NAME,"address":"127.0.0.1","port":N} per listener on stderr; a
 * socket of the file system has its path as address, and no port. */
unsigned listener_port(const struct listener *listener);
const char *listener_name(const struct listener *listener);

/* When the first of the listeners' TLS certificates ends, Unix seconds; false when there is none.
 * Any thread. */
bool server_tls_not_after(const struct server *server, int64_t *out);

/* Reads certificate, key and client CA again; new connections use them. On error the old ones stay.
 * Any thread. */
enum sticps_err listener_reload_tls(struct listener *listener,
                                    struct sticps_error *err) STICPS_MUST_CHECK;
/* All listeners with TLS. The first error is returned, the others are still tried. */
enum sticps_err server_reload_tls(struct server *server,
                                  struct sticps_error *err) STICPS_MUST_CHECK;

/* What may be changed while the server runs; 0 means the default, as in server_options. */
struct server_tuning {
    unsigned max_connections, max_per_address;
    unsigned requests_per_second, requests_burst;
    bool access_log;
};
/* Any thread. Connections over a lowered limit stay. */
void server_tune(struct server *server, const struct server_tuning *tuning);

/* Lets SIGTERM and SIGINT end server_run, and SIGHUP call options.reload. */
enum sticps_err server_stop_on_signals(struct server *server,
                                       struct sticps_error *err) STICPS_MUST_CHECK;

/* Serves until server_stop or a signal, then drains: stops accepting, closes idle connections, lets
 * requests in flight finish until drain_timeout_ms, closes the rest, joins the threads. */
enum sticps_err server_run(struct server *server, struct sticps_error *err) STICPS_MUST_CHECK;

/* Any thread, and async-signal-safe. */
void server_stop(struct server *server);
/* True from the moment that draining begins. Any thread. For readiness. */
bool server_stopping(const struct server *server);

/* After server_run has returned (or was never called). Accepts NULL. */
void server_free(struct server *server);

struct server_counters {
    uint64_t connections_open;
    uint64_t connections_accepted;
    uint64_t connections_refused; /* over a limit */
    uint64_t requests_limited;    /* answered 429, over the rate of their address */
    uint64_t requests;            /* answered, all */
    uint64_t responses[6];        /* by class: [2] is 2xx; [0] is what fits no class */
};
/* A sum over the threads, for metrics. Any thread. */
void server_counters_read(const struct server *server, struct server_counters *out);

/* ---- threads ---- */

size_t server_threads(const struct server *server);
/* Valid until server_free; posts are taken from before the first thread_start to the thread's end.
 */
struct server_thread *server_thread_at(struct server *server, size_t index);
size_t server_thread_index(const struct server_thread *thread);
struct server *server_thread_server(const struct server_thread *thread);
/* What thread_start stored. */
void *server_thread_state(const struct server_thread *thread);
/* The h2o loop, for db_pool_new and h2o sockets. On the thread itself only. */
struct st_h2o_evloop_t *server_thread_loop(const struct server_thread *thread);

/* Runs fn(arg) on that thread's loop, in the order posted. Any thread, never blocks. False when the
 * thread has ended: fn will not run and the caller keeps `arg`. */
bool server_post(struct server_thread *thread, void (*fn)(void *arg), void *arg) STICPS_MUST_CHECK;

/* The same under the name that handlers use; the client library has a function of that name. */
static inline STICPS_MUST_CHECK bool loop_post(struct server_thread *thread, void (*fn)(void *arg),
                                               void *arg)
{
    return server_post(thread, fn, arg);
}

/* While a thread is held its loop goes on, so that what was started elsewhere can be posted back.
 * Hold on the thread itself; release on it too (in the posted function). worker_submit does this
 * itself. */
void server_thread_hold(struct server_thread *thread);
void server_thread_release(struct server_thread *thread);

#endif
