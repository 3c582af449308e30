#include "server/registry/publisher.h"

#include "common/jws.h"
#include "server/http/log.h"
#include "server/http/server.h"
#include "server/http/timer.h"
#include "server/registry/crl_file.h"
#include "server/registry/daemon.h"
#include "server/registry/floor_check.h"
#include "server/registry/list_board.h"
#include "server/registry/publication.h"
#include "server/registry/publisher_internal.h"
#include "server/registry/sequence_floor.h"
#include "server/registry/witness.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RETRY_MS 1000      /* connecting, and publishing after a failure */
#define LEADER_LOOK_MS 200 /* a new URL is noticed within this */
#define FOLLOWER_LOOK_MS 1000
#define HELD_LOOK_MS 500 /* more before entries that wait are looked at while the brake holds */
#define CA_LOOK_MS 2000  /* at the directory of STI-CAs */
#define HOUSEKEEPING_MS 60000
#define WARN_BEFORE_S (14 * 86400) /* of a certificate's end */
#define WARN_AGAIN_MS 86400000

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

/* For the brake, so that the next publication need not read it; if it cannot be read here, that one
 * will say so. */
static void keep_content(struct publisher *p, enum list_kind kind, const char *jws, size_t len)
{
    struct track *track = &p->tracks[kind];
    struct list_content *content = NULL;
    struct sticps_error ignored;

    if (p->leader && list_content_parse(kind, jws, len, &content, &ignored) != STICPS_OK)
        content = NULL;
    list_content_free(track->last);
    track->last = content;
}

static bool below_floor(struct publisher *p, const struct published_list *list)
{
    struct floor_mark marks[FLOOR_SOURCES];
    size_t len = sequence_floor_marks(p->daemon->floor, list->kind, marks);

    for (size_t i = 0; i < len; i++)
        if (list->sequence < marks[i].sequence)
            return true;
    return false;
}

