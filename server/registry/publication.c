#include "server/registry/publication.h"

#include "common/json_write.h"
#include "common/signed_list.h"
#include "server/db/sync.h"
#include "server/http/timer.h"
#include "server/registry/brake.h"
#include "server/registry/floor_check.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What one publication gathers on its way. */
struct draft {
    int64_t sequence;      /* where it stands: the new list's is the next */
    int64_t last_sequence; /* of the last list: the same, unless the sequence was raised; or 0 */
    char last_content[65]; /* "" when there is no list yet */
    char confirmed[LIST_CONFIRM_SIZE];
    struct db_result rows; /* what the list will say; the entries borrow their texts from it */
    bool rows_held;
    struct cps_entry *entries; /* of a cpsMapping */
    const char **pems;         /* of a trustList */
    size_t len;
    struct list_items items; /* the same as the brake sees it; borrows from rows too */
    char content[65];
    struct list_content *read;       /* the last list, read here */
    const struct list_content *last; /* the last list; NULL while it is of no interest */
    struct list_loss held;           /* .lost 0: nothing is held back */
    bool again;                      /* sign the last content once more */
    char *mark_spcs, *mark_versions; /* array literals, NULL when nothing is to be marked */
    char *jws;
    size_t jws_len;
    uint64_t build_us;
};

static void draft_clear(struct draft *draft)
{
    if (draft->rows_held)
        db_sync_clear(&draft->rows);
    free(draft->entries);
    free(draft->pems);
    free(draft->items.items);
    list_content_free(draft->read);
    free(draft->mark_spcs);
    free(draft->mark_versions);
    free(draft->jws);
}

/* Where the sequence stands, and what the last list said. */
static enum sticps_err read_state(struct db_sync *db, enum list_kind kind, struct draft *draft,
                                  struct sticps_error *err)
{
    const char *params[] = {list_kind_name(kind)};
    struct db_result result;
    enum sticps_err rc = STICPS_OK;

    if (db_sync_exec(db,
                     "SELECT s.sequence, s.confirmed, p.sequence, p.content FROM list_state s "
                     "LEFT JOIN LATERAL (SELECT sequence, content FROM publication WHERE kind = $1 "
                     "ORDER BY sequence DESC LIMIT 1) p ON true WHERE s.kind = $1",
                     1, params, PUBLICATION_TIMEOUT_MS, &result) != DB_OK) {
        rc = db_sync_fail(&result, "last publication", err);
    } else if (PQntuples(result.rows) != 1) {
        rc = fail(err, STICPS_ERR_STATE, NULL, "list_state has no row for %s", params[0]);
    } else {
        draft->sequence = db_int(result.rows, 0, 0);
        snprintf(draft->confirmed, sizeof(draft->confirmed), "%s", db_text(result.rows, 0, 1));
        draft->last_sequence = db_int(result.rows, 0, 2);
        snprintf(draft->last_content, sizeof(draft->last_content), "%s",
                 db_text(result.rows, 0, 3));
    }
    db_sync_clear(&result);
    return rc;
}

static enum sticps_err check_row(const struct publication_order *order, const char *spc,
                                 const char *url, struct cps_entry *out, struct sticps_error *err)
{
    enum sticps_err rc = spc_from_claim(spc, strlen(spc), &out->spc, err);

    if (rc == STICPS_OK)
        rc = cps_url_check(url, strlen(url), order->rules, err);
    if (rc != STICPS_OK)
        fail_context(err, "the entry of %s cannot be published; correct it", spc);
    out->url = url;
    return rc;
}

/* Array literals of what waits for its first publication. SPCs and versions need no quoting. */
static enum sticps_err gather_marks(struct draft *draft, struct sticps_error *err)
{
    const PGresult *rows = draft->rows.rows;
    struct json_write spcs, versions;
    enum sticps_err rc;

