#include "server/http/internal.h"
#include "server/http/log.h"

#include <time.h>

static void count(struct server_thread *thread, int status)
{
    int class = status / 100;
    atomic_fetch_add_explicit(&thread->requests, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&thread->responses[class >= 1 && class <= 5 ? class : 0], 1,
                              memory_order_relaxed);
}

static void count_route(const struct listener *listener, struct server_thread *thread,
                        const struct route *route, int status, int64_t took_us)
{
    size_t index = route != NULL ? (size_t)(route - listener->routes) : listener->routes_len;
    route_stats_count(&thread->stats[listener->stats_first + index], status, took_us);
}

static int64_t since_us(uint64_t started_us)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    return (int64_t)(now_us - started_us);
}

/* Called by h2o when a request's memory is about to go; its connection may be closed already, so
 * nothing of the socket is touched for requests that h2o refused by itself. */
void access_log_request(h2o_req_t *req)
{
    const struct request *request = request_of(req);
    if (request == NULL) {
        struct connection *connection = connection_of(req);
        count(connection->thread, req->res.status);
        count_route(connection->listener, connection->thread, NULL, req->res.status, -1);
        if (atomic_load(&connection->thread->server->access_log))
            log_fields(LOG_LEVEL_INFO, "refused", LOG_TEXT("client", connection->peer.text),
                       LOG_NUMBER("status", req->res.status),
                       LOG_TEXT("listener", connection->listener->name));
        return;
    }
    int64_t took_us = since_us(request->started_us);
    count(request->thread, req->res.status);
    count_route(request->listener, request->thread, request->route, req->res.status, took_us);
    if (!atomic_load(&request->thread->server->access_log))
        return;
    struct log_field fields[10] = {
        LOG_TEXT("method", request->method),
        LOG_TEXT("path", request->path),
        LOG_NUMBER("status", req->res.status),
        LOG_NUMBER("bytes", req->bytes_sent),
        LOG_NUMBER("us", took_us),
        LOG_TEXT("client", request->client.text),
        LOG_TEXT("listener", request->listener->name),
        LOG_TEXT("request", request->id),
    };
    size_t len = 8;
    if (request->user != NULL)
        fields[len++] = LOG_TEXT("user", request->user);
    if (request->trace.id[0] != '\0')
        fields[len++] = LOG_TEXT("trace", request->trace.id);
    log_event(LOG_LEVEL_INFO, "request", fields, len);
}
