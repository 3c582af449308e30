/* From h2o to a handler: one h2o handler per listener that takes every request, decides what needs
 * no handler, and a filter that turns h2o's own refusals into problem documents. */
#include "server/http/internal.h"
#include "server/http/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENV_NAME "sticps.request"

struct listener_handler {
    h2o_handler_t super;
    struct listener *listener;
};

struct request *request_of(h2o_req_t *req)
{
    h2o_iovec_t *slot = h2o_req_getenv(req, H2O_STRLIT(ENV_NAME), 0);
    return slot != NULL ? (struct request *)(void *)slot->base : NULL;
}

/* ---- a request's life ---- */

static void on_dispose(void *memory)
{
    struct request *request = memory;
    if (request->pending != NULL)
        pending_gone(request->pending);
    json_decref(request->json);
    if (request->identity_free != NULL)
        request->identity_free(request->identity);
    shared_bytes_unref(request->shared);
}

/* The path and the query as received. A request target in absolute form loses its scheme and
 * authority (RFC 9112 s3.2.2). */
static void split_target(struct request *request)
{
    const char *path = request->h2o->path.base;
    size_t len = request->h2o->path.len;
    size_t scheme = h2o_strstr(path, len, H2O_STRLIT("://"));
    if (len > 0 && path[0] != '/' && (scheme == 4 || scheme == 5)) {
        const char *slash = memchr(path + scheme + 3, '/', len - scheme - 3);
        len = slash != NULL ? len - (size_t)(slash - path) : 0;
        path = slash;
    }
    const char *question = len > 0 ? memchr(path, '?', len) : NULL;
    size_t path_len = question != NULL ? (size_t)(question - path) : len;
    request->path =
        h2o_strdup(&request->h2o->pool, len > 0 ? path : "/", len > 0 ? path_len : 1).base;
    request->path_len = len > 0 ? path_len : 1;
    request->query_len = question != NULL ? len - path_len - 1 : 0;
    request->query = question != NULL ? question + 1 : "";
    request->has_query = question != NULL;
}

/* What a proxy says of the client is of each request: one connection carries those of many. */
static void find_client(struct request *request)
{
    const struct server *server = request->thread->server;
    h2o_conn_t *conn = request->h2o->conn;
    struct sockaddr_storage peer;
    request->client = request->connection->peer;
    if (!request->connection->trusted)
        return;
    /* Another one than the connection's where a line of the PROXY protocol named it. */
    if (conn->callbacks->get_peername(conn, (struct sockaddr *)&peer) > 0) {
        client_address_of((struct sockaddr *)&peer, &request->client);
        if (!proxies_trust(&server->proxies, (struct sockaddr *)&peer))
            return;
    }
    client_address_forwarded(&server->proxies, request_header_joined(request, "x-forwarded-for"),
                             &request->client);
}

static struct request *request_new(h2o_req_t *req, const struct listener *listener)
{
    struct request *request = h2o_mem_alloc_shared(&req->pool, sizeof(*request), on_dispose);
    memset(request, 0, sizeof(*request));
    request->h2o = req;
    request->connection = connection_of(req);
    request->thread = request->connection->thread;
    request->listener = listener;
    request->started_us = monotonic_us();
    request->method = h2o_strdup(&req->pool, req->method.base, req->method.len).base;
    split_target(request);
    snprintf(request->id, sizeof(request->id), "%016llx",
             (unsigned long long)request->thread->id_next);
    /* An odd step through all 64-bit values: no two alike, and no counting of our traffic. */
    request->thread->id_next += UINT64_C(0x9e3779b97f4a7c15);
    find_client(request);
    request_read_trace(request);
    h2o_req_getenv(req, H2O_STRLIT(ENV_NAME), 1)->base = (char *)request;
    return request;
}

/* ---- what needs no handler ---- */

static bool decode_params(struct request *request)
{
    for (size_t i = 0; i < request->match.params_len; i++) {
        const struct route_param *param = &request->match.params[i];
        request->params[i] = request_alloc(request, param->len + 1);
        if (!router_decode_segment(request->path + param->offset, param->len, request->params[i]))
            return false;
    }
    return true;
}

static void refuse_method(struct request *request)
{
    char allow[128];
    router_allow(request->listener->routes, request->listener->routes_len, request->path,
                 request->path_len, allow, sizeof(allow));
    reply_header(request, "allow", allow);
    reply_problem(request, &PROBLEM_METHOD_NOT_ALLOWED, "%s is not among the methods of this path",
                  request->method);
}

static bool method_carries_body(const char *method)
{
    return strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0 ||
           strcmp(method, "PATCH") == 0;
}

/* False after it has replied 413 or 415. */
static bool check_body(struct request *request)
{
    const struct route *route = request->route;
    size_t len = request->h2o->entity.len;
    size_t limit = route->body_limit != 0 ? route->body_limit : request->listener->body_limit;
    if (len > limit) {
        reply_problem(request, &PROBLEM_TOO_LARGE, "the body may have %zu bytes", limit);
        return false;
    }
    if (len == 0)
        return true;
    if (route->content_type == NULL) {
        if (!method_carries_body(request->method))
            return true;
        reply_problem(request, &PROBLEM_UNSUPPORTED_MEDIA_TYPE, "no body belongs here");
        return false;
    }
    const char *type = request_header(request, "content-type");
    if (type == NULL || !router_media_type_among(type, strlen(type), route->content_type)) {
        reply_header(request, "accept", route->content_type);
        reply_problem(request, &PROBLEM_UNSUPPORTED_MEDIA_TYPE, "the body must be %s",
                      route->content_type);
        return false;
    }
    return true;
}

