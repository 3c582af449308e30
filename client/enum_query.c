#include "client/enum_query.h"

#include "client/sockets.h"

#include <ares.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define TRIES 2                             /* of each server */
#define SHORTEST_TRY_MS 10                  /* the first; the second takes twice as long */
#define EDNS_SIZE 1232                      /* what passes everywhere in one piece */
#define SOCKETS_EACH (2 * ENUM_SERVERS_MAX) /* UDP and TCP */
#define EVENTS_AT_ONCE 64

struct enum_resolver {
    struct loop *loop;
    const struct sticps_options *options;
    struct ares_addr_port_node servers[ENUM_SERVERS_MAX];
    size_t servers_len;
    struct loop_watch watch; /* of its epoll set, in which the sockets are */
    struct sockets sockets;
    struct query *first;
};

/* A socket of a query's, in the epoll set. */
struct slot {
    struct query *query; /* NULL: free */
    int fd;
};

struct query {
    struct query *next, **link;
    struct enum_resolver *resolver;
    ares_channel channel;
    struct slot slots[SOCKETS_EACH];
    struct loop_timer timer;
    uint64_t deadline; /* loop_now() */
    enum_query_fn *callback;
    void *ctx;
    bool answered; /* c-ares has called back */
    struct tn tn;
    char name[DNS_NAME_SIZE];
    struct enum_answer answer;
    struct sticps_error err;
};

/* ---- sockets, which a child of the host's process can close (sockets.h) ---- */

static ares_socket_t on_open(int family, int type, int protocol, void *ctx)
{
    return sockets_open(ctx, family, type | SOCK_NONBLOCK, protocol);
}

static int on_close(ares_socket_t fd, void *ctx)
{
    return sockets_close(ctx, fd);
}

static int on_connect(ares_socket_t fd, const struct sockaddr *address, ares_socklen_t len,
                      void *ctx)
{
    (void)ctx;
    return connect(fd, address, len);
}

static ares_ssize_t on_receive(ares_socket_t fd, void *data, size_t len, int flags,
                               struct sockaddr *from, ares_socklen_t *from_len, void *ctx)
{
    (void)ctx;
    return recvfrom(fd, data, len, flags, from, from_len);
}

static ares_ssize_t on_send(ares_socket_t fd, const struct iovec *parts, int count, void *ctx)
{
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
    (void)ctx;
    return sendmsg(fd, &message, MSG_NOSIGNAL); /* a peer that hangs up raises no signal */
}

static const struct ares_socket_functions socket_functions = {on_open, on_close, on_connect,
                                                              on_receive, on_send};

/* c-ares' wish to hear of a socket; neither way: it is about to close it. */
static void on_socket(void *ctx, ares_socket_t fd, int readable, int writable)
{
    struct query *query = ctx;
    struct slot *slot = NULL;
    for (size_t i = 0; i < SOCKETS_EACH; i++) {
        struct slot *at = &query->slots[i];
        if (at->query != NULL && at->fd == fd) {
            slot = at;
            break;
        }
        if (at->query == NULL && slot == NULL)
            slot = at;
    }
    if (slot == NULL) /* more than two for each server: then it ends by the deadline */
        return;
    int epoll_fd = query->resolver->watch.fd;
    struct epoll_event event = {.data.ptr = slot};
    event.events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
    if (event.events == 0) {
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, &event);
        slot->query = NULL;
    } else {
        epoll_ctl(epoll_fd, slot->query == NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
        *slot = (struct slot){query, fd};
    }
}

/* ---- the end of a query ---- */

static void finish(struct query *query)
{
    *query->link = query->next;
    if (query->next != NULL)
        query->next->link = query->link;
    loop_timer_stop(&query->timer);
    query->answered = true;
    ares_destroy(query->channel); /* calls on_answer, which no longer listens */
    query->callback(query->ctx, &query->answer, &query->err);
    free(query);
}

static void finish_without(struct query *query, const char *why)
{
    query->answer = (struct enum_answer){.result = NUMBER_FAILED};
    fail(&query->err, STICPS_ERR_FETCH, "enum", "%s", why);
    finish(query);
}

