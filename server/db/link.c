#include "server/db/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define FIRST_PAUSE_MS 100
#define LONGEST_PAUSE_MS 5000

uint64_t link_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- the socket ---- */

static void unwrap(struct db_link *link)
{
    if (link->socket == NULL)
        return;
    h2o_socket_read_stop(link->socket);
    h2o_socket_close(link->socket);
    link->socket = NULL;
}

/* libpq may close its socket and open another, even under the same number, so the wrapper is made
 * anew after each step of connecting. */
static bool wrap(struct db_link *link)
{
    unwrap(link);
    int fd = fcntl(PQsocket(link->conn), F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return false;
    link->socket = h2o_evloop_socket_create(link->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    link->socket->data = link;
    return true;
}

static void hang_up(struct db_link *link)
{
    unwrap(link);
    PQfinish(link->conn);
    link->conn = NULL;
}

void link_drop(struct db_link *link, const char *why)
{
    char copy[512];
    snprintf(copy, sizeof(copy), "%s", why); /* `why` may belong to the connection */
    copy[strcspn(copy, "\n")] = '\0';
    bool was_up = link->state == LINK_UP;
    if (was_up)
        link->pause_ms = FIRST_PAUSE_MS;
    /* Between half and all of the pause, so that many connections do not come back in one wave. */
    link->next_ms = link_now_ms() + link->pause_ms / 2 + arc4random_uniform(link->pause_ms / 2 + 1);
    link->pause_ms = link->pause_ms * 2 > LONGEST_PAUSE_MS ? LONGEST_PAUSE_MS : link->pause_ms * 2;
    link->state = LINK_DOWN;
    hang_up(link);
    link->owner->down(link, was_up, copy);
}

static void drop_with_error(struct db_link *link)
{
    char why[512];
    conninfo_error(link->conn, why, sizeof(why));
    link_drop(link, why[0] != '\0' ? why : "connection lost");
}

void link_close(struct db_link *link)
{
    link->state = LINK_CLOSED;
    hang_up(link);
}

/* ---- a session ---- */

static void on_writable(h2o_socket_t *socket, const char *err)
{
    struct db_link *link = socket->data;
    (void)err; /* libpq finds the error by itself */
    (void)link_flush(link);
}

bool link_flush(struct db_link *link)
{
    int left = PQflush(link->conn);
    if (left < 0) {
        drop_with_error(link);
        return false;
    }
    if (left > 0 && !h2o_socket_is_writing(link->socket))
        h2o_socket_notify_write(link->socket, on_writable);
    return true;
}

/* Takes in what has arrived. False when the connection has ended. */
static bool take_in(struct db_link *link)
{
    if (PQconsumeInput(link->conn) == 0)
        return false;
    (void)PQisBusy(link->conn); /* parses, and so sees a farewell */
    return !link->ended;
}

bool link_alive(struct db_link *link)
{
    char byte;
    ssize_t got = recv(PQsocket(link->conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    return take_in(link);
}

/* The session's first SQL has been answered? Then the owner may use it. */
static void finish_starting(struct db_link *link)
{
    while (!PQisBusy(link->conn)) {
        PGresult *result = PQgetResult(link->conn);
        if (result == NULL) {
            link->state = LINK_UP;
            link->pause_ms = FIRST_PAUSE_MS;
            link->owner->up(link);
            return;
        }
        ExecStatusType status = PQresultStatus(result);
        bool good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
        PQclear(result);
        if (!good) {
            drop_with_error(link);
            return;
        }
    }
}

static void on_readable(h2o_socket_t *socket, const char *err)
{
    struct db_link *link = socket->data;
    (void)err;
    if (!take_in(link) || PQflush(link->conn) < 0) {
        drop_with_error(link);
        return;
    }
    if (link->state == LINK_STARTING)
        finish_starting(link);
    else
        link->owner->input(link);
}

static void start_session(struct db_link *link)
{
    link->ended = false;
    conninfo_quiet(link->conn, &link->ended);
    if (!wrap(link) || PQsetnonblocking(link->conn, 1) != 0 ||
        PQsendQuery(link->conn, link->session_sql) == 0) {
        drop_with_error(link);
        return;
    }
    link->state = LINK_STARTING;
    h2o_socket_read_start(link->socket, on_readable);
    (void)link_flush(link);
}

/* ---- connecting ---- */

static void poll_connect(struct db_link *link);

static void on_connect_event(h2o_socket_t *socket, const char *err)
{
    (void)err;
    poll_connect(socket->data);
}

static void poll_connect(struct db_link *link)
{
    /* The descriptor is libpq's own; ours must not keep the kernel's socket alive while libpq tries
     * the next address. */
    unwrap(link);
    PostgresPollingStatusType status = PQconnectPoll(link->conn);
    if (status == PGRES_POLLING_OK) {
        start_session(link);
        return;
    }
    if (status == PGRES_POLLING_FAILED || !wrap(link)) {
        drop_with_error(link);
        return;
    }
    if (status == PGRES_POLLING_READING)
        h2o_socket_read_start(link->socket, on_connect_event);
    else
        h2o_socket_notify_write(link->socket, on_connect_event);
}

static void begin(struct db_link *link)
{
    struct conninfo info;
    conninfo_fill(&info, link->conninfo, link->application_name, link->host);
    link->state = LINK_CONNECTING;
    link->deadline_ms = link_now_ms() + link->connect_timeout_ms;
    link->conn = PQconnectStartParams(info.keywords, info.values, 1);
    /* libpq wants the first poll only after the socket is writable. */
    if (link->conn == NULL || PQstatus(link->conn) == CONNECTION_BAD || !wrap(link)) {
        drop_with_error(link);
        return;
    }
    h2o_socket_notify_write(link->socket, on_connect_event);
}

void link_start(struct db_link *link)
{
    link->pause_ms = FIRST_PAUSE_MS;
    begin(link);
}

void link_tick(struct db_link *link, uint64_t now_ms)
{
    if (link->state == LINK_DOWN && now_ms >= link->next_ms)
        begin(link);
    else if ((link->state == LINK_CONNECTING || link->state == LINK_STARTING) &&
             now_ms >= link->deadline_ms) {
        link->host++;
        link_drop(link, "no answer while connecting");
    }
}

/* ---- the heartbeat ---- */

static void on_tick(h2o_socket_t *socket, const char *err)
{
    struct ticker *ticker = socket->data;
    uint64_t expired;
    (void)err;
    if (read(h2o_socket_get_fd(socket), &expired, sizeof(expired)) == (ssize_t)sizeof(expired))
        ticker->tick(ticker, link_now_ms());
}

bool ticker_start(struct ticker *ticker, h2o_loop_t *loop, unsigned every_ms)
{
    struct timespec every = {every_ms / 1000, (long)(every_ms % 1000) * 1000000};
    struct itimerspec spec = {every, every};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd < 0)
        return false;
    if (timerfd_settime(fd, 0, &spec, NULL) != 0) {
        close(fd);
        return false;
    }
    ticker->socket = h2o_evloop_socket_create(loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    ticker->socket->data = ticker;
    h2o_socket_read_start(ticker->socket, on_tick);
    return true;
}

void ticker_stop(struct ticker *ticker)
{
    if (ticker->socket == NULL)
        return;
    h2o_socket_read_stop(ticker->socket);
    h2o_socket_close(ticker->socket);
    ticker->socket = NULL;
}