    json_write_init(&spcs, 64);
    json_write_init(&versions, 64);
    for (size_t i = 0; i < draft->len; i++) {
        if (!db_bool(rows, (int)i, 3))
            continue;
        json_write_raw(&spcs, spcs.len == 0 ? "{" : ",", 1);
        json_write_raw(&spcs, draft->entries[i].spc.text, strlen(draft->entries[i].spc.text));
        json_write_raw(&versions, versions.len == 0 ? "{" : ",", 1);
        json_write_integer(&versions, db_int(rows, (int)i, 2));
    }
    bool any = spcs.len > 0;
    json_write_raw(&spcs, "}", 2); /* with its NUL */
    json_write_raw(&versions, "}", 2);
    rc = json_write_check(&spcs, err);
    if (rc == STICPS_OK)
        rc = json_write_check(&versions, err);
    if (rc == STICPS_OK && any) {
        draft->mark_spcs = spcs.data;
        draft->mark_versions = versions.data;
    } else {
        json_write_clear(&spcs);
        json_write_clear(&versions);
    }
    return rc;
}

/* The hash of the content: the first columns of every row. */
static enum sticps_err hash_rows(const PGresult *rows, int columns, char out[65],
                                 struct sticps_error *err)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    unsigned char digest[SHA256_DIGEST_LENGTH];

    if (hash == NULL || EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(hash);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    for (int row = 0; row < PQntuples(rows); row++)
        for (int column = 0; column < columns; column++) {
            const char *text = db_text(rows, row, column);

            EVP_DigestUpdate(hash, text, strlen(text) + 1);
        }
    EVP_DigestFinal_ex(hash, digest, NULL);
    EVP_MD_CTX_free(hash);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return STICPS_OK;
}

/* What the brake looks at: a column of each row, with nothing beside it. */
static enum sticps_err gather_items(struct draft *draft, int column, struct sticps_error *err)
{
    draft->items.items = calloc(draft->len + 1, sizeof(*draft->items.items));
    if (draft->items.items == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    for (size_t i = 0; i < draft->len; i++)
        draft->items.items[i].key = db_text(draft->rows.rows, (int)i, column);
    draft->items.len = draft->len;
    return STICPS_OK;
}

/* Checks every row. */
static enum sticps_err gather(const struct publication_order *order, struct draft *draft,
                              struct sticps_error *err)
{
    const PGresult *rows = draft->rows.rows;
    size_t len = (size_t)PQntuples(rows);
    enum sticps_err rc = hash_rows(rows, 2, draft->content, err);

    draft->entries = calloc(len + 1, sizeof(*draft->entries));
    if (rc == STICPS_OK && draft->entries == NULL)
        rc = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    draft->len = len;
    for (size_t i = 0; i < len && rc == STICPS_OK; i++)
        rc = check_row(order, db_text(rows, (int)i, 0), db_text(rows, (int)i, 1),
                       &draft->entries[i], err);
    if (rc == STICPS_OK)
        rc = gather_items(draft, 0, err);
    return rc == STICPS_OK ? gather_marks(draft, err) : rc;
}

static enum sticps_err gather_cas(struct draft *draft, struct sticps_error *err)
{
    const PGresult *rows = draft->rows.rows;
    size_t len = (size_t)PQntuples(rows);

    if (len == 0)
        return fail(err, STICPS_ERR_STATE, NULL, "there is no approved STI-CA to publish");
    draft->pems = calloc(len, sizeof(*draft->pems));
    if (draft->pems == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    draft->len = len;
    for (size_t i = 0; i < len; i++)
        draft->pems[i] = db_text(rows, (int)i, 0);
    enum sticps_err rc = gather_items(draft, 1, err);
    return rc == STICPS_OK ? hash_rows(rows, 1, draft->content, err) : rc;
}

static enum sticps_err read_entries(struct db_sync *db, const struct publication_order *order,
                                    struct draft *draft, struct sticps_error *err)
{
    const char *sql = order->kind == LIST_CA
                          ? "SELECT pem, sha256 FROM trusted_ca ORDER BY sha256 COLLATE \"C\""
                          : "SELECT spc, url, version, needs_mark FROM list_entries()";

