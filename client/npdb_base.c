#include "client/npdb_base.h"

#include <stdlib.h>
#include <string.h>

void npdb_changes_join(struct npdb_changes *all, const struct npdb_changes *some)
{
    all->ported_in += some->ported_in;
    all->moved += some->moved;
    all->ported_back += some->ported_back;
    all->same += some->same;
    all->blocks += some->blocks;
}

/* They are sorted and each is there once (npdb_validate), so each gets the next index. */
enum sticps_err npdb_base_owners(const struct npdb *base, struct npdb_owners *owners,
                                 struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    for (uint32_t i = NPDB_FIRST_OWNER, index; code == STICPS_OK && i < base->owners_count; i++)
        code = npdb_owners_add(owners, npdb_owner_key(base, i), &index, err);
    return code;
}

/* ---- prefixes ---- */

/* `was` or `is` may be NULL, for no row. */
static void count_prefix(const struct npdb_prefix *was, const struct npdb_prefix *is,
                         struct npdb_changes *counts)
{
    uint32_t old = was != NULL ? was->owner : NPDB_OWNER_UNKNOWN;
    bool same = old == is->owner;
    if (same)
        counts->same++;
    else if ((is->key & 1) == 0)
        counts->blocks++;
    else
        ++*(was == NULL                       ? &counts->ported_in
            : is->owner == NPDB_OWNER_UNKNOWN ? &counts->ported_back
                                              : &counts->moved);
}

