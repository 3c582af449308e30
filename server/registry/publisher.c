#include "server/registry/publisher.h"

#include "common/jws.h"
#include "server/db/migrate.h"
#include "server/db/sync.h"
#include "server/http/log.h"
#include "server/http/server.h"
#include "server/http/timer.h"
#include "server/registry/audit_linker.h"
#include "server/registry/ca_sync.h"
#include "server/registry/crl_file.h"
#include "server/registry/daemon.h"
#include "server/registry/list_board.h"
#include "server/registry/publication.h"
#include "server/registry/session.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 3000
#define RETRY_MS 1000      /* connecting, and publishing after a failure */
#define LEADER_LOOK_MS 200 /* a new URL is noticed within this */
#define FOLLOWER_LOOK_MS 1000
#define CA_LOOK_MS 2000 /* at the directory of STI-CAs */
#define HOUSEKEEPING_MS 60000
#define COMPLAIN_AGAIN_MS 60000
#define WARN_BEFORE_S (14 * 86400) /* of a certificate's end */
#define WARN_AGAIN_MS 86400000
#define ADVISORY_LOCK "7238911420251" /* any number that nobody else uses */

/* What the thread knows of one kind of list. */
struct track {
    int64_t sequence, exp, created; /* of the last publication */
    bool ours;                      /* it is signed by our key under our x5u */
    bool changed;                   /* something differs from it, or may */
    uint64_t changed_at;            /* monotonic ms */
    uint64_t next_attempt;          /* monotonic ms; after a failure */
    uint64_t complained_at;
};

/* How often one kind is published, from the configuration. */
struct timing {
    int64_t lifetime, period; /* seconds */
    uint64_t debounce_ms;
};

struct publisher {
    struct daemon *daemon;
    pthread_t thread;
    int stop_fd;
    atomic_bool stopping;
    pthread_mutex_t lock; /* over status */
    struct publisher_status status;

    /* the thread's own */
    struct db_sync *db;
    bool leader;
    struct track tracks[LIST_KINDS];
    uint64_t next_housekeeping, next_warning;
    struct audit_linker linker;
    struct ca_sync cas;
    bool cas_failed; /* the directory could not be taken at the last look */
    uint64_t next_ca_look;
    atomic_bool look_now;
};

/* ---- status ---- */

static void set_database(struct publisher *p, bool up, const char *trouble)
{
    pthread_mutex_lock(&p->lock);
    bool was = p->status.database;
    bool news = strcmp(p->status.database_trouble, trouble) != 0;
    p->status.database = up;
    p->status.leader = p->leader;
    snprintf(p->status.database_trouble, sizeof(p->status.database_trouble), "%s", trouble);
    pthread_mutex_unlock(&p->lock);
    if (up && !was)
        log_info("the database is there");
    else if (!up && (was || news))
        log_warn("no database: %s", trouble);
}

/* Publishing a kind has failed, or works ("" for trouble). Logged when it is new, and once a
 * minute. */
static void set_publishing(struct publisher *p, enum list_kind kind, const char *trouble)
{
    struct track *track = &p->tracks[kind];
    char *said = p->status.trouble[kind];
    uint64_t now = monotonic_ms();

    pthread_mutex_lock(&p->lock);
    bool news = strcmp(said, trouble) != 0;
    snprintf(said, sizeof(p->status.trouble[kind]), "%s", trouble);
    pthread_mutex_unlock(&p->lock);
    if (trouble[0] != '\0' && (news || now >= track->complained_at + COMPLAIN_AGAIN_MS)) {
        log_error("NOTHING NEW IS PUBLISHED, the last %s stays: %s", list_kind_name(kind), trouble);
        track->complained_at = now;
    } else if (trouble[0] == '\0' && news) {
        log_info("publishing the %s works again", list_kind_name(kind));
    }
}

void publisher_status(struct publisher *p, struct publisher_status *out)
{
    pthread_mutex_lock(&p->lock);
    *out = p->status;
    pthread_mutex_unlock(&p->lock);
}

/* ---- the connection ---- */