    draft->rows_held = true;
    if (db_sync_exec(db, sql, 0, NULL, PUBLICATION_TIMEOUT_MS, &draft->rows) != DB_OK)
        return db_sync_fail(&draft->rows, "entries", err);
    uint64_t began_us = monotonic_us();
    enum sticps_err rc =
        order->kind == LIST_CA ? gather_cas(draft, err) : gather(order, draft, err);
    draft->build_us += monotonic_us() - began_us;
    return rc;
}

/* The one statement that changes anything. `*done` is false when another publisher was faster, and
 * nothing was changed. */
static enum sticps_err end(struct db_sync *db, const char *sql, int params_len,
                           const char *const *params, bool *done, struct sticps_error *err)
{
    struct db_result result;
    enum sticps_err rc = STICPS_OK;

    if (db_sync_exec(db, sql, params_len, params, PUBLICATION_TIMEOUT_MS, &result) != DB_OK)
        rc = db_sync_fail(&result, "publication", err);
    else
        *done = db_text_or_null(result.rows, 0, 0) == NULL;
    db_sync_clear(&result);
    return rc;
}

static enum sticps_err end_unchanged(struct db_sync *db, const struct publication_order *order,
                                     const struct draft *draft, bool *done,
                                     struct sticps_error *err)
{
    char texts[3][24];
    const char *params[] = {texts[0],         list_kind_name(order->kind), texts[1], texts[2],
                            draft->mark_spcs, draft->mark_versions};

    snprintf(texts[0], sizeof(texts[0]), "%" PRId64, order->term);
    snprintf(texts[1], sizeof(texts[1]), "%" PRId64, draft->sequence);
    snprintf(texts[2], sizeof(texts[2]), "%" PRId64, draft->last_sequence);
    return end(db, "SELECT publication_end_unchanged($1, $2, $3, $4, $5, $6)", 6, params, done,
               err);
}

/* ---- the brake ---- */

static enum sticps_err end_held(struct db_sync *db, const struct publication_order *order,
                                struct draft *draft, bool *done, struct sticps_error *err)
{
    char texts[4][24], *removed = NULL;
    enum sticps_err rc = brake_removed(&draft->last->list, &draft->items, &removed, err);

    if (rc != STICPS_OK)
        return rc;
    const char *params[] = {
        texts[0], list_kind_name(order->kind), texts[1], draft->held.confirm, texts[2], texts[3],
        removed};

    snprintf(texts[0], sizeof(texts[0]), "%" PRId64, order->term);
    snprintf(texts[1], sizeof(texts[1]), "%" PRId64, draft->sequence);
    snprintf(texts[2], sizeof(texts[2]), "%zu", draft->held.lost);
    snprintf(texts[3], sizeof(texts[3]), "%zu", draft->held.of);
    rc = end(db, "SELECT publication_end_held($1, $2, $3, $4, $5, $6, $7)", 7, params, done, err);
    free(removed);
    return rc;
}

/* Does what was gathered wait for a person? Then draft->held says so. */
static enum sticps_err brake(struct db_sync *db, const struct publication_order *order,
                             struct draft *draft, struct sticps_error *err)
{
    struct list_loss loss;
    enum sticps_err rc = STICPS_OK;

    if (draft->last_sequence == 0 || strcmp(draft->content, draft->last_content) == 0)
        return STICPS_OK;
    draft->last = order->last;
    if (draft->last == NULL || draft->last->sequence != draft->last_sequence) {
        rc = brake_read_list(db, order->kind, draft->last_sequence, &draft->read, err);
        draft->last = draft->read;
    }
    if (rc == STICPS_OK)
        rc = list_loss_count(order->kind, &draft->last->list, &draft->items, &loss, err);
    if (rc != STICPS_OK || !list_brake_holds(order->brake, &loss) ||
        strcmp(loss.confirm, draft->confirmed) == 0)
        return rc;
    draft->held = loss;
    draft->again = order->keep_alive;
    return STICPS_OK;
}

/* ---- signing ---- */

static enum sticps_err sign(const struct publication_order *order, struct draft *draft,
                            int64_t sequence, int64_t exp, struct sticps_error *err)
{
    const struct signer *signer = order->signer;
    const struct signed_list *again = draft->again ? draft->last->parsed : NULL;

    if (order->kind == LIST_CA)
        return trust_list_build(again != NULL ? again->trusted : draft->pems,
                                again != NULL ? again->trusted_len : draft->len, sequence, exp,
                                signer->x5u, signer->key, &draft->jws, &draft->jws_len, err);
    return signed_list_build(again != NULL ? again->entries : draft->entries,
                             again != NULL ? again->entries_len : draft->len, sequence, exp,
                             signer->x5u, signer->key, &draft->jws, &draft->jws_len, err);
}

static enum sticps_err end_stored(struct db_sync *db, const struct publication_order *order,
                                  struct draft *draft, bool *done, struct sticps_error *err)
{
    int64_t sequence = draft->sequence + 1;
    unsigned char digest[SHA256_DIGEST_LENGTH];
    char texts[5][24], sha256[65];
    enum sticps_err rc;

