/* The TLS side of a listener: TLS 1.2 and 1.3, ECDHE with AEAD only, no ALPN (HTTP/1.1 needs none),
 * session tickets under keys that live and die with the process. Called by the listener only. */
#ifndef SERVER_HTTP_TLS_H
#define SERVER_HTTP_TLS_H

#include "common/error.h"

#include <openssl/ssl.h>

struct tls_options {
    const char *certificate_file; /* PEM, leaf first, then its chain */
    const char *key_file;         /* PEM, unencrypted */
    const char
        *client_ca_file; /* PEM; clients must show a certificate of these. NULL: none asked */
};

/* A context for new connections. STICPS_ERR_FILE when a file cannot be read, STICPS_ERR_CRYPTO when
 * its content cannot be used or key and certificate do not match; the text names the file. The
 * caller frees *out (SSL_CTX_free). */
enum sticps_err tls_context_new(const struct tls_options *options, SSL_CTX **out,
                                struct sticps_error *err) STICPS_MUST_CHECK;

#endif