static void disconnect(struct publisher *p, const char *why)
{
    db_sync_free(p->db); /* gives the advisory lock back */
    p->db = NULL;
    p->leader = false;
    p->linker = (struct audit_linker){0};
    p->cas_failed = false;
    pthread_mutex_lock(&p->lock);
    for (size_t kind = 0; kind < LIST_KINDS; kind++)
        p->status.trouble[kind][0] = '\0'; /* of the leader that this node may be no more */
    pthread_mutex_unlock(&p->lock);
    set_database(p, false, why);
}

/* A query on the live connection. False when the connection was lost or the server refused; then it
 * is closed and everything starts over. The caller clears *result when true. */
static bool ask(struct publisher *p, const char *sql, int params_len, const char *const *params,
                struct db_result *result)
{
    struct sticps_error err = {0};

    if (db_sync_exec(p->db, sql, params_len, params, PUBLICATION_TIMEOUT_MS, result) == DB_OK)
        return true;
    (void)db_sync_fail(result, sql, &err);
    db_sync_clear(result);
    disconnect(p, err.text);
    return false;
}

static bool read_token_key(struct publisher *p)
{
    struct sticps_error err = {0};
    struct db_result result;
    unsigned char key[SESSION_KEY_SIZE];
    size_t len = 0;

    if (!ask(p, "SELECT encode(key, 'hex') FROM token_key", 0, NULL, &result))
        return false;
    bool found =
        PQntuples(result.rows) == 1 &&
        OPENSSL_hexstr2buf_ex(key, sizeof(key), &len, db_text(result.rows, 0, 0), '\0') == 1 &&
        len == sizeof(key);
    db_sync_clear(&result);
    if (found && sessions_set_key(p->daemon->sessions, key, &err) == STICPS_OK) {
        OPENSSL_cleanse(key, sizeof(key));
        return true;
    }
    disconnect(p, "no key for access tokens: run sticps-registryd init");
    return false;
}

/* The server must notice soon when this host is gone, because the advisory lock stays until then.
 */
static const char *const session_setup[] = {
    "SELECT set_config('tcp_keepalives_idle', '5', false), "
    "set_config('tcp_keepalives_interval', '2', false), "
    "set_config('tcp_keepalives_count', '3', false), "
    "set_config('tcp_user_timeout', '10000', false), "
    "set_config('idle_in_transaction_session_timeout', '10000', false)",
    "LISTEN sticps_list",
    "LISTEN sticps_change",
    "LISTEN sticps_publish",
};

/* Puts a certificate where every node can serve it, before anything is signed with its key: from
 * then on it is there for as long as the database. */
static bool publish_certificate(struct publisher *p, const struct signer *signer)
{
    struct db_result result;
    char id[16];

    if (signer == NULL)
        return true;
    snprintf(id, sizeof(id), "%u", signer->id);
    const char *params[] = {id, cert_chain_pem(signer->chain)};
    if (!ask(p, "SELECT signer_certificate_store($1, $2)", 2, params, &result))
        return false;
    if (!db_bool(result.rows, 0, 0))
        log_warn("%s was published before with another chain; clients may hold the old one for a "
                 "year: give the new certificate a new signer.id",
                 signer->file_name);
    db_sync_clear(&result);
    return true;
}

static bool connect_database(struct publisher *p)
{
    const char *url = p->daemon->config->database.url;
    struct sticps_error err = {0};
    struct db_result result;

    if (db_migrate_check(url, &err) != STICPS_OK ||
        db_sync_connect(url, "sticps-registryd publisher", CONNECT_TIMEOUT_MS, &p->db, &err) !=
            STICPS_OK) {
        set_database(p, false, err.text);
        return false;
    }
    for (size_t i = 0; i < sizeof(session_setup) / sizeof(session_setup[0]); i++) {
        if (!ask(p, session_setup[i], 0, NULL, &result))
            return false;
        db_sync_clear(&result);
    }
    return read_token_key(p) && publish_certificate(p, p->daemon->signer) &&
           publish_certificate(p, p->daemon->next_signer);
}

/* ---- lists ---- */

static bool is_ours(const struct publisher *p, const char *jws_text, size_t len)
{
    const struct signer *signer = p->daemon->signer;
    struct sticps_error err;
    struct jws jws;

    if (jws_split(jws_text, len, STICPS_ERR_FORM, &jws, &err) != STICPS_OK)
        return false;
    bool ours = jws_verify(&jws, signer->key, STICPS_ERR_SIGNATURE, &err) == STICPS_OK &&
                strstr((const char *)jws.header, signer->x5u) != NULL;
    jws_clear(&jws);
    return ours;
}

