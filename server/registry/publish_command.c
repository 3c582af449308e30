#include "server/registry/publish_command.h"

#include "common/spc.h"
#include "server/db/migrate.h"
#include "server/db/sync.h"
#include "server/registry/brake.h"
#include "server/registry/ca_directory.h"
#include "server/registry/database.h"
#include "server/registry/list_diff.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 5000
#define QUERY_MS 60000
#define COMMAND_USER "sticps-registryd" /* who did it, in the audit trail */

/* ---- what the next list of a kind would say ---- */

struct preview {
    enum list_kind kind;
    int64_t last_sequence;
    char confirmed[LIST_CONFIRM_SIZE];
    struct list_content *last; /* NULL before the first */
    struct list_items next;
    struct db_result rows; /* what the next list's texts live in: these, or the set */
    bool rows_held;
    struct ca_set *cas;
    struct list_loss loss;
    bool held;
};

static const struct list_items nothing = {NULL, 0};

static void preview_clear(struct preview *preview)
{
    if (preview->rows_held)
        db_sync_clear(&preview->rows);
    list_content_free(preview->last);
    ca_set_free(preview->cas);
    free(preview->next.items);
}

static enum sticps_err read_last(struct db_sync *db, struct preview *preview,
                                 struct sticps_error *err)
{
    const char *params[] = {list_kind_name(preview->kind)};
    struct db_result result;
    enum sticps_err rc = STICPS_OK;

    if (db_sync_exec(db,
                     "SELECT (SELECT max(sequence) FROM publication WHERE kind = $1), confirmed "
                     "FROM list_state WHERE kind = $1",
                     1, params, QUERY_MS, &result) != DB_OK) {
        rc = db_sync_fail(&result, "list_state", err);
    } else {
        preview->last_sequence = db_int(result.rows, 0, 0);
        snprintf(preview->confirmed, sizeof(preview->confirmed), "%s", db_text(result.rows, 0, 1));
    }
    db_sync_clear(&result);
    if (rc == STICPS_OK && preview->last_sequence > 0)
        rc = brake_read_list(db, preview->kind, preview->last_sequence, &preview->last, err);
    return rc;
}

/* An entry that the publisher would refuse stops every publication, so it is no preview either. */
static enum sticps_err check_entry(const struct url_rules *rules, const struct list_item *item,
                                   struct sticps_error *err)
{
    struct spc spc;
    enum sticps_err rc = spc_from_claim(item->key, strlen(item->key), &spc, err);

    if (rc == STICPS_OK)
        rc = cps_url_check(item->value, strlen(item->value), rules, err);
    if (rc == STICPS_OK)
        return STICPS_OK;
    fail_context(err, "NOTHING CAN BE PUBLISHED: correct the entry of %s", item->key);
    return STICPS_ERR_STATE;
}

static enum sticps_err read_entries(struct db_sync *db, const struct config *config,
                                    struct preview *preview, struct sticps_error *err)
{
    const struct url_rules rules = config_url_rules(config);
    enum sticps_err rc = STICPS_OK;

    preview->rows_held = true;
    if (db_sync_exec(db, "SELECT spc, url FROM list_entries()", 0, NULL, QUERY_MS,
                     &preview->rows) != DB_OK)
        return db_sync_fail(&preview->rows, "entries", err);
    const size_t len = (size_t)PQntuples(preview->rows.rows);
    preview->next.items = calloc(len + 1, sizeof(*preview->next.items));
    if (preview->next.items == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    for (; preview->next.len < len && rc == STICPS_OK; preview->next.len++) {
        struct list_item *item = &preview->next.items[preview->next.len];

        item->key = db_text(preview->rows.rows, (int)preview->next.len, 0);
        item->value = db_text(preview->rows.rows, (int)preview->next.len, 1);
        rc = check_entry(&rules, item, err);
    }
    return rc;
}

static enum sticps_err read_cas(const struct config *config, struct preview *preview,
                                struct sticps_error *err)
{
    enum sticps_err rc = ca_directory_read(config->ca_list.directory, &preview->cas, err);

    if (rc != STICPS_OK)
        return rc;
    preview->next.items = calloc(preview->cas->len, sizeof(*preview->next.items));
    if (preview->next.items == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    for (size_t i = 0; i < preview->cas->len; i++)
        preview->next.items[i] =
            (struct list_item){preview->cas->items[i].sha256, preview->cas->items[i].subject};
    preview->next.len = preview->cas->len;
    return STICPS_OK;
}

static const struct list_items *before_of(const struct preview *preview)
{
    return preview->last != NULL ? &preview->last->list : &nothing;
}

static enum sticps_err preview_make(struct db_sync *db, const struct config *config,
                                    struct preview *preview, struct sticps_error *err)
{
    const struct config_brake *brake =
        preview->kind == LIST_CA ? &config->ca_list.brake : &config->list.brake;
    enum sticps_err rc = read_last(db, preview, err);

