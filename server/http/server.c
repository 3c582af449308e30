#include "server/http/internal.h"
#include "server/http/log.h"
#include "server/http/sd_notify.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_CONNECTIONS 10000
#define DEFAULT_PER_ADDRESS 256
/* A loop turns four times a second at least, and a busy machine deserves some patience. */
#define WATCHDOG_PATIENCE_MS 1000

/* ---- making ---- */

static void fill_defaults(struct server_options *options)
{
    if (options->threads == 0) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        options->threads = processors > 0 ? (unsigned)processors : 1;
    }
    if (options->threads > SERVER_MAX_THREADS)
        options->threads = SERVER_MAX_THREADS;
#define DEFAULT(member, value) \
    if (options->member == 0)  \
    options->member = (value)
    DEFAULT(max_connections, DEFAULT_CONNECTIONS);
    DEFAULT(max_per_address, DEFAULT_PER_ADDRESS);
    DEFAULT(request_timeout_ms, 10000);
    DEFAULT(handshake_timeout_ms, 5000);
    DEFAULT(write_timeout_ms, 60000);
    DEFAULT(drain_timeout_ms, 10000);
    DEFAULT(handler_deadline_ms, 5000);
#undef DEFAULT
}

/* Each connection needs a descriptor, a second one while it lingers; the rest is for files and
 * database. */
static void raise_descriptor_limit(unsigned connections)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    rlim_t wanted = (rlim_t)connections + 1024;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < wanted)
        log_warn("the limit of open files is %llu, for up to %u connections",
                 (unsigned long long)limit.rlim_cur, connections);
}

static void stop_signals(sigset_t *out)
{
    sigemptyset(out);
    sigaddset(out, SIGTERM);
    sigaddset(out, SIGINT);
    sigaddset(out, SIGHUP);
}

enum sticps_err server_new(const struct server_options *options, struct server **out,
                           struct sticps_error *err)
{
    struct server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    enum sticps_err code = proxies_parse(options->trusted_proxies, options->trusted_proxies_len,
                                         &server->proxies, err);
    if (code != STICPS_OK) {
        free(server);
        return code;
    }
    server->options = *options;
    fill_defaults(&server->options);
    server->threads_len = server->options.threads;
    server->signal_fd = -1;
    atomic_init(&server->access_log, options->access_log);
    server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->stop_fd < 0) {
        code = fail(err, STICPS_ERR_FILE, NULL, "eventfd: %s", strerror(errno));
        proxies_clear(&server->proxies);
        free(server);
        return code;
    }
    server->threads = calloc(server->threads_len, sizeof(*server->threads));
    if (server->threads == NULL)
        abort();
    for (size_t i = 0; i < server->threads_len; i++)
        thread_init(&server->threads[i], server, i);
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    raise_descriptor_limit(server->options.max_connections);
    server->requests_rate = rate_new();
    rate_set(server->requests_rate, options->requests_per_second, options->requests_burst);
    server->limits = limits_new(server->options.max_connections, server->options.max_per_address);

    /* A peer that went away is an error of write(2), not the end of the daemon. */
    signal(SIGPIPE, SIG_IGN);
    sigset_t signals;
    stop_signals(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    h2o_config_init(&server->conf);
    server->conf.server_name = h2o_iovec_init(H2O_STRLIT("sticps"));
    server->conf.http1.req_timeout = server->options.request_timeout_ms;
    server->conf.http1.upgrade_to_http2 = 0;
    server->conf.handshake_timeout = server->options.handshake_timeout_ms;
    *out = server;
    return STICPS_OK;
}

/* h2o has one limit for all routes, applied before any is known. Up to it a body is read whole and
 * refused by the router in good order; a client that sends more is cut off. */
