#include "server/http/internal.h"

#include "common/strict_json.h"

#include <poll.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void *request_alloc(struct request *request, size_t size)
{
    return h2o_mem_alloc_pool(&request->h2o->pool, size > 0 ? size : 1);
}

char *request_printf(struct request *request, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = request_alloc(request, len > 0 ? (size_t)len + 1 : 1);
    text[0] = '\0';
    if (len > 0)
        vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return text;
}

static char *copy(struct request *request, const char *base, size_t len)
{
    return h2o_strdup(&request->h2o->pool, base, len).base; /* NUL-terminated */
}

/* ---- the request line ---- */

const char *request_method(const struct request *request)
{
    return request->method;
}

bool request_is_head(const struct request *request)
{
    return strcmp(request->method, "HEAD") == 0;
}

const char *request_path(const struct request *request)
{
    return request->path;
}

const char *request_target(struct request *request)
{
    if (!request->has_query)
        return request->path;
    return request_printf(request, "%s?%.*s", request->path, (int)request->query_len,
                          request->query);
}

const char *request_host(const struct request *request)
{
    const h2o_req_t *req = request->h2o;
    /* h2o puts in a name of its own when the client sent no Host */
    if (req->authority.base == req->hostconf->authority.hostport.base || req->authority.len == 0)
        return "";
    return copy((struct request *)request, req->authority.base, req->authority.len);
}

const struct route *request_route(const struct request *request)
{
    return request->route;
}

const char *request_listener(const struct request *request)
{
    return request->listener->name;
}

const char *request_param(struct request *request, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < request->match.params_len; i++) {
        const struct route_param *param = &request->match.params[i];
        if (param->name_len == len && memcmp(param->name, name, len) == 0)
            return request->params[i];
    }
    return NULL;
}

/* ---- the query ---- */

/* One name or value, form-decoded. NULL on broken percent-encoding or NUL. */
static char *form_decode(struct request *request, const char *raw, size_t len)
{
    char *out = request_alloc(request, len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = raw[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            char hex[3] = {0};
            if (len - i < 3 || !isxdigit((unsigned char)raw[i + 1]) ||
                !isxdigit((unsigned char)raw[i + 2]))
                return NULL;
            memcpy(hex, raw + i + 1, 2);
            c = (char)strtoul(hex, NULL, 16);
            i += 2;
        }
        if (c == '\0')
            return NULL;
        out[n++] = c;
    }
    out[n] = '\0';
    return out;
}

struct pair {
    char *name, *value; /* NULL: not decodable */
};

/* The next "name=value" of the query from *at; false at the end. */
static bool next_pair(struct request *request, size_t *at, struct pair *out)
{
    while (*at < request->query_len && request->query[*at] == '&')
        ++*at;
    if (*at >= request->query_len)
        return false;
    const char *start = request->query + *at;
    const char *end = memchr(start, '&', request->query_len - *at);
    size_t len = end != NULL ? (size_t)(end - start) : request->query_len - *at;
    const char *equals = memchr(start, '=', len);
    size_t name_len = equals != NULL ? (size_t)(equals - start) : len;
    out->name = form_decode(request, start, name_len);
    out->value = equals != NULL ? form_decode(request, equals + 1, len - name_len - 1)
                                : request_printf(request, "%s", "");
    *at += len;
    return true;
}

const char *request_query_find(struct request *request, const char *name, const char **fault)
{
    const char *found = NULL;
    struct pair pair;
    *fault = NULL;
    for (size_t at = 0; next_pair(request, &at, &pair);) {
        if (pair.name == NULL || pair.value == NULL) {
            *fault = "the query is not percent-encoded text";
            return NULL;
        }
        if (strcmp(pair.name, name) != 0)
            continue;
        if (found != NULL) {
            *fault = request_printf(request, "the query has %s twice", name);
            return NULL;
        }
        found = pair.value;
    }
    return found;
}

const char *request_query(struct request *request, const char *name, bool *replied)
{
    const char *fault;
    const char *found = request_query_find(request, name, &fault);
    if (fault != NULL) {
        reply_problem(request, &PROBLEM_INVALID, "%s", fault);
        *replied = true;
    }
    return found;
}

bool query_int(const char *text, int64_t min, int64_t max, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool digits =
        isdigit((unsigned char)text[0]) || (text[0] == '-' && isdigit((unsigned char)text[1]));
    if (!digits || *end != '\0' || errno != 0 || value < min || value > max)
        return false;
    *out = value;
    return true;
}

bool request_query_int(struct request *request, const char *name, int64_t min, int64_t max,
                       int64_t fallback, int64_t *out)
{
    bool replied = false;
    const char *text = request_query(request, name, &replied);
    if (replied)
        return false;
    if (text == NULL) {
        *out = fallback;
        return true;
    }
    if (query_int(text, min, max, out))
        return true;
    reply_problem(request, &PROBLEM_INVALID,
                  "%s must be a whole number from %" PRId64 " to %" PRId64, name, min, max);
    return false;
}

bool request_query_only(struct request *request, const char *const *names)
{
    struct pair pair;
    for (size_t at = 0; next_pair(request, &at, &pair);) {
        const char *const *name = names;
        while (*name != NULL && (pair.name == NULL || strcmp(*name, pair.name) != 0))
            name++;
        if (*name == NULL) {
            reply_problem(request, &PROBLEM_INVALID,
                          "the query has a parameter that is unknown here");
            return false;
        }
    }
    return true;
}

