#include "client/npdb_npa.h"

#include <stdlib.h>
#include <string.h>

/* An owner that blocks name. */
struct npdb_named {
    uint64_t rank;
    uint32_t uses;
    uint16_t local;
};

/* Entries of a palette, and behind them NPDB_NOT_PORTED, which is none in any palette. */
#define ENTRIES_SIZE (NPDB_MAX_PALETTE + 1)

static enum sticps_err no_memory(struct sticps_error *err)
{
    return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
}

enum sticps_err npdb_npa_start(struct npdb_npa *npa, const struct npdb_owners *owners,
                               struct sticps_error *err)
{
    memset(npa, 0, sizeof(*npa));
    npa->owners = owners;
    npa->numbers = malloc(NPDB_NPA_NUMBERS * sizeof(*npa->numbers));
    npa->local = calloc(owners->len, sizeof(*npa->local));
    npa->owner = malloc(NPDB_MAX_PALETTE * sizeof(*npa->owner));
    npa->uses = calloc(NPDB_MAX_PALETTE, sizeof(*npa->uses));
    npa->entry = calloc(ENTRIES_SIZE, sizeof(*npa->entry));
    npa->named = malloc(NPDB_MAX_PALETTE * sizeof(*npa->named));
    npa->kept_local = malloc(ENTRIES_SIZE * sizeof(*npa->kept_local));
    if (npa->numbers == NULL || npa->local == NULL || npa->owner == NULL || npa->uses == NULL ||
        npa->entry == NULL || npa->named == NULL || npa->kept_local == NULL) {
        npdb_npa_clear(npa);
        return no_memory(err);
    }
    memset(npa->numbers, 0xff, NPDB_NPA_NUMBERS * sizeof(*npa->numbers));
    memset(npa->kept_local, 0xff, ENTRIES_SIZE * sizeof(*npa->kept_local));
    return STICPS_OK;
}

void npdb_npa_clear(struct npdb_npa *npa)
{
    free(npa->numbers);
    free(npa->local);
    free(npa->owner);
    free(npa->uses);
    free(npa->entry);
    free(npa->named);
    free(npa->kept_local);
    memset(npa, 0, sizeof(*npa));
}

enum sticps_err npdb_npa_new_local(struct npdb_npa *npa, uint32_t owner, uint32_t *local,
                                   struct sticps_error *err)
{
    if (npa->locals == NPDB_MAX_PALETTE)
        return fail(err, STICPS_ERR_NPDB, NULL,
                    "the numbers of NPA %u have more than %u different owners", npa->npa,
                    NPDB_MAX_PALETTE);
    *local = npa->locals++;
    npa->owner[*local] = owner;
    npa->local[owner] = (uint16_t)(*local + 1);
    return STICPS_OK;
}

/* ---- the palette ---- */