enum sticps_err npdb_base_prefixes(const struct npdb *base, const struct npdb_prefix *changes,
                                   size_t changes_len, struct npdb_prefix **out, size_t *out_len,
                                   struct npdb_changes *counts, struct sticps_error *err)
{
    struct npdb_prefix *rows = calloc(base->prefixes_count + changes_len + 1, sizeof(*rows));
    if (rows == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    size_t len = 0, next = 0;
    for (uint32_t i = 0; i < base->prefixes_count || next < changes_len;) {
        struct npdb_prefix was = {.key = UINT64_MAX}, row;
        const struct npdb_prefix *is = next < changes_len ? &changes[next] : NULL;
        if (i < base->prefixes_count)
            was.key = npdb_prefix(base, i, &was.owner);
        row = was;
        if (is != NULL && is->key <= was.key) {
            row = *is;
            count_prefix(is->key == was.key ? &was : NULL, is, counts);
            next++;
        }
        i += row.key == was.key;
        if (row.owner != NPDB_OWNER_UNKNOWN)
            rows[len++] = row;
    }
    *out = rows;
    *out_len = len;
    return STICPS_OK;
}

/* ---- numbers of the plan ---- */

/* Makes local numbers for the base's owners that a block names, where they are needed first. */
static enum sticps_err know_symbols(const struct npdb *base, struct npdb_npa *npa,
                                    const uint16_t *entries, unsigned len, struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    for (unsigned i = 0; code == STICPS_OK && i < len; i++) {
        uint32_t local, owner = npdb_palette_owner(base, npa->npa - 200, entries[i]);
        if (npa->kept_local[entries[i]] != NPDB_NOT_PORTED)
            continue;
        code = npdb_npa_local(npa, owner, &local, err);
        if (code == STICPS_OK)
            npa->kept_local[entries[i]] = (uint16_t)local;
    }
    return code;
}

/* `is` is what the changes have made of a number that had `was`, both local; returns what it has
 * now. */
static uint16_t change_one(uint16_t was, uint16_t is, uint16_t away, struct npdb_changes *counts)
{
    if (is == away) {
        ++*(was == NPDB_NOT_PORTED ? &counts->same : &counts->ported_back);
        return NPDB_NOT_PORTED;
    }
    ++*(was == NPDB_NOT_PORTED ? &counts->ported_in : was == is ? &counts->same : &counts->moved);
    return is;
}

/* Puts the changes of a thousand, which lie in npa->numbers, over what the base has; `numbers` are
 * its entries. */
static void lay_over(struct npdb_npa *npa, uint32_t thousand, uint16_t numbers[NPDB_BLOCK_NUMBERS],
                     struct npdb_changes *counts)
{
    uint16_t *changed = npa->numbers + (size_t)thousand * NPDB_BLOCK_NUMBERS;
    const uint16_t away = (uint16_t)(npa->local[NPDB_OWNER_UNKNOWN] - 1u);
    unsigned before = 0, after = 0;
    for (size_t i = 0; i < NPDB_BLOCK_NUMBERS; i++) {
        numbers[i] = npa->kept_local[numbers[i]];
        before += numbers[i] != NPDB_NOT_PORTED;
    }
    for (size_t i = 0; i < NPDB_BLOCK_NUMBERS; i++)
        if (changed[i] != NPDB_NOT_PORTED)
            numbers[i] = change_one(numbers[i], changed[i], away, counts);
    for (size_t i = 0; i < NPDB_BLOCK_NUMBERS; i++)
        after += numbers[i] != NPDB_NOT_PORTED;
    memcpy(changed, numbers, NPDB_BLOCK_NUMBERS * sizeof(*changed));
    npa->ported[thousand] = (uint16_t)after;
    npa->replaced += before;
}

/* Whether a block without changes may stay as it is: its other numbers have the same owner yet. */
static bool holds_still(const struct npdb *base, const struct npdb_npa *npa, uint32_t thousand,
                        const uint16_t *entries, unsigned own)
{
    return npa->ported[thousand] == 0 &&
           (own == NPDB_HEAD_NO_OWN ||
            npdb_palette_owner(base, npa->npa - 200, entries[own]) == npa->own[thousand]);
}

/* Marks the owners that the NPA's blocks name, for the palette: each once, without counting. */
static enum sticps_err mark_changed(struct npdb_npa *npa, uint32_t thousand,
                                    struct sticps_error *err)
{
    const uint16_t *numbers = npa->numbers + (size_t)thousand * NPDB_BLOCK_NUMBERS;
    uint32_t own;
    for (size_t i = 0; i < NPDB_BLOCK_NUMBERS; i++)
        if (numbers[i] != NPDB_NOT_PORTED)
            npa->uses[numbers[i]] = 1;
    if (npa->ported[thousand] == 0 || npa->ported[thousand] == NPDB_BLOCK_NUMBERS)
        return STICPS_OK;
    enum sticps_err code = npdb_npa_local(npa, npa->own[thousand], &own, err);
    if (code == STICPS_OK)
        npa->uses[own] = 1;
    return code;
}

static enum sticps_err fill_thousand(const struct npdb *base, struct npdb_npa *npa,
                                     uint32_t thousand, struct npdb_changes *counts,
                                     struct sticps_error *err)
{
    uint16_t entries[NPDB_BLOCK_NUMBERS], numbers[NPDB_BLOCK_NUMBERS], entry;
    uint32_t slot = npdb_slot(base, npa->npa - 200, thousand);
    const unsigned char *block = NULL;
    unsigned own = NPDB_HEAD_NO_OWN, symbols = 0;
    if ((slot & NPDB_SLOT_BLOCK) != 0) {
        block = npdb_slot_block(base, slot);
        symbols = npdb_block_symbols(block, entries, &own);
    } else if (npa->ported[thousand] == 0) {
        return STICPS_OK;
    }
    enum sticps_err code = know_symbols(base, npa, entries, symbols, err);
    if (code != STICPS_OK)
        return code;
    if (block != NULL && holds_still(base, npa, thousand, entries, own)) {
        npa->kept[thousand] = block;
        for (unsigned i = 0; i < symbols; i++)
            npa->uses[npa->kept_local[entries[i]]] = 1;
        return STICPS_OK;
    }
    memset(numbers, 0xff, sizeof(numbers));
    if (block != NULL)
        npdb_block_decode(block, numbers, &entry);
    lay_over(npa, thousand, numbers, counts);
    return mark_changed(npa, thousand, err);
}

/* A palette that is too long to be in the order of owners is in the order of how often they are
 * named. npdb_npa_finish adds those of the numbers that are not ported in changed blocks. */
static void count_uses(struct npdb_npa *npa)
{
    memset(npa->uses, 0, npa->locals * sizeof(*npa->uses));
    for (size_t thousand = 0; thousand < NPDB_PAGE_SLOTS; thousand++) {
        const uint16_t *numbers = npa->numbers + thousand * NPDB_BLOCK_NUMBERS;
        uint16_t kept[NPDB_BLOCK_NUMBERS], own = NPDB_NOT_PORTED;
        if (npa->kept[thousand] == NULL && npa->ported[thousand] == 0)
            continue;
        if (npa->kept[thousand] != NULL) {
            npdb_block_decode(npa->kept[thousand], kept, &own);
            for (size_t i = 0; i < NPDB_BLOCK_NUMBERS; i++)
                kept[i] = npa->kept_local[kept[i]];
            numbers = kept;
        }
        for (size_t i = 0; i < NPDB_BLOCK_NUMBERS; i++)
            if (numbers[i] != NPDB_NOT_PORTED)
                npa->uses[numbers[i]]++;
        if (own != NPDB_NOT_PORTED)
            npa->uses[npa->kept_local[own]]++;
    }
}

enum sticps_err npdb_base_fill(const struct npdb *base, struct npdb_npa *npa,
                               struct npdb_changes *counts, struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    uint32_t used = 0;
    memset(npa->uses, 0, npa->locals * sizeof(*npa->uses)); /* of changes alone */
    for (uint32_t i = 0; code == STICPS_OK && i < NPDB_PAGE_SLOTS; i++)
        code = fill_thousand(base, npa, i, counts, err);
    for (uint32_t i = 0; i < npa->locals; i++)
        used += npa->uses[i];
    if (code == STICPS_OK && used > NPDB_SORTED_PALETTE)
        count_uses(npa);
    return code;
}
