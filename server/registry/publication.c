#include "server/registry/publication.h"

#include "common/json_write.h"
#include "common/signed_list.h"
#include "server/db/sync.h"
#include "server/http/timer.h"
#include "server/registry/brake.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What one publication gathers on its way. */
struct draft {
    int64_t last_sequence;
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

/* PostgreSQL answers COMMIT of a failed transaction with success and the tag ROLLBACK. */
static enum sticps_err commit(struct db_sync *db, struct sticps_error *err)
{
    struct db_result result;
    enum sticps_err rc = STICPS_OK;

    if (db_sync_exec(db, "COMMIT", 0, NULL, PUBLICATION_TIMEOUT_MS, &result) != DB_OK)
        rc = db_sync_fail(&result, "COMMIT", err);
    else if (strcmp(PQcmdStatus(result.rows), "COMMIT") != 0)
        rc = fail(err, STICPS_ERR_FETCH, NULL, "the publication was not committed");
    db_sync_clear(&result);
    return rc;
}

/* Is it still this node that publishes? Then it stays so until the transaction ends. */
static enum sticps_err hold_lease(struct db_sync *db, int64_t term, bool *held,
                                  struct sticps_error *err)
{
    struct db_result result;
    enum sticps_err rc = STICPS_OK;
    char text[24];
    const char *params[] = {text};

    snprintf(text, sizeof(text), "%" PRId64, term);
    if (db_sync_exec(db, "SELECT lease_hold($1)", 1, params, PUBLICATION_TIMEOUT_MS, &result) !=
        DB_OK)
        rc = db_sync_fail(&result, "lease of the publisher", err);
    else
        *held = db_bool(result.rows, 0, 0);
    db_sync_clear(&result);
    return rc;
}

/* Takes the lock on the sequence, and reads what the last list said. */
static enum sticps_err lock_state(struct db_sync *db, enum list_kind kind, struct draft *draft,
                                  struct sticps_error *err)
{
    const char *params[] = {list_kind_name(kind)};
    struct db_result result;
    enum sticps_err rc = STICPS_OK;

    if (db_sync_exec(db, "SELECT sequence, confirmed FROM list_state WHERE kind = $1 FOR UPDATE", 1,
                     params, PUBLICATION_TIMEOUT_MS, &result) != DB_OK)
        rc = db_sync_fail(&result, "lock on the sequence", err);
    else if (PQntuples(result.rows) != 1)
        rc = fail(err, STICPS_ERR_STATE, NULL, "list_state has no row for %s", params[0]);
    else {
        draft->last_sequence = db_int(result.rows, 0, 0);
        snprintf(draft->confirmed, sizeof(draft->confirmed), "%s", db_text(result.rows, 0, 1));
    }
    db_sync_clear(&result);
    if (rc != STICPS_OK)
        return rc;

    if (db_sync_exec(db,
                     "SELECT content FROM publication WHERE kind = $1 "
                     "ORDER BY sequence DESC LIMIT 1",
                     1, params, PUBLICATION_TIMEOUT_MS, &result) != DB_OK)
        rc = db_sync_fail(&result, "last publication", err);
    else
        snprintf(draft->last_content, sizeof(draft->last_content), "%s",
                 db_text(result.rows, 0, 0));
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

static enum sticps_err mark(struct db_sync *db, const struct draft *draft, int64_t sequence,
                            struct sticps_error *err)
{
    char sequence_text[24];

    if (draft->mark_spcs == NULL)
        return STICPS_OK;
    snprintf(sequence_text, sizeof(sequence_text), "%" PRId64, sequence);
    const char *params[] = {sequence_text, draft->mark_spcs, draft->mark_versions};
    return db_sync_run(db, "SELECT list_mark($1, $2, $3)", 3, params, PUBLICATION_TIMEOUT_MS, err);
}

/* ---- the brake ---- */

/* Does what was gathered wait for a person? */
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
    return brake_hold(db, order->kind, &loss, &draft->last->list, &draft->items, err);
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

static enum sticps_err sign_and_store(struct db_sync *db, const struct publication_order *order,
                                      struct draft *draft, struct sticps_error *err)
{
    int64_t sequence = draft->last_sequence + 1, exp = order->exp;
    unsigned char digest[SHA256_DIGEST_LENGTH];
    char texts[4][24], sha256[65];
    enum sticps_err rc;