/* Inside c-ares, which forbids to end the channel here. A name that is not there has a message. */
static void on_answer(void *ctx, int status, int timeouts, unsigned char *message, int len)
{
    struct query *query = ctx;
    (void)timeouts;
    if (query->answered)
        return;
    query->answered = true;
    if (message != NULL && len > 0) {
        const struct sticps_options *options = query->resolver->options;
        enum_answer_read(message, (size_t)len, query->name, &query->tn, options->default_country,
                         &query->answer, &query->err);
        return;
    }
    query->answer = (struct enum_answer){.result = NUMBER_FAILED};
    fail(&query->err, STICPS_ERR_FETCH, "enum", "no server answered: %s", ares_strerror(status));
}

static void on_timer(struct loop_timer *timer);

/* After c-ares had its turn: to the end, or to its next moment. */
static void look(struct query *query)
{
    uint64_t now = loop_now();
    struct timeval next, most = {3600, 0};
    if (query->answered) {
        finish(query);
    } else if (now >= query->deadline) {
        finish_without(query, "no server answered within the deadline");
    } else {
        uint64_t left = query->deadline - now;
        const struct timeval *in = ares_timeout(query->channel, &most, &next);
        uint64_t ms = (uint64_t)in->tv_sec * 1000 + (uint64_t)in->tv_usec / 1000 + 1;
        loop_timer_set(query->resolver->loop, &query->timer, (unsigned)(ms < left ? ms : left),
                       on_timer);
    }
}

