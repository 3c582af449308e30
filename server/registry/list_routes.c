#include "server/registry/list_routes.h"

#include "server/registry/api.h"
#include "server/registry/credential.h"
#include "server/registry/crl_file.h"
#include "server/registry/daemon.h"
#include "server/registry/list_board.h"
#include "server/registry/published_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JWT_TYPE "application/jwt"
#define CRL_TYPE "application/pkix-crl"
#define PEM_TYPE "application/pem-certificate-chain"

/* A list that needs a session must not stay in a shared cache. */
void list_cache_for(struct request *request, const char *rest)
{
    const struct config *config = node_of(request)->daemon->config;
    const char *scope = config->list.is_public == CONFIG_ON ? "public" : "private";

    reply_header(request, "cache-control", request_printf(request, "%s, %s", scope, rest));
}

/* True after it has replied 304. */
static bool not_modified(struct request *request, const char *etag)
{
    reply_header(request, "etag", etag);
    if (!etag_none_match(request_header_joined(request, "if-none-match"), etag))
        return false;
    reply_empty(request, 304);
    return true;
}

/* ---- the session that a list may need ---- */

/* What follows, and for which list. */
struct demand {
    void (*then)(struct request *, enum list_kind kind);
    enum list_kind kind;
};

static void on_session(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);

    if (request != NULL && api_result_ok(request, result)) {
        const char *outcome = db_text(result->rows, 0, 0);

        if (strcmp(outcome, "OK") == 0) {
            const struct demand demand = *(const struct demand *)pending_data(pending);

            demand.then(pending_detach(pending), demand.kind); /* it may wait for something else */
            return;
        }
        api_reply_refusal(request, outcome, db_text(result->rows, 0, 1), 0);
    }
    pending_done(pending);
}

void list_when_allowed(struct request *request, void (*then)(struct request *, enum list_kind),
                       enum list_kind kind)
{
    static const struct db_statement statement = {
        "session_check", "SELECT outcome, detail FROM session_check(" CREDENTIAL ")", 1};
    const char *sid = credential_of(request);

    if (sid == NULL) {
        then(request, kind);
        return;
    }
    struct demand *data = malloc(sizeof(*data));
    if (data == NULL)
        abort();
    *data = (struct demand){then, kind};
    db_query(node_of(request)->pool, &statement, &sid, 0, on_session,
             pending_new(request, 0, data, free));
}

/* ---- the current list ---- */

static void serve(struct request *request, const struct list_form *form, const char *type)
{
    bool gzip =
        form->gzip != NULL && accepts_gzip(request_header_joined(request, "accept-encoding"));

    reply_header(request, "vary", "Accept-Encoding");
    list_cache_for(request, "max-age=60");
    if (not_modified(request, gzip ? form->gzip_etag : form->etag))
        return;
    if (gzip)
        reply_header(request, "content-encoding", "gzip");
    reply_shared(request, 200, type, gzip ? form->gzip : form->plain);
}

static const struct published_list *current(struct request *request, enum list_kind kind)
{
    struct node *node = node_of(request);
    const struct published_list *list = list_board_current(node, kind);

    node_stats_fetch(&node->stats, request_header(request, "user-agent"));
    if (list == NULL && kind == LIST_CA && node->daemon->config->ca_list.directory == NULL)
        reply_problem(request, &PROBLEM_NOT_FOUND, "no list of STI-CAs is published here");
    else if (list == NULL)
        reply_problem(request, &PROBLEM_UNAVAILABLE, "no list has been loaded yet; try again");
    return list;
}

static void serve_bare(struct request *request, enum list_kind kind)
{
    const struct published_list *list = current(request, kind);

    if (list != NULL)
        serve(request, &list->bare, JWT_TYPE);
}

static void serve_envelope(struct request *request, enum list_kind kind)
{
    const struct published_list *list = current(request, kind);

    if (list != NULL)
        serve(request, &list->envelope, "application/json");
}

void cps_list_get_newest(struct request *request)
{
    list_when_allowed(request, serve_bare, LIST_CPS);
}

void cps_list_get_envelope(struct request *request)
{
    list_when_allowed(request, serve_envelope, LIST_CPS);
}

void ca_list_get_newest(struct request *request)
{
    list_when_allowed(request, serve_bare, LIST_CA);
}

void ca_list_get_envelope(struct request *request)
{
    list_when_allowed(request, serve_envelope, LIST_CA);
}

/* ---- earlier lists ---- */

/* 1 to 2^53-1 without leading zeros; 0 for anything else. */
static int64_t parse_sequence(const char *text)
{
    size_t len = strlen(text);

    if (len < 1 || len > 16 || text[0] == '0' || strspn(text, "0123456789") != len)
        return 0;
    return strtoll(text, NULL, 10);
}

