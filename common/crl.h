/* Revocation lists (RFC 5280 s5), as an STI-PA publishes one for the certificates of all STI-CAs:
 * an indirect CRL, whose entries name their issuer (PROTOCOL section 5: matched by issuer and
 * serial).
 *
 * A parsed list says what it says; whether it comes from the right signer and is whole is what
 * crl_check tells, for those who did not write it themselves. Callers: cert_path, crl_file, the
 * CPS's revocation, the client's list_source. */
#ifndef COMMON_CRL_H
#define COMMON_CRL_H

#include "common/error.h"

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Immutable and reference-counted. Safe to share between threads. */
struct crl;

/* DER that fills `len` bytes, or one in PEM. `code` is the error to report. The new list has one
 * reference. */
enum sticps_err crl_parse(const void *data, size_t len, enum sticps_err code, struct crl **out,
                          struct sticps_error *err) STICPS_MUST_CHECK;
/* Reads a file of 16 MiB at most and parses it; STICPS_ERR_FILE, the text naming the file. */
enum sticps_err crl_load(const char *path, struct crl **out,
                         struct sticps_error *err) STICPS_MUST_CHECK;
struct crl *crl_ref(struct crl *crl);
void crl_unref(struct crl *crl); /* accepts NULL */

/* Borrowed. */
const unsigned char *crl_der(const struct crl *crl, size_t *len);

/* Unix seconds: the list says nothing about that second and later; INT64_MAX when it does not say.
 */
int64_t crl_next_update(const struct crl *crl);

struct anchors;

/* May the list be relied on at `now` (Unix seconds)? It is signed by one of `signers` (certificates
 * that the caller trusts for this, valid now, with cRLSign where they have a key usage), its
 * nextUpdate is ahead, and it is complete: no delta CRL, and no critical extension but the one that
 * makes it an indirect CRL. `code` is the error to report. */
enum sticps_err crl_check(const struct crl *crl, const struct anchors *signers, int64_t now,
                          enum sticps_err code, struct sticps_error *err) STICPS_MUST_CHECK;
/* The same without a look at nextUpdate: for who passes a list on, late or not. */
enum sticps_err crl_check_signed(const struct crl *crl, const struct anchors *signers, int64_t now,
                                 enum sticps_err code, struct sticps_error *err) STICPS_MUST_CHECK;

/* Is this certificate on the list, under its issuer's name? Those on hold are, those taken off
 * again are not. */
bool crl_revokes(const struct crl *crl, X509 *cert);

#endif
