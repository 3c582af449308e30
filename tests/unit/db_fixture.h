/* For tests that need a PostgreSQL: run them under pg_virtualenv, which sets PGHOST and the rest;
 * without it they are skipped. Between pool and server stands a relay that can be stopped, so that
 * outages come when the test wants them. */
#ifndef TESTS_UNIT_DB_FIXTURE_H
#define TESTS_UNIT_DB_FIXTURE_H

#include "server/db/sync.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NEED_DATABASE()               \
    do {                              \
        if (getenv("PGHOST") == NULL) \
            skip();                   \
    } while (0)

#define TEST_MS 10000 /* no call of a test may take longer */

static inline struct db_sync *sync_open(const char *conninfo)
{
    struct db_sync *db = NULL;
    struct sticps_error err = {0};
    if (db_sync_connect(conninfo, "test", TEST_MS, &db, &err) != STICPS_OK)
        fail_msg("%s", err.text);
    return db;
}

static inline void sync_run(struct db_sync *db, const char *sql)
{
    struct db_result result;
    enum db_status status = db_sync_script(db, sql, TEST_MS, &result);
    if (status != DB_OK)
        print_error("%s: %s\n", sql, result.message);
    assert_int_equal(status, DB_OK);
    db_sync_clear(&result);
}

/* ---- the relay ---- */

#define RELAY_PAIRS 32

enum relay_mode { RELAY_PASS, RELAY_FREEZE, RELAY_CLOSED, RELAY_END };

struct relay {
    _Atomic int mode;
    int listener;
    unsigned port;
    pthread_t thread;
    int pairs[RELAY_PAIRS][2];
    size_t len;
    char conninfo[128];
};

static inline int relay_dial(void)
{
    const char *host = getenv("PGHOST"), *port = getenv("PGPORT");
    unsigned number = port != NULL ? (unsigned)strtoul(port, NULL, 10) : 5432;
    if (host[0] == '/') {
        struct sockaddr_un path = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        snprintf(path.sun_path, sizeof(path.sun_path), "%s/.s.PGSQL.%u", host, number);
        return connect(fd, (struct sockaddr *)&path, sizeof(path)) == 0 ? fd : -1;
    }
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)number),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? fd : -1;
}

static inline void relay_drop(struct relay *relay, size_t i)
{
    close(relay->pairs[i][0]);
    close(relay->pairs[i][1]);
    relay->len--;
    relay->pairs[i][0] = relay->pairs[relay->len][0];
    relay->pairs[i][1] = relay->pairs[relay->len][1];
}

/* Moves what is there; false when one side has ended. */
static inline bool relay_move(int from, int to)
{
    char buffer[65536];
    struct pollfd polled = {.fd = from, .events = POLLIN};
    if (poll(&polled, 1, 0) <= 0)
        return true;
    ssize_t got = recv(from, buffer, sizeof(buffer), 0);
    for (ssize_t sent = 0; sent < got;) {
        ssize_t n = send(to, buffer + sent, (size_t)(got - sent), MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        sent += n;
    }
    return got > 0;
}

static inline void relay_accept(struct relay *relay)
{
    int fd = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    int mode = atomic_load(&relay->mode);
    int server = mode == RELAY_CLOSED || relay->len == RELAY_PAIRS ? -1 : relay_dial();
    if (server < 0) {
        close(fd);
        return;
    }
    relay->pairs[relay->len][0] = fd;
    relay->pairs[relay->len][1] = server;
    relay->len++;
}

static inline void *relay_run(void *arg)
{
    struct relay *relay = (struct relay *)arg;
    int mode;
    while ((mode = atomic_load(&relay->mode)) != RELAY_END) {
        relay_accept(relay);
        for (size_t i = 0; i < relay->len;) {
            bool good = mode == RELAY_FREEZE ||
                        (mode == RELAY_PASS && relay_move(relay->pairs[i][0], relay->pairs[i][1]) &&
                         relay_move(relay->pairs[i][1], relay->pairs[i][0]));
            if (good)
                i++;
            else
                relay_drop(relay, i);
        }
        usleep(500);
    }
    while (relay->len > 0)
        relay_drop(relay, 0);
    close(relay->listener);
    return NULL;
}

static inline struct relay *relay_start(void)
{
    struct relay *relay = (struct relay *)calloc(1, sizeof(*relay));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    assert_non_null(relay);
    relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(relay->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(relay->listener, 64), 0);
    assert_int_equal(getsockname(relay->listener, (struct sockaddr *)&address, &len), 0);
    relay->port = ntohs(address.sin_port);
    snprintf(relay->conninfo, sizeof(relay->conninfo), "host=127.0.0.1 port=%u sslmode=disable",
             relay->port);
    assert_int_equal(pthread_create(&relay->thread, NULL, relay_run, relay), 0);
    return relay;
}

static inline void relay_set(struct relay *relay, enum relay_mode mode)
{
    atomic_store(&relay->mode, (int)mode);
}

static inline void relay_stop(struct relay *relay)
{
    relay_set(relay, RELAY_END);
    pthread_join(relay->thread, NULL);
    free(relay);
}

#endif