/* ---- headers ---- */

/* The next header of that name after *cursor, or NULL. */
static const h2o_iovec_t *next_header(const struct request *request, const char *name,
                                      size_t *cursor)
{
    const h2o_headers_t *headers = &request->h2o->headers;
    size_t len = strlen(name);
    while (*cursor < headers->size) {
        const h2o_header_t *header = &headers->entries[(*cursor)++];
        if (header->name->len == len && memcmp(header->name->base, name, len) == 0)
            return &header->value;
    }
    return NULL;
}

const char *request_header(struct request *request, const char *name)
{
    size_t cursor = 0;
    const h2o_iovec_t *value = next_header(request, name, &cursor);
    return value != NULL ? copy(request, value->base, value->len) : NULL;
}

const char *request_header_joined(struct request *request, const char *name)
{
    size_t cursor = 0;
    char *joined = NULL;
    const h2o_iovec_t *value;
    while ((value = next_header(request, name, &cursor)) != NULL)
        joined = joined == NULL
                     ? copy(request, value->base, value->len)
                     : request_printf(request, "%s, %.*s", joined, (int)value->len, value->base);
    return joined;
}

static bool is_token68(char c)
{
    return isalnum((unsigned char)c) || (c != '\0' && strchr("-._~+/=", c) != NULL);
}

bool bearer_parse(const char *value, size_t len, const char **token, size_t *token_len)
{
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
        len--;
    if (len >= 7 && strncasecmp(value, "bearer", 6) == 0 && value[6] == ' ') {
        value += 7;
        len -= 7;
        while (len > 0 && value[0] == ' ') {
            value++;
            len--;
        }
    }
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_token68(value[i]))
            return false;
    /* "Bearer" alone is a scheme without a token */
    if (len == 6 && strncasecmp(value, "bearer", 6) == 0)
        return false;
    *token = value;
    *token_len = len;
    return true;
}

const char *request_bearer(struct request *request)
{
    size_t cursor = 0, len;
    const char *token;
    const h2o_iovec_t *value = next_header(request, "authorization", &cursor);
    if (value == NULL || next_header(request, "authorization", &cursor) != NULL ||
        !bearer_parse(value->base, value->len, &token, &len))
        return NULL;
    return copy(request, token, len);
}

/* Several of them are none (W3C Trace Context s3.2). */
void request_read_trace(struct request *request)
{
    size_t cursor = 0;
    const h2o_iovec_t *value = next_header(request, "traceparent", &cursor);
    if (value != NULL && next_header(request, "traceparent", &cursor) == NULL)
        (void)trace_parse(value->base, value->len, &request->trace);
}

/* ---- the body ---- */

const void *request_body(const struct request *request, size_t *len)
{
    *len = request->h2o->entity.len;
    return *len > 0 ? request->h2o->entity.base : "";
}

bool request_body_is_scalar(const struct request *request)
{
    size_t len;
    const char *text = request_body(request, &len);
    json_error_t ignored;
    json_t *value = json_loadb(text, len, JSON_DECODE_ANY, &ignored);
    bool scalar = value != NULL && !json_is_object(value) && !json_is_array(value);
    json_decref(value);
    return scalar;
}

json_t *request_json(struct request *request)
{
    if (request->json != NULL)
        return request->json;
    size_t len;
    const void *body = request_body(request, &len);
    struct sticps_error err = {0};
    json_t *value = strict_json_parse(body, len, STICPS_ERR_USAGE, &err);
    if (value == NULL && !request_body_is_scalar(request)) {
        reply_problem(request, &PROBLEM_NOT_JSON, "the body is not JSON: %s",
                      len > 0 ? err.text : "it is empty");
        return NULL;
    }
    if (!json_is_object(value)) {
        json_decref(value);
        reply_invalid(request, "", "must be a JSON object");
        return NULL;
    }
    request->json = value;
    return value;
}

/* ---- who ---- */

const char *request_client(const struct request *request)
{
    return request->client.text;
}

const void *request_client_key(const struct request *request, size_t *len)
{
    *len = sizeof(request->client.key);
    return &request->client.key;
}

bool request_client_left(const struct request *request)
{
    h2o_socket_t *socket = request->connection->socket;
    if (socket == NULL)
        return true;
    struct pollfd fd = {h2o_socket_get_fd(socket), POLLRDHUP, 0};
    return poll(&fd, 1, 0) > 0;
}

const char *request_id(const struct request *request)
{
    return request->id;
}

struct server_thread *request_thread(const struct request *request)
{
    return request->thread;
}

void *request_state(const struct request *request)
{
    return request->thread->state;
}

void *request_daemon(const struct request *request)
{
    return request->thread->server->options.arg;
}

void request_set_identity(struct request *request, void *identity, void (*free_fn)(void *))
{
    if (request->identity_free != NULL)
        request->identity_free(request->identity);
    request->identity = identity;
    request->identity_free = free_fn;
}

void *request_identity(const struct request *request)
{
    return request->identity;
}

void request_log_user(struct request *request, const char *user)
{
    request->user = copy(request, user, strlen(user));
}

const char *request_client_subject(struct request *request)
{
    return request->connection->subject;
}