    if (sequence > SIGNED_LIST_MAX_SEQUENCE)
        return fail(err, STICPS_ERR_STATE, NULL, "the sequence numbers are used up");
    uint64_t began_us = monotonic_us();
    rc = sign(order, draft, sequence, exp, err);
    draft->build_us += monotonic_us() - began_us;
    if (rc != STICPS_OK)
        return rc;
    SHA256((const unsigned char *)draft->jws, draft->jws_len, digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(sha256 + 2 * i, 3, "%02x", digest[i]);
    snprintf(texts[0], sizeof(texts[0]), "%" PRId64, sequence);
    snprintf(texts[1], sizeof(texts[1]), "%" PRId64, exp);
    snprintf(texts[2], sizeof(texts[2]), "%zu", draft->again ? draft->last->list.len : draft->len);
    snprintf(texts[3], sizeof(texts[3]), "%" PRId64, order->now);
    const char *params[] = {list_kind_name(order->kind),
                            texts[0],
                            texts[1],
                            draft->jws,
                            sha256,
                            draft->again ? draft->last_content : draft->content,
                            texts[2],
                            draft->again ? "held" : order->reason,
                            texts[3]};
    rc = db_sync_run(db, "SELECT publication_store($1, $2, $3, $4, $5, $6, $7, $8, $9)", 9, params,
                     PUBLICATION_TIMEOUT_MS, err);
    return rc == STICPS_OK && !draft->again ? mark(db, draft, sequence, err) : rc;
}

/* What becomes of what was gathered. */
static enum sticps_err decide(struct db_sync *db, const struct publication_order *order,
                              struct draft *draft, bool *stored, struct sticps_error *err)
{
    enum sticps_err rc;

    if (order->only_if_changed && strcmp(draft->content, draft->last_content) == 0) {
        rc = brake_release(db, order->kind, err);
        return rc == STICPS_OK ? mark(db, draft, draft->last_sequence, err) : rc;
    }
    rc = brake(db, order, draft, err);
    if (rc != STICPS_OK || (draft->held.lost > 0 && !draft->again))
        return rc;
    rc = sign_and_store(db, order, draft, err);
    *stored = rc == STICPS_OK;
    return rc;
}

/* Between BEGIN and COMMIT. */
static enum sticps_err make(struct db_sync *db, const struct publication_order *order,
                            struct draft *draft, int64_t *sequence, struct sticps_error *err)
{
    bool leads = false, stored = false;
    enum sticps_err rc = hold_lease(db, order->term, &leads, err);

    if (rc == STICPS_OK && !leads) {
        *sequence = -1;
        return STICPS_OK;
    }
    if (rc == STICPS_OK)
        rc = lock_state(db, order->kind, draft, err);
    if (rc == STICPS_OK)
        rc = read_entries(db, order, draft, err);
    if (rc == STICPS_OK)
        rc = decide(db, order, draft, &stored, err);
    if (rc == STICPS_OK)
        *sequence = stored ? draft->last_sequence + 1 : 0;
    return rc;
}

enum sticps_err publication_make(struct db_sync *db, const struct publication_order *order,
                                 struct publication_done *done, struct sticps_error *err)
{
    struct draft draft = {0};
    struct sticps_error ignored;
    int64_t sequence = 0;
    enum sticps_err rc = db_sync_run(db, "BEGIN ISOLATION LEVEL READ COMMITTED", 0, NULL,
                                     PUBLICATION_TIMEOUT_MS, err);

    if (rc == STICPS_OK)
        rc = make(db, order, &draft, &sequence, err);
    if (rc == STICPS_OK)
        rc = commit(db, err);
    else if (rc != STICPS_ERR_FETCH &&
             db_sync_run(db, "ROLLBACK", 0, NULL, PUBLICATION_TIMEOUT_MS, &ignored) != STICPS_OK)
        rc = STICPS_ERR_FETCH;
    if (rc == STICPS_OK)
        *done = (struct publication_done){sequence, draft.build_us, draft.held};
    draft_clear(&draft);
    return rc;
}
