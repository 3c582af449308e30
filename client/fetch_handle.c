#include "client/fetch_handle.h"

#include "common/address.h"
#include "common/url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_HEADERS (64 * 1024)
#define BODY_KEPT (16 * 1024) /* bytes, from one transfer to the next */

/* ---- what the peer sends ---- */

static void keep_header(char *to, size_t room, const char *value, size_t len)
{
    to[0] = '\0';
    if (len >= room)
        return;
    for (size_t i = 0; i < len; i++)
        if (value[i] < 0x20 || value[i] > 0x7e)
            return;
    memcpy(to, value, len);
    to[len] = '\0';
}

/* Each coding that libcurl undoes can multiply the work by a thousand without a byte coming out at
 * the end, all of it in one call that no deadline interrupts. One is enough for anybody; codings of
 * the transfer (libcurl undoes those too, though nobody asked) are none. */
static bool codings_are_bounded(struct fetch_handle *handle, const char *line, size_t len)
{
    size_t value_len;
    const char *value;
    if ((value = header_value(line, len, "Transfer-Encoding", &value_len)) != NULL)
        return value_len == 7 && strncasecmp(value, "chunked", 7) == 0;
    if ((value = header_value(line, len, "Content-Encoding", &value_len)) == NULL)
        return true;
    bool first = !handle->has_coding;
    handle->has_coding = true;
    return first && memchr(value, ',', value_len) == NULL;
}

/* Is the scheme Bearer among these challenges (RFC 9110 s11.6.1)? A scheme stands at the beginning
 * or after a comma. */
static bool is_bearer_challenge(const char *value, size_t len)
{
    static const char scheme[] = "Bearer";
    const char *end = value + len;
    while (value < end) {
        while (value < end && (*value == ' ' || *value == '\t' || *value == ','))
            value++;
        size_t left = (size_t)(end - value), size = sizeof(scheme) - 1;
        if (left >= size && strncasecmp(value, scheme, size) == 0 &&
            (left == size || strchr(" \t,", value[size]) != NULL))
            return true;
        const char *comma = memchr(value, ',', left);
        value = comma != NULL ? comma : end;
    }
    return false;
}

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct fetch_handle *handle = context;
    size_t len = size * count; /* size is 1 */
    bool status_line = len >= 5 && memcmp(line, "HTTP/", 5) == 0;
    handle->headers_len += len;
    if (handle->headers_len > MAX_HEADERS) {
        handle->trouble.headers_too_large = true;
        return 0;
    }
    if (!status_line && !handle->trouble.headers_open)
        return len; /* a trailer of a chunked body: nothing in it counts */
    if (!codings_are_bounded(handle, line, len)) {
        handle->trouble.codings = true;
        return 0;
    }
    if (status_line) { /* what a 1xx said does not count */
        handle->etag[0] = handle->content_type[0] = '\0';
        handle->wants_bearer = false;
        handle->caching = (struct caching){0};
    }
    /* libcurl 7.88 takes a connection that closes amid the headers for a whole answer without body
     */
    handle->trouble.headers_open = strspn(line, "\r\n") < len;
    size_t value_len;
    const char *value;
    if ((value = header_value(line, len, "ETag", &value_len)) != NULL)
        keep_header(handle->etag, sizeof(handle->etag), value, value_len);
    else if ((value = header_value(line, len, "Content-Type", &value_len)) != NULL)
        keep_header(handle->content_type, sizeof(handle->content_type), value, value_len);
    else if ((value = header_value(line, len, "WWW-Authenticate", &value_len)) != NULL)
        handle->wants_bearer = handle->wants_bearer || is_bearer_challenge(value, value_len);
    else
        caching_header(&handle->caching, line, len);
    return len;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct fetch_handle *handle = context;
    size_t len = size * count; /* size is 1 */
    if (len > handle->body_max - handle->body_len) {
        handle->trouble.body_too_large = true;
        return 0;
    }
    if (handle->body_len + len >= handle->body_room) {
        size_t room = handle->body_room < 4096 ? 4096 : handle->body_room;
        while (room <= handle->body_len + len)
            room *= 2; /* body_max is far below half of SIZE_MAX */
        char *body = realloc(handle->body, room);
        if (body == NULL) {
            handle->trouble.no_memory = true;
            return 0;
        }
        handle->body = body;
        handle->body_room = room;
    }
    memcpy(handle->body + handle->body_len, data, len);
    handle->body_len += len;
    handle->body[handle->body_len] = '\0';
    return len;
}

/* ---- whom we talk to ---- */

static bool sockaddr_is_closed(const struct sockaddr *address, bool open_private)
{
    if (address->sa_family == AF_INET)
        return address_is_closed(&((const struct sockaddr_in *)address)->sin_addr, 4, open_private);
    if (address->sa_family == AF_INET6)
        return address_is_closed(&((const struct sockaddr_in6 *)address)->sin6_addr, 16,
                                 open_private);
    return true;
}

/* Sees the address that is about to be connected to, so that what a name resolved to earlier, or
 * for somebody else, does not matter. */
