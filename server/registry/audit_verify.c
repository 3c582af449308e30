#include "server/registry/audit_verify.h"

#include "common/json_write.h"
#include "common/merkle.h"
#include "server/db/migrate.h"
#include "server/db/sync.h"
#include "server/registry/database.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define CONNECT_MS 10000
#define BATCH_MS 60000
#define HEX_SIZE (2 * MERKLE_HASH_SIZE + 1)
#define STRING(x) #x
#define NUMBER(x) STRING(x)
#define AUDIT_BATCH 1000
#define LIST_BATCH 8 /* lists may be of megabytes */

static void to_hex(const struct merkle_hash *hash, char out[HEX_SIZE])
{
    for (size_t i = 0; i < MERKLE_HASH_SIZE; i++)
        snprintf(out + 2 * i, 3, "%02x", hash->bytes[i]);
}

static enum sticps_err no_sha256(struct sticps_error *err)
{
    return fail(err, STICPS_ERR_CRYPTO, NULL, "OpenSSL cannot compute SHA-256");
}

/* Both sides sorted by their number: the first rows of the union are among the first of each. */
static const char audit_sql[] =
    "SELECT coalesce(a.id, l.id), a.id IS NOT NULL, encode(l.hash, 'hex'), a.id, "
    "(extract(epoch FROM a.at) * 1000000)::bigint, a.user_id, text(a.address), a.action, a.sp, "
    "a.spc, a.detail "
    "FROM (SELECT * FROM audit WHERE id > $1 ORDER BY id LIMIT " NUMBER(
        AUDIT_BATCH) ") a "
                     "FULL JOIN (SELECT * FROM audit_link WHERE id > $1 ORDER BY id LIMIT " NUMBER(
                         AUDIT_BATCH) ") l "
                                      "ON l.id = a.id ORDER BY 1 LIMIT " NUMBER(AUDIT_BATCH);
enum { AUDIT_FIRST_COLUMN = 3, AUDIT_COLUMNS = 8 }; /* of the row's bytes in that statement */

static const char lists_sql[] =
    "SELECT coalesce(p.sequence, h.sequence), p.jws, p.sha256, h.size, encode(h.root, 'hex'), "
    "h.audit_id, encode(h.audit_hash, 'hex'), "
    "(SELECT encode(hash, 'hex') FROM audit_link WHERE id = h.audit_id), "
    "(SELECT string_agg(encode(n.hash, 'hex'), '' ORDER BY n.level) "
    "FROM generate_series(0, 52) AS g (level) "
    "JOIN tree_node n ON n.kind = h.kind AND n.level = g.level "
    "AND n.index = (h.size >> g.level) - 1 "
    "WHERE h.size % (1::bigint << g.level) = 0) "
    "FROM (SELECT * FROM publication WHERE kind = $2 AND sequence > $1 "
    "ORDER BY sequence LIMIT " NUMBER(
        LIST_BATCH) ") p "
                    "FULL JOIN (SELECT * FROM tree_head WHERE kind = $2 AND sequence > $1 "
                    "ORDER BY sequence LIMIT " NUMBER(
                        LIST_BATCH) ") h "
                                    "ON h.sequence = p.sequence ORDER BY 1 LIMIT " NUMBER(
                                        LIST_BATCH);
enum { P_SEQUENCE, P_JWS, P_SHA256, H_SIZE, H_ROOT, H_AUDIT_ID, H_AUDIT_HASH, L_HASH, N_HASHES };

/* ---- reading in batches ---- */

struct walk {
    struct db_sync *db;
    const char *sql;
    const char *kind; /* NULL for the audit trail */
    /* One row; an error ends the walk. */
    enum sticps_err (*row)(struct walk *walk, const PGresult *rows, int i,
                           struct sticps_error *err);

    long long last; /* id of the audit trail's last link, when it starts */
    struct merkle_hash head;
    struct merkle_tree tree;
    long long sequence; /* of the publication before */
    long long linked, unlinked;
};

static enum sticps_err walk_all(struct walk *walk, struct sticps_error *err)
{
    char after[24] = "-9223372036854775808"; /* no row of ours has that id */
    enum sticps_err rc = STICPS_OK;
    int len = 1;

