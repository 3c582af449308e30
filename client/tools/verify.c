#include "client/tools/verify.h"

#include "client/tools/walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct verify {
    const struct npdb *npdb;
    bool *used;     /* of each owner */
    uint32_t *uses; /* of each entry of the NPA's palette, as docs/npdb-format.md counts them */
    uint64_t ports;
    struct sticps_error *err;
};

#define PLACE_SIZE 16
/* "202-555-1" */
static const char *place_of(uint32_t npa, uint32_t thousand, char out[PLACE_SIZE])
{
    snprintf(out, PLACE_SIZE, "%u-%u-%u", (npa + 200) % 1000, (thousand / 10 + 200) % 1000,
             thousand % 10);
    return out;
}

/* "1202555 or more": the digits of a row of prefixes. */
static const char *prefix_of(uint64_t key, char out[24])
{
    snprintf(out, 24, "%015" PRIu64, key >> 5);
    out[key >> 1 & 15] = '\0';
    return out;
}

/* ---- owners and prefixes ---- */

/* The owner of the LRN's six digits by the rows of blocks. */
static uint32_t lrn_carrier(const struct npdb *npdb, uint64_t lrn)
{
    uint64_t key = npdb_prefix_key((lrn >> 4) / 10000, 7, 0);
    uint32_t row = walk_prefix_from(npdb, key), owner;
    if (row < npdb->prefixes_count && npdb_prefix(npdb, row, &owner) == key)
        return owner;
    return NPDB_OWNER_NOBODY;
}

static enum sticps_err check_owners(const struct verify *v)
{
    for (uint32_t i = NPDB_FIRST_OWNER; i < v->npdb->owners_count; i++) {
        uint64_t lrn = npdb_owner_lrn(v->npdb, i);
        const char *spc = npdb_owner_code(v->npdb, i);
        if (!v->used[i])
            return fail(v->err, STICPS_ERR_NPDB, NULL, "owner %" PRIu32 " is used nowhere", i);
        if (lrn == 0)
            continue;
        const char *right = npdb_owner_code(v->npdb, lrn_carrier(v->npdb, lrn));
        if (memcmp(spc, right, sizeof(((struct spc *)0)->text)) != 0)
            return fail(v->err, STICPS_ERR_NPDB, NULL,
                        "the LRN %" PRIu64 " has '%s', but its NPA-NXX has '%s'", lrn >> 4, spc,
                        right);
    }
    return STICPS_OK;
}

static enum sticps_err check_prefixes(const struct verify *v)
{
    for (uint32_t i = 0, owner; i < v->npdb->prefixes_count; i++) {
        uint64_t key = npdb_prefix(v->npdb, i, &owner);
        char digits[24];
        prefix_of(key, digits);
        v->used[owner] = true;
        if ((key & 1) == 0 && npdb_owner_lrn(v->npdb, owner) != 0)
            return fail(v->err, STICPS_ERR_NPDB, NULL, "the block %s has an LRN", digits);
        if ((key & 1) == 0 && digits[0] == '1' && strlen(digits) > 8)
            return fail(v->err, STICPS_ERR_NPDB, NULL, "the block %s is longer than an NPA-NXX-X",
                        digits);
        if ((key & 1) != 0 && owner < NPDB_FIRST_OWNER)
            return fail(v->err, STICPS_ERR_NPDB, NULL, "the ported number %s is nobody's", digits);
        if ((key & 1) != 0 && digits[0] == '1')
            return fail(v->err, STICPS_ERR_NPDB, NULL,
                        "the ported number %s of the plan is among the prefixes", digits);
    }
    return STICPS_OK;
}

/* ---- blocks ---- */

static enum sticps_err wrong_block(const struct verify *v, uint32_t npa, uint32_t thousand,
                                   const char *what)
{
    char place[PLACE_SIZE];
    return fail(v->err, STICPS_ERR_NPDB, NULL, "the block of %s %s", place_of(npa, thousand, place),
                what);
}

/* A block is what encoding its numbers gives, zeros behind it included. */
static bool is_canonical(const unsigned char *block, size_t size,
                         const uint16_t numbers[NPDB_BLOCK_NUMBERS], uint16_t own)
{
    unsigned char again[NPDB_BLOCK_MAX_SIZE];
    return npdb_block_encode(numbers, own, again) == size && memcmp(again, block, size) == 0;
}

