#include "server/registry/ca_sync.h"

#include "server/db/sync.h"
#include "server/http/log.h"
#include "server/registry/ca_directory.h"
#include "server/registry/publication.h"

#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AUDIT_USER "sticps-registryd" /* who did it, in the audit trail */
#define WARN_BEFORE_S (30 * 86400)    /* of a CA's end */

/* The fingerprints are sorted, so one set has one digest. */
static bool digest_of(const struct ca_set *set, char out[65])
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    unsigned char digest[SHA256_DIGEST_LENGTH];
    bool ok = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1;

    for (size_t i = 0; i < set->len && ok; i++)
        ok = EVP_DigestUpdate(hash, set->items[i].sha256, 64) == 1;
    ok = ok && EVP_DigestFinal_ex(hash, digest, NULL) == 1;
    EVP_MD_CTX_free(hash);
    for (size_t i = 0; i < sizeof(digest) && ok; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return ok;
}

/* [{"sha256","subject","pem"}]; NULL when memory runs out. */
static char *to_json(const struct ca_set *set)
{
    json_t *array = json_array();

    for (size_t i = 0; i < set->len; i++)
        if (json_array_append_new(
                array, json_pack("{s:s, s:s, s:s}", "sha256", set->items[i].sha256, "subject",
                                 set->items[i].subject, "pem", set->items[i].pem)) != 0) {
            json_decref(array);
            return NULL;
        }
    char *text = json_dumps(array, JSON_COMPACT);
    json_decref(array);
    return text;
}

static enum sticps_err store(struct db_sync *db, int64_t term, const struct ca_set *set,
                             bool *changed, struct sticps_error *err)
{
    struct db_result result;
    enum sticps_err rc = STICPS_OK;
    char *json = to_json(set);
    char term_text[24];
    const char *params[] = {term_text, AUDIT_USER, json};

    if (json == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    snprintf(term_text, sizeof(term_text), "%" PRId64, term);
    if (db_sync_exec(db, "SELECT added, removed FROM ca_take($1, $2, $3::json)", 3, params,
                     PUBLICATION_TIMEOUT_MS, &result) != DB_OK) {
        rc = db_sync_fail(&result, "approved STI-CAs", err);
    } else {
        int64_t added = db_int(result.rows, 0, 0), removed = db_int(result.rows, 0, 1);

        *changed = added + removed > 0;
        if (*changed)
            log_fields(LOG_LEVEL_INFO, "the approved STI-CAs have changed",
                       LOG_NUMBER("added", added), LOG_NUMBER("removed", removed),
                       LOG_NUMBER("now", (int64_t)set->len));
    }
    db_sync_clear(&result);
    free(json);
    return rc;
}

static void warn_of_ends(const struct ca_set *set, int64_t now)
{
    for (size_t i = 0; i < set->len; i++)
        if (set->items[i].not_after <= now)
            log_warn("%s: this STI-CA's certificate has expired; clients take no call under it",
                     set->items[i].file);
        else if (set->items[i].not_after < now + WARN_BEFORE_S)
            log_warn("%s: this STI-CA's certificate ends within 30 days", set->items[i].file);
}

enum sticps_err ca_sync_run(struct ca_sync *sync, struct db_sync *db, int64_t term,
                            const char *directory, int64_t now, bool *changed,
                            struct sticps_error *err)
{
    struct ca_set *set = NULL;
    char digest[65];
    enum sticps_err rc = ca_directory_read(directory, &set, err);

    if (rc != STICPS_OK)
        return rc;
    *changed = false;
    if (!digest_of(set, digest)) {
        rc = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    } else if (strcmp(digest, sync->taken) != 0) {
        rc = store(db, term, set, changed, err);
        if (rc == STICPS_OK) {
            snprintf(sync->taken, sizeof(sync->taken), "%s", digest);
            warn_of_ends(set, now);
        }
    }
    ca_set_free(set);
    return rc;
}