    while (rc == STICPS_OK && len > 0) {
        const char *params[] = {after, walk->kind};
        struct db_result result;

        len = 0;
        if (db_sync_exec(walk->db, walk->sql, walk->kind != NULL ? 2 : 1, params, BATCH_MS,
                         &result) != DB_OK)
            rc = db_sync_fail(&result, "history", err);
        else
            len = PQntuples(result.rows);
        for (int i = 0; i < len && rc == STICPS_OK; i++)
            rc = walk->row(walk, result.rows, i, err);
        if (len > 0)
            snprintf(after, sizeof(after), "%s", db_text(result.rows, len - 1, 0));
        db_sync_clear(&result);
    }
    return rc;
}

/* ---- the audit trail ---- */

/* What a link hashes: the hash before it, and the row's columns as "length:text", NULL as "-"; the
 * same bytes as audit_bytes in sql/ makes. */
static enum sticps_err link_hash(const struct merkle_hash *before, const PGresult *rows, int row,
                                 struct merkle_hash *out, struct sticps_error *err)
{
    struct json_write bytes;
    unsigned char digest[EVP_MAX_MD_SIZE];

    json_write_init(&bytes, 512);
    json_write_raw(&bytes, (const char *)before->bytes, MERKLE_HASH_SIZE);
    for (int i = AUDIT_FIRST_COLUMN; i < AUDIT_FIRST_COLUMN + AUDIT_COLUMNS; i++) {
        const char *text = db_text_or_null(rows, row, i);

        if (text == NULL) {
            json_write_literal(&bytes, "-");
        } else {
            json_write_integer(&bytes, (int64_t)strlen(text));
            json_write_literal(&bytes, ":");
            json_write_raw(&bytes, text, strlen(text));
        }
    }
    enum sticps_err rc = json_write_check(&bytes, err);
    if (rc == STICPS_OK && EVP_Digest(bytes.data, bytes.len, digest, NULL, EVP_sha256(), NULL) != 1)
        rc = no_sha256(err);
    if (rc == STICPS_OK)
        memcpy(out->bytes, digest, MERKLE_HASH_SIZE);
    json_write_clear(&bytes);
    return rc;
}

static enum sticps_err check_audit_row(struct walk *walk, const PGresult *rows, int i,
                                       struct sticps_error *err)
{
    long long id = db_int(rows, i, 0);
    const char *link = db_text_or_null(rows, i, 2);
    char hex[HEX_SIZE];

    if (!db_bool(rows, i, 1))
        return fail(err, STICPS_ERR_STATE, NULL, "audit: row %lld is missing, though it was linked",
                    id);
    if (link == NULL && id <= walk->last)
        return fail(
            err, STICPS_ERR_STATE, NULL,
            "audit: row %lld has no link, though later rows have: it was put in afterwards, "
            "or its link was removed",
            id);
    if (link == NULL) {
        walk->unlinked++;
        return STICPS_OK;
    }
    enum sticps_err rc = link_hash(&walk->head, rows, i, &walk->head, err);
    if (rc != STICPS_OK)
        return rc;
    to_hex(&walk->head, hex);
    walk->linked++;
    if (strcmp(hex, link) == 0)
        return STICPS_OK;
    return fail(err, STICPS_ERR_STATE, NULL,
                "audit: row %lld does not match its link: the row, its link, or the link before it "
                "was changed",
                id);
}

static enum sticps_err verify_audit(struct db_sync *db, struct sticps_error *err)
{
    struct walk walk = {.db = db, .sql = audit_sql, .row = check_audit_row};
    struct db_result result;
    char head[HEX_SIZE];
    enum sticps_err rc = STICPS_OK;

    if (db_sync_exec(db, "SELECT max(id) FROM audit_link", 0, NULL, BATCH_MS, &result) != DB_OK)
        rc = db_sync_fail(&result, "audit_link", err);
    else
        walk.last = db_int(result.rows, 0, 0);
    db_sync_clear(&result);
    if (rc == STICPS_OK)
        rc = walk_all(&walk, err);
    if (rc != STICPS_OK)
        return rc;
    to_hex(&walk.head, head);
    printf("audit: %lld rows hold, the last is %lld with %s; %lld newer rows are not linked yet\n",
           walk.linked, walk.last, head, walk.unlinked);
    return STICPS_OK;
}

