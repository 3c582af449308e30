/* The two kinds of list and one published list, ready to be served: the bare JWS and the envelope,
 * each also compressed, with their ETags. Immutable and reference-counted; any thread. Callers:
 * list_board, list_routes. */
#ifndef REGISTRY_PUBLISHED_LIST_H
#define REGISTRY_PUBLISHED_LIST_H

#include "common/error.h"
#include "server/http/reply.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ETAG_SIZE 64

enum list_kind { LIST_CPS, LIST_CA, LIST_KINDS };

/* "cps-list" or "ca-list": in paths, and the kind in the database. */
const char *list_kind_name(enum list_kind kind);

/* One resource: "gzip" is NULL when the plain form is too short to be worth it. */
struct list_form {
    struct shared_bytes *plain, *gzip;
    char etag[ETAG_SIZE], gzip_etag[ETAG_SIZE]; /* strong, with their quotes, all different */
};

struct published_list {
    enum list_kind kind;
    int64_t sequence;
    int64_t exp;               /* Unix seconds */
    struct list_form bare;     /* the JWS and nothing after it */
    struct list_form envelope; /* {"status","message","cpsList" or "caList"} */
    char sha256[65];           /* of the JWS, hexadecimal */
};

/* From what the database holds, and only from that: nothing is served that is not committed. The
 * new list has one reference. */
enum sticps_err published_list_new(enum list_kind kind, int64_t sequence, int64_t exp,
                                   const char *jws, size_t jws_len, struct published_list **out,
                                   struct sticps_error *err) STICPS_MUST_CHECK;
struct published_list *published_list_ref(struct published_list *list);
void published_list_unref(struct published_list *list); /* accepts NULL */

/* "<sequence>-<8 hexadecimal digits of the hash>", with its quotes. */
void published_list_etag(int64_t sequence, const char *jws, size_t jws_len, char out[ETAG_SIZE]);

/* Does this Accept-Encoding (all its lines joined, or NULL) ask for gzip? RFC 9110 s12.5.3, with
 * q=0. */
bool accepts_gzip(const char *accept_encoding);

#endif
