/* DNS messages for tests of ENUM, written byte by byte, and a server on loopback that sends what it
 * is told to. */
#ifndef TESTS_UNIT_DNS_BYTES_H
#define TESTS_UNIT_DNS_BYTES_H

#include "client/dns_message.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct dns_bytes {
    unsigned char data[4096];
    size_t len;
};

static inline void put_bytes(struct dns_bytes *to, const void *data, size_t len)
{
    memcpy(to->data + to->len, data, len);
    to->len += len;
}

static inline void put_u16(struct dns_bytes *to, unsigned value)
{
    put_bytes(to, (unsigned char[]){(unsigned char)(value >> 8), (unsigned char)value}, 2);
}

static inline void put_u32(struct dns_bytes *to, uint32_t value)
{
    put_u16(to, value >> 16);
    put_u16(to, value & 0xffff);
}

static inline void put_name(struct dns_bytes *to, const char *name)
{
    while (*name != '\0') {
        size_t len = strcspn(name, ".");
        put_bytes(to, (unsigned char[]){(unsigned char)len}, 1);
        put_bytes(to, name, len);
        name += len + (name[len] == '.');
    }
    put_bytes(to, "", 1);
}

static inline void put_string(struct dns_bytes *to, const char *text)
{
    put_bytes(to, (unsigned char[]){(unsigned char)strlen(text)}, 1);
    put_bytes(to, text, strlen(text));
}

/* An answer's header and question, without records yet. */
static inline void put_header(struct dns_bytes *to, unsigned id, unsigned flags, const char *name)
{
    *to = (struct dns_bytes){.len = 0};
    put_u16(to, id);
    put_u16(to, flags);
    put_u16(to, 1);
    put_u32(to, 0);
    put_u16(to, 0);
    put_name(to, name);
    put_u16(to, DNS_TYPE_NAPTR);
    put_u16(to, DNS_CLASS_IN);
}

/* One record more; its data follows up to end_record. `section`: 0 answer, 1 authority. */
static inline size_t begin_record(struct dns_bytes *to, int section, const char *name,
                                  unsigned type, uint32_t ttl)
{
    to->data[7 + 2 * section]++;
    put_name(to, name);
    put_u16(to, type);
    put_u16(to, DNS_CLASS_IN);
    put_u32(to, ttl);
    put_u16(to, 0);
    return to->len;
}

static inline void end_record(struct dns_bytes *to, size_t begin)
{
    to->data[begin - 2] = (unsigned char)((to->len - begin) >> 8);
    to->data[begin - 1] = (unsigned char)(to->len - begin);
}

static inline void put_naptr(struct dns_bytes *to, const char *name, unsigned order,
                             unsigned preference, const char *flags, const char *services,
                             const char *regexp, uint32_t ttl)
{
    size_t begin = begin_record(to, 0, name, DNS_TYPE_NAPTR, ttl);
    put_u16(to, order);
    put_u16(to, preference);
    put_string(to, flags);
    put_string(to, services);
    put_string(to, regexp);
    put_bytes(to, "", 1);
    end_record(to, begin);
}

static inline void put_soa(struct dns_bytes *to, uint32_t ttl, uint32_t minimum)
{
    size_t begin = begin_record(to, 1, "e164.test", DNS_TYPE_SOA, ttl);
    put_name(to, "ns.e164.test");
    put_name(to, "h.e164.test");
    for (uint32_t i = 1; i < 5; i++)
        put_u32(to, i);
    put_u32(to, minimum);
    end_record(to, begin);
}

/* A server in a thread of its own: `answer` writes what comes back; without any length, silence. */
struct dns_server {
    int fd;
    char address[32]; /* "127.0.0.1:port" */
    pthread_t thread;
    void (*answer)(void *ctx, unsigned id, const char *name, struct dns_bytes *out);
    void *ctx;
    atomic_uint seen;
    atomic_bool over;
};

static inline void *dns_server_main(void *argument)
{
    struct dns_server *server = argument;
    while (!atomic_load(&server->over)) {
        unsigned char query[512];
        struct sockaddr_in from;
        socklen_t from_len = sizeof(from);
        ssize_t len =
            recvfrom(server->fd, query, sizeof(query), 0, (struct sockaddr *)&from, &from_len);
        struct dns_message message;
        if (len < 12)
            continue;
        query[2] |= 0x80; /* so that our reader takes it */
        if (!dns_message_read(&message, query, (size_t)len))
            continue;
        struct dns_bytes out = {.len = 0};
        server->answer(server->ctx, dns_message_u16(&message, 0), message.name, &out);
        atomic_fetch_add(&server->seen, 1);
        if (out.len > 0)
            sendto(server->fd, out.data, out.len, 0, (struct sockaddr *)&from, from_len);
    }
    return NULL;
}

static inline void dns_server_start(struct dns_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval pause = {0, 20000}; /* how often it looks whether it is over */
    server->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &len), 0);
    setsockopt(server->fd, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof(pause));
    snprintf(server->address, sizeof(server->address), "127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&server->thread, NULL, dns_server_main, server), 0);
}

static inline void dns_server_stop(struct dns_server *server)
{
    atomic_store(&server->over, true);
    pthread_join(server->thread, NULL);
    close(server->fd);
}

#endif
