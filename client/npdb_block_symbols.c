/* The owners that a block names, and naming them by another palette without encoding it again. */
#include "client/npdb_block.h"
#include "client/npdb_format.h"

#include <string.h>

unsigned npdb_block_symbols(const unsigned char *block, uint16_t entries[NPDB_BLOCK_NUMBERS],
                            unsigned *own)
{
    uint32_t head = npdb_get32(block);
    unsigned symbols = (head & NPDB_HEAD_SYMBOLS) + 1;
    const unsigned char *from = block + NPDB_BLOCK_HEAD_SIZE;
    for (unsigned i = 0; i < symbols; i++)
        entries[i] = (head & NPDB_HEAD_WIDE) != 0 ? (uint16_t)npdb_get16(from + 2 * i) : from[i];
    *own = (head & NPDB_HEAD_OWN) >> NPDB_HEAD_OWN_SHIFT;
    return symbols;
}

/* Encoding orders symbols by how often they occur, and equal ones by their entry. How often is not
 * known here, so each symbol that may be equal to the one before it has to stay behind it. */
size_t npdb_block_renumber(const unsigned char *block, size_t size, const uint16_t *entry,
                           unsigned char *out)
{
    uint16_t old[NPDB_BLOCK_NUMBERS];
    unsigned own, symbols = npdb_block_symbols(block, old, &own), most = 0;
    bool wide = (npdb_get32(block) & NPDB_HEAD_WIDE) != 0;
    memcpy(out, block, size);
    unsigned char *to = out + NPDB_BLOCK_HEAD_SIZE;
    for (unsigned i = 0; i < symbols; i++) {
        uint16_t new = entry[old[i]];
        if (i > 0 && old[i - 1] <= old[i] && entry[old[i - 1]] > new)
            return 0;
        most = new > most ? new : most;
        *to++ = (unsigned char)new;
        if (wide)
            *to++ = (unsigned char)(new >> 8);
    }
    return wide == (most > 255) ? size : 0;
}