static enum sticps_err check_block(struct verify *v, uint32_t npa, uint32_t thousand, uint32_t slot,
                                   uint32_t own_owner)
{
    const struct npdb *npdb = v->npdb;
    const unsigned char *block = npdb_slot_block(npdb, slot);
    uint32_t palette = npdb_get32(npdb->npas + (size_t)npa * NPDB_NPA_SIZE + 12);
    uint16_t numbers[NPDB_BLOCK_NUMBERS], own = 0;
    uint32_t ported = 0;
    npdb_block_decode(block, numbers, &own);
    for (size_t i = 0; i < NPDB_BLOCK_NUMBERS; i++) {
        if (numbers[i] == NPDB_NOT_PORTED)
            continue;
        ported++;
        v->uses[numbers[i]]++;
        if (npdb_palette_owner(npdb, npa, numbers[i]) < NPDB_FIRST_OWNER)
            return wrong_block(v, npa, thousand, "has a ported number that is nobody's");
    }
    if (ported == 0)
        return wrong_block(v, npa, thousand, "has no ported number");
    if (ported < NPDB_BLOCK_NUMBERS) {
        v->uses[own]++;
        if (npdb_palette_owner(npdb, npa, own) != own_owner)
            return wrong_block(v, npa, thousand,
                               "gives its other numbers to another owner than its prefix has");
    }
    size_t size = npdb_block_check(block, NPDB_BLOCK_MAX_SIZE, palette);
    if (!is_canonical(block, size, numbers, own))
        return wrong_block(v, npa, thousand, "is not in its smallest form");
    v->ports += ported;
    return STICPS_OK;
}

/* ---- NPAs ---- */

static enum sticps_err check_palette(const struct verify *v, uint32_t npa, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        uint32_t owner = npdb_palette_owner(v->npdb, npa, i);
        v->used[owner] = true;
        if (v->uses[i] == 0)
            return fail(v->err, STICPS_ERR_NPDB, NULL,
                        "entry %" PRIu32 " of the palette of NPA %u is named by no block", i,
                        npa + 200);
        if (i == 0)
            continue;
        bool rises = npdb_palette_owner(v->npdb, npa, i - 1) < owner;
        if (len <= NPDB_SORTED_PALETTE
                ? !rises
                : v->uses[i - 1] < v->uses[i] || (v->uses[i - 1] == v->uses[i] && !rises))
            return fail(v->err, STICPS_ERR_NPDB, NULL, "the palette of NPA %u is not in order",
                        npa + 200);
    }
    return STICPS_OK;
}

static enum sticps_err check_slots(struct verify *v, uint32_t npa, bool *needs_page)
{
    uint32_t own[NPDB_PAGE_SLOTS];
    walk_own(v->npdb, npa, own);
    *needs_page = false;
    for (uint32_t i = 0; i < NPDB_PAGE_SLOTS; i++) {
        uint32_t slot = npdb_slot(v->npdb, npa, i);
        enum sticps_err code = STICPS_OK;
        char place[PLACE_SIZE];
        if ((slot & NPDB_SLOT_BLOCK) != 0) {
            code = check_block(v, npa, i, slot, own[i]);
        } else {
            v->used[slot] = true;
            if (slot != own[i])
                code = fail(v->err, STICPS_ERR_NPDB, NULL,
                            "the index has another owner for %s than its prefix",
                            place_of(npa, i, place));
        }
        if (code != STICPS_OK)
            return code;
        *needs_page = *needs_page || (slot & NPDB_SLOT_BLOCK) != 0 || slot != own[0];
    }
    return STICPS_OK;
}

static enum sticps_err check_npa(struct verify *v, uint32_t npa)
{
    const unsigned char *entry = v->npdb->npas + (size_t)npa * NPDB_NPA_SIZE;
    uint32_t palette = npdb_get32(entry + 12);
    bool needs_page;
    memset(v->uses, 0, palette * sizeof(*v->uses));
    enum sticps_err code = check_slots(v, npa, &needs_page);
    if (code == STICPS_OK)
        code = check_palette(v, npa, palette);
    if (code == STICPS_OK && npdb_get32(entry) != 0 && !needs_page)
        code = fail(v->err, STICPS_ERR_NPDB, NULL,
                    "NPA %u has a page though one owner has all of it", npa + 200);
    return code;
}

static enum sticps_err check_all(struct verify *v)
{
    uint64_t ports = npdb_get64(v->npdb->data + NPDB_AT_PORTS);
    enum sticps_err code = check_prefixes(v);
    for (uint32_t npa = 0; code == STICPS_OK && npa < NPDB_NPA_COUNT; npa++)
        code = check_npa(v, npa);
    if (code == STICPS_OK)
        code = check_owners(v);
    if (code == STICPS_OK && v->ports != ports)
        code = fail(v->err, STICPS_ERR_NPDB, NULL,
                    "the header says %" PRIu64 " ported numbers, the blocks have %" PRIu64, ports,
                    v->ports);
    return code;
}

enum sticps_err verify_file(const struct npdb *npdb, struct sticps_error *err)
{
    struct verify v = {.npdb = npdb, .err = err};
    v.used = calloc(npdb->owners_count, sizeof(*v.used));
    v.uses = calloc(NPDB_MAX_PALETTE, sizeof(*v.uses));
    enum sticps_err code = v.used == NULL || v.uses == NULL
                               ? fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory")
                               : check_all(&v);
    free(v.used);
    free(v.uses);
    return code;
}