static void allow_bodies(struct server *server, const struct listener *listener)
{
    size_t largest = listener->body_limit;
    for (size_t i = 0; i < listener->routes_len; i++)
        if (listener->routes[i].body_limit > largest)
            largest = listener->routes[i].body_limit;
    if (largest > server->largest_body)
        server->largest_body = largest;
    size_t whole = server->largest_body + 64 * 1024;
    server->conf.max_request_entity_size = whole > 256 * 1024 ? whole : 256 * 1024;
}

/* Listeners of the same name and routes (one per address) count together. */
static void place_stats(struct server *server, struct listener *listener)
{
    listener->stats_first = server->stats_len;
    for (const struct listener *each = server->listeners; each != NULL; each = each->next) {
        if (each->routes == listener->routes && strcmp(each->name, listener->name) == 0) {
            listener->stats_first = each->stats_first;
            return;
        }
    }
    server->stats_len += listener->routes_len + 1;
}

static void make_stats(struct server *server)
{
    for (size_t i = 0; i < server->threads_len; i++) {
        server->threads[i].stats = calloc(server->stats_len, sizeof(struct route_stats));
        if (server->threads[i].stats == NULL)
            abort();
    }
}

/* A mistake in the table is a programmer's, but found at the start it costs nobody a request. */
static enum sticps_err check_routes(const struct listener_options *options,
                                    struct sticps_error *err)
{
    for (size_t i = 0; i < options->routes_len; i++) {
        const struct route *route = &options->routes[i];
        size_t params = 0;
        for (const char *at = route->path; (at = strchr(at, '{')) != NULL; at++)
            params++;
        if (route->path[0] != '/' || params > ROUTE_MAX_PARAMS || route->handler == NULL)
            return fail(err, STICPS_ERR_USAGE, route->path, "this route cannot be served");
        if ((route->flags & ROUTE_AUTH) != 0 && options->authenticate == NULL)
            return fail(err, STICPS_ERR_USAGE, route->path,
                        "this route asks for authentication and its listener has none");
    }
    return STICPS_OK;
}

enum sticps_err server_listen(struct server *server, const struct listener_options *options,
                              struct listener **out, struct sticps_error *err)
{
    if (atomic_load(&server->state) != SERVER_NEW)
        return fail(err, STICPS_ERR_USAGE, options->address, "the server runs already");
    enum sticps_err code = check_routes(options, err);
    if (code != STICPS_OK)
        return code;
    struct listener *listener = NULL;
    code = listener_open(server, options, &listener, err);
    if (code != STICPS_OK)
        return code;
    char host[32];
    snprintf(host, sizeof(host), "listener-%zu", server->listeners_len);
    listener->hosts[0] =
        h2o_config_register_host(&server->conf, h2o_iovec_init(host, strlen(host)), 65535);
    dispatch_setup(listener, listener->hosts[0]);
    allow_bodies(server, listener);
    place_stats(server, listener);
    struct listener **end = &server->listeners;
    while (*end != NULL)
        end = &(*end)->next;
    *end = listener;
    server->listeners_len++;
    if (out != NULL)
        *out = listener;
    return STICPS_OK;
}

bool server_tls_not_after(const struct server *server, int64_t *out)
{
    bool found = false;

    for (const struct listener *each = server->listeners; each != NULL; each = each->next) {
        int64_t end;

        if (listener_tls_not_after(each, &end) && (!found || end < *out)) {
            *out = end;
            found = true;
        }
    }
    return found;
}

enum sticps_err server_reload_tls(struct server *server, struct sticps_error *err)
{
    enum sticps_err first = STICPS_OK;
    for (struct listener *each = server->listeners; each != NULL; each = each->next) {
        enum sticps_err code = listener_reload_tls(each, first == STICPS_OK ? err : NULL);
        if (first == STICPS_OK)
            first = code;
    }
    return first;
}

void server_tune(struct server *server, const struct server_tuning *tuning)
{
    unsigned connections =
        tuning->max_connections != 0 ? tuning->max_connections : DEFAULT_CONNECTIONS;
    unsigned per_address =
        tuning->max_per_address != 0 ? tuning->max_per_address : DEFAULT_PER_ADDRESS;
    raise_descriptor_limit(connections);
    limits_set(server->limits, connections, per_address);
    rate_set(server->requests_rate, tuning->requests_per_second, tuning->requests_burst);
    atomic_store(&server->access_log, tuning->access_log);
}