/* Loads the newest committed list and puts it up. */
static bool load_last(struct publisher *p, enum list_kind kind)
{
    const char *params[] = {list_kind_name(kind)};
    struct track *track = &p->tracks[kind];
    struct sticps_error err = {0};
    struct published_list *list = NULL;
    struct db_result result;

    if (!ask(p,
             "SELECT sequence, exp, extract(epoch FROM created_at)::bigint, jws, entries "
             "FROM publication WHERE kind = $1 ORDER BY sequence DESC LIMIT 1",
             1, params, &result))
        return false;
    if (PQntuples(result.rows) == 0) {
        db_sync_clear(&result);
        return true;
    }
    const char *jws = db_text(result.rows, 0, 3);
    size_t len = strlen(jws);
    track->sequence = db_int(result.rows, 0, 0);
    track->exp = db_int(result.rows, 0, 1);
    track->created = db_int(result.rows, 0, 2);
    track->ours = is_ours(p, jws, len);
    enum sticps_err rc =
        published_list_new(kind, track->sequence, track->exp, jws, len, &list, &err);
    if (kind == LIST_CPS) {
        pthread_mutex_lock(&p->lock);
        p->status.sequence = track->sequence;
        p->status.exp = track->exp;
        p->status.created = track->created;
        p->status.entries = db_int(result.rows, 0, 4);
        pthread_mutex_unlock(&p->lock);
    }
    db_sync_clear(&result);
    if (rc != STICPS_OK) {
        disconnect(p, err.text);
        return false;
    }
    list_board_put(p->daemon->board, list);
    published_list_unref(list);
    return true;
}

/* ---- election ---- */

static void note_change(struct track *track, uint64_t since)
{
    if (!track->changed) {
        track->changed = true;
        track->changed_at = since;
    }
}

/* On becoming the leader nothing is known of what happened before, so everything is compared. */
static bool elect(struct publisher *p)
{
    struct db_result result;

    if (p->leader)
        return true;
    if (!ask(p, "SELECT pg_try_advisory_lock(" ADVISORY_LOCK ")", 0, NULL, &result))
        return false;
    p->leader = db_bool(result.rows, 0, 0);
    db_sync_clear(&result);
    if (!p->leader)
        return true;
    log_info("this node publishes the list");
    for (size_t kind = 0; kind < LIST_KINDS; kind++) {
        p->tracks[kind].changed = false;
        note_change(&p->tracks[kind], 0);
    }
    p->cas = (struct ca_sync){""};
    p->next_ca_look = 0;
    return true;
}

/* ---- publishing ---- */

static struct timing timing_of(const struct config *config, enum list_kind kind)
{
    if (kind == LIST_CA)
        return (struct timing){config->ca_list.lifetime, config->ca_list.period, 0};
    return (struct timing){config->list.lifetime, config->list.period, config->list.debounce_ms};
}

/* exp of a list published now: no list outlives its signer's certificate, because clients check the
 * certificate of a list they hold only when they fetch again. */
static int64_t exp_from_now(const struct publisher *p, enum list_kind kind)
{
    int64_t exp = clock_now(p->daemon->clock) + timing_of(p->daemon->config, kind).lifetime;
    int64_t end = cert_chain_not_after(p->daemon->signer->chain);

    return exp < end ? exp : end;
}

/* Why to publish now, or NULL. */
static const char *due(const struct publisher *p, enum list_kind kind, bool requested)
{
    const struct timing timing = timing_of(p->daemon->config, kind);
    const struct track *track = &p->tracks[kind];
    int64_t now = clock_now(p->daemon->clock);

    if (monotonic_ms() < track->next_attempt)
        return NULL;
    if (track->sequence == 0)
        return "first";
    if (!track->ours)
        return "signer";
    if (requested)
        return "request";
    /* A list that lives to the certificate's end needs no other: that one would not live longer. A
     * lifetime that a reload has made shorter is no reason to stop. */
    bool to_the_end = track->exp >= cert_chain_not_after(p->daemon->signer->chain);
    if ((now >= track->created + timing.period || now >= track->exp - timing.lifetime / 2) &&
        (!to_the_end || now >= track->exp))
        return "period";
    if (track->changed && monotonic_ms() >= track->changed_at + timing.debounce_ms)
        return "change";
    return NULL;
}