    if (rc == STICPS_OK)
        rc = preview->kind == LIST_CA ? read_cas(config, preview, err)
                                      : read_entries(db, config, preview, err);
    if (rc == STICPS_OK)
        rc =
            list_loss_count(preview->kind, before_of(preview), &preview->next, &preview->loss, err);
    if (rc == STICPS_OK)
        preview->held = list_brake_holds(brake, &preview->loss) &&
                        strcmp(preview->confirmed, preview->loss.confirm) != 0;
    return rc;
}

/* ---- printing ---- */

static void print_text(const struct preview *preview)
{
    struct list_walk walk = {before_of(preview), &preview->next, 0, 0};
    const struct list_item *old, *new;
    enum list_change change;
    size_t count[LIST_REMOVED + 1] = {0};

    printf("%s: sequence %" PRId64 " of %zu entries would follow %" PRId64 " of %zu\n",
           list_kind_name(preview->kind), preview->last_sequence + 1, preview->next.len,
           preview->last_sequence, walk.before->len);
    while (list_walk_next(&walk, &change, &old, &new)) {
        count[change]++;
        if (change == LIST_ADDED)
            printf("  + %s %s\n", new->key, new->value);
        else if (change == LIST_CHANGED)
            printf("  ~ %s %s -> %s\n", new->key, old->value, new->value);
        else if (change == LIST_REMOVED)
            printf("  - %s %s\n", old->key, old->value);
    }
    printf("  %zu added, %zu changed, %zu removed, %zu unchanged\n", count[LIST_ADDED],
           count[LIST_CHANGED], count[LIST_REMOVED], count[LIST_SAME]);
    if (preview->held)
        printf("  THE BRAKE HOLDS: %zu of %zu entries would be lost. If that is meant:\n"
               "  sticps-registryd publish --confirm %s\n",
               preview->loss.lost, preview->loss.of, preview->loss.confirm);
}

static json_t *item_json(enum list_kind kind, const struct list_item *item, const char *before)
{
    json_t *json = json_pack("{s:s, s:s}", kind == LIST_CA ? "sha256" : "spc", item->key,
                             kind == LIST_CA ? "subject" : "url", item->value);

    if (before != NULL)
        json_object_set_new(json, "before", json_string(before));
    return json;
}

static json_t *preview_json(const struct preview *preview)
{
    struct list_walk walk = {before_of(preview), &preview->next, 0, 0};
    const struct list_item *old, *new;
    json_t *added = json_array(), *changed = json_array(), *removed = json_array();
    json_int_t same = 0;
    enum list_change change;

    while (list_walk_next(&walk, &change, &old, &new)) {
        if (change == LIST_ADDED)
            json_array_append_new(added, item_json(preview->kind, new, NULL));
        else if (change == LIST_CHANGED)
            json_array_append_new(changed, item_json(preview->kind, new, old->value));
        else if (change == LIST_REMOVED)
            json_array_append_new(removed, item_json(preview->kind, old, NULL));
        else
            same++;
    }
    json_t *json = json_pack(
        "{s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:I, s:b}", "list", list_kind_name(preview->kind),
        "lastSequence", (json_int_t)preview->last_sequence, "nextSequence",
        (json_int_t)preview->last_sequence + 1, "entries", (json_int_t)preview->next.len, "added",
        added, "changed", changed, "removed", removed, "unchanged", same, "held", preview->held);
    if (preview->held)
        json_object_set_new(json, "confirm", json_string(preview->loss.confirm));
    return json;
}

/* ---- the dry run ---- */

static enum sticps_err dry_run(struct db_sync *db, const struct config *config, bool json,
                               bool *held, struct sticps_error *err)
{
    json_t *lists = json_array();
    enum sticps_err rc =
        db_sync_run(db, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0, NULL, QUERY_MS, err);

    *held = false;
    for (size_t kind = 0; kind < LIST_KINDS && rc == STICPS_OK; kind++) {
        struct preview preview = {.kind = kind};

        if (kind == LIST_CA && config->ca_list.directory == NULL)
            continue;
        rc = preview_make(db, config, &preview, err);
        if (rc == STICPS_OK && json)
            json_array_append_new(lists, preview_json(&preview));
        else if (rc == STICPS_OK)
            print_text(&preview);
        *held = *held || preview.held;
        preview_clear(&preview);
    }
    if (rc == STICPS_OK && json) {
        json_dumpf(lists, stdout, JSON_INDENT(1));
        putchar('\n');
    }
    json_decref(lists);
    return rc;
}

/* ---- asking the publishing node ---- */

static enum sticps_err ask(struct db_sync *db, const char *confirm, struct sticps_error *err)
{
    const char *params[] = {COMMAND_USER, confirm};
    struct db_result result;
    enum sticps_err rc = STICPS_OK;

    if (db_sync_exec(db, "SELECT outcome, detail FROM publication_ask($1, NULL, $2)", 2, params,
                     QUERY_MS, &result) != DB_OK)
        rc = db_sync_fail(&result, "request to publish", err);
    else if (strcmp(db_text(result.rows, 0, 0), "ACCEPTED") != 0)
        rc = fail(err, STICPS_ERR_STATE, NULL, "%s", db_text(result.rows, 0, 1));
    else
        puts("The node that publishes has been asked; the list is out within seconds.");
    db_sync_clear(&result);
    return rc;
}

enum sticps_err publish_command(const struct config *config, const struct publish_options *options,
                                bool *held, struct sticps_error *err)
{
    struct db_sync *db = NULL;
    enum sticps_err rc = db_migrate_check(database_url(config, DATABASE_PUBLISHING), err);

    if (rc == STICPS_OK)
        rc = database_connect(config, DATABASE_PUBLISHING, "sticps-registryd publish", CONNECT_MS,
                              &db, err);
    if (rc == STICPS_OK && options->dry_run)
        rc = dry_run(db, config, options->json, held, err);
    else if (rc == STICPS_OK)
        rc = ask(db, options->confirm, err);
    db_sync_free(db);
    return rc;
}