enum sticps_err server_stop_on_signals(struct server *server, struct sticps_error *err)
{
    sigset_t signals;
    stop_signals(&signals);
    server->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (server->signal_fd < 0)
        return fail(err, STICPS_ERR_FILE, NULL, "signalfd: %s", strerror(errno));
    return STICPS_OK;
}

/* ---- running ---- */

static void wait_for(struct server *server, const size_t *count, size_t wanted)
{
    pthread_mutex_lock(&server->lock);
    while (*count < wanted)
        pthread_cond_wait(&server->changed, &server->lock);
    pthread_mutex_unlock(&server->lock);
}

/* A thread could not be made: those that exist must not wait for it. */
static void give_up_start(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    server->start_failed = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static enum sticps_err start_threads(struct server *server, size_t *made, struct sticps_error *err)
{
    for (; *made < server->threads_len; ++*made) {
        struct server_thread *thread = &server->threads[*made];
        int why = pthread_create(&thread->id, NULL, thread_main, thread);
        if (why != 0) {
            give_up_start(server);
            wait_for(server, &server->started, *made);
            return fail(err, STICPS_ERR_NO_MEMORY, NULL, "cannot start thread %zu: %s", *made,
                        strerror(why));
        }
        thread->running = true;
    }
    wait_for(server, &server->started, *made);
    if (!server->start_failed)
        return STICPS_OK;
    if (err != NULL)
        *err = server->start_error;
    return server->start_error.code;
}

static void log_listening(const struct listener *listener)
{
    char host[256];
    const char *colon = strrchr(listener->address, ':');
    if (listener->unix_socket.path != NULL) {
        log_fields(LOG_LEVEL_INFO, "listening", LOG_TEXT("listener", listener->name),
                   LOG_TEXT("address", listener->unix_socket.path));
        return;
    }
    snprintf(host, sizeof(host), "%.*s", (int)(colon - listener->address), listener->address);
    log_fields(LOG_LEVEL_INFO, "listening", LOG_TEXT("listener", listener->name),
               LOG_TEXT("address", host), LOG_NUMBER("port", listener->port));
}

/* The time lets systemd tell this reload from one before it. */
static void reload(struct server *server)
{
    struct timespec now;
    char state[64];
    if (server->options.reload == NULL)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    sd_notify_send(state);
    server->options.reload(server, server->options.arg);
    sd_notify_send("READY=1");
}

/* True: stop. */
static bool read_signals(struct server *server)
{
    struct signalfd_siginfo info;
    bool stop = false;
    while (read(server->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo != SIGHUP)
            stop = true;
        else
            reload(server);
    }
    return stop;
}

/* The watchdog hears of us only while every loop turns: a process whose main thread lives and whose
 * server threads hang is to be restarted. */
static void feed_watchdog(const struct server *server, uint64_t every_ms)
{
    uint64_t now_ms = monotonic_ms();
    uint64_t patience_ms = every_ms > WATCHDOG_PATIENCE_MS ? every_ms : WATCHDOG_PATIENCE_MS;
    for (size_t i = 0; i < server->threads_len; i++)
        if (now_ms > atomic_load(&server->threads[i].turned_at_ms) + patience_ms)
            return;
    sd_notify_send("WATCHDOG=1");
}

static void wait_for_stop(struct server *server)
{
    /* Twice as often as is asked for, as sd_watchdog_enabled(3) recommends. */
    uint64_t every_ms = sd_notify_watchdog_ms() / 2, due_ms = monotonic_ms();
    struct pollfd polled[2] = {{.fd = server->stop_fd, .events = POLLIN},
                               {.fd = server->signal_fd, .events = POLLIN}};
    for (;;) {
        uint64_t now_ms = monotonic_ms();
        if (every_ms != 0 && now_ms >= due_ms) {
            feed_watchdog(server, every_ms);
            due_ms = now_ms + every_ms;
        }
        if (poll(polled, 2, every_ms != 0 ? (int)(due_ms - now_ms) : -1) < 0)
            continue; /* EINTR */
        if (polled[0].revents != 0)
            return;
        if (polled[1].revents != 0 && read_signals(server))
            return;
    }
}

enum sticps_err server_run(struct server *server, struct sticps_error *err)
{
    int expected = SERVER_NEW;
    if (server->listeners == NULL)
        return fail(err, STICPS_ERR_USAGE, NULL, "there is no address to listen on");
    if (!atomic_compare_exchange_strong(&server->state, &expected, SERVER_RUNNING))
        return fail(err, STICPS_ERR_USAGE, NULL, "the server has run already");
    make_stats(server);
    size_t made = 0;
    enum sticps_err code = start_threads(server, &made, err);
    if (code == STICPS_OK) {
        for (struct listener *each = server->listeners; each != NULL; each = each->next)
            log_listening(each);
        sd_notify_send("READY=1");
        wait_for_stop(server);
        sd_notify_send("STOPPING=1");
        log_info("stopping");
    }
    atomic_store(&server->state, SERVER_DRAINING);
    if (server->options.draining != NULL)
        server->options.draining(server, server->options.arg);
    for (size_t i = 0; i < made; i++)
        if (!server_post(&server->threads[i], thread_drain, &server->threads[i]))
            continue; /* it ended by itself after a failed start */
    for (size_t i = 0; i < made; i++)
        pthread_join(server->threads[i].id, NULL);
    for (size_t i = 0; i < server->threads_len; i++)
        thread_free(&server->threads[i]);
    atomic_store(&server->state, SERVER_ENDED);
    return code;
}

void server_stop(struct server *server)
{
    uint64_t one = 1;
    int saved = errno; /* may be called in a signal handler */
    ssize_t written = write(server->stop_fd, &one, sizeof(one));
    (void)written;
    errno = saved;
}

bool server_stopping(const struct server *server)
{
    return atomic_load(&((struct server *)server)->state) >= SERVER_DRAINING;
}

void server_free(struct server *server)
{
    if (server == NULL)
        return;
    h2o_config_dispose(&server->conf);
    while (server->listeners != NULL) {
        struct listener *next = server->listeners->next;
        listener_free(server->listeners);
        server->listeners = next;
    }
    limits_free(server->limits);
    proxies_clear(&server->proxies);
    rate_free(server->requests_rate);
    for (size_t i = 0; i < server->threads_len; i++) {
        pthread_mutex_destroy(&server->threads[i].post_lock);
        free(server->threads[i].stats);
    }
    free(server->threads);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    close(server->stop_fd);
    if (server->signal_fd >= 0)
        close(server->signal_fd);
    free(server);
}

/* ---- asking ---- */

size_t server_threads(const struct server *server)
{
    return server->threads_len;
}

struct server_thread *server_thread_at(struct server *server, size_t index)
{
    return &server->threads[index];
}

void server_counters_read(const struct server *server, struct server_counters *out)
{
    *out = (struct server_counters){0};
    for (size_t i = 0; i < server->threads_len; i++) {
        struct server_thread *thread = &server->threads[i];
        out->connections_open += atomic_load_explicit(&thread->open, memory_order_relaxed);
        out->connections_accepted += atomic_load_explicit(&thread->accepted, memory_order_relaxed);
        out->connections_refused += atomic_load_explicit(&thread->refused, memory_order_relaxed);
        out->requests_limited += counter_read(&thread->limited);
        out->requests += atomic_load_explicit(&thread->requests, memory_order_relaxed);
        for (size_t j = 0; j < 6; j++)
            out->responses[j] += atomic_load_explicit(&thread->responses[j], memory_order_relaxed);
    }
}
