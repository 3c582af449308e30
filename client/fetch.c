#include "client/fetch.h"

#include "client/caching.h"
#include "client/fetch_error.h"
#include "client/sockets.h"
#include "common/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_HEADERS (64 * 1024)

struct fetcher {
    struct loop *loop;
    const struct sticps_options *options;
    STACK_OF(X509) * tls_roots; /* beside the system's */
    CURLSH *share;              /* TLS sessions */
    struct sockets sockets;     /* the loop's thread only */
    pthread_mutex_t share_mutexes[CURL_LOCK_DATA_LAST];

    pthread_mutex_t mutex; /* of the two below */
    bool closed;
    struct fetch *active;
};

struct fetch {
    struct loop_transfer transfer; /* first */
    struct loop_task task;
    struct fetcher *fetcher;
    struct fetch *next, **link; /* in fetcher->active */
    CURL *easy;
    struct curl_slist *headers;
    bool added; /* to the multi handle */
    bool open_private;
    struct fetch_trouble trouble;

    char *body;
    size_t body_len, body_room, body_max;
    size_t headers_len;
    bool has_coding; /* a Content-Encoding was seen */
    char etag[256];
    char content_type[128];
    struct caching caching;

    bool *transient; /* the caller's, or NULL */
    fetch_fn *callback;
    void *ctx;
};

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
static bool codings_are_bounded(struct fetch *fetch, const char *line, size_t len)
{
    size_t value_len;
    const char *value;
    if ((value = header_value(line, len, "Transfer-Encoding", &value_len)) != NULL)
        return value_len == 7 && strncasecmp(value, "chunked", 7) == 0;
    if ((value = header_value(line, len, "Content-Encoding", &value_len)) == NULL)
        return true;
    bool first = !fetch->has_coding;
    fetch->has_coding = true;
    return first && memchr(value, ',', value_len) == NULL;
}

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
    struct fetch *fetch = context;
    size_t len = size * count; /* size is 1 */
    bool status_line = len >= 5 && memcmp(line, "HTTP/", 5) == 0;
    fetch->headers_len += len;
    if (fetch->headers_len > MAX_HEADERS) {
        fetch->trouble.headers_too_large = true;
        return 0;
    }
    if (!status_line && !fetch->trouble.headers_open)
        return len; /* a trailer of a chunked body: nothing in it counts */
    if (!codings_are_bounded(fetch, line, len)) {
        fetch->trouble.codings = true;
        return 0;
    }
    if (status_line) { /* what a 1xx said does not count */
        fetch->etag[0] = fetch->content_type[0] = '\0';
        fetch->caching = (struct caching){0};
    }
    /* libcurl 7.88 takes a connection that closes amid the headers for a whole answer without body
     */
    fetch->trouble.headers_open = strspn(line, "\r\n") < len;
    size_t value_len;
    const char *value;
    if ((value = header_value(line, len, "ETag", &value_len)) != NULL)
        keep_header(fetch->etag, sizeof(fetch->etag), value, value_len);
    else if ((value = header_value(line, len, "Content-Type", &value_len)) != NULL)
        keep_header(fetch->content_type, sizeof(fetch->content_type), value, value_len);
    else
        caching_header(&fetch->caching, line, len);
    return len;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct fetch *fetch = context;
    size_t len = size * count; /* size is 1 */
    if (len > fetch->body_max - fetch->body_len) {
        fetch->trouble.body_too_large = true;
        return 0;
    }
    if (fetch->body_len + len >= fetch->body_room) {
        size_t room = fetch->body_room < 4096 ? 4096 : fetch->body_room;
        while (room <= fetch->body_len + len)
            room *= 2; /* body_max is far below half of SIZE_MAX */
        char *body = realloc(fetch->body, room);
        if (body == NULL) {
            fetch->trouble.no_memory = true;
            return 0;
        }
        fetch->body = body;
        fetch->body_room = room;
    }
    memcpy(fetch->body + fetch->body_len, data, len);
    fetch->body_len += len;
    fetch->body[fetch->body_len] = '\0';
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
    struct fetch *fetch = context;
    if (purpose != CURLSOCKTYPE_IPCXN)
        return CURL_SOCKET_BAD;
    if (sockaddr_is_closed(&address->addr, fetch->open_private)) {
        fetch->trouble.address_closed = true;
        return CURL_SOCKET_BAD;
    }
    int fd = sockets_open(&fetch->fetcher->sockets, address->family, address->socktype,
                          address->protocol);
    fetch->trouble.no_memory = fd < 0 && errno == ENOMEM;
    return fd;
}

