/* server/http/tls and the TLS side of a listener: versions, client certificates, replacing files.
 */
#include "http_fixture.h"

#include <sys/stat.h>
#include <time.h>

static void subject(struct request *request)
{
    const char *name = request_client_subject(request);
    reply_json(request, 200, json_pack("{s:s}", "subject", name != NULL ? name : "none"));
}

static const struct route routes[] = {
    {.method = "GET", .path = "/subject", .handler = subject},
};
static const struct server_options defaults = {.threads = 2};
static const struct listener_options plain = {.name = "test",
                                              .address = "127.0.0.1:0",
                                              .routes = routes,
                                              .routes_len = sizeof(routes) / sizeof(routes[0])};

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

struct pki {
    char dir[64];
    char cert[80], key[80], other_cert[80], other_key[80], ca[80], client_cert[80], client_key[80];
};

static void write_cert(const char *path, X509 *cert)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    fclose(file);
}

static void write_key(const char *path, EVP_PKEY *key)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
}

static struct pki_spec now_spec(const char *cn, EVP_PKEY *key, const X509 *issuer,
                                EVP_PKEY *issuer_key)
{
    struct pki_spec spec = pki_signer_spec(key, issuer, issuer_key);
    int64_t now = (int64_t)time(NULL) - PKI_NOW;
    spec.cn = cn;
    spec.begins = now - PKI_DAY;
    spec.ends = now + PKI_DAY;
    return spec;
}

static void make_pair(const char *cn, const char *cert_path, const char *key_path,
                      const X509 *issuer, EVP_PKEY *issuer_key)
{
    EVP_PKEY *key = pki_p256();
    struct pki_spec spec = now_spec(cn, key, issuer, issuer_key);
    X509 *cert = pki_make(&spec);
    write_cert(cert_path, cert);
    write_key(key_path, key);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void make_pki(struct pki *pki)
{
    strcpy(pki->dir, "/tmp/sticps-http-XXXXXX");
    assert_non_null(mkdtemp(pki->dir));
    snprintf(pki->cert, sizeof(pki->cert), "%s/cert", pki->dir);
    snprintf(pki->key, sizeof(pki->key), "%s/key", pki->dir);
    snprintf(pki->other_cert, sizeof(pki->other_cert), "%s/cert2", pki->dir);
    snprintf(pki->other_key, sizeof(pki->other_key), "%s/key2", pki->dir);
    snprintf(pki->ca, sizeof(pki->ca), "%s/ca", pki->dir);
    snprintf(pki->client_cert, sizeof(pki->client_cert), "%s/client", pki->dir);
    snprintf(pki->client_key, sizeof(pki->client_key), "%s/clientkey", pki->dir);
    EVP_PKEY *ca_key = pki_p256();
    struct pki_spec spec = now_spec("Client CA", ca_key, NULL, NULL);
    spec.bc = PKI_BC_CA;
    spec.key_usage = "critical,keyCertSign,cRLSign";
    X509 *ca = pki_make(&spec);
    write_cert(pki->ca, ca);
    make_pair("first", pki->cert, pki->key, NULL, NULL);
    make_pair("second", pki->other_cert, pki->other_key, NULL, NULL);
    make_pair("sti-vs-1", pki->client_cert, pki->client_key, ca, ca_key);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
}

static void remove_pki(const struct pki *pki)
{
    const char *const files[] = {pki->cert, pki->key,         pki->other_cert, pki->other_key,
                                 pki->ca,   pki->client_cert, pki->client_key};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        unlink(files[i]);
    rmdir(pki->dir);
}

/* NULL when the handshake fails. */
static struct wire *wire_open_tls(unsigned port, SSL_CTX *ctx)
{
    struct wire *wire = wire_open(port);
    wire->ssl = SSL_new(ctx);
    SSL_set_fd(wire->ssl, wire->fd);
    if (SSL_connect(wire->ssl) == 1)
        return wire;
    wire_close(wire);
    return NULL;
}

static void get_subject(struct wire *wire, const char *expected)
{
    struct answer answer;
    char body[128];
    snprintf(body, sizeof(body), "{\"subject\":\"%s\"}", expected);
    wire_send(wire, GET("/subject"));
    assert_true(wire_receive(wire, &answer, false));
    assert_string_equal(answer.body, body);
    free(answer.body);
}

static void tls_is_1_2_or_better_without_http_2(void **state)
{
    (void)state;
    static const struct {
        int version;
        const char *ciphers; /* of TLS 1.2 */
        bool works;
    } table[] = {
        {TLS1_3_VERSION, NULL, true},
        {TLS1_2_VERSION, NULL, true},
        {TLS1_2_VERSION, "AES128-GCM-SHA256", false},         /* no forward secrecy */
        {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", false}, /* CBC */
        {TLS1_1_VERSION, NULL, false},
    };
    struct pki pki;
    make_pki(&pki);
    struct tls_options tls = {.certificate_file = pki.cert, .key_file = pki.key};
    struct listener_options options = plain;
    options.tls = &tls;
    struct fixture fixture;
    fixture_start(&fixture, &defaults, &options);
    unsigned port = listener_port(fixture.listener);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_security_level(ctx, 0);
        SSL_CTX_set_min_proto_version(ctx, table[i].version);
        SSL_CTX_set_max_proto_version(ctx, table[i].version);
        SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x02h2\x08http/1.1", 12);
        if (table[i].ciphers != NULL)
            assert_int_equal(SSL_CTX_set_cipher_list(ctx, table[i].ciphers), 1);
        struct wire *wire = wire_open_tls(port, ctx);
        assert_int_equal(wire != NULL, table[i].works);
        if (wire != NULL) {
            const unsigned char *protocol;
            unsigned len;
            SSL_get0_alpn_selected(wire->ssl, &protocol, &len);
            assert_int_equal(len, 0);
            get_subject(wire, "none");
            get_subject(wire, "none");
            wire_close(wire);
        }
        SSL_CTX_free(ctx);
    }
    /* not TLS at all */
    struct wire *wire = wire_open(port);
    wire_send(wire, GET("/subject"));
    struct answer answer;
    assert_false(wire_receive(wire, &answer, false));
    wire_close(wire);
    fixture_stop(&fixture);
    remove_pki(&pki);
}

static void mutual_tls_names_the_client(void **state)
{
    (void)state;
    struct pki pki;
    make_pki(&pki);
    struct tls_options tls = {
        .certificate_file = pki.cert, .key_file = pki.key, .client_ca_file = pki.ca};
    struct listener_options options = plain;
    options.tls = &tls;
    struct fixture fixture;
    fixture_start(&fixture, &defaults, &options);
    unsigned port = listener_port(fixture.listener);

    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_use_certificate_file(ctx, pki.client_cert, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, pki.client_key, SSL_FILETYPE_PEM), 1);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX_set_max_proto_version(ctx, version);
        struct wire *wire = wire_open_tls(port, ctx);
        assert_non_null(wire);
        get_subject(wire, "CN=sti-vs-1");
        wire_close(wire);
    }
    SSL_CTX_free(ctx);

    /* none, and one of another issuer: under TLS 1.3 the client learns it with its first read */
    for (int i = 0; i < 2; i++) {
        ctx = SSL_CTX_new(TLS_client_method());
        if (i == 1) {
            SSL_CTX_use_certificate_file(ctx, pki.other_cert, SSL_FILETYPE_PEM);
            SSL_CTX_use_PrivateKey_file(ctx, pki.other_key, SSL_FILETYPE_PEM);
        }
        struct wire *wire = wire_open_tls(port, ctx);
        if (wire != NULL) {
            struct answer answer;
            (void)wire_try_send(wire, GET("/subject"), strlen(GET("/subject")));
            assert_false(wire_receive(wire, &answer, false));
            wire_close(wire);
        }
        SSL_CTX_free(ctx);
    }
    fixture_stop(&fixture);
    remove_pki(&pki);
}