static int by_rank(const void *a, const void *b)
{
    const struct npdb_named *x = a, *y = b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static int by_uses(const void *a, const void *b)
{
    const struct npdb_named *x = a, *y = b;
    if (x->uses != y->uses)
        return x->uses > y->uses ? -1 : 1;
    return by_rank(a, b);
}

/* A block with numbers that are not ported names who has those. */
static enum sticps_err count_own(struct npdb_npa *npa, struct sticps_error *err)
{
    for (size_t i = 0; i < NPDB_PAGE_SLOTS; i++) {
        if (npa->ported[i] == 0 || npa->ported[i] == NPDB_BLOCK_NUMBERS)
            continue;
        uint32_t local;
        enum sticps_err code = npdb_npa_local(npa, npa->own[i], &local, err);
        if (code != STICPS_OK)
            return code;
        npa->uses[local]++;
    }
    return STICPS_OK;
}

static enum sticps_err make_palette(struct npdb_npa *npa, struct npdb_npa_result *result,
                                    struct sticps_error *err)
{
    size_t len = 0;
    struct npdb_named *named = npa->named;
    for (uint32_t i = 0; i < npa->locals; i++)
        if (npa->uses[i] > 0)
            named[len++] = (struct npdb_named){npdb_owners_rank(npa->owners, npa->owner[i]),
                                               npa->uses[i], (uint16_t)i};
    qsort(named, len, sizeof(*named), len <= NPDB_SORTED_PALETTE ? by_rank : by_uses);
    if (len > result->palette_capacity) {
        uint32_t *grown = reallocarray(result->palette, len, sizeof(*grown));
        if (grown == NULL)
            return no_memory(err);
        result->palette = grown;
        result->palette_capacity = len;
    }
    for (size_t i = 0; i < len; i++) {
        result->palette[i] = npa->owner[named[i].local];
        npa->entry[named[i].local] = (uint16_t)i;
    }
    result->palette_len = len;
    return STICPS_OK;
}

/* ---- blocks ---- */

static enum sticps_err make_room(struct npdb_npa_result *result, struct sticps_error *err)
{
    if (result->blocks_capacity - result->blocks_len >= NPDB_BLOCK_MAX_SIZE)
        return STICPS_OK;
    size_t capacity = result->blocks_capacity == 0 ? 65536 : result->blocks_capacity * 2;
    unsigned char *grown = realloc(result->blocks, capacity);
    if (grown == NULL)
        return no_memory(err);
    result->blocks = grown;
    result->blocks_capacity = capacity;
    return STICPS_OK;
}

static enum sticps_err copy_block(const struct npdb_npa *npa, size_t thousand,
                                  struct npdb_npa_result *result, struct sticps_error *err)
{
    const unsigned char *block = npa->kept[thousand];
    enum sticps_err code = make_room(result, err);
    if (code != STICPS_OK)
        return code;
    size_t size = npdb_block_check(block, NPDB_BLOCK_MAX_SIZE, NPDB_MAX_PALETTE);
    unsigned char *out = result->blocks + result->blocks_len;
    if (npdb_block_renumber(block, size, npa->kept_local, out) == 0) {
        uint16_t numbers[NPDB_BLOCK_NUMBERS], own = 0;
        npdb_block_decode(block, numbers, &own);
        for (size_t x = 0; x < NPDB_BLOCK_NUMBERS; x++)
            numbers[x] = npa->kept_local[numbers[x]];
        size = npdb_block_encode(numbers, npa->kept_local[own], out);
    }
    result->slots[thousand] = NPDB_SLOT_BLOCK | (uint32_t)(result->blocks_len / 8);
    result->blocks_len += size;
    result->block_count++;
    return STICPS_OK;
}

static enum sticps_err make_block(const struct npdb_npa *npa, size_t thousand,
                                  struct npdb_npa_result *result, struct sticps_error *err)
{
    const uint16_t *from = npa->numbers + thousand * NPDB_BLOCK_NUMBERS;
    uint16_t numbers[NPDB_BLOCK_NUMBERS], own = 0;
    enum sticps_err code = make_room(result, err);
    if (code != STICPS_OK)
        return code;
    for (size_t x = 0; x < NPDB_BLOCK_NUMBERS; x++)
        numbers[x] = npa->entry[from[x]];
    if (npa->ported[thousand] < NPDB_BLOCK_NUMBERS)
        own = npa->entry[npa->local[npa->own[thousand]] - 1u];
    result->slots[thousand] = NPDB_SLOT_BLOCK | (uint32_t)(result->blocks_len / 8);
    result->blocks_len += npdb_block_encode(numbers, own, result->blocks + result->blocks_len);
    result->block_count++;
    result->ports += npa->ported[thousand];
    return STICPS_OK;
}

static bool all_equal(const uint32_t slots[NPDB_PAGE_SLOTS])
{
    for (size_t i = 1; i < NPDB_PAGE_SLOTS; i++)
        if (slots[i] != slots[0])
            return false;
    return true;
}

static enum sticps_err make_result(struct npdb_npa *npa, struct npdb_npa_result *result,
                                   struct sticps_error *err)
{
    enum sticps_err code = count_own(npa, err);
    if (code == STICPS_OK)
        code = make_palette(npa, result, err);
    npa->entry[NPDB_NOT_PORTED] = NPDB_NOT_PORTED;
    for (size_t i = 0; i < ENTRIES_SIZE; i++) /* from here on an entry of this palette */
        npa->kept_local[i] = npa->entry[npa->kept_local[i]];
    for (size_t i = 0; code == STICPS_OK && i < NPDB_PAGE_SLOTS; i++) {
        if (npa->kept[i] != NULL)
            code = copy_block(npa, i, result, err);
        else if (npa->ported[i] > 0)
            code = make_block(npa, i, result, err);
        else
            result->slots[i] = npa->own[i];
    }
    result->has_page = result->block_count > 0 || !all_equal(result->slots);
    result->owner = result->has_page ? NPDB_OWNER_UNKNOWN : result->slots[0];
    return code;
}

enum sticps_err npdb_npa_finish(struct npdb_npa *npa, struct npdb_npa_result *result,
                                struct sticps_error *err)
{
    result->npa = npa->npa;
    result->blocks_len = result->palette_len = 0;
    result->block_count = 0;
    result->ports = 0 - npa->replaced;
    enum sticps_err code = make_result(npa, result, err);
    npdb_npa_reset(npa);
    return code;
}

void npdb_npa_reset(struct npdb_npa *npa)
{
    for (size_t i = 0; i < NPDB_PAGE_SLOTS; i++)
        if (npa->ported[i] > 0)
            memset(npa->numbers + i * NPDB_BLOCK_NUMBERS, 0xff,
                   NPDB_BLOCK_NUMBERS * sizeof(*npa->numbers));
    memset(npa->ported, 0, sizeof(npa->ported));
    memset(npa->kept, 0, sizeof(npa->kept));
    memset(npa->kept_local, 0xff, ENTRIES_SIZE * sizeof(*npa->kept_local));
    for (uint32_t i = 0; i < npa->locals; i++)
        npa->local[npa->owner[i]] = 0;
    memset(npa->uses, 0, npa->locals * sizeof(*npa->uses));
    npa->locals = 0;
    npa->replaced = 0;
}

void npdb_npa_result_clear(struct npdb_npa_result *result)
{
    free(result->blocks);
    free(result->palette);
    memset(result, 0, sizeof(*result));
}