/* The connection may have outlived its fetch. */
static int on_close_socket(void *context, curl_socket_t fd)
{
    struct fetcher *fetcher = context;
    return sockets_close(&fetcher->sockets, fd);
}

/* Sees kept connections too: one that sticps_retrieve opened to a private address is not for a
 * certificate that happens to be named on the same host. */
static int on_request(void *context, char *primary_ip, char *local_ip, int primary_port,
                      int local_port)
{
    struct fetch *fetch = context;
    (void)local_ip;
    (void)primary_port;
    (void)local_port;
    unsigned char bytes[16];
    bool closed = true;
    if (inet_pton(AF_INET, primary_ip, bytes) == 1)
        closed = address_is_closed(bytes, 4, fetch->open_private);
    else if (inet_pton(AF_INET6, primary_ip, bytes) == 1)
        closed = address_is_closed(bytes, 16, fetch->open_private);
    fetch->trouble.address_closed = closed;
    return closed ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

bool fetcher_add_roots(const struct fetcher *fetcher, X509_STORE *store)
{
    for (int i = 0; i < sk_X509_num(fetcher->tls_roots); i++)
        if (X509_STORE_add_cert(store, sk_X509_value(fetcher->tls_roots, i)) != 1)
            return false;
    return true;
}

static CURLcode on_tls_context(CURL *easy, void *tls_context, void *context)
{
    (void)easy;
    return fetcher_add_roots(context, SSL_CTX_get_cert_store(tls_context)) ? CURLE_OK
                                                                           : CURLE_OUT_OF_MEMORY;
}

/* ---- one fetch ---- */

static void fetch_free(struct fetch *fetch)
{
    curl_easy_cleanup(fetch->easy);
    curl_slist_free_all(fetch->headers);
    free(fetch->body);
    free(fetch);
}

static void unlink_active(struct fetch *fetch)
{
    pthread_mutex_lock(&fetch->fetcher->mutex);
    *fetch->link = fetch->next;
    if (fetch->next != NULL)
        fetch->next->link = fetch->link;
    pthread_mutex_unlock(&fetch->fetcher->mutex);
}

static void on_done(struct loop_transfer *transfer, CURLcode result)
{
    struct fetch *fetch = (struct fetch *)transfer;
    unlink_active(fetch);
    struct sticps_error err = {0};
    char *url = NULL;
    curl_easy_getinfo(fetch->easy, CURLINFO_EFFECTIVE_URL, &url);
    enum sticps_err code = fetch_error(&err, url, result, &fetch->trouble);
    if (code != STICPS_OK) {
        if (fetch->transient != NULL)
            *fetch->transient = fetch_is_transient(result, &fetch->trouble);
        fetch->callback(fetch->ctx, code, &err, NULL);
    } else {
        long status = 0;
        int64_t now = clock_now(&fetch->fetcher->options->clock);
        curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
        struct fetch_answer answer = {
            .status = (int)status,
            .body = fetch->body != NULL ? fetch->body : "",
            .body_len = fetch->body_len,
            .etag = fetch->etag,
            .content_type = fetch->content_type,
            .lifetime = caching_lifetime(&fetch->caching, now),
            .retry_after = caching_retry_after(&fetch->caching, now),
            .date = fetch->caching.has_date ? fetch->caching.date : -1,
        };
        fetch->callback(fetch->ctx, STICPS_OK, &err, &answer);
    }
    fetch_free(fetch);
}

static void add_to_multi(struct loop_task *task)
{
    struct fetch *fetch = (struct fetch *)((char *)task - offsetof(struct fetch, task));
    if (curl_multi_add_handle(loop_multi(fetch->fetcher->loop), fetch->easy) == CURLM_OK)
        fetch->added = true;
    else
        on_done(&fetch->transfer, CURLE_OUT_OF_MEMORY);
}

static bool add_header(struct fetch *fetch, const char *name, const char *value)
{
    char *line = NULL;
    if (asprintf(&line, "%s: %s", name, value) < 0)
        return false;
    struct curl_slist *headers = curl_slist_append(fetch->headers, line);
    free(line);
    if (headers == NULL)
        return false;
    fetch->headers = headers;
    return true;
}

static bool set_headers(struct fetch *fetch, const struct fetch_request *request)
{
    CURL *easy = fetch->easy;
    bool ok = true;
    if (request->if_none_match != NULL)
        ok = ok && add_header(fetch, "If-None-Match", request->if_none_match);
    if (request->bearer != NULL) {
        char *value = NULL;
        ok = ok && asprintf(&value, "Bearer %s", request->bearer) >= 0;
        ok = ok && add_header(fetch, "Authorization", value);
        free(value);
    }
    if (request->content_type != NULL) {
        ok = ok && add_header(fetch, "Content-Type", request->content_type);
        ok = ok && add_header(fetch, "Expect", ""); /* no 100-continue: it costs a round trip */
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        ok = ok && curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body) == CURLE_OK;
    }
    if (request->method != NULL)
        ok = ok && curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method) == CURLE_OK;
    return ok && curl_easy_setopt(easy, CURLOPT_HTTPHEADER, fetch->headers) == CURLE_OK;
}

