#include "client/tools/diff.h"

#include "client/tools/rows.h"
#include "client/tools/walk.h"

#include <stdlib.h>
#include <string.h>

/* A row that is not there; no owner's key. */
#define NO_ROW UINT64_MAX

struct side {
    const struct npdb *npdb;
    uint64_t *keys; /* of each owner: npdb_owner_key */
};

struct diff {
    struct side old, new;
    struct rows_owners owners; /* of the newer file */
    FILE *changes, *block_changes;
    struct diff_counts counts;
};

static enum sticps_err side_make(const struct npdb *npdb, struct side *side,
                                 struct sticps_error *err)
{
    side->npdb = npdb;
    side->keys = calloc(npdb->owners_count, sizeof(*side->keys));
    if (side->keys == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    for (uint32_t i = 0; i < npdb->owners_count; i++)
        side->keys[i] = npdb_owner_key(npdb, i);
    return STICPS_OK;
}

static void count(uint64_t old, uint64_t new, uint64_t *added, uint64_t *removed, uint64_t *changed)
{
    if (old == NO_ROW)
        ++*added;
    else if (new == NO_ROW)
        ++*removed;
    else
        ++*changed;
}

/* ---- numbers of the plan ---- */

static inline uint64_t row_of(const struct side *side, uint32_t result)
{
    return (result & NPDB_PORTED) != 0 ? side->keys[result & NPDB_OWNER] : NO_ROW;
}

static void compare_thousand(struct diff *diff, uint32_t npa, uint32_t thousand)
{
    uint32_t was[NPDB_BLOCK_NUMBERS], is[NPDB_BLOCK_NUMBERS];
    uint64_t number = walk_number(npa, thousand);
    struct diff_counts *counts = &diff->counts;
    walk_numbers(diff->old.npdb, npa, thousand, was);
    walk_numbers(diff->new.npdb, npa, thousand, is);
    for (size_t i = 0; i < NPDB_BLOCK_NUMBERS; i++) {
        uint64_t old = row_of(&diff->old, was[i]), new = row_of(&diff->new, is[i]);
        if (old == new)
            continue;
        count(old, new, &counts->ported_in, &counts->ported_back, &counts->moved);
        if (diff->changes != NULL)
            rows_number(diff->changes, number + i,
                        new == NO_ROW ? "-" : diff->owners.text[is[i] & NPDB_OWNER]);
    }
}

static void compare_plan(struct diff *diff)
{
    for (uint32_t npa = 0; npa < NPDB_NPA_COUNT; npa++)
        for (uint32_t i = 0; i < NPDB_PAGE_SLOTS; i++)
            if (((npdb_slot(diff->old.npdb, npa, i) | npdb_slot(diff->new.npdb, npa, i)) &
                 NPDB_SLOT_BLOCK) != 0)
                compare_thousand(diff, npa, i);
}

/* ---- prefixes ---- */

static void compare_prefix(struct diff *diff, uint64_t key, uint64_t old, uint64_t new,
                           uint32_t owner)
{
    struct diff_counts *counts = &diff->counts;
    bool ported = (key & 1) != 0;
    FILE *to = ported ? diff->changes : diff->block_changes;
    if (old == new)
        return;
    if (ported)
        count(old, new, &counts->ported_in, &counts->ported_back, &counts->moved);
    else
        count(old, new, &counts->blocks_added, &counts->blocks_removed, &counts->blocks_changed);
    if (to != NULL)
        rows_prefix(to, key,
                    new != NO_ROW ? diff->owners.text[owner]
                    : ported      ? "-"
                                  : DIFF_REMOVED);
}

/* Key of row `i`, or one above all when there is none, and its owner as a key. */
static uint64_t prefix_row(const struct side *side, uint32_t i, uint64_t *row, uint32_t *owner)
{
    if (i >= side->npdb->prefixes_count)
        return UINT64_MAX;
    uint64_t key = npdb_prefix(side->npdb, i, owner);
    *row = side->keys[*owner];
    return key;
}

static void compare_prefixes(struct diff *diff)
{
    for (uint32_t i = 0, k = 0;;) {
        uint64_t old = NO_ROW, new = NO_ROW;
        uint32_t was = 0, is = 0;
        uint64_t old_key = prefix_row(&diff->old, i, &old, &was);
        uint64_t new_key = prefix_row(&diff->new, k, &new, &is);
        uint64_t key = old_key < new_key ? old_key : new_key;
        if (key == UINT64_MAX)
            return;
        i += old_key == key;
        k += new_key == key;
        compare_prefix(diff, key, old_key == key ? old : NO_ROW, new_key == key ? new : NO_ROW, is);
    }
}

enum sticps_err diff_rows(const struct npdb *old, const struct npdb *new, FILE *changes,
                          FILE *block_changes, struct diff_counts *out, struct sticps_error *err)
{
    struct diff diff = {.changes = changes, .block_changes = block_changes};
    enum sticps_err code = side_make(old, &diff.old, err);
    if (code == STICPS_OK)
        code = side_make(new, &diff.new, err);
    if (code == STICPS_OK)
        code = rows_owners_make(new, &diff.owners, err);
    if (code == STICPS_OK) {
        compare_prefixes(&diff);
        compare_plan(&diff);
        *out = diff.counts;
    }
    rows_owners_clear(&diff.owners);
    free(diff.old.keys);
    free(diff.new.keys);
    return code;
}
