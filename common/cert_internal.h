/* What cert_chain.c, cert_anchors.c, cert_path.c and cert_rules.c share. Nobody else includes it.
 */
#ifndef COMMON_CERT_INTERNAL_H
#define COMMON_CERT_INTERNAL_H

#include "common/cert.h"

#include <stdatomic.h>
#include <stdbool.h>

struct cert_chain {
    atomic_uint refs;
    STACK_OF(X509) * certs; /* leaf first */
    int64_t not_after;
    char *pem;
};

struct anchors {
    atomic_uint refs;
    STACK_OF(X509) * certs;
};

/* Appends the certificates of a PEM text or one DER certificate to `certs`, at most `max` and at
 * least one; all or none. Extensions are read once here: OpenSSL does that on first use, under a
 * lock that helps the second thread but not ThreadSanitizer. Between openssl_begin and openssl_end.
 */
enum sticps_err certs_read(const void *data, size_t len, int max, enum sticps_err code,
                           STACK_OF(X509) * certs, struct sticps_error *err) STICPS_MUST_CHECK;

/* Unix seconds; false for a time that is not well formed. */
bool asn1_time_to_unix(const ASN1_TIME *time, int64_t *out);

/* The subject for an error text, cut to `size`. Returns `buf`. */
const char *subject_text(const X509 *cert, char *buf, size_t size);

/* Finds a valid path from the leaf to an anchor (cert.h says which paths count) and the earliest
 * notAfter on it. `crl` may be NULL. `code` is the error to report. Between openssl_begin and
 * openssl_end. */
enum sticps_err path_find(const struct cert_chain *chain, const struct anchors *anchors,
                          const struct crl *crl, int64_t now, enum sticps_err code,
                          int64_t *valid_until, struct sticps_error *err) STICPS_MUST_CHECK;

#endif
