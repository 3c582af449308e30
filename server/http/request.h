/* What a handler reads of a request. Texts are NUL-terminated and live as long as the request:
 * until its reply, or until pending_request() gives NULL. On the request's own thread only. */
#ifndef SERVER_HTTP_REQUEST_H
#define SERVER_HTTP_REQUEST_H

#include "common/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct request;
struct route;
struct server_thread;

const char *request_method(const struct request *request); /* "HEAD" stays HEAD */
bool request_is_head(const struct request *request);
/* The raw path without the query, as received. */
const char *request_path(const struct request *request);
/* The same with the query. */
const char *request_target(struct request *request);
/* The authority that the client wrote (Host header), or "". */
const char *request_host(const struct request *request);
const struct route *request_route(const struct request *request);
/* The listener's name. */
const char *request_listener(const struct request *request);

/* A path parameter by its name in the route, decoded. Never NULL for a name in the route. */
const char *request_param(struct request *request, const char *name);

/* A query parameter: form-decoded ('+' is a space), the first of that name. NULL when absent. On
 * broken percent-encoding or a NUL in it, and when the name is there twice: replies 422 INVALID,
 * sets *replied, returns NULL. */
const char *request_query(struct request *request, const char *name, bool *replied);
/* The same for callers that gather faults: does not reply; *fault says what is wrong, NULL when
 * nothing is. */
const char *request_query_find(struct request *request, const char *name, const char **fault);
/* A whole decimal number of [min, max], and nothing beside it? */
bool query_int(const char *text, int64_t min, int64_t max, int64_t *out) STICPS_MUST_CHECK;
/* A query parameter as a decimal integer of [min, max]; `fallback` when absent. False after it has
 * replied 422. */
bool request_query_int(struct request *request, const char *name, int64_t min, int64_t max,
                       int64_t fallback, int64_t *out) STICPS_MUST_CHECK;
/* Refuses query parameters that are not in the NULL-terminated list: false after it has replied
 * 422. */
bool request_query_only(struct request *request, const char *const *names) STICPS_MUST_CHECK;

/* The first header of that name (lower case), or NULL. */
const char *request_header(struct request *request, const char *name);
/* All headers of that name joined by ", " (If-Match, If-None-Match, Accept-Encoding), or NULL. */
const char *request_header_joined(struct request *request, const char *name);

/* The body as received; *len 0 when there is none. Not NUL-terminated. */
const void *request_body(const struct request *request, size_t *len);

/* Is the body JSON, but neither object nor array? strict_json takes only those two, and what is
 * JSON is not to be called none. */
bool request_body_is_scalar(const struct request *request);

/* The body as a JSON object, strict (common/strict_json). Owned by the request. NULL after it has
 * replied: 400 NOT_JSON for what is no JSON, duplicate keys, depth; 422 INVALID for JSON that is no
 * object. */
json_t *request_json(struct request *request);

/* The token of Authorization: "Bearer x" (scheme in any case) or the bare token as STI-PA clients
 * send it. NULL when there is none, when it is empty, has other than token68 characters, or when
 * the header is there twice. */
const char *request_bearer(struct request *request);
/* The same from a header's value; `token` and `*token_len` point into it. For tests. */
bool bearer_parse(const char *value, size_t len, const char **token, size_t *token_len);

/* The client's address as text ("192.0.2.1", "2001:db8::1"; an IPv4-mapped one as IPv4). */
const char *request_client(const struct request *request);
/* What limits count the client under: its address, of IPv6 the /64. As long as the request. */
const void *request_client_key(const struct request *request, size_t *len);
/* Has the client closed its side? h2o 2.2.5 stops reading while a handler works and does not
 * notice; asks the kernel. For answers that must not be lost, after a wait. */
bool request_client_left(const struct request *request);
/* 16 hexadecimal digits; also in the reply (X-Request-Id) and in the logs. */
const char *request_id(const struct request *request);

struct server_thread *request_thread(const struct request *request);
/* server_thread_state(request_thread(request)). */
void *request_state(const struct request *request);
/* server_options.arg. */
void *request_daemon(const struct request *request);

/* What the authenticate hook found out, for the handler: freed by `free_fn` (may be NULL) when the
 * request ends. */
void request_set_identity(struct request *request, void *identity, void (*free_fn)(void *));
void *request_identity(const struct request *request);
/* Who it is, for the access log. Copied. */
void request_log_user(struct request *request, const char *user);

/* The verified TLS client certificate's subject as text, or NULL. */
const char *request_client_subject(struct request *request);

/* Memory that lives as long as the request. Never NULL (the daemon ends on out-of-memory). */
void *request_alloc(struct request *request, size_t size);
char *request_printf(struct request *request, const char *format, ...) STICPS_PRINTF(2, 3);

#endif