static curl_socket_t on_open_socket(void *context, curlsocktype purpose,
                                    struct curl_sockaddr *address)
{
    struct fetch_handle *handle = context;
    if (purpose != CURLSOCKTYPE_IPCXN)
        return CURL_SOCKET_BAD;
    if (sockaddr_is_closed(&address->addr, handle->open_private)) {
        handle->trouble.address_closed = true;
        return CURL_SOCKET_BAD;
    }
    int fd = sockets_open(&handle->shared->sockets, address->family, address->socktype,
                          address->protocol);
    handle->trouble.no_memory = fd < 0 && errno == ENOMEM;
    return fd;
}

/* The connection may have outlived its fetch. */
static int on_close_socket(void *context, curl_socket_t fd)
{
    struct fetch_shared *shared = context;
    loop_closing(shared->loop, fd);
    return sockets_close(&shared->sockets, fd);
}

static void count_request(struct fetch_handle *handle)
{
    struct fetch_shared *shared = handle->shared;
    const struct curl_tlssessioninfo *tls = NULL;
    long made = 0; /* connections, for this request */
    curl_easy_getinfo(handle->easy, CURLINFO_NUM_CONNECTS, &made);
    curl_easy_getinfo(handle->easy, CURLINFO_TLS_SSL_PTR, &tls);
    bool resumed = made > 0 && tls != NULL && tls->backend == CURLSSLBACKEND_OPENSSL &&
                   tls->internals != NULL && SSL_session_reused(tls->internals) == 1;
    atomic_fetch_add_explicit(made > 0 ? &shared->connected : &shared->reused, 1,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&shared->resumed, resumed, memory_order_relaxed);
}

/* Sees kept connections too: one that sticps_retrieve opened to a private address is not for a
 * certificate that happens to be named on the same host. */
static int on_request(void *context, char *primary_ip, char *local_ip, int primary_port,
                      int local_port)
{
    struct fetch_handle *handle = context;
    (void)local_ip;
    (void)primary_port;
    (void)local_port;
    unsigned char bytes[16];
    bool closed = true;
    if (inet_pton(AF_INET, primary_ip, bytes) == 1)
        closed = address_is_closed(bytes, 4, handle->open_private);
    else if (inet_pton(AF_INET6, primary_ip, bytes) == 1)
        closed = address_is_closed(bytes, 16, handle->open_private);
    handle->trouble.address_closed = closed;
    if (!closed)
        count_request(handle);
    if (!closed && handle->connected != NULL)
        handle->connected(handle->ctx);
    return closed ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static CURLcode on_tls_context(CURL *easy, void *tls_context, void *context)
{
    (void)easy;
    return fetch_shared_add_roots(context, SSL_CTX_get_cert_store(tls_context))
               ? CURLE_OK
               : CURLE_OUT_OF_MEMORY;
}

/* ---- what libcurl is told ---- */

static void drop_headers(struct fetch_handle *handle)
{
    curl_easy_setopt(handle->easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(handle->headers);
    handle->headers = NULL;
    handle->headers_for[0] = '\0';
}

static bool add_header(struct fetch_handle *handle, const char *name, const char *value)
{
    char *line = NULL;
    if (asprintf(&line, "%s: %s", name, value) < 0)
        return false;
    struct curl_slist *headers = curl_slist_append(handle->headers, line);
    free(line);
    if (headers == NULL)
        return false;
    handle->headers = headers;
    return true;
}

/* Most transfers have a Content-Type and nothing of their own: its lines are kept for the next. */
static bool set_headers(struct fetch_handle *handle, const struct fetch_request *request)
{
    const char *type = request->content_type;
    bool ok = true;
    if (request->if_none_match == NULL && request->bearer == NULL && type != NULL &&
        strcmp(handle->headers_for, type) == 0)
        return true;
    drop_headers(handle);
    if (request->if_none_match != NULL)
        ok = ok && add_header(handle, "If-None-Match", request->if_none_match);
    if (request->bearer != NULL) {
        char *value = NULL;
        ok = ok && asprintf(&value, "Bearer %s", request->bearer) >= 0;
        ok = ok && add_header(handle, "Authorization", value);
        free(value);
    } else if (request->if_none_match == NULL && type != NULL &&
               strlen(type) < sizeof(handle->headers_for)) {
        memcpy(handle->headers_for, type, strlen(type) + 1);
    }
    if (type != NULL) {
        ok = ok && add_header(handle, "Content-Type", type);
        ok = ok && add_header(handle, "Expect", ""); /* no 100-continue: it costs a round trip */
    }
    return ok && curl_easy_setopt(handle->easy, CURLOPT_HTTPHEADER, handle->headers) == CURLE_OK;
}

/* Everything that another transfer may have set is set, or taken back. */
static bool set_content(struct fetch_handle *handle, const struct fetch_request *request)
{
    CURL *easy = handle->easy;
    bool ok = set_headers(handle, request);
    if (request->content_type != NULL) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        ok = ok && curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body) == CURLE_OK;
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }
    ok = ok && curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method) == CURLE_OK;
    return ok && curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, request->gzip ? "gzip" : NULL) ==
                     CURLE_OK;
}

