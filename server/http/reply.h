/* Answers. Every reply_* but reply_header ends the request: nothing of it may be touched
 * afterwards.
 *
 * Each answer carries X-Content-Type-Options: nosniff, X-Request-Id, and Cache-Control: no-store
 * unless the handler set its own; and the traceparent of the request, if that was valid. The body
 * is left out for HEAD, for 204 and for 304.
 *
 * Errors are problem documents (RFC 9457, PROTOCOL section 3):
 *   {"type":"urn:sticps:problem:not_found","title":"Not Found","status":404,"code":"NOT_FOUND",
 *    "detail":"…","errors":[{"pointer":"/url","detail":"…"}]}
 * `type` is the code in lower case after "urn:sticps:problem:"; `title` is the status's reason. */
#ifndef SERVER_HTTP_REPLY_H
#define SERVER_HTTP_REPLY_H

#include "common/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct request;

struct problem {
    int status;
    const char *code; /* UPPER_SNAKE, stable */
};

extern const struct problem PROBLEM_NOT_JSON;               /* 400 */
extern const struct problem PROBLEM_UNAUTHENTICATED;        /* 401, with WWW-Authenticate: Bearer */
extern const struct problem PROBLEM_FORBIDDEN;              /* 403 */
extern const struct problem PROBLEM_NOT_FOUND;              /* 404 */
extern const struct problem PROBLEM_METHOD_NOT_ALLOWED;     /* 405 */
extern const struct problem PROBLEM_CONFLICT;               /* 409 */
extern const struct problem PROBLEM_PRECONDITION_FAILED;    /* 412 */
extern const struct problem PROBLEM_TOO_LARGE;              /* 413 */
extern const struct problem PROBLEM_UNSUPPORTED_MEDIA_TYPE; /* 415 */
extern const struct problem PROBLEM_INVALID;                /* 422 */
extern const struct problem PROBLEM_TOO_MANY_REQUESTS;      /* 429, Retry-After: 1 unless set */
extern const struct problem PROBLEM_INTERNAL;               /* 500 */
extern const struct problem PROBLEM_UNAVAILABLE;            /* 503, Retry-After: 1 unless set */

/* The reason phrase of a status, those of SIP that a CPS uses (436, 437, 438) included; "Error" for
 * one that is not known. */
const char *reply_reason(int status);
/* The reason phrase and title of a problem: its status's, but "Stale Date" for a PASSporT's 403
 * STALE_DATE (RFC 8224 s6.2.2). */
const char *problem_reason(const struct problem *problem);

/* Adds or replaces a header of the answer to come. `name` lower case, static; `value` is copied.
 * Not for Content-Type, Content-Length, Connection, Date. */
void reply_header(struct request *request, const char *name, const char *value);

/* A problem of a status and code of the caller's own goes through a struct problem of its own. */
void reply_problem(struct request *request, const struct problem *problem, const char *format, ...)
    STICPS_PRINTF(3, 4);
/* The same with "errors": an array of {"pointer","detail"}, which is taken over. */
void reply_problem_errors(struct request *request, const struct problem *problem, json_t *errors,
                          const char *format, ...) STICPS_PRINTF(4, 5);
/* 422 INVALID with one entry in errors: `pointer` is a JSON pointer (RFC 6901), "/url". */
void reply_invalid(struct request *request, const char *pointer, const char *format, ...)
    STICPS_PRINTF(3, 4);
/* Appends {"pointer","detail"} to an array of errors. */
void problem_add(json_t *errors, const char *pointer, const char *format, ...) STICPS_PRINTF(3, 4);
/* The document alone, for tests; `errors` may be NULL and is taken over. The caller frees the text.
 */
char *problem_text(const struct problem *problem, const char *detail, json_t *errors);

/* application/json; `body` is taken over. */
void reply_json(struct request *request, int status, json_t *body);
/* application/json from finished text, which is copied. */
void reply_json_text(struct request *request, int status, const char *text, size_t len);
/* No body: 204, 304, or 200 and 201 with Content-Length 0. */
void reply_empty(struct request *request, int status);
/* Any bytes, copied. `content_type` is static. */
void reply_bytes(struct request *request, int status, const char *content_type, const void *data,
                 size_t len);

/* Bytes that many answers share, e.g. the signed list. Immutable once shared, any thread. */
struct shared_bytes;
/* Copies; one reference. Never NULL. */
struct shared_bytes *shared_bytes_new(const void *data, size_t len);
/* Takes over memory from malloc. */
struct shared_bytes *shared_bytes_adopt(void *data, size_t len);
struct shared_bytes *shared_bytes_ref(struct shared_bytes *bytes);
void shared_bytes_unref(struct shared_bytes *bytes); /* accepts NULL */
const void *shared_bytes_data(const struct shared_bytes *bytes, size_t *len);

/* Sends them without a copy; a reference is held until the answer is out. `content_type` is static.
 */
void reply_shared(struct request *request, int status, const char *content_type,
                  struct shared_bytes *bytes);

/* Does If-None-Match (any list, weak comparison, "*") match this strong ETag (with its quotes)? RFC
 * 9110 s13.1.2. NULL header: false. */
bool etag_none_match(const char *header, const char *etag);
/* If-Match (strong comparison, "*"). `etag` NULL: there is no representation. NULL header: true. */
bool etag_match(const char *header, const char *etag);

#endif
