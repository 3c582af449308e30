/* The TNAuthList certificate extension (RFC 8226 s9), 1.3.6.1.5.5.7.1.26. */
#ifndef COMMON_TNAUTHLIST_H
#define COMMON_TNAUTHLIST_H

#include "common/error.h"
#include "common/spc.h"

#include <openssl/x509.h>
#include <stddef.h>

struct tnauthlist {
    size_t spcs;    /* entries that are a Service Provider Code */
    size_t others;  /* ranges and single numbers */
    struct spc spc; /* the first SPC */
};

/* Parses the DER of the extension's value, all of it. STICPS_ERR_UNSUPPORTED_CREDENTIAL. */
enum sticps_err tnauthlist_parse(const unsigned char *der, size_t len, struct tnauthlist *out,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

/* The extension's value in a certificate (borrowed), or NULL when there is none. */
const ASN1_OCTET_STRING *tnauthlist_find(const X509 *cert);

/* DER of a list with one SPC, for tests and tools. Returns the length; `out` has room for 16 bytes.
 */
size_t tnauthlist_encode_spc(const struct spc *spc, unsigned char *out);

#endif