static bool publish(struct publisher *p, enum list_kind kind, const char *reason)
{
    struct daemon *daemon = p->daemon;
    struct track *track = &p->tracks[kind];
    struct sticps_error err = {0};
    int64_t stored = 0;
    const struct publication_order order = {
        .kind = kind,
        .signer = daemon->signer,
        .rules = &daemon->url_rules,
        .now = clock_now(daemon->clock),
        .exp = exp_from_now(p, kind),
        .reason = reason,
        .only_if_changed = strcmp(reason, "change") == 0,
    };

    track->next_attempt = monotonic_ms() + RETRY_MS; /* unless it works */
    if (cert_chain_not_after(order.signer->chain) <= order.now) {
        set_publishing(p, kind,
                       "the signer's certificate has expired, and no client would take the list: "
                       "renew it under a new signer.id");
        return true;
    }
    enum sticps_err rc = publication_make(p->db, &order, &stored, &err);
    if (rc == STICPS_ERR_FETCH) {
        disconnect(p, err.text);
        return false;
    }
    if (rc != STICPS_OK) {
        set_publishing(p, kind, err.text);
        return true;
    }
    track->next_attempt = 0;
    track->changed = false;
    if (kind != LIST_CA || !p->cas_failed)
        set_publishing(p, kind, "");
    if (stored == 0)
        return true;
    if (!load_last(p, kind))
        return false;
    log_fields(LOG_LEVEL_INFO, "published", LOG_TEXT("list", list_kind_name(kind)),
               LOG_NUMBER("sequence", stored), LOG_NUMBER("exp", track->exp),
               LOG_TEXT("reason", reason));
    return true;
}

static bool keep_house(struct publisher *p)
{
    struct db_result result;

    if (monotonic_ms() < p->next_housekeeping)
        return true;
    p->next_housekeeping = monotonic_ms() + HOUSEKEEPING_MS;
    if (!ask(p, "SELECT housekeeping()", 0, NULL, &result))
        return false;
    db_sync_clear(&result);
    return true;
}

/* Keeps the database's STI-CAs as the directory has them. False when the connection is gone. */
static bool watch_cas(struct publisher *p, const char *directory)
{
    struct sticps_error err = {0};
    enum sticps_err rc = STICPS_OK;
    bool changed = false;

    if (monotonic_ms() < p->next_ca_look && !atomic_exchange(&p->look_now, false))
        return true;
    p->next_ca_look = monotonic_ms() + CA_LOOK_MS;
    if (directory != NULL) /* else a reload may have ended the list of STI-CAs */
        rc = ca_sync_run(&p->cas, p->db, directory, clock_now(p->daemon->clock), &changed, &err);
    if (rc == STICPS_ERR_FETCH) {
        disconnect(p, err.text);
        return false;
    }
    if (rc != STICPS_OK || p->cas_failed)
        set_publishing(p, LIST_CA, rc != STICPS_OK ? err.text : "");
    p->cas_failed = rc != STICPS_OK;
    if (changed)
        note_change(&p->tracks[LIST_CA], monotonic_ms());
    return true;
}

/* A kind's turn: loads what others have published, and publishes what is due. `sequence` is the
 * database's last one. False when the connection is gone. */
static bool attend(struct publisher *p, enum list_kind kind, int64_t sequence, bool requested)
{
    struct track *track = &p->tracks[kind];

    if (sequence < list_board_sequence(p->daemon->board, kind)) {
        set_publishing(p, kind,
                       "the database knows fewer publications than were served: it was put back "
                       "to an earlier state, and its next list would repeat a sequence number");
        return true;
    }
    if (sequence != track->sequence && !load_last(p, kind))
        return false;
    if (!p->leader)
        return true;
    if (kind == LIST_CA) {
        const char *directory = p->daemon->config->ca_list.directory; /* a reload may change it */

        if (!watch_cas(p, directory))
            return false;
        if (directory == NULL)
            return true;
        if (track->sequence == 0 && p->cas.taken[0] == '\0')
            return true; /* there was never a set to publish */
    }
    const char *reason = due(p, kind, requested);
    return reason == NULL || publish(p, kind, reason);
}

