/* sticps doctor: the TLS handshake, with all that is wrong about the server's certificate. */
#include "client/cli/doctor.h"
#include "client/client.h"
#include "common/clock.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SOON (14 * 86400) /* seconds before a certificate's end that it is time to renew it */

/* ---- certificates, for people ---- */

static int64_t unix_time(const ASN1_TIME *time)
{
    struct tm tm;
    return time != NULL && ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : -1;
}

void cert_text(const struct doctor *doctor, const X509 *cert, char *out, size_t size)
{
    char subject[160] = "", issuer[160] = "", text[21];
    int64_t until = unix_time(X509_get0_notAfter(cert));
    X509_NAME_oneline(X509_get_subject_name(cert), subject, sizeof(subject));
    X509_NAME_oneline(X509_get_issuer_name(cert), issuer, sizeof(issuer));
    clock_format(until, text);
    snprintf(out, size, "%s, issued by %s, valid until %s, %lld days", subject, issuer, text,
             (long long)((until - doctor->now) / 86400));
}

void cert_warn(struct doctor *doctor, struct report_step *step, const X509 *cert,
               const char *remedy)
{
    int64_t from = unix_time(X509_get0_notBefore(cert)),
            until = unix_time(X509_get0_notAfter(cert));
    if (from > doctor->now)
        step_warn(step, "NOT_YET_VALID", "Check this machine's clock, or wait.",
                  "it is valid from %lld s ahead", (long long)(from - doctor->now));
    else if (until < doctor->now)
        step_warn(step, "EXPIRED", remedy, "it ended %lld days ago",
                  (long long)((doctor->now - until) / 86400));
    else if (until - doctor->now < SOON)
        step_warn(step, "EXPIRES_SOON", remedy, "it ends in %lld days",
                  (long long)((until - doctor->now) / 86400));
}

/* "DNS:a.example IP:127.0.0.1", cut to what has room. */
static void names_text(const X509 *cert, char *out, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    size_t len = 0;
    snprintf(out, size, "none");
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && len < size; i++) {
        BIO *bio = BIO_new(BIO_s_mem());
        char *text = NULL;
        if (bio != NULL && GENERAL_NAME_print(bio, sk_GENERAL_NAME_value(names, i)) == 1) {
            long text_len = BIO_get_mem_data(bio, &text);
            int n =
                snprintf(out + len, size - len, "%s%.*s", len > 0 ? " " : "", (int)text_len, text);
            len += n > 0 ? (size_t)n : 0;
        }
        BIO_free(bio);
    }
    GENERAL_NAMES_free(names);
}

/* ---- the handshake ---- */

/* Everything that OpenSSL objects to, not only the first. */
struct objections {
    int first; /* X509_V_... */
    bool name, expiry, chain;
    char text[400];
};

static void object(struct objections *to, int error)
{
    const char *kind = "chain";
    if (error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        to->name = true;
        kind = "name";
    } else if (error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_CERT_NOT_YET_VALID) {
        to->expiry = true;
        kind = "expiry";
    } else {
        to->chain = true;
    }
    if (to->first == X509_V_OK)
        to->first = error;
    size_t len = strlen(to->text);
    snprintf(to->text + len, sizeof(to->text) - len, "%s%s: %s", len > 0 ? "; " : "", kind,
             X509_verify_cert_error_string(error));
}

static int on_verify(int ok, X509_STORE_CTX *context)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());
    if (ok == 0)
        object(SSL_get_app_data(ssl), X509_STORE_CTX_get_error(context));
    return 1;
}

/* The roots of every request: libcurl's own and those of --tls-ca. */
static SSL_CTX *context_new(const struct doctor *doctor)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL)
        return NULL;
    const curl_version_info_data *version = curl_version_info(CURLVERSION_NOW);
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    if (version->cainfo != NULL)
        (void)X509_STORE_load_file(store, version->cainfo);
    if (version->capath != NULL)
        (void)X509_STORE_load_path(store, version->capath);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, on_verify);
    if (!fetcher_add_roots(doctor->client->fetcher, store)) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

