/* Which handler answers a request. A static table per listener, and every refusal that needs no
 * handler: 404 no such path, 405 with Allow, 401 by the listener's authenticate hook, 413, 415, in
 * this order.
 *
 * The raw path decides: no dot segments are resolved, a trailing slash is another path, letters are
 * case-sensitive. A {param} takes one non-empty segment, percent-decoded once; one that decodes to
 * NUL or
 * '/', or whose percent-encoding is broken, is 404. A literal segment wins over a {param}. GET
 * answers HEAD as well; OPTIONS and anything not in the table is 405. */
#ifndef SERVER_HTTP_ROUTER_H
#define SERVER_HTTP_ROUTER_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

struct request;

/* Must lead to exactly one reply_*, at once or through struct pending. */
typedef void request_handler(struct request *request);

#define ROUTE_AUTH 1u          /* the listener's authenticate hook runs first */
#define ROUTE_UNLIMITED 4u     /* does not count as a request of its address (server_tuning) */
#define ROUTE_BODY_OPTIONAL 2u /* a body may be absent, where content_type is set */

struct route {
    const char *method; /* upper case */
    const char *path;   /* "/api/v1/account/{sp}/cps/{spc}", at most ROUTE_MAX_PARAMS params */
    request_handler *handler;
    unsigned flags; /* ROUTE_* */
    /* The media type of the body, lower case ("application/json"), or several, separated by ", ";
     * compared without case, parameters tolerated. Another or none on a non-empty body is 415. An
     * empty body passes: request_json answers 400 for it, other handlers check request_body. NULL:
     * no body belongs here; a non-empty one is 415 with PUT, POST and PATCH, and ignored with the
     * others. */
    const char *content_type;
    size_t body_limit; /* bytes; 0: the listener's. Over it: 413 */
    unsigned role;     /* for the authenticate hook and the handler; not read here */
    const void *arg;   /* for the handler */
};

#define ROUTE_MAX_PARAMS 4

struct route_param {
    const char *name; /* borrowed from the table, name_len long */
    size_t name_len;
    size_t offset, len; /* of the raw segment in the path */
};

struct route_match {
    const struct route *route; /* NULL: no route for this path and method */
    bool path_known;           /* another method of this path exists: 405 */
    size_t params_len;
    struct route_param params[ROUTE_MAX_PARAMS];
};

/* Pure: finds the route. `path` is without the query. */
void router_match(const struct route *routes, size_t routes_len, const char *method,
                  size_t method_len, const char *path, size_t path_len, struct route_match *out);

/* The value of Allow for a path ("GET, HEAD, PUT"), NUL-terminated, cut to fit. */
void router_allow(const struct route *routes, size_t routes_len, const char *path, size_t path_len,
                  char *out, size_t out_size);

/* Decodes one segment: false on broken percent-encoding, NUL, '/' or an empty result. `out` has
 * room for len + 1 bytes and is NUL-terminated. */
bool router_decode_segment(const char *raw, size_t len, char *out);

/* "application/json; charset=utf-8" against "application/json". */
bool router_media_type_is(const char *header, size_t len, const char *expected);
/* The same against each of a list "application/json, text/csv". */
bool router_media_type_among(const char *header, size_t len, const char *list);

/* Goes on with a request whose authenticate hook returned false and has now agreed. On the
 * request's thread. */
void router_continue(struct request *request);

#endif
