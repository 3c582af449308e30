#include "server/registry/init.h"

#include "server/db/migrate.h"
#include "server/db/sync.h"
#include "server/registry/database.h"
#include "server/registry/password.h"
#include "server/registry/session.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS 10000

/* A statement of one row and column; *value (may be NULL) is its truth. */
static enum sticps_err ask(struct db_sync *db, const char *sql, int params_len,
                           const char *const *params, bool *value, struct sticps_error *err)
{
    struct db_result result;
    enum sticps_err rc = STICPS_OK;

    if (db_sync_exec(db, sql, params_len, params, TIMEOUT_MS, &result) != DB_OK)
        rc = db_sync_fail(&result, sql, err);
    else if (value != NULL)
        *value = db_bool(result.rows, 0, 0);
    db_sync_clear(&result);
    return rc;
}

static enum sticps_err make_token_key(struct db_sync *db, struct sticps_error *err)
{
    unsigned char key[SESSION_KEY_SIZE];
    char text[SESSION_KEY_SIZE * 2 + 3];

    if (RAND_bytes(key, sizeof(key)) != 1)
        return fail(err, STICPS_ERR_CRYPTO, NULL, "OpenSSL has no random bytes");
    session_hex(key, sizeof(key), text);
    const char *params[] = {text};
    enum sticps_err rc = ask(db,
                             "INSERT INTO token_key (id, key) VALUES (1, $1::bytea) "
                             "ON CONFLICT DO NOTHING",
                             1, params, NULL, err);
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(text, sizeof(text));
    return rc;
}

static enum sticps_err make_admin(struct db_sync *db, const char *user, struct sticps_error *err)
{
    char password[PASSWORD_ONE_TIME_SIZE], hash[PASSWORD_HASH_SIZE];
    bool created = false;
    enum sticps_err rc = password_one_time(password, err);

    if (rc == STICPS_OK)
        rc = password_hash(password, strlen(password), hash, err);
    const char *params[] = {user, hash};
    if (rc == STICPS_OK)
        rc = ask(db, "SELECT first_admin($1, $2)", 2, params, &created, err);
    if (rc == STICPS_OK && created)
        printf("userId: %s\npassword: %s\n", user, password);
    else if (rc == STICPS_OK)
        puts("An administrator of the STI-PA is there already; nothing was created.");
    OPENSSL_cleanse(password, sizeof(password));
    return rc;
}

/* Gives every role its rights; PUBLIC none. */
static enum sticps_err grant_roles(struct db_sync *db, struct sticps_error *err)
{
    struct db_result result;
    enum sticps_err rc = STICPS_OK;

    if (db_sync_exec(db, "SELECT permissions_apply()", 0, NULL, TIMEOUT_MS, &result) != DB_OK)
        rc = db_sync_fail(&result, "the rights of the roles", err);
    for (int i = 0; rc == STICPS_OK && i < PQntuples(result.rows); i++)
        printf("There is no role %s: make it by roles.sql and run init again.\n",
               db_text(result.rows, i, 0));
    db_sync_clear(&result);
    return rc;
}

enum sticps_err init_run(const struct config *config, const char *pa_user, struct sticps_error *err)
{
    struct db_sync *db = NULL;
    size_t applied = 0;
    enum sticps_err rc = db_migrate(database_url(config, DATABASE_OWNER), &applied, err);

    if (rc != STICPS_OK)
        return rc;
    printf("Schema: %zu new step%s applied, %zu in all.\n", applied, applied == 1 ? "" : "s",
           migrations_len);
    rc = database_connect(config, DATABASE_OWNER, "sticps-registryd init", TIMEOUT_MS, &db, err);
    if (rc == STICPS_OK)
        rc = grant_roles(db, err);
    if (rc == STICPS_OK)
        rc = make_token_key(db, err);
    if (rc == STICPS_OK)
        rc = make_admin(db, pa_user, err);
    db_sync_free(db);
    return rc;
}