/* ---- publications ---- */

/* The leaf, the subtrees that it completes, and the root, against what is stored. */
static enum sticps_err check_tree(struct walk *walk, const PGresult *rows, int i,
                                  struct sticps_error *err)
{
    const char *jws = db_text(rows, i, P_JWS), *stored = db_text(rows, i, N_HASHES);
    struct merkle_hash leaf, root, completed[MERKLE_LEVELS];
    char hex[MERKLE_LEVELS * (HEX_SIZE - 1) + 1];
    size_t len = 0;

    if (!merkle_leaf(jws, strlen(jws), &leaf) ||
        (len = merkle_append(&walk->tree, &leaf, completed)) == 0 ||
        !merkle_root(&walk->tree, &root))
        return no_sha256(err);
    for (size_t k = 0; k < len; k++)
        to_hex(&completed[k], hex + k * (HEX_SIZE - 1));
    if (strncmp(hex, stored, HEX_SIZE - 1) != 0)
        return fail(err, STICPS_ERR_STATE, NULL,
                    "%s: publication %s is not the one whose hash is in the tree", walk->kind,
                    db_text(rows, i, P_SEQUENCE));
    if (strcmp(hex, stored) != 0)
        return fail(err, STICPS_ERR_STATE, NULL,
                    "%s: the nodes of the tree that publication %s completes were changed",
                    walk->kind, db_text(rows, i, P_SEQUENCE));
    to_hex(&root, hex);
    if (strcmp(hex, db_text(rows, i, H_ROOT)) != 0)
        return fail(err, STICPS_ERR_STATE, NULL,
                    "%s: the root stored with publication %s is not that of the lists so far",
                    walk->kind, db_text(rows, i, P_SEQUENCE));
    return STICPS_OK;
}

/* Sequences have no gap, but for the numbers that an operator passed over: an audit row says so,
 * whose link has been checked. `to`: the last number of the gap. */
static enum sticps_err check_gap(struct walk *walk, long long to, struct sticps_error *err)
{
    static const char sql[] =
        "SELECT 1 FROM audit WHERE action = 'sequence.raise' AND detail->>'list' = $1 "
        "AND (detail->>'to')::bigint = $2";
    char text[24];
    const char *params[] = {walk->kind, text};
    struct db_result result;
    enum sticps_err rc = STICPS_OK;

    snprintf(text, sizeof(text), "%lld", to);
    if (db_sync_exec(walk->db, sql, 2, params, BATCH_MS, &result) != DB_OK)
        rc = db_sync_fail(&result, "history", err);
    else if (PQntuples(result.rows) == 0)
        rc = fail(err, STICPS_ERR_STATE, NULL,
                  "%s: publications %lld to %lld are missing, and nobody passed over them",
                  walk->kind, walk->sequence + 1, to);
    db_sync_clear(&result);
    return rc;
}

static enum sticps_err check_publication(struct walk *walk, const PGresult *rows, int i,
                                         struct sticps_error *err)
{
    const char *sequence = db_text(rows, i, P_SEQUENCE), *jws = db_text_or_null(rows, i, P_JWS);
    unsigned char digest[EVP_MAX_MD_SIZE];
    struct merkle_hash sha256;
    char hex[HEX_SIZE];

    long long number = db_int(rows, i, P_SEQUENCE);
    enum sticps_err rc = STICPS_OK;