/* So is this. */
static bool set_transport(struct fetch_handle *handle, const struct fetch_request *request)
{
    CURL *easy = handle->easy;
    const struct sticps_options *options = handle->shared->options;
    struct url url;
    if (url_parse(request->url, strlen(request->url), &url, NULL) != STICPS_OK ||
        !url_peer_name(&url, handle->peer_name))
        handle->peer_name[0] = '\0'; /* no sessions are kept for it */
    unsigned connect_ms = request->connect_ms != 0 ? request->connect_ms : request->timeout_ms;
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->max_body);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->anew ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, request->anew ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, request->anew ? 0L : 1L);
    bool known = request->client_certificate;
    return curl_easy_setopt(easy, CURLOPT_SSLCERT, known ? options->tls_cert : NULL) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSLKEY, known ? options->tls_key : NULL) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK;
}

/* What is the same for all of them. */
static bool set_for_good(struct fetch_handle *handle, struct loop_transfer *transfer)
{
    CURL *easy = handle->easy;
    bool ok = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_USERAGENT, "sticps/" STICPS_VERSION) == CURLE_OK;
    curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L); /* published byte for byte, used so */
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT,
                     1L); /* the deadline does not wait for the resolver */
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, handle->shared);
    /* A machine without a CA bundle works with the roots that the options give. With one, libcurl
     * reads it for each new connection, 15 ms of the loop's time, unless it has nothing but a file
     * to remember: then once a day. */
    curl_easy_setopt(easy, handle->shared->without_bundle ? CURLOPT_CAINFO : CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, handle->trouble.text);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, handle);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, handle);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, handle);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, handle->shared);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, handle);
    return ok;
}

/* ---- life ---- */

bool fetch_handle_open(struct fetch_handle *handle, struct fetch_shared *shared,
                       struct loop_transfer *transfer)
{
    handle->shared = shared;
    handle->easy = curl_easy_init();
    if (handle->easy != NULL && set_for_good(handle, transfer))
        return true;
    fetch_handle_close(handle);
    return false;
}

bool fetch_handle_set(struct fetch_handle *handle, const struct fetch_request *request)
{
    handle->open_private = request->private_addresses || handle->shared->options->lab;
    handle->body_max = request->max_body;
    handle->connected = request->connected;
    handle->trouble = (struct fetch_trouble){
        .body_max = request->max_body, .timeout_ms = request->timeout_ms, .headers_open = true};
    return set_transport(handle, request) && set_content(handle, request);
}

void fetch_handle_clear(struct fetch_handle *handle)
{
    curl_easy_setopt(handle->easy, CURLOPT_COPYPOSTFIELDS, NULL);
    if (handle->headers_for[0] == '\0')
        drop_headers(handle);
    if (handle->body_room > BODY_KEPT) {
        free(handle->body);
        handle->body = NULL;
        handle->body_room = 0;
    }
    handle->has_coding = handle->wants_bearer = false;
    handle->body_len = handle->headers_len = 0;
    handle->etag[0] = handle->content_type[0] = '\0';
    handle->caching = (struct caching){0};
}

void fetch_handle_close(struct fetch_handle *handle)
{
    curl_easy_cleanup(handle->easy);
    curl_slist_free_all(handle->headers);
    free(handle->body);
}

/* ---- what all share ---- */

/* The options hold only what has parsed before. */
static bool load_tls_roots(struct fetch_shared *shared)
{
    const struct text_list *list = &shared->options->tls_cas;
    shared->tls_roots = sk_X509_new_null();
    if (shared->tls_roots == NULL)
        return false;
    for (size_t i = 0; i < list->len; i++) {
        BIO *bio = BIO_new_mem_buf(list->items[i].data, (int)list->items[i].len);
        if (bio == NULL)
            return false;
        bool pem = strstr(list->items[i].data, "-----BEGIN ") != NULL;
        X509 *root;
        while ((root = pem ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : d2i_X509_bio(bio, NULL)) !=
               NULL) {
            if (sk_X509_push(shared->tls_roots, root) == 0) {
                X509_free(root);
                BIO_free(bio);
                return false;
            }
        }
        BIO_free(bio);
        ERR_clear_error(); /* the end of the text is one to OpenSSL */
    }
    return true;
}

bool fetch_shared_open(struct fetch_shared *shared, struct loop *loop,
                       const struct sticps_options *options)
{
    const char *bundle = curl_version_info(CURLVERSION_NOW)->cainfo;
    shared->loop = loop;
    shared->options = options;
    shared->without_bundle = bundle == NULL || access(bundle, R_OK) != 0;
    return load_tls_roots(shared);
}

void fetch_shared_close(struct fetch_shared *shared)
{
    sockets_clear(&shared->sockets);
    sk_X509_pop_free(shared->tls_roots, X509_free);
}

/* libcurl keeps the store for the next connection, which then has them already: OpenSSL takes a
 * certificate twice for one. */
bool fetch_shared_add_roots(const struct fetch_shared *shared, X509_STORE *store)
{
    for (int i = 0; i < sk_X509_num(shared->tls_roots); i++)
        if (X509_STORE_add_cert(store, sk_X509_value(shared->tls_roots, i)) != 1)
            return false;
    return true;
}
