#include "server/http/tls.h"

#include "common/error.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* OpenSSL's own words for the last failure; the queue is left empty. */
static const char *openssl_reason(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return reason != NULL ? reason : "no reason given";
}

static enum sticps_err check_readable(const char *path, const char *what, struct sticps_error *err)
{
    if (access(path, R_OK) != 0)
        return fail(err, STICPS_ERR_FILE, path, "the %s file cannot be read: %s", what,
                    strerror(errno));
    return STICPS_OK;
}

static enum sticps_err use_certificate(SSL_CTX *ctx, const struct tls_options *options,
                                       struct sticps_error *err)
{
    enum sticps_err code;
    if (options->certificate_file == NULL || options->key_file == NULL)
        return fail(err, STICPS_ERR_USAGE, "tls", "a listener needs a certificate and a key file");
    if ((code = check_readable(options->certificate_file, "certificate", err)) != STICPS_OK ||
        (code = check_readable(options->key_file, "key", err)) != STICPS_OK)
        return code;
    if (SSL_CTX_use_certificate_chain_file(ctx, options->certificate_file) != 1)
        return fail(err, STICPS_ERR_CRYPTO, options->certificate_file,
                    "is not a PEM certificate chain, leaf first: %s", openssl_reason());
    /* Checks key and certificate against each other by itself, hence the second question. */
    if (SSL_CTX_use_PrivateKey_file(ctx, options->key_file, SSL_FILETYPE_PEM) != 1) {
        unsigned long last = ERR_peek_last_error();
        bool mismatch = ERR_GET_LIB(last) == ERR_LIB_X509;
        if (mismatch)
            return fail(err, STICPS_ERR_CRYPTO, options->key_file,
                        "does not belong to the certificate in %s: %s", options->certificate_file,
                        openssl_reason());
        return fail(err, STICPS_ERR_CRYPTO, options->key_file,
                    "is not an unencrypted PEM private key: %s", openssl_reason());
    }
    if (SSL_CTX_check_private_key(ctx) != 1)
        return fail(err, STICPS_ERR_CRYPTO, options->key_file,
                    "does not belong to the certificate in %s: %s", options->certificate_file,
                    openssl_reason());
    return STICPS_OK;
}

/* Clients must show a certificate. Without tickets and sessions every connection is verified anew,
 * so that a CA taken out by a reload is out. */
static enum sticps_err demand_client(SSL_CTX *ctx, const char *ca_file, struct sticps_error *err)
{
    enum sticps_err code = check_readable(ca_file, "client CA", err);
    if (code != STICPS_OK)
        return code;
    STACK_OF(X509_NAME) *names = NULL;
    if (SSL_CTX_load_verify_file(ctx, ca_file) != 1 ||
        (names = SSL_load_client_CA_file(ca_file)) == NULL)
        return fail(err, STICPS_ERR_CRYPTO, ca_file, "holds no usable PEM certificate: %s",
                    openssl_reason());
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(ctx, 0);
    return STICPS_OK;
}

enum sticps_err tls_context_new(const struct tls_options *options, SSL_CTX **out,
                                struct sticps_error *err)
{
    enum sticps_err code = STICPS_ERR_CRYPTO;
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
        SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") != 1) {
        fail(err, code, "tls", "OpenSSL does not work: %s", openssl_reason());
        goto cleanup;
    }
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_NO_RENEGOTIATION | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    /* Resumption is by tickets, whose keys OpenSSL makes at random for each context. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"sticps", 6);
    SSL_CTX_set_timeout(ctx, 7200);

    if ((code = use_certificate(ctx, options, err)) != STICPS_OK)
        goto cleanup;
    if (options->client_ca_file != NULL &&
        (code = demand_client(ctx, options->client_ca_file, err)) != STICPS_OK)
        goto cleanup;
    *out = ctx;
    ctx = NULL;
    code = STICPS_OK;
cleanup:
    SSL_CTX_free(ctx);
    return code;
}