static void on_earlier(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);

    if (request != NULL && result->status == DB_OK && PQntuples(result->rows) == 0) {
        reply_problem(request, &PROBLEM_NOT_FOUND, "there is no publication of that number");
    } else if (request != NULL && api_result_ok(request, result)) {
        const char *jws = db_text(result->rows, 0, 1);
        size_t len = strlen(jws);
        char etag[ETAG_SIZE];

        published_list_etag(db_int(result->rows, 0, 0), jws, len, etag);
        list_cache_for(request, "max-age=31536000, immutable");
        if (!not_modified(request, etag))
            reply_bytes(request, 200, JWT_TYPE, jws, len);
    }
    pending_done(pending);
}

static void serve_earlier(struct request *request, enum list_kind kind)
{
    static const struct db_statement statement = {
        "publication_get", "SELECT sequence, jws FROM publication_get($1, $2::bigint)", 2};
    struct node *node = node_of(request);
    const struct published_list *list = list_board_current(node, kind);
    const char *text = request_param(request, "sequence");
    const char *params[] = {list_kind_name(kind), text};
    int64_t sequence = parse_sequence(text);

    if (sequence == 0) {
        reply_problem(request, &PROBLEM_NOT_FOUND, "there is no publication of that number");
    } else if (list != NULL && list->sequence == sequence) {
        list_cache_for(request, "max-age=31536000, immutable");
        if (!not_modified(request, list->bare.etag))
            reply_shared(request, 200, JWT_TYPE, list->bare.plain);
    } else {
        db_query(node->pool, &statement, params, 0, on_earlier,
                 pending_new(request, 0, NULL, NULL));
    }
}

void cps_list_get_earlier(struct request *request)
{
    list_when_allowed(request, serve_earlier, LIST_CPS);
}

void ca_list_get_earlier(struct request *request)
{
    list_when_allowed(request, serve_earlier, LIST_CA);
}

/* ---- certificates ---- */

static void serve_certificate(struct request *request, const char *pem)
{
    reply_header(request, "cache-control", "public, max-age=31536000, immutable");
    reply_bytes(request, 200, PEM_TYPE, pem, strlen(pem));
}

static void on_certificate(const struct db_result *result, void *arg)
{
    struct pending *pending = arg;
    struct request *request = pending_request(pending);

    if (request != NULL && result->status == DB_OK && PQntuples(result->rows) == 0)
        reply_problem(request, &PROBLEM_NOT_FOUND, "there is no such certificate");
    else if (request != NULL && api_result_ok(request, result))
        serve_certificate(request, db_text(result->rows, 0, 0));
    pending_done(pending);
}

/* Our own from memory; those of other nodes and of the past from the database. */
void list_get_certificate(struct request *request)
{
    static const struct db_statement statement = {
        "signer_certificate", "SELECT pem FROM signer_certificate_get($1::integer)", 1};
    const struct node *node = node_of(request);
    const struct signer *signer = node->daemon->signer, *next = node->daemon->next_signer;
    const char *file = request_param(request, "file");
    char id[11];
    int end = 0;

    if (strcmp(file, signer->file_name) == 0) {
        serve_certificate(request, cert_chain_pem(signer->chain));
    } else if (next != NULL && strcmp(file, next->file_name) == 0) {
        serve_certificate(request, cert_chain_pem(next->chain));
    } else if (sscanf(file, "certificateId_%9[0-9].crt%n", id, &end) == 1 && end > 0 &&
               file[end] == '\0' && id[0] != '0') {
        const char *params[] = {id};
        db_query(node->pool, &statement, params, 0, on_certificate,
                 pending_new(request, 0, NULL, NULL));
    } else {
        reply_problem(request, &PROBLEM_NOT_FOUND, "there is no such certificate");
    }
}

/* ---- the CRL ---- */

void list_get_crl(struct request *request)
{
    struct crl_file *file = node_of(request)->daemon->crl;
    char etag[ETAG_SIZE];

    if (file == NULL) {
        reply_problem(request, &PROBLEM_NOT_FOUND, "no CRL is served here");
        return;
    }
    struct shared_bytes *der = crl_file_get(file, etag);
    if (der == NULL) {
        reply_problem(request, &PROBLEM_UNAVAILABLE, "there is no CRL yet; try again");
        return;
    }
    reply_header(request, "cache-control", "public, max-age=60");
    if (!not_modified(request, etag))
        reply_shared(request, 200, CRL_TYPE, der);
    shared_bytes_unref(der);
}
