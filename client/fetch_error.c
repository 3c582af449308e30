#include "client/fetch_error.h"

#include "client/fetch.h"

#include <string.h>

static const char *words(CURLcode result, const struct fetch_trouble *trouble)
{
    return trouble->text[0] != '\0' ? trouble->text : curl_easy_strerror(result);
}

/* What one of our own limits or rules ended. */
static enum sticps_err own_error(struct sticps_error *err, const char *url,
                                 const struct fetch_trouble *trouble)
{
    if (trouble->closed)
        return fail(err, STICPS_ERR_FETCH, url, "the client was closed before the answer came");
    if (trouble->no_memory)
        return fail(err, STICPS_ERR_NO_MEMORY, url, "out of memory");
    if (trouble->headers_too_large)
        return fail(err, STICPS_ERR_FETCH, url, "the server sends more than 64 KiB of headers");
    if (trouble->codings)
        return fail(err, STICPS_ERR_FETCH, url,
                    "the server compresses its answer twice or in the transfer itself, which "
                    "nobody asked for");
    if (trouble->body_too_large)
        return fail(err, STICPS_ERR_FETCH, url,
                    "the server sends more than %zu bytes, the limit for this object",
                    trouble->body_max);
    return STICPS_OK;
}

enum sticps_err fetch_error(struct sticps_error *err, const char *url, CURLcode result,
                            const struct fetch_trouble *trouble)
{
    if (result == CURLE_OK && trouble->headers_open)
        return fail(err, STICPS_ERR_FETCH, url, "the connection ended amid the headers");
    if (result == CURLE_OK)
        return STICPS_OK;
    enum sticps_err code = own_error(err, url, trouble);
    if (code != STICPS_OK)
        return code;

    switch (result) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_ABORTED_BY_CALLBACK:
        if (trouble->address_closed)
            return fail(err, STICPS_ERR_ADDRESS, url,
                        "the host's address is loopback, private or special, where no peer may be; "
                        "only a lab opens these (--lab)");
        return fail(err, STICPS_ERR_FETCH, url, "cannot connect: %s; is the server up?",
                    words(result, trouble));
    case CURLE_COULDNT_RESOLVE_HOST:
        return fail(err, STICPS_ERR_FETCH, url,
                    "the host name cannot be resolved: %s; check the name and the DNS",
                    words(result, trouble));
    case CURLE_OPERATION_TIMEDOUT:
        return fail(err, STICPS_ERR_FETCH, url, "no whole answer within the deadline of %u ms: %s",
                    trouble->timeout_ms, words(result, trouble));
    case CURLE_PEER_FAILED_VERIFICATION:
        return fail(err, STICPS_ERR_FETCH, url,
                    "TLS: the server's certificate is not trusted: %s; a private root is given "
                    "with --tls-ca",
                    words(result, trouble));
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return fail(err, STICPS_ERR_FETCH, url, "TLS: %s", words(result, trouble));
    case CURLE_PARTIAL_FILE:
        return fail(err, STICPS_ERR_FETCH, url, "the answer ended before its announced length: %s",
                    words(result, trouble));
    case CURLE_FILESIZE_EXCEEDED:
        return fail(err, STICPS_ERR_FETCH, url,
                    "the server announces more than %zu bytes, the limit for this object",
                    trouble->body_max);
    case CURLE_BAD_CONTENT_ENCODING:
        return fail(err, STICPS_ERR_FETCH, url, "the answer cannot be decompressed: %s",
                    words(result, trouble));
    case CURLE_OUT_OF_MEMORY: /* libcurl's word, too, for one header line above its own limit */
        return fail(err, STICPS_ERR_FETCH, url,
                    "out of memory, or a header line longer than libcurl takes");
    default:
        return fail(err, STICPS_ERR_FETCH, url, "%s", words(result, trouble));
    }
}

bool fetch_is_transient(CURLcode result, const struct fetch_trouble *trouble)
{
    if (trouble->closed || trouble->no_memory || trouble->headers_too_large || trouble->codings ||
        trouble->body_too_large || trouble->address_closed)
        return false;
    switch (result) {
    case CURLE_OK: /* the headers were not whole */
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return true;
    default:
        return false;
    }
}

enum sticps_err fetch_bad_status(struct sticps_error *err, const char *url, int status)
{
    if (status >= 300 && status < 400)
        return fail(err, STICPS_ERR_FETCH, url,
                    "the server answers with status %d; redirects are not followed, give the "
                    "address they lead to",
                    status);
    return fail(err, STICPS_ERR_FETCH, url, "the server answers with status %d, not 200", status);
}