    if (jws == NULL)
        return fail(err, STICPS_ERR_STATE, NULL, "%s: publication %s is missing", walk->kind,
                    sequence);
    if (db_int(rows, i, H_SIZE) != (long long)walk->tree.size + 1)
        return fail(err, STICPS_ERR_STATE, NULL,
                    "%s: publication %s should be number %" PRIu64 " of the tree and is not: "
                    "it has no head, or an earlier one was removed",
                    walk->kind, sequence, walk->tree.size + 1);
    if (number != walk->sequence + 1)
        rc = check_gap(walk, number - 1, err);
    if (rc != STICPS_OK)
        return rc;
    walk->sequence = number;
    if (EVP_Digest(jws, strlen(jws), digest, NULL, EVP_sha256(), NULL) != 1)
        return no_sha256(err);
    memcpy(sha256.bytes, digest, MERKLE_HASH_SIZE);
    to_hex(&sha256, hex);
    if (strcmp(hex, db_text(rows, i, P_SHA256)) != 0)
        return fail(err, STICPS_ERR_STATE, NULL,
                    "%s: publication %s is not the one whose SHA-256 is stored with it", walk->kind,
                    sequence);
    rc = check_tree(walk, rows, i, err);
    if (rc != STICPS_OK)
        return rc;
    bool at_start = db_int(rows, i, H_AUDIT_ID) == 0;
    to_hex(&(struct merkle_hash){{0}}, hex);
    if (strcmp(db_text(rows, i, H_AUDIT_HASH), at_start ? hex : db_text(rows, i, L_HASH)) != 0)
        return fail(err, STICPS_ERR_STATE, NULL,
                    "%s: publication %s commits to another audit chain: links up to row %s were "
                    "changed or removed since",
                    walk->kind, sequence, db_text(rows, i, H_AUDIT_ID));
    return STICPS_OK;
}

/* `last`: the sequence that list_state counts on from. */
static enum sticps_err verify_lists(struct db_sync *db, const char *kind, long long last,
                                    struct sticps_error *err)
{
    struct walk walk = {.db = db, .sql = lists_sql, .kind = kind, .row = check_publication};
    struct merkle_hash root;
    char hex[HEX_SIZE];
    enum sticps_err rc = walk_all(&walk, err);

    if (rc == STICPS_OK && walk.sequence > last)
        rc = fail(err, STICPS_ERR_STATE, NULL,
                  "%s: the last publication is %lld, and %lld were counted", kind, walk.sequence,
                  last);
    if (rc == STICPS_OK && walk.sequence < last)
        rc = check_gap(&walk, last, err);
    if (rc != STICPS_OK)
        return rc;
    if (!merkle_root(&walk.tree, &root))
        return no_sha256(err);
    to_hex(&root, hex);
    printf("%s: %" PRIu64 " publications hold, the last is %lld, root %s\n", kind, walk.tree.size,
           walk.sequence, hex);
    return STICPS_OK;
}

/* ---- all of it ---- */

/* Says what does not hold, and goes on to the next part; any other error ends it. */
static enum sticps_err note(enum sticps_err rc, const struct sticps_error *found, bool *bad)
{
    if (rc != STICPS_ERR_STATE)
        return rc;
    printf("%s\n", found->text);
    *bad = true;
    return STICPS_OK;
}

static enum sticps_err verify_kinds(struct db_sync *db, bool *bad, struct sticps_error *err)
{
    struct db_result result;
    enum sticps_err rc = STICPS_OK;

    if (db_sync_exec(db, "SELECT kind, sequence FROM list_state ORDER BY kind DESC", 0, NULL,
                     BATCH_MS, &result) != DB_OK)
        rc = db_sync_fail(&result, "list_state", err);
    for (int i = 0; rc == STICPS_OK && i < PQntuples(result.rows); i++) {
        rc = verify_lists(db, db_text(result.rows, i, 0), db_int(result.rows, i, 1), err);
        rc = note(rc, err, bad);
    }
    db_sync_clear(&result);
    return rc;
}

enum sticps_err audit_verify_run(const struct config *config, struct sticps_error *err)
{
    struct db_sync *db = NULL;
    struct db_result result;
    bool bad = false;
    enum sticps_err rc = db_migrate_check(database_url(config, DATABASE_AUDITING), err);

    if (rc == STICPS_OK)
        rc = database_connect(config, DATABASE_AUDITING, "sticps-registryd audit", CONNECT_MS, &db,
                              err);
    if (rc != STICPS_OK)
        return rc;
    /* one snapshot, so that a registry at work is verified as well */
    if (db_sync_exec(db, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0, NULL, BATCH_MS,
                     &result) != DB_OK)
        rc = db_sync_fail(&result, "BEGIN", err);
    db_sync_clear(&result);
    if (rc == STICPS_OK)
        rc = note(verify_audit(db, err), err, &bad);
    if (rc == STICPS_OK)
        rc = verify_kinds(db, &bad, err);
    db_sync_free(db);
    if (rc == STICPS_OK && bad)
        return fail(err, STICPS_ERR_STATE, NULL, "the history does not hold");
    return rc;
}