static bool set_transport(struct fetch *fetch, const struct fetch_request *request)
{
    CURL *easy = fetch->easy;
    const struct sticps_options *options = fetch->fetcher->options;
    bool ok = curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK &&
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
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(request->connect_ms != 0 ? request->connect_ms : request->timeout_ms));
    curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->max_body);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls_context);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, fetch->fetcher);
    curl_easy_setopt(easy, CURLOPT_SHARE, fetch->fetcher->share);
    /* A machine without a CA bundle works with the roots that the options give. */
    const curl_version_info_data *version = curl_version_info(CURLVERSION_NOW);
    if (version->cainfo == NULL || access(version->cainfo, R_OK) != 0)
        curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    if (request->anew) {
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
        curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    }
    if (request->gzip)
        ok = ok && curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip") == CURLE_OK;
    if (request->client_certificate && options->tls_cert != NULL)
        ok = ok && curl_easy_setopt(easy, CURLOPT_SSLCERT, options->tls_cert) == CURLE_OK &&
             curl_easy_setopt(easy, CURLOPT_SSLKEY, options->tls_key) == CURLE_OK;
    return ok;
}

static void set_callbacks(struct fetch *fetch)
{
    CURL *easy = fetch->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &fetch->transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->trouble.text);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, fetch->fetcher);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, fetch);
}

enum sticps_err fetch_start(struct fetcher *fetcher, const struct fetch_request *request,
                            fetch_fn *callback, void *ctx, struct sticps_error *err)
{
    struct fetch *fetch = calloc(1, sizeof(*fetch));
    if (fetch == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, request->url, "out of memory");
    fetch->transfer.done = on_done;
    fetch->task.run = add_to_multi;
    fetch->fetcher = fetcher;
    fetch->open_private = request->private_addresses || fetcher->options->lab;
    fetch->body_max = request->max_body;
    fetch->trouble.body_max = request->max_body;
    fetch->trouble.timeout_ms = request->timeout_ms;
    fetch->trouble.headers_open = true;
    fetch->transient = request->transient;
    fetch->callback = callback;
    fetch->ctx = ctx;
    fetch->easy = curl_easy_init();
    if (fetch->easy == NULL || !set_transport(fetch, request) || !set_headers(fetch, request)) {
        fetch_free(fetch);
        return fail(err, STICPS_ERR_NO_MEMORY, request->url, "out of memory");
    }
    set_callbacks(fetch);

    pthread_mutex_lock(&fetcher->mutex);
    bool closed = fetcher->closed;
    if (!closed) {
        fetch->next = fetcher->active;
        fetch->link = &fetcher->active;
        if (fetch->next != NULL)
            fetch->next->link = &fetch->next;
        fetcher->active = fetch;
    }
    pthread_mutex_unlock(&fetcher->mutex);
    if (closed) {
        fetch_free(fetch);
        return fail(err, STICPS_ERR_FETCH, request->url, "the client is being closed");
    }
    loop_post(fetcher->loop, &fetch->task);
    return STICPS_OK;
}

/* ---- the fetcher ---- */