    if (sequence > SIGNED_LIST_MAX_SEQUENCE)
        return fail(err, STICPS_ERR_STATE, NULL, "the sequence numbers are used up");
    uint64_t began_us = monotonic_us();
    rc = sign(order, draft, sequence, order->exp, err);
    draft->build_us += monotonic_us() - began_us;
    if (rc != STICPS_OK)
        return rc;
    SHA256((const unsigned char *)draft->jws, draft->jws_len, digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(sha256 + 2 * i, 3, "%02x", digest[i]);
    snprintf(texts[0], sizeof(texts[0]), "%" PRId64, order->term);
    snprintf(texts[1], sizeof(texts[1]), "%" PRId64, draft->sequence);
    snprintf(texts[2], sizeof(texts[2]), "%" PRId64, order->exp);
    snprintf(texts[3], sizeof(texts[3]), "%zu", draft->again ? draft->last->list.len : draft->len);
    snprintf(texts[4], sizeof(texts[4]), "%" PRId64, order->now);
    const char *params[] = {texts[0],
                            list_kind_name(order->kind),
                            texts[1],
                            texts[2],
                            draft->jws,
                            sha256,
                            draft->again ? draft->last_content : draft->content,
                            texts[3],
                            draft->again ? "held" : order->reason,
                            texts[4],
                            draft->again ? NULL : draft->mark_spcs,
                            draft->again ? NULL : draft->mark_versions};
    return end(db,
               "SELECT publication_end_stored($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
               12, params, done, err);
}

/* What becomes of what was gathered. `*sequence` as in struct publication_done. */
static enum sticps_err decide(struct db_sync *db, const struct publication_order *order,
                              struct draft *draft, int64_t *sequence, struct sticps_error *err)
{
    bool done = false, stored = false;
    enum sticps_err rc;

    if (order->only_if_changed && strcmp(draft->content, draft->last_content) == 0) {
        rc = end_unchanged(db, order, draft, &done, err);
    } else {
        rc = brake(db, order, draft, err);
        if (rc == STICPS_OK && draft->held.lost > 0)
            rc = end_held(db, order, draft, &done, err);
        stored = rc == STICPS_OK && (draft->held.lost == 0 || (draft->again && done));
        if (stored)
            rc = end_stored(db, order, draft, &done, err);
    }
    *sequence = !done ? -1 : stored ? draft->sequence + 1 : 0;
    return rc;
}

enum sticps_err publication_make(struct db_sync *db, const struct publication_order *order,
                                 struct publication_done *done, struct sticps_error *err)
{
    struct draft draft = {0};
    int64_t sequence = 0;
    enum sticps_err rc = read_state(db, order->kind, &draft, err);

    if (rc == STICPS_OK)
        rc = floor_check(db, order->floor, order->kind, err);
    if (rc == STICPS_OK)
        rc = read_entries(db, order, &draft, err);
    if (rc == STICPS_OK)
        rc = decide(db, order, &draft, &sequence, err);
    if (rc == STICPS_OK)
        *done = (struct publication_done){sequence, draft.build_us, draft.held};
    draft_clear(&draft);
    return rc;
}
