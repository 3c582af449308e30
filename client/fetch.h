/* Everything that this project asks of an HTTPS server as a client, under the rules of PROTOCOL
 * sections 2 and 4: https only, TLS 1.2 or later with host and peer verified, HTTP/1.1, no
 * redirects, no proxy, no cookies, the address checked after DNS, headers and body bounded, one
 * total deadline. libcurl's multi interface underneath; nothing here ever waits.
 *
 * Called by x5u_cache, list_source, deliver, retrieve and provision. Knows no format: any whole
 * answer, whatever its status, is a success here. */
#ifndef CLIENT_FETCH_H
#define CLIENT_FETCH_H

#include "client/caching.h"
#include "client/loop.h"
#include "client/options.h"
#include "common/error.h"

#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>

struct fetcher;

/* `options` stay the caller's and outlive the fetcher, as does `loop`. */
enum sticps_err fetcher_new(struct loop *loop, const struct sticps_options *options,
                            struct fetcher **out, struct sticps_error *err) STICPS_MUST_CHECK;

/* Adds the roots for TLS that the options give to `store`. False when out of memory. */
bool fetcher_add_roots(const struct fetcher *fetcher, X509_STORE *store);

/* Ends every fetch under way with STICPS_ERR_FETCH and refuses new ones. The loop is stopped. */
void fetcher_close(struct fetcher *fetcher);
void fetcher_free(struct fetcher *fetcher); /* accepts NULL; closed */
bool fetcher_is_closed(struct fetcher *fetcher);

/* Requests, by what they went out on; for statistics. Any thread. */
struct fetch_counts {
    uint64_t connected; /* a connection of their own */
    uint64_t resumed;   /* of these, with an earlier TLS session */
    uint64_t reused;    /* a kept one */
};
struct fetch_counts fetcher_counts(const struct fetcher *fetcher);

/* In a child of the host's process: closes its copies of the sockets, and touches nothing else.
 * Accepts NULL. */
void fetcher_abandon(struct fetcher *fetcher);

struct fetch_request {
    const char *url;        /* https; the caller has checked its form */
    const char *method;     /* NULL: POST with a body, else GET */
    unsigned timeout_ms;    /* total, from name resolution to the last byte */
    unsigned connect_ms;    /* of it, until TLS stands; 0: no bound of its own */
    size_t max_body;        /* bytes, after decompression */
    bool gzip;              /* ask for compression */
    bool private_addresses; /* loopback and private ranges are open (always so with the lab option)
                             */
    bool client_certificate;
    bool anew;                 /* a connection and a TLS handshake of its own */
    const char *if_none_match; /* or NULL */
    const char *bearer;        /* token, or NULL */
    const char *content_type;  /* of `body`; NULL for GET */
    const char *body;          /* sent; copied */
    size_t body_len;
    void (*connected)(void *ctx); /* or NULL. In the loop's thread, inside libcurl: its connection
                                     stands, the request goes out; again when it goes out twice */
    bool *transient; /* or NULL. Set before a callback with a failure: another try may go well */
};

struct fetch_answer {
    int status;
    const char *body; /* NUL-terminated */
    size_t body_len;
    const char *etag; /* as received, printable ASCII, or "" */
    const char *content_type;
    int64_t lifetime; /* seconds it may be cached: 0 not at all, -1 when the server does not say */
    int64_t retry_after; /* seconds, -1 when the server does not say */
    bool wants_bearer;   /* WWW-Authenticate names the scheme Bearer */
    const struct caching *caching;
};

/* Unix seconds, of the server's clock; -1 when it does not say. */
static inline int64_t fetch_answer_date(const struct fetch_answer *answer)
{
    int64_t date = caching_date(answer->caching);
    return date > 0 ? date : -1;
}

/* STICPS_OK with a whole answer; FETCH, ADDRESS or NO_MEMORY with `err` (never NULL). In the loop's
 * thread, once. The answer is borrowed until it returns. */
typedef void fetch_fn(void *ctx, enum sticps_err code, const struct sticps_error *err,
                      const struct fetch_answer *answer);

/* From any thread. On failure (NO_MEMORY, or FETCH once the fetcher is closed) `callback` is not
 * called. */
enum sticps_err fetch_start(struct fetcher *fetcher, const struct fetch_request *request,
                            fetch_fn *callback, void *ctx,
                            struct sticps_error *err) STICPS_MUST_CHECK;

/* STICPS_ERR_FETCH for an answer whose status is not the expected one. */
enum sticps_err fetch_bad_status(struct sticps_error *err, const char *url, int status);

#endif