static void on_share_lock(CURL *easy, curl_lock_data data, curl_lock_access access_kind,
                          void *context)
{
    struct fetcher *fetcher = context;
    (void)easy;
    (void)access_kind;
    pthread_mutex_lock(&fetcher->share_mutexes[data]);
}

static void on_share_unlock(CURL *easy, curl_lock_data data, void *context)
{
    struct fetcher *fetcher = context;
    (void)easy;
    pthread_mutex_unlock(&fetcher->share_mutexes[data]);
}

/* The options hold only what has parsed before. */
static bool load_tls_roots(struct fetcher *fetcher)
{
    const struct text_list *list = &fetcher->options->tls_cas;
    fetcher->tls_roots = sk_X509_new_null();
    if (fetcher->tls_roots == NULL)
        return false;
    for (size_t i = 0; i < list->len; i++) {
        BIO *bio = BIO_new_mem_buf(list->items[i].data, (int)list->items[i].len);
        if (bio == NULL)
            return false;
        bool pem = strstr(list->items[i].data, "-----BEGIN ") != NULL;
        X509 *root;
        while ((root = pem ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : d2i_X509_bio(bio, NULL)) !=
               NULL) {
            if (sk_X509_push(fetcher->tls_roots, root) == 0) {
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

enum sticps_err fetcher_new(struct loop *loop, const struct sticps_options *options,
                            struct fetcher **out, struct sticps_error *err)
{
    struct fetcher *fetcher = calloc(1, sizeof(*fetcher));
    if (fetcher == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    fetcher->loop = loop;
    fetcher->options = options;
    pthread_mutex_init(&fetcher->mutex, NULL);
    for (size_t i = 0; i < CURL_LOCK_DATA_LAST; i++)
        pthread_mutex_init(&fetcher->share_mutexes[i], NULL);
    fetcher->share = curl_share_init();
    if (fetcher->share == NULL || !load_tls_roots(fetcher)) {
        fetcher_free(fetcher);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    curl_share_setopt(fetcher->share, CURLSHOPT_LOCKFUNC, on_share_lock);
    curl_share_setopt(fetcher->share, CURLSHOPT_UNLOCKFUNC, on_share_unlock);
    curl_share_setopt(fetcher->share, CURLSHOPT_USERDATA, fetcher);
    curl_share_setopt(fetcher->share, CURLSHOPT_SHARE, (long)CURL_LOCK_DATA_SSL_SESSION);
    *out = fetcher;
    return STICPS_OK;
}

bool fetcher_is_closed(struct fetcher *fetcher)
{
    pthread_mutex_lock(&fetcher->mutex);
    bool closed = fetcher->closed;
    pthread_mutex_unlock(&fetcher->mutex);
    return closed;
}

void fetcher_close(struct fetcher *fetcher)
{
    pthread_mutex_lock(&fetcher->mutex);
    fetcher->closed = true; /* first: no task that runs now may post one that points to a fetch */
    pthread_mutex_unlock(&fetcher->mutex);
    loop_run_posted(fetcher->loop); /* tasks that point to fetches */
    pthread_mutex_lock(&fetcher->mutex);
    struct fetch *fetch = fetcher->active;
    pthread_mutex_unlock(&fetcher->mutex);
    while (fetch != NULL) {
        if (fetch->added)
            curl_multi_remove_handle(loop_multi(fetcher->loop), fetch->easy);
        fetch->trouble.closed = true;
        on_done(&fetch->transfer, CURLE_ABORTED_BY_CALLBACK);
        pthread_mutex_lock(&fetcher->mutex);
        fetch = fetcher->active;
        pthread_mutex_unlock(&fetcher->mutex);
    }
}

void fetcher_free(struct fetcher *fetcher)
{
    if (fetcher == NULL)
        return;
    curl_share_cleanup(fetcher->share);
    sockets_clear(&fetcher->sockets);
    sk_X509_pop_free(fetcher->tls_roots, X509_free);
    for (size_t i = 0; i < CURL_LOCK_DATA_LAST; i++)
        pthread_mutex_destroy(&fetcher->share_mutexes[i]);
    pthread_mutex_destroy(&fetcher->mutex);
    free(fetcher);
}

void fetcher_abandon(struct fetcher *fetcher)
{
    if (fetcher != NULL)
        sockets_abandon(&fetcher->sockets);
}
