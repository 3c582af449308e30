#include "client/tools/walk.h"

#define UNIT INT64_C(10000000) /* of 15 digits, those behind 1 NPA NXX X */

uint32_t walk_prefix_from(const struct npdb *npdb, uint64_t key)
{
    uint32_t begin = 0, end = npdb->prefixes_count, owner;
    while (begin < end) {
        uint32_t middle = begin + (end - begin) / 2;
        if (npdb_prefix(npdb, middle, &owner) < key)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

static int64_t clamp(int64_t thousand)
{
    return thousand < 0 ? 0 : thousand > NPDB_PAGE_SLOTS ? NPDB_PAGE_SLOTS : thousand;
}

/* Gives the thousands under a prefix to its owner. */
static void paint(uint64_t key, uint32_t owner, uint32_t npa, uint32_t own[NPDB_PAGE_SLOTS])
{
    unsigned len = key >> 1 & 15;
    int64_t first = (int64_t)(key >> 5), span = 1;
    int64_t start = (int64_t)(walk_number(npa, 0) + UINT64_C(10000000000)) * 10000;
    if ((key & 1) != 0 || len > 8)
        return;
    for (unsigned i = len; i < 15; i++)
        span *= 10;
    int64_t end = clamp((first + span - start) / UNIT);
    for (int64_t i = clamp((first - start) / UNIT); i < end; i++)
        own[i] = owner;
}

/* A prefix sorts before all that starts with it, so the longest is painted last. */
void walk_own(const struct npdb *npdb, uint32_t npa, uint32_t own[NPDB_PAGE_SLOTS])
{
    uint32_t owner, row;
    uint64_t code = 1200 + npa;
    for (uint32_t i = 0; i < NPDB_PAGE_SLOTS; i++)
        own[i] = NPDB_OWNER_UNKNOWN;
    for (unsigned len = 1, unit = 1000; len <= 3; len++, unit /= 10) {
        uint64_t key = npdb_prefix_key(code / unit, len, 0);
        row = walk_prefix_from(npdb, key);
        if (row < npdb->prefixes_count && npdb_prefix(npdb, row, &owner) == key)
            paint(key, owner, npa, own);
    }
    uint64_t end = npdb_prefix_key(code + 1, 4, 0);
    for (row = walk_prefix_from(npdb, npdb_prefix_key(code, 4, 0)); row < npdb->prefixes_count;
         row++) {
        uint64_t key = npdb_prefix(npdb, row, &owner);
        if (key >> 5 >= end >> 5)
            break;
        paint(key, owner, npa, own);
    }
}

void walk_numbers(const struct npdb *npdb, uint32_t npa, uint32_t thousand,
                  uint32_t results[NPDB_BLOCK_NUMBERS])
{
    uint32_t slot = npdb_slot(npdb, npa, thousand);
    if ((slot & NPDB_SLOT_BLOCK) == 0) {
        for (size_t i = 0; i < NPDB_BLOCK_NUMBERS; i++)
            results[i] = slot;
        return;
    }
    uint16_t numbers[NPDB_BLOCK_NUMBERS], own = 0;
    npdb_block_decode(npdb_slot_block(npdb, slot), numbers, &own);
    for (size_t i = 0; i < NPDB_BLOCK_NUMBERS; i++)
        results[i] = numbers[i] == NPDB_NOT_PORTED
                         ? npdb_palette_owner(npdb, npa, own)
                         : npdb_palette_owner(npdb, npa, numbers[i]) | NPDB_PORTED;
}