/* No mistake in a handler or a hook may leave a client waiting for ever. */
static void ensure_answered(struct request *request)
{
    if (request->replied || request->pending != NULL)
        return;
    log_error("request %s: nobody answers %s", request->id, request->route->path);
    reply_problem(request, &PROBLEM_INTERNAL, "no answer");
}

void router_continue(struct request *request)
{
    if (check_body(request))
        request->route->handler(request);
    ensure_answered(request);
}

/* An ambiguous request may be one half of a smuggled one: nothing that follows it on this
 * connection may be believed. */
static bool check_framing(struct request *request)
{
    h2o_req_t *req = request->h2o;
    const h2o_buffer_t *input = request->connection->socket->input;
    switch (framing_check(input->bytes, input->size, req->version < 0x101)) {
    case FRAMING_GOOD:
        return true;
    case FRAMING_TOO_LONG: {
        static const struct problem too_long = {431, "HEADERS_TOO_LARGE"};
        req->http1_is_persistent = 0;
        reply_problem(request, &too_long, "request line and headers may have %d bytes",
                      SERVER_MAX_HEAD);
        return false;
    }
    default: {
        static const struct problem bad = {400, "BAD_REQUEST"};
        req->http1_is_persistent = 0;
        connection_linger(request->connection);
        reply_problem(request, &bad,
                      "Host, Content-Length and Transfer-Encoding may stand there once, "
                      "and the last two not both; folded header lines are refused");
        return false;
    }
    }
}

/* Cheap, and before the request has cost anything. */
static bool check_rate(struct request *request)
{
    const struct limits_key *key = &request->client.key;
    unsigned wait;
    if (request->route != NULL && (request->route->flags & ROUTE_UNLIMITED) != 0)
        return true;
    wait =
        rate_take(request->thread->server->requests_rate, key, sizeof(*key), request->started_us);
    if (wait == 0)
        return true;
    counter_add(&request->thread->limited, 1);
    reply_header(request, "retry-after", request_printf(request, "%u", wait));
    reply_problem(request, &PROBLEM_TOO_MANY_REQUESTS,
                  "too many requests from this address; try again in %u s", wait);
    return false;
}

static int on_request(h2o_handler_t *self, h2o_req_t *req)
{
    const struct listener *listener = ((struct listener_handler *)self)->listener;
    struct request *request = request_new(req, listener);
    if (!check_framing(request))
        return 0;
    router_match(listener->routes, listener->routes_len, request->method, strlen(request->method),
                 request->path, request->path_len, &request->match);
    request->route = request->match.route;
    if (!check_rate(request))
        return 0;
    if (request->route == NULL && request->match.path_known)
        refuse_method(request);
    else if (request->route == NULL || !decode_params(request))
        reply_problem(request, &PROBLEM_NOT_FOUND, "there is nothing at this path");
    else if ((request->route->flags & ROUTE_AUTH) == 0 ||
             listener->authenticate(request, request->route))
        router_continue(request);
    else
        ensure_answered(request);
    return 0;
}

/* ---- h2o's own refusals ---- */

struct problem_stream {
    h2o_ostream_t super;
    h2o_iovec_t body;
};

static void problem_send(h2o_ostream_t *self, h2o_req_t *req, h2o_iovec_t *bufs, size_t bufcnt,
                         h2o_send_state_t state)
{
    (void)bufs;
    (void)bufcnt;
    bool head = h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("HEAD"));
    h2o_ostream_send_next(self, req, &((struct problem_stream *)self)->body, head ? 0 : 1, state);
}

static struct problem problem_of(int status)
{
    switch (status) {
    case 413:
        return PROBLEM_TOO_LARGE;
    case 417:
        return (struct problem){417, "EXPECTATION_FAILED"};
    case 400:
        return (struct problem){400, "BAD_REQUEST"};
    default:
        return (struct problem){status, "ERROR"};
    }
}

/* Only what h2o 2.2.5 says while it still reads a request (text/plain 400, 413, 417) comes here
 * without a request of ours. It closes the connection then, with the rest of the body unread. */
static void on_setup(h2o_filter_t *self, h2o_req_t *req, h2o_ostream_t **slot)
{
    (void)self;
    if (request_of(req) == NULL && req->res.status >= 400) {
        struct problem problem = problem_of(req->res.status);
        char *text = problem_text(&problem, "the request cannot be taken in", NULL);
        h2o_iovec_t body = h2o_strdup(&req->pool, text, strlen(text));
        free(text);
        req->res.reason = reply_reason(problem.status);
        req->res.content_length = body.len;
        req->res.headers = (h2o_headers_t){NULL, 0, 0};
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL,
                       H2O_STRLIT("application/problem+json"));
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CACHE_CONTROL, NULL,
                       H2O_STRLIT("no-store"));
        struct problem_stream *stream =
            (void *)h2o_add_ostream(req, sizeof(struct problem_stream), slot);
        stream->super.do_send = problem_send;
        stream->body = body;
        slot = &stream->super.next;
        connection_linger(connection_of(req));
    }
    h2o_setup_next_ostream(req, slot);
}

static void on_log(h2o_logger_t *self, h2o_req_t *req)
{
    (void)self;
    access_log_request(req);
}

void dispatch_setup(struct listener *listener, h2o_hostconf_t *host)
{
    h2o_pathconf_t *path = &host->fallback_path;
    struct listener_handler *handler = (void *)h2o_create_handler(path, sizeof(*handler));
    handler->super.on_req = on_request;
    handler->listener = listener;
    h2o_create_filter(path, sizeof(h2o_filter_t))->on_setup_ostream = on_setup;
    h2o_create_logger(path, sizeof(h2o_logger_t))->log_access = on_log;
}