/* Loads the newest committed list and puts it up. */
static bool load_last(struct publisher *p, enum list_kind kind)
{
    const char *params[] = {list_kind_name(kind)};
    struct track *track = &p->tracks[kind];
    struct sticps_error err = {0};
    struct published_list *list = NULL;
    struct db_result result;

    if (!publisher_ask(p,
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
    if (rc != STICPS_OK) {
        db_sync_clear(&result);
        publisher_disconnect(p, err.text);
        return false;
    }
    if (!below_floor(p, list)) { /* as it may be after a raise, until the next publication */
        sequence_floor_keep(p->daemon->floor, list);
        list_board_put(p->daemon->board, list);
    }
    published_list_unref(list);
    keep_content(p, kind, jws, len);
    db_sync_clear(&result);
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
    struct sticps_error err = {0};

    if (lease_step(p->db, &p->lease, monotonic_ms(), &err) != STICPS_OK) {
        publisher_disconnect(p, err.text);
        return false;
    }
    bool was = p->leader;
    if (was && p->lease.term == 0) {
        log_warn("another node has taken over: this one was not heard of for too long");
        publisher_resign(p);
    }
    p->leader = p->lease.term != 0;
    if (was || !p->leader)
        return true;
    log_fields(LOG_LEVEL_INFO, "this node publishes the list", LOG_NUMBER("term", p->lease.term));
    for (size_t kind = 0; kind < LIST_KINDS; kind++) {
        p->tracks[kind].changed = false;
        note_change(&p->tracks[kind], 0);
    }
    p->cas = (struct ca_sync){""};
    p->next_ca_look = 0;
    return true;
}

/* ---- publishing ---- */

static bool publish(struct publisher *p, enum list_kind kind, const char *reason)
{
    struct daemon *daemon = p->daemon;
    const struct config *config = daemon->config;
    struct track *track = &p->tracks[kind];
    struct sticps_error err = {0};
    struct publication_done done = {0};
    const struct publication_order order = {
        .kind = kind,
        .floor = daemon->floor,
        .term = p->lease.term,
        .signer = daemon->signer,
        .rules = &daemon->url_rules,
        .now = clock_now(daemon->clock),
        .exp = publisher_exp(p, kind),
        .reason = reason,
        .only_if_changed = strcmp(reason, "change") == 0,
        .brake = kind == LIST_CA ? &config->ca_list.brake : &config->list.brake,
        .last = track->last,
        .keep_alive = strcmp(reason, "period") == 0 || strcmp(reason, "signer") == 0,
    };

    track->next_attempt = monotonic_ms() + RETRY_MS; /* unless it works */
    if (cert_chain_not_after(order.signer->chain) <= order.now) {
        publisher_set_trouble(
            p, kind,
            "the signer's certificate has expired, and no client would take the list: "
            "renew it under a new signer.id");
        return true;
    }
    enum sticps_err rc = publication_make(p->db, &order, &done, &err);
    if (rc == STICPS_ERR_FETCH) {
        publisher_disconnect(p, err.text);
        return false;
    }
    if (rc != STICPS_OK) {
        publisher_set_trouble(p, kind, err.text);
        return true;
    }
    if (done.sequence < 0)
        return true; /* the next look finds out who leads */
    track->next_attempt = 0;
    track->changed = false;
    if (kind != LIST_CA || !p->cas_failed)
        publisher_set_trouble(p, kind, "");
    if (done.sequence == 0)
        return true;
    if (!load_last(p, kind))
        return false;
    log_fields(LOG_LEVEL_INFO, "published", LOG_TEXT("list", list_kind_name(kind)),
               LOG_NUMBER("sequence", done.sequence), LOG_NUMBER("exp", track->exp),
               LOG_TEXT("reason", done.held.lost > 0 ? "held" : reason),
               LOG_NUMBER("build_us", done.build_us));
    return true;
}

static bool keep_house(struct publisher *p)
{
    struct db_result result;

    if (monotonic_ms() < p->next_housekeeping)
        return true;
    p->next_housekeeping = monotonic_ms() + HOUSEKEEPING_MS;
    if (!publisher_ask(p, "SELECT housekeeping()", 0, NULL, &result))
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
        rc = ca_sync_run(&p->cas, p->db, p->lease.term, directory, clock_now(p->daemon->clock),
                         &changed, &err);
    if (rc == STICPS_ERR_FETCH) {
        publisher_disconnect(p, err.text);
        return false;
    }
    if (rc != STICPS_OK || p->cas_failed)
        publisher_set_trouble(p, LIST_CA, rc != STICPS_OK ? err.text : "");
    p->cas_failed = rc != STICPS_OK;
    if (changed)
        note_change(&p->tracks[LIST_CA], monotonic_ms());
    return true;
}

/* Is the database as far as what was seen? False when the connection is gone. */
static bool look_at_floor(struct publisher *p, enum list_kind kind)
{
    struct track *track = &p->tracks[kind];
    struct sticps_error err = {0};
    enum sticps_err rc = floor_check(p->db, p->daemon->floor, kind, &err);

    if (rc == STICPS_ERR_FETCH) {
        publisher_disconnect(p, err.text);
        return false;
    }
    if (rc != STICPS_OK || track->floored)
        publisher_set_trouble(p, kind, rc != STICPS_OK ? err.text : "");
    track->floored = rc != STICPS_OK;
    return true;
}

/* A kind's turn: loads what others have published, and publishes what is due. `sequence` is the
 * database's last one. False when the connection is gone. */
static bool attend(struct publisher *p, enum list_kind kind, int64_t sequence, bool requested)
{
    struct track *track = &p->tracks[kind];

    if (!look_at_floor(p, kind))
        return false;
    if (track->floored)
        return true; /* what was served stays; nothing of this database is */
    if (sequence != track->sequence && !load_last(p, kind))
        return false;
    if (!p->leader || !witness_asked(p->daemon->witness))
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
    /* a sequence that was raised wants a list of its own at once */
    const char *reason = publisher_due(p, kind, requested || sequence > track->sequence);
    return reason == NULL || publish(p, kind, reason);
}

/* What the database says of one kind, now. */
struct news {
    int64_t sequence;
    bool requested, unpublished;
    struct list_loss held;
};

static bool read_news(struct publisher *p, struct news news[LIST_KINDS])
{
    struct db_result result;

    if (!publisher_ask(p,
                       "SELECT kind, sequence, requested, unpublished, held_confirm, held_lost, "
                       "held_of FROM list_pending()",
                       0, NULL, &result))
        return false;
    for (int row = 0; row < PQntuples(result.rows); row++) {
        bool is_ca = strcmp(db_text(result.rows, row, 0), list_kind_name(LIST_CA)) == 0;
        struct news *each = &news[is_ca ? LIST_CA : LIST_CPS];

        each->sequence = db_int(result.rows, row, 1);
        each->requested = db_bool(result.rows, row, 2);
        each->unpublished = db_bool(result.rows, row, 3);
        snprintf(each->held.confirm, sizeof(each->held.confirm), "%s",
                 db_text(result.rows, row, 4));
        each->held.lost = (size_t)db_int(result.rows, row, 5);
        each->held.of = (size_t)db_int(result.rows, row, 6);
    }
    db_sync_clear(&result);
    return true;
}

/* One look at the database. False when the connection is gone. */
static bool look(struct publisher *p)
{
    struct news news[LIST_KINDS] = {0};
    struct sticps_error err = {0};
    uint64_t looked_before = p->looked_at;

    p->looked_at = monotonic_ms();
    if (!elect(p) || !read_news(p, news))
        return false;
    publisher_set_database(p, true, "");
    for (size_t kind = 0; kind < LIST_KINDS; kind++)
        publisher_set_held(p, kind, &news[kind].held);
    if (news[LIST_CPS]
            .unpublished) /* since when, nobody says: the debounce ends no later than it should */
        note_change(&p->tracks[LIST_CPS],
                    news[LIST_CPS].held.lost > 0 ? monotonic_ms() + HELD_LOOK_MS : looked_before);
    if (p->leader && audit_linker_step(p->db, &p->linker, &err) != STICPS_OK) {
        publisher_disconnect(p, err.text);
        return false;
    }
    for (size_t kind = 0; kind < LIST_KINDS; kind++)
        if (!attend(p, kind, news[kind].sequence, news[kind].requested))
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
    int ms = p->leader ? publisher_wait(p, LEADER_LOOK_MS) : FOLLOWER_LOOK_MS;
    unsigned news = db_sync_wait(p->db, p->stop_fd, ms);

    while (db_sync_notification(p->db, channel, sizeof(channel), payload, sizeof(payload)))
        if (strcmp(channel, "sticps_change") == 0)
            note_change(&p->tracks[LIST_CPS], monotonic_ms());
    if (news & DB_WAIT_LOST)
        publisher_disconnect(p, "the connection was lost");
}

static void *run(void *arg)
{
    struct publisher *p = arg;

    while (!atomic_load(&p->stopping)) {
        warn_of_ends(p);
        if (p->daemon->crl != NULL)
            crl_file_refresh(p->daemon->crl, clock_now(p->daemon->clock));
        if (p->db == NULL && !publisher_connect(p)) {
            pause_ms(p, RETRY_MS);
            continue;
        }
        if (look(p))
            wait_for_news(p);
        else
            pause_ms(p, 100);
    }
    for (size_t kind = 0; kind < LIST_KINDS; kind++)
        list_content_free(p->tracks[kind].last);
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
