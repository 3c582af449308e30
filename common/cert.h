/* Certificates: chains as an x5u yields them, anchors, and the two sets of must-haves - a list
 * signer's (PROTOCOL section 2, rule 4) and an STI certificate's (section 5). */
#ifndef COMMON_CERT_H
#define COMMON_CERT_H

#include "common/crl.h"
#include "common/error.h"
#include "common/spc.h"

#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>

#define CERT_MAX_DEPTH 5           /* certificates in a path, leaf and anchor included */
#define CERT_MAX_BYTES (64 * 1024) /* of one fetched chain */
#define CERT_MAX_COUNT 32          /* certificates in one fetched chain, strangers included */

/* An immutable, reference-counted chain: the leaf first, the others in the order received. Safe to
 * share between threads. */
struct cert_chain;

/* PEM (one or several, text around and between them ignored) or one DER certificate. `code` is the
 * error to report. The new chain has one reference. */
enum sticps_err cert_chain_parse(const void *data, size_t len, enum sticps_err code,
                                 struct cert_chain **out,
                                 struct sticps_error *err) STICPS_MUST_CHECK;
struct cert_chain *cert_chain_ref(struct cert_chain *chain);
void cert_chain_unref(struct cert_chain *chain); /* accepts NULL */

size_t cert_chain_len(const struct cert_chain *chain);    /* 1 to CERT_MAX_COUNT */
X509 *cert_chain_leaf(const struct cert_chain *chain);    /* borrowed */
EVP_PKEY *cert_chain_key(const struct cert_chain *chain); /* borrowed; the leaf's public key */
/* Unix seconds; the chain as received is not to be cached beyond the leaf's. */
int64_t cert_chain_not_after(const struct cert_chain *chain);
/* Unix seconds: the earliest notAfter of all its certificates; INT64_MIN when one is no time. */
int64_t cert_chain_first_end(const struct cert_chain *chain);
/* PEM of the whole chain in the order received, without the text around, NUL-terminated, borrowed.
 */
const char *cert_chain_pem(const struct cert_chain *chain);
/* Reads a file of CERT_MAX_BYTES at most and parses it; STICPS_ERR_FILE. */
enum sticps_err cert_chain_load(const char *path, struct cert_chain **out,
                                struct sticps_error *err) STICPS_MUST_CHECK;

/* Trust anchors: any certificate given counts, an expired one does not. Immutable once shared. */
struct anchors;
/* One reference. */
enum sticps_err anchors_new(struct anchors **out, struct sticps_error *err) STICPS_MUST_CHECK;
/* Adds every certificate of a PEM text (or one DER). `code` is the error to report. */
enum sticps_err anchors_add(struct anchors *anchors, const void *data, size_t len,
                            enum sticps_err code, struct sticps_error *err) STICPS_MUST_CHECK;
/* The same from a file (1 MiB at most); STICPS_ERR_FILE. */
enum sticps_err anchors_add_file(struct anchors *anchors, const char *path,
                                 struct sticps_error *err) STICPS_MUST_CHECK;
size_t anchors_count(const struct anchors *anchors);
X509 *anchors_get(const struct anchors *anchors, size_t index); /* borrowed */
struct anchors *anchors_ref(struct anchors *anchors);
void anchors_free(struct anchors *anchors); /* gives a reference back; accepts NULL */

/* Both checks build a path of at most CERT_MAX_DEPTH certificates from the leaf to an anchor,
 * trying every candidate issuer (strangers and cross-certificates are tolerated), valid at `now`
 * (Unix seconds) throughout, and then demand of the leaf: P-256, key usage present with
 * digitalSignature, not a CA. `valid_until`, when not NULL, receives the earliest notAfter of the
 * path: the answer holds while now < valid_until (or until the anchors change) and may be cached.
 *
 * `crl` (may be NULL) must name no certificate of the path but the anchor, which is trusted by
 * being one.
 *
 * List signer: neither serverAuth nor a TNAuthList. STICPS_ERR_SIGNER. */
enum sticps_err list_signer_check(const struct cert_chain *chain, const struct anchors *anchors,
                                  const struct crl *crl, int64_t now, int64_t *valid_until,
                                  struct sticps_error *err) STICPS_MUST_CHECK;

/* STI certificate: a TNAuthList with exactly one SPC, written to `spc`.
 * STICPS_ERR_UNSUPPORTED_CREDENTIAL. */
enum sticps_err sti_certificate_check(const struct cert_chain *chain, const struct anchors *anchors,
                                      const struct crl *crl, int64_t now, int64_t *valid_until,
                                      struct spc *spc, struct sticps_error *err) STICPS_MUST_CHECK;

/* What is unusual about an STI certificate but no reason to refuse it (common name, policies, TN
 * ranges beside the SPC, absent basic constraints …), one line each, '\n' between, "" when nothing.
 * Caller frees; NULL when out of memory. */
char *sti_certificate_findings(const struct cert_chain *chain);

#endif
