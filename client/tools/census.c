#include "client/tools/census.h"

#include "client/tools/walk.h"

#include <string.h>

static void add(struct census_part *part, uint64_t bytes)
{
    part->count++;
    part->bytes += bytes;
}

static void take_block(const unsigned char *block, uint64_t bytes, struct census *out)
{
    uint32_t head = npdb_get32(block), symbols = (head & NPDB_HEAD_SYMBOLS) + 1;
    bool wide = (head & NPDB_HEAD_WIDE) != 0;
    add(&out->blocks, bytes);
    add(&out->levels[(head & NPDB_HEAD_LEVELS) >> NPDB_HEAD_LEVELS_SHIFT], bytes);
    if (wide)
        add(&out->wide, bytes);
    if ((head & NPDB_HEAD_DECADES) != 0)
        add(&out->decades, bytes);
    if ((head & NPDB_HEAD_OWN) >> NPDB_HEAD_OWN_SHIFT == NPDB_HEAD_NO_OWN)
        add(&out->all_ported, bytes);
    unsigned bits = symbols == 1 ? 0 : 32 - (unsigned)__builtin_clz(symbols - 1);
    add(&out->symbols[bits], bytes);
    out->symbol_bytes += wide ? 2 * symbols : symbols;
}

static void take_npa(const struct npdb *npdb, uint32_t npa, struct census *out)
{
    const unsigned char *entry = npdb->npas + (size_t)npa * NPDB_NPA_SIZE;
    uint32_t palette = npdb_get32(entry + 12);
    if (palette > out->largest_palette)
        out->largest_palette = palette;
    for (uint32_t i = 0; i < NPDB_PAGE_SLOTS; i++) {
        uint32_t slot = npdb_slot(npdb, npa, i);
        if ((slot & NPDB_SLOT_BLOCK) == 0)
            continue;
        const unsigned char *block = npdb_slot_block(npdb, slot);
        take_block(block, npdb_block_check(block, NPDB_BLOCK_MAX_SIZE, palette), out);
    }
}

void census_take(const struct npdb *npdb, struct census *out)
{
    memset(out, 0, sizeof(*out));
    npdb_figures(npdb, &out->figures);
    for (size_t i = 0; i < NPDB_SECTIONS; i++)
        out->sections[i] = npdb_get64(npdb->data + NPDB_AT_SECTIONS + i * NPDB_SECTION_SIZE + 8);
    out->pages = npdb->pages;
    out->owners = npdb->owners_count - NPDB_FIRST_OWNER;
    out->palette_entries = npdb->palettes_count;
    for (uint32_t npa = 0; npa < NPDB_NPA_COUNT; npa++)
        take_npa(npdb, npa, out);
}
