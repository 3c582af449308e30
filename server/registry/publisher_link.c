#include "server/http/log.h"
#include "server/http/timer.h"
#include "server/registry/daemon.h"
#include "server/registry/database.h"
#include "server/registry/publication.h"
#include "server/registry/publisher_internal.h"
#include "server/registry/session.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 3000
#define COMPLAIN_AGAIN_MS 60000

/* ---- status ---- */

void publisher_set_database(struct publisher *p, bool up, const char *trouble)
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

void publisher_set_trouble(struct publisher *p, enum list_kind kind, const char *trouble)
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

void publisher_set_held(struct publisher *p, enum list_kind kind, const struct list_loss *held)
{
    struct track *track = &p->tracks[kind];
    struct list_loss *said = &p->status.held[kind];
    const char *name = list_kind_name(kind);

    pthread_mutex_lock(&p->lock);
    bool was = said->lost > 0, news = strcmp(said->confirm, held->confirm) != 0;
    *said = *held;
    pthread_mutex_unlock(&p->lock);
    bool again = p->leader && monotonic_ms() >= track->held_said_at + COMPLAIN_AGAIN_MS;
    if (held->lost > 0 && (news || again)) {
        log_error("THE BRAKE HOLDS, NOTHING NEW IS PUBLISHED: the next %s would lose %zu of %zu "
                  "entries. See them with \"sticps-registryd publish --dry-run\"; bring them back, "
                  "or confirm with \"sticps-registryd publish --confirm %s\"",
                  name, held->lost, held->of, held->confirm);
        track->held_said_at = monotonic_ms();
    } else if (held->lost == 0 && was) {
        log_info("the brake holds no %s back any more", name);
    }
}

void publisher_status(struct publisher *p, struct publisher_status *out)
{
    pthread_mutex_lock(&p->lock);
    *out = p->status;
    pthread_mutex_unlock(&p->lock);
}

/* ---- the connection ---- */

void publisher_resign(struct publisher *p)
{
    p->lease = (struct lease){0};
    p->leader = false;
    p->linker = (struct audit_linker){0};
    p->cas_failed = false;
    pthread_mutex_lock(&p->lock);
    p->status.leader = false;
    for (size_t kind = 0; kind < LIST_KINDS; kind++)
        p->status.trouble[kind][0] = '\0'; /* of the leader that this node may be no more */
    pthread_mutex_unlock(&p->lock);
    for (size_t kind = 0; kind < LIST_KINDS; kind++) {
        list_content_free(p->tracks[kind].last);
        p->tracks[kind].last = NULL;
    }
}

void publisher_disconnect(struct publisher *p, const char *why)
{
    db_sync_free(p->db);
    p->db = NULL;
    publisher_resign(p);
    publisher_set_database(p, false, why);
}

bool publisher_ask(struct publisher *p, const char *sql, int params_len, const char *const *params,
                   struct db_result *result)
{
    struct sticps_error err = {0};

    if (db_sync_exec(p->db, sql, params_len, params, PUBLICATION_TIMEOUT_MS, result) == DB_OK)
        return true;
    (void)db_sync_fail(result, sql, &err);
    db_sync_clear(result);
    publisher_disconnect(p, err.text);
    return false;
}

static bool read_token_key(struct publisher *p)
{
    struct sticps_error err = {0};
    struct db_result result;
    unsigned char key[SESSION_KEY_SIZE];
    size_t len = 0;

    if (!publisher_ask(p, "SELECT encode(key, 'hex') FROM token_key", 0, NULL, &result))
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
    publisher_disconnect(p, "no key for access tokens: run sticps-registryd init");
    return false;
}

/* The server must notice soon when this host is gone: until then the locks stay of a publication
 * that it was in the middle of. */
static const char *const session_setup[] = {
    "SELECT set_config('tcp_keepalives_idle', '5', false), "
    "set_config('tcp_keepalives_interval', '2', false), "
    "set_config('tcp_keepalives_count', '3', false), "
    "set_config('tcp_user_timeout', '5000', false)",
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
    if (!publisher_ask(p, "SELECT signer_certificate_store($1, $2)", 2, params, &result))
        return false;
    if (!db_bool(result.rows, 0, 0))
        log_warn("%s was published before with another chain; clients may hold the old one for a "
                 "year: give the new certificate a new signer.id",
                 signer->file_name);
    db_sync_clear(&result);
    return true;
}

bool publisher_connect(struct publisher *p)
{
    const struct config *config = p->daemon->config;
    struct sticps_error err = {0};
    struct db_result result;

    if (database_check(config, &err) != STICPS_OK ||
        database_connect(config, DATABASE_PUBLISHING, "sticps-registryd publisher",
                         CONNECT_TIMEOUT_MS, &p->db, &err) != STICPS_OK) {
        publisher_set_database(p, false, err.text);
        return false;
    }
    for (size_t i = 0; i < sizeof(session_setup) / sizeof(session_setup[0]); i++) {
        if (!publisher_ask(p, session_setup[i], 0, NULL, &result))
            return false;
        db_sync_clear(&result);
    }
    return read_token_key(p) && publish_certificate(p, p->daemon->signer) &&
           publish_certificate(p, p->daemon->next_signer);
}