/* One look at the database. False when the connection is gone. */
static bool look(struct publisher *p)
{
    struct sticps_error err = {0};
    struct db_result result;

    if (!elect(p) || !ask(p,
                          "SELECT p.sequence, p.requested, p.unpublished, ca.sequence "
                          "FROM list_pending() p, list_state ca WHERE ca.kind = 'ca-list'",
                          0, NULL, &result))
        return false;
    int64_t sequence = db_int(result.rows, 0, 0), ca_sequence = db_int(result.rows, 0, 3);
    bool requested = db_bool(result.rows, 0, 1), unpublished = db_bool(result.rows, 0, 2);
    db_sync_clear(&result);
    set_database(p, true, "");

    if (unpublished)
        note_change(&p->tracks[LIST_CPS], monotonic_ms());
    if (p->leader && audit_linker_step(p->db, &p->linker, &err) != STICPS_OK) {
        disconnect(p, err.text);
        return false;
    }
    if (!attend(p, LIST_CPS, sequence, requested) || !attend(p, LIST_CA, ca_sequence, false))
        return false;
    return !p->leader || keep_house(p);
}

/* ---- the thread ---- */

/* On every node, at the start and once a day. */
static void warn_of_ends(struct publisher *p)
{
    int64_t soon = clock_now(p->daemon->clock) + WARN_BEFORE_S, tls_end;

    if (monotonic_ms() < p->next_warning)
        return;
    p->next_warning = monotonic_ms() + WARN_AGAIN_MS;
    if (cert_chain_not_after(p->daemon->signer->chain) < soon)
        log_warn("the signer's certificate ends within two weeks: renew it under a new signer.id");
    if (server_tls_not_after(p->daemon->server, &tls_end) && tls_end < soon)
        log_warn("the TLS certificate ends within two weeks: renew it and send SIGHUP");
}

static void pause_ms(struct publisher *p, int ms)
{
    struct pollfd fd = {.fd = p->stop_fd, .events = POLLIN};

    poll(&fd, 1, ms);
}

static void wait_for_news(struct publisher *p)
{
    char channel[64], payload[64];
    int ms = p->leader ? LEADER_LOOK_MS : FOLLOWER_LOOK_MS;
    unsigned news = db_sync_wait(p->db, p->stop_fd, ms);

    while (db_sync_notification(p->db, channel, sizeof(channel), payload, sizeof(payload)))
        if (strcmp(channel, "sticps_change") == 0)
            note_change(&p->tracks[LIST_CPS], monotonic_ms());
    if (news & DB_WAIT_LOST)
        disconnect(p, "the connection was lost");
}

static void *run(void *arg)
{
    struct publisher *p = arg;

    while (!atomic_load(&p->stopping)) {
        warn_of_ends(p);
        if (p->daemon->crl != NULL)
            crl_file_refresh(p->daemon->crl, clock_now(p->daemon->clock));
        if (p->db == NULL && !connect_database(p)) {
            pause_ms(p, RETRY_MS);
            continue;
        }
        if (look(p))
            wait_for_news(p);
        else
            pause_ms(p, 100);
    }
    db_sync_free(p->db);
    p->db = NULL;
    return NULL;
}

enum sticps_err publisher_start(struct daemon *daemon, struct publisher **out,
                                struct sticps_error *err)
{
    struct publisher *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    p->daemon = daemon;
    pthread_mutex_init(&p->lock, NULL);
    snprintf(p->status.database_trouble, sizeof(p->status.database_trouble), "not reached yet");
    p->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->stop_fd < 0 || pthread_create(&p->thread, NULL, run, p) != 0) {
        if (p->stop_fd >= 0)
            close(p->stop_fd);
        free(p);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "the publisher's thread cannot be started");
    }
    *out = p;
    return STICPS_OK;
}

void publisher_look(struct publisher *p)
{
    atomic_store(&p->look_now, true);
}

void publisher_stop(struct publisher *p)
{
    if (p == NULL)
        return;
    atomic_store(&p->stopping, true);
    (void)!write(p->stop_fd, &(uint64_t){1}, sizeof(uint64_t));
    pthread_join(p->thread, NULL);
    close(p->stop_fd);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