static void served_name(unsigned port, char *out, size_t size)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    struct wire *wire = wire_open_tls(port, ctx);
    assert_non_null(wire);
    X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(wire->ssl)),
                              NID_commonName, out, (int)size);
    wire_close(wire);
    SSL_CTX_free(ctx);
}

static void certificates_are_replaced_while_serving(void **state)
{
    (void)state;
    struct pki pki;
    char name[32];
    struct sticps_error err = {0};
    make_pki(&pki);
    struct tls_options tls = {.certificate_file = pki.cert, .key_file = pki.key};
    struct listener_options options = plain;
    options.tls = &tls;
    struct fixture fixture;
    fixture_start(&fixture, &defaults, &options);
    unsigned port = listener_port(fixture.listener);
    served_name(port, name, sizeof(name));
    assert_string_equal(name, "first");
    /* half a replacement is refused and changes nothing */
    assert_int_equal(rename(pki.other_cert, pki.cert), 0);
    assert_int_equal(server_reload_tls(fixture.server, &err), STICPS_ERR_CRYPTO);
    assert_string_equal(err.where, pki.key);
    served_name(port, name, sizeof(name));
    assert_string_equal(name, "first");
    assert_int_equal(rename(pki.other_key, pki.key), 0);
    assert_int_equal(server_reload_tls(fixture.server, &err), STICPS_OK);
    served_name(port, name, sizeof(name));
    assert_string_equal(name, "second");
    fixture_stop(&fixture);
    remove_pki(&pki);
}

static void bad_tls_files_are_named(void **state)
{
    (void)state;
    struct pki pki;
    make_pki(&pki);
    const struct {
        struct tls_options options;
        enum sticps_err code;
        const char *where;
    } table[] = {
        {{pki.cert, "/nonexistent", NULL}, STICPS_ERR_FILE, "/nonexistent"},
        {{"/nonexistent", pki.key, NULL}, STICPS_ERR_FILE, "/nonexistent"},
        {{pki.cert, pki.key, "/nonexistent"}, STICPS_ERR_FILE, "/nonexistent"},
        {{pki.key, pki.key, NULL}, STICPS_ERR_CRYPTO, pki.key},
        {{pki.cert, pki.cert, NULL}, STICPS_ERR_CRYPTO, pki.cert},
        {{pki.cert, pki.other_key, NULL}, STICPS_ERR_CRYPTO, pki.other_key},
        {{pki.cert, pki.key, pki.key}, STICPS_ERR_CRYPTO, pki.key},
        {{pki.cert, NULL, NULL}, STICPS_ERR_USAGE, "tls"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        SSL_CTX *ctx = NULL;
        struct sticps_error err = {0};
        assert_int_equal(tls_context_new(&table[i].options, &ctx, &err), table[i].code);
        assert_null(ctx);
        assert_string_equal(err.where, table[i].where);
        assert_true(err.text[0] != '\0');
    }
    remove_pki(&pki);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_is_1_2_or_better_without_http_2),
        cmocka_unit_test(mutual_tls_names_the_client),
        cmocka_unit_test(certificates_are_replaced_while_serving),
        cmocka_unit_test(bad_tls_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