static SSL *ssl_new(SSL_CTX *context, int fd, const char *host, bool is_name,
                    struct objections *objections)
{
    static const unsigned char http11[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    SSL *ssl = context != NULL ? SSL_new(context) : NULL;
    bool ok = ssl != NULL && SSL_set_app_data(ssl, objections) == 1 && SSL_set_fd(ssl, fd) == 1 &&
              SSL_set_alpn_protos(ssl, http11, sizeof(http11)) == 0;
    if (ok && is_name)
        ok = SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1;
    else if (ok)
        ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    if (ok)
        return ssl;
    SSL_free(ssl);
    return NULL;
}

/* False when it failed or took too long; `why` says how. */
static bool shake_hands(SSL *ssl, int fd, uint64_t deadline, char *why, size_t size)
{
    for (;;) {
        ERR_clear_error();
        int done = SSL_connect(ssl);
        if (done == 1)
            return true;
        int error = SSL_get_error(ssl, done);
        uint64_t now = loop_now();
        struct pollfd fds = {.fd = fd, .events = error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN};
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
            unsigned long code = ERR_peek_error();
            const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
            snprintf(why, size, "%s",
                     reason != NULL ? reason : "the server ends the connection amid the handshake");
            return false;
        }
        if (now >= deadline || poll(&fds, 1, (int)(deadline - now)) == 0) {
            snprintf(why, size, "the handshake does not come to its end in time");
            return false;
        }
    }
}

/* ---- what it means ---- */

static const char *remedy_for(const struct objections *objections)
{
    if (objections->name)
        return "Use the name that the certificate has, or have the server's operator get one for "
               "this name.";
    if (objections->expiry)
        return "Check this machine's clock; if it is right, the server's operator must renew the "
               "certificate.";
    return "Give a private root with --tls-ca; for a public one, the server must send its "
           "intermediate certificates.";
}

static bool tell(struct doctor *doctor, const char *subject, const char *host, const SSL *ssl,
                 const struct objections *objections)
{
    char text[420] = "", names[160] = "";
    X509 *cert = SSL_get1_peer_certificate(ssl);
    if (cert != NULL) {
        cert_text(doctor, cert, text, sizeof(text));
        names_text(cert, names, sizeof(names));
    }
    struct report_step *step = report_add(&doctor->report, subject, "tls", "%s, %s, for %s",
                                          SSL_get_version(ssl), text, names);
    bool refused = objections->first != X509_V_OK;
    if (refused) {
        struct sticps_error err;
        fail(&err, STICPS_ERR_FETCH, host, "a client does not trust the server's certificate: %s",
             objections->text);
        step_fail(step, &err, remedy_for(objections));
    } else if (cert != NULL) {
        cert_warn(doctor, step, cert, "The server's operator renews the certificate.");
    }
    X509_free(cert);
    return !refused;
}

bool tls_look(struct doctor *doctor, const char *subject, int fd, const char *host, bool is_name,
              uint64_t deadline)
{
    struct objections objections = {0};
    struct sticps_error err;
    char why[200] = "";
    bool good = false;
    SSL_CTX *context = context_new(doctor);
    SSL *ssl = ssl_new(context, fd, host, is_name, &objections);
    if (ssl == NULL) {
        fail(&err, STICPS_ERR_NO_MEMORY, host, "TLS cannot start here");
        step_fail(report_add(&doctor->report, subject, "tls", "%s", ""), &err, NULL);
    } else if (!shake_hands(ssl, fd, deadline, why, sizeof(why))) {
        fail(&err, STICPS_ERR_FETCH, host, "no TLS 1.2 or later: %s", why);
        step_fail(report_add(&doctor->report, subject, "tls", "%s", ""), &err,
                  "See that an HTTPS server listens there that speaks TLS 1.2 or 1.3.");
    } else {
        good = tell(doctor, subject, host, ssl, &objections);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    ERR_clear_error();
    return good;
}
