/* One of libcurl's handles, as fetch.c uses it for one transfer after the other: what it is told,
 * and what its callbacks check and keep of what the peer sends. To make one and tell it what never
 * changes costs as much as the transfer itself. Called by fetch.c only; the callbacks run in the
 * loop's thread. */
#ifndef CLIENT_FETCH_HANDLE_H
#define CLIENT_FETCH_HANDLE_H

#include "client/fetch.h"
#include "client/fetch_error.h"
#include "client/sockets.h"
#include "common/url.h"

#include <openssl/x509.h>
#include <stdatomic.h>

/* What all handles of a fetcher share. Zeroed: nothing yet. */
struct fetch_shared {
    struct loop *loop;
    const struct sticps_options *options;
    STACK_OF(X509) * tls_roots;               /* beside the system's */
    bool without_bundle;                      /* this machine has no CA bundle */
    struct sockets sockets;                   /* the loop's thread only */
    atomic_ullong connected, resumed, reused; /* requests: struct fetch_counts */
};

/* False when out of memory; closed in any case. `loop` and `options` outlive it. */
bool fetch_shared_open(struct fetch_shared *shared, struct loop *loop,
                       const struct sticps_options *options) STICPS_MUST_CHECK;
bool fetch_shared_add_roots(const struct fetch_shared *shared, X509_STORE *store); /* the same */
void fetch_shared_close(struct fetch_shared *shared); /* no connection is open any more */

struct fetch_handle {
    struct fetch_shared *shared;
    CURL *easy;
    struct curl_slist *headers;
    char headers_for[40];               /* the Content-Type that is all that they say, or "" */
    char peer_name[URL_PEER_NAME_SIZE]; /* or "" */
    bool open_private;
    void (*connected)(void *ctx); /* of the request, or NULL */
    void *ctx;                    /* its */
    struct fetch_trouble trouble;

    /* of the answer */
    char *body; /* of `body_len` bytes; NUL-terminated when there are any */
    size_t body_len, body_room, body_max;
    size_t headers_len;
    bool has_coding;   /* a Content-Encoding was seen */
    bool wants_bearer; /* a challenge for a bearer token was seen */
    char etag[256];
    char content_type[128];
    struct caching caching;
};

/* `handle` is zeroed; `transfer` is what the loop gets with its end. False when out of memory, and
 * then it is closed. */
bool fetch_handle_open(struct fetch_handle *handle, struct fetch_shared *shared,
                       struct loop_transfer *transfer) STICPS_MUST_CHECK;

/* Makes it ready for a request. False when out of memory. */
bool fetch_handle_set(struct fetch_handle *handle,
                      const struct fetch_request *request) STICPS_MUST_CHECK;

/* Forgets the transfer, what it sent and what it received. */
void fetch_handle_clear(struct fetch_handle *handle);
void fetch_handle_close(struct fetch_handle *handle);

#endif
