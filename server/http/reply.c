#include "server/http/internal.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A long answer goes out in pieces, so that a slow reader holds up one piece and not a TLS copy of
 * it all. */
#define PIECE (128 * 1024)

/* ---- headers ---- */

static void add_header(struct request *request, const char *name, const char *value, size_t len)
{
    h2o_add_header_by_str(&request->h2o->pool, &request->h2o->res.headers, name, strlen(name), 1,
                          NULL, value, len);
}

void reply_header(struct request *request, const char *name, const char *value)
{
    h2o_iovec_t text = h2o_strdup(&request->h2o->pool, value, strlen(value));
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.base[i] < 0x20 || text.base[i] == 0x7f)
            text.base[i] = '?'; /* no header of ours may end early */
    if (strcmp(name, "cache-control") == 0)
        request->cache_control_set = true;
    if (strcmp(name, "retry-after") == 0)
        request->retry_after_set = true;
    h2o_set_header_by_str(&request->h2o->pool, &request->h2o->res.headers, name, strlen(name), 1,
                          text.base, text.len, 1);
}

static void add_standard_headers(struct request *request, int status, const char *content_type)
{
    if (content_type != NULL)
        add_header(request, "content-type", content_type, strlen(content_type));
    add_header(request, "x-content-type-options", "nosniff", 7);
    add_header(request, "x-request-id", request->id, 16);
    if (request->trace.id[0] != '\0')
        add_header(request, "traceparent", request->trace.parent, TRACE_PARENT_LEN);
    if (!request->cache_control_set)
        add_header(request, "cache-control", "no-store", 8);
    if ((status == 429 || status == 503) && !request->retry_after_set)
        add_header(request, "retry-after", "1", 1);
}

/* ---- sending ---- */

static void send_piece(struct request *request)
{
    size_t len = request->rest_len < PIECE ? request->rest_len : PIECE;
    h2o_iovec_t piece = h2o_iovec_init(request->rest, len);
    request->rest += len;
    request->rest_len -= len;
    h2o_send(request->h2o, &piece, len > 0 ? 1 : 0,
             request->rest_len > 0 ? H2O_SEND_STATE_IN_PROGRESS : H2O_SEND_STATE_FINAL);
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    (void)req;
    send_piece(H2O_STRUCT_FROM_MEMBER(struct request, generator, generator));
}

/* `body` must live as long as the request: in its pool, or in request->shared. */
static void finish(struct request *request, int status, const char *content_type, const char *body,
                   size_t len)
{
    h2o_req_t *req = request->h2o;
    if (request->replied)
        abort(); /* a handler that answers twice would corrupt the connection */
    request->replied = true;
    bool bare = status == 204 || status == 304;
    req->res.status = status;
    req->res.reason = request->reason != NULL ? request->reason : reply_reason(status);
    req->res.content_length = bare ? SIZE_MAX : len;
    add_standard_headers(request, status, bare ? NULL : content_type);
    request->generator.proceed = on_proceed;
    request->rest = body;
    request->rest_len = bare || request_is_head(request) ? 0 : len;
    h2o_start_response(req, &request->generator);
    send_piece(request);
}

static void finish_copy(struct request *request, int status, const char *content_type,
                        const void *body, size_t len)
{
    finish(request, status, content_type, h2o_strdup(&request->h2o->pool, body, len).base, len);
}

void reply_empty(struct request *request, int status)
{
    finish(request, status, NULL, "", 0);
}

void reply_bytes(struct request *request, int status, const char *content_type, const void *data,
                 size_t len)
{
    finish_copy(request, status, content_type, data, len);
}

void reply_json_text(struct request *request, int status, const char *text, size_t len)
{
    finish_copy(request, status, "application/json", text, len);
}

void reply_json(struct request *request, int status, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (text == NULL)
        abort(); /* out of memory, or not JSON at all */
    finish_copy(request, status, "application/json", text, strlen(text));
    free(text);
}

/* ---- shared bytes ---- */

struct shared_bytes {
    atomic_size_t references;
    size_t len;
    void *data;
};

struct shared_bytes *shared_bytes_adopt(void *data, size_t len)
{
    struct shared_bytes *bytes = malloc(sizeof(*bytes));
    if (bytes == NULL)
        abort();
    atomic_init(&bytes->references, 1);
    bytes->len = len;
    bytes->data = data;
    return bytes;
}

struct shared_bytes *shared_bytes_new(const void *data, size_t len)
{
    void *own = malloc(len > 0 ? len : 1);
    if (own == NULL)
        abort();
    memcpy(own, data, len);
    return shared_bytes_adopt(own, len);
}

struct shared_bytes *shared_bytes_ref(struct shared_bytes *bytes)
{
    atomic_fetch_add_explicit(&bytes->references, 1, memory_order_relaxed);
    return bytes;
}

void shared_bytes_unref(struct shared_bytes *bytes)
{
    if (bytes == NULL ||
        atomic_fetch_sub_explicit(&bytes->references, 1, memory_order_acq_rel) != 1)
        return;
    free(bytes->data);
    free(bytes);
}

const void *shared_bytes_data(const struct shared_bytes *bytes, size_t *len)
{
    *len = bytes->len;
    return bytes->data;
}

void reply_shared(struct request *request, int status, const char *content_type,
                  struct shared_bytes *bytes)
{
    request->shared = shared_bytes_ref(bytes);
    finish(request, status, content_type, bytes->data, bytes->len);
}

/* ---- problems ---- */

static void send_problem(struct request *request, const struct problem *problem, const char *detail,
                         json_t *errors)
{
    if (problem->status == 401)
        reply_header(request, "www-authenticate", "Bearer");
    request->reason = problem_reason(problem);
    char *text = problem_text(problem, detail, errors);
    finish_copy(request, problem->status, "application/problem+json", text, strlen(text));
    free(text);
}

#define FORMAT(detail)                               \
    char detail[1024];                               \
    va_list args;                                    \
    va_start(args, format);                          \
    vsnprintf(detail, sizeof(detail), format, args); \
    va_end(args)

void reply_problem(struct request *request, const struct problem *problem, const char *format, ...)
{
    FORMAT(detail);
    send_problem(request, problem, detail, NULL);
}

void reply_problem_errors(struct request *request, const struct problem *problem, json_t *errors,
                          const char *format, ...)
{
    FORMAT(detail);
    send_problem(request, problem, detail, errors);
}

void reply_invalid(struct request *request, const char *pointer, const char *format, ...)
{
    FORMAT(detail);
    json_t *errors = json_array();
    problem_add(errors, pointer, "%s", detail);
    send_problem(request, &PROBLEM_INVALID, "the body has a wrong value", errors);
}