static void on_timer(struct loop_timer *timer)
{
    struct query *query = (struct query *)((char *)timer - offsetof(struct query, timer));
    if (!query->answered)
        ares_process_fd(query->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    look(query);
}

/* One event at a time: what it brings about may close the sockets of those after it. */
static void on_ready(struct loop_watch *watch)
{
    struct epoll_event event;
    for (int i = 0; i < EVENTS_AT_ONCE && epoll_wait(watch->fd, &event, 1, 0) == 1; i++) {
        struct slot *slot = event.data.ptr;
        struct query *query = slot->query;
        bool only_write = (event.events & (EPOLLIN | EPOLLOUT)) == EPOLLOUT;
        ares_process_fd(query->channel, only_write ? ARES_SOCKET_BAD : slot->fd,
                        event.events & EPOLLOUT ? slot->fd : ARES_SOCKET_BAD);
        look(query);
    }
}

/* ---- its beginning ---- */

/* Everything is set, so that c-ares reads no file of its own. */
static int open_channel(struct query *query)
{
    struct enum_resolver *resolver = query->resolver;
    unsigned ms = resolver->options->enumeration.deadline_ms;
    unsigned first = ms / (3 * (unsigned)resolver->servers_len);
    struct ares_options options = {
        .flags = ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
        .ednspsz = EDNS_SIZE,
        .timeout = (int)(first > SHORTEST_TRY_MS ? first : SHORTEST_TRY_MS),
        .tries = TRIES,
        .ndots = 1,
        .lookups = (char[]){"b"},
        .sock_state_cb = on_socket,
        .sock_state_cb_data = query,
    };
    int status = ares_init_options(&query->channel, &options,
                                   ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS |
                                       ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_LOOKUPS |
                                       ARES_OPT_SOCK_STATE_CB | ARES_OPT_SERVERS |
                                       ARES_OPT_DOMAINS | ARES_OPT_SORTLIST | ARES_OPT_NOROTATE);
    if (status != ARES_SUCCESS)
        return status;
    ares_set_socket_functions(query->channel, &socket_functions, &resolver->sockets);
    status = ares_set_servers_ports(query->channel, resolver->servers);
    if (status != ARES_SUCCESS)
        ares_destroy(query->channel);
    return status;
}

enum sticps_err enum_query_start(struct enum_resolver *resolver, const struct tn *tn,
                                 enum_query_fn *callback, void *ctx, struct sticps_error *err)
{
    const struct enum_options *options = &resolver->options->enumeration;
    struct query *query = calloc(1, sizeof(*query));
    if (query == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    query->resolver = resolver;
    query->callback = callback;
    query->ctx = ctx;
    query->tn = *tn;
    query->deadline = loop_now() + options->deadline_ms;
    enum_name(tn, options->apex, query->name);
    if (open_channel(query) != ARES_SUCCESS) {
        free(query);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    query->next = resolver->first;
    query->link = &resolver->first;
    if (query->next != NULL)
        query->next->link = &query->next;
    resolver->first = query;
    ares_query(query->channel, query->name, DNS_CLASS_IN, DNS_TYPE_NAPTR, on_answer, query);
    if (query->answered) /* refused at once; the caller hears of it in a moment */
        loop_timer_set(resolver->loop, &query->timer, 0, on_timer);
    else
        look(query);
    return STICPS_OK;
}

/* ---- life ---- */

static pthread_once_t ares_once = PTHREAD_ONCE_INIT;
static int ares_ready;

/* Never undone: other users in the process may come and go. */
static void init_ares(void)
{
    ares_ready = ares_library_init(ARES_LIB_INIT_ALL);
}

static void add_server(struct enum_resolver *resolver, const struct ares_addr_port_node *from)
{
    if (resolver->servers_len == ENUM_SERVERS_MAX)
        return;
    struct ares_addr_port_node *to = &resolver->servers[resolver->servers_len];
    *to = *from;
    to->next = NULL;
    if (resolver->servers_len++ > 0)
        to[-1].next = to;
}

static void take_servers(struct enum_resolver *resolver, const struct enum_options *options)
{
    for (size_t i = 0; i < options->servers_len; i++) {
        const struct enum_server *server = &options->servers[i];
        struct ares_addr_port_node node = {.family = server->family};
        node.udp_port = node.tcp_port = server->port;
        memcpy(&node.addr, server->address, sizeof(server->address));
        add_server(resolver, &node);
    }
}

/* Those that the machine asks. */
static enum sticps_err read_servers(struct enum_resolver *resolver, struct sticps_error *err)
{
    ares_channel channel;
    struct ares_addr_port_node *all = NULL;
    int status = ares_init(&channel);
    if (status != ARES_SUCCESS)
        return fail(err, status == ARES_ENOMEM ? STICPS_ERR_NO_MEMORY : STICPS_ERR_FILE,
                    "/etc/resolv.conf", "%s; name the servers of ENUM", ares_strerror(status));
    status = ares_get_servers_ports(channel, &all);
    for (const struct ares_addr_port_node *node = all; node != NULL; node = node->next)
        add_server(resolver, node);
    ares_free_data(all);
    ares_destroy(channel);
    if (status == ARES_ENOMEM)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (resolver->servers_len == 0)
        return fail(err, STICPS_ERR_FILE, "/etc/resolv.conf",
                    "it names no server; name those of ENUM");
    return STICPS_OK;
}

enum sticps_err enum_resolver_new(struct loop *loop, const struct sticps_options *options,
                                  struct enum_resolver **out, struct sticps_error *err)
{
    pthread_once(&ares_once, init_ares);
    if (ares_ready != ARES_SUCCESS)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "c-ares cannot start: %s",
                    ares_strerror(ares_ready));
    struct enum_resolver *resolver = calloc(1, sizeof(*resolver));
    if (resolver == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    resolver->loop = loop;
    resolver->options = options;
    resolver->watch.ready = on_ready;
    resolver->watch.fd = epoll_create1(EPOLL_CLOEXEC);
    take_servers(resolver, &options->enumeration);
    enum sticps_err code = STICPS_OK;
    if (resolver->watch.fd < 0)
        code = fail(err, STICPS_ERR_NO_MEMORY, NULL, "no descriptors left; raise RLIMIT_NOFILE");
    if (code == STICPS_OK && resolver->servers_len == 0)
        code = read_servers(resolver, err);
    if (code == STICPS_OK)
        code = loop_watch(loop, &resolver->watch, err);
    if (code == STICPS_OK)
        *out = resolver;
    else
        enum_resolver_free(resolver);
    return code;
}

void enum_resolver_close(struct enum_resolver *resolver)
{
    while (resolver->first != NULL)
        finish_without(resolver->first, "the client was closed before there was an answer");
}

void enum_resolver_free(struct enum_resolver *resolver)
{
    if (resolver == NULL)
        return;
    loop_unwatch(resolver->loop, &resolver->watch);
    if (resolver->watch.fd >= 0)
        close(resolver->watch.fd);
    sockets_clear(&resolver->sockets);
    free(resolver);
}

void enum_resolver_abandon(struct enum_resolver *resolver)
{
    if (resolver == NULL)
        return;
    close(resolver->watch.fd);
    sockets_abandon(&resolver->sockets);
}
